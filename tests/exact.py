"""Exact rational arithmetic: every number a Fraction, every rounding carried out with integers. An oracle for the
reference that shares nothing with NumPy or the kernels, and the inputs to ask it about.
"""

from __future__ import annotations

import functools
import math
from fractions import Fraction
from typing import Any

import numpy as np
from values import FLT_MAX, INT32_MAX, INT32_MIN, neighbours, real_dtype

INF, NAN = np.inf, np.nan

# type: (bits of the significand, smallest exponent, largest exponent)
REALS = {
    "float32": (24, -126, 127),
    "float64": (53, -1022, 1023),
    "float16": (11, -14, 15),
    "bfloat16": (8, -126, 127),
}
# type: (bits of the exponent, bits of the significand that are stored, bias, largest finite value), from the papers that
# define them: arXiv 2209.05433, arXiv 2206.02915, the OCP specification of MX formats.
FLOATS = {
    "float8_e4m3fn": (4, 3, 7, 448),
    "float8_e4m3fnuz": (4, 3, 8, 240),
    "float8_e5m2": (5, 2, 15, 57344),
    "float8_e5m2fnuz": (5, 2, 16, 57344),
    "float6_e2m3fn": (2, 3, 1, 7.5),
    "float6_e3m2fn": (3, 2, 3, 28),
    "float4_e2m1fn": (2, 1, 1, 6),
}
FLOATS8 = [name for name in FLOATS if name.startswith("float8")]
INTEGERS = {
    "int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767), "uint16": (0, 65535),
    "int4": (-8, 7), "uint4": (0, 15), "int2": (-2, 1), "uint2": (0, 3),
}  # fmt: skip
CODES = [*INTEGERS, *FLOATS]


def nearest(value: Fraction, precision: int, lowest: int) -> Fraction:
    """value to the nearest number with so many bits of significand, ties to even; the exponent has no upper end."""
    if value == 0:
        return value
    n, d = abs(value).as_integer_ratio()
    exponent = n.bit_length() - d.bit_length()
    if Fraction(2) ** exponent > abs(value):
        exponent -= 1
    step = Fraction(2) ** (max(exponent, lowest) - precision + 1)
    return round(value / step) * step


def to_real(value: Fraction | float, real: str) -> Fraction | float:
    """value to the nearest number of a real type, an infinity beyond its range."""
    if not isinstance(value, Fraction):
        return value
    precision, lowest, highest = REALS[real]
    result = nearest(value, precision, lowest)
    if abs(result) >= Fraction(2) ** (highest + 1):
        return math.inf if value > 0 else -math.inf
    return result


def exactly(x: float) -> Fraction | float:
    return Fraction(x) if math.isfinite(x) else x


def float_value(code: int, dtype: str) -> float:
    """What a code stands for. Doubles hold all of these exactly."""
    exponent_bits, stored, bias, _ = FLOATS[dtype]
    sign = -1.0 if code >> (exponent_bits + stored) & 1 else 1.0
    exponent, significand = code >> stored & (2**exponent_bits - 1), code & (2**stored - 1)
    if dtype.endswith("fnuz") and code == 0x80:
        return -math.nan
    if dtype == "float8_e4m3fn" and code & 0x7F == 0x7F:
        return math.copysign(math.nan, sign)
    if dtype == "float8_e5m2" and exponent == 31:
        return sign * math.inf if significand == 0 else math.copysign(math.nan, sign)
    if exponent == 0:
        return sign * math.ldexp(significand, 1 - bias - stored)
    return sign * math.ldexp(2**stored + significand, exponent - bias - stored)


def codes_in(dtype: str) -> int:
    exponent_bits, stored, _, _ = FLOATS[dtype]
    return 2 ** (1 + exponent_bits + stored)


@functools.cache
def positive_codes(dtype: str) -> dict[float, int]:
    """The code of each finite value from +0 up."""
    values = ((float_value(code, dtype), code) for code in range(codes_in(dtype) // 2))
    return {value: code for value, code in values if math.isfinite(value)}


def float_code(value: Fraction | float, negative: bool, dtype: str, saturate: bool) -> int:
    """The code of a quotient; `negative` is its sign, that zeros and NaN have too."""
    _, stored, bias, largest = FLOATS[dtype]
    sign = codes_in(dtype) // 2 if negative else 0
    eight, fnuz = dtype in FLOATS8, dtype.endswith("fnuz")
    if not isinstance(value, Fraction) and math.isnan(value):
        if not eight:
            return positive_codes(dtype)[float(largest)]
        return 0x80 if fnuz else sign | (0x7F if dtype == "float8_e4m3fn" else 0x7E)
    magnitude = abs(value) if math.isinf(value) else nearest(abs(value), stored + 1, 1 - bias)
    if magnitude > largest:
        if saturate or not eight:
            magnitude = Fraction(largest)
        else:
            return 0x80 if fnuz else sign | (0x7F if dtype == "float8_e4m3fn" else 0x7C)
    code = positive_codes(dtype)[float(magnitude)]
    return code if fnuz and code == 0 else sign | code


def quotient_of(x: float, scale: float, offset: float | None, real: str, precision: str | None) -> tuple[Any, bool]:
    """The number that becomes a code, and whether its sign is set."""
    negative = math.copysign(1, x) < 0
    if math.isnan(x):
        return x, negative
    dividend = exactly(x) if precision is None else to_real(exactly(x), precision)
    if offset is not None and not math.isinf(dividend):
        both_negative = negative and math.copysign(1, offset) < 0
        dividend = to_real(dividend - Fraction(offset), real)
        # A difference of zero is +0, but for -0 - +0.
        negative = dividend < 0 or (dividend == 0 and x == 0 and offset == 0 and negative and not both_negative)
    if math.isinf(dividend):
        return dividend, negative
    quotient = to_real(dividend / Fraction(scale), real)
    return (quotient if precision is None else to_real(quotient, precision)), negative


def exact_code(
    x: float,
    scale: float,
    zero_point: int,
    dtype: str,
    real: str,
    *,
    offset: float | None = None,
    precision: str | None = None,
    saturate: bool = True,
) -> int:
    quotient, negative = quotient_of(x, scale, offset, real, precision)
    if dtype in FLOATS:
        return float_code(quotient, negative, dtype, saturate)
    lowest, highest = INTEGERS[dtype]
    if math.isnan(quotient):
        return lowest
    if math.isinf(quotient):
        return lowest if quotient < 0 else highest
    return min(max(round(quotient) + zero_point, lowest), highest)


def as_numbers(q: np.ndarray, dtype: str) -> list[int]:
    """Integer codes as integers, float codes as their bits."""
    assert q.dtype == real_dtype(dtype)
    return (q.view(np.uint8) if dtype in FLOATS else q.astype(np.int64)).tolist()


def codes_from(bits: Any, dtype: str) -> np.ndarray:
    """The array of these codes, or of the float codes that have these bits."""
    if dtype in FLOATS:
        return np.array(bits, np.uint8).view(real_dtype(dtype))
    return np.array(bits, np.int64).astype(real_dtype(dtype))


def every_code(dtype: str) -> np.ndarray:
    return codes_from(np.arange(codes_in(dtype)), dtype)


def middles(dtype: str) -> np.ndarray:
    """Where the code changes: halfway between neighbouring values, and between the largest and what would come next.
    Integer codes: at most 600 of them, next to zero and to the ends."""
    if dtype in INTEGERS:
        lowest, highest = INTEGERS[dtype]
        levels = {*range(lowest - 2, lowest + 100), *range(-100, 100), *range(highest - 100, highest + 3)}
        return np.array(sorted(n for n in levels if lowest - 2 <= n <= highest + 2)) + 0.5
    values = np.array(sorted(positive_codes(dtype)))
    values = np.append(values, 2 * values[-1] - values[-2])
    both = (values[1:] + values[:-1]) / 2
    return np.concatenate([-both, both])


def hard_inputs(real: str, dtype: str, scale: float, zero_point: int, rng: np.random.Generator) -> np.ndarray:
    """At and next to points where the code changes, any bits at all, zeros, infinities, NaN."""
    unsigned = f"u{np.dtype(real).itemsize}"
    anything = rng.integers(0, np.iinfo(unsigned).max, 10, dtype=unsigned, endpoint=True).view(real)
    special = np.array([0.0, -0.0, INF, -INF, NAN, -NAN, np.finfo(real).max, -np.finfo(real).max], real)
    with np.errstate(all="ignore"):
        changes = neighbours(((middles(dtype) - zero_point) * np.dtype(real).type(scale)).astype(real), 1)
    return np.concatenate([rng.choice(changes, 30), anything, special])


# Powers of two, hard significands, subnormal, so small and so large that quotients overflow and vanish.
SCALES = tuple(float(np.float32(s)) for s in (1.0, 0.1, 2.0**-7, 10 / 127, 3.0, 2.0**-149, 1e-38, 1e-20, 1e30, FLT_MAX))
ZERO_POINTS = (0, 0, 1, -7, 200, -40000, INT32_MAX, INT32_MIN, 3, 0)


def exact_value(level: Any, scale: float, offset: float | None, dtype: str) -> tuple[Fraction | float, bool]:
    """The value of a level (a number, exact; float codes as they are), and whether its sign is set."""
    real = "float64" if dtype == "float64" else "float32"
    negative = level < 0 if isinstance(level, Fraction) else math.copysign(1, level) < 0
    if not isinstance(level, Fraction) and not math.isfinite(level):
        return level, negative
    product = to_real(to_real(Fraction(level), real) * Fraction(scale), real)
    if offset is not None and not math.isinf(product):
        if product == 0 and offset == 0:
            negative = negative and math.copysign(1, offset) < 0
        else:
            total = product + Fraction(offset)
            negative = total < 0
            product = to_real(total, real)
    return to_real(product, dtype), negative
