/* The intrinsics of lanes_avx512.h in portable C, by SIMDe 0.7.4 or newer: for tests on CPUs without AVX-512, not for
 * use.
 *
 * Here is what SIMDe lacks (in some version), or may round otherwise than the instructions do: its fused multiply-add
 * rounds twice, and its conversions of what is out of range are those of C. All of these are replaced, also where a
 * newer version has them. */
#include <math.h>
#include <string.h>

#include "floats.h"

/* Inlined, all that the spans are made of would take a compiler hours. */
#define SIMDE_NO_INLINE
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O1")
#pragma GCC diagnostic ignored "-Wpsabi"  /* how vectors are passed to functions, all of which are inlined or static */
#endif
#undef __mmask8
#undef __mmask16
#undef __mmask32
#undef __mmask64
#define __mmask8 uint8_t
#define __mmask16 uint16_t
#define __mmask32 uint32_t
#define __mmask64 uint64_t
#undef _MM_FROUND_NO_EXC
#define _MM_FROUND_NO_EXC 8

/* NAME(v): each of n elements of `from` becomes one of `to`, a value of v. */
#define EMULATE_1(name, result, to, argument, from, n, value)                              \
    LANE_CALL result emulated##name(argument x)                                       \
    {                                                                                      \
        from in[sizeof x / sizeof(from)];                                                  \
        to out[n];                                                                         \
        result r;                                                                          \
        memcpy(in, &x, sizeof in);                                                         \
        for (int i = 0; i < n; i++) {                                                      \
            const from v = in[i];                                                          \
            out[i] = (to)(value);                                                          \
        }                                                                                  \
        memcpy(&r, out, sizeof r);                                                         \
        return r;                                                                          \
    }

/* "Integer indefinite" for what is no int32. */
static inline int32_t emulated_int32(double v)
{
    const double nearest = nearbyint(v);
    return nearest >= -0x1p31 && nearest < 0x1p31 ? (int32_t)nearest : INT32_MIN;
}

EMULATE_1(_cvtps_epi32, __m512i, int32_t, __m512, float, 16, emulated_int32(v))
EMULATE_1(_cvtpd_epi32, __m256i, int32_t, __m512d, double, 8, emulated_int32(v))
EMULATE_1(_cvtepi32_ps, __m512, float, __m512i, int32_t, 16, v)
EMULATE_1(_cvtepi32_pd, __m512d, double, __m256i, int32_t, 8, v)
EMULATE_1(_cvtps_pd, __m512d, double, __m256, float, 8, v)
EMULATE_1(_cvtpd_ps, __m256, float, __m512d, double, 8, v)
EMULATE_1(_cvtph_ps, __m512, float, __m256i, uint16_t, 16, fq_from_f16(v))
EMULATE_1(_cvtps_ph, __m256i, uint16_t, __m512, float, 16, fq_to_f16(v))
EMULATE_1(_floor_ps, __m512, float, __m512, float, 16, floorf(v))
EMULATE_1(_nearest_ps, __m512, float, __m512, float, 16, nearbyintf(v))
EMULATE_1(_nearest_pd, __m512d, double, __m512d, double, 8, nearbyint(v))
EMULATE_1(_cvtepi8_epi32, __m512i, int32_t, __m128i, int8_t, 16, v)
EMULATE_1(_cvtepu8_epi32, __m512i, int32_t, __m128i, uint8_t, 16, v)
EMULATE_1(_cvtepi16_epi32, __m512i, int32_t, __m256i, int16_t, 16, v)
EMULATE_1(_cvtepu16_epi32, __m512i, int32_t, __m256i, uint16_t, 16, v)
EMULATE_1(_cvtepi8_epi16, __m512i, int16_t, __m256i, int8_t, 32, v)
EMULATE_1(_cvtepu8_epi16, __m512i, int16_t, __m256i, uint8_t, 32, v)
EMULATE_1(_cvtepi32_epi16, __m256i, uint16_t, __m512i, uint32_t, 16, v)
EMULATE_1(_cvtepi32_epi8, __m128i, uint8_t, __m512i, uint32_t, 16, v)
#undef EMULATE_1

LANE_CALL __m512 emulated_fused(__m512 x, __m512 y, __m512 z, float sign)
{
    float a[16], b[16], c[16];
    memcpy(a, &x, sizeof a), memcpy(b, &y, sizeof b), memcpy(c, &z, sizeof c);
    for (int i = 0; i < 16; i++)
        c[i] = fmaf(sign * a[i], b[i], c[i]);
    memcpy(&z, c, sizeof c);
    return z;
}

LANE_CALL __m512i emulated_shift_right(__m512i x, uint64_t count)
{
    int32_t v[16];
    memcpy(v, &x, sizeof v);
    for (int i = 0; i < 16; i++)
        v[i] >>= count < 31 ? count : 31;
    memcpy(&x, v, sizeof v);
    return x;
}

/* A bit for each lane of 8 or 16 bits for which it is true. */
#define EMULATE_MASK(name, mask, type, condition)                                          \
    LANE_CALL mask emulated##name(__m512i x, __m512i y)                               \
    {                                                                                      \
        type a[64 / sizeof(type)], b[64 / sizeof(type)];                                   \
        uint64_t bits = 0;                                                                 \
        memcpy(a, &x, sizeof a), memcpy(b, &y, sizeof b);                                  \
        for (size_t i = 0; i < 64 / sizeof(type); i++)                                     \
            bits |= (uint64_t)(a[i] condition b[i]) << i;                                  \
        return (mask)bits;                                                                 \
    }
EMULATE_MASK(_cmpneq_epi8_mask, __mmask64, int8_t, !=)
EMULATE_MASK(_cmpeq_epi16_mask, __mmask32, int16_t, ==)
EMULATE_MASK(_cmpgt_epi16_mask, __mmask32, int16_t, >)
#undef EMULATE_MASK

/* Lanes without their bit in mask stay as they are in `kept`. */
static inline void emulated_blend(void *kept, uint32_t mask, const void *v, int n, size_t size)
{
    for (int i = 0; i < n; i++)
        if (mask >> i & 1)
            memcpy((char *)kept + i * size, (const char *)v + i * size, size);
}

LANE_CALL __m256i emulated_mask_sub_256(__m256i kept, __mmask8 mask, __m256i a, __m256i b)
{
    const __m256i r = _mm256_sub_epi32(a, b);
    emulated_blend(&kept, mask, &r, 8, 4);
    return kept;
}

LANE_CALL __m256i emulated_mask_or_256(__m256i kept, __mmask8 mask, __m256i a, __m256i b)
{
    const __m256i r = _mm256_or_si256(a, b);
    emulated_blend(&kept, mask, &r, 8, 4);
    return kept;
}

LANE_CALL __m512i emulated_mask_sub_epi16(__m512i kept, __mmask32 mask, __m512i a, __m512i b)
{
    const __m512i r = _mm512_sub_epi16(a, b);
    emulated_blend(&kept, mask, &r, 32, 2);
    return kept;
}

/* Of all lanes, none of which is NaN. */
#define EMULATE_REDUCTION(name, type, argument, better)                                    \
    LANE_CALL type emulated##name(argument x)                                         \
    {                                                                                      \
        type v[sizeof x / sizeof(type)];                                                   \
        memcpy(v, &x, sizeof v);                                                           \
        for (size_t i = 1; i < sizeof v / sizeof *v; i++)                                  \
            v[0] = v[i] better v[0] ? v[i] : v[0];                                         \
        return v[0];                                                                       \
    }
EMULATE_REDUCTION(_reduce_min_ps, float, __m512, <)
EMULATE_REDUCTION(_reduce_max_ps, float, __m512, >)
EMULATE_REDUCTION(_reduce_min_pd, double, __m512d, <)
EMULATE_REDUCTION(_reduce_max_pd, double, __m512d, >)
#undef EMULATE_REDUCTION

#undef _mm512_cvtps_epi32
#undef _mm512_cvtpd_epi32
#undef _mm512_cvtepi32_ps
#undef _mm512_cvtepi32_pd
#undef _mm512_cvtps_pd
#undef _mm512_cvtpd_ps
#undef _mm512_cvtph_ps
#undef _mm512_cvtepi8_epi32
#undef _mm512_cvtepu8_epi32
#undef _mm512_cvtepi16_epi32
#undef _mm512_cvtepu16_epi32
#undef _mm512_cvtepi8_epi16
#undef _mm512_cvtepu8_epi16
#undef _mm512_cvtepi32_epi16
#undef _mm512_cvtepi32_epi8
#undef _mm512_reduce_min_ps
#undef _mm512_reduce_max_ps
#undef _mm512_reduce_min_pd
#undef _mm512_reduce_max_pd
#undef _mm512_cmpneq_epi8_mask
#undef _mm512_cmpeq_epi16_mask
#undef _mm512_cmpgt_epi16_mask
#undef _mm512_mask_sub_epi16
#undef _mm256_mask_sub_epi32
#undef _mm256_mask_or_epi32
#undef _mm512_cvtps_ph
#undef _mm512_roundscale_ps
#undef _mm512_roundscale_pd
#undef _mm512_fmadd_ps
#undef _mm512_fnmadd_ps
#undef _mm512_srai_epi32
#undef _mm512_sra_epi32
#define _mm512_cvtps_epi32 emulated_cvtps_epi32
#define _mm512_cvtpd_epi32 emulated_cvtpd_epi32
#define _mm512_cvtepi32_ps emulated_cvtepi32_ps
#define _mm512_cvtepi32_pd emulated_cvtepi32_pd
#define _mm512_cvtps_pd emulated_cvtps_pd
#define _mm512_cvtpd_ps emulated_cvtpd_ps
#define _mm512_cvtph_ps emulated_cvtph_ps
#define _mm512_cvtepi8_epi32 emulated_cvtepi8_epi32
#define _mm512_cvtepu8_epi32 emulated_cvtepu8_epi32
#define _mm512_cvtepi16_epi32 emulated_cvtepi16_epi32
#define _mm512_cvtepu16_epi32 emulated_cvtepu16_epi32
#define _mm512_cvtepi8_epi16 emulated_cvtepi8_epi16
#define _mm512_cvtepu8_epi16 emulated_cvtepu8_epi16
#define _mm512_cvtepi32_epi16 emulated_cvtepi32_epi16
#define _mm512_cvtepi32_epi8 emulated_cvtepi32_epi8
#define _mm512_reduce_min_ps emulated_reduce_min_ps
#define _mm512_reduce_max_ps emulated_reduce_max_ps
#define _mm512_reduce_min_pd emulated_reduce_min_pd
#define _mm512_reduce_max_pd emulated_reduce_max_pd
#define _mm512_cmpneq_epi8_mask emulated_cmpneq_epi8_mask
#define _mm512_cmpeq_epi16_mask emulated_cmpeq_epi16_mask
#define _mm512_cmpgt_epi16_mask emulated_cmpgt_epi16_mask
#define _mm512_mask_sub_epi16 emulated_mask_sub_epi16
#define _mm256_mask_sub_epi32 emulated_mask_sub_256
#define _mm256_mask_or_epi32 emulated_mask_or_256
#define _mm512_cvtps_ph(v, rounding) emulated_cvtps_ph(v)
#define _mm512_roundscale_ps(v, how) ((how) & _MM_FROUND_TO_NEG_INF ? emulated_floor_ps(v) : emulated_nearest_ps(v))
#define _mm512_roundscale_pd(v, how) emulated_nearest_pd(v)
#define _mm512_fmadd_ps(a, b, c) emulated_fused(a, b, c, 1.0f)
#define _mm512_fnmadd_ps(a, b, c) emulated_fused(a, b, c, -1.0f)
#define _mm512_srai_epi32(v, n) emulated_shift_right(v, n)
#define _mm512_sra_epi32(v, n) emulated_shift_right(v, (uint64_t)_mm_cvtsi128_si64(n))

/* There all along, but not, or not rightly, under their own names. */
#undef _mm512_madd_epi16
#undef _mm512_shuffle_f32x4
#define _mm512_madd_epi16(a, b) simde_mm512_madd_epi16(a, b)
#define _mm512_shuffle_f32x4(a, b, which) simde_mm512_shuffle_f32x4(a, b, which)
