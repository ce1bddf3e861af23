"""Nothing is kept and nothing is copied that need not be: leaks, reference counts, allocations."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import fastquant as fq

N = 200_000
X = np.random.default_rng(13).standard_normal(N).astype(np.float32)
Q = np.zeros(N, np.int8)
R = np.zeros(N, np.float32)
SMALL = np.linspace(-1, 1, 24, dtype=np.float32).reshape(4, 6)
SMALL_CODES = np.zeros((4, 6), np.int8)
SMALL_REALS = np.zeros((4, 6), np.float32)
SCALES = np.full(4, 0.1, np.float32)
POINTS = np.full(4, 3, np.int32)
# Not interned, so that their reference counts mean something.
SCALE, POINT = float("0.0371"), int("123456")
NUMPY_SCALE, NUMPY_POINT = np.float32(0.25), np.int32(7)


@pytest.fixture
def traced() -> Iterator[None]:
    gc.collect()
    gc.freeze()  # what other tests left need not be searched again and again
    tracemalloc.start()
    yield
    tracemalloc.stop()
    gc.unfreeze()


WITHOUT_ALLOCATION: dict[str, Callable[[], Any]] = {
    "quantize": lambda: fq.quantize(X, SCALE, 3, out=Q),
    "quantize, NumPy scalars": lambda: fq.quantize(X, NUMPY_SCALE, NUMPY_POINT, dtype="int8", out=Q),
    "dequantize": lambda: fq.dequantize(Q, SCALE, 3, out=R),
    "fake_quantize": lambda: fq.fake_quantize(X, SCALE, out=R),
    "fake_quantize in place": lambda: fq.fake_quantize(R, SCALE, out=R),
    "quantize_dynamic": lambda: fq.quantize_dynamic(X, out=Q),
    "quantize_dynamic, asymmetric": lambda: fq.quantize_dynamic(X, symmetric=False, out=Q),
    "minmax": lambda: fq.minmax(X),
    # Not plain, but contiguous: still no copy of the input or the output.
    "quantize, axis": lambda: fq.quantize(X.reshape(4, -1), SCALES, axis=0, out=Q.reshape(4, -1)),
    "quantize, offset": lambda: fq.quantize(X, SCALE, offset=0.5, out=Q),
    "dequantize, axis": lambda: fq.dequantize(Q.reshape(4, -1), SCALES, POINTS, axis=0, out=R.reshape(4, -1)),
    "fake_quantize in place, axis": lambda: fq.fake_quantize(R.reshape(4, -1), SCALES, axis=0, out=R.reshape(4, -1)),
    "minmax, axis": lambda: fq.minmax(X.reshape(4, -1), axis=0),
    "quantize_dynamic, axis": lambda: fq.quantize_dynamic(X.reshape(4, -1), axis=0, out=Q.reshape(4, -1)),
}


@pytest.mark.parametrize("call", WITHOUT_ALLOCATION)
def test_no_array_is_allocated(target, traced, call):
    WITHOUT_ALLOCATION[call]()
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    WITHOUT_ALLOCATION[call]()
    assert tracemalloc.get_traced_memory()[1] - before < N // 10


@pytest.mark.parametrize(
    ("call", "nbytes"),
    [
        (lambda: fq.quantize(X, SCALE), N),
        (lambda: fq.dequantize(Q, SCALE), 4 * N),
        (lambda: fq.fake_quantize(X, SCALE), 4 * N),
        (lambda: fq.quantize_dynamic(X), N),
    ],
)
def test_only_the_result_is_allocated(target, traced, call, nbytes):
    call()
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    call()
    peak = tracemalloc.get_traced_memory()[1] - before
    assert nbytes <= peak < nbytes + N // 10


def failing(function: Callable[..., Any], *arguments: Any, **options: Any) -> Callable[[], None]:
    def call() -> None:
        with pytest.raises((TypeError, ValueError)):
            function(*arguments, **options)

    return call


NAN = np.array([1.0, np.nan], np.float32)
LOCKED = np.zeros((4, 6), np.int8)
LOCKED.flags.writeable = False

MANY: dict[str, Callable[[], Any]] = {
    "quantize": lambda: fq.quantize(SMALL, SCALE, POINT),
    "quantize, out": lambda: fq.quantize(SMALL, SCALE, POINT, dtype="int8", out=SMALL_CODES),
    "quantize, NumPy scalars": lambda: fq.quantize(SMALL, NUMPY_SCALE, NUMPY_POINT, dtype=np.uint8),
    "quantize, axis": lambda: fq.quantize(SMALL, SCALES, POINTS, axis=0),
    "quantize, columns": lambda: fq.quantize(SMALL.T, SCALES, POINTS, axis=1),
    "quantize, offset": lambda: fq.quantize(SMALL, SCALE, offset=0.5, out=SMALL_CODES),
    "quantize, list": lambda: fq.quantize([1.0, 2.0], SCALE),
    "quantize, strided": lambda: fq.quantize(SMALL[:, ::2], SCALE, out=SMALL_CODES[:, ::2]),
    "quantize, overlap": lambda: fq.quantize(SMALL_REALS, SCALE, out=SMALL_REALS.view(np.int8)[:, 3:9]),
    "dequantize": lambda: fq.dequantize(SMALL_CODES, SCALE, POINT),
    "dequantize, out": lambda: fq.dequantize(SMALL_CODES, NUMPY_SCALE, NUMPY_POINT, out=SMALL_REALS),
    "dequantize, float16": lambda: fq.dequantize(SMALL_CODES, SCALE, POINT, dtype="float16"),
    "fake_quantize": lambda: fq.fake_quantize(SMALL, SCALE, POINT, out=SMALL_REALS),
    "fake_quantize, in place": lambda: fq.fake_quantize(SMALL_REALS, SCALE, POINT, out=SMALL_REALS),
    "minmax": lambda: fq.minmax(SMALL),
    "minmax, axis": lambda: fq.minmax(SMALL, axis=1),
    "qparams": lambda: fq.qparams(-SCALE, SCALE),
    "qparams, arrays": lambda: fq.qparams(-SCALES, SCALES, symmetric=False),
    "quantize_dynamic": lambda: fq.quantize_dynamic(SMALL, out=SMALL_CODES),
    "quantize_dynamic, axis": lambda: fq.quantize_dynamic(SMALL, "uint8", axis=0),
    "error: x": failing(fq.quantize, "text", SCALE),
    "error: scale": failing(fq.quantize, SMALL, -SCALE, POINT, out=SMALL_CODES),
    "error: scale's shape": failing(fq.quantize, SMALL, SCALES, out=SMALL_CODES),
    "error: zero_point": failing(fq.quantize, SMALL, SCALE, 2**40),
    "error: dtype": failing(fq.quantize, SMALL, SCALE, dtype="int16"),
    "error: axis": failing(fq.quantize, SMALL, SCALES, axis=7),
    "error: out": failing(fq.quantize, SMALL, SCALE, out=LOCKED),
    "error: offset": failing(fq.dequantize, SMALL_CODES, SCALE, 3, offset=SCALE),
    "error: q": failing(fq.dequantize, SMALL, SCALE),
    "error: NaN": failing(fq.minmax, NAN),
    "error: NaN, dynamic": failing(fq.quantize_dynamic, NAN),
    "error: range": failing(fq.qparams, 2.0, 1.0),
    "error: too wide": failing(fq.qparams, [0.0], [1e300]),
    "error: target": failing(lambda: fq.cpu.use("none").__enter__()),
    "error: keyword": failing(fq.quantize, SMALL, SCALE, colour=SCALE),
}

ARGUMENTS = (
    SMALL,
    SMALL_CODES,
    SMALL_REALS,
    SCALES,
    POINTS,
    SCALE,
    POINT,
    NUMPY_SCALE,
    NUMPY_POINT,
    NAN,
    LOCKED,
    np.dtype(np.int8),
    np.dtype(np.float32),
    np.float32,
    np.int32,
    np.uint8,
    fq.Range,
    fq.QParams,
    fq.Quantized,
)


@pytest.mark.parametrize("name", MANY)
def test_nothing_leaks(traced, name):
    call, calls = MANY[name], 200

    def repeat() -> None:
        for _ in range(calls):
            call()

    def growth() -> tuple[int, int]:
        """Bytes, and references to an argument, that were not given back."""
        gc.collect()
        memory = tracemalloc.get_traced_memory()[0]
        counts = [*map(sys.getrefcount, ARGUMENTS)]
        repeat()
        gc.collect()
        drift = (abs(sys.getrefcount(a) - count) for a, count in zip(ARGUMENTS, counts, strict=True))
        return tracemalloc.get_traced_memory()[0] - memory, max(drift)

    # What the interpreter keeps for itself settles after some rounds; a leak comes back in every one.
    repeat()
    seen = []
    for _ in range(20):
        seen.append(growth())
        if seen[-1][0] < 8 * calls and seen[-1][1] < calls // 2:
            return
    pytest.fail(f"(bytes, references) kept by {calls} calls, in each of {len(seen)} rounds: {seen}")


def test_results_do_not_hold_their_arguments():
    x = np.ones((3, 4), np.float32)
    scale = np.full(3, 0.5, np.float32)
    before = sys.getrefcount(x), sys.getrefcount(scale)
    kept = [
        fq.quantize(x, 0.5),
        fq.quantize(x.T, 0.5),
        fq.quantize(x, scale, axis=0),
        fq.fake_quantize(x, 0.5),
        fq.minmax(x),
        fq.minmax(x, axis=0),
        fq.quantize_dynamic(x, axis=0),
        fq.qparams(-scale, scale),
    ]
    assert (sys.getrefcount(x), sys.getrefcount(scale)) == before
    assert all(not np.shares_memory(a, x) for a in (kept[0], kept[1], kept[3]))
