"""Refusals of what only some types have: packed codes, float codes, requantize. As test_errors.py otherwise."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from values import BITS, CODE_TYPES, FLOAT_TYPES, real_dtype

import fastquant as fq

SHAPE = (4, 3)
X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(SHAPE)
Q = np.ones(SHAPE, np.int8)
Q4 = np.ones(SHAPE, ml_dtypes.int4)
E4M3 = ml_dtypes.float8_e4m3fn
Q8 = np.ones(SHAPE, ml_dtypes.float8_e5m2)
P = np.ones((4, 2), np.uint8)
PACKED = [name for name, bits in BITS.items() if bits in (2, 4)]

# function, arguments, options, exception, words that the message must hold
REFUSED: list[tuple[Any, tuple[Any, ...], dict[str, Any], type[Exception], list[str]]] = [
    # packed, to quantize
    (fq.quantize, (X, 0.1), {"packed": True}, ValueError, ["packed: got True for int8", *PACKED]),
    (fq.quantize, (X, 0.1), {"packed": True, "dtype": "float8_e5m2"}, ValueError, ["packed: got True for float8_e5m2"]),
    (fq.quantize, (X, 0.1), {"packed": 1, "dtype": "int4"}, TypeError, ["packed: got 1", "True or False"]),
    (fq.quantize, (X, 0.1), {"packed": "int4", "dtype": "int4"}, TypeError, ["packed: got 'int4'", "True or False"]),
    (fq.quantize, (X, 0.1), {"packed": None}, TypeError, ["packed: got None", "True or False"]),
    (fq.quantize, (X[0, 0], 0.1), {"packed": True, "dtype": "int4"}, ValueError, ["packed: got True", "shape ()"]),
    (fq.quantize_dynamic, (X,), {"packed": True}, ValueError, ["packed: got True for int8", *PACKED]),
    *(
        (fq.quantize_dynamic, (np.array(1, real), name), {"packed": True}, ValueError, ["packed: got True", "shape ()"])
        for real in (np.float32, np.float64, np.float16)
        for name in PACKED
    ),
    (fq.qparams, (np.array(1.0), np.array([2.0])), {}, ValueError, ["hi: got shape (1,), expected ()"]),
    (fq.qparams, (np.array([1.0]), np.array(2.0)), {}, ValueError, ["hi: got shape (), expected (1,)"]),
    (fq.quantize_dynamic, (X, "int4"), {"packed": 1}, TypeError, ["packed: got 1", "True or False"]),
    # packed, to dequantize
    (fq.dequantize, (Q, 0.1), {"packed": "int4"}, TypeError, ["q: got an array of int8", "packed array of uint8"]),
    (fq.dequantize, (Q4, 0.1), {"packed": "int4"}, TypeError, ["q: got an array of int4", "packed array of uint8"]),
    (fq.dequantize, (P, 0.1), {"packed": True}, TypeError, ["packed: got True", *PACKED]),
    (fq.dequantize, (P, 0.1), {"packed": "int8"}, ValueError, ["packed: got int8", *PACKED]),
    (fq.dequantize, (P, 0.1), {"packed": "int3"}, ValueError, ["packed: got 'int3'"]),
    (fq.dequantize, (P, 0.1), {"packed": 4}, TypeError, ["packed: got 4"]),
    (fq.dequantize, (P, [0.1] * 3), {"packed": "int4", "axis": 1}, ValueError, ["scale: got shape (3,)", "(4,)"]),
    # saturate
    *(
        (fq.quantize, (X, 0.1), {"saturate": False, "dtype": name}, ValueError, ["saturate: got False", name])
        for name in CODE_TYPES
    ),
    (fq.quantize, (X, 0.1), {"saturate": 0, "dtype": "float8_e5m2"}, TypeError, ["saturate: got 0", "True or False"]),
    (fq.quantize, (X, 0.1), {"saturate": None}, TypeError, ["saturate: got None", "True or False"]),
    (fq.fake_quantize, (X, 0.1), {"saturate": False}, ValueError, ["saturate: got False", "int8"]),
    (fq.fake_quantize, (X, 0.1), {"saturate": "no"}, TypeError, ["saturate: got 'no'"]),
    # float codes have no zero point, and nothing but symmetric ranges
    *((fq.quantize, (X, 0.1, 1), {"dtype": name}, ValueError, ["zero_point: got 1", name]) for name in FLOAT_TYPES),
    *(
        (fq.dequantize, (np.zeros(3, real_dtype(name)), 0.1, 1), {}, ValueError, ["zero_point: got 1", name])
        for name in FLOAT_TYPES
    ),
    (fq.fake_quantize, (X, 0.1, -3), {"dtype": "float8_e5m2"}, ValueError, ["zero_point: got -3", "float8_e5m2"]),
    (
        *(fq.quantize, (X, 0.1, [0, 1, 0]), {"dtype": "float8_e5m2", "axis": 1}),
        *(ValueError, ["zero_point: got 1 at index 1", "float8_e5m2"]),
    ),
    (fq.quantize, (X, 0.1, np.ones((), Q8.dtype)), {}, ValueError, ["zero_point: got 1", "float8_e5m2"]),
    (fq.quantize, (X, 0.1, np.zeros((), Q8.dtype)), {"dtype": "int8"}, TypeError, ["zero_point: got float8_e5m2"]),
    (fq.quantize, (X, 0.1, 0.0), {"dtype": "float8_e5m2"}, TypeError, ["zero_point: got float"]),
    (fq.qparams, (-1.0, 1.0, "float8_e5m2"), {"symmetric": False}, ValueError, ["symmetric: got False", "float8_e5m2"]),
    (fq.qparams, (-1.0, 1.0, "float4_e2m1fn"), {"narrow_range": True}, ValueError, ["narrow_range: got True"]),
    (fq.quantize_dynamic, (X, "float8_e5m2"), {"symmetric": False}, ValueError, ["symmetric: got False"]),
    (fq.quantize_dynamic, (X, "float8_e5m2"), {"narrow_range": True}, ValueError, ["narrow_range: got True"]),
    # a zero point of another code type than the default one
    (fq.fake_quantize, (X, 0.1, np.int16(3)), {}, ValueError, ["zero_point: got int16", "int8"]),
    (fq.fake_quantize, (X, 0.1, ml_dtypes.int4(3)), {}, ValueError, ["zero_point: got int4", "int8"]),
    (fq.dequantize, (fq.quantize_dynamic(X), 0.1), {}, TypeError, ["q: got a Quantized, expected", "members"]),
    # requantize
    (fq.requantize, (X, 0.1, 0, 0.2, 0), {}, TypeError, ["q: got an array of float32", "int32"]),
    (fq.requantize, (Q, 0.0, 0, 0.2, 0), {}, ValueError, ["scale: got 0.0"]),
    (fq.requantize, (Q, 0.1, 0, 0.2, 0.5), {}, TypeError, ["new_zero_point: got float, expected int32 integers"]),
    (fq.pack, ([1, 1 << 40],), {}, TypeError, ["q: got a list of int64, expected an array of codes of 4 or 2 bits"]),
    (fq.requantize, (Q, 0.1, 0, -0.2, 0), {}, ValueError, ["new_scale: got -0.2"]),
    (fq.requantize, (Q, "1", 0, 0.2, 0), {}, TypeError, ["scale: got"]),
    (fq.requantize, (Q, 0.1, 0, None, 0), {}, TypeError, ["new_scale: got"]),
    (fq.requantize, (Q, 0.1, 1.5, 0.2, 0), {}, TypeError, ["zero_point: got float"]),
    (fq.requantize, (Q, 0.1, 0, 0.2, 2**31), {}, ValueError, ["new_zero_point: got 2147483648"]),
    (fq.requantize, (Q8, 0.1, 1, 0.2, 0), {}, ValueError, ["zero_point: got 1", "float8_e5m2"]),
    (fq.requantize, (Q, 0.1, 0, 0.2, 3), {"dtype": "float8_e5m2"}, ValueError, ["new_zero_point: got 3"]),
    (fq.requantize, (Q, [0.1], 0, 0.2, 0), {"axis": 0}, ValueError, ["scale: got shape (1,)", "shape (4,)"]),
    (fq.requantize, (Q, 0.1, 0, [0.2], 0), {"axis": 0}, ValueError, ["new_scale: got shape (1,)", "shape (4,)"]),
    (fq.requantize, (Q, 0.1, 0, 0.2, [1, 2]), {"axis": 0}, ValueError, ["new_zero_point: got shape (2,)"]),
    (fq.requantize, (Q, 0.1, 0, 0.2, 0), {"axis": 2}, ValueError, ["axis: got 2"]),
    (fq.requantize, (Q, 0.1, 0, 0.2, 0), {"dtype": "int32"}, ValueError, ["dtype: got int32", "int8"]),
    (fq.requantize, (Q, 0.1, 0, 0.2, 0), {"dtype": None}, TypeError, ["dtype: got None"]),
    # pack
    (fq.pack, (Q,), {}, TypeError, ["q: got an array of int8", *PACKED]),
    (fq.pack, (X,), {}, TypeError, ["q: got an array of float32"]),
    (fq.pack, (Q.astype(np.int32),), {}, TypeError, ["q: got an array of int32"]),
    (fq.pack, ([1, 2],), {}, TypeError, ["q: got a list of"]),
    (fq.pack, ([np.int32(1), np.int32(2)],), {}, TypeError, ["q: got a list of int32"]),
    (fq.pack, (None,), {}, TypeError, ["q: got None"]),
    (fq.pack, (Q4[0, 0],), {}, ValueError, ["q: got an array of shape ()"]),
    # Packed bytes have an axis, and a fraction of a zero point is no zero.
    (fq.dequantize, (np.uint8(3), 0.1), {"packed": "int4"}, ValueError, ["q: got an array of shape ()"]),
    (fq.quantize, (X, 0.1, E4M3(0.25)), {}, ValueError, ["zero_point: got 0.25,", "expected 0", "float8_e4m3fn"]),
    (fq.quantize, (X, 0.1, np.array([0, 0.25, 0, 0], E4M3)), {"axis": 0}, ValueError, ["got 0.25 at index 1"]),
    (fq.quantize, (X, 0.1, np.array([0, 0, np.nan, 0], E4M3)), {"axis": 0}, ValueError, ["got nan at index 2"]),
    # unpack
    (fq.unpack, (np.uint8(3), "int4", (2,)), {}, ValueError, ["p: got an array of shape ()"]),
    (fq.unpack, (P, "int4", np.int64(12)), {}, ValueError, ["shape: got (12,)"]),
    (fq.unpack, (P, "int4", 12.0), {}, TypeError, ["shape: got 12.0", "integers"]),
    (fq.unpack, (Q, "int4", SHAPE), {}, TypeError, ["p: got an array of int8", "uint8"]),
    (fq.unpack, ([1, 1], "int4", (4,)), {}, TypeError, ["p: got a list of", "uint8"]),
    (fq.unpack, (P, "int8", SHAPE), {}, ValueError, ["dtype: got int8", *PACKED]),
    (fq.unpack, (P, "int3", SHAPE), {}, ValueError, ["dtype: got 'int3'"]),
    (fq.unpack, (P, None, SHAPE), {}, TypeError, ["dtype: got None"]),
    (fq.unpack, (P, "int4", (4, 5)), {}, ValueError, ["shape: got (4, 5)", "(4, 2)"]),
    (fq.unpack, (P, "int4", (4, 2)), {}, ValueError, ["shape: got (4, 2)", "(4, 2)"]),
    (fq.unpack, (P, "int4", (3, 3)), {}, ValueError, ["shape: got (3, 3)"]),
    (fq.unpack, (P, "int2", SHAPE), {}, ValueError, ["shape: got (4, 3)", "int2"]),
    (fq.unpack, (P, "int4", 12), {}, ValueError, ["shape: got (12,)"]),
    (fq.unpack, (P, "int4", ()), {}, ValueError, ["shape: got ()"]),
    (fq.unpack, (P, "int4", (4, -3)), {}, ValueError, ["shape: got (4, -3)"]),
    (fq.unpack, (P, "int4", (4, 3.0)), {}, TypeError, ["shape: got (4, 3.0)", "integers"]),
    (fq.unpack, (P, "int4", None), {}, TypeError, ["shape: got None", "integers"]),
]


@pytest.mark.parametrize(("function", "arguments", "options", "exception", "words"), REFUSED, ids=lambda v: "")
def test_refused(function, arguments, options, exception, words):
    with pytest.raises(exception) as caught:
        function(*arguments, **options)
    assert type(caught.value) is exception
    for word in words:
        assert word in str(caught.value), str(caught.value)
    assert "\n" not in str(caught.value)


def locked(dtype: Any) -> np.ndarray:
    a = np.full(SHAPE, 1, real_dtype(dtype))
    a.flags.writeable = False
    return a


# function, arguments, options, out, exception, words
OUTS: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any, type[Exception], list[str]]] = [
    (
        fq.quantize,
        (X, 0.1),
        {"dtype": "int4"},
        np.zeros(SHAPE, np.int8),
        TypeError,
        ["out: got an array of int8", "int4"],
    ),
    (
        fq.quantize,
        (X, 0.1),
        {"dtype": "int4", "packed": True},
        np.ones(SHAPE, np.uint8),
        ValueError,
        ["(4, 3)", "(4, 2)"],
    ),
    (fq.quantize, (X, 0.1), {"dtype": "int4", "packed": True}, np.ones((4, 2), np.int8), TypeError, ["int8", "uint8"]),
    (
        fq.quantize,
        (X, 0.1),
        {"dtype": "int2", "packed": True},
        np.ones((4, 2), np.uint8),
        ValueError,
        ["(4, 2)", "(4, 1)"],
    ),
    (
        fq.quantize,
        (X, -0.1),
        {"dtype": "int2", "packed": True},
        np.ones((4, 1), np.uint8),
        ValueError,
        ["scale: got -0.1"],
    ),
    (fq.quantize, (X, 0.1), {"dtype": "float8_e5m2"}, locked("float8_e5m2"), ValueError, ["out: got a read-only"]),
    (fq.quantize_dynamic, (X, "int16"), {}, np.ones(SHAPE, np.uint16), TypeError, ["uint16", "int16"]),
    (fq.quantize_dynamic, (X, "int4"), {"packed": True}, np.ones(SHAPE, np.uint8), ValueError, ["(4, 3)", "(4, 2)"]),
    (fq.quantize_dynamic, (X * np.inf,), {"axis": 0}, np.ones(SHAPE, np.int8), ValueError, ["x: got"]),
    (
        fq.dequantize,
        (P, 0.1),
        {"packed": "int4"},
        np.ones((4, 2), np.float32),
        ValueError,
        ["out: got shape", "(4, 4)"],
    ),
    (
        fq.dequantize,
        (P, 0.1),
        {"packed": "int4"},
        np.ones((4, 5), np.float32),
        ValueError,
        ["out: got shape", "(4, 4)"],
    ),
    (fq.dequantize, (P, 0.1), {"packed": "int4"}, np.ones((4, 3), np.float64), TypeError, ["float64", "float32"]),
    (
        fq.requantize,
        (Q, 0.1, 0, 0.2, 0),
        {},
        np.ones(SHAPE, np.uint8),
        TypeError,
        ["out: got an array of uint8", "int8"],
    ),
    (fq.requantize, (Q, 0.1, 0, 0.2, 0), {}, np.ones((3, 4), np.int8), ValueError, ["out: got shape (3, 4)", "(4, 3)"]),
    (fq.requantize, (Q, 0.1, 0, -0.2, 0), {}, np.ones(SHAPE, np.int8), ValueError, ["new_scale"]),
    (fq.requantize, (Q, 0.1, 0, 0.2, 0), {}, locked("int8"), ValueError, ["out: got a read-only"]),
]


@pytest.mark.parametrize(("function", "arguments", "options", "out", "exception", "words"), OUTS, ids=lambda v: "")
def test_out_is_left_alone(function, arguments, options, out, exception, words):
    before = out.tobytes()
    with np.errstate(invalid="ignore"), pytest.raises(exception) as caught:
        function(*arguments, **options, out=out)
    for word in words:
        assert word in str(caught.value), str(caught.value)
    assert out.tobytes() == before


class Broken:
    """Fails in a way of its own when it is asked for an array or an index."""

    def __array__(self, *args, **kwargs):
        raise KeyError("boom")

    def __index__(self):
        raise ValueError("boom")


def test_errors_of_arguments_themselves():
    x = np.ones((2, 3), np.float32)
    with pytest.raises(TypeError, match=r"^x: got Broken"):
        fq.quantize(Broken(), 1.0)
    with pytest.raises(TypeError, match=r"^axis: got"):
        fq.quantize(x, 1.0, axis=Broken())
    with pytest.raises(TypeError, match=r"^block_size: got"):
        fq.quantize(x, 1.0, block_size=Broken())


@pytest.mark.parametrize("kernel", ["quantize", "fake_quantize"])
@pytest.mark.parametrize("offset", [np.inf, -np.inf, np.nan])
def test_offsets_are_finite(kernel, offset):
    for real in ("float32", "float64", "float16"):
        with pytest.raises(ValueError, match=r"^offset: got"):
            getattr(fq, kernel)(np.ones(3, real), 1.0, offset=offset)
    with pytest.raises(ValueError, match=r"^offset: got"):
        fq.dequantize(np.zeros(3, np.int8), 1.0, offset=offset, dtype="float64")
