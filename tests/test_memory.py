"""Nothing is kept and nothing is copied that need not be: leaks, reference counts, allocations."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from many_calls import (
    LOCKED,
    MANY,
    NAN,
    NUMPY_POINT,
    NUMPY_SCALE,
    POINT,
    POINTS,
    SCALE,
    SCALES,
    SMALL,
    SMALL_CODES,
    SMALL_REALS,
)

import fastquant as fq

N = 200_000
X = np.random.default_rng(13).standard_normal(N).astype(np.float32)
Q = np.zeros(N, np.int8)
R = np.zeros(N, np.float32)
SWAPPED = X.astype(X.dtype.newbyteorder("S"))
MISALIGNED = np.zeros(4 * N + 1, np.uint8)[1:].view(np.float32)
HALVES, BRAINS = X.astype(np.float16), X.astype(ml_dtypes.bfloat16)
PACKED = np.zeros(N // 2, np.uint8)


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
    "quantize, columns": lambda: fq.quantize(X.reshape(-1, 4), SCALES, axis=1, out=Q.reshape(-1, 4)),
    "quantize, blocks": lambda: fq.quantize(X, SCALE, block_size=300, out=Q),
    "minmax, blocks": lambda: fq.minmax(X, block_size=300),
    # Nor where spans read and write through buffers.
    "quantize, strided": lambda: fq.quantize(X[::-2], SCALE, out=Q[::2]),
    "quantize, transposed": lambda: fq.quantize(X.reshape(500, -1).T, SCALE, out=Q.reshape(-1, 500)),
    "quantize, byte-swapped": lambda: fq.quantize(SWAPPED, SCALE, out=Q),
    "quantize, misaligned": lambda: fq.quantize(MISALIGNED, SCALE, out=Q),
    "dequantize, transposed": lambda: fq.dequantize(Q.reshape(500, -1).T, SCALE, out=R.reshape(-1, 500)),
    "minmax, strided": lambda: fq.minmax(X[::2]),
    "quantize_dynamic, strided": lambda: fq.quantize_dynamic(X[::2], out=Q[::2]),
    # Half types, small types, packed codes, two spans in a row.
    "quantize, float16": lambda: fq.quantize(HALVES, SCALE, out=Q),
    "dequantize, bfloat16": lambda: fq.dequantize(Q, SCALE, dtype="bfloat16", out=BRAINS),
    "fake_quantize in place, bfloat16": lambda: fq.fake_quantize(BRAINS, SCALE, out=BRAINS),
    "quantize, float8": lambda: fq.quantize(X, SCALE, out=Q.view(ml_dtypes.float8_e4m3fn)),
    "quantize, packed": lambda: fq.quantize(X, SCALE, dtype="int4", packed=True, out=PACKED),
    "dequantize, packed": lambda: fq.dequantize(PACKED, SCALE, packed="int4", out=R),
    "requantize": lambda: fq.requantize(Q, SCALE, 0, 0.3, 7, out=Q),
    "requantize, int32": lambda: fq.requantize(R.view(np.int32), SCALE, 0, 0.3, 7, out=Q),
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
        (lambda: fq.quantize(X.reshape(500, -1).T, SCALE, dtype="int16"), 2 * N),
        (lambda: fq.quantize(X, SCALE, dtype="int4", packed=True), N // 2),
        (lambda: fq.dequantize(PACKED, SCALE, packed="int4", dtype="float16"), 2 * N),
        (lambda: fq.quantize_dynamic(X[::2], "int2", packed=True), N // 8),
        (lambda: fq.requantize(Q[::2], SCALE, 0, 0.3, 7, dtype="uint16"), N),
        (lambda: fq.pack(Q.view(ml_dtypes.int2)), N // 4),
        (lambda: fq.unpack(PACKED, "uint4", N), N),
    ],
)
def test_only_the_result_is_allocated(target, traced, call, nbytes):
    call()
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    call()
    peak = tracemalloc.get_traced_memory()[1] - before
    assert nbytes <= peak < nbytes + N // 10


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
