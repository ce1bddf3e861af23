"""Where torch records calls (trace, export, compile, fx), what autocast does to them, and scales that are trained."""

from __future__ import annotations

import importlib
import warnings

import pytest

torch = pytest.importorskip("torch")

import fastquant.compat.torch as fct  # noqa: E402

X = torch.linspace(-9, 9, 300).reshape(3, 100)
SCALES, ZEROS = torch.tensor([0.1, 0.2, 0.03]), torch.tensor([0, 3, -7], dtype=torch.int32)


class PerTensor(torch.nn.Module):
    def forward(self, x):
        return fct.fake_quantize_per_tensor_affine(x, 0.1, 3, -128, 127)


class PerChannel(torch.nn.Module):
    def forward(self, x):
        return fct.fake_quantize_per_channel_affine(x, SCALES, ZEROS, 0, -128, 127)


class ThereAndBack(torch.nn.Module):
    def forward(self, x):
        q = fct.quantize_per_channel(x, SCALES, ZEROS, 0, -128, 127, torch.int8)
        return fct.dequantize_per_channel(q, SCALES, ZEROS, 0, -128, 127, torch.int8)


class Chosen(torch.nn.Module):
    def forward(self, x):
        scales, zero_points = fct.choose_qparams_per_token(x, torch.int8)
        q = fct.quantize_per_token(x, scales, zero_points, -128, 127, torch.int8)
        return fct.dequantize_per_token(q, scales, zero_points, -128, 127, torch.int8, torch.float32)


class OneScale(torch.nn.Module):
    def forward(self, x):
        q = fct.quantize_per_tensor(x, 0.1, 3, 0, 255, torch.uint8)
        return fct.dequantize_per_tensor(q, 0.1, 3, 0, 255, torch.uint8)


MODULES = [PerTensor, PerChannel, ThereAndBack, Chosen, OneScale]


def recorded(way: str, module: torch.nn.Module):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own machinery
        if way == "trace":
            return torch.jit.trace(module, (X,))
        if way == "export":
            return torch.export.export(module, (X,)).module()
        if way == "fx":
            return torch.fx.symbolic_trace(module)
        importlib.import_module("torch.ao.quantization.fx._decomposed")  # within a graph it is too late to register
        return torch.compile(module, backend="eager", fullgraph=True)


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("way", ["trace", "export", "fx", "compile"])
@pytest.mark.filterwarnings("ignore")  # of torch's own machinery
def test_what_is_recorded_computes_the_same(way, module):
    again = recorded(way, module())
    for x in (X, X.flip(1) * 0.37):
        assert torch.equal(again(x), module()(x))


def test_a_scale_that_is_to_be_trained_is_refused():
    scale = torch.nn.Parameter(torch.tensor(0.1))
    with pytest.raises(ValueError, match=r"scale: got a tensor that requires a gradient, .*\.detach\(\) it"):
        fct.fake_quantize_per_tensor_affine(X, scale, 0, -128, 127)
    with torch.no_grad():
        assert torch.equal(
            fct.fake_quantize_per_tensor_affine(X, scale, 0, -128, 127),
            torch.fake_quantize_per_tensor_affine(X, 0.1, 0, -128, 127),
        )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_autocast(dtype):
    ours, theirs = (X.to(dtype, copy=True).requires_grad_() for _ in range(2))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        a = fct.fake_quantize_per_tensor_affine(ours, 0.1, 3, -100, 50)
        b = torch.fake_quantize_per_tensor_affine(theirs, 0.1, 3, -100, 50)
        c = fct.fake_quantize_per_channel_affine(ours, SCALES, ZEROS, 0, -128, 127)
        d = torch.fake_quantize_per_channel_affine(theirs, SCALES, ZEROS, 0, -128, 127)
    assert (a.dtype, c.dtype) == (b.dtype, d.dtype)
    assert torch.equal(a, b)
    assert torch.equal(c, d)
    a.sum().backward()
    b.sum().backward()
    assert ours.grad.dtype == theirs.grad.dtype
    assert torch.equal(ours.grad, theirs.grad)
