# The C side of the kernels, as Cython sees it. src/spans.h is the authority.

from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int8_t, int16_t, int32_t, uint8_t, uint16_t, uint32_t

cdef extern from "src/spans.h" nogil:
    enum:
        FQ_f32, FQ_f64, FQ_f16, FQ_bf16, FQ_REAL_COUNT
        FQ_i8, FQ_u8, FQ_i16, FQ_u16, FQ_i32, FQ_CODE_COUNT
        FQ_quantize, FQ_dequantize, FQ_fake_quantize, FQ_minmax
        FQ_quantize_columns, FQ_dequantize_columns, FQ_fake_quantize_columns, FQ_minmax_columns
        FQ_pack, FQ_unpack, FQ_signs
        FQ_divide, FQ_floor, FQ_multiply, FQ_multiply_shift, FQ_RULE_COUNT
        FQ_OP_COUNT

    ctypedef struct fq_code_type:
        const char *name
        int32_t lowest, highest
        uint8_t size, bits, is_float

    ctypedef struct fq_real_type:
        const char *name
        uint8_t size, is_double

    # "in" is a keyword here, hence the other names.
    ctypedef struct fq_tile:
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
        uint8_t real, code, far, packs, stream, beyond, precision, rule, limited
        int32_t lowest, highest
        void *room

    enum:
        FQ_ROOM_BYTES

    ctypedef void (*fq_span)(const fq_tile *t) noexcept nogil
    ctypedef fq_span fq_span_table[FQ_OP_COUNT][FQ_REAL_COUNT][FQ_CODE_COUNT]

    const fq_code_type fq_code_types[FQ_CODE_COUNT]
    const fq_real_type fq_real_types[FQ_REAL_COUNT]
    const char *const fq_op_names[FQ_OP_COUNT]
    const char *const fq_rule_names[FQ_RULE_COUNT]
    fq_span_table fq_portable_spans
    void fq_stream_end()
    ctypedef uint8_t (*fq_bare)(const char *src, size_t src_bytes, char *dst, size_t dst_bytes, int stream) noexcept
    fq_bare fq_active_bare()
    const char *fq_compiler
    int fq_target_count()
    const char *fq_target_name(int target)
    bint fq_target_runs_here(int target)
    void fq_merge_tables()
    const fq_span_table *fq_target_table(int target)
    const fq_span_table *fq_active_table()
    void fq_activate(int target)
    int fq_active_target()
    ctypedef struct fastquant_api:
        pass

    const fastquant_api fq_api

cdef extern from "src/floats.h" nogil:
    ctypedef struct fq_float_type:
        int32_t largest

    const fq_float_type fq_float_types[FQ_CODE_COUNT]
    float fq_float_values[FQ_CODE_COUNT][256]
    void fq_fill_float_values()
    int32_t fq_float_code(float y, const fq_float_type *f, bint beyond)
    float fq_odd_f32(double y)
    float fq_from_f16(uint16_t h)
    uint16_t fq_to_f16(float v)
    float fq_from_bf16(uint16_t h)
    uint16_t fq_to_bf16(float v)

cdef extern from "src/numerics.h" nogil:
    ctypedef struct fq_scheme:
        double lowest, highest
        bint symmetric, include_zero

    enum:
        FQ_RANGE_OK, FQ_RANGE_TOO_WIDE

    const float FQ_NO_OFFSET
    bint fq_is_far(int32_t zero_point, int bits)
    int32_t fq_code_f32(float quotient, float low, float high, int32_t zero_point)
    int32_t fq_code_f64(double quotient, double low, double high, int32_t zero_point)
    float fq_real_f32(int32_t code, int32_t zero_point, float scale, float offset)
    float fq_real_f32_far(int32_t code, int32_t zero_point, float scale, float offset)
    double fq_real_f64(int32_t code, int32_t zero_point, double scale, double offset)
    float fq_lower_f32(float low, float v)
    float fq_higher_f32(float high, float v)
    double fq_lower_f64(double low, double v)
    double fq_higher_f64(double high, double v)
    bint fq_scheme_of(fq_scheme *s, int code, bint symmetric, bint narrow_range, bint include_zero)
    bint fq_are_scales_f32(const float *v, ptrdiff_t n)
    bint fq_are_scales_f64(const double *v, ptrdiff_t n)
    bint fq_are_finite_f32(const float *v, ptrdiff_t n)
    bint fq_are_finite_f64(const double *v, ptrdiff_t n)
    void fq_round_f32(const double *v, float *rounded)
    int fq_qparams_f32(const float *lo, const float *hi, ptrdiff_t n, const fq_scheme *s, float *scale,
                       int32_t *zero_point)
    int fq_qparams_f64(const double *lo, const double *hi, ptrdiff_t n, const fq_scheme *s, float *scale,
                       int32_t *zero_point)
    bint fq_settle_f32(float *lo, float *hi, const float *poison, ptrdiff_t n)
    bint fq_settle_f64(double *lo, double *hi, const double *poison, ptrdiff_t n)

cdef extern from "src/copy.h" nogil:
    void fq_copy_tile(char *to, ptrdiff_t to_row, ptrdiff_t to_step, const char *src, ptrdiff_t src_row,
                      ptrdiff_t src_step, ptrdiff_t rows, ptrdiff_t n, ptrdiff_t size, bint swapped)

cdef extern from "src/threads.h" nogil:
    ctypedef void (*fq_part)(void *context, int part) noexcept nogil

    void fq_parallel(fq_part run, void *context, int parts)
    void fq_set_threads(int n)
    int fq_threads()
    void *fq_borrow_room()
    void fq_give_back_room(void *room)

cdef extern from "src/fpenv.h" nogil:
    ctypedef struct fq_fpenv:
        pass

    fq_fpenv fq_fpenv_enter()
    void fq_fpenv_leave(fq_fpenv env)
