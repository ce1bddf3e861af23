/* Blocks: four vectors from load to store. Included by spans.inc.h. */

/* How sets of parameters follow each other in a run: set number `set`, and the next one from each `per_set` blocks on; a
 * set for each element; or one for each 32 of them, the most usual length of all. */
enum { BY_ROW, BY_COLUMN, BY_32 };

/* What a run is converted with. */
typedef struct {
    const lane_batch *batch;
    const wide_batch *wide_batch;  /* for float64 */
    size_t set, per_set;
    ptrdiff_t ahead;               /* bytes to prefetch ahead of what is read, or 0 */
    lane_code code;
} lane_run_params;

/* Where a run over rows is in them. */
typedef struct {
    lane_params row;
    wide_params wide_row;
    vi zero_point;
    v_zero_points zero_points;
    size_t set, left;
} lane_cursor;

LANE v_zero_points even_zero_points(vi z) { return v_zero_points_of(z, z, z, z); }

LANE void cursor_load(lane_cursor *c, const lane_run_params *p, int real, int how)
{
    if (real == FQ_f64)
        c->wide_row = wide_row_params(p->wide_batch, c->set);
    else
        c->row = row_params(p->batch, c->set, how);
    c->left = p->per_set;
}

LANE void cursor_load_zero_point(lane_cursor *c, const lane_run_params *p, int real)
{
    c->zero_point = vi_set(real == FQ_f64 ? p->wide_batch->zero_point[c->set] : p->batch->zero_point[c->set]);
    c->zero_points = even_zero_points(c->zero_point);
}

/* Before the first block. For columns only their zero point, in case that they share it. */
LANE lane_cursor cursor_at(const lane_run_params *p, int real, int how, int columns)
{
    lane_cursor c;
    c.set = p->set;
    cursor_load_zero_point(&c, p, real);
    if (!columns)
        cursor_load(&c, p, real, how);
    return c;
}

/* To the next set of rows. */
LANE void cursor_change(lane_cursor *c, const lane_run_params *p, int real, int how)
{
    c->set++;
    cursor_load(c, p, real, how);
    if (real == FQ_f64 || p->batch->uneven)
        cursor_load_zero_point(c, p, real);
}

/* To the next block. */
LANE void cursor_next(lane_cursor *c, const lane_run_params *p, int real, int how, int columns)
{
    if (columns)
        return;
    if (c->left == 0)
        cursor_change(c, p, real, how);
    c->left--;
}

/* What each vector of a block is converted with. */
typedef struct {
    lane_params params[4];
    wide_params wide[4];
    vi zero_point[4];
    v_zero_points zero_points;
} lane_set;

/* For the block of elements j ... j + BLOCK - 1. */
LANE lane_set set_at(const lane_cursor *c, const lane_run_params *p, size_t j, int real, int how, int columns)
{
    const int32_t *zero_points = real == FQ_f64 ? p->wide_batch->zero_point : p->batch->zero_point;
    const int uneven = real == FQ_f64 || p->batch->uneven;
    lane_set s;
    for (size_t k = 0; k < 4; k++) {
        const size_t i = p->set + j + k * LANES, block = p->set + j / 32 + k * LANES / 32;
        s.zero_point[k] = columns == BY_COLUMN && uneven ? vi_load(zero_points + i) : c->zero_point;
        if (columns == BY_32)
            s.zero_point[k] = vi_set(zero_points[block]);
        if (real == FQ_f64)
            s.wide[k] = columns ? wide_column_params(p->wide_batch, i) : c->wide_row;
        else if (columns == BY_32)
            s.params[k] = row_params(p->batch, block, how);
        else
            s.params[k] = columns ? column_params(p->batch, i, how) : c->row;
    }
    s.zero_points = c->zero_points;
    if (columns && uneven)
        s.zero_points = v_zero_points_of(s.zero_point[0], s.zero_point[1], s.zero_point[2], s.zero_point[3]);
    return s;
}

/* ---- division ---- */

LANE vf lane_divided(vf x, const lane_params *c, int how)
{
    vf p;
    switch (how) {
    case FQ_GENERAL:
        return vf_div(vf_add(c->minus_offset, x), c->scale);
    case FQ_ONE_PRODUCT:
        return vf_mul(x, c->recip);
    case FQ_MULTIPLIED:
        return vf_add(vf_mul(vf_add(c->minus_offset, x), c->scale), c->plus_offset);
    case FQ_FLOORED:
        return vf_floor(vf_div(vf_add(c->minus_offset, x), c->scale));
    case FQ_TWO_PRODUCTS:
        return vf_fma(x, c->recip, vf_mul(x, c->rest));
    default:
        p = vf_mul(x, c->recip);
        return vf_fma(vf_fnma(p, c->scale, x), c->recip, p);
    }
}

/* (x - offset) / scale, or a number that rounds to the same integer: what vi_nearest takes. Where it is not too large by
 * itself, it is x that is limited, since of +inf the two products make a NaN (inf * recip - inf * |rest|). A huge or
 * infinite negative x, where vf_bounded lets it pass, may become -inf, NaN or +inf; vi_nearest makes the lowest integer
 * of each. */
LANE vf lane_quotient(vf x, const lane_params *c, int how)
{
    if (is_by_products(how))
        return lane_divided(vf_bounded(c->limit, x), c, how);
    return vf_bounded(c->limit, lane_divided(x, c, how));
}

/* The same within the levels of the code type. */
LANE vf lane_limited(vf x, const lane_params *c, int how)
{
    if (is_by_products(how))
        return lane_divided(vf_within(c->low, c->high, x), c, how);
    return vf_within(c->low, c->high, lane_divided(x, c, how));
}

LANE vd wide_quotient(vd x, const wide_params *c)
{
    return vd_div(vd_add(c->minus_offset, x), c->scale);
}

LANE vd wide_limited(vd x, const wide_params *c)
{
    return vd_within(c->low, c->high, wide_quotient(x, c));
}

/* Only FQ_GENERAL has an offset. */
LANE vf lane_real(vf level, const lane_params *c, int how)
{
    vf product = vf_mul(level, c->scale);
    return how == FQ_GENERAL ? vf_add(product, c->plus_offset) : product;
}

LANE vd wide_real(vd level, const wide_params *c)
{
    return vd_add(vd_mul(level, c->scale), c->plus_offset);
}

/* ---- quantize ---- */

LANE int has_nan(const char *x, int real)
{
    vf v[4];
    if (real == FQ_f64) {
        int any = 0;
        for (size_t k = 0; k < 4; k++)
            any |= vd_any_nan(vd_load((const double *)x + k * LANES));
        return any;
    }
    for (size_t k = 0; k < 4; k++)
        v[k] = load_reals(real, x + k * LANES * real_bytes(real));
    return vf_any_nan_of_4(v);
}

/* Whether small floats can be found the short way. */
LANE int is_usual(const char *x, const lane_code *c, int real, int kind)
{
    return kind != SMALL_FLOATS || !(c->slow | has_nan(x, real));
}

typedef struct {
    vf y[4], sign_of[4];         /* small floats: limited, and what has the sign */
    vi level[4], zero_point[4];  /* level: of float64, which needs no second look */
    v_zero_points zero_points;
} lane_block;

LANE void wide_quotients(lane_block *b, int k, vd v, const wide_params *w, const lane_code *c, int kind)
{
    if (kind == SMALL_FLOATS) {
        b->sign_of[k] = vf_odd_from_vd(wide_quotient(v, w));
        b->y[k] = vf_limited_magnitude(vf_set(c->last), b->sign_of[k]);
    } else {
        b->level[k] = vi_nearest_vd(wide_limited(v, w));
    }
}

LANE void single_quotients(lane_block *b, int k, vf v, const lane_params *l, int kind, int how)
{
    if (kind == SIGNED_WORDS || kind == UNSIGNED_WORDS || how == FQ_MULTIPLIED || how == FQ_FLOORED) {
        b->y[k] = lane_limited(v, l, how);
    } else if (kind != SMALL_FLOATS) {
        b->y[k] = lane_quotient(v, l, how);
    } else if (how == FQ_GENERAL) {
        b->sign_of[k] = lane_divided(v, l, how);
        b->y[k] = vf_limited_magnitude(l->last, b->sign_of[k]);
    } else {
        b->sign_of[k] = v;
        b->y[k] = lane_divided(vf_limited_magnitude(l->last, v), l, how);
    }
}

LANE lane_block quotients_of(const char *x, const lane_set *s, const lane_code *c, int real, int kind, int how)
{
    lane_block b;
    for (int k = 0; k < 4; k++) {
        const char *at = x + (size_t)(k * LANES) * real_bytes(real);
        if (real == FQ_f64)
            wide_quotients(&b, k, vd_load((const double *)at), &s->wide[k], c, kind);
        else
            single_quotients(&b, k, load_reals(real, at), &s->params[k], kind, how);
        b.zero_point[k] = s->zero_point[k];
    }
    b.zero_points = s->zero_points;
    return b;
}

/* Codes of a byte, as they are narrowed. usual: small floats are known to be none of the rare ones (small_floats.inc.h). */
LANE vb codes_of(lane_block *b, const lane_code *c, int real, int kind, int usual)
{
    if (kind == SMALL_FLOATS)
        return usual ? vb_usual_small_floats(b->y, b->sign_of, c) : vb_rare_small_floats(b->y, b->sign_of, c);
    if (real != FQ_f64)
        for (int k = 0; k < 4; k++)
            b->level[k] = vi_nearest(b->y[k]);
    return vb_integers(kind, b->level, b->zero_points, c);
}

LANE void store_codes_of(lane_block b, char *q, const lane_code *c, int real, int kind, int usual, int stream)
{
    if (kind == SIGNED_WORDS || kind == UNSIGNED_WORDS) {
        if (real != FQ_f64)
            for (int k = 0; k < 4; k++)
                b.level[k] = vi_nearest(b.y[k]);
        store_words(kind, b.level, b.zero_point, q, stream);
    } else if ((kind == SMALL_FLOATS || kind == SMALL_INTEGERS) && c->packs > 1) {
        pack_block(codes_of(&b, c, real, kind, usual), q, c->packs, stream);
    } else {
        vb codes = vb_in_order(codes_of(&b, c, real, kind, usual));
        vb_store(q, kind == SMALL_INTEGERS ? vb_mask(codes, c->mask) : codes, stream);
    }
}

/* ---- dequantize, fake_quantize ---- */

LANE void dequantize_lanes(vi integers, vf values, char *x, size_t k, const lane_set *s, int real, int kind, int how,
                           int stream)
{
    if (real == FQ_f64) {
        const wide_params *w = &s->wide[k];
        vd level = kind == SMALL_FLOATS ? vd_from_vf(values) : vd_sub(vd_from_vi(integers), w->zero_point);
        vd_store((double *)x, wide_real(level, w), stream);
    } else {
        vf level = values;
        if (kind == ACCUMULATORS)  /* the difference of two int32 is exact in float64 */
            level = vf_from_vd(vd_sub(vd_from_vi(integers), vd_from_vi(s->zero_point[k])));
        else if (kind != SMALL_FLOATS)
            level = vf_from_vi(vi_sub(integers, s->zero_point[k]));
        store_reals(real, x, lane_real(level, &s->params[k], how), kind == SMALL_FLOATS, stream);
    }
}

/* usual: small floats that are not are refused: False, and nothing is done. */
LANE int dequantize_block(const char *q, char *x, const lane_set *s, const lane_code *c, int real, int kind, int how,
                          int usual, int stream)
{
    char unpacked[BLOCK];
    vf values[4] = {vf_set(0.0f), vf_set(0.0f), vf_set(0.0f), vf_set(0.0f)};
    if (code_packs(kind, c) > 1 || kind == SMALL_INTEGERS) {
        vb codes = code_packs(kind, c) > 1 ? unpack_block(q, c->packs) : vb_load(q);
        vb_store(unpacked, kind == SMALL_INTEGERS ? vb_extended(codes, c->mask, c->sign) : codes, 0);
        q = unpacked;
    }
    if (kind == SMALL_FLOATS && !usual_values(q, values, c)) {
        if (usual)
            return 0;
        rare_values(q, values, c);
    }
    for (size_t k = 0; k < 4; k++) {
        char *to = x + k * LANES * real_bytes(real);
        vi integers = vi_set(0);
        if (kind != SMALL_FLOATS)
            integers = load_integers(kind, q + k * LANES * code_bytes(kind));
        else if (how != FQ_ONE_PRODUCT || real == FQ_f64)  /* elsewhere the scale has it */
            values[k] = vf_mul(values[k], vf_set(c->values.power));
        dequantize_lanes(integers, values[k], to, k, s, real, kind, how, stream);
    }
    return 1;
}

/* Rounding a level can leave -0, which an integer has not: + 0. */
LANE int fake_quantize_block(const char *x, char *y, const lane_set *s, const lane_code *c, int real, int kind, int how,
                             int usual, int stream)
{
    if (kind == SMALL_FLOATS) {
        char codes[BLOCK];
        if (usual && !is_usual(x, c, real, kind))
            return 0;
        store_codes_of(quotients_of(x, s, c, real, kind, how), codes, c, real, kind, usual, 0);
        return dequantize_block(codes, y, s, c, real, kind, how == FQ_GENERAL ? FQ_GENERAL : FQ_TWO_PRODUCTS, usual, stream);
    }
    for (size_t k = 0; k < 4; k++) {
        const char *from = x + k * LANES * real_bytes(real);
        char *to = y + k * LANES * real_bytes(real);
        if (real == FQ_f64) {
            vd level = vd_nearest(wide_limited(vd_load((const double *)from), &s->wide[k]));
            vd_store((double *)to, wide_real(vd_add(level, vd_set(0.0)), &s->wide[k]), stream);
        } else {
            vf level = vf_nearest(lane_limited(load_reals(real, from), &s->params[k], how));
            store_reals(real, to, lane_real(vf_add(level, vf_set(0.0f)), &s->params[k], how), 0, stream);
        }
    }
    return 1;
}
