"""Types and comparison, shared by the tests of fastquant.onnx."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from fastquant import onnx as fqo

OPERATORS = {
    "QuantizeLinear": fqo.quantize_linear,
    "DequantizeLinear": fqo.dequantize_linear,
    "DynamicQuantizeLinear": fqo.dynamic_quantize_linear,
}
FLOAT8 = ("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz")
FLOATS = (*FLOAT8, "float6_e2m3fn", "float6_e3m2fn", "float4_e2m1fn")
INTS = ("int8", "uint8", "int16", "uint16", "int4", "uint4", "int2", "uint2")
E8M0 = np.dtype(ml_dtypes.float8_e8m0fnu)


def dtype_of(name: str) -> np.dtype[Any]:
    return np.dtype(getattr(ml_dtypes, name, name))


def f32(*values: Any) -> np.ndarray:
    return np.array(values[0] if len(values) == 1 else values, np.float32)


def assert_same(got: Any, expected: Any, what: str) -> None:
    assert isinstance(got, np.ndarray), what
    assert got.dtype == expected.dtype, what
    assert got.shape == expected.shape, what
    a, b = (np.ascontiguousarray(v).reshape(-1).view(f"u{v.dtype.itemsize}") for v in (got, expected))
    assert a.tolist() == b.tolist(), what
