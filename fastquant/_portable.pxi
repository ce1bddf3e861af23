# The portable span kernels: plain loops over contiguous buffers that gcc, clang and MSVC vectorise for whatever the
# architecture's baseline is. Included by _kernels.pyx.
#
# Work goes in chunks through a small buffer of int32 codes, in two steps that each know only one of the types:
#
#     quantize        reals -> codes      codes -> code type
#     dequantize      code type -> codes  codes -> reals
#     fake_quantize   reals -> codes      codes -> reals
#
# so a new real type or a new code type is one more pair of loops, not one more of everything, and each loop converts
# between lanes of few widths, which is what compilers vectorise well. The chunk stays in the first-level cache.

cdef enum:
    CHUNK = 256
    CHAINS = 32  # independent minima and maxima

ctypedef fused real_t:
    float
    double

ctypedef fused code_t:
    int8_t
    uint8_t


# ---- code types ----

cdef inline void narrow(const int32_t *codes, code_t *q, ptrdiff_t n) noexcept nogil:
    cdef ptrdiff_t j
    for j in range(n):
        q[j] = <code_t> codes[j]


cdef inline void widen(const code_t *q, int32_t *codes, ptrdiff_t n) noexcept nogil:
    cdef ptrdiff_t j
    for j in range(n):
        codes[j] = q[j]


cdef inline void store_codes(int code, const int32_t *codes, void *q, ptrdiff_t at, ptrdiff_t n) noexcept nogil:
    if code == FQ_i8:
        narrow(codes, <int8_t *> q + at, n)
    else:
        narrow(codes, <uint8_t *> q + at, n)


cdef inline void load_codes(int code, const void *q, ptrdiff_t at, int32_t *codes, ptrdiff_t n) noexcept nogil:
    if code == FQ_i8:
        widen(<const int8_t *> q + at, codes, n)
    else:
        widen(<const uint8_t *> q + at, codes, n)


# ---- real types: one set of parameters ----

cdef inline void reals_to_codes(const real_t *x, int32_t *codes, ptrdiff_t n, const fq_affine *p) noexcept nogil:
    cdef ptrdiff_t j
    cdef int32_t zero_point = p.zero_point
    cdef real_t scale = <real_t> p.scale, offset = <real_t> p.offset
    cdef double low = <double> p.lowest - zero_point, high = <double> p.highest - zero_point
    if real_t is float and not p.far:
        for j in range(n):
            codes[j] = fq_code_f32(x[j], scale, offset, <float> low, <float> high, zero_point)
    else:
        for j in range(n):
            codes[j] = fq_code_f64((x[j] - offset) / scale, low, high, zero_point)


cdef inline void codes_to_reals(const int32_t *codes, real_t *x, ptrdiff_t n, const fq_affine *p) noexcept nogil:
    cdef ptrdiff_t j
    cdef int32_t zero_point = p.zero_point
    cdef real_t scale = <real_t> p.scale, offset = <real_t> p.offset
    if real_t is double:
        for j in range(n):
            x[j] = fq_real_f64(codes[j], zero_point, scale, offset)
    elif p.far:
        for j in range(n):
            x[j] = fq_real_f32_far(codes[j], zero_point, scale, offset)
    else:
        for j in range(n):
            x[j] = fq_real_f32(codes[j], zero_point, scale, offset)


# ---- real types: parameters of their own for each element, from element `at` on ----

cdef inline void reals_to_codes_columns(const real_t *x, int32_t *codes, ptrdiff_t at, ptrdiff_t n,
                                        const fq_affine *p) noexcept nogil:
    cdef ptrdiff_t j
    cdef int32_t lowest = p.lowest, highest = p.highest
    cdef const real_t *scale = <const real_t *> p.scales + at
    cdef const real_t *offset = <const real_t *> p.offsets + at
    cdef const int32_t *zero_point = p.zero_points + at
    if real_t is float and not p.far:
        for j in range(n):
            codes[j] = fq_code_f32(x[j], scale[j], offset[j], <float> (lowest - zero_point[j]),
                                   <float> (highest - zero_point[j]), zero_point[j])
    else:
        for j in range(n):
            codes[j] = fq_code_f64((x[j] - offset[j]) / scale[j], <double> lowest - zero_point[j],
                                   <double> highest - zero_point[j], zero_point[j])


cdef inline void codes_to_reals_columns(const int32_t *codes, real_t *x, ptrdiff_t at, ptrdiff_t n,
                                        const fq_affine *p) noexcept nogil:
    cdef ptrdiff_t j
    cdef const real_t *scale = <const real_t *> p.scales + at
    cdef const real_t *offset = <const real_t *> p.offsets + at
    cdef const int32_t *zero_point = p.zero_points + at
    if real_t is double:
        for j in range(n):
            x[j] = fq_real_f64(codes[j], zero_point[j], scale[j], offset[j])
    elif p.far:
        for j in range(n):
            x[j] = fq_real_f32_far(codes[j], zero_point[j], scale[j], offset[j])
    else:
        for j in range(n):
            x[j] = fq_real_f32(codes[j], zero_point[j], scale[j], offset[j])


# ---- which loop ----

cdef inline void make_codes(const void *x, ptrdiff_t at, int32_t *codes, ptrdiff_t n, const fq_affine *p,
                            bint columns) noexcept nogil:
    if p.real == FQ_f32:
        if columns:
            reals_to_codes_columns(<const float *> x + at, codes, at, n, p)
        else:
            reals_to_codes(<const float *> x + at, codes, n, p)
    elif columns:
        reals_to_codes_columns(<const double *> x + at, codes, at, n, p)
    else:
        reals_to_codes(<const double *> x + at, codes, n, p)


cdef inline void make_reals(const int32_t *codes, void *x, ptrdiff_t at, ptrdiff_t n, const fq_affine *p,
                            bint columns) noexcept nogil:
    if p.real == FQ_f32:
        if columns:
            codes_to_reals_columns(codes, <float *> x + at, at, n, p)
        else:
            codes_to_reals(codes, <float *> x + at, n, p)
    elif columns:
        codes_to_reals_columns(codes, <double *> x + at, at, n, p)
    else:
        codes_to_reals(codes, <double *> x + at, n, p)


cdef inline void chunks(int op, const void *src, void *dst, ptrdiff_t n, const fq_affine *p,
                        bint columns) noexcept nogil:
    cdef int32_t codes[CHUNK]
    cdef ptrdiff_t i = 0, m
    while i < n:
        m = n - i if n - i < CHUNK else CHUNK
        if op == FQ_dequantize:
            load_codes(p.code, src, i, codes, m)
        else:
            make_codes(src, i, codes, m, p, columns)
        if op == FQ_quantize:
            store_codes(p.code, codes, dst, i, m)
        else:
            make_reals(codes, dst, i, m, p, columns)
        i += m


# ---- ranges: NaN is found by a sum, as spans.inc.h explains ----

cdef inline real_t lower(real_t low, real_t v) noexcept nogil:
    return fq_lower_f32(low, v) if real_t is float else fq_lower_f64(low, v)


cdef inline real_t higher(real_t high, real_t v) noexcept nogil:
    return fq_higher_f32(high, v) if real_t is float else fq_higher_f64(high, v)


cdef inline void extent_columns(const real_t *x, ptrdiff_t n, real_t *lo, real_t *hi, real_t *poison) noexcept nogil:
    cdef ptrdiff_t j
    for j in range(n):
        lo[j] = lower(lo[j], x[j])
        hi[j] = higher(hi[j], x[j])
        poison[j] = poison[j] + x[j]


cdef inline void extent_of(const real_t *x, ptrdiff_t n, real_t *lo, real_t *hi, real_t *poison) noexcept nogil:
    """Minima and maxima depend on each other from element to element; columns do not. So: as columns, then across."""
    cdef real_t low[CHAINS]
    cdef real_t high[CHAINS]
    cdef real_t total[CHAINS]
    cdef ptrdiff_t i = 0, j
    for j in range(CHAINS):
        low[j] = lo[0]
        high[j] = hi[0]
        total[j] = 0
    while i <= n - CHAINS:
        extent_columns(x + i, CHAINS, low, high, total)
        i += CHAINS
    extent_columns(x + i, n - i, low, high, total)
    for j in range(CHAINS):
        lo[0] = lower(lo[0], low[j])
        hi[0] = higher(hi[0], high[j])
        if total[j] != total[j]:
            poison[0] = total[j]


# ---- the rows of the portable table ----

cdef void portable_quantize(const void *src, void *dst, ptrdiff_t n, const fq_affine *p) noexcept nogil:
    chunks(FQ_quantize, src, dst, n, p, False)


cdef void portable_quantize_columns(const void *src, void *dst, ptrdiff_t n, const fq_affine *p) noexcept nogil:
    chunks(FQ_quantize, src, dst, n, p, True)


cdef void portable_dequantize(const void *src, void *dst, ptrdiff_t n, const fq_affine *p) noexcept nogil:
    chunks(FQ_dequantize, src, dst, n, p, False)


cdef void portable_dequantize_columns(const void *src, void *dst, ptrdiff_t n, const fq_affine *p) noexcept nogil:
    chunks(FQ_dequantize, src, dst, n, p, True)


cdef void portable_fake_quantize(const void *src, void *dst, ptrdiff_t n, const fq_affine *p) noexcept nogil:
    chunks(FQ_fake_quantize, src, dst, n, p, False)


cdef void portable_fake_quantize_columns(const void *src, void *dst, ptrdiff_t n, const fq_affine *p) noexcept nogil:
    chunks(FQ_fake_quantize, src, dst, n, p, True)


cdef void portable_minmax(const void *x, void *out, ptrdiff_t n, const fq_affine *p) noexcept nogil:
    cdef const fq_extent *e = <const fq_extent *> out
    if p.real == FQ_f32:
        extent_of(<const float *> x, n, <float *> e.lo, <float *> e.hi, <float *> e.poison)
    else:
        extent_of(<const double *> x, n, <double *> e.lo, <double *> e.hi, <double *> e.poison)


cdef void portable_minmax_columns(const void *x, void *out, ptrdiff_t n, const fq_affine *p) noexcept nogil:
    cdef const fq_extent *e = <const fq_extent *> out
    if p.real == FQ_f32:
        extent_columns(<const float *> x, n, <float *> e.lo, <float *> e.hi, <float *> e.poison)
    else:
        extent_columns(<const double *> x, n, <double *> e.lo, <double *> e.hi, <double *> e.poison)


cdef void fill_portable_table() noexcept:
    cdef int real, code
    for real in range(FQ_REAL_COUNT):
        for code in range(FQ_CODE_COUNT):
            fq_portable_spans[<int> FQ_quantize][real][code] = portable_quantize
            fq_portable_spans[<int> FQ_dequantize][real][code] = portable_dequantize
            fq_portable_spans[<int> FQ_fake_quantize][real][code] = portable_fake_quantize
            fq_portable_spans[<int> FQ_minmax][real][code] = portable_minmax
            fq_portable_spans[<int> FQ_quantize_columns][real][code] = portable_quantize_columns
            fq_portable_spans[<int> FQ_dequantize_columns][real][code] = portable_dequantize_columns
            fq_portable_spans[<int> FQ_fake_quantize_columns][real][code] = portable_fake_quantize_columns
            fq_portable_spans[<int> FQ_minmax_columns][real][code] = portable_minmax_columns
