"""The public functions for every call that is not of the plainest kind (see _kernels.pyx): check the arguments, bring
them into the form that kernels take, make one kernel call.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastquant import _kernels
from fastquant._arguments import (
    Array,
    Output,
    as_codes,
    as_reals,
    check_axis,
    check_code_type,
    choose_code_type,
    layout,
    read_offset,
    read_scale,
    read_zero_point,
    real_input,
)
from fastquant._dtypes import CodeType, code_type, real_dtype
from fastquant._ranges import extremes, params_of, qparams
from fastquant._results import Quantized, Range

__all__ = ["dequantize", "fake_quantize", "minmax", "qparams", "quantize", "quantize_dynamic"]


def _run(
    kernel: str,
    src: Array,
    target: Output,
    real: np.dtype[Any],
    codes: CodeType,
    parameters: tuple[Any, Any, Any],
    axis: int | None,
) -> Array:
    """One kernel call, when all has been checked that can be."""
    shape = src.shape
    rows = layout(shape, axis)
    scale, zero_point, offset = parameters
    scales = read_scale(scale, real, shape, axis, rows[1])
    zero_points = read_zero_point(zero_point, shape, axis, rows[1])
    offsets = read_offset(offset, zero_points, real, shape, axis, rows[1])
    if src.size:
        # out may be, or overlap, an array of parameters.
        scales, zero_points, offsets = (
            p.copy() if np.may_share_memory(p, target.array) else p for p in (scales, zero_points, offsets)
        )
        _kernels.run(kernel, src, target.array, scales, zero_points, offsets, codes.row, *rows)
    return target.finish()


def quantize(x: Any, scale: Any, zero_point: Any, dtype: Any, axis: Any, offset: Any, out: Any) -> Array:
    codes = choose_code_type(dtype, zero_point, out)
    a = as_reals(real_input(x))
    axis = check_axis(axis, a.shape)
    target = Output(out, a, codes.dtype, codes.dtype)
    return _run("quantize", a, target, a.dtype, codes, (scale, zero_point, offset), axis)


def dequantize(q: Any, scale: Any, zero_point: Any, dtype: Any, axis: Any, offset: Any, out: Any) -> Array:
    wanted = real_dtype(dtype)
    real = np.dtype(np.float64) if wanted == np.float64 else np.dtype(np.float32)
    a, codes = as_codes(q)
    axis = check_axis(axis, a.shape)
    target = Output(out, a, wanted, real)
    return _run("dequantize", a, target, real, codes, (scale, zero_point, offset), axis)


def fake_quantize(x: Any, scale: Any, zero_point: Any, dtype: Any, axis: Any, offset: Any, out: Any) -> Array:
    codes = code_type(dtype)
    check_code_type(codes, zero_point)
    given = real_input(x)
    a = as_reals(given)
    axis = check_axis(axis, a.shape)
    target = Output(out, a, given.dtype.newbyteorder("="), a.dtype, in_place=True)
    return _run("fake_quantize", a, target, a.dtype, codes, (scale, zero_point, offset), axis)


def minmax(x: Any, axis: Any) -> Range:
    a = as_reals(real_input(x))
    axis = check_axis(axis, a.shape)
    lo, hi = extremes(a, axis)
    return Range(lo[0], hi[0]) if axis is None else Range(lo, hi)


def quantize_dynamic(x: Any, dtype: Any, symmetric: Any, narrow_range: Any, axis: Any, out: Any) -> Quantized:
    codes = code_type(dtype)
    a = as_reals(real_input(x))
    axis = check_axis(axis, a.shape)
    target = Output(out, a, codes.dtype, codes.dtype)
    lo, hi = extremes(a, axis)
    ends = lo.astype(np.float64), hi.astype(np.float64)
    scale, zero_point = params_of(*ends, codes, symmetric, narrow_range, True, "x")
    if a.size:
        rows = layout(a.shape, axis)
        scales = scale.astype(a.dtype, copy=False)
        _kernels.run("quantize", a, target.array, scales, zero_point, np.zeros_like(scales), codes.row, *rows)
    q = target.finish()
    return Quantized(q, scale[0], zero_point[0]) if axis is None else Quantized(q, scale, zero_point)
