# Reading the arguments of plain calls, in C and without running anybody's Python code. Each function says False, or -1,
# for whatever _api.py should look at. Included by _kernels.pyx.


cdef struct plain_t:
    double scale, offset
    float single_scale, single_offset  # the same, rounded
    int32_t zero_point
    bint has_offset
    int real, code


cdef inline bint is_plain(object a) noexcept:
    """Contiguous, aligned and in native byte order."""
    return cnp.PyArray_CheckExact(a) and PyArray_ISCARRAY_RO(<cnp.ndarray> a)


cdef inline bint is_single(object a):
    """A plain array of shape () or (1,), as ONNX gives scales and zero points."""
    return (cnp.PyArray_CheckExact(a) and cnp.PyArray_NDIM(<cnp.ndarray> a) <= 1
            and cnp.PyArray_SIZE(<cnp.ndarray> a) == 1 and PyArray_ISCARRAY_RO(<cnp.ndarray> a))


cdef inline bint has_axes(object a) noexcept:
    """An array whose results are arrays, be it of one number."""
    return cnp.PyArray_Check(a) and cnp.PyArray_NDIM(<cnp.ndarray> a) > 0


cdef inline bint read_integer(object number, double *value):
    cdef int overflow = 0
    cdef long long v = PyLong_AsLongLongAndOverflow(number, &overflow)
    value[0] = <double> v
    return overflow == 0 and -(1LL << 53) <= v <= 1LL << 53


cdef inline bint read_number(object number, double *value):
    if PyFloat_CheckExact(number):
        value[0] = PyFloat_AS_DOUBLE(number)
    elif type(number) is float32_type:
        value[0] = (<PyFloatScalarObject *> number).obval
    elif type(number) is float64_type:
        value[0] = (<PyDoubleScalarObject *> number).obval
    elif PyLong_CheckExact(number):
        return read_integer(number, value)
    elif is_single(number) and cnp.PyArray_TYPE(<cnp.ndarray> number) == cnp.NPY_FLOAT32:
        value[0] = (<float *> cnp.PyArray_DATA(<cnp.ndarray> number))[0]
    elif is_single(number) and cnp.PyArray_TYPE(<cnp.ndarray> number) == cnp.NPY_FLOAT64:
        value[0] = (<double *> cnp.PyArray_DATA(<cnp.ndarray> number))[0]
    else:
        return False
    return True


cdef inline bint read_zero_point(object zero_point, int32_t *value):
    cdef int overflow = 0, code
    cdef long long v
    if PyLong_CheckExact(zero_point):
        v = PyLong_AsLongLongAndOverflow(zero_point, &overflow)
        value[0] = <int32_t> v
        return overflow == 0 and v == value[0]
    if type(zero_point) is int64_type:
        v = (<PyLongLongScalarObject *> zero_point).obval
        value[0] = <int32_t> v
        return v == value[0]
    if type(zero_point) is int32_type:
        value[0] = (<PyIntScalarObject *> zero_point).obval
    elif type(zero_point) is int8_type:
        value[0] = (<PyByteScalarObject *> zero_point).obval
    elif type(zero_point) is uint8_type:
        value[0] = (<PyUByteScalarObject *> zero_point).obval
    elif is_single(zero_point):
        code = code_of_array(zero_point)
        if code == FQ_i8:
            value[0] = (<int8_t *> cnp.PyArray_DATA(<cnp.ndarray> zero_point))[0]
        elif code == FQ_u8:
            value[0] = (<uint8_t *> cnp.PyArray_DATA(<cnp.ndarray> zero_point))[0]
        elif cnp.PyArray_TYPE(<cnp.ndarray> zero_point) == cnp.NPY_INT32:
            value[0] = (<int32_t *> cnp.PyArray_DATA(<cnp.ndarray> zero_point))[0]
        else:
            return False
    else:
        return False
    return True


cdef inline int code_of_zero_point(object zero_point):
    """The code type that NumPy gave a plain zero point, or -1. int32 tells nothing."""
    if type(zero_point) is int8_type:
        return FQ_i8
    if type(zero_point) is uint8_type:
        return FQ_u8
    return code_made_by(zero_point)


cdef inline int code_made_by(object a):
    """The code type of an array that codes may be written to, or -1."""
    cdef int code = code_of_array(a)
    return -1 if code == FQ_i32 else code


cdef inline int read_code(object dtype):
    """The code type that dtype names; -1 for what is not plain."""
    # Only what hashes without running Python code.
    if not (PyUnicode_CheckExact(dtype) or type(dtype) is type or cnp.PyArray_DescrCheck(dtype)):
        return -1
    cdef PyObject *found = PyDict_GetItemWithError(code_of_name, dtype)
    return -1 if found is NULL else <int> <object> found


cdef dict real_of_name = {}

for _real, _row in enumerate(real_types()):
    _dtype = np.dtype(getattr(ml_dtypes, _row[0], _row[0]))
    real_of_name.update({_row[0]: _real, _dtype.type: _real, _dtype: _real})


cdef inline int read_real(object dtype):
    """The real type that dtype names; -1 for what is not plain."""
    if not (PyUnicode_CheckExact(dtype) or type(dtype) is type or cnp.PyArray_DescrCheck(dtype)):
        return -1
    cdef PyObject *found = PyDict_GetItemWithError(real_of_name, dtype)
    return -1 if found is NULL else <int> <object> found


cdef inline bint read_affine(plain_t *p, object scale, object zero_point, object offset, int real, int code):
    """The parameters of a plain call, in the type that its arithmetic runs in."""
    cdef fq_fpenv env = fq_fpenv_enter()
    cdef bint plain = (real >= 0 and code >= 0 and read_number(scale, &p.scale)
                       and read_zero_point(zero_point, &p.zero_point))
    p.real, p.code, p.offset, p.has_offset = real, code, 0, offset is not None
    if plain and p.has_offset:
        plain = p.zero_point == 0 and read_number(offset, &p.offset)
    if plain:
        # Not <float>: a compiler could move that to where the caller's rounding mode is back in force.
        fq_round_f32(&p.scale, &p.single_scale)
        fq_round_f32(&p.offset, &p.single_offset)
        if real == FQ_f64:
            plain = 0 < p.scale < INFINITY and -INFINITY < p.offset < INFINITY
        else:
            plain = 0 < p.single_scale < INFINITY and -INFINITY < p.single_offset < INFINITY
        plain = plain and (p.zero_point == 0 or not fq_code_types[code].is_float)
    fq_fpenv_leave(env)
    return plain


cdef inline void run_tile(fq_span span, fq_tile *t, ptrdiff_t src_size, ptrdiff_t dst_size, bint again) noexcept:
    """A row of elements of these sizes. again: src has just been read."""
    if t.n < RELEASE_GIL_FROM:
        run_row(span, t, src_size, dst_size, again)
    else:
        with nogil:
            run_row(span, t, src_size, dst_size, again)


cdef inline void run_plain(int op, cnp.ndarray src, cnp.ndarray dst, const plain_t *p, bint again=False) noexcept:
    """One row. again: src has just been read."""
    cdef fq_tile t
    cdef bint far = p.code != FQ_i32 and fq_is_far(p.zero_point, fq_code_types[p.code].bits)
    cdef const fq_span_table *table = fq_target_table(0) if far else fq_active_table()
    t.src, t.dst = cnp.PyArray_BYTES(src), cnp.PyArray_BYTES(dst)
    t.rows, t.n, t.src_step, t.dst_step = 1, cnp.PyArray_SIZE(src), 0, 0
    t.scale_step = t.offset_step = t.zero_point_step = t.phase = 0
    t.run = t.packs = 1
    t.room = NULL
    t.zero_points = &p.zero_point
    if p.real == FQ_f64:
        t.scales, t.offsets = &p.scale, &p.offset
    else:
        t.scales, t.offsets = &p.single_scale, &p.single_offset
    if not p.has_offset:
        t.offsets = NULL
    t.lo = t.hi = t.poison = NULL
    t.extent_step = 0
    t.real, t.code, t.far, t.beyond, t.precision, t.rule, t.limited = p.real, p.code, far, False, FQ_f32, FQ_divide, False
    t.stream = <size_t> cnp.PyArray_NBYTES(src) + <size_t> cnp.PyArray_NBYTES(dst) >= <size_t> stream_from_bytes
    run_tile(table[0][op][p.real][p.code], &t, cnp.PyArray_ITEMSIZE(src), cnp.PyArray_ITEMSIZE(dst), again)


cdef inline bint may_write(object out, cnp.ndarray like, int type_number):
    """out is a plain, writable array of that type with the shape of like; it may be like, but not share a part."""
    if not (cnp.PyArray_CheckExact(out) and cnp.PyArray_TYPE(<cnp.ndarray> out) == type_number
            and PyArray_ISCARRAY(<cnp.ndarray> out)):
        return False
    cdef int ndim = cnp.PyArray_NDIM(like)
    if cnp.PyArray_NDIM(<cnp.ndarray> out) != ndim or ndim > 0 and memcmp(
        cnp.PyArray_DIMS(<cnp.ndarray> out), cnp.PyArray_DIMS(like), ndim * sizeof(cnp.npy_intp)
    ):
        return False
    cdef char *a = cnp.PyArray_BYTES(<cnp.ndarray> out)
    cdef char *b = cnp.PyArray_BYTES(like)
    return (a + cnp.PyArray_NBYTES(<cnp.ndarray> out) <= b or b + cnp.PyArray_NBYTES(like) <= a
            or a == b and type_number == cnp.PyArray_TYPE(like))


cdef inline object new_like(cnp.ndarray a, int type_number):
    return new_array(cnp.PyArray_NDIM(a), cnp.PyArray_DIMS(a), type_number)
