"""Arrays that spans cannot read or write as they lie go through small buffers: src/copy.h by itself, and public calls
in tiles around the sizes of those buffers."""

from __future__ import annotations

import ctypes
import itertools
import os
import shutil
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from buffers import CANARY
from calls import out_dtype, reference, run
from values import assert_same, pool

import fastquant as fq

HEADERS = Path(fq.__file__).parent / "src"


@pytest.fixture(scope="module")
def copy_tile(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., None]:
    compiler = shutil.which((sysconfig.get_config_var("CC") or "cc").split()[0]) or shutil.which("cc")
    if compiler is None or os.name == "nt":
        pytest.skip("no C compiler")
    library = tmp_path_factory.mktemp("copy") / "copy.so"
    source = Path(__file__).parent / "c" / "copy.c"
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", f"-I{HEADERS}", str(source), "-o", str(library)], check=True)
    found = ctypes.CDLL(str(library)).copy_tile
    step = ctypes.c_ssize_t
    found.argtypes = [ctypes.c_void_p, step, step, ctypes.c_void_p, *[step] * 5, ctypes.c_int]
    found.restype = None
    return found


def placed(shape: tuple[int, int], size: int, order: tuple[int, int], steps: tuple[int, int], shift: int) -> np.ndarray:
    """An array of bytes (rows, n, size) in memory of its own: axis order[0] is the outer one, indices of each axis are
    so many elements apart (negative: backwards), and the memory begins `shift` after a multiple of 64."""
    lengths = [shape[axis] * abs(steps[axis]) for axis in order]
    raw = np.full(lengths[0] * lengths[1] * size + 128, CANARY, np.uint8)
    start = -raw.ctypes.data % 64 + shift
    whole = raw[start : start + lengths[0] * lengths[1] * size].reshape(*lengths, size)
    if order == (1, 0):
        whole = whole.transpose(1, 0, 2)
    return whole[:: steps[0], :: steps[1]]


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_tiles(copy_tile, size, swapped):
    """Every order of axes, direction and alignment; nothing between the elements is written."""
    rng = np.random.default_rng(size)
    orders = ((0, 1), (1, 0))
    steps = ((1, 1), (1, 2), (-1, 1), (2, -1), (-1, -3))
    for shape in ((1, 1), (1, 7), (7, 1), (3, 5), (33, 17), (5, 130)):
        for from_order, to_order, from_steps, to_steps in itertools.product(orders, orders, steps, steps):
            shift = int(rng.integers(0, 16))
            source = placed(shape, size, from_order, from_steps, shift)
            target = placed(shape, size, to_order, to_steps, 15 - shift)
            source[...] = rng.integers(0, 256, source.shape, dtype=np.uint8)
            memory = target.base
            wanted = memory.copy()
            other = np.ndarray(target.shape, np.uint8, wanted, target.ctypes.data - memory.ctypes.data, target.strides)
            # Elements of one byte have no order of bytes.
            other[...] = source[..., ::-1] if swapped and size > 1 else source
            copy_tile(
                *(target.ctypes.data, *target.strides[:2], source.ctypes.data, *source.strides[:2]),
                *(*shape, size, swapped),
            )
            assert memory.tobytes() == wanted.tobytes(), (shape, from_order, to_order, from_steps, to_steps, shift)


def test_nothing_to_copy(copy_tile):
    out = np.full(4, CANARY, np.uint8)
    for rows, n in ((0, 4), (4, 0), (0, 0)):
        copy_tile(out.ctypes.data, 1, 1, out.ctypes.data, 1, 1, rows, n, 1, False)
    assert (out == CANARY).all()


@pytest.mark.parametrize("size", [2, 4, 8])
def test_repeated_elements(copy_tile, size):
    """A stride of 0, as broadcast arrays have."""
    one = np.arange(1, size + 1, dtype=np.uint8)
    out = np.zeros((5, 6, size), np.uint8)
    copy_tile(out.ctypes.data, 6 * size, size, one.ctypes.data, 0, 0, 5, 6, size, True)
    assert (out == one[::-1]).all()


# ---- through public calls ----

# A buffer holds 16384 bytes: 4096 elements of up to 4 bytes or 2048 of 8, of rows of up to 1024, or of 32 where an
# array runs across them.
SHAPES = [
    *((1, 1023), (1, 1024), (1, 1025), (1, 4097), (3, 1365), (5, 1024), (9, 2049), (64, 31), (64, 32), (64, 33)),
    *((127, 33), (128, 32), (129, 65), (200, 1), (257, 16), (1025, 4)),
]
# kernel, real type, code type: sizes of 1, 2, 4 and 8 bytes on either side.
KINDS = [
    *(("quantize", "float32", "uint8"), ("quantize", "float64", "int16"), ("quantize", "float16", "int8")),
    *(("quantize", "bfloat16", "uint16"), ("quantize", "float32", "float8_e5m2"), ("dequantize", "float64", "int32")),
    *(("dequantize", "float32", "int16"), ("dequantize", "float16", "uint8"), ("dequantize", "bfloat16", "int32")),
    *(
        ("fake_quantize", "float64", "int8"),
        ("fake_quantize", "float32", "uint8"),
        ("fake_quantize", "bfloat16", "int4"),
    ),
]


def laid(a: np.ndarray, layout: str) -> np.ndarray:
    """The same values, lying otherwise."""
    if layout == "plain":
        return a.copy()
    if layout == "transposed":
        return np.ascontiguousarray(a.T).T
    if layout == "transposed, backwards":
        return np.ascontiguousarray(a.T[::-1])[::-1].T
    if layout == "strided":
        return np.repeat(a, 2, axis=1)[:, ::2]
    if layout == "rows backwards":
        return np.ascontiguousarray(a[::-1])[::-1]
    if layout == "backwards":
        return np.ascontiguousarray(a[:, ::-1])[:, ::-1]
    if layout == "strided, backwards":
        return np.repeat(a[:, ::-1], 3, axis=1)[:, ::-3]
    if layout == "misaligned":
        made = np.zeros(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
        made[...] = a
        return made
    if layout == "byte-swapped":
        return a.astype(a.dtype.newbyteorder("S")) if a.dtype.kind in "iuf" else laid(a, "misaligned")
    assert layout == "byte-swapped, transposed"
    return laid(np.ascontiguousarray(a.T), "byte-swapped").T


LAYOUTS = [
    *("plain", "transposed", "transposed, backwards", "strided", "rows backwards", "backwards", "strided, backwards"),
    *("misaligned", "byte-swapped", "byte-swapped, transposed"),
]


def sample(kernel: str, real: str, code: str, shape: tuple[int, int]) -> np.ndarray:
    return pool(kernel, real, code, 0.1, 0, shape[0] * shape[1], seed=shape[1]).reshape(shape)


def parameters(shape: tuple[int, int], axis: int | None, block: int | None, code: str) -> tuple[Any, Any]:
    """Different sets for all neighbours."""
    n = 1 if axis is None else shape[axis]
    where = (n,) if block is None else tuple(-(-n // block) if i == axis else m for i, m in enumerate(shape))
    k = np.arange(int(np.prod(where))).reshape(where)
    scale = (0.05 + k % 13 * 0.01).astype(np.float32)
    zero_point = (k % 5 * (0 if code.startswith("float") else 1)).astype(np.int32)
    return (scale, zero_point) if axis is not None else (float(scale[0]), 0)


@pytest.mark.parametrize("source", LAYOUTS)
@pytest.mark.parametrize(("kernel", "real", "code"), KINDS)
def test_sources(target, kernel, real, code, source):
    for shape in SHAPES:
        x = sample(kernel, real, code, shape)
        for axis, block in ((None, None), (0, None), (1, None), (1, 7)):
            given = parameters(shape, axis, block, code)
            expected = reference(kernel, x, *given, code, real, axis=axis, block_size=block)
            got = run(kernel, laid(x, source), *given, code, real, axis=axis, block_size=block)
            assert_same(got, expected, x, (shape, axis, block))


@pytest.mark.parametrize("result", LAYOUTS)
@pytest.mark.parametrize(("kernel", "real", "code"), KINDS)
def test_results(target, kernel, real, code, result):
    dtype = out_dtype(kernel, code, real)
    for k, shape in enumerate(SHAPES):
        x = sample(kernel, real, code, shape)
        source = LAYOUTS[k % len(LAYOUTS)]
        for axis, block in ((None, None), (0, None), (1, None), (0, 5)):
            given = parameters(shape, axis, block, code)
            expected = reference(kernel, x, *given, code, real, axis=axis, block_size=block)
            out = laid(np.zeros(shape, dtype), result)
            assert run(kernel, laid(x, source), *given, code, real, axis=axis, block_size=block, out=out) is out
            assert_same(out.astype(dtype), expected, x, (shape, source, axis, block))


@pytest.mark.parametrize("source", LAYOUTS)
@pytest.mark.parametrize("real", ["float32", "float64", "bfloat16"])
def test_ranges(target, real, source):
    for shape in SHAPES:
        x = sample("quantize", real, "int16", shape)
        moved = laid(x, source)
        for options in ({}, {"axis": 0}, {"axis": 1}, {"block_size": 7}, {"axis": 0, "block_size": 3}):
            for got, expected in zip(fq.minmax(moved, **options), fq.minmax(x, **options), strict=True):
                assert_same(got, expected, what=(shape, options))
            for got, expected in zip(
                fq.quantize_dynamic(moved, **options), fq.quantize_dynamic(x, **options), strict=True
            ):
                assert_same(got, expected, what=(shape, options))


@pytest.mark.parametrize("source", LAYOUTS)
@pytest.mark.parametrize("old", ["int32", "int16", "uint8"])
def test_two_spans(target, old, source):
    """requantize: the reals between go through a buffer of their own."""
    for shape in SHAPES:
        q = sample("dequantize", "float32", old, shape)
        for axis in (None, 0, 1):
            given = parameters(shape, axis, None, old)
            expected = fq.quantize(fq.dequantize(q, *given, axis=axis), 3.0, -2, axis=axis)
            assert_same(fq.requantize(laid(q, source), *given, 3.0, -2, axis=axis), expected, what=(shape, axis))


@pytest.mark.parametrize("code", ["int4", "uint2", "float4_e2m1fn"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_packed(target, code, layout):
    """Packed rows are contiguous; the reals may lie as they like."""
    for shape in SHAPES:
        x = sample("quantize", "float32", code, shape)
        expected = reference("quantize", x, 0.1, 0, code, "float32", packed=True)
        got = fq.quantize(laid(x, layout), 0.1, dtype=code, packed=True)
        assert_same(got, expected, what=shape)
        out = laid(np.zeros(shape, np.float32), layout)
        fq.dequantize(got, 0.1, packed=code, out=out)
        assert_same(out.astype(np.float32), fq.fake_quantize(x, 0.1, dtype=code), what=shape)
        wide = np.zeros((got.shape[0], 2 * got.shape[1]), np.uint8)[:, ::2]
        assert fq.quantize(laid(x, layout), 0.1, dtype=code, packed=True, out=wide) is wide
        assert_same(wide.copy(), expected, what=shape)


@pytest.mark.parametrize("real", ["float32", "float64", "float16"])
def test_three_dimensions(target, real):
    """Every order of axes in memory, on both sides."""
    x = pool("quantize", real, "uint8", 0.1, 0, 17 * 33 * 40).reshape(17, 33, 40)
    scale = (0.05 + np.arange(33) % 13 * 0.01).astype(np.float32)
    expected = reference("quantize", x, scale, 0, "uint8", real, axis=1)
    for order, other in itertools.product(itertools.permutations(range(3)), repeat=2):
        back = np.argsort(order)
        moved = np.ascontiguousarray(x.transpose(order)).transpose(back)
        out = np.zeros([x.shape[a] for a in other], np.uint8).transpose(np.argsort(other))
        fq.quantize(moved, scale, dtype="uint8", axis=1, out=out)
        assert_same(np.ascontiguousarray(out), expected, what=(order, other))
        fq.quantize(moved[::-1, :, ::-1], scale, dtype="uint8", axis=1, out=out[::-1, :, ::-1])
        assert_same(np.ascontiguousarray(out), expected, what=(order, other))
