/* What one element becomes. The portable loops call these; the lane bodies in spans.inc.h compute the same values by
 * other means, and the tests compare the two. fastquant/_reference.py says the same in NumPy.
 *
 * A *level* is a code less its zero point: the integer nearest to x / scale. Each code type has a lowest and a highest
 * level, and because both are integers, clamping before rounding gives the same code as rounding before clamping.
 *
 * The division is a true one. x * (1 / scale) is another number: it rounds twice, and moves up to one input in
 * thirty million across a tie.
 *
 * Compile without contraction (-ffp-contract=off): q * scale + offset rounds twice by definition. */
#ifndef FQ_NUMERICS_H
#define FQ_NUMERICS_H

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__FAST_MATH__) || FLT_EVAL_METHOD != 0
#error "results would not be exact: build without -ffast-math, and on 32-bit x86 with -msse2 -mfpmath=sse"
#endif

/* Zero points up to this far from 0 are "near": levels fit float32 and saturating int16 arithmetic exactly.
 * Beyond, the same steps run in float64, which holds every level of every int32 zero point. */
#define FQ_NEAR 16384

static inline int fq_is_far(int32_t zero_point)
{
    return zero_point < -FQ_NEAR || zero_point > FQ_NEAR;
}

/* Adding 1.5 * 2^23 pushes the fraction bits out of a float, so that the addition itself rounds to nearest, ties to
 * even, and the integer can be read from the low bits: no rounding instruction, no call, for any vectoriser.
 * |v| <= 2^22 (2^51 below). */
static inline int32_t fq_nearest_f32(float v)
{
    float shifted = v + 12582912.0f;
    int32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    return bits - 0x4B400000;
}

/* The low 32 bits of the nearest integer. */
static inline uint32_t fq_nearest_f64(double v)
{
    double shifted = v + 6755399441055744.0;
    uint64_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    return (uint32_t)bits;
}

/* The comparisons are false for NaN, which therefore becomes the lowest level. */
static inline int32_t fq_code_f32(float x, float scale, float offset, float low, float high, int32_t zero_point)
{
    float y = (x - offset) / scale;
    y = y > low ? y : low;
    y = y < high ? y : high;
    return fq_nearest_f32(y) + zero_point;
}

/* From a quotient: float32 with a far zero point, and all of float64. */
static inline int32_t fq_code_f64(double y, double low, double high, int32_t zero_point)
{
    y = y > low ? y : low;
    y = y < high ? y : high;
    return (int32_t)(fq_nearest_f64(y) + (uint32_t)zero_point);
}

/* offset is 0 where a zero point is used: adding it is then exact, since no product here is ever -0. */
static inline float fq_real_f32(int32_t code, int32_t zero_point, float scale, float offset)
{
    float product = (float)(code - zero_point) * scale;
    return product + offset;
}

static inline float fq_real_f32_far(int32_t code, int32_t zero_point, float scale, float offset)
{
    float product = (float)((double)code - (double)zero_point) * scale;
    return product + offset;
}

static inline double fq_real_f64(int32_t code, int32_t zero_point, double scale, double offset)
{
    double product = ((double)code - (double)zero_point) * scale;
    return product + offset;
}

/* For ranges: a NaN in v changes nothing. */
static inline float fq_lower_f32(float low, float v) { return v < low ? v : low; }
static inline float fq_higher_f32(float high, float v) { return v > high ? v : high; }
static inline double fq_lower_f64(double low, double v) { return v < low ? v : low; }
static inline double fq_higher_f64(double high, double v) { return v > high ? v : high; }

/* How lane bodies divide by a known float32 scale.
 *
 * FQ_TWO_PRODUCTS: with recip = 1/scale and rest = float32(1/double(scale) - recip), fma(x, recip, x * rest) rounds to
 * the same integer as x / scale, for every significand of scale and every level below 512 in magnitude. The idea is
 * from Brisebarre, Muller and Raina, "Accelerating correctly rounded floating-point division when the divisor is known
 * in advance" (2004); tests/test_division.py repeats the check of all 2^23 significands.
 * FQ_ONE_PRODUCT: the scale is a power of two, so rest is 0 and x * recip is exact.
 * FQ_GENERAL: subtract the offset and divide. For larger levels, where recip or rest would leave the normal range, and
 * for offsets, which are rare. */
enum { FQ_GENERAL, FQ_ONE_PRODUCT, FQ_TWO_PRODUCTS };

#define FQ_TWO_PRODUCTS_LEVELS 512

typedef struct fq_divisor {
    float recip, rest;
    int how;
} fq_divisor;

static inline fq_divisor fq_divisor_of(float scale, float offset, int32_t low, int32_t high)
{
    fq_divisor d = {0.0f, 0.0f, FQ_GENERAL};
    if (offset == 0.0f && low > -FQ_TWO_PRODUCTS_LEVELS && high < FQ_TWO_PRODUCTS_LEVELS
        && scale >= 0x1p-100f && scale <= 0x1p100f) {
        double inverse = 1.0 / (double)scale;
        d.recip = (float)inverse;
        d.rest = (float)(inverse - (double)d.recip);
        d.how = d.rest == 0.0f ? FQ_ONE_PRODUCT : FQ_TWO_PRODUCTS;
    }
    return d;
}

/* A range of reals to a scale and a zero point, in float64, each result rounded once. The asymmetric formulas are those
 * of the ONNX operator DynamicQuantizeLinear; the symmetric ones put the largest magnitude on the highest code, as
 * TensorRT and the ONNX Runtime tools do. lo <= hi, both finite. */
enum { FQ_RANGE_OK, FQ_RANGE_TOO_WIDE, FQ_ZERO_POINT_TOO_FAR };

typedef struct fq_scheme {
    int32_t lowest, highest;       /* of the code type, the lowest raised by one for a narrow range */
    int symmetric, include_zero;
} fq_scheme;

int fq_qparams(double lo, double hi, const fq_scheme *s, float *scale, int32_t *zero_point);
int fq_qparams_f32(float lo, float hi, const fq_scheme *s, float *scale, int32_t *zero_point);

#endif
