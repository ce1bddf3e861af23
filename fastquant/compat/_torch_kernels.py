"""The kernels, with parameters that need no more reading: what _rules.quantize and its like do, without the
microseconds that it takes them to read any argument. Arrays of parameters are contiguous, scales and offsets of the
type of the arithmetic (float32; float64 for float64 x or precision="float64"), zero points int32.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from fastquant import _kernels
from fastquant._dtypes import CODE_TYPES
from fastquant.compat._torch_tensors import Array

_ROWS = {name: codes.row for name, codes in CODE_TYPES.items()}
ZERO = np.zeros((), np.int32)


class Cut(NamedTuple):
    """How many elements of a parameter a step along each axis of x is; on one axis, if any, so many steps are."""

    strides: tuple[int, ...]
    block_axis: int = 0
    block: int = 0


@lru_cache
def whole(ndim: int) -> Cut:
    return Cut((0,) * ndim)


@lru_cache
def along(axis: int, ndim: int) -> Cut:
    """A parameter for each index of an axis >= 0."""
    return Cut((*(0,) * axis, 1, *(0,) * (ndim - axis - 1)))


_ROWS_OF_A_MATRIX = Cut((1, 0))


def by_token(x: Array, out: Array) -> tuple[Array, Array, Cut]:
    """A parameter for each row along the last axis; the arrays with all others in one, if they are contiguous."""
    n = x.shape[-1]
    if x.ndim == 2:
        return x, out, _ROWS_OF_A_MATRIX
    if x.flags.c_contiguous and out.flags.c_contiguous:
        return x.reshape(-1, n), out.reshape(-1, n), _ROWS_OF_A_MATRIX
    tokens = x.shape[:-1]
    return x, out, Cut((*(math.prod(tokens[i + 1 :]) for i in range(len(tokens))), 0))


def groups(per_row: int, group: int) -> Cut:
    """A parameter for each so many elements of a matrix's rows."""
    return Cut((per_row, 1), 1, group)


def quantize(
    x: Array, out: Array, codes: str, rule: str, limits: tuple[int, int], scale: Array, zero_point: Array,
    offset: Array | None, cut: Cut, precision: str | None,
) -> None:  # fmt: skip
    strides, axis, block = cut
    parameters = scale, zero_point, offset
    _kernels.run(
        "quantize", x, out, parameters, _ROWS[codes], strides, axis, block, False, False, precision, rule, limits
    )


def dequantize(
    q: Array, out: Array, codes: str, scale: Array, zero_point: Array, cut: Cut, precision: str | None
) -> None:
    strides, axis, block = cut
    parameters = scale, zero_point, None
    _kernels.run("dequantize", q, out, parameters, _ROWS[codes], strides, axis, block, False, False, precision)


def fake_quantize(
    x: Array, out: Array, limits: tuple[int, int], inverse: Array, scale: Array, zero_point: Array, cut: Cut
) -> None:
    """limits within int16 or uint16; an axis at most is cut, into no blocks."""
    codes = code_type_of(limits)
    first, second = (inverse, zero_point, None), (scale, zero_point, None)
    _kernels.run_back(x, out, first, second, _ROWS[codes], limits, cut.strides)


def code_type_of(limits: tuple[int, int]) -> str:
    return "int16" if limits[0] < 0 or limits[1] < 2**15 else "uint16"


def one(parameter: Any, dtype: Any) -> Array:
    """A number as a parameter of all of x."""
    return np.array(parameter, dtype)
