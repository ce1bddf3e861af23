# Arrays of other libraries by way of DLPack, for the types that NumPy's own reader refuses: bfloat16 and the small
# floats. Included by _kernels.pyx.
#
# The structures are those of dlpack.h, version 1 (https://dmlc.github.io/dlpack/latest/), in its unversioned form, which
# producers give unless they are asked for another.

from cpython.exc cimport PyErr_Fetch, PyErr_Restore
from cpython.pycapsule cimport PyCapsule_GetPointer, PyCapsule_IsValid, PyCapsule_New, PyCapsule_SetName
from libc.stdint cimport int64_t, uint64_t

cdef struct DLDataType:
    uint8_t code, bits
    uint16_t lanes

cdef struct DLTensor:
    void *data
    int32_t device_type, device_id
    int32_t ndim
    DLDataType dtype
    int64_t *shape
    int64_t *strides      # in elements; NULL: contiguous
    uint64_t byte_offset

cdef struct DLManagedTensor:
    DLTensor tensor
    void *manager
    void (*deleter)(DLManagedTensor *self) noexcept

cdef enum:
    DL_CPU = 1

# Codes of dlpack.h (DLDataTypeCode) that have a type here, beside the signed and unsigned integers (0, 1) and floats (2).
cdef dict dlpack_names = {
    4: "bfloat16", 10: "float8_e4m3fn", 11: "float8_e4m3fnuz", 12: "float8_e5m2", 13: "float8_e5m2fnuz",
}


cdef const char *owner_name = "fastquant.dlpack"


cdef void release(object owner) noexcept:
    """The owner, a capsule, keeps another library's memory alive for as long as an array looks at it."""
    cdef DLManagedTensor *managed = <DLManagedTensor *> PyCapsule_GetPointer(owner, owner_name)
    cdef PyObject *kind
    cdef PyObject *value
    cdef PyObject *trace
    PyErr_Fetch(&kind, &value, &trace)  # the deleter is anybody's code, and an error may be on its way
    if managed.deleter != NULL:
        managed.deleter(managed)
    PyErr_Restore(kind, value, trace)


cdef str dlpack_name(const DLDataType *t):
    """NumPy or ml_dtypes name of the type, or None."""
    if t.lanes == 1:
        if t.code in (0, 1, 2) and t.bits in (8, 16, 32, 64):
            return ("int", "uint", "float")[t.code] + str(t.bits)
        if t.bits == (16 if t.code == 4 else 8):
            return dlpack_names.get(t.code)
    return None


def from_dlpack(capsule):
    """A read-only array on the memory that a capsule of DLPack describes."""
    with cython.critical_section(capsule):  # two threads must not both take what it holds
        return taken_from(capsule)


cdef object taken_from(object capsule):
    cdef DLManagedTensor *managed
    cdef DLTensor *t
    cdef int i
    if not PyCapsule_IsValid(capsule, "dltensor"):
        raise BufferError("not a DLPack capsule, or one that was read before")
    managed = <DLManagedTensor *> PyCapsule_GetPointer(capsule, "dltensor")
    t = &managed.tensor
    name = dlpack_name(&t.dtype)
    if t.device_type != DL_CPU:
        raise BufferError("not in the memory of the CPU")
    if name is None or not hasattr(np, name) and not hasattr(ml_dtypes, name):
        raise BufferError(f"DLPack type {t.dtype.code} of {t.dtype.bits} bits and {t.dtype.lanes} lanes has no NumPy type")
    dtype = np.dtype(getattr(ml_dtypes, name, name))
    shape = tuple([t.shape[i] for i in range(t.ndim)])
    strides = None
    if t.strides != NULL:
        strides = tuple([t.strides[i] * dtype.itemsize for i in range(t.ndim)])
    owner = PyCapsule_New(managed, owner_name, release)
    PyCapsule_SetName(capsule, "used_dltensor")
    return array_on(owner, t, shape, strides, dtype)


cdef object array_on(object owner, const DLTensor *t, tuple shape, object strides, cnp.dtype dtype):
    cdef cnp.npy_intp[MAX_DIMS] n
    cdef cnp.npy_intp[MAX_DIMS] step
    cdef int i
    if t.ndim > 64 or 0 in shape:
        return np.empty(shape, dtype)
    for i in range(t.ndim):
        n[i] = shape[i]
        if strides is not None:
            step[i] = strides[i]
    Py_INCREF(dtype)  # which NewFromDescr takes
    a = PyArray_NewFromDescr(cnp.ndarray, dtype, t.ndim, n, step if strides is not None else NULL,
                             <char *> t.data + t.byte_offset, 0, None)
    Py_INCREF(owner)  # and so does SetBaseObject
    cnp.PyArray_SetBaseObject(a, owner)
    return a
