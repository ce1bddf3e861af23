# For `cimport fastquant` in other people's modules: include/fastquant.h, which says what all of it means. Needs
# fastquant.get_include() among the include directories.

from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int32_t, uint8_t, uint32_t

cdef extern from "Python.h":
    pass

cdef extern from "fastquant.h" nogil:
    const int FASTQUANT_API_VERSION

    # "in" is a keyword here, hence src and dst.
    ctypedef struct fastquant_tile:
        const char *src "in"
        char *dst "out"
        ptrdiff_t rows, n
        ptrdiff_t src_step "in_step", dst_step "out_step"
        const void *scales
        const void *offsets
        const int32_t *zero_points
        ptrdiff_t scale_step, offset_step, zero_point_step
        ptrdiff_t run, phase
        void *lo
        void *hi
        void *poison
        ptrdiff_t extent_step
        uint8_t real, code, packs, stream, beyond, precision, rule, limited
        int32_t lowest, highest

    ctypedef struct fastquant_api:
        uint32_t version, bytes
        int (*kernel)(const char *name) noexcept nogil
        int (*real_type)(const char *name) noexcept nogil
        int (*code_type)(const char *name) noexcept nogil
        int (*rule)(const char *name) noexcept nogil
        int (*run)(int kernel, const fastquant_tile *tile, size_t bytes) noexcept nogil
        int (*qparams)(double lo, double hi, int code, int symmetric, int narrow_range, int include_zero, float *scale,
                       int32_t *zero_point) noexcept nogil
        const char *(*message)(int error) noexcept nogil

cdef extern from "fastquant.h":
    const fastquant_api *fastquant_import() except NULL
