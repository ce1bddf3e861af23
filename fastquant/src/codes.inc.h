/* Codes of every type, four vectors at a time: a block of integers or of quotients to codes, and codes to levels.
 * Included by spans.inc.h. */

/* Code types that are converted alike. Which one of the small types it is, is known only at run time: constants of a
 * loop, which cost nothing in it. */
enum { SIGNED_BYTES, UNSIGNED_BYTES, SMALL_INTEGERS, SIGNED_WORDS, UNSIGNED_WORDS, SMALL_FLOATS, ACCUMULATORS };

LANE size_t code_bytes(int kind)
{
    return kind == ACCUMULATORS ? 4 : kind == SIGNED_WORDS || kind == UNSIGNED_WORDS ? 2 : 1;
}

typedef struct {
    int lowest, highest, mask, sign;                  /* small integers */
    int mantissa, smallest, largest, nan, nan_sign;   /* small floats: fq_float_type */
    int unsigned_zero, above;
    float ceiling, last;
    int base, weight, not_zero, slow;
    int packs;
    v_small_float values;
} lane_code;

LANE lane_code lane_code_of(const fq_tile *t)
{
    const fq_code_type *type = &fq_code_types[t->code];
    const fq_float_type *f = &fq_float_types[t->code];
    lane_code c;
    c.packs = t->packs;
    c.lowest = type->lowest;
    c.highest = type->highest;
    c.mask = (1 << (type->bits & 15)) - 1;
    c.sign = type->lowest < 0 ? 1 << ((type->bits - 1) & 15) : 0;
    if (!type->is_float)
        return c;
    c.sign = (int)f->sign;
    c.mantissa = f->mantissa;
    c.smallest = (int)fq_bits_of(f->smallest);
    c.ceiling = f->ceiling;
    c.largest = f->largest;
    c.above = t->beyond ? f->beyond : f->largest;
    c.nan = f->nan;
    c.nan_sign = (int)f->nan_sign;
    c.unsigned_zero = f->zero_sign ? -1 : 0;
    /* What is too large becomes the number after the largest, whose code stands for it; codes of no more do not
     * saturate but where the caller wants it. */
    c.last = fq_float_values[t->code][f->largest];
    if (c.above > f->largest)
        c.last += c.last - fq_float_values[t->code][f->largest - 1];
    c.base = ((c.smallest >> 23) + 23 - c.mantissa) << 7;
    c.not_zero = f->zero_sign ? 256 : (int)f->sign;
    c.slow = c.above > f->largest && !f->zero_sign;  /* there NaN looks like a negative zero */
    c.values.magnitude = c.sign - 1;
    c.values.sign = c.sign;
    c.values.up = 10 - f->mantissa;
    c.values.sign_up = 15 - (type->bits - 1);
    c.values.power = fq_float_of((uint32_t)(127 + 15 - f->bias) << 23);
    c.values.last = f->beyond == f->nan ? f->largest : f->beyond;  /* infinity is a value, NaN is none */
    c.values.nan = f->nan == 0x80 ? 0x80 : 256;
    c.values.rare = f->nan == 0x80 ? 0x80 : 0x7F;  /* elsewhere a NaN too, if anything at all */
    c.values.binade = 1 << f->mantissa;
    c.weight = 1 << (7 - f->mantissa);
    c.values.pad = 8 - type->bits;
    c.values.upper = c.values.last >> f->mantissa == 31 && f->beyond == f->nan ? 16 << f->mantissa : 0;
    return c;
}

/* How many codes of a kind a byte holds. */
LANE size_t code_packs(int kind, const lane_code *c)
{
    return kind == SMALL_INTEGERS || kind == SMALL_FLOATS ? (size_t)c->packs : 1;
}

/* The nearest small floats, as fq_float_code has it: magnitudes up to the ceiling, with the signs of other floats, and NaN
 * where those are. */
LANE vi vi_small_float_or_nan(vf b, vf sign_of, const lane_code *c)
{
    vf smallest = vf_bits(vi_set(c->smallest));
    vi binade = vi_and(vi_bits(vf_max(b, smallest)), vi_set(0x7F800000));
    vi base = vi_add(binade, vi_set((23 - c->mantissa) << 23));
    vi steps = vi_sub(vi_bits(vf_add(b, vf_bits(base))), base);
    vi code = vi_add(vi_shift_right(vi_sub(binade, vi_set(c->smallest)), 23 - c->mantissa), steps);
    vi negative = vi_sign(vi_bits(sign_of)), sign = vi_and(negative, vi_set(c->sign));
    vi nan = vi_or(vi_set(c->nan), vi_and(negative, vi_set(c->nan_sign)));
    code = vi_choose(vi_above(code, vi_set(c->largest)), vi_set(c->above), code);
    code = vi_or(code, vi_and_not(sign, vi_equal(code, vi_set(c->unsigned_zero))));
    return vi_choose(vi_nan_lanes(sign_of), nan, code);
}

/* Without NaN, and with magnitudes for quotients: the code times c->weight, plus c->base. The sum's upper half is its
 * exponent, 128 for each binade of 2^mantissa codes; its lower half counts steps. */
LANE vi vi_small_magnitude(vf a, const lane_code *c)
{
    vf b = vf_at_most_always(vf_set(c->last), a);
    vi binade = vi_and(vi_bits(vf_max(b, vf_bits(vi_set(c->smallest)))), vi_set(0x7F800000));
    vi base = vi_add(binade, vi_set((23 - c->mantissa) << 23));
    return vi_halves(vi_bits(vf_add(b, vf_bits(base))), c->weight);
}

/* The same as vb_small_floats, for all that there is. Not inlined, since it is rare and everywhere. */
LANE_CALL void any_small_floats(const float *a, const float *sign_of, char *codes, const lane_code *c)
{
    const vi zero = vi_set(0);
    vi code[4];
    for (int k = 0; k < 4; k++)
        code[k] = vi_small_float_or_nan(vf_at_most_always(vf_set(c->ceiling), vf_load(a + k * LANES)),
                                        vf_load(sign_of + k * LANES), c);
    vb_store(codes, vb_narrow_unsigned(code[0], code[1], code[2], code[3], v_zero_points_of(zero, zero, zero, zero)), 0);
}

/* Magnitudes of quotients, NaN where they are too large, and floats that have the signs, NaN where the quotient has. */
LANE vb vb_small_floats(const vf a[4], const vf sign_of[4], const lane_code *c)
{
    vi code[4], sign[4];
    if (c->slow | vf_any_nan_of_4(sign_of)) {
        float magnitudes[4 * LANES], signs[4 * LANES];
        char codes[4 * LANES];
        for (int k = 0; k < 4; k++) {
            vf_store(magnitudes + k * LANES, a[k], 0);
            vf_store(signs + k * LANES, sign_of[k], 0);
        }
        any_small_floats(magnitudes, signs, codes, c);
        return vb_load(codes);
    }
    for (int k = 0; k < 4; k++) {
        code[k] = vi_small_magnitude(a[k], c);
        sign[k] = vi_bits(sign_of[k]);
    }
    return vb_narrow_signs(code, sign, c->base, 7 - c->mantissa, c->sign, c->not_zero);
}

/* Levels (integers nearest to the quotients) plus zero points. Those of words are within the levels of their type; those
 * of bytes are what vi_nearest makes of anything. */
LANE void store_words(int kind, const vi level[4], const vi zero_point[4], char *q, int stream)
{
    for (int k = 0; k < 4; k += 2) {
        vi a = vi_add(level[k], zero_point[k]), b = vi_add(level[k + 1], zero_point[k + 1]);
        vb_store(q + 2 * LANES * k, kind == SIGNED_WORDS ? vb_narrow_i16(a, b) : vb_narrow_u16(a, b), stream);
    }
}

LANE vb vb_integers(int kind, const vi level[4], v_zero_points z, const lane_code *c)
{
    vb codes;
    if (kind == UNSIGNED_BYTES)
        return vb_narrow_unsigned(level[0], level[1], level[2], level[3], z);
    codes = vb_narrow_signed(level[0], level[1], level[2], level[3], z);
    return kind == SMALL_INTEGERS ? vb_clamp(codes, c->lowest, c->highest) : codes;
}

/* A block's small floats, each divided by c->values.power. NaN and the upper binade of a type that float16 has no room
 * for are rare enough for a call. */
LANE_CALL void any_values(const char *q, float *values, const lane_code *c)
{
    for (size_t k = 0; k < 4; k += 2) {
        vf a, b;
        vf_widen_small_float(q + k * LANES, &c->values, &a, &b);
        vf_store(values + k * LANES, a, 0);
        vf_store(values + (k + 1) * LANES, b, 0);
    }
}

LANE void small_values(const char *q, vf v[4], const lane_code *c)
{
    float values[4 * LANES];
    if (!vb_any_rare(vb_load(q), &c->values)) {
        vf_widen_usual(q, &c->values, v);
        vf_widen_usual(q + 2 * LANES, &c->values, v + 2);
        return;
    }
    if (c->values.upper && vf_widen_upper(q, &c->values, v))
        return;
    any_values(q, values, c);
    for (int k = 0; k < 4; k++)
        v[k] = vf_load(values + k * LANES);
}

/* LANES codes as integers; small integers as bytes that have been extended. */
LANE vi load_integers(int kind, const char *q)
{
    switch (kind) {
    case SIGNED_BYTES: return vi_widen_i8(q);
    case UNSIGNED_BYTES: return vi_widen_u8(q);
    case SIGNED_WORDS: return vi_widen_i16(q);
    case UNSIGNED_WORDS: return vi_widen_u16(q);
    case ACCUMULATORS: return vi_load((const int32_t *)q);
    default: return vi_widen_i8(q);
    }
}

/* ---- real types ---- */

LANE size_t real_bytes(int real) { return real == FQ_f64 ? 8 : real == FQ_f32 ? 4 : 2; }

LANE vf load_reals(int real, const char *x)
{
    return real == FQ_f32 ? vf_load((const float *)x)
         : real == FQ_f16 ? vf_load_f16((const uint16_t *)x) : vf_load_bf16((const uint16_t *)x);
}

/* nans: whether there may be any. */
LANE void store_reals(int real, char *x, vf v, int nans, int stream)
{
    if (real == FQ_f32)
        vf_store((float *)x, v, stream);
    else if (real == FQ_f16)
        vf_store_f16((uint16_t *)x, v, stream);
    else
        vf_store_bf16((uint16_t *)x, v, nans, stream);
}

/* ---- reading ahead ---- */

/* Arrays that are streamed come from memory, and these loops leave the hardware's own prefetching behind: too fast where
 * they read reals, too slow to look like a stream where they read codes. Asking for what is 2 KiB ahead makes them as fast as
 * a bare copy. Without it, on Zen 2, quantize took 1.13 and fake_quantize 1.25 of one; on Sapphire Rapids dequantizing to
 * bfloat16 took three times as long, and with 1.5 KiB still 1.1 times. A prefetch beyond the end of an array is no access. */
LANE ptrdiff_t ahead_of(const fq_tile *t)
{
    return t->stream ? 2048 : 0;
}

LANE void lane_prefetch(const char *x, size_t nbytes, ptrdiff_t ahead)
{
    if (ahead)
        for (size_t k = 0; k < nbytes; k += 64)
            v_prefetch((const void *)((uintptr_t)x + (uintptr_t)ahead + k));
}
