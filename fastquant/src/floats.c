/* The tables of floats.h. */
#include "floats.h"

/* 2^(1 - bias) and the power of two above the largest number; the exponents are small enough for constant expressions. */
#define POWER(e) ((e) >= 0 ? (float)(1u << ((e) >= 0 ? (e) : 0)) : 1.0f / (float)(1u << ((e) < 0 ? -(e) : 0)))

#define FLOAT_TYPE(id, name, bits, mantissa, bias, largest, nan, beyond, signed_zero)                       \
    [FQ_##id] = {mantissa, bias, 1u << ((bits) - 1), largest, nan, beyond,                                  \
                 (nan) == (largest) ? 0u : 1u << ((bits) - 1), (signed_zero) ? 1u << ((bits) - 1) : 0u,     \
                 POWER(1 - (bias)), POWER(((largest) >> (mantissa)) - (bias) + 1)},
const fq_float_type fq_float_types[FQ_CODE_COUNT] = {FQ_FLOATS(FLOAT_TYPE)};

float fq_float_values[FQ_CODE_COUNT][256];

static float value_of(uint32_t byte, const fq_float_type *f)
{
    uint32_t sign = byte & f->sign ? 0x80000000u : 0, code = byte & (f->sign - 1);
    int32_t exponent = (int32_t)(code >> f->mantissa), fraction = (int32_t)(code & ((1u << f->mantissa) - 1));
    float v;
    if ((int32_t)code <= f->largest) {
        if (byte == 0x80 && f->nan == 0x80)
            return fq_float_of(0xFFC00000);
        v = exponent == 0 ? (float)fraction : (float)(fraction + (1 << f->mantissa)) * (float)(1 << (exponent - 1));
        v *= f->smallest / (float)(1 << f->mantissa);
        return fq_float_of(fq_bits_of(v) | sign);
    }
    return fq_float_of(((int32_t)code == f->beyond && f->beyond != f->nan ? 0x7F800000u : 0x7FC00000u) | sign);
}

void fq_fill_float_values(void)
{
    for (int type = 0; type < FQ_CODE_COUNT; type++)
        if (fq_code_types[type].is_float)
            for (uint32_t byte = 0; byte < 256; byte++)
                fq_float_values[type][byte] = value_of(byte, &fq_float_types[type]);
}
