"""fastquant.dask on every scheduler, and on a cluster of dask.distributed in processes of its own."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from values import ALL_CODES, assert_same, pool

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

import fastquant as fq  # noqa: E402
from fastquant import dask as fqd  # noqa: E402

X = pool("quantize", "float32", "int8", 0.1, 0, 420).reshape(7, 10, 6)
AXES = (0, (2, 0), (0, 1))
GRANULARITIES: list[dict[str, Any]] = [{}, *({"axis": axis} for axis in AXES), {"block_size": 4, "axis": 1}]


def everything() -> tuple[list[Any], list[Any]]:
    x = da.from_array(X, chunks=(3, 4, 2))
    lazy, expected = [], []
    for code, granularity in (("int8", {}), ("int4", {"axis": (2, 0)}), ("uint16", {"block_size": 4})):
        lazy += (made := fqd.quantize_dynamic(x, code, **granularity))
        expected += (wanted := fq.quantize_dynamic(X, code, **granularity))
        lazy += [fqd.dequantize(*made, dtype="bfloat16", **granularity), *fqd.minmax(x, **granularity)]
        expected += [fq.dequantize(*wanted, dtype="bfloat16", **granularity), *fq.minmax(X, **granularity)]
    return lazy, expected


@pytest.mark.parametrize("scheduler", ["synchronous", "threads", "processes"])
def test_schedulers(scheduler):
    lazy, expected = everything()
    with dask.config.set(scheduler=scheduler, num_workers=2):
        for got, wanted in zip(dask.compute(*lazy), expected, strict=True):
            assert_same(got, wanted)


def test_results_can_be_pickled():
    for a, wanted in zip(*everything(), strict=True):
        assert_same(pickle.loads(pickle.dumps(a)).compute(), wanted)


@pytest.fixture(scope="module")
def client():
    distributed = pytest.importorskip("distributed")
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    )
    with cluster, distributed.Client(cluster) as client:
        yield client


@pytest.mark.parametrize("granularity", GRANULARITIES, ids=str)
def test_results(client, granularity):
    x = da.from_array(X, chunks=(3, 4, 6))
    lazy, expected = fqd.quantize_dynamic(x, **granularity), fq.quantize_dynamic(X, **granularity)
    computed = dask.compute(
        *lazy, *fqd.minmax(x, **granularity), fqd.dequantize(*lazy, **granularity),
        fqd.quantize(x, *expected[1:], **granularity),
    )  # fmt: skip
    wanted = [*expected, *fq.minmax(X, **granularity), fq.dequantize(*expected, **granularity), expected.q]
    for got, want in zip(computed, wanted, strict=True):
        assert_same(got, want)


@pytest.mark.parametrize("code", ALL_CODES)
def test_codes_travel(client, code):
    lazy = fqd.quantize_dynamic(da.from_array(X, chunks=(3, 4, 6)), code)
    expected = fq.quantize_dynamic(X, code)
    bits = "uint16" if code.endswith("16") else "uint8"  # float8_e5m2 travels as bytes only: see fastquant.dask
    q, scale = dask.compute(lazy.q.view(bits) if code == "float8_e5m2" else lazy.q, lazy.scale)
    assert_same(q.view(bits), expected.q.view(bits))
    assert_same(scale, expected.scale)


def test_arrays_on_the_workers(client):
    x = da.from_array(X, chunks=(3, 4, 6)).persist()
    made = dask.persist(*fqd.quantize_dynamic(x, axis=0))
    expected = fq.quantize_dynamic(X, axis=0)
    for got, want in zip(dask.compute(*made), expected, strict=True):
        assert_same(got, want)
    assert_same(fqd.dequantize(*made, axis=0).compute(), fq.dequantize(*expected, axis=0))


def test_errors_come_back(client):
    wrong = X.copy()
    wrong[4, 5, 3] = np.nan
    x = da.from_array(wrong, chunks=(3, 4, 6))
    for lazy in (fqd.minmax(x).lo, fqd.quantize_dynamic(x, axis=0).q, fqd.quantize_dynamic(x, axis=(0, 1)).q):
        with pytest.raises(ValueError, match=r"x: got nan at index \(1, 1, 3\), .*; in chunk \(1, 1, 0\) of x"):
            lazy.compute()
