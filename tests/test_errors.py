"""Every refusal: its type, what its message says, and that `out` is as it was.

Messages name the argument, what it got and what it takes, since they are read by people who cannot see the call.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import fastquant as fq

SHAPE = (4, 3)
SCALES4 = np.full(4, 0.1)

# function, arguments beside the array, exception, words that the message must hold
SHARED = [
    # scale
    ({"scale": 0.0}, ValueError, ["scale: got 0.0", "finite numbers > 0"]),
    ({"scale": -0.0}, ValueError, ["scale: got -0.0"]),
    ({"scale": -0.1}, ValueError, ["scale: got -0.1"]),
    ({"scale": np.float32(-0.5)}, ValueError, ["scale: got -0.5"]),
    ({"scale": float("nan")}, ValueError, ["scale: got nan"]),
    ({"scale": float("inf")}, ValueError, ["scale: got inf"]),
    ({"scale": np.float32("inf")}, ValueError, ["scale: got inf"]),
    ({"scale": 1e39}, ValueError, ["scale: got 1e+39", "float32"]),
    ({"scale": 1e-46}, ValueError, ["scale: got 1e-46", "float32"]),
    ({"scale": 0}, ValueError, ["scale: got 0"]),
    ({"scale": "0.1"}, TypeError, ["scale: got", "finite numbers > 0"]),
    ({"scale": None}, TypeError, ["scale: got"]),
    ({"scale": True}, TypeError, ["scale: got True"]),
    ({"scale": 0.1 + 0j}, TypeError, ["scale: got complex,"]),
    ({"scale": [[0.1], [0.1, 0.2]]}, TypeError, ["scale: got list"]),
    ({"scale": [0.1, 0.2]}, ValueError, ["scale: got shape (2,)", "give axis"]),
    ({"scale": [[0.1]]}, ValueError, ["scale: got shape (1, 1)"]),
    ({"scale": SCALES4}, ValueError, ["scale: got shape (4,)", "give axis or block_size"]),
    ({"scale": np.full((4, 1), 0.1), "axis": 0}, ValueError, ["scale: got shape (4, 1)", ".reshape(4,)"]),
    ({"scale": fq.qparams(-1, 1)}, TypeError, ["scale: got a QParams, expected", "*params"]),
    ({"scale": SCALES4, "axis": 1}, ValueError, ["scale: got shape (4,)", "shape (3,)", "axis 1"]),
    ({"scale": [0.1], "axis": 0}, ValueError, ["scale: got shape (1,)", "shape (4,)", "axis 0"]),
    ({"scale": [0.1, 0.1, -1.0, 0.0], "axis": 0}, ValueError, ["scale: got -1.0 at index 2"]),
    ({"scale": [0.1, 0.1, 0.1, np.nan], "axis": 0}, ValueError, ["scale: got nan at index 3"]),
    # zero_point
    ({"zero_point": 0.5}, TypeError, ["zero_point: got float,", "int32", "offset"]),
    ({"zero_point": 1.0}, TypeError, ["zero_point: got float,"]),
    ({"zero_point": np.float32(1)}, TypeError, ["zero_point: got float32"]),
    ({"zero_point": True}, TypeError, ["zero_point: got True"]),
    ({"zero_point": None}, TypeError, ["zero_point: got"]),
    ({"zero_point": "3"}, TypeError, ["zero_point: got"]),
    ({"zero_point": 2**31}, ValueError, ["zero_point: got 2147483648", "int32"]),
    ({"zero_point": -(2**31) - 1}, ValueError, ["zero_point: got -2147483649", "int32"]),
    ({"zero_point": 2**63}, ValueError, ["zero_point: got", "int32"]),
    ({"zero_point": 2**80}, ValueError, ["zero_point: got", "int32"]),
    ({"zero_point": np.int64(2**40)}, ValueError, ["zero_point: got 1099511627776"]),
    ({"zero_point": np.uint64(2**63)}, ValueError, ["zero_point: got 9223372036854775808"]),
    ({"zero_point": np.uint32(2**31)}, ValueError, ["zero_point: got 2147483648"]),
    ({"zero_point": [0, 1]}, ValueError, ["zero_point: got shape (2,)", "give axis"]),
    ({"zero_point": [0, 0, 2**31, 0], "axis": 0}, ValueError, ["zero_point: got 2147483648 at index 2"]),
    ({"zero_point": [0, 0], "axis": 0}, ValueError, ["zero_point: got shape (2,)", "shape (4,)", "axis 0"]),
    # offset
    ({"offset": float("nan")}, ValueError, ["offset: got nan", "finite"]),
    ({"offset": -float("inf")}, ValueError, ["offset: got -inf", "finite"]),
    ({"offset": 1e39}, ValueError, ["offset: got 1e+39", "float32"]),
    ({"offset": 0.5, "zero_point": 3}, ValueError, ["offset", "zero_point", "one of the two"]),
    ({"offset": "0.5"}, TypeError, ["offset: got"]),
    ({"offset": True}, TypeError, ["offset: got True"]),
    ({"offset": [0.5, 0.5]}, ValueError, ["offset: got shape (2,)", "give axis"]),
    ({"offset": [0.5, 0.5], "axis": 1}, ValueError, ["offset: got shape (2,)", "shape (3,)"]),
    ({"offset": [0.5, 0.5, np.inf], "axis": 1}, ValueError, ["offset: got inf at index 2"]),
    # axis
    ({"axis": 2}, ValueError, ["axis: got 2", "shape (4, 3)"]),
    ({"axis": -3}, ValueError, ["axis: got -3", "shape (4, 3)"]),
    ({"axis": 0.0}, TypeError, ["axis: got 0.0"]),
    ({"axis": "0"}, TypeError, ["axis: got '0'"]),
    ({"axis": True}, TypeError, ["axis: got True"]),
    ({"axis": [0, 1]}, TypeError, ["axis: got [0, 1]"]),
    ({"axis": (0, 1.0)}, TypeError, ["axis: got (0, 1.0)"]),
    ({"axis": (0, 2)}, ValueError, ["axis: got 2", "shape (4, 3)"]),
    ({"axis": (1, -1)}, ValueError, ["axis: got (1, -1)", "each axis once"]),
    ({"axis": (0, 1), "scale": SCALES4}, ValueError, ["scale: got shape (4,)", "shape (4, 3)", "axes (0, 1)"]),
    ({"axis": (1, 0), "zero_point": np.ones(SHAPE, int)}, ValueError, ["zero_point: got shape (4, 3)", "(3, 4)"]),
    ({"axis": (0, 1), "scale": -np.ones(SHAPE)}, ValueError, ["scale: got -1.0 at index (0, 0)"]),
    # block_size
    ({"block_size": 0}, ValueError, ["block_size: got 0", "integer > 0"]),
    ({"block_size": -1}, ValueError, ["block_size: got -1", "integer > 0"]),
    ({"block_size": 2.0}, TypeError, ["block_size: got 2.0"]),
    ({"block_size": True}, TypeError, ["block_size: got True"]),
    ({"block_size": "2"}, TypeError, ["block_size: got '2'"]),
    ({"block_size": 2, "axis": (0, 1)}, ValueError, ["axis: got (0, 1)", "one axis"]),
    ({"block_size": 2, "axis": 2}, ValueError, ["axis: got 2", "shape (4, 3)"]),
    ({"block_size": 2, "scale": [0.1, 0.1]}, ValueError, ["scale: got shape (2,)", "shape (4, 2)", "axis 1"]),
    ({"block_size": 2, "axis": 0, "zero_point": np.ones((4, 2), int)}, ValueError, ["got shape (4, 2)", "(2, 3)"]),
    ({"block_size": 2, "axis": 0, "offset": np.full((2, 3), np.nan)}, ValueError, ["offset: got nan at index (0, 0)"]),
]

CODE_DTYPES = [
    ({"dtype": "int7"}, ValueError, ["dtype: got 'int7'", "int8", "uint8"]),
    ({"dtype": "int32"}, ValueError, ["dtype: got int32", "int8", "float4_e2m1fn"]),  # which is only read
    ({"dtype": ml_dtypes.float8_e4m3}, ValueError, ["dtype: got float8_e4m3,", "float8_e4m3fn"]),
    ({"dtype": np.float32}, ValueError, ["dtype: got float32", "int8"]),
    ({"dtype": np.int64}, ValueError, ["dtype: got int64", "int8"]),
    ({"dtype": 8}, TypeError, ["dtype: got 8", "int8"]),
    ({"dtype": [8]}, TypeError, ["dtype: got [8]", "int8"]),
    ({"dtype": object}, ValueError, ["dtype: got object", "int8"]),
]

REAL_DTYPES = [
    ({"dtype": "int8"}, ValueError, ["dtype: got int8", "float32", "bfloat16"]),
    ({"dtype": "float12"}, ValueError, ["dtype: got 'float12'", "float32"]),
    ({"dtype": None}, TypeError, ["dtype: got None", "float32"]),
    ({"dtype": 3}, TypeError, ["dtype: got 3"]),
]

BAD_REALS = [
    (np.ones(SHAPE, np.int32), TypeError, ["x: got an array of int32", "float32", "bfloat16"]),
    (np.ones(SHAPE, np.int8), TypeError, ["x: got an array of int8"]),
    (np.ones(SHAPE, bool), TypeError, ["x: got an array of bool"]),
    (np.ones(SHAPE, complex), TypeError, ["x: got an array of complex128"]),
    (np.ones(SHAPE, object), TypeError, ["x: got an array of object"]),
    pytest.param(
        np.ones(SHAPE, np.longdouble),
        TypeError,
        ["x: got an array of"],
        marks=pytest.mark.skipif(np.dtype(np.longdouble) == np.float64, reason="it is float64 here"),
    ),
    (np.ones(SHAPE, "M8[s]"), TypeError, ["x: got an array of datetime64[s]"]),
    ("text", TypeError, ["x: got 'text'"]),
    (None, TypeError, ["x: got None"]),
    ([[1.0], [1.0, 2.0]], TypeError, ["x: got list"]),
    ([True, False], TypeError, ["x: got a list of bool"]),
    (np.ma.array(np.ones(SHAPE, np.float32), mask=True), TypeError, ["x: got a masked array"]),
    ({}, TypeError, ["x: got"]),
]

BAD_CODES = [
    (np.ones(SHAPE, np.float32), TypeError, ["q: got an array of float32", "int8", "uint8"]),
    (np.ones(SHAPE, np.int64), TypeError, ["q: got an array of int64", "int32"]),
    (np.ones(SHAPE, ml_dtypes.bfloat16), TypeError, ["q: got an array of bfloat16"]),
    (np.ones(SHAPE, bool), TypeError, ["q: got an array of bool"]),
    ([1, 1 << 40], TypeError, ["q: got a list of int64"]),
    (None, TypeError, ["q: got None"]),
    ([[1], [1, 2]], TypeError, ["q: got list"]),
]

BAD_RANGES = [
    ([1.0, np.nan], ValueError, ["x: got nan at index 1,", "finite"]),
    ([[1.0, 2.0], [np.inf, 3.0]], ValueError, ["x: got inf at index (1, 0)", "finite"]),
    ([-np.inf], ValueError, ["x: got -inf at index 0,"]),
    (np.nan, ValueError, ["x: got nan"]),
    ([], ValueError, ["x: got shape (0,)"]),
    (np.zeros((3, 0), np.float32), ValueError, ["x: got shape (3, 0)"]),
]


def arrays(path: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """x, q, and outputs for codes and reals: of the plainest kind, or of another layout."""
    order = "C" if path == "plain" else "F"
    x = np.linspace(-1, 1, 12, dtype=np.float32).reshape(SHAPE)
    made = (
        np.array(x, order=order),
        np.ones(SHAPE, np.int8, order=order),
        np.full(SHAPE, 77, np.int8, order=order),
        np.full(SHAPE, 77, np.float32, order=order),
    )
    return made


def refused(
    function: Any,
    arguments: tuple[Any, ...],
    options: dict[str, Any],
    out: np.ndarray | None,
    exception: type[Exception],
    words: list[str],
) -> None:
    """The call fails as it should, with and without `out`, which keeps its contents."""
    for given in ({}, {"out": out}) if out is not None else ({},):
        before = None if out is None else out.tobytes()
        with pytest.raises(exception) as caught:
            function(*arguments, **options, **given)
        assert type(caught.value) is exception
        for word in words:
            assert word in str(caught.value), str(caught.value)
        assert "\n" not in str(caught.value)
        assert out is None or out.tobytes() == before


@pytest.mark.parametrize("path", ["plain", "general"])
@pytest.mark.parametrize(("options", "exception", "words"), SHARED, ids=lambda v: str(v) if isinstance(v, dict) else "")
@pytest.mark.parametrize("name", ["quantize", "dequantize", "fake_quantize"])
def test_parameters(name, options, exception, words, path):
    x, q, codes, reals = arrays(path)
    options = {"scale": 0.1, **options}
    scale = options.pop("scale")
    source = q if name == "dequantize" else x
    out = codes if name == "quantize" else reals
    refused(getattr(fq, name), (source, scale), options, out, exception, words)


@pytest.mark.parametrize("path", ["plain", "general"])
@pytest.mark.parametrize(("options", "exception", "words"), CODE_DTYPES)
def test_code_types(options, exception, words, path):
    x, _, codes, reals = arrays(path)
    refused(fq.quantize, (x, 0.1), options, codes, exception, words)
    refused(fq.fake_quantize, (x, 0.1), options, reals, exception, words)
    refused(fq.quantize_dynamic, (x,), options, codes, exception, words)
    refused(fq.qparams, (-1.0, 1.0), options, None, exception, words)


@pytest.mark.parametrize("path", ["plain", "general"])
def test_code_types_that_may_not_be_none(path):
    x, _, codes, reals = arrays(path)
    refused(fq.fake_quantize, (x, 0.1), {"dtype": None}, reals, TypeError, ["dtype: got None", "int8"])
    refused(fq.quantize_dynamic, (x, None), {}, codes, TypeError, ["dtype: got None", "int8"])
    refused(fq.qparams, (-1.0, 1.0, None), {}, None, TypeError, ["dtype: got None", "int8"])


@pytest.mark.parametrize("path", ["plain", "general"])
@pytest.mark.parametrize(("options", "exception", "words"), REAL_DTYPES)
def test_real_types(options, exception, words, path):
    _, q, _, reals = arrays(path)
    refused(fq.dequantize, (q, 0.1), options, reals, exception, words)


@pytest.mark.parametrize(("x", "exception", "words"), BAD_REALS, ids=lambda v: "")
def test_reals(x, exception, words):
    _, _, codes, reals = arrays("plain")
    refused(fq.quantize, (x, 0.1), {}, codes, exception, words)
    refused(fq.fake_quantize, (x, 0.1), {}, reals, exception, words)
    refused(fq.quantize_dynamic, (x,), {}, codes, exception, words)
    refused(fq.minmax, (x,), {}, None, exception, words)


@pytest.mark.parametrize(("q", "exception", "words"), BAD_CODES, ids=lambda v: "")
def test_codes(q, exception, words):
    _, _, _, reals = arrays("plain")
    refused(fq.dequantize, (q, 0.1), {}, reals, exception, words)


@pytest.mark.parametrize("real", ["float32", "float64", "float16"])
@pytest.mark.parametrize(("x", "exception", "words"), BAD_RANGES, ids=lambda v: "")
def test_ranges(target, x, exception, words, real):
    x = np.array(x, real)
    out = np.full(x.shape, 77, np.int8)
    refused(fq.minmax, (x,), {}, None, exception, words)
    refused(fq.quantize_dynamic, (x,), {}, out, exception, words)
    for axis in range(x.ndim):
        if x.shape[axis] == 0:  # no channel is left without a range
            assert fq.minmax(x, axis=axis).lo.shape == (0,)
            assert fq.quantize_dynamic(x, axis=axis).q.shape == x.shape
            continue
        refused(fq.minmax, (x,), {"axis": axis}, None, exception, words)
        refused(fq.quantize_dynamic, (x,), {"axis": axis}, out, exception, words)
    refused(fq.minmax, (np.asfortranarray(x),), {}, None, exception, words)


@pytest.mark.parametrize("function", [fq.minmax, fq.quantize_dynamic])
@pytest.mark.parametrize(
    ("axis", "exception"),
    [(2, ValueError), (-3, ValueError), (0.5, TypeError), ((0, 0), ValueError), ([0], TypeError), (True, TypeError)],
)
def test_axis_of_ranges(function, axis, exception):
    refused(function, (np.ones(SHAPE, np.float32),), {"axis": axis}, None, exception, [f"axis: got {axis}"])


def outs(dtype: str, wrong: str) -> list[tuple[Any, type[Exception], list[str]]]:
    """What `out` must not be."""
    locked = np.full(SHAPE, 77, dtype)
    locked.flags.writeable = False
    return [
        (np.full((3, 4), 77, dtype), ValueError, ["out: got shape (3, 4)", "(4, 3)"]),
        (np.full(12, 77, dtype), ValueError, ["out: got shape (12,)", "(4, 3)"]),
        (np.full((1, 4, 3), 77, dtype), ValueError, ["out: got shape (1, 4, 3)"]),
        (np.full(SHAPE, 77, wrong), TypeError, [f"out: got an array of {wrong}", f"expected {dtype}"]),
        (locked, ValueError, ["out: got a read-only array"]),
        ([[0] * 3] * 4, TypeError, ["out: got list", dtype]),
        (bytearray(12), TypeError, ["out: got bytearray"]),
        (np.int8(3), TypeError, ["out: got int8"]),
    ]


@pytest.mark.parametrize("i", range(len(outs("int8", "uint8"))))
@pytest.mark.parametrize("path", ["plain", "general"])
def test_out(path, i):
    x, q, _, _ = arrays(path)
    for function, arguments, options, dtype, wrong in (
        (fq.quantize, (x, 0.1), {"dtype": "int8"}, "int8", "uint8"),
        (fq.quantize, (x, 0.1), {"dtype": "uint8"}, "uint8", "int8"),
        (fq.quantize, (x, 0.1), {"axis": 0}, "int8", "float32"),
        (fq.quantize_dynamic, (x,), {}, "int8", "uint8"),
        (fq.dequantize, (q, 0.1), {}, "float32", "float64"),
        (fq.dequantize, (q, 0.1), {"dtype": "float64"}, "float64", "float32"),
        (fq.fake_quantize, (x, 0.1), {}, "float32", "float16"),
        (fq.fake_quantize, (x.astype(np.float16), 0.1), {}, "float16", "float32"),
    ):
        out, exception, words = outs(dtype, wrong)[i]
        before = bytes(out) if isinstance(out, bytearray) else np.array(out)
        with pytest.raises(exception) as caught:
            function(*arguments, **options, out=out)
        for word in words:
            assert word in str(caught.value), str(caught.value)
        assert np.array_equal(before, bytes(out) if isinstance(out, bytearray) else np.array(out))


QPARAMS = [
    ((np.nan, 1.0), {}, ValueError, ["lo: got nan", "finite"]),
    ((0.0, np.inf), {}, ValueError, ["hi: got inf", "finite"]),
    ((-np.inf, 1.0), {}, ValueError, ["lo: got -inf"]),
    ((2.0, 1.0), {}, ValueError, ["lo: got 2.0", "hi", "1.0", "lo <= hi"]),
    (([0.0, 2.0], [1.0, 1.0]), {}, ValueError, ["lo: got 2.0", "1.0"]),
    (([0.0], [1.0, 1.0]), {}, ValueError, ["hi: got shape (2,)", "(1,)"]),
    ((0.0, [1.0]), {}, ValueError, ["hi: got shape (1,)", "()"]),
    (("0", 1.0), {}, TypeError, ["lo: got '0'", "real numbers"]),
    ((0.0, None), {}, TypeError, ["hi: got None", "real numbers"]),
    ((0.0, 1j), {}, TypeError, ["hi: got complex"]),
    ((False, 1.0), {}, TypeError, ["lo: got False"]),
    ((np.ma.array([0.0], mask=[1]), [1.0]), {}, TypeError, ["lo: got a masked array"]),
    ((0.0, 10**400), {}, ValueError, ["hi: got inf"]),
    ((-1.0, 1.0), {"symmetric": "no"}, TypeError, ["symmetric: got 'no'", "True or False"]),
    ((-1.0, 1.0), {"narrow_range": 1}, TypeError, ["narrow_range: got 1"]),
    ((-1.0, 1.0), {"include_zero": None}, TypeError, ["include_zero: got None"]),
    ((-1.0, 1.0), {"dtype": "i1,,"}, ValueError, ["dtype: got 'i1,,'"]),
    ((0.0, 1e300), {}, ValueError, ["lo, hi: got 0.0 to 1e+300", "scale", "float32"]),
    ((-1e308, 1e308), {"symmetric": False}, ValueError, ["lo, hi: got -1e+308 to 1e+308", "scale"]),
    (([0.0, 0.0], [1.0, 1e300]), {}, ValueError, ["lo, hi: got 0.0 to 1e+300"]),
    (
        (1e10, 1e10 + 1),
        {"symmetric": False, "include_zero": False},
        ValueError,
        ["lo, hi: got 10000000000.0 to 10000000001.0", "zero point", "offset"],
    ),
]


@pytest.mark.parametrize(("bounds", "options", "exception", "words"), QPARAMS)
def test_qparams(bounds, options, exception, words):
    refused(fq.qparams, bounds, options, None, exception, words)


@pytest.mark.parametrize(
    "function", [fq.quantize, fq.dequantize, fq.fake_quantize, fq.quantize_dynamic, fq.minmax, fq.qparams]
)
def test_calls_that_python_refuses(function):
    with pytest.raises(TypeError):
        function()
    with pytest.raises(TypeError):
        function(np.ones(3, np.float32), 0.1, colour=3)


def test_only_shapes_that_differ_in_ones_are_called_reshaped():
    """Of a transposed array, the one that was meant is another than the one of the same memory."""
    x, scale = np.ones((6, 8), np.float32), np.full((6, 4), 0.1, np.float32)
    with pytest.raises(ValueError, match=r"^scale: got shape \(4, 6\), expected .*along axis 1$"):
        fq.quantize(x, np.ascontiguousarray(scale.T), block_size=2)
    with pytest.raises(ValueError, match=r"these are as many: \.reshape\(6, 4\)$"):
        fq.quantize(x, scale[:, None], block_size=2)


def test_options_are_keyword_only():
    x = np.ones(3, np.float32)
    with pytest.raises(TypeError):
        fq.quantize(x, 0.1, 0, "int8")
    with pytest.raises(TypeError):
        fq.minmax(x, 0)
    with pytest.raises(TypeError):
        fq.qparams(0.0, 1.0, "int8", False)


def test_float64_bounds_are_those_of_float64():
    x = np.ones(3)
    assert fq.quantize(x, 1e39).tolist() == [0, 0, 0]
    assert fq.quantize(x, 1e-300, offset=-1e300).tolist() == [127] * 3
    with pytest.raises(ValueError, match="scale: got inf"):
        fq.quantize(x, np.inf)


@pytest.mark.parametrize("zero_point", [np.uint8(200), np.array(3, np.uint8)])
def test_fake_quantize_does_not_guess_past_its_zero_point(zero_point):
    """quantize would take uint8 from this zero point; here dtype has a default, which is int8."""
    out = np.full(3, 77, np.float32)
    x = np.ones(3, np.float32)
    refused(fq.fake_quantize, (x, 0.05, zero_point), {}, out, ValueError, ["zero_point: got uint8", "int8"])
    expected = fq.dequantize(fq.quantize(x, 0.05, zero_point), 0.05, zero_point)
    assert np.array_equal(fq.fake_quantize(x, 0.05, zero_point, dtype="uint8"), expected)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_offsets_of_float64_are_finite(value):
    x, q = np.zeros(3), np.zeros(3, np.int8)
    for call in (
        lambda: fq.quantize(x, 0.1, offset=value),
        lambda: fq.dequantize(q, 0.1, offset=value, dtype="float64"),
        lambda: fq.fake_quantize(x, 0.1, offset=value, dtype="int8"),
    ):
        with pytest.raises(ValueError, match=rf"^offset: got {value}, expected finite numbers, as float64"):
            call()
