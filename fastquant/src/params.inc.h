/* Parameters of the lane bodies: prepared in batches, since what a division needs of a scale (numerics.h) takes longer
 * to find than a short row takes to convert. Included by spans.inc.h. */

/* Sets of parameters prepared at once: for so many rows, or for so many columns of all rows; for more columns where the
 * tile has room. */
#define BATCH 1024

/* Quotients above this saturate any byte whatever the zero point (|zero_point| <= FQ_NEAR), and up to it vi_nearest is
 * exact. */
#define HIGHEST_QUOTIENT 32768.0f

/* Behind each array a block more, so that the vectors of a last block may be loaded whole. */
#define SPARE (4 * LANES)
_Static_assert((FQ_ROOM_SETS + SPARE) * 20 <= FQ_ROOM_BYTES, "a tile's room has spare places for each array");

/* Room for a batch on a stack. */
typedef struct {
    float scale[BATCH + SPARE], recip[BATCH + SPARE], rest[BATCH + SPARE], offset[BATCH + SPARE];
    int32_t zero_point[BATCH + SPARE];
} lane_room;

typedef struct {
    double scale[BATCH + SPARE], offset[BATCH + SPARE];
    int32_t zero_point[BATCH + SPARE];
} wide_room;

typedef struct {
    float *scale, *recip, *rest, *offset;
    int32_t *zero_point;
    float limit;                 /* x above it saturates in all sets */
    float last;                  /* of small floats: where quotients saturate */
    int32_t lowest, highest;     /* codes */
    int how, has_offset;
    int uneven;                  /* zero points differ, or nobody has looked */
    int shift;                   /* the offset is added to the product */
} lane_batch;

typedef struct {
    double *scale, *offset;
    int32_t *zero_point;
    int32_t lowest, highest;
    int has_offset;
} wide_batch;

/* How many sets a batch holds, and where. */
LANE size_t batch_sets(const fq_tile *t, int columns)
{
    return columns && t->room && t->run == 1 ? FQ_ROOM_SETS : BATCH;
}

/* Of the tile's room if more sets are wanted than `own` has places for. */
LANE lane_batch lane_batch_in(const fq_tile *t, size_t sets, lane_room *own)
{
    lane_batch b;
    if (sets > BATCH) {
        b.scale = t->room;
        b.recip = b.scale + sets + SPARE;
        b.rest = b.recip + sets + SPARE;
        b.offset = b.rest + sets + SPARE;
        b.zero_point = (int32_t *)(b.offset + sets + SPARE);
    } else {
        b.scale = own->scale;
        b.recip = own->recip;
        b.rest = own->rest;
        b.offset = own->offset;
        b.zero_point = own->zero_point;
    }
    return b;
}

LANE wide_batch wide_batch_in(const fq_tile *t, size_t sets, wide_room *own)
{
    wide_batch b;
    if (sets > BATCH) {
        b.scale = t->room;
        b.offset = b.scale + sets + SPARE;
        b.zero_point = (int32_t *)(b.offset + sets + SPARE);
    } else {
        b.scale = own->scale;
        b.offset = own->offset;
        b.zero_point = own->zero_point;
    }
    return b;
}

/* The steps that matter are 0 and 1; with a constant step compilers use vectors. */
#define FILL(to, from, step, first, m)                                   \
    do {                                                                 \
        if ((step) == 1)                                                 \
            memcpy((to), (from) + (first), (m) * sizeof *(to));          \
        else if ((step) == 0)                                            \
            for (size_t i_ = 0; i_ < (m); i_++)                          \
                (to)[i_] = *(from);                                      \
        else                                                             \
            for (size_t i_ = 0; i_ < (m); i_++)                          \
                (to)[i_] = (from)[(ptrdiff_t)((first) + i_) * (step)];   \
    } while (0)

/* Of m sets of zero points: lowest and highest. */
LANE void zero_point_range(const lane_batch *b, size_t m, int32_t *low, int32_t *high)
{
    *low = *high = b->zero_point[0];
    for (size_t i = 1; i < m; i++) {
        *low = b->zero_point[i] < *low ? b->zero_point[i] : *low;
        *high = b->zero_point[i] > *high ? b->zero_point[i] : *high;
    }
}

/* The reciprocals of a vector of scales, and what they lack of 1 / scale: 1 - recip * scale is exact in a fused
 * multiply-add, and over scale it is 1 / scale - recip, rounded once (times recip, rounded twice, would be too coarse). */
LANE void divisor(lane_batch *b, size_t i, vf scale)
{
    const vf one = vf_set(1.0f), recip = vf_div(one, scale);
    vf_store(b->recip + i, recip, 0);
    vf_store(b->rest + i, vf_div(vf_fnma(recip, scale, one), scale), 0);
}

/* Those of m scales, and the smallest and the largest of these. */
LANE void divisors(lane_batch *b, size_t m, float *smallest, float *largest)
{
    vf low, high;
    if (m == 1) {  /* where a call is short, what follows is a part of it */
        divisor(b, 0, vf_set(b->scale[0]));
        *smallest = *largest = b->scale[0];
        return;
    }
    for (size_t k = m; k % LANES; k++)  /* the last one again, so that vectors are whole */
        b->scale[k] = b->scale[m - 1];
    low = high = vf_load(b->scale);
    for (size_t i = 0; i < m; i += LANES) {
        const vf scale = vf_load(b->scale + i);
        low = vf_min(low, scale);
        high = vf_max(high, scale);
        divisor(b, i, scale);
    }
    *smallest = vf_lowest_lane(low);
    *largest = vf_highest_lane(high);
}

/* The way to divide that is right for all m sets. One limit for all of several: no quotient of it is beyond int32, and
 * all of them saturate. */
LANE int divisor_how(lane_batch *b, size_t m, int best)
{
    const int32_t levels = best == FQ_CORRECTED ? 1 << 17 : FQ_TWO_PRODUCTS_LEVELS;
    int32_t low, high;
    float smallest, largest;
    if (best == FQ_GENERAL || b->has_offset)
        return FQ_GENERAL;
    zero_point_range(b, m, &low, &high);
    b->uneven = low != high;
    if (b->lowest - high <= -levels || b->highest - low >= levels)
        return FQ_GENERAL;
    divisors(b, m, &smallest, &largest);
    if (!(smallest >= FQ_SMALLEST_DIVISOR && largest <= FQ_LARGEST_DIVISOR))
        return FQ_GENERAL;
    b->limit = HIGHEST_QUOTIENT * smallest;
    if (best == FQ_TWO_PRODUCTS && largest != smallest) {
        if (!(largest / smallest <= 0x1p20f && smallest <= 0x1p90f))
            return FQ_GENERAL;
        b->limit = 0x1p30f * smallest;
    }
    return m == 1 && b->rest[0] == 0.0f ? FQ_ONE_PRODUCT : best;
}

/* Sets `first` ... `first + m - 1`. best: the way to divide if scales and levels allow it. */
LANE_CALL void lane_prepare(lane_batch *b, const fq_tile *t, size_t first, size_t m, int best)
{
    FILL(b->scale, (const float *)t->scales, t->scale_step, first, m);
    FILL(b->zero_point, t->zero_points, t->zero_point_step, first, m);
    b->has_offset = t->offsets != NULL;
    if (b->has_offset)
        FILL(b->offset, (const float *)t->offsets, t->offset_step, first, m);
    b->lowest = t->limited ? t->lowest : fq_code_types[t->code].lowest;
    b->highest = t->limited ? t->highest : fq_code_types[t->code].highest;
    b->shift = t->rule == FQ_multiply_shift;
    b->limit = HIGHEST_QUOTIENT;
    b->uneven = 1;
    b->how = divisor_how(b, m, best);
}

/* Each of the sets that are there, for the columns that share it; column 0 is number `phase` of the first. Vectors may
 * write beyond a set's last column: the next set comes after. */
LANE void spread_32(void *to, size_t sets, size_t run, size_t phase, size_t n)
{
    int32_t set[BATCH];
    size_t j = 0;
    memcpy(set, to, sets * sizeof *set);
    for (size_t i = 0; i < sets; i++) {
        const size_t end = (i + 1) * run - phase < n ? (i + 1) * run - phase : n;
        const vi v = vi_set(set[i]);
        for (; j < end; j += LANES)
            memcpy((char *)to + j * sizeof *set, &v, sizeof v);
        j = end;
    }
}

LANE void spread_64(double *to, size_t sets, size_t run, size_t phase, size_t n)
{
    double set[BATCH];
    memcpy(set, to, sets * sizeof *set);
    for (size_t i = 0, j = 0; i < sets; i++)
        for (const size_t end = (i + 1) * run - phase; j < end && j < n; j++)
            to[j] = set[i];
}

/* The spare places that the vectors of a last block load: as the last of n columns. What becomes of them is dropped, but
 * whether a block of small floats is a usual one is asked of all of it. */
LANE void fill_spare_32(void *array, size_t n)
{
    char *end = (char *)array + n * sizeof(int32_t);
    int32_t last;
    memcpy(&last, end - sizeof last, sizeof last);
    for (size_t k = 0; k < SPARE; k += LANES) {
        const vi v = vi_set(last);
        memcpy(end + k * sizeof last, &v, sizeof v);
    }
}

LANE void fill_spare_64(double *array, size_t n)
{
    for (size_t k = 0; k < SPARE; k++)
        array[n + k] = array[n - 1];
}

/* From sets to n columns, of which the first is number `phase` of its set. */
LANE void columns_32(void *array, const fq_tile *t, size_t sets, size_t phase, size_t n)
{
    if (t->run > 1)
        spread_32(array, sets, (size_t)t->run, phase, n);
    if (n % SPARE != 0)
        fill_spare_32(array, n);
}

LANE void columns_64(double *array, const fq_tile *t, size_t sets, size_t phase, size_t n)
{
    if (t->run > 1)
        spread_64(array, sets, (size_t)t->run, phase, n);
    if (n % SPARE != 0)
        fill_spare_64(array, n);
}

LANE_CALL void lane_columns(lane_batch *b, const fq_tile *t, size_t sets, size_t phase, size_t n)
{
    columns_32(b->scale, t, sets, phase, n);
    if (b->how != FQ_GENERAL) {
        columns_32(b->recip, t, sets, phase, n);
        columns_32(b->rest, t, sets, phase, n);
    }
    if (b->has_offset)
        columns_32(b->offset, t, sets, phase, n);
    columns_32(b->zero_point, t, sets, phase, n);
}

LANE_CALL void wide_prepare(wide_batch *b, const fq_tile *t, size_t first, size_t m)
{
    FILL(b->scale, (const double *)t->scales, t->scale_step, first, m);
    FILL(b->zero_point, t->zero_points, t->zero_point_step, first, m);
    b->has_offset = t->offsets != NULL;
    if (b->has_offset)
        FILL(b->offset, (const double *)t->offsets, t->offset_step, first, m);
    b->lowest = t->limited ? t->lowest : fq_code_types[t->code].lowest;
    b->highest = t->limited ? t->highest : fq_code_types[t->code].highest;
}

LANE_CALL void wide_columns(wide_batch *b, const fq_tile *t, size_t sets, size_t phase, size_t n)
{
    columns_64(b->scale, t, sets, phase, n);
    if (b->has_offset)
        columns_64(b->offset, t, sets, phase, n);
    columns_32(b->zero_point, t, sets, phase, n);
}

/* For small floats that come `power` times too small: the same products, rounded the same, if all n scales have room. */
LANE int scale_values(lane_batch *b, size_t n, float power)
{
    vf low, high;
    if (n == 1) {
        const int fits = b->scale[0] >= FQ_SMALLEST_DIVISOR && b->scale[0] <= FQ_LARGEST_DIVISOR;
        b->scale[0] *= fits ? power : 1.0f;
        return fits;
    }
    for (size_t i = n; i % LANES; i++)
        b->scale[i] = b->scale[n - 1];
    low = high = vf_load(b->scale);
    for (size_t i = 0; i < n; i += LANES) {
        low = vf_min(low, vf_load(b->scale + i));
        high = vf_max(high, vf_load(b->scale + i));
    }
    if (!(vf_lowest_lane(low) >= FQ_SMALLEST_DIVISOR && vf_highest_lane(high) <= FQ_LARGEST_DIVISOR))
        return 0;
    for (size_t i = 0; i < n; i += LANES)
        vf_store(b->scale + i, vf_mul(vf_load(b->scale + i), vf_set(power)), 0);
    return 1;
}

/* What a vector of elements is converted with: the same in all lanes for a row, a lane's own for columns. Members that a
 * kernel does not use cost nothing: everything is inlined. */
typedef struct {
    vf scale, minus_offset, plus_offset;  /* the offsets that change nothing are -0 */
    vf recip, rest, limit;
    vf last;                              /* what small floats are limited by: x if it is multiplied, or the quotient */
    vf low, high;                         /* levels, in the unit of what is limited: x where it is multiplied */
    vi zero_point;
} lane_params;

typedef struct {
    vd scale, minus_offset, plus_offset, low, high, zero_point;
} wide_params;

/* Ways that take products of x in place of the quotient, and so limits of x. */
LANE int is_by_products(int how) { return how == FQ_ONE_PRODUCT || how == FQ_TWO_PRODUCTS || how == FQ_CORRECTED; }

LANE lane_params lane_params_of(vf scale, vf offset, int has_offset, int shift, vf recip, vf rest, vf limit, vf last,
                                vi zero_point, vi lowest, vi highest, int how)
{
    lane_params c;
    c.scale = scale;
    has_offset = has_offset && !is_by_products(how);
    shift = shift && how == FQ_MULTIPLIED;
    c.minus_offset = has_offset && !shift ? vf_sub(vf_set(-0.0f), offset) : vf_set(-0.0f);
    c.plus_offset = has_offset && (shift || how == FQ_GENERAL) ? offset : vf_set(-0.0f);
    c.recip = recip;
    c.rest = rest;
    c.limit = is_by_products(how) ? limit : vf_set(HIGHEST_QUOTIENT);
    c.last = is_by_products(how) ? vf_mul(last, scale) : last;
    c.low = vf_from_vi(vi_sub(lowest, zero_point));
    c.high = vf_from_vi(vi_sub(highest, zero_point));
    if (is_by_products(how)) {
        c.low = vf_mul(c.low, scale);
        c.high = vf_mul(c.high, scale);
    }
    c.zero_point = zero_point;
    return c;
}

LANE lane_params row_params(const lane_batch *b, size_t i, int how)
{
    return lane_params_of(vf_set(b->scale[i]), vf_set(b->has_offset ? b->offset[i] : 0.0f), b->has_offset, b->shift,
                          vf_set(b->recip[i]), vf_set(b->rest[i]), vf_set(b->limit), vf_set(b->last),
                          vi_set(b->zero_point[i]), vi_set(b->lowest), vi_set(b->highest), how);
}

LANE lane_params column_params(const lane_batch *b, size_t j, int how)
{
    return lane_params_of(vf_load(b->scale + j), b->has_offset ? vf_load(b->offset + j) : vf_set(0.0f), b->has_offset,
                          b->shift, vf_load(b->recip + j), vf_load(b->rest + j), vf_set(b->limit), vf_set(b->last),
                          vi_load(b->zero_point + j), vi_set(b->lowest), vi_set(b->highest), how);
}

LANE wide_params wide_params_of(vd scale, vd offset, int has_offset, vi zero_point, int32_t lowest, int32_t highest)
{
    wide_params c;
    c.scale = scale;
    c.minus_offset = has_offset ? vd_sub(vd_set(-0.0), offset) : vd_set(-0.0);
    c.plus_offset = has_offset ? offset : vd_set(-0.0);
    c.zero_point = vd_from_vi(zero_point);
    c.low = vd_sub(vd_set((double)lowest), c.zero_point);
    c.high = vd_sub(vd_set((double)highest), c.zero_point);
    return c;
}

LANE wide_params wide_row_params(const wide_batch *b, size_t i)
{
    return wide_params_of(vd_set(b->scale[i]), vd_set(b->has_offset ? b->offset[i] : 0.0), b->has_offset,
                          vi_set(b->zero_point[i]), b->lowest, b->highest);
}

LANE wide_params wide_column_params(const wide_batch *b, size_t j)
{
    return wide_params_of(vd_load(b->scale + j), b->has_offset ? vd_load(b->offset + j) : vd_set(0.0), b->has_offset,
                          vi_load(b->zero_point + j), b->lowest, b->highest);
}
