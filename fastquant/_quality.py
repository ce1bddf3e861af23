"""What the commands quantize, and what that loses."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import fastquant as fq
from fastquant._files import Tensor

Array = np.ndarray[Any, Any]

FLOATS = ("F16", "BF16", "F32", "F64")
BLOCK = 1 << 16  # elements; the float64 temporaries of a block stay in cache


def quantizable(tensor: Tensor) -> bool:
    return tensor.kind in FLOATS and len(tensor.shape) >= 2 and not tensor.empty


def narrowed(x: Array) -> Array:
    """float64 as float32, since the codes get a float32 scale; the other types as they are."""
    if x.dtype != np.float64:
        return x
    with np.errstate(over="ignore"):
        return x.astype(np.float32)


def count_not_finite(x: Array) -> tuple[int, int]:
    flat = x.reshape(-1)
    nan = inf = 0
    for at in range(0, flat.size, BLOCK):
        nan += int(np.isnan(flat[at : at + BLOCK]).sum())
        inf += int(np.isinf(flat[at : at + BLOCK]).sum())
    return nan, inf


@dataclass(slots=True)
class Quality:
    """What a quantization lost: sums of squares of the tensor and of its error, and the largest error."""

    signal: float = 0.0
    noise: float = 0.0
    largest: float = 0.0

    def add(self, other: Quality) -> None:
        self.signal += other.signal
        self.noise += other.noise
        self.largest = max(self.largest, other.largest)

    @property
    def db(self) -> float:
        """The signal to quantization noise ratio in dB, infinite where nothing was lost."""
        if self.noise == 0:
            return math.inf
        return 10 * math.log10(self.signal / self.noise) if self.signal else -math.inf


def measure(x: Array, q: Array, scale: Any, zero_point: Any, axis: int | None = None) -> Quality:
    """Compare x with dequantize(q) in float64, block by block: no temporary of x's size."""
    if axis is None:
        shape = (1, 1, x.size)
    else:
        axis %= x.ndim
        shape = (math.prod(x.shape[:axis]), x.shape[axis], math.prod(x.shape[axis + 1 :]))
    x, q = x.reshape(shape), q.reshape(shape)
    quality = Quality()
    for a, b, c in _blocks(shape):
        if axis is None:
            back = fq.dequantize(q[a, b, c], scale, zero_point)
        else:
            back = fq.dequantize(q[a, b, c], scale[b], zero_point[b], axis=1)
        block = x[a, b, c].astype(np.float64)
        error = block - back
        squares = float((block * block).sum()), float((error * error).sum())
        quality.add(Quality(*squares, float(abs(error).max())))
    return quality


def _blocks(shape: tuple[int, int, int]) -> Iterator[tuple[slice, slice, slice]]:
    """Cut three axes into blocks of at most BLOCK elements, the last axis whole if possible."""
    inner = min(shape[2], BLOCK)
    middle = min(shape[1], max(1, BLOCK // inner))
    outer = min(shape[0], max(1, BLOCK // (inner * middle)))
    for a in range(0, shape[0], outer):
        for b in range(0, shape[1], middle):
            for c in range(0, shape[2], inner):
                yield slice(a, a + outer), slice(b, b + middle), slice(c, c + inner)


def decibels(quality: Quality) -> str:
    return "exact" if quality.db == math.inf else f"{quality.db:.2f}"
