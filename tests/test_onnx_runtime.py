"""fastquant.onnx against ONNX Runtime: equal bits, but for the differences that the module documents."""

from __future__ import annotations

import numpy as np
import pytest
from onnx_runtime import (
    DTYPES,
    FLOAT8,
    GRANULARITIES,
    LIMITS,
    NONE,
    NUMBERS,
    SHAPE,
    assert_agree,
    attributes_of,
    codes_in,
    deviations,
    ort_run,
    parameter_shape,
    reals,
    scales,
    spread,
)

from fastquant import onnx as fqo


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("codes", [*LIMITS, *FLOAT8])
def test_quantize_linear(codes, granularity):
    rng = np.random.default_rng([ord(c) for c in codes + granularity])
    axis_and_blocks = attributes_of(granularity)
    shape = parameter_shape(granularity)
    for real in ("float32", "float16"):
        for scale_type in ("float32", "float16"):
            for precision in (0, 1, 10):
                for saturate in (1, 0) if codes in FLOAT8 else (1,):
                    scale = scales(shape, scale_type, rng)
                    each = spread(scale, granularity)
                    x = reals(codes, each, real, rng)
                    attributes = {**axis_and_blocks, "precision": precision, "saturate": saturate}
                    kind = {0: scale_type, 1: "float32", 10: "float16"}[precision]
                    known = deviations(x, each, codes, saturate, kind)
                    zero = np.zeros(shape, DTYPES[codes]) if codes in FLOAT8 else codes_in(codes, shape, rng)
                    for zero_point in (zero, None):
                        inputs = [x, scale] if zero_point is None else [x, scale, zero_point]
                        given = attributes | ({"output_dtype": NUMBERS[codes]} if zero_point is None else {})
                        ours = fqo.quantize_linear(*inputs, **given)
                        (theirs,) = ort_run("QuantizeLinear", inputs, (codes,), **given)
                        assert_agree(ours, theirs, known, f"{real} / {scale_type}, {given}")


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("codes", [*LIMITS, *FLOAT8, "int32"])
def test_dequantize_linear(codes, granularity):
    rng = np.random.default_rng([ord(c) for c in codes + granularity])
    shape = parameter_shape(granularity)
    for scale_type in ("float32", "float16"):
        for output in ("float32", "float16"):
            x = codes_in(codes, SHAPE, rng)
            scale = scales(shape, scale_type, rng)
            attributes = {**attributes_of(granularity), "output_dtype": NUMBERS[output]}
            zero = codes_in(codes, shape, rng) if codes in LIMITS else np.zeros(shape, DTYPES[codes])
            for inputs in ([x, scale], [x, scale, zero]):
                ours = fqo.dequantize_linear(*inputs, **attributes)
                (theirs,) = ort_run("DequantizeLinear", inputs, (output,), **attributes)
                assert_agree(ours, theirs, NONE, f"{scale_type} to {output}")


@pytest.mark.parametrize("codes", [*LIMITS, *FLOAT8])
@pytest.mark.parametrize("real", ["float32", "float16"])
def test_every_float16(codes, real):
    """All values of float16, in both types, by scales that are easy and hard to divide by, one of them subnormal."""
    x = np.arange(1 << 16, dtype=np.uint32).astype(np.uint16).view(np.float16).astype(real)
    for scale in np.array([1, 0.1, 3, 2.0**-24], real):
        each = np.full(x.shape, scale)
        for saturate in (1, 0) if codes in FLOAT8 else (1,):
            attributes = {"output_dtype": NUMBERS[codes], "saturate": saturate}
            ours = fqo.quantize_linear(x, np.asarray(scale), **attributes)
            (theirs,) = ort_run("QuantizeLinear", [x, np.asarray(scale)], (codes,), **attributes)
            assert_agree(ours, theirs, deviations(x, each, codes, saturate, real), f"scale {scale}")


@pytest.mark.parametrize("codes", [*FLOAT8, "int8", "uint8", "int16", "uint16"])
@pytest.mark.parametrize("output", ["float32", "float16"])
def test_every_code(codes, output):
    """NaN and infinity among them, by scales that overflow and underflow."""
    bits = 8 * DTYPES[codes].itemsize
    x = np.arange(1 << bits, dtype=np.uint32).astype(f"u{bits // 8}").view(DTYPES[codes])
    for scale in np.array([1, 0.1, 6e4, 2.0**-24, 3e38, 1e-40]).astype(np.float32):
        inputs, attributes = [x, np.asarray(scale)], {"output_dtype": NUMBERS[output]}
        ours = fqo.dequantize_linear(*inputs, **attributes)
        (theirs,) = ort_run("DequantizeLinear", inputs, (output,), **attributes)
        assert_agree(ours, theirs, NONE, f"scale {scale}")


@pytest.mark.parametrize("scale", [2.0**-149, 1e-40, 2.0**-126, 1e-20, 1e20, 3e38])
@pytest.mark.parametrize("codes", ["int8", "uint16", "float8_e4m3fn"])
def test_extreme_scales(codes, scale):
    rng = np.random.default_rng(7)
    x = rng.integers(0, 2**32, 4096, dtype=np.uint32).view(np.float32)
    inputs = [x, np.asarray(scale, np.float32)]
    ours = fqo.quantize_linear(*inputs, output_dtype=NUMBERS[codes])
    (theirs,) = ort_run("QuantizeLinear", inputs, (codes,), output_dtype=NUMBERS[codes])
    assert_agree(ours, theirs, NONE, codes)


def one_and_empty() -> list[tuple[tuple[int, ...], tuple[int, ...], int]]:
    """Shapes of x and of the scale, and the axis, where shapes are easily misread."""
    return [
        *[((), (), 1), ((), (1,), 1), ((4,), (), 1), ((4,), (1,), 1), ((4,), (1,), 7), ((4,), (4,), 0)],
        *[((4,), (4,), -1), ((2, 3), (1,), 1), ((2, 1), (1,), 1)],
        *[((0, 3), (), 1), ((0, 3), (3,), 1), ((3, 0), (3,), 0), ((3, 0), (0,), 1)],
    ]


@pytest.mark.parametrize(("shape", "scale_shape", "axis"), one_and_empty())
def test_shapes(shape, scale_shape, axis):
    x = np.arange(1, 1 + int(np.prod(shape)), dtype=np.float32).reshape(shape)
    scale = np.linspace(0.5, 2, int(np.prod(scale_shape)), dtype=np.float32).reshape(scale_shape)
    zero = np.full(scale_shape, 3, np.uint8)
    ours = fqo.quantize_linear(x, scale, zero, axis=axis)
    (theirs,) = ort_run("QuantizeLinear", [x, scale, zero], ("uint8",), axis=axis)
    assert_agree(ours, theirs, NONE, "quantize_linear")
    back = fqo.dequantize_linear(ours, scale, zero, axis=axis)
    (theirs,) = ort_run("DequantizeLinear", [ours, scale, zero], ("float32",), axis=axis)
    assert_agree(back, theirs, NONE, "dequantize_linear")


def refused_shapes() -> list[tuple[tuple[int, ...], tuple[int, ...], int, int]]:
    """Shape of x, shape of the scale, axis, block_size."""
    return [
        *[((6,), (6,), 1, 0), ((6,), (5,), 0, 0), ((2, 3), (2,), 1, 0), ((2, 3), (3,), 2, 0), ((1, 6), (1, 1), 1, 0)],
        *[((2, 3), (2, 3), 1, 0), ((6,), (2,), 0, 2), ((6,), (2,), 0, 6), ((6,), (), 0, 2), ((6,), (1,), 0, 2)],
        *[((6,), (1,), 0, -2), ((4, 6), (3, 3), 1, 2), ((4, 6), (3,), 1, 2), ((4, 6), (4, 3, 1), 1, 2)],
    ]


@pytest.mark.parametrize(("shape", "scale_shape", "axis", "block_size"), refused_shapes())
def test_refused_by_both(shape, scale_shape, axis, block_size):
    x, scale = np.ones(shape, np.float32), np.ones(scale_shape, np.float32)
    with pytest.raises(ValueError, match=r"^(y_scale|axis|block_size): got "):
        fqo.quantize_linear(x, scale, axis=axis, block_size=block_size)
    with pytest.raises(Exception, match=r"ONNXRuntimeError|axis|scale|block_size"):
        ort_run("QuantizeLinear", [x, scale], ("uint8",), axis=axis, block_size=block_size)


def ranges() -> list[np.ndarray]:
    rng = np.random.default_rng(9)
    found = [
        *[np.array(v) for v in ([], [0], [0, -0.0], [5], [-5], [1, 2, 3], [-1, 2, 3.4], [-3, -2], [3e38, -1e37])],
        *[np.array([2e-43, -1e-43]), np.array([1e-38, -3e-39]), np.zeros((0, 3)), np.array(2.5)],
    ]
    for n in range(1, 400):
        lo, hi = np.sort(rng.standard_normal(2) * np.exp2(rng.uniform(-120, 120)))
        found.append(rng.uniform(lo, hi, n))
    return [np.asarray(v, np.float32) for v in found]


def test_dynamic_quantize_linear():
    for x in ranges():
        ours = fqo.dynamic_quantize_linear(x)
        theirs = ort_run("DynamicQuantizeLinear", [x], ("uint8", "float32", "uint8"))
        for name, a, b in zip(ours._fields, ours, theirs, strict=True):
            assert_agree(a, b, NONE, f"{name} of {x.shape}, {x.reshape(-1)[:4]}")
