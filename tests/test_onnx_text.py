"""fastquant.onnx against the text of the operators, where the onnx package does something else or nothing."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from onnx_support import E8M0, FLOATS, assert_same, dtype_of, f32

from fastquant import onnx as fqo


def test_default_is_uint8_and_the_zero_point_decides():
    x = f32(-1, 0.5, 1.5, 300)
    assert fqo.quantize_linear(x, f32(1)).dtype == np.uint8
    assert fqo.quantize_linear(x, f32(1)).tolist() == [0, 0, 2, 255]
    assert fqo.quantize_linear(x, f32(1), np.int8(-3)).tolist() == [-4, -3, -1, 127]
    assert fqo.quantize_linear(x, f32(1), np.int16(-3), output_dtype=5).dtype == np.int16


def test_the_scale_type_is_the_precision():
    # float16(0.1) is 0.09998: the quotient is 2.5006, as float16 2.5, a tie, to 2.
    x, scale = f32(0.25), np.float16(0.1)
    assert fqo.quantize_linear(x, scale, output_dtype=3) == 2
    assert fqo.quantize_linear(x, scale, output_dtype=3, precision=1) == 3
    assert fqo.quantize_linear(x.astype(np.float16), scale, output_dtype=3) == 2
    # x is rounded too: 2049 is 2048 as float16, 70000 is infinite; 257 is 256 as bfloat16.
    assert fqo.quantize_linear(f32(2049, 70000), np.float16(1), output_dtype=5).tolist() == [2048, 32767]
    assert fqo.quantize_linear(f32(2049, 70000), f32(1), output_dtype=4, precision=10).tolist() == [2048, 65535]
    assert fqo.quantize_linear(f32(257), ml_dtypes.bfloat16(1), output_dtype=5) == 256
    assert fqo.quantize_linear(f32(257), f32(1), output_dtype=5, precision=16) == 256
    # So is the scale: 1.001 is 1 as bfloat16.
    assert fqo.quantize_linear(f32(128.5), f32(1.001), output_dtype=5) == 128
    assert fqo.quantize_linear(f32(10000), f32(1.001), output_dtype=5) == 9990
    assert fqo.quantize_linear(f32(9984), f32(1.001), output_dtype=5, precision=16) == 9984


def test_int32_is_divided_in_the_type_of_the_scale():
    # 2^25 + 1 over 2^26 is above a half, but not as float32.
    x = np.array([2**25 + 1, 2**25], np.int32)
    assert fqo.quantize_linear(x, np.float32(2**26), output_dtype=3).tolist() == [0, 0]
    assert fqo.quantize_linear(x, np.int32(2**26), output_dtype=3).tolist() == [1, 0]
    assert fqo.quantize_linear(x, np.array(127 + 26, np.uint8).view(E8M0), output_dtype=3).tolist() == [0, 0]
    # Three quarters of 2^26 over 2^25 + 1 is below 1.5, but not as float32.
    assert fqo.quantize_linear(f32(3 * 2**24), np.int32(2**25 + 1), output_dtype=3) == 1
    assert fqo.quantize_linear(f32(3 * 2**24), np.int32(2**25 + 1), output_dtype=3, precision=1) == 2
    assert fqo.quantize_linear(x, np.int32(2**26), output_dtype=3, precision=1).tolist() == [0, 0]
    assert fqo.quantize_linear(x, np.float32(2**26), output_dtype=3, precision=11).tolist() == [1, 0]
    assert fqo.quantize_linear(x, np.float16(2**15), output_dtype=4).tolist() == [65535, 65535]


def nearest_bfloat16(value: int) -> int:
    """To eight significant bits, ties to even."""
    step = 1 << max(abs(value).bit_length() - 8, 0)
    return round(Fraction(value, step)) * step


def test_int32_is_rounded_once():
    # By way of float32, 2^30 + 2^22 + 1 would become a tie.
    assert nearest_bfloat16(2**30 + 2**22 + 1) == 2**30 + 2**23
    rng = np.random.default_rng(11)
    ties = [2**e + k * 2 ** (e - 8) + d for e in range(8, 31) for k in (1, 2, 3, 5) for d in (-1, 0, 1)]
    values = [*ties, *(-v for v in ties), 2**31 - 1, -(2**31), *rng.integers(-(2**31), 2**31, 1000).tolist()]
    values = [v for v in values if -(2**31) <= v < 2**31]
    x = np.array(values, np.int32)
    got = fqo._rounded(x, "bfloat16").astype(np.float64).astype(np.int64).tolist()
    assert got == [nearest_bfloat16(v) for v in values]
    x = np.array([2**30 + 2**22 + 1, 2**30], np.int32)
    scale = ml_dtypes.bfloat16(2**23)
    assert fqo.quantize_linear(x, scale, output_dtype=5).tolist() == [129, 128]


def test_e8m0_scales_divide_in_float32():
    scale = np.array([0, 127, 254], np.uint8).view(E8M0)  # 2^-127, a subnormal of float32; 1; 2^127
    x = np.array([[2.0**-126, 2.0**-127, -(2.0**-128)], [1.5, 2.5, -3.5], [3e38, 2.0**127, -(2.0**126)]], np.float32)
    assert fqo.quantize_linear(x, scale, axis=0, output_dtype=3).tolist() == [[2, 1, 0], [2, 2, -4], [2, 1, 0]]
    q = np.array([[1, 2], [3, -4], [1, -1]], np.int8)
    expected = [[2.0**-127, 2.0**-126], [3, -4], [2.0**127, -(2.0**127)]]
    assert fqo.dequantize_linear(q, scale, axis=0, output_dtype=1).tolist() == expected


def test_infinities_and_nan():
    x = f32(np.inf, -np.inf, np.nan, -np.nan)
    one = f32(1)
    expected = {3: [127, -128, -128, -128], 2: [255, 0, 0, 0], 22: [7, -8, -8, -8], 25: [3, 0, 0, 0]}
    for number, codes in expected.items():
        assert fqo.quantize_linear(x, one, output_dtype=number).astype(int).tolist() == codes
    # The tables of Cast: saturate=1 and saturate=0.
    tables = {
        17: ([0x7E, 0xFE, 0x7F, 0xFF], [0x7F, 0xFF, 0x7F, 0xFF]),
        18: ([0x7F, 0xFF, 0x80, 0x80], [0x80, 0x80, 0x80, 0x80]),
        19: ([0x7B, 0xFB, 0x7E, 0xFE], [0x7C, 0xFC, 0x7E, 0xFE]),
        20: ([0x7F, 0xFF, 0x80, 0x80], [0x80, 0x80, 0x80, 0x80]),
        23: ([7, 15, 7, 7], [7, 15, 7, 7]),
        27: ([31, 63, 31, 31], [31, 63, 31, 31]),
        28: ([31, 63, 31, 31], [31, 63, 31, 31]),
    }
    for number, (saturated, not_saturated) in tables.items():
        for flag, codes in ((1, saturated), (True, saturated), (0, not_saturated), (False, not_saturated)):
            got = fqo.quantize_linear(x, one, output_dtype=number, saturate=flag)
            assert got.view(np.uint8).tolist() == codes, (number, flag)


@pytest.mark.parametrize("codes", FLOATS)
def test_negative_zero_keeps_its_sign(codes):
    """With a zero point too, where the reference keeps it in float8 only."""
    sign = {"float8_e4m3fnuz": 0, "float8_e5m2fnuz": 0, "float4_e2m1fn": 8}.get(codes, 32 if "float6" in codes else 128)
    zero = np.zeros((), dtype_of(codes))
    got = fqo.quantize_linear(f32(-0.0, 0.0, -1e-30), f32(4), zero)
    assert got.view(np.uint8).tolist() == [sign, 0, sign]
    assert np.signbit(fqo.dequantize_linear(got, f32(4), zero)).tolist() == [sign > 0, False, sign > 0]


def test_saturate_does_not_matter_to_integers():
    assert fqo.quantize_linear(f32(300, -300), f32(1), output_dtype=3, saturate=0).tolist() == [127, -128]


def test_zero_points_of_floats_are_zero():
    x = np.array([1, -2], ml_dtypes.float8_e4m3fn)
    for zero in (0.0, -0.0):
        assert fqo.dequantize_linear(x, f32(2), np.array(zero, x.dtype)).tolist() == [2, -4]
        assert fqo.quantize_linear(f32(2, -4), f32(2), np.array([zero], x.dtype)).astype(float).tolist() == [1, -2]
    q = np.array([2**31 - 1, -(2**31), 2**24 + 1], np.int32)
    for zero_point in (None, np.int32(0)):
        assert fqo.dequantize_linear(q, f32(1), zero_point).tolist() == [2.0**31, -(2.0**31), 2.0**24]


def test_the_product_is_one_of_float32():
    # In float16 the difference 65535 would be infinite, and the scale 1e-5 inexact.
    q = np.array([65535, 32769], np.uint16)
    got = fqo.dequantize_linear(q, f32(1e-5), np.uint16(0), output_dtype=10)
    assert got.dtype == np.float16
    assert got.tolist() == (q.astype(np.float32) * np.float32(1e-5)).astype(np.float16).tolist()
    assert fqo.dequantize_linear(q, np.float16(0.5)).tolist() == [32768.0, 16384.0]


def test_block_sizes_that_are_accepted():
    """From ceil(n / m) to ceil(n / (m - 1)) - 1, where axis has m blocks."""
    taken = 0
    for n in range(1, 14):
        for m in range(1, n + 1):
            for block in range(1, n + 3):
                accepted = -(-n // m) <= block and (m == 1 or block <= -(-n // (m - 1)) - 1)
                x, scale = np.ones((2, n), np.float32), np.arange(1, 2 * m + 1, dtype=np.float32).reshape(2, m)
                if accepted:
                    expected = np.rint(1 / np.repeat(scale, block, 1)[:, :n]).astype(np.uint8)
                    assert_same(fqo.quantize_linear(x, scale, block_size=block), expected, f"{n} {m} {block}")
                    taken += 1
                else:
                    with pytest.raises(ValueError, match=r"^y_scale: got shape \(2, "):
                        fqo.quantize_linear(x, scale, block_size=block)
    assert taken > 100


@pytest.mark.parametrize("order", ["C", "F"])
def test_layouts(order):
    rng = np.random.default_rng(12)
    x = rng.standard_normal((6, 8)).astype(np.float32)
    scale = rng.uniform(0.01, 0.1, 8).astype(np.float32)
    zero = rng.integers(-8, 8, 8).astype(np.int16)
    expected = fqo.quantize_linear(x, scale, zero)
    other = np.asarray(x, order=order)[::1]
    swapped = [a.astype(a.dtype.newbyteorder()) for a in (other, scale, zero)]
    assert_same(fqo.quantize_linear(*swapped), expected, "byte order")
    wide = np.zeros((6, 16), np.float32)
    wide[:, ::2] = x
    assert_same(fqo.quantize_linear(wide[:, ::2], np.repeat(scale, 3)[::3], zero), expected, "strides")
    back = fqo.dequantize_linear(expected, scale, zero)
    swapped = [a.astype(a.dtype.newbyteorder()) for a in (expected, scale, zero)]
    assert_same(fqo.dequantize_linear(*swapped), back, "byte order")


class OnlyDLPack:
    def __init__(self, array: np.ndarray):
        self.array = array

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.array.__dlpack_device__()


def test_dlpack():
    x, scale, zero = f32(1, 2, 300), f32(0.5), np.array(3, np.int8)
    q = fqo.quantize_linear(*map(OnlyDLPack, (x, scale, zero)))
    assert_same(q, fqo.quantize_linear(x, scale, zero), "quantize_linear")
    back = fqo.dequantize_linear(*map(OnlyDLPack, (q, scale, zero)))
    assert_same(back, fqo.dequantize_linear(q, scale, zero), "dequantize_linear")


def test_arguments_are_not_written_to():
    arrays = [f32(1, 2, 3), f32(0.5), np.array(3, np.int8)]
    copies = [a.copy() for a in arrays]
    for a in arrays:
        a.flags.writeable = False
    q = fqo.quantize_linear(*arrays)
    fqo.dequantize_linear(q, *arrays[1:])
    fqo.dynamic_quantize_linear(arrays[0])
    assert all((a == b).all() for a, b in zip(arrays, copies, strict=True))


# ---- DynamicQuantizeLinear ----


def test_dynamic_results():
    y, y_scale, y_zero_point = result = fqo.dynamic_quantize_linear(f32(0, 2, -3, -2.5, 1.34, 0.5))
    assert result._fields == ("y", "y_scale", "y_zero_point")
    assert (y.dtype, y_scale.dtype, y_zero_point.dtype) == (np.uint8, np.float32, np.uint8)
    assert y_scale.shape == y_zero_point.shape == ()
    assert (y.tolist(), y_scale, y_zero_point) == ([153, 255, 0, 26, 221, 179], np.float32(0.0196078438), 153)


@pytest.mark.parametrize("x", [[], [0.0], [-0.0, 0.0], np.zeros((3, 0)), np.zeros((2, 2))])
def test_dynamic_of_a_range_of_zero(x):
    x = np.asarray(x, np.float32)
    y, y_scale, y_zero_point = fqo.dynamic_quantize_linear(x)
    assert (y.shape, y.any(), y_scale, y_zero_point) == (x.shape, False, 1, 0)


def test_dynamic_computes_in_float32():
    """Inputs whose scale, or whose zero point, float64 would round otherwise."""
    rng = np.random.default_rng(13)
    scales_differ = zero_points_differ = 0
    for step, level in zip(rng.uniform(0.01, 0.02, 2000), rng.integers(1, 254, 2000) + 0.5, strict=True):
        # -lo / scale is a tie, as near as float32 can make it.
        lo = np.float32(-level * step)
        hi = np.float32(lo + 255 * step)
        y, y_scale, y_zero_point = fqo.dynamic_quantize_linear(f32(lo, 0, hi))
        expected = np.float32(hi - lo) / np.float32(255)
        assert y_scale == expected
        assert y_zero_point == y[1] == np.rint(np.float32(0) - lo / expected)
        assert y.tolist() == [max(y[1] + np.rint(lo / expected), 0), y[1], min(y[1] + np.rint(hi / expected), 255)]
        scales_differ += int(np.float32((np.float64(hi) - np.float64(lo)) / 255) != expected)
        zero_points_differ += int(np.rint(-np.float64(lo) / np.float64(expected)) != y_zero_point)
    assert scales_differ > 10
    assert zero_points_differ > 10


@pytest.mark.parametrize("real", ["float16", "bfloat16"])
def test_signaling_nan_is_converted_without_a_warning(real):
    every = np.arange(1 << 16, dtype=np.uint32).astype(np.uint16).view(dtype_of(real))
    with np.errstate(invalid="ignore"):
        x = every[np.isnan(every)]
    assert (fqo.quantize_linear(x, np.int32(1), output_dtype=3) == -128).all()
    assert (fqo.quantize_linear(x, f32(1), output_dtype=3, precision=11) == -128).all()


@pytest.mark.parametrize("value", [np.nan, -np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 17, 39])
def test_dynamic_refuses_what_has_no_scale(value, place):
    x = np.arange(40, dtype=np.float32)
    x[place] = value
    with pytest.raises(ValueError, match=r"^x: got "):
        fqo.dynamic_quantize_linear(x)


@pytest.mark.parametrize("x", [[3e38, -3e38], [1e-43], [-1e-45]])
def test_dynamic_refuses_ranges_without_a_scale(x):
    with pytest.raises(ValueError, match=r"^x: got the range .* finite and > 0"):
        fqo.dynamic_quantize_linear(f32(x))
