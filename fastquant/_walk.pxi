# The walk over arrays of any layout: from an array, its parameters and where they change, to tiles for spans. Included by
# _kernels.pyx; nothing in it needs the interpreter.
#
# A call is a list of dimensions, each with a length and three strides: of the source, of the destination and of the
# parameters (0 where they do not change). An axis that is cut into blocks is two dimensions, its ragged end a walk of
# its own. Dimensions are sorted so that the destination is written in order, and merged where memory and parameters
# allow. The two innermost, rows of elements, make tiles; an odometer counts the others.
#
# One array, say float32 (tokens, features) with a scale for each token: two dimensions, parameter strides 1 and 0, a
# single tile of rows, one call of a span. With a scale for each feature: strides 0 and 1, one tile for a `_columns`
# span. Without an axis: one dimension, one row.
#
# What spans cannot read or write as it is (strided, swapped, misaligned) goes through small buffers on the stack, and so
# does what one span leaves for a second: the reals between two quantizations.

cdef enum:
    MAX_DIMS = 68        # NumPy's 64, one more for blocks, two more so that there are always two
    BUFFER = 16384       # bytes of a buffer: three of them stay in the first cache, and are no burden to a stack
    NARROW = 32          # width of a tile whose source runs across it: then its columns are long
    FUSED_BYTES = 262144  # quantize_dynamic: what is read for its range and is still in a cache when it is quantized

cdef struct stage_t:
    fq_tile tile             # what is the same for all tiles
    fq_span by_row, by_column
    bint full_scales, full_zero_points, full_offsets  # or a single value
    ptrdiff_t parameter_size

cdef struct side_t:
    char *data
    ptrdiff_t size           # bytes of an element
    ptrdiff_t each           # packed: codes in a byte, and strides count codes; rows are contiguous. Else 1
    bint swapped, direct
    int stored               # reals of that type that are computed with as float64; else -1
    ptrdiff_t worked         # bytes of an element as spans see it

cdef struct scratch_t:
    double src[BUFFER / 8]
    double dst[BUFFER / 8]
    float between[BUFFER / 4]

cdef struct dynamic_t:       # quantize_dynamic: where ranges become parameters, all indexed as parameters are
    bint on
    fq_tile tile
    fq_span minmax
    fq_scheme scheme
    float *scales
    int32_t *zero_points
    bint failed              # a range is not finite, or has no scale

cdef struct walk_t:
    int ndim
    ptrdiff_t length[MAX_DIMS]
    ptrdiff_t src_step[MAX_DIMS]
    ptrdiff_t dst_step[MAX_DIMS]
    ptrdiff_t param[MAX_DIMS]
    ptrdiff_t run            # innermost dimension: elements that share parameters, where those change along it
    side_t src, dst
    int stages
    stage_t stage[2]
    dynamic_t dynamic
    ptrdiff_t sets           # of parameters or ranges; with more than fit a stack, spans have room for prepared ones
    scratch_t *scratch


# ---- dimensions ----

cdef inline ptrdiff_t size_of(ptrdiff_t step) noexcept nogil:
    return -step if step < 0 else step


cdef inline void add_dim(walk_t *w, ptrdiff_t length, ptrdiff_t src, ptrdiff_t dst, ptrdiff_t param,
                         bint keep) noexcept nogil:
    """One element needs no dimension, but where rows end matters to packed codes."""
    if length != 1 or keep:
        w.length[w.ndim], w.src_step[w.ndim], w.dst_step[w.ndim], w.param[w.ndim] = length, src, dst, param
        w.ndim += 1


cdef inline void move_dim(walk_t *w, int to, int at) noexcept nogil:
    w.length[to], w.src_step[to] = w.length[at], w.src_step[at]
    w.dst_step[to], w.param[to] = w.dst_step[at], w.param[at]


cdef inline bint inner(const walk_t *w, int i, int j) noexcept nogil:
    """Dimension i has smaller steps than dimension j."""
    if size_of(w.dst_step[i]) != size_of(w.dst_step[j]):
        return size_of(w.dst_step[i]) < size_of(w.dst_step[j])
    return size_of(w.src_step[i]) < size_of(w.src_step[j])


cdef inline void sort_dims(walk_t *w, int fixed) noexcept nogil:
    """Largest strides of the destination first, of the source where those are equal; the last `fixed` stay."""
    cdef int i, j, k
    for i in range(1, w.ndim - fixed):
        j = i
        while j > 0 and inner(w, j - 1, j):
            k = MAX_DIMS - 1
            move_dim(w, k, j)
            move_dim(w, j, j - 1)
            move_dim(w, j - 1, k)
            j -= 1


cdef inline bint joins(const walk_t *w, int i, ptrdiff_t run) noexcept nogil:
    """Dimensions i and i + 1 are one in memory, and in parameters if those change every `run` elements of i + 1."""
    cdef ptrdiff_t n = w.length[i + 1]
    if w.src_step[i] != w.src_step[i + 1] * n or w.dst_step[i] != w.dst_step[i + 1] * n:
        return False
    if w.param[i + 1] == 0:
        return w.param[i] == 0
    return n % run == 0 and w.param[i] == n // run * w.param[i + 1]


cdef inline bint better_joined(ptrdiff_t n) noexcept nogil:
    """Whether rows of that length are better one, in which parameters change: spans work on 32 elements at a time."""
    return n < 32 or n < 128 and n % 32 != 0


cdef inline void merge_dims(walk_t *w, bint short_rows) noexcept nogil:
    cdef int i = w.ndim - 2, k
    cdef ptrdiff_t n
    while i >= 0:
        if joins(w, i, w.run if i + 2 == w.ndim else 1):
            w.param[i] = w.param[i + 1]
        elif (short_rows and i + 2 == w.ndim and better_joined(w.length[i + 1]) and w.param[i + 1] == 0
              and w.src_step[i] == w.src_step[i + 1] * w.length[i + 1]
              and w.dst_step[i] == w.dst_step[i + 1] * w.length[i + 1]):
            w.run = w.length[i + 1]
        else:
            i -= 1
            continue
        w.length[i] *= w.length[i + 1]
        w.src_step[i] = w.src_step[i + 1]
        w.dst_step[i] = w.dst_step[i + 1]
        for k in range(i + 1, w.ndim - 1):
            move_dim(w, k, k + 1)
        w.ndim -= 1
        i = min(i, w.ndim - 2)
    while w.ndim < 2:
        for k in range(w.ndim, 0, -1):
            move_dim(w, k, k - 1)
        w.length[0], w.src_step[0], w.dst_step[0], w.param[0] = 1, 0, 0, 0
        w.ndim += 1
        if w.ndim == 1:  # a single element: its sizes are its strides
            w.src_step[0], w.dst_step[0] = w.src.size if w.src.each == 1 else 1, w.dst.size if w.dst.each == 1 else 1


# ---- tiles ----

cdef inline void set_parameters(fq_tile *t, const stage_t *s, ptrdiff_t at, ptrdiff_t step) noexcept nogil:
    """Point a tile at the parameters with that index, so many apart."""
    t.scales = <const char *> s.tile.scales + at * s.full_scales * s.parameter_size
    t.scale_step = step * s.full_scales
    t.zero_points = s.tile.zero_points + at * s.full_zero_points
    t.zero_point_step = step * s.full_zero_points
    if s.tile.offsets != NULL:
        t.offsets = <const char *> s.tile.offsets + at * s.full_offsets * s.parameter_size
        t.offset_step = step * s.full_offsets


cdef inline void run_stage(walk_t *w, int k, const char *src, ptrdiff_t src_row, char *dst, ptrdiff_t dst_row,
                           ptrdiff_t at, ptrdiff_t first, ptrdiff_t rows, ptrdiff_t n) noexcept nogil:
    """One span over rows x n elements from element `first` of rows whose parameters begin with index `at`."""
    cdef const stage_t *s = &w.stage[k]
    cdef fq_tile t = s.tile
    cdef int b = w.ndim - 2, a = w.ndim - 1
    t.src, t.src_step, t.dst, t.dst_step, t.rows, t.n = src, src_row, dst, dst_row, rows, n
    if t.lo != NULL:
        t.lo = <char *> t.lo + (at + first * w.param[a]) * s.parameter_size
        t.hi = <char *> t.hi + (at + first * w.param[a]) * s.parameter_size
        t.poison = <char *> t.poison + (at + first * w.param[a]) * s.parameter_size
        t.extent_step = w.param[b]
    elif t.scales != NULL:
        if w.param[a] == 0:
            set_parameters(&t, s, at, w.param[b])
        elif w.run == 1:
            set_parameters(&t, s, at + first * w.param[a], w.param[a])
        else:
            set_parameters(&t, s, at + first // w.run * w.param[a], w.param[a])
            t.run, t.phase = w.run, first % w.run
    if w.param[a] == 0:
        s.by_row(&t)
    else:
        s.by_column(&t)


cdef inline void widen_reals(int real, const char *x, double *wide, ptrdiff_t n) noexcept nogil:
    """float32 or a half type, exactly."""
    cdef float reals[CHUNK]
    cdef const float *v
    cdef ptrdiff_t i = 0, j, m
    while i < n:
        m = min(<ptrdiff_t> CHUNK, n - i)
        v = <const float *> load_reals(real, x + i * fq_real_types[real].size, reals, m)
        for j in range(m):
            wide[i + j] = v[j]
        i += m


cdef inline void narrow_reals(const double *wide, float *x, ptrdiff_t n) noexcept nogil:
    cdef ptrdiff_t j
    for j in range(n):
        x[j] = <float> wide[j]


cdef inline void run_cell(walk_t *w, ptrdiff_t src_at, ptrdiff_t dst_at, ptrdiff_t at, ptrdiff_t first, ptrdiff_t rows,
                          ptrdiff_t n) noexcept nogil:
    """All stages over rows x n elements, through buffers where they are needed."""
    cdef int b = w.ndim - 2, a = w.ndim - 1
    cdef const char *src = w.src.data + (src_at + first * w.src_step[a]) // w.src.each
    cdef char *dst = w.dst.data + (dst_at + first * w.dst_step[a]) // w.dst.each
    cdef char *to = dst
    cdef char *stage
    cdef ptrdiff_t src_row = w.src_step[b] // w.src.each, dst_row = w.dst_step[b] // w.dst.each, to_row = dst_row
    if not w.src.direct:
        stage = <char *> w.scratch.src if w.src.stored < 0 else <char *> w.scratch.between
        fq_copy_tile(stage, n * w.src.size, w.src.size, src, src_row, w.src_step[a], rows, n, w.src.size, w.src.swapped)
        if w.src.stored >= 0:
            widen_reals(w.src.stored, stage, w.scratch.src, rows * n)
        src, src_row = <const char *> w.scratch.src, n * w.src.worked
    if not w.dst.direct:
        to = <char *> w.scratch.dst
        to_row = n * w.dst.worked
    if w.stages == 2:
        run_stage(w, 0, src, src_row, <char *> w.scratch.between, n * 4, at, first, rows, n)
        run_stage(w, 1, <const char *> w.scratch.between, n * 4, to, to_row, at, first, rows, n)
    else:
        run_stage(w, 0, src, src_row, to, to_row, at, first, rows, n)
    if w.dst.stored >= 0:
        narrow_reals(w.scratch.dst, w.scratch.between, rows * n)
        to, to_row = <char *> w.scratch.between, n * w.dst.size
    if not w.dst.direct:
        fq_copy_tile(dst, dst_row, w.dst_step[a], to, to_row, w.dst.size, rows, n, w.dst.size, w.dst.swapped)


cdef inline void run_rows(walk_t *w, ptrdiff_t src_at, ptrdiff_t dst_at, ptrdiff_t at, ptrdiff_t rows) noexcept nogil:
    """Rows from given places on, in tiles as large as buffers allow."""
    cdef int b = w.ndim - 2, a = w.ndim - 1
    cdef ptrdiff_t n = w.length[a], height = rows, width = n, r, j
    if not (w.src.direct and w.dst.direct and w.stages == 1):
        width = min(width, <ptrdiff_t> 1024)
        if rows > 1 and (size_of(w.src_step[b]) < size_of(w.src_step[a]) and not w.src.direct
                         or size_of(w.dst_step[b]) < size_of(w.dst_step[a]) and not w.dst.direct):
            width = min(width, <ptrdiff_t> NARROW)
        height = min(height, BUFFER // max(<ptrdiff_t> 4, max(w.src.worked, w.dst.worked)) // width)
    if w.param[a] != 0 and w.param[b] != 0:
        height = 1
    if w.stage[0].tile.lo != NULL and w.param[a] > 1:  # ranges by column are found side by side
        width = 1
    r = 0
    while r < rows:
        j = 0
        while j < n:
            run_cell(w, src_at + r * w.src_step[b], dst_at + r * w.dst_step[b], at + r * w.param[b], j,
                     min(height, rows - r), min(width, n - j))
            j += width
        r += height


# ---- quantize_dynamic, when each row has a range of its own: ranges, parameters and codes while a row is in cache ----

cdef inline bint settle(real_t *lo, real_t *hi, const real_t *poison, ptrdiff_t n) noexcept nogil:
    if real_t is float:
        return fq_settle_f32(lo, hi, poison, n)
    else:
        return fq_settle_f64(lo, hi, poison, n)


cdef inline int parameters_of(const real_t *lo, const real_t *hi, ptrdiff_t n, const fq_scheme *scheme, float *scales,
                              int32_t *zero_points, real_t *wide) noexcept nogil:
    """wide: the scales again, in the type of lo and hi; may be scales itself."""
    cdef ptrdiff_t i
    cdef int status
    if real_t is float:
        return fq_qparams_f32(lo, hi, n, scheme, scales, zero_points)
    else:
        status = fq_qparams_f64(lo, hi, n, scheme, scales, zero_points)
        for i in range(n):
            wide[i] = scales[i]
        return status


cdef inline bint find_parameters(dynamic_t *d, real_t *lo, real_t *hi, const real_t *poison, real_t *wide,
                                 ptrdiff_t at, ptrdiff_t step, ptrdiff_t rows) noexcept nogil:
    """Parameters of so many rows of d.tile, of that index and so many apart; False if a row has none."""
    cdef ptrdiff_t i, k, n = rows if step == 1 else 1
    for i in range(rows):
        lo[at + i * step], hi[at + i * step] = INFINITY, -INFINITY
    d.tile.lo, d.tile.hi, d.tile.poison = lo + at, hi + at, <void *> (poison + at)
    d.minmax(&d.tile)
    for i in range(rows // n):
        k = at + i * step
        if not settle(lo + k, hi + k, poison + k, n):
            return False
        if parameters_of(lo + k, hi + k, n, &d.scheme, d.scales + k, d.zero_points + k, wide + k) != FQ_RANGE_OK:
            return False
    return True


cdef inline void run_dynamic(walk_t *w, ptrdiff_t src_at, ptrdiff_t dst_at, ptrdiff_t at, ptrdiff_t rows) noexcept nogil:
    cdef int b = w.ndim - 2, a = w.ndim - 1
    cdef dynamic_t *d = &w.dynamic
    cdef fq_tile found = d.tile
    cdef ptrdiff_t row_bytes = w.length[a] * w.src.size
    cdef ptrdiff_t group = max(<ptrdiff_t> 1, min(<ptrdiff_t> 1024, FUSED_BYTES // row_bytes))
    cdef ptrdiff_t r = 0, index, step = w.param[b]
    cdef bint fine
    if w.stage[0].tile.stream:
        w.stage[0].tile.stream = 2 if row_bytes <= FUSED_BYTES else 1
    while r < rows:
        index = at + r * step
        d.tile.rows, d.tile.n = min(group, rows - r), w.length[a]
        d.tile.src = w.src.data + src_at + r * w.src_step[b]
        d.tile.src_step, d.tile.extent_step = w.src_step[b], step
        if found.real == FQ_f64:
            fine = find_parameters(d, <double *> found.lo, <double *> found.hi, <const double *> found.poison,
                                   <double *> w.stage[0].tile.scales, index, step, d.tile.rows)
        else:
            fine = find_parameters(d, <float *> found.lo, <float *> found.hi, <const float *> found.poison,
                                   <float *> w.stage[0].tile.scales, index, step, d.tile.rows)
        d.tile = found
        if not fine:
            d.failed = True
            return
        run_rows(w, src_at + r * w.src_step[b], dst_at + r * w.dst_step[b], index, min(group, rows - r))
        r += group


# ---- the walk ----

cdef inline bint is_direct(const walk_t *w, const side_t *side, const ptrdiff_t *steps) noexcept nogil:
    """Spans can work on it as it is: contiguous rows, aligned and in native byte order."""
    cdef int k
    cdef size_t misfit = <size_t> side.data
    if side.each > 1:  # _api.py sees to it
        return True
    if side.swapped or side.stored >= 0 or steps[w.ndim - 1] != side.size and w.length[w.ndim - 1] != 1:
        return False
    for k in range(w.ndim - 1):
        misfit |= <size_t> steps[k]
    return misfit & <size_t> (side.size - 1) == 0


cdef enum:
    WALKED, NOT_BY_ROWS

cdef inline bint by_rows(const walk_t *w) noexcept nogil:
    """Each row has parameters of its own, and spans can read it as it is."""
    cdef int k
    for k in range(w.ndim - 1):
        if w.param[k] == 0 and w.length[k] != 1:
            return False
    return w.src.direct and w.param[w.ndim - 1] == 0


cdef int arrange(walk_t *w, int fixed) noexcept nogil:
    """The dimensions as they are best walked. NOT_BY_ROWS if they should be rows and are not."""
    cdef bint ranges = w.stage[0].tile.lo != NULL
    sort_dims(w, fixed)
    merge_dims(w, not ranges and not w.dynamic.on)
    w.src.direct = is_direct(w, &w.src, w.src_step)
    w.dst.direct = ranges or is_direct(w, &w.dst, w.dst_step)
    if not (w.src.direct and w.dst.direct):
        w.stage[0].tile.stream = 0
    if w.dynamic.on and not by_rows(w):
        return NOT_BY_ROWS
    return WALKED


cdef void run_walk(walk_t *w, ptrdiff_t at) noexcept nogil:
    """The call; `at` is the index of the first parameters."""
    cdef scratch_t scratch
    cdef ptrdiff_t index[MAX_DIMS]
    cdef ptrdiff_t src_at = 0, dst_at = 0
    cdef int k
    cdef void *room = fq_borrow_room() if w.sets > 1024 else NULL
    cdef fq_fpenv env
    w.scratch = &scratch
    w.stage[0].tile.room = w.stage[1].tile.room = room
    for k in range(w.ndim):
        index[k] = 0
    env = fq_fpenv_enter()
    while True:
        if w.dynamic.on:
            run_dynamic(w, src_at, dst_at, at, w.length[w.ndim - 2])
        else:
            run_rows(w, src_at, dst_at, at, w.length[w.ndim - 2])
        k = w.ndim - 3
        while k >= 0:
            index[k] += 1
            src_at += w.src_step[k]
            dst_at += w.dst_step[k]
            at += w.param[k]
            if index[k] < w.length[k]:
                break
            index[k] = 0
            src_at -= w.src_step[k] * w.length[k]
            dst_at -= w.dst_step[k] * w.length[k]
            at -= w.param[k] * w.length[k]
            k -= 1
        if k < 0 or w.dynamic.failed:
            break
    if w.stage[0].tile.stream:
        fq_stream_end()
    fq_fpenv_leave(env)
    if room != NULL:
        fq_give_back_room(room)
