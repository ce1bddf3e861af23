"""What fastquant.dask refuses: at once where that can be known, else when it is computed."""

from __future__ import annotations

import numpy as np
import pytest

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

from dask_support import GRANULARITIES, INF, NAMES, NAN, X, one_thread  # noqa: E402, F401

import fastquant as fq  # noqa: E402
from fastquant import dask as fqd  # noqa: E402

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
