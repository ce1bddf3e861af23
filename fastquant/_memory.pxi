# Where new arrays come from. Included by _kernels.pyx.

cdef extern from "src/reuse.h" nogil:
    void *fq_reuse_malloc(void *context, size_t nbytes)
    void *fq_reuse_calloc(void *context, size_t count, size_t size)
    void *fq_reuse_realloc(void *context, void *data, size_t nbytes)
    void fq_reuse_free(void *context, void *data, size_t nbytes)
    void fq_keep(size_t nbytes, size_t smallest)
    size_t fq_kept()
    bint fq_keeps(size_t nbytes)

cdef extern from "numpy/arrayobject.h":
    ctypedef struct PyDataMemAllocator:
        void *ctx
        void *(*malloc)(void *, size_t) noexcept nogil
        void *(*calloc)(void *, size_t, size_t) noexcept nogil
        void *(*realloc)(void *, void *, size_t) noexcept nogil
        void (*free)(void *, void *, size_t) noexcept nogil
    ctypedef struct PyDataMem_Handler:
        char name[127]
        uint8_t version
        PyDataMemAllocator allocator
    object PyDataMem_SetHandler(object handler)
    object PyDataMem_GetHandler()
    PyObject *PyDataMem_DefaultHandler

# NumPy's way to say where arrays have their memory from, and so where it goes when they are freed (NEP 49).
cdef PyDataMem_Handler memory
memcpy(memory.name, b"fastquant", 10)
memory.version = 1
memory.allocator.ctx = NULL
memory.allocator.malloc, memory.allocator.calloc = fq_reuse_malloc, fq_reuse_calloc
memory.allocator.realloc, memory.allocator.free = fq_reuse_realloc, fq_reuse_free
cdef object memory_handler = PyCapsule_New(&memory, b"mem_handler", NULL)
cdef size_t reuse_from = 0

cdef enum:
    WIDEST = 8  # bytes of an element


def keep(size_t nbytes, size_t smallest):
    """How much of what large results leave may be kept for the next ones, in bytes; with 0, their memory is NumPy's, and
    that of results below `smallest`. Returns what that was before."""
    global reuse_from
    before, reuse_from = reuse_from, smallest
    fq_keep(nbytes, smallest)
    return before


def kept():
    """How much is kept now, in bytes."""
    return fq_kept()


cdef bint is_ours(double nbytes):
    """Whether an array of so many bytes is to have memory that is used again. Not if somebody has set a handler of
    their own."""
    if nbytes > 1e18 or not fq_keeps(<size_t> nbytes):
        return False
    handler = PyDataMem_GetHandler()
    return <PyObject *> handler == PyDataMem_DefaultHandler


cdef object reusing(int ndim, const cnp.npy_intp *shape, int type_number, double count):
    if not is_ours(count * cnp.PyArray_DescrFromType(type_number).itemsize):
        return cnp.PyArray_EMPTY(ndim, shape, type_number, 0)
    before = PyDataMem_SetHandler(memory_handler)
    try:
        return cnp.PyArray_EMPTY(ndim, shape, type_number, 0)
    finally:
        PyDataMem_SetHandler(before)


cdef inline object new_array(int ndim, const cnp.npy_intp *shape, int type_number):
    """An empty array in C order."""
    cdef double count = 1  # a shape may be too large for any array, which NumPy says better
    cdef int i
    for i in range(ndim):
        count *= shape[i]
    if count * WIDEST < reuse_from:
        return cnp.PyArray_EMPTY(ndim, shape, type_number, 0)
    return reusing(ndim, shape, type_number, count)


def empty(tuple shape, cnp.dtype dtype):
    """np.empty, for results."""
    cdef double nbytes = dtype.itemsize
    for n in shape:
        nbytes *= n
    if not is_ours(nbytes):
        return np.empty(shape, dtype)
    before = PyDataMem_SetHandler(memory_handler)
    try:
        return np.empty(shape, dtype)
    finally:
        PyDataMem_SetHandler(before)
