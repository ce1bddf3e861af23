# Portable span kernels: from reals to codes and back, a chunk at a time. Included by _portable.pxi.

cdef inline float rounded(float v, int precision) noexcept nogil:
    return fq_from_f16(fq_to_f16(v)) if precision == FQ_f16 else fq_from_bf16(fq_to_bf16(v))


cdef inline real_t made_of(real_t x, real_t scale, real_t minus, real_t plus, int rule) noexcept nogil:
    if rule == FQ_divide:
        return (x - minus) / scale
    if rule == FQ_multiply:
        return (x - minus) * scale
    if rule == FQ_floor:
        return floorf((x - minus) / scale) if real_t is float else floor((x - minus) / scale)
    return x * scale + plus


cdef inline void rounded_quotients(const float *x, float *y, ptrdiff_t n, const params_t *p, const fq_tile *t) noexcept nogil:
    cdef ptrdiff_t j
    cdef float scale = <float> p.scale, minus = <float> p.minus, plus = <float> p.plus, v
    for j in range(n):
        if p.columns:
            scale, minus = (<const float *> p.scales)[j], (<const float *> p.minuses)[j]
            plus = (<const float *> p.pluses)[j]
        v = rounded(x[j], t.precision)
        if t.rule == FQ_multiply_shift:
            y[j] = rounded(rounded(v * scale, t.precision) + plus, t.precision)
        else:
            y[j] = rounded(made_of(v, scale, minus, plus, t.rule), t.precision)


cdef inline void by_rule(const real_t *x, real_t *y, ptrdiff_t n, const params_t *p, int rule) noexcept nogil:
    cdef ptrdiff_t j
    cdef real_t scale = <real_t> p.scale, minus = <real_t> p.minus, plus = <real_t> p.plus
    cdef const real_t *scales = <const real_t *> p.scales
    cdef const real_t *minuses = <const real_t *> p.minuses
    cdef const real_t *pluses = <const real_t *> p.pluses
    if p.columns:
        for j in range(n):
            y[j] = made_of(x[j], scales[j], minuses[j], pluses[j], rule)
    else:
        for j in range(n):
            y[j] = made_of(x[j], scale, minus, plus, rule)


cdef inline void quotients(const real_t *x, real_t *y, ptrdiff_t n, const params_t *p, const fq_tile *t) noexcept nogil:
    cdef ptrdiff_t j
    cdef real_t scale = <real_t> p.scale, minus = <real_t> p.minus
    cdef const real_t *scales = <const real_t *> p.scales
    cdef const real_t *minuses = <const real_t *> p.minuses
    if real_t is float and t.precision != FQ_f32:
        rounded_quotients(<const float *> x, <float *> y, n, p, t)
    elif t.rule == FQ_multiply:  # a constant for each, so that compilers use vectors
        by_rule(x, y, n, p, FQ_multiply)
    elif t.rule == FQ_multiply_shift:
        by_rule(x, y, n, p, FQ_multiply_shift)
    elif t.rule == FQ_floor:
        by_rule(x, y, n, p, FQ_floor)
    elif p.columns:
        for j in range(n):
            y[j] = (x[j] - minuses[j]) / scales[j]
    else:
        for j in range(n):
            y[j] = (x[j] - minus) / scale


cdef inline void integer_codes(const real_t *y, int32_t *codes, ptrdiff_t n, const params_t *p, const fq_tile *t,
                               bint far) noexcept nogil:
    cdef ptrdiff_t j
    cdef int32_t zero_point = p.zero_point
    cdef int32_t lowest = t.lowest if t.limited else fq_code_types[t.code].lowest
    cdef int32_t highest = t.highest if t.limited else fq_code_types[t.code].highest
    cdef const int32_t *z = p.zero_points
    cdef double low = <double> lowest - zero_point, high = <double> highest - zero_point
    if real_t is float and not far:
        if p.columns:
            for j in range(n):
                codes[j] = fq_code_f32(y[j], <float> (lowest - z[j]), <float> (highest - z[j]), z[j])
        else:
            for j in range(n):
                codes[j] = fq_code_f32(y[j], <float> low, <float> high, zero_point)
    elif p.columns:
        for j in range(n):
            codes[j] = fq_code_f64(y[j], <double> lowest - z[j], <double> highest - z[j], z[j])
    else:
        for j in range(n):
            codes[j] = fq_code_f64(y[j], low, high, zero_point)


cdef inline void float_codes(const real_t *y, int32_t *codes, ptrdiff_t n, int code, bint beyond) noexcept nogil:
    cdef ptrdiff_t j
    cdef const fq_float_type *f = &fq_float_types[code]
    for j in range(n):
        if real_t is float:
            codes[j] = fq_float_code(y[j], f, beyond)
        else:
            codes[j] = fq_float_code(fq_odd_f32(y[j]), f, beyond)


cdef inline void integers_to_reals(const int32_t *codes, real_t *x, ptrdiff_t n, const params_t *p,
                                   bint far) noexcept nogil:
    cdef ptrdiff_t j
    cdef int32_t zero_point = p.zero_point
    cdef real_t scale = <real_t> p.scale, plus = <real_t> p.plus
    cdef const int32_t *z = p.zero_points
    cdef const real_t *scales = <const real_t *> p.scales
    cdef const real_t *pluses = <const real_t *> p.pluses
    if p.columns:
        for j in range(n):
            if real_t is double:
                x[j] = fq_real_f64(codes[j], z[j], scales[j], pluses[j])
            else:
                x[j] = fq_real_f32_far(codes[j], z[j], scales[j], pluses[j])
    elif real_t is double:
        for j in range(n):
            x[j] = fq_real_f64(codes[j], zero_point, scale, plus)
    elif far:
        for j in range(n):
            x[j] = fq_real_f32_far(codes[j], zero_point, scale, plus)
    else:
        for j in range(n):
            x[j] = fq_real_f32(codes[j], zero_point, scale, plus)


cdef inline void rounded_reals(const int32_t *codes, float *x, ptrdiff_t n, const params_t *p,
                               const fq_tile *t) noexcept nogil:
    """Codes and levels rounded to a half type."""
    cdef ptrdiff_t j
    cdef int32_t zero_point = p.zero_point
    cdef float scale = <float> p.scale, plus = <float> p.plus, level
    for j in range(n):
        if p.columns:
            scale, plus, zero_point = (<const float *> p.scales)[j], (<const float *> p.pluses)[j], p.zero_points[j]
        level = rounded(rounded(<float> codes[j], t.precision) - <float> zero_point, t.precision)
        x[j] = (level / scale if t.rule == FQ_multiply else level * scale) + plus


cdef inline void divided_reals(const int32_t *codes, real_t *x, ptrdiff_t n, const params_t *p) noexcept nogil:
    """What `multiply` made codes of."""
    cdef ptrdiff_t j
    cdef int32_t zero_point = p.zero_point
    cdef real_t scale = <real_t> p.scale, plus = <real_t> p.plus
    cdef const int32_t *z = p.zero_points
    cdef const real_t *scales = <const real_t *> p.scales
    cdef const real_t *pluses = <const real_t *> p.pluses
    if p.columns:
        for j in range(n):
            x[j] = <real_t> (<double> codes[j] - <double> z[j]) / scales[j] + pluses[j]
    else:
        for j in range(n):
            x[j] = <real_t> (<double> codes[j] - <double> zero_point) / scale + plus


cdef inline void floats_to_reals(const int32_t *codes, real_t *x, ptrdiff_t n, const params_t *p,
                                 int code) noexcept nogil:
    cdef ptrdiff_t j
    cdef real_t scale = <real_t> p.scale, plus = <real_t> p.plus
    cdef const float *values = fq_float_values[code]
    cdef const real_t *scales = <const real_t *> p.scales
    cdef const real_t *pluses = <const real_t *> p.pluses
    if p.columns:
        for j in range(n):
            x[j] = values[codes[j]] * scales[j] + pluses[j]
    else:
        for j in range(n):
            x[j] = values[codes[j]] * scale + plus
