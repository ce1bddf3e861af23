"""One set of parameters for each index of an axis: rows and columns, for every kernel, type and target."""

from __future__ import annotations

import math

import numpy as np
import pytest
from calls import reference, run
from values import CODE_TYPES, FLOAT_TYPES, INT32_MAX, INT32_MIN, KERNELS, assert_same, codes_of, real_dtype

import fastquant as fq
from fastquant import _reference

# Short and long runs, columns beyond the portable loops' chunk of 256, axes of length 1.
SHAPES = [
    (1,),
    (7,),
    (257,),
    (1, 1),
    (1, 70),
    (70, 1),
    (3, 67),
    (67, 3),
    (5, 513),
    (2, 1000),
    (1000, 2),
    (2, 3, 5),
    (4, 1, 33),
    (3, 300, 1),
    (2, 2, 2, 9),
]

# near: all lane paths apply; far: one zero point too many for them; mixed: both in one call.
ZERO_POINTS = {
    "none": [0],
    "near": [0, 3, -5, 127, 255, -128, 400, -16384, 16384],
    "near for 16 bits": [32768, -32768, 65536, -65536, 0, 16385],
    "far": [2**20, 0, -3, INT32_MAX, INT32_MIN, 2**24 + 1, 65537, -65537],
}
SCALES = [0.1, 2.0**-7, 1.7, 2.0**-110, 1e-10, 2.0**104, 3.0]


def parameters(n: int, zero_points: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """n different sets, so that one taken from a neighbour shows."""
    scale = np.array([SCALES[i % len(SCALES)] * (1 + i / 64) for i in range(n)], np.float32)
    return scale, np.array([zero_points[i % len(zero_points)] for i in range(n)], np.int32)


def inputs(
    kernel: str, real: str, code: str, shape: tuple[int, ...], scale: np.ndarray, zero_point: np.ndarray, axis: int
) -> np.ndarray:
    rng = np.random.default_rng(math.prod(shape))
    if kernel == "dequantize":
        return rng.choice(codes_of(code), shape)
    lowest, highest = CODE_TYPES[code]
    along = [1] * len(shape)
    along[axis] = -1
    levels = rng.uniform(lowest - 20, highest + 20, shape) - zero_point.reshape(along).astype(np.float64)
    with np.errstate(all="ignore"):
        x = (levels * scale.reshape(along).astype(np.float64)).astype(real_dtype(real))
    x.flat[:: max(1, x.size // 3)] = np.nan
    return x


@pytest.mark.parametrize("zero_points", ZERO_POINTS)
@pytest.mark.parametrize("real", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("code", CODE_TYPES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_kernels(target, kernel, code, real, zero_points):
    for shape in SHAPES:
        for axis in range(len(shape)):
            scale, zero_point = parameters(shape[axis], ZERO_POINTS[zero_points])
            x = inputs(kernel, real, code, shape, scale, zero_point, axis)
            expected = reference(kernel, x, scale, zero_point, code, real, axis=axis)
            got = run(kernel, x, scale, zero_point, code, real, axis=axis)
            assert_same(got, expected, x, (shape, axis))
            assert_same(
                run(kernel, x, scale, zero_point, code, real, axis=axis - len(shape)), expected, x, (shape, axis)
            )


@pytest.mark.parametrize("kernel", KERNELS)
def test_streaming(target, stores, kernel):
    """Rows that begin at every alignment."""
    for columns in (33, 64, 71):
        scale, zero_point = parameters(40, ZERO_POINTS["near"])
        x = inputs(kernel, "float32", "uint8", (40, columns), scale, zero_point, 0)
        expected = reference(kernel, x, scale, zero_point, "uint8", "float32", axis=0)
        assert_same(run(kernel, x, scale, zero_point, "uint8", "float32", axis=0), expected, x, columns)


@pytest.mark.parametrize("real", ["float32", "float64"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_offsets(target, kernel, real):
    for shape, axis in (((3, 67), 0), ((3, 67), 1), ((2, 513), 1), ((2, 3, 5), 1), ((70, 1), 0)):
        scale, none = parameters(shape[axis], [0])
        offset = (np.arange(shape[axis]) - 1.3).astype(np.float32) * scale
        x = inputs(kernel, real, "int8", shape, scale, none, axis)
        expected = reference(kernel, x, scale, 0, "int8", real, axis=axis, offset=offset)
        assert_same(run(kernel, x, scale, 0, "int8", real, axis=axis, offset=offset), expected, x, (shape, axis))


@pytest.mark.parametrize("real", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("code", FLOAT_TYPES)
def test_scales_of_small_floats_that_leave_no_room_for_their_power(target, code, real):
    """Those of a row or column apart are prepared together, and one may be as far from the others as it likes."""
    codes = codes_of(code)
    huge, tiny = [2.0**k for k in range(95, 128)], [2.0**-k * 1.5 for k in range(100, 150)]
    for scales in (huge[:9], huge, tiny, [1.0, *huge], [*tiny, 0.1, *huge]):
        scale = np.float32(scales)[np.float32(scales) > 0]
        q = np.resize(codes, (len(scale), 259))
        for axis, values in ((0, q), (1, np.ascontiguousarray(q.T))):
            with np.errstate(all="ignore"):
                expected = _reference.dequantize(values, scale, 0, axis=axis, dtype=real)
            assert_same(fq.dequantize(values, scale, axis=axis, dtype=real), expected)


@pytest.mark.parametrize("kernel", KERNELS)
def test_one_value_for_all_rows(target, kernel):
    """With an axis, each parameter may still be one number."""
    shape = (5, 67)
    for axis in (0, 1):
        scale, zero_point = parameters(shape[axis], ZERO_POINTS["near"])
        x = inputs(kernel, "float32", "int8", shape, scale, zero_point, axis)
        for s, z, offset in ((0.1, zero_point, None), (scale, 3, None), (scale, 0, 0.25), (0.1, 3, None)):
            expected = reference(kernel, x, s, z, "int8", "float32", axis=axis, offset=offset)
            assert_same(run(kernel, x, s, z, "int8", "float32", axis=axis, offset=offset), expected, x, axis)


@pytest.mark.parametrize("options", [{}, {"symmetric": False}, {"symmetric": False, "narrow_range": True}])
@pytest.mark.parametrize("real", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("code", CODE_TYPES)
def test_quantize_dynamic(target, code, real, options):
    rng = np.random.default_rng(8)
    for shape in SHAPES:
        x = (rng.standard_normal(shape) * rng.choice([1e-3, 1, 50], shape)).astype(real_dtype(real))
        for axis in (None, *range(len(shape))):
            got = fq.quantize_dynamic(x, code, axis=axis, **options)
            expected = _reference.quantize_dynamic(x, code, axis=axis, **options)
            for part, wanted in zip(got, expected, strict=True):
                assert_same(part, wanted, what=(shape, axis))


def test_quantize_dynamic_of_extremes(target):
    """Ranges of zero, subnormal, and as wide as float32."""
    largest = np.finfo(np.float32).max
    for values in ([0.0], [-0.0, 0.0], [1e-45], [-1e-45, 1e-45], [1e-40, 3e-39], [largest], [-largest, largest], [5.0]):
        x = np.array(values * 20, np.float32)
        for code in CODE_TYPES:
            for symmetric in (True, False):
                got = fq.quantize_dynamic(x, code, symmetric=symmetric)
                expected = _reference.quantize_dynamic(x, code, symmetric=symmetric)
                for part, wanted in zip(got, expected, strict=True):
                    assert_same(part, wanted, what=(values, code, symmetric))


def test_quantize_dynamic_float64_range(target):
    x = np.array([-1e300, 1e300])
    with pytest.raises(ValueError, match="x: got -1e\\+300 to 1e\\+300"):
        fq.quantize_dynamic(x)
    x = np.array([-1e-300, 1e-300])
    q, scale, zero_point = fq.quantize_dynamic(x)
    assert (q.tolist(), scale, zero_point) == ([0, 0], np.float32(2.0**-126), 0)


@pytest.mark.parametrize("real", ["float32", "float64"])
@pytest.mark.parametrize("code", ["int16", "uint16"])
def test_ties_of_16_bits_with_zero_points_at_the_border(target, code, real):
    """Every code, and what lies just beside the ties between them, as far as lanes may take it."""
    lowest, highest = CODE_TYPES[code]
    codes = np.arange(lowest, highest + 1, dtype=np.float64)
    for zero_point in (-65537, -65536, -32768, 32767, 32768, 65535, 65536, 65537):
        for scale in np.float32([0.1, 1.279250979423523, 3e-5, 2.0**-9]):
            ties = (codes - zero_point + 0.5) * np.float64(scale)
            beside = [np.nextafter(ties, side) for side in (-np.inf, np.inf)]
            x = np.concatenate([ties, *beside]).astype(real)
            got = fq.quantize(x, scale, zero_point, dtype=code)
            assert_same(got, _reference.quantize(x, scale, zero_point, dtype=code), x, (zero_point, scale))
            back = fq.dequantize(got, scale, zero_point, dtype=real)
            assert_same(back, _reference.dequantize(got, scale, zero_point, dtype=real), got, (zero_point, scale))
            fake = fq.fake_quantize(x, scale, zero_point, dtype=code)
            assert_same(fake, _reference.fake_quantize(x, scale, zero_point, dtype=code), x, (zero_point, scale))
