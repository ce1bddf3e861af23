"""Edits of sabotage.py: what native code calls, and what it is protected from."""

from __future__ import annotations

from sabotage_files import Edit

NATIVE = "fastquant/src/native.c"

EDITS = [
    Edit("native: scales not checked", NATIVE, [("            return BAD_SCALE;", "            ;")]),
    Edit(
        "native: only the first scale",
        NATIVE,
        [("for (ptrdiff_t i = 0; i < sets; i++) {", "for (ptrdiff_t i = 0; i < 1; i++) {")],
    ),
    Edit(
        "native: sets of columns",
        NATIVE,
        [("    if (!is_columns(op))\n        return t->rows;", "    return t->rows;")],
    ),
    Edit("native: phase of columns", NATIVE, [("((size_t)t->phase + (size_t)t->n - 1)", "((size_t)t->n - 1)")]),
    Edit("native: offsets not checked", NATIVE, [("            return BAD_OFFSET;", "            ;")]),
    Edit("native: zero points of float codes", NATIVE, [("if (is_float && zero_point != 0)", "if (0)")]),
    Edit(
        "native: far zero points in lanes",
        NATIVE,
        [("(t.far ? fq_target_table(0) : fq_active_table())", "(fq_active_table())")],
    ),
    Edit("native: misaligned input", NATIVE, [("if (!is_aligned(t->in,", "if (0 && !is_aligned(t->in,")]),
    Edit("native: misaligned output", NATIVE, [("if (!ranges && !is_aligned(t->out,", "if (0 && !is_aligned(t->out,")]),
    Edit("native: misaligned scales", NATIVE, [("!is_aligned(t->scales, 0, size) ||", "")]),
    Edit("native: misaligned offsets", NATIVE, [("|| !is_aligned(t->offsets, 0, size)", "")]),
    Edit("native: misaligned zero points", NATIVE, [("|| !is_aligned(t->zero_points, 0, sizeof *t->zero_points)", "")]),
    Edit("native: misaligned ranges", NATIVE, [("if (ranges) {\n        const", "if (0) {\n        const")]),
    Edit("native: limits of kernels without codes", NATIVE, [("t->code = t->limited = 0;", "t->code = 0;")]),
    Edit("native: nowhere to write", NATIVE, [("if (scale == NULL || zero_point == NULL)", "if (0)")]),
    Edit(
        "native: written in spite of an error",
        NATIVE,
        [("    if (status == FQ_RANGE_OK) {\n", "    *scale = found_scale;\n    if (status == FQ_RANGE_OK) {\n")],
    ),
    Edit("native: no arrays", NATIVE, [("        return BAD_ARRAY;", "        ;")]),
    Edit("native: any rule", NATIVE, [("    if (t->rule >= FQ_RULE_COUNT)\n        return NO_RULE;\n", "")]),
    Edit("native: any limits", NATIVE, [("        return BAD_LIMITS;", "        ;")]),
    Edit("native: any packing", NATIVE, [("        return BAD_PACKS;", "        ;")]),
    Edit("native: any phase", NATIVE, [("        return BAD_COLUMNS;", "        ;")]),
    Edit("native: members of a later header", NATIVE, [("bytes < sizeof t ? bytes : sizeof t", "bytes")]),
    Edit("native: int32 codes are made", NATIVE, [("|| fq_portable_spans[kernel][t->real][t->code] == NULL", "")]),
    Edit(
        "native: ranges that are none", NATIVE, [("if (!(lo <= hi) || !isfinite(lo) || !isfinite(hi))", "if (lo > hi)")]
    ),
    Edit(
        "native: the wrong error of a range",
        NATIVE,
        [("status == FQ_RANGE_TOO_WIDE ? NO_SCALE : NO_ZERO_POINT", "NO_SCALE")],
    ),
]
