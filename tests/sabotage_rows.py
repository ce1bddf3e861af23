"""Edits of sabotage.py: short rows and small codes, many at a time; calls of several axes, offsets, other layouts."""

from __future__ import annotations

from sabotage_files import ENTRY, GRANULAR, LANES, PARAMETERS, PLAIN_GRID, SPANS, WALK, Edit

EDITS = [
    # ---- ranges of short rows ----
    Edit("short rows: highest of the first vector", SPANS, [("h = vf_max(h, v);", "")]),
    Edit("short rows: NaN not seen", SPANS, [("if (vf_any_nan(sum, sum))", "if (0)")]),
    Edit(
        "short rows: NaN of the first vector",
        SPANS,
        [("h = vf_max(h, v);\n            sum = vf_add(sum, v);", "h = vf_max(h, v);")],
    ),
    Edit(
        "short rows: what was found before",
        SPANS,
        [("vf_min(vf_load(lo), vf_lowest_lanes(low))", "vf_lowest_lanes(low)")],
    ),
    Edit("short rows: that share a range", SPANS, [(" && t->extent_step == 1;", ";")]),
    Edit("short rows: of any length", SPANS, [("t->n % LANES == 0 && t->n > 0", "t->n >= LANES")]),
    Edit("short rows: one skipped", SPANS, [("r += LANES - 1;", "r += LANES;")]),
    Edit("short rows: others after a NaN", SPANS, [("long_until = r + LANES;", "long_until = t->rows; r++;")]),
    Edit(
        "lanes: lower half twice",
        LANES,
        [
            (
                "op(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31))",
                "op(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x20))",
            )
        ],
    ),
    Edit("lanes: pairs in the wrong order", LANES, [("name##_pair(v[2], v[3])", "name##_pair(v[3], v[2])")]),
    # ---- small floats ----
    Edit("small floats: steps of another type", SPANS, [("c.weight = 1 << (7 - f->mantissa);", "c.weight = 1 << 4;")]),
    Edit(
        "small floats: NaN of the last vectors",
        LANES,
        [("b = _mm256_cmp_ps(v[2], v[3], _CMP_UNORD_Q)", "b = a")],
    ),
    Edit(
        "small floats: 0x80 is usual",
        SPANS,
        [("c.values.rare = f->nan == 0x80 ? 0x80 : 0x7F;", "c.values.rare = 0x7F;")],
    ),
    Edit(
        "small floats: last number before NaN",
        LANES,
        [("f->upper ? f->upper : f->last + 1", "f->upper ? f->upper : f->last + 2")],
    ),
    Edit("small floats: upper binade is usual", LANES, [("f->upper ? f->upper : f->last + 1", "f->last + 1")]),
    Edit(
        "small floats: upper NaN",
        LANES,
        [("_mm256_or_si256(subnormal, nan)", "subnormal")],
    ),
    Edit("small floats: upper sign", LANES, [("0x80000000u | (unsigned)f->magnitude", "(unsigned)f->magnitude")]),
    Edit(
        "small floats: tiny scales times a power",
        SPANS,
        [("vf_lowest_lane(low) >= FQ_SMALLEST_DIVISOR && ", "")],
        equivalent="the power is a power of two greater than 1, and a scale, however small, times that is exact",
    ),
    Edit("small floats: huge scales times a power", SPANS, [(" && vf_highest_lane(high) <= FQ_LARGEST_DIVISOR", "")]),
    Edit("small floats: power twice", SPANS, [("else if (how != FQ_ONE_PRODUCT || real == FQ_f64)", "else")]),
    Edit(
        "small floats: power left out of fake_quantize",
        SPANS,
        [("how == FQ_GENERAL ? FQ_GENERAL : FQ_TWO_PRODUCTS", "FQ_ONE_PRODUCT")],
    ),
    Edit(
        "small floats: sign of the padding", LANES, [("_mm_cvtsi32_si128(f->up - f->pad)", "_mm_cvtsi32_si128(f->up)")]
    ),
    # ---- packed and small integers ----
    Edit("blocks of a row not counted", SPANS, [("    c->left--;\n", "")]),
    Edit("lines: NaN too", SPANS, [("        if (!usual)\n            break;\n", "")]),
    Edit(
        "lines: third block twice",
        LANES,
        [("v_pack_4_twice(codes[2], codes[3])", "v_pack_4_twice(codes[2], codes[2])")],
    ),
    Edit("lines: halves not crossed", LANES, [("_mm256_permute4x64_epi64(halves, 0xD8)", "halves")]),
    Edit(
        "packed: 4 bits in halves",
        LANES,
        [("_mm256_extracti128_si256(bytes, 1)), stream)", "_mm256_castsi256_si128(bytes)), stream)")],
    ),
    Edit(
        "packed: 2 bits, odd groups",
        LANES,
        [("_mm_slli_epi32(_mm256_extracti128_si256(fours, 1), 8)", "_mm256_extracti128_si256(fours, 1)")],
    ),
    Edit("pack: in order", SPANS, [("vb_as_narrowed(vb_load(codes + i))", "vb_load(codes + i)")]),
    Edit("pack: the rest in order", SPANS, [("vb_as_narrowed(vb_load(from))", "vb_load(from)")]),
    Edit(
        "small integers: sign not extended",
        LANES,
        [("_mm256_sub_epi8(_mm256_xor_si256(", "_mm256_add_epi8(_mm256_xor_si256(")],
    ),
    Edit(
        "small integers: upper bits written",
        SPANS,
        [("kind == SMALL_INTEGERS ? vb_mask(codes, c->mask) : codes", "codes")],
    ),
    Edit(
        "columns: zero points of the first",
        SPANS,
        [("const int uneven = real == FQ_f64 || p->batch->uneven;", "const int uneven = real == FQ_f64;")],
    ),
    Edit("side by side: quantize the first row only", SPANS, [("r < n; r++, x +=", "r < 1; r++, x +=")]),
    Edit(
        "side by side: the first of some rows for each",
        SPANS,
        [("r++, rows.in += rows.in_step, rows.out += rows.out_step)", "r++, rows.out += rows.out_step)")],
    ),
    Edit("side by side: one row", SPANS, [("? SIDE_BY_SIDE : 1;", "? 1 : 1;"), ("r += together", "r += SIDE_BY_SIDE")]),
    Edit(
        "side by side: beyond the last row",
        SPANS,
        [("n = together < t->rows - r ? together : t->rows - r;", "n = together;")],
    ),
    Edit(
        "streaming: the overlapping end at any address",
        SPANS,
        [
            (
                "stream && !buffered && ((uintptr_t)(rows.out + first * to / each_out) & (STREAM_BYTES - 1)) == 0;",
                "stream && !buffered;",
            )
        ],
    ),
    Edit(
        "streaming: rows at any address",
        SPANS,
        [("row_bytes) & (STREAM_BYTES - 1)", "row_bytes) & 0")],
        equivalent="a streamed row begins and ends with usual stores, so that the bytes are the same: only slower",
    ),
    Edit("side by side: the first row's input", SPANS, [("rows.in + (ptrdiff_t)r * rows.in_step", "rows.in")]),
    Edit("side by side: the first row's rest", SPANS, [("piece.in += rows.in_step, ", "")]),
    Edit("side by side: in place", SPANS, [(" && rows.in != rows.out && ", " && ")]),
    Edit("32 each: the first set for all", SPANS, [("block = p->set + j / 32 + k * LANES / 32;", "block = p->set;")]),
    Edit(
        "32 each: sets of whole blocks",
        SPANS,
        [("block = p->set + j / 32 + k * LANES / 32;", "block = p->set + j / BLOCK;")],
    ),
    Edit("32 each: wherever rows are", SPANS, [("t->in_step == (op == FQ_quantize ? reals : codes) && ", "1 && ")]),
    Edit("batches: one value is the first of several", SPANS, [("(to)[i_] = *(from);", "(to)[i_] = (from)[i_ > 0];")]),
    # ---- parameters ----
    Edit("scales: 0", PARAMETERS, [("bits - 1 < 0x7F7FFFFFu", "bits < 0x7F800000u")]),
    Edit("scales: infinity", PARAMETERS, [("bits - 1 < 0x7F7FFFFFu", "bits - 1 < 0x7F800000u")]),
    Edit("scales: 0, float64", PARAMETERS, [("bits - 1 < 0x7FEFFFFFFFFFFFFFu", "bits < 0x7FF0000000000000u")]),
    Edit("offsets: infinity", PARAMETERS, [("bits << 1 < 0xFF000000u", "bits << 1 <= 0xFF000000u")]),
    Edit(
        "offsets: infinity, float64",
        PARAMETERS,
        [("bits << 1 < 0xFFE0000000000000u", "bits << 1 <= 0xFFE0000000000000u")],
    ),
    Edit("qparams: a zero range", PARAMETERS, [("return range == 0.0 ? 1.0 : step;", "return step;")]),
    Edit("fused: parameters as if they followed", WALK, [("n = rows if step == 1 else 1", "n = rows")]),
    Edit(
        "plain: offsets not passed on",
        ENTRY,
        [("s.tile.offsets, s.full_offsets = p.offsets.data, p.offsets.full", "pass")],
    ),
    Edit(
        "plain: offset beside zero points",
        GRANULAR,
        [
            (
                "plain = not (fq_code_types[code].is_float or p.has_offsets and not both) or",
                "plain = not fq_code_types[code].is_float or",
            )
        ],
    ),
    Edit(
        "plain: offset beside a zero point",
        GRANULAR,
        [
            (
                "p.zero_point == 0 or not (fq_code_types[code].is_float or p.has_offsets and not both)",
                "p.zero_point == 0 or not fq_code_types[code].is_float",
            )
        ],
    ),
    Edit("plain: integers that do not saturate", GRANULAR, [(" or beyond and not fq_code_types[code].is_float", "")]),
    Edit("plain: saturate=False", GRANULAR, [("w.stage[0].tile.beyond = beyond", "w.stage[0].tile.beyond = False")]),
    # ---- several axes ----
    Edit("plain: an axis twice", PLAIN_GRID, [("if cut[k] == cut[i]:", "if False:")]),
    Edit(
        "plain: axes in the array's order",
        PLAIN_GRID,
        [("for i in range(rank - 1, -1, -1):\n        g.length", "for i in range(rank):\n        g.length")],
    ),
    Edit(
        "plain: several axes with blocks",
        PLAIN_GRID,
        [("return block_size is None and read_axes(g, axis)", "return read_axes(g, axis)")],
    ),
    # ---- out ----
    Edit("out: behind the first element", GRANULAR, [("if way < 0:", "if False:")]),
    Edit("out: the same memory in any order", GRANULAR, [("if same and is_plain(src) and", "if same and")]),
    Edit("out: the last element", GRANULAR, [("    high[0] += <size_t> cnp.PyArray_ITEMSIZE(a)\n", "")]),
    Edit(
        "out: packed, in another order",
        GRANULAR,
        [("if packed and not PyArray_ISCARRAY(<cnp.ndarray> out) or not", "if not")],
    ),
    Edit("out: read-only", GRANULAR, [("and cnp.PyArray_ISWRITEABLE(<cnp.ndarray> out) and", "and")]),
    Edit(
        "out: x in another order",
        GRANULAR,
        [
            (
                "return out if same and is_plain(src) and PyArray_ISCARRAY(<cnp.ndarray> out) else None",
                "return out if same else None",
            )
        ],
    ),
    # ---- requantize, pack, unpack ----
    Edit(
        "requantize: the old parameters twice",
        GRANULAR,
        [("FQ_quantize, FQ_f32, code, 1), &new)", "FQ_quantize, FQ_f32, code, 1), &old)")],
    ),
    Edit(
        "requantize: parameters overwritten",
        GRANULAR,
        [("not all_apart(out, scale, zero_point, new_scale, new_zero_point)", "False")],
    ),
    Edit(
        "unpack, plain: any shape",
        GRANULAR,
        [("if lengths[i] < 0 or n != cnp.PyArray_DIM(<cnp.ndarray> p, i):", "if False:")],
    ),
    Edit("unpack: bytes that are apart", GRANULAR, [("cnp.PyArray_STRIDE(<cnp.ndarray> p, ndim - 1) != 1:", "False:")]),
    Edit(
        "pack: codes of 8 bits",
        GRANULAR,
        [
            (
                "if code < 0 or fq_code_types[code].bits not in (4, 2) or cnp.PyArray_NDIM",
                "if code < 0 or cnp.PyArray_NDIM",
            )
        ],
    ),
]
