"""torch's tensors by way of DLPack, types that NumPy does not know among them."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest
from values import FLOAT_TYPES, assert_same, codes_of, real_dtype

import fastquant as fq
from fastquant import _kernels


def numbers(dtype: Any, *shape: int) -> np.ndarray:
    return (np.arange(int(np.prod(shape))) % 23).astype(np.float32).astype(dtype).reshape(shape)


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch")


TORCH_TYPES = ("float32", "float64", "float16", "bfloat16")


@pytest.mark.parametrize("name", TORCH_TYPES)
def test_torch_reals(torch, target, name):
    plain = numbers(real_dtype(name), 6, 5, 4)
    x = torch.arange(120).remainder(23).to(getattr(torch, name)).reshape(6, 5, 4)
    for mine, theirs in (
        *((plain, x), (plain.T, x.permute(2, 1, 0)), (plain[::2, :, 1], x[::2, :, 1]), (plain[2, 3, 1], x[2, 3, 1])),
        *((plain[:0], x[:0]), (np.broadcast_to(plain[:1], (7, 5, 4)), x[:1].expand(7, 5, 4))),
    ):
        got = _kernels.from_dlpack(theirs.__dlpack__())
        assert_same(got, mine)
        assert got.ctypes.data == theirs.data_ptr() or not mine.size
        assert_same(fq.quantize(theirs, 0.5), fq.quantize(mine, 0.5))
        assert_same(fq.fake_quantize(theirs, 0.5), fq.fake_quantize(mine, 0.5))
    assert_same(fq.quantize(x, torch.full((5,), 0.5), axis=1), fq.quantize(plain, 0.5))


@pytest.mark.parametrize("name", [name for name in FLOAT_TYPES if name.startswith("float8")])
def test_torch_float8(torch, target, name):
    if not hasattr(torch, name):
        pytest.skip(f"torch has no {name}")
    codes = codes_of(name)
    q = torch.arange(256, dtype=torch.uint8).view(getattr(torch, name))
    try:
        capsule = q.__dlpack__()
    except (BufferError, RuntimeError, TypeError, ValueError):
        pytest.skip("this torch does not hand it over")
    assert_same(_kernels.from_dlpack(capsule), codes)
    assert_same(fq.dequantize(q, 0.5), fq.dequantize(codes, 0.5))
    assert_same(fq.dequantize(q[::3], 0.5), fq.dequantize(codes[::3], 0.5))


@pytest.mark.parametrize("name", ["int8", "uint8", "int16", "int32"])
def test_torch_codes(torch, target, name):
    q = torch.arange(100).to(getattr(torch, name))
    assert_same(fq.dequantize(q, 0.5), fq.dequantize(np.arange(100).astype(name), 0.5))


@pytest.mark.parametrize("name", TORCH_TYPES)
def test_torch_that_requires_a_gradient(torch, name):
    x = torch.ones(3, dtype=getattr(torch, name), requires_grad=True)
    with pytest.raises(TypeError, match=r"^x: got Tensor, expected an array of float32.*requires"):
        fq.quantize(x, 0.1)
    assert_same(fq.quantize(x.detach(), 0.1), np.full(3, 10, np.int8))


def test_torch_memory_lives_on(torch):
    x = torch.arange(1000, dtype=torch.bfloat16)
    got = _kernels.from_dlpack(x.__dlpack__())
    expected = got.copy()
    del x
    gc.collect()
    others = [torch.zeros(1000, dtype=torch.bfloat16) for _ in range(100)]
    assert_same(got, expected)
    assert len(others) == 100


def test_torch_tensors_that_are_negated_lazily(torch):
    """DLPack would hand out the memory without the sign."""
    parts = torch.complex(torch.ones(4), torch.arange(4.0)).conj().imag
    assert parts.is_neg()
    with pytest.raises(TypeError, match=r"x: got Tensor.*negative bit"):
        fq.quantize(parts, 1.0)
    assert fq.quantize(parts.resolve_neg(), 1.0).tolist() == [0, -1, -2, -3]


def test_the_type_of_a_zero_point(torch):
    """It tells the type of the codes, as NumPy's does."""
    x = torch.linspace(-3, 9, 24).reshape(2, 12)
    one, several = torch.tensor(128, dtype=torch.uint8), torch.tensor([128, 7], dtype=torch.uint8)
    assert_same(fq.quantize(x, 0.1, one), fq.quantize(x.numpy(), 0.1, np.uint8(128)))
    assert_same(fq.quantize(x, 0.1, several, axis=0), fq.quantize(x.numpy(), 0.1, several.numpy(), axis=0))
    assert fq.quantize(x, 0.1, one).dtype == np.uint8
    assert fq.quantize(x, 0.1, torch.tensor(128, dtype=torch.int32)).dtype == np.int8
    with pytest.raises(ValueError, match=r"^zero_point: got uint8, expected int8 or int32 where dtype is int8"):
        fq.fake_quantize(x, 0.1, one)
