"""Range statistics: every position matters, and nothing finite is refused."""

from __future__ import annotations

import numpy as np
import pytest
from many_threads import on_threads
from values import assert_same, boundary_f32, boundary_f64, every_half, positions, real_dtype

import fastquant as fq
from fastquant import _kernels, _reference, cpu

LONGEST = 130
LARGEST = {"float32": float(np.finfo(np.float32).max), "float64": float(np.finfo(np.float64).max)}
REALS = ["float32", "float64"]


@pytest.mark.parametrize("real", REALS)
def test_extremes_at_every_position(target, real):
    x = np.empty(LONGEST, real)
    for length, i in positions(LONGEST):
        x[:length] = 1.0
        x[i] = 2.0
        assert fq.minmax(x[:length]) == (1.0 if length > 1 else 2.0, 2.0), (length, i)
        x[i] = -3.0
        assert fq.minmax(x[:length]) == (-3.0, 1.0 if length > 1 else -3.0), (length, i)


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf])
def test_not_finite_at_every_position(target, real, bad):
    x = np.linspace(-1, 1, LONGEST, dtype=real)
    for length, i in positions(LONGEST):
        if length % 7 and length > 40:
            continue
        kept, x[i] = x[i], bad
        with pytest.raises(ValueError, match=rf"^x: got {np.dtype(real).type(bad)} at index {i},"):
            fq.minmax(x[:length])
        x[i] = kept
        fq.minmax(x[:length])


@pytest.mark.parametrize("real", REALS)
def test_every_nan(target, real):
    boundary = boundary_f32() if real == "float32" else boundary_f64()
    for nan in boundary[np.isnan(boundary)]:
        for i in (0, 31, 32, 66):
            x = np.ones(67, real)
            x[i : i + 1] = np.array([nan]).view(real)
            with pytest.raises(ValueError, match="nan"):
                fq.minmax(x)


@pytest.mark.parametrize("real", ["float16", "bfloat16"])
def test_every_nan_of_a_half(target, real):
    """Without a warning: signaling ones are no invalid operation of the caller's."""
    x = every_half(real)
    with np.errstate(invalid="ignore"):
        nans = x[np.isnan(x)].view(np.uint16)
    for nan in nans:
        with pytest.raises(ValueError, match="x: got nan at index 1,"):
            fq.minmax(np.array([0, nan], np.uint16).view(real_dtype(real)))


def test_signalling_nan_keeps_its_bits_in_this_test():
    x = boundary_f32()
    assert (x[np.isnan(x)].view(np.uint32) & 0x400000 == 0).any()


@pytest.mark.parametrize("length", [1, 7, 8, 16, 31, 32, 33, 63, 64, 65, 127, 128, 1000, 16384, 40_000])
@pytest.mark.parametrize("real", REALS)
def test_sums_that_overflow_are_no_nan(target, real, length):
    """NaN is found by sums, which overflow on the way: neither infinity nor two of them may count as NaN."""
    largest = LARGEST[real]
    assert fq.minmax(np.full(length, largest, real)) == (largest, largest)
    assert fq.minmax(np.full(length, -largest, real)) == (-largest, -largest)
    for run_length in (1, 2, 4, 8, 16, 32, 64, 128):
        x = np.where(np.arange(length) // run_length % 2, -largest, largest).astype(real)
        assert fq.minmax(x) == (x.min(), largest), run_length
    halves = np.full(length, largest, real)
    halves[length // 2 :] = -largest
    assert fq.minmax(halves) == (-largest, largest if length > 1 else -largest)


@pytest.mark.parametrize("real", REALS)
def test_sums_that_overflow_along_an_axis(target, real):
    largest = LARGEST[real]
    x = np.full((200, 67), largest, real)
    x[100:] = -largest
    for axis, a in ((0, x), (1, np.ascontiguousarray(x.T)), (0, np.ascontiguousarray(x.T)), (1, x)):
        got = fq.minmax(a, axis=axis)
        expected = _reference.minmax(a, axis=axis)
        assert_same(got.lo, expected[0])
        assert_same(got.hi, expected[1])


@pytest.mark.parametrize("real", ["float32", "float64", "float16", "bfloat16"])
def test_random_windows(target, real):
    rng = np.random.default_rng(6)
    source = rng.standard_normal(3000).astype(real_dtype(real))
    for _ in range(500):
        start, length = rng.integers(0, 200), rng.integers(1, 2500)
        x = source[start : start + length]
        got, expected = fq.minmax(x), _reference.minmax(x)
        assert_same(got.lo, expected[0])
        assert_same(got.hi, expected[1])


@pytest.mark.parametrize("real", REALS)
def test_finite_boundary_values(target, real):
    boundary = boundary_f32() if real == "float32" else boundary_f64()
    finite = boundary[np.isfinite(boundary)]
    for value in finite[:: 1 if real == "float32" else 7]:
        x = np.array([value] * 9, real)
        got = fq.minmax(x)
        assert_same(got.lo, value + np.dtype(real).type(0))  # -0 + 0 is +0
        assert_same(got.hi, value + np.dtype(real).type(0))
    got = fq.minmax(finite)
    assert_same(got.lo, finite.min())
    assert_same(got.hi, finite.max())


@pytest.mark.parametrize("real", ["float16", "bfloat16"])
def test_finite_halves(target, real):
    x = every_half(real)
    x = x[np.isfinite(x.astype(np.float32))] if real == "bfloat16" else x[np.isfinite(x)]
    got = fq.minmax(x)
    assert_same(got.lo, np.float32(x.astype(np.float32).min()))
    assert_same(got.hi, np.float32(x.astype(np.float32).max()))


@pytest.mark.parametrize("real", REALS)
def test_zeros_are_positive(target, real):
    for zeros in ([0.0], [-0.0], [-0.0, 0.0], [0.0, -0.0], [-0.0] * 67, [-0.0] * 33 + [0.0] * 34):
        x = np.array(zeros, real)
        for found in (fq.minmax(x), fq.minmax(x, axis=0), fq.minmax(x.reshape(1, -1), axis=0)):
            assert not np.signbit(found.lo).any()
            assert not np.signbit(found.hi).any()
    lo, hi = fq.minmax(np.array([-0.0, 5.0, 6.0], real))
    assert (lo, hi) == (0, 6)
    assert not np.signbit(lo)


@pytest.mark.parametrize("real", REALS)
def test_subnormals(target, real):
    tiny = float(np.finfo(real).smallest_subnormal)
    assert fq.minmax(np.array([tiny, 3 * tiny] * 20, real)) == (tiny, 3 * tiny)
    assert fq.minmax(np.array([-tiny, -3 * tiny] * 20, real)) == (-3 * tiny, -tiny)


@pytest.mark.parametrize("real", REALS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 70), (70, 1), (3, 300), (300, 3), (5, 7, 11), (2, 1, 600), (1, 600, 2)])
def test_axes(target, real, shape):
    x = np.random.default_rng(7).standard_normal(shape).astype(real)
    for axis in range(-len(shape), len(shape)):
        got, expected = fq.minmax(x, axis=axis), _reference.minmax(x, axis=axis)
        assert_same(got.lo, expected[0], what=axis)
        assert_same(got.hi, expected[1], what=axis)
        for index in ((0,) * len(shape), tuple(n - 1 for n in shape)):
            poisoned = x.copy()
            poisoned[index] = np.nan
            with pytest.raises(ValueError, match="x: got nan"):
                fq.minmax(poisoned, axis=axis)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("piece", [1, 32, 70, 1 << 20])
def test_a_second_pass_backwards(target, stores, threads, piece):
    """quantize_dynamic begins at the end of what does not fit the caches: every element once, wherever pieces end."""
    rng = np.random.default_rng(piece)
    usual = _kernels.set_piece(piece)
    try:
        with on_threads(threads):
            for n in (1, 2, 69, 70, 71, 140, 1000, 4097):
                x = rng.standard_normal(n).astype(np.float32)
                expected = _reference.quantize_dynamic(x, "uint8", symmetric=False)
                for out in (None, np.empty(n, np.uint8)):
                    got = fq.quantize_dynamic(x, "uint8", symmetric=False, out=out)
                    assert_same(got.q, expected[0], what=(n, out is None))
    finally:
        assert _kernels.set_piece(usual) == piece


def test_cache_sizes(tmp_path):
    """The largest that the system tells, where it tells any."""
    assert cpu._last_level_cache(tmp_path) >= 1 << 20
    for index, text in enumerate(["32K\n", "999999999K\n", "", "?\n"]):
        (tmp_path / f"index{index}").mkdir()
        (tmp_path / f"index{index}" / "size").write_text(text)
    assert cpu._last_level_cache(tmp_path) == 999999999 << 10
