"""Every length and alignment: from nothing to four vectors and one element, wherever input and output begin.

Results land in the middle of a buffer of known bytes, which is compared as a whole: an element left out, written twice,
shifted or written outside shows. What is read outside shows in test_guard_pages.py. Here a call is one run; several are
in test_span_tiles.py.
"""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest
from buffers import Canaries, in_aligned_memory
from calls import out_dtype, reference, run
from values import ELEMENTWISE, FLOAT_TYPES, KERNELS, REAL_TYPES, pool, real_dtype

import fastquant as fq

LONGEST = 4 * 32 + 2  # four vectors of the widest kind of bytes, and a bit

# Each way of dividing, and the path of far zero points.
PARAMETERS = {
    "two products": (0.1, 3),
    "one product": (2.0**-7, -5),
    "division, large levels": (0.1, -700),
    "division, small scale": (2.0**-110 * 1.3, 0),
    "far": (0.1, 100_000),
}
# One code type of each kind that divides or narrows in its own way.
KINDS = ("int8", "uint8", "int16", "uint16", "int4")

# Distances from an aligned address, in elements, of (input, output).
OFFSETS = [(i, (7 * i) % 64) for i in range(32)] + [(3, i) for i in range(64)]
FEW_OFFSETS = [(0, 0), (1, 7), (5, 0), (8, 8), (15, 1), (31, 3), (2, 60), (3, 33)]


@functools.lru_cache(maxsize=4)  # tests of the same case follow each other
def case(
    kernel: str, real: str, code: str, scale: float, zero_point: int, n: int, offset: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    source = in_aligned_memory(pool(kernel, real, code, scale, zero_point, n))
    return source, reference(kernel, source, scale, zero_point, code, real, offset=offset)


@pytest.mark.parametrize("parameters", PARAMETERS)
@pytest.mark.parametrize("code", KINDS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_every_offset(target, stores, kernel, code, parameters):
    scale, zero_point = PARAMETERS[parameters]
    source, expected = case(kernel, "float32", code, scale, zero_point, LONGEST + 32)
    out = Canaries(out_dtype(kernel, code, "float32"), LONGEST + 128)
    for length in range(LONGEST + 1):
        for a, b in OFFSETS[length % 2 :: 2]:
            x, window = source[a : a + length], slice(b, b + length)
            result = run(kernel, x, scale, zero_point, code, "float32", out=out.typed[window])
            assert result.size == length
            out.check(window, expected[a : a + length], (length, a, b))


@pytest.mark.parametrize(("kernel", "real", "code"), ELEMENTWISE)
def test_every_type(target, stores, kernel, real, code):
    scale, zero_point = 0.1, 0 if code in FLOAT_TYPES else 3
    source, expected = case(kernel, real, code, scale, zero_point, LONGEST + 32)
    out = Canaries(out_dtype(kernel, code, real), LONGEST + 128)
    for length in range(LONGEST + 1):
        for a, b in FEW_OFFSETS:
            window = slice(b, b + length)
            run(kernel, source[a : a + length], scale, zero_point, code, real, out=out.typed[window])
            out.check(window, expected[a : a + length], (length, a, b))


@pytest.mark.parametrize("code", ["int8", "uint16", "uint2", "float8_e4m3fn"])
@pytest.mark.parametrize("real", REAL_TYPES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_offset(target, stores, kernel, real, code):
    """A real offset is a path of its own in the lane bodies."""
    source, expected = case(kernel, real, code, 0.1, 0, LONGEST + 32, -0.7)
    out = Canaries(out_dtype(kernel, code, real), LONGEST + 128)
    for length in range(LONGEST + 1):
        for a, b in ((0, 0), (5, 9), (31, 3)):
            window = slice(b, b + length)
            run(kernel, source[a : a + length], 0.1, 0, code, real, offset=-0.7, out=out.typed[window])
            out.check(window, expected[a : a + length], (length, a, b))


@pytest.mark.parametrize("code", ["int8", "int16", "float8_e4m3fn"])
@pytest.mark.parametrize("real", REAL_TYPES)
@pytest.mark.parametrize("parameters", PARAMETERS)
def test_fake_quantize_in_place(target, stores, parameters, real, code):
    scale, zero_point = PARAMETERS[parameters]
    if code in FLOAT_TYPES:
        zero_point = 0
    source, expected = case("fake_quantize", real, code, scale, zero_point, LONGEST)
    out = Canaries(real_dtype(real), LONGEST + 128)
    for length, start in itertools.product(range(LONGEST + 1), range(0, 32, 5)):
        window = slice(start, start + length)
        x = out.typed[window]
        x[:] = source[:length]
        assert fq.fake_quantize(x, scale, zero_point, dtype=code, out=x) is x
        out.check(window, expected[:length], (length, start))


LONG = [255, 256, 257, 511, 512, 513, 1000, 4095, 4096, 4097, 16383, 16384, 16385, 100_003]


@pytest.mark.parametrize("length", LONG)
@pytest.mark.parametrize("code", ["uint8", "int16", "int2", "float8_e5m2"])
@pytest.mark.parametrize("real", REAL_TYPES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_longer_runs(target, stores, kernel, real, code, length):
    """Beyond the portable loops' chunk, and beyond the length from which the GIL is released."""
    zero_point = 128 if code == "uint8" else 0
    source, expected = case(kernel, real, code, 0.1, zero_point, length + 5)
    out = Canaries(out_dtype(kernel, code, real), length + 64)
    for a, b in ((0, 0), (1, 5), (5, 1)):
        window = slice(b, b + length)
        run(kernel, source[a : a + length], 0.1, zero_point, code, real, out=out.typed[window])
        out.check(window, expected[a : a + length], (length, a, b))


# Infinities, quiet and signalling NaN, -0, a subnormal, the lowest number.
SPECIAL = {
    "float32": [
        *(0x7F800000, 0xFF800000, 0x7FC00000, 0xFFC00000, 0x7F800001, 0xFFBFFFFF),
        *(0x80000000, 0x00000001, 0xFF7FFFFF),
    ],
    "float64": [0x7FF << 52, 0xFFF << 52, 0x7FF8 << 48, (0x7FF << 52) + 1, 1 << 63, 1, (0xFFF << 52) - 1],
    "float16": [0x7C00, 0xFC00, 0x7E00, 0xFE00, 0x7C01, 0xFDFF, 0x8000, 0x0001, 0xFBFF],
    "bfloat16": [0x7F80, 0xFF80, 0x7FC0, 0xFFC0, 0x7F81, 0xFFBF, 0x8000, 0x0001, 0xFF7F],
}


@pytest.mark.parametrize("parameters", PARAMETERS)
@pytest.mark.parametrize("code", ["int8", "uint16", "uint4", "float8_e4m3fn", "float8_e5m2fnuz", "float4_e2m1fn"])
@pytest.mark.parametrize("real", REAL_TYPES)
@pytest.mark.parametrize("kernel", ["quantize", "fake_quantize"])
def test_special_values_at_every_position(target, kernel, real, code, parameters):
    """Each among ordinary neighbours."""
    scale, zero_point = PARAMETERS[parameters]
    if code in FLOAT_TYPES:
        zero_point = 0
    length = 67
    ordinary = pool(kernel, real, code, scale, zero_point, length)
    for pattern in SPECIAL[real]:
        x = np.repeat(ordinary[None], length, axis=0)
        x.view(f"u{x.itemsize}")[np.arange(length), np.arange(length)] = pattern
        expected = reference(kernel, x, scale, zero_point, code, real)
        for i in range(length):
            got = run(kernel, x[i], scale, zero_point, code, real)
            assert got.tobytes() == expected[i].tobytes(), f"{pattern:#x} at {i}"
