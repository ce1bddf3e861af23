"""Range statistics: smallest and largest value, and the scale and zero point that map them onto codes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastquant import _kernels
from fastquant._arguments import Array, layout
from fastquant._dtypes import CodeType, code_type


class Range(NamedTuple):
    """Smallest and largest value: scalars, or arrays with one element for each index of an axis."""

    lo: Any
    hi: Any


class QParams(NamedTuple):
    """Scale (float32) and zero point (int32): scalars, or arrays with one element for each index of an axis."""

    scale: Any
    zero_point: Any


class Quantized(NamedTuple):
    """Codes, with the scale and the zero point that they were made with."""

    q: Any
    scale: Any
    zero_point: Any


def extremes(a: Array, axis: int | None) -> Range:
    """Range of a contiguous array of an arithmetic type, as arrays of one element for each channel."""
    outer, channels, inner = layout(a.shape, axis)
    if a.size == 0:
        raise ValueError(f"x: got shape {a.shape}, expected at least one value: nothing has no range")
    lo, hi = np.empty(channels, a.dtype), np.empty(channels, a.dtype)
    if not _kernels.extremes(a, lo, hi, outer, channels, inner):
        where = np.unravel_index(int(np.argmin(np.isfinite(a))), a.shape)
        at = f" at index ({', '.join(map(str, where))})" if a.ndim else ""
        raise ValueError(f"x: got {a[where]}{at}, expected finite values: NaN and infinity have no scale")
    return Range(lo, hi)


def params_of(lo: Array, hi: Array, codes: CodeType, symmetric: bool, narrow_range: bool, include_zero: bool) -> QParams:
    """Scales and zero points of float64 arrays."""
    lowest, highest = codes.lowest + bool(narrow_range), codes.highest
    scale, zero_point, failed = _kernels.qparams(lo, hi, lowest, highest, bool(symmetric), bool(include_zero))
    if failed is not None:
        i, what = failed
        got = f"lo, hi: got {lo.flat[i]}, {hi.flat[i]}, expected a range"
        if what == "scale":
            raise ValueError(f"{got} whose scale float32 can hold")
        raise ValueError(f"{got} nearer to 0: its zero point does not fit int32; use offset=lo instead")
    return QParams(scale, zero_point)


def _bound(value: Any, argument: str) -> Array:
    try:
        a = np.asarray(value)
        if a.dtype.kind in "bcOSUMm":
            raise TypeError
        return a.astype(np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{argument}: got {value!r}, expected real numbers") from None


def qparams(
    lo: Any,
    hi: Any,
    dtype: Any = "int8",
    *,
    symmetric: bool = True,
    narrow_range: bool = False,
    include_zero: bool = True,
) -> QParams:
    """Scale and zero point that map the reals from lo to hi onto the codes of dtype.

    lo, hi: numbers, or arrays of one shape, finite, lo <= hi, in the units of the data. dtype: int8 or uint8.
    Returns QParams(scale, zero_point): float32 and int32, scalars or arrays of the shape of lo and hi. Computed in
    float64, each rounded once.

    symmetric:   scale = max(|lo|, |hi|) / 127, zero_point = 0, or 128 for uint8.
    asymmetric:  scale = (hi - lo) / (highest - lowest), zero_point = nearest(lowest - lo / scale), ties to even, as in
                 the ONNX operator DynamicQuantizeLinear. With include_zero the range is first widened to hold 0, so that
                 0 has a code of its own, and the zero point lies in the code type; without, it is any int32.
    narrow_range leaves out the lowest code (-128, or 0 for uint8).

    A range of zero has scale 1; a scale that would be subnormal in float32 is the smallest normal, 2**-126.

    Raises ValueError for NaN, infinity, lo > hi, shapes that differ, a range too wide for a float32 scale, a zero point
    beyond int32; TypeError for what is no real number.
    """
    codes = code_type(dtype)
    a, b = _bound(lo, "lo"), _bound(hi, "hi")
    if a.shape != b.shape:
        raise ValueError(f"hi: got shape {b.shape}, expected {a.shape}, the shape of lo")
    for bound, argument in ((a, "lo"), (b, "hi")):
        if not np.isfinite(bound).all():
            raise ValueError(f"{argument}: got {bound[~np.isfinite(bound)].flat[0]}, expected finite numbers")
    if (a > b).any():
        i = int(np.argmax(a > b))
        raise ValueError(f"lo: got {a.flat[i]}, greater than hi, {b.flat[i]}; expected lo <= hi")
    a, b = (np.require(bound, np.float64, "C") for bound in (a, b))
    scale, zero_point = params_of(a, b, codes, symmetric, narrow_range, include_zero)
    return QParams(scale[()], zero_point[()])
