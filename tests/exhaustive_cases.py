"""What `exhaustive.py` and test_exhaustive_oracle.py try: for each code type, real type and pair of a scale and a zero
point, every kernel on every target against the oracle.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from oracle import Oracle, unsigned
from values import real_dtype

import fastquant as fq

# By hand, as the README has them: what is left out of the kernels' list would be left out of a list made from it.
LIMITS = {
    "int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767), "uint16": (0, 65535),
    "int4": (-8, 7), "uint4": (0, 15), "int2": (-2, 1), "uint2": (0, 3), "int32": (-(2**31), 2**31 - 1),
}  # fmt: skip
FLOATS = (
    "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float6_e2m3fn", "float6_e3m2fn",
    "float4_e2m1fn",
)  # fmt: skip
PACKS = {"int4": 2, "uint4": 2, "float4_e2m1fn": 2, "int2": 4, "uint2": 4}
CODES = (*(name for name in LIMITS if name != "int32"), *FLOATS)
FROM = ("float32", "float16", "bfloat16")  # float64 has too many
TO = (*FROM, "float64")

QUANTIZE, FAKE, DEQUANTIZE = "quantize", "fake_quantize", "dequantize"
BEYOND, PACKED = ", saturate=False", ", packed=True"
KERNELS = (QUANTIZE, QUANTIZE + BEYOND, QUANTIZE + PACKED, FAKE, FAKE + BEYOND, DEQUANTIZE, DEQUANTIZE + PACKED)

# A scale, and the zero point for a type's limits. Of float codes all zero points are 0.
PAIRS: tuple[tuple[float, Callable[[int, int], int]], ...] = (
    (5 * 2.0**-149, lambda lowest, highest: 0),  # subnormal
    (2.0**-9 * (2 - 2.0**-23), lambda lowest, highest: lowest + 1),  # a significand of all ones
    (1.0, lambda lowest, highest: 0),  # of float codes: a cast
    (float(np.float32(2.0**126 * 1.7)), lambda lowest, highest: -3),  # huge: only the largest reals are not 0
    (float(np.float32(0.1)), lambda lowest, highest: highest),
    (float(np.float32(10 / 127)), lambda lowest, highest: (lowest + highest + 1) // 2),
    (float(np.float32(0.37)), lambda lowest, highest: 1_000_003),  # far outside of the codes
)
BLOCK = 1 << 17  # inputs of a call: with the results they fit into a usual second-level cache


class Case(NamedTuple):
    """Some kernels of which one expected result serves several: those that read reals, or those that read codes."""

    source: str  # the type of the inputs, all of whose bit patterns are tried
    code: str
    real: str
    pair: int
    saturate: bool = True

    @property
    def patterns(self) -> int:
        return 1 << 8 * unsigned(self.source).itemsize

    @property
    def parameters(self) -> tuple[float, int]:
        scale, zero_point = PAIRS[self.pair]
        return scale, 0 if self.code in FLOATS else zero_point(*LIMITS[self.code])

    @property
    def kernels(self) -> tuple[str, ...]:
        if self.source == self.code:
            return (DEQUANTIZE, DEQUANTIZE + PACKED) if self.code in PACKS else (DEQUANTIZE,)
        if not self.saturate:
            return (QUANTIZE + BEYOND, FAKE + BEYOND)
        return (QUANTIZE, FAKE, QUANTIZE + PACKED) if self.code in PACKS else (QUANTIZE, FAKE)


def cases() -> Iterator[Case]:
    for code in (*CODES, "int32"):
        for pair in range(len(PAIRS)):
            for real in TO:
                yield Case(code, code, real, pair)
            for real in FROM if code != "int32" else ():
                for saturate in (True, False) if code in FLOATS else (True,):
                    yield Case(real, code, real, pair, saturate)


class Found(NamedTuple):
    """Mismatches of one kernel on one target, and the first of them in words."""

    wrong: int
    first: str


def _expected(case: Case, oracle: Oracle, x: np.ndarray) -> dict[str, np.ndarray]:
    scale, zero_point = case.parameters
    code, real = case.code, case.real
    if case.source == code:
        result = {DEQUANTIZE: oracle.dequantize(x, scale, zero_point, code, real)}
        if code in PACKS:
            # Each byte of x is several codes: packed, they are x again.
            bits = 8 // PACKS[code]
            codes = (x[:, None] >> np.arange(0, 8, bits, dtype=np.uint8) & (2**bits - 1)).reshape(-1)
            assert np.array_equal(oracle.pack(codes, code, PACKS[code]), x)
            result[DEQUANTIZE + PACKED] = oracle.dequantize(codes, scale, zero_point, code, real)
        return result
    q = oracle.quantize(x, scale, zero_point, code, real, case.saturate)
    # fake_quantize is dequantize(quantize(x)): the value of each code, looked up.
    beyond = "" if case.saturate else BEYOND
    result = {QUANTIZE + beyond: q, FAKE + beyond: oracle.values(scale, zero_point, code, real).take(q)}
    if code in PACKS and case.saturate:
        result[QUANTIZE + PACKED] = oracle.pack(q, code, PACKS[code])
    return result


def call(kernel: str, case: Case, x: np.ndarray) -> np.ndarray:
    """What fastquant makes of these bits."""
    scale, zero_point = case.parameters
    saturate: dict[str, Any] = {} if case.saturate else {"saturate": False}
    if kernel == DEQUANTIZE:
        return fq.dequantize(x.view(real_dtype(case.code)), scale, zero_point, dtype=case.real)
    if kernel == DEQUANTIZE + PACKED:
        return fq.dequantize(x, scale, zero_point, packed=case.code, dtype=case.real)
    a = x.view(real_dtype(case.real))
    if kernel.startswith(FAKE):
        return fq.fake_quantize(a, scale, zero_point, dtype=case.code, **saturate)
    return fq.quantize(a, scale, zero_point, dtype=case.code, packed=kernel == QUANTIZE + PACKED, **saturate)


def _in_words(kernel: str, case: Case, x: np.ndarray, got: np.ndarray, expected: np.ndarray) -> Found:
    wrong = np.flatnonzero(got != expected)
    i = int(wrong[0])
    # Packed codes and bytes of them: the element that holds the input, or is held in it.
    bits = int(x[i * x.size // expected.size])
    scale, zero_point = case.parameters
    where = f"{kernel}, {case.real}, {case.code}, scale {scale.hex()}, zero point {zero_point}"
    return Found(wrong.size, f"{where}: of bits {bits:#x} got {got[i]:#x}, expected {expected[i]:#x}")


def differences(
    case: Case, oracle: Oracle, x: np.ndarray, targets: Iterable[str], kernels: Iterable[str] = KERNELS
) -> dict[tuple[str, str], Found]:
    """Of these inputs, given as bits: what is wrong, by kernel and target."""
    found = {}
    for kernel, expected in _expected(case, oracle, x).items():
        for target in targets if kernel in kernels else ():
            with fq.cpu.use(target):
                got = call(kernel, case, x)
            bits = got.view(expected.dtype)
            same = np.array_equal(bits, expected)
            found[kernel, target] = Found(0, "") if same else _in_words(kernel, case, x, bits, expected)
    return found


# ---- parts of a case, in processes of their own: the target is one for all threads of a process ----

_oracle: Oracle | None = None


def prepare(library: Path) -> None:
    global _oracle
    _oracle = Oracle(library)
    fq.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is for the process that gives out the work


def part(
    case: Case, start: int, stop: int, step: int, targets: tuple[str, ...], kernels: tuple[str, ...]
) -> tuple[int, dict[tuple[str, str], Found]]:
    """How many inputs have been tried, of the patterns from start to stop, and what is wrong."""
    assert _oracle is not None
    total: dict[tuple[str, str], Found] = {}
    tried, bits = 0, unsigned(case.source)
    for first in range(start, stop, BLOCK * step):
        x = np.arange(first, min(stop, first + BLOCK * step), step, dtype=np.uint64).astype(bits)
        tried += x.size
        for key, now in differences(case, _oracle, x, targets, kernels).items():
            before = total.get(key, Found(0, ""))
            total[key] = Found(before.wrong + now.wrong, before.first or now.first)
    return tried, total
