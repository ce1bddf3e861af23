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
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__FAST_MATH__) || FLT_EVAL_METHOD != 0
#error "results would not be exact: build without -ffast-math, and on 32-bit x86 with -msse2 -mfpmath=sse"
#endif

/* Zero points up to this far from 0 are "near": levels fit float32 and, of bytes, saturating int16 arithmetic exactly; of
 * 16-bit codes they are below the 131072 up to which FQ_CORRECTED is right. Beyond, the same steps run in float64, which
 * holds every level of every int32 zero point. */
#define FQ_NEAR 16384
#define FQ_NEAR_16_BITS 65536

static inline int fq_is_far(int32_t zero_point, int bits)
{
    const int32_t near = bits > 8 ? FQ_NEAR_16_BITS : FQ_NEAR;
    return zero_point < -near || zero_point > near;
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
static inline int32_t fq_code_f32(float quotient, float low, float high, int32_t zero_point)
{
    float y = quotient > low ? quotient : low;
    y = y < high ? y : high;
    return fq_nearest_f32(y) + zero_point;
}

/* With a far zero point, and all of float64. */
static inline int32_t fq_code_f64(double quotient, double low, double high, int32_t zero_point)
{
    double y = quotient > low ? quotient : low;
    y = y < high ? y : high;
    return (int32_t)(fq_nearest_f64(y) + (uint32_t)zero_point);
}

/* -0 is the offset that changes nothing, whatever the product's sign. */
#define FQ_NO_OFFSET (-0.0f)

static inline float fq_real_f32(int32_t code, int32_t zero_point, float scale, float offset)
{
    float product = (float)(code - zero_point) * scale;
    return product + offset;
}

/* The difference of two int32 is exact in float64, and rounded once. */
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

/* How lane bodies divide by known float32 scales.
 *
 * FQ_TWO_PRODUCTS: with recip = 1/scale and rest = float32(1/double(scale) - recip), fma(x, recip, x * rest) rounds to
 * the same integer as x / scale, for every significand of scale and every level below 512 in magnitude. The idea is
 * from Brisebarre, Muller and Raina, "Accelerating correctly rounded floating-point division when the divisor is known
 * in advance" (2004); tests/test_division.py repeats the check of all 2^23 significands.
 * FQ_ONE_PRODUCT: the scale is a power of two, so rest is 0 and x * recip is exact.
 * FQ_CORRECTED: p = x * recip, then fma(fma(-p, scale, x), recip, p) (Markstein, 1990): the same for levels below 131072,
 * that is, for 16-bit codes with near zero points.
 * FQ_GENERAL: subtract the offset and divide. For other levels, where recip or rest would leave the normal range, and
 * for offsets, which are rare. */
enum { FQ_GENERAL, FQ_ONE_PRODUCT, FQ_TWO_PRODUCTS, FQ_CORRECTED };

/* The other rules (kernels.def.h), which have nothing to be clever about: FQ_MULTIPLIED is `multiply` and `multiply_shift`
 * in one, (x - minus) * scale + plus, since -0 added to anything changes nothing. */
enum { FQ_MULTIPLIED = FQ_CORRECTED + 1, FQ_FLOORED };

#define FQ_TWO_PRODUCTS_LEVELS 512
#define FQ_SMALLEST_DIVISOR 0x1p-100f
#define FQ_LARGEST_DIVISOR 0x1p100f

/* Ranges of reals to scales and zero points, in float64, each result rounded once. The asymmetric formulas are those
 * of the ONNX operator DynamicQuantizeLinear; the symmetric ones put the largest magnitude on the highest code, as
 * TensorRT and the ONNX Runtime tools do. lo <= hi, both finite. FQ_RANGE_OK if all n ranges have them. */
enum { FQ_RANGE_OK, FQ_RANGE_TOO_WIDE, FQ_ZERO_POINT_TOO_FAR };

typedef struct fq_scheme {
    double lowest, highest;        /* of the code type; the lowest is raised by one for a narrow range */
    int symmetric, include_zero;
} fq_scheme;

/* That of a code type; 0 for what float codes do not have. */
int fq_scheme_of(fq_scheme *s, int code, int symmetric, int narrow_range, int include_zero);

/* Whether all of n numbers are finite, and > 0 for scales. */
int fq_are_scales_f32(const float *v, ptrdiff_t n);
int fq_are_scales_f64(const double *v, ptrdiff_t n);
int fq_are_finite_f32(const float *v, ptrdiff_t n);
int fq_are_finite_f64(const double *v, ptrdiff_t n);

/* float64 to float32 by rounding, as arithmetic does it. */
void fq_round_f32(const double *v, float *rounded);

int fq_qparams_f32(const float *lo, const float *hi, ptrdiff_t n, const fq_scheme *s, float *scale, int32_t *zero_point);
int fq_qparams_f64(const double *lo, const double *hi, ptrdiff_t n, const fq_scheme *s, float *scale,
                   int32_t *zero_point);

/* n ranges as spans found them: -0 becomes +0, so that the result does not depend on the order of comparisons. False if
 * one is not finite. */
int fq_settle_f32(float *lo, float *hi, const float *poison, ptrdiff_t n);
int fq_settle_f64(double *lo, double *hi, const double *poison, ptrdiff_t n);

#endif
