# Portable span kernels: code types, real types and parameters, each in loops of its own. Included by _portable.pxi.

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
