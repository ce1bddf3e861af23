"""fastquant.dask computes late, chunk by chunk, and no more than was asked for; and its module."""

from __future__ import annotations

import inspect
import subprocess
import sys
import weakref
from typing import Any

import numpy as np
import pytest

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

from dask_support import X, one_thread  # noqa: E402, F401

import fastquant as fq  # noqa: E402
from fastquant import dask as fqd  # noqa: E402

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
