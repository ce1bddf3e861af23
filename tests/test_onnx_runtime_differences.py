"""Where fastquant.onnx and ONNX Runtime differ: as the module documents, measured with one version."""

from __future__ import annotations

import numpy as np
import pytest
from onnx_runtime import DTYPES, FLOAT8, NUMBERS, assert_agree, deviations, ort, ort_run, session

from fastquant import onnx as fqo

as_measured = pytest.mark.skipif(
    not ort.__version__.startswith("1.32."), reason="these were measured with ONNX Runtime 1.32"
)


@as_measured
def test_the_differences_of_float8_are_as_documented():
    """Each occurs, on all the inputs that it is documented for."""
    x = np.arange(1 << 16, dtype=np.uint32).astype(np.uint16).view(np.float16).astype(np.float32)
    with np.errstate(all="ignore"):
        x = np.concatenate([x, np.nextafter(x, np.float32(np.inf)), np.nextafter(x, np.float32(-np.inf))])
    x = np.concatenate([x, np.array([65504, 65535.996, 65536, 1e30], np.float32)])
    counts = {}
    one = np.array(1, np.float32)
    for codes in FLOAT8:
        for saturate in (1, 0):
            attributes = {"output_dtype": NUMBERS[codes], "saturate": saturate}
            ours = fqo.quantize_linear(x, one, **attributes)
            (theirs,) = ort_run("QuantizeLinear", [x, one], (codes,), **attributes)
            known = deviations(x, np.ones_like(x), codes, saturate, "float32")
            counts[codes, saturate] = assert_agree(ours, theirs, known, codes)
            assert counts[codes, saturate] == known[0].sum()
    assert {what for what, n in counts.items() if n} == {
        ("float8_e4m3fn", 0),
        ("float8_e5m2", 0),
        ("float8_e5m2", 1),
    }


@as_measured
@pytest.mark.parametrize(
    ("operator", "inputs", "output", "attributes"),
    [
        ("QuantizeLinear", (16, 16), 3, {}),
        ("QuantizeLinear", (6, 1), 3, {}),
        ("QuantizeLinear", (1, 6), 3, {}),
        ("QuantizeLinear", (1, 24), 3, {}),
        ("QuantizeLinear", (1, 1), 23, {}),
        ("QuantizeLinear", (1, 1), 27, {}),
        ("QuantizeLinear", (1, 1), 3, {"precision": 16}),
        ("QuantizeLinear", (1, 1), 3, {"precision": 11}),
        ("DequantizeLinear", (23, 1), 1, {}),
        ("DequantizeLinear", (27, 1), 1, {}),
        ("DequantizeLinear", (3, 16), 16, {}),
        ("DequantizeLinear", (3, 24), 1, {"output_dtype": 1}),
        ("DequantizeLinear", (3, 1), 16, {"output_dtype": 16}),
    ],
)
def test_types_that_onnx_runtime_lacks(operator, inputs, output, attributes):
    if operator == "QuantizeLinear":
        attributes = attributes | {"output_dtype": output}
    message = r"NOT_IMPLEMENTED|INVALID_GRAPH|not currently registered|only supports precision"
    with pytest.raises(Exception, match=message):
        session(operator, tuple((kind, 1) for kind in inputs), (output,), tuple(sorted(attributes.items())))


@as_measured
@pytest.mark.parametrize(
    ("scale", "codes"),
    [
        (0.0, [-128, 127, -128]),
        (-1.0, [0, -1, 1]),
        (np.inf, [0, 0, 0]),
        (np.nan, [-128, -128, -128]),
    ],
)
def test_scales_that_only_onnx_runtime_takes(scale, codes):
    inputs = [np.array([0, 1, -1], np.float32), np.array(scale, np.float32)]
    assert ort_run("QuantizeLinear", inputs, ("int8",), output_dtype=3)[0].tolist() == codes
    with pytest.raises(ValueError, match=r"^y_scale: got "):
        fqo.quantize_linear(*inputs, output_dtype=3)


@as_measured
def test_zero_points_that_only_onnx_runtime_takes():
    one = np.array(1, np.float32)
    inputs = [np.array([5, 7], np.int32), one, np.array(1, np.int32)]
    assert ort_run("DequantizeLinear", inputs, ("float32",))[0].tolist() == [4, 6]
    with pytest.raises(ValueError, match=r"^x_zero_point: got "):
        fqo.dequantize_linear(*inputs)
    inputs = [np.array([5, 7], np.float32), one, np.array(1, DTYPES["float8_e4m3fn"])]
    assert ort_run("QuantizeLinear", inputs, ("float8_e4m3fn",))[0].astype(float).tolist() == [5, 7]
    with pytest.raises(ValueError, match=r"^y_zero_point: got "):
        fqo.quantize_linear(*inputs)


@as_measured
@pytest.mark.parametrize(
    ("x", "scale", "zero_point", "codes"),
    [
        ([1, np.nan, 2], 2 / 255, 0, [127, 0, 255]),
        ([1, np.inf], np.inf, 0, [0, 0]),
        ([-np.inf, 1], np.inf, 255, [0, 255]),
        ([3e38, -3e38], np.inf, 0, [0, 0]),
        ([1e-43], 0, 255, [255]),
        ([-1e-45, 1e-45], 0, 255, [0, 255]),
    ],
)
def test_ranges_that_only_onnx_runtime_takes(x, scale, zero_point, codes):
    x = np.array(x, np.float32)
    y, y_scale, y_zero_point = ort_run("DynamicQuantizeLinear", [x], ("uint8", "float32", "uint8"))
    assert (y.tolist(), y_scale, y_zero_point) == (codes, np.float32(scale), zero_point)
    with pytest.raises(ValueError, match=r"^x: got "):
        fqo.dynamic_quantize_linear(x)


@as_measured
def test_the_result_for_nan_depends_on_its_place_in_onnx_runtime():
    found = set()
    for place in (8, 39):
        x = np.arange(40, dtype=np.float32)
        x[place] = np.nan
        found.add(np.isnan(ort_run("DynamicQuantizeLinear", [x], ("uint8", "float32", "uint8"))[1]).item())
    assert found == {False, True}


@as_measured
def test_one_block_of_one_dimension_is_refused_by_onnx_runtime():
    x, scale = np.arange(6, dtype=np.float32), np.ones(1, np.float32)
    with pytest.raises(Exception, match="block_size must be 0 for per-tensor"):
        ort_run("QuantizeLinear", [x, scale], ("uint8",), axis=0, block_size=6)
    assert fqo.quantize_linear(x, scale, axis=0, block_size=6).tolist() == [0, 1, 2, 3, 4, 5]
