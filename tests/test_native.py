"""Native code that calls the kernels: a C and a Cython module, built against the package that is installed, and run."""

from __future__ import annotations

import ctypes
import importlib.util
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from values import ALL_CODES, FLOAT_TYPES, REAL_TYPES, assert_same, real_dtype

import fastquant as fq
from fastquant import _kernels, _rules

pytest.importorskip("Cython")
pytest.importorskip("setuptools")

SOURCES = Path(__file__).parent / "native"
BUILD = """
import sys, fastquant
from Cython.Build import cythonize
from setuptools import Extension, setup
source = sys.argv.pop(1)
name = source.split(".")[0]
module = Extension(name, [source], include_dirs=[fastquant.get_include()], libraries=sys.argv.pop(1).split(","))
setup(name=name, ext_modules=cythonize([module]), script_args=["-q", "build_ext", "--inplace"])
"""


def built(source: str, folder: Path, libraries: str = "m") -> Any:
    shutil.copy(SOURCES / source, folder)
    package = str(Path(fq.__file__).parent.parent)
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", BUILD, source, libraries], cwd=folder, env=environment, capture_output=True, text=True
    )
    if done.returncode and re.search(r"Python\.h: No such file|command '[^']*' failed: No such file", done.stderr):
        pytest.skip("no C compiler, or no headers of Python")
    assert done.returncode == 0, done.stderr[-3000:]
    (library,) = [p for p in folder.iterdir() if p.suffix in (".so", ".pyd")]
    spec = importlib.util.spec_from_file_location(source.split(".")[0], library)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def c(tmp_path_factory):
    if sys.platform == "win32":
        pytest.skip("it uses POSIX threads")
    return built("c_client.c", tmp_path_factory.mktemp("c"), "m,pthread")


@pytest.fixture(scope="module")
def cy(tmp_path_factory):
    return built("cython_client.pyx", tmp_path_factory.mktemp("cython"))


def test_c(c, target):
    """In threads of its own, without the lock."""
    x = np.random.default_rng(0).normal(size=(8, 10_001)).astype(np.float32)
    scales = np.linspace(0.01, 0.2, 8).astype(np.float32)
    zero_points = np.array([0, 1, -2, 300, -100_000, 100_000, 2, 3], np.int32)
    q = np.zeros(x.shape, np.int8)
    c.quantize(x, scales, zero_points, q)
    assert_same(q, fq.quantize(x, scales, zero_points, axis=0, dtype="int8"))
    before = q.copy()
    with pytest.raises(ValueError, match="scales: expected finite numbers > 0"):
        c.quantize(x, -scales, zero_points, q)
    assert_same(q, before)


def test_the_table(cy):
    version, size, of_header = cy.version()
    assert (version, of_header) == (1, 1)
    assert size == 8 + 7 * np.dtype(np.uintp).itemsize
    for number, name in enumerate(_kernels.rules()):
        assert cy.number("rule", name) == number
    for number, (name, *_) in enumerate(_kernels.code_types()):
        assert cy.number("code", name) == number
    for number, (name, _) in enumerate(_kernels.real_types()):
        assert cy.number("real", name) == number
    assert {cy.number(kind, "nonsense") for kind in ("kernel", "real", "code", "rule")} == {-1}
    assert cy.message(0) == "no error"
    assert cy.message(-1) == cy.message(1000) == "an unknown error"
    assert len({cy.message(i) for i in range(17)}) == 17


def tile(cy, x: np.ndarray, out: np.ndarray, real: str, code: str, **more: Any) -> dict[str, Any]:
    return {
        "in": x.ctypes.data, "out": out.ctypes.data, "rows": x.shape[0], "n": x.shape[1], "in_step": x.strides[0],
        "out_step": out.strides[0], "real": cy.number("real", real), "code": cy.number("code", code), **more,
    }  # fmt: skip


@pytest.mark.parametrize("real", REAL_TYPES)
def test_rows_and_columns(cy, real, target):
    rng = np.random.default_rng(1)
    x = rng.normal(0, 3, (5, 77)).astype(real_dtype(real))
    arithmetic = np.float64 if real == "float64" else np.float32
    for kernel, n, axis in (("", 5, 0), ("_columns", 77, 1)):
        scales = rng.uniform(0.01, 1, n).astype(arithmetic)
        for code in ALL_CODES:
            zero_points = np.zeros(n, np.int32) if code in FLOAT_TYPES else rng.integers(-5, 99_999, n, np.int32)
            sets = {
                "scales": scales.ctypes.data, "zero_points": zero_points.ctypes.data, "scale_step": 1,
                "zero_point_step": 1,
            }  # fmt: skip
            q = np.zeros(x.shape, real_dtype(code))
            y = np.zeros_like(x)
            assert cy.run(cy.number("kernel", "quantize" + kernel), **tile(cy, x, q, real, code, **sets)) == 0
            assert_same(q, fq.quantize(x, scales, zero_points, dtype=code, axis=axis))
            assert cy.run(cy.number("kernel", "dequantize" + kernel), **tile(cy, q, y, real, code, **sets)) == 0
            assert_same(y, fq.dequantize(q, scales, zero_points, dtype=real, axis=axis))
            assert cy.run(cy.number("kernel", "fake_quantize" + kernel), **tile(cy, x, y, real, code, **sets)) == 0
            assert_same(y, fq.fake_quantize(x, scales, zero_points, dtype=code, axis=axis))


def test_other_kernels(cy, target):
    x = np.random.default_rng(2).normal(size=(4, 33)).astype(np.float32)
    lo, hi, poison = np.full(4, np.inf, np.float32), np.full(4, -np.inf, np.float32), np.zeros(4, np.float32)
    found = {"lo": lo.ctypes.data, "hi": hi.ctypes.data, "poison": poison.ctypes.data, "extent_step": 1}
    assert cy.run(cy.number("kernel", "minmax"), **tile(cy, x, x, "float32", "int8", **found)) == 0
    assert_same(lo, fq.minmax(x, axis=0).lo)
    assert_same(hi, fq.minmax(x, axis=0).hi)
    bits = np.zeros((4, 5), np.uint8)
    assert cy.run(cy.number("kernel", "signs"), **tile(cy, x, bits, "float32", "int8")) == 0
    assert_same(bits, _rules.signs(x))
    q = fq.quantize(x, 0.2, dtype="int4")
    p, again = np.zeros((4, 17), np.uint8), np.zeros_like(q)
    assert cy.run(cy.number("kernel", "pack"), **tile(cy, q, p, "float32", "int4")) == 0
    assert_same(p, fq.pack(q))
    unpacked = tile(cy, p, again, "float32", "int4", n=33)
    assert cy.run(cy.number("kernel", "unpack"), **unpacked) == 0
    assert_same(again, q)


@pytest.fixture
def call(cy):
    """A call that is fine, as the errors below change it."""
    x, q = np.ones((3, 40), np.float32), np.full((3, 40), 7, np.int8)
    scales, zero_points = np.full(40, 0.5, np.float32), np.zeros(40, np.int32)
    extent = np.zeros(40, np.float32)
    members = tile(cy, x, q, "float32", "int8", scales=scales.ctypes.data, zero_points=zero_points.ctypes.data)

    def change(kernel: str, **changes: Any) -> tuple[str, np.ndarray]:
        number = cy.number("kernel", kernel) if isinstance(kernel, str) else kernel
        for name, value in changes.items():
            if isinstance(value, np.ndarray):
                kept.append(value)
                changes[name] = value.ctypes.data
        return cy.message(cy.run(number, **{**members, **changes})), q

    kept: list[Any] = [x, q, scales, zero_points, extent]
    return change


def test_doubles_are_aligned_as_c_aligns_them(cy, call):
    """Which on 32-bit x86 is less than their size: NumPy's arrays and the members of structures may be so there."""
    unit = ctypes.alignment(ctypes.c_double)
    memory = np.zeros(4096, np.uint8)
    start = -memory.ctypes.data % 64

    def doubles(at: int, shape: tuple[int, ...], value: float) -> np.ndarray:
        size = 8 * math.prod(shape)
        there = memory[start + at : start + at + size].view(np.float64).reshape(shape)
        there[:] = value
        return there

    x, scale = doubles(unit, (3, 40), 1), doubles(1024 + unit, (1,), 0.5)
    wide = {"real": cy.number("real", "float64"), "in_step": x.strides[0]}
    message, q = call("quantize", **{"in": x, "scales": scale, **wide})
    assert message == "no error"
    assert (q == 2).all()
    for wrong in ({"in": doubles(unit // 2, (3, 40), 1)}, {"scales": doubles(1024 + unit // 2, (1,), 0.5)}):
        assert call("quantize", **{"in": x, "scales": scale, **wide, **wrong})[0].startswith(MISALIGNED)


def test_packed_rules_limits_and_far_zero_points(cy, call):
    assert call("quantize")[0] == "no error"
    assert (call("quantize")[1] == 2).all()
    assert (call("quantize", zero_points=np.int32([-100_000]))[1] == -128).all()
    assert (call("quantize", limited=1, lowest=-1, highest=1)[1] == 1).all()
    assert (call("quantize", rule=cy.number("rule", "multiply"), scales=np.float32([7]))[1] == 7).all()
    assert (call("quantize", offsets=np.float32([-0.5]))[1] == 3).all()
    assert (call("quantize_columns", run=50, phase=3, scale_step=1)[1] == 2).all()
    packed = call("quantize", code=cy.number("code", "int4"), packs=2, out_step=40)[1]
    assert packed.view(np.uint8)[0, :21].tolist() == [0x22] * 20 + [2]
    assert call("quantize", rows=0)[0] == call("quantize", n=0)[0] == "no error"
    assert call("quantize", **{"in": 0, "n": 0})[0] == "no error"
    assert call("minmax", limited=1, lowest=5, highest=4, **RANGES)[0] == "no error"  # which minmax does not read


def misaligned(dtype: Any) -> np.ndarray:
    memory = np.zeros(33, np.uint8)
    return memory[1:].view(dtype)


LAST = np.float32([1, 1, -1])
MISALIGNED = "in, out, parameters, ranges: expected arrays and steps aligned"
RANGES = {"lo": np.zeros(3, np.float32), "hi": np.zeros(3, np.float32), "poison": np.zeros(3, np.float32)}


@pytest.mark.parametrize(
    ("kernel", "changes", "message"),
    [
        (-1, {}, "kernel:"),
        (1000, {}, "kernel:"),
        ("quantize", {"real": 99}, "real, code"),
        ("quantize", {"code": 99}, "real, code"),
        ("quantize", {"code": "int32"}, "real, code"),
        ("quantize", {"precision": 99}, "real, code, precision"),
        ("quantize", {"precision": 1}, "real, code, precision"),
        ("quantize", {"rule": 99}, "rule:"),
        ("dequantize", {"rule": 1, "code": "int8"}, "rule:"),
        ("fake_quantize", {"rule": 2}, "rule:"),
        ("quantize", {"rule": 2, "code": "float8_e5m2"}, "rule:"),
        ("quantize", {"bytes": 8}, "bytes, rows, n"),
        ("quantize", {"rows": -1}, "bytes, rows, n"),
        ("quantize", {"n": -1}, "bytes, rows, n"),
        ("quantize", {"in": 0}, "in, out"),
        ("quantize", {"out": 0}, "in, out"),
        ("minmax", {}, "in, out, lo, hi, poison"),
        ("quantize", {"in_step": 2}, MISALIGNED),
        ("fake_quantize", {"out_step": 2}, MISALIGNED),
        ("quantize", {"scales": misaligned(np.float32)}, MISALIGNED),
        ("quantize", {"offsets": misaligned(np.float32)}, MISALIGNED),
        ("quantize", {"zero_points": misaligned(np.int32)}, MISALIGNED),
        ("minmax", {**RANGES, "lo": misaligned(np.float32)}, MISALIGNED),
        ("minmax", {**RANGES, "hi": misaligned(np.float32)}, MISALIGNED),
        ("minmax", {**RANGES, "poison": misaligned(np.float32)}, MISALIGNED),
        ("quantize", {"packs": 2}, "packs"),
        ("quantize", {"packs": 4, "code": "int4"}, "packs"),
        ("fake_quantize", {"packs": 2, "code": "int4"}, "packs"),
        ("quantize_columns", {"run": -1}, "run, phase"),
        ("quantize_columns", {"run": 4, "phase": 4}, "run, phase"),
        ("quantize_columns", {"phase": -1}, "run, phase"),
        ("quantize", {"scales": 0}, "scales, zero_points"),
        ("quantize", {"zero_points": 0}, "scales, zero_points"),
        ("quantize", {"scales": np.float32([0])}, "scales: expected"),
        ("quantize", {"scales": np.float32([1, 1, np.nan]), "scale_step": 1}, "scales: expected"),
        ("quantize_columns", {"scales": np.float32([1] * 9 + [np.inf]), "scale_step": 1, "run": 4}, "scales: expected"),
        ("quantize_columns", {"scales": LAST, "scale_step": 1, "run": 20, "phase": 1}, "scales: expected"),
        ("quantize", {"offsets": np.float32([1, np.inf, 1]), "offset_step": 1}, "offsets: expected"),
        ("quantize", {"code": "float8_e5m2", "zero_points": np.int32([1])}, "zero_points: expected"),
        ("quantize", {"limited": 1, "lowest": 5, "highest": 4}, "lowest, highest"),
        ("quantize", {"limited": 1, "lowest": -129, "highest": 4}, "lowest, highest"),
        ("quantize", {"limited": 1, "lowest": 0, "highest": 128}, "lowest, highest"),
        ("quantize", {"limited": 1, "code": "float8_e5m2"}, "lowest, highest"),
    ],
)  # fmt: skip
def test_errors_write_nothing(cy, call, kernel, changes, message):
    changes = {k: cy.number("code", v) if k == "code" and isinstance(v, str) else v for k, v in changes.items()}
    if "precision" in changes and changes["precision"] == 1:
        changes["real"] = cy.number("real", "float64")
    got, q = call(kernel, **changes)
    assert got.startswith(message), got
    assert (q == 7).all()


def test_tiles_of_later_headers_and_of_earlier_ones(call):
    """What is beyond the members that are known is not read; what an older header lacks is 0."""
    assert call("quantize", bytes=10_000)[0] == "no error"


def test_qparams(cy):
    for code in ALL_CODES:
        number = cy.number("code", code)
        for symmetric in (True, False):
            for narrow in (True, False):
                for zero in (True, False):
                    error, scale, zero_point = cy.qparams(1.5, 7.25, number, symmetric, narrow, zero)
                    how = {"symmetric": symmetric, "narrow_range": narrow, "include_zero": zero}
                    if code in FLOAT_TYPES and (narrow or not symmetric):
                        assert cy.message(error).startswith("lo, hi: expected")
                    else:
                        assert (error, scale, zero_point) == (0, *map(float, fq.qparams(1.5, 7.25, code, **how)))
    int8 = cy.number("code", "int8")
    for lo, hi, code, zero, message in [
        (np.nan, 1, int8, True, "lo, hi: expected finite"),
        (0, np.inf, int8, True, "lo, hi: expected finite"),
        (2, 1, int8, True, "lo, hi: expected finite"),
        (-1e300, 1e300, int8, True, "no float32 scale"),
        (1e30, 1e30 * (1 + 1e-12), int8, False, "no int32 zero point"),
        (0, 1, cy.number("code", "int32"), True, "real, code"),
    ]:
        error, *written = cy.qparams(lo, hi, code, False, False, zero)
        assert message in cy.message(error)
        assert written == [-1, -1]
    assert [cy.message(e).split(":")[0] for e in cy.qparams_nowhere(0, 1, int8)] == ["scales, zero_points"] * 2


def test_the_header_compiles_without_python_and_as_cplusplus(tmp_path):
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    source = "#include <fastquant.h>\nint f(void) { return sizeof(fastquant_tile) > sizeof(fastquant_api); }\n"
    for compiler, name, flags in (("cc", "a.c", ["-std=c11", "-pedantic"]), ("c++", "a.cpp", ["-std=c++17"])):
        if shutil.which(compiler) is None:
            continue
        (tmp_path / name).write_text(source)
        command = [compiler, "-Wall", "-Wextra", "-Werror", *flags, f"-I{fq.get_include()}", "-c", name]
        subprocess.run(command, cwd=tmp_path, check=True)
