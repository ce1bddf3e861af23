# The C side of the kernels, as Cython sees it. src/spans.h is the authority.

from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int8_t, int32_t, uint8_t

cdef extern from "src/spans.h" nogil:
    enum:
        FQ_f32, FQ_f64, FQ_REAL_COUNT
        FQ_i8, FQ_u8, FQ_CODE_COUNT
        FQ_quantize, FQ_dequantize, FQ_fake_quantize, FQ_minmax
        FQ_quantize_columns, FQ_dequantize_columns, FQ_fake_quantize_columns, FQ_minmax_columns
        FQ_OP_COUNT

    ctypedef struct fq_code_type:
        const char *name
        int32_t lowest, highest

    ctypedef struct fq_affine:
        double scale, offset
        int32_t zero_point
        int32_t lowest, highest
        uint8_t real, code, far, stream
        const void *scales
        const void *offsets
        const int32_t *zero_points

    ctypedef struct fq_extent:
        void *lo
        void *hi
        void *poison

    # "in" is a keyword here, hence the other names.
    ctypedef void (*fq_span)(const void *src, void *dst, ptrdiff_t n, const fq_affine *p) noexcept nogil
    ctypedef fq_span fq_span_table[FQ_OP_COUNT][FQ_REAL_COUNT][FQ_CODE_COUNT]

    const fq_code_type fq_code_types[FQ_CODE_COUNT]
    const char *const fq_op_names[FQ_OP_COUNT]
    const char *const fq_real_names[FQ_REAL_COUNT]
    fq_span_table fq_portable_spans
    int fq_target_count()
    const char *fq_target_name(int target)
    bint fq_target_runs_here(int target)
    void fq_merge_tables()
    const fq_span_table *fq_target_table(int target)

cdef extern from "src/numerics.h" nogil:
    ctypedef struct fq_scheme:
        int32_t lowest, highest
        bint symmetric, include_zero

    enum:
        FQ_RANGE_OK, FQ_RANGE_TOO_WIDE, FQ_ZERO_POINT_TOO_FAR

    bint fq_is_far(int32_t zero_point)
    int32_t fq_code_f32(float x, float scale, float offset, float low, float high, int32_t zero_point)
    int32_t fq_code_f64(double y, double low, double high, int32_t zero_point)
    float fq_real_f32(int32_t code, int32_t zero_point, float scale, float offset)
    float fq_real_f32_far(int32_t code, int32_t zero_point, float scale, float offset)
    double fq_real_f64(int32_t code, int32_t zero_point, double scale, double offset)
    float fq_lower_f32(float low, float v)
    float fq_higher_f32(float high, float v)
    double fq_lower_f64(double low, double v)
    double fq_higher_f64(double high, double v)
    int fq_qparams(double lo, double hi, const fq_scheme *s, float *scale, int32_t *zero_point)
    int fq_qparams_f32(float lo, float hi, const fq_scheme *s, float *scale, int32_t *zero_point)

cdef extern from "src/fpenv.h" nogil:
    ctypedef struct fq_fpenv:
        pass

    fq_fpenv fq_fpenv_enter()
    void fq_fpenv_leave(fq_fpenv env)
