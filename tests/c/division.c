/* Do quantize spans agree with a true division wherever they could fail to?
 *
 * An error of the quotient changes a code only where x / scale is near a tie, level + 1/2. Two ways to find such x, both
 * through the shipped span, whose address the test passes in. The oracle divides and rounds with the C library's
 * operations and nothing else.
 *
 * count_differences: for each significand of scale and each tie of the levels that codes of 8 or 16 bits can have, the
 * five floats around tie * scale.
 *
 * count_hard_differences: the only inputs that can fail, of which there are few enough to try all for every significand.
 * Let S, X and Q be integers of 24 bits, the significands of scale, x and a tie, so that x / scale is X * 2^j / S in units
 * of the quotient's last place; j is 23 or 24. A quotient computed with an error of less than E such units rounds to
 * another float than the exact one only if a midpoint of two floats is that near, and the two make different codes only if
 * one of them is the tie: the midpoint is M / 2 with M = 2 Q + 1 or 2 Q - 1. Their distance is
 *
 *     (X * 2^(j+1) - M * S) / (2 * S),  so that  |X * 2^(j+1) - M * S| < 2 * S * E < 2^25 * E.
 *
 * For the corrected quotient E <= 2^-22 (the first product is within 2 units, the relative error of its correction within
 * 2 * 2^-24); for two products E <= 2^-23. So the integer r = X * 2^(j+1) - M * S is at most 8 in magnitude, and M is -r times
 * the inverse of S modulo a power of two: no search.
 *
 * Float codes: their ties are those of integers below 16, times a power of two for each binade (count_float_differences,
 * count_hard_float_differences). There the oracle is fq_float_code, which makes no use of the scale. */
#include <math.h>
#include <string.h>

#include "spans.h"

/* The table of float types; what else is in that file is not used here. */
const fq_code_type fq_code_types[FQ_CODE_COUNT];
#include "floats.c"

#define AROUND 5
#define MOST_TIES 65536
#define SMALLEST_TIES 256
#define RESIDUAL 8
#define MOST_HARD 4096

static void quantize(fq_span span, int code, float scale, const int32_t *zero_point, const float *x, void *q, int n)
{
    fq_tile t;
    memset(&t, 0, sizeof t);
    t.in = (const char *)x;
    t.out = q;
    t.rows = t.run = t.packs = 1;
    t.n = n;
    t.scales = &scale;
    t.zero_points = zero_point;
    t.real = t.precision = FQ_f32;
    t.code = (uint8_t)code;
    span(&t);
}

/* Codes of one scale; returns how many are wrong. The arrays are the caller's. */
static int differ(fq_span span, int code, float scale, int zero_point, const float *x, void *q, int n)
{
    const int words = code == FQ_i16 || code == FQ_u16;
    const float low = code == FQ_i16 ? -32768.0f : code == FQ_i8 ? -128.0f : 0.0f;
    const float high = low + (words ? 65535.0f : 255.0f);
    const int32_t z = zero_point;
    int found = 0;
    quantize(span, code, scale, &z, x, q, n);
    /* Sums of integers below 2^24; what is larger saturates. */
#define COUNT(type)                                                        \
    for (int i = 0; i < n; i++) {                                          \
        float y = nearbyintf(x[i] / scale) + (float)zero_point;            \
        y = y < low ? low : y > high ? high : y;                           \
        found += (int)y != (int)((const type *)q)[i];                      \
    }
    switch (code) {
    case FQ_i8: COUNT(int8_t) break;
    case FQ_u8: COUNT(uint8_t) break;
    case FQ_i16: COUNT(int16_t) break;
    default: COUNT(uint16_t) break;
    }
    return found;
}

static float scale_of(long s, int exponent) { return ldexpf(1.0f + (float)s / 8388608.0f, exponent); }

/* Significands first, first + step, ... below last, times 2^exponent. Returns the number of wrong codes. */
long long count_differences(fq_span span, int code, long first, long last, long step, int exponent)
{
    /* Levels -511 to 511, the most that two products serve; or those of all near zero points. */
    static const int near_bytes[] = {511, 256, 0, -256}, near_words[] = {16384, 0, -16384};
    static _Thread_local float x[MOST_TIES * AROUND];
    static _Thread_local uint16_t q[MOST_TIES * AROUND];
    const int words = code == FQ_i16 || code == FQ_u16, ties = words ? MOST_TIES : SMALLEST_TIES;
    const int lowest = code == FQ_i16 ? -32768 : code == FQ_i8 ? -128 : 0;
    long long found = 0;
    for (long s = first; s < last; s += step) {
        const float scale = scale_of(s, exponent);
        for (int z = 0; z < (words ? 3 : 4); z++) {
            const int zero_point = words ? near_words[z] : near_bytes[z] + lowest;
            for (int k = 0; k < ties; k++) {
                float nearest = (float)(((double)(lowest + k - zero_point) + 0.5) * (double)scale); /* exact in double */
                int bits;
                memcpy(&bits, &nearest, sizeof bits);
                for (int d = 0; d < AROUND; d++) {
                    int near_by = bits + d - AROUND / 2;
                    memcpy(&x[d * ties + k], &near_by, sizeof near_by);
                }
            }
            found += differ(span, code, scale, zero_point, x, q, ties * AROUND);
        }
    }
    return found;
}

/* Inputs within RESIDUAL of a midpoint next to a tie, of levels below `levels`, for the significand S. */
static int hard_inputs(uint32_t S, int exponent, uint32_t levels, float *x)
{
    const int t = __builtin_ctz(S);
    const int most = RESIDUAL >> t;  /* of r / 2^t, which is odd, as M is */
    const uint32_t odd = S >> t;
    uint32_t inverse = odd;  /* modulo 8; each step doubles the bits */
    int n = 0;
    for (int i = 0; i < 4; i++)
        inverse *= 2 - odd * inverse;
    for (int j = 23; j <= 24; j++)
        for (int r = -most | 1; r <= most; r += 2) {
            const uint32_t modulus = 1u << (j + 1 - t);
            uint32_t M = (uint32_t)-r * inverse & (modulus - 1);
            for (M += (1u << 24) / modulus * modulus; M < 1u << 25; M += modulus) {
                const uint64_t X = ((uint64_t)M * S + (uint64_t)((int64_t)r * (1 << t))) >> (j + 1);
                if (M < 1u << 24 || X < 1u << 23 || X >= 1u << 24)
                    continue;
                for (uint32_t Q = M / 2; Q <= M / 2 + 1; Q++) {
                    const int v = __builtin_ctz(Q);
                    if ((Q >> v) / 2 < levels && n < MOST_HARD)
                        x[n++] = ldexpf((float)X, j - v - 24 + exponent);  /* the tie is Q * 2^(-v-1) */
                }
            }
        }
    return n;
}

/* As above, but through the hard inputs alone, of both signs. `tried` counts them. */
long long count_hard_differences(fq_span span, int code, long first, long last, long step, int exponent,
                                 long long *tried)
{
    static const int near_words[] = {0, -16384, 16384}, near_bytes[] = {0, -256, 256, -511, 511};
    const int words = code == FQ_i16 || code == FQ_u16;
    float x[2 * MOST_HARD];
    uint16_t q[2 * MOST_HARD];
    long long found = 0;
    *tried = 0;
    for (long s = first; s < last; s += step) {
        const int n = hard_inputs((uint32_t)s + (1u << 23), exponent, words ? 81920 : 512, x);
        if (n == 0)
            continue;
        for (int i = 0; i < n; i++)
            x[n + i] = -x[i];
        for (int z = 0; z < (words ? 3 : 5); z++)
            found += differ(span, code, scale_of(s, exponent), words ? near_words[z] : near_bytes[z], x, q, 2 * n);
        *tried += 2 * n;
    }
    return found;
}

/* The number of significands for which two products fail at levels below 131072: that they do shows that the hard inputs
 * are hard, and why 16-bit codes take another way. */
long long two_products_fail(long first, long last, long step)
{
    float x[MOST_HARD];
    long long found = 0;
    for (long s = first; s < last; s += step) {
        const float scale = scale_of(s, 0);
        const int n = hard_inputs((uint32_t)s + (1u << 23), 0, 131072, x);
        const double inverse = 1.0 / (double)scale;
        const float recip = (float)inverse, rest = (float)(inverse - (double)recip);
        int wrong = 0;
        for (int i = 0; i < n; i++)
            wrong |= nearbyintf(fmaf(x[i], recip, x[i] * rest)) != nearbyintf(x[i] / scale);
        found += wrong;
    }
    return found;
}

/* ---- float codes ---- */

#define BINADES 40
#define FLOAT_LEVELS 16  /* a binade ends at most so many of its own steps from 0 */
#define MOST_FLOATS (BINADES * MOST_HARD / 8)

static int differ_floats(fq_span span, int code, float scale, const float *x, uint8_t *q, int n)
{
    const int32_t none = 0;
    int found = 0;
    quantize(span, code, scale, &none, x, q, n);
    for (int i = 0; i < n; i++)
        found += fq_float_code(x[i] / scale, &fq_float_types[code], 0) != q[i];
    return found;
}

/* Exponents of the steps between codes: of the subnormal ones up to that beyond the largest code. */
static void steps_of(int code, int *lowest, int *highest)
{
    const fq_float_type *f = &fq_float_types[code];
    *lowest = ilogbf(f->smallest) - f->mantissa;
    *highest = ilogbf(f->ceiling) - f->mantissa;
}

/* The significands that have hard inputs at those ties: at most `most`. `inputs` counts these, of one binade and sign. */
int hard_float_significands(int32_t *significands, int most, int *inputs)
{
    float hard[MOST_HARD];
    int n = 0;
    *inputs = 0;
    for (int32_t s = 0; s < 1 << 23; s++) {
        const int m = hard_inputs((uint32_t)s + (1u << 23), 0, FLOAT_LEVELS, hard);
        if (m > 0 && n < most)
            significands[n++] = s;
        *inputs += m;
    }
    return n;
}

/* Wrong codes at the hard inputs of so many significands, in all binades and of both signs. */
long long count_hard_float_differences(fq_span span, int code, const int32_t *significands, int count, int exponent)
{
    static _Thread_local float x[MOST_FLOATS];
    static _Thread_local uint8_t q[MOST_FLOATS];
    long long found = 0;
    int low, high;
    steps_of(code, &low, &high);
    for (int k = 0; k < count; k++) {
        float hard[MOST_HARD];
        const int m = hard_inputs((uint32_t)significands[k] + (1u << 23), exponent, FLOAT_LEVELS, hard);
        int n = 0;
        for (int e = low; e <= high; e++)
            for (int i = 0; i < m && n + 1 < MOST_FLOATS; i++) {
                x[n++] = ldexpf(hard[i], e);
                x[n++] = -ldexpf(hard[i], e);
            }
        found += differ_floats(span, code, scale_of(significands[k], exponent), x, q, n);
    }
    return found;
}

/* The floats around every tie, of both signs. */
long long count_float_differences(fq_span span, int code, long first, long last, long step, int exponent)
{
    static _Thread_local float x[MOST_FLOATS];
    static _Thread_local uint8_t q[MOST_FLOATS];
    const fq_float_type *f = &fq_float_types[code];
    const int codes = 1 << f->mantissa;
    long long found = 0;
    int low, high;
    steps_of(code, &low, &high);
    for (long s = first; s < last; s += step) {
        const float scale = scale_of(s, exponent);
        int n = 0;
        for (int e = low; e <= high; e++)
            for (int k = e == low ? 0 : codes; k < 2 * codes; k++) {
                const float nearest = (float)(ldexp(k + 0.5, e) * (double)scale); /* exact in double */
                for (int d = -(AROUND / 2); d <= AROUND / 2; d++) {
                    const float near_by = fq_float_of(fq_bits_of(nearest) + (uint32_t)d);
                    x[n++] = near_by;
                    x[n++] = -near_by;
                }
            }
        found += differ_floats(span, code, scale, x, q, n);
    }
    return found;
}

/* The number of those significands for which one product, x * (1 / scale), fails at their hard inputs. */
int one_product_fails(const int32_t *significands, int count)
{
    int found = 0;
    for (int k = 0; k < count; k++) {
        float x[MOST_HARD];
        const float scale = scale_of(significands[k], 0), recip = 1.0f / scale;
        const int n = hard_inputs((uint32_t)significands[k] + (1u << 23), 0, FLOAT_LEVELS, x);
        int wrong = 0;
        for (int i = 0; i < n; i++)
            wrong |= nearbyintf(x[i] * recip) != nearbyintf(x[i] / scale);
        found += wrong;
    }
    return found;
}
