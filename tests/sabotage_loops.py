"""Edits of sabotage.py: what all targets share, from one element to the walk over layouts and the entry points."""

from __future__ import annotations

from sabotage_files import (
    CALLS,
    ENTRY,
    FLOATS,
    FPENV,
    KERNELS,
    NUMERICS,
    PARAMETERS,
    PLAIN,
    PORTABLE,
    VALUES,
    WALK,
    Edit,
)

EDITS = [
    # ---- one element ----
    Edit("near zero points too far", NUMERICS, [("#define FQ_NEAR 16384", "#define FQ_NEAR 32768")]),
    Edit(
        "near zero points of 16 bits too far",
        NUMERICS,
        [("#define FQ_NEAR_16_BITS 65536", "#define FQ_NEAR_16_BITS 2147483647")],
    ),
    Edit(
        "two products for large levels",
        NUMERICS,
        [("#define FQ_TWO_PRODUCTS_LEVELS 512", "#define FQ_TWO_PRODUCTS_LEVELS 65536")],
    ),
    Edit(
        "portable: lower clamp lets NaN through",
        NUMERICS,
        [
            ("float y = quotient > low ? quotient : low;", "float y = quotient < low ? low : quotient;"),
            ("double y = quotient > low ? quotient : low;", "double y = quotient < low ? low : quotient;"),
        ],
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
    Edit("no offset is +0", NUMERICS, [("#define FQ_NO_OFFSET (-0.0f)", "#define FQ_NO_OFFSET 0.0f")]),
    # ---- small floats and half types, one element ----
    Edit(
        "portable floats: no room for ties",
        FLOATS,
        [("(uint32_t)(23 - f->mantissa) << 23", "(uint32_t)(22 - f->mantissa) << 23")],
    ),
    Edit("portable floats: one beyond the largest", FLOATS, [("if (code > f->largest)", "if (code > f->largest + 1)")]),
    Edit(
        "portable floats always saturate", FLOATS, [("code = beyond ? f->beyond : f->largest;", "code = f->largest;")]
    ),
    Edit("portable floats: every zero has a sign", FLOATS, [("sign &= f->zero_sign;", "")]),
    Edit("portable floats: every NaN has a sign", FLOATS, [("sign &= f->nan_sign;", "")]),
    Edit("portable floats: NaN is not looked for", FLOATS, [("if (a != a) {", "if (0) {")]),
    Edit("float64 rounds twice", FLOATS, [("bits |= 1;", "")]),
    Edit("float64: odd from the wrong side", FLOATS, [("bits -= fabs((double)v) > fabs(y);", "")]),
    Edit("portable float16: ties go up", FLOATS, [("0xFFF + (magnitude >> 13 & 1)", "0x1000")]),
    Edit("portable float16: infinity too late", FLOATS, [("magnitude >= 0x477FF000", "magnitude >= 0x47FFF000")]),
    Edit("portable float16: subnormals as normals", FLOATS, [("magnitude < 0x38800000", "magnitude < 0x38000000")]),
    Edit(
        "portable float16: NaN to infinity",
        FLOATS,
        [
            (
                "if (magnitude > 0x7F800000)\n        return (uint16_t)(sign | 0x7E00",
                "if (0)\n        return (uint16_t)(sign | 0x7E00",
            )
        ],
    ),
    Edit("portable bfloat16: ties go up", FLOATS, [("0x7FFF + (bits >> 16 & 1)", "0x8000")]),
    Edit(
        "portable bfloat16: NaN overflows",
        FLOATS,
        [("return (uint16_t)(bits >> 16 | 0x0040);", ";")],
        equivalent="every NaN that comes there is of a bfloat16 number, of a small float or of an operation: quiet, "
        "with sixteen low bits of 0, which rounding leaves as they are",
    ),
    Edit(
        "values: NaN of fnuz is positive",
        VALUES,
        [("return fq_float_of(0xFFC00000);", "return fq_float_of(0x7FC00000);")],
    ),
    Edit("values: infinity is NaN", VALUES, [("? 0x7F800000u : 0x7FC00000u", "? 0x7FC00000u : 0x7FC00000u")]),
    Edit(
        "values: largest is off by one",
        VALUES,
        [("if ((int32_t)code <= f->largest) {", "if ((int32_t)code < f->largest) {")],
    ),
    # ---- ranges to parameters ----
    Edit(
        "qparams rounds half up",
        PARAMETERS,
        [("(zero + 6755399441055744.0) - 6755399441055744.0", "floor(zero + 0.5)")],
    ),
    Edit("qparams: zero point from the rounded scale", PARAMETERS, [("lo / step;", "lo / (double)(float)step;")]),
    Edit("qparams: subnormal scale", PARAMETERS, [("step < (double)FLT_MIN", "step < 0.0")]),
    Edit("qparams: infinite scale", PARAMETERS, [("wide |= !(scale[i] <= FLT_MAX);", "wide |= 0;", 3)]),
    Edit("qparams: zero not included", PARAMETERS, [("(double)lo[i] < 0.0 ? (double)lo[i] : 0.0", "(double)lo[i]")]),
    Edit("qparams: zero point beyond int32", PARAMETERS, [("zero <= 2147483647.0", "zero <= 2147483648.0")]),
    Edit("qparams: middle of unsigned codes", PARAMETERS, [("(s->highest + 1.0) / 2.0", "s->highest / 2.0")]),
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
        "portable: multiply by the reciprocal",
        PORTABLE,
        [("y[j] = (x[j] - minus) / scale", "y[j] = (x[j] - minus) * (1 / scale)")],
    ),
    Edit(
        "portable: offset divided by itself",
        PORTABLE,
        [("y[j] = (x[j] - minus) / scale", "y[j] = x[j] / scale - minus / scale")],
    ),
    Edit(
        "portable columns: scales not advanced",
        PORTABLE,
        [("scales[j] = (<const real_t *> t.scales)[", "scales[j] = (<const real_t *> t.scales)[0 * ")],
    ),
    Edit(
        "portable columns: zero points not advanced",
        PORTABLE,
        [("p.zero_points[j] = t.zero_points[", "p.zero_points[j] = t.zero_points[0 * ")],
    ),
    Edit(
        "portable columns: offsets not advanced",
        PORTABLE,
        [
            (
                "minuses[j] = pluses[j] = (<const real_t *> t.offsets)[",
                "minuses[j] = pluses[j] = (<const real_t *> t.offsets)[0 * ",
            )
        ],
    ),
    Edit("portable rows: scales not advanced", PORTABLE, [("t.scales)[r * t.scale_step]", "t.scales)[0]", 2)]),
    Edit(
        "portable rows: zero points not advanced",
        PORTABLE,
        [("t.zero_points[r * t.zero_point_step]", "t.zero_points[0]")],
    ),
    Edit("far zero points through float32", PORTABLE, [("if real_t is float and not far:", "if real_t is float:")]),
    Edit("chunks of one size", PORTABLE, [("min(<ptrdiff_t> CHUNK, t.n - at)", "<ptrdiff_t> CHUNK", 3)]),
    Edit("portable: NaN not noticed", PORTABLE, [("if total[j] != total[j]:", "if False:")]),
    Edit("portable: columns' NaN not summed", PORTABLE, [("poison[j] = poison[j] + x[j]", "poison[j] = poison[j]")]),
    Edit(
        "portable: range without its last chain",
        PORTABLE,
        [("for j in range(CHAINS):\n        lo[0]", "for j in range(CHAINS - 1):\n        lo[0]")],
    ),
    Edit("portable: range without its rest", PORTABLE, [("extent_columns(x + i, n - i, low, high, total)", "pass")]),
    Edit(
        "portable: floats always saturate",
        PORTABLE,
        [("fq_float_code(y[j], f, beyond)", "fq_float_code(y[j], f, False)")],
    ),
    Edit(
        "portable: float64 to float codes by float32",
        PORTABLE,
        [("fq_float_code(fq_odd_f32(y[j]), f, beyond)", "fq_float_code(<float> y[j], f, beyond)")],
    ),
    Edit("portable: upper bits of small codes", PORTABLE, [("n, (1 << fq_code_types[code].bits) - 1)", "n, 255)")]),
    Edit("portable: small codes not extended", PORTABLE, [("sign = 1 << (fq_code_types[code].bits - 1)", "sign = 0")]),
    Edit("portable: neighbours in packed bytes", PORTABLE, [("mask = (1 << bits) - 1, place", "mask = 255, place", 2)]),
    Edit("precision: x not rounded", PORTABLE, [("v = rounded(x[j], t.precision)", "v = x[j]")]),
    # ---- the walk over layouts ----
    Edit("swapped arrays read as they are", WALK, [("if side.swapped or side.stored", "if side.stored")]),
    Edit("strided arrays read as contiguous", WALK, [("steps[w.ndim - 1] != side.size and", "False and")]),
    Edit(
        "merged by the output alone",
        WALK,
        [("if w.src_step[i] != w.src_step[i + 1] * n or w.dst_step[i]", "if w.dst_step[i]")],
    ),
    Edit("merged by the input alone", WALK, [(" or w.dst_step[i] != w.dst_step[i + 1] * n:", ":")]),
    Edit("merged whatever the parameters", WALK, [("return w.param[i] == 0\n", "return True\n")]),
    Edit("odometer: input not set back", WALK, [("src_at -= w.src_step[k] * w.length[k]", "pass")]),
    Edit("odometer: output not set back", WALK, [("dst_at -= w.dst_step[k] * w.length[k]", "pass")]),
    Edit("odometer: parameters not set back", WALK, [("at -= w.param[k] * w.length[k]", "pass")]),
    Edit("odometer: parameters not advanced", WALK, [("at += w.param[k]\n", "pass\n")]),
    Edit("grids: a row's parameters for all", WALK, [("if w.param[a] != 0 and w.param[b] != 0:", "if False:")]),
    Edit(
        "single zero point advanced",
        WALK,
        [("t.zero_point_step = step * s.full_zero_points", "t.zero_point_step = step")],
    ),
    Edit("offsets not advanced", WALK, [("at * s.full_offsets * s.parameter_size", "0")]),
    Edit("tiles of one row: parameters not advanced", WALK, [("at + r * w.param[b], j,", "at, j,")]),
    Edit(
        "ranges by column at the wrong step",
        WALK,
        [("tile.lo != NULL and w.param[a] > 1:", "tile.lo != NULL and False:")],
    ),
    Edit("ranges: the first row's place for all", WALK, [("t.extent_step = w.param[b]", "t.extent_step = 0")]),
    Edit("range: -0 stays", PARAMETERS, [("lo[i] += 0;", "lo[i] += -(real)0;")]),
    Edit("range: NaN not noticed", PARAMETERS, [("wrong |= !(poison[i] == poison[i]);", "wrong |= 0;")]),
    Edit("range: infinity not noticed", PARAMETERS, [(" | !(hi[i] < (real)INFINITY)", "")]),
    # ---- quantize_dynamic in one pass ----
    Edit("fused: NaN not told", WALK, [("d.failed = True", "pass")]),
    Edit(
        "fused: scales that do not fit",
        WALK,
        [("d.zero_points + k, wide + k) != FQ_RANGE_OK:", "d.zero_points + k, wide + k) == 99:")],
    ),
    Edit("fused: float64 scales left out", WALK, [("wide[i] = scales[i]", "pass")]),
    Edit("fused: groups share parameters", WALK, [("index = at + r * step", "index = at")]),
    Edit("fused: rows that share a range", WALK, [("if w.param[k] == 0 and w.length[k] != 1:", "if False:")]),
    Edit(
        "fused: blocks that end within a byte",
        ENTRY,
        [("if block % each != 0:\n            return NOT_BY_ROWS", "if False:\n            return NOT_BY_ROWS")],
    ),
    # ---- entry points ----
    Edit(
        "blocks: the last one has the first one's parameters", ENTRY, [("first = end // block * p[axis]", "first = 0")]
    ),
    Edit("blocks: the last one left out", ENTRY, [("if part == 1 and (block == 0 or", "if part == 1 and (True or")]),
    Edit("packed: rows of any stride", ENTRY, [("axis) * side.each", "axis)")]),
    Edit("packed: ends of rows forgotten", ENTRY, [("keep = each > 1 and axis == ndim - 1", "keep = False")]),
    Edit("far zero points in lanes", ENTRY, [("(0) if s.tile.far else", "(1) if s.tile.far else")]),
    Edit("far zero point in lanes, plain", PLAIN, [("(0) if far else", "(1) if far else")]),
    Edit("precision: always float16", ENTRY, [('"bfloat16": FQ_bf16', '"bfloat16": FQ_f16')]),
    Edit(
        "saturate=False not passed on",
        ENTRY,
        [(".tile.beyond = beyond\n    set_rule", ".tile.beyond = False\n    set_rule")],
    ),
    Edit("GIL never released", PLAIN, [("if t.n < RELEASE_GIL_FROM:", "if True:")]),
    Edit("changed arrays not noticed", ENTRY, [("if cnp.PyArray_DIM(other, axis) != n:", "if False:")]),
    Edit("scale not checked", PLAIN, [("plain = 0 < p.scale < INFINITY and", "plain =")]),
    Edit(
        "offset beside a zero point, plain",
        PLAIN,
        [("plain = p.zero_point == 0 and read_number(", "plain = read_number(")],
    ),
    Edit("infinite offset, plain", PLAIN, [("and -INFINITY < p.offset < INFINITY", "")]),
    Edit(
        "float codes with a zero point, plain",
        PLAIN,
        [("(p.zero_point == 0 or not fq_code_types[code].is_float)", "True")],
    ),
    Edit(
        "scales not checked",
        KERNELS,
        [("if fq_are_scales_f32(<const float *> a, n) if single", "if True if single")],
    ),
    Edit("zero point wraps", PLAIN, [("return overflow == 0 and v == value[0]", "return overflow == 0")]),
    Edit("overlap not checked", PLAIN, [("return (a + cnp.PyArray_NBYTES(<cnp.ndarray> out) <= b", "return (True")]),
    Edit("overlap of different types allowed", PLAIN, [("a == b and type_number == cnp.PyArray_TYPE(like)", "a == b")]),
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
    Edit("range: nothing has one", CALLS, [("finite and cnp.PyArray_SIZE(x) > 0", "finite")]),
    Edit(
        "quantize_dynamic without zero",
        CALLS,
        [("narrow_range, True) and find_extent", "narrow_range, False) and find_extent")],
    ),
    Edit("narrow_range ignored", PARAMETERS, [(".lowest + (narrow_range != 0);", ".lowest;")]),
    Edit("asymmetric float codes, plain", PARAMETERS, [("return symmetric && !narrow_range;", "return 1;")]),
    Edit("float codes scaled as unsigned, plain", PARAMETERS, [("s->lowest = -s->highest;", "s->lowest = 0;")]),
    # ---- arguments that change, or run code, while they are read ----
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
    Edit(
        "fake_quantize with another type's zero point",
        CALLS,
        [
            (
                "if code_of_zero_point(zero_point) not in (-1, code):\n            code = -1  #",
                "if False:\n            code = -1  #",
            )
        ],
    ),
]
