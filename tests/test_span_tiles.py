"""Tiles: rows of every length and alignment at once, with parameters of one for all, for each row or for each column.

Each row begins at an alignment of its own and has canaries on both sides.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
import pytest
from buffers import Canaries, in_aligned_memory
from calls import out_dtype, reference
from spans import ARITHMETIC, arithmetic, convert, extents, packed_length, repack
from tiles import Sets, inputs, sets_of, strided_rows
from values import ELEMENTWISE, FLOAT_TYPES, PACKED_TYPES, REAL_TYPES, pool, real_dtype

from fastquant import _reference

LONGEST = 4 * 32 + 2


class Variant(NamedTuple):
    """How parameters change in a tile of so many rows."""

    rows: int
    columns: bool = False
    single: bool = False  # one set for all
    offset: bool = False
    far: bool = False
    plain: bool = False  # ordinary scales alone: no set makes the whole batch divide
    lengths: range = range(LONGEST + 1)


VARIANTS = {
    "one set": Variant(33, single=True, plain=True),
    "rows": Variant(33, plain=True),
    "rows, divided": Variant(5, lengths=range(1, LONGEST, 3)),
    "rows, offsets": Variant(5, offset=True, lengths=range(2, LONGEST, 3)),
    "rows, far": Variant(5, far=True, lengths=range(0, LONGEST, 3)),
    "columns": Variant(9, columns=True, plain=True),
    "columns, divided": Variant(9, columns=True, lengths=range(1, LONGEST, 3)),
    "columns, few rows": Variant(2, columns=True, plain=True, lengths=range(0, LONGEST, 3)),
    "columns, offsets": Variant(2, columns=True, offset=True, lengths=range(2, LONGEST, 3)),
    "columns, far": Variant(9, columns=True, far=True, lengths=range(0, LONGEST, 3)),
}


@functools.lru_cache(maxsize=4)
def case(row: tuple[str, str, str], name: str, rows: int, length: int) -> tuple[np.ndarray, Sets, np.ndarray]:
    """A source, parameters and results."""
    kernel, real, code = row
    variant = VARIANTS[name]
    n = 1 if variant.single else length if variant.columns else rows
    sets = sets_of(n, real, code, plain=variant.plain, offset=variant.offset, far=variant.far)
    x = inputs(row, (rows, length), sets, columns=variant.columns)
    axis = None if variant.single else int(variant.columns)
    return x, sets, reference(kernel, x, *sets[:2], code, real, axis=axis, offset=sets.offsets)


def cut(parameter: np.ndarray | None, length: int, variant: Variant) -> Any:
    """The parameters of a tile that is shorter."""
    return parameter[: max(length, 1)] if parameter is not None and variant.columns else parameter


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("row", ELEMENTWISE, ids=" ".join)
def test_every_length(target, row, name):
    kernel, real, code = row
    variant = VARIANTS[name]
    x, sets, expected = case(row, name, variant.rows, LONGEST)
    span = (kernel + "_columns" * variant.columns, real, code)
    out = Canaries(out_dtype(kernel, code, real), (variant.rows, LONGEST + 3))  # 133 elements apart: an odd number
    for length in variant.lengths:
        window = (slice(None), slice(1, 1 + length))
        parameters = [cut(p, length, variant) for p in sets]
        convert(target, span, x[:, :length], out.typed[window], *parameters, stream=length % 3)
        out.check(window, expected[:, :length], length)


@pytest.mark.parametrize("name", ["one set", "rows", "columns", "columns, offsets"])
@pytest.mark.parametrize("row", ELEMENTWISE, ids=" ".join)
def test_streamed(target, row, name):
    """Rows that are stored past the caches: all aligned, or so long that each may have ends which are not."""
    kernel, real, code = row
    variant = VARIANTS[name]
    dtype = out_dtype(kernel, code, real)
    span = (kernel + "_columns" * variant.columns, real, code)
    long = 4099 // dtype.itemsize
    for length, apart, start in ((64, 128, 0), (1, 65, 3), (192, 192, 0), (long, long + 37, 5)):
        x, sets, expected = case(row, name, 5, length)
        out = Canaries(dtype, (5, apart))
        window = (slice(None), slice(start, start + length))
        convert(target, span, x, out.typed[window], *sets, stream=True)
        out.check(window, expected, (length, apart, start))


@pytest.mark.parametrize("columns", [False, True])
@pytest.mark.parametrize("row", [row for row in ELEMENTWISE if row[2] != "int32"], ids=" ".join)
def test_more_sets_than_are_prepared_at_once(target, row, columns):
    """Lane bodies prepare 1024 sets of parameters at a time, portable ones 256."""
    kernel, real, code = row
    n = 2051
    sets = sets_of(n, real, code)
    shape = (9, n) if columns else (n, 3)
    x = inputs(row, shape, sets, columns=columns)
    expected = reference(kernel, x, *sets[:2], code, real, axis=int(columns))
    out = Canaries(out_dtype(kernel, code, real), (shape[0], shape[1] + 2))
    window = (slice(None), slice(1, shape[1] + 1))
    convert(target, (kernel + "_columns" * columns, real, code), x, out.typed[window], *sets)
    out.check(window, expected, shape)


@pytest.mark.parametrize("kernel", ["quantize", "fake_quantize"])
@pytest.mark.parametrize("code", FLOAT_TYPES)
@pytest.mark.parametrize("real", REAL_TYPES)
def test_beyond(target, kernel, real, code):
    """Float codes that do not saturate, in every place of a block."""
    x = pool(kernel, real, code, 0.1, 0, 7 * LONGEST).reshape(7, LONGEST)
    x[:, ::3] *= np.dtype(x.dtype).type(4)
    x[::2, 1::5], x[1::2, 2::7] = np.inf, -np.nan
    expected = reference(kernel, x, 0.1, 0, code, real, saturate=False)
    out = Canaries(out_dtype(kernel, code, real), (7, LONGEST + 3))
    scale, zero_point = arithmetic(np.float32(0.1) if real != "float64" else 0.1, real), np.zeros(1, np.int32)
    for length in range(LONGEST + 1):
        for columns in ("", "_columns"):
            window = (slice(None), slice(1, 1 + length))
            span = (kernel + columns, real, code)
            convert(target, span, x[:, :length], out.typed[window], scale, zero_point, beyond=True)
            out.check(window, expected[:, :length], (columns, length))


@pytest.mark.parametrize("columns", [False, True])
@pytest.mark.parametrize("real", REAL_TYPES)
def test_extents(target, real, columns):
    """Ranges of rows and columns, merged with what was found before; nothing else is written."""
    rng = np.random.default_rng(1)
    arithmetic_type = ARITHMETIC[real]
    most = max(LONGEST, 17)
    found = [Canaries(arithmetic_type, most + 2) for _ in range(3)]
    kernel = "minmax_columns" if columns else "minmax"
    for length in range(1, LONGEST + 1):
        for rows in (1, 2, 3, 4, 8, 13, 17, 5)[length % 2 :: 2]:  # of eight short ones, some are found together
            x = strided_rows(rows, LONGEST + 2, real_dtype(real))[:, 1 : 1 + length]
            x[...] = in_aligned_memory(rng.standard_normal((rows, length)).astype(np.float32) * 100)
            n = length if columns else rows
            window = slice(1, 1 + n)
            for a, start in zip(found, (np.inf, -np.inf, 0), strict=True):
                a.typed[window] = start
            found[0].typed[1], found[1].typed[n] = -1000, 1000  # from tiles before
            extents(target, kernel, real, x, *(a.typed[window] for a in found), stream=rows > 4)
            exact = x.astype(arithmetic_type)
            lo, hi = exact.min(axis=int(not columns)), exact.max(axis=int(not columns))
            lo[0], hi[-1] = -1000, 1000
            assert np.isfinite(found[2].typed[window]).all()
            found[2].typed[window] = 0  # a sum of any finite numbers
            for a, wanted in zip(found, (lo, hi, 0), strict=True):
                a.check(window, wanted, (rows, length))


@pytest.mark.parametrize("bad", [np.nan, -np.nan])
@pytest.mark.parametrize("columns", [False, True])
@pytest.mark.parametrize("real", REAL_TYPES)
def test_extents_of_nan(target, real, columns, bad):
    """In every place of a tile it poisons its own range, and no other."""
    rows = 11
    for length in (1, 7, 8, 31, 32, 33):
        n = length if columns else rows
        x = np.ones((rows, length), real_dtype(real))
        for r in range(rows):
            for j in range(length):
                lo, hi, poison = (np.full(n, v, ARITHMETIC[real]) for v in (np.inf, -np.inf, 0))
                x[r, j] = bad
                extents(target, "minmax_columns" if columns else "minmax", real, x, lo, hi, poison)
                x[r, j] = 1
                assert np.flatnonzero(np.isnan(poison)).tolist() == [j if columns else r], (length, r, j)


@pytest.mark.parametrize("code", PACKED_TYPES)
@pytest.mark.parametrize("kernel", ["pack", "unpack"])
def test_packing(target, kernel, code):
    """Every length, at every alignment; what is left of a last byte is 0."""
    rng = np.random.default_rng(2)
    rows, longest = 33, 4 * 64 + 3
    every_byte = np.uint8(rng.integers(0, 256, (rows, longest)))  # bits that codes do not use are ignored
    dtype = real_dtype(code)
    out = Canaries(np.dtype(np.uint8), (rows, longest + 2))
    for length in range(1, longest + 1):
        n = packed_length(length, code)
        width = n if kernel == "pack" else length
        window = (slice(None), slice(1, 1 + width))
        if kernel == "pack":
            source = every_byte[:, :length]
            expected = _reference.pack(np.ascontiguousarray(source).view(dtype))
        else:
            source = every_byte[:, :n]
            expected = _reference.unpack(source, code, (rows, length)).view(np.uint8)
        repack(target, kernel, code, source, out.typed[window])
        out.check(window, expected, length)
