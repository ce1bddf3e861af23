"""Tiles whose parameters change within a row every so many columns, and rows so close that spans take them for one."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from buffers import Canaries, aligned
from calls import out_dtype, reference
from spans import convert
from tiles import Sets, inputs, sets_of
from values import CODE_TYPES, ELEMENTWISE, FLOAT_TYPES, REAL_TYPES

# Lane bodies work on 32 elements at a time, prepare 1024 columns at a time and divide where rows * run is below 8.
# (run, phase, rows, lengths)
RUNS = [
    (2, 0, 1, (1, 2, 3, 31, 33, 64)),
    (2, 1, 3, (1, 30, 1023, 1024, 1025, 2300)),  # more than 1024 sets
    (3, 2, 4, (5, 63, 131, 1026, 2051)),
    (7, 4, 2, (3, 4, 36, 1100)),
    (32, 0, 5, (32, 40, 96, 1056)),
    (33, 32, 1, (1, 2, 34, 1060)),
    (500, 499, 2, (1, 2, 502, 1600)),
    (1500, 7, 3, (1493, 1494, 1600)),  # more than 1024 columns share a set
]
# Exponents of the smallest and largest scale.
FAR_APART = [
    *((-1, 18.9), (-1, 19.5), (-3, 25), (0, 40), (-60, 60), (-99, -20), (89.2, 89.9), (90.1, 91), (96, 99.9)),
    *((98.2, 99.7), (0, 99)),
]
KINDS = {"plain": {}, "divided": {"plain": False}, "offsets": {"offset": True}, "far": {"far": True}}


def spread(sets: Sets, run: int, phase: int, n: int) -> Sets:
    """For n columns, a set each."""
    return Sets(
        *(p if p is None else np.resize(p, n) if p.size == 1 else p[(phase + np.arange(n)) // run] for p in sets)
    )


@functools.lru_cache(maxsize=2 * len(RUNS))
def case(row: tuple[str, str, str], kind: str, run: int, phase: int, rows: int, n: int) -> tuple[Any, Sets, np.ndarray]:
    """A source, its sets and the results."""
    kernel, real, code = row
    sets = sets_of((phase + n - 1) // run + 1, real, code, **KINDS[kind])
    each = spread(sets, run, phase, n)
    x = inputs(row, (rows, n), each, columns=True)
    return x, sets, reference(kernel, x, *each[:2], code, real, axis=1, offset=each.offsets)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("row", ELEMENTWISE, ids=" ".join)
def test_columns_that_share_parameters(target, row, kind):
    kernel, real, code = row
    dtype = out_dtype(kernel, code, real)
    for run, phase, rows, lengths in RUNS if kind == "plain" else RUNS[1::2]:
        x, sets, expected = case(row, kind, run, phase, rows, lengths[-1])
        out = Canaries(dtype, (rows, lengths[-1] + 3))
        for k, n in enumerate(lengths):
            window = (slice(None), slice(1, 1 + n))
            given = sets.at(slice((phase + n - 1) // run + 1))
            options = {"run": run, "phase": phase, "stream": k % 2 == 1}
            convert(target, (kernel + "_columns", real, code), x[:, :n], out.typed[window], *given, **options)
            out.check(window, expected[:, :n], (run, phase, n))


@pytest.mark.parametrize("kernel", ["quantize", "dequantize", "fake_quantize"])
@pytest.mark.parametrize("code", ["uint8", "int4", "int16", "float8_e4m3fn"])
@pytest.mark.parametrize("real", ["float32", "float64", "bfloat16"])
def test_every_phase(target, kernel, real, code):
    row = (kernel, real, code)
    n = 71
    for run in (2, 3, 5, 8, 31, 32, 70, 80):
        everything = sets_of(n // 2 + 2, real, code, offset=run % 2 == 1)
        out = Canaries(out_dtype(kernel, code, real), (5, n + 3))
        for phase in range(run):
            sets = everything.at(slice((phase + n - 1) // run + 1))
            each = spread(sets, run, phase, n)
            x = inputs(row, (5, n), each, columns=True)
            expected = reference(kernel, x, *each[:2], code, real, axis=1, offset=each.offsets)
            window = (slice(None), slice(2, 2 + n))
            convert(target, (kernel + "_columns", real, code), x, out.typed[window], *sets, run=run, phase=phase)
            out.check(window, expected, (run, phase))


@pytest.mark.parametrize("one", ["scales", "zero_points", "offsets", "all"])
@pytest.mark.parametrize("row", ELEMENTWISE, ids=" ".join)
def test_one_value_for_all_columns(target, row, one):
    """Of each parameter there may be one for all, whatever the others are."""
    kernel, real, code = row
    n = 1100
    for run, phase in ((1, 0), (2, 1), (40, 3)):
        sets = sets_of((phase + n - 1) // run + 1, real, code, offset=one == "offsets")
        sets = sets._replace(
            **{name: getattr(sets, name)[:1] for name in (sets._fields[:2] if one == "all" else [one])}
        )
        each = spread(sets, run, phase, n)
        x = inputs(row, (2, n), each, columns=True)
        expected = reference(kernel, x, *each[:2], code, real, axis=1, offset=each.offsets)
        out = Canaries(out_dtype(kernel, code, real), (2, n + 3))
        window = (slice(None), slice(1, 1 + n))
        for rows in (2, 1):
            where = (slice(rows), window[1])
            span = (kernel + "_columns", real, code)
            convert(target, span, x[:rows], out.typed[where], *sets, run=run, phase=phase)
            out.check(where, expected[:rows], (run, phase, rows))


@pytest.mark.parametrize("kernel", ["quantize", "fake_quantize"])
@pytest.mark.parametrize("code", CODE_TYPES)
@pytest.mark.parametrize("real", REAL_TYPES)
def test_one_zero_point_that_differs(target, kernel, real, code):
    """Columns that all have the same zero point take a shorter way; one in any place is enough for the other."""
    row = (kernel, real, code)
    n = 67
    sets = sets_of(n, real, code)
    sets.zero_points[:] = 3
    x = inputs(row, (8, n), sets, columns=True)
    out = Canaries(out_dtype(kernel, code, real), (8, n + 3))
    window = (slice(None), slice(1, 1 + n))
    for place in (*range(n), None):
        sets.zero_points[:] = 3
        if place is not None:
            sets.zero_points[place] = -4
        expected = reference(kernel, x, *sets[:2], code, real, axis=1)
        convert(target, (kernel + "_columns", real, code), x, out.typed[window], *sets)
        out.check(window, expected, place)


@pytest.mark.parametrize("kernel", ["quantize", "fake_quantize"])
@pytest.mark.parametrize("code", [*CODE_TYPES, *FLOAT_TYPES])
@pytest.mark.parametrize("real", ["float32", "bfloat16"])
def test_scales_far_apart(target, kernel, real, code):
    """Columns are limited together before they are divided. One limit does not serve scales whose ratio is above 2**20,
    and of scales above 2**90 it would be infinite."""
    levels = np.float64([0, 0.5, 1.5, -2.5, 100.4, 126.6, 254.5, 300, -300, 1e4, 3e5, 2.0**31, 2.0**40, -(2.0**40)])
    n = 2 * levels.size + 4
    for smallest, largest in FAR_APART:
        for order in (1, -1):
            ends = np.exp2([smallest, largest][::order]).astype(np.float32)
            scales = np.resize(ends, n)
            x = np.zeros((9, n), np.float64)
            x[:, :-4] = np.repeat(levels, 2) * scales[:-4].astype(np.float64)
            x[:, -4:] = [np.inf, np.inf, -np.inf, -np.inf]
            with np.errstate(over="ignore"):
                x = x.astype(out_dtype("fake_quantize", code, real))
            zero_points = np.full(n, 0 if code in FLOAT_TYPES else 3, np.int32)
            expected = reference(kernel, x, scales, zero_points, code, real, axis=1)
            out = Canaries(out_dtype(kernel, code, real), (9, n))
            everything = (slice(None), slice(None))
            convert(target, (kernel + "_columns", real, code), x, out.typed[everything], scales, zero_points)
            out.check(everything, expected, (smallest, largest, order))


# ---- rows that follow each other: one run, in which the parameters change ----


def contiguous(x: np.ndarray, start: int = 0) -> np.ndarray:
    """Rows one after the other, from so many elements after a multiple of 64 bytes."""
    memory = aligned((x.size + start) * x.itemsize).view(x.dtype)[start:].reshape(x.shape)
    memory[...] = x
    return memory


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("row", ELEMENTWISE, ids=" ".join)
def test_rows_that_follow_each_other(target, row, kind):
    kernel, real, code = row
    for length, rows, start in (
        (32, 7, 0),
        (64, 3, 1),
        (96, 3, 16),
        (992, 2, 0),
        (992, 2, 3),
        (1024, 2, 3),
        (32, 1, 5),
        (33, 3, 0),
    ):
        sets = sets_of(rows, real, code, **KINDS[kind])
        x = contiguous(inputs(row, (rows, length), sets, columns=False), start=length % 5)
        expected = reference(kernel, x, *sets[:2], code, real, axis=0, offset=sets.offsets)
        out = Canaries(out_dtype(kernel, code, real), rows * length + start + 1)
        window = slice(start, start + rows * length)
        for stream in (False, True):
            convert(target, row, x, out.typed[window].reshape(rows, length), *sets, stream=stream)
            out.check(window, expected.ravel(), (length, rows, start, stream))


@functools.lru_cache(maxsize=3)
def many_rows(row: tuple[str, str, str], one: str) -> tuple[np.ndarray, Sets, np.ndarray]:
    kernel, real, code = row
    rows = 1027
    sets = sets_of(rows, real, code)
    if one != "neither":
        sets = sets._replace(**{one: getattr(sets, one)[:1]})
    length = 64 if one == "neither" else 32
    each = spread(sets, 1, 0, rows)
    x = inputs(row, (rows, length), each, columns=False)
    return contiguous(x), sets, reference(kernel, x, *each[:2], code, real, axis=0)


@pytest.mark.parametrize("one", ["scales", "zero_points", "neither"])
@pytest.mark.parametrize("row", ELEMENTWISE, ids=" ".join)
def test_many_short_rows(target, row, one):
    """More than 1024 sets, of one or two blocks each; scales or zero points that are the same in all rows or not."""
    x, sets, expected = many_rows(row, one)
    out = Canaries(expected.dtype, expected.shape)
    for stream, part in ((False, slice(None)), (True, slice(0, 1024)), (False, slice(0, 1026))):
        convert(target, row, x[part], out.typed[part], *sets.at(part), stream=stream)
        out.check(part, expected[part], (stream, part))


@pytest.mark.parametrize("gap", ["source", "result", "backwards"])
@pytest.mark.parametrize(
    "row", [row for row in ELEMENTWISE if row[2] in ("int8", "uint16", "float8_e5m2")], ids=" ".join
)
def test_rows_that_do_not_follow_each_other(target, row, gap):
    """Of the same lengths, but apart in one of the arrays, or the last one first."""
    kernel, real, code = row
    rows, length = 5, 64
    sets = sets_of(rows, real, code)
    given = inputs(row, (rows, length), sets, columns=False)
    x = contiguous(given)
    if gap == "source":
        x = contiguous(np.repeat(given, 2, axis=0))[::2]
    expected = reference(kernel, x, *sets[:2], code, real, axis=0)
    out = Canaries(out_dtype(kernel, code, real), (2 * rows, length))
    window = slice(None, None, 2) if gap == "result" else slice(0, rows)
    if gap == "backwards":
        x, sets, expected = x[::-1], sets.at(slice(None, None, -1)), expected[::-1]
        sets = Sets(*(p if p is None else np.ascontiguousarray(p) for p in sets))
    for stream in (False, True):
        convert(target, row, x, out.typed[window], *sets, stream=stream)
        out.check(window, expected, (gap, stream))
