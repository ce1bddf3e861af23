"""What fastquant.onnx refuses: kind of error and message."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from onnx_support import E8M0, OPERATORS, f32

X = np.ones((2, 3), np.float32)
Q = np.ones((2, 3), np.int8)
ONE = f32(1)

QUANTIZE_TYPE_ERRORS = [
    ((X.astype(np.float64), ONE), {}, r"x: got float64, expected float32, float16, bfloat16 or int32"),
    ((X.astype(np.int64), ONE), {}, "x: got int64"),
    (([[1.0]], ONE), {}, "x: got float64"),
    ((Q, ONE), {}, "x: got int8"),
    ((None, ONE), {}, "x: got "),
    (([[1.0], [1.0, 2.0]], ONE), {}, "x: got list"),
    ((np.ma.masked_array(X, X > 0), ONE), {}, "x: got a masked array"),
    ((X, 0.5), {}, "y_scale: got float64"),
    ((X, np.float64(0.5)), {}, "y_scale: got float64"),
    ((X, np.int8(1)), {}, "y_scale: got int8"),
    ((X, ONE, np.int64(0)), {}, "y_zero_point: got int64"),
    ((X, ONE, np.int32(0)), {}, "y_zero_point: got int32"),
    ((X, ONE, np.float32(0)), {}, "y_zero_point: got float32"),
    ((X, ONE), {"axis": 1.0}, r"axis: got 1\.0, expected an integer"),
    ((X, ONE), {"axis": True}, "axis: got True"),
    ((X, ONE), {"block_size": None}, "block_size: got None"),
    ((X, ONE), {"output_dtype": "int8"}, "output_dtype: got 'int8', expected an integer"),
    ((X, ONE), {"output_dtype": np.int8}, "output_dtype: got "),
    ((X, ONE), {"precision": "float16"}, "precision: got 'float16'"),
    ((X, ONE), {"saturate": "no"}, "saturate: got 'no'"),
]
QUANTIZE_VALUE_ERRORS = [
    ((X, f32(0)), {}, r"y_scale: got 0\.0"),
    ((X, f32(-1)), {}, r"y_scale: got -1\.0"),
    ((X, f32(np.nan)), {}, "y_scale: got nan"),
    ((X, f32(np.inf)), {}, "y_scale: got inf"),
    ((X, np.array(255, np.uint8).view(E8M0)), {}, "y_scale: got nan"),
    ((X, np.int32(0)), {}, "y_scale: got 0"),
    ((X, f32(1, 0, 1)), {}, r"y_scale: got 0\.0"),
    ((X, f32(1e-9)), {"precision": 10}, r"y_scale: got 9\.99.*e-10, expected .* as float16"),
    ((X, f32(1e9)), {"precision": 10}, r"y_scale: got 1000000000\.0, expected .* as float16"),
    ((X, np.int32(70000)), {"precision": 10}, "y_scale: got 70000, expected .* as float16"),
    ((X, np.float16(np.nan)), {}, "y_scale: got nan"),
    ((X, f32(1, 1)), {}, r"y_scale: got shape \(2,\), expected \(3,\) for x of shape \(2, 3\), axis 1"),
    ((X, X), {}, r"y_scale: got shape \(2, 3\), expected 0 or 1 dimensions, without block_size"),
    ((X, f32(1, 1)), {"block_size": 2}, r"y_scale: got shape \(2,\), expected 2 dimensions"),
    ((X, ONE), {"block_size": 2}, r"y_scale: got shape \(\), expected 2 dimensions"),
    ((X, X), {"block_size": 2}, r"y_scale: got shape \(2, 3\), expected \(2, 2\) .* axis 1 and block_size 2"),
    ((X, ONE), {"block_size": -1}, "block_size: got -1"),
    ((X, f32(1, 1, 1)), {"axis": 2}, "axis: got 2, expected -2 to 1"),
    ((X, f32(1, 1, 1)), {"axis": -3}, "axis: got -3, expected -2 to 1"),
    ((f32(1, 2), f32(1, 1)), {}, "axis: got 1, expected -1 to 0"),
    ((ONE, f32(1, 1)), {"axis": 0}, "axis: got 0, expected no scale"),
    ((X, ONE, Q[0]), {}, r"y_zero_point: got shape \(3,\), expected \(\)"),
    ((X, ONE, np.zeros(3, ml_dtypes.float8_e5m2)), {}, r"y_zero_point: got shape \(3,\), expected \(\)"),
    ((X, X[0], np.int8(0)), {}, r"y_zero_point: got shape \(\), expected \(3,\)"),
    ((X, X[:, :2], Q), {"block_size": 2}, r"y_zero_point: got shape \(2, 3\), expected \(2, 2\)"),
    ((X, ONE, np.int8(0)), {"output_dtype": 2}, r"output_dtype: got 2 \(uint8\), expected 0 or 3 \(int8"),
    ((X, ONE), {"output_dtype": 1}, "output_dtype: got 1, expected 0, 3"),
    ((X, ONE), {"output_dtype": 6}, "output_dtype: got 6"),
    ((X, ONE), {"output_dtype": -1}, "output_dtype: got -1"),
    ((X, ONE), {"precision": 6}, "precision: got 6"),
    ((X, ONE), {"precision": 24}, "precision: got 24"),
    ((X, ONE), {"saturate": 2}, "saturate: got 2, expected 0 or 1"),
    ((X, ONE, np.array(1, ml_dtypes.float4_e2m1fn)), {}, r"y_zero_point: got 1\.0, expected 0"),
    ((X, ONE, np.array(np.nan, ml_dtypes.float8_e5m2)), {}, "y_zero_point: got nan, expected 0"),
]
DEQUANTIZE_TYPE_ERRORS = [
    ((X, ONE), {}, "x: got float32"),
    ((Q.astype(np.int64), ONE), {}, "x: got int64"),
    ((Q, np.float64(1)), {}, "x_scale: got float64"),
    ((Q, np.int32(1)), {}, "x_scale: got int32"),
    ((Q, ONE, np.uint8(0)), {}, "x_zero_point: got uint8, expected int8"),
    ((Q, ONE, np.int32(0)), {}, "x_zero_point: got int32, expected int8"),
    ((Q, ONE), {"output_dtype": "float32"}, "output_dtype: got 'float32'"),
    ((Q, ONE), {"axis": None}, "axis: got None"),
]
DEQUANTIZE_VALUE_ERRORS = [
    ((Q, f32(0)), {}, r"x_scale: got 0\.0"),
    ((Q, f32(np.inf)), {}, "x_scale: got inf"),
    ((Q, np.array(255, np.uint8).view(E8M0)), {"output_dtype": 1}, "x_scale: got nan"),
    ((Q, np.array(127, np.uint8).view(E8M0)), {}, "output_dtype: got 0 where x_scale is float8e8m0, expected 1"),
    ((Q, ONE), {"output_dtype": 11}, r"output_dtype: got 11, expected 1 \(float32\), 10 \(float16\) or 16"),
    ((Q, f32(1, 1)), {}, r"x_scale: got shape \(2,\), expected \(3,\)"),
    ((Q, ONE, Q[0]), {}, r"x_zero_point: got shape \(3,\)"),
    ((Q, X[0]), {"axis": 5}, "axis: got 5"),
    ((Q, X), {"block_size": 2}, r"x_scale: got shape \(2, 3\), expected \(2, 2\)"),
    ((Q.astype(np.int32), ONE, np.int32(1)), {}, r"x_zero_point: got 1\.0, expected 0, the only zero point of int32"),
    ((Q.astype(ml_dtypes.float8_e5m2), ONE, np.array(1, ml_dtypes.float8_e5m2)), {}, r"x_zero_point: got 1\.0"),
]
DYNAMIC_TYPE_ERRORS = [
    ((X.astype(np.float64),), {}, "x: got float64, expected float32"),
    ((X.astype(np.float16),), {}, "x: got float16"),
    (([1.0],), {}, "x: got float64"),
]


@pytest.mark.parametrize(
    ("operator", "kind", "arguments", "options", "message"),
    [
        *[("QuantizeLinear", TypeError, *case) for case in QUANTIZE_TYPE_ERRORS],
        *[("QuantizeLinear", ValueError, *case) for case in QUANTIZE_VALUE_ERRORS],
        *[("DequantizeLinear", TypeError, *case) for case in DEQUANTIZE_TYPE_ERRORS],
        *[("DequantizeLinear", ValueError, *case) for case in DEQUANTIZE_VALUE_ERRORS],
        *[("DynamicQuantizeLinear", TypeError, *case) for case in DYNAMIC_TYPE_ERRORS],
    ],
)
def test_errors(operator, kind, arguments, options, message):
    with pytest.raises(kind, match=f"^{message}"):
        OPERATORS[operator](*arguments, **options)
