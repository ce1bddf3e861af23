"""What the benchmarks measure: the cases, their inputs, and how calls are timed against each other.

A case is a kernel, a code type and a number of elements. What is timed is a statement, as a user would write
it, that refers to names: the inputs of the case and whatever a peer prepares from them. The statements are in
_bench_peers.py.
"""

from __future__ import annotations

import functools
import math
import statistics
import time
import timeit
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

import fastquant as fq
from fastquant import _reference
from fastquant._dtypes import CODE_TYPES

if TYPE_CHECKING:
    from fastquant._bench_peers import Peer

SIZES = (768, 1 << 16, 1 << 20, 1 << 26)
SAMPLE_SECONDS = 0.002  # long beside the timer's own cost, short enough for peers to meet the same machine
REAL_BYTES = 4  # float32


@dataclass(frozen=True)
class Kernel:
    name: str
    function: str
    title: str
    axis: int | None = None

    @property
    def codes(self) -> tuple[str, ...]:
        return ("",) if self.function == "minmax" else tuple(CODE_TYPES)


KERNELS = {
    kernel.name: kernel
    for kernel in (
        Kernel("quantize", "quantize", "quantize: float32 to codes, one scale"),
        Kernel("dequantize", "dequantize", "dequantize: codes to float32, one scale"),
        Kernel("fake_quantize", "fake_quantize", "fake_quantize: float32 to float32, one scale"),
        Kernel("minmax", "minmax", "minmax: smallest and largest float32"),
        Kernel(
            "quantize_dynamic",
            "quantize_dynamic",
            "quantize_dynamic: minmax, scale and codes in one call (int8 symmetric, uint8 asymmetric)",
        ),
        Kernel("quantize_axis_0", "quantize", "quantize: a scale for each row (axis=0)", 0),
        Kernel("quantize_axis_last", "quantize", "quantize: a scale for each column (axis=-1)", -1),
    )
}


@dataclass(frozen=True)
class Case:
    kernel: Kernel
    code: str  # "" for a kernel without codes
    size: int

    @property
    def shape(self) -> tuple[int, ...]:
        """(size,), or with an axis a matrix of several rows of at most 1024 elements."""
        if self.kernel.axis is None:
            return (self.size,)
        widest = max(1, min(1024, self.size // 4))
        columns = max(d for d in range(1, widest + 1) if self.size % d == 0)
        return (self.size // columns, columns)

    @property
    def nbytes(self) -> int:
        """Bytes that must move: the input and the output, once each."""
        code_bytes = np.dtype(self.code).itemsize if self.code else 0
        element = {
            "quantize": REAL_BYTES + code_bytes,
            "dequantize": code_bytes + REAL_BYTES,
            "fake_quantize": 2 * REAL_BYTES,
            "minmax": REAL_BYTES,
            "quantize_dynamic": REAL_BYTES + code_bytes,
        }[self.kernel.function]
        return element * self.size


def cases(kernels: Sequence[str], sizes: Sequence[int]) -> Iterator[Case]:
    for name in kernels:
        for code in KERNELS[name].codes:
            for size in sizes:
                yield Case(KERNELS[name], code, size)


def aligned(shape: tuple[int, ...], dtype: Any) -> Any:
    """An empty array on a cache line, as those of torch and ONNX Runtime are: where NumPy puts an array is
    chance, and can be worth 10% of the time.
    """
    nbytes = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(nbytes + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + nbytes].view(dtype).reshape(shape)


@functools.cache
def _normals(size: int) -> Any:
    return np.random.default_rng(size).standard_normal(dtype=np.float32, out=aligned((size,), np.float32))


def settle_allocator() -> None:
    """Have glibc keep freed temporaries of up to 32 MiB, as it does once one of that size has been freed
    (mallopt(3), M_MMAP_THRESHOLD). Otherwise those who need temporaries pay for fresh pages in the first
    cases and not in the later ones.
    """
    np.empty((32 << 20) - (64 << 10), np.uint8)


def forget_inputs() -> None:
    """Let go of the inputs, which cases of one size share."""
    _normals.cache_clear()


def inputs(case: Case) -> dict[str, Any]:
    """The names that every statement about this case may use."""
    axis, function = case.kernel.axis, case.kernel.function
    x = _normals(case.size).reshape(case.shape)
    names: dict[str, Any] = {"np": np, "fq": fq, "reference": _reference, "x": x, "axis": axis}
    if not case.code:
        return names
    scale, zero_point = fq.qparams(*fq.minmax(x, axis=axis), case.code)
    if axis is None:  # Python numbers: NumPy keeps float32 beside them, and every peer takes them
        scale, zero_point = float(scale), int(zero_point)
    names |= {
        "scale": scale,
        "zero_point": zero_point,
        "code": case.code,
        "lowest": CODE_TYPES[case.code].lowest,
        "highest": CODE_TYPES[case.code].highest,
        "symmetric": case.code != "uint8",
    }
    if function == "dequantize":
        names["q"] = fq.quantize(x, scale, zero_point, axis=axis, out=aligned(case.shape, case.code))
    reals_out = function in ("dequantize", "fake_quantize")
    names["out"] = aligned(case.shape, np.float32 if reals_out else case.code)
    return names


@dataclass
class Contender:
    """One statement of one peer about one case, and how long it took."""

    peer: Peer
    statement: str
    gives_out: bool  # the result goes to memory that the call is given
    names: dict[str, Any]
    calls_per_sample: int = 1
    samples: list[float] = field(default_factory=list)  # seconds a call
    differing: int | None = None  # values that are not fastquant's, of `compared`
    compared: int = 0

    @property
    def name(self) -> str:
        return f"{self.peer.name}, out=" if self.gives_out else self.peer.name

    @property
    def best(self) -> float:
        return min(self.samples)

    @property
    def spread(self) -> float:
        """Median over best: 1 on a quiet machine."""
        return statistics.median(self.samples) / self.best

    def evaluate(self) -> Any:
        """The statement's value. First calls may warn: torch's quantized types are deprecated."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return eval(self.statement, self.names)

    def arrays(self, value: Any) -> list[Any]:
        return [np.asarray(a).reshape(-1) for a in self.peer.arrays(value, self.names)]


def forms(case: Case, peer: Peer) -> list[tuple[str, bool]]:
    """The statements that a peer has for a case: without a given output, with one, or both."""
    if not peer.fits(case) or (case.code and peer.codes is not None and case.code not in peer.codes):
        return []
    kernel, function = case.kernel.name, case.kernel.function
    for key in (f"{kernel} {case.code}", kernel, function if case.kernel.axis is None else ""):
        if key in peer.statements:
            plain, given = peer.statements[key]
            return [(s, s is given) for s in (plain, given) if s is not None]
    return []


def contenders(case: Case, peers: Sequence[Peer], names: dict[str, Any]) -> list[Contender]:
    """All statements about a case, ready to run. The first peer must be fastquant, to compare with."""
    found = []
    for peer in peers:
        if statements := forms(case, peer):
            own = names | peer.prepare(case, names)
            found += [Contender(peer, statement, given, own) for statement, given in statements]
    return found


def compare(contender: Contender, value: Any, expected: Sequence[Any]) -> None:
    """Count the values that are not the expected ones."""
    if not contender.peer.comparable:
        return
    contender.differing = 0
    for mine, other in zip(expected, contender.arrays(value), strict=True):
        if mine.shape != other.shape:
            found = f"{contender.statement} gave {other.size} values"
            raise AssertionError(f"{contender.name}: {found}, expected {mine.size}")
        contender.differing += int(np.count_nonzero(mine != other))
        contender.compared += mine.size


def measure(entries: Sequence[Contender], seconds: float, rounds: int) -> None:
    """Time all statements about one case, in turns, so that whatever else the machine does meets all of them.

    Rounds go on until `seconds` have passed, and at least `rounds` times. A peer so slow that one call takes
    more than its share of the seconds is sampled twice only.
    """
    share = seconds / len(entries)
    sample = min(SAMPLE_SECONDS, share / max(1, rounds))
    expected: list[Any] = []
    timed = []
    for entry in entries:
        start = time.perf_counter()
        value = entry.evaluate()
        first = time.perf_counter() - start
        expected = expected or [a.copy() for a in entry.arrays(value)]
        compare(entry, value, expected)
        del value
        timer = timeit.Timer(entry.statement, globals=entry.names)
        slow = not entry.peer.ours and first > share
        if slow:
            entry.samples.append(first)
        else:
            entry.calls_per_sample = _calls_per_sample(timer, first, sample)
        timed.append((entry, timer, slow))
    del expected
    start = time.perf_counter()
    done = 0
    while done < rounds or time.perf_counter() - start < seconds:
        for entry, timer, slow in timed:
            calls = entry.calls_per_sample
            if slow and done:
                continue
            if not slow and calls > 1:
                timer.timeit(1)  # the peers before have had the caches
            entry.samples.append(timer.timeit(calls) / calls)
        done += 1


def _calls_per_sample(timer: timeit.Timer, first: float, sample: float) -> int:
    if first > 10 * sample:
        return 1
    calls = 1
    while (taken := timer.timeit(calls)) < sample / 4:
        calls *= 4
    return max(1, math.ceil(calls * sample / taken))
