# Where parameters change, as the walk needs it. Included by _kernels.pyx.

cdef struct grid_t:
    ptrdiff_t[MAX_DIMS] shape    # of the data, as it was when the grid was made
    int ndim
    ptrdiff_t[MAX_DIMS] length   # the shape of an array of parameters
    ptrdiff_t[MAX_DIMS] stride   # for each axis of the data: elements of such an array (contiguous) that an index of it is
    ptrdiff_t block              # with block > 0, so many indices of axis `cut` are one
    ptrdiff_t sets               # of parameters
    int rank, cut


cdef int set_grid(grid_t *g, cnp.ndarray full, tuple strides, int cut, ptrdiff_t block) except -1:
    """What _grid.py found for an array of that shape."""
    cdef int axis
    cdef ptrdiff_t n
    if len(strides) != cnp.PyArray_NDIM(full):
        raise changed()
    g.cut, g.block, g.rank, g.sets, g.ndim = cut, block, 0, 1, cnp.PyArray_NDIM(full)
    for axis in range(g.ndim):
        g.stride[axis] = strides[axis]
        n = cnp.PyArray_DIM(full, axis)
        g.shape[axis] = n
        if block > 0 and axis == cut:
            n = (n + block - 1) // block
        g.sets += max(n - 1, <ptrdiff_t> 0) * g.stride[axis]
    return 0


cdef bint read_grid(grid_t *g, int ndim, const cnp.npy_intp *shape, object axis, object block_size) noexcept:
    """The grid of plain arguments. False for what _grid.py should look at."""
    cdef int i, cut = ndim - 1
    cdef ptrdiff_t block
    for i in range(ndim):
        g.stride[i], g.shape[i] = 0, shape[i]
    g.cut, g.block, g.rank, g.sets, g.ndim = 0, 0, 0, 1, ndim
    if PyTuple_CheckExact(axis):
        return block_size is None and read_axes(g, axis)
    if axis is not None:
        cut = index_of(axis, ndim)
        if cut < 0:
            return False
    if block_size is None:
        if axis is not None:
            g.rank, g.length[0], g.sets, g.stride[cut] = 1, shape[cut], shape[cut], 1
        return True
    if not PyLong_CheckExact(block_size) or ndim == 0:
        return False
    block = small_integer(block_size)
    if block <= 0:
        return False
    g.cut, g.block, g.rank = cut, min(block, max(<ptrdiff_t> shape[cut], <ptrdiff_t> 1)), ndim
    for i in range(ndim - 1, -1, -1):
        g.length[i] = (shape[i] + g.block - 1) // g.block if i == cut else shape[i]
        g.stride[i] = g.sets
        g.sets *= g.length[i]
    return True


cdef bint read_axes(grid_t *g, tuple axes) noexcept:
    """Several: parameters have the shape of their lengths, in their order."""
    cdef int[MAX_DIMS] cut
    cdef int i, k, rank = <int> min(len(axes), <Py_ssize_t> MAX_DIMS)
    for i in range(rank):
        cut[i] = index_of(axes[i], g.ndim)
        if cut[i] < 0:
            return False
        for k in range(i):
            if cut[k] == cut[i]:
                return False
    g.rank = rank
    for i in range(rank - 1, -1, -1):
        g.length[i] = g.shape[cut[i]]
        g.stride[cut[i]] = g.sets
        g.sets *= g.length[i]
    return True


cdef inline int index_of(object axis, int ndim) noexcept:
    """The axis that a Python integer names, or -1."""
    if not PyLong_CheckExact(axis):
        return -1
    cdef ptrdiff_t index = small_integer(axis)
    if not -ndim <= index < ndim:
        return -1
    return <int> (index if index >= 0 else index + ndim)


cdef inline ptrdiff_t small_integer(object number) noexcept:
    """Of a Python integer; a large negative number for what is too large, which the general call takes or refuses."""
    cdef int overflow = 0
    cdef long long beyond = <long long> 1 << (8 * sizeof(ptrdiff_t) - 16)
    cdef long long v = PyLong_AsLongLongAndOverflow(number, &overflow)
    return <ptrdiff_t> (v if overflow == 0 and -beyond < v < beyond else -beyond)


cdef inline bint has_shape_of(cnp.ndarray a, const grid_t *g) noexcept:
    """An array of one parameter for each set."""
    cdef int i
    if cnp.PyArray_NDIM(a) != g.rank:
        return False
    for i in range(g.rank):
        if cnp.PyArray_DIM(a, i) != g.length[i]:
            return False
    return True
