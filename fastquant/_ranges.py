"""Range statistics: smallest and largest value, and the scale and zero point that map them onto codes."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastquant import _kernels
from fastquant._arguments import Array, read_bound
from fastquant._dtypes import CodeType, arithmetic_dtype, code_type
from fastquant._grid import Grid
from fastquant._results import QParams, Range


def check_not_empty(a: Array, grid: Grid) -> None:
    if a.size == 0 and grid.size > 0:
        raise ValueError(f"x: got shape {a.shape}, expected at least one value for each scale")


def extremes(a: Array, grid: Grid) -> Range:
    """Ranges of an array of reals, as contiguous arrays of the grid's shape."""
    check_not_empty(a, grid)
    lo = np.empty(grid.shape, arithmetic_dtype(a.dtype))
    hi = np.empty_like(lo)
    if a.size and not _kernels.extremes(a, lo, hi, grid.strides, grid.block_axis, grid.block):
        with np.errstate(all="ignore"):  # a signaling NaN
            where = np.unravel_index(int(np.argmin(np.isfinite(a))), a.shape)
        at = f" at index {where[0] if a.ndim == 1 else tuple(map(int, where))}" if a.ndim else ""
        raise ValueError(f"x: got {a[where]}{at}, expected finite values: NaN and infinity have no scale")
    return Range(lo, hi)


def limits(codes: CodeType, symmetric: bool, narrow_range: bool) -> tuple[float, float]:
    """Lowest and highest code to use."""
    if codes.is_float and not symmetric:
        raise ValueError(f"symmetric: got False, expected True for {codes.name}: floats have no zero point")
    if codes.is_float and narrow_range:
        raise ValueError(f"narrow_range: got True, expected False for {codes.name}: floats are symmetric as they are")
    return codes.lowest + narrow_range, codes.highest


def params_of(
    lo: Array, hi: Array, codes: CodeType, symmetric: bool, narrow_range: bool, include_zero: bool, argument: str
) -> QParams:
    """Scales and zero points of float64 arrays; argument is what the caller knows these ranges by."""
    lowest, highest = limits(codes, symmetric, narrow_range)
    scale, zero_point, failed = _kernels.qparams_of(lo, hi, lowest, highest, symmetric, include_zero)
    if failed is not None:
        i, what = failed
        got = f"{argument}: got {lo.reshape(-1)[i]} to {hi.reshape(-1)[i]}, expected a range"
        if what == "scale":
            raise ValueError(f"{got} whose scale float32 can hold")
        raise ValueError(f"{got} nearer to 0: its zero point does not fit int32; use offset=lo instead")
    return QParams(scale, zero_point)


def qparams(lo: Any, hi: Any, dtype: Any, symmetric: bool, narrow_range: bool, include_zero: bool) -> QParams:
    codes = code_type(dtype)
    limits(codes, symmetric, narrow_range)
    a, b = read_bound(lo, "lo"), read_bound(hi, "hi")
    if a.shape != b.shape:
        raise ValueError(f"hi: got shape {b.shape}, expected {a.shape}, the shape of lo")
    for bound, argument in ((a, "lo"), (b, "hi")):
        if not np.isfinite(bound).all():
            raise ValueError(f"{argument}: got {bound[~np.isfinite(bound)].flat[0]}, expected finite numbers")
    if (a > b).any():
        i = int(np.argmax(a > b))
        raise ValueError(f"lo: got {a.reshape(-1)[i]}, greater than hi, {b.reshape(-1)[i]}; expected lo <= hi")
    scale, zero_point = params_of(a, b, codes, symmetric, narrow_range, include_zero, "lo, hi")
    return QParams(scale[()], zero_point[()])
