"""The public functions for every call that is not of the plainest kind (see _kernels.pyx): check the arguments, then
make one kernel call.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastquant import _kernels
from fastquant._arguments import (
    Array,
    check_code_type,
    check_flag,
    check_packed,
    check_saturate,
    choose_code_type,
    code_input,
    kind_of,
    packed_input,
    packed_shape,
    read_offset,
    read_scale,
    read_zero_point,
    real_input,
)
from fastquant._dtypes import PACKED_TYPES, CodeType, arithmetic_dtype, code_type, real_dtype
from fastquant._fixed import fixed, fixed_back
from fastquant._grid import Grid, grid_of, index_of
from fastquant._output import Output
from fastquant._ranges import check_not_empty, extremes, limits, params_of, qparams
from fastquant._results import Quantized, Range

__all__ = [
    "dequantize", "fake_quantize", "fixed", "fixed_back", "minmax", "pack", "qparams", "quantize", "quantize_dynamic",
    "requantize", "unpack",
]  # fmt: skip

_UINT8 = np.dtype(np.uint8)


def _run(
    kernel: str,
    src: Array,
    target: Output,
    real: np.dtype[Any],
    codes: CodeType,
    parameters: tuple[Any, Any, Any],
    grid: Grid,
    packed: bool = False,
    beyond: bool = False,
    precision: str | None = None,
) -> Array:
    """One kernel call, when all has been checked that can be."""
    scale, zero_point, offset = parameters
    scales = read_scale(scale, real, grid)
    zero_points = read_zero_point(zero_point, grid, codes)
    offsets = read_offset(offset, zero_points, real, grid)
    apart = target.keep_apart(scales), target.keep_apart(zero_points), target.keep_apart(offsets)
    where = grid.strides, grid.block_axis, grid.block
    _kernels.run(kernel, src, target.array, apart, codes.row, *where, packed, beyond, precision)
    return target.finish()


def _arithmetic(a: Array) -> np.dtype[Any]:
    dtype = arithmetic_dtype(a.dtype)
    assert dtype is not None
    return dtype


def quantize(
    x: Any, scale: Any, zero_point: Any, dtype: Any, axis: Any, block_size: Any, packed: Any, offset: Any,
    saturate: Any, out: Any, precision: str | None = None,
) -> Array:  # fmt: skip
    """precision: "float16" or "bfloat16", to which x and the quotients are then rounded, as in the ONNX operators."""
    packs = check_flag(packed, "packed")
    codes = choose_code_type(dtype, zero_point, None if packs else out)
    beyond = not check_saturate(saturate, codes)
    a = real_input(x)
    packs = check_packed(packs, codes, a.shape)
    grid = grid_of(a.shape, axis, block_size)
    shape, made = (packed_shape(a.shape, codes), _UINT8) if packs else (a.shape, codes.dtype)
    target = Output(out, a, shape, made, packed=packs)
    parameters = scale, zero_point, offset
    return _run("quantize", a, target, _arithmetic(a), codes, parameters, grid, packs, beyond, precision)


def _full_shape(a: Array, codes: CodeType, out: Any) -> tuple[int, ...]:
    """Shape of packed codes: that of out, which alone tells whether the last byte is full."""
    full = (*a.shape[:-1], a.shape[-1] * codes.packs)
    if isinstance(out, np.ndarray) and out.ndim == a.ndim and packed_shape(out.shape, codes) == a.shape:
        return out.shape
    return full


def dequantize(
    q: Any, scale: Any, zero_point: Any, dtype: Any, axis: Any, block_size: Any, packed: Any, offset: Any, out: Any
) -> Array:
    wanted = real_dtype(dtype)
    packs = packed is not None and packed is not False
    a, codes = packed_input(q, packed) if packs else code_input(q)
    shape = _full_shape(a, codes, out) if packs else a.shape
    grid = grid_of(shape, axis, block_size)
    target = Output(out, a, shape, wanted)
    real = np.dtype(np.float64) if wanted == np.float64 else np.dtype(np.float32)
    return _run("dequantize", a, target, real, codes, (scale, zero_point, offset), grid, packs)


def fake_quantize(
    x: Any, scale: Any, zero_point: Any, dtype: Any, axis: Any, block_size: Any, offset: Any, saturate: Any, out: Any
) -> Array:
    codes = code_type(dtype)
    check_code_type(codes, zero_point)
    beyond = not check_saturate(saturate, codes)
    a = real_input(x)
    grid = grid_of(a.shape, axis, block_size)
    target = Output(out, a, a.shape, a.dtype.newbyteorder("="), in_place=True)
    return _run("fake_quantize", a, target, _arithmetic(a), codes, (scale, zero_point, offset), grid, beyond=beyond)


def minmax(x: Any, axis: Any, block_size: Any) -> Range:
    a = real_input(x)
    lo, hi = extremes(a, grid_of(a.shape, axis, block_size))
    return Range(lo[()], hi[()])


def _quantize_rows(
    a: Array, target: Output, codes: CodeType, grid: Grid, packs: bool, ends: tuple[float, float], symmetric: bool
) -> tuple[Array, Array] | None:
    """Scales and zero points, if each row could be quantized as soon as its range was found."""
    lo = np.empty(grid.shape, _arithmetic(a))
    scale, zero_point = np.empty(grid.shape, np.float32), np.empty(grid.shape, np.int32)
    wide = scale if lo.dtype == scale.dtype else np.empty_like(lo)
    where = grid.strides, grid.block_axis, grid.block
    found = lo, np.empty_like(lo), scale, zero_point, wide
    if _kernels.quantize_rows(a, target.array, found, codes.row, *where, packs, *ends, symmetric):
        return scale, zero_point
    return None


def quantize_dynamic(
    x: Any, dtype: Any, symmetric: bool, narrow_range: bool, axis: Any, block_size: Any, packed: Any, out: Any
) -> Quantized:
    codes = code_type(dtype)
    ends = limits(codes, symmetric, narrow_range)
    a = real_input(x)
    packs = check_packed(packed, codes, a.shape)
    grid = grid_of(a.shape, axis, block_size)
    shape, made = (packed_shape(a.shape, codes), _UINT8) if packs else (a.shape, codes.dtype)
    target = Output(out, a, shape, made, packed=packs)
    check_not_empty(a, grid)
    # One pass over x writes codes before it has seen all of x. Only a new array may be left half-written by an error.
    rows = _quantize_rows(a, target, codes, grid, packs, ends, symmetric) if out is None and a.size else None
    if rows is None:
        lo, hi = extremes(a, grid)
        wide = lo.astype(np.float64), hi.astype(np.float64)
        rows = params_of(*wide, codes, symmetric, narrow_range, True, "x")
        parameters = rows[0].astype(lo.dtype, copy=False), rows[1], None
        where = grid.strides, grid.block_axis, grid.block
        _kernels.run("quantize", a, target.array, parameters, codes.row, *where, packs)
    return Quantized(target.finish(), rows[0][()], rows[1][()])


def requantize(
    q: Any, scale: Any, zero_point: Any, new_scale: Any, new_zero_point: Any, dtype: Any, axis: Any, out: Any
) -> Array:
    codes = code_type(dtype)
    a, old = code_input(q)
    grid = grid_of(a.shape, axis, None)
    target = Output(out, a, a.shape, codes.dtype, in_place=True)
    single = np.dtype(np.float32)
    scales = read_scale(scale, single, grid), read_scale(new_scale, single, grid, "new_scale")
    zero_points = (
        read_zero_point(zero_point, grid, old, offsets=False),
        read_zero_point(new_zero_point, grid, codes, "new_zero_point", offsets=False),
    )
    before, after = (
        (target.keep_apart(s), target.keep_apart(z), None) for s, z in zip(scales, zero_points, strict=True)
    )
    _kernels.run_pair(a, target.array, before, old.row, after, codes.row, grid.strides)
    return target.finish()


def pack(q: Any) -> Array:
    expected = f"an array of codes of 4 or 2 bits: {', '.join(PACKED_TYPES)}"
    a, codes = code_input(q, "q", expected)
    if codes.packs == 1:
        raise TypeError(f"q: got {kind_of(q, a)}, expected {expected}")
    if a.ndim == 0:
        raise ValueError("q: got an array of shape (), expected one with an axis to pack along")
    packed = _kernels.empty(packed_shape(a.shape, codes), _UINT8)
    _kernels.repack(a, packed, codes.row, False)
    return packed


def _shape(shape: Any) -> tuple[int, ...]:
    """An integer, or several, as NumPy takes shapes."""
    problem = f"shape: got {shape!r}, expected an integer or a tuple of integers"
    try:
        lengths = (shape,) if hasattr(shape, "__index__") and not np.ndim(shape) else tuple(shape)
    except TypeError:
        raise TypeError(problem) from None
    return tuple(index_of(n, problem) for n in lengths)


def unpack(p: Any, dtype: Any, shape: Any) -> Array:
    codes = code_type(dtype)
    if codes.packs == 1:
        raise ValueError(f"dtype: got {codes.name}, expected one of 4 or 2 bits: {', '.join(PACKED_TYPES)}")
    a, _ = packed_input(p, codes.name, "p")
    wanted = _shape(shape)
    if not wanted or min(wanted) < 0 or packed_shape(wanted, codes) != a.shape:
        raise ValueError(f"shape: got {wanted}, expected one of {codes.name} that packs into {a.shape}, the shape of p")
    codes_out = _kernels.empty(wanted, codes.dtype)
    _kernels.repack(a, codes_out, codes.row, True)
    return codes_out
