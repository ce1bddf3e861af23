"""Whatever NumPy can describe as an array goes in and comes out right: strides, byte order, alignment, overlap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from calls import out_dtype, reference, run
from values import KERNELS, assert_same, pool, real_dtype

import fastquant as fq

SHAPE = (6, 5, 7)


def misaligned(a: np.ndarray) -> np.ndarray:
    raw = np.zeros(a.nbytes + 1, np.uint8)[1:]
    shifted = raw.view(a.dtype).reshape(a.shape)
    shifted[...] = a
    return shifted


def strided(a: np.ndarray) -> np.ndarray:
    wide = np.zeros((*a.shape[:-1], 3 * a.shape[-1]), a.dtype)
    wide[..., ::3] = a
    return wide[..., ::3]


def negative(a: np.ndarray) -> np.ndarray:
    return a[::-1, :, ::-1].copy()[::-1, :, ::-1]


def transposed(a: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(a.transpose(2, 0, 1)).transpose(1, 2, 0)


def window(a: np.ndarray) -> np.ndarray:
    padded = np.zeros([n + 4 for n in a.shape], a.dtype)
    inside = padded[2:-2, 2:-2, 2:-2]
    inside[...] = a
    return inside


def swapped(a: np.ndarray) -> np.ndarray:
    return a.astype(a.dtype.newbyteorder("S"))


def read_only(a: np.ndarray) -> np.ndarray:
    a = a.copy()
    a.flags.writeable = False
    return a


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "plain": np.copy,
    "fortran": np.asfortranarray,
    "transposed": transposed,
    "strided": strided,
    "negative strides": negative,
    "window": window,
    "misaligned": misaligned,
    "byte-swapped": swapped,
}


def sample(kernel: str, real: str, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return pool(kernel, real, "uint8", 0.1, 128, int(np.prod(shape))).reshape(shape)


@pytest.mark.parametrize("layout", [*LAYOUTS, "read-only"])
@pytest.mark.parametrize("real", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_inputs(target, kernel, real, layout):
    plain = sample(kernel, real)
    if layout == "byte-swapped" and real == "bfloat16":
        pytest.skip("ml_dtypes has no byte-swapped types")
    x = {**LAYOUTS, "read-only": read_only}[layout](plain)
    before = x.copy()
    for axis in (None, 0, 1, 2):
        scale = 0.1 if axis is None else np.linspace(0.1, 0.2, SHAPE[axis]).astype(np.float32)
        expected = reference(kernel, plain, scale, 128, "uint8", real, axis=axis)
        got = run(kernel, x, scale, 128, "uint8", real, axis=axis)
        assert_same(got, expected, plain, axis)
        assert got.flags.c_contiguous
    assert x.tobytes() == before.tobytes()


@pytest.mark.parametrize("layout", [*LAYOUTS, "read-only"])
@pytest.mark.parametrize("real", ["float32", "float64", "float16"])
def test_ranges_of_inputs(target, real, layout):
    plain = sample("quantize", real)
    x = {**LAYOUTS, "read-only": read_only}[layout](plain)
    for axis in (None, 0, 1, 2):
        for got, expected in zip(fq.minmax(x, axis=axis), fq.minmax(plain, axis=axis), strict=True):
            assert_same(got, expected)
        for got, expected in zip(fq.quantize_dynamic(x, axis=axis), fq.quantize_dynamic(plain, axis=axis), strict=True):
            assert_same(got, expected)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("real", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_outputs(target, stores, kernel, real, layout):
    x = sample(kernel, real)
    dtype = out_dtype(kernel, "uint8", real)
    if layout == "byte-swapped" and real == "bfloat16" and kernel != "quantize":
        pytest.skip("ml_dtypes has no byte-swapped types")
    out = LAYOUTS[layout](np.zeros(SHAPE, dtype))
    strides = out.strides
    for axis in (None, 0, 2):
        scale = 0.1 if axis is None else np.linspace(0.1, 0.2, SHAPE[axis]).astype(np.float32)
        out[...] = 1
        assert run(kernel, x, scale, 128, "uint8", real, axis=axis, out=out) is out
        assert out.strides == strides
        assert_same(out.astype(dtype), reference(kernel, x, scale, 128, "uint8", real, axis=axis), x)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_outputs_of_quantize_dynamic(target, layout):
    x = sample("quantize", "float32")
    out = LAYOUTS[layout](np.zeros(SHAPE, np.int8))
    got = fq.quantize_dynamic(x, out=out)
    assert got.q is out
    assert_same(np.ascontiguousarray(out), fq.quantize_dynamic(x).q)


def test_what_lies_between_strided_outputs_stays(target):
    x = sample("quantize", "float32").ravel()
    for dtype, function in ((np.uint8, fq.quantize), (np.float32, fq.fake_quantize)):
        base = np.full(2 * x.size, 77, dtype)
        function(x, 0.1, 128, dtype="uint8", out=base[::2])
        assert (base[1::2] == 77).all()


# ---- overlap ----


@pytest.mark.parametrize("shift", [-70, -8, -1, 0, 1, 7, 8, 64, 70])
@pytest.mark.parametrize("length", [5, 64, 67, 300])
@pytest.mark.parametrize("real", ["float32", "float64"])
def test_fake_quantize_onto_itself_and_its_neighbourhood(target, stores, real, length, shift):
    buffer = sample("fake_quantize", real, (length + 140,))
    start = 70
    x, out = buffer[start : start + length], buffer[start + shift : start + shift + length]
    expected = reference("fake_quantize", x.copy(), 0.1, 128, "uint8", real)
    assert fq.fake_quantize(x, 0.1, 128, dtype="uint8", out=out) is out
    assert_same(out.copy(), expected)


@pytest.mark.parametrize("start", [0, 1, 3, 64, 67, 400, 799])
@pytest.mark.parametrize("real", ["float32", "float64", "float16"])
def test_quantize_into_the_memory_of_its_input(target, stores, real, start):
    x = sample("quantize", real, (400,))
    expected = reference("quantize", x, 0.1, 128, "uint8", real)
    if start + 400 > x.nbytes:
        start = x.nbytes - 400
    out = x.view(np.uint8)[start : start + 400]
    assert fq.quantize(x, 0.1, 128, dtype="uint8", out=out) is out
    assert_same(out.copy(), expected)


@pytest.mark.parametrize("start", [0, 1, 32, 400, 1199, 1200])
def test_dequantize_into_the_memory_of_its_input(target, stores, start):
    memory = np.zeros(1600, np.uint8)
    q = memory[start : start + 400]
    q[:] = sample("dequantize", "float32", (400,))
    expected = reference("dequantize", q.copy(), 0.1, 128, "uint8", "float32")
    out = memory.view(np.float32)
    assert fq.dequantize(q, 0.1, 128, out=out) is out
    assert_same(out.copy(), expected)


def test_quantize_dynamic_into_the_memory_of_its_input(target):
    x = sample("quantize", "float32", (400,))
    expected = fq.quantize_dynamic(x)
    got = fq.quantize_dynamic(x, out=x.view(np.int8)[100:500])
    assert_same(got.q.copy(), expected.q)
    assert got.scale == expected.scale


def test_in_place_in_every_layout(target):
    plain = sample("fake_quantize", "float32")
    for axis in (None, 0, 1, 2):
        scale = 0.1 if axis is None else np.linspace(0.1, 0.2, SHAPE[axis]).astype(np.float32)
        expected = reference("fake_quantize", plain, scale, 128, "uint8", "float32", axis=axis)
        for layout in LAYOUTS.values():
            x = layout(plain)
            assert fq.fake_quantize(x, scale, 128, dtype="uint8", axis=axis, out=x) is x
            assert_same(x.astype(np.float32), expected)
        x = np.ascontiguousarray(plain)
        fq.fake_quantize(x, scale, 128, dtype="uint8", axis=axis, out=x[::-1])
        assert_same(np.ascontiguousarray(x[::-1]), expected)


@pytest.mark.parametrize("axis", [0, 1])
def test_out_may_share_memory_with_the_parameters(target, axis):
    x = sample("fake_quantize", "float32", (8, 8))
    q = sample("dequantize", "float32", (8, 8))
    values = np.linspace(0.1, 0.2, 8).astype(np.float32)
    points = np.arange(100, 108, dtype=np.int32)

    def fresh(kind: str) -> tuple[np.ndarray, dict[str, Any]]:
        """Memory for the result, with one of the parameters in it."""
        memory = np.zeros(64, np.float32)
        arguments: dict[str, Any] = {"scale": values, "zero_point": points, "offset": None}
        if kind == "offset":
            arguments = {"scale": values, "zero_point": 0, "offset": values}
        part = memory[24:32] if kind != "zero_point" else memory.view(np.int32)[24:32]
        part[:] = arguments[kind]
        return memory, {**arguments, kind: part}

    for kind in ("scale", "zero_point", "offset"):
        for kernel, a in (("fake_quantize", x), ("dequantize", q), ("quantize", x)):
            memory, arguments = fresh(kind)
            copied = {
                name: np.copy(value) if isinstance(value, np.ndarray) else value for name, value in arguments.items()
            }
            scale, zero_point = copied.pop("scale"), copied.pop("zero_point")
            expected = reference(kernel, a, scale, zero_point, "uint8", "float32", axis=axis, **copied)
            out = memory.view(np.uint8)[90:154] if kernel == "quantize" else memory
            out = out.reshape(8, 8)
            scale, zero_point = arguments.pop("scale"), arguments.pop("zero_point")
            try:
                run(kernel, a, scale, zero_point, "uint8", "float32", axis=axis, out=out, **arguments)
            except ValueError:
                continue  # refused: as good
            assert_same(out.copy(), expected, what=(kind, kernel))


# ---- other containers ----


def test_memmap(target, tmp_path):
    plain = sample("quantize", "float32")
    path = tmp_path / "x.npy"
    np.save(path, plain)
    x = np.load(path, mmap_mode="r")
    assert_same(fq.quantize(x, 0.1, 128, dtype="uint8"), reference("quantize", plain, 0.1, 128, "uint8", "float32"))
    out = np.lib.format.open_memmap(tmp_path / "q.npy", mode="w+", dtype=np.uint8, shape=SHAPE)
    assert fq.quantize(x, 0.1, 128, out=out) is out
    out.flush()
    assert_same(np.load(tmp_path / "q.npy"), np.asarray(out))
    assert fq.minmax(x) == fq.minmax(plain)


def test_subclasses_are_read_as_arrays(target):
    class Labelled(np.ndarray):
        pass

    plain = sample("quantize", "float32")
    got = fq.quantize(plain.view(Labelled), 0.1, 128, dtype="uint8")
    assert type(got) is np.ndarray
    assert_same(got, fq.quantize(plain, 0.1, 128, dtype="uint8"))
    out = np.zeros(SHAPE, np.uint8).view(Labelled)
    assert fq.quantize(plain, 0.1, 128, out=out) is out
    assert_same(np.asarray(out), got)


def test_torch_tensors(target):
    torch = pytest.importorskip("torch")
    plain = sample("quantize", "float32")
    expected = fq.quantize(plain, 0.1, 128, dtype="uint8")
    x = torch.from_numpy(plain)
    assert_same(fq.quantize(x, 0.1, 128, dtype="uint8"), expected)
    assert_same(fq.quantize(x.permute(2, 0, 1), 0.1, 128, dtype="uint8"), expected.transpose(2, 0, 1).copy())
    assert_same(fq.dequantize(torch.from_numpy(expected), 0.1, 128), fq.dequantize(expected, 0.1, 128))
    assert fq.minmax(x) == fq.minmax(plain)
    with pytest.raises(TypeError, match=r"^x: got Tensor"):
        fq.quantize(torch.ones(3, requires_grad=True), 0.1)


def test_objects_with_the_array_protocol(target):
    class Holder:
        def __init__(self, a: np.ndarray) -> None:
            self.a = a

        def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
            return self.a

    plain = sample("quantize", "float32")
    assert_same(fq.quantize(Holder(plain), 0.1), fq.quantize(plain, 0.1))
    assert_same(
        fq.quantize(plain[0], Holder(np.float32(0.1) * np.ones(5, np.float32)), axis=0), fq.quantize(plain[0], 0.1)
    )
    assert_same(fq.dequantize(memoryview(bytes(range(256))), 0.5), fq.dequantize(np.arange(256).astype(np.uint8), 0.5))


@pytest.mark.parametrize("real", ["float16", "bfloat16"])
def test_half_types_in_and_out(target, real):
    dtype = real_dtype(real)
    x = sample("quantize", real)
    assert fq.minmax(x).lo.dtype == np.float32
    assert fq.fake_quantize(x, 0.1, 128, dtype="uint8").dtype == dtype
    q = fq.quantize(x, 0.1, 128, dtype="uint8")
    for form in (real, dtype, dtype.type):
        assert fq.dequantize(q, 0.1, 128, dtype=form).dtype == dtype
    out = np.zeros(SHAPE, dtype)
    assert fq.dequantize(q, 0.1, 128, dtype=real, out=out) is out
    assert_same(out, reference("dequantize", q, 0.1, 128, "uint8", real))
