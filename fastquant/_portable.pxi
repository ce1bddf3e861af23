# The portable span kernels: plain loops over contiguous buffers that gcc, clang and MSVC vectorise for whatever the
# architecture's baseline is. Included by _kernels.pyx.
#
# Work goes in chunks through small buffers, in steps that each know only one of the types:
#
#     quantize        real type -> reals -> quotients -> int32 codes -> code type
#     dequantize      code type -> int32 codes -> reals -> real type
#     fake_quantize   real type -> reals -> quotients -> int32 codes -> reals -> real type
#
# so a new real type or a new code type is one more pair of loops, not one more of everything, and each loop converts
# between lanes of few widths, which is what compilers vectorise well. The chunk stays in the first-level cache.

include "_portable_types.pxi"
include "_portable_arithmetic.pxi"
include "_portable_ranges.pxi"


# ---- a chunk ----

cdef inline void chunk(int op, const fq_tile *t, const char *src, char *dst, ptrdiff_t n, const params_t *p,
                       real_t *direct) noexcept nogil:
    """n elements; direct: where reals go when no half type has to be made of them, or NULL."""
    cdef int32_t buffer[CHUNK]
    cdef real_t reals[CHUNK]
    cdef real_t y[CHUNK]
    cdef const int32_t *codes = buffer
    cdef bint is_float = fq_code_types[t.code].is_float, far = t.far != 0 or t.code == FQ_i32
    if op == FQ_dequantize:
        codes = load_codes(t.code, t.packs, src, buffer, n)
    else:
        quotients(<const real_t *> load_reals(t.real, src, <float *> reals, n), y, n, p, t)
        if is_float:
            float_codes(y, buffer, n, t.code, t.beyond)
        else:
            integer_codes(y, buffer, n, p, t, far)
    if op == FQ_quantize:
        store_codes(t.code, t.packs, codes, dst, n)
        return
    if direct == NULL:
        direct = reals
    if is_float:
        floats_to_reals(codes, direct, n, p, t.code)
    elif real_t is float and t.precision != FQ_f32:
        rounded_reals(codes, <float *> direct, n, p, t)
    elif t.rule != FQ_divide:
        divided_reals(codes, direct, n, p)
    else:
        integers_to_reals(codes, direct, n, p, far)
    store_reals(t.real, <const float *> direct, dst, n)


cdef inline void chunk_of(int op, const fq_tile *t, ptrdiff_t r, ptrdiff_t at, ptrdiff_t n,
                          const params_t *p) noexcept nogil:
    cdef ptrdiff_t real_size = fq_real_types[t.real].size, code_size = fq_code_types[t.code].size
    cdef const char *src = t.src + r * t.src_step + (at * code_size // t.packs if op == FQ_dequantize else at * real_size)
    cdef char *dst = t.dst + r * t.dst_step + (at * code_size // t.packs if op == FQ_quantize else at * real_size)
    if t.real == FQ_f64:
        chunk[double](op, t, src, dst, n, p, <double *> dst)
    else:
        chunk[float](op, t, src, dst, n, p, <float *> dst if t.real == FQ_f32 else NULL)


cdef inline void rows(int op, const fq_tile *t) noexcept nogil:
    cdef params_t p
    cdef ptrdiff_t r, at
    for r in range(t.rows):
        load_row(&p, t, r)
        at = 0
        while at < t.n:
            chunk_of(op, t, r, at, min(<ptrdiff_t> CHUNK, t.n - at), &p)
            at += CHUNK


cdef inline void columns(int op, const fq_tile *t) noexcept nogil:
    cdef params_t p
    cdef ptrdiff_t r, at = 0, n
    while at < t.n:
        n = min(<ptrdiff_t> CHUNK, t.n - at)
        if fq_real_types[t.real].is_double:
            load_columns(&p, <double *> p.scales, <double *> p.minuses, <double *> p.pluses, t, at, n)
        else:
            load_columns(&p, <float *> p.scales, <float *> p.minuses, <float *> p.pluses, t, at, n)
        for r in range(t.rows):
            chunk_of(op, t, r, at, n, &p)
        at += CHUNK


# ---- the rows of the portable table ----

cdef void portable_quantize(const fq_tile *t) noexcept nogil:
    rows(FQ_quantize, t)


cdef void portable_quantize_columns(const fq_tile *t) noexcept nogil:
    columns(FQ_quantize, t)


cdef void portable_dequantize(const fq_tile *t) noexcept nogil:
    rows(FQ_dequantize, t)


cdef void portable_dequantize_columns(const fq_tile *t) noexcept nogil:
    columns(FQ_dequantize, t)


cdef void portable_fake_quantize(const fq_tile *t) noexcept nogil:
    rows(FQ_fake_quantize, t)


cdef void portable_fake_quantize_columns(const fq_tile *t) noexcept nogil:
    columns(FQ_fake_quantize, t)


cdef void portable_minmax(const fq_tile *t) noexcept nogil:
    extents_of(t, False)


cdef void portable_minmax_columns(const fq_tile *t) noexcept nogil:
    extents_of(t, True)


cdef void portable_pack(const fq_tile *t) noexcept nogil:
    cdef ptrdiff_t r
    for r in range(t.rows):
        pack_row(<const uint8_t *> (t.src + r * t.src_step), <uint8_t *> (t.dst + r * t.dst_step), t.n, t.packs)


cdef void portable_unpack(const fq_tile *t) noexcept nogil:
    cdef ptrdiff_t r
    for r in range(t.rows):
        unpack_row(<const uint8_t *> (t.src + r * t.src_step), <uint8_t *> (t.dst + r * t.dst_step), t.n, t.packs)


cdef inline void signs_row(const real_t *x, uint8_t *bits, ptrdiff_t n) noexcept nogil:
    cdef ptrdiff_t j, k
    cdef int byte
    for j in range((n + 7) // 8):
        byte = 0
        for k in range(8):
            byte = byte << 1 | (j * 8 + k < n and x[j * 8 + k] > 0)
        bits[j] = <uint8_t> byte


cdef void portable_signs(const fq_tile *t) noexcept nogil:
    cdef float reals[CHUNK]
    cdef ptrdiff_t r, at = 0, n
    cdef const void *x
    for r in range(t.rows):
        at = 0
        while at < t.n:
            n = min(<ptrdiff_t> CHUNK, t.n - at)
            x = load_reals(t.real, t.src + r * t.src_step + at * fq_real_types[t.real].size, reals, n)
            if t.real == FQ_f64:
                signs_row(<const double *> x, <uint8_t *> (t.dst + r * t.dst_step) + at // 8, n)
            else:
                signs_row(<const float *> x, <uint8_t *> (t.dst + r * t.dst_step) + at // 8, n)
            at += CHUNK


cdef void fill_portable_table() noexcept:
    cdef int real, code
    for real in range(FQ_REAL_COUNT):
        for code in range(FQ_CODE_COUNT):
            fq_portable_spans[<int> FQ_dequantize][real][code] = portable_dequantize
            fq_portable_spans[<int> FQ_dequantize_columns][real][code] = portable_dequantize_columns
            if code == FQ_i32:  # to read, not to make
                continue
            fq_portable_spans[<int> FQ_quantize][real][code] = portable_quantize
            fq_portable_spans[<int> FQ_quantize_columns][real][code] = portable_quantize_columns
            fq_portable_spans[<int> FQ_fake_quantize][real][code] = portable_fake_quantize
            fq_portable_spans[<int> FQ_fake_quantize_columns][real][code] = portable_fake_quantize_columns
        fq_portable_spans[<int> FQ_signs][real][0] = portable_signs
        fq_portable_spans[<int> FQ_minmax][real][0] = portable_minmax
        fq_portable_spans[<int> FQ_minmax_columns][real][0] = portable_minmax_columns
    for code in range(FQ_CODE_COUNT):
        if fq_code_types[code].bits == 4 or fq_code_types[code].bits == 2:
            fq_portable_spans[<int> FQ_pack][<int> FQ_f32][code] = portable_pack
            fq_portable_spans[<int> FQ_unpack][<int> FQ_f32][code] = portable_unpack
