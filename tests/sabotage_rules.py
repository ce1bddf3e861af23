"""Edits of sabotage.py: the rounding rules of other libraries, limits, and arithmetic in another type."""

from __future__ import annotations

from sabotage_files import ENTRY, LANES, PORTABLE, SPANS, WALK, Edit

RULES = "fastquant/_rules.py"

EDITS = [
    # ---- lanes ----
    Edit("rules: floor is nearest", LANES, [("_MM_FROUND_TO_NEG_INF", "_MM_FROUND_TO_NEAREST_INT")]),
    Edit(
        "rules: floor forgotten by lanes",
        SPANS,
        [("vf_floor(vf_div(vf_add(c->minus_offset, x), c->scale))", "vf_div(vf_add(c->minus_offset, x), c->scale)")],
    ),
    Edit("rules: shift subtracted", SPANS, [("shift = shift && how == FQ_MULTIPLIED;", "shift = 0;")]),
    Edit("rules: shift of every rule", SPANS, [("b->shift = t->rule == FQ_multiply_shift;", "b->shift = 1;")]),
    Edit("rules: limits of bytes", SPANS, [("|| how == FQ_MULTIPLIED || how == FQ_FLOORED)", ")")]),
    Edit("rules: small floats too", SPANS, [("real == FQ_f32 && kind != SMALL_FLOATS; }", "kind != SMALL_FLOATS; }")]),
    Edit("rules: floor of lanes divides", SPANS, [("t->rule == FQ_floor)", "0)")]),
    Edit(
        "rules: limits left to lanes",
        SPANS,
        [("return t->limited || t->precision != FQ_f32;", "return t->precision != FQ_f32;")],
    ),
    Edit(
        "rules: precision left to lanes",
        SPANS,
        [("return !has_rules(op, real, kind) || t->precision != FQ_f32;", "return !has_rules(op, real, kind);")],
    ),
    # ---- portable ----
    Edit("rules: portable shift", PORTABLE, [("return x * scale + plus", "return x * scale")]),
    Edit("rules: portable offset", PORTABLE, [("return (x - minus) * scale", "return x * scale")]),
    Edit("rules: portable floor", PORTABLE, [("floorf((x - minus) / scale) if", "((x - minus) / scale) if")]),
    Edit(
        "rules: portable floor of float64", PORTABLE, [("else floor((x - minus) / scale)", "else (x - minus) / scale")]
    ),
    Edit(
        "rules: product not rounded",
        PORTABLE,
        [("rounded(rounded(v * scale, t.precision) + plus, t.precision)", "rounded(v * scale + plus, t.precision)")],
    ),
    Edit("rules: lowest code", PORTABLE, [("t.lowest if t.limited else fq", "fq")]),
    Edit("rules: highest code", PORTABLE, [("t.highest if t.limited else fq", "fq")]),
    Edit(
        "rules: dequantize of half types multiplies",
        PORTABLE,
        [("level / scale if t.rule == FQ_multiply else level * scale", "level * scale")],
    ),
    Edit("rules: dequantize multiplies", PORTABLE, [("elif t.rule != FQ_divide:", "elif False:")]),
    Edit(
        "rules: dequantize adds no offset",
        PORTABLE,
        [("- <double> zero_point) / scale + plus", "- <double> zero_point) / scale")],
    ),
    Edit(
        "rules: codes not rounded",
        PORTABLE,
        [("rounded(rounded(<float> codes[j], t.precision) -", "rounded(<float> codes[j] -")],
    ),
    Edit(
        "rules: levels not rounded",
        PORTABLE,
        [
            (
                "level = rounded(rounded(<float> codes[j], t.precision) - <float> zero_point, t.precision)",
                "level = rounded(<float> codes[j], t.precision) - <float> zero_point",
            )
        ],
    ),
    Edit(
        "rules: zero points of columns",
        PORTABLE,
        [("(<double> codes[j] - <double> z[j]) / scales", "<double> codes[j] / scales")],
    ),
    # ---- arithmetic in float64 ----
    Edit(
        "wide: rest of a buffer",
        WALK,
        [
            (
                "widen_reals(w.src.stored, stage, w.scratch.src, rows * n)",
                "widen_reals(w.src.stored, stage, w.scratch.src, n)",
            )
        ],
    ),
    Edit("wide: one chunk", WALK, [("wide[i + j] = v[j]", "wide[j] = v[j]")]),
    Edit(
        "wide: the buffer is too small",
        WALK,
        [("max(w.src.worked, w.dst.worked)) // width", "max(w.src.size, w.dst.size)) // width")],
    ),
    Edit(
        "wide: result of the first row",
        WALK,
        [
            (
                "narrow_reals(w.scratch.dst, w.scratch.between, rows * n)",
                "narrow_reals(w.scratch.dst, w.scratch.between, n)",
            )
        ],
    ),
    # ---- two stages, limits ----
    Edit(
        "back: the multiplier again",
        ENTRY,
        [
            (
                "open_stage(&w, FQ_dequantize, real, code, 1), second, &g)",
                "open_stage(&w, FQ_dequantize, real, code, 1), first, &g)",
            )
        ],
    ),
    Edit(
        "rules: kernels that are not there, plain",
        ENTRY,
        [("    if ruled != NULL and real >= 0 and code >= 0:\n        check_rule(op, real, code, ruled)\n", "")],
    ),
    Edit(
        "rules: kernels that are not there", ENTRY, [("    check_rule(op, real, code, &ruled)\n    cdef", "    cdef")]
    ),
    Edit("back: limits that are not there", ENTRY, [("    check_rule(FQ_quantize, real, code, &ruled)\n", "")]),
    Edit(
        "rules: parameters rounded as the caller has it",
        RULES,
        [("_kernels.under_defaults(_read, scale,", "_read(scale,")],
    ),
    Edit("back: by division", ENTRY, [('read_rule("multiply", limits, None)', 'read_rule("divide", limits, None)')]),
    Edit(
        "limits: taken for those of the type",
        ENTRY,
        [("(t.lowest != fq_code_types[t.code].lowest or t.highest", "(t.highest")],
    ),
    Edit(
        "rules: offsets beside zero points are not plain",
        ENTRY,
        [("&g, arithmetic, code, ruled != NULL)", "&g, arithmetic, code, False)")],
    ),
    Edit(
        "rules: plain calls in the type of x",
        ENTRY,
        [("ruled != NULL and ruled.precision == FQ_f64 else real", "False else real")],
    ),
    Edit(
        "rules: plain calls by division",
        ENTRY,
        [("            set_rule(&w.stage[0].tile, ruled)", "            pass")],
    ),
    Edit("rules: arithmetic of the input", RULES, [('if precision == "float64" else', "if False else")]),
    Edit("rules: not kept apart", RULES, [("tuple(target.keep_apart(p) for p in read)", "read")]),
]
