"""The reference, and with it the public functions on every target, against values worked out by hand.

Each row is worked out in its comment from the definition, not copied from a run.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from values import FLT_MAX, INT32_MAX, INT32_MIN, assert_same

import fastquant as fq
from fastquant import _reference

INF, NAN = np.inf, np.nan
TINY = 2.0**-126


@pytest.fixture(params=["reference", *fq.cpu.available()])
def api(request: pytest.FixtureRequest) -> Any:
    """The module to ask: the reference, or the package on one target."""
    if request.param == "reference":
        yield _reference
    else:
        with fq.cpu.use(request.param):
            yield fq


QUANTIZE = [
    # x, scale, zero_point, dtype, code
    # Ties go to the even integer: 0.5 -> 0, 1.5 -> 2, 2.5 -> 2, and the same below zero.
    ([0.5, 1.5, 2.5, 3.5, -0.5, -1.5, -2.5, -3.5], 1.0, 0, "int8", [0, 2, 2, 4, 0, -2, -2, -4]),
    # The zero point is added after rounding: 0.5 -> 0 -> 1, 1.5 -> 2 -> 3. Rounding 0.5 + 1 would give 2.
    ([0.5, 1.5, -0.5, -1.5], 1.0, 1, "int8", [1, 3, 1, -1]),
    # The neighbours of ties: just below 0.5 is 0, just above is 1.
    ([0.49999997, 0.50000006, 126.49999, 126.50001], 1.0, 0, "int8", [0, 1, 126, 127]),
    # Saturation; 127.5 would round to 128, -128.5 rounds to -128 (even), -129.5 to -130.
    ([127.4, 127.5, 128, 1e9, 3e38, INF], 1.0, 0, "int8", [127] * 6),
    ([-127.5, -128.5, -129.5, -1e9, -3e38, -INF], 1.0, 0, "int8", [-128] * 6),
    ([-0.5, -0.6, -1e9, -INF, 255.5, 1e9, INF], 1.0, 0, "uint8", [0, 0, 0, 0, 255, 255, 255]),
    # NaN is the lowest code, whatever the zero point.
    ([NAN, -NAN], 1.0, 0, "int8", [-128, -128]),
    ([NAN, -NAN], 1.0, 200, "uint8", [0, 0]),
    ([NAN], 1.0, 100000, "int8", [-128]),
    # -0 and +0 have one code.
    ([0.0, -0.0], 0.25, 7, "int8", [7, 7]),
    # Zero points outside the code type: -900 + 1000 = 100; -1200 + 1000 = -200 saturates; NaN is lowest, inf highest.
    ([-900, -1200, -872, 0, NAN, INF, -INF], 1.0, 1000, "int8", [100, -128, 127, 127, -128, 127, -128]),
    ([300, 299, 301, 700], 1.0, -300, "uint8", [0, 0, 1, 255]),
    # The ends of int32. Floats near 2^31 are 128 apart below and 256 apart above it:
    # -2^31 + (2^31 - 1) = -1; (-2^31 + 128) + (2^31 - 1) = 127; (-2^31 - 256) + ... = -257.
    ([-(2.0**31), -(2.0**31) + 128, -(2.0**31) - 256, 0], 1.0, INT32_MAX, "int8", [-1, 127, -128, 127]),
    # 2^31 - 2^31 = 0; 2^31 + 256 - 2^31 = 256; 2^31 - 128 - 2^31 = -128; the sums do not wrap.
    ([2.0**31, 2.0**31 + 256, 2.0**31 - 128, 0, -3e38], 1.0, INT32_MIN, "int8", [0, 127, -128, -128, -128]),
    # The smallest subnormal scale: 2^-148 is two steps; 1 / 2^-149 overflows to inf, which saturates.
    ([2.0**-148, -(2.0**-149), 100 * 2.0**-149, 1.0, -1.0], 2.0**-149, 0, "int8", [2, -1, 100, 127, -128]),
    # A huge scale: FLT_MAX is one step, half of it a tie that goes to 0.
    ([FLT_MAX, FLT_MAX / 2, -FLT_MAX, 1.0], FLT_MAX, 0, "int8", [1, 0, -1, 0]),
    # -FLT_MAX / 1e-10 is -inf in float32: the lowest code.
    ([-FLT_MAX, FLT_MAX], 1e-10, 0, "int8", [-128, 127]),
]


@pytest.mark.parametrize(("x", "scale", "zero_point", "dtype", "codes"), QUANTIZE)
def test_quantize(api, x, scale, zero_point, dtype, codes):
    got = api.quantize(np.array(x, np.float32), scale, zero_point, dtype=dtype)
    assert_same(got, np.array(codes, dtype), x)


# The overflows of float32 are none in float64; the other rows hold there too.
@pytest.mark.parametrize(("x", "scale", "zero_point", "dtype", "codes"), [row for row in QUANTIZE if row[1] < 1e30])
def test_quantize_float64(api, x, scale, zero_point, dtype, codes):
    got = api.quantize(np.array(x, np.float64), scale, zero_point, dtype=dtype)
    assert_same(got, np.array(codes, dtype), x)


def test_quantize_divides_in_the_type_of_x(api):
    # float32: 0.34999999404 / 0.10000000149 = 3.49999988824; floats there are 2.4e-7 apart, so the quotient is 3.5, a
    # tie, to 4. float64: 0.35 lies 2.2e-17 below and 0.1 lies 5.6e-18 above what they are written as: the quotient is
    # 3.5 - 4.2e-16; doubles there are 4.4e-16 apart, so it is the one below 3.5, which rounds to 3.
    assert api.quantize(np.array([0.35], np.float32), 0.1)[0] == 4
    assert api.quantize(np.array([0.35], np.float64), 0.1)[0] == 3


def test_quantize_is_not_a_multiplication_by_the_reciprocal(api):
    # 45.5 / 7 = 6.5, a tie, to 6. The float32 nearest to 1/7 is too large by 4.5e-8 of itself, so the product is
    # 6.5 + 2.9e-7, which lies more than half of a step (4.8e-7) above 6.5: it would round to 7.
    assert np.rint(np.float32(45.5) * (np.float32(1) / np.float32(7))) == 7
    x = np.array([45.5] * 40, np.float32)  # enough for whole vectors and a remainder
    assert api.quantize(x, 7.0).tolist() == [6] * 40
    assert api.fake_quantize(x, 7.0).tolist() == [42.0] * 40


def test_quantize_offset_rounds_the_difference(api):
    # 3 - 2^-30 is 3 in float32, and 3 / 2 = 1.5 rounds to 2; the exact quotient would round to 1.
    assert api.quantize(np.array([3.0], np.float32), 2.0, offset=2.0**-30)[0] == 2
    # float64 holds 3 - 2^-30.
    assert api.quantize(np.array([3.0], np.float64), 2.0, offset=2.0**-30)[0] == 1


def test_parameters_are_rounded_to_the_type_of_x(api):
    # float32(0.1) - 0.1 is 0 when the offset is rounded to float32 first, else 1.49e-9, more than a step.
    assert api.quantize(np.array([0.1], np.float32), 1e-9, offset=0.1)[0] == 0
    assert api.quantize(np.array([float(np.float32(0.1))]), 1e-9, offset=0.1)[0] == 1


def test_quantize_offset_may_overflow(api):
    # FLT_MAX - -FLT_MAX is inf: highest; -FLT_MAX - FLT_MAX is -inf: lowest.
    assert api.quantize(np.array([FLT_MAX], np.float32), 1.0, offset=-FLT_MAX)[0] == 127
    assert api.quantize(np.array([-FLT_MAX], np.float32), 1.0, offset=FLT_MAX)[0] == -128


DEQUANTIZE = [
    # q, scale, zero_point, dtype of q, reals
    ([-128, -1, 0, 1, 127], 0.5, 0, "int8", [-64.0, -0.5, 0.0, 0.5, 63.5]),
    # Zero is +0, also where the code type would suggest a negative product.
    ([5], 0.5, 5, "int8", [0.0]),
    ([0, 128, 255], 2.0, 128, "uint8", [-256.0, 0.0, 254.0]),
    ([100, -128], 1.0, 1000, "int8", [-900.0, -1128.0]),
    # int32 differences that float32 does not hold. Above 2^31 floats are 256 apart: 2^31 + 100 -> 2^31;
    # 2^31 - 128 is a float.
    ([0, 100, 127, -128], 1.0, INT32_MIN, "int8", [2.0**31, 2.0**31, 2.0**31, 2.0**31 - 128]),
    # 0 - (2^31 - 1) = -2^31 + 1 -> -2^31. 63 - (2^31 - 1) = -2^31 + 64 is halfway between -2^31 and -2^31 + 128: to
    # the even significand, -2^31. 64 - (2^31 - 1) is nearer to -2^31 + 128. 127 - (2^31 - 1) is -2^31 + 128.
    # -128 - (2^31 - 1) = -2^31 - 127 -> -2^31 (256 apart there).
    (
        [0, 63, 64, 127, -128],
        1.0,
        INT32_MAX,
        "int8",
        [-(2.0**31), -(2.0**31), -(2.0**31) + 128, -(2.0**31) + 128, -(2.0**31)],
    ),
    # 2^24 + 1 is halfway between two floats: to 2^24; 2^24 + 3 -> 2^24 + 4.
    ([1, 3, -1], 1.0, -(2**24), "int8", [2.0**24, 2.0**24 + 4, 2.0**24 - 1]),
    # Subnormal products are exact multiples of the smallest subnormal.
    ([3, -127, 1], 2.0**-149, 0, "int8", [3 * 2.0**-149, -127 * 2.0**-149, 2.0**-149]),
    # Twice FLT_MAX overflows.
    ([1, 2, -2, 0], FLT_MAX, 0, "int8", [FLT_MAX, INF, -INF, 0.0]),
]


@pytest.mark.parametrize(("q", "scale", "zero_point", "dtype", "reals"), DEQUANTIZE)
def test_dequantize(api, q, scale, zero_point, dtype, reals):
    got = api.dequantize(np.array(q, dtype), scale, zero_point)
    assert_same(got, np.array(reals, np.float32), q)


def test_dequantize_rounds_the_product_once(api):
    # 3 * float32(0.1) = 0.3000000044703484; floats there are 2^-25 = 2.98e-8 apart: float32(0.3) = 0.300000011920929
    # is 0.75e-8 away, the one below 2.2e-8.
    assert_same(api.dequantize(np.array([3], np.int8), 0.1), np.array([0.3], np.float32))
    # In float64, 3 * 0.1 is 0.30000000000000004, not 0.3.
    assert_same(api.dequantize(np.array([3], np.int8), 0.1, dtype="float64"), np.array([0.30000000000000004]))


def test_dequantize_offset_rounds_twice(api):
    # As above the product rounds to float32(0.3), and the sum with float32(-0.3) is 0.
    # Fused, the exact product would leave 0.3000000044703484 - 0.300000011920929 = -7.45e-9.
    assert_same(api.dequantize(np.array([3], np.int8), 0.1, offset=-0.3), np.array([0.0], np.float32))


def test_dequantize_to_half_types_rounds_twice(api):
    # 1.0009765625 + 2^-21 lies just above a tie of float16 (steps of 2^-10 above 1: the tie is 1 + 2^-11).
    # scale = 1 + 2^-11 exactly: a tie, to even, 1. scale = 1 + 2^-11 + 2^-23: above the tie, 1 + 2^-10.
    one = np.array([1], np.int8)
    assert api.dequantize(one, 1 + 2.0**-11, dtype="float16").tolist() == [1.0]
    assert api.dequantize(one, 1 + 2.0**-11 + 2.0**-23, dtype="float16").tolist() == [1 + 2.0**-10]
    # The same in float64 scale is rounded to float32 first: 1 + 2^-11 + 2^-40 is the tie again.
    assert api.dequantize(one, 1 + 2.0**-11 + 2.0**-40, dtype="float16").tolist() == [1.0]
    # bfloat16 steps by 2^-7 above 1: ties at 1 + 2^-8 (to 1) and 1 + 3 * 2^-8 (to 1 + 2^-6).
    got = [float(api.dequantize(one, 1 + k * 2.0**-8, dtype="bfloat16")[0]) for k in (1, 3)]
    assert got == [1.0, 1 + 2.0**-6]


def test_fake_quantize(api):
    # scale 0.5, zero point 3, int8: levels from -131 to 124. 0.75 / 0.5 = 1.5 -> 2 -> 1.0; 0.25 -> 0.5 -> 0 -> +0;
    # -0.25 -> -0.5 -> -0, which as a code is 0 and as a real +0; saturated: 124 * 0.5 = 62, -131 * 0.5 = -65.5;
    # NaN has the lowest code.
    x = np.array([0.75, 0.25, -0.25, -0.0, 1e9, -1e9, INF, -INF, NAN], np.float32)
    expected = np.array([1.0, 0.0, 0.0, 0.0, 62.0, -65.5, 62.0, -65.5, -65.5], np.float32)
    assert_same(api.fake_quantize(x, 0.5, 3), expected, x)


def test_fake_quantize_of_huge_negative_inputs(api):
    # -FLT_MAX / 1e-10 is far below every level: -128 * float32(1e-10).
    x = np.array([-FLT_MAX] * 40, np.float32)
    assert_same(api.fake_quantize(x, 1e-10), np.full(40, np.float32(1e-10) * -128, np.float32))


def test_minmax(api):
    lo, hi = api.minmax(np.array([[3.0, -1.5], [2.0, 7.25]], np.float32))
    assert (lo, hi) == (-1.5, 7.25)
    lo, hi = api.minmax(np.array([[3.0, -1.5], [2.0, 7.25]], np.float32), axis=0)
    assert (lo.tolist(), hi.tolist()) == ([-1.5, 2.0], [3.0, 7.25])
    lo, hi = api.minmax(np.array([[3.0, -1.5], [2.0, 7.25]], np.float32), axis=1)
    assert (lo.tolist(), hi.tolist()) == ([2.0, -1.5], [3.0, 7.25])
    lo, hi = api.minmax(np.array([-0.0, -0.0], np.float32))
    assert not np.signbit(lo)
    assert not np.signbit(hi)


# ---- the article ----


def test_article_symmetric(api):
    scale, zero_point = api.qparams(-10.0, 10.0)
    assert (scale, zero_point) == (np.float32(10 / 127), 0)
    # 5 / (10/127) = 63.5, a tie: to the even 64. -7.5 / (10/127) = -95.25.
    assert api.quantize(np.array([5, -7.5, 10, -10, 0], np.float32), scale).tolist() == [64, -95, 127, -127, 0]


def test_article_asymmetric_with_an_integer_zero_point(api):
    scale, zero_point = api.qparams(10.0, 260.0, "uint8", symmetric=False, include_zero=False)
    # scale 250/255; -10 / (250/255) = -10.2 -> -10, outside uint8.
    assert (scale, zero_point) == (np.float32(250 / 255), -10)
    # 10 -> 10.2 -> 10 - 10 = 0; 260 -> 265.2 -> 265 - 10 = 255.
    q = api.quantize(np.array([10, 260], np.float32), scale, zero_point, dtype="uint8")
    assert q.tolist() == [0, 255]


def test_article_asymmetric_with_a_real_offset(api):
    scale, _ = api.qparams(10.0, 260.0, "uint8", symmetric=False, include_zero=False)
    # (10 - 10) / s = 0; (260 - 10) / (250/255) = 255; and back: 0 * s + 10, 255 * s + 10.
    x = np.array([10, 260], np.float32)
    q = api.quantize(x, scale, dtype="uint8", offset=10.0)
    assert q.tolist() == [0, 255]
    assert_same(api.dequantize(q, scale, offset=10.0), x)


# ---- qparams ----

FIT = [
    # lo, hi, dtype, options, scale before its rounding to float32, zero_point
    (-3.0, 2.0, "int8", {}, 3 / 127, 0),
    (-3.0, 2.0, "uint8", {}, 3 / 127, 128),
    (1.0, 2.0, "int8", {}, 2 / 127, 0),
    (-2.0, -1.0, "int8", {}, 2 / 127, 0),
    (-3.0, 2.0, "int8", {"narrow_range": True}, 3 / 127, 0),
    (-3.0, 2.0, "uint8", {"narrow_range": True}, 3 / 127, 128),
    # -128 + 1 / (4/255) = -64.25
    (-1.0, 3.0, "int8", {"symmetric": False}, 4 / 255, -64),
    (-1.0, 3.0, "uint8", {"symmetric": False}, 4 / 255, 64),
    # narrow: 254 steps, from -127: -127 + 63.5 = -63.5, a tie: to -64; from 1: 64.5, to 64
    (-1.0, 3.0, "int8", {"symmetric": False, "narrow_range": True}, 4 / 254, -64),
    (-1.0, 3.0, "uint8", {"symmetric": False, "narrow_range": True}, 4 / 254, 64),
    # include_zero widens to [0, 3] and [-3, 0]
    (1.0, 3.0, "int8", {"symmetric": False}, 3 / 255, -128),
    (-3.0, -1.0, "int8", {"symmetric": False}, 3 / 255, 127),
    (-3.0, -1.0, "uint8", {"symmetric": False}, 3 / 255, 255),
    # without it: 0 - 17 / (51/255) = -85; 0 + 68 / (51/255) = 340
    (17.0, 68.0, "uint8", {"symmetric": False, "include_zero": False}, 51 / 255, -85),
    (-68.0, -17.0, "uint8", {"symmetric": False, "include_zero": False}, 51 / 255, 340),
    # a range of zero: scale 1, and -128 - 5.5 = -133.5, to the even -134
    (0.0, 0.0, "int8", {}, 1.0, 0),
    (0.0, 0.0, "int8", {"symmetric": False}, 1.0, -128),
    (-0.0, 0.0, "uint8", {"symmetric": False}, 1.0, 0),
    (5.5, 5.5, "int8", {"symmetric": False, "include_zero": False}, 1.0, -134),
    (5.5, 5.5, "int8", {}, 5.5 / 127, 0),
    # a scale that would be subnormal: 2^-126; the zero point follows from it: -128 + 1 / 2 = -127.5, to -128
    (-1e-40, 1e-40, "int8", {}, TINY, 0),
    (-TINY / 2, TINY / 2, "int8", {"symmetric": False}, TINY, -128),
    (-TINY, TINY, "int8", {"symmetric": False}, TINY, -127),
    (0.0, 5e-324, "int8", {}, TINY, 0),
    # the widest range
    (0.0, 127 * FLT_MAX, "int8", {}, FLT_MAX, 0),
    # zero points at the ends of int32: scale 1
    (2.0**31, 2.0**31 + 255, "uint8", {"symmetric": False, "include_zero": False}, 1.0, INT32_MIN),
    (1 - 2.0**31, 256 - 2.0**31, "uint8", {"symmetric": False, "include_zero": False}, 1.0, INT32_MAX),
]


@pytest.mark.parametrize(("lo", "hi", "dtype", "options", "scale", "zero_point"), FIT)
def test_qparams(api, lo, hi, dtype, options, scale, zero_point):
    got = api.qparams(lo, hi, dtype, **options)
    assert_same(got[0], np.float32(scale))
    assert_same(got[1], np.int32(zero_point))


@pytest.mark.parametrize(
    ("lo", "hi", "options"),
    [
        (0.0, 127 * FLT_MAX * (1 + 2.0**-23), {}),
        (-1e308, 1e308, {"symmetric": False}),  # hi - lo overflows
        (2.0**31 + 1, 2.0**31 + 256, {"symmetric": False, "include_zero": False}),
        (-(2.0**31), 255 - 2.0**31, {"symmetric": False, "include_zero": False}),
        (1e10, 1e10 + 1, {"symmetric": False, "include_zero": False}),
    ],
)
def test_qparams_without_an_answer(api, lo, hi, options):
    with pytest.raises(ValueError, match="lo, hi"):
        api.qparams(lo, hi, "uint8", **options)


def test_qparams_of_arrays(api):
    lo, hi = np.array([[-3.0, 0.0], [1.0, -2.0]]), np.array([[2.0, 0.0], [2.0, -1.0]])
    scale, zero_point = api.qparams(lo, hi)
    assert_same(scale, np.array([[3 / 127, 1.0], [2 / 127, 2 / 127]], np.float32))
    assert_same(zero_point, np.zeros((2, 2), np.int32))


def test_quantize_dynamic(api):
    # lo -1, hi 3: as in FIT. -1 / (4/255) = -63.75 -> -64 - 64 = -128; 3 -> 191.25 -> 191 - 64 = 127; 0 -> -64.
    q, scale, zero_point = api.quantize_dynamic(np.array([-1, 0, 3], np.float32), symmetric=False)
    assert (scale, zero_point) == (np.float32(4 / 255), -64)
    assert_same(q, np.array([-128, -64, 127], np.int8))
