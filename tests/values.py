"""Hard inputs, parameters and exact comparison, shared by the numeric tests.

Lists of code types come from the kernels' own table, so that a new type is tested as soon as it exists.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np

from fastquant import _kernels

CODE_TYPES: dict[str, tuple[int, int]] = {
    name: (lowest, highest)
    for name, lowest, highest, _, is_float in _kernels.code_types()
    if not is_float and name != "int32"
}
FLOAT_TYPES: dict[str, float] = {name: highest for name, _, highest, _, is_float in _kernels.code_types() if is_float}
BITS: dict[str, int] = {name: bits for name, _, _, bits, _ in _kernels.code_types() if name != "int32"}
REAL_TYPES = tuple(name for name, _ in _kernels.real_types())
KERNELS = ("quantize", "dequantize", "fake_quantize")
ALL_CODES = (*CODE_TYPES, *FLOAT_TYPES)
PACKED_TYPES = tuple(name for name in ALL_CODES if BITS[name] in (2, 4))
# Every row of the span tables that has parameters: kernel, real type, code type. int32 is only read.
ELEMENTWISE = tuple(
    (kernel, real, code)
    for kernel in KERNELS
    for real in REAL_TYPES
    for code in (*ALL_CODES, *(("int32",) if kernel == "dequantize" else ()))
)

FLT_MAX = float(np.finfo(np.float32).max)
INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1

# Where float32 quantization changes its way of dividing (2^-100, 2^100), where reciprocals leave the normal range,
# the ends of the float32 range, and significands that are easy (powers of two) or hard (all ones, 1 + an ulp).
_SCALES = (
    2.0**-149,  # the smallest subnormal
    3 * 2.0**-149,
    2.0**-127 * 1.25,  # a subnormal whose reciprocal is finite
    2.0**-126,
    2.0**-101,
    2.0**-101 * (2 - 2.0**-23),  # the last float below 2^-100
    2.0**-100,
    2.0**-100 * (1 + 2.0**-23),
    2.0**-99 * 1.7,
    1e-10,  # huge inputs overflow x * rest before they overflow x * recip
    2.0**-24,
    2.0**-7,
    float(np.float32(0.1)),
    float(np.float32(10) / np.float32(127)),
    float(np.float32(1.1754e-1)),
    1.0 - 2.0**-24,  # a significand of all ones
    1.0,
    1.0 + 2.0**-23,
    3.0,
    255.0,
    2.0**31 * (2 - 2.0**-23),
    1e20,
    2.0**99 * (2 - 2.0**-23),
    2.0**100,
    2.0**100 * (1 + 2.0**-23),
    2.0**101,
    2.0**126 * 1.5,
    FLT_MAX,
)
SCALES: tuple[float, ...] = tuple(float(np.float32(scale)) for scale in _SCALES)
USUAL_SCALES: tuple[float, ...] = (float(np.float32(0.1)), 2.0**-7, 2.0**-101, 2.0**101)

# Around each switch: two products (levels below 512), saturating int16 (2^14), float32 integers (2^22, 2^24).
_MAGNITUDES = (
    *(0, 1, 3, 127, 128, 129, 254, 255, 256, 257, 258, 383, 384, 385, 386, 511, 512, 513, 639, 640),
    *(16000, 16383, 16384, 16385, 32511, 32512, 32767, 32768, 32769, 65536),
    *(2**22 - 1, 2**22, 2**22 + 1, 2**23 + 1, 2**24 - 1, 2**24, 2**24 + 1, 2**24 + 255),
    *(2**30, 2**31 - 256, INT32_MAX),
)
ZERO_POINTS: tuple[int, ...] = tuple(sorted({*_MAGNITUDES, *(-m for m in _MAGNITUDES), INT32_MIN}))
USUAL_ZERO_POINTS: tuple[int, ...] = (0, -1, 3, 128, -384, 512, -16384, 16385, -(2**24) - 1, INT32_MAX, INT32_MIN)

OFFSETS: tuple[float, ...] = (0.0, -0.0, 10.0, -0.3, 1e-45, 2.0**-126, -1e30, FLT_MAX, -FLT_MAX)


def real_dtype(name: str) -> np.dtype[Any]:
    return np.dtype(getattr(ml_dtypes, name, name))


def codes_of(dtype: str) -> np.ndarray:
    """Every code of a type."""
    if dtype in FLOAT_TYPES:
        return np.arange(1 << BITS[dtype], dtype=np.uint8).view(real_dtype(dtype))
    lowest, highest = CODE_TYPES[dtype]
    return np.arange(lowest, highest + 1).astype(real_dtype(dtype))


def boundary_f32() -> np.ndarray:
    """Every exponent x significands at the ends and in the middle x both signs: zeros, subnormals, infinities, and NaN
    of both kinds and signs with various payloads among them."""
    mantissas = (0, 1, 2, 0x3FFFFF, 0x400000, 0x400001, 0x555555, 0x7FFFFE, 0x7FFFFF)
    exponents = np.arange(256, dtype=np.uint32) << 23
    bits = np.concatenate([exponents | mantissa for mantissa in mantissas])
    return np.concatenate([bits, bits | 0x80000000]).astype(np.uint32).view(np.float32)


def boundary_f64() -> np.ndarray:
    mantissas = (0, 1, 0x7FFFFFFFFFFFF, 0x8000000000000, 0xFFFFFFFFFFFFF)
    exponents = np.arange(2048, dtype=np.uint64) << 52
    bits = np.concatenate([exponents | mantissa for mantissa in mantissas])
    return np.concatenate([bits, bits | np.uint64(1 << 63)]).astype(np.uint64).view(np.float64)


def neighbours(x: np.ndarray, ulps: int = 2) -> np.ndarray:
    """x and the floats up to so many steps from each of its elements."""
    found = [x]
    up = down = x
    with np.errstate(all="ignore"):
        for _ in range(ulps):
            up, down = np.nextafter(up, x.dtype.type(np.inf)), np.nextafter(down, x.dtype.type(-np.inf))
            found += [up, down]
    return np.concatenate(found)


def ties(dtype: str, scale: float, zero_point: int, real: str) -> np.ndarray:
    """Inputs at and next to the points where the code changes, two levels beyond the code type's range included. Of
    codes of 16 bits, which test_division.py tries all of, those next to the ends and to zero and some between."""
    far = np.array([32767, 32768, 32769, 65536, 2.0**22, 2.0**31, 2.0**32, 2.0**63])
    if dtype in FLOAT_TYPES:
        values = codes_of(dtype).astype(np.float64)
        values = np.unique(values[np.isfinite(values)])
        middles = (values[1:] + values[:-1]) / 2
        beyond = values[-1] + (values[-1] - values[-2]) * np.array([0.25, 0.5, 0.75, 1])
        levels = np.concatenate([values, middles, beyond, -beyond])
    else:
        lowest, highest = CODE_TYPES[dtype]
        levels = np.arange(lowest - 2, highest + 3, dtype=np.float64)
        if highest - lowest > 1000:
            levels = np.unique(np.concatenate([levels[:70], levels[-70:], np.arange(-70.0, 70), levels[::4093]]))
        levels = np.concatenate([levels + 0.5, levels]) - zero_point
    with np.errstate(all="ignore"):
        return neighbours((np.concatenate([levels, far, -far]) * scale).astype(real_dtype(real)))


def hard_values(real: str, dtype: str, scale: float, zero_point: int) -> np.ndarray:
    boundary = boundary_f64() if real == "float64" else boundary_f32() if real == "float32" else every_half(real)[::7]
    return np.concatenate([boundary, ties(dtype, scale, zero_point, real)])


def every_half(real: str) -> np.ndarray:
    """All 65536 values of float16 or bfloat16."""
    return np.arange(1 << 16, dtype=np.uint32).astype(np.uint16).view(real_dtype(real))


def pool(kernel: str, real: str, dtype: str, scale: float, zero_point: int, n: int, seed: int = 0) -> np.ndarray:
    """n ordinary inputs, some saturating, few alike: a result in the wrong place shows."""
    rng = np.random.default_rng(seed)
    if kernel == "dequantize":
        if dtype == "int32":
            return rng.integers(INT32_MIN, INT32_MAX, n, dtype=np.int32, endpoint=True)
        return rng.choice(codes_of(dtype), n)
    if dtype in FLOAT_TYPES:
        levels = rng.choice([-1.3, 1.3], n) * FLOAT_TYPES[dtype] * np.exp2(-rng.uniform(0, 1.3 * BITS[dtype], n))
    else:
        lowest, highest = CODE_TYPES[dtype]
        margin = (highest - lowest) / 6 + 1
        levels = rng.uniform(lowest - zero_point - margin, highest - zero_point + margin, n)
    with np.errstate(all="ignore"):
        return (levels * scale).astype(real_dtype(real))


def positions(n: int) -> Iterator[tuple[int, int]]:
    """(length, position) for every length up to n and every position in it."""
    return ((length, i) for length in range(1, n + 1) for i in range(length))


# ---- exact comparison ----


def bits(a: Any) -> np.ndarray:
    """The bytes of an array's elements, in logical order, as integers."""
    a = np.ascontiguousarray(a)
    return a.reshape(-1).view(f"u{a.dtype.itemsize}")


def assert_same(got: Any, expected: Any, x: Any = None, what: Any = "") -> None:
    """Same type, shape and bits: -0 is not +0."""
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.dtype == expected.dtype, f"{what}: {got.dtype}, expected {expected.dtype}"
    assert got.shape == expected.shape, f"{what}: {got.shape}, expected {expected.shape}"
    differ = np.flatnonzero(bits(got) != bits(expected))
    if differ.size:
        i = int(differ[0])
        source = "" if x is None else f" of {float(np.asarray(x).reshape(-1)[i]).hex()}"
        raise AssertionError(
            f"{what}: {differ.size} of {got.size} differ, first at {i}: {got.reshape(-1)[i]}{source}, "
            f"expected {expected.reshape(-1)[i]}"
        )
