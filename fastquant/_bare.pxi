# The bare loop of the benchmarks (src/bare.inc.h), cut into parts as the calls are that it stands beside. Included by
# _kernels.pyx.

cdef struct bare_t:
    fq_bare loop
    const char *src
    char *dst
    size_t src_bytes, dst_bytes, src_step, dst_step
    bint stream
    uint8_t[MAX_PARTS] rest


cdef void bare_part(void *context, int part) noexcept nogil:
    cdef bare_t *b = <bare_t *> context
    cdef size_t src_start = min(part * b.src_step, b.src_bytes), dst_start = min(part * b.dst_step, b.dst_bytes)
    b.rest[part] = b.loop(
        b.src + src_start, min(b.src_step, b.src_bytes - src_start),
        b.dst + dst_start, min(b.dst_step, b.dst_bytes - dst_start), b.stream,
    )
    if b.stream:
        fq_stream_end()


cdef void run_bare(bare_t *b) noexcept nogil:
    cdef size_t nbytes = b.src_bytes + b.dst_bytes
    cdef ptrdiff_t parts = parts_for(nbytes)
    b.stream = nbytes >= <size_t> stream_from_bytes
    b.src_step = <size_t> step_for(<ptrdiff_t> b.src_bytes, part_step, parts)
    b.dst_step = <size_t> step_for(<ptrdiff_t> b.dst_bytes, part_step, parts)
    if parts == 1:
        bare_part(b, 0)
    else:
        fq_parallel(bare_part, b, <int> parts)
    for part in range(1, parts):
        b.rest[0] |= b.rest[part]


def bare(cnp.ndarray source, cnp.ndarray sink):
    """For the benchmarks: read every byte of one array and write every byte of the other, both C-contiguous.

    Returns a byte: its or with all bytes of sink is the or of all bytes of source, which shows that all were read.
    """
    cdef bare_t b
    if not PyArray_ISCARRAY_RO(source) or not PyArray_ISCARRAY(sink):
        raise ValueError("bare: expected C-contiguous arrays, the second of them writeable")
    b.loop = fq_active_bare()
    b.src, b.src_bytes = cnp.PyArray_BYTES(source), cnp.PyArray_NBYTES(source)
    b.dst, b.dst_bytes = cnp.PyArray_BYTES(sink), cnp.PyArray_NBYTES(sink)
    if cnp.PyArray_SIZE(source) < RELEASE_GIL_FROM:
        run_bare(&b)
    else:
        with nogil:
            run_bare(&b)
    return b.rest[0]
