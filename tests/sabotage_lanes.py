"""Edits of sabotage.py: the lanes of vector targets: operations, packing, and the spans written over them."""

from __future__ import annotations

from sabotage_files import LANES, SPANS, Edit

_WRAP = (
    "_mm256_packus_epi16(_mm256_and_si256(ab, _mm256_set1_epi16(255)), _mm256_and_si256(cd, _mm256_set1_epi16(255)))"
)

EDITS = [
    # ---- lane operations ----
    Edit(
        "i8: wrap instead of saturate",
        LANES,
        [
            (
                "_mm256_packs_epi16(ab, cd)",
                _WRAP,
            )
        ],
    ),
    Edit("i8: unsigned saturation", LANES, [("_mm256_packs_epi16(ab, cd)", "_mm256_packus_epi16(ab, cd)")]),
    Edit(
        "u8: signed saturation",
        LANES,
        [("return _mm256_packus_epi16(ab, cd);", "return _mm256_packs_epi16(ab, cd);")],
    ),
    Edit(
        "no permutation after the packs",
        LANES,
        [("_mm256_permutevar8x32_epi32(v, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7))", "v")],
    ),
    Edit("int16 addition wraps", LANES, [("_mm256_adds_epi16", "_mm256_add_epi16", 4)]),
    Edit("quantize truncates", LANES, [("_mm256_cvtps_epi32(v)", "_mm256_cvttps_epi32(v)")]),
    Edit(
        "quantize rounds half away from zero",
        LANES,
        [
            (
                "_mm256_cvtps_epi32(v)",
                "_mm256_cvttps_epi32(_mm256_add_ps(v, _mm256_or_ps(_mm256_and_ps(v, vf_set(-0.0f)), vf_set(0.5f))))",
            )
        ],
    ),
    Edit(
        "fake_quantize truncates",
        LANES,
        [("_mm256_round_ps(v, _MM_FROUND_TO_NEAREST_INT", "_mm256_round_ps(v, _MM_FROUND_TO_ZERO")],
    ),
    Edit(
        "float64: fake_quantize truncates",
        LANES,
        [("_mm256_round_pd(v.a, _MM_FROUND_TO_NEAREST_INT", "_mm256_round_pd(v.a, _MM_FROUND_TO_ZERO")],
    ),
    Edit("float64: quantize truncates", LANES, [("_mm256_cvtpd_epi32(v.a)", "_mm256_cvttpd_epi32(v.a)")]),
    Edit("operands of minimum swapped", LANES, [("_mm256_min_ps(limit, v)", "_mm256_min_ps(v, limit)")]),
    Edit("operands of maximum swapped", LANES, [("_mm256_max_ps(v, limit)", "_mm256_max_ps(limit, v)")]),
    Edit("int8 widened as unsigned", LANES, [("_mm256_cvtepi8_epi32", "_mm256_cvtepu8_epi32")]),
    Edit(
        "minimum without the upper lanes",
        LANES,
        [("_mm_min_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1))", "_mm256_castps256_ps128(v)")],
    ),
    Edit("maximum without the last step", LANES, [("_mm_max_ss(m, _mm_movehdup_ps(m))", "m")]),
    Edit("float64: maximum without the last step", LANES, [("_mm_max_sd(h, _mm_unpackhi_pd(h, h))", "h")]),
    Edit(
        "i16: out of order",
        LANES,
        [("_mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xD8)", "_mm256_packs_epi32(a, b)")],
    ),
    Edit("u16: signed saturation", LANES, [("_mm256_packus_epi32(a, b), 0xD8", "_mm256_packs_epi32(a, b), 0xD8")]),
    Edit("int16 widened as unsigned", LANES, [("_mm256_cvtepi16_epi32(_mm_loadu", "_mm256_cvtepu16_epi32(_mm_loadu")]),
    Edit("small integers: no lowest", LANES, [(", _mm256_set1_epi8((char)lowest));", ", _mm256_set1_epi8(-128));")]),
    Edit(
        "small integers: upper bits stay",
        LANES,
        [("return _mm256_and_si256(v, _mm256_set1_epi8((char)mask));", "return v;")],
    ),
    # ---- half types and small floats in lanes ----
    Edit(
        "float16 truncated",
        LANES,
        [("_mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT)", "_mm256_cvtps_ph(v, _MM_FROUND_TO_ZERO)")],
    ),
    Edit(
        "bfloat16: ties go up",
        LANES,
        [("_mm256_set1_epi32(0x7FFF)), odd)", "_mm256_set1_epi32(0x7FFF)), _mm256_set1_epi32(1))")],
    ),
    Edit(
        "bfloat16: NaN rounded to infinity",
        LANES,
        [("vi_choose(vi_nan_lanes(v), _mm256_or_si256(bits", "vi_choose(_mm256_setzero_si256(), _mm256_or_si256(bits")],
        equivalent="as in portable bfloat16: no NaN that comes there has bits that rounding would carry",
    ),
    Edit(
        "small floats: NaN is a number",
        LANES,
        [("_mm256_cmpgt_epi16(magnitude, _mm256_set1_epi16((short)f->last))", "_mm256_setzero_si256()")],
    ),
    Edit(
        "small floats: 0x80 is a zero",
        LANES,
        [("_mm256_cmpeq_epi16(c, _mm256_set1_epi16((short)f->nan))", "_mm256_setzero_si256()")],
    ),
    Edit(
        "small floats: sign forgotten",
        LANES,
        [("_mm256_sll_epi16(sign, _mm_cvtsi32_si128(f->sign_up))", "_mm256_setzero_si256()")],
    ),
    Edit("small floats: top binade halved", LANES, [("if (f->upper) {", "if (0) {")]),
    # ---- packing in lanes ----
    Edit("packed: high bits first", LANES, [("(short)(weight << 8 | 1)", "(short)(1 << 8 | weight)")]),
    Edit(
        "packed: pairs of 2 bits in the wrong order",
        LANES,
        [("_mm256_set1_epi32(16 << 16 | 1)", "_mm256_set1_epi32(1 << 16 | 16)")],
    ),
    Edit(
        "packed: upper bits go along",
        LANES,
        [("_mm256_maddubs_epi16(_mm256_and_si256(v, _mm256_set1_epi8((char)mask)),", "_mm256_maddubs_epi16(v,")],
    ),
    Edit("unpacked: second code lost", LANES, [("_mm256_slli_epi16(w, 4)", "_mm256_slli_epi16(w, 3)")]),
    Edit("unpacked: third code lost", LANES, [("_mm256_slli_epi32(w, 12)", "_mm256_slli_epi32(w, 11)")]),
    Edit(
        "streaming: the lower half twice",
        LANES,
        [("+ 1, _mm256_extracti128_si256(v, 1)", "+ 1, _mm256_extracti128_si256(v, 0)")],
    ),
    # ---- spans: arithmetic ----
    Edit("multiply by the reciprocal", SPANS, [("vf_fma(x, c->recip, vf_mul(x, c->rest))", "vf_mul(x, c->recip)")]),
    Edit(
        "two products without the limit on x",
        SPANS,
        [("lane_divided(vf_bounded(c->limit, x), c, how)", "lane_divided(x, c, how)")],
    ),
    Edit(
        "division without the limit",
        SPANS,
        [("vf_bounded(c->limit, lane_divided(x, c, how))", "lane_divided(x, c, how)")],
    ),
    Edit("limit too low", SPANS, [("#define HIGHEST_QUOTIENT 32768.0f", "#define HIGHEST_QUOTIENT 16384.0f")]),
    Edit("16-bit codes by one product", SPANS, [("vf_fma(vf_fnma(p, c->scale, x), c->recip, p)", "p")]),
    Edit(
        "zero point added before rounding",
        SPANS,
        [("vi_nearest(b.y[k])", "vi_sub(vi_nearest(vf_add(b.y[k], vf_from_vi(b.zero_point[k]))), b.zero_point[k])")],
    ),
    Edit("fake_quantize keeps -0", SPANS, [("vf_add(level, vf_set(0.0f))", "level")]),
    Edit("float64: fake_quantize keeps -0", SPANS, [("vd_add(level, vd_set(0.0))", "level")]),
    Edit(
        "fake_quantize without the lowest level",
        SPANS,
        [
            (
                "lane_divided(vf_within(c->low, c->high, x), c, how)",
                "lane_divided(vf_at_most(c->high, x), c, how)",
            )
        ],
    ),
    Edit(
        "fake_quantize divides without the lowest level",
        SPANS,
        [
            (
                "vf_within(c->low, c->high, lane_divided(x, c, how))",
                "vf_at_most(c->high, lane_divided(x, c, how))",
            )
        ],
    ),
    Edit(
        "float64: no lowest level",
        SPANS,
        [("vd_within(c->low, c->high,", "vd_min(c->high,")],
    ),
    Edit(
        "offset fused into the product",
        SPANS,
        [("vf_add(product, c->plus_offset)", "vf_fma(level, c->scale, c->plus_offset)")],
    ),
    Edit("offset added instead of subtracted", SPANS, [("vf_sub(vf_set(-0.0f), offset)", "offset")]),
    Edit("float64: offset added instead of subtracted", SPANS, [("vd_sub(vd_set(-0.0), offset)", "offset")]),
    Edit(
        "float64: no offset is +0",
        SPANS,
        [("c.plus_offset = has_offset ? offset : vd_set(-0.0);", "c.plus_offset = has_offset ? offset : vd_set(0.0);")],
    ),
    Edit("zero point added in dequantize", SPANS, [("vf_from_vi(vi_sub(integers, ", "vf_from_vi(vi_add(integers, ")]),
    Edit(
        "int32: difference wraps",
        SPANS,
        [("vf_from_vd(vd_sub(vd_from_vi(integers), vd_from_vi(", "vf_from_vi(vi_sub((integers), (")],
    ),
    Edit("small integers not extended", SPANS, [("c.sign = type->lowest < 0 ?", "c.sign = type->lowest > 0 ?")]),
    Edit(
        "small integers: bits that do not count are read",
        SPANS,
        [("c.mask = (1 << (type->bits & 15)) - 1;", "c.mask = 255;")],
    ),
    Edit(
        "small floats always saturate",
        SPANS,
        [("c.above = t->beyond ? f->beyond : f->largest;", "c.above = f->largest;")],
    ),
    Edit("small floats: NaN is the largest", SPANS, [("c.nan = f->nan;", "c.nan = f->largest;")]),
    Edit("small floats: NaN has no sign", SPANS, [("c.nan_sign = (int)f->nan_sign;", "c.nan_sign = 0;")]),
    Edit(
        "small floats: every zero has a sign",
        SPANS,
        [("c.unsigned_zero = f->zero_sign ? -1 : 0;", "c.unsigned_zero = -1;")],
    ),
    Edit(
        "small floats: infinity is NaN",
        SPANS,
        [("c.values.last = f->beyond == f->nan ? f->largest : f->beyond;", "c.values.last = f->largest;")],
    ),
    # ---- spans: parameters ----
    Edit("two products for tiny scales", SPANS, [("smallest >= FQ_SMALLEST_DIVISOR", "smallest >= 0.0f")]),
    Edit("two products for huge scales", SPANS, [("largest <= FQ_LARGEST_DIVISOR", "largest <= FLT_MAX")]),
    Edit("batches: all from the first", SPANS, [("memcpy((to), (from) + (first), (m)", "memcpy((to), (from), (m)")]),
    Edit("rows: the first set for all", SPANS, [("set = single ? 0 : i", "set = 0")]),
    Edit("columns: the first reciprocal for all", SPANS, [("vf_load(b->recip + j)", "vf_set(b->recip[0])")]),
    Edit(
        "columns: the first offset for all",
        SPANS,
        [("b->has_offset ? vf_load(b->offset + j)", "b->has_offset ? vf_set(b->offset[0])")],
    ),
    Edit(
        "float64: the first zero point for all columns",
        SPANS,
        [("vi_load(b->zero_point + j), b->lowest", "vi_set(b->zero_point[0]), b->lowest")],
    ),
    # ---- spans: runs ----
    Edit("a step too long", SPANS, [("done += m;", "done += m + 1;")]),
    Edit("last block one early", SPANS, [("buffered ? done : n - BLOCK;", "buffered ? done : n - BLOCK - 1;")]),
    Edit("a block is stored twice", SPANS, [("b = next;", "")]),
    Edit("streaming: head one too long", SPANS, [("m = m < head ? m : head;", "m = m < head ? m : head + 1;")]),
    Edit("streaming: head may exceed the run", SPANS, [("m = m < head ? m : head;", "m = head;")]),
    Edit(
        "streaming at any address",
        SPANS,
        [
            (
                "if (stream && done == 0 && misfit != 0) {",
                "if (0) {",
            )
        ],
    ),
    # ---- spans: ranges ----
    Edit("NaN not summed", SPANS, [("e->sum[k] = vf_add(e->sum[k], v);", "")]),
    Edit(
        "sums of different chains added",
        SPANS,
        [
            (
                "vf_any_nan(e.sum[0], e.sum[1]) | vf_any_nan(e.sum[2], e.sum[3])",
                "vf_any_nan(vf_add(e.sum[0], e.sum[1]), vf_add(e.sum[2], e.sum[3]))",
            )
        ],
    ),
    Edit("minimum without one chain", SPANS, [("vf_min(e.lo[2], e.lo[3])", "e.lo[2]")]),
    Edit("maximum without one chain", SPANS, [("vf_max(e.hi[2], e.hi[3])", "e.hi[3]")]),
    Edit("range: rest without its last", SPANS, [("(i + (k < n - i ? k : 0))", "(i + (k + 1 < n - i ? k : 0))")]),
    Edit("range: no rest of one", SPANS, [("if (i < n) {  /* repeating", "if (i + 1 < n) {  /* repeating")]),
    Edit("range: the first row for all", SPANS, [("at = r * t->extent_step;", "at = 0 * t->extent_step;")]),
    Edit("range: rows beyond fours", SPANS, [("t->rows - r < 4 ? t->rows - r : 4", "t->rows - r < 4 ? 1 : 4")]),
    Edit("range: last columns in the place of the first", SPANS, [("memcpy(hi + j, h,", "memcpy(hi, h,")]),
    Edit(
        "range: columns' NaN not summed",
        SPANS,
        [("high = vf_max(high, v);\n                sum = vf_add(sum, v);", "high = vf_max(high, v);")],
    ),
    Edit("float64: columns' NaN not summed", SPANS, [("poison[j] += x[j];", "")]),
    Edit("float64: NaN of one chain", SPANS, [("vd_any_nan(sum[0]) | vd_any_nan(sum[1])", "vd_any_nan(sum[0])")]),
    Edit("float64: minimum of one chain", SPANS, [("vd_min(low[0], low[1])", "low[0]")]),
]
