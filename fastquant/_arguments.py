"""Reading arguments: each function returns what a kernel takes, or raises an error that names the argument, what it got
and what it takes.

TypeError for a wrong kind, ValueError for a wrong value or shape. Nothing here writes to an array of the caller's.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from fastquant import _kernels
from fastquant._dtypes import CODE_TYPES, REAL_TYPES, CodeType, arithmetic_dtype, code_type, code_type_of

Array = np.ndarray[Any, np.dtype[Any]]

_REALS = "an array of " + ", ".join(REAL_TYPES)
_CODES = "an array of " + " or ".join(CODE_TYPES)
_INT32 = np.dtype(np.int32)


def _as_array(value: Any, argument: str, expected: str) -> Array:
    if type(value) is np.ndarray:
        return value
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{argument}: got a masked array, expected {expected}; fill it first, its mask would be lost")
    try:
        if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
            return np.from_dlpack(value)
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError, BufferError) as error:
        raise TypeError(f"{argument}: got {type(value).__name__}, expected {expected} ({error})") from None


def _kind(value: Any, a: Array) -> str:
    """What the caller gave, in the caller's terms: a is what NumPy made of it."""
    if not hasattr(value, "dtype") and a.ndim == 0:
        return repr(value) if value is None or isinstance(value, (bool, str)) else type(value).__name__
    what = "an array" if hasattr(value, "dtype") else f"a {type(value).__name__}"
    return f"{what} of {a.dtype}" if a.ndim else str(a.dtype)


def _contiguous(a: Array, dtype: np.dtype[Any]) -> Array:
    """a, if it is contiguous, aligned and of that type, or else a copy that is."""
    flags = a.flags
    if a.dtype == dtype and flags.c_contiguous and flags.aligned:
        return a
    with np.errstate(all="ignore"):
        return a.astype(dtype, order="C")


def real_input(x: Any, argument: str = "x") -> Array:
    """x as an array of reals, in the layout and type that it has. Lists of Python numbers are float64."""
    a = _as_array(x, argument, _REALS)
    if arithmetic_dtype(a.dtype) is not None:
        return np.asarray(a)
    # An array of integers is more likely to be codes than reals; Python numbers are numbers.
    if not hasattr(x, "dtype") and (a.dtype.kind in "iu" or a.size == 0):
        return a.astype(np.float64)
    raise TypeError(f"{argument}: got {_kind(x, a)}, expected {_REALS}")


def as_reals(a: Array) -> Array:
    """An array of reals, contiguous and in the type that arithmetic runs in; itself where it is so already."""
    dtype = arithmetic_dtype(a.dtype)
    assert dtype is not None
    return _contiguous(a, dtype)


def as_codes(q: Any, argument: str = "q") -> tuple[Array, CodeType]:
    """q as a contiguous array of codes, and their type."""
    a = _as_array(q, argument, _CODES)
    codes = code_type_of(a.dtype)
    if codes is None:
        raise TypeError(f"{argument}: got {_kind(q, a)}, expected {_CODES}")
    return _contiguous(np.asarray(a), codes.dtype), codes


def check_axis(axis: Any, shape: tuple[int, ...]) -> int | None:
    """axis as an index from 0 on, or None."""
    if axis is None:
        return None
    problem = f"axis: got {axis!r}, expected None or an integer"
    if isinstance(axis, bool):
        raise TypeError(problem)
    try:
        index = operator.index(axis)
    except TypeError:
        raise TypeError(problem) from None
    if not -len(shape) <= index < len(shape):
        raise ValueError(f"axis: got {index}, expected an axis of an array of shape {shape}")
    return index % len(shape)


def layout(shape: tuple[int, ...], axis: int | None) -> tuple[int, int, int]:
    """A contiguous array's shape as (outer, channels, inner): one set of parameters for each channel."""
    if axis is None or shape[axis] == 1:
        return 1, 1, math.prod(shape)
    return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])


def _check_shape(a: Array, argument: str, shape: tuple[int, ...], axis: int | None) -> None:
    """A parameter has one value or, with an axis, one for each index of it."""
    if a.ndim == 0 or a.shape == (1 if axis is None else shape[axis],):
        return
    if axis is None:
        raise ValueError(f"{argument}: got shape {a.shape}, expected one number; for one of each channel, give axis")
    raise ValueError(
        f"{argument}: got shape {a.shape}, expected one number or shape ({shape[axis]},), the length of axis {axis}"
    )


def _spread(a: Array, dtype: np.dtype[Any], channels: int) -> Array:
    """A parameter as a contiguous array with a value for each channel."""
    return np.full(channels, a, dtype) if a.ndim == 0 else _contiguous(a, dtype)


def _at(a: Array, i: int) -> str:
    """A parameter's value, and where it is if there are several."""
    return f"{a.flat[i]}" + (f" at index {i}" if a.ndim else "")


def _as_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def read_bound(value: Any, argument: str) -> Array:
    """An end of a range, or an array of them, in float64."""
    expected = "real numbers"
    a = _as_array(_as_float(value) if type(value) is int else value, argument, expected)
    if a.dtype.kind not in "fiu" and arithmetic_dtype(a.dtype) is None:
        raise TypeError(f"{argument}: got {_kind(value, a)}, expected {expected}")
    return _contiguous(a, np.dtype(np.float64))


def _real_parameter(value: Any, argument: str, expected: str, shape: tuple[int, ...], axis: int | None) -> Array:
    if type(value) is int:  # NumPy makes an object of one beyond 64 bits
        value = _as_float(value)
    a = _as_array(value, argument, expected)
    if a.dtype.kind not in "fiu" and arithmetic_dtype(a.dtype) is None:
        raise TypeError(f"{argument}: got {_kind(value, a)}, expected {expected}")
    _check_shape(a, argument, shape, axis)
    return a


def read_scale(scale: Any, real: np.dtype[Any], shape: tuple[int, ...], axis: int | None, channels: int) -> Array:
    a = _real_parameter(scale, "scale", "finite numbers > 0", shape, axis)
    rounded = _contiguous(a, real)
    wrong = _kernels.first_not_scale(rounded)
    if wrong >= 0:
        value = float(a.flat[wrong])
        how = f", as {real.name}" if 0 < value < math.inf else ""
        raise ValueError(f"scale: got {_at(a, wrong)}, expected finite numbers > 0{how}")
    return _spread(rounded, real, channels)


def read_zero_point(zero_point: Any, shape: tuple[int, ...], axis: int | None, channels: int) -> Array:
    expected = "int32 integers"
    if type(zero_point) is int and -(2**31) <= zero_point < 2**31:
        return np.full(channels, zero_point, _INT32)
    a = _as_array(zero_point, "zero_point", expected)
    if a.dtype.kind not in "iu":
        if type(zero_point) is int:
            raise ValueError(f"zero_point: got {zero_point}, expected {expected}")
        hint = "; a real offset goes into offset" if a.dtype.kind == "f" else ""
        raise TypeError(f"zero_point: got {_kind(zero_point, a)}, expected {expected}{hint}")
    _check_shape(a, "zero_point", shape, axis)
    if not np.can_cast(a.dtype, _INT32):
        wrong = (a < -(2**31)) | (a > 2**31 - 1)
        if wrong.any():
            raise ValueError(f"zero_point: got {_at(a, int(np.argmax(wrong)))}, expected {expected}")
    return _spread(a, _INT32, channels)


def read_offset(
    offset: Any, zero_points: Array, real: np.dtype[Any], shape: tuple[int, ...], axis: int | None, channels: int
) -> Array:
    if offset is None:
        return np.zeros(channels, real)
    if zero_points.any():
        raise ValueError("offset: got an offset and a zero_point other than 0, expected one of the two")
    a = _real_parameter(offset, "offset", "finite numbers", shape, axis)
    rounded = _contiguous(a, real)
    wrong = ~np.isfinite(rounded)
    if wrong.any():
        raise ValueError(f"offset: got {_at(a, int(np.argmax(wrong)))}, expected finite numbers, as {real.name}")
    return _spread(rounded, real, channels)


def _narrow_dtype(zero_point: Any) -> np.dtype[Any] | None:
    """The dtype of a zero point that NumPy gave a type of codes. int32, such as qparams returns, says nothing."""
    own = getattr(zero_point, "dtype", None)
    return own if isinstance(own, np.dtype) and own.kind in "iu" and own.itemsize < 4 else None


def choose_code_type(dtype: Any, zero_point: Any, out: Any) -> CodeType:
    """dtype; without one, the zero point's if NumPy gave it one that codes have; else out's; else int8."""
    if dtype is not None:
        return code_type(dtype)
    own = _narrow_dtype(zero_point)
    if own is not None:
        return code_type(own, "zero_point")
    return (code_type_of(out.dtype) if isinstance(out, np.ndarray) else None) or CODE_TYPES["int8"]


def check_code_type(codes: CodeType, zero_point: Any) -> None:
    """For fake_quantize, whose dtype has a default that a zero point of another type would silently contradict."""
    own = _narrow_dtype(zero_point)
    if own is not None and own != codes.dtype:
        raise ValueError(f"zero_point: got {own}, expected {codes.name} or int32 where dtype is {codes.name}")


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
            with np.errstate(all="ignore"):
                np.copyto(self.out, self.array, casting="unsafe")
        return self.out


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
    return out
