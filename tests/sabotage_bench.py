"""Edits of sabotage.py: the loop that benchmarks hold the kernels against. One that did less would flatter nobody."""

from __future__ import annotations

from sabotage_files import Edit

BARE = "fastquant/src/bare.inc.h"
PARTS = "fastquant/_bare.pxi"

EDITS = [
    Edit("bare: the first of several vectors", BARE, [("v = vb_or(v, vb_load(in + k * sizeof(vb)));", ";")]),
    Edit("bare: one store for all", BARE, [("k < stores; k++", "k < (stores > 0); k++")]),
    Edit("bare: what goes to no output", BARE, [("            rest = vb_or(rest, v);\n", "            rest = v;\n")]),
    Edit("bare: the last bytes in", BARE, [("k < e.in_left; k++", "k + 1 < e.in_left; k++")]),
    Edit("bare: the last bytes out", BARE, [("    memset(e.out, 0, e.out_left);\n", "")]),
    Edit("bare: the head twice", BARE, [("        e.out_left -= head;\n", "")]),
    Edit("bare: more rounds than there is output", BARE, [("stores > 0 && rounds > e->out_left / to", "0")]),
    Edit("bare: parts that all read the first", PARTS, [("b.src + src_start", "b.src")]),
    Edit("bare: parts that all write the first", PARTS, [("b.dst + dst_start", "b.dst")]),
    Edit("bare: what parts have left", PARTS, [("        b.rest[0] |= b.rest[part]\n", "        pass\n")]),
]
