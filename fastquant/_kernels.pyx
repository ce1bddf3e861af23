# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, binding=True, autotestdict=False
"""The kernels' entry points, and the loops over rows between them and the spans.

Who calls whom, for one array:

    fq.quantize(x, scale)          is `quantize` below. Arguments of the plainest kind (a C-contiguous float32 array, a
                                   Python or NumPy number for each parameter) are read in C (_plain.pxi), and the span is
                                   called at once: that is the whole cost of a small call.
    _api.quantize(...)             takes every other call: lists, other types, strides, axis, and all errors.
                                   It prepares contiguous arrays and calls
    run(...)                       which loops over rows of one set of parameters and calls
    a span                         from the table of the active target (src/spans.h): a function of one contiguous run.

The GIL is released from RELEASE_GIL_FROM elements on. No typed memoryviews here: taking one costs more than a small call.
"""

cimport numpy as cnp
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact
from cpython.dict cimport PyDict_GetItemWithError
from cpython.long cimport PyLong_AsLongLongAndOverflow, PyLong_CheckExact
from cpython.object cimport PyObject
from cpython.unicode cimport PyUnicode_CheckExact
from libc.math cimport INFINITY
from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int8_t, int32_t, uint8_t
from libc.string cimport memcmp

import numpy as np

from fastquant._results import QParams, Quantized, Range

cnp.import_array()

include "_portable.pxi"

cdef extern from "numpy/arrayobject.h" nogil:
    bint PyArray_ISCARRAY(cnp.ndarray)
    bint PyArray_ISCARRAY_RO(cnp.ndarray)

cdef extern from "numpy/arrayobject.h":
    object PyArray_Scalar(void *data, cnp.dtype descr, object base)

cdef extern from "numpy/arrayscalars.h" nogil:
    ctypedef struct PyFloatScalarObject:
        float obval
    ctypedef struct PyDoubleScalarObject:
        double obval
    ctypedef struct PyIntScalarObject:
        int obval
    ctypedef struct PyByteScalarObject:
        signed char obval
    ctypedef struct PyUByteScalarObject:
        unsigned char obval

cdef enum:
    # Releasing it and taking it back costs 75 ns, a twentieth of the work on this many elements (Zen 2, avx2).
    RELEASE_GIL_FROM = 16384

cdef const fq_span_table *active_table
cdef int active_target
cdef ptrdiff_t stream_from_bytes = 32 << 20

cdef object float32_type = np.float32
cdef object float64_type = np.float64
cdef object int32_type = np.int32  # PyIntScalarObject is its layout, whichever C type of 32 bits it stands for
cdef object int8_type = np.int8
cdef object uint8_type = np.uint8
cdef cnp.dtype float32_dtype = np.dtype(np.float32)
cdef cnp.dtype int32_dtype = np.dtype(np.int32)
cdef object _api = None


# ---- targets ----

fill_portable_table()
fq_merge_tables()
active_table = fq_target_table(0)


def targets():
    """Names of the targets of this build that this CPU can run, the best last."""
    return tuple([fq_target_name(t).decode() for t in range(fq_target_count()) if fq_target_runs_here(t)])


def active():
    """Name of the target in use."""
    return fq_target_name(active_target).decode()


def activate(str name):
    """Use a target from now on, in every thread; a call under way ends with the target it began with."""
    global active_table, active_target
    for t in range(fq_target_count()):
        if fq_target_name(t).decode() == name and fq_target_runs_here(t):
            active_table = fq_target_table(t)
            active_target = t
            return
    raise ValueError(f"target: got {name!r}, expected one of {', '.join(targets())}")


def set_stream_from(ptrdiff_t nbytes):
    """Outputs of calls that move at least so many bytes are stored past the caches."""
    global stream_from_bytes
    stream_from_bytes = nbytes


def code_types():
    """Rows of the list of code types: (NumPy name, lowest code, highest code)."""
    return tuple([(fq_code_types[c].name.decode(), fq_code_types[c].lowest, fq_code_types[c].highest)
                  for c in range(FQ_CODE_COUNT)])


def spans(str target):
    """The span table of a target, for tests: {(kernel, real type, code type): (address, is its own)}."""
    cdef int t = targets().index(target)
    cdef const fq_span_table *table = fq_target_table(t)
    cdef int op, real, code
    rows = {}
    for op in range(FQ_OP_COUNT):
        for real in range(FQ_REAL_COUNT):
            for code in range(FQ_CODE_COUNT):
                span = table[0][op][real][code]
                own = t == 0 or span != fq_portable_spans[op][real][code]
                key = (fq_op_names[op].decode(), fq_real_names[real].decode(), fq_code_types[code].name.decode())
                rows[key] = (<size_t> span, own)
    return rows


# ---- one run, one set of parameters ----

cdef inline void set_code_type(fq_affine *p, int code) noexcept nogil:
    p.code = code
    p.lowest = fq_code_types[code].lowest
    p.highest = fq_code_types[code].highest


cdef inline const fq_span_table *table_for(const fq_affine *p) noexcept nogil:
    """Lane bodies keep levels in int16; far zero points do not fit and run portably on every target."""
    return fq_target_table(0) if p.far else active_table


cdef inline void call_span(int op, const void *src, void *dst, ptrdiff_t n, fq_affine *p) noexcept nogil:
    cdef fq_fpenv env = fq_fpenv_enter()
    table_for(p)[0][op][p.real][p.code](src, dst, n, p)
    fq_fpenv_leave(env)


cdef inline void run_span(int op, const void *src, void *dst, ptrdiff_t n, fq_affine *p) noexcept:
    if n < RELEASE_GIL_FROM:
        call_span(op, src, dst, n, p)
    else:
        with nogil:
            call_span(op, src, dst, n, p)


cdef inline void run_plain(int op, cnp.ndarray src, cnp.ndarray dst, fq_affine *p) noexcept:
    p.stream = cnp.PyArray_NBYTES(src) + cnp.PyArray_NBYTES(dst) >= stream_from_bytes
    run_span(op, cnp.PyArray_DATA(src), cnp.PyArray_DATA(dst), cnp.PyArray_SIZE(src), p)


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


cdef inline object float32_scalar(float v):
    return PyArray_Scalar(&v, float32_dtype, None)


cdef inline object int32_scalar(int v):
    return PyArray_Scalar(&v, int32_dtype, None)


cdef inline object named(type kind, tuple values):
    """A NamedTuple of the values. Its own __new__ is Python code and takes longer than a small kernel."""
    return tuple.__new__(kind, values)


# ---- the public functions ----

include "_calls.pxi"


# ---- rows: what _api calls ----

def run(str kernel, cnp.ndarray src, cnp.ndarray dst, scales, zero_points, offsets, int code,
        ptrdiff_t outer, ptrdiff_t channels, ptrdiff_t inner):
    """Run "quantize", "dequantize" or "fake_quantize" over src seen as (outer, channels, inner).

    All arrays C-contiguous, aligned and native; src and dst do not overlap, but for fake_quantize they may be one.
    scales and offsets are of the real type (float32 or float64: that of the reals in src and dst), zero_points int32,
    all of length `channels`. All that memory depends on is checked again: reading arguments can run anybody's code,
    which may have changed the arrays since _api looked at them.
    """
    cdef fq_affine p
    cdef cnp.ndarray reals = dst if kernel == "dequantize" else src
    cdef int real = FQ_f32 if cnp.PyArray_TYPE(reals) == cnp.NPY_FLOAT32 else FQ_f64
    cdef int op = FQ_quantize if kernel == "quantize" else FQ_dequantize if kernel == "dequantize" else FQ_fake_quantize
    cdef ptrdiff_t nbytes = cnp.PyArray_NBYTES(src) + cnp.PyArray_NBYTES(dst)
    cdef const char *a = cnp.PyArray_BYTES(src)
    cdef char *b = cnp.PyArray_BYTES(dst)
    cdef ptrdiff_t a_row = cnp.PyArray_ITEMSIZE(src), b_row = cnp.PyArray_ITEMSIZE(dst)
    cdef const char *scale = cnp.PyArray_BYTES(<cnp.ndarray?> scales)
    cdef const char *offset = cnp.PyArray_BYTES(<cnp.ndarray?> offsets)
    cdef const int32_t *zero_point = <const int32_t *> cnp.PyArray_DATA(<cnp.ndarray?> zero_points)
    cdef ptrdiff_t o, c
    cdef bint fit = True
    cdef fq_fpenv env
    cdef fq_span span

    for array in (reals, scales, offsets):
        fit = fit and cnp.PyArray_TYPE(array) == (cnp.NPY_FLOAT32 if real == FQ_f32 else cnp.NPY_FLOAT64)
    for array in (scales, offsets, zero_points):
        fit = fit and cnp.PyArray_SIZE(array) == channels
    for array in (src, dst):
        fit = fit and cnp.PyArray_SIZE(array) == outer * channels * inner and PyArray_ISCARRAY_RO(<cnp.ndarray> array)
    if op == FQ_fake_quantize:
        fit = fit and cnp.PyArray_TYPE(dst) == cnp.PyArray_TYPE(src)
    else:
        fit = fit and code_of_array(dst if op == FQ_quantize else src) == code
    if not (fit and cnp.PyArray_TYPE(<cnp.ndarray> zero_points) == cnp.NPY_INT32):
        raise ValueError("an array changed while the arguments were read")
    p.real = real
    set_code_type(&p, code)
    p.stream = nbytes >= stream_from_bytes
    p.far = False
    for c in range(channels):
        p.far |= fq_is_far(zero_point[c])
    p.scales, p.offsets, p.zero_points = scale, offset, zero_point
    if inner == 1 and channels > 1:
        op += FQ_quantize_columns - FQ_quantize
        inner = channels
        channels = 1
    a_row *= inner
    b_row *= inner
    with nogil:
        env = fq_fpenv_enter()
        span = table_for(&p)[0][op][real][code]
        for o in range(outer):
            for c in range(channels):
                if real == FQ_f32:
                    p.scale = (<const float *> scale)[c]
                    p.offset = (<const float *> offset)[c]
                else:
                    p.scale = (<const double *> scale)[c]
                    p.offset = (<const double *> offset)[c]
                p.zero_point = zero_point[c]
                span(a, b, inner, &p)
                a += a_row
                b += b_row
        fq_fpenv_leave(env)


cdef inline bint settle(real_t *lo, real_t *hi, const real_t *poison, ptrdiff_t n) noexcept nogil:
    """-0 to +0, so that the result does not depend on the order of comparisons; and whether all is finite."""
    cdef ptrdiff_t i
    cdef bint finite = True
    for i in range(n):
        lo[i] = lo[i] if lo[i] != 0 else 0
        hi[i] = hi[i] if hi[i] != 0 else 0
        finite = finite and lo[i] > -INFINITY and hi[i] < INFINITY and poison[i] == poison[i]
    return finite


def extremes(cnp.ndarray x, cnp.ndarray lo, cnp.ndarray hi, ptrdiff_t outer, ptrdiff_t channels, ptrdiff_t inner):
    """Smallest and largest value of each channel of x, seen as (outer, channels, inner), into lo and hi.

    All three arrays C-contiguous, aligned, native and of one real type; lo and hi of length `channels`; x not empty.
    False if x holds NaN or infinity.
    """
    cdef fq_affine p
    cdef fq_extent found
    cdef int real = FQ_f32 if cnp.PyArray_TYPE(x) == cnp.NPY_FLOAT32 else FQ_f64
    cdef cnp.ndarray poison = cnp.PyArray_ZEROS(1, cnp.PyArray_DIMS(lo), cnp.PyArray_TYPE(x), 0)
    cdef const char *a = cnp.PyArray_BYTES(x)
    cdef char *low = cnp.PyArray_BYTES(lo)
    cdef char *high = cnp.PyArray_BYTES(hi)
    cdef char *bad = cnp.PyArray_BYTES(poison)
    cdef ptrdiff_t size = cnp.PyArray_ITEMSIZE(x), o, c
    cdef bint columns = inner == 1 and channels > 1, finite
    cdef int op = FQ_minmax_columns if columns else FQ_minmax
    cdef ptrdiff_t steps = 1 if columns else channels, run_length = channels if columns else inner
    cdef fq_fpenv env
    cdef fq_span span

    if not (cnp.PyArray_SIZE(x) == outer * channels * inner and cnp.PyArray_SIZE(lo) == cnp.PyArray_SIZE(hi) == channels
            and cnp.PyArray_TYPE(x) == cnp.PyArray_TYPE(lo) == cnp.PyArray_TYPE(hi)):
        raise ValueError("an array changed while the arguments were read")
    lo.fill(INFINITY)
    hi.fill(-INFINITY)
    p.real = real
    set_code_type(&p, 0)
    p.far = p.stream = False
    with nogil:
        env = fq_fpenv_enter()
        span = active_table[0][op][real][0]
        for o in range(outer):
            for c in range(steps):
                found.lo = low + c * size
                found.hi = high + c * size
                found.poison = bad + c * size
                span(a, &found, run_length, &p)
                a += run_length * size
        if real == FQ_f32:
            finite = settle(<float *> low, <float *> high, <const float *> bad, channels)
        else:
            finite = settle(<double *> low, <double *> high, <const double *> bad, channels)
        fq_fpenv_leave(env)
    return finite


def first_not_scale(cnp.ndarray scales):
    """Flat index of the first element that is not finite and > 0, or -1. Contiguous float32 or float64."""
    cdef ptrdiff_t i, n = cnp.PyArray_SIZE(scales)
    cdef const void *a = cnp.PyArray_DATA(scales)
    cdef bint single = cnp.PyArray_TYPE(scales) == cnp.NPY_FLOAT32
    cdef double v
    for i in range(n):
        v = (<const float *> a)[i] if single else (<const double *> a)[i]
        if not 0 < v < INFINITY:
            return i
    return -1


def qparams_of(lo, hi, int lowest, int highest, bint symmetric, bint include_zero):
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
            status = fq_qparams(low[i], high[i], &scheme, &scale[i], &zero_point[i])
            if status != FQ_RANGE_OK:
                failed = i
                break
        fq_fpenv_leave(env)
    if failed < 0:
        return scales, zero_points, None
    return scales, zero_points, (failed, "scale" if status == FQ_RANGE_TOO_WIDE else "zero point")
