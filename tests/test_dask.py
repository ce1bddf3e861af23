"""fastquant.dask against fastquant itself: equal to the bit, whatever the chunks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from values import ALL_CODES, PACKED_TYPES, REAL_TYPES, pool, real_dtype

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

from dask_support import CHUNKS, GRANULARITIES, NAMES, X, agree, one_thread, options_of  # noqa: E402, F401

import fastquant as fq  # noqa: E402
from fastquant import dask as fqd  # noqa: E402


@pytest.mark.parametrize("granularity", GRANULARITIES, ids=NAMES)
@pytest.mark.parametrize("chunks", CHUNKS)
def test_ranges_codes_and_reals(granularity, chunks):
    x = da.from_array(X, chunks=chunks)
    lazy, expected = fqd.quantize_dynamic(x, **granularity), fq.quantize_dynamic(X, **granularity)
    everything = [*lazy, *fqd.minmax(x, **granularity)]
    wanted = [*expected, *fq.minmax(X, **granularity)]
    for params in (expected[1:], lazy[1:]):  # NumPy arrays or scalars, and dask arrays
        everything += [fqd.quantize(x, *params, **granularity), fqd.dequantize(lazy.q, *params, **granularity)]
        wanted += [fq.quantize(X, *expected[1:], **granularity), fq.dequantize(*expected, **granularity)]
    agree(everything, wanted)
    assert lazy.q.chunks == x.chunks or "block_size" in granularity


@pytest.mark.parametrize("real", REAL_TYPES)
def test_real_types(real):
    a = X.astype(real_dtype(real))
    x = da.from_array(a, chunks=CHUNKS[1])
    for granularity in GRANULARITIES[::3]:
        lazy, expected = fqd.quantize_dynamic(x, **granularity), fq.quantize_dynamic(a, **granularity)
        agree(
            [*lazy, *fqd.minmax(x, **granularity), fqd.dequantize(*lazy, dtype=real, **granularity)],
            [*expected, *fq.minmax(a, **granularity), fq.dequantize(*expected, dtype=real, **granularity)],
        )


@pytest.mark.parametrize("code", ALL_CODES)
def test_code_types(code):
    x = da.from_array(X, chunks=CHUNKS[1])
    lazy, expected = [], []
    for granularity in ({}, {"axis": (2, 0)}, {"block_size": 4}):
        options = options_of(code) | granularity
        lazy += (made := fqd.quantize_dynamic(x, code, **options))
        expected += (wanted := fq.quantize_dynamic(X, code, **options))
        lazy += [fqd.quantize(x, *made[1:], dtype=code, **granularity), fqd.dequantize(*made, **granularity)]
        expected += [fq.quantize(X, *wanted[1:], dtype=code, **granularity), fq.dequantize(*wanted, **granularity)]
    agree(lazy, expected)


@pytest.mark.parametrize("options", [{"narrow_range": True}, {"symmetric": False}, {"dtype": "uint8"}])
def test_options_of_quantize_dynamic(options):
    x = da.from_array(X, chunks=CHUNKS[1])
    for axis in (0, (0, 1, 2)):  # in a tree, and in one pass
        agree(fqd.quantize_dynamic(x, **options, axis=axis), fq.quantize_dynamic(X, **options, axis=axis))


@pytest.mark.parametrize("code", PACKED_TYPES)
@pytest.mark.parametrize("last", [1, (5, 3), (0, 3, 0, 5)])
def test_packed(code, last):
    a = pool("quantize", "float32", "int8", 0.1, 0, 560).reshape(7, 10, 8)
    x = da.from_array(a, chunks=(3, 10, last))
    lazy, expected = [], []
    for granularity in ({}, {"axis": 1}, {"axis": 2}, {"block_size": 3}, {"block_size": 2, "axis": 1}):
        lazy += (made := fqd.quantize_dynamic(x, code, packed=True, **granularity))
        expected += (wanted := fq.quantize_dynamic(a, code, packed=True, **granularity))
        apart = made.q.rechunk((2, 3, 1))  # bytes whose chunks are those of no x
        lazy += [fqd.dequantize(q, *made[1:], packed=code, **granularity) for q in (made.q, apart)]
        expected += [fq.dequantize(*wanted, packed=code, **granularity)] * 2
    agree(lazy, expected)


def test_offset_and_saturate():
    x = da.from_array(X, chunks=CHUNKS[1])
    offsets = np.linspace(-1, 1, 7).astype(np.float32)
    scales = offsets + 2
    for offset in (0.3, offsets, da.from_array(offsets, chunks=2)):
        plain = offset.compute() if isinstance(offset, da.Array) else offset
        q = fq.quantize(X, scales, offset=plain, axis=0)
        agree(fqd.quantize(x, scales, offset=offset, axis=0), q)
        agree(
            fqd.dequantize(da.from_array(q, chunks=4), scales, offset=offset, axis=0, dtype="float64"),
            fq.dequantize(q, scales, offset=plain, axis=0, dtype="float64"),
        )
    for saturate in (True, False):
        options = {"dtype": "float8_e4m3fn", "saturate": saturate}
        agree(fqd.quantize(x, 1e-3, **options), fq.quantize(X, 1e-3, **options))


@pytest.mark.parametrize("zero_point", [3, np.uint8(3), np.full(7, 3, np.uint16), np.full(7, 3, real_dtype("int4"))])
def test_a_zero_points_type_chooses_that_of_the_codes(zero_point):
    x = da.from_array(X, chunks=CHUNKS[1])
    expected = fq.quantize(X, 0.1, zero_point, axis=0)
    agree(fqd.quantize(x, 0.1, zero_point, axis=0), expected)
    if isinstance(zero_point, np.ndarray):
        agree(fqd.quantize(x, 0.1, da.from_array(zero_point, chunks=3), axis=0), expected)
        agree(fqd.dequantize(fqd.quantize(x, 0.1, zero_point, axis=0), da.from_array(np.float32([0.1]))[0],
                             da.from_array(zero_point, chunks=3), axis=0),
              fq.dequantize(expected, np.float32(0.1), zero_point, axis=0))  # fmt: skip


def test_one_parameter_in_any_form():
    x = da.from_array(X, chunks=CHUNKS[1])
    expected = fq.quantize(X, 0.5)
    for scale in (0.5, np.float64(0.5), np.array([0.5]), da.from_array(np.array([0.5])), da.from_array(np.array(0.5))):
        agree(fqd.quantize(x, scale), expected)


def test_no_dimension_and_nothing():
    agree(fqd.quantize_dynamic(da.from_array(np.float32(3))), fq.quantize_dynamic(np.float32(3)))
    agree(fqd.minmax(da.from_array(np.float32(3))), fq.minmax(np.float32(3)))
    cases = (((0,), {"axis": 0}), ((0, 3), {"axis": 0}), ((0, 0), {"axis": 1}), ((0, 5), {"block_size": 2}))
    for shape, granularity in cases:
        empty = np.zeros(shape, np.float32)
        lazy = da.from_array(empty, chunks=2)
        agree(fqd.quantize_dynamic(lazy, **granularity), fq.quantize_dynamic(empty, **granularity))
        agree(fqd.minmax(lazy, **granularity), fq.minmax(empty, **granularity))


@pytest.mark.parametrize("a", [X.astype(">f4"), np.asfortranarray(X), X[::-1, ::2, ::-1]], ids=["swapped", "F", "cut"])
def test_layouts(a):
    x = da.from_array(a, chunks=(3, 4, 2))
    for axis in (None, 0, (0, 1, 2)):
        agree(fqd.quantize_dynamic(x, axis=axis), fq.quantize_dynamic(a, axis=axis))
    agree(fqd.quantize_dynamic(x.T, axis=0), fq.quantize_dynamic(a.T, axis=0))


def test_codes_of_32_bits():
    sums = np.arange(-30, 30, dtype=np.int32).reshape(6, 10) << 20
    scale = np.linspace(0.1, 1, 10).astype(np.float32)
    agree(fqd.dequantize(da.from_array(sums, chunks=4), scale, axis=1), fq.dequantize(sums, scale, axis=1))


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, Any, dict[str, Any], dict[str, Any]]:
    shape = tuple(draw(st.lists(st.integers(1, 7), min_size=1, max_size=3)))
    chunks = []
    for n in shape:
        cuts = sorted(draw(st.lists(st.integers(0, n), max_size=3)))
        chunks.append(tuple(int(step) for step in np.diff([0, *cuts, n])))
    axes = draw(st.lists(st.integers(0, len(shape) - 1), unique=True))
    block = draw(st.none() | st.integers(1, 5))
    granularity = {"axis": axes[0] if axes else None, "block_size": block} if block else {"axis": tuple(axes)}
    code = draw(st.sampled_from(ALL_CODES))
    options = {"dtype": code, "packed": code in PACKED_TYPES and draw(st.booleans())}
    return pool("quantize", "float32", "int8", 0.1, 0, int(np.prod(shape))).reshape(shape), chunks, granularity, options


@settings(max_examples=60)
@given(cases())
def test_any_shape_and_chunks(case):
    a, chunks, granularity, options = case
    x = da.from_array(a, chunks=chunks)
    lazy, expected = fqd.quantize_dynamic(x, **options, **granularity), fq.quantize_dynamic(a, **options, **granularity)
    agree(
        [*lazy, *fqd.minmax(x, **granularity), fqd.quantize(x, *expected[1:], **options, **granularity)],
        [*expected, *fq.minmax(a, **granularity), fq.quantize(a, *expected[1:], **options, **granularity)],
    )


# ---- chunks ----


def test_borders_move_only_where_they_cut_blocks_or_bytes():
    x = da.from_array(X, chunks=((3, 4), (3, 3, 4), (2, 4)))
    for block, expected in ((1, (3, 3, 4)), (3, (3, 3, 4)), (4, (4, 4, 2)), (5, (5, 5)), (6, (6, 4)), (99, (10,))):
        q, scale, _ = fqd.quantize_dynamic(x, axis=1, block_size=block)
        assert q.chunks == ((3, 4), expected, (2, 4))
        assert scale.chunks == ((3, 4), tuple(-(-n // min(block, 10)) for n in expected), (2, 4))
    assert fqd.quantize(x, 1.0, dtype="int4", packed=True).chunks == ((3, 4), (3, 3, 4), (1, 2))
    assert fqd.quantize(x, 1.0, dtype="int2", packed=True).chunks == ((3, 4), (3, 3, 4), (1, 1))
    assert fqd.quantize(x, np.ones((7, 10, 2)), dtype="int4", packed=True, block_size=5).chunks[2] == (3,)
    p = fqd.quantize(x, 1.0, dtype="int4", packed=True)
    assert fqd.dequantize(p, 1.0, packed="int4").chunks == x.chunks


def test_parameters_lie_beside_chunks():
    x = da.from_array(X, chunks=((3, 4), (3, 3, 4), (2, 4)))
    for axis, expected in (((), ()), (1, ((3, 3, 4),)), ((2, 0), ((2, 4), (3, 4)))):
        for result in (fqd.quantize_dynamic(x, axis=axis)[1:], fqd.minmax(x, axis=axis)):
            assert [member.chunks for member in result] == [expected] * 2
