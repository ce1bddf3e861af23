/* Lane operations for AVX2 + FMA + F16C: vectors of 8 floats (vf) and of 8 int32 (vi), and pairs of vectors of 4 doubles
 * (vd), which are 8 as well.
 *
 * spans.inc.h is written over these names; another instruction set is another file with the same names. Where an
 * operation's behaviour on NaN matters, its comment says what the spans rely on. */
#include <immintrin.h>

#define LANES 8
#define STREAM_BYTES 16  /* the alignment that a streaming store wants */
#define LINE_BLOCKS 4    /* blocks of codes of 4 bits that fill a line of a cache */

typedef __m256 vf;
typedef __m256i vi;
typedef __m256i vb;  /* 4 * LANES codes of one byte */
typedef struct { __m256d a, b; } vd;

/* ---- memory: `stream` is for arrays that no cache will hold, and 16 bytes at a time for outputs aligned no better ---- */

LANE void v_store_16(void *p, __m128i v, int stream)
{
    if (stream)
        _mm_stream_si128((__m128i *)p, v);
    else
        _mm_storeu_si128((__m128i *)p, v);
}

LANE void vb_store(void *p, vb v, int stream)
{
    if (stream) {
        _mm_stream_si128((__m128i *)p, _mm256_castsi256_si128(v));
        _mm_stream_si128((__m128i *)p + 1, _mm256_extracti128_si256(v, 1));
    } else {
        _mm256_storeu_si256((__m256i *)p, v);
    }
}

LANE void v_prefetch(const void *p) { _mm_prefetch((const char *)p, _MM_HINT_T0); }

/* ---- floats ---- */

LANE vf vf_load(const float *p) { return _mm256_loadu_ps(p); }
LANE void vf_store(float *p, vf v, int stream) { vb_store(p, _mm256_castps_si256(v), stream); }
LANE vf vf_set(float v) { return _mm256_set1_ps(v); }
LANE vf vf_add(vf a, vf b) { return _mm256_add_ps(a, b); }
LANE vf vf_sub(vf a, vf b) { return _mm256_sub_ps(a, b); }
LANE vf vf_mul(vf a, vf b) { return _mm256_mul_ps(a, b); }
LANE vf vf_div(vf a, vf b) { return _mm256_div_ps(a, b); }
LANE vf vf_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }
LANE vf vf_fnma(vf a, vf b, vf c) { return _mm256_fnmadd_ps(a, b, c); }

/* minps and maxps return their second operand when either is NaN, so v's NaN passes through. */
LANE vf vf_at_most(vf limit, vf v) { return _mm256_min_ps(limit, v); }
/* The other way round, NaN becomes the limit. */
LANE vf vf_at_least(vf limit, vf v) { return _mm256_max_ps(v, limit); }
/* NaN becomes `low`. */
LANE vf vf_within(vf low, vf high, vf v) { return vf_at_most(high, vf_at_least(low, v)); }
/* For what becomes an integer by vi_nearest, perhaps after a division: at most the limit. NaN may stay or become a number
 * that saturates on the other side, whichever vi_nearest wants: here it makes the lowest integer of NaN. */
LANE vf vf_bounded(vf limit, vf v) { return vf_at_most(limit, v); }
/* For ranges, where NaN is found by other means. */
LANE vf vf_min(vf a, vf b) { return _mm256_min_ps(a, b); }
LANE vf vf_max(vf a, vf b) { return _mm256_max_ps(a, b); }
LANE vf vf_magnitude(vf v) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), v); }
/* For small floats: v's magnitude, limited, and the power of two at or below it, but `smallest` at least. v is not NaN. */
LANE vf vf_limited_magnitude(vf limit, vf v) { return _mm256_min_ps(vf_magnitude(v), limit); }
LANE vf vf_binade(vf smallest, vf v)
{
    return _mm256_and_ps(_mm256_max_ps(v, smallest), _mm256_castsi256_ps(_mm256_set1_epi32(0x7F800000)));
}
/* Whether a or b has a NaN in any lane. */
LANE int vf_any_nan(vf a, vf b) { return _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_UNORD_Q)); }
LANE int vf_any_nan_of_4(const vf v[4])
{
    __m256 a = _mm256_cmp_ps(v[0], v[1], _CMP_UNORD_Q), b = _mm256_cmp_ps(v[2], v[3], _CMP_UNORD_Q);
    return _mm256_movemask_ps(_mm256_or_ps(a, b));
}

/* ---- integers ---- */

LANE vi vi_load(const int32_t *p) { return _mm256_loadu_si256((const __m256i *)p); }
LANE vi vi_set(int32_t v) { return _mm256_set1_epi32(v); }
LANE vi vi_add(vi a, vi b) { return _mm256_add_epi32(a, b); }
LANE vi vi_sub(vi a, vi b) { return _mm256_sub_epi32(a, b); }
LANE vi vi_and(vi a, vi b) { return _mm256_and_si256(a, b); }
LANE vi vi_or(vi a, vi b) { return _mm256_or_si256(a, b); }
LANE vi vi_and_not(vi a, vi b) { return _mm256_andnot_si256(b, a); }  /* a & ~b */
LANE vi vi_equal(vi a, vi b) { return _mm256_cmpeq_epi32(a, b); }
LANE vi vi_above(vi a, vi b) { return _mm256_cmpgt_epi32(a, b); }
LANE vi vi_choose(vi mask, vi yes, vi no) { return _mm256_blendv_epi8(no, yes, mask); }
LANE vi vi_sign(vi v) { return _mm256_srai_epi32(v, 31); }
LANE vi vi_shift_right(vi v, int n) { return _mm256_srl_epi32(v, _mm_cvtsi32_si128(n)); }
/* The upper 16 bits plus `weight` times the lower ones, both halves below 2^15. */
LANE vi vi_halves(vi v, int weight) { return _mm256_madd_epi16(v, _mm256_set1_epi32(1 << 16 | weight)); }
LANE vi vi_nan_lanes(vf v) { return _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q)); }
LANE vi vi_bits(vf v) { return _mm256_castps_si256(v); }
LANE vf vf_bits(vi v) { return _mm256_castsi256_ps(v); }

/* Nearest, ties to even, for finite v <= 32768. NaN, both infinities and anything below int32 become INT32_MIN (the
 * instruction's "integer indefinite"), which the saturating narrowing below turns into the lowest code. */
LANE vi vi_nearest(vf v) { return _mm256_cvtps_epi32(v); }
/* A bit for each lane that is > 0: of each eight lanes the first has the highest bit of a byte. */
LANE int v_positive(const vf *v)
{
    const vf reversed = _mm256_permutevar8x32_ps(v[0], _mm256_setr_epi32(7, 6, 5, 4, 3, 2, 1, 0));
    return _mm256_movemask_ps(_mm256_cmp_ps(reversed, _mm256_setzero_ps(), _CMP_GT_OQ));
}

LANE vf vf_floor(vf v) { return _mm256_round_ps(v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }
LANE vf vf_nearest(vf v) { return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
LANE vf vf_from_vi(vi v) { return _mm256_cvtepi32_ps(v); }

/* ---- doubles ---- */

#define VD_EACH(name, op) \
    LANE vd name(vd x, vd y) { vd r = {op(x.a, y.a), op(x.b, y.b)}; return r; }
VD_EACH(vd_add, _mm256_add_pd)
VD_EACH(vd_sub, _mm256_sub_pd)
VD_EACH(vd_mul, _mm256_mul_pd)
VD_EACH(vd_div, _mm256_div_pd)
VD_EACH(vd_min, _mm256_min_pd)
VD_EACH(vd_max, _mm256_max_pd)
/* As vf_within. NaN is not a signalling one. */
LANE vd vd_within(vd low, vd high, vd v) { return vd_min(high, vd_max(v, low)); }
LANE vd vd_load(const double *p) { vd r = {_mm256_loadu_pd(p), _mm256_loadu_pd(p + 4)}; return r; }
LANE vd vd_set(double v) { vd r = {_mm256_set1_pd(v), _mm256_set1_pd(v)}; return r; }
LANE void vd_store(double *p, vd v, int stream)
{
    vb_store(p, _mm256_castpd_si256(v.a), stream);
    vb_store(p + 4, _mm256_castpd_si256(v.b), stream);
}
LANE int vd_any_nan(vd v)
{
    return _mm256_movemask_pd(_mm256_or_pd(_mm256_cmp_pd(v.a, v.a, _CMP_UNORD_Q), _mm256_cmp_pd(v.b, v.b, _CMP_UNORD_Q)));
}
LANE vd vd_nearest(vd v)
{
    vd r = {_mm256_round_pd(v.a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
            _mm256_round_pd(v.b, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
    return r;
}
/* Nearest, for v within int32. */
LANE vi vi_nearest_vd(vd v) { return _mm256_set_m128i(_mm256_cvtpd_epi32(v.b), _mm256_cvtpd_epi32(v.a)); }
LANE vd vd_from_vi(vi v)
{
    vd r = {_mm256_cvtepi32_pd(_mm256_castsi256_si128(v)), _mm256_cvtepi32_pd(_mm256_extracti128_si256(v, 1))};
    return r;
}
LANE vd vd_from_vf(vf v)
{
    vd r = {_mm256_cvtps_pd(_mm256_castps256_ps128(v)), _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1))};
    return r;
}
LANE vf vf_from_vd(vd v) { return _mm256_set_m128(_mm256_cvtpd_ps(v.b), _mm256_cvtpd_ps(v.a)); }

/* Round to odd, as fq_odd_f32 has it. */
LANE __m128i v_odd_bits(__m256d v, __m128 nearest)
{
    const __m256d positive = _mm256_set1_pd(-0.0), back = _mm256_cvtps_pd(nearest);
    const __m256i even = _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6);
    __m256d inexact = _mm256_cmp_pd(back, v, _CMP_NEQ_OQ);
    __m256d away = _mm256_cmp_pd(_mm256_andnot_pd(positive, back), _mm256_andnot_pd(positive, v), _CMP_GT_OQ);
    __m128i one = _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(_mm256_castpd_si256(inexact), even));
    __m128i step = _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(_mm256_castpd_si256(away), even));
    return _mm_or_si128(_mm_add_epi32(_mm_castps_si128(nearest), step), _mm_srli_epi32(one, 31));
}

LANE vf vf_odd_from_vd(vd v)
{
    return _mm256_castsi256_ps(_mm256_set_m128i(v_odd_bits(v.b, _mm256_cvtpd_ps(v.b)), v_odd_bits(v.a, _mm256_cvtpd_ps(v.a))));
}

/* ---- half types: NaN stays NaN, quiet ---- */

LANE vf vf_load_f16(const uint16_t *p) { return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)); }
LANE vf vf_load_bf16(const uint16_t *p)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p)), 16));
}
LANE void vf_store_f16(uint16_t *p, vf v, int stream)
{
    v_store_16(p, _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT), stream);
}
/* nans: whether there may be any. */
LANE void vf_store_bf16(uint16_t *p, vf v, int nans, int stream)
{
    __m256i bits = _mm256_castps_si256(v);
    __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i rounded = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7FFF)), odd);
    if (nans)
        rounded = vi_choose(vi_nan_lanes(v), _mm256_or_si256(bits, _mm256_set1_epi32(0x00400000)), rounded);
    rounded = _mm256_srli_epi32(rounded, 16);
    v_store_16(p, _mm_packus_epi32(_mm256_castsi256_si128(rounded), _mm256_extracti128_si256(rounded, 1)), stream);
}

/* ---- codes: four vectors of integers narrow to one of bytes ---- */

/* The packs work on each half of the register, which leaves the eight groups of four codes in the order 0 2 4 6 1 3 5 7. So
 * do narrowed codes come and packed ones go; this puts them right, and its inverse wrong. */
LANE vb vb_in_order(vb v)
{
    return _mm256_permutevar8x32_epi32(v, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

LANE vb vb_as_narrowed(vb v)
{
    return _mm256_permutevar8x32_epi32(v, _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7));
}

/* Zero points (|zero_point| <= 32512) for the four vectors. Saturating to int16 before the zero point is added loses
 * nothing: whatever it cuts off is beyond the range of a byte either way. */
typedef struct { __m256i ab, cd; } v_zero_points;

LANE v_zero_points v_zero_points_of(vi a, vi b, vi c, vi d)
{
    v_zero_points z = {_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d)};
    return z;
}

LANE vb vb_narrow_signed(vi a, vi b, vi c, vi d, v_zero_points z)
{
    __m256i ab = _mm256_adds_epi16(_mm256_packs_epi32(a, b), z.ab);
    __m256i cd = _mm256_adds_epi16(_mm256_packs_epi32(c, d), z.cd);
    return _mm256_packs_epi16(ab, cd);
}

LANE vb vb_narrow_unsigned(vi a, vi b, vi c, vi d, v_zero_points z)
{
    __m256i ab = _mm256_adds_epi16(_mm256_packs_epi32(a, b), z.ab);
    __m256i cd = _mm256_adds_epi16(_mm256_packs_epi32(c, d), z.cd);
    return _mm256_packus_epi16(ab, cd);
}

/* Codes without sign, times 2^shift and plus `base`, in all below 2^15, get the signs of four vectors of floats. Signs go
 * the same way as codes: saturation keeps them. A byte equal to `not_zero` (256: none) is a negative zero where 0 has no sign. */
LANE vb vb_narrow_small_floats(const vi code[4], const vf sign_of[4], int base, int shift, int sign, int not_zero)
{
    const __m256i less = _mm256_set1_epi16((short)base), zero = _mm256_setzero_si256();
    const __m128i down = _mm_cvtsi32_si128(shift);
    __m256i ab = _mm256_srl_epi16(_mm256_sub_epi16(_mm256_packs_epi32(code[0], code[1]), less), down);
    __m256i cd = _mm256_srl_epi16(_mm256_sub_epi16(_mm256_packs_epi32(code[2], code[3]), less), down);
    __m256i signs = _mm256_packs_epi16(_mm256_packs_epi32(vi_bits(sign_of[0]), vi_bits(sign_of[1])),
                                       _mm256_packs_epi32(vi_bits(sign_of[2]), vi_bits(sign_of[3])));
    __m256i v = _mm256_packus_epi16(ab, cd);
    v = _mm256_or_si256(v, _mm256_and_si256(_mm256_cmpgt_epi8(zero, signs), _mm256_set1_epi8((char)sign)));
    if (not_zero < 256)
        v = _mm256_andnot_si256(_mm256_cmpeq_epi8(v, _mm256_set1_epi8((char)not_zero)), v);
    return v;
}

/* Bytes within lowest ... highest (signed). */
LANE vb vb_clamp(vb v, int lowest, int highest)
{
    return _mm256_max_epi8(_mm256_min_epi8(v, _mm256_set1_epi8((char)highest)), _mm256_set1_epi8((char)lowest));
}

/* The bits of mask as a number: of two's complement if sign is the highest of them, without sign if that is 0. */
LANE vb vb_extended(vb v, int mask, int sign)
{
    const __m256i s = _mm256_set1_epi8((char)sign);
    return _mm256_sub_epi8(_mm256_xor_si256(_mm256_and_si256(v, _mm256_set1_epi8((char)mask)), s), s);
}

LANE vb vb_mask(vb v, int mask) { return _mm256_and_si256(v, _mm256_set1_epi8((char)mask)); }

/* Two vectors to 16 bits, saturated, in order. */
LANE vb vb_narrow_i16(vi a, vi b) { return _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xD8); }
LANE vb vb_narrow_u16(vi a, vi b) { return _mm256_permute4x64_epi64(_mm256_packus_epi32(a, b), 0xD8); }

LANE vi vi_widen_i8(const void *p) { return _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)); }
LANE vi vi_widen_u8(const void *p) { return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p)); }
LANE vi vi_widen_i16(const void *p) { return _mm256_cvtepi16_epi32(_mm_loadu_si128((const __m128i *)p)); }
LANE vi vi_widen_u16(const void *p) { return _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p)); }

/* Small floats in bytes by way of float16, whose exponent has room for theirs: moved into place they are a power of two
 * too small, subnormals included, and left so. Magnitudes above `last` are NaN, and so is the byte `nan` (256: none).
 * `rare` is the byte of NaN, in the types that have it, by which blocks without any are found. Where a type uses the
 * exponent that float16 keeps for infinity, magnitudes from `upper` on (0: none) are converted halved. */
typedef struct { int magnitude, last, nan, rare, up, pad, sign, sign_up, upper, binade; float power; } v_small_float;

LANE vb vb_load(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }
LANE vb vb_or(vb a, vb b) { return _mm256_or_si256(a, b); }

/* Whether a block has any of these. */
LANE int vb_any_rare(vb codes, const v_small_float *f)
{
    const __m256i most = _mm256_set1_epi8((char)((f->upper ? f->upper : f->last + 1) - 1));
    __m256i magnitude = _mm256_and_si256(codes, _mm256_set1_epi8((char)f->magnitude));
    __m256i rare = _mm256_cmpeq_epi8(codes, _mm256_set1_epi8((char)f->rare));
    return _mm256_movemask_epi8(_mm256_or_si256(rare, _mm256_cmpgt_epi8(magnitude, most)));
}

/* All of a block that has none but the upper ones, by way of float32, which has room for the exponent but not, at the same
 * speed, for subnormals: False if there are any. */
LANE int vf_widen_upper(const void *p, const v_small_float *f, vf v[4])
{
    const __m256i keep = _mm256_set1_epi32((int)(0x80000000u | (unsigned)f->magnitude << (f->up + 13)));
    const __m256i least = _mm256_set1_epi8((char)f->binade);
    __m256i codes = vb_load(p), magnitude = _mm256_and_si256(codes, _mm256_set1_epi8((char)f->magnitude));
    __m256i zero = _mm256_cmpeq_epi8(magnitude, _mm256_setzero_si256());
    __m256i subnormal = _mm256_andnot_si256(zero, _mm256_cmpgt_epi8(least, magnitude));
    __m256i nan = _mm256_cmpeq_epi8(codes, _mm256_set1_epi8((char)f->rare));
    if (_mm256_movemask_epi8(_mm256_or_si256(subnormal, nan)))
        return 0;
    for (int k = 0; k < 4; k++) {
        __m256i c = _mm256_slli_epi32(vi_widen_i8((const char *)p + 8 * k), 24);
        c = _mm256_and_si256(_mm256_sra_epi32(c, _mm_cvtsi32_si128(11 - f->up)), keep);
        v[k] = _mm256_mul_ps(_mm256_castsi256_ps(c), _mm256_set1_ps(0x1p112f));
    }
    return 1;
}

/* 16 of all others: with the sign bit on top of its byte, extending it puts it where float16 has its own. */
LANE void vf_widen_usual(const void *p, const v_small_float *f, vf v[2])
{
    __m128i c = _mm_sll_epi16(_mm_loadu_si128((const __m128i *)p), _mm_cvtsi32_si128(f->pad));
    __m256i half = _mm256_sll_epi16(_mm256_cvtepi8_epi16(c), _mm_cvtsi32_si128(f->up - f->pad));
    half = _mm256_and_si256(half, _mm256_set1_epi16((short)(0x8000 | f->magnitude << f->up)));
    v[0] = _mm256_cvtph_ps(_mm256_castsi256_si128(half));
    v[1] = _mm256_cvtph_ps(_mm256_extracti128_si256(half, 1));
}

LANE vf vf_doubled(vf v, __m128i where)
{
    return _mm256_add_ps(v, _mm256_and_ps(v, _mm256_castsi256_ps(_mm256_cvtepi16_epi32(where))));
}

LANE void vf_widen_small_float(const void *p, const v_small_float *f, vf *first, vf *second)
{
    __m256i c = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)p));
    __m256i magnitude = _mm256_and_si256(c, _mm256_set1_epi16((short)f->magnitude));
    __m256i sign = _mm256_and_si256(c, _mm256_set1_epi16((short)f->sign));
    __m256i is_nan = _mm256_or_si256(_mm256_cmpgt_epi16(magnitude, _mm256_set1_epi16((short)f->last)),
                                     _mm256_cmpeq_epi16(c, _mm256_set1_epi16((short)f->nan)));
    __m256i upper = _mm256_cmpgt_epi16(magnitude, _mm256_set1_epi16((short)(f->upper - 1)));
    __m256i half;
    if (f->upper)
        magnitude = _mm256_sub_epi16(magnitude, _mm256_and_si256(upper, _mm256_set1_epi16((short)f->binade)));
    half = _mm256_sll_epi16(magnitude, _mm_cvtsi32_si128(f->up));
    half = _mm256_blendv_epi8(half, _mm256_set1_epi16(0x7E00), is_nan);
    half = _mm256_or_si256(half, _mm256_sll_epi16(sign, _mm_cvtsi32_si128(f->sign_up)));
    *first = _mm256_cvtph_ps(_mm256_castsi256_si128(half));
    *second = _mm256_cvtph_ps(_mm256_extracti128_si256(half, 1));
    if (f->upper) {
        *first = vf_doubled(*first, _mm256_castsi256_si128(upper));
        *second = vf_doubled(*second, _mm256_extracti128_si256(upper, 1));
    }
}

/* ---- packed codes, low bits first: 4 * LANES codes, as they were narrowed, to 16 or 8 bytes, and from them in order; of
 * codes nothing but their low bits counts ---- */

/* Neighbours become one number by a multiply-add of bytes: low + 16 * high, or low + 4 * high. */
LANE __m256i v_pairs(vb v, int mask, int weight)
{
    return _mm256_maddubs_epi16(_mm256_and_si256(v, _mm256_set1_epi8((char)mask)),
                                _mm256_set1_epi16((short)(weight << 8 | 1)));
}

/* Every second group is in the upper half. */
LANE void v_pack_4(vb codes, void *packed, int stream)
{
    __m256i pairs = v_pairs(codes, 15, 16), bytes = _mm256_packus_epi16(pairs, pairs);
    v_store_16(packed, _mm_unpacklo_epi16(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1)), stream);
}

LANE __m256i v_pack_4_twice(vb a, vb b)
{
    const __m256i groups = _mm256_setr_epi8(0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15,
                                            0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15);
    __m256i halves = _mm256_packus_epi16(v_pairs(a, 15, 16), v_pairs(b, 15, 16));
    return _mm256_shuffle_epi8(_mm256_permute4x64_epi64(halves, 0xD8), groups);
}

/* As much as a line of a cache. */
LANE void v_pack_4_line(const vb codes[LINE_BLOCKS], void *packed, int stream)
{
    __m256i first = v_pack_4_twice(codes[0], codes[1]), second = v_pack_4_twice(codes[2], codes[3]);
    vb_store(packed, first, stream);
    vb_store((char *)packed + 32, second, stream);
}

LANE void v_pack_2(vb codes, void *packed)
{
    __m256i fours = _mm256_madd_epi16(v_pairs(codes, 3, 4), _mm256_set1_epi32(16 << 16 | 1));
    __m128i even = _mm256_castsi256_si128(fours), odd = _mm_slli_epi32(_mm256_extracti128_si256(fours, 1), 8);
    __m128i words = _mm_or_si128(even, odd);
    _mm_storel_epi64((__m128i *)packed, _mm_packus_epi32(words, words));
}

LANE vb v_unpack_4(const void *packed)
{
    __m256i w = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)packed));
    return _mm256_and_si256(_mm256_or_si256(w, _mm256_slli_epi16(w, 4)), _mm256_set1_epi8(15));
}

LANE vb v_unpack_2(const void *packed)
{
    __m256i w = vi_widen_u8(packed);
    w = _mm256_or_si256(w, _mm256_slli_epi32(w, 12));
    w = _mm256_or_si256(w, _mm256_slli_epi32(w, 6));
    return _mm256_and_si256(w, _mm256_set1_epi8(3));
}

/* ---- across lanes ---- */

/* Lane i is the lowest (highest) lane of v[i]: each step pairs lanes that stand for one vector, until each has one left. */
#define VF_ACROSS(name, op)                                                                                       \
    LANE vf name##_pair(vf a, vf b)                                                                               \
    {                                                                                                             \
        return op(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));                                            \
    }                                                                                                             \
    LANE vf name##_four(const vf v[4])                                                                            \
    {                                                                                                             \
        __m256d a = _mm256_castps_pd(name##_pair(v[0], v[1])), b = _mm256_castps_pd(name##_pair(v[2], v[3]));     \
        return op(_mm256_castpd_ps(_mm256_unpacklo_pd(a, b)), _mm256_castpd_ps(_mm256_unpackhi_pd(a, b)));        \
    }                                                                                                             \
    LANE vf name(const vf v[LANES])                                                                               \
    {                                                                                                             \
        vf a = name##_four(v), b = name##_four(v + 4);                                                            \
        return op(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));                        \
    }
VF_ACROSS(vf_lowest_lanes, _mm256_min_ps)
VF_ACROSS(vf_highest_lanes, _mm256_max_ps)

LANE float vf_lowest_lane(vf v)
{
    __m128 m = _mm_min_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    m = _mm_min_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_min_ss(m, _mm_movehdup_ps(m)));
}

LANE float vf_highest_lane(vf v)
{
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

LANE double vd_lowest_lane(vd v)
{
    __m256d m = _mm256_min_pd(v.a, v.b);
    __m128d h = _mm_min_pd(_mm256_castpd256_pd128(m), _mm256_extractf128_pd(m, 1));
    return _mm_cvtsd_f64(_mm_min_sd(h, _mm_unpackhi_pd(h, h)));
}

LANE double vd_highest_lane(vd v)
{
    __m256d m = _mm256_max_pd(v.a, v.b);
    __m128d h = _mm_max_pd(_mm256_castpd256_pd128(m), _mm256_extractf128_pd(m, 1));
    return _mm_cvtsd_f64(_mm_max_sd(h, _mm_unpackhi_pd(h, h)));
}
