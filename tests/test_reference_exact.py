"""The reference against exact rational arithmetic: codes, `precision`, values."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from exact import (
    CODES,
    FLOATS,
    INTEGERS,
    NAN,
    REALS,
    SCALES,
    ZERO_POINTS,
    as_numbers,
    codes_from,
    codes_in,
    exact_code,
    exact_value,
    exactly,
    float_value,
    hard_inputs,
    to_real,
)
from values import FLT_MAX, INT32_MAX, INT32_MIN, USUAL_ZERO_POINTS, assert_same, every_half, neighbours, real_dtype
from values import SCALES as MANY_SCALES

from fastquant import _reference


@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("real", ["float32", "float64"])
def test_quantize_is_exact(real, dtype):
    rng = np.random.default_rng(1)
    for scale, zero_point in zip(SCALES, ZERO_POINTS, strict=True):
        zero_point = 0 if dtype in FLOATS else zero_point
        x = hard_inputs(real, dtype, scale, zero_point, rng)
        for saturate in (True, False) if dtype in FLOATS else (True,):
            got = _reference.quantize(x, np.dtype(real).type(scale), zero_point, dtype=dtype, saturate=saturate)
            exact = [exact_code(v, scale, zero_point, dtype, real, saturate=saturate) for v in x.tolist()]
            assert as_numbers(got, dtype) == exact, f"scale {scale.hex()}, zero point {zero_point}, {saturate}"


@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("real", ["float32", "float64"])
def test_quantize_with_an_offset_is_exact(real, dtype):
    rng = np.random.default_rng(2)
    for scale, offset in itertools.product((1.0, 0.1, 3e-39), (0.0, -0.0, 0.3, -100.0, FLT_MAX)):
        scale, offset = float(np.float32(scale)), float(np.float32(offset))
        with np.errstate(all="ignore"):
            x = hard_inputs(real, dtype, scale, 0, rng)
            x = np.concatenate([x, x + np.dtype(real).type(offset)])
        got = _reference.quantize(x, scale, dtype=dtype, offset=offset)
        exact = [exact_code(v, scale, 0, dtype, real, offset=offset) for v in x.tolist()]
        assert as_numbers(got, dtype) == exact, f"scale {scale.hex()}, offset {offset.hex()}"


@pytest.mark.parametrize("dtype", ["int8", "uint8", "float8_e5m2"])
@pytest.mark.parametrize("real", ["float32", "float64"])
def test_scales_of_every_size_are_exact(real, dtype):
    rng = np.random.default_rng(5)
    random = np.ldexp(rng.uniform(1, 2, 60).astype(real), rng.integers(-149, 126, 60)).astype(real).tolist()
    for i, scale in enumerate([*MANY_SCALES, *random]):
        zero_point = 0 if dtype in FLOATS else USUAL_ZERO_POINTS[i % len(USUAL_ZERO_POINTS)]
        x = hard_inputs(real, dtype, scale, zero_point, rng)
        got = _reference.quantize(x, np.dtype(real).type(scale), zero_point, dtype=dtype)
        exact = [exact_code(v, scale, zero_point, dtype, real) for v in x.tolist()]
        assert as_numbers(got, dtype) == exact, f"scale {scale.hex()}, zero point {zero_point}"


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int4", "float8_e4m3fn", "float8_e5m2fnuz", "float4_e2m1fn"])
@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
@pytest.mark.parametrize("real", ["float32", "float64"])
def test_precision_is_exact(real, precision, dtype):
    rng = np.random.default_rng(3)
    for scale in (1.0, 0.1, 3e-5, 2.0**-24, 1000.0, 6e-8, 60000.0):
        scale = float(np.asarray(scale).astype(real_dtype(precision)))
        x = hard_inputs(real, dtype, scale, 0, rng)
        # Halfway between numbers of the precision: where a cast from float64 that goes through float32 errs.
        between = every_half(precision)[rng.integers(0, 1 << 16, 40)].astype(real)
        between = between[np.isfinite(between)]
        between = between * (1 + 2.0 ** -REALS[precision][0])
        x = np.concatenate([x, neighbours(between.astype(real), 1)])
        got = _reference.quantize(x, scale, dtype=dtype, precision=precision)
        exact = [exact_code(v, scale, 0, dtype, real, precision=precision) for v in x.tolist()]
        assert as_numbers(got, dtype) == exact, f"scale {scale.hex()}"


def test_precision_by_hand():
    # float16 steps by 2 from 2048 to 4096: 2049 is a tie, to 2048; 2051 to 2052. From float32 the codes would be exact.
    x = np.array([2049, 2051, 70000, -70000, NAN], np.float32)
    assert _reference.quantize(x, 1.0, dtype="int16").tolist() == [2049, 2051, 32767, -32768, -32768]
    # 70000 lies beyond float16: an infinity, which saturates.
    got = _reference.quantize(x, 1.0, dtype="int16", precision="float16")
    assert got.tolist() == [2048, 2052, 32767, -32768, -32768]
    # 1 / 3 * 1000 = 333.3: in bfloat16 333 lies between 332 and 334; 1000 is one of its numbers. 1000 / 3 -> 334.
    assert _reference.quantize(np.float32([1000]), 3.0, dtype="int16", precision="bfloat16").tolist() == [334]
    assert _reference.quantize(np.float32([1000]), 3.0, dtype="int16").tolist() == [333]
    # x is rounded before the division: 1002 is a tie in bfloat16 (steps of 4 there), to 1000, and 1000 / 3 = 333.3 goes
    # to 334 (steps of 2). 1005 -> 1004, 1004 / 3 = 334.67 -> 334; but 1005 / 3 = 335, a tie, would go to 336.
    got = _reference.quantize(np.float32([1002, 1005]), 3.0, dtype="int16", precision="bfloat16")
    assert got.tolist() == [334, 334]


@pytest.mark.parametrize("code", [*CODES, "int32"])
@pytest.mark.parametrize("dtype", REALS)
def test_dequantize_is_exact(dtype, code):
    rng = np.random.default_rng(4)
    for scale, zero_point in zip(SCALES, ZERO_POINTS, strict=True):
        if code in FLOATS:
            zero_point = 0
            q = codes_from([0, 1, codes_in(code) // 2, *rng.integers(0, codes_in(code), 20)], code)
            levels: list[Any] = [float_value(v, code) for v in as_numbers(q, code)]
        else:
            lowest, highest = (INT32_MIN, INT32_MAX) if code == "int32" else INTEGERS[code]
            numbers = np.concatenate([[lowest, highest], rng.integers(lowest, highest, 15, endpoint=True)])
            q = numbers.astype(real_dtype(code))
            levels = [Fraction(int(v) - zero_point) for v in numbers]
        for offset in (None, 0.0, -0.0, 0.3, -1e30):
            offset = None if offset is None else float(np.float32(offset))
            got = _reference.dequantize(q, scale, zero_point, dtype=dtype, offset=offset)
            assert got.dtype == real_dtype(dtype)
            for value, level in zip(got.astype(np.float64).tolist(), levels, strict=True):
                exact, negative = exact_value(level, scale, offset, dtype)
                assert math.isnan(value) == math.isnan(exact)
                assert math.isnan(value) or exactly(value) == exact, f"{level}, scale {scale.hex()}, offset {offset}"
                assert (math.copysign(1, value) < 0) == negative, f"{level}, scale {scale.hex()}, offset {offset}"


def test_dequantize_int32_rounds_the_difference_once():
    # Floats near 2^24 are 2 apart: 2^24 + 1 is a tie, to 2^24, and 2^24 + 3 one to 2^24 + 4.
    q = np.array([2**24 + 1, 2**24 + 3, INT32_MAX, INT32_MIN], np.int32)
    assert_same(_reference.dequantize(q, 1.0), np.array([2**24, 2**24 + 4, 2**31, -(2**31)], np.float32))
    # 2^31 - 1 + 2^31 = 2^32 - 1 is a double, and rounds to the float 2^32; -2^31 + 2^31 = 0.
    assert_same(_reference.dequantize(q, 1.0, INT32_MIN)[2:], np.array([2.0**32, 0], np.float32))
    assert_same(_reference.dequantize(q, 1.0, INT32_MIN, dtype="float64")[2:], np.array([2.0**32 - 1, 0]))


def test_signs_of_zero():
    for dtype in INTEGERS:
        q = codes_from(INTEGERS[dtype], dtype)
        for zero_point in (*INTEGERS[dtype], 0):
            for real in ("float32", "float64"):
                got = _reference.dequantize(q, 2.0**-149, zero_point, dtype=real)
                assert not np.signbit(got[got == 0]).any()
    # Rounded to a half type, a negative product may vanish: to -0, as IEEE 754 has it.
    assert_same(_reference.dequantize(np.int8([-1]), 1e-10, dtype="float16"), np.array([-0.0], np.float16))
    minus = codes_from([0x80], "float8_e4m3fn")
    assert_same(_reference.dequantize(minus, 3.0), np.float32([-0.0]))
    assert_same(_reference.dequantize(minus, 3.0, offset=0.0), np.float32([0.0]))
    assert_same(_reference.dequantize(minus, 3.0, offset=-0.0), np.float32([-0.0]))


def test_the_oracle_rounds_as_floats_do():
    # Python's own division and int-to-float conversion are correctly rounded.
    rng = np.random.default_rng(6)
    for a, b in rng.integers(1, 2**62, (200, 2)).tolist():
        assert to_real(Fraction(a, b), "float64") == Fraction(a / b)
    assert to_real(Fraction(2**24 + 1), "float32") == 2**24
    assert to_real(Fraction(2**24 + 3), "float32") == 2**24 + 4
    assert to_real(Fraction(1, 2**150), "float32") == 0  # halfway to the smallest subnormal: to even
    assert to_real(Fraction(3, 2**150), "float32") == Fraction(1, 2**148)
    assert to_real(Fraction(2**128 - 2**103), "float32") == math.inf
    assert to_real(Fraction(2**128 - 2**103 - 1), "float32") == Fraction(2**128 - 2**104)
