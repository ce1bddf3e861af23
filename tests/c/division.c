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
 * the inverse of S modulo a power of two: no search. */
#include <math.h>
#include <string.h>

#include "spans.h"

#define AROUND 5
#define MOST_TIES 65536
#define SMALLEST_TIES 256
#define RESIDUAL 8
#define MOST_HARD 4096

/* Codes of one scale; returns how many are wrong. The arrays are the caller's. */
static int differ(fq_span span, int code, float scale, int zero_point, const float *x, void *q, int n)
{
    const int words = code == FQ_i16 || code == FQ_u16;
    const float low = code == FQ_i16 ? -32768.0f : code == FQ_i8 ? -128.0f : 0.0f;
    const float high = low + (words ? 65535.0f : 255.0f);
    const int32_t z = zero_point;
    int found = 0;
    fq_tile t;
    memset(&t, 0, sizeof t);
    t.in = (const char *)x;
    t.out = q;
    t.rows = t.run = t.packs = 1;
    t.n = n;
    t.scales = &scale;
    t.zero_points = &z;
    t.real = t.precision = FQ_f32;
    t.code = (uint8_t)code;
    span(&t);
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
