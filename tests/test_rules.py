"""The rounding rules of other libraries: every target against the reference."""

from __future__ import annotations

import numpy as np
import pytest
from values import real_dtype

from fastquant import _kernels, _reference, _rules
from fastquant._dtypes import CODE_TYPES

INTEGERS = ("int8", "uint8", "int16", "uint16", "int4", "uint4", "int2", "uint2")
PRECISIONS = (None, "float64", "float16", "bfloat16")
SHAPE = (7, 333)
SCALES = np.array([0.1, 1 / 127, 3.0, 2.0**-7, 1.7, 2.0**-110, 40.0])
ZERO_POINTS = np.array([0, 3, -5, 128, -128, 7, 2], np.int32)


def values(rng: np.random.Generator, scale: np.ndarray, real: str) -> np.ndarray:
    """Ties and their neighbours, what saturates, and what no formula expects."""
    x = np.float32(rng.integers(-600, 600, SHAPE) / 2) * np.float32(scale)
    x = np.nextafter(x, np.float32(rng.choice([-np.inf, np.inf], SHAPE)))
    ties = rng.random(SHAPE) < 0.5
    x[ties] = np.float32(rng.integers(-600, 600, SHAPE) / 2 * scale)[ties]
    odd = rng.random(SHAPE) < 0.05
    x[odd] = rng.choice([np.inf, -np.inf, np.nan, 0.0, -0.0, 3e38, -3e38, 1e-45, 1e10, -1e10], SHAPE)[odd]
    with np.errstate(over="ignore"):
        return x.astype(real_dtype(real))


def parameters(kind: str):
    """scale, zero point, offset, where they change, and the scales in a shape that broadcasts."""
    offset = np.array([0.25, -3.0, 0.0, 17.0, 1e-3, 100.0, -0.125])
    if kind == "one":
        return 0.1, 3, 0.7, {}, np.full((1, 1), 0.1)
    if kind == "rows":
        return SCALES, ZERO_POINTS, offset, {"axis": 0}, SCALES[:, None]
    if kind == "columns":
        wide = np.resize(SCALES, SHAPE[1])
        return wide, np.resize(ZERO_POINTS, SHAPE[1]), np.resize(offset, SHAPE[1]), {"axis": -1}, wide[None]
    blocks = np.resize(SCALES, (7, 11))
    spread = np.repeat(blocks, 32, axis=1)[:, : SHAPE[1]]
    return blocks, np.resize(ZERO_POINTS, (7, 11)), np.resize(offset, (7, 11)), {"block_size": 32}, spread


KINDS = ("one", "rows", "columns", "blocks")


@pytest.fixture(params=["in C", "in Python"])
def reading(request, monkeypatch):
    """Both ways that arguments are read."""
    if request.param == "in Python":
        monkeypatch.setattr(_kernels, "quantize_by", lambda *_: NotImplemented)
        monkeypatch.setattr(_kernels, "dequantize_by", lambda *_: NotImplemented)


def test_the_rules_are_those_of_the_reference():
    assert set(_kernels.rules()) == set(_reference.RULES)
    with pytest.raises(ValueError, match="rule: got 'nearest', expected one of divide, "):
        _rules.quantize(np.zeros(3), 1.0, rule="nearest", dtype="int8")


@pytest.mark.parametrize(
    ("op", "how", "message"),
    [
        ("dequantize", {"rule": "floor"}, "rule: expected one for quantize, or multiply for dequantize"),
        ("dequantize", {"dtype": "float16", "precision": "float64"}, "precision: expected float64 for quantize"),
        ("dequantize", {"dtype": "float64", "precision": "float16"}, "precision: expected a half type"),
        ("quantize", {"rule": "floor", "dtype": "float8_e5m2"}, "rule: expected .* integer codes"),
        ("quantize", {"rule": "floor", "dtype": "int8", "limits": (0, 128)}, "limits: expected two codes of the type"),
        ("quantize", {"rule": "floor", "dtype": "int8", "limits": (-129, 0)}, "limits: expected two codes of the type"),
        ("quantize", {"rule": "floor", "dtype": "int8", "limits": (3, 2)}, "limits: .*in order"),
        ("quantize", {"rule": "divide", "dtype": "float8_e5m2", "limits": (0, 1)}, "limits: expected two codes"),
    ],
)
def test_what_there_are_no_kernels_for(op, how, message, target, reading):
    a = np.full(40, 3, np.int8 if op == "dequantize" else np.float32)
    for lying in (a, np.full((40, 2), 3, a.dtype)[:, 0]):
        with pytest.raises(ValueError, match=message):
            getattr(_rules, op)(lying, 1.0, 0, **how)
    with pytest.raises(ValueError, match="limits: expected two codes"):
        run_back(np.zeros(1, np.float32), (np.float32(1), 0), (np.float32(1), 0), (3, 2), (0,), np.zeros(1, np.float32))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("real", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("rule", _kernels.rules())
def test_quantize(rule, real, kind, precision, target, reading):
    if precision in ("float16", "bfloat16") and real == "float64":
        pytest.skip("half precision is of arithmetic in float32")
    rng = np.random.default_rng([ord(c) for c in rule + real + kind + str(precision)])
    scale, zero_point, offset, where, spread = parameters(kind)
    if "multiply" in rule:
        scale = 1 / np.asarray(scale)
    x = values(rng, spread, real)
    for dtype in INTEGERS:
        for given in (None, offset):
            for limits in (None, (-3, 100) if dtype in ("int8", "int16") else None):
                how = {"rule": rule, "dtype": dtype, "offset": given, "limits": limits, "precision": precision, **where}
                q = _rules.quantize(x, scale, zero_point, **how)
                expected = _reference.quantize(x, scale, zero_point, **how)
                np.testing.assert_array_equal(q.view(f"u{q.itemsize}"), expected.view(f"u{q.itemsize}"), str(how))


@pytest.mark.parametrize("op", ["quantize", "dequantize"])
def test_offsets_beside_zero_points_are_read_in_c(op):
    scale, zero_point, offset, options, _ = parameters("rows")
    a = np.zeros(SHAPE, np.float32 if op == "quantize" else np.int8)
    kind = ("int8", None) if op == "quantize" else ("float32",)
    arguments = ("multiply", a, scale, zero_point, *kind, options["axis"], None, offset, None, None)
    assert getattr(_kernels, f"{op}_by")(*arguments) is not NotImplemented


@pytest.mark.parametrize("limits", [(-127, 127), (-128, 126), (0, 0), (-128, 127)])
@pytest.mark.parametrize("rule", _kernels.rules())
def test_one_limit_that_is_not_the_type_s(rule, limits, target, reading):
    x = values(np.random.default_rng(7), np.full((1, 1), 0.1), "float32")
    how = {"rule": rule, "dtype": "int8", "limits": limits}
    scale = 10.0 if "multiply" in rule else 0.1
    np.testing.assert_array_equal(_rules.quantize(x, scale, 3, **how), _reference.quantize(x, scale, 3, **how))


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rule", ["divide", "multiply"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_dequantize(dtype, rule, kind, precision, target, reading):
    if dtype not in ("float32", "float64") and precision == "float64":
        pytest.skip("not made of float64")
    if precision in ("float16", "bfloat16") and dtype == "float64":
        pytest.skip("half precision is of arithmetic in float32")
    rng = np.random.default_rng([ord(c) for c in rule + dtype + kind + str(precision)])
    scale, zero_point, offset, where, _ = parameters(kind)
    for codes in ("int8", "uint8", "int16", "uint16", "int32"):
        info = np.iinfo(codes)
        q = rng.integers(info.min, info.max, SHAPE, codes, endpoint=True)
        for given in (None, offset):
            how = {"rule": rule, "dtype": dtype, "offset": given, "precision": precision, **where}
            x = _rules.dequantize(q, scale, zero_point, **how)
            expected = _reference.dequantize(q, scale, zero_point, **how)
            np.testing.assert_array_equal(x.view(f"u{x.itemsize}"), expected.view(f"u{x.itemsize}"), str(how))


def run_back(x, first, second, limits, strides, out):
    """Reals to codes by the rule "multiply", and back by the other parameters."""
    dtype = "uint16" if limits[1] > 32767 else "int16"
    parameters = [(np.asarray(scale), np.asarray(zero_point, np.int32), None) for scale, zero_point in (first, second)]
    _kernels.run_back(x, out, *parameters, CODE_TYPES[dtype].row, limits, strides)


@pytest.mark.parametrize("kind", ["one", "rows", "columns"])
@pytest.mark.parametrize("real", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("limits", [(-128, 127), (0, 255), (-127, 127), (0, 65535), (-32768, 32767), (3, 9)])
def test_fake_quantize(limits, real, kind, target):
    """With a multiplier that is no reciprocal of the scale: each is used where it should be."""
    rng = np.random.default_rng([ord(c) for c in str(limits) + real + kind])
    scale, zero_point, _, where, spread = parameters(kind)
    x = values(rng, spread, real)
    multiplier = 1.01 / np.asarray(scale)
    dtype = "uint16" if limits[1] > 32767 else "int16"
    q = _reference.quantize(x, multiplier, zero_point, rule="multiply", limits=limits, dtype=dtype, **where)
    expected = _reference.dequantize(q, scale, zero_point, dtype=real, **where)
    arithmetic = np.float64 if real == "float64" else np.float32
    first, second = ((np.asarray(s, arithmetic), zero_point) for s in (multiplier, scale))
    strides = {"one": (0, 0), "rows": (1, 0), "columns": (0, 1)}[kind]
    for out in (np.empty_like(x), x):
        run_back(x, first, second, limits, strides, out)
        np.testing.assert_array_equal(out.view(f"u{x.itemsize}"), expected.view(f"u{x.itemsize}"))


@pytest.mark.parametrize("layout", ["strided", "fortran", "swapped", "misaligned"])
@pytest.mark.parametrize("precision", [None, "float64"])
def test_layouts(layout, precision, target, reading):
    rng = np.random.default_rng(5)
    x = values(rng, np.full((1, 1), 0.1), "float32")
    expected = _reference.quantize(x, 10.0, 3, rule="multiply", dtype="int8", precision=precision)
    if layout == "strided":
        wide = np.zeros((14, 999), np.float32)
        wide[::2, ::3] = x
        lying = wide[::2, ::3]
    elif layout == "fortran":
        lying = np.asfortranarray(x)
    elif layout == "swapped":
        lying = x.astype(x.dtype.newbyteorder())
    else:
        buffer = np.zeros(x.nbytes + 1, np.uint8)
        lying = buffer[1:].view(np.float32).reshape(SHAPE)
        lying[...] = x
    q = _rules.quantize(lying, 10.0, 3, rule="multiply", dtype="int8", precision=precision)
    np.testing.assert_array_equal(q, expected)
    out = np.zeros((333, 14), np.int8).T[::2]
    assert _rules.quantize(lying, 10.0, 3, rule="multiply", dtype="int8", precision=precision, out=out) is out
    np.testing.assert_array_equal(out, expected)
    back = np.zeros((333, 14), ">f4").T[::2]
    _rules.dequantize(out, 10.0, 3, rule="multiply", precision=precision, out=back)
    np.testing.assert_array_equal(back, _reference.dequantize(out, 10.0, 3, rule="multiply", precision=precision))


@pytest.mark.parametrize("op", ["quantize", "dequantize"])
def test_parameters_in_the_memory_of_out(op, target, reading):
    a = (np.arange(100_000) % 100).reshape(1000, 100).astype(np.int8 if op == "dequantize" else np.float32)
    memory = np.linspace(0.5, 3, a.size).astype(np.float32)
    scales = memory[:1000]  # under the first rows of out
    how = {"rule": "multiply", "dtype": "float32" if op == "dequantize" else "int8", "axis": 0}
    expected = getattr(_rules, op)(a, scales.copy(), 0, **how)
    out = memory.view(expected.dtype)[: a.size].reshape(a.shape)
    assert getattr(_rules, op)(a, scales, 0, out=out, **how) is out
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("real", ["float32", "float64", "float16", "bfloat16"])
def test_signs(real, target):
    rng = np.random.default_rng(6)
    for shape in ((1,), (7,), (8,), (9,), (3, 64), (5, 1031), (0,), (3, 0), (2, 3, 17), (100_003,)):
        x = rng.normal(size=shape)
        x[rng.random(shape) < 0.2] = 0
        x[rng.random(shape) < 0.1] = np.nan
        x[rng.random(shape) < 0.1] = -0.0
        x[rng.random(shape) < 0.1] = 1e-300  # which only float64 holds
        x = x.astype(real_dtype(real))
        expected = np.packbits(x.astype(np.float64) > 0, axis=-1)
        for lying in (x, np.asfortranarray(x), x[..., ::-1].copy()[..., ::-1]):
            np.testing.assert_array_equal(_rules.signs(lying), expected)
    with pytest.raises(ValueError, match="x: got an array of shape \\(\\)"):
        _rules.signs(np.float32(1))


def test_signs_stay_within_their_bytes(target):
    for n in range(1, 70):
        memory = np.full(n + 4, 9.0, np.float32)
        bits = _rules.signs(memory[:n] * -1)
        assert bits.size == -(-n // 8)
        assert not bits.any()


def test_the_kernel_of_signs_takes_arrays_of_reals_with_an_axis_alone():
    for a in (np.zeros(3, np.int32), np.zeros((), np.float32), np.zeros(3, ">f4").astype("S4")):
        with pytest.raises(ValueError, match="an array changed"):
            _kernels.signs(a)
