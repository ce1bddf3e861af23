"""Where torch records calls (trace, export, compile, fx), what autocast does to them, and scales that are trained."""

from __future__ import annotations

import importlib
import warnings

import pytest

torch = pytest.importorskip("torch")

from torch.autograd import forward_ad  # noqa: E402
from torch.fx.experimental.proxy_tensor import make_fx  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

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


# ---- where tensors are not what is in their memory, or somebody looks on ----

TRANSFORMED = {
    "functionalize": torch.func.functionalize,
    "make_fx": lambda f: make_fx(f)(torch.ones_like(X)),
    "make_fx, fake": lambda f: make_fx(f, tracing_mode="fake")(torch.ones_like(X)),
    "make_fx, symbolic": lambda f: make_fx(f, tracing_mode="symbolic")(torch.ones_like(X)),
    "vmap": torch.vmap,
}


@pytest.mark.parametrize("function", ["choose_qparams", "quantize_per_tensor", "fake_quantize_per_tensor_affine"])
@pytest.mark.parametrize("way", TRANSFORMED)
@pytest.mark.filterwarnings("ignore")  # of torch's own machinery
def test_transforms_are_those_of_the_original(way, function):
    arguments = {
        "choose_qparams": (-128, 127, 1e-5, torch.int8),
        "quantize_per_tensor": (0.1, 0, -128, 127, torch.int8),
        "fake_quantize_per_tensor_affine": (0.1, 0, -128, 127),
    }[function]

    def call(owner):
        def changed(x):
            y = x.clone()
            y.add_(1)  # which functionalize puts off
            return getattr(owner, function)(y, *arguments)

        try:
            return TRANSFORMED[way](changed)(X)
        except RuntimeError as error:  # of vmap, which knows few operators
            return str(error)[:50]

    mine, theirs = call(fct), call(torch if function.startswith("fake") else torch.ops.quantized_decomposed)
    if isinstance(theirs, str):
        assert mine == theirs
    else:
        assert all(map(torch.equal, *((r if isinstance(r, tuple) else (r,)) for r in (mine, theirs))))


@pytest.mark.filterwarnings("ignore")  # of torch's own machinery
def test_forward_derivatives_are_those_of_the_original():
    q, scale, zero_point = torch.tensor([[1, 2, 3]], dtype=torch.int8), torch.tensor([[0.5]]), torch.zeros(1, 1)
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(scale, torch.ones_like(scale))
        x = fct.dequantize_per_token(q, dual, zero_point, -128, 127, torch.int8)
        assert forward_ad.unpack_dual(x).tangent.tolist() == [[1, 2, 3]]
        with pytest.raises(NotImplementedError):  # torch's own
            fct.fake_quantize_per_tensor_affine(forward_ad.make_dual(X, X), 0.1, 0, -128, 127)


def test_any_argument_may_be_the_one_that_is_recorded():
    class ScaleGiven(torch.nn.Module):
        def forward(self, scales):
            return fct.fake_quantize_per_channel_affine(X, scales, ZEROS, 0, -128, 127)

    class ByName(torch.nn.Module):
        def forward(self, scales):
            return fct.fake_quantize_per_channel_affine(
                input=X, scale=scales, zero_point=ZEROS, axis=0, quant_min=-128, quant_max=127
            )

    for module in (ScaleGiven(), ByName()):
        assert torch.equal(torch.fx.symbolic_trace(module)(SCALES), module(SCALES))


def test_modes_see_the_operator():
    class Seen(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            names.append(str(function))
            return function(*args, **(kwargs or {}))

    names = []
    with Seen():
        fct.quantize_per_tensor(X, 0.1, 0, -128, 127, torch.int8)
    assert names[0] == "quantized_decomposed.quantize_per_tensor.default"


@pytest.mark.parametrize("real", [torch.float16, torch.bfloat16])
def test_the_default_device_is_not_used(real):
    q = torch.tensor([1, 2, 3], dtype=torch.int16)
    expected = fct.dequantize_per_tensor(q, 0.1, 30001, -(2**15), 2**15 - 1, torch.int16, out_dtype=real)
    scales, zero_points = torch.full((3, 1), 0.1), torch.zeros(3, 1)
    codes = fct.quantize_per_token(X.to(real), scales, zero_points, -32767, 32766, torch.int16)
    wide = fct.fake_quantize_per_tensor_affine(X, 0.1, 0, -(2**20), 2**20)
    with torch.device("meta"):
        again = fct.dequantize_per_tensor(q, 0.1, 30001, -(2**15), 2**15 - 1, torch.int16, out_dtype=real)
        assert torch.equal(again, expected)
        again = fct.quantize_per_token(X.to(real), scales, zero_points, -32767, 32766, torch.int16)
        assert torch.equal(again, codes)
        assert torch.equal(fct.fake_quantize_per_tensor_affine(X, 0.1, 0, -(2**20), 2**20), wide)


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
