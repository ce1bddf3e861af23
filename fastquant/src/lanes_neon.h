/* Lane operations for NEON on 64-bit Arm: vectors of 4 floats (vf) and of 4 int32 (vi), and pairs of vectors of 2
 * doubles (vd), which are 4 as well. Four vectors of integers narrow to one of 16 bytes, in order.
 *
 * The names are those of lanes_avx2.h. The instructions differ where NaN is: FMIN and FMAX return it, quiet, whichever
 * operand it is; FMINNM and FMAXNM return the other operand, but only if it was quiet already. Zeros of both signs are
 * ordered here, -0 below +0; nothing depends on which of them a minimum is. */
#include <arm_neon.h>

#define LANES 4
#define LINE_BLOCKS 4  /* blocks of codes of 4 bits that are packed at once: half a line of a cache */
#define STREAM_BYTES 1  /* none: CPUs stop caching by themselves where whole lines are written one after another */

typedef float32x4_t vf;
typedef int32x4_t vi;
typedef uint8x16_t vb;  /* 4 * LANES codes of one byte */
typedef struct { float64x2_t a, b; } vd;

/* ---- memory: all stores are ordinary ones ---- */

LANE void vb_store(void *p, vb v, int stream) { (void)stream, vst1q_u8(p, v); }
LANE void v_prefetch(const void *p) { __builtin_prefetch(p); }

/* ---- floats ---- */

LANE vf vf_load(const float *p) { return vld1q_f32(p); }
LANE void vf_store(float *p, vf v, int stream) { (void)stream, vst1q_f32(p, v); }
LANE vf vf_set(float v) { return vdupq_n_f32(v); }
LANE vf vf_add(vf a, vf b) { return vaddq_f32(a, b); }
LANE vf vf_sub(vf a, vf b) { return vsubq_f32(a, b); }
LANE vf vf_mul(vf a, vf b) { return vmulq_f32(a, b); }
LANE vf vf_div(vf a, vf b) { return vdivq_f32(a, b); }
LANE vf vf_fma(vf a, vf b, vf c) { return vfmaq_f32(c, a, b); }
LANE vf vf_fnma(vf a, vf b, vf c) { return vfmsq_f32(c, a, b); }

/* NaN becomes `low`: any NaN, since the first operation makes it quiet. */
LANE vf vf_within(vf low, vf high, vf v) { return vmaxnmq_f32(vminq_f32(v, high), low); }
/* For what becomes an integer by vi_nearest, perhaps after a division: at most the limit, which is positive. NaN and
 * what is below the limit's negative become that, which saturates on the other side: the conversion would make 0 of
 * NaN, and the products of a division may make +inf of a huge negative number. */
LANE vf vf_bounded(vf limit, vf v) { return vmaxnmq_f32(vminq_f32(v, limit), vnegq_f32(limit)); }
/* For ranges, where NaN is found by other means. */
LANE vf vf_min(vf a, vf b) { return vminq_f32(a, b); }
LANE vf vf_max(vf a, vf b) { return vmaxq_f32(a, b); }
LANE vf vf_magnitude(vf v) { return vabsq_f32(v); }
/* For small floats: v's magnitude, limited, and the power of two at or below it, but `smallest` at least. v is not NaN. */
LANE vf vf_limited_magnitude(vf limit, vf v) { return vminq_f32(vabsq_f32(v), limit); }
LANE vf vf_binade(vf smallest, vf v)
{
    return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(vmaxq_f32(v, smallest)), vdupq_n_u32(0x7F800000)));
}
/* Whether a or b has a NaN in any lane: a maximum of numbers is none. */
LANE int vf_any_nan(vf a, vf b)
{
    const float most = vmaxvq_f32(vmaxq_f32(a, b));
    return most != most;
}
LANE int vf_any_nan_of_4(const vf v[4]) { return vf_any_nan(vmaxq_f32(v[0], v[1]), vmaxq_f32(v[2], v[3])); }

/* ---- integers ---- */

LANE vi vi_load(const int32_t *p) { return vld1q_s32(p); }
LANE vi vi_set(int32_t v) { return vdupq_n_s32(v); }
LANE vi vi_add(vi a, vi b) { return vaddq_s32(a, b); }
LANE vi vi_sub(vi a, vi b) { return vsubq_s32(a, b); }
LANE vi vi_and(vi a, vi b) { return vandq_s32(a, b); }
LANE vi vi_or(vi a, vi b) { return vorrq_s32(a, b); }
LANE vi vi_and_not(vi a, vi b) { return vbicq_s32(a, b); }  /* a & ~b */
LANE vi vi_equal(vi a, vi b) { return vreinterpretq_s32_u32(vceqq_s32(a, b)); }
LANE vi vi_above(vi a, vi b) { return vreinterpretq_s32_u32(vcgtq_s32(a, b)); }
LANE vi vi_choose(vi mask, vi yes, vi no) { return vbslq_s32(vreinterpretq_u32_s32(mask), yes, no); }
LANE vi vi_sign(vi v) { return vshrq_n_s32(v, 31); }
LANE vi vi_shift_right(vi v, int n)
{
    return vreinterpretq_s32_u32(vshlq_u32(vreinterpretq_u32_s32(v), vdupq_n_s32(-n)));
}
/* The upper 16 bits plus `weight` times the lower ones, in all below 2^15. */
LANE vi vi_halves(vi v, int weight)
{
    return vpaddlq_s16(vmulq_s16(vreinterpretq_s16_s32(v), vreinterpretq_s16_s32(vdupq_n_s32(1 << 16 | weight))));
}
LANE vi vi_nan_lanes(vf v) { return vreinterpretq_s32_u32(vmvnq_u32(vceqq_f32(v, v))); }
LANE vi vi_bits(vf v) { return vreinterpretq_s32_f32(v); }
LANE vf vf_bits(vi v) { return vreinterpretq_f32_s32(v); }

/* Nearest, ties to even, of what vf_bounded and vf_within leave: no NaN, and nothing above int32. */
LANE vi vi_nearest(vf v) { return vcvtnq_s32_f32(v); }
/* A bit for each of two vectors' lanes that is > 0, the first the highest. */
LANE int v_positive(const vf *v)
{
    static const uint16_t bits[8] = {128, 64, 32, 16, 8, 4, 2, 1};
    const vf zero = vdupq_n_f32(0.0f);
    const uint16x8_t positive = vuzp1q_u16(vreinterpretq_u16_u32(vcgtq_f32(v[0], zero)),
                                           vreinterpretq_u16_u32(vcgtq_f32(v[1], zero)));
    return vaddvq_u16(vandq_u16(positive, vld1q_u16(bits)));
}

LANE vf vf_floor(vf v) { return vrndmq_f32(v); }
LANE vf vf_nearest(vf v) { return vrndnq_f32(v); }
LANE vf vf_from_vi(vi v) { return vcvtq_f32_s32(v); }

/* ---- doubles ---- */

#define VD_EACH(name, op) \
    LANE vd name(vd x, vd y) { vd r = {op(x.a, y.a), op(x.b, y.b)}; return r; }
VD_EACH(vd_add, vaddq_f64)
VD_EACH(vd_sub, vsubq_f64)
VD_EACH(vd_mul, vmulq_f64)
VD_EACH(vd_div, vdivq_f64)
VD_EACH(vd_min, vminq_f64)
VD_EACH(vd_max, vmaxq_f64)
VD_EACH(vd_max_number, vmaxnmq_f64)
/* As vf_within. */
LANE vd vd_within(vd low, vd high, vd v) { return vd_max_number(vd_min(v, high), low); }
LANE vd vd_load(const double *p) { vd r = {vld1q_f64(p), vld1q_f64(p + 2)}; return r; }
LANE vd vd_set(double v) { vd r = {vdupq_n_f64(v), vdupq_n_f64(v)}; return r; }
LANE void vd_store(double *p, vd v, int stream)
{
    (void)stream;
    vst1q_f64(p, v.a);
    vst1q_f64(p + 2, v.b);
}
LANE int vd_any_nan(vd v)
{
    const double most = vmaxvq_f64(vmaxq_f64(v.a, v.b));
    return most != most;
}
LANE vd vd_nearest(vd v) { vd r = {vrndnq_f64(v.a), vrndnq_f64(v.b)}; return r; }
/* Nearest, for v within int32: the lower halves of int64. */
LANE vi vi_nearest_vd(vd v)
{
    return vuzp1q_s32(vreinterpretq_s32_s64(vcvtnq_s64_f64(v.a)), vreinterpretq_s32_s64(vcvtnq_s64_f64(v.b)));
}
LANE vd vd_from_vi(vi v)
{
    vd r = {vcvtq_f64_s64(vmovl_s32(vget_low_s32(v))), vcvtq_f64_s64(vmovl_high_s32(v))};
    return r;
}
LANE vd vd_from_vf(vf v) { vd r = {vcvt_f64_f32(vget_low_f32(v)), vcvt_high_f64_f32(v)}; return r; }
LANE vf vf_from_vd(vd v) { return vcvt_high_f32_f64(vcvt_f32_f64(v.a), v.b); }
/* Round to odd, as fq_odd_f32 has it: an instruction does just that, also beyond the largest float and below the
 * smallest. */
LANE vf vf_odd_from_vd(vd v) { return vcvtx_high_f32_f64(vcvtx_f32_f64(v.a), v.b); }

/* ---- half types: NaN stays NaN, quiet ---- */

LANE vf vf_load_f16(const uint16_t *p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p))); }
LANE vf vf_load_bf16(const uint16_t *p) { return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16)); }
LANE void vf_store_f16(uint16_t *p, vf v, int stream)
{
    (void)stream;
    vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(v)));
}
/* nans: whether there may be any. A test gives -1 where the last bit that stays is set, which is one more to add. */
LANE void vf_store_bf16(uint16_t *p, vf v, int nans, int stream)
{
    const uint32x4_t bits = vreinterpretq_u32_f32(v), odd = vtstq_u32(bits, vdupq_n_u32(0x10000));
    uint16x4_t rounded = vaddhn_u32(bits, vsubq_u32(vdupq_n_u32(0x7FFF), odd));
    (void)stream;
    if (nans)
        rounded = vbsl_u16(vmovn_u32(vceqq_f32(v, v)), rounded, vorr_u16(vshrn_n_u32(bits, 16), vdup_n_u16(0x0040)));
    vst1_u16(p, rounded);
}

/* ---- codes: four vectors of integers narrow to one of bytes, in order ---- */

LANE vb vb_in_order(vb v) { return v; }
LANE vb vb_as_narrowed(vb v) { return v; }

/* Zero points (|zero_point| <= 32512) for the four vectors. Saturating to int16 before the zero point is added loses
 * nothing: whatever it cuts off is beyond the range of a byte either way. */
typedef struct { int16x8_t ab, cd; } v_zero_points;

LANE int16x8_t v_narrow_words(vi a, vi b) { return vqmovn_high_s32(vqmovn_s32(a), b); }

LANE v_zero_points v_zero_points_of(vi a, vi b, vi c, vi d)
{
    v_zero_points z = {v_narrow_words(a, b), v_narrow_words(c, d)};
    return z;
}

LANE vb vb_narrow_signed(vi a, vi b, vi c, vi d, v_zero_points z)
{
    const int16x8_t ab = vqaddq_s16(v_narrow_words(a, b), z.ab), cd = vqaddq_s16(v_narrow_words(c, d), z.cd);
    return vreinterpretq_u8_s8(vqmovn_high_s16(vqmovn_s16(ab), cd));
}

LANE vb vb_narrow_unsigned(vi a, vi b, vi c, vi d, v_zero_points z)
{
    const int16x8_t ab = vqaddq_s16(v_narrow_words(a, b), z.ab), cd = vqaddq_s16(v_narrow_words(c, d), z.cd);
    return vqmovun_high_s16(vqmovun_s16(ab), cd);
}

/* Every second half, or byte: the lower ones. */
LANE uint16x8_t v_low_halves(vi a, vi b) { return vuzp1q_u16(vreinterpretq_u16_s32(a), vreinterpretq_u16_s32(b)); }
LANE vb vb_low(uint16x8_t a, uint16x8_t b) { return vuzp1q_u8(vreinterpretq_u8_u16(a), vreinterpretq_u8_u16(b)); }
/* The upper ones. */
LANE uint16x8_t v_high_halves(vi a, vi b) { return vuzp2q_u16(vreinterpretq_u16_s32(a), vreinterpretq_u16_s32(b)); }
LANE vb vb_high(uint16x8_t a, uint16x8_t b) { return vuzp2q_u8(vreinterpretq_u8_u16(a), vreinterpretq_u8_u16(b)); }

/* Codes without sign, times 2^shift and plus `base`, in all below 2^15, get the signs of four vectors of floats, which
 * are in their highest bytes. A byte equal to `not_zero` (256: none) is a negative zero where 0 has no sign. */
LANE vb vb_narrow_small_floats(const vi code[4], const vf sign_of[4], int base, int shift, int sign, int not_zero)
{
    const uint16x8_t less = vdupq_n_u16((uint16_t)base);
    const int16x8_t down = vdupq_n_s16((int16_t)-shift);
    const uint16x8_t ab = vshlq_u16(vsubq_u16(v_low_halves(code[0], code[1]), less), down);
    const uint16x8_t cd = vshlq_u16(vsubq_u16(v_low_halves(code[2], code[3]), less), down);
    const vb signs = vb_high(v_high_halves(vi_bits(sign_of[0]), vi_bits(sign_of[1])),
                            v_high_halves(vi_bits(sign_of[2]), vi_bits(sign_of[3])));
    vb v = vb_low(ab, cd);
    v = vbslq_u8(vdupq_n_u8((uint8_t)sign), vcltzq_s8(vreinterpretq_s8_u8(signs)), v);
    if (not_zero < 256)
        v = vbicq_u8(v, vceqq_u8(v, vdupq_n_u8((uint8_t)not_zero)));
    return v;
}

/* Bytes within lowest ... highest (signed). */
LANE vb vb_clamp(vb v, int lowest, int highest)
{
    const int8x16_t most = vminq_s8(vreinterpretq_s8_u8(v), vdupq_n_s8((int8_t)highest));
    return vreinterpretq_u8_s8(vmaxq_s8(most, vdupq_n_s8((int8_t)lowest)));
}

LANE vb vb_mask(vb v, int mask) { return vandq_u8(v, vdupq_n_u8((uint8_t)mask)); }

/* The bits of mask as a number: of two's complement if sign is the highest of them, without sign if that is 0. */
LANE vb vb_extended(vb v, int mask, int sign)
{
    const vb s = vdupq_n_u8((uint8_t)sign);
    return vsubq_u8(veorq_u8(vb_mask(v, mask), s), s);
}

/* Two vectors to 16 bits, saturated, in order. */
LANE vb vb_narrow_i16(vi a, vi b) { return vreinterpretq_u8_s16(v_narrow_words(a, b)); }
LANE vb vb_narrow_u16(vi a, vi b) { return vreinterpretq_u8_u16(vqmovun_high_s32(vqmovun_s32(a), b)); }

LANE vb vb_load(const void *p) { return vld1q_u8(p); }
LANE vb vb_or(vb a, vb b) { return vorrq_u8(a, b); }

/* The first four bytes of a vector, and nothing behind them. */
LANE uint8x8_t v_load_4(const void *p)
{
    uint32_t bytes;
    memcpy(&bytes, p, sizeof bytes);
    return vcreate_u8(bytes);
}

LANE vi vi_widen_i8(const void *p)
{
    return vmovl_s16(vget_low_s16(vmovl_s8(vreinterpret_s8_u8(v_load_4(p)))));
}
LANE vi vi_widen_u8(const void *p)
{
    return vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(vmovl_u8(v_load_4(p)))));
}
LANE vi vi_widen_i16(const void *p) { return vmovl_s16(vld1_s16(p)); }
LANE vi vi_widen_u16(const void *p) { return vreinterpretq_s32_u32(vmovl_u16(vld1_u16(p))); }

/* Small floats in bytes by way of float16, whose exponent has room for theirs: moved into place they are a power of two
 * too small, subnormals included, and left so. Magnitudes above `last` are NaN, and so is the byte `nan` (256: none).
 * `rare` is the byte of NaN, in the types that have it, by which blocks without any are found. Where a type uses the
 * exponent that float16 keeps for infinity, magnitudes from `upper` on (0: none) are converted halved. */
typedef struct { int magnitude, last, nan, rare, up, pad, sign, sign_up, upper, binade; float power; } v_small_float;

LANE int vb_any(vb v) { return vmaxvq_u32(vreinterpretq_u32_u8(v)) != 0; }

/* Whether a block has any of these. */
LANE int vb_any_rare(vb codes, const v_small_float *f)
{
    const vb most = vdupq_n_u8((uint8_t)((f->upper ? f->upper : f->last + 1) - 1));
    const vb rare = vceqq_u8(codes, vdupq_n_u8((uint8_t)f->rare));
    return vb_any(vorrq_u8(rare, vcgtq_u8(vb_mask(codes, f->magnitude), most)));
}

/* All of a block that has none but the upper ones, by way of float32, which has room for the exponent but not, at the
 * same speed, for subnormals: False if there are any. */
LANE int vf_widen_upper(const void *p, const v_small_float *f, vf v[4])
{
    const uint32x4_t keep = vdupq_n_u32(0x80000000u | (unsigned)f->magnitude << (f->up + 13));
    const int32x4_t down = vdupq_n_s32(f->up - 11);
    const vb codes = vb_load(p), magnitude = vb_mask(codes, f->magnitude), zero = vdupq_n_u8(0);
    /* One less makes 255 of 0, which is no subnormal. */
    const vb subnormal = vcltq_u8(vsubq_u8(magnitude, vdupq_n_u8(1)), vdupq_n_u8((uint8_t)(f->binade - 1)));
    const vb nan = vceqq_u8(codes, vdupq_n_u8((uint8_t)f->rare));
    const uint16x8_t half[2] = {vreinterpretq_u16_u8(vzip1q_u8(zero, codes)),
                                vreinterpretq_u16_u8(vzip2q_u8(zero, codes))};
    if (vb_any(vorrq_u8(subnormal, nan)))
        return 0;
    for (int k = 0; k < 4; k++) {
        const uint16x8_t c = k % 2 ? vzip2q_u16(vdupq_n_u16(0), half[k / 2]) : vzip1q_u16(vdupq_n_u16(0), half[k / 2]);
        const int32x4_t moved = vshlq_s32(vreinterpretq_s32_u16(c), down);
        const uint32x4_t bits = vandq_u32(vreinterpretq_u32_s32(moved), keep);
        v[k] = vmulq_f32(vreinterpretq_f32_u32(bits), vdupq_n_f32(0x1p112f));
    }
    return 1;
}

LANE void vf_from_halves(uint16x8_t half, vf *first, vf *second)
{
    const float16x8_t h = vreinterpretq_f16_u16(half);
    *first = vcvt_f32_f16(vget_low_f16(h));
    *second = vcvt_high_f32_f16(h);
}

/* 8 of all others: with the sign bit on top of its byte, extending it puts it where float16 has its own. */
LANE void vf_widen_usual(const void *p, const v_small_float *f, vf v[2])
{
    const int8x8_t c = vshl_s8(vld1_s8(p), vdup_n_s8((int8_t)f->pad));
    const int16x8_t half = vshlq_s16(vmovl_s8(c), vdupq_n_s16((int16_t)(f->up - f->pad)));
    const uint16x8_t keep = vdupq_n_u16((uint16_t)(0x8000 | f->magnitude << f->up));
    vf_from_halves(vandq_u16(vreinterpretq_u16_s16(half), keep), v, v + 1);
}

/* 8 of any. */
LANE void vf_widen_small_float(const void *p, const v_small_float *f, vf *first, vf *second)
{
    const uint16x8_t c = vmovl_u8(vld1_u8(p));
    const uint16x8_t sign = vandq_u16(c, vdupq_n_u16((uint16_t)f->sign));
    uint16x8_t magnitude = vandq_u16(c, vdupq_n_u16((uint16_t)f->magnitude));
    const uint16x8_t is_nan = vorrq_u16(vcgtq_u16(magnitude, vdupq_n_u16((uint16_t)f->last)),
                                        vceqq_u16(c, vdupq_n_u16((uint16_t)f->nan)));
    const uint16x8_t upper = vcgeq_u16(magnitude, vdupq_n_u16((uint16_t)f->upper));
    uint16x8_t half;
    if (f->upper)
        magnitude = vsubq_u16(magnitude, vandq_u16(upper, vdupq_n_u16((uint16_t)f->binade)));
    half = vshlq_u16(magnitude, vdupq_n_s16((int16_t)f->up));
    half = vbslq_u16(is_nan, vdupq_n_u16(0x7E00), half);
    half = vorrq_u16(half, vshlq_u16(sign, vdupq_n_s16((int16_t)f->sign_up)));
    vf_from_halves(half, first, second);
    if (f->upper) {  /* by the bits of the other summand */
        const int16x8_t twice = vreinterpretq_s16_u16(upper);
        *first = vaddq_f32(*first, vf_bits(vandq_s32(vi_bits(*first), vmovl_s16(vget_low_s16(twice)))));
        *second = vaddq_f32(*second, vf_bits(vandq_s32(vi_bits(*second), vmovl_high_s16(twice))));
    }
}

/* ---- packed codes, low bits first: 4 * LANES codes to 8 or 4 bytes, and from them; of codes nothing but their low
 * bits counts ---- */

/* Neighbours in one byte: the bits of the first below those of the second, which are inserted there. */
LANE vb v_pairs_4(vb a, vb b) { return vsliq_n_u8(vuzp1q_u8(a, b), vuzp2q_u8(a, b), 4); }
LANE vb v_pairs_2(vb a, vb b) { return vsliq_n_u8(vuzp1q_u8(a, b), vuzp2q_u8(a, b), 2); }

LANE void v_pack_4(vb codes, void *packed, int stream)
{
    (void)stream;
    vst1_u8(packed, vget_low_u8(v_pairs_4(codes, codes)));
}

/* Four times as many. */
LANE void v_pack_4_line(const vb codes[LINE_BLOCKS], void *packed, int stream)
{
    vb_store(packed, v_pairs_4(codes[0], codes[1]), stream);
    vb_store((char *)packed + 16, v_pairs_4(codes[2], codes[3]), stream);
}

LANE void v_pack_2(vb codes, void *packed)
{
    const vb pairs = v_pairs_2(codes, codes);
    const uint32_t fours = vgetq_lane_u32(vreinterpretq_u32_u8(v_pairs_4(pairs, pairs)), 0);
    memcpy(packed, &fours, sizeof fours);
}

LANE vb v_unpack_4(const void *packed)
{
    const vb bytes = vcombine_u8(vld1_u8(packed), vdup_n_u8(0));
    return vzip1q_u8(vandq_u8(bytes, vdupq_n_u8(15)), vshrq_n_u8(bytes, 4));
}

LANE vb v_unpack_2(const void *packed)
{
    static const uint8_t which[16] = {0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3};
    static const int8_t down[16] = {0, -2, -4, -6, 0, -2, -4, -6, 0, -2, -4, -6, 0, -2, -4, -6};
    const vb bytes = vcombine_u8(v_load_4(packed), vdup_n_u8(0));
    return vb_mask(vshlq_u8(vqtbl1q_u8(bytes, vld1q_u8(which)), vld1q_s8(down)), 3);
}

/* ---- across lanes ---- */

/* Lane i is the lowest (highest) lane of v[i]. */
LANE vf vf_lowest_lanes(const vf v[LANES]) { return vpminq_f32(vpminq_f32(v[0], v[1]), vpminq_f32(v[2], v[3])); }
LANE vf vf_highest_lanes(const vf v[LANES]) { return vpmaxq_f32(vpmaxq_f32(v[0], v[1]), vpmaxq_f32(v[2], v[3])); }

LANE float vf_lowest_lane(vf v) { return vminvq_f32(v); }
LANE float vf_highest_lane(vf v) { return vmaxvq_f32(v); }
LANE double vd_lowest_lane(vd v) { return vminvq_f64(vminq_f64(v.a, v.b)); }
LANE double vd_highest_lane(vd v) { return vmaxvq_f64(vmaxq_f64(v.a, v.b)); }
