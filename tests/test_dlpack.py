"""Arrays of other libraries by way of DLPack: read where they are, given back once, and refused by name."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from typing import Any

import numpy as np
import pytest
from dlpack import BOOL, COMPLEX, CUDA, FLOAT, INT, OPAQUE, UINT, Tensor
from values import ALL_CODES, FLOAT_TYPES, REAL_TYPES, assert_same, codes_of, real_dtype

import fastquant as fq
from fastquant import _kernels

# NumPy's integers and floats, and what ml_dtypes adds and DLPack has a code for.
NATIVE = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64")
ADDED = ("bfloat16", "float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz")
SUPPORTED = (*NATIVE, *ADDED)


def numbers(dtype: Any, *shape: int) -> np.ndarray:
    return (np.arange(int(np.prod(shape))) % 23).astype(np.float32).astype(dtype).reshape(shape)


def read(tensor: Tensor) -> np.ndarray:
    return _kernels.from_dlpack(tensor.__dlpack__())


# ---- what is read ----


@pytest.mark.parametrize("name", SUPPORTED)
def test_types(name):
    dtype = real_dtype(name)
    a = numbers(dtype, 3, 4)
    tensor = Tensor(a)
    got = read(tensor)
    assert_same(got, a)
    assert got.ctypes.data == a.ctypes.data
    assert not got.flags.writeable
    assert not got.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        got[0, 0] = 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        got.flags.writeable = True
    assert tensor.was_taken


def test_every_type_of_the_kernels_that_dlpack_has():
    unknown = {"int4", "uint4", "int2", "uint2", "float6_e2m3fn", "float6_e3m2fn", "float4_e2m1fn"}  # parts of a byte
    assert {*REAL_TYPES, *ALL_CODES, "int32"} - unknown == set(SUPPORTED) - {"uint32", "int64", "uint64"}


@pytest.mark.parametrize("name", ["float32", "bfloat16", "float8_e5m2"])
@pytest.mark.parametrize(
    "view",
    [
        *(
            np.s_[:],
            np.s_[::2],
            np.s_[::-1],
            np.s_[:, ::-1, ::3],
            np.s_[2:1:-1],
            np.s_[1:2],
            np.s_[..., 3],
            np.s_[4, 3, 2],
        ),
        *(np.s_[:, None], np.s_[:0], np.s_[:, 4:, :]),
    ],
    ids=str,
)
def test_strides(name, view):
    a = np.asarray(numbers(real_dtype(name), 5, 4, 6)[view])
    got = read(Tensor(a))
    assert_same(got, a)
    if a.size:
        assert got.strides == a.strides
        assert got.ctypes.data == a.ctypes.data
    assert got.base is not None or not a.size


def test_transposed_and_repeated():
    a = numbers(np.float32, 3, 5)
    assert_same(read(Tensor(a.T)), a.T)
    assert_same(read(Tensor(np.broadcast_to(a[0], (4, 5)))), np.broadcast_to(a[0], (4, 5)))
    assert read(Tensor(np.broadcast_to(a[0], (4, 5)))).strides == (0, 4)
    assert_same(read(Tensor(a, shape=(7,), strides=(0,))), np.zeros(7, np.float32))


@pytest.mark.parametrize("shape", [(), (1,), (24,), (4, 6), (2, 3, 4), (1,) * 64])
def test_without_strides(shape):
    """NULL: contiguous."""
    a = numbers(np.float32, *shape)
    got = read(Tensor(a, strides=None))
    assert_same(got, a)
    assert got.strides == a.strides
    assert got.flags.c_contiguous


@pytest.mark.parametrize("strides", [None, ()])
def test_without_dimensions(strides):
    for name in SUPPORTED:
        a = np.full((), 3, np.float32).astype(real_dtype(name))
        got = read(Tensor(a, strides=strides))
        assert_same(got, a)
        assert got.ctypes.data == a.ctypes.data


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 3), (2, 0, 5)])
def test_empty(shape):
    a = np.empty(shape, np.float32)
    tensor = Tensor(a)
    tensor.managed.tensor.data = None  # as producers may have it
    got = read(tensor)
    assert_same(got, a)
    del got
    assert tensor.deleted == 1
    tensor = Tensor(a)
    tensor.managed.tensor.data = None
    assert_same(fq.quantize(tensor, 0.1), np.empty(shape, np.int8))
    assert tensor.deleted == 1


@pytest.mark.parametrize("offset", [1, 2, 4, 64, 4096, 1 << 40])
def test_byte_offset(offset):
    """data + byte_offset, of whatever alignment."""
    raw = np.zeros(4096 + 100, np.uint8)
    for at in (0, 1, 3, 4):
        a = raw[at : at + 80].view(np.float32)
        a[...] = np.arange(20)
        got = read(Tensor(a, byte_offset=offset))
        assert_same(got, np.arange(20, dtype=np.float32))
        assert got.ctypes.data == a.ctypes.data
        assert got.flags.aligned == (a.ctypes.data % 4 == 0)
        assert_same(fq.quantize(Tensor(a, byte_offset=offset), 1.0), np.arange(20, dtype=np.int8))


# ---- given back ----


def test_memory_lives_as_long_as_the_array():
    a = numbers(np.float32, 100)
    expected = a.copy()
    tensor = Tensor(a, spoil=True)
    got = read(tensor)
    part = got[3:7]
    view = memoryview(got)
    del got
    gc.collect()
    assert tensor.deleted == 0
    assert_same(part.copy(), expected[3:7])
    del part
    assert tensor.deleted == 0
    assert view[5] == expected[5]
    view.release()
    del view
    gc.collect()
    assert tensor.deleted == 1
    assert (a.view(np.uint8) == 0xEE).all()


@pytest.mark.parametrize("name", ["float32", "float64", "float16", "bfloat16"])
def test_calls_give_back_what_they_take(target, name):
    a = numbers(real_dtype(name), 40, 50)
    plain = a.copy()
    for call in (
        *(lambda x: fq.quantize(x, 0.5), lambda x: fq.fake_quantize(x, 0.5, axis=0), lambda x: fq.minmax(x, axis=1)),
        *(lambda x: fq.quantize_dynamic(x), lambda x: fq.quantize(x, 0.1, dtype="int4", packed=True, block_size=7)),
    ):
        a[...] = plain
        tensor = Tensor(a, spoil=True)
        got, expected = (result if isinstance(result, tuple) else (result,) for result in (call(tensor), call(plain)))
        for part, wanted in zip(got, expected, strict=True):
            assert_same(part, wanted)
        assert tensor.deleted == 1


@pytest.mark.parametrize("name", ["int8", "int32", *(name for name in ADDED if name in FLOAT_TYPES)])
def test_codes(target, name):
    q = np.arange(256, dtype=np.int32) if name == "int32" else codes_of(name)
    assert_same(fq.dequantize(Tensor(q.copy()), 0.5), fq.dequantize(q, 0.5))
    assert_same(fq.dequantize(Tensor(q[::-3]), 0.5), fq.dequantize(q[::-3], 0.5))


def test_parameters(target):
    """Scales, zero points, offsets and bounds as well."""
    x = numbers(np.float32, 4, 5) - 7
    scale, zero_point = np.float32([0.5, 1, 2, 4]), np.int32([1, -2, 3, 0])
    tensors = Tensor(scale.copy()), Tensor(zero_point.copy())
    assert_same(fq.quantize(x, *tensors, axis=0), fq.quantize(x, scale, zero_point, axis=0))
    assert_same(fq.quantize(x, 0.5, offset=Tensor(scale.copy()), axis=0), fq.quantize(x, 0.5, offset=scale, axis=0))
    assert_same(fq.qparams(Tensor(-scale), Tensor(scale * 1)).scale, fq.qparams(-scale, scale).scale)
    assert [t.deleted for t in tensors] == [1, 1]


def test_a_capsule_is_read_once():
    tensor = Tensor(numbers(np.float32, 5))
    capsule = tensor.__dlpack__()
    got = _kernels.from_dlpack(capsule)
    with pytest.raises(BufferError, match="read before"):
        _kernels.from_dlpack(capsule)
    assert tensor.deleted == 0
    assert_same(got.copy(), numbers(np.float32, 5))
    del got, capsule
    gc.collect()
    assert tensor.deleted == 1


@pytest.mark.parametrize("wrong", [None, 3, "dltensor", np.zeros(3, np.float32), object()])
def test_no_capsule(wrong):
    with pytest.raises(BufferError, match="not a DLPack capsule"):
        _kernels.from_dlpack(wrong)


def test_without_a_deleter():
    a = numbers(np.float32, 5)
    tensor = Tensor(a, has_deleter=False)
    assert_same(read(tensor), a)
    assert tensor.was_taken


# ---- refused ----

REFUSED: dict[str, dict[str, Any]] = {
    "another device": {"device": CUDA},
    "two lanes": {"kind": (FLOAT, 32, 2)},
    "no lanes": {"kind": (FLOAT, 32, 0)},
    "bool": {"kind": (BOOL, 8, 1)},
    "complex": {"kind": (COMPLEX, 64, 1)},
    "opaque": {"kind": (OPAQUE, 32, 1)},
    "an integer of 4 bits": {"kind": (INT, 4, 1)},
    "an integer of 128 bits": {"kind": (UINT, 128, 1)},
    "a float of 8 bits": {"kind": (FLOAT, 8, 1)},
    "a bfloat of 8 bits": {"kind": (4, 8, 1)},
    "a float8 of 16 bits": {"kind": (10, 16, 1)},
    "float8_e3m4": {"kind": (7, 8, 1)},
    "float8_e8m0fnu": {"kind": (14, 8, 1)},
    "float6": {"kind": (15, 6, 1)},
    "float4": {"kind": (17, 4, 2)},
    "a type to come": {"kind": (200, 8, 1)},
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what):
    """The capsule is left as it was: its producer's destructor gives the memory back."""
    a = numbers(np.float32, 6)
    tensor = Tensor(a, **REFUSED[what])
    with pytest.raises(BufferError, match="CPU" if "device" in REFUSED[what] else "DLPack type"):
        read(tensor)
    assert not tensor.was_taken
    for call in (lambda x: fq.quantize(x, 0.1), lambda x: fq.minmax(x, axis=0), lambda x: fq.quantize_dynamic(x)):
        with pytest.raises(TypeError, match=r"^x: got Tensor, expected an array of float32"):
            call(tensor)
    with pytest.raises(TypeError, match=r"^q: got Tensor, expected an array of int8"):
        fq.dequantize(tensor, 0.1)
    with pytest.raises(TypeError, match=r"^scale: got Tensor, expected finite numbers > 0"):
        fq.quantize(a, tensor)
    assert tensor.deleted == 0


@pytest.mark.parametrize("name", ["int64", "uint32", "int8"])
def test_types_that_are_no_reals(name):
    tensor = Tensor(numbers(np.dtype(name), 6))
    with pytest.raises(TypeError, match=rf"^x: got .*{name}, expected an array of float32"):
        fq.quantize(tensor, 0.1)
    assert tensor.deleted == 1


def test_given_back_when_the_call_fails():
    a = numbers(np.float32, 6)
    for options, problem in (
        ({"scale": 0}, "scale"),
        ({"scale": 0.1, "axis": 3}, "axis"),
        ({"scale": 0.1, "out": a}, "out"),
    ):
        tensor = Tensor(a.copy())
        with pytest.raises((TypeError, ValueError), match=rf"^{problem}: got"):
            fq.quantize(tensor, **options)
        assert tensor.deleted == 1


@pytest.mark.parametrize("ndim", [65, 68, 69, 100, 5000])
def test_more_dimensions_than_numpy_has(ndim):
    """By then the capsule is taken: the memory is given back, once."""
    tensor = Tensor(numbers(np.float32, 1), shape=(1,) * ndim, strides=(0,) * ndim)
    with pytest.raises(ValueError, match="dimension"):
        read(tensor)
    assert tensor.was_taken
    assert tensor.deleted == 1


@pytest.mark.parametrize("error", [BufferError, RuntimeError, TypeError, ValueError])
def test_producers_that_refuse(error):
    class Refusing:
        def __dlpack__(self, **options: Any) -> Any:
            raise error("not today")

        def __dlpack_device__(self) -> tuple[int, int]:
            return 1, 0

        def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
            return numbers(np.float32, 5)

    assert_same(fq.quantize(Refusing(), 0.5), fq.quantize(numbers(np.float32, 5), 0.5))


# ---- no copy ----


def test_nothing_is_copied(target):
    a = numbers(np.float32, 300, 1000)
    out = np.zeros((300, 1000), np.int8)
    tensors = [Tensor(view) for view in (a, a[::-1], np.asfortranarray(a))]
    fq.quantize(Tensor(a.copy()), 0.5, out=out)
    gc.collect()
    tracemalloc.start()
    for tensor in tensors:
        fq.quantize(tensor, 0.5, out=out)
        _kernels.from_dlpack(tensor.__dlpack__())
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 20_000


def test_nothing_is_kept():
    a = numbers(np.float32, 10)
    tensors = [Tensor(a, has_deleter=False) for _ in range(300)]
    for tensor in tensors[:100]:
        fq.quantize(tensor, 0.5)
    dtype, before = np.dtype(np.float32), sys.getrefcount(np.dtype(np.float32))
    gc.collect()
    for tensor in tensors[100:]:
        fq.quantize(tensor, 0.5)
    gc.collect()
    assert abs(sys.getrefcount(dtype) - before) < 20
    counts = [sys.getrefcount(tensor.last) for tensor in tensors]
    assert counts == [2] * len(tensors)
