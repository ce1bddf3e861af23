"""Arrays, chunks and the comparison for tests of fastquant.dask."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from values import FLOAT_TYPES, assert_same, pool

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")


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
def one_thread():
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
