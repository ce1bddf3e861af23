"""The edits of sabotage.py: mistakes that somebody could make in the kernels and in the checks around them.

Each has a name, a file, and pairs of (text, replacement). A text occurs once in its file; where it occurs more often
the pair has the number of times as a third element. Keep the texts short: they have to follow the sources.
"""

from __future__ import annotations

from typing import NamedTuple


class Edit(NamedTuple):
    name: str
    file: str
    pairs: list[tuple[str, str] | tuple[str, str, int]]


LANES = "fastquant/src/lanes_avx2.h"
SPANS = "fastquant/src/spans.inc.h"
NUMERICS = "fastquant/src/numerics.h"
PARAMETERS = "fastquant/src/numerics.c"
FPENV = "fastquant/src/fpenv.h"
PORTABLE = "fastquant/_portable.pxi"
KERNELS = "fastquant/_kernels.pyx"
PLAIN = "fastquant/_plain.pxi"
CALLS = "fastquant/_calls.pxi"
ARGUMENTS = "fastquant/_arguments.py"
RANGES = "fastquant/_ranges.py"
API = "fastquant/_api.py"
CPU = "fastquant/cpu.py"

_AWAY = "_mm256_cvttps_epi32(_mm256_add_ps(v, _mm256_or_ps(_mm256_and_ps(v, vf_set(-0.0f)), vf_set(0.5f))))"
_WRAP = (
    "_mm256_packus_epi16(_mm256_and_si256(ab, _mm256_set1_epi16(255)), _mm256_and_si256(cd, _mm256_set1_epi16(255)))"
)
_TAIL = "in + (n - BLOCK) * in_bytes(op), out + (n - BLOCK) * out_bytes(op), 1"
_DONE = "in + done * in_bytes(op), out + done * out_bytes(op), 1"
_SUMS = "vf_any_nan(vf_add(vf_add(e.sum[0], e.sum[1]), vf_add(e.sum[2], e.sum[3])))"

EDITS = [
    # ---- lane operations ----
    Edit("i8: wrap instead of saturate", LANES, [("_mm256_packs_epi16(ab, cd)", _WRAP)]),
    Edit("i8: unsigned saturation", LANES, [("_mm256_packs_epi16(ab, cd)", "_mm256_packus_epi16(ab, cd)")]),
    Edit("u8: signed saturation", LANES, [("_mm256_packus_epi16(ab, cd)", "_mm256_packs_epi16(ab, cd)")]),
    Edit(
        "no permutation after the packs",
        LANES,
        [("_mm256_permutevar8x32_epi32(v, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7))", "v")],
    ),
    Edit("int16 addition wraps", LANES, [("_mm256_adds_epi16", "_mm256_add_epi16", 4)]),
    Edit("quantize truncates", LANES, [("_mm256_cvtps_epi32(v)", "_mm256_cvttps_epi32(v)")]),
    Edit("quantize rounds half away from zero", LANES, [("_mm256_cvtps_epi32(v)", _AWAY)]),
    Edit("fake_quantize truncates", LANES, [("_MM_FROUND_TO_NEAREST_INT", "_MM_FROUND_TO_ZERO")]),
    Edit("operands of minimum swapped", LANES, [("_mm256_min_ps(limit, v)", "_mm256_min_ps(v, limit)")]),
    Edit("operands of maximum swapped", LANES, [("_mm256_max_ps(v, limit)", "_mm256_max_ps(limit, v)")]),
    Edit("int8 widened as unsigned", LANES, [("_mm256_cvtepi8_epi32", "_mm256_cvtepu8_epi32")]),
    Edit(
        "minimum without the upper lanes",
        LANES,
        [("_mm_min_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1))", "_mm256_castps256_ps128(v)")],
    ),
    Edit("maximum without the last step", LANES, [("_mm_max_ss(m, _mm_movehdup_ps(m))", "m")]),
    # ---- spans: arithmetic ----
    Edit("multiply by the reciprocal", SPANS, [("vf_fma(x, c->recip, vf_mul(x, c->rest))", "vf_mul(x, c->recip)")]),
    Edit(
        "two products without the limit on x",
        SPANS,
        [("lane_divided(vf_at_most(c->limit, x), c, how)", "lane_divided(x, c, how)")],
    ),
    Edit(
        "division without the limit",
        SPANS,
        [("vf_at_most(c->limit, lane_divided(x, c, how))", "lane_divided(x, c, how)")],
    ),
    Edit("limit too low", SPANS, [("#define HIGHEST_QUOTIENT 32768.0f", "#define HIGHEST_QUOTIENT 16384.0f")]),
    Edit(
        "zero point added before rounding",
        SPANS,
        [
            ("v_narrow_by(p->zero_point)", "v_narrow_by(0)"),
            ("y.v[k] = lane_quotient(", "y.v[k] = vf_add(vf_from_vi(c->zero_point), lane_quotient("),
            ("vf_load(x + k * LANES), c, how);\n    return y;", "vf_load(x + k * LANES), c, how));\n    return y;"),
        ],
    ),
    Edit("fake_quantize keeps -0", SPANS, [("vf_add(vf_nearest(x), vf_set(0.0f))", "vf_nearest(x)")]),
    Edit(
        "fake_quantize without the lowest level",
        SPANS,
        [("vf_at_most(c->high, vf_at_least(c->low, x))", "vf_at_most(c->high, x)")],
    ),
    Edit(
        "offset fused into the product", SPANS, [("vf_add(product, c->offset)", "vf_fma(level, c->scale, c->offset)")]
    ),
    Edit("offset added instead of subtracted", SPANS, [("vf_set(-(float)p->offset)", "vf_set((float)p->offset)")]),
    Edit("zero point forgotten in dequantize", SPANS, [("vi_sub(codes, c->zero_point)", "codes")]),
    # ---- spans: runs ----
    Edit("no tail", SPANS, [("if (done == n)", "if (done <= n)")]),
    Edit(
        "tail writes one too many",
        SPANS,
        [("memcpy(out, to, n * out_bytes(op))", "memcpy(out, to, (n + 1) * out_bytes(op))")],
    ),
    Edit(
        "tail reads one too many",
        SPANS,
        [("memcpy(from, in, n * in_bytes(op))", "memcpy(from, in, (n + 1) * in_bytes(op))")],
    ),
    Edit("last block beyond the end", SPANS, [(_TAIL, _DONE)]),
    Edit("last block one early", SPANS, [(_TAIL, _TAIL.replace("(n - BLOCK) * out", "(n - BLOCK - 1) * out"))]),
    Edit("a block is stored twice", SPANS, [("y = next;", "")]),
    Edit(
        "streaming: head one too long",
        SPANS,
        [("(VECTOR_BYTES - 1)) / out_bytes(op)", "(VECTOR_BYTES - 1)) / out_bytes(op) + 1")],
    ),
    Edit("streaming: head may exceed the run", SPANS, [("done = done < n ? done : n;", "")]),
    Edit("streaming: head of one left out", SPANS, [("if (done > 0)", "if (done > 1)")]),
    Edit(
        "streaming: codes at the wrong place",
        SPANS,
        [("vb_stream(q, codes)", "vb_stream(q - ((uintptr_t)q & 32), codes)")],
    ),
    # ---- spans: ranges ----
    Edit("NaN not summed", SPANS, [("e->sum[k] = vf_add(e->sum[k], v);", "")]),
    Edit("sums of different chains added", SPANS, [("vf_any_nan(e.sum[k])", _SUMS)]),
    Edit("minimum without one chain", SPANS, [("vf_min(e.lo[2], e.lo[3])", "e.lo[2]")]),
    Edit("maximum without one chain", SPANS, [("vf_max(e.hi[2], e.hi[3])", "e.hi[3]")]),
    Edit("range: rest filled with zeros", SPANS, [("last[k] = x[i];", "last[k] = 0.0f;")]),
    Edit("range: no rest of one", SPANS, [("if (i < n) {", "if (i + 1 < n) {")]),
    Edit("range: reads one too many", SPANS, [("(n - i) * sizeof *x", "(n - i + 1) * sizeof *x")]),
    # ---- one element ----
    Edit("near zero points too far", NUMERICS, [("#define FQ_NEAR 16384", "#define FQ_NEAR 32768")]),
    Edit("two products for tiny scales", NUMERICS, [("scale >= 0x1p-100f", "scale > 0.0f")]),
    Edit("two products for huge scales", NUMERICS, [("scale <= 0x1p100f", "scale <= FLT_MAX")]),
    Edit(
        "two products for large levels",
        NUMERICS,
        [("#define FQ_TWO_PRODUCTS_LEVELS 512", "#define FQ_TWO_PRODUCTS_LEVELS 65536")],
    ),
    Edit("two products with an offset", NUMERICS, [("if (offset == 0.0f && low", "if (low")]),
    Edit(
        "rest of the reciprocal in float32",
        NUMERICS,
        [("(float)(inverse - (double)d.recip)", "(1.0f - d.recip * scale) / (scale + scale)")],
    ),
    Edit(
        "portable: multiply by the reciprocal",
        NUMERICS,
        [("float y = (x - offset) / scale;", "float y = (x - offset) * (1.0f / scale);")],
    ),
    Edit(
        "portable: offset divided by itself",
        NUMERICS,
        [("float y = (x - offset) / scale;", "float y = x / scale - offset / scale;")],
    ),
    Edit(
        "portable: operands of the lower clamp swapped",
        NUMERICS,
        [("y = y > low ? y : low;", "y = y < low ? low : y;", 2)],
    ),
    Edit("portable: upper clamp missing", NUMERICS, [("y = y < high ? y : high;", "", 2)]),
    Edit(
        "portable: magic constant for positives only",
        NUMERICS,
        [("12582912.0f", "8388608.0f"), ("0x4B400000", "0x4B000000")],
    ),
    Edit(
        "portable: float64 magic constant for positives only", NUMERICS, [("6755399441055744.0", "4503599627370496.0")]
    ),
    Edit(
        "portable: zero point added before rounding",
        NUMERICS,
        [("fq_nearest_f32(y) + zero_point", "fq_nearest_f32(y + (float)zero_point)")],
    ),
    Edit(
        "portable: far difference in float32",
        NUMERICS,
        [("(float)((double)code - (double)zero_point)", "((float)code - (float)zero_point)")],
    ),
    Edit(
        "portable: double difference in int32",
        NUMERICS,
        [
            (
                "double product = ((double)code - (double)zero_point) * scale",
                "double product = (double)(int32_t)((uint32_t)code - (uint32_t)zero_point) * scale",
            )
        ],
    ),
    Edit(
        "qparams rounds half up",
        PARAMETERS,
        [("nearbyint((double)s->lowest - lo / step)", "floor((double)s->lowest - lo / step + 0.5)")],
    ),
    Edit("qparams: zero point from the rounded scale", PARAMETERS, [("lo / step", "lo / (double)*scale")]),
    Edit("qparams: subnormal scale", PARAMETERS, [("step < (double)FLT_MIN", "step < 0.0")]),
    Edit("qparams: infinite scale", PARAMETERS, [("if (!(*scale <= FLT_MAX))", "if (*scale < 0.0f)")]),
    Edit("qparams: zero not included", PARAMETERS, [("lo = lo < 0.0 ? lo : 0.0;", "")]),
    Edit("qparams: zero point beyond int32", PARAMETERS, [("zero <= 2147483647.0", "zero <= 2147483648.0")]),
    # ---- the environment ----
    Edit(
        "floating-point mode left as it is",
        FPENV,
        [("env.changed = (env.found & FQ_FP_CONTROL) != FQ_FP_DEFAULT;", "env.changed = 0;")],
    ),
    Edit("floating-point mode not restored", FPENV, [("fq_fp_write(env.found);", ";")]),
    Edit(
        "subnormals flushed as the caller has it",
        FPENV,
        [("#define FQ_FP_CONTROL 0xFFC0u", "#define FQ_FP_CONTROL 0x7F80u")],
    ),
    Edit(
        "traps left as the caller has them",
        FPENV,
        [
            ("#define FQ_FP_CONTROL 0xFFC0u", "#define FQ_FP_CONTROL 0xE040u"),
            ("#define FQ_FP_DEFAULT 0x1F80u", "#define FQ_FP_DEFAULT 0u"),
        ],
    ),
    # ---- portable loops ----
    Edit(
        "columns: scales not advanced", PORTABLE, [("<const real_t *> p.scales + at", "<const real_t *> p.scales", 2)]
    ),
    Edit(
        "columns: offsets not advanced",
        PORTABLE,
        [("<const real_t *> p.offsets + at", "<const real_t *> p.offsets", 2)],
    ),
    Edit("columns: zero points not advanced", PORTABLE, [("p.zero_points + at", "p.zero_points", 2)]),
    Edit(
        "far zero points through float32", PORTABLE, [("if real_t is float and not p.far:", "if real_t is float:", 2)]
    ),
    Edit("chunks of one size", PORTABLE, [("m = n - i if n - i < CHUNK else CHUNK", "m = CHUNK")]),
    Edit("portable: NaN not noticed", PORTABLE, [("if total[j] != total[j]:", "if False:")]),
    Edit("portable: columns' NaN not summed", PORTABLE, [("poison[j] = poison[j] + x[j]", "poison[j] = poison[j]")]),
    Edit(
        "portable: range without its last chain",
        PORTABLE,
        [("for j in range(CHAINS):\n        lo[0]", "for j in range(CHAINS - 1):\n        lo[0]")],
    ),
    Edit("portable: range without its rest", PORTABLE, [("extent_columns(x + i, n - i, low, high, total)", "pass")]),
    # ---- entry points ----
    Edit("scale not checked", PLAIN, [("plain = 0 < p.scale < INFINITY and", "plain =")]),
    Edit(
        "offset beside a zero point, plain",
        PLAIN,
        [("plain = p.zero_point == 0 and read_number(", "plain = read_number(")],
    ),
    Edit("infinite offset, plain", PLAIN, [("and -INFINITY < p.offset < INFINITY", "")]),
    Edit("scales not checked", KERNELS, [("if not 0 < v < INFINITY:", "if not 0 < v:")]),
    Edit("zero point wraps", PLAIN, [("return overflow == 0 and v == value[0]", "return overflow == 0")]),
    Edit("overlap not checked", PLAIN, [("return (a + cnp.PyArray_NBYTES(<cnp.ndarray> out) <= b", "return (True")]),
    Edit(
        "overlap of different types allowed", PLAIN, [("a == b and type_number == cnp.PyArray_TYPE(like)", "a == b")]
    ),
    Edit(
        "read-only out is written",
        PLAIN,
        [("and PyArray_ISCARRAY(<cnp.ndarray> out)", "and PyArray_ISCARRAY_RO(<cnp.ndarray> out)")],
    ),
    Edit(
        "shape of out not checked",
        PLAIN,
        [
            (
                "PyArray_NDIM(<cnp.ndarray> out) != ndim or ndim > 0 and memcmp(",
                "PyArray_NDIM(<cnp.ndarray> out) != ndim or 0 and memcmp(",
            )
        ],
    ),
    Edit("far zero points in lanes", KERNELS, [("fq_target_table(0) if p.far else active_table", "active_table")]),
    Edit("only the last zero point may be far", KERNELS, [("p.far |= fq_is_far", "p.far = fq_is_far")]),
    Edit(
        "rows: the first zero point for all",
        KERNELS,
        [("p.zero_point = zero_point[c]", "p.zero_point = zero_point[0]")],
    ),
    Edit("rows: offset added twice", KERNELS, [("(<const float *> offset)[c]", "2 * (<const float *> offset)[c]")]),
    Edit("rows: output not advanced", KERNELS, [("b_row *= inner", "b_row *= 1")]),
    Edit("range: -0 stays", KERNELS, [("lo[i] = lo[i] if lo[i] != 0 else 0", "pass")]),
    Edit("range: NaN not noticed", KERNELS, [("and poison[i] == poison[i]", "")]),
    Edit("range: infinity not noticed", KERNELS, [("and hi[i] < INFINITY", "")]),
    Edit("GIL never released", KERNELS, [("if n < RELEASE_GIL_FROM:", "if True:")]),
    Edit("range: nothing has one", CALLS, [("finite and cnp.PyArray_SIZE(x) > 0", "finite")]),
    Edit(
        "quantize_dynamic without zero",
        CALLS,
        [("scheme_of(code, symmetric, narrow_range, True)", "scheme_of(code, symmetric, narrow_range, False)")],
    ),
    Edit("narrow_range ignored", CALLS, [("fq_code_types[code].lowest + narrow_range", "fq_code_types[code].lowest")]),
    # ---- checks in Python ----
    Edit(
        "overlap not seen on the general path",
        ARGUMENTS,
        [("apart = not np.may_share_memory(out, like)", "apart = True")],
    ),
    Edit("strided out written as contiguous", ARGUMENTS, [("and out.flags.carray and", "and")]),
    Edit("zero points not checked above", ARGUMENTS, [("(a < -(2**31)) | (a > 2**31 - 1)", "a < -(2**31)")]),
    Edit("scales not checked in Python", ARGUMENTS, [("if wrong >= 0:", "if False:")]),
    Edit("infinite offset", ARGUMENTS, [("wrong = ~np.isfinite(rounded)", "wrong = np.isnan(rounded)")]),
    Edit("offset beside a zero point", ARGUMENTS, [("if zero_points.any():", "if False:")]),
    Edit("parameters overwritten", API, [("p.copy() if np.may_share_memory(p, target.array) else p", "p")]),
    Edit("narrow_range ignored for arrays", RANGES, [("codes.lowest + narrow_range", "codes.lowest")]),
    Edit("bounds in the wrong order", RANGES, [("if (a > b).any():", "if False:")]),
    Edit("target not restored", CPU, [("_kernels.activate(before)", "pass")]),
    # ---- arguments that change, or run code, while they are read ----
    Edit("changed arrays not noticed", KERNELS, [("if not (fit and ", "if not (")]),
    Edit(
        "flags taken by their truth",
        KERNELS,
        [('raise TypeError(f"{argument}: got {value!r}, expected', "return bool(value)  # ")],
    ),
    Edit(
        "uint8 zero point as int8",
        PLAIN,
        [("is uint8_type:\n        return FQ_u8", "is uint8_type:\n        return FQ_i8")],
    ),
    Edit("fake_quantize with another type's zero point", CALLS, [("not in (-1, code):", "is None:")]),
    Edit("a range of nothing", RANGES, [("if a.size == 0 and channels > 0:", "if a.size == 0:")]),
]
