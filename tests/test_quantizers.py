"""Quantizer and Dequantizer: the functions, with parameters that were checked before."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
import tracemalloc
import weakref
from concurrent.futures import ThreadPoolExecutor

import ml_dtypes
import numpy as np
import pytest
from values import ALL_CODES, REAL_TYPES, assert_same, real_dtype

import fastquant as fq
from fastquant import Dequantizer, Quantizer

SHAPE = (6, 50)
RNG = np.random.default_rng(8)
SCALES, BLOCKS = RNG.uniform(0.01, 1, 6), RNG.uniform(0.01, 1, (6, 4))
ZERO_POINTS = np.arange(-3, 3, dtype=np.int32)

# scale, zero point, options
PARAMETERS = {
    "numbers": (0.1, 3, {}),
    "numpy numbers": (np.float32(0.1), np.int32(-300), {}),
    "one element": (np.array([0.1]), np.array([3]), {}),
    "far": (0.1, 100_000, {}),
    "offset": (0.1, 0, {"offset": -1.7}),
    "axis": (SCALES, ZERO_POINTS, {"axis": 0}),
    "axis, single": (SCALES.astype(np.float32), np.int64(7), {"axis": np.int64(-2)}),
    "axis, offsets": (0.3, 0, {"axis": 0, "offset": SCALES}),
    "axes": (RNG.uniform(0.01, 1, (50, 6)), 1, {"axis": (1, 0)}),
    "blocks": (BLOCKS, 2, {"block_size": 16}),
    "blocks of an axis": (RNG.uniform(0.01, 1, (2, 50)), 2, {"block_size": 4, "axis": 0}),
    "lists": ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [1, 2, 3, 4, 5, 6], {"axis": 0}),
}  # fmt: skip


def reals(real: str) -> np.ndarray:
    x = np.random.default_rng(9).normal(0, 5, SHAPE)
    x[0, :4] = np.nan, np.inf, -np.inf, -0.0
    return x.astype(real_dtype(real))


@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("real", REAL_TYPES)
def test_quantizer(real, name, target):
    scale, zero_point, options = PARAMETERS[name]
    x = reals(real)
    for codes in ALL_CODES:
        if codes.startswith("float") and np.any(zero_point):
            with pytest.raises(ValueError, match=f"zero_point: got .*, expected 0: {codes} has no zero point"):
                Quantizer(scale, zero_point, dtype=codes, **options)
            continue
        quantizer = Quantizer(scale, zero_point, dtype=codes, **options)
        expected = fq.quantize(x, scale, zero_point, dtype=codes, **options)
        assert_same(quantizer(x), expected)
        for layout in (x[::-1], np.asfortranarray(x), x.tolist() if real == "float64" else x):
            assert_same(quantizer(layout), fq.quantize(layout, scale, zero_point, dtype=codes, **options))
        out = np.zeros_like(expected)
        assert quantizer(x, out) is out
        assert quantizer(x, out=out) is out
        assert_same(out, expected)
        wide = np.zeros((6, 100), expected.dtype)[:, ::2]
        assert quantizer(x, wide) is wide
        assert_same(np.ascontiguousarray(wide), expected)


@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("real", REAL_TYPES)
def test_dequantizer(real, name, target):
    scale, zero_point, options = PARAMETERS[name]
    dequantizer = Dequantizer(scale, zero_point, dtype=real, **options)
    for codes in (*ALL_CODES, "int32"):
        q = np.random.default_rng(10).integers(0, 4, SHAPE).astype(real_dtype(codes))
        if codes.startswith("float") and np.any(zero_point):
            with pytest.raises(ValueError, match=f"zero_point: got .*, expected 0: {codes} has no zero point"):
                dequantizer(q)
            continue
        expected = fq.dequantize(q, scale, zero_point, dtype=real, **options)
        assert_same(dequantizer(q), expected)
        assert_same(dequantizer(q[:, ::-1].copy()[:, ::-1]), expected)
        out = np.zeros_like(expected)
        assert dequantizer(q, out) is out
        assert_same(out, expected)


@pytest.mark.parametrize("name", ["numbers", "axis", "blocks"])
def test_packed_and_beyond(name, target):
    scale, zero_point, options = PARAMETERS[name]
    x = reals("float32")
    p = Quantizer(scale, zero_point, dtype="int4", packed=True, **options)(x)
    assert_same(p, fq.quantize(x, scale, zero_point, dtype="int4", packed=True, **options))
    assert_same(
        Dequantizer(scale, zero_point, packed="int4", **options)(p),
        fq.dequantize(p, scale, zero_point, packed="int4", **options),
    )
    beyond = {"dtype": "float8_e5m2", "saturate": False, **options}
    assert_same(Quantizer(scale, 0, **beyond)(x * 1e6), fq.quantize(x * 1e6, scale, 0, **beyond))


def test_tensors_and_lists(target):
    assert_same(Quantizer(0.1)([1, 2.5]), fq.quantize([1, 2.5], 0.1))
    assert_same(Dequantizer(0.1)(np.int8(3)), fq.dequantize(np.int8(3), 0.1))


def test_parameters_are_rounded_once():
    """An integer between two float32 numbers, which is nearer to the upper one; by way of float64 it is a tie."""
    between = (1 << 55) + (1 << 31) + 1
    scales = np.array([between, 7], np.int64)
    once = scales.astype(np.float32)
    assert once[0] != scales.astype(np.float64).astype(np.float32)[0]
    assert_same(Dequantizer(scales, axis=0)(np.int8([1, 1])), once)
    assert_same(Dequantizer(1, offset=scales, axis=0)(np.int8([0, 0])), once)
    assert_same(Dequantizer(scales[:1])(np.int8([1])), once[:1])
    assert_same(fq.dequantize(np.int8([1, 1]), scales, axis=0), once)


def test_blocks_without_an_axis(target):
    """An empty tuple of axes is the default of blocks: the last."""
    x = reals("float32")
    for axis in ((), None, -1, 1):
        assert_same(Quantizer(BLOCKS, block_size=16, axis=axis)(x), fq.quantize(x, BLOCKS, block_size=16, axis=axis))
    assert_same(Quantizer(0.1, axis=())(x), fq.quantize(x, 0.1, axis=()))


class ThroughDLPack:
    """An array of somebody else's, which NumPy's ways of asking do not know."""

    def __init__(self, a):
        self.a = a

    def __dlpack__(self, **options):
        return self.a.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.a.__dlpack_device__()


def test_parameters_of_other_libraries(target):
    x = reals("float32")
    made = Quantizer(ThroughDLPack(SCALES), ThroughDLPack(ZERO_POINTS), axis=0, dtype="int8")
    assert_same(made(x), fq.quantize(x, SCALES, ZERO_POINTS, axis=0, dtype="int8"))
    made = Quantizer(0.3, axis=0, offset=ThroughDLPack(SCALES))
    assert_same(made(x), fq.quantize(x, 0.3, axis=0, offset=SCALES))


def test_the_type_is_that_of_the_zero_point():
    assert Quantizer(0.1).dtype == np.int8
    assert Quantizer(0.1, np.uint8(3)).dtype == np.uint8
    assert Quantizer(0.1, np.zeros(6, np.uint16), axis=0).dtype == np.uint16
    assert Quantizer(0.1, dtype=ml_dtypes.int4).dtype == ml_dtypes.int4
    assert Dequantizer(0.1, dtype=np.float16).dtype == np.float16


def test_zeros_of_a_float_type_go_with_it():
    """As in dequantize, which the text says it is."""
    q = np.arange(12, dtype=np.uint8).view(ml_dtypes.float8_e5m2).reshape(3, 4)
    for zeros, where in ((np.zeros((), q.dtype), {}), (np.zeros(4, q.dtype), {"axis": 1})):
        assert_same(fq.Dequantizer(0.5, zeros, **where)(q), fq.dequantize(q, 0.5, zeros, **where))
        assert_same(fq.Dequantizer(0.5, zeros, dtype="float16", **where)(q), fq.dequantize(q, 0.5, dtype="float16"))
    with pytest.raises(ValueError, match="zero_point: got 1"):
        fq.Dequantizer(0.5, np.ones((), q.dtype))
    with pytest.raises(TypeError, match="zero_point: got float8_e5m2"):
        fq.Dequantizer(0.5, np.zeros((), q.dtype), packed="int4")


def test_scales_that_only_float64_holds():
    quantizer = Quantizer(1e-60)
    assert_same(quantizer(np.array([3e-60])), np.int8([3]))
    with pytest.raises(ValueError, match="scale: got 1e-60, expected finite numbers > 0, as float32"):
        quantizer(np.float32([1]))
    with pytest.raises(ValueError, match=r"scale: got 1e-60 at index 1, expected finite numbers > 0, as float32"):
        Quantizer([1, 1e-60], axis=0)(np.float32([1, 2]))
    with pytest.raises(ValueError, match="offset: got 1e"):
        Quantizer(1, offset=1e300)(np.float32([1]))


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((0,), {}, "scale: got 0.0, expected finite numbers > 0"),
        ((np.nan,), {}, "scale: got nan"),
        (([0.1, -1],), {"axis": 0}, "scale: got -1.0 at index 1"),
        (([0.1, 1],), {}, r"scale: got shape (2,), expected one number; for one of each channel or block, give axis"),
        (([[0.1, 1]],), {"axis": 0}, "scale: got shape (1, 2), expected one number or 1 dimension, the length"),
        (([0.1, 1],), {"axis": (0, 1)}, "scale: got shape (2,), expected one number or 2 dimensions, the lengths"),
        (([0.1, 1], [1, 2, 3]), {"axis": 0}, "zero_point: got shape (3,), expected one number or shape (2,)"),
        (([0.1, 1],), {"axis": 0, "offset": [1.0]}, "offset: got shape (1,), expected one number or shape (2,)"),
        ((0.1, 2**31), {}, "zero_point: got 2147483648"),
        ((0.1, 1.5), {}, "zero_point: got float"),
        ((0.1, 3), {"offset": 1.0}, "offset: got an offset and a zero_point other than 0"),
        ((0.1,), {"offset": np.inf}, "offset: got inf"),
        ((0.1,), {"axis": "0"}, "axis: got '0'"),
        ((0.1,), {"axis": (0, 0)}, "axis: got (0, 0), expected each axis once"),
        ((0.1,), {"block_size": 0}, "block_size: got 0"),
        ((0.1,), {"axis": (0, 1), "block_size": 4}, "axis: got (0, 1), expected one axis"),
        ((None,), {}, "scale: got None"),
        ((BLOCKS, [1, 2]), {"block_size": 16}, "one number or shape (6, 4), one for each block of 16 along axis -1"),
        (([0.1, [1]],), {"axis": 0}, "scale: got "),
        ((0.1, [1, [2]]), {"axis": 0}, "zero_point: got "),
        ((0.1,), {"axis": 0, "offset": [1, [2]]}, "offset: got "),
        ((0.1,), {"axis": np.int64(64)}, "axis: got 64, expected an axis of an array, which has 64 at most"),
        ((0.1,), {"axis": 64}, "axis: got 64, expected an axis of an array, which has 64 at most"),
        ((0.1,), {"axis": (0, -65)}, "axis: got -65, expected an axis of an array"),
    ],
)
@pytest.mark.parametrize("kind", [Quantizer, Dequantizer])
def test_wrong_parameters(kind, arguments, options, message):
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        kind(*arguments, **options)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (Quantizer, {"dtype": "int7"}, "dtype: got 'int7'"),
        (Quantizer, {"packed": True}, "packed: got True for int8"),
        (Quantizer, {"packed": 1}, "packed: got 1, expected True or False"),
        (Quantizer, {"saturate": False}, "saturate: got False, expected True for int8"),
        (Quantizer, {"saturate": 0}, "saturate: got 0, expected True or False"),
        (Dequantizer, {"dtype": "int8"}, "dtype: got int8"),
        (Dequantizer, {"packed": True}, "packed: got True, expected the type of the packed codes"),
        (Dequantizer, {"packed": "int8"}, "packed: got int8, expected a type of 4 or 2 bits"),
    ],
)
def test_wrong_types(kind, options, message):
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        kind(0.1, **options)


def test_what_depends_on_the_array_is_checked_with_it():
    out = np.full(SHAPE, 7, np.int8)
    x = reals("float32")
    for quantizer, message in [
        (Quantizer(np.ones(5), axis=0), "scale: got shape (5,), expected one number or shape (6,)"),
        (Quantizer(0.1, axis=2), "axis: got 2, expected an axis of an array of shape (6, 50)"),
        (Quantizer(0.1, axis=(0, -2)), "axis: got (0, -2), expected each axis once"),
        (Quantizer(BLOCKS, block_size=10), "scale: got shape (6, 4), expected one number or shape (6, 5)"),
        (Quantizer(0.1, dtype="uint8"), "out: got an array of int8, expected uint8"),
    ]:
        with pytest.raises((TypeError, ValueError), match=re.escape(message)):
            quantizer(x, out)
    with pytest.raises(TypeError, match="x: got an array of int8"):
        Quantizer(0.1)(out)
    with pytest.raises(TypeError, match="q: got an array of float32"):
        Dequantizer(0.1)(x)
    assert (out == 7).all()


def test_parameters_are_copies():
    scale, zero_point = SCALES.copy(), ZERO_POINTS.copy()
    quantizer = Quantizer(scale, zero_point, axis=0)
    expected = quantizer(reals("float32"))
    scale[:], zero_point[:] = 99, 99
    assert_same(quantizer(reals("float32")), expected)
    for held in (quantizer.scale, quantizer.zero_point):
        with pytest.raises(ValueError, match="read-only"):
            held[0] = 1
        with pytest.raises(ValueError, match=r"WRITEABLE|writeable"):
            held.flags.writeable = True
    for name in ("scale", "zero_point", "dtype", "axis", "block_size", "packed", "offset", "saturate"):
        with pytest.raises(AttributeError):
            setattr(quantizer, name, 1)
    assert_same(quantizer(reals("float32")), expected)


AGAIN = {"pickle": lambda made: pickle.loads(pickle.dumps(made)), "copy": copy.copy, "deepcopy": copy.deepcopy}


@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("how", AGAIN)
def test_pickles_and_copies(how, name):
    scale, zero_point, options = PARAMETERS[name]
    x = reals("float32")
    q = fq.quantize(x, 1.0)
    for kind, given, extra in ((Quantizer, x, {"dtype": "uint8"}), (Dequantizer, q, {"dtype": "float16"})):
        made = kind(scale, zero_point, **extra, **options)
        again = AGAIN[how](made)
        assert_same(again(given), made(given))
        for attribute in ("axis", "block_size", "dtype", "packed"):
            assert getattr(again, attribute) == getattr(made, attribute)


@pytest.mark.parametrize("name", ["numbers", "far", "offset"])
def test_the_text_says_what_it_is(name):
    scale, zero_point, options = PARAMETERS[name]
    for made in (Quantizer(scale, zero_point, dtype="uint8", **options), Dequantizer(scale, zero_point, **options)):
        again = eval(repr(made), {"Quantizer": Quantizer, "Dequantizer": Dequantizer})
        assert repr(again) == repr(made)
        assert (again.scale, again.zero_point, again.offset) == (made.scale, made.zero_point, made.offset)
    assert repr(Quantizer(0.5, dtype="int4", packed=True)) == "Quantizer(0.5, 0, dtype='int4', packed=True)"
    assert "saturate=False" in repr(Quantizer(0.5, dtype="float8_e5m2", saturate=False))
    assert repr(Dequantizer(0.5, packed="int4")) == "Dequantizer(0.5, 0, dtype='float32', packed='int4')"


def test_signatures_and_weak_references():
    for kind, function in ((Quantizer, fq.quantize), (Dequantizer, fq.dequantize)):
        ours, theirs = (inspect.signature(f).parameters for f in (kind, function))
        assert list(ours) == [name for name in theirs if name not in ("x", "q", "out")]
        assert {name: p.default for name, p in ours.items()} == {n: theirs[n].default for n in ours}
        made = kind(0.1)
        assert weakref.ref(made)() is made
    assert len(repr(Quantizer(np.ones(1000), axis=0))) < 120


def test_threads_share_one():
    x = np.random.default_rng(11).normal(size=(64, 1024)).astype(np.float32)
    quantizer = Quantizer(np.linspace(0.01, 0.1, 64), axis=0)
    expected = quantizer(x)
    with ThreadPoolExecutor(8) as pool:
        outs = list(pool.map(lambda _: quantizer(x, np.empty(x.shape, np.int8)), range(200)))
    assert all((out == expected).all() for out in outs)


@pytest.mark.parametrize("name", [name for name in PARAMETERS if name != "lists"])
def test_no_memory_is_taken_where_out_is_given(name):
    """But for the objects of the call itself: what NumPy and Python allocate is traced."""
    scale, zero_point, options = PARAMETERS[name]
    x = reals("float32")
    q, y = np.empty(SHAPE, np.int8), np.empty(SHAPE, np.float32)
    quantizer, dequantizer = Quantizer(scale, zero_point, **options), Dequantizer(scale, zero_point, **options)
    given = (quantizer.scale, quantizer.zero_point)
    if quantizer.offset is None and np.ndim(given[0]):
        given = (given[0].astype(np.float32), given[1])
    calls = [lambda: quantizer(x, q), lambda: dequantizer(q, y)]
    if quantizer.offset is None:
        calls.append(lambda: fq.quantize(x, *given, axis=quantizer.axis, block_size=quantizer.block_size, out=q))
    for call in calls:
        call()
        tracemalloc.start()
        try:
            call()
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            for _ in range(10):
                call()
            assert tracemalloc.get_traced_memory()[1] - before < 600
        finally:
            tracemalloc.stop()
