/* Small floats: the code types of FQ_FLOATS, and float16 and bfloat16 as real types. One element at a time, branch-free
 * where it matters, for the portable loops; the lane bodies compute the same by other means. */
#ifndef FQ_FLOATS_H
#define FQ_FLOATS_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "spans.h"

static inline uint32_t fq_bits_of(float v) { uint32_t b; memcpy(&b, &v, sizeof b); return b; }
static inline float fq_float_of(uint32_t b) { float v; memcpy(&v, &b, sizeof v); return v; }

typedef struct fq_float_type {
    int32_t mantissa, bias;
    uint32_t sign;                       /* the sign bit */
    int32_t largest, nan, beyond;        /* codes without sign */
    uint32_t nan_sign, zero_sign;        /* the sign bits that NaN and 0 may have */
    float smallest, ceiling;             /* the smallest normal number; a power of two above every finite number */
} fq_float_type;

extern const fq_float_type fq_float_types[FQ_CODE_COUNT];  /* zeros for integers */
extern float fq_float_values[FQ_CODE_COUNT][256];          /* what the codes stand for; all bytes have a value */
void fq_fill_float_values(void);                           /* once, at import */

/* The nearest code, ties to even. Adding a power of two whose last bit weighs as much as the result's last bit makes the
 * addition round there; the low bits of the sum then count steps from the bottom of the number's binade, and each binade
 * below adds 2^mantissa codes. Subnormal codes are the binade of the smallest normal number. */
static inline int32_t fq_float_code(float y, const fq_float_type *f, int beyond)
{
    uint32_t bits = fq_bits_of(y), sign = bits >> 31 ? f->sign : 0;
    float a = fq_float_of(bits & 0x7FFFFFFF), b;
    uint32_t binade, base;
    int32_t code;
    b = a < f->ceiling ? a : f->ceiling;
    binade = fq_bits_of(b > f->smallest ? b : f->smallest) & 0x7F800000;
    base = binade + ((uint32_t)(23 - f->mantissa) << 23);
    code = (int32_t)((binade - fq_bits_of(f->smallest)) >> (23 - f->mantissa));
    code += (int32_t)(fq_bits_of(b + fq_float_of(base)) - base);
    if (code > f->largest)
        code = beyond ? f->beyond : f->largest;
    if (code == 0)
        sign &= f->zero_sign;
    if (a != a) {
        code = f->nan;
        sign &= f->nan_sign;
    }
    return (int32_t)((uint32_t)code | sign);
}

/* float64 to float32 such that rounding once more, to 11 bits or fewer, gives what rounding at once would have given:
 * "round to odd", the last bit says that something was cut off (Boldo and Melquiond, 2005). */
static inline float fq_odd_f32(double y)
{
    float v = (float)y;
    uint32_t bits = fq_bits_of(v);
    if ((double)v != y && y == y) {
        bits -= fabs((double)v) > fabs(y);  /* rounded away from 0: one back */
        bits |= 1;
    }
    return fq_float_of(bits);
}

/* ---- float16 and bfloat16: reals ---- */

static inline float fq_from_f16(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, magnitude = (uint32_t)(h & 0x7FFF) << 13;
    /* Moved into place, the number is 2^112 times too small; subnormals become normal numbers by the product. */
    float v = fq_float_of(magnitude) * 0x1p112f;
    uint32_t bits = fq_bits_of(v);
    if (magnitude >= 0x0F800000)  /* infinity and NaN, made quiet */
        bits = 0x7F800000 | magnitude | (magnitude > 0x0F800000 ? 0x00400000u : 0u);
    return fq_float_of(bits | sign);
}

static inline uint16_t fq_to_f16(float v)
{
    uint32_t bits = fq_bits_of(v), sign = bits >> 16 & 0x8000;
    uint32_t magnitude = bits & 0x7FFFFFFF;
    if (magnitude > 0x7F800000)
        return (uint16_t)(sign | 0x7E00 | (magnitude >> 13 & 0x1FF));
    if (magnitude >= 0x477FF000)  /* 65520 and more round to infinity */
        return (uint16_t)(sign | 0x7C00);
    if (magnitude < 0x38800000) {  /* below 2^-14: the last bit weighs 2^-24, and so does that of 0.5 */
        float shifted = fq_float_of(magnitude) + 0.5f;
        return (uint16_t)(sign | (fq_bits_of(shifted) - 0x3F000000));
    }
    magnitude += 0xFFF + (magnitude >> 13 & 1);
    return (uint16_t)(sign | (magnitude - 0x38000000) >> 13);
}

static inline float fq_from_bf16(uint16_t h)
{
    uint32_t bits = (uint32_t)h << 16;
    if ((bits & 0x7FFFFFFF) > 0x7F800000)
        bits |= 0x00400000;
    return fq_float_of(bits);
}

static inline uint16_t fq_to_bf16(float v)
{
    uint32_t bits = fq_bits_of(v);
    if ((bits & 0x7FFFFFFF) > 0x7F800000)
        return (uint16_t)(bits >> 16 | 0x0040);
    return (uint16_t)((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

#endif
