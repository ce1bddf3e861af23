"""The quotients that lane bodies compute without dividing give the codes of a true division: see numerics.h and
c/division.c.

Every significand of scale is tried at the inputs that can fail. The floats around every tie, which assume less, are
tried for every 61st significand (8 bits) and every 40001st (16 bits); with FASTQUANT_TEST_FULL=1 for all 2**23 and for
every 401st (a minute or two).
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
from c_flags import ARITHMETIC
from values import FLOAT_TYPES

import fastquant
from fastquant import _kernels, cpu

SIGNIFICANDS = 1 << 23
FULL = os.environ.get("FASTQUANT_TEST_FULL") == "1"
HEADERS = Path(fastquant.__file__).parent / "src"
SOURCES = Path(__file__).parents[1] / "fastquant" / "src"  # which installed packages do not have
EXPONENTS = [-126, -110, -101, -100, -99, -1, 1, 99, 100, 101, 118]
ROWS = {name: row for row, (name, *_) in enumerate(_kernels.code_types())}


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    compiler = shutil.which((sysconfig.get_config_var("CC") or "cc").split()[0]) or shutil.which("cc")
    if compiler is None or os.name == "nt":
        pytest.skip("no C compiler")
    library = tmp_path_factory.mktemp("division") / "division.so"
    source = Path(__file__).parent / "c" / "division.c"
    flags = ["-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC"]
    flags += [*ARITHMETIC, f"-I{HEADERS}", f"-I{SOURCES}"]
    command = [compiler, *flags, "-march=native", str(source), "-o", str(library), "-lm"]
    if subprocess.run(command, capture_output=True).returncode:
        command.remove("-march=native")
        subprocess.run(command, check=True)
    found = ctypes.CDLL(str(library))
    span = [ctypes.c_void_p, ctypes.c_int]
    some = [ctypes.c_long] * 3
    found.count_differences.argtypes = [*span, *some, ctypes.c_int]
    found.count_hard_differences.argtypes = [*span, *some, ctypes.c_int, ctypes.POINTER(ctypes.c_longlong)]
    found.count_float_differences.argtypes = found.count_differences.argtypes
    found.two_products_fail.argtypes = some
    numbers = ctypes.POINTER(ctypes.c_int32)
    found.hard_float_significands.argtypes = [numbers, ctypes.c_int, ctypes.POINTER(ctypes.c_int)]
    found.one_product_fails.argtypes = [numbers, ctypes.c_int]
    found.count_hard_float_differences.argtypes = [*span, numbers, ctypes.c_int, ctypes.c_int]
    for name in ("count_differences", "count_hard_differences", "two_products_fail"):
        getattr(found, name).restype = ctypes.c_longlong
    for name in ("count_float_differences", "count_hard_float_differences"):
        getattr(found, name).restype = ctypes.c_longlong
    return found


def span_of(target: str, code: str) -> tuple[int, int]:
    span, _ = _kernels.spans(target)["quantize", "float32", code]
    return span, ROWS[code]


def around_ties(library: ctypes.CDLL, target: str, code: str, step: int, exponent: int) -> int:
    parts = 2 * (os.cpu_count() or 1)
    bounds = [SIGNIFICANDS * i // parts for i in range(parts + 1)]
    span = span_of(target, code)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = itertools.pairwise(bounds)
        return sum(pool.map(lambda b: library.count_differences(*span, *b, step, exponent), jobs))


@pytest.mark.parametrize("code", ["uint8", "uint16", "int16"])
@pytest.mark.parametrize("target", cpu.available())
def test_hard_inputs_of_every_significand(library, target, code):
    tried = ctypes.c_longlong()
    assert library.count_hard_differences(*span_of(target, code), 0, SIGNIFICANDS, 1, 0, tried) == 0
    assert tried.value == (1_925_288 if code.endswith("16") else 11_400)


@pytest.mark.parametrize("exponent", EXPONENTS)
@pytest.mark.parametrize("code", ["uint8", "uint16", "int16"])
@pytest.mark.parametrize("target", cpu.available())
def test_hard_inputs_at_other_exponents(library, target, code, exponent):
    tried = ctypes.c_longlong()
    assert library.count_hard_differences(*span_of(target, code), 0, SIGNIFICANDS, 61, exponent, tried) == 0
    assert tried.value > 100


def test_hard_inputs_are_hard(library):
    """Found by trying all inputs around all ties, which takes 22 minutes: two products fail for 1647 significands."""
    assert library.two_products_fail(0, SIGNIFICANDS, 1) == 1647


@pytest.mark.parametrize("target", cpu.available())
def test_every_tie_of_every_significand(library, target):
    assert around_ties(library, target, "uint8", 1 if FULL else 61, 0) == 0


@pytest.mark.parametrize("code", ["uint16", "int16"])
@pytest.mark.parametrize("target", cpu.available())
def test_every_tie_of_16_bits(library, target, code):
    assert around_ties(library, target, code, 401 if FULL else 40_001, 0) == 0


@pytest.mark.parametrize("exponent", EXPONENTS)
@pytest.mark.parametrize("target", cpu.available())
def test_ties_at_other_exponents(library, target, exponent):
    """2**-100 and 2**100 are where the lane bodies begin to divide; 511.5 * 2**119 is infinite."""
    assert around_ties(library, target, "uint8", 9973, exponent) == 0
    assert around_ties(library, target, "uint16", 400_009, min(exponent, 110)) == 0  # without NaN beyond infinity


# ---- float codes: ties of levels below 16, times a power of two in each binade ----


@pytest.fixture(scope="module")
def hard_significands(library):
    """All that have hard inputs at such ties, 182 of them to a binade: as arguments for the library."""
    found, inputs = (ctypes.c_int32 * 1000)(), ctypes.c_int()
    n = library.hard_float_significands(found, len(found), inputs)
    assert (n, inputs.value) == (86, 182)
    return found, n


@pytest.mark.parametrize("exponent", [0, *EXPONENTS])
@pytest.mark.parametrize("code", FLOAT_TYPES)
@pytest.mark.parametrize("target", cpu.available())
def test_hard_inputs_of_float_codes(library, hard_significands, target, code, exponent):
    assert library.count_hard_float_differences(*span_of(target, code), *hard_significands, exponent) == 0


def test_hard_inputs_of_float_codes_are_hard(library, hard_significands):
    assert library.one_product_fails(*hard_significands) == 37


@pytest.mark.parametrize("code", FLOAT_TYPES)
@pytest.mark.parametrize("target", cpu.available())
def test_every_tie_of_float_codes(library, target, code):
    span, step = span_of(target, code), 61 if FULL else 10_007
    assert library.count_float_differences(*span, 0, SIGNIFICANDS, step, 0) == 0


@pytest.mark.parametrize("exponent", EXPONENTS)
@pytest.mark.parametrize("code", FLOAT_TYPES)
@pytest.mark.parametrize("target", cpu.available())
def test_ties_of_float_codes_at_other_exponents(library, target, code, exponent):
    assert library.count_float_differences(*span_of(target, code), 0, SIGNIFICANDS, 40_009, exponent) == 0
