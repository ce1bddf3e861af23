"""Calling span kernels themselves, without the walk that makes tiles of arrays: see src/spans.h."""

from __future__ import annotations

import ctypes
import functools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from values import BITS, real_dtype

import fastquant
from fastquant import _kernels

# FQ_NEAR, and that of 16 bits: beyond, callers take the portable spans.
NEAR, NEAR_16_BITS = 16384, 65536

REALS = {name: row for row, (name, _) in enumerate(_kernels.real_types())}
CODES = {name: row for row, (name, *_) in enumerate(_kernels.code_types())}
ARITHMETIC = {name: np.dtype(np.float64 if is_double else np.float32) for name, is_double in _kernels.real_types()}


def _fields() -> Iterator[tuple[str, Any]]:
    """Members of fq_tile, from the header: what is added there is 0 here."""
    header = (Path(fastquant.__file__).parent / "include" / "fastquant.h").read_text(encoding="utf-8")
    (members,) = re.findall(r"typedef struct fastquant_tile \{(.*?)\} fastquant_tile;", header, re.DOTALL)
    members = re.sub(r"/\*.*?\*/", "", members, flags=re.DOTALL)
    kinds = {"ptrdiff_t": ctypes.c_ssize_t, "uint8_t": ctypes.c_uint8, "int32_t": ctypes.c_int32}
    for declaration in filter(None, map(str.strip, members.split(";"))):
        kind, names = re.fullmatch(r"(?:const )?(\w+) (.*)", declaration, re.DOTALL).groups()
        for name in names.split(","):
            yield name.strip(" *\n"), ctypes.c_void_p if "*" in name else kinds[kind]


class Tile(ctypes.Structure):
    """fastquant_tile of include/fastquant.h, which spans are called with."""

    _fields_ = tuple(_fields())


@functools.cache
def _spans(target: str) -> dict[tuple[str, str, str], Callable[[Any], None]]:
    kind = ctypes.CFUNCTYPE(None, ctypes.POINTER(Tile))
    return {row: kind(address) for row, (address, _) in _kernels.spans(target).items()}


def _step(parameter: np.ndarray) -> int:
    return 1 if parameter.size > 1 else 0


def _tile(x: np.ndarray, out: np.ndarray, n: int, real: str, code: str, stream: int, packs: int = 1) -> Tile:
    """Of two arrays of rows, whose elements follow each other."""
    for a in (x, out):
        assert a.ndim == 2
        assert a.shape[1] <= 1 or a.strides[1] == a.itemsize
    t = Tile()
    for name, value in (("run", 1), ("packs", packs)):  # where fq_tile has them
        if hasattr(t, name):
            setattr(t, name, value)
    setattr(t, "in", x.ctypes.data)
    t.out, t.rows, t.n = out.ctypes.data, len(x), n
    t.in_step, t.out_step = x.strides[0], out.strides[0]
    t.real, t.code, t.stream = REALS[real], CODES[code], stream
    return t


def convert(
    target: str, row: tuple[str, str, str], x: np.ndarray, out: np.ndarray, scales: np.ndarray, zero_points: np.ndarray,
    offsets: np.ndarray | None = None, *, stream: int = 0, beyond: bool = False, run: int = 1, phase: int = 0,
    packs: int = 1,
) -> None:  # fmt: skip
    """A tile through the span of that row. Parameters: arrays of the arithmetic type, and of int32; of one element, or
    of one for each row; if the kernel is one of columns, for each `run` columns, of which `phase` are before the tile.
    """
    kernel, real, code = row
    assert zero_points.dtype == np.int32
    assert all(a is None or a.dtype == ARITHMETIC[real] for a in (scales, offsets))
    n = out.shape[1] if kernel.startswith("dequantize") else x.shape[1]
    t = _tile(x, out, n, real, code, stream, packs)
    t.run, t.phase = run, phase
    t.scales, t.zero_points = scales.ctypes.data, zero_points.ctypes.data
    t.scale_step, t.zero_point_step = _step(scales), _step(zero_points)
    if offsets is not None:
        t.offsets, t.offset_step = offsets.ctypes.data, _step(offsets)
    near = NEAR_16_BITS if code in ("int16", "uint16") else NEAR
    t.far = code != "int32" and bool((np.abs(zero_points.astype(np.int64)) > near).any())
    t.beyond = beyond
    _spans("portable" if t.far else target)[row](t)


def extents(
    target: str, kernel: str, real: str, x: np.ndarray, lo: np.ndarray, hi: np.ndarray, poison: np.ndarray, *,
    stream: int = 0,
) -> None:  # fmt: skip
    """Ranges of a tile, into arrays that begin with +inf, -inf and 0; one for each row, or each column."""
    assert all(a.dtype == ARITHMETIC[real] for a in (lo, hi, poison))
    t = _tile(x, x, x.shape[1], real, "int8", stream)
    t.lo, t.hi, t.poison, t.extent_step = lo.ctypes.data, hi.ctypes.data, poison.ctypes.data, 1
    _spans(target)[kernel, real, "int8"](t)


def repack(target: str, kernel: str, code: str, x: np.ndarray, out: np.ndarray) -> None:
    """Codes of a tile to packed bytes, or back."""
    n = x.shape[1] if kernel == "pack" else out.shape[1]
    _spans(target)[kernel, "float32", code](_tile(x, out, n, "float32", code, False, 8 // BITS[code]))


def arithmetic(values: Any, real: str) -> np.ndarray:
    """Parameters as spans of that real type take them."""
    return np.atleast_1d(np.asarray(values, np.float64)).astype(ARITHMETIC[real])


def packed_length(n: int, code: str) -> int:
    return -(-n * BITS[code] // 8)


def dtype_in(kernel: str, code: str, real: str) -> np.dtype[Any]:
    return real_dtype(code if kernel == "dequantize" else real)
