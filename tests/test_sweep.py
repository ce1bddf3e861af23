"""A strided sweep of all float32 bit patterns, through every target, against the reference and each other.

The stride is odd, so every combination of low bits occurs; 2^22 patterns in all.
"""

from __future__ import annotations

import numpy as np
import pytest
from calls import reference, run
from values import assert_same

import fastquant as fq

COUNT = 1 << 22
STRIDE = 1021  # an odd number a little below 2^32 / COUNT

PAIRS = [
    # scale, zero point, code type: two products for both types, one product, division for each of its reasons, far
    (float(np.float32(0.0787401)), 0, "int8"),
    (float(np.float32(3.0517e-5)), 131, "uint8"),
    (2.0**-4, -17, "int8"),
    (1.7e-33, 0, "int8"),
    (1.3, -5000, "uint8"),
    (0.37, 1_000_003, "int8"),
]


def patterns(start: int) -> np.ndarray:
    return (np.arange(COUNT, dtype=np.uint32) * np.uint32(STRIDE) + np.uint32(start)).view(np.float32)


@pytest.mark.parametrize("kernel", ["quantize", "fake_quantize"])
@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_sweep(pair, kernel):
    scale, zero_point, code = pair
    x = patterns(PAIRS.index(pair) * 131)
    expected = reference(kernel, x, scale, zero_point, code, "float32")
    results = {}
    for name in fq.cpu.available():
        with fq.cpu.use(name):
            results[name] = run(kernel, x, scale, zero_point, code, "float32")
    for name, result in results.items():
        assert_same(result, expected, x, name)
    first, *others = results.values()
    for result in others:
        assert first.tobytes() == result.tobytes()


def test_float64_patterns(target):
    rng = np.random.default_rng(12)
    x = rng.integers(0, 1 << 64, 1 << 18, dtype=np.uint64).view(np.float64)
    for scale, zero_point in ((0.1, 3), (1e-200, 100_000)):
        for kernel in ("quantize", "fake_quantize"):
            expected = reference(kernel, x, scale, zero_point, "int8", "float64")
            assert_same(run(kernel, x, scale, zero_point, "int8", "float64"), expected, x, (kernel, scale))
