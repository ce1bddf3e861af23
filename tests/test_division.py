"""The quotient that lane bodies compute without dividing gives the codes of a true division: see numerics.h.

By default every 61st significand of scale is tried; with FASTQUANT_TEST_FULL=1 all 2**23 of them (under a minute).
"""

from __future__ import annotations

import ctypes
import itertools
import os
import shutil
import subprocess
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import fastquant
from fastquant import _kernels, cpu

SIGNIFICANDS = 1 << 23
FULL = os.environ.get("FASTQUANT_TEST_FULL") == "1"
HEADERS = Path(fastquant.__file__).parent / "src"


@pytest.fixture(scope="module")
def count_differences(tmp_path_factory):
    compiler = shutil.which((sysconfig.get_config_var("CC") or "cc").split()[0]) or shutil.which("cc")
    if compiler is None or os.name == "nt":
        pytest.skip("no C compiler")
    library = tmp_path_factory.mktemp("division") / "division.so"
    source = Path(__file__).parent / "c" / "division.c"
    flags = ["-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC", f"-I{HEADERS}"]
    command = [compiler, *flags, "-march=native", str(source), "-o", str(library), "-lm"]
    if subprocess.run(command, capture_output=True).returncode:
        command.remove("-march=native")
        subprocess.run(command, check=True)
    function = ctypes.CDLL(str(library)).count_differences
    function.restype = ctypes.c_longlong
    function.argtypes = [ctypes.c_void_p, ctypes.c_long, ctypes.c_long, ctypes.c_long, ctypes.c_int]

    def count(target: str, step: int, exponent: int) -> int:
        span, _ = _kernels.spans(target)["quantize", "float32", "uint8"]
        parts = 2 * (os.cpu_count() or 1)
        bounds = [SIGNIFICANDS * i // parts for i in range(parts + 1)]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            jobs = itertools.pairwise(bounds)
            return sum(pool.map(lambda b: function(span, b[0], b[1], step, exponent), jobs))

    return count


@pytest.mark.parametrize("target", cpu.available())
def test_every_tie_of_every_significand(count_differences, target):
    assert count_differences(target, 1 if FULL else 61, 0) == 0


@pytest.mark.parametrize("exponent", [-126, -110, -101, -100, -99, -1, 1, 99, 100, 101, 118])
@pytest.mark.parametrize("target", cpu.available())
def test_ties_at_other_exponents(count_differences, target, exponent):
    """2**-100 and 2**100 are where the lane bodies begin to divide; 511.5 * 2**119 is infinite."""
    assert count_differences(target, 9973, exponent) == 0
