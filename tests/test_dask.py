"""fastquant.dask against fastquant itself: equal to the bit, whatever the chunks; and lazily, chunk by chunk."""

from __future__ import annotations

import inspect
import itertools
import subprocess
import sys
import weakref
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from values import ALL_CODES, FLOAT_TYPES, PACKED_TYPES, REAL_TYPES, assert_same, pool, real_dtype

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

import fastquant as fq  # noqa: E402
from fastquant import dask as fqd  # noqa: E402

NAN, INF = float("nan"), float("inf")
SHAPE = (7, 10, 6)
X = pool("quantize", "float32", "int8", 0.1, 0, 420).reshape(SHAPE)
CHUNKS = [SHAPE, (3, 4, 2), ((0, 5, 2), (3, 0, 7), (6, 0)), ((1, 6), (1, 9, 0), (3, 0, 3))]
GRANULARITIES: list[dict[str, Any]] = [
    {},
    *({"axis": axis} for axis in (0, -1, (0, 1), (2, 0), (1, -1, 0))),
    *({"block_size": 4, "axis": axis} for axis in (None, 1)),
    {"block_size": 100, "axis": 0},
]
NAMES = [str(granularity) for granularity in GRANULARITIES]


@pytest.fixture(autouse=True)
def _one_thread():
    with dask.config.set(scheduler="synchronous"):
        yield


def agree(lazy: Any, expected: Any, what: Any = "") -> None:
    """Types, shapes, chunks and bits. Several at once: dask then computes what they share once."""
    pairs = list(zip(lazy, expected, strict=True)) if isinstance(expected, (tuple, list)) else [(lazy, expected)]
    found = dask.compute(*(blocks_of(a) for a, _ in pairs))
    for (a, b), blocks in zip(pairs, found, strict=True):
        assert isinstance(a, da.Array)
        assert (a.dtype, a.shape) == (b.dtype, b.shape), what
        assert a._meta.dtype == b.dtype, what
        whole = np.empty(a.shape, a.dtype)
        for where, block in blocks:
            assert (block.dtype, block.shape) == (a.dtype, whole[where].shape), what
            whole[where] = block
        assert_same(whole, b, what=what)


def blocks_of(a: Any) -> list[Any]:
    """Each chunk, and where it lies."""
    if not a.ndim:
        return [((), a)]  # .blocks of dask 2026.8 has no such chunk
    ends = [np.cumsum((0, *lengths)) for lengths in a.chunks]
    places = itertools.product(*([slice(*map(int, p)) for p in itertools.pairwise(e)] for e in ends))
    return [(where, a.blocks[i]) for i, where in zip(np.ndindex(*a.numblocks), places, strict=True)]


def options_of(code: str) -> dict[str, Any]:
    return {} if code in FLOAT_TYPES else {"symmetric": False}


# ---- the same as in memory ----


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


# ---- lazily, and no more than a chunk at a time ----


def source(shape: tuple[int, ...], chunks: Any, made: Any) -> Any:
    """A dask array that calls `made` for each chunk's shape when it is computed, and never before."""
    like = da.zeros(shape, chunks=chunks, dtype=np.float32)
    return like.map_blocks(lambda block: made(block.shape), meta=np.empty((0,) * len(shape), np.float32))


def test_nothing_is_computed_until_dask_does():
    def refuse(shape):
        raise AssertionError("computed")

    x = source((40, 6), (7, 4), refuse)
    params = fqd.quantize_dynamic(x, axis=0)[1:]
    q = fqd.quantize(x, *params, axis=0)
    made = [
        *fqd.minmax(x), *fqd.minmax(x, axis=0), *fqd.minmax(x, block_size=4), *fqd.quantize_dynamic(x), q, *params,
        *fqd.quantize_dynamic(x, block_size=3), fqd.dequantize(q, *params, axis=0),
        fqd.quantize(x, 0.1, packed=True, dtype="int4"),
    ]  # fmt: skip
    for a in made:
        with pytest.raises(AssertionError, match="computed"):
            a.compute()


@pytest.mark.parametrize("granularity", [{"axis": 0}, {"block_size": 3}, {"axis": (0, 1)}])
def test_one_pass_where_ranges_lie_within_chunks(monkeypatch, granularity):
    calls = []

    def counted(name, function):
        def call(first, *arguments, **options):
            calls.append((name, first if name == "source" else first.shape))
            return function(first, *arguments, **options)

        return call

    for name in ("minmax", "quantize", "quantize_dynamic"):
        monkeypatch.setattr(fq, name, counted(name, getattr(fq, name)))
    x = source((40, 6), (10, 6), counted("source", np.ones)).astype(np.float32)
    lazy = fqd.quantize_dynamic(x, **granularity)
    calls.clear()  # the check of the arguments
    dask.compute(*lazy)
    assert sorted(calls) == sorted([("source", (10, 6)), ("quantize_dynamic", (10, 6))] * 4)


def test_a_chunk_is_computed_once():
    calls = []
    x = source((40, 6), (10, 3), lambda shape: calls.append(shape) or np.ones(shape, np.float32))
    dask.compute(*fqd.quantize_dynamic(x, axis=0))
    assert calls == [(10, 3)] * 8


def test_tasks_get_the_parameters_of_their_chunk(monkeypatch):
    shapes = []

    def quantize(x, scale, zero_point, *, offset, **options):
        shapes.append((x.shape, np.shape(scale), np.shape(zero_point), np.shape(offset)))
        return real(x, scale, zero_point, offset=offset, **options)

    real = fq.quantize
    monkeypatch.setattr(fq, "quantize", quantize)
    x = da.from_array(X, chunks=(3, 5, 6))
    scale = np.ones((6, 7), np.float32)
    for values in (scale, da.from_array(scale, chunks=4), da.from_array(scale)):
        shapes.clear()
        fqd.quantize(x, values, offset=values, axis=(2, 0)).compute()
        assert sorted(shapes) == sorted([((n, 5, 6), (6, n), (), (6, n)) for n in (3, 3, 1)] * 2)


class Sizes(dask.callbacks.Callback):
    """The largest array that a task made, in elements, and the most arrays that one got."""

    def __init__(self):
        self.largest = self.most = 0

    def _posttask(self, key, result, dsk, state, worker_id):
        self.most = max(self.most, len(state["dependencies"][key]))
        for a in result if isinstance(result, (tuple, list)) else (result,):
            self.largest = max(self.largest, np.size(a))


def test_no_task_holds_more_than_a_chunk():
    x = da.ones((64, 48), chunks=(4, 6), dtype=np.float32) * 2
    with Sizes() as sizes, dask.config.set({"optimization.fuse.active": False}):
        for granularity in ({}, {"axis": 0}, {"axis": 1}, {"block_size": 6}):
            dask.persist(*fqd.quantize_dynamic(x, **granularity), *fqd.minmax(x, **granularity))
            q, scale, zero_point = fqd.quantize_dynamic(x, **granularity)
            dask.persist(fqd.dequantize(q, scale, zero_point, **granularity))
    assert sizes.largest <= 2 * 4 * 6  # the ends of ranges of rows of a chunk, or of as many in a tree
    assert sizes.most <= 4 + 1


@pytest.mark.parametrize("split_every", [None, 2, 8])
def test_trees_have_as_many_branches_as_asked_for(split_every):
    x = da.from_array(np.arange(64, dtype=np.float32), chunks=1)
    for made in (fqd.minmax(x, split_every=split_every).hi, fqd.quantize_dynamic(x, split_every=split_every).scale):
        branches = [len(keys) for keys in made.__dask_graph__().get_all_dependencies().values()]
        assert max(branches) == (split_every or 4)


def test_beyond_memory_in_two_steps():
    alive, most = set(), 0

    def made(shape):
        nonlocal most
        a = np.ones(shape, np.float32)
        alive.add(id(a))
        weakref.finalize(a, alive.discard, id(a))
        most = max(most, len(alive))
        return a

    x = source((64, 10), (1, 5), made)
    _, *params = fqd.quantize_dynamic(x)
    q = fqd.quantize(x, *dask.compute(*params))
    assert q.sum(dtype=np.int64).compute() == 640 * 127
    assert 0 < most <= 4


def test_names_tell_what_is_computed():
    x = da.from_array(X, chunks=3)
    made = [
        [fqd.quantize(x, 0.1).name, fqd.quantize(x, 0.2).name, fqd.quantize(x, 0.1, axis=0).name,
         fqd.quantize(x, 0.1, dtype="int4").name, *(a.name for a in fqd.quantize_dynamic(x)),
         *(a.name for a in fqd.quantize_dynamic(x, "uint8")), *(a.name for a in fqd.minmax(x, axis=0)),
         fqd.quantize(x, np.full(7, 0.1), axis=0).name]
        for _ in range(2)
    ]  # fmt: skip
    assert made[0] == made[1]
    assert len(set(made[0])) == len(made[0])


# ---- errors ----

x = da.from_array(X, chunks=3)
unknown = x[x[:, 0, 0] > 0]
q = da.from_array(fq.quantize(X, 0.1), chunks=3)
lazy = da.from_array
EAGER = [
    (lambda: fqd.minmax(X), TypeError, "x: got ndarray, expected a dask array"),
    (lambda: fqd.quantize([1.0], 1), TypeError, "x: got list, expected a dask array"),
    (lambda: fqd.dequantize(X, 1), TypeError, "q: got ndarray, expected a dask array"),
    (lambda: fqd.minmax(q), TypeError, "x: got an array of int8, expected an array of float32"),
    (lambda: fqd.dequantize(x, 1), TypeError, "q: got an array of float32, expected an array of int8"),
    (lambda: fqd.minmax(unknown), ValueError, "x: got chunks of unknown sizes.*x.compute_chunk_sizes"),
    (lambda: fqd.quantize_dynamic(unknown), ValueError, "x: got chunks of unknown sizes"),
    (lambda: fqd.quantize(x, unknown[:, 0, 0], axis=0), ValueError, "scale: got chunks of unknown sizes"),
    (lambda: fqd.quantize(x, 1, axis=3), ValueError, r"axis: got 3, expected an axis .* \(7, 10, 6\)"),
    (lambda: fqd.quantize_dynamic(x, axis=(0, 0)), ValueError, "axis: got .*, expected each axis once"),
    (lambda: fqd.minmax(x, axis="0"), TypeError, "axis: got '0'"),
    (lambda: fqd.minmax(x, axis=(0, 1), block_size=2), ValueError, "axis: got .*, expected one axis"),
    (lambda: fqd.minmax(x, block_size=0), ValueError, "block_size: got 0"),
    (lambda: fqd.minmax(x, split_every=2.5), TypeError, "split_every: got 2.5, expected None or an integer"),
    (lambda: fqd.minmax(x, split_every=True), TypeError, "split_every: got True, expected None or an integer"),
    (lambda: fqd.minmax(x, split_every=-4), ValueError, "split_every: got -4, expected .* an integer of 2 or more"),
    (lambda: fqd.quantize_dynamic(x, split_every=1), ValueError, "split_every: got 1, expected None or an integer"),
    (lambda: fqd.minmax(x[:0]), ValueError, r"x: got shape \(0, 10, 6\), expected at least one value"),
    (lambda: fqd.quantize_dynamic(x[:0], axis=1), ValueError, r"x: got shape \(0, 10, 6\), expected at least"),
    (lambda: fqd.quantize(x, 0.0), ValueError, "scale: got 0.0, expected finite numbers > 0"),
    (lambda: fqd.quantize(x, np.array([1, 1, NAN, 1, 1, 1, 1]), axis=0), ValueError, "scale: got nan at index 2"),
    (lambda: fqd.quantize(x, np.ones(6), axis=0), ValueError, r"scale: got shape \(6,\), expected one number or .*7"),
    (lambda: fqd.quantize(x, lazy(np.ones(6)), axis=0), ValueError, r"scale: got shape \(6,\), expected .*\(7,\)"),
    (lambda: fqd.dequantize(q, lazy(np.ones(2))), ValueError, r"scale: got shape \(2,\), expected one number"),
    (lambda: fqd.quantize(x, lazy(np.array(["a"]))[0]), TypeError, "scale: got .*, expected finite numbers > 0"),
    (lambda: fqd.quantize(x, 1, 0.5), TypeError, "zero_point: got float.*offset"),
    (lambda: fqd.quantize(x, 1, lazy(np.array(0.5))), TypeError, "zero_point: got float64.*offset"),
    (lambda: fqd.quantize(x, 1, 1, dtype="float8_e4m3fn"), ValueError, "zero_point: got 1, expected 0"),
    (lambda: fqd.quantize(x, 1, 1, offset=1.0), ValueError, "offset: got an offset and a zero_point"),
    (lambda: fqd.quantize(x, 1, offset=INF), ValueError, "offset: got inf"),
    (lambda: fqd.quantize(x, 1, offset=lazy(np.ones(3)), axis=0), ValueError, r"offset: got shape \(3,\)"),
    (lambda: fqd.quantize(x, 1, dtype="int3"), ValueError, "dtype: got 'int3'"),
    (lambda: fqd.quantize_dynamic(x, "float32"), ValueError, "dtype: got float32"),
    (lambda: fqd.dequantize(q, 1, dtype="int8"), ValueError, "dtype: got int8"),
    (lambda: fqd.quantize(x, 1, packed=True), ValueError, "packed: got True for int8"),
    (lambda: fqd.quantize_dynamic(x, packed=True), ValueError, "packed: got True for int8"),
    (lambda: fqd.quantize_dynamic(x, packed=1), TypeError, "packed: got 1"),
    (lambda: fqd.quantize(x, 1, packed="yes"), TypeError, "packed: got 'yes'"),
    (lambda: fqd.dequantize(q, 1, packed="int4"), TypeError, "q: got an array of int8, expected a packed array"),
    (lambda: fqd.dequantize(q, 1, packed=True), TypeError, "packed: got True, expected the type"),
    (lambda: fqd.quantize(x, 1, saturate=False), ValueError, "saturate: got False"),
    (lambda: fqd.quantize_dynamic(x, "float8_e4m3fn", symmetric=False), ValueError, "symmetric: got False"),
    (lambda: fqd.quantize_dynamic(x, "float8_e4m3fn", narrow_range=True), ValueError, "narrow_range: got True"),
    (lambda: fqd.quantize(da.ma.masked_greater(x, 1), 1), TypeError, "x: got a masked array"),
    (lambda: fqd.quantize(x, 1, out=X), TypeError, "unexpected keyword argument 'out'"),
]  # fmt: skip


@pytest.mark.parametrize("case", range(len(EAGER)))
def test_what_can_be_known_is_refused_at_once(case):
    call, error, message = EAGER[case]
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("granularity", GRANULARITIES, ids=NAMES)
def test_what_is_not_finite_has_no_range(value, granularity):
    wrong = X.copy()
    wrong[4, 5, 3] = value
    for chunks in ((3, 5, 2), (1, 10, 6)):
        made = da.from_array(wrong, chunks=chunks)
        lazy = fqd.minmax(made, **granularity).lo, fqd.quantize_dynamic(made, **granularity).q
        for result in lazy:
            with pytest.raises(ValueError, match=rf"x: got {value} at index .*, expected finite values.*; in chunk \("):
                result.compute()


def test_errors_tell_the_chunk():
    wrong = X.copy()
    wrong[4, 5, 3] = NAN
    with pytest.raises(ValueError, match=r"at index \(1, 0, 1\), .*; in chunk \(1, 1, 1\) of x"):
        fqd.minmax(da.from_array(wrong, chunks=(3, 5, 2))).hi.compute()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fqd.quantize(x, lazy(np.array([1, 1, 1, 1, 0, 1, 1.0])), axis=0), "scale: got 0.0 at index 1"),
        (lambda: fqd.quantize(x, 1, lazy(np.array(1)), offset=1.0), "offset: got an offset and a zero_point"),
        (lambda: fqd.quantize(x, 1, lazy(np.array(2**40))), "zero_point: got 1099511627776"),
        (lambda: fqd.quantize(x, 1, offset=lazy(np.array(INF))), "offset: got inf"),
        (lambda: fqd.dequantize(q, lazy(np.array(NAN))), "scale: got nan"),
        (lambda: fqd.quantize_dynamic(x.astype(np.float64) * 1e300, axis=1).q, "x: got .* scale float32 can hold"),
    ],
)
def test_values_are_refused_when_they_are_computed(call, message):
    made = call()
    with pytest.raises(ValueError, match=message):
        made.compute()


# ---- the module ----


@pytest.mark.parametrize("name", fqd.__all__)
def test_signatures(name):
    def parameters(module):
        given = inspect.signature(getattr(module, name)).parameters
        return {p.name: (p.kind, p.default) for p in given.values() if p.name not in ("out", "split_every")}

    assert [*parameters(fqd).items()] == [*parameters(fq).items()]
    assert getattr(fqd, name).__doc__


def python(code: str) -> None:
    subprocess.run([sys.executable, "-P", "-c", code], check=True, capture_output=True, text=True)


def test_dask_is_imported_only_when_asked_for():
    python("import sys, fastquant; assert not any(name.split('.')[0] == 'dask' for name in sys.modules)")


def test_without_dask_the_error_says_what_to_install():
    python(
        "import sys; sys.modules['dask'] = None\n"
        "try: import fastquant.dask\n"
        "except ImportError as error: assert 'fastquant-kernels[dask]' in str(error), error\n"
        "else: raise AssertionError\n"
    )
