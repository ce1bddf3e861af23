"""What the lists of edits are made of: edits, and the files that they are in."""

from __future__ import annotations

from typing import NamedTuple


class Edit(NamedTuple):
    name: str
    file: str  # or a pattern, for what moves between files: one of those that match it has all the texts
    pairs: list[tuple[str, str] | tuple[str, str, int]]
    equivalent: str = ""  # why no test can see it, where that has been shown


LANES = "fastquant/src/lanes_avx2.h"
AVX512 = "fastquant/src/lanes_avx512.h"
NEON = "fastquant/src/lanes_neon.h"
SPANS = "fastquant/src/*.inc.h"
NUMERICS = "fastquant/src/numerics.h"
PARAMETERS = "fastquant/src/numerics.c"
FLOATS = "fastquant/src/floats.h"
VALUES = "fastquant/src/floats.c"
FPENV = "fastquant/src/fpenv.h"
PORTABLE = "fastquant/_portable*.pxi"
WALK = "fastquant/_walk.pxi"
ENTRY = "fastquant/_[gkr]*.p??"
KERNELS = "fastquant/_kernels.pyx"
PLAIN = "fastquant/_plain.pxi"
CALLS = "fastquant/_calls.pxi"
GRANULAR = "fastquant/_granular.pxi"
PLAIN_GRID = "fastquant/_grid.pxi"
COPY = "fastquant/src/copy.h"
DLPACK = "fastquant/_dlpack.pxi"
OUTPUT = "fastquant/_output.py"
ARGUMENTS = "fastquant/_arguments.py"
GRID = "fastquant/_grid.py"
RANGES = "fastquant/_ranges.py"
API = "fastquant/_api.py"
CPU = "fastquant/cpu.py"
REUSE = "fastquant/src/reuse.c"
MEMORY = "fastquant/_memory.p*"
ONNX = "fastquant/onnx.py"
