"""The reference against exact rational arithmetic: an oracle that shares nothing with NumPy or the kernels.

Every number is a Fraction; each rounding of the specification is carried out with integers.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from values import CODE_TYPES, SCALES, USUAL_ZERO_POINTS, ties

from fastquant import _reference

# type: (bits of the significand, smallest exponent, largest exponent)
FORMATS = {"float32": (24, -126, 127), "float64": (53, -1022, 1023)}


def rounded(value: Fraction, real: str) -> Fraction | float:
    """value to the nearest number of a binary format, ties to even; an infinity beyond its range."""
    precision, lowest, highest = FORMATS[real]
    if value == 0:
        return value
    n, d = abs(value).as_integer_ratio()
    exponent = n.bit_length() - d.bit_length()
    if Fraction(2) ** exponent > abs(value):
        exponent -= 1
    step = Fraction(2) ** (max(exponent, lowest) - precision + 1)
    result = round(value / step) * step
    if abs(result) >= Fraction(2) ** (highest + 1):
        return math.inf if value > 0 else -math.inf
    return result


def code(x: float, scale: float, zero_point: int, dtype: str, real: str, offset: float = 0.0) -> int:
    lowest, highest = CODE_TYPES[dtype]
    if math.isnan(x):
        return lowest
    difference = x if math.isinf(x) else rounded(Fraction(x) - Fraction(offset), real)
    quotient = difference if math.isinf(difference) else rounded(difference / Fraction(scale), real)
    if math.isinf(quotient):
        return lowest if quotient < 0 else highest
    return min(max(round(quotient) + zero_point, lowest), highest)


def value(q: int, scale: float, zero_point: int, real: str, offset: float | None = None) -> Fraction | float:
    level = rounded(Fraction(q - zero_point), real)
    product = rounded(level * Fraction(scale), real)
    if offset is None or math.isinf(product):
        return product
    return rounded(product + Fraction(offset), real)


def exactly(x: float) -> Fraction | float:
    return Fraction(x) if math.isfinite(x) else x


def hard_inputs(real: str, dtype: str, scale: float, zero_point: int, rng: np.random.Generator, n: int) -> np.ndarray:
    unsigned = np.uint32 if real == "float32" else np.uint64
    patterns = rng.integers(0, np.iinfo(unsigned).max, n, dtype=unsigned, endpoint=True).view(real)
    near = ties(dtype, scale, zero_point, real)
    return np.concatenate([rng.choice(near, n), patterns])


def parameters(real: str) -> list[tuple[float, int]]:
    """Scales and zero points: the hard ones, and random significands over the whole range of exponents."""
    rng = np.random.default_rng(2)
    scales = [float(s) for s in SCALES]
    scales += np.ldexp(rng.uniform(1, 2, 60).astype(real), rng.integers(-149, 126, 60)).astype(real).tolist()
    return [(s, USUAL_ZERO_POINTS[i % len(USUAL_ZERO_POINTS)]) for i, s in enumerate(scales)]


@pytest.mark.parametrize("dtype", CODE_TYPES)
@pytest.mark.parametrize("real", FORMATS)
def test_quantize(dtype, real):
    rng = np.random.default_rng(1)
    for scale, zero_point in parameters(real):
        x = hard_inputs(real, dtype, scale, zero_point, rng, 20)
        got = _reference.quantize(x, np.dtype(real).type(scale), zero_point, dtype=dtype)
        exact = [code(v, scale, zero_point, dtype, real) for v in x.tolist()]
        assert got.tolist() == exact, f"scale {scale.hex()}, zero point {zero_point}"


@pytest.mark.parametrize("real", FORMATS)
def test_quantize_with_an_offset(real):
    rng = np.random.default_rng(3)
    for scale, _ in parameters(real):
        offset = float(np.dtype(real).type(rng.standard_normal() * min(scale, 1e30) * 100))
        with np.errstate(all="ignore"):
            x = hard_inputs(real, "int8", scale, 0, rng, 20) + np.dtype(real).type(offset)
        got = _reference.quantize(x, np.dtype(real).type(scale), offset=offset)
        exact = [code(v, scale, 0, "int8", real, offset) for v in x.tolist()]
        assert got.tolist() == exact, f"scale {scale.hex()}, offset {offset.hex()}"


@pytest.mark.parametrize("dtype", CODE_TYPES)
@pytest.mark.parametrize("real", FORMATS)
def test_dequantize(dtype, real):
    rng = np.random.default_rng(4)
    for scale, zero_point in parameters(real):
        q = rng.integers(*CODE_TYPES[dtype], 20, endpoint=True).astype(dtype)
        got = _reference.dequantize(q, scale, zero_point, dtype=real)
        exact = [value(v, scale, zero_point, real) for v in q.tolist()]
        assert [exactly(v) for v in got.tolist()] == exact, f"scale {scale.hex()}, zero point {zero_point}"
        offset = float(np.dtype(real).type(-min(scale, 1e37) * 3.3))
        got = _reference.dequantize(q, scale, dtype=real, offset=offset)
        exact = [value(v, scale, 0, real, offset) for v in q.tolist()]
        assert [exactly(v) for v in got.tolist()] == exact, f"scale {scale.hex()}, offset {offset.hex()}"


def test_the_oracle_rounds_as_floats_do():
    # Python's own division and int-to-float conversion are correctly rounded.
    rng = np.random.default_rng(5)
    for a, b in rng.integers(1, 2**62, (200, 2)).tolist():
        assert rounded(Fraction(a, b), "float64") == Fraction(a / b)
    assert rounded(Fraction(2**24 + 1), "float32") == 2**24
    assert rounded(Fraction(2**24 + 3), "float32") == 2**24 + 4
    assert rounded(Fraction(1, 2**150), "float32") == 0  # halfway to the smallest subnormal: to even
    assert rounded(Fraction(3, 2**150), "float32") == Fraction(1, 2**148)
    assert rounded(Fraction(2**128 - 2**103), "float32") == math.inf
    assert rounded(Fraction(2**128 - 2**103 - 1), "float32") == Fraction(2**128 - 2**104)
