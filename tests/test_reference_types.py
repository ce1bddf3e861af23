"""The reference on types: the ranges of each, which one is chosen, what may go in."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from exact import CODES, FLOATS, INF, INTEGERS, NAN, REALS, positive_codes
from values import assert_same, real_dtype

from fastquant import _reference

FIT_MORE = [
    # lo, hi, dtype, options, scale before its rounding to float32, zero_point
    (-3.0, 2.0, "int16", {}, 3 / 32767, 0),
    (-3.0, 2.0, "uint16", {}, 3 / 32767, 32768),
    (-3.0, 2.0, "int4", {}, 3 / 7, 0),
    (-3.0, 2.0, "uint4", {}, 3 / 7, 8),
    (-3.0, 2.0, "int2", {}, 3.0, 0),
    (-3.0, 2.0, "uint2", {}, 3.0, 2),
    # -32768 + 1 / (4/65535) = -16384.25
    (-1.0, 3.0, "int16", {"symmetric": False}, 4 / 65535, -16384),
    (-1.0, 3.0, "uint16", {"symmetric": False}, 4 / 65535, 16384),
    # -8 + 1 / (4/15) = -4.25; narrow: 14 steps from -7: -7 + 3.5 = -3.5, to -4; uint4 from 1: 4.5, to 4
    (-1.0, 3.0, "int4", {"symmetric": False}, 4 / 15, -4),
    (-1.0, 3.0, "int4", {"symmetric": False, "narrow_range": True}, 4 / 14, -4),
    (-1.0, 3.0, "uint4", {"symmetric": False, "narrow_range": True}, 4 / 14, 4),
    # -2 + 1 / (4/3) = -1.25; narrow: 2 steps of 2 from -1: -1 + 0.5, to 0; uint2 from 1: 1.5, to 2
    (-1.0, 3.0, "int2", {"symmetric": False}, 4 / 3, -1),
    (-1.0, 3.0, "int2", {"symmetric": False, "narrow_range": True}, 2.0, 0),
    (-1.0, 3.0, "uint2", {"symmetric": False, "narrow_range": True}, 2.0, 2),
    # without zero in it: 0 - 15 / (15/15) = -15
    (15.0, 30.0, "uint4", {"symmetric": False, "include_zero": False}, 1.0, -15),
    (-3.0, 2.0, "float8_e4m3fn", {}, 3 / 448, 0),
    (-3.0, 2.0, "float8_e4m3fnuz", {}, 3 / 240, 0),
    (-3.0, 2.0, "float8_e5m2", {}, 3 / 57344, 0),
    (1.0, 2.0, "float8_e5m2fnuz", {"include_zero": False}, 2 / 57344, 0),
    (-3.0, 2.0, "float6_e2m3fn", {}, 3 / 7.5, 0),
    (-3.0, 2.0, "float6_e3m2fn", {}, 3 / 28, 0),
    (-3.0, 2.0, "float4_e2m1fn", {}, 3 / 6, 0),
    (0.0, 0.0, "float8_e4m3fn", {}, 1.0, 0),
    (0.0, 1e-40, "float8_e4m3fn", {}, 2.0**-126, 0),
]


@pytest.mark.parametrize(("lo", "hi", "dtype", "options", "scale", "zero_point"), FIT_MORE)
def test_qparams_of_more_types(lo, hi, dtype, options, scale, zero_point):
    got = _reference.qparams(lo, hi, dtype, **options)
    assert_same(got[0], np.float32(scale))
    assert_same(got[1], np.int32(zero_point))


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_always_saturate(dtype):
    with pytest.raises(ValueError, match="saturate"):
        _reference.quantize(np.float32([1]), 1.0, dtype=dtype, saturate=False)
    with pytest.raises(ValueError, match="saturate"):
        _reference.fake_quantize(np.float32([1]), 1.0, dtype=dtype, saturate=False)


@pytest.mark.parametrize("dtype", CODES)
def test_tables(dtype):
    if dtype in INTEGERS:
        assert _reference.LIMITS[dtype] == INTEGERS[dtype]
    else:
        assert positive_codes(dtype)[float(FLOATS[dtype][3])] == _reference.FLOATS[dtype].largest
    assert {*_reference.LIMITS, *_reference.FLOATS} == {*CODES}


def test_the_type_of_the_codes_follows_the_zero_point():
    x = np.float32([1.0])
    for zero_point, dtype in (
        (0, "int8"),
        (np.uint8(3), "uint8"),
        (np.zeros((), ">u2"), "uint16"),
        (np.zeros(1, ml_dtypes.int4), "int4"),
        (ml_dtypes.uint2(1), "uint2"),
        (ml_dtypes.float8_e5m2(0), "float8_e5m2"),
        (np.int32(3), "int8"),
        (np.zeros(1, np.int64), "int8"),
        (np.float32(0), "int8"),
    ):
        assert _reference.quantize(x, 1.0, zero_point).dtype == real_dtype(dtype)
        assert _reference.quantize(x, 1.0, zero_point * 0, dtype="int16").dtype == np.int16


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("dtype", CODES)
def test_fake_quantize_keeps_the_type_of_x(dtype, real):
    options = [{}, {"offset": 0.5}] + ([{"saturate": False}] if dtype in FLOATS else [])
    x = np.array([0.75, -0.3, 1e4, -1e4, INF, -INF, NAN, -NAN, 0.0, -0.0], real_dtype(real))
    for option in options:
        got = _reference.fake_quantize(x, 0.1, dtype=dtype, **option)
        back = {k: v for k, v in option.items() if k != "saturate"}
        expected = _reference.dequantize(_reference.quantize(x, 0.1, dtype=dtype, **option), 0.1, dtype=real, **back)
        assert got.dtype == x.dtype
        assert_same(got, expected)


def test_requantize_by_hand():
    # (q - 2) * 0.5: -1, 0.5, 63, 2^23 (from int32); / 0.25 + 10: 6, 12, 262 -> 255, 255
    q = np.array([0, 3, 128, 2**24 + 2], np.int32)
    assert_same(_reference.requantize(q, 0.5, 2, 0.25, 10, dtype="uint8"), np.uint8([6, 12, 255, 255]))
    # float32(0.2) is twice float32(0.1): exactly, -89 * 0.1 / 0.2 is -44.5, a tie, to -44. But -89 * float32(0.1) is
    # -8.90000013, and rounds to the float -8.90000057 (9.5e-7 apart), and the quotient lies beyond the tie: -45.
    assert_same(_reference.requantize(np.int8([-89]), 0.1, 0, 0.2, 0), np.int8([-45]))
    tenth, fifth = np.float64(np.float32(0.1)), np.float64(np.float32(0.2))
    real = _reference.dequantize(np.int8([-89]), tenth, dtype="float64")
    assert_same(_reference.quantize(real, fifth), np.int8([-44]))
    # int8 to e4m3fn and back: 100 -> 96 or 104, halfway: 100 = 12.5 * 8, to the even 12 * 8 = 96.
    eight = _reference.requantize(np.int8([100, -1]), 1.0, 0, 1.0, 0, dtype="float8_e4m3fn")
    assert_same(eight, np.array([96, -1], ml_dtypes.float8_e4m3fn))
    assert_same(_reference.requantize(eight, 1.0, 0, 0.5, 0, dtype="uint8"), np.uint8([192, 0]))


def test_integers_are_taken_as_float64():
    # float32 does not hold 2^24 + 1.
    for x in (np.array([2**24 + 1], np.int32), [2**24 + 1]):
        assert_same(_reference.quantize(x, 1.0, offset=2.0**24), np.int8([1]))
        assert_same(_reference.fake_quantize(x, 1.0, offset=2.0**24), np.array([2.0**24 + 1]))


def test_arrays_without_dimensions():
    for dtype in CODES:
        q = _reference.quantize(np.float32(2), 2.0, dtype=dtype)
        assert isinstance(q, np.ndarray)
        assert q.shape == ()
        assert_same(_reference.dequantize(q, 2.0), np.asarray(np.float32(2)))
