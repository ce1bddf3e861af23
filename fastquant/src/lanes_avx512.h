/* Lane operations for AVX-512 (F, BW, DQ, VL) + FMA + F16C: vectors of 16 floats (vf) and of 16 int32 (vi), and pairs
 * of vectors of 8 doubles (vd), which are 16 as well. The same names as in lanes_avx2.h.
 *
 * Comparisons leave a bit for each lane in a register of another kind; only the operations that the spans combine
 * further (vi_equal, vi_above, vi_nan_lanes) make lanes of all ones or zeros of them. What is included before has the
 * intrinsics: the compiler's, or an emulation. */

#define LANES 16
#define STREAM_BYTES 16  /* the alignment that a streaming store wants */
#define LINE_BLOCKS 2    /* blocks of codes of 4 bits that fill a line of a cache */

typedef __m512 vf;
typedef __m512i vi;
typedef __m512i vb;  /* 4 * LANES codes of one byte */
typedef struct { __m512d a, b; } vd;

/* ---- memory: `stream` is for arrays that no cache will hold, by 16 bytes for outputs aligned no better ---- */

LANE void v_store_32(void *p, __m256i v, int stream)
{
    if (stream) {
        _mm_stream_si128((__m128i *)p, _mm256_castsi256_si128(v));
        _mm_stream_si128((__m128i *)p + 1, _mm256_extracti128_si256(v, 1));
    } else {
        _mm256_storeu_si256((__m256i *)p, v);
    }
}

LANE void vb_store(void *p, vb v, int stream)
{
    if (stream) {
        _mm_stream_si128((__m128i *)p, _mm512_castsi512_si128(v));
        _mm_stream_si128((__m128i *)p + 1, _mm512_extracti32x4_epi32(v, 1));
        _mm_stream_si128((__m128i *)p + 2, _mm512_extracti32x4_epi32(v, 2));
        _mm_stream_si128((__m128i *)p + 3, _mm512_extracti32x4_epi32(v, 3));
    } else {
        _mm512_storeu_si512(p, v);
    }
}

LANE void v_prefetch(const void *p) { _mm_prefetch((const char *)p, _MM_HINT_T0); }

LANE __m128i v_load_16(const void *p) { return _mm_loadu_si128((const __m128i *)p); }
LANE __m256i v_load_32(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }
LANE __m256i v_lower(__m512i v) { return _mm512_castsi512_si256(v); }
LANE __m256i v_upper(__m512i v) { return _mm512_extracti64x4_epi64(v, 1); }
LANE __m512i v_joined(__m256i lower, __m256i upper)
{
    return _mm512_inserti64x4(_mm512_castsi256_si512(lower), upper, 1);
}

/* ---- floats ---- */

LANE vf vf_load(const float *p) { return _mm512_loadu_ps(p); }
LANE void vf_store(float *p, vf v, int stream) { vb_store(p, _mm512_castps_si512(v), stream); }
LANE vf vf_set(float v) { return _mm512_set1_ps(v); }
LANE vf vf_add(vf a, vf b) { return _mm512_add_ps(a, b); }
LANE vf vf_sub(vf a, vf b) { return _mm512_sub_ps(a, b); }
LANE vf vf_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
LANE vf vf_div(vf a, vf b) { return _mm512_div_ps(a, b); }
LANE vf vf_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
LANE vf vf_fnma(vf a, vf b, vf c) { return _mm512_fnmadd_ps(a, b, c); }

/* minps and maxps return their second operand when either is NaN, so v's NaN passes through. */
LANE vf vf_at_most(vf limit, vf v) { return _mm512_min_ps(limit, v); }
/* The other way round, NaN becomes the limit. */
LANE vf vf_at_least(vf limit, vf v) { return _mm512_max_ps(v, limit); }
/* NaN becomes `low`. */
LANE vf vf_within(vf low, vf high, vf v) { return vf_at_most(high, vf_at_least(low, v)); }
/* For what becomes an integer by vi_nearest, as in lanes_avx2.h: NaN stays. */
LANE vf vf_bounded(vf limit, vf v) { return vf_at_most(limit, v); }
/* For ranges, where NaN is found by other means. */
LANE vf vf_min(vf a, vf b) { return _mm512_min_ps(a, b); }
LANE vf vf_max(vf a, vf b) { return _mm512_max_ps(a, b); }
LANE vf vf_magnitude(vf v) { return _mm512_andnot_ps(_mm512_set1_ps(-0.0f), v); }
/* For small floats: v's magnitude, limited, and the power of two at or below it, but `smallest` at least. v is not NaN. */
LANE vf vf_limited_magnitude(vf limit, vf v) { return _mm512_range_ps(v, limit, 0xA); }  /* min of both, without sign */
LANE vf vf_binade(vf smallest, vf v)
{
    return _mm512_and_ps(_mm512_max_ps(v, smallest), _mm512_castsi512_ps(_mm512_set1_epi32(0x7F800000)));
}
/* Whether a or b has a NaN in any lane. */
LANE int vf_any_nan(vf a, vf b) { return _mm512_cmp_ps_mask(a, b, _CMP_UNORD_Q) != 0; }
LANE int vf_any_nan_of_4(const vf v[4])
{
    return (_mm512_cmp_ps_mask(v[0], v[1], _CMP_UNORD_Q) | _mm512_cmp_ps_mask(v[2], v[3], _CMP_UNORD_Q)) != 0;
}

/* ---- integers ---- */

LANE vi vi_load(const int32_t *p) { return _mm512_loadu_si512(p); }
LANE vi vi_set(int32_t v) { return _mm512_set1_epi32(v); }
LANE vi vi_add(vi a, vi b) { return _mm512_add_epi32(a, b); }
LANE vi vi_sub(vi a, vi b) { return _mm512_sub_epi32(a, b); }
LANE vi vi_and(vi a, vi b) { return _mm512_and_si512(a, b); }
LANE vi vi_or(vi a, vi b) { return _mm512_or_si512(a, b); }
LANE vi vi_and_not(vi a, vi b) { return _mm512_andnot_si512(b, a); }  /* a & ~b */
LANE vi vi_equal(vi a, vi b) { return _mm512_movm_epi32(_mm512_cmpeq_epi32_mask(a, b)); }
LANE vi vi_above(vi a, vi b) { return _mm512_movm_epi32(_mm512_cmpgt_epi32_mask(a, b)); }
LANE vi vi_choose(vi mask, vi yes, vi no) { return _mm512_mask_blend_epi32(_mm512_movepi32_mask(mask), no, yes); }
LANE vi vi_sign(vi v) { return _mm512_srai_epi32(v, 31); }
LANE vi vi_shift_right(vi v, int n) { return _mm512_srl_epi32(v, _mm_cvtsi32_si128(n)); }
/* The upper 16 bits plus `weight` times the lower ones, both halves below 2^15. */
LANE vi vi_halves(vi v, int weight) { return _mm512_madd_epi16(v, _mm512_set1_epi32(1 << 16 | weight)); }
LANE vi vi_nan_lanes(vf v) { return _mm512_movm_epi32(_mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q)); }
LANE vi vi_bits(vf v) { return _mm512_castps_si512(v); }
LANE vf vf_bits(vi v) { return _mm512_castsi512_ps(v); }

/* Nearest, ties to even, for finite v <= 32768. NaN, both infinities and anything below int32 become INT32_MIN (the
 * instruction's "integer indefinite"), which the saturating narrowing below turns into the lowest code. */
LANE vi vi_nearest(vf v) { return _mm512_cvtps_epi32(v); }
/* A bit for each lane that is > 0: of each eight lanes the first has the highest bit of a byte. */
LANE int v_positive(const vf *v)
{
    const __m512i reversed = _mm512_setr_epi32(7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8);
    return (int)_mm512_cmp_ps_mask(_mm512_permutexvar_ps(reversed, v[0]), _mm512_setzero_ps(), _CMP_GT_OQ);
}

LANE vf vf_floor(vf v) { return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }
LANE vf vf_nearest(vf v) { return _mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
LANE vf vf_from_vi(vi v) { return _mm512_cvtepi32_ps(v); }

/* ---- doubles ---- */

#define VD_EACH(name, op) \
    LANE vd name(vd x, vd y) { vd r = {op(x.a, y.a), op(x.b, y.b)}; return r; }
VD_EACH(vd_add, _mm512_add_pd)
VD_EACH(vd_sub, _mm512_sub_pd)
VD_EACH(vd_mul, _mm512_mul_pd)
VD_EACH(vd_div, _mm512_div_pd)
VD_EACH(vd_min, _mm512_min_pd)
VD_EACH(vd_max, _mm512_max_pd)
/* As vf_within. NaN is not a signalling one. */
LANE vd vd_within(vd low, vd high, vd v) { return vd_min(high, vd_max(v, low)); }
LANE vd vd_load(const double *p) { vd r = {_mm512_loadu_pd(p), _mm512_loadu_pd(p + 8)}; return r; }
LANE vd vd_set(double v) { vd r = {_mm512_set1_pd(v), _mm512_set1_pd(v)}; return r; }
LANE void vd_store(double *p, vd v, int stream)
{
    vb_store(p, _mm512_castpd_si512(v.a), stream);
    vb_store(p + 8, _mm512_castpd_si512(v.b), stream);
}
LANE int vd_any_nan(vd v) { return _mm512_cmp_pd_mask(v.a, v.b, _CMP_UNORD_Q) != 0; }
LANE vd vd_nearest(vd v)
{
    vd r = {_mm512_roundscale_pd(v.a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
            _mm512_roundscale_pd(v.b, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
    return r;
}
/* Nearest, for v within int32. */
LANE vi vi_nearest_vd(vd v) { return v_joined(_mm512_cvtpd_epi32(v.a), _mm512_cvtpd_epi32(v.b)); }
LANE vd vd_from_vi(vi v)
{
    vd r = {_mm512_cvtepi32_pd(v_lower(v)), _mm512_cvtepi32_pd(v_upper(v))};
    return r;
}
LANE vd vd_from_vf(vf v)
{
    const __m512i bits = _mm512_castps_si512(v);
    vd r = {_mm512_cvtps_pd(_mm256_castsi256_ps(v_lower(bits))), _mm512_cvtps_pd(_mm256_castsi256_ps(v_upper(bits)))};
    return r;
}
LANE vf vf_from_vd(vd v)
{
    const __m256i a = _mm256_castps_si256(_mm512_cvtpd_ps(v.a)), b = _mm256_castps_si256(_mm512_cvtpd_ps(v.b));
    return _mm512_castsi512_ps(v_joined(a, b));
}

/* Round to odd, as fq_odd_f32 has it. */
LANE __m256i v_odd_bits(__m512d v)
{
    const __m512d positive = _mm512_set1_pd(-0.0);
    const __m256i one = _mm256_set1_epi32(1);
    const __m256 nearest = _mm512_cvtpd_ps(v);
    const __m512d back = _mm512_cvtps_pd(nearest);
    __mmask8 inexact = _mm512_cmp_pd_mask(back, v, _CMP_NEQ_OQ);
    __mmask8 away = _mm512_cmp_pd_mask(_mm512_andnot_pd(positive, back), _mm512_andnot_pd(positive, v), _CMP_GT_OQ);
    __m256i bits = _mm256_castps_si256(nearest);
    bits = _mm256_mask_sub_epi32(bits, away, bits, one);
    return _mm256_mask_or_epi32(bits, inexact, bits, one);
}

LANE vf vf_odd_from_vd(vd v) { return _mm512_castsi512_ps(v_joined(v_odd_bits(v.a), v_odd_bits(v.b))); }

/* ---- half types: NaN stays NaN, quiet ---- */

LANE vf vf_load_f16(const uint16_t *p) { return _mm512_cvtph_ps(v_load_32(p)); }
LANE vf vf_load_bf16(const uint16_t *p)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(v_load_32(p)), 16));
}
LANE void vf_store_f16(uint16_t *p, vf v, int stream)
{
    v_store_32(p, _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), stream);
}
/* nans: whether there may be any. */
LANE void vf_store_bf16(uint16_t *p, vf v, int nans, int stream)
{
    __m512i bits = _mm512_castps_si512(v);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7FFF)), odd);
    if (nans)
        rounded = _mm512_mask_or_epi32(rounded, _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q), bits,
                                       _mm512_set1_epi32(0x00400000));
    v_store_32(p, _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16)), stream);
}

/* ---- codes: four vectors of integers narrow to one of bytes ---- */

/* The packs work on each quarter of the register. Of the sixteen groups of four codes, quarter i then holds number i of
 * each of the four vectors, and should hold the four of vector i: a transposition, which is its own inverse. */
LANE vb vb_in_order(vb v)
{
    return _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), v);
}

LANE vb vb_as_narrowed(vb v) { return vb_in_order(v); }

/* Zero points (|zero_point| <= 32512) for the four vectors. Saturating to int16 before the zero point is added loses
 * nothing: whatever it cuts off is beyond the range of a byte either way. */
typedef struct { __m512i ab, cd; } v_zero_points;

LANE v_zero_points v_zero_points_of(vi a, vi b, vi c, vi d)
{
    v_zero_points z = {_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d)};
    return z;
}

LANE vb vb_narrow_signed(vi a, vi b, vi c, vi d, v_zero_points z)
{
    __m512i ab = _mm512_adds_epi16(_mm512_packs_epi32(a, b), z.ab);
    __m512i cd = _mm512_adds_epi16(_mm512_packs_epi32(c, d), z.cd);
    return _mm512_packs_epi16(ab, cd);
}

LANE vb vb_narrow_unsigned(vi a, vi b, vi c, vi d, v_zero_points z)
{
    __m512i ab = _mm512_adds_epi16(_mm512_packs_epi32(a, b), z.ab);
    __m512i cd = _mm512_adds_epi16(_mm512_packs_epi32(c, d), z.cd);
    return _mm512_packus_epi16(ab, cd);
}

/* Codes without sign, times 2^shift and plus `base`, in all below 2^15, get the signs of four vectors of floats. Signs
 * go the same way as codes: saturation keeps them. A byte equal to `not_zero` (256: none) is a negative zero where 0
 * has no sign. */
LANE vb vb_narrow_small_floats(const vi code[4], const vf sign_of[4], int base, int shift, int sign, int not_zero)
{
    const __m512i less = _mm512_set1_epi16((short)base);
    const __m128i down = _mm_cvtsi32_si128(shift);
    __m512i ab = _mm512_srl_epi16(_mm512_sub_epi16(_mm512_packs_epi32(code[0], code[1]), less), down);
    __m512i cd = _mm512_srl_epi16(_mm512_sub_epi16(_mm512_packs_epi32(code[2], code[3]), less), down);
    __m512i signs = _mm512_packs_epi16(_mm512_packs_epi32(vi_bits(sign_of[0]), vi_bits(sign_of[1])),
                                       _mm512_packs_epi32(vi_bits(sign_of[2]), vi_bits(sign_of[3])));
    __m512i v = _mm512_packus_epi16(ab, cd);
    v = _mm512_mask_add_epi8(v, _mm512_movepi8_mask(signs), v, _mm512_set1_epi8((char)sign));
    if (not_zero < 256)
        v = _mm512_maskz_mov_epi8(_mm512_cmpneq_epi8_mask(v, _mm512_set1_epi8((char)not_zero)), v);
    return v;
}

/* Bytes within lowest ... highest (signed). */
LANE vb vb_clamp(vb v, int lowest, int highest)
{
    return _mm512_max_epi8(_mm512_min_epi8(v, _mm512_set1_epi8((char)highest)), _mm512_set1_epi8((char)lowest));
}

LANE vb vb_mask(vb v, int mask) { return _mm512_and_si512(v, _mm512_set1_epi8((char)mask)); }

/* The bits of mask as a number: of two's complement if sign is the highest of them, without sign if that is 0. */
LANE vb vb_extended(vb v, int mask, int sign)
{
    const __m512i s = _mm512_set1_epi8((char)sign);
    return _mm512_sub_epi8(_mm512_xor_si512(vb_mask(v, mask), s), s);
}

/* Two vectors to 16 bits, saturated, in order. */
LANE vb vb_halves_in_order(vb v) { return _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), v); }
LANE vb vb_narrow_i16(vi a, vi b) { return vb_halves_in_order(_mm512_packs_epi32(a, b)); }
LANE vb vb_narrow_u16(vi a, vi b) { return vb_halves_in_order(_mm512_packus_epi32(a, b)); }

LANE vi vi_widen_i8(const void *p) { return _mm512_cvtepi8_epi32(v_load_16(p)); }
LANE vi vi_widen_u8(const void *p) { return _mm512_cvtepu8_epi32(v_load_16(p)); }
LANE vi vi_widen_i16(const void *p) { return _mm512_cvtepi16_epi32(v_load_32(p)); }
LANE vi vi_widen_u16(const void *p) { return _mm512_cvtepu16_epi32(v_load_32(p)); }

/* Small floats in bytes by way of float16, whose exponent has room for theirs: moved into place they are a power of two
 * too small, subnormals included, and left so. Magnitudes above `last` are NaN, and so is the byte `nan` (256: none).
 * `rare` is the byte of NaN, in the types that have it, by which blocks without any are found. Where a type uses the
 * exponent that float16 keeps for infinity, magnitudes from `upper` on (0: none) are converted halved. */
typedef struct { int magnitude, last, nan, rare, up, pad, sign, sign_up, upper, binade; float power; } v_small_float;

LANE vb vb_load(const void *p) { return _mm512_loadu_si512(p); }
LANE vb vb_or(vb a, vb b) { return _mm512_or_si512(a, b); }

/* Whether a block has any of these. */
LANE int vb_any_rare(vb codes, const v_small_float *f)
{
    const __m512i most = _mm512_set1_epi8((char)((f->upper ? f->upper : f->last + 1) - 1));
    __mmask64 above = _mm512_cmpgt_epi8_mask(vb_mask(codes, f->magnitude), most);
    return (above | _mm512_cmpeq_epi8_mask(codes, _mm512_set1_epi8((char)f->rare))) != 0;
}

/* All of a block that has none but the upper ones, by way of float32, which has room for the exponent but not, at the
 * same speed, for subnormals: False if there are any. */
LANE int vf_widen_upper(const void *p, const v_small_float *f, vf v[4])
{
    const __m512i keep = _mm512_set1_epi32((int)(0x80000000u | (unsigned)f->magnitude << (f->up + 13)));
    const __m512i least = _mm512_set1_epi8((char)f->binade);
    __m512i codes = vb_load(p), magnitude = vb_mask(codes, f->magnitude);
    __mmask64 subnormal = _mm512_cmpgt_epi8_mask(least, magnitude) & _mm512_test_epi8_mask(magnitude, magnitude);
    if ((subnormal | _mm512_cmpeq_epi8_mask(codes, _mm512_set1_epi8((char)f->rare))) != 0)
        return 0;
    for (int k = 0; k < 4; k++) {
        __m512i c = _mm512_slli_epi32(vi_widen_i8((const char *)p + LANES * k), 24);
        c = _mm512_and_si512(_mm512_sra_epi32(c, _mm_cvtsi32_si128(11 - f->up)), keep);
        v[k] = _mm512_mul_ps(_mm512_castsi512_ps(c), _mm512_set1_ps(0x1p112f));
    }
    return 1;
}

/* Two vectors of all others: with the sign bit on top of its byte, extending it puts it where float16 has its own. */
LANE void vf_widen_usual(const void *p, const v_small_float *f, vf v[2])
{
    __m256i c = _mm256_sll_epi16(v_load_32(p), _mm_cvtsi32_si128(f->pad));
    __m512i half = _mm512_sll_epi16(_mm512_cvtepi8_epi16(c), _mm_cvtsi32_si128(f->up - f->pad));
    half = _mm512_and_si512(half, _mm512_set1_epi16((short)(0x8000 | f->magnitude << f->up)));
    v[0] = _mm512_cvtph_ps(v_lower(half));
    v[1] = _mm512_cvtph_ps(v_upper(half));
}

LANE void vf_widen_small_float(const void *p, const v_small_float *f, vf *first, vf *second)
{
    __m512i c = _mm512_cvtepu8_epi16(v_load_32(p));
    __m512i magnitude = _mm512_and_si512(c, _mm512_set1_epi16((short)f->magnitude));
    __m512i sign = _mm512_and_si512(c, _mm512_set1_epi16((short)f->sign));
    __mmask32 is_nan = _mm512_cmpgt_epi16_mask(magnitude, _mm512_set1_epi16((short)f->last))
                     | _mm512_cmpeq_epi16_mask(c, _mm512_set1_epi16((short)f->nan));
    __mmask32 upper = f->upper ? _mm512_cmpgt_epi16_mask(magnitude, _mm512_set1_epi16((short)(f->upper - 1))) : 0;
    __m512i half;
    magnitude = _mm512_mask_sub_epi16(magnitude, upper, magnitude, _mm512_set1_epi16((short)f->binade));
    half = _mm512_sll_epi16(magnitude, _mm_cvtsi32_si128(f->up));
    half = _mm512_mask_blend_epi16(is_nan, half, _mm512_set1_epi16(0x7E00));
    half = _mm512_or_si512(half, _mm512_sll_epi16(sign, _mm_cvtsi32_si128(f->sign_up)));
    *first = _mm512_cvtph_ps(v_lower(half));
    *second = _mm512_cvtph_ps(v_upper(half));
    *first = _mm512_mask_add_ps(*first, (__mmask16)upper, *first, *first);
    *second = _mm512_mask_add_ps(*second, (__mmask16)(upper >> 16), *second, *second);
}

/* ---- packed codes, low bits first: 4 * LANES codes, as they were narrowed, to 32 or 16 bytes, and from them in order;
 * of codes nothing but their low bits counts ---- */

/* Neighbours become one number by a multiply-add of bytes: low + 16 * high, or low + 4 * high. */
LANE __m512i v_pairs(vb v, int mask, int weight)
{
    return _mm512_maddubs_epi16(vb_mask(v, mask), _mm512_set1_epi16((short)(weight << 8 | 1)));
}

/* Two blocks, as much as a line of a cache. A group is two bytes now, and each quarter holds four of each block, which
 * are transposed as in vb_in_order. */
LANE __m512i v_pack_4_twice(vb a, vb b)
{
    const __m512i groups = _mm512_set_epi16(31, 23, 15, 7, 30, 22, 14, 6, 29, 21, 13, 5, 28, 20, 12, 4,
                                            27, 19, 11, 3, 26, 18, 10, 2, 25, 17, 9, 1, 24, 16, 8, 0);
    return _mm512_permutexvar_epi16(groups, _mm512_packus_epi16(v_pairs(a, 15, 16), v_pairs(b, 15, 16)));
}

LANE void v_pack_4(vb codes, void *packed, int stream)
{
    v_store_32(packed, v_lower(v_pack_4_twice(codes, codes)), stream);
}

LANE void v_pack_4_line(const vb codes[LINE_BLOCKS], void *packed, int stream)
{
    vb_store(packed, v_pack_4_twice(codes[0], codes[1]), stream);
}

LANE void v_pack_2(vb codes, void *packed)
{
    __m512i fours = _mm512_madd_epi16(v_pairs(codes, 3, 4), _mm512_set1_epi32(16 << 16 | 1));
    _mm_storeu_si128((__m128i *)packed, _mm512_cvtepi32_epi8(vb_in_order(fours)));
}

LANE vb v_unpack_4(const void *packed)
{
    __m512i w = _mm512_cvtepu8_epi16(v_load_32(packed));
    return vb_mask(_mm512_or_si512(w, _mm512_slli_epi16(w, 4)), 15);
}

LANE vb v_unpack_2(const void *packed)
{
    __m512i w = vi_widen_u8(packed);
    w = _mm512_or_si512(w, _mm512_slli_epi32(w, 12));
    w = _mm512_or_si512(w, _mm512_slli_epi32(w, 6));
    return vb_mask(w, 3);
}

/* ---- across lanes ---- */

/* Lane i is the lowest (highest) lane of v[i]: each step pairs lanes that stand for one vector, until each has one
 * left, first within quarters of the register, then between them. */
#define VF_ACROSS(name, op)                                                                                       \
    LANE vf name##_pair(vf a, vf b)                                                                               \
    {                                                                                                             \
        return op(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));                                            \
    }                                                                                                             \
    LANE vf name##_four(const vf v[4])                                                                            \
    {                                                                                                             \
        __m512d a = _mm512_castps_pd(name##_pair(v[0], v[1])), b = _mm512_castps_pd(name##_pair(v[2], v[3]));     \
        return op(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)), _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));        \
    }                                                                                                             \
    LANE vf name##_eight(const vf v[8])                                                                           \
    {                                                                                                             \
        vf a = name##_four(v), b = name##_four(v + 4);                                                            \
        return op(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xEE));                            \
    }                                                                                                             \
    LANE vf name(const vf v[LANES])                                                                               \
    {                                                                                                             \
        vf a = name##_eight(v), b = name##_eight(v + 8);                                                          \
        return op(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xDD));                            \
    }
VF_ACROSS(vf_lowest_lanes, _mm512_min_ps)
VF_ACROSS(vf_highest_lanes, _mm512_max_ps)

LANE float vf_lowest_lane(vf v) { return _mm512_reduce_min_ps(v); }
LANE float vf_highest_lane(vf v) { return _mm512_reduce_max_ps(v); }
LANE double vd_lowest_lane(vd v) { return _mm512_reduce_min_pd(_mm512_min_pd(v.a, v.b)); }
LANE double vd_highest_lane(vd v) { return _mm512_reduce_max_pd(_mm512_max_pd(v.a, v.b)); }
