"""Reading arguments: each function returns what a kernel takes, or raises an error that names the argument, what it got
and what it takes.

TypeError for a wrong kind, ValueError for a wrong value or shape. Nothing here writes to an array of the caller's.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastquant import _kernels
from fastquant._dtypes import CODE_TYPES, PACKED_TYPES, REAL_TYPES, CodeType, arithmetic_dtype, code_type, code_type_of
from fastquant._grid import Grid
from fastquant._results import QParams, Quantized, Range

Array = np.ndarray[Any, np.dtype[Any]]

_REALS = "an array of " + ", ".join(REAL_TYPES)
_CODES = "an array of " + ", ".join(CODE_TYPES) + " or int32"
_INT32 = np.dtype(np.int32)


def as_it_lies(value: Any) -> Array:
    """value as an array, without a copy where there can be one."""
    if not hasattr(value, "__dlpack__") or isinstance(value, (np.ndarray, np.generic)):
        return np.asarray(value)
    # NumPy first: it refuses what DLPack would lose, such as the sign of a torch tensor that is negated lazily.
    problem = None
    if hasattr(value, "__array__"):
        try:
            return np.asarray(value)
        except TypeError as error:  # of a type that NumPy lacks
            problem = error
    try:
        return _kernels.from_dlpack(value.__dlpack__())
    except (TypeError, ValueError, RuntimeError, BufferError) as error:
        raise problem or error from None


def _as_array(value: Any, argument: str, expected: str) -> Array:
    if type(value) is np.ndarray:
        return value
    if isinstance(value, (QParams, Quantized, Range)):
        kind = type(value).__name__
        raise TypeError(f"{argument}: got a {kind}, expected {expected}; pass its members, as in *params")
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{argument}: got a masked array, expected {expected}; fill it first, its mask would be lost")
    try:
        return as_it_lies(value)
    except MemoryError:
        raise
    except Exception as error:  # of anybody's code: what value does to become an array
        raise TypeError(f"{argument}: got {type(value).__name__}, expected {expected} ({error})") from None


def kind_of(value: Any, a: Array) -> str:
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
    if not hasattr(x, "dtype") and not hasattr(x, "__dlpack__") and (a.dtype.kind in "iu" or a.size == 0):
        return a.astype(np.float64)
    raise TypeError(f"{argument}: got {kind_of(x, a)}, expected {_REALS}")


def code_input(q: Any, argument: str = "q", expected: str = _CODES) -> tuple[Array, CodeType]:
    """q as an array of codes, and their type."""
    a = _as_array(q, argument, expected)
    codes = code_type_of(a.dtype)
    if codes is None:
        raise TypeError(f"{argument}: got {kind_of(q, a)}, expected {expected}")
    return np.asarray(a), codes


def as_array(value: Any, argument: str) -> Any:
    """A parameter as the array that it is; what is no array, numbers and None, as it is."""
    if value is None or isinstance(value, (int, float, str, np.generic)):
        return value
    return _as_array(value, argument, "numbers")


def check_shape(a: Array, argument: str, grid: Grid) -> None:
    """A parameter has one value or as many as the grid."""
    if a.ndim and a.shape != (grid.shape if grid.axes else (1,)):
        alike = [n for n in a.shape if n != 1] == [n for n in grid.shape if n != 1]  # else another order is as likely
        hint = f"; these are as many: .reshape{grid.shape}" if grid.axes and alike else ""
        raise ValueError(f"{argument}: got shape {a.shape}, expected {grid.expected}{hint}")


def _at(a: Array, i: int) -> str:
    """A parameter's value, and where it is if there are several."""
    if not a.ndim:
        return str(a)
    where = np.unravel_index(i, a.shape)
    return f"{a.reshape(-1)[i]} at index {where[0] if a.ndim == 1 else tuple(map(int, where))}"


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
        raise TypeError(f"{argument}: got {kind_of(value, a)}, expected {expected}")
    return _contiguous(a, np.dtype(np.float64))


def _real_parameter(value: Any, argument: str, expected: str, grid: Grid) -> Array:
    if type(value) is int:  # NumPy makes an object of one beyond 64 bits
        value = _as_float(value)
    a = _as_array(value, argument, expected)
    if a.dtype.kind not in "fiu" and arithmetic_dtype(a.dtype) is None:
        raise TypeError(f"{argument}: got {kind_of(value, a)}, expected {expected}")
    check_shape(a, argument, grid)
    return a


def read_scale(scale: Any, real: np.dtype[Any], grid: Grid, argument: str = "scale") -> Array:
    a = _real_parameter(scale, argument, "finite numbers > 0", grid)
    rounded = _contiguous(a, real)
    wrong = _kernels.first_not_scale(rounded)
    if wrong >= 0:
        value = float(a.reshape(-1)[wrong])
        how = f", as {real.name}" if 0 < value < math.inf else ""
        raise ValueError(f"{argument}: got {_at(a, wrong)}, expected finite numbers > 0{how}")
    return rounded


def read_zero_point(
    zero_point: Any, grid: Grid, codes: CodeType, argument: str = "zero_point", offsets: bool = True
) -> Array:
    """offsets: whether the function has an argument for them."""
    expected = "int32 integers"
    if type(zero_point) is int and -(2**31) <= zero_point < 2**31:
        z = np.full((), zero_point, _INT32)
    else:
        a = _as_array(zero_point, argument, expected)
        own = code_type_of(a.dtype)
        if a.dtype.kind not in "iu" and own is None:
            if type(zero_point) is int:
                raise ValueError(f"{argument}: got {zero_point}, expected {expected}")
            hint = "; a real offset goes into offset" if a.dtype.kind == "f" and offsets else ""
            raise TypeError(f"{argument}: got {kind_of(zero_point, a)}, expected {expected}{hint}")
        check_shape(a, argument, grid)
        if own is not None and own.is_float:
            if not codes.is_float:
                raise TypeError(f"{argument}: got {kind_of(zero_point, a)}, expected {expected}")
            values = a.astype(np.float32)
            if values.any():  # as they are: as integers, 0.25 would be the 0 that it is not
                first = _at(values, int(np.argmax(values != 0)))
                raise ValueError(f"{argument}: got {first}, expected 0: {codes.name} has no zero point")
            a = np.asarray(values, _INT32)
        elif not np.can_cast(a.dtype, _INT32) and own is None:
            wrong = (a < -(2**31)) | (a > 2**31 - 1)
            if wrong.any():
                raise ValueError(f"{argument}: got {_at(a, int(np.argmax(wrong)))}, expected {expected}")
        z = _contiguous(a, _INT32)
    if codes.is_float and z.any():
        raise ValueError(
            f"{argument}: got {_at(z, int(np.argmax(z != 0)))}, expected 0: {codes.name} has no zero point"
        )
    return z


def read_offset(offset: Any, zero_points: Array, real: np.dtype[Any], grid: Grid) -> Array | None:
    if offset is None:
        return None
    if zero_points.any():
        raise ValueError("offset: got an offset and a zero_point other than 0, expected one of the two")
    a = _real_parameter(offset, "offset", "finite numbers", grid)
    rounded = _contiguous(a, real)
    wrong = ~np.isfinite(rounded)
    if wrong.any():
        raise ValueError(f"offset: got {_at(a, int(np.argmax(wrong)))}, expected finite numbers, as {real.name}")
    return rounded


def _narrow_dtype(zero_point: Any) -> CodeType | None:
    """The code type that a zero point's dtype names. int32, such as qparams returns, and int64 say nothing."""
    own = getattr(zero_point, "dtype", None)
    if own is not None and not isinstance(own, np.dtype) and hasattr(zero_point, "__dlpack__"):  # a torch tensor, say
        own = _as_array(zero_point, "zero_point", "int32 integers").dtype
    codes = code_type_of(own) if isinstance(own, np.dtype) else None
    return codes if codes is not None and codes.name in CODE_TYPES else None


def choose_code_type(dtype: Any, zero_point: Any, out: Any) -> CodeType:
    """dtype; without one, the zero point's if it has one that codes have; else out's; else int8."""
    if dtype is not None:
        return code_type(dtype)
    return (
        _narrow_dtype(zero_point) or _narrow_dtype(out if isinstance(out, np.ndarray) else None) or CODE_TYPES["int8"]
    )


def check_code_type(codes: CodeType, zero_point: Any) -> None:
    """For fake_quantize, whose dtype has a default that a zero point of another type would silently contradict."""
    own = _narrow_dtype(zero_point)
    if own is not None and own != codes:
        raise ValueError(f"zero_point: got {own.name}, expected {codes.name} or int32 where dtype is {codes.name}")


def check_packed(packed: Any, codes: CodeType, shape: tuple[int, ...]) -> bool:
    """Whether codes are to be packed."""
    if packed is False or (isinstance(packed, np.bool_) and not packed):
        return False
    if packed is not True and not isinstance(packed, np.bool_):
        raise TypeError(f"packed: got {packed!r}, expected True or False")
    if codes.packs == 1:
        raise ValueError(
            f"packed: got True for {codes.name}, expected a dtype of 4 or 2 bits: {', '.join(PACKED_TYPES)}"
        )
    if not shape:
        raise ValueError("packed: got True for an array of shape (), expected one with an axis to pack along")
    return True


def packed_shape(shape: tuple[int, ...], codes: CodeType) -> tuple[int, ...]:
    """Of packed codes, by that of the codes."""
    return (*shape[:-1], -(-shape[-1] // codes.packs))


def packed_type(packed: Any) -> CodeType:
    """The type of packed codes that `packed` names."""
    if packed is True:
        raise TypeError(f"packed: got True, expected the type of the packed codes: {', '.join(PACKED_TYPES)}")
    codes = code_type(packed, "packed")
    if codes.packs == 1:
        raise ValueError(f"packed: got {codes.name}, expected a type of 4 or 2 bits: {', '.join(PACKED_TYPES)}")
    return codes


def packed_input(p: Any, packed: Any, argument: str = "q") -> tuple[Array, CodeType]:
    """An array of packed codes whose last axis is contiguous, and the type that `packed` names."""
    codes = packed_type(packed)
    a = _as_array(p, argument, "a packed array of uint8")
    if a.dtype != np.uint8:
        raise TypeError(f"{argument}: got {kind_of(p, a)}, expected a packed array of uint8")
    if a.ndim == 0:
        raise ValueError(f"{argument}: got an array of shape (), expected one whose last axis is packed")
    a = np.asarray(a)
    return (a if a.shape[-1] <= 1 or a.strides[-1] == 1 else np.ascontiguousarray(a)), codes


def check_saturate(saturate: Any, codes: CodeType) -> bool:
    if check_flag(saturate, "saturate"):
        return True
    if not codes.is_float:
        raise ValueError(f"saturate: got False, expected True for {codes.name}: integers always saturate")
    return False


def check_flag(value: Any, argument: str) -> bool:
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    raise TypeError(f"{argument}: got {value!r}, expected True or False")
