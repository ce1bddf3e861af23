"""Kernels with the rounding rules of other libraries, for fastquant.compat.

The rules are those of _reference.RULES: how x, a scale and an offset make the number that is rounded to a level, to
which the zero point is added; the code is limited to `limits` (default: those of dtype).

    divide           (x - offset) / scale
    floor            floor((x - offset) / scale)
    multiply         (x - offset) * scale          and back: (q - zero_point) / scale + offset
    multiply_shift   x * scale + offset

Scales are finite and > 0, zero points int32, offsets finite: numbers, or with axis or block_size arrays of the shape
that fq.quantize takes. precision: "float64" to compute in float64 whatever the type of x or of the result; "float16" or
"bfloat16" to round x and the result of each operation to that type. Arrays are NumPy's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastquant import _kernels
from fastquant._arguments import Array, code_input, read_offset, read_scale, read_zero_point, real_input
from fastquant._dtypes import arithmetic_dtype, code_type, real_dtype
from fastquant._grid import Grid, grid_of
from fastquant._output import Output

Limits = tuple[int, int]

_ZERO = np.zeros((), np.int32)


def _arithmetic(dtype: np.dtype[Any], precision: str | None) -> np.dtype[Any]:
    return np.dtype(np.float64) if precision == "float64" else arithmetic_dtype(dtype) or np.dtype(np.float32)


def _read(scale: Any, zero_point: Any, offset: Any, real: Any, grid: Grid, codes: Any) -> Any:
    offsets = read_offset(offset, _ZERO, real, grid)  # beside zero points, which other libraries have too
    return read_scale(scale, real, grid), read_zero_point(zero_point, grid, codes), offsets


def _parameters(scale: Any, zero_point: Any, offset: Any, real: Any, grid: Grid, codes: Any, target: Output) -> Any:
    read = _kernels.under_defaults(_read, scale, zero_point, offset, real, grid, codes)
    return tuple(target.keep_apart(p) for p in read)


def quantize(
    x: Any, scale: Any, zero_point: Any = 0, *, rule: str, dtype: Any, limits: Limits | None = None, axis: Any = None,
    block_size: int | None = None, offset: Any = None, precision: str | None = None, out: Any = None,
) -> Array:  # fmt: skip
    """Codes of reals: an array of dtype, an integer code type."""
    q = _kernels.quantize_by(rule, x, scale, zero_point, dtype, limits, axis, block_size, offset, precision, out)
    if q is not NotImplemented:
        return q
    codes = code_type(dtype)
    a = real_input(x)
    grid = grid_of(a.shape, axis, block_size)
    target = Output(out, a, a.shape, codes.dtype)
    parameters = _parameters(scale, zero_point, offset, _arithmetic(a.dtype, precision), grid, codes, target)
    where = grid.strides, grid.block_axis, grid.block
    _kernels.run("quantize", a, target.array, parameters, codes.row, *where, False, False, precision, rule, limits)
    return target.finish()


def dequantize(
    q: Any, scale: Any, zero_point: Any = 0, *, rule: str = "divide", dtype: Any = "float32", axis: Any = None,
    block_size: int | None = None, offset: Any = None, precision: str | None = None, out: Any = None,
) -> Array:  # fmt: skip
    """Reals of codes; rule "divide" (which multiplies: fq.dequantize's own) or "multiply". dtype float32 or float64
    where precision is "float64"."""
    x = _kernels.dequantize_by(rule, q, scale, zero_point, dtype, axis, block_size, offset, precision, out)
    if x is not NotImplemented:
        return x
    wanted = real_dtype(dtype)
    a, codes = code_input(q)
    grid = grid_of(a.shape, axis, block_size)
    target = Output(out, a, a.shape, wanted)
    parameters = _parameters(scale, zero_point, offset, _arithmetic(wanted, precision), grid, codes, target)
    where = grid.strides, grid.block_axis, grid.block
    _kernels.run("dequantize", a, target.array, parameters, codes.row, *where, False, False, precision, rule)
    return target.finish()


def signs(x: Any) -> Array:
    """Whether x > 0, a bit each, eight a byte along the last axis, the first in the high bit; spare bits are 0."""
    a = real_input(x)
    if a.ndim == 0:
        raise ValueError("x: got an array of shape (), expected one with an axis to pack along")
    return _kernels.signs(a)
