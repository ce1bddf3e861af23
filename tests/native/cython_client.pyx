# cython: language_level=3
"""A module of somebody else's, in Cython: each function of the table, on tiles that the tests make."""

from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int32_t, uintptr_t

cimport fastquant

cdef const fastquant.fastquant_api *fq = fastquant.fastquant_import()


def version():
    return fq.version, fq.bytes, fastquant.FASTQUANT_API_VERSION


def number(str kind, str name):
    cdef bytes text = name.encode()
    if kind == "kernel":
        return fq.kernel(text)
    if kind == "real":
        return fq.real_type(text)
    if kind == "code":
        return fq.code_type(text)
    return fq.rule(text)


def qparams(double lo, double hi, int code, bint symmetric, bint narrow_range, bint include_zero):
    cdef float scale = -1
    cdef int32_t zero_point = -1
    cdef int error
    with nogil:
        error = fq.qparams(lo, hi, code, symmetric, narrow_range, include_zero, &scale, &zero_point)
    return error, scale, zero_point


def qparams_nowhere(double lo, double hi, int code):
    """What it says where there is no place for the scale, and for the zero point."""
    cdef float scale = 0
    cdef int32_t zero_point = 0
    return fq.qparams(lo, hi, code, 0, 0, 0, NULL, &zero_point), fq.qparams(lo, hi, code, 0, 0, 0, &scale, NULL)


def message(int error):
    return fq.message(error).decode()


def run(int kernel, bytes=None, **members):
    """Members of the tile by their C names; pointers as addresses."""
    cdef fastquant.fastquant_tile t
    cdef size_t size = sizeof(fastquant.fastquant_tile) if bytes is None else <size_t> bytes
    cdef int error
    cdef uintptr_t address
    cdef char *start = <char *> &t
    cdef size_t i
    for i in range(sizeof(t)):
        start[i] = 0
    for name, value in members.items():
        if name == "in":
            address = value
            t.src = <const char *> address
        elif name == "out":
            address = value
            t.dst = <char *> address
        elif name == "scales":
            address = value
            t.scales = <const void *> address
        elif name == "offsets":
            address = value
            t.offsets = <const void *> address
        elif name == "zero_points":
            address = value
            t.zero_points = <const int32_t *> address
        elif name == "lo":
            address = value
            t.lo = <void *> address
        elif name == "hi":
            address = value
            t.hi = <void *> address
        elif name == "poison":
            address = value
            t.poison = <void *> address
        elif name == "in_step":
            t.src_step = value
        elif name == "out_step":
            t.dst_step = value
        elif name == "rows":
            t.rows = value
        elif name == "n":
            t.n = value
        elif name == "scale_step":
            t.scale_step = value
        elif name == "offset_step":
            t.offset_step = value
        elif name == "zero_point_step":
            t.zero_point_step = value
        elif name == "run":
            t.run = value
        elif name == "phase":
            t.phase = value
        elif name == "extent_step":
            t.extent_step = value
        elif name == "real":
            t.real = value
        elif name == "code":
            t.code = value
        elif name == "packs":
            t.packs = value
        elif name == "stream":
            t.stream = value
        elif name == "beyond":
            t.beyond = value
        elif name == "precision":
            t.precision = value
        elif name == "rule":
            t.rule = value
        elif name == "limited":
            t.limited = value
        elif name == "lowest":
            t.lowest = value
        elif name == "highest":
            t.highest = value
        else:
            raise KeyError(name)
    with nogil:
        error = fq.run(kernel, &t, size)
    return error
