/* Small floats, four vectors at a time: from quotients to codes, and from codes to values. Included by spans.inc.h.
 *
 * Most blocks are `usual` and take a short way. What is not, NaN and some codes, is left to functions that are not
 * inlined, and to callers that keep those out of their loops (loops.inc.h). They are given a copy of the constants: a loop
 * that stores bytes would otherwise have to expect that it changes them, and load them for every block. */

/* ---- codes ---- */

/* The nearest small floats, as fq_float_code has it: limited magnitudes, with the signs of other floats, and NaN where
 * those are. */
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

/* All that there is. Not inlined, since it is rare and everywhere. */
LANE_CALL void any_small_floats(const float *y, const float *sign_of, char *codes, const lane_code *c)
{
    const vi zero = vi_set(0);
    vi code[4];
    for (int k = 0; k < 4; k++)
        code[k] = vi_small_float_or_nan(vf_magnitude(vf_load(y + k * LANES)), vf_load(sign_of + k * LANES), c);
    vb_store(codes, vb_narrow_unsigned(code[0], code[1], code[2], code[3], v_zero_points_of(zero, zero, zero, zero)), 0);
}

LANE vb vb_rare_small_floats(const vf y[4], const vf sign_of[4], const lane_code *c)
{
    const lane_code own = *c;
    float quotients[4 * LANES], signs[4 * LANES];
    char codes[4 * LANES];
    for (int k = 0; k < 4; k++) {
        vf_store(quotients + k * LANES, y[k], 0);
        vf_store(signs + k * LANES, sign_of[k], 0);
    }
    any_small_floats(quotients, signs, codes, &own);
    return vb_load(codes);
}

/* Of limited quotients and what has their signs, without NaN. A quotient is rounded by adding 2^(23 - mantissa) times its
 * binade. The upper half of the sum is its exponent, 128 for each binade of 2^mantissa codes; its lower half
 * counts steps: together, c->weight times the code, plus c->base. */
LANE vb vb_usual_small_floats(const vf y[4], const vf sign_of[4], const lane_code *c)
{
    const vf steps = vf_bits(vi_set((127 + 23 - c->mantissa) << 23)), smallest = vf_bits(vi_set(c->smallest));
    vi code[4];
    for (int k = 0; k < 4; k++)
        code[k] = vi_halves(vi_bits(vf_fma(vf_binade(smallest, y[k]), steps, y[k])), c->weight);
    return vb_narrow_small_floats(code, sign_of, c->base, 7 - c->mantissa, c->sign, c->not_zero);
}

/* ---- values ---- */

/* A block's small floats, each divided by c->values.power. */
LANE_CALL void any_values(const char *q, float *values, const lane_code *c)
{
    for (size_t k = 0; k < 4; k += 2) {
        vf a, b;
        vf_widen_small_float(q + k * LANES, &c->values, &a, &b);
        vf_store(values + k * LANES, a, 0);
        vf_store(values + (k + 1) * LANES, b, 0);
    }
}

LANE void rare_values(const char *q, vf v[4], const lane_code *c)
{
    const lane_code own = *c;
    float values[4 * LANES];
    any_values(q, values, &own);
    for (int k = 0; k < 4; k++)
        v[k] = vf_load(values + k * LANES);
}

/* False if there are NaN, or numbers of both ends of a type that float16 has no room for. */
LANE int usual_values(const char *q, vf v[4], const lane_code *c)
{
    if (vb_any_rare(vb_load(q), &c->values))
        return c->values.upper && vf_widen_upper(q, &c->values, v);
    vf_widen_usual(q, &c->values, v);
    vf_widen_usual(q + 2 * LANES, &c->values, v + 2);
    return 1;
}
