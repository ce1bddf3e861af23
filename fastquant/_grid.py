"""Granularity: where an array's parameters change, and so how many there are."""

from __future__ import annotations

import math
import operator
from typing import Any, NamedTuple


class Grid(NamedTuple):
    """One set of parameters for all, for each index of some axes, or for each block along one.

    shape is that of an array of parameters. strides tells, for each axis of the data, how many elements of such an
    array (contiguous) one step along it is; with block > 0 it takes that many steps along block_axis.
    """

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    block_axis: int
    block: int
    axes: tuple[int, ...]

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def expected(self) -> str:
        """What a parameter's shape may be, for error messages."""
        if not self.axes:
            return "one number; for one of each channel or block, give axis or block_size"
        if self.block:
            return f"one number or shape {self.shape}, one for each block of {self.block} along axis {self.block_axis}"
        if len(self.axes) == 1:
            return f"one number or shape {self.shape}, the length of axis {self.axes[0]}"
        return f"one number or shape {self.shape}, the lengths of axes {self.axes}"


def index_of(value: Any, problem: str) -> int:
    if isinstance(value, bool):
        raise TypeError(problem)
    try:
        return operator.index(value)
    except (TypeError, ValueError):
        raise TypeError(problem) from None


def _axes(axis: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """axis as indices from 0 on."""
    if axis is None:
        return ()
    problem = f"axis: got {axis!r}, expected None, an integer or a tuple of integers"
    given = [index_of(a, problem) for a in (axis if isinstance(axis, tuple) else (axis,))]
    for a in given:
        if not -len(shape) <= a < len(shape):
            raise ValueError(f"axis: got {a}, expected an axis of an array of shape {shape}")
    axes = tuple(a % len(shape) for a in given)
    if len(set(axes)) < len(axes):
        raise ValueError(f"axis: got {axis}, expected each axis once")
    return axes


def _strides(shape: tuple[int, ...]) -> list[int]:
    """Of a contiguous array, in elements."""
    return [math.prod(shape[i + 1 :]) for i in range(len(shape))]


def grid_of(shape: tuple[int, ...], axis: Any, block_size: Any) -> Grid:
    """Granularity of data of that shape."""
    axes = _axes(axis, shape)
    if block_size is None:
        lengths = tuple(shape[a] for a in axes)
        steps = dict(zip(axes, _strides(lengths), strict=True))
        return Grid(lengths, tuple(steps.get(a, 0) for a in range(len(shape))), 0, 0, axes)
    block = index_of(block_size, f"block_size: got {block_size!r}, expected None or an integer > 0")
    if block <= 0:
        raise ValueError(f"block_size: got {block}, expected an integer > 0")
    if not shape:
        raise ValueError(
            f"block_size: got {block} for an array of shape (), expected one with an axis to cut into blocks"
        )
    if len(axes) > 1:
        raise ValueError(f"axis: got {axis}, expected one axis where there is a block_size")
    cut = axes[0] if axes else len(shape) - 1
    block = min(block, max(shape[cut], 1))
    blocks = (*shape[:cut], -(-shape[cut] // block), *shape[cut + 1 :])
    return Grid(blocks, tuple(_strides(blocks)), cut, block, (cut,))
