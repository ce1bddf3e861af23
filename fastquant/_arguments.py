"""Reading arguments: each function returns what a kernel takes, or raises an error that names the argument, what it got
and what it takes.

TypeError for a wrong kind, ValueError for a wrong value or shape. Nothing here writes to an array of the caller's.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from fastquant._dtypes import CODE_TYPES, REAL_TYPES, CodeType, arithmetic_dtype, code_type

Array = np.ndarray[Any, np.dtype[Any]]

_REALS = "an array of " + ", ".join(REAL_TYPES)
_CODES = "an array of " + " or ".join(CODE_TYPES)


def _as_array(value: Any, argument: str, expected: str) -> Array:
    try:
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{argument}: got {type(value).__name__}, expected {expected} ({error})") from None


def _contiguous(a: Array, dtype: np.dtype[Any]) -> Array:
    with np.errstate(over="ignore"):
        return np.require(np.asarray(a), dtype, ["C_CONTIGUOUS", "ALIGNED"])


def real_input(x: Any, argument: str = "x") -> Array:
    """x as an array of reals, in the layout and type that it has. Lists of Python numbers are float64."""
    a = _as_array(x, argument, _REALS)
    if arithmetic_dtype(a.dtype) is not None:
        return a
    # An array of integers is more likely to be codes than reals; Python numbers are numbers.
    if a.dtype.kind in "iu" and not hasattr(x, "dtype"):
        return a.astype(np.float64)
    if a.size == 0 and not hasattr(x, "dtype"):
        return a.astype(np.float64)
    raise TypeError(f"{argument}: got an array of {a.dtype}, expected {_REALS}")


def as_reals(a: Array) -> Array:
    """An array of reals, contiguous and in the type that arithmetic runs in: a view where it is so already."""
    dtype = arithmetic_dtype(a.dtype)
    assert dtype is not None
    return _contiguous(a, dtype)


def as_codes(q: Any, argument: str = "q") -> tuple[Array, CodeType]:
    """q as a contiguous array of codes, and their type."""
    a = _as_array(q, argument, _CODES)
    name = a.dtype.newbyteorder("=").name
    if name not in CODE_TYPES:
        raise TypeError(f"{argument}: got an array of {a.dtype}, expected {_CODES}")
    return _contiguous(a, CODE_TYPES[name].dtype), CODE_TYPES[name]


def check_axis(axis: Any, shape: tuple[int, ...]) -> int | None:
    """axis as an index from 0 on, or None."""
    if axis is None:
        return None
    try:
        index = operator.index(axis)
    except TypeError:
        raise TypeError(f"axis: got {axis!r}, expected None or an integer") from None
    if not -len(shape) <= index < len(shape):
        raise ValueError(f"axis: got {index}, expected an axis of an array of shape {shape}")
    return index % len(shape)


def layout(shape: tuple[int, ...], axis: int | None) -> tuple[int, int, int]:
    """A contiguous array's shape as (outer, channels, inner): one set of parameters for each channel."""
    if axis is None or shape[axis] == 1:
        return 1, 1, math.prod(shape)
    return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])


def _parameter(value: Any, argument: str, expected: str, kinds: str, shape: tuple[int, ...], axis: int | None) -> Array:
    """A parameter with one value or, with an axis, one for each index of it."""
    a = _as_array(value, argument, expected)
    if (a.dtype.kind not in kinds and arithmetic_dtype(a.dtype) is None) or a.dtype.kind == "b":
        raise TypeError(f"{argument}: got {a.dtype}, expected {expected}")
    if a.ndim == 0:
        return a
    if axis is None:
        if a.shape == (1,):
            return a
        raise ValueError(
            f"{argument}: got shape {a.shape}, expected one number; for one of each channel, give axis"
        )
    if a.shape != (shape[axis],):
        raise ValueError(
            f"{argument}: got shape {a.shape}, expected one number or shape ({shape[axis]},), the length of axis {axis}"
        )
    return a


def _first(a: Array, wrong: Array) -> str:
    """The first wrong value of a parameter, and where it is if there are several values."""
    i = int(np.argmax(wrong))
    return f"{a.flat[i]}" + (f" at index {i}" if a.ndim else "")


def _per_channel(a: Array, dtype: np.dtype[Any], channels: int) -> Array:
    if a.size != channels:
        a = np.broadcast_to(a.reshape(-1)[:1], (channels,))
    return _contiguous(a, dtype).reshape(channels)


def read_scale(scale: Any, real: np.dtype[Any], shape: tuple[int, ...], axis: int | None, argument: str = "scale") -> Array:
    a = _parameter(scale, argument, "finite numbers > 0", "fiu", shape, axis)
    rounded = _contiguous(a, real)
    wrong = ~((rounded > 0) & np.isfinite(rounded))
    if wrong.any():
        unlike = a if (a.astype(np.float64) > 0).all() and np.isfinite(a.astype(np.float64)).all() else None
        how = f" in {real.name}" if unlike is not None else ""
        raise ValueError(f"{argument}: got {_first(a, wrong)}, expected finite numbers > 0{how}")
    return _per_channel(rounded.reshape(a.shape), real, layout(shape, axis)[1])


def read_zero_point(zero_point: Any, shape: tuple[int, ...], axis: int | None, argument: str = "zero_point") -> Array:
    expected = "int32 integers"
    a = _as_array(zero_point, argument, expected)
    if a.dtype.kind not in "iu":
        if a.dtype.kind == "O" and all(isinstance(v, int) for v in a.flat):
            raise ValueError(f"{argument}: got integers beyond 64 bits, expected {expected}")
        hint = "; a real offset goes into offset" if a.dtype.kind == "f" else ""
        raise TypeError(f"{argument}: got {a.dtype}, expected {expected}{hint}")
    a = _parameter(a, argument, expected, "iu", shape, axis)
    wrong = (a < -(2**31)) | (a > 2**31 - 1)
    if wrong.any():
        raise ValueError(f"{argument}: got {_first(a, wrong)}, expected {expected}")
    return _per_channel(a, np.dtype(np.int32), layout(shape, axis)[1])


def read_offset(offset: Any, zero_point: Array, real: np.dtype[Any], shape: tuple[int, ...], axis: int | None) -> Array:
    channels = layout(shape, axis)[1]
    if offset is None:
        return np.zeros(channels, real)
    if zero_point.any():
        raise ValueError("offset: got an offset and a zero_point other than 0, expected one of the two")
    a = _parameter(offset, "offset", "finite numbers", "fiu", shape, axis)
    rounded = _contiguous(a, real)
    wrong = ~np.isfinite(rounded)
    if wrong.any():
        raise ValueError(f"offset: got {_first(a, wrong)}, expected finite numbers in {real.name}")
    return _per_channel(rounded.reshape(a.shape), real, channels)


def choose_code_type(dtype: Any, zero_point: Any, out: Any) -> CodeType:
    """dtype; without one, the zero point's if NumPy gave it one that codes have; else out's; else int8.

    An int32 or int64 zero point, such as qparams returns or a list becomes, says nothing about the codes.
    """
    if dtype is not None:
        return code_type(dtype)
    own = getattr(zero_point, "dtype", None)
    if isinstance(own, np.dtype) and own.kind in "iu" and own.itemsize < 4:
        return code_type(own, "zero_point")
    if isinstance(out, np.ndarray) and out.dtype.name in CODE_TYPES:
        return CODE_TYPES[out.dtype.name]
    return CODE_TYPES["int8"]


class Output:
    """Where a result goes: a kernel writes `array`, then `finish` puts it where the caller wants it.

    Both are one array unless `out` has a layout that kernels do not write, shares memory with the input in a way that
    they do not allow, or has another type than they compute.
    """

    def __init__(self, out: Any, like: Array, dtype: np.dtype[Any], computed: np.dtype[Any], in_place: bool = False):
        if out is None:
            self.out = np.empty(like.shape, dtype)
            direct = dtype == computed
        else:
            self.out = _writable(out, like.shape, dtype)
            apart = not np.may_share_memory(out, like)
            same = in_place and out.ctypes.data == like.ctypes.data
            direct = out.dtype == computed and out.flags.carray and (apart or same)
        self.array = np.asarray(self.out) if direct else np.empty(like.shape, computed)
        self._direct = direct

    def finish(self) -> Array:
        if not self._direct:
            with np.errstate(over="ignore"):
                np.copyto(self.out, self.array, casting="unsafe")
        return self.out


def _writable(out: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out: got {type(out).__name__}, expected a NumPy array of {dtype.name}")
    if out.dtype.newbyteorder("=") != dtype:
        raise TypeError(f"out: got an array of {out.dtype}, expected {dtype.name}")
    if out.shape != shape:
        raise ValueError(f"out: got shape {out.shape}, expected {shape}")
    if not out.flags.writeable:
        raise ValueError("out: got a read-only array, expected one that can be written")
    return out
