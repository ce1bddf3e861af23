/* Does a quantize span agree with a true division wherever it could fail to?
 *
 * An error of the quotient can change a code only where x / scale is near a tie, level + 1/2. For each significand of
 * scale and each tie of the levels below 512 this tries the five floats around tie * scale, through the shipped span,
 * whose address the test passes in. The oracle divides and rounds with the C library's operations and nothing else. */
#include <math.h>
#include <string.h>

#include "spans.h"

#define TIES 256 /* a uint8 span sees this many at a time */
#define AROUND 5

static int differ(fq_span span, float scale, int zero_point, float *x, unsigned char *q)
{
    int found = 0;
    fq_affine p;
    memset(&p, 0, sizeof p);
    p.scale = scale;
    p.zero_point = zero_point;
    p.lowest = 0;
    p.highest = 255;
    p.real = FQ_f32;
    p.code = FQ_u8;
    for (int k = 0; k < TIES; k++) {
        double tie = (double)(k - zero_point) + 0.5;
        float nearest = (float)(tie * (double)scale); /* at most 34 bits: the product is exact in double */
        int bits;
        memcpy(&bits, &nearest, sizeof bits);
        for (int d = 0; d < AROUND; d++) {
            int near_by = bits + d - AROUND / 2;
            memcpy(&x[d * TIES + k], &near_by, sizeof near_by);
        }
    }
    span(x, q, TIES * AROUND, &p);
    for (int i = 0; i < TIES * AROUND; i++) {
        float code = nearbyintf(x[i] / scale) + (float)zero_point;
        code = code < 0.0f ? 0.0f : code > 255.0f ? 255.0f : code;
        found += (int)code != (int)q[i];
    }
    return found;
}

/* Significands first, first + step, ... below last, times 2^exponent. Returns the number of wrong codes. */
long long count_differences(fq_span span, long first, long last, long step, int exponent)
{
    static const int zero_points[] = {511, 256, 0, -256}; /* levels -511 to 511 */
    float x[TIES * AROUND];
    unsigned char q[TIES * AROUND];
    long long found = 0;
    for (long s = first; s < last; s += step)
        for (int z = 0; z < 4; z++)
            found += differ(span, ldexpf(1.0f + (float)s / 8388608.0f, exponent), zero_points[z], x, q);
    return found;
}
