# Calls with an axis, blocks, packed codes or an array of any layout whose other arguments are plain: read in C, like
# those of _plain.pxi, and handed to the walk. NotImplemented for whatever _api.py should look at. Included by
# _kernels.pyx.

cdef struct numbers_t:     # scales or offsets: an array, or a single number
    const void *data
    bint full
    double value
    float single

cdef struct parameters_t:
    numbers_t scales, offsets
    bint has_offsets
    const int32_t *zero_points
    bint full_zero_points   # or a single one:
    int32_t zero_point
    bint far


cdef struct ruled_t:       # what the rules of other libraries have besides: see _rules.py
    int rule, precision    # FQ_f32: that of the reals; FQ_f64: arithmetic in float64; or rounded to a half type
    bint limited
    int32_t lowest, highest


cdef bint any_far(const int32_t *zero_points, ptrdiff_t n, int code) noexcept nogil:
    cdef ptrdiff_t i
    cdef int far = 0, bits = fq_code_types[code].bits
    for i in range(n):  # without a branch, so that compilers use vectors
        far |= fq_is_far(zero_points[i], bits)
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


cdef object as_read(object parameter, int kind):
    """Arrays of float64 and int64, which NumPy makes by itself, in the type of that kind that is read: float32 or int32.
    What does not fit, and all else, as it is."""
    cdef cnp.ndarray a, b
    cdef const int64_t *integers
    cdef ptrdiff_t i, n
    cdef int64_t lost = 0
    cdef fq_fpenv env
    if (not is_plain(parameter) or cnp.PyArray_NDIM(<cnp.ndarray> parameter) == 0
            or cnp.PyArray_TYPE(<cnp.ndarray> parameter) != (cnp.NPY_FLOAT64 if kind == cnp.NPY_FLOAT32 else cnp.NPY_INT64)):
        return parameter
    a = <cnp.ndarray> parameter
    b = new_array(cnp.PyArray_NDIM(a), cnp.PyArray_DIMS(a), kind)
    n = cnp.PyArray_SIZE(a)
    if kind == cnp.NPY_FLOAT32:
        env = fq_fpenv_enter()
        for i in range(n):
            fq_round_f32(&(<const double *> cnp.PyArray_DATA(a))[i], &(<float *> cnp.PyArray_DATA(b))[i])
        fq_fpenv_leave(env)
        return b
    integers = <const int64_t *> cnp.PyArray_DATA(a)
    for i in range(n):
        (<int32_t *> cnp.PyArray_DATA(b))[i] = <int32_t> integers[i]
        lost |= integers[i] - <int32_t> integers[i]
    return parameter if lost else b


cdef bint read_numbers(numbers_t *p, object value, const grid_t *g, bint wide, bint scales):
    """Scales or offsets, in the arithmetic type: a number, or an array of one for each set."""
    cdef ptrdiff_t n = 1
    p.full = is_full(value, g, cnp.NPY_FLOAT64 if wide else cnp.NPY_FLOAT32)
    if p.full:
        p.data, n = cnp.PyArray_DATA(<cnp.ndarray> value), g.sets
    else:
        if not read_number(value, &p.value):
            return False
        fq_round_f32(&p.value, &p.single)
        p.data = <const void *> &p.value if wide else <const void *> &p.single
    if wide:
        return fq_are_scales_f64(<double *> p.data, n) if scales else fq_are_finite_f64(<double *> p.data, n)
    return fq_are_scales_f32(<float *> p.data, n) if scales else fq_are_finite_f32(<float *> p.data, n)


cdef bint read_parameters(parameters_t *p, object scale, object zero_point, object offset, const grid_t *g, int real,
                          int code, bint both=False):
    """Scales and offsets of the arithmetic type and int32 zero points. both: offsets and zero points go together."""
    cdef bint wide = fq_real_types[real].is_double, plain
    cdef fq_fpenv env
    if not (is_for(scale, g) and is_for(zero_point, g) and is_for(offset, g)):
        return False
    env = fq_fpenv_enter()
    p.has_offsets = offset is not None
    plain = (read_numbers(&p.scales, scale, g, wide, True)
             and (not p.has_offsets or read_numbers(&p.offsets, offset, g, wide, False)))
    fq_fpenv_leave(env)
    if not plain:
        return False
    p.full_zero_points = is_full(zero_point, g, cnp.NPY_INT32)
    if p.full_zero_points:
        p.zero_points = <const int32_t *> cnp.PyArray_DATA(<cnp.ndarray> zero_point)
        plain = not (fq_code_types[code].is_float or p.has_offsets and not both) or all_zero(p.zero_points, g.sets)
        p.far = plain and code != FQ_i32 and any_far(p.zero_points, g.sets, code)
    else:
        plain = read_zero_point(zero_point, &p.zero_point)
        plain = plain and (p.zero_point == 0 or not (fq_code_types[code].is_float or p.has_offsets and not both))
        p.zero_points = &p.zero_point
        p.far = plain and code != FQ_i32 and fq_is_far(p.zero_point, fq_code_types[code].bits)
    return plain


cdef inline void bounds_of(cnp.ndarray a, size_t *low, size_t *high) noexcept:
    """The addresses from the first byte of the array, in whatever order its elements lie, to behind its last."""
    cdef int axis
    cdef ptrdiff_t way
    low[0] = high[0] = <size_t> cnp.PyArray_BYTES(a)
    if cnp.PyArray_SIZE(a) == 0:
        return
    for axis in range(cnp.PyArray_NDIM(a)):
        way = (cnp.PyArray_DIM(a, axis) - 1) * cnp.PyArray_STRIDE(a, axis)
        if way < 0:
            low[0] += <size_t> way
        else:
            high[0] += <size_t> way
    high[0] += <size_t> cnp.PyArray_ITEMSIZE(a)


cdef inline bint apart(cnp.ndarray a, object b) noexcept:
    """Arrays, or an array and a number, that share no memory: there is a place between them."""
    cdef size_t a_low, a_high, b_low, b_high
    if not cnp.PyArray_CheckExact(b):
        return True
    bounds_of(a, &a_low, &a_high)
    bounds_of(<cnp.ndarray> b, &b_low, &b_high)
    return a_high <= b_low or b_high <= a_low


cdef bint has_own_places(cnp.ndarray a) noexcept:
    """No two elements share memory, as far as steps tell: each is as long as what the shorter ones reach. Threads would
    write such a place at once."""
    cdef ptrdiff_t reach = cnp.PyArray_ITEMSIZE(a), step, shortest, length
    cdef uint64_t seen = 0
    cdef int axis, found
    if cnp.PyArray_IS_C_CONTIGUOUS(a) or cnp.PyArray_SIZE(a) == 0:
        return True
    while True:
        found = -1
        shortest = length = 0
        for axis in range(cnp.PyArray_NDIM(a)):
            step = cnp.PyArray_STRIDE(a, axis)
            step = -step if step < 0 else step
            if cnp.PyArray_DIM(a, axis) > 1 and not seen >> axis & 1 and (found < 0 or step < shortest):
                found, shortest, length = axis, step, cnp.PyArray_DIM(a, axis)
        if found < 0:
            return True
        if shortest < reach:
            return False
        seen |= <uint64_t> 1 << found
        reach += shortest * (length - 1)


cdef inline object output_for(object out, cnp.ndarray src, int ndim, cnp.npy_intp *shape, int type_number, bint packed):
    """A new array, or out if it is one of that shape and type that shares no memory with src or is src; or None."""
    if out is None:
        return new_array(ndim, shape, type_number)
    if not (cnp.PyArray_CheckExact(out) and cnp.PyArray_TYPE(<cnp.ndarray> out) == type_number
            and cnp.PyArray_ISWRITEABLE(<cnp.ndarray> out) and cnp.PyArray_NDIM(<cnp.ndarray> out) == ndim):
        return None
    if packed and not PyArray_ISCARRAY(<cnp.ndarray> out) or not has_own_places(<cnp.ndarray> out):
        return None
    if ndim > 0 and memcmp(cnp.PyArray_DIMS(<cnp.ndarray> out), shape, ndim * sizeof(cnp.npy_intp)):
        return None
    if apart(<cnp.ndarray> out, src):
        return out
    same = cnp.PyArray_BYTES(<cnp.ndarray> out) == cnp.PyArray_BYTES(src) and type_number == cnp.PyArray_TYPE(src)
    return out if same and is_plain(src) and PyArray_ISCARRAY(<cnp.ndarray> out) else None


cdef inline bint all_apart(object out, object a, object b, object c, object d) noexcept:
    """Parameters that writing to out does not change."""
    return out is None or (apart(<cnp.ndarray> out, a) and apart(<cnp.ndarray> out, b) and apart(<cnp.ndarray> out, c)
                           and apart(<cnp.ndarray> out, d))


cdef object granular(int op, object src, int real, int code, object scale, object zero_point, object offset, object axis,
                     object block_size, bint packed, bint beyond, object out, const ruled_t *ruled=NULL):
    """quantize, dequantize or fake_quantize. packed: the codes are, in src or in the result. beyond: do not saturate.
    ruled: another rule than fastquant's own."""
    cdef walk_t w
    cdef grid_t g
    cdef parameters_t p
    cdef cnp.npy_intp[MAX_DIMS] shape  # of the codes as such, then of the result
    cdef cnp.ndarray full, a, b
    cdef int i, ndim, bits, made
    cdef ptrdiff_t each
    cdef int arithmetic = FQ_f64 if ruled != NULL and ruled.precision == FQ_f64 else real
    if arithmetic >= 0 and not fq_real_types[arithmetic].is_double:
        scale, offset = as_read(scale, cnp.NPY_FLOAT32), as_read(offset, cnp.NPY_FLOAT32)
    zero_point = as_read(zero_point, cnp.NPY_INT32)
    if ruled != NULL and real >= 0 and code >= 0:
        check_rule(op, real, code, ruled)
    if real < 0 or code < 0 or not cnp.PyArray_CheckExact(src) or beyond and not fq_code_types[code].is_float:
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
    if (not read_grid(&g, ndim, shape, axis, block_size)
            or not read_parameters(&p, scale, zero_point, offset, &g, arithmetic, code, ruled != NULL)):
        return NotImplemented
    made = array_type_of_real[real]
    if op == FQ_quantize:
        made = array_type_of_code[<int> FQ_u8 if packed else code]
    if packed and op == FQ_quantize:
        shape[ndim - 1] = packed_length(shape[ndim - 1], bits)
    result = output_for(out, a, ndim, shape, made, packed and op == FQ_quantize)
    if result is None or not all_apart(out, scale, zero_point, offset, None):
        return NotImplemented
    b = <cnp.ndarray> result
    full = b if op == FQ_dequantize else a
    if cnp.PyArray_SIZE(full) > 0:
        begin_walk(&w)
        set_side(&w.src, a, bits if op == FQ_dequantize else 0)
        set_side(&w.dst, b, bits if op == FQ_quantize else 0)
        set_parameters_of(open_stage(&w, op, arithmetic, code, each), &p)
        close_stage(&w, op)
        if arithmetic != real:
            convert_side(&w.dst if op == FQ_dequantize else &w.src, real)
        if ruled != NULL:
            set_rule(&w.stage[0].tile, ruled)
        w.stage[0].tile.beyond = beyond
        w.stage[0].tile.stream = streams(a, b)
        cover(&w, full, a, b, &g)
    return result


cdef object granular_pair(object src, int code, object scale, object zero_point, object new_scale, object new_zero_point,
                          object axis, object out):
    """requantize."""
    cdef walk_t w
    cdef grid_t g
    cdef parameters_t old, new
    cdef int old_code = code_of_array(src)
    if old_code < 0 or code < 0:
        return NotImplemented
    cdef cnp.ndarray a = <cnp.ndarray> src
    if (not read_grid(&g, cnp.PyArray_NDIM(a), cnp.PyArray_DIMS(a), axis, None)
            or not read_parameters(&old, scale, zero_point, None, &g, FQ_f32, old_code)
            or not read_parameters(&new, new_scale, new_zero_point, None, &g, FQ_f32, code)):
        return NotImplemented
    result = output_for(out, a, cnp.PyArray_NDIM(a), cnp.PyArray_DIMS(a), array_type_of_code[code], False)
    if result is None or not all_apart(out, scale, zero_point, new_scale, new_zero_point):
        return NotImplemented
    if cnp.PyArray_SIZE(a) > 0:
        begin_walk(&w)
        set_side(&w.src, a, 0)
        set_side(&w.dst, <cnp.ndarray> result, 0)
        set_parameters_of(open_stage(&w, FQ_dequantize, FQ_f32, old_code, 1), &old)
        close_stage(&w, FQ_dequantize)
        set_parameters_of(open_stage(&w, FQ_quantize, FQ_f32, code, 1), &new)
        close_stage(&w, FQ_quantize)
        cover(&w, a, a, result, &g)
    return result


cdef int repack_plain(cnp.ndarray src, cnp.ndarray dst, int code, bint unpack) except -1:
    """4- or 2-bit codes to packed bytes or back; the arrays have the shapes and types for it."""
    cdef walk_t w
    cdef grid_t g
    cdef int bits = fq_code_types[code].bits, op = FQ_unpack if unpack else FQ_pack
    cdef cnp.ndarray full = dst if unpack else src
    read_grid(&g, cnp.PyArray_NDIM(full), cnp.PyArray_DIMS(full), None, None)
    begin_walk(&w)
    set_side(&w.src, src, bits if unpack else 0)
    set_side(&w.dst, dst, 0 if unpack else bits)
    open_stage(&w, op, FQ_f32, code, 8 // bits)
    close_stage(&w, op)
    cover(&w, full, src, dst, &g)
    return 0


cdef object pack_plain(object q):
    cdef cnp.npy_intp[MAX_DIMS] shape
    cdef int i, code = code_of_array(q), ndim, bits
    if code < 0 or fq_code_types[code].bits not in (4, 2) or cnp.PyArray_NDIM(<cnp.ndarray> q) == 0:
        return NotImplemented
    ndim, bits = cnp.PyArray_NDIM(<cnp.ndarray> q), fq_code_types[code].bits
    for i in range(ndim):
        shape[i] = cnp.PyArray_DIM(<cnp.ndarray> q, i)
    shape[ndim - 1] = packed_length(shape[ndim - 1], bits)
    packed = new_array(ndim, shape, cnp.NPY_UINT8)
    repack_plain(<cnp.ndarray> q, packed, code, False)
    return packed


cdef object unpack_plain(object p, int code, object shape):
    """shape: a tuple, or an integer for one dimension."""
    cdef cnp.npy_intp[MAX_DIMS] lengths
    cdef int i, ndim
    cdef ptrdiff_t n
    if (code < 0 or fq_code_types[code].bits not in (4, 2) or not cnp.PyArray_CheckExact(p)
            or cnp.PyArray_TYPE(<cnp.ndarray> p) != cnp.NPY_UINT8):
        return NotImplemented
    if not PyTuple_CheckExact(shape):
        shape = (shape,)
    ndim = cnp.PyArray_NDIM(<cnp.ndarray> p)
    if ndim == 0 or len(<tuple> shape) != ndim:
        return NotImplemented
    for i in range(ndim):
        if not PyLong_CheckExact((<tuple> shape)[i]):
            return NotImplemented
        lengths[i] = small_integer((<tuple> shape)[i])
        n = packed_length(lengths[i], fq_code_types[code].bits) if i == ndim - 1 else lengths[i]
        if lengths[i] < 0 or n != cnp.PyArray_DIM(<cnp.ndarray> p, i):
            return NotImplemented
    if cnp.PyArray_DIM(<cnp.ndarray> p, ndim - 1) > 1 and cnp.PyArray_STRIDE(<cnp.ndarray> p, ndim - 1) != 1:
        return NotImplemented
    codes = new_array(ndim, lengths, array_type_of_code[code])
    repack_plain(<cnp.ndarray> p, codes, code, True)
    return codes
