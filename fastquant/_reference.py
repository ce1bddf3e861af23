"""The numerics of fastquant in plain NumPy: the specification that every kernel is tested against.

Slow, obvious, complete. It shares no arithmetic with the kernels. Arguments are those of the public functions (without
`out`) and are not checked here.

Real numbers. `x` is taken as float32, or as float64 if it is float64 (or a list of Python numbers); float16 and
bfloat16 are exact in float32. That type is "the real type" below: scale and offset are rounded to it, and each
operation on reals is rounded to it once, to nearest, ties to even.
"""

from __future__ import annotations

from typing import Any

import numpy as np

LIMITS = {"int8": (-128, 127), "uint8": (0, 255)}


def _reals(x: Any) -> Any:
    x = np.asarray(x)
    return x.astype(np.float64 if x.dtype.kind in "iu" or x.dtype.itemsize == 8 else np.float32)


def _spread(parameter: Any, x: Any, axis: int | None) -> Any:
    """A parameter with one value, or one for each index of `axis`, in a shape that broadcasts with x."""
    parameter = np.asarray(parameter)
    if axis is None or parameter.ndim == 0:
        return parameter.reshape(())
    shape = [1] * x.ndim
    shape[axis] = -1
    return parameter.reshape(shape)


def quantize(x: Any, scale: Any, zero_point: Any = 0, *, dtype: str = "int8", axis: int | None = None,
             offset: Any = None) -> Any:
    """saturate(nearest(x / scale) + zero_point); with `offset`, saturate(nearest((x - offset) / scale)).

    The quotient is that of a true division in the real type. Ties go to even. The zero point is added as an integer,
    after rounding. Infinities saturate; NaN gives the lowest code.
    """
    x = _reals(x)
    lowest, highest = LIMITS[dtype]
    scale = _spread(scale, x, axis).astype(x.dtype)
    zero_point = _spread(zero_point, x, axis).astype(np.float64)
    with np.errstate(all="ignore"):
        if offset is not None:
            x = x - _spread(offset, x, axis).astype(x.dtype)
        quotient = x / scale
    # float64 holds every float32 and every int32; sums that it would have to round lie far outside every code type.
    nearest = np.rint(quotient).astype(np.float64)
    code = np.clip(nearest + zero_point, lowest, highest)
    return np.where(np.isnan(quotient), lowest, code).astype(dtype)


def dequantize(q: Any, scale: Any, zero_point: Any = 0, *, dtype: str = "float32", axis: int | None = None,
               offset: Any = None) -> Any:
    """real(q - zero_point) * scale; with `offset`, real(q) * scale + offset, two roundings.

    The difference is exact. float64 is computed in float64; every other dtype in float32, rounded to dtype at the end.
    """
    q = np.asarray(q)
    real = np.float64 if dtype == "float64" else np.float32
    level = (q.astype(np.int64) - _spread(zero_point, q, axis).astype(np.int64)).astype(real)
    with np.errstate(all="ignore"):
        x = level * _spread(scale, q, axis).astype(real)
        if offset is not None:
            x = x + _spread(offset, q, axis).astype(real)
        return np.asarray(x, real).astype(_dtype(dtype))


def fake_quantize(x: Any, scale: Any, zero_point: Any = 0, *, dtype: str = "int8", axis: int | None = None,
                  offset: Any = None) -> Any:
    """dequantize(quantize(x)), in the real type of x; rounded to float16 or bfloat16 if x is of these."""
    x = np.asarray(x)
    q = quantize(x, scale, zero_point, dtype=dtype, axis=axis, offset=offset)
    back = x.dtype.name if x.dtype.kind not in "iu" else "float64"
    return dequantize(q, scale, zero_point, dtype=back, axis=axis, offset=offset)


def minmax(x: Any, *, axis: int | None = None) -> tuple[Any, Any]:
    """Smallest and largest value, of all of x or for each index of `axis`. A zero is +0. ValueError for NaN, infinity
    and a range of nothing.
    """
    x = _reals(x)
    ranges = 1 if axis is None else x.shape[axis]
    if (x.size == 0 and ranges > 0) or not np.isfinite(x).all():
        raise ValueError("x: expected at least one value, all finite")
    others = None if axis is None else tuple(a for a in range(x.ndim) if a != axis % x.ndim)
    zero = x.dtype.type(0)
    return np.min(x, axis=others, initial=np.inf) + zero, np.max(x, axis=others, initial=-np.inf) + zero


def qparams(lo: Any, hi: Any, dtype: str = "int8", *, symmetric: bool = True, narrow_range: bool = False,
            include_zero: bool = True) -> tuple[Any, Any]:
    """A range of reals to a scale (float32) and a zero point (int32), computed in float64, each rounded once.

    symmetric:  scale = max(|lo|, |hi|) / (highest - middle), zero_point = middle: 0, or 128 for uint8.
    asymmetric: scale = (hi - lo) / (highest - lowest), zero_point = nearest(lowest - lo / scale).
    include_zero first widens the range to hold 0, and keeps the zero point within the code type. narrow_range leaves
    out the lowest code. A range of zero has scale 1; a scale that float32 would hold as a subnormal is the smallest
    normal.
    """
    lo, hi = np.asarray(lo, np.float64), np.asarray(hi, np.float64)
    lowest, highest = LIMITS[dtype]
    middle = 0 if lowest < 0 else (highest + 1) // 2
    lowest += narrow_range
    with np.errstate(all="ignore"):
        if symmetric:
            extent = np.maximum(np.abs(lo), np.abs(hi))
            scale = extent / (highest - middle)
        else:
            if include_zero:
                lo, hi = np.minimum(lo, 0.0), np.maximum(hi, 0.0)
            extent = hi - lo
            scale = extent / (highest - lowest)
        scale = np.where(extent == 0, 1.0, np.maximum(scale, np.finfo(np.float32).tiny))
        rounded = scale.astype(np.float32)
    if not np.isfinite(rounded).all():
        raise ValueError("lo, hi: a range this wide has no float32 scale")
    if symmetric:
        return rounded[()], np.full(lo.shape, middle, np.int32)[()]
    zero_point = np.rint(lowest - lo / scale)
    if include_zero:
        zero_point = np.clip(zero_point, lowest, highest)
    elif (np.abs(zero_point + 0.5) > 2**31).any():
        raise ValueError("lo, hi: a range this far from 0 has no int32 zero point")
    return rounded[()], zero_point.astype(np.int32)[()]


def quantize_dynamic(x: Any, dtype: str = "int8", *, symmetric: bool = True, narrow_range: bool = False,
                     axis: int | None = None) -> tuple[Any, Any, Any]:
    """minmax, then qparams, then quantize."""
    scale, zero_point = qparams(*minmax(x, axis=axis), dtype, symmetric=symmetric, narrow_range=narrow_range)
    return quantize(x, scale, zero_point, dtype=dtype, axis=axis), scale, zero_point


def _dtype(name: str) -> Any:
    if name != "bfloat16":
        return np.dtype(name)
    import ml_dtypes

    return np.dtype(ml_dtypes.bfloat16)
