/* Smallest and largest values. Included by spans.inc.h. Nothing is prefetched: the hardware reads ahead of loops that write
 * nothing, and on Zen 4 minmax of 64Mi elements took 1.14 times as long with the prefetching of the others.
 *
 * NaN is found by a third quantity, a sum: infinities show in lo and hi, so all that the sum has to tell is NaN, and a
 * sum of finite numbers never becomes one (each chain is tested by itself: one that overflowed to +inf must not meet one
 * that overflowed to -inf). */

/* Rows of up to so many elements are short. */
#define SHORT_ROW 256

/* Independent chains hide the latency of min and max. */
typedef struct {
    vf lo[4], hi[4], sum[4];
} lane_extent;

LANE void extent_block(const char *x, lane_extent *e, int real)
{
    for (int k = 0; k < 4; k++) {
        vf v = load_reals(real, x + (size_t)(k * LANES) * real_bytes(real));
        e->lo[k] = vf_min(e->lo[k], v);
        e->hi[k] = vf_max(e->hi[k], v);
        e->sum[k] = vf_add(e->sum[k], v);
    }
}

LANE void extent_row(const char *x, size_t n, float *lo, float *hi, float *poison, int real)
{
    size_t i = 0;
    lane_extent e;
    for (int k = 0; k < 4; k++) {
        e.lo[k] = vf_set(*lo);
        e.hi[k] = vf_set(*hi);
        e.sum[k] = vf_set(0.0f);
    }
    for (; n - i >= BLOCK; i += BLOCK)
        extent_block(x + i * real_bytes(real), &e, real);
    if (i < n) {  /* repeating elements changes no range */
        char last[BLOCK * sizeof(float)];
        for (size_t k = 0; k < BLOCK; k++)
            memcpy(last + k * real_bytes(real), x + (i + (k < n - i ? k : 0)) * real_bytes(real), real_bytes(real));
        extent_block(last, &e, real);
    }
    if (vf_any_nan(e.sum[0], e.sum[1]) | vf_any_nan(e.sum[2], e.sum[3]))
        *poison = (float)NAN;
    *lo = vf_lowest_lane(vf_min(vf_min(e.lo[0], e.lo[1]), vf_min(e.lo[2], e.lo[3])));
    *hi = vf_highest_lane(vf_max(vf_max(e.hi[0], e.hi[1]), vf_max(e.hi[2], e.hi[3])));
}

/* LANES short rows of whole vectors, whose ranges follow each other: what is across lanes is done for all of them at once.
 * False if there is a NaN, of which row it does not say. */
LANE int extent_short_rows(const char *x, ptrdiff_t step, size_t n, float *lo, float *hi, int real)
{
    vf low[LANES], high[LANES], sum = vf_set(0.0f);
    for (int r = 0; r < LANES; r++) {
        const char *row = x + r * step;
        vf v = load_reals(real, row), l = v, h = v;
        sum = vf_add(sum, v);
        for (size_t j = LANES; j < n; j += LANES) {
            v = load_reals(real, row + j * real_bytes(real));
            l = vf_min(l, v);
            h = vf_max(h, v);
            sum = vf_add(sum, v);
        }
        low[r] = l;
        high[r] = h;
    }
    if (vf_any_nan(sum, sum))
        return 0;
    vf_store(lo, vf_min(vf_load(lo), vf_lowest_lanes(low)), 0);
    vf_store(hi, vf_max(vf_load(hi), vf_highest_lanes(high)), 0);
    return 1;
}

LANE void wide_extent_row(const double *x, size_t n, double *lo, double *hi, double *poison)
{
    vd low[2], high[2], sum[2];
    size_t i = 0;
    for (int k = 0; k < 2; k++) {
        low[k] = vd_set(*lo);
        high[k] = vd_set(*hi);
        sum[k] = vd_set(0.0);
    }
    for (;; i += 2 * LANES) {
        double last[2 * LANES];
        const double *from = x + i;
        if (i >= n)
            break;
        if (n - i < 2 * LANES) {
            for (size_t k = 0; k < 2 * LANES; k++)
                last[k] = x[i + (k < n - i ? k : 0)];
            from = last;
        }
        for (int k = 0; k < 2; k++) {
            vd v = vd_load(from + k * LANES);
            low[k] = vd_min(low[k], v);
            high[k] = vd_max(high[k], v);
            sum[k] = vd_add(sum[k], v);
        }
    }
    if (vd_any_nan(sum[0]) | vd_any_nan(sum[1]))
        *poison = NAN;
    *lo = vd_lowest_lane(vd_min(low[0], low[1]));
    *hi = vd_highest_lane(vd_max(high[0], high[1]));
}

/* Four rows at a time, so that what was found is loaded and stored once for four elements. */
LANE void extent_columns(const fq_tile *t, int real)
{
    float *lo = t->lo, *hi = t->hi, *poison = t->poison;
    const size_t n = (size_t)t->n;
    for (ptrdiff_t r = 0; r < t->rows; r += 4) {
        const ptrdiff_t rows = t->rows - r < 4 ? t->rows - r : 4;
        const char *x = t->in + r * t->in_step;
        for (size_t j = 0; j < n; j += LANES) {
            const size_t m = n - j < LANES ? n - j : LANES;
            float l[LANES] = {0}, h[LANES] = {0}, s[LANES] = {0};
            float *lows = m < LANES ? l : lo + j, *highs = m < LANES ? h : hi + j, *sums = m < LANES ? s : poison + j;
            vf low, high, sum;
            if (m < LANES) {
                memcpy(l, lo + j, m * sizeof *l);
                memcpy(h, hi + j, m * sizeof *h);
                memcpy(s, poison + j, m * sizeof *s);
            }
            low = vf_load(lows), high = vf_load(highs), sum = vf_load(sums);
            for (ptrdiff_t k = 0; k < rows; k++) {
                const char *at = x + k * t->in_step + j * real_bytes(real);
                char last[LANES * sizeof(float)] = {0};
                vf v;
                if (m < LANES) {
                    memcpy(last, at, m * real_bytes(real));
                    at = last;
                }
                v = load_reals(real, at);
                low = vf_min(low, v);
                high = vf_max(high, v);
                sum = vf_add(sum, v);
            }
            vf_store(lows, low, 0), vf_store(highs, high, 0), vf_store(sums, sum, 0);
            if (m < LANES) {
                memcpy(lo + j, l, m * sizeof *l);
                memcpy(hi + j, h, m * sizeof *h);
                memcpy(poison + j, s, m * sizeof *s);
            }
        }
    }
}

LANE void wide_extent_columns(const fq_tile *t)
{
    double *lo = t->lo, *hi = t->hi, *poison = t->poison;
    for (ptrdiff_t r = 0; r < t->rows; r++) {
        const double *x = (const double *)(t->in + r * t->in_step);
        for (ptrdiff_t j = 0; j < t->n; j++) {
            lo[j] = x[j] < lo[j] ? x[j] : lo[j];
            hi[j] = x[j] > hi[j] ? x[j] : hi[j];
            poison[j] += x[j];
        }
    }
}

LANE void extent_rows(const fq_tile *t, int real)
{
    const int are_short = t->n % LANES == 0 && t->n > 0 && t->n <= SHORT_ROW && t->extent_step == 1;
    ptrdiff_t long_until = 0;
    if (NARROWER_EXTENTS || is_for_narrower(t, LANES)) {
        NARROWER_SPANS[FQ_minmax][real][0](t);
        return;
    }
    for (ptrdiff_t r = 0; r < t->rows; r++) {
        const ptrdiff_t at = r * t->extent_step;
        const char *x = t->in + r * t->in_step;
        if (real != FQ_f64 && are_short && r >= long_until && t->rows - r >= LANES) {
            if (extent_short_rows(x, t->in_step, (size_t)t->n, (float *)t->lo + at, (float *)t->hi + at, real)) {
                r += LANES - 1;
                continue;
            }
            long_until = r + LANES;  /* one by one, to find the row with the NaN */
        }
        if (real == FQ_f64)
            wide_extent_row((const double *)x, (size_t)t->n, (double *)t->lo + at, (double *)t->hi + at,
                            (double *)t->poison + at);
        else
            extent_row(x, (size_t)t->n, (float *)t->lo + at, (float *)t->hi + at, (float *)t->poison + at, real);
    }
}

#define DEFINE_EXTENTS(id, name, type, arithmetic)                           \
    static void minmax_##id(const fq_tile *t) { extent_rows(t, FQ_##id); }   \
    static void minmax_columns_##id(const fq_tile *t)                        \
    {                                                                        \
        if (FQ_##id == FQ_f64)                                               \
            wide_extent_columns(t);                                          \
        else                                                                 \
            extent_columns(t, FQ_##id);                                      \
    }
FQ_REALS(DEFINE_EXTENTS)
