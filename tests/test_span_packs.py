"""Packed codes in the spans that convert: two or four in a byte, rows that end within one, at every alignment.

What is left of a row's last byte is 0 when it is written, and means nothing when it is read.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from buffers import Canaries, aligned
from calls import reference
from spans import convert, packed_length
from tiles import Sets, inputs, sets_of, strided_rows
from values import BITS, PACKED_TYPES, REAL_TYPES, codes_of, real_dtype

from fastquant import _reference

BYTE = np.dtype(np.uint8)
LONGEST = 4 * 32 + 7
# How parameters change: (columns, run, phase).
FORMS = {
    "one set": (False, 0, 0),
    "rows": (False, 1, 0),
    "columns": (True, 1, 0),
    "columns that share": (True, 3, 2),
    "blocks": (True, 32, 0),
    "longer than a row": (True, 1000, 5),
}
KINDS = {"plain": {}, "divided": {"plain": False}, "offsets": {"offset": True}, "far": {"far": True}}


def packed(codes: np.ndarray, code: str) -> np.ndarray:
    """Rows of bytes, an odd number apart; the spare bits of the last ones are set."""
    n = codes.shape[1]
    p = _reference.pack(np.ascontiguousarray(codes))
    spare = -n % (8 // BITS[code])
    p[:, -1:] |= np.uint8(0xFF << (8 - spare * BITS[code]) & 0xFF)
    rows = strided_rows(len(p), p.shape[1] + 2, BYTE)[:, 1 : 1 + p.shape[1]]
    rows[...] = p
    return rows


class Case:
    """A tile of so many rows of n codes and what becomes of it, for each kind of parameters."""

    def __init__(self, kernel: str, real: str, code: str, form: str, kind: str, rows: int, n: int) -> None:
        self.kernel, self.real, self.code = kernel, real, code
        columns, self.run, self.phase = FORMS[form]
        count = (self.phase + n - 1) // self.run + 1 if columns else rows if self.run else 1
        self.columns, self.sets = columns, sets_of(count, real, code, **KINDS[kind])
        index = (self.phase + np.arange(n)) // self.run if columns else np.arange(rows) if self.run else [0] * rows
        self.each = Sets(*(p if p is None else p[index] for p in self.sets))
        self.source = inputs((kernel, real, code), (rows, n), self.each, columns=columns)
        self.full = reference(
            kernel, self.source, *self.each[:2], code, real, axis=int(columns), offset=self.each.offsets
        )

    def run_on(self, target: str, n: int, out: np.ndarray, rows: int, stream: bool) -> None:
        """The first n columns of the first rows, into out."""
        x = self.source[:rows, :n] if self.kernel == "quantize" else packed(self.source[:rows, :n], self.code)
        span = (self.kernel + "_columns" * self.columns, self.real, self.code)
        sets = self.sets
        if self.columns:
            sets = sets.at(slice((self.phase + n - 1) // self.run + 1))
        elif self.run:
            sets = sets.at(slice(rows))
        options = {"run": self.run, "phase": self.phase} if self.columns else {}
        convert(target, span, x, out, *sets, packs=8 // BITS[self.code], stream=stream, **options)

    def expected(self, n: int, rows: int) -> np.ndarray:
        part = self.full[:rows, :n]
        return _reference.pack(np.ascontiguousarray(part)) if self.kernel == "quantize" else part

    def canaries(self, rows: int, n: int) -> Canaries:
        return Canaries(BYTE if self.kernel == "quantize" else real_dtype(self.real), (rows, n))

    def width(self, n: int) -> int:
        return packed_length(n, self.code) if self.kernel == "quantize" else n


@functools.lru_cache(maxsize=4)
def case(*arguments: Any) -> Case:
    return Case(*arguments)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("code", PACKED_TYPES)
@pytest.mark.parametrize("real", REAL_TYPES)
@pytest.mark.parametrize("kernel", ["quantize", "dequantize"])
def test_every_length(target, kernel, real, code, kind, form):
    rows = 3 if form != "rows" else 33
    c = case(kernel, real, code, form, kind, rows, LONGEST)
    out = c.canaries(rows, LONGEST + 2)  # an odd number apart: rows at several alignments
    for n in range(1, LONGEST + 1) if kind == "plain" and form in ("one set", "columns") else range(1, LONGEST + 1, 5):
        for stream in (False, True):
            window = (slice(None), slice(1, 1 + c.width(n)))
            c.run_on(target, n, out.typed[window], rows, stream)
            out.check(window, c.expected(n, rows), (n, stream))


@pytest.mark.parametrize("form", ["one set", "columns", "columns that share"])
@pytest.mark.parametrize("code", PACKED_TYPES)
@pytest.mark.parametrize("real", REAL_TYPES)
@pytest.mark.parametrize("kernel", ["quantize", "dequantize"])
def test_every_alignment(target, kernel, real, code, form):
    """A single row, stored past the caches from its first aligned place on: which lies within a byte for some."""
    longest = 300
    c = case(kernel, real, code, form, "plain", 1, longest)
    out = c.canaries(1, longest + 40)
    for start in range(34):
        for n in (3, 29, 70, 127, 128, longest - start % 7):
            window = (slice(None), slice(start, start + c.width(n)))
            c.run_on(target, n, out.typed[window], 1, True)
            out.check(window, c.expected(n, 1), (start, n))


@pytest.mark.parametrize("form", ["one set", "rows", "columns", "blocks"])
@pytest.mark.parametrize("code", PACKED_TYPES)
@pytest.mark.parametrize("real", REAL_TYPES)
@pytest.mark.parametrize("kernel", ["quantize", "dequantize"])
def test_long_rows(target, kernel, real, code, form):
    """Longer than what parameters are prepared for at once, and than what streams whatever its alignment."""
    n = 4 * 4096 + 3 if form == "one set" and real == "float32" else 2 * 1024 + 65
    c = case(kernel, real, code, form, "plain", 3, n)
    for apart in (0, 1, 32):
        out = c.canaries(3, c.width(n) + apart)
        for stream in (False, True):
            window = (slice(None), slice(apart, apart + c.width(n)))
            c.run_on(target, n, out.typed[window], 3, stream)
            out.check(window, c.expected(n, 3), (apart, stream))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("code", PACKED_TYPES)
@pytest.mark.parametrize("real", REAL_TYPES)
@pytest.mark.parametrize("kernel", ["quantize", "dequantize"])
def test_rows_that_follow_each_other(target, kernel, real, code, kind):
    """Whole blocks, each row with parameters of its own: one run for the lane bodies. More than 1024 rows of them."""
    packs = 8 // BITS[code]
    for rows, n in ((7, 32), (5, 96), (3, 1024), (3, 34), (1030, 32)) if kind == "plain" else ((7, 64),):
        c = Case(kernel, real, code, "rows", kind, rows, n)
        given = c.source if kernel == "quantize" else _reference.pack(np.ascontiguousarray(c.source))
        x = aligned(given.nbytes).view(given.dtype).reshape(given.shape)
        x[...] = given
        for start in (0, 1, 16):
            out = c.canaries(1, start + rows * c.width(n) + 1)
            window = (0, slice(start, start + rows * c.width(n)))
            for stream in (False, True):
                to = out.typed[window].reshape(rows, -1)
                convert(target, (kernel, real, code), x, to, *c.sets, packs=packs, stream=stream)
                out.check(window, c.expected(n, rows).ravel(), (rows, n, start, stream))


@pytest.mark.parametrize("code", PACKED_TYPES)
def test_every_byte(target, code):
    """All 256, in every place of a block."""
    packs = 8 // BITS[code]
    values = np.concatenate([codes_of(code)[-1:].view(np.uint8), np.arange(256, dtype=np.uint8)])
    x = np.stack([np.roll(values, k)[:256] for k in range(33)])
    out = np.zeros((33, 256 * packs), np.float32)
    scale, zero = np.ones(1, np.float32), np.zeros(1, np.int32)
    convert(target, ("dequantize", "float32", code), x, out, scale, zero, packs=packs)
    expected = reference("dequantize", _reference.unpack(x, code), 1.0, 0, code, "float32")
    assert out.tobytes() == expected.tobytes()
    back = np.zeros_like(x)
    convert(target, ("quantize", "float32", code), out, back, scale, zero, packs=packs)
    assert back.tobytes() == x.tobytes()
