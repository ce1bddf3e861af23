"""Tiles for the tests that call spans: rows, and sets of parameters to convert them with."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from buffers import aligned
from spans import arithmetic, dtype_in
from values import FLOAT_TYPES, pool

# The fourth is so small and the last so large that lanes divide.
SCALES = np.float32([0.1, 2.0**-7, 1.7, 2.0**-110, 0.03, 3.0, 2.0**104])


class Sets(NamedTuple):
    scales: np.ndarray
    zero_points: np.ndarray
    offsets: np.ndarray | None

    def at(self, index: Any) -> Sets:
        """The sets with these numbers; what is one for all stays so."""
        return Sets(*(p if p is None or p.size == 1 else p[index] for p in self))


def sets_of(n: int, real: str, code: str, *, plain: bool = True, offset: bool = False, far: bool = False) -> Sets:
    """n different sets, so that one taken from a neighbour shows. plain: with ordinary scales alone, none of which
    makes the whole batch divide."""
    scales = np.resize(SCALES[:3] if plain else SCALES, n) * np.float32(1 + np.arange(n) / 256)
    zero_points = np.resize([3, 0, -5, 7, 100_000 if far else 2], n).astype(np.int32)
    if code in FLOAT_TYPES or offset:
        zero_points[:] = 0
    offsets = arithmetic((np.arange(n) % 7 - 2.7) * scales, real) if offset else None
    return Sets(arithmetic(scales, real), zero_points, offsets)


def strided_rows(rows: int, length: int, dtype: np.dtype[Any]) -> np.ndarray:
    """Rows an odd number of elements apart, so that they begin at every alignment that the type can have."""
    apart = length | 1
    return aligned(rows * apart * dtype.itemsize).view(dtype).reshape(rows, apart)


def inputs(row: tuple[str, str, str], shape: tuple[int, int], sets: Sets, *, columns: bool) -> np.ndarray:
    """Rows of ordinary values for these sets, one for each row or column: codes, or reals near what a set has codes
    for."""
    kernel, real, code = row
    x = strided_rows(shape[0], shape[1] + 2, dtype_in(kernel, code, real))[:, : shape[1]]
    if kernel == "dequantize":
        x[...] = pool(kernel, real, code, 1.0, 0, x.size).reshape(shape)
    else:
        levels = pool(kernel, "float64", code, 1.0, 0, x.size).reshape(shape)
        scales, zero_points = (p if columns else p[:, None] for p in sets[:2])
        with np.errstate(over="ignore"):
            x[...] = (levels - zero_points) * scales.astype(np.float64)
    return x
