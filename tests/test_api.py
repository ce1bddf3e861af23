"""What comes back: types, shapes and identity; how types are named and chosen."""

from __future__ import annotations

import inspect

import ml_dtypes
import numpy as np
import pytest
from values import BITS, CODE_TYPES, FLOAT_TYPES, REAL_TYPES, assert_same, real_dtype

import fastquant as fq

X = np.array([[-1.0, 0.25, 0.5], [3.0, -7.0, 0.1]], np.float32)


def test_public_names():
    assert {name for name in dir(fq) if not name.startswith("_")} >= set(fq.__all__) - {"__version__"}
    for name in fq.__all__:
        assert hasattr(fq, name)
    made = {name: getattr(fq, name) for name in fq.__all__}
    assert {*SIGNATURES} == {name for name, made in made.items() if callable(made) and not isinstance(made, type)}
    for name in SIGNATURES:
        function = getattr(fq, name)
        assert function.__doc__
        assert function.__name__ == name


SIGNATURES = {
    "minmax": "(x, *, axis=None, block_size=None)",
    "qparams": "(lo, hi, dtype='int8', *, symmetric=True, narrow_range=False, include_zero=True)",
    "quantize": "(x, scale, zero_point=0, *, dtype=None, axis=None, block_size=None, packed=False, offset=None,"
    " saturate=True, out=None)",
    "dequantize": "(q, scale, zero_point=0, *, dtype='float32', axis=None, block_size=None, packed=None, offset=None,"
    " out=None)",
    "quantize_dynamic": "(x, dtype='int8', *, symmetric=True, narrow_range=False, axis=None, block_size=None,"
    " packed=False, out=None)",
    "fake_quantize": "(x, scale, zero_point=0, *, dtype='int8', axis=None, block_size=None, offset=None,"
    " saturate=True, out=None)",
    "requantize": "(q, scale, zero_point, new_scale, new_zero_point, *, dtype='int8', axis=None, out=None)",
    "pack": "(q)",
    "unpack": "(p, dtype, shape)",
    "set_num_threads": "(n)",
    "get_num_threads": "()",
    "get_include": "()",
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures(name):
    parameters = [
        p.replace(annotation=inspect.Parameter.empty) for p in inspect.signature(getattr(fq, name)).parameters.values()
    ]
    assert str(inspect.Signature(parameters)) == SIGNATURES[name]


# ---- what comes back ----


def test_results_are_new_contiguous_arrays(target):
    q = fq.quantize(X, 0.1)
    assert (type(q), q.dtype, q.shape, q.flags.c_contiguous, q.flags.owndata) == (
        np.ndarray,
        np.int8,
        (2, 3),
        True,
        True,
    )
    r = fq.dequantize(q, 0.1)
    assert (type(r), r.dtype, r.shape, r.flags.c_contiguous, r.flags.owndata) == (
        np.ndarray,
        np.float32,
        (2, 3),
        True,
        True,
    )
    f = fq.fake_quantize(X, 0.1)
    assert (type(f), f.dtype, f.shape, np.shares_memory(f, X)) == (np.ndarray, np.float32, (2, 3), False)


@pytest.mark.parametrize(
    ("x", "real"),
    [
        (X, np.float32),
        (X.astype(np.float64), np.float64),
        (X.astype(np.float16), np.float32),
        (X.astype(ml_dtypes.bfloat16), np.float32),
        (X.tolist(), np.float64),
    ],
)
def test_minmax_types(target, x, real):
    found = fq.minmax(x)
    assert isinstance(found, fq.Range)
    assert found == (found.lo, found.hi)
    assert (type(found.lo), type(found.hi)) == (real, real)
    for axis, n in ((0, 2), (1, 3), (-1, 3), (-2, 2)):
        lo, hi = fq.minmax(x, axis=axis)
        assert (lo.dtype, lo.shape, hi.dtype, hi.shape) == (real, (n,), real, (n,))


def test_qparams_types():
    fit = fq.qparams(-1.0, 1.0)
    assert isinstance(fit, fq.QParams)
    assert (type(fit.scale), type(fit.zero_point)) == (np.float32, np.int32)
    fit = fq.qparams(np.float32(-1), np.float32(1))
    assert (type(fit.scale), type(fit.zero_point)) == (np.float32, np.int32)
    fit = fq.qparams([-1, -2], [1, 2])
    assert (fit.scale.dtype, fit.scale.shape) == (np.float32, (2,))
    assert (fit.zero_point.dtype, fit.zero_point.shape) == (np.int32, (2,))
    fit = fq.qparams(*fq.minmax(X, axis=0), "uint8", symmetric=False)
    assert fit.scale.shape == fit.zero_point.shape == (2,)
    strided = np.arange(10.0)[::3]
    assert_same(fq.qparams(-strided, strided).scale, fq.qparams(-strided.copy(), strided.copy()).scale)
    for shape in ((1,), (1, 1), (2,)):
        several = fq.qparams(np.full(shape, -1.0), np.full(shape, 1.0))
        assert (several.scale.shape, several.zero_point.shape) == (shape, shape)
        assert isinstance(several.scale, np.ndarray)


@pytest.mark.parametrize("x", [X, X.astype(np.float64), X.T, X.tolist(), X.astype(np.float16)])
def test_quantize_dynamic_types(target, x):
    done = fq.quantize_dynamic(x)
    assert isinstance(done, fq.Quantized)
    assert (done.q.dtype, type(done.scale), type(done.zero_point)) == (np.int8, np.float32, np.int32)
    done = fq.quantize_dynamic(x, "uint8", axis=1, symmetric=False)
    n = np.shape(x)[1]
    assert (done.q.dtype, done.q.shape) == (np.uint8, np.shape(x))
    assert (done.scale.dtype, done.scale.shape) == (np.float32, (n,))
    assert (done.zero_point.dtype, done.zero_point.shape) == (np.int32, (n,))


def test_results_feed_the_next_call(target):
    q, scale, zero_point = fq.quantize_dynamic(X, "uint8", symmetric=False)
    back = fq.dequantize(q, scale, zero_point)
    assert np.abs(back - X).max() <= scale
    assert_same(fq.fake_quantize(X, scale, zero_point, dtype="uint8"), back)
    q, scale, zero_point = fq.quantize_dynamic(X, axis=0)
    assert_same(fq.quantize(X, scale, zero_point, axis=0), q)


def test_out_is_returned(target):
    for make in (np.zeros, lambda shape, dtype: np.zeros(shape, dtype, order="F")):
        out = make((2, 3), np.int8)
        assert fq.quantize(X, 0.1, out=out) is out
        assert fq.quantize(X, 0.1, axis=0, out=out) is out
        assert fq.quantize_dynamic(X, out=out).q is out
        real = make((2, 3), np.float32)
        assert fq.dequantize(out, 0.1, out=real) is real
        assert fq.fake_quantize(X, 0.1, out=real) is real


# ---- shapes ----


def test_zero_dimensions(target):
    for x in (np.float32(1.26), np.array(1.26, np.float32), 1.26, np.array(1.26)):
        q = fq.quantize(x, 0.1)
        assert (type(q), q.shape, int(q)) == (np.ndarray, (), 13)
        assert fq.dequantize(q, 0.1).shape == ()
        assert fq.fake_quantize(x, 0.1).shape == ()
        assert fq.minmax(x).lo == fq.minmax(x).hi
        assert int(fq.quantize_dynamic(x).q) == 127
    out = np.zeros((), np.int8)
    assert fq.quantize(np.array(1.26, np.float32), 0.1, out=out) is out
    assert out == 13


@pytest.mark.parametrize("real", ["float32", "float64", "float16"])
@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 4)])
def test_empty(target, shape, real):
    x = np.zeros(shape, real)
    assert_same(fq.quantize(x, 0.1), np.zeros(shape, np.int8))
    assert_same(fq.dequantize(np.zeros(shape, np.uint8), 0.1), np.zeros(shape, np.float32))
    assert_same(fq.fake_quantize(x, 0.1), x)
    out = np.zeros(shape, np.int8)
    assert fq.quantize(x, 0.1, out=out) is out
    for axis in range(len(shape)):
        scale = np.full(shape[axis], 0.1, np.float32)
        assert_same(fq.quantize(x, scale, axis=axis), np.zeros(shape, np.int8))
        assert_same(fq.quantize(x, 0.1, axis=axis), np.zeros(shape, np.int8))
        assert_same(fq.fake_quantize(x, scale, np.zeros(shape[axis], int), axis=axis), x)
        with pytest.raises(ValueError, match="scale: got"):
            fq.quantize(x, np.full(shape[axis] + 2, 0.1), axis=axis)


def test_lists_are_float64(target):
    assert fq.quantize([], 0.1).shape == (0,)
    assert fq.quantize([0.35, 1, 2], 0.1).tolist() == [3, 10, 20]  # see test_reference: float32 would give 4
    assert fq.quantize([1, 2, 3], 1.0).tolist() == [1, 2, 3]
    assert fq.quantize((1, 2), 1.0).tolist() == [1, 2]
    assert fq.fake_quantize([[1, 2], [3, 4]], 1.0).dtype == np.float64
    assert fq.quantize([2**60, -(2**60)], 1.0).tolist() == [127, -128]


def test_axis_of_length_one(target):
    for scale in (0.5, [0.5], np.array([0.5], np.float32)):
        for zero_point in (1, [1], np.array([1])):
            assert fq.quantize(X[:1], scale, zero_point, axis=0).tolist() == [[-1, 1, 2]]  # -2, 0.5 and 1, plus 1
            assert fq.quantize(X[:, :1], scale, zero_point, axis=-1).tolist() == [[-1], [7]]
    assert fq.minmax(X[:1], axis=0).lo.shape == (1,)
    assert fq.quantize_dynamic(X[:1], axis=0).scale.shape == (1,)


def test_parameters_of_one_element_without_an_axis(target):
    assert_same(fq.quantize(X, [0.1], [3]), fq.quantize(X, 0.1, 3))
    assert_same(fq.quantize(X, np.array(0.1), np.array(3)), fq.quantize(X, 0.1, 3))
    assert_same(fq.quantize(X, 0.1, offset=[0.5]), fq.quantize(X, 0.1, offset=0.5))


@pytest.mark.parametrize("kind", [float, np.float64, np.float32, np.float16, np.longdouble, ml_dtypes.bfloat16])
def test_kinds_of_scale(target, kind):
    expected = fq.quantize(X, float(np.float32(kind(0.1))))
    assert_same(fq.quantize(X, kind(0.1)), expected)
    assert_same(fq.quantize(X, np.array(kind(0.1))), expected)
    assert_same(fq.quantize(X, np.array([kind(0.1)] * 2), axis=0), expected)
    assert_same(fq.quantize(X, 1), fq.quantize(X, 1.0))
    assert_same(fq.quantize(X, np.int64(1)), fq.quantize(X, 1.0))


@pytest.mark.parametrize("kind", [int, np.int32, np.int64, np.uint64, np.uint32])
def test_kinds_of_zero_point(target, kind):
    assert_same(fq.quantize(X, 0.1, kind(70_000)), fq.quantize(X, 0.1, 70_000))
    assert_same(fq.quantize(X, 0.1, np.array([kind(7)] * 3), axis=1), fq.quantize(X, 0.1, 7))
    assert_same(
        fq.dequantize(np.arange(9, dtype=np.int8), 0.1, kind(7)), fq.dequantize(np.arange(9, dtype=np.int8), 0.1, 7)
    )


# ---- types and their names ----


@pytest.mark.parametrize("name", [*CODE_TYPES, *FLOAT_TYPES])
def test_forms_of_code_types(target, name):
    dtype = real_dtype(name)
    forms = [name, dtype, dtype.type, dtype.newbyteorder("S")]
    if hasattr(np, name):  # the types of ml_dtypes have no letters that NumPy reads
        forms += [dtype.str, dtype.char]
    for form in forms:
        assert fq.quantize(X, 0.1, dtype=form).dtype == dtype
        assert fq.quantize(X.T, 0.1, dtype=form).dtype == dtype
        assert fq.quantize_dynamic(X, form).q.dtype == dtype
        assert_same(fq.fake_quantize(X, 0.1, dtype=form), fq.dequantize(fq.quantize(X, 0.1, dtype=name), 0.1))
        assert fq.qparams(-1, 1, form) == fq.qparams(-1, 1, name)


@pytest.mark.parametrize("name", ["float32", "float64", "float16", "bfloat16"])
def test_forms_of_real_types(target, name):
    dtype = np.dtype(getattr(ml_dtypes, name, name))
    q = np.arange(9, dtype=np.uint8)
    for form in (name, dtype, dtype.type):
        assert fq.dequantize(q, 0.1, dtype=form).dtype == dtype
    assert fq.dequantize(q, 0.1, dtype=float).dtype == np.float64


@pytest.mark.parametrize("name", [*CODE_TYPES, *FLOAT_TYPES])
def test_codes_are_of_their_type(target, name):
    """Their dtype's items, every number from the lowest to the highest, the bits that a type does not use clear."""
    dtype = real_dtype(name)
    lowest, highest = CODE_TYPES.get(name, (0, 0))
    bits = BITS[name]
    x = np.linspace(-70, 70, 5000, dtype=np.float32) if bits < 16 else np.float32([-1e6, 1e6])
    if name in CODE_TYPES:
        x = np.concatenate([x, np.arange(lowest, highest + 1, dtype=np.float32)])
    for real in REAL_TYPES:
        with np.errstate(over="ignore"):
            q = fq.quantize(x.astype(real_dtype(real)), 1.0, dtype=name)
        assert (q.dtype, q.itemsize) == (dtype, max(1, bits // 8))
        if bits < 8:
            assert q.view(np.uint8).max() < 1 << bits
    if name in CODE_TYPES:
        q = fq.quantize(x, 1.0, dtype=name)
        assert np.array_equal(np.unique(q.astype(np.int64)), np.arange(lowest, highest + 1))


@pytest.mark.parametrize("name", [name for name, bits in BITS.items() if bits < 8])
def test_bits_that_a_type_does_not_use_are_ignored(target, name):
    dtype = real_dtype(name)
    every_byte = np.arange(256, dtype=np.uint8)
    clean = (every_byte & ((1 << BITS[name]) - 1)).view(dtype)
    for real in REAL_TYPES:
        expected = fq.dequantize(clean, 0.5, dtype=real)
        assert_same(fq.dequantize(every_byte.view(dtype), 0.5, dtype=real), expected)
    if BITS[name] in (2, 4):
        assert_same(fq.pack(every_byte.view(dtype)), fq.pack(clean))
    assert_same(fq.requantize(every_byte.view(dtype), 0.5, 0, 0.1, 0), fq.requantize(clean, 0.5, 0, 0.1, 0))


def test_shapes_that_unpack_takes(target):
    q = np.arange(-6, 6).astype(ml_dtypes.int4)
    p = fq.pack(q)
    for shape in (12, np.int64(12), np.array(12), (12,), [np.uint8(12)], np.array([12])):
        assert_same(fq.unpack(p, "int4", shape), q)


def test_which_code_type_when_none_is_given(target):
    def chosen(**arguments: object) -> str:
        return str(fq.quantize(X, 0.1, **arguments).dtype)

    assert chosen() == "int8"
    assert chosen(zero_point=128) == "int8"
    assert chosen(zero_point=np.int32(128)) == "int8"
    assert chosen(zero_point=np.int64(128)) == "int8"
    assert chosen(zero_point=[128]) == "int8"
    # NumPy integers of a code type decide, as in the ONNX operator.
    assert chosen(zero_point=np.uint8(128)) == "uint8"
    assert chosen(zero_point=np.array(128, np.uint8)) == "uint8"
    assert chosen(zero_point=np.array([1, 2], np.uint8), axis=0) == "uint8"
    assert chosen(zero_point=np.int8(3)) == "int8"
    assert chosen(zero_point=np.int16(300)) == "int16"
    assert chosen(zero_point=ml_dtypes.uint4(3)) == "uint4"
    assert chosen(zero_point=np.zeros((), ml_dtypes.float8_e5m2)) == "float8_e5m2"
    # then out
    assert chosen(out=np.zeros((2, 3), np.uint8)) == "uint8"
    assert chosen(out=np.zeros((3, 2), np.uint8).T) == "uint8"
    assert chosen(zero_point=7, out=np.zeros((2, 3), np.uint8)) == "uint8"
    assert chosen(out=np.zeros((2, 3), ml_dtypes.int4)) == "int4"
    assert chosen(out=np.zeros((2, 3), ml_dtypes.float8_e4m3fn)) == "float8_e4m3fn"
    with pytest.raises(TypeError, match=r"^out: got an array of uint8, expected int8"):
        chosen(zero_point=np.int8(3), out=np.zeros((2, 3), np.uint8))
    # dtype before both
    assert chosen(dtype="int8", zero_point=np.uint8(128)) == "int8"
    assert chosen(dtype="uint8") == "uint8"


def test_the_result_does_not_depend_on_the_path(target):
    """The same arguments in plain and in less plain form."""
    for zero_point in (0, 3, -700, 10**6):
        plain = fq.quantize(X, 0.1, zero_point)
        assert_same(fq.quantize(np.asfortranarray(X), np.float64(0.1), np.int64(zero_point)), plain)
        assert_same(fq.quantize(X, 0.1, zero_point, axis=1), plain)
        assert_same(fq.dequantize(plain, 0.1, zero_point), fq.dequantize(plain[:, ::1], [0.1], zero_point, axis=None))
        assert_same(fq.fake_quantize(X, 0.1, zero_point), fq.fake_quantize(X.T, 0.1, zero_point).T.copy())


def test_numpy_error_settings_do_not_matter(target):
    """np.errstate is for the caller's own arithmetic."""
    q = np.arange(-5, 5, dtype=np.int8)
    calls = {
        "subnormal scale": lambda: fq.quantize(X, np.float64(1e-40)),
        "subnormal scale, axis": lambda: fq.quantize(X, [1e-40, 1e-41], axis=0),
        "float16 underflow": lambda: fq.dequantize(q, 1e-7, dtype="float16"),
        "float16 overflow": lambda: fq.dequantize(q, 1e38, dtype="float16"),
        "bfloat16": lambda: fq.dequantize(q, 1e-41, dtype="bfloat16"),
        "overflow": lambda: fq.dequantize(q, 3e38),
        "offset": lambda: fq.quantize(X, 0.1, offset=1e-40),
        "NaN": lambda: fq.quantize(np.array([np.nan, np.inf]), 0.1),
        "half NaN": lambda: fq.quantize(np.array([0x7C01, 0x7E00], np.uint16).view(np.float16), 0.1),
        "fake": lambda: fq.fake_quantize(X.astype(np.float16), 1e-7),
        "range": lambda: fq.qparams(0.0, 5e-324).scale,
        "minmax": lambda: np.array(fq.minmax([1e-310, 5e-324])),
        "dynamic": lambda: fq.quantize_dynamic(np.array([1e-310, 5e-324])).q,
    }
    for name, call in calls.items():
        expected = call()
        with np.errstate(all="raise"):
            got = call()
        assert_same(got, expected, what=name)


class OnlyDLPack:
    """What a framework's array offers that NumPy has never heard of."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def test_dlpack_objects(target):
    x = np.linspace(-1, 1, 100, dtype=np.float32)
    assert_same(fq.quantize(OnlyDLPack(x), 0.01), fq.quantize(x, 0.01))


def test_empty_lists():
    assert_same(fq.quantize([], 0.1), np.empty(0, np.int8))


@pytest.mark.parametrize("shape", [(), (1,)])
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_parameters_as_onnx_gives_them(target, shape, dtype):
    """Scales and zero points that are arrays of one element; the zero point's type chooses the codes."""
    x = np.linspace(-4, 4, 301, dtype=np.float32)
    expected = fq.quantize(x, np.float32(0.03), 7, dtype=dtype)
    zero_point = np.full(shape, 7, dtype)
    for scale in (np.full(shape, 0.03, np.float32), np.full(shape, 0.03, np.float64)):
        assert_same(fq.quantize(x, scale, zero_point), expected)
        assert_same(fq.quantize(x, scale, zero_point[()]), expected)
        assert_same(fq.quantize(x, scale, zero_point.astype(np.int32), dtype=dtype), expected)
        assert_same(fq.dequantize(expected, scale, zero_point), fq.dequantize(expected, np.float32(0.03), 7))
    assert_same(fq.quantize(x, 2, zero_point), fq.quantize(x, 2.0, zero_point))
