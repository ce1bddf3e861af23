"""Every value of the types that have few: all numbers of float16 and bfloat16 to every code type, all codes of every
type to every real type, all packed bytes, and float32 and float64 at every point where a small float changes.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from calls import reference, run
from matrix import CODES, PACKED, TYPES, dtype_of, stored
from values import FLOAT_TYPES, REAL_TYPES, assert_same, every_half, neighbours

import fastquant as fq
from fastquant import _reference

# A subnormal, a significand of all ones, a power of two, one that takes float32 to its end, and two usual ones.
SCALES = [
    float(np.float32(scale)) for scale in (5 * 2.0**-149, 2.0**-9 * (2 - 2.0**-23), 2.0**-4, 2.0**126 * 1.7, 0.1, 1.0)
]


def all_codes(code: str) -> np.ndarray:
    """Also those with bits set that do not count. Of int32: what is next to powers of two, and much between."""
    if code == "int32":
        powers = np.left_shift(1, np.arange(31))
        found = np.concatenate([powers, powers - 1, powers + 1, np.arange(0, 2**31, 2**31 // 9973)]).clip(0, 2**31 - 1)
        return np.concatenate([found, -found, [-(2**31)]]).astype(np.int32)
    return np.arange(1 << 8 * dtype_of(code).itemsize).astype(stored(code)).view(dtype_of(code))


def zero_point_of(code: str, i: int) -> int:
    return 0 if TYPES[code][4] else (0, -3, 1, 7, 20_000, 100)[i]


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("real", ["float16", "bfloat16"])
def test_all_halves_to_codes(real, code):
    x = every_half(real)
    for i, scale in enumerate(SCALES):
        zero_point = zero_point_of(code, i)
        for options in ({}, {"saturate": False}) if TYPES[code][4] else ({},):
            expected = reference("quantize", x, scale, zero_point, code, real, **options)
            for target in fq.cpu.available():
                with fq.cpu.use(target):
                    got = run("quantize", x, scale, zero_point, code, real, **options)
                assert_same(got, expected, x, (target, scale, options))


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("real", ["float16", "bfloat16"])
def test_all_halves_to_halves(target, real, code):
    """fake_quantize, with another scale for each of the rows."""
    x = np.stack([every_half(real)] * 3)
    scale = np.array([0.1, 2.0**-4, 3e-5], np.float32)
    zero_point = 0 if TYPES[code][4] else np.array([0, 3, -2], np.int32)
    expected = reference("fake_quantize", x, scale, zero_point, code, real, axis=0)
    assert_same(run("fake_quantize", x, scale, zero_point, code, real, axis=0), expected, x)


@pytest.mark.parametrize("code", [*CODES, "int32"])
@pytest.mark.parametrize("real", REAL_TYPES)
def test_all_codes_to_reals(target, real, code):
    q = all_codes(code)
    for i, scale in enumerate(SCALES):
        zero_point = zero_point_of(code, i)
        expected = reference("dequantize", q, scale, zero_point, code, real)
        assert_same(run("dequantize", q, scale, zero_point, code, real), expected, None, scale)
    expected = reference("dequantize", q, 0.3, 0, code, real, offset=-0.7)
    assert_same(run("dequantize", q, 0.3, 0, code, real, offset=-0.7), expected)


@pytest.mark.parametrize("code", FLOAT_TYPES)
@pytest.mark.parametrize("real", REAL_TYPES)
def test_values_of_float_codes_are_those_of_ml_dtypes(target, real, code):
    q = all_codes(code)[: 1 << TYPES[code][3]]
    assert_same(fq.dequantize(q, 1.0, dtype=real), q.astype(np.float32).astype(dtype_of(real)))


@pytest.mark.parametrize("code", PACKED)
def test_all_packed_bytes(target, code):
    p = np.arange(256, dtype=np.uint8)
    each = 8 // TYPES[code][3]
    q = _reference.unpack(p, code)
    assert_same(fq.unpack(p, code, (256 * each,)), q)
    assert_same(fq.pack(q), p)
    for real in REAL_TYPES:
        expected = reference("dequantize", q, 0.3, 0, code, real)
        assert_same(fq.dequantize(p, 0.3, packed=code, dtype=real), expected)


def points_of_change(code: str, real: Any) -> np.ndarray:
    """All values of a float type, all middles between them, and the numbers next to these; beyond its end too."""
    largest = FLOAT_TYPES[code]
    with np.errstate(invalid="ignore"):
        values = np.unique(all_codes(code)[: 1 << TYPES[code][3]].astype(np.float64))
    values = values[np.isfinite(values)]
    values = np.append(values, [largest * (2 if TYPES[code][3] < 5 else 1.125), 2 * largest])
    middles = (values[1:] + values[:-1]) / 2
    return neighbours(np.concatenate([values, middles, -values, -middles, [0.0, -0.0]]).astype(real), 3)


@pytest.mark.parametrize("code", FLOAT_TYPES)
@pytest.mark.parametrize("real", ["float32", "float64"])
def test_float_codes_change_where_they_should(target, real, code):
    x = points_of_change(code, real)
    for scale in (1.0, 2.0**-30, 2.0**30, 0.1):
        scaled = neighbours((x.astype(np.float64) * np.float64(np.float32(scale))).astype(real), 1)
        for saturate in (True, False):
            expected = reference("quantize", scaled, np.float32(scale), 0, code, real, saturate=saturate)
            got = fq.quantize(scaled, np.float32(scale), dtype=code, saturate=saturate)
            assert_same(got, expected, scaled, (scale, saturate))


@pytest.mark.parametrize("code", FLOAT_TYPES)
def test_float_codes_are_casts_of_ml_dtypes(target, code):
    """Where both say the same: from float32 (from float64 ml_dtypes rounds twice), within the finite range."""
    x = points_of_change(code, np.float32)
    random = np.random.default_rng(8).integers(0, 1 << 32, 200_000, dtype=np.uint32).view(np.float32)
    with np.errstate(invalid="ignore"):  # signalling NaN, which some machines report
        halves = [every_half(name).astype(np.float32) for name in ("float16", "bfloat16")]
    for values in (x, random, *halves):
        with np.errstate(invalid="ignore"):
            finite = values[np.abs(values) <= FLOAT_TYPES[code]]
        assert finite.size
        assert_same(fq.quantize(finite, 1.0, dtype=code), finite.astype(dtype_of(code)), finite)


def test_types_of_other_sizes_are_all_here():
    """A new code type is tested above without being named; this one says which there are."""
    names = {"int8", "uint8", "int16", "uint16", *PACKED, *FLOAT_TYPES}
    assert set(CODES) == names
    assert {ml_dtypes.finfo(dtype_of(name)).bits for name in FLOAT_TYPES} == {8, 6, 4}
