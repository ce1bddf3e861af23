"""Choosing a target: fq.cpu, FASTQUANT_CPU, and the tables behind them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from values import BITS, FLOAT_TYPES, REAL_TYPES

import fastquant as fq
from fastquant import _kernels

BEST = fq.cpu.available()[-1]
LANES = fq.cpu.available()[1:]


def test_portable_is_always_there():
    assert fq.cpu.available()[0] == "portable"
    assert len(set(fq.cpu.available())) == len(fq.cpu.available())


def test_use_nests_and_restores():
    before = fq.cpu.active()
    with fq.cpu.use("portable"):
        assert fq.cpu.active() == "portable"
        with fq.cpu.use(BEST):
            assert fq.cpu.active() == BEST
        assert fq.cpu.active() == "portable"
        with fq.cpu.use("portable"):
            assert fq.cpu.active() == "portable"
        assert fq.cpu.active() == "portable"
    assert fq.cpu.active() == before


def test_use_restores_after_an_exception():
    before = fq.cpu.active()
    with pytest.raises(KeyError), fq.cpu.use("portable"):
        raise KeyError
    assert fq.cpu.active() == before


def test_use_holds_in_all_threads():
    seen = []
    with fq.cpu.use("portable"):
        thread = threading.Thread(target=lambda: seen.append(fq.cpu.active()))
        thread.start()
        thread.join()
    assert seen == ["portable"]


@pytest.mark.parametrize("name", ["avx9000", "", "AVX2", "portable "])
def test_unknown_target(name):
    before = fq.cpu.active()
    with pytest.raises(ValueError, match=f"^target: got '{name}', expected one of portable"), fq.cpu.use(name):
        pass
    assert fq.cpu.active() == before


@pytest.mark.parametrize("name", [None, 2, b"portable"])
def test_target_of_a_wrong_kind(name):
    with pytest.raises(TypeError, match=f"^target: got {type(name).__name__}"), fq.cpu.use(name):
        pass


def in_a_new_process(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name != "FASTQUANT_CPU"}
    return subprocess.run(
        [sys.executable, "-P", "-c", code], env={**kept, **environment}, capture_output=True, text=True, check=False
    )


SHOW = "import fastquant as fq; print(fq.cpu.active(), *fq.cpu.available())"


@pytest.mark.parametrize("name", fq.cpu.available())
def test_environment_variable(name):
    result = in_a_new_process(SHOW, FASTQUANT_CPU=name)
    assert result.stdout.split() == [name, *fq.cpu.available()], result.stderr


def test_without_the_environment_variable_the_best_is_used():
    for environment in ({}, {"FASTQUANT_CPU": ""}):
        result = in_a_new_process(SHOW, **environment)
        assert result.stdout.split() == [BEST, *fq.cpu.available()], result.stderr


@pytest.mark.parametrize("name", ["sse5", "Portable", "avx2,portable"])
def test_unknown_name_in_the_environment(name):
    result = in_a_new_process(SHOW, FASTQUANT_CPU=name)
    assert result.returncode != 0
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith(f"ValueError: FASTQUANT_CPU: got '{name}', expected one of portable"), last


# ---- the tables ----


# Per real type and code type; per real type; per type of packed codes.
OF_CODES = ("quantize", "dequantize", "fake_quantize")
PACKED = [name for name, bits in BITS.items() if bits in (2, 4)]
ROWS = {
    *((op, real, code) for op in OF_CODES for real in REAL_TYPES for code in BITS),
    *(("dequantize", real, "int32") for real in REAL_TYPES),
    *(("minmax", real, "int8") for real in REAL_TYPES),
}
ROWS |= {(f"{op}_columns", real, code) for op, real, code in ROWS}
ROWS |= {(op, "float32", code) for op in ("pack", "unpack") for code in PACKED}
ROWS |= {("signs", real, "int8") for real in REAL_TYPES}

@pytest.mark.parametrize("name", fq.cpu.available())
def test_tables_are_complete(name):
    rows = _kernels.spans(name)
    assert set(rows) == ROWS
    assert all(address for address, _ in rows.values())


@pytest.mark.parametrize("name", LANES)
def test_lane_targets_have_bodies_of_their_own(name):
    portable = _kernels.spans("portable")
    rows = _kernels.spans(name)
    assert {row for row, (_, own) in rows.items() if not own} == set()
    for row, (address, own) in rows.items():
        assert own is (address != portable[row][0]), row


@pytest.mark.parametrize("name", LANES)
def test_which_rows_share_a_body(name):
    """Types that are converted alike do; no others, nor do real types and kernels."""
    alike = [
        *(("int8",), ("uint8",), ("int16",), ("uint16",), ("int32",)),
        *(("int4", "uint4", "int2", "uint2"), tuple(FLOAT_TYPES)),
    ]
    rows = {row: address for row, (address, own) in _kernels.spans(name).items() if own}
    bodies: dict[int, list[tuple[str, str, str]]] = {}
    for row, address in rows.items():
        bodies.setdefault(address, []).append(row)
    for shared in bodies.values():
        assert len({(op, real) for op, real, _ in shared}) == 1, shared
        op, codes = shared[0][0], {code for _, _, code in shared}
        if op.startswith(("quantize", "dequantize")):
            assert any(codes <= set(kind) for kind in alike), shared


def test_the_option_for_required_targets():
    """A run that names a target which is not here ends at once, with a message and a status of its own."""
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--require-targets",
            "portable,none-such",
            __file__,
            "-k",
            "portable_is_always",
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=os.path.dirname(__file__),
    )
    assert result.returncode == pytest.ExitCode.USAGE_ERROR
    assert "none-such" in result.stderr + result.stdout


def test_targets_agree_on_a_large_array():
    x = np.random.default_rng(9).standard_normal(1_000_001).astype(np.float32)
    results = []
    for name in fq.cpu.available():
        with fq.cpu.use(name):
            results.append((fq.quantize(x, 0.03).tobytes(), fq.fake_quantize(x, 0.03).tobytes(), fq.minmax(x)))
    assert all(result == results[0] for result in results)


def test_a_source_tree_says_that_it_is_one(tmp_path):
    """Python started in a clone finds the package without its kernels."""
    package = tmp_path / "fastquant"
    package.mkdir()
    source = os.path.join(os.path.dirname(fq.__file__), "__init__.py")
    with open(source) as file:
        (package / "__init__.py").write_text(file.read())
    result = subprocess.run(
        [sys.executable, "-S", "-c", "import fastquant"], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert result.returncode == 1
    assert f"no compiled kernels in {package}: this is a source tree" in result.stderr
