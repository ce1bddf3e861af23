"""Reading the arguments of compat.onnxruntime's functions, and the numbers that stand for types there."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

import fastquant as fq

Array = np.ndarray[Any, np.dtype[Any]]

FLOAT, FLOAT16, FLOAT8 = 1, 10, 17
# Number: dtype, limits, symmetric limits, reduced limits. ONNX Runtime has no narrower limits for the unsigned and for
# 4 bits, and reduces to a half of the codes, of int8 and int16 to one more.
INTEGERS: dict[int, tuple[np.dtype[Any], tuple[int, int], tuple[int, int], tuple[int, int]]] = {
    3: (np.dtype(np.int8), (-128, 127), (-127, 127), (-64, 64)),
    2: (np.dtype(np.uint8), (0, 255), (0, 255), (0, 127)),
    5: (np.dtype(np.int16), (-32768, 32767), (-32767, 32767), (-16384, 16384)),
    4: (np.dtype(np.uint16), (0, 65535), (0, 65535), (0, 32767)),
    22: (np.dtype(ml_dtypes.int4), (-8, 7), (-8, 7), (-4, 3)),
    21: (np.dtype(ml_dtypes.uint4), (0, 15), (0, 15), (0, 7)),
}
PACKED = (22, 21)
EXPECTED = "3 (INT8), 2 (UINT8), 5 (INT16), 4 (UINT16), 22 (INT4), 21 (UINT4)"
FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
NATIVE = (FLOAT32, np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16))  # float32 holds them: read as they are


def kind_of(number: Any, argument: str, expected: str) -> Any:
    try:
        return INTEGERS[number]
    except (KeyError, TypeError):
        raise ValueError(f"{argument}: got {number}, expected {expected}") from None


def check_real(a: Array, argument: str) -> None:
    if a.dtype not in (np.float32, np.float64, np.float16):
        raise ValueError(f"{argument}: got {a.dtype}, expected float32, float64 or float16")


def check_block_size(block_size: int) -> None:
    if block_size < 1:
        raise ValueError(f"block_size: got {block_size}, expected a positive integer")


def range_of(x: Array, argument: str, **where: Any) -> Any:
    try:
        return fq.minmax(x, **where)
    except (TypeError, ValueError) as error:
        name, colon, rest = str(error).partition(":")
        raise type(error)((argument if name == "x" else name) + colon + rest) from None


def elements_of(parameter: Any) -> Array:
    """A parameter of which ONNX Runtime takes one element after the other: Python's, of a list, do not promote."""
    a = np.asarray(parameter)
    if a.dtype != np.float64 or hasattr(parameter, "dtype") or not all(type(e) in (int, float) for e in parameter):
        return a
    return a.astype(np.float32)


def limits_within(full: tuple[int, int], low: Any, high: Any) -> tuple[int, int] | None:
    """low and high within the limits of the type; None where these are they."""
    if low is None and high is None:
        return None
    lowest = full[0] if low is None else int(min(max(float(low), full[0]), full[1]))
    highest = full[1] if high is None else int(min(max(float(high), full[0]), full[1]))
    return min(lowest, highest), highest  # NumPy's clip lets the upper limit win


def plain_scale(scale: Any) -> Any | None:
    """A scale that divides in float32, as fq.quantize reads it; None for others."""
    if type(scale) in (np.float32, float) or (type(scale) is np.ndarray and not scale.ndim and scale.dtype == FLOAT32):
        return scale
    return None


def plain_zero_point(zero_point: Any) -> int | None:
    """A zero point that float32 holds; None for others."""
    if isinstance(zero_point, (np.ndarray, np.generic)):
        small = zero_point.ndim == 0 and zero_point.dtype.kind in "iu" and zero_point.dtype.itemsize <= 2
        return int(zero_point) if small else None
    return zero_point if type(zero_point) is int and -(2**24) <= zero_point <= 2**24 else None


def read_parameters(scale: Any, zero_point: Any) -> tuple[Array, Array, str | None]:
    """scale in the type of the division, zero_point in int32, and the precision that this type is.

    The zero point is rounded first to the type that NumPy adds it in.
    """
    s = scale if isinstance(scale, (int, float)) or hasattr(scale, "dtype") else np.asarray(scale)
    z = zero_point if isinstance(zero_point, (int, float)) or hasattr(zero_point, "dtype") else np.asarray(zero_point)
    try:
        real = np.result_type(FLOAT32, s)
    except TypeError:
        real = np.dtype(object)
    if real not in (FLOAT32, FLOAT64):
        raise TypeError(f"scale: got {getattr(scale, 'dtype', type(scale).__name__)}, expected real numbers")
    divisor = np.asarray(s)
    check_scale(divisor, real)
    try:
        added = np.asarray(z, np.result_type(real, z))
        if added.dtype not in (FLOAT32, FLOAT64):
            raise TypeError
    except (TypeError, ValueError, OverflowError):
        got = getattr(zero_point, "dtype", type(zero_point).__name__)
        raise TypeError(f"zero_point: got {got}, expected integers") from None
    whole = added.astype(np.float64)
    if not ((whole == np.rint(whole)) & (whole >= -(2**31)) & (whole < 2**31)).all():
        raise ValueError(f"zero_point: got {zero_point!r}, expected integers of int32, as {added.dtype}")
    return divisor.astype(real), whole.astype(np.int32), "float64" if real == FLOAT64 else None


def check_scale(scale: Array, real: np.dtype[Any]) -> None:
    with np.errstate(all="ignore"):
        rounded = scale.astype(real)
    right = (rounded > 0) & (rounded < np.inf)
    if not right.all():
        value = scale.reshape(-1)[np.argmin(right.reshape(-1))]
        raise ValueError(f"scale: got {value}, expected finite numbers > 0, as {real}")


def axes_of(x: Array, scale: Array, zero_point: Array) -> tuple[tuple[int, ...], Array, Array]:
    """The axes along which parameters that broadcast to x differ, and these with one element for each index of them."""
    try:
        shape = np.broadcast_shapes(scale.shape, zero_point.shape)
        fits = np.broadcast_shapes(shape, x.shape) == x.shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"scale: got shape {scale.shape}, zero_point {zero_point.shape}, expected what broadcasts to {x.shape}"
        )
    first = x.ndim - len(shape)
    axes = tuple(first + i for i, n in enumerate(shape) if n != 1)
    each = tuple(n for n in shape if n != 1)
    s, z = (np.broadcast_to(p, shape).reshape(each) for p in (scale, zero_point))
    return axes, s, z
