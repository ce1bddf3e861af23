/* What is called once a range or once a row and so need not be inlined; and must not be, where a compiler could move its
 * arithmetic out of fq_fpenv_enter ... fq_fpenv_leave. */
#include "numerics.h"

int fq_qparams(double lo, double hi, const fq_scheme *s, float *scale, int32_t *zero_point)
{
    double range, step, zero;
    double middle = s->lowest < 0.0 ? 0.0 : (s->highest + 1.0) / 2.0;

    if (s->symmetric) {
        range = -lo > hi ? -lo : hi;
        step = range / (s->highest - middle);
    } else {
        if (s->include_zero) {
            lo = lo < 0.0 ? lo : 0.0;
            hi = hi > 0.0 ? hi : 0.0;
        }
        range = hi - lo;
        step = range / (s->highest - s->lowest);
    }
    if (range == 0.0)
        step = 1.0;
    else if (step < (double)FLT_MIN)
        step = (double)FLT_MIN;
    *scale = (float)step;
    if (!(*scale <= FLT_MAX))
        return FQ_RANGE_TOO_WIDE;

    if (s->symmetric) {
        *zero_point = (int32_t)middle;
        return FQ_RANGE_OK;
    }
    zero = nearbyint(s->lowest - lo / step);
    if (s->include_zero) {
        zero = zero > s->lowest ? zero : s->lowest;
        zero = zero < s->highest ? zero : s->highest;
    } else if (!(zero >= -2147483648.0 && zero <= 2147483647.0)) {
        return FQ_ZERO_POINT_TOO_FAR;
    }
    *zero_point = (int32_t)zero;
    return FQ_RANGE_OK;
}

void fq_round_f32(const double *v, float *rounded)
{
    *rounded = (float)*v;
}

/* float32 to float64 is arithmetic too: under "denormals are zero" it would flush. */
int fq_qparams_f32(float lo, float hi, const fq_scheme *s, float *scale, int32_t *zero_point)
{
    return fq_qparams((double)lo, (double)hi, s, scale, zero_point);
}

/* Bits of numbers > 0 are integers from 1 up to those of infinity: no comparison of floats, which could take a subnormal
 * for 0, and no branch, so that compilers use vectors. */
int fq_are_scales_f32(const float *v, ptrdiff_t n)
{
    uint32_t wrong = 0;
    for (ptrdiff_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, v + i, sizeof bits);
        wrong |= bits - 1 >= 0x7F7FFFFFu;
    }
    return !wrong;
}

int fq_are_scales_f64(const double *v, ptrdiff_t n)
{
    uint64_t wrong = 0;
    for (ptrdiff_t i = 0; i < n; i++) {
        uint64_t bits;
        memcpy(&bits, v + i, sizeof bits);
        wrong |= bits - 1 >= 0x7FEFFFFFFFFFFFFFu;
    }
    return !wrong;
}
