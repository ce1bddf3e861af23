"""Parameters that are checked before there is an array for them: of Quantizer and Dequantizer."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from fastquant._arguments import (
    as_array,
    check_packed,
    check_saturate,
    choose_code_type,
    packed_type,
    read_offset,
    read_scale,
    read_zero_point,
)
from fastquant._dtypes import CODE_TYPES, CodeType, real_dtype
from fastquant._grid import Grid, grid_of

_FLOAT32, _FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
_MOST_AXES = 64  # of NumPy's arrays


def _places(axis: Any, block_size: Any) -> tuple[Any, int | None, int | None]:
    """axis and block_size as integers, and how many dimensions parameters have; None: as many as x."""
    for a in axis if isinstance(axis, tuple) else (axis,):
        if isinstance(a, (int, np.integer)) and not -_MOST_AXES <= a < _MOST_AXES:
            raise ValueError(f"axis: got {a}, expected an axis of an array, which has {_MOST_AXES} at most")
    grid_of((1,) * _MOST_AXES, axis, block_size)  # raises what else there is to say
    if isinstance(axis, tuple):
        axis = tuple(operator.index(a) for a in axis)
    elif axis is not None:
        axis = operator.index(axis)
    if block_size is not None:
        return axis, operator.index(block_size), None
    return axis, None, len(axis) if isinstance(axis, tuple) else 0 if axis is None else 1


def _shape(parameters: dict[str, Any], rank: int | None, axes: tuple[int, ...]) -> tuple[int, ...]:
    """That of the first that is no single number: the others are compared with it."""
    shapes = {name: np.shape(parameter) for name, parameter in parameters.items() if np.ndim(parameter)}
    fitting = [shape for shape in shapes.values() if rank is None or len(shape) == rank]
    if shapes and not fitting:
        name, shape = next(iter(shapes.items()))
        wanted = f"1 dimension, the length of axis {axes[0]}"
        if rank != 1:
            wanted = f"{rank} dimensions, the lengths of axes {axes}"
        raise ValueError(f"{name}: got shape {shape}, expected one number or {wanted}")
    return fitting[0] if fitting else (1,) * (rank or 0)


def _frozen(a: Any) -> Any:
    """A number, or a copy on memory that nobody can write to."""
    if a is None or a.ndim == 0:
        return None if a is None else a.item()
    return np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape)


def _in_float32(read: Any, wide: Any) -> tuple[Any, bool]:
    """A parameter rounded to float32 at once, and whether it has a value there; else the float64 one, rounded."""
    try:
        return read(_FLOAT32), True
    except ValueError:
        with np.errstate(all="ignore"):
            return wide.astype(np.float32), False


def _checked(scale: Any, zero_point: Any, offset: Any, axis: Any, block_size: Any, codes: CodeType) -> tuple[Any, ...]:
    axis, block_size, rank = _places(axis, block_size)
    several = rank != 0
    given = {"scale": scale, "zero_point": zero_point, "offset": offset}
    given = {name: as_array(value, name) for name, value in given.items()}
    scale, zero_point, offset = given.values()
    axes = axis if isinstance(axis, tuple) else () if axis is None else (axis,)
    shape = _shape(given, rank, axes) if several else ()
    cut = axes[0] if axes else -1
    grid = Grid(shape, (), cut if block_size else 0, block_size or 0, (axes or (cut,)) if several else ())
    scales = read_scale(scale, _FLOAT64, grid)
    zero_points = read_zero_point(zero_point, grid, codes)
    offsets = read_offset(offset, zero_points, _FLOAT64, grid)
    scales32, fits = _in_float32(lambda real: read_scale(scale, real, grid), scales)
    offsets32, also = None, True
    if offsets is not None:
        offsets32, also = _in_float32(lambda real: read_offset(offset, zero_points, real, grid), offsets)
    if not several:
        scales, scales32, zero_points = scales.reshape(()), scales32.reshape(()), zero_points.reshape(())
        offsets, offsets32 = (None if o is None else o.reshape(()) for o in (offsets, offsets32))
    numbers = tuple(_frozen(a) for a in (scales32, scales, offsets32, offsets, zero_points))
    return numbers[1], numbers[4], numbers[3], axis, block_size, fits and also, numbers


def fixed(
    scale: Any, zero_point: Any, offset: Any, axis: Any, block_size: Any, dtype: Any, packed: Any, saturate: Any
) -> tuple[CodeType, tuple[Any, ...]]:
    codes = choose_code_type(dtype, zero_point, None)
    check_packed(packed, codes, (1,))
    check_saturate(saturate, codes)
    return codes, _checked(scale, zero_point, offset, axis, block_size, codes)


def fixed_back(
    scale: Any, zero_point: Any, offset: Any, axis: Any, block_size: Any, dtype: Any, packed: Any
) -> tuple[Any, CodeType | None, tuple[Any, ...]]:
    codes = None if packed is None or packed is False else packed_type(packed)
    wanted = real_dtype(dtype)
    # The codes that it is called with decide. Zeros of a float type are none but that type's.
    likely = codes or choose_code_type(None, zero_point, None)
    likely = likely if likely.is_float else codes or CODE_TYPES["int8"]
    return wanted, codes, _checked(scale, zero_point, offset, axis, block_size, likely)
