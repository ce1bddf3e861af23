# Reading the arguments of plain calls, in C and without running anybody's Python code. Each function says False, or -1,
# for whatever _api.py should look at. Included by _kernels.pyx.


cdef inline bint is_plain(object a, int type_number):
    return (cnp.PyArray_CheckExact(a) and cnp.PyArray_TYPE(<cnp.ndarray> a) == type_number
            and PyArray_ISCARRAY_RO(<cnp.ndarray> a))


cdef inline bint is_single(object a):
    """A plain array of shape () or (1,), as ONNX gives scales and zero points."""
    return (cnp.PyArray_CheckExact(a) and cnp.PyArray_NDIM(<cnp.ndarray> a) <= 1
            and cnp.PyArray_SIZE(<cnp.ndarray> a) == 1 and PyArray_ISCARRAY_RO(<cnp.ndarray> a))


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
    """The code type that NumPy gave a plain zero point, or -1."""
    if type(zero_point) is int8_type:
        return FQ_i8
    if type(zero_point) is uint8_type:
        return FQ_u8
    return code_of_array(zero_point)


cdef int[FQ_CODE_COUNT] array_type_of_code
cdef dict code_of_name = {}

cdef void list_code_types():
    for code, (name, _, _) in enumerate(code_types()):
        dtype = np.dtype(name)
        array_type_of_code[<int> code] = dtype.num
        code_of_name.update({name: code, dtype.type: code, dtype: code})

list_code_types()


cdef inline int code_of_array(object a):
    """The code type of an array, or -1."""
    cdef int code
    if cnp.PyArray_CheckExact(a):
        for code in range(FQ_CODE_COUNT):
            if array_type_of_code[code] == cnp.PyArray_TYPE(<cnp.ndarray> a):
                return code
    return -1


cdef inline int read_code(object dtype):
    """The code type that dtype names; -1 for what is not plain."""
    # Only what hashes without running Python code.
    if not (PyUnicode_CheckExact(dtype) or type(dtype) is type or cnp.PyArray_DescrCheck(dtype)):
        return -1
    cdef PyObject *found = PyDict_GetItemWithError(code_of_name, dtype)
    return -1 if found is NULL else <int> <object> found


cdef inline bint is_float32(object dtype):
    return dtype == "float32" if type(dtype) is str else dtype is float32_type or dtype is float32_dtype


cdef inline bint read_affine(fq_affine *p, object scale, object zero_point, object offset, int code):
    """The parameters of a plain call, in float32."""
    cdef fq_fpenv env = fq_fpenv_enter()
    cdef bint plain = code >= 0 and read_number(scale, &p.scale) and read_zero_point(zero_point, &p.zero_point)
    p.offset = 0
    if plain and offset is not None:
        plain = p.zero_point == 0 and read_number(offset, &p.offset)
    if plain:
        p.scale = <float> p.scale
        p.offset = <float> p.offset
        plain = 0 < p.scale < INFINITY and -INFINITY < p.offset < INFINITY
    fq_fpenv_leave(env)
    if not plain:
        return False
    p.real = FQ_f32
    set_code_type(p, code)
    p.far = fq_is_far(p.zero_point)
    return True


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
    return cnp.PyArray_EMPTY(cnp.PyArray_NDIM(a), cnp.PyArray_DIMS(a), type_number, 0)
