"""Where results go."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastquant import _kernels
from fastquant._arguments import Array


class Output:
    """A kernel writes `array`, of any layout; then `finish` gives the caller's.

    Both are one array, unless `out` shares memory with the input in a way that kernels do not allow, or perhaps with
    itself, or holds packed codes whose bytes do not follow each other.
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
        same = same and out.strides == like.strides and out.dtype == like.dtype
        scattered = packed and shape[-1] > 1 and out.strides[-1] != 1
        if scattered or _meets_itself(out) is None or (not same and _overlap(out, like)):
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


def _meets_itself(a: Array, tries: int = 10_000) -> bool | None:
    """Whether two elements of a share memory; None if that takes too long to tell.

    Two such elements are apart by less than one: by a sum of steps of both signs. Those sums are tried from the longest
    step down, as far as the shorter ones can make up for it. Where each step goes beyond what the shorter ones reach,
    as in all layouts that are not made on purpose, there is one to try.
    """
    if a.size == 0 or a.flags.forc:
        return False
    steps = sorted(((abs(step), n - 1) for step, n in zip(a.strides, a.shape, strict=True) if n > 1), reverse=True)
    reach = [sum(step * most for step, most in steps[k:]) for k in range(len(steps) + 1)]
    if reach[0] + a.itemsize < a.nbytes or (steps and steps[-1][0] == 0):
        return True
    left = [(0, 0, True)]  # steps that have been decided, their sum, whether it is that of an element and itself
    for _ in range(tries):
        if not left:
            return False
        k, at, same = left.pop()
        if k == len(steps):
            if not same:
                return True
            continue
        step, most = steps[k]
        near = reach[k + 1] + a.itemsize - 1
        first, last = max(0 if same else -most, -((at + near) // step)), min(most, (near - at) // step)
        if last - first > tries:
            return None
        left += [(k + 1, at + d * step, same and d == 0) for d in range(first, last + 1)]
    return None


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
    if _meets_itself(out):
        raise ValueError("out: got an array of elements that share memory, expected each to have its own")
    return out
