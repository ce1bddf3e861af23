"""Edits of sabotage.py: rows and columns that share parameters, small floats in lanes, copies, DLPack, plain calls."""

from __future__ import annotations

from sabotage_files import COPY, DLPACK, GRANULAR, PLAIN_GRID, SPANS, Edit

EDITS = [
    # ---- parameters of many rows or columns ----
    Edit("a limit above int32", SPANS, [("b->limit = 0x1p30f * smallest;", "b->limit = 0x1p34f * smallest;")]),
    Edit("one limit for scales of any ratio", SPANS, [("largest / smallest <= 0x1p20f", "1")]),
    Edit(
        "reciprocal's rest rounded twice",
        SPANS,
        [("vf_div(vf_fnma(recip, scale, one), scale)", "vf_mul(vf_fnma(recip, scale, one), recip)")],
    ),
    Edit("short rows: the first set for all", SPANS, [("    if (c->left == 0)\n", "    if (0)\n")]),
    Edit("short rows back: the first set for all", SPANS, [("if (!columns && i < blocks)", "if (0)")]),
    Edit("wide rows: the first columns again", SPANS, [("t->in_step + first * from / each_in;", "t->in_step;")]),
    Edit(
        "shared columns: phase forgotten",
        SPANS,
        [("part.phase = ((size_t)t->phase + first) % (size_t)t->run;", "part.phase = 0;")],
    ),
    Edit(
        "shared columns: each its own",
        SPANS,
        [("part.set = ((size_t)t->phase + first) / (size_t)t->run;", "part.set = first;")],
    ),
    Edit("uneven zero points taken for even ones", SPANS, [("b->uneven = low != high;", "b->uneven = 0;")]),
    Edit("streaming: packed input from within a byte", SPANS, [("(misfit == 0 || head % each == 0)", "1")]),
    # ---- small floats ----
    Edit(
        "small floats: not limited",
        SPANS,
        [("lane_divided(vf_limited_magnitude(l->last, v), l, how)", "lane_divided(vf_magnitude(v), l, how)")],
    ),
    Edit("small floats: limit in the unit of quotients", SPANS, [("? vf_mul(last, scale) : last;", "? last : last;")]),
    Edit("small floats: NaN is usual", SPANS, [("!(c->slow | has_nan(x, real))", "!c->slow")]),
    Edit(
        "small floats: nothing is usual by the other zero",
        SPANS,
        [("!(c->slow | has_nan(x, real))", "!has_nan(x, real)")],
    ),
    Edit(
        "small floats: NaN in the first half",
        SPANS,
        [("for (size_t k = 0; k < 4; k++)\n            any |=", "for (size_t k = 0; k < 2; k++)\n            any |=")],
    ),
    Edit(
        "small floats: the rare block is not done",
        SPANS,
        [
            (
                "        if (i < end) {\n            quantize_small_float_block",
                "        if (0) {\n            quantize_small_float_block",
            )
        ],
    ),
    Edit("small floats back: rare values are lost", SPANS, [("        rare_values(q, values, c);\n", "")]),
    Edit("small floats: nothing beyond the largest", SPANS, [("if (c.above > f->largest)", "if (0)")]),
    Edit(
        "small floats: -0 where there is none",
        SPANS,
        [("c.not_zero = f->zero_sign ? 256 : (int)f->sign;", "c.not_zero = 256;")],
    ),
    Edit(
        "small floats: quotient keeps its sign",
        SPANS,
        [("vf_limited_magnitude(l->last, b->sign_of[k])", "vf_at_most(l->last, b->sign_of[k])")],
    ),
    # ---- copies ----
    Edit("swapped halves copied", COPY, [("(uint16_t)(v << 8 | v >> 8)", "v")]),
    Edit("swapped words copied", COPY, [("v << 24 | (v & 0xFF00) << 8 | (v >> 8 & 0xFF00) | v >> 24", "v")]),
    Edit(
        "swapped doubles: halves in place",
        COPY,
        [
            (
                "fq_swap_32((uint32_t)v) << 32 | fq_swap_32((uint32_t)(v >> 32))",
                "fq_swap_32((uint32_t)(v >> 32)) << 32 | fq_swap_32((uint32_t)v)",
            )
        ],
    ),
    # ---- DLPack ----
    Edit("DLPack: byte_offset forgotten", DLPACK, [("<char *> t.data + t.byte_offset", "<char *> t.data")]),
    Edit("DLPack: any device", DLPACK, [("if t.device_type != DL_CPU:", "if False:")]),
    Edit("DLPack: capsule read twice", DLPACK, [('PyCapsule_SetName(capsule, "used_dltensor")', "pass")]),
    Edit("DLPack: strides in bytes", DLPACK, [("t.strides[i] * dtype.itemsize", "t.strides[i]")]),
    # ---- plain calls ----
    Edit(
        "plain: any shape of parameters",
        GRANULAR,
        [("if not (is_for(scale, g) and is_for(zero_point, g) and is_for(offset, g)):", "if False:")],
    ),
    Edit(
        "plain: float codes with zero points",
        GRANULAR,
        [("or all_zero(p.zero_points, g.sets)", "or True")],
    ),
    Edit(
        "plain: scales not checked",
        GRANULAR,
        [("if scales else fq_are_finite_f32", "if scales and n == 1 else fq_are_finite_f32")],
    ),
    Edit(
        "plain: parameters overwritten",
        GRANULAR,
        [("not all_apart(out, scale, zero_point, offset, None)", "False")],
    ),
    Edit(
        "plain: axis beyond the last", PLAIN_GRID, [("if not -ndim <= index < ndim:", "if not -ndim <= index <= ndim:")]
    ),
    Edit(
        "plain: no block for the rest",
        PLAIN_GRID,
        [("(shape[i] + g.block - 1) // g.block if i == cut", "shape[i] // g.block if i == cut")],
    ),
]
