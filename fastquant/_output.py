"""Where results go."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastquant import _kernels
from fastquant._arguments import Array


class Output:
    """A kernel writes `array`, of any layout; then `finish` gives the caller's.

    Both are one array, unless `out` shares memory with the input in a way that kernels do not allow, or holds packed
    codes whose bytes do not follow each other.
    """

    def __init__(
        self, out: Any, like: Array, shape: tuple[int, ...], dtype: np.dtype[Any], *, in_place: bool = False,
        packed: bool = False,
    ):  # fmt: skip
        self.out = _kernels.empty(shape, dtype) if out is None else _writable(out, shape, dtype)
        self.array = np.asarray(self.out)
        if out is None:
            return
        same = in_place and out.ctypes.data == like.ctypes.data
        same = same and out.strides == like.strides and out.dtype == like.dtype and _is_distinct(like)
        scattered = packed and shape[-1] > 1 and out.strides[-1] != 1
        if scattered or (not same and _overlap(out, like)):
            self.array = _kernels.empty(shape, dtype)

    def keep_apart(self, parameter: Array | None) -> Array | None:
        """A parameter that writing to the output does not change."""
        if parameter is not None and np.may_share_memory(parameter, self.array):
            return parameter.copy()
        return parameter

    def finish(self) -> Array:
        if self.array is not self.out and not np.may_share_memory(self.array, self.out):
            np.copyto(self.out, self.array)
        return self.out


def _is_distinct(a: Array) -> bool:
    """No two elements of a share memory, as far as strides tell."""
    extent = a.itemsize
    for step, n in sorted((abs(step), n) for step, n in zip(a.strides, a.shape, strict=True) if n > 1):
        if step < extent:
            return False
        extent = step * (n - 1) + extent
    return True


def _overlap(a: Array, b: Array) -> bool:
    if not np.may_share_memory(a, b):
        return False
    try:
        return np.shares_memory(a, b, max_work=10_000)  # type: ignore[arg-type]  # stubs know 0 and -1 only
    except np.exceptions.TooHardError:
        return True


def _writable(out: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out: got {type(out).__name__}, expected a NumPy array of {dtype.name}")
    if isinstance(out, np.ma.MaskedArray):
        raise TypeError(f"out: got a masked array, expected a plain one of {dtype.name}")
    if out.dtype.newbyteorder("=") != dtype:
        raise TypeError(f"out: got an array of {out.dtype}, expected {dtype.name}")
    if out.shape != shape:
        raise ValueError(f"out: got shape {out.shape}, expected {shape}")
    if not out.flags.writeable:
        raise ValueError("out: got a read-only array, expected one that can be written")
    return out
