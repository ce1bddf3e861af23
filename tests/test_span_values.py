"""Hard values and parameters through every kernel, type and target, against the reference, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from calls import reference, run
from values import (
    CODE_TYPES,
    OFFSETS,
    SCALES,
    USUAL_SCALES,
    USUAL_ZERO_POINTS,
    ZERO_POINTS,
    assert_same,
    codes_of,
    every_half,
    hard_values,
)


def check_reals(code: str, real: str, scale: float, zero_point: int) -> None:
    """quantize and fake_quantize of the hard values of these parameters."""
    x = hard_values(real, code, scale, zero_point)
    for kernel in ("quantize", "fake_quantize"):
        expected = reference(kernel, x, scale, zero_point, code, real)
        got = run(kernel, x, scale, zero_point, code, real)
        assert_same(got, expected, x, (kernel, scale.hex(), zero_point))


@pytest.mark.parametrize("scale", SCALES, ids=float.hex)
@pytest.mark.parametrize("code", CODE_TYPES)
def test_every_scale(target, code, scale):
    for zero_point in USUAL_ZERO_POINTS:
        check_reals(code, "float32", scale, zero_point)


@pytest.mark.parametrize("scale", SCALES, ids=float.hex)
def test_every_scale_float64(target, scale):
    for code, zero_point in zip([*CODE_TYPES] * 2, USUAL_ZERO_POINTS, strict=False):
        check_reals(code, "float64", scale, zero_point)


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


@pytest.mark.parametrize("real", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("code", CODE_TYPES)
def test_dequantize_every_code(target, stores, code, real):
    q = codes_of(code)
    for scale in SCALES:
        for zero_point in ZERO_POINTS:
            expected = reference("dequantize", q, scale, zero_point, code, real)
            got = run("dequantize", q, scale, zero_point, code, real)
            assert_same(got, expected, q, (scale.hex(), zero_point))


@pytest.mark.parametrize("scale", SCALES[::3], ids=float.hex)
@pytest.mark.parametrize("real", ["float32", "float64"])
def test_offsets(target, real, scale):
    for offset in OFFSETS:
        for kernel in ("quantize", "fake_quantize"):
            x = hard_values(real, "int8", scale, 0)
            with np.errstate(over="ignore"):
                x = np.concatenate([x, x[-2000:] + np.dtype(real).type(offset)])
            expected = reference(kernel, x, scale, 0, "int8", real, offset=offset)
            got = run(kernel, x, scale, 0, "int8", real, offset=offset)
            assert_same(got, expected, x, (kernel, scale.hex(), offset))
        q = codes_of("uint8")
        expected = reference("dequantize", q, scale, 0, "uint8", real, offset=offset)
        assert_same(run("dequantize", q, scale, 0, "uint8", real, offset=offset), expected, q, (scale.hex(), offset))


@pytest.mark.parametrize("real", ["float16", "bfloat16"])
@pytest.mark.parametrize("kernel", ["quantize", "fake_quantize"])
def test_every_half(target, kernel, real):
    """All 65536 values, NaN payloads among them."""
    x = every_half(real)
    for scale in (0.1, 2.0**-7, 1.0, 2.0**-24, 300.0, 1e-30, 1e30):
        for code, zero_point in (("int8", 0), ("uint8", 128), ("int8", -700), ("uint8", 2**24 + 1)):
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
            q = np.full(65, min(zero_point, CODE_TYPES[code][1]), code)
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
