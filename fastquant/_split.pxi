# One call on several threads: where it is cut into parts. Included by _kernels.pyx.
#
# Parts write apart from each other, so that results do not depend on their number. Ranges that several parts have elements
# of are found by each for itself and then compared: minima and maxima do not depend on the order.

cdef enum:
    MAX_PARTS = 256
    PARTS_EACH = 8       # parts for each thread: who is held up leaves the others more of them
    PRIVATE = 65536      # bytes of ranges that parts have of their own, for each thread
    RANGE_STEP = 512     # what rows of ranges may be cut at: nothing is written beside them

# Below the first, in bytes moved, waking a thread takes longer than it helps; the second is the smallest part, the third
# what rows are cut at, in elements: pages of the smallest codes.
cdef ptrdiff_t parallel_from_bytes = 4 << 20
cdef ptrdiff_t part_bytes = 256 << 10
cdef ptrdiff_t part_step = 4096

# A pass over what another has just read begins at the end, which the caches still hold, in pieces of so many elements:
# within one it goes forwards, as prefetching wants it.
cdef ptrdiff_t piece = 1 << 20


def set_piece(ptrdiff_t elements):
    """For tests: the length of such a piece. Returns what it was before."""
    global piece
    before = piece
    piece = elements
    return before


def set_parallel(ptrdiff_t from_bytes, ptrdiff_t smallest_part, ptrdiff_t step):
    """For tests: where calls are cut, and how finely. step: a multiple of 32. Returns what was so before."""
    global parallel_from_bytes, part_bytes, part_step
    before = parallel_from_bytes, part_bytes, part_step
    parallel_from_bytes, part_bytes, part_step = from_bytes, smallest_part, step
    return before


cdef inline ptrdiff_t parts_for(size_t nbytes) noexcept nogil:
    """How many parts a call that moves so many bytes is worth: two arrays, on machines of 32 bits more than a signed number
    holds."""
    cdef int threads
    if nbytes < <size_t> parallel_from_bytes:
        return 1
    threads = fq_threads()
    if threads == 1:
        return 1
    return max(1, <ptrdiff_t> min(<size_t> min(MAX_PARTS, threads * PARTS_EACH), nbytes // <size_t> part_bytes))


cdef inline ptrdiff_t step_for(ptrdiff_t n, ptrdiff_t unit, ptrdiff_t parts) noexcept nogil:
    """Length of each of so many parts of n, a multiple of the unit."""
    cdef ptrdiff_t units = (n + unit - 1) // unit
    return (units + parts - 1) // parts * unit


# ---- a row ----

cdef struct row_t:
    fq_span span
    const fq_tile *tile
    ptrdiff_t step, src_size, dst_size
    ptrdiff_t last           # the part that comes first if parts are taken from the end; else -1
    double lo[MAX_PARTS]     # of the arithmetic type
    double hi[MAX_PARTS]
    double poison[MAX_PARTS]


cdef inline void call_span(fq_span span, const fq_tile *t) noexcept nogil:
    cdef fq_fpenv env = fq_fpenv_enter()
    span(t)
    if t.stream:
        fq_stream_end()
    fq_fpenv_leave(env)


cdef inline void begin_extent(fq_tile *t, void *lo, void *hi, void *poison) noexcept nogil:
    t.lo, t.hi, t.poison = lo, hi, poison
    if fq_real_types[t.real].is_double:
        (<double *> lo)[0], (<double *> hi)[0], (<double *> poison)[0] = INFINITY, -INFINITY, 0
    else:
        (<float *> lo)[0], (<float *> hi)[0], (<float *> poison)[0] = INFINITY, -INFINITY, 0


cdef inline void join_extents(real_t *lo, real_t *hi, real_t *poison, const real_t *low, const real_t *high,
                              const real_t *nan, ptrdiff_t n) noexcept nogil:
    """Those of one part to those of all."""
    cdef ptrdiff_t i
    for i in range(n):
        lo[i] = lower(lo[i], low[i])
        hi[i] = higher(hi[i], high[i])
        if nan[i] != nan[i]:  # a sum of sums could be NaN by itself
            poison[i] = nan[i]


cdef void row_part(void *context, int part) noexcept nogil:
    cdef row_t *r = <row_t *> context
    cdef fq_tile t = r.tile[0]
    cdef ptrdiff_t start = (r.last - part if r.last >= 0 else part) * r.step
    t.src += start * r.src_size
    t.dst += start * r.dst_size
    t.n = min(r.step, t.n - start)
    if t.lo != NULL:
        begin_extent(&t, &r.lo[part], &r.hi[part], &r.poison[part])
    call_span(r.span, &t)


cdef void run_row(fq_span span, fq_tile *t, ptrdiff_t src_size, ptrdiff_t dst_size, bint again) noexcept nogil:
    """One row, without parameters that change along it. again: src has just been read from its beginning."""
    cdef row_t r
    cdef ptrdiff_t parts = parts_for(<size_t> t.n * <size_t> (src_size + dst_size)), i
    cdef bint alone = parts <= 1, backwards = again and t.stream
    cdef fq_fpenv env
    r.step = t.n
    if not alone:
        r.step = step_for(t.n, part_step, parts)
    elif backwards:
        r.step = piece
    if r.step >= t.n:
        call_span(span, t)
        return
    r.span, r.tile, r.src_size, r.dst_size = span, t, src_size, dst_size
    parts = (t.n + r.step - 1) // r.step
    r.last = parts - 1 if backwards else -1
    if alone:
        for i in range(parts):
            row_part(&r, <int> i)
    else:
        fq_parallel(row_part, &r, <int> parts)
    if t.lo == NULL:
        return
    env = fq_fpenv_enter()  # comparisons of subnormals
    for i in range(parts):
        if fq_real_types[t.real].is_double:
            join_extents(<double *> t.lo, <double *> t.hi, <double *> t.poison, &r.lo[i], &r.hi[i], &r.poison[i], 1)
        else:
            join_extents(<float *> t.lo, <float *> t.hi, <float *> t.poison, <float *> &r.lo[i], <float *> &r.hi[i],
                         <float *> &r.poison[i], 1)
    fq_fpenv_leave(env)


# ---- a walk ----

cdef struct split_t:
    const walk_t *walk
    int dim
    ptrdiff_t step, at
    char *extents            # of the parts, where they have their own
    bint failed[MAX_PARTS]


cdef inline ptrdiff_t common_multiple(ptrdiff_t a, ptrdiff_t b) noexcept nogil:
    cdef ptrdiff_t m = a, n = b
    while n != 0:
        m, n = n, m % n
    return a // m * b


cdef inline ptrdiff_t unit_of(const walk_t *w, int k) noexcept nogil:
    """What parts of a dimension are multiples of: indices, or within rows whole sets of parameters too."""
    if k < w.ndim - 1:
        return 1
    if w.stage[0].tile.lo != NULL:
        return min(part_step, <ptrdiff_t> RANGE_STEP)
    return part_step if w.param[k] == 0 else common_multiple(part_step, w.run)


cdef inline int best_dim(const walk_t *w, ptrdiff_t parts, bint own_ranges) noexcept nogil:
    """The outermost dimension that makes so many parts; else the one that makes most; -1 if none makes two.
    own_ranges: no range may have elements in two parts."""
    cdef int k, best = -1
    cdef ptrdiff_t most = 1, units
    for k in range(w.ndim):
        units = w.length[k] // unit_of(w, k)
        if own_ranges and w.param[k] == 0:
            continue
        if units >= parts:
            return k
        if units > most:
            best, most = k, units
    return best


cdef void walk_part(void *context, int part) noexcept nogil:
    cdef split_t *s = <split_t *> context
    cdef walk_t w = s.walk[0]
    cdef int k = s.dim
    cdef ptrdiff_t start = part * s.step, at = s.at
    cdef ptrdiff_t size = w.sets * w.stage[0].parameter_size
    w.length[k] = min(s.step, w.length[k] - start)
    w.src.data += start * w.src_step[k] // w.src.each
    w.dst.data += start * w.dst_step[k] // w.dst.each
    at += (start // w.run if k == w.ndim - 1 else start) * w.param[k]
    if s.extents != NULL:
        w.stage[0].tile.lo = s.extents + 3 * part * size
        w.stage[0].tile.hi = s.extents + (3 * part + 1) * size
        w.stage[0].tile.poison = s.extents + (3 * part + 2) * size
    run_walk(&w, at)
    s.failed[part] = w.dynamic.failed


cdef inline void begin_extents(real_t *extents, ptrdiff_t sets, ptrdiff_t parts) noexcept nogil:
    cdef ptrdiff_t part, i
    for part in range(parts):
        for i in range(sets):
            extents[3 * part * sets + i] = INFINITY
            extents[(3 * part + 1) * sets + i] = -INFINITY
            extents[(3 * part + 2) * sets + i] = 0


cdef inline void end_extents(const real_t *extents, real_t *lo, real_t *hi, real_t *poison, ptrdiff_t sets,
                             ptrdiff_t parts) noexcept nogil:
    cdef ptrdiff_t part
    for part in range(parts):
        join_extents(lo, hi, poison, extents + 3 * part * sets, extents + (3 * part + 1) * sets,
                     extents + (3 * part + 2) * sets, sets)


cdef void split_walk(walk_t *w, ptrdiff_t at) noexcept nogil:
    """run_walk, on several threads if it is worth it."""
    cdef split_t s
    cdef fq_tile *t = &w.stage[0].tile
    cdef bint ranges = t.lo != NULL, wide = fq_real_types[t.real].is_double
    cdef ptrdiff_t parts, most, total = 1
    cdef int k
    cdef fq_fpenv env
    for k in range(w.ndim):
        total *= w.length[k]
    parts = parts_for(<size_t> total * <size_t> (w.src.size + (0 if ranges else w.dst.size)))
    s.dim = best_dim(w, parts, ranges or w.dynamic.on) if parts > 1 else -1
    s.extents = NULL
    if ranges and parts > 1 and (s.dim < 0 or w.length[s.dim] // unit_of(w, s.dim) < parts):
        most = <ptrdiff_t> PRIVATE * fq_threads() // (w.sets * 3 * w.stage[0].parameter_size)
        k = best_dim(w, min(parts, most), False) if most > 1 else -1
        if k >= 0 and k != s.dim:
            parts = min(parts, most)
            s.extents = <char *> malloc(parts * w.sets * 3 * w.stage[0].parameter_size)
            if s.extents != NULL:
                s.dim = k
    if s.dim < 0:
        run_walk(w, at)
        return
    s.walk, s.at = w, at
    s.step = step_for(w.length[s.dim], unit_of(w, s.dim), parts)
    parts = (w.length[s.dim] + s.step - 1) // s.step
    if s.extents != NULL:
        if wide:
            begin_extents(<double *> s.extents, w.sets, parts)
        else:
            begin_extents(<float *> s.extents, w.sets, parts)
    fq_parallel(walk_part, &s, <int> parts)
    if s.extents != NULL:
        env = fq_fpenv_enter()  # comparisons of subnormals
        if wide:
            end_extents(<double *> s.extents, <double *> t.lo, <double *> t.hi, <double *> t.poison, w.sets, parts)
        else:
            end_extents(<float *> s.extents, <float *> t.lo, <float *> t.hi, <float *> t.poison, w.sets, parts)
        fq_fpenv_leave(env)
        free(s.extents)
    for k in range(<int> parts):
        w.dynamic.failed |= s.failed[k]
