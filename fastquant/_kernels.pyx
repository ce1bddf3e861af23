# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, binding=True, autotestdict=False
# cython: freethreading_compatible=True
"""The kernels' entry points.

Who calls whom, for one array:

    fq.quantize(x, scale)          is `quantize` in _calls.pxi. Arguments of the plainest kind (a C-contiguous array of
                                   reals, a Python or NumPy number for each parameter) are read in C (_plain.pxi), and
                                   the span is called at once: that is the whole cost of a small call.
    granular(...)                  in _granular.pxi, and _ranges.pxi for ranges, read the other calls whose arguments are
                                   plain in C as well: strides, axes, blocks, packing, offsets.
    _api.quantize(...)             takes every other call: lists, tensors, parameters of other types, and all errors. It
                                   checks the arguments and calls run(...) in _general.pxi. Both look at how the arrays
                                   lie in memory and walk over them in tiles (_walk.pxi), handing each to
    a span                         from the table of the active target (src/spans.h).

The GIL is released from RELEASE_GIL_FROM elements on, and nothing relies on it: what calls share is in C, behind a lock or
an atomic pointer (src/threads.c, src/dispatch.c), or is written at import only. What nobody can do without the GIL is to
watch arrays that another thread reshapes or resizes; NumPy does not either. No typed memoryviews here: taking one costs more than a small call.
"""

cimport cython
cimport numpy as cnp
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact
from cpython.dict cimport PyDict_GetItemWithError
from cpython.long cimport PyLong_AsLongLongAndOverflow, PyLong_CheckExact
from cpython.object cimport PyObject
from cpython.pycapsule cimport PyCapsule_New
from cpython.ref cimport Py_INCREF
from cpython.tuple cimport PyTuple_CheckExact
from cpython.unicode cimport PyUnicode_CheckExact
from libc.math cimport INFINITY, floor, floorf
from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int8_t, int16_t, int32_t, uint8_t, uint16_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy, memset

import ml_dtypes
import numpy as np

# Not looked up in the module, which is empty when the last finalizers make calls.
cdef type QParams, Quantized, Range
from fastquant._results import QParams, Quantized, Range

cnp.import_array()

include "_portable.pxi"

cdef extern from "numpy/arrayobject.h" nogil:
    bint PyArray_ISCARRAY(cnp.ndarray)
    bint PyArray_ISCARRAY_RO(cnp.ndarray)

cdef extern from "numpy/arrayobject.h":
    object PyArray_Scalar(void *data, cnp.dtype descr, object base)
    object PyArray_NewFromDescr(type subtype, cnp.dtype descr, int ndim, const cnp.npy_intp *shape,
                                const cnp.npy_intp *strides, void *data, int flags, object like)

cdef extern from "numpy/arrayscalars.h" nogil:
    ctypedef struct PyFloatScalarObject:
        float obval
    ctypedef struct PyDoubleScalarObject:
        double obval
    ctypedef struct PyIntScalarObject:
        int obval
    ctypedef struct PyLongLongScalarObject:
        long long obval
    ctypedef struct PyByteScalarObject:
        signed char obval
    ctypedef struct PyUByteScalarObject:
        unsigned char obval

cdef enum:
    # Releasing it and taking it back costs 75 ns, a twentieth of the work on this many elements (Zen 2, avx2).
    RELEASE_GIL_FROM = 16384

cdef ptrdiff_t stream_from_bytes = 32 << 20

cdef object float32_type = np.float32
cdef object float64_type = np.float64
cdef object int32_type = np.int32  # PyIntScalarObject is its layout, whichever C type of 32 bits it stands for
cdef object int64_type = np.int64  # PyLongLongScalarObject, likewise
cdef object int8_type = np.int8
cdef object uint8_type = np.uint8
cdef cnp.dtype float32_dtype = np.dtype(np.float32)
cdef cnp.dtype int32_dtype = np.dtype(np.int32)
cdef object _api = None


# ---- targets ----

fq_fill_float_values()
fill_portable_table()
fq_merge_tables()

# Asked once: virtual machines take 20 us and more to tell what their CPU has.
cdef dict target_numbers = {fq_target_name(t).decode(): t for t in range(fq_target_count()) if fq_target_runs_here(t)}


def targets():
    """Names of the targets of this build that this CPU can run, the best last."""
    return tuple(target_numbers)


def active():
    """Name of the target in use."""
    return fq_target_name(fq_active_target()).decode()


def compiler():
    """Name and version of what compiled the kernels, "" where it does not say."""
    return fq_compiler.decode().strip()


def activate(str name):
    """Use a target from now on, in every thread; a call under way ends with the target it began with."""
    if name not in target_numbers:
        raise ValueError(f"target: got {name!r}, expected one of {', '.join(targets())}")
    fq_activate(target_numbers[name])


def set_stream_from(ptrdiff_t nbytes):
    """Outputs of calls that move at least so many bytes are stored past the caches."""
    global stream_from_bytes
    stream_from_bytes = nbytes


def code_types():
    """Rows of the list of code types: (NumPy name, lowest, highest, bits, is a float). The limits of integers are
    integers; the last row is int32, which is only read."""
    rows = []
    for c in range(FQ_CODE_COUNT):
        name, bits = fq_code_types[c].name.decode(), fq_code_types[c].bits
        if fq_code_types[c].is_float:
            largest = fq_float_values[c][fq_float_types[c].largest]
            rows.append((name, -largest, largest, bits, True))
        else:
            rows.append((name, fq_code_types[c].lowest, fq_code_types[c].highest, bits, False))
    return tuple(rows)


def real_types():
    """Rows of the list of real types: (NumPy name, whether its arithmetic is that of float64)."""
    return tuple([(fq_real_types[r].name.decode(), bool(fq_real_types[r].is_double)) for r in range(FQ_REAL_COUNT)])


def spans(str target):
    """The span table of a target, for tests: {(kernel, real type, code type): (address, is its own)}."""
    cdef int t = target_numbers[target]
    cdef const fq_span_table *table = fq_target_table(t)
    cdef int op, real, code
    rows = {}
    for op in range(FQ_OP_COUNT):
        for real in range(FQ_REAL_COUNT):
            for code in range(FQ_CODE_COUNT):
                span = table[0][op][real][code]
                if span != NULL:
                    own = t == 0 or span != fq_portable_spans[op][real][code]
                    key = (fq_op_names[op].decode(), fq_real_types[real].name.decode(), fq_code_types[code].name.decode())
                    rows[key] = (<size_t> span, own)
    return rows


# For native code: include/fastquant.h says what is in it.
c_api = PyCapsule_New(<void *> &fq_api, "fastquant._kernels.c_api", NULL)


# ---- types of arrays ----

cdef int[FQ_CODE_COUNT] array_type_of_code
cdef int[FQ_REAL_COUNT] array_type_of_real
cdef dict code_of_name = {}

cdef void list_types():
    for code, row in enumerate(code_types()):
        dtype = np.dtype(getattr(ml_dtypes, row[0], row[0]))
        array_type_of_code[<int> code] = dtype.num
        code_of_name.update({row[0]: code, dtype.type: code, dtype: code})
    del code_of_name["int32"], code_of_name[np.int32], code_of_name[np.dtype(np.int32)]
    for real, row in enumerate(real_types()):
        array_type_of_real[<int> real] = np.dtype(getattr(ml_dtypes, row[0], row[0])).num

list_types()


cdef inline int code_of_array(object a) noexcept:
    """The code type of an array, or -1."""
    cdef int code
    if cnp.PyArray_CheckExact(a):
        for code in range(FQ_CODE_COUNT):
            if array_type_of_code[code] == cnp.PyArray_TYPE(<cnp.ndarray> a):
                return code
    return -1


cdef inline int real_of_array(object a) noexcept:
    """The real type of an array, or -1."""
    cdef int real
    if cnp.PyArray_CheckExact(a):
        for real in range(FQ_REAL_COUNT):
            if array_type_of_real[real] == cnp.PyArray_TYPE(<cnp.ndarray> a):
                return real
    return -1


include "_memory.pxi"
include "_walk.pxi"
include "_split.pxi"
include "_grid.pxi"
include "_plain.pxi"


# ---- from plain calls to _api, and back ----

cdef inline bint flag(object value, str argument) except -1:
    """A truth value that is one. Reading any other's could run anybody's code, and "no" is true."""
    if value is True or value is False:
        return value is True
    if isinstance(value, np.bool_):
        return bool(value)
    raise TypeError(f"{argument}: got {value!r}, expected True or False")


cdef object general(str name, tuple arguments):
    """The call that is not plain, in the module that takes those; it imports this one, hence the late import."""
    global _api
    cdef fq_fpenv env
    if _api is None:
        from fastquant import _api as module
        _api = module
    env = fq_fpenv_enter()  # for what NumPy rounds there
    try:
        return getattr(_api, name)(*arguments)
    finally:
        fq_fpenv_leave(env)


def under_defaults(function, *arguments):
    """A function's result, where arithmetic is that of IEEE's defaults: for what NumPy rounds in it."""
    cdef fq_fpenv env = fq_fpenv_enter()
    try:
        return function(*arguments)
    finally:
        fq_fpenv_leave(env)


cdef inline object float32_scalar(float v):
    return PyArray_Scalar(&v, float32_dtype, None)


cdef inline object int32_scalar(int v):
    return PyArray_Scalar(&v, int32_dtype, None)


cdef inline object named(type kind, tuple values):
    """A NamedTuple of the values. Its own __new__ is Python code and takes longer than a small kernel."""
    return tuple.__new__(kind, values)


# ---- walks ----

include "_dlpack.pxi"
include "_granular.pxi"
include "_general.pxi"
include "_ranges.pxi"
include "_bare.pxi"


# ---- the public functions ----

include "_calls.pxi"
include "_quantizers.pxi"


def first_not_scale(cnp.ndarray scales):
    """Flat index of the first element that is not finite and > 0, or -1. Contiguous float32 or float64."""
    cdef ptrdiff_t i, n = cnp.PyArray_SIZE(scales)
    cdef const void *a = cnp.PyArray_DATA(scales)
    cdef bint single = cnp.PyArray_TYPE(scales) == cnp.NPY_FLOAT32
    if fq_are_scales_f32(<const float *> a, n) if single else fq_are_scales_f64(<const double *> a, n):
        return -1
    for i in range(n):
        if not (fq_are_scales_f32(<const float *> a + i, 1) if single else fq_are_scales_f64(<const double *> a + i, 1)):
            return i


def qparams_of(lo, hi, double lowest, double highest, bint symmetric, bint include_zero):
    """Scales (float32) and zero points (int32) of float64 arrays lo and hi (C-contiguous, one shape, finite, lo <= hi).

    Third: the flat index of the first range that has no scale or no zero point and why, or None.
    """
    cdef fq_scheme scheme
    cdef cnp.ndarray scales = np.empty((<object> lo).shape, np.float32)
    cdef cnp.ndarray zero_points = np.empty((<object> lo).shape, np.int32)
    cdef const double *low = <const double *> cnp.PyArray_DATA(<cnp.ndarray?> lo)
    cdef const double *high = <const double *> cnp.PyArray_DATA(<cnp.ndarray?> hi)
    cdef float *scale = <float *> cnp.PyArray_DATA(scales)
    cdef int32_t *zero_point = <int32_t *> cnp.PyArray_DATA(zero_points)
    cdef ptrdiff_t i, n = cnp.PyArray_SIZE(scales), failed = -1
    cdef int status = FQ_RANGE_OK
    cdef fq_fpenv env

    scheme.lowest, scheme.highest = lowest, highest
    scheme.symmetric, scheme.include_zero = symmetric, include_zero
    with nogil:
        env = fq_fpenv_enter()
        for i in range(n):
            status = fq_qparams_f64(low + i, high + i, 1, &scheme, scale + i, zero_point + i)
            if status != FQ_RANGE_OK:
                failed = i
                break
        fq_fpenv_leave(env)
    if failed < 0:
        return scales, zero_points, None
    return scales, zero_points, (failed, "scale" if status == FQ_RANGE_TOO_WIDE else "zero point")


def set_threads(int n):
    """How many threads a call may use."""
    fq_set_threads(n)


def threads():
    """How many threads a call may use."""
    return fq_threads()
