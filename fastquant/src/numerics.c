/* What is called once a range or once a row and so need not be inlined; and must not be, where a compiler could move its
 * arithmetic out of fq_fpenv_enter ... fq_fpenv_leave. */
#include "floats.h"
#include "numerics.h"
#include "spans.h"

/* The formulas, without branches: over many ranges they become vectors. */

static inline double middle_of(const fq_scheme *s)
{
    return s->lowest < 0.0 ? 0.0 : (s->highest + 1.0) / 2.0;
}

static inline double step_of(double range, double levels)
{
    double step = range / levels;
    step = step < (double)FLT_MIN ? (double)FLT_MIN : step;
    return range == 0.0 ? 1.0 : step;
}

static inline double symmetric_step(double lo, double hi, double levels)
{
    return step_of(-lo > hi ? -lo : hi, levels);
}

/* Adding and subtracting 1.5 * 2^52 rounds to nearest; what is so large that it does not is too far anyway. */
static inline double zero_of(double lo, double step, double lowest)
{
    double zero = lowest - lo / step;
    return (zero + 6755399441055744.0) - 6755399441055744.0;
}

static inline double within(double v, double low, double high)
{
    v = v > low ? v : low;
    return v < high ? v : high;
}

/* float32 to float64 is arithmetic too, which under "denormals are zero" would flush: hence a function for each. */
#define QPARAMS(name, real)                                                                                         \
    int name(const real *lo, const real *hi, ptrdiff_t n, const fq_scheme *s, float *scale, int32_t *zero_point)    \
    {                                                                                                               \
        const double lowest = s->lowest, highest = s->highest, middle = middle_of(s);                               \
        int wide = 0, far = 0;                                                                                      \
        if (s->symmetric) {                                                                                         \
            for (ptrdiff_t i = 0; i < n; i++) {                                                                     \
                scale[i] = (float)symmetric_step((double)lo[i], (double)hi[i], highest - middle);                   \
                wide |= !(scale[i] <= FLT_MAX);                                                                     \
                zero_point[i] = (int32_t)middle;                                                                    \
            }                                                                                                       \
        } else if (s->include_zero) {                                                                               \
            for (ptrdiff_t i = 0; i < n; i++) {                                                                     \
                double low = (double)lo[i] < 0.0 ? (double)lo[i] : 0.0, high = (double)hi[i] > 0.0 ? (double)hi[i] : 0.0; \
                double step = step_of(high - low, highest - lowest);                                                \
                scale[i] = (float)step;                                                                             \
                wide |= !(scale[i] <= FLT_MAX);                                                                     \
                zero_point[i] = (int32_t)zero_of(low, step, lowest);  /* a code, since 0 is in the range */         \
            }                                                                                                       \
        } else {                                                                                                    \
            for (ptrdiff_t i = 0; i < n; i++) {                                                                     \
                double step = step_of((double)hi[i] - (double)lo[i], highest - lowest);                             \
                double zero = zero_of((double)lo[i], step, lowest);                                                 \
                scale[i] = (float)step;                                                                             \
                wide |= !(scale[i] <= FLT_MAX);                                                                     \
                far |= !(zero >= -2147483648.0 && zero <= 2147483647.0);                                            \
                zero_point[i] = (int32_t)within(zero, -2147483648.0, 2147483647.0);                                 \
            }                                                                                                       \
        }                                                                                                           \
        return wide ? FQ_RANGE_TOO_WIDE : far ? FQ_ZERO_POINT_TOO_FAR : FQ_RANGE_OK;                                \
    }
QPARAMS(fq_qparams_f32, float)
QPARAMS(fq_qparams_f64, double)

/* + 0 makes +0 of -0 and changes nothing else. */
#define SETTLE(name, real)                                                              \
    int name(real *lo, real *hi, const real *poison, ptrdiff_t n)                       \
    {                                                                                   \
        int wrong = 0;                                                                  \
        for (ptrdiff_t i = 0; i < n; i++) {                                             \
            lo[i] += 0;                                                                 \
            hi[i] += 0;                                                                 \
            wrong |= !(lo[i] > (real)-INFINITY) | !(hi[i] < (real)INFINITY);            \
            wrong |= !(poison[i] == poison[i]);                                         \
        }                                                                               \
        return !wrong;                                                                  \
    }
SETTLE(fq_settle_f32, float)
SETTLE(fq_settle_f64, double)

void fq_round_f32(const double *v, float *rounded)
{
    *rounded = (float)*v;
}

/* By their bits: no comparison of floats, which could take a subnormal for 0, and no branch, so that compilers use
 * vectors. Numbers > 0 are integers from 1 up to infinity's bits; without their sign, finite numbers are below those. */
#define ALL(name, real, word, expression)                   \
    int name(const real *v, ptrdiff_t n)                    \
    {                                                       \
        word wrong = 0;                                     \
        for (ptrdiff_t i = 0; i < n; i++) {                 \
            word bits;                                      \
            memcpy(&bits, v + i, sizeof bits);              \
            wrong |= (word) !(expression);                  \
        }                                                   \
        return !wrong;                                      \
    }
ALL(fq_are_scales_f32, float, uint32_t, bits - 1 < 0x7F7FFFFFu)
ALL(fq_are_scales_f64, double, uint64_t, bits - 1 < 0x7FEFFFFFFFFFFFFFu)
ALL(fq_are_finite_f32, float, uint32_t, bits << 1 < 0xFF000000u)
ALL(fq_are_finite_f64, double, uint64_t, bits << 1 < 0xFFE0000000000000u)

int fq_scheme_of(fq_scheme *s, int code, int symmetric, int narrow_range, int include_zero)
{
    s->symmetric = symmetric;
    s->include_zero = include_zero;
    if (fq_code_types[code].is_float) {
        s->highest = fq_float_values[code][fq_float_types[code].largest];
        s->lowest = -s->highest;
        return symmetric && !narrow_range;
    }
    s->lowest = (double)fq_code_types[code].lowest + (narrow_range != 0);
    s->highest = fq_code_types[code].highest;
    return 1;
}
