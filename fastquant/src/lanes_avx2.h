/* Lane operations for AVX2 + FMA: vectors of 8 floats (vf) and of 8 int32 (vi).
 *
 * spans.inc.h is written over these names; another instruction set is another file with the same names. Where an
 * operation's behaviour on NaN matters, its comment says what the spans rely on. */
#include <immintrin.h>

#define LANES 8
#define VECTOR_BYTES 32  /* the alignment that a streaming store wants; the narrowed codes of 4 vectors fill one */

typedef __m256 vf;
typedef __m256i vi;
typedef __m256i vb;  /* 4 * LANES codes of one byte */

LANE vf vf_load(const float *p) { return _mm256_loadu_ps(p); }
LANE void vf_store(float *p, vf v) { _mm256_storeu_ps(p, v); }
LANE void vf_stream(float *p, vf v) { _mm256_stream_ps(p, v); }
LANE vf vf_set(float v) { return _mm256_set1_ps(v); }
LANE vf vf_add(vf a, vf b) { return _mm256_add_ps(a, b); }
LANE vf vf_mul(vf a, vf b) { return _mm256_mul_ps(a, b); }
LANE vf vf_div(vf a, vf b) { return _mm256_div_ps(a, b); }
LANE vf vf_fma(vf a, vf b, vf c) { return _mm256_fmadd_ps(a, b, c); }

/* minps and maxps return their second operand when either is NaN, so v's NaN passes through. */
LANE vf vf_at_most(vf limit, vf v) { return _mm256_min_ps(limit, v); }
/* The other way round, NaN becomes the limit. */
LANE vf vf_at_least(vf limit, vf v) { return _mm256_max_ps(v, limit); }
/* For ranges, where NaN is found by other means. */
LANE vf vf_min(vf a, vf b) { return _mm256_min_ps(a, b); }
LANE vf vf_max(vf a, vf b) { return _mm256_max_ps(a, b); }
LANE int vf_any_nan(vf v) { return _mm256_movemask_ps(_mm256_cmp_ps(v, v, _CMP_UNORD_Q)); }

/* Nearest, ties to even, for finite v <= 32768. NaN, both infinities and anything below int32 become INT32_MIN (the
 * instruction's "integer indefinite"), which the saturating narrowing below turns into the lowest code. */
LANE vi vi_nearest(vf v) { return _mm256_cvtps_epi32(v); }
LANE vf vf_nearest(vf v) { return _mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
LANE vf vf_from_vi(vi v) { return _mm256_cvtepi32_ps(v); }
LANE vi vi_set(int32_t v) { return _mm256_set1_epi32(v); }
LANE vi vi_sub(vi a, vi b) { return _mm256_sub_epi32(a, b); }

/* Four vectors of integers plus a zero point (|zero_point| <= 32512), saturated to one byte each, in order. Saturating
 * to int16 before the zero point is added loses nothing: whatever it cuts off is beyond the byte's range either way.
 * The packs work on each half of the register, so the last step puts the eight groups of four codes in order. */
typedef struct { __m256i zero_point; } v_narrower;

LANE v_narrower v_narrow_by(int32_t zero_point)
{
    v_narrower n = {_mm256_set1_epi16((short)zero_point)};
    return n;
}

LANE vb vb_in_order(__m256i v)
{
    return _mm256_permutevar8x32_epi32(v, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

LANE vb vb_narrow_i8(vi a, vi b, vi c, vi d, v_narrower n)
{
    __m256i ab = _mm256_adds_epi16(_mm256_packs_epi32(a, b), n.zero_point);
    __m256i cd = _mm256_adds_epi16(_mm256_packs_epi32(c, d), n.zero_point);
    return vb_in_order(_mm256_packs_epi16(ab, cd));
}

LANE vb vb_narrow_u8(vi a, vi b, vi c, vi d, v_narrower n)
{
    __m256i ab = _mm256_adds_epi16(_mm256_packs_epi32(a, b), n.zero_point);
    __m256i cd = _mm256_adds_epi16(_mm256_packs_epi32(c, d), n.zero_point);
    return vb_in_order(_mm256_packus_epi16(ab, cd));
}

LANE void vb_store(void *p, vb v) { _mm256_storeu_si256((__m256i *)p, v); }
LANE void vb_stream(void *p, vb v) { _mm256_stream_si256((__m256i *)p, v); }

LANE vi vi_widen_i8(const void *p) { return _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)); }
LANE vi vi_widen_u8(const void *p) { return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p)); }

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

LANE void v_prefetch(const void *p) { _mm_prefetch((const char *)p, _MM_HINT_T0); }

/* Streaming stores are weakly ordered: another thread may read the output once the call has returned. */
LANE void v_stream_end(void) { _mm_sfence(); }
