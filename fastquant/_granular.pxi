# Calls with an axis, blocks, packed codes or an array of any layout whose other arguments are plain: read in C, like
# those of _plain.pxi, and handed to the walk. NotImplemented for whatever _api.py should look at. Included by
# _kernels.pyx.

cdef struct parameters_t:
    const void *scales
    const int32_t *zero_points
    bint full_scales, full_zero_points   # or a single value, one of these:
    double scale
    float single_scale
    int32_t zero_point
    bint far


cdef inline bint is_scale(double v) noexcept nogil:
    return 0 < v < INFINITY


cdef bint are_scales(const void *scales, ptrdiff_t n, bint wide) noexcept nogil:
    if wide:
        return fq_are_scales_f64(<const double *> scales, n)
    return fq_are_scales_f32(<const float *> scales, n)


cdef bint any_far(const int32_t *zero_points, ptrdiff_t n) noexcept nogil:
    cdef ptrdiff_t i
    cdef int far = 0
    for i in range(n):  # without a branch, so that compilers use vectors
        far |= fq_is_far(zero_points[i])
    return far


cdef bint all_zero(const int32_t *zero_points, ptrdiff_t n) noexcept nogil:
    cdef ptrdiff_t i
    cdef int32_t some = 0
    for i in range(n):
        some |= zero_points[i]
    return some == 0


cdef inline bint is_for(object parameter, const grid_t *g):
    """Not an array of another shape: (1,) is that of a single parameter only where there are no others."""
    return (not cnp.PyArray_CheckExact(parameter) or g.rank == 0 or cnp.PyArray_NDIM(<cnp.ndarray> parameter) == 0
            or has_shape_of(<cnp.ndarray> parameter, g))


cdef inline bint is_full(object parameter, const grid_t *g, int kind):
    """One for each set, of that type and ready to be read where it is."""
    return (g.rank > 0 and is_plain(parameter) and cnp.PyArray_NDIM(<cnp.ndarray> parameter) > 0
            and cnp.PyArray_TYPE(<cnp.ndarray> parameter) == kind)


cdef bint read_parameters(parameters_t *p, object scale, object zero_point, const grid_t *g, int real, int code):
    """Scales of the arithmetic type and int32 zero points: a number, or an array of one for each set."""
    cdef bint wide = fq_real_types[real].is_double, plain
    cdef int kind = cnp.NPY_FLOAT64 if wide else cnp.NPY_FLOAT32
    cdef fq_fpenv env
    if not (is_for(scale, g) and is_for(zero_point, g)):
        return False
    env = fq_fpenv_enter()
    p.full_scales = is_full(scale, g, kind)
    if p.full_scales:
        p.scales = cnp.PyArray_DATA(<cnp.ndarray> scale)
        plain = are_scales(p.scales, g.sets, wide)
    else:
        plain = read_number(scale, &p.scale)
        if plain:
            fq_round_f32(&p.scale, &p.single_scale)
            plain = is_scale(p.scale if wide else p.single_scale)
        p.scales = <const void *> &p.scale if wide else <const void *> &p.single_scale
    fq_fpenv_leave(env)
    if not plain:
        return False
    p.full_zero_points = is_full(zero_point, g, cnp.NPY_INT32)
    if p.full_zero_points:
        p.zero_points = <const int32_t *> cnp.PyArray_DATA(<cnp.ndarray> zero_point)
        plain = not fq_code_types[code].is_float or all_zero(p.zero_points, g.sets)  # as qparams gives them
        p.far = plain and code != FQ_i32 and any_far(p.zero_points, g.sets)
    else:
        plain = read_zero_point(zero_point, &p.zero_point) and not (fq_code_types[code].is_float and p.zero_point != 0)
        p.zero_points = &p.zero_point
        p.far = plain and code != FQ_i32 and fq_is_far(p.zero_point)
    return plain


cdef inline bint apart(cnp.ndarray a, object b) noexcept:
    """Plain arrays, or a number, that share no memory."""
    if not cnp.PyArray_CheckExact(b):
        return True
    cdef char *p = cnp.PyArray_BYTES(a)
    cdef char *q = cnp.PyArray_BYTES(<cnp.ndarray> b)
    return p + cnp.PyArray_NBYTES(a) <= q or q + cnp.PyArray_NBYTES(<cnp.ndarray> b) <= p


cdef inline object output_for(object out, cnp.ndarray src, int ndim, cnp.npy_intp *shape, int type_number):
    """A new array, or out if it is a plain one of that shape and type beside a plain src; or None."""
    if out is None:
        return cnp.PyArray_EMPTY(ndim, shape, type_number, 0)
    if not (cnp.PyArray_CheckExact(out) and cnp.PyArray_TYPE(<cnp.ndarray> out) == type_number
            and PyArray_ISCARRAY(<cnp.ndarray> out) and is_plain(src) and cnp.PyArray_NDIM(<cnp.ndarray> out) == ndim):
        return None
    if ndim > 0 and memcmp(cnp.PyArray_DIMS(<cnp.ndarray> out), shape, ndim * sizeof(cnp.npy_intp)):
        return None
    if apart(<cnp.ndarray> out, src):
        return out
    same = cnp.PyArray_BYTES(<cnp.ndarray> out) == cnp.PyArray_BYTES(src) and type_number == cnp.PyArray_TYPE(src)
    return out if same else None


cdef object granular(int op, object src, int real, int code, object scale, object zero_point, object axis,
                     object block_size, bint packed, object out):
    """quantize, dequantize or fake_quantize without offset. packed: the codes are, in src or in the result."""
    cdef walk_t w
    cdef grid_t g
    cdef parameters_t p
    cdef cnp.npy_intp[MAX_DIMS] shape  # of the codes as such, then of the result
    cdef cnp.ndarray full, a, b
    cdef int i, ndim, bits, made
    cdef ptrdiff_t each
    if real < 0 or code < 0 or not cnp.PyArray_CheckExact(src):
        return NotImplemented
    a = <cnp.ndarray> src
    ndim = cnp.PyArray_NDIM(a)
    bits = fq_code_types[code].bits if packed else 0
    each = 8 // bits if packed else 1
    if packed and (bits not in (4, 2) or ndim == 0 or op == FQ_dequantize and not (is_plain(a) and code_of_array(a) == FQ_u8)):
        return NotImplemented
    for i in range(ndim):
        shape[i] = cnp.PyArray_DIM(a, i)
    if packed and op == FQ_dequantize:  # every code of the last byte; if out says that there are fewer, _api.py sees to it
        if shape[ndim - 1] > (1 << 60):
            return NotImplemented
        shape[ndim - 1] *= each
    if not read_grid(&g, ndim, shape, axis, block_size) or not read_parameters(&p, scale, zero_point, &g, real, code):
        return NotImplemented
    made = array_type_of_real[real]
    if op == FQ_quantize:
        made = array_type_of_code[<int> FQ_u8 if packed else code]
    if packed and op == FQ_quantize:
        shape[ndim - 1] = (shape[ndim - 1] + each - 1) // each
    result = output_for(out, a, ndim, shape, made)
    if result is None or out is not None and not (apart(<cnp.ndarray> out, scale) and apart(<cnp.ndarray> out, zero_point)):
        return NotImplemented
    b = <cnp.ndarray> result
    full = b if op == FQ_dequantize else a
    if cnp.PyArray_SIZE(full) > 0:
        begin_walk(&w)
        set_side(&w.src, a, bits if op == FQ_dequantize else 0)
        set_side(&w.dst, b, bits if op == FQ_quantize else 0)
        set_parameters_of(open_stage(&w, op, real, code, each), &p)
        close_stage(&w, op)
        w.stage[0].tile.stream = streams(a, b)
        cover(&w, full, a, b, &g)
    return result
