"""Plain calls are read in C; every call gives what the general way gives, results and errors alike."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from arguments import SHAPE, Labelled, choices, codes, parameter_shape, real_parameters, reals
from twice import ARGUMENTS, FUNCTIONS, assert_twice, general, outcome, public
from values import assert_same

import fastquant as fq
from fastquant import _api

# What a call has; up to three of its arguments are then others.
BASES: dict[str, dict[str, Any]] = {
    "one scale": {},
    "axis": {"axis": 0},
    "last axis": {"axis": 2},
    "blocks": {"block_size": 3, "axis": 1},
    "packed": {"dtype": "int4", "packed": True, "axis": 1},
    "several axes": {"axis": (2, 0)},
    "offset": {"axis": 1, "offset": 0.25},
    "beyond": {"dtype": "float8_e5m2", "saturate": False, "axis": 0},
}
# An argument is chosen when those are there that it depends on.
ORDER = (
    *("x", "q", "axis", "block_size", "dtype", "packed", "saturate", "symmetric", "narrow_range"),
    *("scale", "offset", "zero_point", "new_scale", "new_zero_point", "p", "shape", "out"),
)


SOURCES: dict[str, dict[str, Any]] = {
    "pack": {"q": codes(name="int4")},
    "unpack": {"p": codes((5, 3, 2), "uint8"), "dtype": "uint4", "shape": (5, 3, 4)},
}


def calls(function: str, base: str, n: int) -> Iterator[Callable[[], dict[str, Any]]]:
    rng = np.random.default_rng(sum(map(ord, function + base)))
    names = [name for name in ORDER if name in ARGUMENTS[function]]
    first = {name: v for name, v in BASES[base].items() if name in names}
    if function == "dequantize":
        first = {name: v for name, v in first.items() if name in ("axis", "block_size")}
    for _ in range(n):
        changed = rng.choice(names, min(len(names), rng.integers(1, 4)), replace=False)
        others = dict(zip(changed, rng.random(3), strict=False))
        full = rng.random() < 0.7  # an array of scales, not one number

        def make(others: dict[str, float] = others, full: bool = full) -> dict[str, Any]:
            arguments = dict(SOURCES.get(function, {"q": codes()} if "q" in names else {"x": reals()}))
            arguments.update(first)
            for name in names:
                if name in others:
                    possible = choices(function, name, arguments)
                    arguments[name] = possible[int(others[name] * len(possible))]
                elif name in ("zero_point", "new_zero_point") and function == "requantize":
                    arguments[name] = 3
                elif name in ("scale", "new_scale"):
                    several = full and arguments.get("axis") is not None
                    arguments[name] = real_parameters(parameter_shape(arguments))[0] if several else 0.1
            return {name: arguments[name] for name in ARGUMENTS[function] if name in arguments}

        yield make


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_any_arguments(function, base):
    ends = [assert_twice(function, make) for make in calls(function, base, 500)]
    assert 10 < sum(ends) < 490 or (function, base) == ("unpack", "beyond")  # float8 is never packed


def call_makers(function: str, **arguments: Any) -> Callable[[], dict[str, Any]]:
    """The same arguments in memory of their own."""
    return lambda: {name: v.copy() if isinstance(v, np.ndarray) else v for name, v in arguments.items()}


BAD = (np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, -1.0, -1e-45)
FINE = (1e-45, 1e-40, 2.0**-126, 3e38)  # subnormal numbers too


@pytest.mark.parametrize("real", ["float32", "float64"])
def test_scales_that_are_wrong_anywhere(real):
    """One in any place of an array is found, and the message says where it is."""
    n = 67
    for shape, options in (((n, 2), {"axis": 0}), ((2, n), {"axis": -1}), ((1, 2 * n - 1), {"block_size": 2})):
        x = reals(shape, real)
        where = (n,) if "axis" in options else (1, n)
        for value in (*BAD, *FINE, *((1e-320, 1e300) if real == "float64" else ())):
            for place in range(n):
                scale = np.full(where, 0.1, real)
                scale.reshape(-1)[place] = value
                for function, name in (("quantize", "x"), ("fake_quantize", "x")):
                    made = call_makers(function, **{name: x, "scale": scale, **options})
                    assert assert_twice(function, made) == (value not in BAD and value == value), (value, place)
                    if value in BAD:
                        at = str(place) if "axis" in options else rf"\(0, {place}\)"
                        with pytest.raises(ValueError, match=rf"^scale: got .* at index {at}, expected finite"):
                            fq.quantize(x, scale, **options)


@pytest.mark.parametrize("real", ["float32", "float64"])
def test_offsets_that_are_wrong_anywhere(real):
    """As for scales; 0 and what is below it are fine."""
    n = 67
    x, q = reals((n, 2), real), codes((n, 2))
    for value in (np.nan, np.inf, -np.inf, 0.0, -0.0, -1.0, 1e-45, -3e38):
        for place in range(n):
            offset = np.zeros(n, real)
            offset[place] = value
            for function, source in (("quantize", {"x": x}), ("fake_quantize", {"x": x}), ("dequantize", {"q": q})):
                options = {"dtype": real} if function == "dequantize" else {}
                made = call_makers(function, **source, scale=0.1, offset=offset, axis=0, **options)
                assert assert_twice(function, made) == np.isfinite(value), (value, place)
            if not np.isfinite(value):
                with pytest.raises(ValueError, match=rf"^offset: got .* at index {place}, expected finite"):
                    fq.quantize(x, 0.1, offset=offset, axis=0)


def test_float64_scales_of_other_types():
    """They are rounded to float32 as a single number is: the plain way, which would read them as they are, is not for
    them. What is no scale after that is refused."""
    x = reals((5, 40))
    scale = np.linspace(0.1, 0.11, 5)  # that float32 does not have
    assert (scale != scale.astype(np.float32)).all()
    assert_same(fq.quantize(x, scale, axis=0), fq.quantize(x, scale.astype(np.float32), axis=0))
    assert_same(fq.fake_quantize(x, scale, axis=0), fq.fake_quantize(x, scale.astype(np.float32), axis=0))
    q = fq.quantize(x, 0.1)
    assert_same(fq.dequantize(q, scale, axis=0), fq.dequantize(q, scale.astype(np.float32), axis=0))
    wide = fq.dequantize(q, scale.astype(np.float32), axis=0, dtype="float64")
    assert_same(wide, fq.dequantize(q, scale.astype(np.float32).astype(np.float64), axis=0, dtype="float64"))
    for value in (1e-50, 1e39):
        with pytest.raises(ValueError, match=r"^scale: got .* at index 4, expected finite numbers > 0(, as float32)?$"):
            fq.quantize(x, np.append(scale[:4], value), axis=0)


@pytest.mark.parametrize("name", ["int8", "uint8", "int16", "int64", "int4"])
def test_zero_points_of_other_types(name):
    """They choose the codes as well."""
    x = reals((5, 40))
    points = np.arange(5)
    given = points.astype(getattr(ml_dtypes, name, name))
    dtype = "int8" if name == "int64" else name
    assert_same(fq.quantize(x, 0.1, given, axis=0), fq.quantize(x, 0.1, points.astype(np.int32), dtype=dtype, axis=0))


@pytest.mark.parametrize("function", ["quantize", "dequantize", "fake_quantize"])
def test_single_parameters_in_arrays(function):
    """Where there is one for each index, shape (1,) is not that of one for all, of whatever type."""
    source = {"q": codes()} if function == "dequantize" else {"x": reals()}
    for axis, block in ((0, None), (1, None), (None, 2)):
        options = {"axis": axis, "block_size": block}
        for dtype in (np.float32, np.float64, np.float16):
            for shape, fine in (((), True), ((1,), False), ((1, 1), False), ((1, 1, 1), False)):
                made = call_makers(function, **source, scale=np.full(shape, 0.5, dtype), **options)
                assert assert_twice(function, made) == fine, (shape, dtype, options)
        for dtype in (np.int8, np.uint8, np.int32, np.int64):
            zero_point = np.full((1,), 3, dtype)
            made = call_makers(function, **source, scale=0.5, zero_point=zero_point, dtype=None, **options)
            if function != "quantize":
                made = call_makers(function, **source, scale=0.5, zero_point=zero_point, **options)
            assert not assert_twice(function, made)
    for dtype in (np.float32, np.float64):  # where one is all that there are
        one = {name: a[:1] for name, a in source.items()}
        assert assert_twice(function, call_makers(function, **one, scale=np.full(1, 0.5, dtype), axis=0))


@pytest.mark.parametrize("function", ["quantize", "dequantize", "fake_quantize"])
@pytest.mark.parametrize("parameter", ["scale", "zero_point"])
def test_results_in_the_memory_of_parameters(function, parameter):
    source = {"q": codes()} if function == "dequantize" else {"x": reals()}
    size = 60 if function == "quantize" else 240
    for axis, start in itertools.product((0, 1, 2), range(0, 200, 4)):

        def make(axis: int = axis, start: int = start) -> dict[str, Any]:
            memory = np.zeros(240, np.uint8)
            values = (
                real_parameters((SHAPE[axis],))[0] if parameter == "scale" else np.arange(SHAPE[axis], dtype=np.int32)
            )
            shared = memory[start : start + values.nbytes].view(values.dtype)
            shared[...] = values
            out = memory[-size:].view(np.int8 if function == "quantize" else np.float32).reshape(SHAPE)
            return {**source, "scale": 0.1, parameter: shared, "axis": axis, "out": out}

        assert assert_twice(function, make)
        apart = make()
        apart["out"] = np.zeros_like(apart["out"])
        assert_same(public(function, make()).copy(), public(function, apart), what=(axis, start))


# ---- many dimensions ----


@pytest.mark.parametrize("function", [f for f in FUNCTIONS if "block_size" in ARGUMENTS[f]])
def test_64_dimensions(function):
    shape = (1,) * 20 + (2,) + (1,) * 40 + (3, 1, 5)
    source = {"q": codes(shape)} if function == "dequantize" else {"x": reals(shape)}
    with_scale = "scale" in ARGUMENTS[function]
    for axis, block in ((None, None), *((a, b) for a in (0, 20, 61, 63, -1, -64) for b in (None, 1, 2, 7)), (None, 2)):
        arguments = {**source, "axis": axis, "block_size": block}
        if with_scale:
            several = parameter_shape(arguments) if (axis, block) != (None, None) else ()
            arguments["scale"] = (np.arange(int(np.prod(several))) * 0.1 + 0.1).reshape(several).astype(np.float32)
        assert assert_twice(function, call_makers(function, **arguments)), (axis, block)
    for axis in (64, -65):
        assert not assert_twice(
            function, call_makers(function, **source, axis=axis, **({"scale": 0.1} if with_scale else {}))
        )


def test_errors_in_64_dimensions():
    """NumPy's flat indices end at 32."""
    shape = (1,) * 61 + (5, 3, 4)
    x = reals(shape)
    scale = np.full(shape, 0.1, np.float32)
    scale[..., 3, 1, 2] = -1
    where = r"\((0, ){61}3, 1, 2\)"
    for made in (scale, scale.astype(np.float64)):
        with pytest.raises(ValueError, match=rf"^scale: got -1.0 at index {where}, expected finite numbers > 0$"):
            fq.quantize(x, made, block_size=1)
    points = np.zeros(shape, np.int64)
    points[..., 3, 1, 2] = 1 << 31
    with pytest.raises(ValueError, match=rf"^zero_point: got 2147483648 at index {where}, expected int32"):
        fq.quantize(x, 0.1, points, block_size=1)
    offset = np.zeros(shape)
    offset[..., 3, 1, 2] = np.inf
    with pytest.raises(ValueError, match=rf"^offset: got inf at index {where}, expected finite"):
        fq.quantize(x, 0.1, offset=offset, block_size=1)
    bad = x.copy()
    bad[..., 3, 1, 2] = np.nan
    for call in (fq.minmax, fq.quantize_dynamic):
        with pytest.raises(ValueError, match=rf"^x: got nan at index {where}, expected finite"):
            call(bad, block_size=1)
    wide = x.astype(np.float64)
    wide[..., 3, 1, 2] = 1e300
    with pytest.raises(ValueError, match=r"^x: got 1e\+300 to 1e\+300, expected a range whose scale"):
        fq.quantize_dynamic(wide, block_size=1)
    with pytest.raises(ValueError, match=r"^lo: got -1.0, greater than hi, -1.05; expected lo <= hi"):
        fq.qparams(np.full(shape, -1.0), np.full(shape, -1.05))
    with pytest.raises(ValueError, match=r"^hi: got inf, expected finite"):
        fq.qparams(x, np.full(shape, np.inf))


# ---- which way ----

X, Q = reals(), codes()
PLAIN: dict[str, tuple[str, dict[str, Any]]] = {
    "one scale": ("quantize", {"x": X, "scale": 0.1}),
    "axis": ("quantize", {"x": X, "scale": np.full(5, 0.1, np.float32), "axis": 0}),
    "negative axis": ("quantize", {"x": X, "scale": np.full(4, 0.1, np.float32), "axis": -1}),
    "one scale for each": ("quantize", {"x": X, "scale": np.float32(0.1), "axis": 1}),
    "an array of shape ()": ("quantize", {"x": X, "scale": np.full((), 0.1, np.float32), "axis": 1}),
    "zero points": ("quantize", {"x": X, "scale": 0.1, "zero_point": np.arange(3, dtype=np.int32), "axis": 1}),
    "scales of float64": ("quantize", {"x": X, "scale": np.full(5, 0.1), "axis": 0}),
    "offsets of float64": ("quantize", {"x": X, "scale": 0.1, "offset": np.full(5, 0.5), "axis": 0}),
    "zero points of int64": ("quantize", {"x": X, "scale": 0.1, "zero_point": np.arange(3), "axis": 1}),
    "a zero point of int64": ("quantize", {"x": X, "scale": 0.1, "zero_point": np.int64(-3)}),
    "blocks": ("quantize", {"x": X, "scale": np.full((5, 3, 2), 0.1, np.float32), "block_size": 3}),
    "float64": ("quantize", {"x": X.astype(np.float64), "scale": np.full(5, 0.1), "axis": 0}),
    "packed": ("quantize", {"x": X, "scale": 0.1, "packed": True, "dtype": "uint4"}),
    "transposed": ("quantize", {"x": X.T, "scale": 0.1}),
    "out": ("quantize", {"x": X, "scale": 0.1, "axis": 0, "out": np.zeros(SHAPE, np.int8)}),
    "codes, axis": ("dequantize", {"q": Q, "scale": np.full(5, 0.1, np.float32), "axis": 0, "dtype": "float16"}),
    "codes, blocks": (
        "dequantize",
        {"q": Q, "scale": np.full((5, 2, 4), 0.1), "axis": 1, "block_size": 2, "dtype": "float64"},
    ),
    "both, axis": ("fake_quantize", {"x": X, "scale": np.full(5, 0.1, np.float32), "axis": 0}),
    "range of float64": ("minmax", {"x": X.astype(np.float64)}),
    "range, strided": ("minmax", {"x": X[..., ::2]}),
    "range of all indices of no axis": ("minmax", {"x": X.T, "axis": ()}),
    "dynamic, float64": ("quantize_dynamic", {"x": X.astype(np.float64), "dtype": "uint8"}),
    "dynamic, strided, out": ("quantize_dynamic", {"x": X[:, ::2], "out": np.zeros((5, 2, 4), np.int8)}),
    "dynamic, one range, packed": ("quantize_dynamic", {"x": X, "dtype": "int4", "packed": True}),
    "ranges": ("minmax", {"x": X, "axis": 1}),
    "ranges of blocks": ("minmax", {"x": X, "block_size": 3}),
    "dynamic": ("quantize_dynamic", {"x": X, "axis": 0}),
    "packed codes": ("dequantize", {"q": np.zeros((3, 4), np.uint8), "scale": 0.1, "packed": "int4"}),
    "two axes": ("quantize", {"x": X, "scale": np.full((5, 4), 0.1, np.float32), "axis": (0, 2)}),
    "the same in another order": ("quantize", {"x": X, "scale": np.full((4, 5), 0.1, np.float32), "axis": (2, -3)}),
    "ranges of two axes": ("minmax", {"x": X, "axis": (0, 2)}),
    "dynamic, two axes": ("quantize_dynamic", {"x": X, "axis": (0, 1)}),
    "an offset": ("quantize", {"x": X, "scale": 0.1, "offset": 0.5, "axis": 0}),
    "offsets": ("dequantize", {"q": Q, "scale": 0.1, "offset": np.full(5, 0.5, np.float32), "axis": 0}),
    "no saturation": ("quantize", {"x": X, "scale": 0.1, "dtype": "float8_e5m2", "saturate": False}),
    "strided, out": ("quantize", {"x": X[..., ::2], "scale": 0.1, "out": np.zeros((5, 3, 2), np.int8)}),
    "out in another order": ("quantize", {"x": X, "scale": 0.1, "out": np.zeros((4, 3, 5), np.int8).T}),
    "codes to codes": (
        "requantize",
        {"q": Q, "scale": 0.1, "zero_point": 1, "new_scale": 0.2, "new_zero_point": 2, "dtype": "uint8"},
    ),
    "codes to codes, axis": (
        "requantize",
        {"q": Q, "scale": 0.1, "zero_point": 1, "new_scale": np.full(5, 2, np.float32), "new_zero_point": 2, "axis": 0},
    ),
    "pack": ("pack", {"q": codes(name="int4")}),
    "unpack": ("unpack", {"p": np.zeros((3, 4), np.uint8), "dtype": "uint4", "shape": (3, 7)}),
    "unpack one row": ("unpack", {"p": np.zeros(4, np.uint8), "dtype": "uint2", "shape": 15}),
    "dynamic, packed": ("quantize_dynamic", {"x": X, "axis": 2, "dtype": "int4", "packed": True}),
}
NOT_PLAIN: dict[str, tuple[str, dict[str, Any]]] = {
    "a subclass": ("quantize", {"x": X.view(Labelled), "scale": 0.1}),
    "scales of a subclass": ("quantize", {"x": X, "scale": np.full(5, 0.1, np.float32).view(Labelled), "axis": 0}),
    "scales backwards": ("quantize", {"x": X, "scale": np.full(5, 0.1, np.float32)[::-1], "axis": 0}),
    "an axis of NumPy": ("quantize", {"x": X, "scale": 0.1, "axis": np.int64(0)}),
    "zero points of int8": ("quantize", {"x": X, "scale": 0.1, "zero_point": np.zeros(5, np.int8), "axis": 0}),
    "an axis of NumPy in a tuple": ("quantize", {"x": X, "scale": 0.1, "axis": (0, np.int64(1))}),
    "packed, out in another order": (
        "quantize",
        {"x": X, "scale": 0.1, "dtype": "int4", "packed": True, "out": np.zeros((2, 3, 5), np.uint8).T},
    ),
    "a shape in a list": ("unpack", {"p": np.zeros((3, 4), np.uint8), "dtype": "uint4", "shape": [3, 7]}),
    "a list": ("minmax", {"x": [1.0, 2.0], "axis": 0}),
}


@pytest.mark.parametrize("what", [*PLAIN, *NOT_PLAIN])
def test_ways(monkeypatch, what):
    """The calls that are made often do not leave C; that both ways agree says little about calls that take one only."""
    function, arguments = {**PLAIN, **NOT_PLAIN}[what]
    expected = outcome(general, function, arguments)
    ways: list[str] = []

    def taken(*given: Any) -> Any:
        ways.append(function)
        return original(*given)

    original = getattr(_api, function)
    monkeypatch.setattr(_api, function, taken)
    assert outcome(public, function, arguments) == expected
    assert isinstance(expected[0][0], tuple)
    assert ways == ([] if what in PLAIN else [function])
