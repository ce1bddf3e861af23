"""Arguments of every kind, plain and not, right and wrong. Lists are made anew by each call, since `out` is written."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
from twice import public
from values import real_dtype

from fastquant._grid import grid_of

SHAPE = (5, 3, 4)


class Labelled(np.ndarray):
    pass


def reals(shape: tuple[int, ...] = SHAPE, dtype: Any = np.float32) -> np.ndarray:
    return (np.arange(int(np.prod(shape))) % 61 * 0.17 - 5).astype(dtype).reshape(shape)


def codes(shape: tuple[int, ...] = SHAPE, name: str = "int8") -> np.ndarray:
    n, dtype = int(np.prod(shape)), real_dtype(name)
    if name == "int32":
        return (np.arange(n) * 7919 - 100_000).astype(dtype).reshape(shape)
    return (np.arange(n) % 251).astype(f"u{dtype.itemsize}").view(dtype).reshape(shape)


def misaligned(a: np.ndarray) -> np.ndarray:
    raw = np.zeros(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
    raw[...] = a
    return raw


def read_only(a: np.ndarray) -> np.ndarray:
    a = a.copy()
    a.flags.writeable = False
    return a


def layouts(a: np.ndarray) -> list[Any]:
    """Three dimensions in every layout, their parts, and what is no array of the plainest kind."""
    made: list[Any] = [
        a,
        np.asfortranarray(a),
        a[::-1],
        a[..., ::-1],
        a.transpose(2, 0, 1),
        a[:, :1],
        a[:1],
        a[..., :1],
    ]
    made += [np.repeat(a, 2, axis=-1)[..., ::2], misaligned(a), read_only(a), a.view(Labelled), np.ma.masked_array(a)]
    made += [a[0, 0], a[0, 0, 0], np.array(a[0, 0, 0]), a[:0], a[:, :0], a[..., :0]]
    made += [a.reshape(1, *a.shape), a.reshape((1,) * 61 + a.shape)]
    made += [a.astype(a.dtype.newbyteorder("S")), a.tolist(), a.astype(np.complex64), a.astype(object)]
    return made


def sources(name: str) -> list[Any]:
    if name == "x":
        others = (np.float64, np.float16, ml_dtypes.bfloat16, np.int8, np.int64, bool)
        made = [*layouts(reals()), *(reals(dtype=d) for d in others)]
    else:
        others = ("uint8", "int16", "uint16", "int32", "int4", "uint2", "float8_e5m2", "float4_e2m1fn", "float8_e4m3fn")
        made = [*layouts(codes()), *(codes(name=d) for d in others), reals()]
    return [*made, None, "text", b"12", 1.5, 2, [], [1, 2], [1.5, "a"], {}, np.float32(0.3), np.int8(5)]


def packed_sources() -> list[Any]:
    """Bytes, of every layout and not."""
    made = layouts(codes((5, 3, 2), "uint8"))
    return [*made, codes((6,), "uint8"), codes((6,), "int8"), None, "text", b"12", [1, 2], np.uint8(3)]


SHAPES: list[Any] = [
    *((5, 3, 4), (5, 3, 3), (5, 3, 8), (5, 3, 5), (5, 3, 7), (5, 4), (5, 3, 4, 1), (5, 1, 4), (0, 3, 4), (5, 0, 4)),
    *((5, 3, 2), (5, 3, 1), 12, 11, 24, 21, (12,), [5, 3, 4], np.array((5, 3, 4)), (np.int64(5), 3, 4), (5, 3, -4)),
    *((5, 3, 1 << 70), (5, 3, 4.0), (5, 3, True), (), "no", None, 1.5, True, -1, 1 << 70, ("a",)),
]


def ended(a: np.ndarray, value: Any) -> np.ndarray:
    """A copy with that as the last element."""
    a = a.copy()
    if a.size:
        a.reshape(-1)[-1] = value
    return a


def other_forms(a: np.ndarray) -> list[Any]:
    """An array of parameters in other shapes, layouts and types."""
    made = [misaligned(a), a.astype(a.dtype.newbyteorder("S")), a.view(Labelled), read_only(a), a[:-1], a.T]
    made += [
        np.asfortranarray(a),
        np.repeat(a, 2, axis=-1)[..., ::2],
        a.tolist(),
        a.astype(object),
        a.astype(str),
        a > 0,
    ]
    made += [np.ma.masked_array(a), a.astype(np.complex64), a.astype(np.int16), a.astype(np.uint32), a.astype(np.int64)]
    return made + ([a[..., None], a[None]] if a.ndim < 64 else [])


def real_parameters(shape: tuple[int, ...]) -> list[Any]:
    """The first is as it should be, with one for each set."""
    a = (np.arange(int(np.prod(shape))) % 7 * 0.07 + 0.1).reshape(shape).astype(np.float32)
    wide = a.astype(np.float64)
    bad = [np.nan, np.inf, -np.inf, 0, -0.0, -1, 1e-45, -1e-45, 1e-38, 3e38]
    made: list[Any] = [a, wide, a.astype(np.float16), a.astype(ml_dtypes.bfloat16), *other_forms(a), *other_forms(wide)]
    made += [*(ended(a, v) for v in bad), *(ended(wide, v) for v in (*bad, 1e-320, 1e39, 1e-50))]
    made += [0.1, 1, 3, np.float32(0.3), np.float64(0.3), np.float16(0.25), np.int32(2), 1e-45, 1e-50, 1e39, 1e-310]
    made += [1 << 60, 1 << 2000, -(1 << 2000), 0, 0.0, -0.0, -1, np.nan, np.inf, -np.inf, True, np.True_]
    made += ["a", None, 1j, b"1", {}, [0.1], np.array(0.3), np.array(0.3, np.float32), np.array([0.3])]
    made += [np.array([0.3], np.float32), np.array([[0.3]]), np.array(np.nan), np.array([0.0], np.float32)]
    return [*made, np.array(2), np.array(True), np.array(None), np.array([0.3], np.float16)]


def integer_parameters(shape: tuple[int, ...]) -> list[Any]:
    a = (np.arange(int(np.prod(shape))) % 7 - 3).reshape(shape).astype(np.int32)
    small = (a & 3).astype(np.uint8)
    made: list[Any] = [a, a * 0, small, small.view(np.int8), small.view(ml_dtypes.uint4), *other_forms(a)]
    made += [(small * 0).view(ml_dtypes.float8_e4m3fn), a.astype(np.float64), ended(a, 1 << 20), ended(a, -(1 << 31))]
    made += [ended(a.astype(np.int64), 1 << 31), 0, 3, -200, 1 << 20, (1 << 31) - 1, -(1 << 31), 1 << 31, 1 << 70]
    made += [True, 1.0, None, "0", [0], [1, 2], np.int8(3), np.uint8(3), np.int16(-3), np.int32(-3), np.int64(3)]
    made += [np.uint64(1 << 63), np.float32(0), np.bool_(0), np.array(3), np.array([3]), np.array(3, np.int32)]
    made += [np.array([3], np.int32), np.array([[3]], np.int32), np.array(3, np.int8), np.array([3], np.uint8)]
    made += [np.zeros(1, np.uint8).view(ml_dtypes.int4), np.zeros(1, np.uint8).view(ml_dtypes.float8_e5m2)]
    return [*made, np.array(0, np.float64), np.array([3], ">i4"), np.array([3], np.int16)]


AXES: list[Any] = [
    *(None, 0, 1, 2, -1, -3, 3, -4, 63, 64, 1 << 70, -(1 << 70), 1 << 31, 1 << 47, True, False, np.True_, np.int64(1)),
    *(np.int8(-1), np.uint8(2), (), (0,), (-1,), (0, 2), (2, 0), (0, 1, 2), (1, 1), (0, -3), (True,), (5,), [0], "0"),
    *(1.0, np.array(1), np.array([1]), np.float32(1), ("a",)),
]
BLOCKS: list[Any] = [
    *(None, 1, 2, 3, 4, 100, 1 << 31, 1 << 47, 1 << 49, 1 << 70, 0, -1, -(1 << 70), True, False, np.int32(2)),
    *(np.uint8(3), 2.0, "2", np.array(2), (2,), np.array([2])),
]
CODE_TYPES: list[Any] = [
    *(None, "int8", "uint8", "int16", "uint16", "int4", "uint2", "float8_e5m2", "float8_e4m3fn", "float4_e2m1fn"),
    *(
        np.uint8,
        np.int8,
        np.dtype("u2"),
        ml_dtypes.uint4,
        np.dtype(ml_dtypes.float8_e5m2fnuz),
        "int32",
        "float32",
        "i1",
    ),
    *(">i2", "no", float, int, 3, ["int8"], np.dtype(">u2"), np.str_("uint8"), np.float64, bool, type, object),
]
REAL_TYPES: list[Any] = [
    *("float32", "float64", "float16", "bfloat16", np.float32, np.float64, np.dtype("f2"), ml_dtypes.bfloat16, "f8"),
    *("int8", float, None, "no", 3, np.dtype(">f4"), np.str_("float32"), np.float16, ["float32"]),
]
FLAGS: list[Any] = [True, False, np.True_, np.False_, 1, None, "no"]


def outputs(like: np.ndarray, *others: Any) -> list[Any]:
    """Where a result like that could go, or not; among them the memory of the others, or a part of it."""
    made: list[Any] = [
        np.zeros_like(like),
        np.zeros(like.shape, like.dtype, order="F"),
        misaligned(np.zeros_like(like)),
    ]
    made += [
        np.zeros_like(like).view(Labelled),
        read_only(np.zeros_like(like)),
        np.ma.masked_array(np.zeros_like(like)),
    ]
    made += [
        np.zeros(like.shape, np.float16),
        np.zeros(like.shape, np.uint8),
        like.tolist(),
        "out",
        np.zeros(like.size),
    ]
    if like.ndim and like.shape[-1]:
        twice = np.repeat(np.zeros_like(like), 2, axis=-1)
        made += [twice, twice[..., ::2], np.zeros_like(like)[..., ::-1], np.zeros_like(like)[..., :-1]]
    for other in others:
        if isinstance(other, np.ndarray) and other.dtype != object:
            made.append(other)
            raw = other.reshape(-1).view(np.uint8) if other.flags.c_contiguous else np.zeros(0, np.uint8)
            for start in (0, 1, like.itemsize, raw.size // 2, raw.size - like.nbytes):
                if start >= 0 and start + like.nbytes <= raw.size:
                    made.append(raw[start : start + like.nbytes].view(like.dtype).reshape(like.shape))
    return made


def parameter_shape(arguments: dict[str, Any]) -> tuple[int, ...]:
    """That an array of parameters should have, if axis and block_size are right."""
    source = arguments.get("x", arguments.get("q"))
    try:
        return grid_of(np.shape(source), arguments.get("axis"), arguments.get("block_size")).shape or (1,)
    except (TypeError, ValueError):
        return (3,)


def result_of(function: str, arguments: dict[str, Any]) -> np.ndarray:
    try:
        result = public(function, arguments)
    except Exception:
        return np.zeros(SHAPE, np.int8)
    return np.asarray(result[0] if function == "quantize_dynamic" else result)


def choices(function: str, name: str, arguments: dict[str, Any]) -> list[Any]:
    """What that argument could be beside those that are there."""
    if name in ("x", "q"):
        return sources(name)
    if name == "p":
        return packed_sources()
    if name == "shape":
        return [*SHAPES, np.shape(arguments["p"])]
    if name in ("scale", "offset", "new_scale"):
        return real_parameters(parameter_shape(arguments))
    if name in ("zero_point", "new_zero_point"):
        return integer_parameters(parameter_shape(arguments))
    if name == "out":
        names = ("x", "q", "scale", "zero_point", "offset", "new_scale", "new_zero_point")
        others = [arguments.get(name) for name in names]
        return outputs(result_of(function, arguments), *others)
    if name == "dtype":
        return REAL_TYPES if function == "dequantize" else CODE_TYPES
    if name in ("symmetric", "narrow_range"):
        return [True, False]  # that they are flags is seen before the ways part
    if name == "packed" and function == "dequantize":
        return [None, False, True, "int4", "uint2", "int8", 4]
    return {"axis": AXES, "block_size": BLOCKS}.get(name, FLAGS)
