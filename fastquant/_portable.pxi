# The portable span kernels: plain loops over contiguous buffers that gcc, clang and MSVC vectorise for whatever the
# architecture's baseline is. Included by _kernels.pyx.
#
# Work goes in chunks through small buffers, in steps that each know only one of the types:
#
#     quantize        real type -> reals -> quotients -> int32 codes -> code type
#     dequantize      code type -> int32 codes -> reals -> real type
#     fake_quantize   real type -> reals -> quotients -> int32 codes -> reals -> real type
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
    int16_t
    uint16_t

# Parameters of a row, or of each element of a chunk.
cdef struct params_t:
    bint columns
    double scale, minus, plus      # the offset to subtract, and to add: 0 and -0 change nothing
    int32_t zero_point
    double scales[CHUNK]           # these three: of the arithmetic type, used as such
    double minuses[CHUNK]
    double pluses[CHUNK]
    int32_t zero_points[CHUNK]


# ---- code types ----

cdef inline void narrow(const int32_t *codes, code_t *q, ptrdiff_t n) noexcept nogil:
    cdef ptrdiff_t j
    for j in range(n):
        q[j] = <code_t> codes[j]


cdef inline void widen(const code_t *q, int32_t *codes, ptrdiff_t n) noexcept nogil:
    cdef ptrdiff_t j
    for j in range(n):
        codes[j] = q[j]


cdef inline void narrow_bits(const int32_t *codes, uint8_t *q, ptrdiff_t n, int32_t mask) noexcept nogil:
    cdef ptrdiff_t j
    for j in range(n):
        q[j] = <uint8_t> (codes[j] & mask)


cdef inline void widen_bits(const uint8_t *q, int32_t *codes, ptrdiff_t n, int32_t mask, int32_t sign) noexcept nogil:
    cdef ptrdiff_t j
    for j in range(n):
        codes[j] = ((<int32_t> q[j] & mask) ^ sign) - sign


cdef inline void pack_row(const uint8_t *codes, uint8_t *packed, ptrdiff_t n, int each) noexcept nogil:
    """The code at place k of a byte is k * bits from its low end; spare places at the end of a row are 0."""
    cdef ptrdiff_t j
    cdef int bits = 8 // each, mask = (1 << bits) - 1, place, byte
    for j in range((n + each - 1) // each):
        byte = 0
        for place in range(<int> min(<ptrdiff_t> each, n - j * each)):
            byte |= (codes[j * each + place] & mask) << (place * bits)
        packed[j] = <uint8_t> byte


cdef inline void unpack_row(const uint8_t *packed, uint8_t *codes, ptrdiff_t n, int each) noexcept nogil:
    cdef ptrdiff_t j
    cdef int bits = 8 // each, mask = (1 << bits) - 1, place
    for j in range((n + each - 1) // each):
        for place in range(<int> min(<ptrdiff_t> each, n - j * each)):
            codes[j * each + place] = <uint8_t> ((packed[j] >> (place * bits)) & mask)


cdef inline void store_codes(int code, int packs, const int32_t *codes, char *q, ptrdiff_t n) noexcept nogil:
    cdef uint8_t bytes[CHUNK]
    if packs > 1:
        narrow_bits(codes, bytes, n, 0xFF)
        pack_row(bytes, <uint8_t *> q, n, packs)
    elif code == FQ_i8:
        narrow(codes, <int8_t *> q, n)
    elif code == FQ_u8:
        narrow(codes, <uint8_t *> q, n)
    elif code == FQ_i16:
        narrow(codes, <int16_t *> q, n)
    elif code == FQ_u16:
        narrow(codes, <uint16_t *> q, n)
    else:
        narrow_bits(codes, <uint8_t *> q, n, (1 << fq_code_types[code].bits) - 1)


cdef inline const int32_t *load_codes(int code, int packs, const char *q, int32_t *codes, ptrdiff_t n) noexcept nogil:
    """The codes as int32: in the buffer, or where they are."""
    cdef int32_t sign = 0
    cdef uint8_t bytes[CHUNK]
    if packs > 1:
        unpack_row(<const uint8_t *> q, bytes, n, packs)
        q = <const char *> bytes
    if code == FQ_i32:
        return <const int32_t *> q
    if code == FQ_i8:
        widen(<const int8_t *> q, codes, n)
    elif code == FQ_u8:
        widen(<const uint8_t *> q, codes, n)
    elif code == FQ_i16:
        widen(<const int16_t *> q, codes, n)
    elif code == FQ_u16:
        widen(<const uint16_t *> q, codes, n)
    else:
        if fq_code_types[code].lowest < 0:
            sign = 1 << (fq_code_types[code].bits - 1)
        widen_bits(<const uint8_t *> q, codes, n, (1 << fq_code_types[code].bits) - 1, sign)
    return codes


# ---- real types ----

cdef inline const void *load_reals(int real, const char *x, float *reals, ptrdiff_t n) noexcept nogil:
    """The reals in the type that arithmetic runs in: in the buffer, or where they are."""
    cdef ptrdiff_t j
    if real == FQ_f16:
        for j in range(n):
            reals[j] = fq_from_f16((<const uint16_t *> x)[j])
    elif real == FQ_bf16:
        for j in range(n):
            reals[j] = fq_from_bf16((<const uint16_t *> x)[j])
    else:
        return x
    return reals


cdef inline void store_reals(int real, const float *reals, char *x, ptrdiff_t n) noexcept nogil:
    cdef ptrdiff_t j
    if real == FQ_f16:
        for j in range(n):
            (<uint16_t *> x)[j] = fq_to_f16(reals[j])
    elif real == FQ_bf16:
        for j in range(n):
            (<uint16_t *> x)[j] = fq_to_bf16(reals[j])


# ---- parameters ----

cdef inline void load_row(params_t *p, const fq_tile *t, ptrdiff_t r) noexcept nogil:
    p.columns = False
    p.zero_point = t.zero_points[r * t.zero_point_step]
    p.minus = 0
    p.plus = FQ_NO_OFFSET
    if fq_real_types[t.real].is_double:
        p.scale = (<const double *> t.scales)[r * t.scale_step]
        if t.offsets != NULL:
            p.minus = p.plus = (<const double *> t.offsets)[r * t.offset_step]
    else:
        p.scale = (<const float *> t.scales)[r * t.scale_step]
        if t.offsets != NULL:
            p.minus = p.plus = (<const float *> t.offsets)[r * t.offset_step]


cdef inline void load_columns(params_t *p, real_t *scales, real_t *minuses, real_t *pluses, const fq_tile *t,
                              ptrdiff_t at, ptrdiff_t n) noexcept nogil:
    cdef ptrdiff_t j, set = (t.phase + at) // t.run, left = t.run - (t.phase + at) % t.run
    p.columns = True
    for j in range(n):
        scales[j] = (<const real_t *> t.scales)[set * t.scale_step]
        p.zero_points[j] = t.zero_points[set * t.zero_point_step]
        minuses[j] = 0
        pluses[j] = FQ_NO_OFFSET
        if t.offsets != NULL:
            minuses[j] = pluses[j] = (<const real_t *> t.offsets)[set * t.offset_step]
        left -= 1
        if left == 0:
            left = t.run
            set += 1


# ---- arithmetic ----

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


# ---- a chunk ----

cdef inline void chunk(int op, const fq_tile *t, const char *src, char *dst, ptrdiff_t n, const params_t *p,
                       real_t *direct) noexcept nogil:
    """n elements; direct: where reals go when no half type has to be made of them, or NULL."""
    cdef int32_t buffer[CHUNK]
    cdef real_t reals[CHUNK]
    cdef real_t y[CHUNK]
    cdef const int32_t *codes = buffer
    cdef bint is_float = fq_code_types[t.code].is_float, far = t.far != 0 or t.code == FQ_i32
    if op == FQ_dequantize:
        codes = load_codes(t.code, t.packs, src, buffer, n)
    else:
        quotients(<const real_t *> load_reals(t.real, src, <float *> reals, n), y, n, p, t)
        if is_float:
            float_codes(y, buffer, n, t.code, t.beyond)
        else:
            integer_codes(y, buffer, n, p, t, far)
    if op == FQ_quantize:
        store_codes(t.code, t.packs, codes, dst, n)
        return
    if direct == NULL:
        direct = reals
    if is_float:
        floats_to_reals(codes, direct, n, p, t.code)
    elif real_t is float and t.precision != FQ_f32:
        rounded_reals(codes, <float *> direct, n, p, t)
    elif t.rule != FQ_divide:
        divided_reals(codes, direct, n, p)
    else:
        integers_to_reals(codes, direct, n, p, far)
    store_reals(t.real, <const float *> direct, dst, n)


cdef inline void chunk_of(int op, const fq_tile *t, ptrdiff_t r, ptrdiff_t at, ptrdiff_t n,
                          const params_t *p) noexcept nogil:
    cdef ptrdiff_t real_size = fq_real_types[t.real].size, code_size = fq_code_types[t.code].size
    cdef const char *src = t.src + r * t.src_step + (at * code_size // t.packs if op == FQ_dequantize else at * real_size)
    cdef char *dst = t.dst + r * t.dst_step + (at * code_size // t.packs if op == FQ_quantize else at * real_size)
    if t.real == FQ_f64:
        chunk[double](op, t, src, dst, n, p, <double *> dst)
    else:
        chunk[float](op, t, src, dst, n, p, <float *> dst if t.real == FQ_f32 else NULL)


cdef inline void rows(int op, const fq_tile *t) noexcept nogil:
    cdef params_t p
    cdef ptrdiff_t r, at
    for r in range(t.rows):
        load_row(&p, t, r)
        at = 0
        while at < t.n:
            chunk_of(op, t, r, at, min(<ptrdiff_t> CHUNK, t.n - at), &p)
            at += CHUNK


cdef inline void columns(int op, const fq_tile *t) noexcept nogil:
    cdef params_t p
    cdef ptrdiff_t r, at = 0, n
    while at < t.n:
        n = min(<ptrdiff_t> CHUNK, t.n - at)
        if fq_real_types[t.real].is_double:
            load_columns(&p, <double *> p.scales, <double *> p.minuses, <double *> p.pluses, t, at, n)
        else:
            load_columns(&p, <float *> p.scales, <float *> p.minuses, <float *> p.pluses, t, at, n)
        for r in range(t.rows):
            chunk_of(op, t, r, at, n, &p)
        at += CHUNK


# ---- ranges: NaN is found by a sum, as extents.inc.h explains ----

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


cdef inline void extents(const fq_tile *t, real_t *lo, real_t *hi, real_t *poison, bint columns) noexcept nogil:
    cdef float reals[CHUNK]
    cdef const real_t *x
    cdef ptrdiff_t r, at, n, e
    cdef ptrdiff_t most = t.n if t.real == FQ_f32 or t.real == FQ_f64 else CHUNK  # half types go through the buffer
    for r in range(t.rows):
        e = r * t.extent_step
        at = 0
        while at < t.n:
            n = min(most, t.n - at)
            x = <const real_t *> load_reals(t.real, t.src + r * t.src_step + at * fq_real_types[t.real].size, reals, n)
            if columns:
                extent_columns(x, n, lo + at, hi + at, poison + at)
            else:
                extent_of(x, n, lo + e, hi + e, poison + e)
            at += n


cdef inline void extents_of(const fq_tile *t, bint columns) noexcept nogil:
    if t.n == 0:
        return
    if fq_real_types[t.real].is_double:
        extents(t, <double *> t.lo, <double *> t.hi, <double *> t.poison, columns)
    else:
        extents(t, <float *> t.lo, <float *> t.hi, <float *> t.poison, columns)


# ---- the rows of the portable table ----

cdef void portable_quantize(const fq_tile *t) noexcept nogil:
    rows(FQ_quantize, t)


cdef void portable_quantize_columns(const fq_tile *t) noexcept nogil:
    columns(FQ_quantize, t)


cdef void portable_dequantize(const fq_tile *t) noexcept nogil:
    rows(FQ_dequantize, t)


cdef void portable_dequantize_columns(const fq_tile *t) noexcept nogil:
    columns(FQ_dequantize, t)


cdef void portable_fake_quantize(const fq_tile *t) noexcept nogil:
    rows(FQ_fake_quantize, t)


cdef void portable_fake_quantize_columns(const fq_tile *t) noexcept nogil:
    columns(FQ_fake_quantize, t)


cdef void portable_minmax(const fq_tile *t) noexcept nogil:
    extents_of(t, False)


cdef void portable_minmax_columns(const fq_tile *t) noexcept nogil:
    extents_of(t, True)


cdef void portable_pack(const fq_tile *t) noexcept nogil:
    cdef ptrdiff_t r
    for r in range(t.rows):
        pack_row(<const uint8_t *> (t.src + r * t.src_step), <uint8_t *> (t.dst + r * t.dst_step), t.n, t.packs)


cdef void portable_unpack(const fq_tile *t) noexcept nogil:
    cdef ptrdiff_t r
    for r in range(t.rows):
        unpack_row(<const uint8_t *> (t.src + r * t.src_step), <uint8_t *> (t.dst + r * t.dst_step), t.n, t.packs)


cdef inline void signs_row(const real_t *x, uint8_t *bits, ptrdiff_t n) noexcept nogil:
    cdef ptrdiff_t j, k
    cdef int byte
    for j in range((n + 7) // 8):
        byte = 0
        for k in range(8):
            byte = byte << 1 | (j * 8 + k < n and x[j * 8 + k] > 0)
        bits[j] = <uint8_t> byte


cdef void portable_signs(const fq_tile *t) noexcept nogil:
    cdef float reals[CHUNK]
    cdef ptrdiff_t r, at = 0, n
    cdef const void *x
    for r in range(t.rows):
        at = 0
        while at < t.n:
            n = min(<ptrdiff_t> CHUNK, t.n - at)
            x = load_reals(t.real, t.src + r * t.src_step + at * fq_real_types[t.real].size, reals, n)
            if t.real == FQ_f64:
                signs_row(<const double *> x, <uint8_t *> (t.dst + r * t.dst_step) + at // 8, n)
            else:
                signs_row(<const float *> x, <uint8_t *> (t.dst + r * t.dst_step) + at // 8, n)
            at += CHUNK


cdef void fill_portable_table() noexcept:
    cdef int real, code
    for real in range(FQ_REAL_COUNT):
        for code in range(FQ_CODE_COUNT):
            fq_portable_spans[<int> FQ_dequantize][real][code] = portable_dequantize
            fq_portable_spans[<int> FQ_dequantize_columns][real][code] = portable_dequantize_columns
            if code == FQ_i32:  # to read, not to make
                continue
            fq_portable_spans[<int> FQ_quantize][real][code] = portable_quantize
            fq_portable_spans[<int> FQ_quantize_columns][real][code] = portable_quantize_columns
            fq_portable_spans[<int> FQ_fake_quantize][real][code] = portable_fake_quantize
            fq_portable_spans[<int> FQ_fake_quantize_columns][real][code] = portable_fake_quantize_columns
        fq_portable_spans[<int> FQ_signs][real][0] = portable_signs
        fq_portable_spans[<int> FQ_minmax][real][0] = portable_minmax
        fq_portable_spans[<int> FQ_minmax_columns][real][0] = portable_minmax_columns
    for code in range(FQ_CODE_COUNT):
        if fq_code_types[code].bits == 4 or fq_code_types[code].bits == 2:
            fq_portable_spans[<int> FQ_pack][<int> FQ_f32][code] = portable_pack
            fq_portable_spans[<int> FQ_unpack][<int> FQ_f32][code] = portable_unpack
