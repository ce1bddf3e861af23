"""Every length and alignment: from nothing to four vectors and one element, wherever input and output begin.

Results land in the middle of a buffer of known bytes, which is compared as a whole: an element left out, written twice,
shifted or written outside shows. What is read outside shows in test_guard_pages.py.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from calls import out_dtype, reference, run
from values import CODE_TYPES, KERNELS, pool

import fastquant as fq

LONGEST = 4 * 32 + 2  # four vectors of the widest kind of bytes, and a bit
CANARY = 0xA5

# Each way of dividing, and the path of far zero points.
PARAMETERS = {
    "two products": (0.1, 3),
    "one product": (2.0**-7, -5),
    "division, large levels": (0.1, -700),
    "division, small scale": (2.0**-110 * 1.3, 0),
    "far": (0.1, 100_000),
}

# Distances from an aligned address, in elements, of (input, output).
OFFSETS = [(i, (7 * i) % 64) for i in range(32)] + [(3, i) for i in range(64)]


def aligned(nbytes: int, fill: int = CANARY) -> np.ndarray:
    """Bytes that begin at a multiple of 64."""
    raw = np.full(nbytes + 64, fill, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + nbytes]


class Canaries:
    """A buffer of known bytes, windows of which are given to kernels as `out`."""

    def __init__(self, dtype: np.dtype[Any], longest: int = LONGEST + 64) -> None:
        self.dtype = dtype
        self.buffer = aligned((longest + 64) * dtype.itemsize)
        self.typed = self.buffer.view(dtype)
        self.expected = self.buffer.copy()
        self.expected_typed = self.expected.view(dtype)

    def window(self, start: int, length: int) -> np.ndarray:
        return self.typed[start : start + length]

    def check(self, start: int, length: int, results: np.ndarray, what: Any) -> None:
        """Only the window changed, and it holds the results. Everything is as before afterwards."""
        self.expected_typed[start : start + length] = results
        if self.buffer.tobytes() != self.expected.tobytes():
            wrong = np.flatnonzero(self.buffer != self.expected) // self.dtype.itemsize - start
            raise AssertionError(f"{what}: wrong at elements {wrong[:20]} of {length}")
        self.buffer[:] = CANARY
        self.expected[:] = CANARY


def in_aligned_memory(x: np.ndarray) -> np.ndarray:
    copy = aligned(x.nbytes).view(x.dtype)
    copy[:] = x
    copy.flags.writeable = False
    return copy


@pytest.mark.parametrize("parameters", PARAMETERS)
@pytest.mark.parametrize("code", CODE_TYPES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_float32(target, stores, kernel, code, parameters):
    scale, zero_point = PARAMETERS[parameters]
    source = in_aligned_memory(pool(kernel, "float32", code, scale, zero_point, LONGEST + 32))
    expected = reference(kernel, source, scale, zero_point, code, "float32")
    out = Canaries(out_dtype(kernel, code, "float32"))
    for length in range(LONGEST + 1):
        for a, b in OFFSETS:
            x = source[a : a + length]
            result = run(kernel, x, scale, zero_point, code, "float32", out=out.window(b, length))
            assert result.size == length
            out.check(b, length, expected[a : a + length], (length, a, b))


@pytest.mark.parametrize("code", CODE_TYPES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_float64(target, stores, kernel, code):
    scale, zero_point = 0.1, 3
    source = in_aligned_memory(pool(kernel, "float64", code, scale, zero_point, LONGEST + 32))
    expected = reference(kernel, source, scale, zero_point, code, "float64")
    out = Canaries(out_dtype(kernel, code, "float64"))
    for length in range(LONGEST + 1):
        for a, b in OFFSETS[::8]:
            run(kernel, source[a : a + length], scale, zero_point, code, "float64", out=out.window(b, length))
            out.check(b, length, expected[a : a + length], (length, a, b))


@pytest.mark.parametrize("real", ["float32", "float64"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_offset(target, stores, kernel, real):
    """A real offset is a path of its own in the lane bodies."""
    source = in_aligned_memory(pool(kernel, real, "int8", 0.1, 0, LONGEST + 32))
    expected = reference(kernel, source, 0.1, 0, "int8", real, offset=-0.7)
    out = Canaries(out_dtype(kernel, "int8", real))
    for length in range(LONGEST + 1):
        for a, b in ((0, 0), (5, 9), (31, 3)):
            x = source[a : a + length]
            run(kernel, x, 0.1, 0, "int8", real, offset=-0.7, out=out.window(b, length))
            out.check(b, length, expected[a : a + length], (length, a, b))


@pytest.mark.parametrize("real", ["float32", "float64"])
@pytest.mark.parametrize("parameters", PARAMETERS)
def test_fake_quantize_in_place(target, stores, parameters, real):
    scale, zero_point = PARAMETERS[parameters]
    source = pool("fake_quantize", real, "int8", scale, zero_point, LONGEST)
    expected = reference("fake_quantize", source, scale, zero_point, "int8", real)
    out = Canaries(np.dtype(real))
    for length, start in itertools.product(range(LONGEST + 1), range(0, 32, 3)):
        x = out.window(start, length)
        x[:] = source[:length]
        assert fq.fake_quantize(x, scale, zero_point, out=x) is x
        out.check(start, length, expected[:length], (length, start))


LONG = [255, 256, 257, 511, 512, 513, 1000, 4095, 4096, 4097, 16383, 16384, 16385, 100_003]


@pytest.mark.parametrize("length", LONG)
@pytest.mark.parametrize("real", ["float32", "float64"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_longer_runs(target, stores, kernel, real, length):
    """Beyond the portable loops' chunk, and beyond the length from which the GIL is released."""
    source = pool(kernel, real, "uint8", 0.1, 128, length + 5)
    expected = reference(kernel, source, 0.1, 128, "uint8", real)
    out = Canaries(out_dtype(kernel, "uint8", real), length + 64)
    for a, b in ((0, 0), (1, 5), (5, 1)):
        run(kernel, source[a : a + length], 0.1, 128, "uint8", real, out=out.window(b, length))
        out.check(b, length, expected[a : a + length], (length, a, b))


SPECIAL = {
    "float32": [
        0x7F800000,
        0xFF800000,
        0x7FC00000,
        0xFFC00000,
        0x7F800001,
        0xFFBFFFFF,
        0x80000000,
        0x00000001,
        0xFF7FFFFF,
    ],
    "float64": [0x7FF << 52, 0xFFF << 52, 0x7FF8 << 48, (0x7FF << 52) + 1, 1 << 63, 1, (0xFFF << 52) - 1],
}


@pytest.mark.parametrize("parameters", PARAMETERS)
@pytest.mark.parametrize("real", ["float32", "float64"])
@pytest.mark.parametrize("kernel", ["quantize", "fake_quantize"])
def test_special_values_at_every_position(target, kernel, real, parameters):
    """Infinities, quiet and signalling NaN, -0, a subnormal, the lowest float: each among ordinary neighbours."""
    scale, zero_point = PARAMETERS[parameters]
    length = 67
    ordinary = pool(kernel, real, "int8", scale, zero_point, length)
    for pattern in SPECIAL[real]:
        x = np.repeat(ordinary[None], length, axis=0)
        unsigned = f"u{x.itemsize}"
        x.view(unsigned)[np.arange(length), np.arange(length)] = pattern
        expected = reference(kernel, x, scale, zero_point, "int8", real)
        for i in range(length):
            got = run(kernel, x[i], scale, zero_point, "int8", real)
            assert got.tobytes() == expected[i].tobytes(), f"{pattern:#x} at {i}"
