"""The reference on float codes: their values, by hand and as ml_dtypes casts; what they do not have."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from exact import (
    FLOATS,
    FLOATS8,
    INF,
    NAN,
    REALS,
    as_numbers,
    codes_from,
    codes_in,
    every_code,
    float_code,
    float_value,
    middles,
)
from values import assert_same, every_half, neighbours, real_dtype

from fastquant import _reference

# What 0x00 to the largest code of each narrow type stand for.
POSITIVE = {
    "float4_e2m1fn": [0, 0.5, 1, 1.5, 2, 3, 4, 6],
    "float6_e2m3fn": [k / 8 for k in range(16)] + [2 + k / 4 for k in range(8)] + [4 + k / 2 for k in range(8)],
    "float6_e3m2fn": [k / 16 for k in range(8)] + [(4 + k % 4) * 2.0 ** (k // 4 - 3) for k in range(24)],
}
# The largest value, the smallest normal, the largest and the smallest subnormal of the 8-bit types: (code, value).
ENDS = {
    "float8_e4m3fn": [(0x7E, 448.0), (0x08, 2.0**-6), (0x07, 0.875 * 2.0**-6), (0x01, 2.0**-9)],
    "float8_e4m3fnuz": [(0x7F, 240.0), (0x08, 2.0**-7), (0x07, 0.875 * 2.0**-7), (0x01, 2.0**-10)],
    "float8_e5m2": [(0x7B, 57344.0), (0x04, 2.0**-14), (0x03, 0.75 * 2.0**-14), (0x01, 2.0**-16)],
    "float8_e5m2fnuz": [(0x7F, 57344.0), (0x04, 2.0**-15), (0x03, 0.75 * 2.0**-15), (0x01, 2.0**-17)],
}


@pytest.mark.parametrize("dtype", POSITIVE)
def test_values_of_narrow_floats(dtype):
    half = codes_in(dtype) // 2
    values = np.array(POSITIVE[dtype], np.float32)
    assert len(values) == half
    got = _reference.dequantize(every_code(dtype), 1.0)
    assert_same(got, np.concatenate([values, -values]))
    assert_same(_reference.quantize(got, 1.0, dtype=dtype), every_code(dtype))
    # Bits that the type does not use are ignored.
    dirty = (every_code(dtype).view(np.uint8) | np.uint8(256 - 2 * half)).view(real_dtype(dtype))
    assert_same(_reference.dequantize(dirty, 1.0), got)


@pytest.mark.parametrize("dtype", ENDS)
def test_ends_of_float8(dtype):
    codes, values = zip(*ENDS[dtype], strict=True)
    bits = np.array([*codes, *(c | 0x80 for c in codes)])
    reals = np.array([*values, *(-v for v in values)], np.float32)
    assert_same(_reference.dequantize(codes_from(bits, dtype), 1.0), reals)
    assert_same(_reference.quantize(reals, 1.0, dtype=dtype), codes_from(bits, dtype))


@pytest.mark.parametrize("dtype", FLOATS)
def test_every_float_code(dtype):
    """Against the definition, ml_dtypes, and back."""
    codes = every_code(dtype)
    exact = np.array([float_value(code, dtype) for code in range(len(codes))])
    for real in REALS:
        got = _reference.dequantize(codes, 1.0, dtype=real)
        assert_same(got, exact.astype(real_dtype(real)), what=real)
        assert_same(got, codes.astype(real_dtype(real)), what=real)
        back = _reference.quantize(got, 1.0, dtype=dtype, saturate=False)
        # Each code is its own nearest; NaN has one code for each sign.
        expected = np.where(np.isnan(exact), float_code(NAN, False, dtype, True) | (codes.view(np.uint8) & 0x80),
                            codes.view(np.uint8))  # fmt: skip
        assert_same(back.view(np.uint8), expected.astype(np.uint8), what=real)


def cast(x: np.ndarray, dtype: str, saturate: bool) -> np.ndarray:
    """The cast of ml_dtypes, for types that it does not round twice from. What it makes of NaN in the types that have
    none, a zero, is put right."""
    missing = dtype not in FLOATS8
    with np.errstate(all="ignore"):
        if saturate:
            largest = float(FLOATS[dtype][3])
            x = np.where(np.isnan(x), x, np.clip(x, x.dtype.type(-largest), x.dtype.type(largest)))
        q = x.astype(real_dtype(dtype))
    return np.where(missing & np.isnan(x), real_dtype(dtype).type(FLOATS[dtype][3]), q)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("saturate", [True, False])
@pytest.mark.parametrize("real", ["float16", "bfloat16"])
def test_every_half_as_ml_dtypes_casts_it(real, saturate, dtype):
    x = every_half(real)
    got = _reference.quantize(x, 1.0, dtype=dtype, saturate=saturate)
    assert_same(got, cast(x.astype(np.float32), dtype, saturate), x)


@pytest.mark.parametrize("dtype", FLOATS)
def test_where_float_codes_change(dtype):
    """Each middle, and its neighbours in both real types, against the definition: one rounding from float64 too."""
    for real in ("float32", "float64"):
        x = neighbours(middles(dtype).astype(real), 1)
        for saturate in (True, False):
            got = _reference.quantize(x, np.dtype(real).type(1), dtype=dtype, saturate=saturate)
            exact = [float_code(Fraction(v), v < 0, dtype, saturate) for v in x.tolist()]
            assert as_numbers(got, dtype) == exact
            if real == "float32":  # the casts that the tests above rely on
                assert_same(cast(x, dtype, saturate), got, x)
    # A control: the neighbours in float64 tell one rounding from two.
    twice = _reference.quantize(x.astype(np.float32), 1.0, dtype=dtype, saturate=False)
    assert as_numbers(twice, dtype) != exact


F8 = [
    # x, saturate, codes of e4m3fn, e4m3fnuz, e5m2, e5m2fnuz. The first rows are the two tables in the text of ONNX's
    # operator Cast (opset 28), with codes for words.
    (0.0, True, [0x00, 0x00, 0x00, 0x00]),
    (-0.0, True, [0x80, 0x00, 0x80, 0x00]),
    (NAN, True, [0x7F, 0x80, 0x7E, 0x80]),
    (-NAN, True, [0xFF, 0x80, 0xFE, 0x80]),
    (INF, True, [0x7E, 0x7F, 0x7B, 0x7F]),
    (-INF, True, [0xFE, 0xFF, 0xFB, 0xFF]),
    (1e6, True, [0x7E, 0x7F, 0x7B, 0x7F]),
    (-1e6, True, [0xFE, 0xFF, 0xFB, 0xFF]),
    (-0.0, False, [0x80, 0x00, 0x80, 0x00]),
    (NAN, False, [0x7F, 0x80, 0x7E, 0x80]),
    (-NAN, False, [0xFF, 0x80, 0xFE, 0x80]),
    (INF, False, [0x7F, 0x80, 0x7C, 0x80]),
    (-INF, False, [0xFF, 0x80, 0xFC, 0x80]),
    (1e6, False, [0x7F, 0x80, 0x7C, 0x80]),
    (-1e6, False, [0xFF, 0x80, 0xFC, 0x80]),
    # A negative that vanishes: half of the smallest, 2^-18 for e5m2fnuz, is a tie, to zero.
    (-(2.0**-18), True, [0x80, 0x00, 0x80, 0x00]),
    # 464 is halfway between 448 (even) and 480: not beyond. The float32 after it is.
    (464.0, False, [0x7E, 0x80, 0x5F, 0x63]),
    (464.00003, False, [0x7F, 0x80, 0x5F, 0x63]),
    # 248 is halfway between 240 (odd) and 256: beyond for e4m3fnuz. The others have 256 = 2^8: its exponent field is 8
    # and the bias, 15 for e4m3fn (0x78), 23 for e5m2 (0x5C), 24 for e5m2fnuz (0x60).
    (248.0, False, [0x78, 0x80, 0x5C, 0x60]),
    (247.99998, False, [0x77, 0x7F, 0x5C, 0x60]),
    # 61440 is halfway between 57344 (odd) and 65536.
    (61440.0, False, [0x7F, 0x80, 0x7C, 0x80]),
    (61439.996, False, [0x7F, 0x80, 0x7B, 0x7F]),
    (61440.0, True, [0x7E, 0x7F, 0x7B, 0x7F]),
]


@pytest.mark.parametrize(("x", "saturate", "codes"), F8)
def test_float8_by_hand(x, saturate, codes):
    for dtype, code in zip(FLOATS8, codes, strict=True):
        for real in (np.float32, np.float64):
            got = _reference.quantize(np.array([x], real), 1.0, dtype=dtype, saturate=saturate)
            assert as_numbers(got, dtype) == [code], dtype


def test_narrow_floats_by_hand():
    # Middles of e2m1: 0.25 0.75 1.25 1.75 2.5 3.5 5. Ties go to the even code: 0, 2 (1.0), 2, 4 (2.0), 4, 6 (4.0), 6.
    x = np.array([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0, 5.1, 6, 7, 1e9, INF, NAN, -0.0, -0.25, -0.26, -NAN, -INF])
    expected = [0, 2, 2, 4, 4, 6, 6, 7, 7, 7, 7, 7, 7, 8, 8, 9, 7, 15]
    for saturate in (True, False):
        got = _reference.quantize(x, 1.0, dtype="float4_e2m1fn", saturate=saturate)
        assert as_numbers(got, "float4_e2m1fn") == expected
        for dtype in ("float6_e2m3fn", "float6_e3m2fn"):
            got = _reference.quantize(np.array([100, INF, NAN, -NAN, -INF, -0.0]), 1.0, dtype=dtype, saturate=saturate)
            assert as_numbers(got, dtype) == [0x1F, 0x1F, 0x1F, 0x1F, 0x3F, 0x20]


def test_zero_points_of_float_codes():
    x = np.array([[1.0, -2.0]], np.float32)
    for dtype in FLOATS:
        expected = _reference.quantize(x, 1.0, dtype=dtype)
        zeros = np.zeros(2, real_dtype(dtype))
        for zero in (0, 0.0, -0.0, np.int8(0), zeros, -zeros):
            axis = 1 if np.ndim(zero) else None
            assert_same(_reference.quantize(x, 1.0, zero, dtype=dtype, axis=axis), expected)
            assert_same(_reference.dequantize(expected, 1.0, zero, axis=axis), x)
        for wrong in (1, np.array([0, 1]), np.ones(2, real_dtype(dtype)), NAN):
            with pytest.raises(ValueError, match="zero_point"):
                _reference.quantize(x, 1.0, wrong, dtype=dtype, axis=1)
            with pytest.raises(ValueError, match="zero_point"):
                _reference.dequantize(expected, 1.0, wrong, axis=1)


def test_fake_quantize_of_float_codes_by_hand():
    # e4m3fn: 1.06 -> 1 (steps of 1/8: the middle is 1.0625), 1.07 -> 1.125; 1000 -> 448; NaN stays.
    x = np.float32([1.06, 1.07, 1000, NAN, -0.0, -INF])
    got = _reference.fake_quantize(x, 1.0, dtype="float8_e4m3fn")
    assert_same(got, np.float32([1, 1.125, 448, NAN, -0.0, -448]))
    got = _reference.fake_quantize(x, 1.0, dtype="float8_e5m2", saturate=False)
    assert_same(got, np.float32([1, 1, 1024, NAN, -0.0, -INF]))


@pytest.mark.parametrize("dtype", FLOATS)
def test_what_float_codes_do_not_have(dtype):
    with pytest.raises(ValueError, match="symmetric"):
        _reference.qparams(-1.0, 1.0, dtype, symmetric=False)
    with pytest.raises(ValueError, match="narrow_range"):
        _reference.qparams(-1.0, 1.0, dtype, narrow_range=True)
