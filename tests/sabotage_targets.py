"""Edits of sabotage.py: the lanes of targets that not every machine has. sabotage_lanes.py has those of avx2, and what
is common to all of them.

What only short rows and ranges of rows use has no edit for avx512: a CPU that has it leaves them to avx2.
"""

from __future__ import annotations

from sabotage_files import AVX512, NEON, Edit

_TRANSPOSED = "_mm512_permutexvar_epi32(_mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15), v)"
_BOUNDED = "vmaxnmq_f32(vminq_f32(v, limit), vnegq_f32(limit))"

EDITS = [
    # ---- avx512: memory ----
    Edit(
        "avx512: streaming: the third quarter twice",
        AVX512,
        [("_mm512_extracti32x4_epi32(v, 3)", "_mm512_extracti32x4_epi32(v, 2)")],
    ),
    Edit(
        "avx512: streaming half: its lower half twice",
        AVX512,
        [("_mm256_extracti128_si256(v, 1)", "_mm256_extracti128_si256(v, 0)")],
    ),
    Edit(
        "avx512: the lower half twice",
        AVX512,
        [("return _mm512_extracti64x4_epi64(v, 1);", "return _mm512_extracti64x4_epi64(v, 0);")],
    ),
    # ---- avx512: floats ----
    Edit("avx512: two roundings", AVX512, [("_mm512_fmadd_ps(a, b, c)", "_mm512_add_ps(_mm512_mul_ps(a, b), c)")]),
    Edit(
        "avx512: two roundings of a rest",
        AVX512,
        [("_mm512_fnmadd_ps(a, b, c)", "_mm512_sub_ps(c, _mm512_mul_ps(a, b))")],
    ),
    Edit("avx512: operands of minimum swapped", AVX512, [("_mm512_min_ps(limit, v)", "_mm512_min_ps(v, limit)")]),
    Edit("avx512: operands of maximum swapped", AVX512, [("_mm512_max_ps(v, limit)", "_mm512_max_ps(limit, v)")]),
    Edit("avx512: NaN of three vectors", AVX512, [("(v[2], v[3], _CMP", "(v[2], v[2], _CMP")]),
    Edit("avx512: quantize truncates", AVX512, [("_mm512_cvtps_epi32(v)", "_mm512_cvttps_epi32(v)")]),
    Edit(
        "avx512: fake_quantize truncates",
        AVX512,
        [("_mm512_roundscale_ps(v, _MM_FROUND_TO_NEAREST_INT", "_mm512_roundscale_ps(v, _MM_FROUND_TO_ZERO")],
    ),
    Edit("avx512: floor truncates", AVX512, [("_MM_FROUND_TO_NEG_INF", "_MM_FROUND_TO_ZERO")]),
    Edit("avx512: signs: low bits first", AVX512, [("_mm512_permutexvar_ps(reversed, v[0])", "v[0]")]),
    Edit("avx512: signs: NaN is positive", AVX512, [("setzero_ps(), _CMP_GT_OQ", "setzero_ps(), _CMP_NLE_UQ")]),
    Edit("avx512: the largest scale sets the limit", AVX512, [("_mm512_reduce_min_ps(v)", "_mm512_reduce_max_ps(v)")]),
    # ---- avx512: doubles ----
    Edit("avx512: float64: NaN passes the limits", AVX512, [("vd_max(v, low)", "vd_max(low, v)")]),
    Edit("avx512: float64: upper half truncates", AVX512, [("_mm512_cvtpd_epi32(v.b)", "_mm512_cvttpd_epi32(v.b)")]),
    Edit(
        "avx512: float64: upper half of fake_quantize truncates",
        AVX512,
        [("_mm512_roundscale_pd(v.b, _MM_FROUND_TO_NEAREST_INT", "_mm512_roundscale_pd(v.b, _MM_FROUND_TO_ZERO")],
    ),
    Edit("avx512: odd: towards zero instead", AVX512, [("_mm256_mask_or_epi32(bits, inexact, bits, one)", "bits")]),
    Edit("avx512: odd: not back from above", AVX512, [("_mm256_mask_sub_epi32(bits, away, bits, one)", "bits")]),
    Edit("avx512: odd: compared with signs", AVX512, [("_mm512_andnot_pd(positive, v), _CMP", "v, _CMP")]),
    # ---- avx512: half types and small floats ----
    Edit(
        "avx512: float16 truncated",
        AVX512,
        [("_mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT", "_mm512_cvtps_ph(v, _MM_FROUND_TO_ZERO")],
    ),
    Edit(
        "avx512: bfloat16: ties go up",
        AVX512,
        [("_mm512_set1_epi32(0x7FFF)), odd)", "_mm512_set1_epi32(0x7FFF)), _mm512_set1_epi32(1))")],
    ),
    Edit("avx512: steps weigh more than binades", AVX512, [("1 << 16 | weight", "weight << 16 | 1")]),
    Edit("avx512: negative zeros of types without", AVX512, [("if (not_zero < 256)", "if (0)")]),
    Edit("avx512: NaN of one sign is rare", AVX512, [("(above | _mm512_cmpeq", "(_mm512_cmpeq")]),
    Edit(
        "avx512: upper binade: NaN goes along",
        AVX512,
        [("(subnormal | _mm512_cmpeq_epi8_mask(codes, _mm512_set1_epi8((char)f->rare)))", "subnormal")],
    ),
    Edit("avx512: upper binade: that of the first vector", AVX512, [("(__mmask16)(upper >> 16)", "(__mmask16)upper")]),
    Edit(
        "avx512: 0x80 is a zero",
        AVX512,
        [("_mm512_cmpeq_epi16_mask(c, _mm512_set1_epi16((short)f->nan))", "0")],
    ),
    # ---- avx512: codes ----
    Edit("avx512: no transposition after the packs", AVX512, [(_TRANSPOSED, "v")]),
    Edit("avx512: int16 addition wraps", AVX512, [("_mm512_adds_epi16", "_mm512_add_epi16", 4)]),
    Edit(
        "avx512: u8: signed saturation",
        AVX512,
        [("return _mm512_packus_epi16(ab, cd);", "return _mm512_packs_epi16(ab, cd);")],
    ),
    Edit("avx512: u16: signed saturation", AVX512, [("_mm512_packus_epi32(a, b)", "_mm512_packs_epi32(a, b)")]),
    Edit(
        "avx512: words out of order",
        AVX512,
        [("_mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7), v)", "v")],
    ),
    Edit("avx512: small integers: no lowest", AVX512, [("_mm512_set1_epi8((char)lowest)", "_mm512_set1_epi8(-128)")]),
    Edit("avx512: int8 widened as unsigned", AVX512, [("_mm512_cvtepi8_epi32", "_mm512_cvtepu8_epi32")]),
    # ---- avx512: packing ----
    Edit("avx512: packed: a line's first block twice", AVX512, [("v_pairs(b, 15, 16)", "v_pairs(a, 15, 16)")]),
    Edit("avx512: packed: high bits first", AVX512, [("(short)(weight << 8 | 1)", "(short)(1 << 8 | weight)")]),
    Edit("avx512: packed: pairs of 2 bits swapped", AVX512, [("16 << 16 | 1", "1 << 16 | 16")]),
    Edit("avx512: unpacked: third code lost", AVX512, [("_mm512_slli_epi32(w, 12)", "_mm512_slli_epi32(w, 11)")]),
    # ---- neon: floats ----
    Edit("neon: two roundings", NEON, [("vfmaq_f32(c, a, b)", "vaddq_f32(vmulq_f32(a, b), c)")]),
    Edit("neon: NaN becomes 0", NEON, [(_BOUNDED, "vminq_f32(v, limit)")]),
    Edit("neon: no limit above", NEON, [(_BOUNDED, "vmaxnmq_f32(v, vnegq_f32(limit))")]),
    Edit(
        "neon: signalling NaN passes the limits",
        NEON,
        [("vmaxnmq_f32(vminq_f32(v, high), low)", "vminq_f32(vmaxnmq_f32(v, low), high)")],
    ),
    Edit("neon: NaN of one vector", NEON, [("vmaxvq_f32(vmaxq_f32(a, b))", "vmaxvq_f32(a)")]),
    Edit("neon: NaN of three vectors", NEON, [("vmaxq_f32(v[2], v[3]))", "v[2])")]),
    Edit("neon: quantize truncates", NEON, [("vcvtnq_s32_f32(v)", "vcvtq_s32_f32(v)")]),
    Edit("neon: fake_quantize rounds half away from zero", NEON, [("vrndnq_f32(v)", "vrndaq_f32(v)")]),
    Edit("neon: floor truncates", NEON, [("vrndmq_f32(v)", "vrndq_f32(v)")]),
    Edit("neon: signs of the first vector twice", NEON, [("vcgtq_f32(v[1], zero)", "vcgtq_f32(v[0], zero)")]),
    Edit("neon: signs: low bits first", NEON, [("{128, 64, 32, 16, 8, 4, 2, 1}", "{1, 2, 4, 8, 16, 32, 64, 128}")]),
    # ---- neon: doubles ----
    Edit("neon: float64: NaN passes the limits", NEON, [("vd_max_number, vmaxnmq_f64", "vd_max_number, vmaxq_f64")]),
    Edit(
        "neon: float64: NaN of one half", NEON, [("most = vmaxvq_f64(vmaxq_f64(v.a, v.b))", "most = vmaxvq_f64(v.a)")]
    ),
    Edit("neon: float64: upper half truncates", NEON, [("vcvtnq_s64_f64(v.b)", "vcvtq_s64_f64(v.b)")]),
    Edit("neon: odd: nearest instead", NEON, [("vcvtx_high_f32_f64(vcvtx_f32_f64(v.a), v.b)", "vf_from_vd(v)")]),
    # ---- neon: half types and small floats ----
    Edit(
        "neon: bfloat16: ties to odd",
        NEON,
        [("vsubq_u32(vdupq_n_u32(0x7FFF), odd)", "vaddq_u32(vdupq_n_u32(0x7FFF), odd)")],
    ),
    Edit("neon: negative zeros of types without", NEON, [("if (not_zero < 256)", "if (0)")]),
    Edit("neon: upper binade: NaN goes along", NEON, [("vb_any(vorrq_u8(subnormal, nan))", "vb_any(subnormal)")]),
    Edit(
        "neon: upper binade: that of the first vector",
        NEON,
        [("vmovl_high_s16(twice)", "vmovl_s16(vget_low_s16(twice))")],
    ),
    # ---- neon: codes ----
    Edit(
        "neon: int32 wraps to int16",
        NEON,
        [("vqmovn_high_s32(vqmovn_s32(a), b)", "vcombine_s16(vmovn_s32(a), vmovn_s32(b))")],
    ),
    Edit("neon: int16 addition wraps", NEON, [("vqaddq_s16", "vaddq_s16", 4)]),
    Edit(
        "neon: u8: signed saturation",
        NEON,
        [("vqmovun_high_s16(vqmovun_s16(ab), cd)", "vreinterpretq_u8_s8(vqmovn_high_s16(vqmovn_s16(ab), cd))")],
    ),
    Edit("neon: small integers: no lowest", NEON, [("vdupq_n_s8((int8_t)lowest)", "vdupq_n_s8(-128)")]),
    Edit("neon: four bytes: eight are read", NEON, [("return vcreate_u8(bytes);", "(void)bytes; return vld1_u8(p);")]),
    # ---- neon: packing, across lanes ----
    Edit(
        "neon: packed: high bits first",
        NEON,
        [("vuzp1q_u8(a, b), vuzp2q_u8(a, b), 4", "vuzp2q_u8(a, b), vuzp1q_u8(a, b), 4")],
    ),
    Edit(
        "neon: packed: a line's third block twice",
        NEON,
        [("v_pairs_4(codes[2], codes[3])", "v_pairs_4(codes[2], codes[2])")],
    ),
    Edit(
        "neon: packed: eight bytes for four",
        NEON,
        [("memcpy(packed, &fours, sizeof fours);", "vst1_u8(packed, vcreate_u8(fours));")],
    ),
    Edit("neon: unpacked: the third byte twice", NEON, [("2, 2, 2, 2, 3, 3, 3, 3", "2, 2, 2, 2, 2, 2, 2, 2")]),
    Edit("neon: minimum of three rows", NEON, [("vpminq_f32(v[2], v[3])", "vpminq_f32(v[2], v[2])")]),
]
