"""Hard values and parameters through every kernel, type and target, against the reference, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from calls import reference, run
from values import (
    ALL_CODES,
    CODE_TYPES,
    FLOAT_TYPES,
    INT32_MAX,
    INT32_MIN,
    OFFSETS,
    REAL_TYPES,
    SCALES,
    USUAL_SCALES,
    USUAL_ZERO_POINTS,
    ZERO_POINTS,
    assert_same,
    codes_of,
    every_half,
    hard_values,
    real_dtype,
)


def check_reals(code: str, real: str, scale: float, zero_point: int, **options: object) -> None:
    """quantize and fake_quantize of the hard values of these parameters."""
    x = hard_values(real, code, scale, zero_point)
    for kernel in ("quantize", "fake_quantize"):
        expected = reference(kernel, x, scale, zero_point, code, real, **options)
        got = run(kernel, x, scale, zero_point, code, real, **options)
        assert_same(got, expected, x, (kernel, scale.hex(), zero_point))


@pytest.mark.parametrize("scale", SCALES, ids=float.hex)
@pytest.mark.parametrize("code", CODE_TYPES)
def test_every_scale(target, code, scale):
    for zero_point in USUAL_ZERO_POINTS:
        check_reals(code, "float32", scale, zero_point)


@pytest.mark.parametrize("real", ["float64", "float16", "bfloat16"])
@pytest.mark.parametrize("scale", SCALES, ids=float.hex)
def test_every_scale_of_other_reals(target, scale, real):
    for code, zero_point in zip([*CODE_TYPES] * 2, USUAL_ZERO_POINTS, strict=False):
        check_reals(code, real, scale, zero_point)


@pytest.mark.parametrize("saturate", [True, False])
@pytest.mark.parametrize("code", FLOAT_TYPES)
@pytest.mark.parametrize("real", REAL_TYPES)
def test_every_scale_of_float_codes(target, real, code, saturate):
    for scale in SCALES:
        check_reals(code, real, scale, 0, saturate=saturate)


@pytest.mark.parametrize("scale", [5e-324, 2.0**-1022, 1e-308, 1e300, 1.7976931348623157e308], ids=float.hex)
def test_scales_that_only_float64_has(target, scale):
    for zero_point in USUAL_ZERO_POINTS:
        check_reals("int8", "float64", scale, zero_point)


@pytest.mark.parametrize("zero_point", ZERO_POINTS)
def test_every_zero_point(target, zero_point):
    for scale in USUAL_SCALES:
        for code in CODE_TYPES:
            check_reals(code, "float32", scale, zero_point)
    check_reals("uint8", "float64", 0.1, zero_point)


@pytest.mark.parametrize("real", REAL_TYPES)
@pytest.mark.parametrize("code", ALL_CODES)
def test_dequantize_every_code(target, code, real):
    q = codes_of(code)
    scales, zero_points = SCALES, ZERO_POINTS if code in CODE_TYPES else (0,)
    if q.itemsize == 2:
        scales, zero_points = (2.0**-149, 2.0**-24, 0.1, 3.0, 1e20), (0, -700, 32768, 100_003, INT32_MIN)
    for scale in scales:
        for zero_point in zero_points:
            expected = reference("dequantize", q, scale, zero_point, code, real)
            got = run("dequantize", q, scale, zero_point, code, real)
            assert_same(got, expected, q, (scale.hex(), zero_point))


@pytest.mark.parametrize("real", REAL_TYPES)
def test_dequantize_int32(target, real):
    """Sums and differences beyond float32 and beyond int32."""
    near = np.array([0, 1, 2**24, 2**24 + 1, 2**24 + 2, 2**24 + 3, 2**30 + 1, 2**31 - 65, 2**31 - 64, INT32_MAX])
    q = np.unique(np.concatenate([near, -near, [INT32_MIN, INT32_MIN + 1], codes_of("int8")])).astype(np.int32)
    for scale in SCALES[::2]:
        for zero_point in ZERO_POINTS:
            expected = reference("dequantize", q, scale, zero_point, "int32", real)
            got = run("dequantize", q, scale, zero_point, "int32", real)
            assert_same(got, expected, q, (scale.hex(), zero_point))


@pytest.mark.parametrize("code", ["int8", "uint16", "int2", "float8_e4m3fn", "float8_e5m2fnuz", "float4_e2m1fn"])
@pytest.mark.parametrize("real", REAL_TYPES)
def test_offsets(target, real, code):
    for scale in SCALES[::4]:
        for offset in OFFSETS:
            for kernel in ("quantize", "fake_quantize"):
                x = hard_values(real, code, scale, 0)
                with np.errstate(all="ignore"):
                    x = np.concatenate([x, x[-2000:] + x.dtype.type(offset)])
                expected = reference(kernel, x, scale, 0, code, real, offset=offset)
                got = run(kernel, x, scale, 0, code, real, offset=offset)
                assert_same(got, expected, x, (kernel, scale.hex(), offset))
            q = codes_of(code)[:300]
            expected = reference("dequantize", q, scale, 0, code, real, offset=offset)
            assert_same(run("dequantize", q, scale, 0, code, real, offset=offset), expected, q, (scale.hex(), offset))


@pytest.mark.parametrize("code", ALL_CODES)
@pytest.mark.parametrize("real", ["float16", "bfloat16"])
@pytest.mark.parametrize("kernel", ["quantize", "fake_quantize"])
def test_every_half(target, kernel, real, code):
    """All 65536 values, NaN payloads among them."""
    x = every_half(real)
    sets = (0.1, 0), (2.0**-24, 128), (300.0, -700), (1e-30, 3), (2.0**-7, 2**24 + 1)
    for scale, zero_point in sets:
        zero_point = zero_point if code in CODE_TYPES else 0
        expected = reference(kernel, x, scale, zero_point, code, real)
        got = run(kernel, x, scale, zero_point, code, real)
        assert_same(got, expected, x, (scale, zero_point))


@pytest.mark.parametrize("code", CODE_TYPES)
def test_no_negative_zero(target, code):
    for scale in SCALES:
        for zero_point in (0, 3, 100_000):
            x = np.array([0.0, -0.0, -0.25 * scale, -0.5 * scale, 0.25 * scale, -1e-45] * 11, np.float32)
            fake = run("fake_quantize", x, scale, zero_point, code, "float32")
            assert not np.signbit(fake[fake == 0]).any()
            q = np.full(65, min(zero_point, CODE_TYPES[code][1])).astype(real_dtype(code))
            real = run("dequantize", q, scale, zero_point, code, "float32")
            assert not np.signbit(real[real == 0]).any()


@pytest.mark.parametrize("code", CODE_TYPES)
def test_random_scales_at_ties(target, code):
    """The exactness of the division rests on the significand of the scale: many of them, at the ties and beside."""
    rng = np.random.default_rng(11)
    significands = rng.integers(1 << 23, 1 << 24, 150, dtype=np.int64)
    for significand, exponent in zip(significands.tolist(), rng.integers(-124, 77, 150).tolist(), strict=True):
        scale = float(np.float32(np.ldexp(float(significand), exponent)))
        zero_point = int(rng.integers(-380, 380))
        x = hard_values("float32", code, scale, zero_point)[-2000:]
        expected = reference("quantize", x, scale, zero_point, code, "float32")
        assert_same(run("quantize", x, scale, zero_point, code, "float32"), expected, x, (scale.hex(), zero_point))


# Levels beyond those that two products divide exactly (512), with the significand of a scale for which they would not:
# the quotient nearest to level + 1/2 is the float beside it, and two products find the tie itself. There are none
# below level 3432 among quotients next to the middle of two floats.
HARD_LEVELS = [(3432, 11341823), (3616, 12849151), (3804, 14389247), (16339, 15819775), (16363, 15770623)]


@pytest.mark.parametrize(("level", "significand"), HARD_LEVELS)
def test_levels_that_need_a_division(target, level, significand):
    for exponent in (-23, -40, 50):
        scale = float(np.ldexp(float(significand), exponent))
        for zero_point in (-level, -level + 100, level, level - 100):
            check_reals("int8", "float32", scale, zero_point)
