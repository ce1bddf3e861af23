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
    float last;
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

/* A vector of codes as integers; small integers as bytes that have been extended. */
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
    return t->stream && t->stream != 2 ? 2048 : 0;
}

LANE void lane_prefetch(const char *x, size_t nbytes, ptrdiff_t ahead)
{
    if (ahead)
        for (size_t k = 0; k < nbytes; k += 64)
            v_prefetch((const void *)((uintptr_t)x + (uintptr_t)ahead + k));
}
