# Range statistics of arrays, and quantize_dynamic: what _api.py calls, and calls whose arguments are plain. Included by
# _kernels.pyx.

cdef int set_extents(fq_tile *t, cnp.ndarray lo, cnp.ndarray hi, cnp.ndarray poison, int real, const grid_t *g) except -1:
    cdef int kind = cnp.NPY_FLOAT64 if fq_real_types[real].is_double else cnp.NPY_FLOAT32
    for a in (lo, hi, poison):
        if (cnp.PyArray_TYPE(<cnp.ndarray> a) != kind or cnp.PyArray_SIZE(<cnp.ndarray> a) < g.sets
                or not PyArray_ISCARRAY(<cnp.ndarray> a)):
            raise changed()
    t.lo, t.hi, t.poison = cnp.PyArray_DATA(lo), cnp.PyArray_DATA(hi), cnp.PyArray_DATA(poison)
    return 0


cdef inline cnp.ndarray zeros_like(cnp.ndarray a):
    return cnp.PyArray_ZEROS(cnp.PyArray_NDIM(a), cnp.PyArray_DIMS(a), cnp.PyArray_TYPE(a), 0)


cdef inline void fill(cnp.ndarray a, float v) noexcept:
    """Contiguous float32 or float64. (The method of that name takes longer than a small kernel.)"""
    cdef ptrdiff_t i, n = cnp.PyArray_SIZE(a)
    if cnp.PyArray_TYPE(a) == cnp.NPY_FLOAT64:
        for i in range(n):
            (<double *> cnp.PyArray_DATA(a))[i] = v
    else:
        for i in range(n):
            (<float *> cnp.PyArray_DATA(a))[i] = v


cdef bint settle_all(cnp.ndarray lo, cnp.ndarray hi, cnp.ndarray poison) noexcept:
    cdef ptrdiff_t n = cnp.PyArray_SIZE(lo)
    cdef fq_fpenv env = fq_fpenv_enter()  # so that a subnormal does not compare equal to 0
    cdef bint finite
    if cnp.PyArray_TYPE(lo) == cnp.NPY_FLOAT64:
        finite = settle(<double *> cnp.PyArray_DATA(lo), <double *> cnp.PyArray_DATA(hi),
                        <const double *> cnp.PyArray_DATA(poison), n)
    else:
        finite = settle(<float *> cnp.PyArray_DATA(lo), <float *> cnp.PyArray_DATA(hi),
                        <const float *> cnp.PyArray_DATA(poison), n)
    fq_fpenv_leave(env)
    return finite


cdef bint find_extremes(cnp.ndarray x, int real, cnp.ndarray lo, cnp.ndarray hi, const grid_t *g) except -1:
    cdef walk_t w
    cdef cnp.ndarray poison = zeros_like(lo)
    fill(lo, INFINITY)
    fill(hi, -INFINITY)
    begin_walk(&w)
    set_side(&w.src, x, 0)
    w.dst = w.src
    set_extents(&open_stage(&w, FQ_minmax, real, 0, 1).tile, lo, hi, poison, real, g)
    close_stage(&w, FQ_minmax)
    cover(&w, x, x, None, g)
    return settle_all(lo, hi, poison)


def extremes(cnp.ndarray x, cnp.ndarray lo, cnp.ndarray hi, tuple strides, int block_axis, ptrdiff_t block):
    """Smallest and largest value of each range of x, into lo and hi: contiguous, of the arithmetic type, as long as there
    are ranges. False if x holds NaN or infinity. x is not empty."""
    cdef grid_t g
    if real_of_array(x) < 0:
        raise changed()
    set_grid(&g, x, strides, block_axis, block)
    return find_extremes(x, real_of_array(x), lo, hi, &g)


cdef bint quantize_fused(cnp.ndarray x, cnp.ndarray dst, tuple found, int real, int code, bint packed, const grid_t *g,
                         const fq_scheme *scheme) except -1:
    """found: arrays for lo, hi, scale (float32), zero point (int32), and for the scale in the arithmetic type."""
    cdef walk_t w
    cdef stage_t *s
    cdef dynamic_t *d = &w.dynamic
    cdef int bits = fq_code_types[code].bits if packed else 0
    lo, hi, scales, zero_points, wide = found
    poison = zeros_like(lo)
    begin_walk(&w)
    memset(d, 0, sizeof(w.dynamic))
    set_side(&w.src, x, 0)
    set_side(&w.dst, dst, bits)
    s = open_stage(&w, FQ_quantize, real, code, 8 // bits if packed else 1)
    if (cnp.PyArray_TYPE(<cnp.ndarray> scales) != cnp.NPY_FLOAT32 or not is_plain(scales)
            or cnp.PyArray_SIZE(<cnp.ndarray> scales) < g.sets):
        raise changed()
    # Those of ranges that hold 0 are codes, so never far; until they are found, neither.
    memset(cnp.PyArray_DATA(<cnp.ndarray> zero_points), 0, cnp.PyArray_NBYTES(<cnp.ndarray> zero_points))
    set_arrays(s, (wide, zero_points, None), g)
    close_stage(&w, FQ_quantize)
    s.tile.stream = streams(x, dst)
    d.on = True
    d.minmax = fq_active_table()[0][<int> FQ_minmax][real][0]
    d.tile.real, d.tile.precision, d.tile.packs, d.tile.run = real, FQ_f32, 1, 1
    set_extents(&d.tile, lo, hi, poison, real, g)
    d.scheme = scheme[0]
    d.scales = <float *> cnp.PyArray_DATA(<cnp.ndarray> scales)
    d.zero_points = <int32_t *> cnp.PyArray_DATA(<cnp.ndarray> zero_points)
    return cover(&w, x, x, dst, g) == WALKED and not d.failed


def quantize_rows(cnp.ndarray x, cnp.ndarray dst, tuple found, int code, tuple strides, int block_axis, ptrdiff_t block,
                  bint packed, double lowest, double highest, bint symmetric):
    """quantize_dynamic in one pass, if rows have ranges of their own: reads x from memory once. False if x does not lie like
    that, or if a range has no scale (then dst holds some of the codes). found: as quantize_fused has it."""
    cdef grid_t g
    cdef fq_scheme scheme
    cdef int real = check_types(FQ_quantize, x, dst, code, packed)
    check_arrays(x, dst, fq_code_types[code].bits if packed else 0)
    set_grid(&g, x, strides, block_axis, block)
    scheme.lowest, scheme.highest, scheme.symmetric, scheme.include_zero = lowest, highest, symmetric, True
    return quantize_fused(x, dst, found, real, code, packed, &g, &scheme)


# ---- calls of plain arguments ----

cdef inline bint read_ranges(grid_t *g, object x, object axis, object block_size) noexcept:
    """x is an array of reals, not empty, and what has a range of its own is plain."""
    return (real_of_array(x) >= 0 and cnp.PyArray_SIZE(<cnp.ndarray> x) > 0
            and read_grid(g, cnp.PyArray_NDIM(<cnp.ndarray> x), cnp.PyArray_DIMS(<cnp.ndarray> x), axis, block_size))


cdef inline object of_grid(cnp.ndarray a, const grid_t *g):
    """What one_for_each_set made, as callers get it: of all of x, a scalar."""
    return a if g.rank > 0 else a[()]


cdef inline cnp.ndarray one_for_each_set(const grid_t *g, int type_number):
    cdef cnp.npy_intp[MAX_DIMS] shape
    cdef int i
    for i in range(g.rank):
        shape[i] = g.length[i]
    return new_array(g.rank, shape, type_number)


cdef inline int arithmetic_type(int real) noexcept:
    return cnp.NPY_FLOAT64 if fq_real_types[real].is_double else cnp.NPY_FLOAT32


cdef object granular_minmax(object x, object axis, object block_size):
    cdef grid_t g
    if not read_ranges(&g, x, axis, block_size):
        return NotImplemented
    lo = one_for_each_set(&g, arithmetic_type(real_of_array(x)))
    hi = one_for_each_set(&g, arithmetic_type(real_of_array(x)))
    if not find_extremes(<cnp.ndarray> x, real_of_array(x), lo, hi, &g):
        return NotImplemented
    return named(Range, (of_grid(lo, &g), of_grid(hi, &g)))


cdef bint parameters_of_all(cnp.ndarray lo, cnp.ndarray hi, const fq_scheme *scheme, cnp.ndarray scales,
                            cnp.ndarray zero_points, cnp.ndarray wide) noexcept:
    """wide: the scales again, in the type of lo and hi, which may be scales itself. False if a range has none."""
    cdef int status
    cdef const void *low = cnp.PyArray_DATA(lo)
    cdef const void *high = cnp.PyArray_DATA(hi)
    cdef void *again = cnp.PyArray_DATA(wide)
    cdef float *scale = <float *> cnp.PyArray_DATA(scales)
    cdef int32_t *zero_point = <int32_t *> cnp.PyArray_DATA(zero_points)
    cdef ptrdiff_t n = cnp.PyArray_SIZE(lo)
    cdef fq_fpenv env = fq_fpenv_enter()
    if cnp.PyArray_TYPE(lo) == cnp.NPY_FLOAT64:
        status = parameters_of(<const double *> low, <const double *> high, n, scheme, scale, zero_point, <double *> again)
    else:
        status = parameters_of(<const float *> low, <const float *> high, n, scheme, scale, zero_point, <float *> again)
    fq_fpenv_leave(env)
    return status == FQ_RANGE_OK


cdef object granular_dynamic(object x, int code, const fq_scheme *scheme, object axis, object block_size, bint packed,
                             object out):
    cdef walk_t w
    cdef grid_t g
    cdef cnp.npy_intp[MAX_DIMS] shape
    cdef int i, real = real_of_array(x), ndim, bits = fq_code_types[code].bits
    if not read_ranges(&g, x, axis, block_size) or packed and (bits not in (4, 2) or g.ndim == 0):
        return NotImplemented
    cdef cnp.ndarray a = <cnp.ndarray> x
    ndim = cnp.PyArray_NDIM(a)
    for i in range(ndim):
        shape[i] = cnp.PyArray_DIM(a, i)
    if packed:
        shape[ndim - 1] = packed_length(shape[ndim - 1], bits)
    q = output_for(out, a, ndim, shape, array_type_of_code[<int> FQ_u8 if packed else code], packed)
    if q is None:
        return NotImplemented
    lo, hi = one_for_each_set(&g, arithmetic_type(real)), one_for_each_set(&g, arithmetic_type(real))
    scales, zero_points = one_for_each_set(&g, cnp.NPY_FLOAT32), one_for_each_set(&g, cnp.NPY_INT32)
    wide = scales if arithmetic_type(real) == cnp.NPY_FLOAT32 else one_for_each_set(&g, cnp.NPY_FLOAT64)
    # One pass over x writes codes before it has seen all of x. Only a new array may be left half-written by an error. And
    # it does not cut a range into parts for threads.
    if out is None and g.rank > 0 and quantize_fused(a, <cnp.ndarray> q, (lo, hi, scales, zero_points, wide), real, code,
                                                     packed, &g, scheme):
        return named(Quantized, (q, scales, zero_points))
    if not find_extremes(a, real, lo, hi, &g) or not parameters_of_all(lo, hi, scheme, scales, zero_points, wide):
        return NotImplemented
    if real_of_array(a) != real or code_of_array(q) != (FQ_u8 if packed else code):  # another thread may have run
        raise changed()
    begin_walk(&w)
    set_side(&w.src, a, 0)
    set_side(&w.dst, <cnp.ndarray> q, bits if packed else 0)
    set_arrays(open_stage(&w, FQ_quantize, real, code, 8 // bits if packed else 1), (wide, zero_points, None), &g)
    close_stage(&w, FQ_quantize)
    w.stage[0].tile.stream = streams(a, <cnp.ndarray> q)
    cover(&w, a, a, q, &g)
    return named(Quantized, (q, of_grid(scales, &g), of_grid(zero_points, &g)))
