"""fastquant.compat.torch against torch's own operators: results, layouts, gradients."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastquant as fq

torch = pytest.importorskip("torch")

from compat_table_torch import FAMILIES, LIMITS, Case, differences, hostile, random, real, theirs  # noqa: E402

from fastquant.compat import _torch_tensors  # noqa: E402
from fastquant.compat import torch as ours  # noqa: E402

pytestmark = pytest.mark.skipif(theirs is None, reason="this torch has no quantized_decomposed operators")

REALS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
INF, NAN = float("inf"), float("nan")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Any:
    usual = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(usual)


def check(case: Case) -> int:
    """The number of elements that were found equal, on every target."""
    original = case.original()
    for target in fq.cpu.available():
        with fq.cpu.use(target):
            n, wrong = differences(case.mine(), original)
            assert not wrong, f"{case.function} {case.label}: {wrong} of {n} differ on {target}"
    return n


def equal(function: str, *arguments: Any, **options: Any) -> Any:
    case = Case(function, "", arguments, options)
    check(case)
    return case.mine()


@pytest.mark.parametrize("family", FAMILIES)
def test_equal_to_the_original(family):
    assert sum(check(case) for case in FAMILIES[family](20)) > 1000


@pytest.mark.parametrize("name", ["wordllama", "minilm"])
def test_real_weights(name):
    """More rows, through the whole round, with the scales that torch chooses."""
    x = real(name, 256)
    if x is None:
        pytest.skip(f"{name} is not installed")
    scale, zero_point = equal("choose_qparams", x, -128, 127, 1.19e-7, torch.int8)
    q = equal("quantize_per_tensor", x, scale, zero_point, -128, 127, torch.int8)
    equal("dequantize_per_tensor", q, scale, zero_point, -128, 127, torch.int8)
    equal("fake_quantize_per_tensor_affine", x, scale.float(), zero_point.int(), -128, 127)
    for choose in ("choose_qparams_per_token", "choose_qparams_per_token_asymmetric"):
        scales, zero_points = equal(choose, x, torch.int8)
        q = equal("quantize_per_token", x, scales, zero_points, -128, 127, torch.int8)
        equal("dequantize_per_token", q, scales, zero_points, -128, 127, torch.int8, torch.float32)
        rows = scales.reshape(-1), zero_points.reshape(-1)
        q = equal("quantize_per_channel", x, *rows, 0, -128, 127, torch.int8)
        equal("dequantize_per_channel", q, *rows, 0, -128, 127, torch.int8)


finite = st.floats(-(2.0**127), 2.0**127, width=32)


@given(
    st.lists(finite | st.sampled_from([INF, -INF, 0.0, -0.0]), min_size=1, max_size=40),
    st.floats(1e-6, 1e6),
    st.integers(-(2**23), 2**23),
    st.sampled_from(list(LIMITS)),
    st.sampled_from([torch.float32, torch.float16, torch.bfloat16]),
)
def test_any_numbers(values, scale, zero_point, dtype, real_type):
    x = torch.tensor(values, dtype=torch.float64).to(real_type)
    equal("quantize_per_tensor", x, scale, zero_point, *LIMITS[dtype], dtype)
    scales, zero_points = torch.tensor([[scale]], dtype=torch.float32), torch.tensor([[zero_point % 999]])
    equal("quantize_per_token", x[None], scales, zero_points, *LIMITS[dtype], dtype)
    equal("quantize_per_channel", x[None], scales[0], zero_points[0], 0, *LIMITS[dtype], dtype)


@given(
    st.lists(st.floats(-1e9, 1e9, width=32), min_size=1, max_size=40),
    st.floats(1e-6, 1e6),
    st.integers(-(2**20), 2**20),
    st.integers(1, 65535),
    st.floats(0, 1),
    st.sampled_from(REALS),
)
def test_fake_quantize_of_any_numbers(values, scale, lo, width, where, real_type):
    largest = 65504 if real_type is torch.float16 else 1e9
    x = torch.tensor(values, dtype=torch.float64).clamp(-largest, largest)
    zero_point = lo + int(where * width)
    arguments = x.to(real_type)[None], torch.tensor([scale]), torch.tensor([zero_point], dtype=torch.int32)
    equal("fake_quantize_per_tensor_affine", arguments[0], scale, zero_point, lo, lo + width)
    equal("fake_quantize_per_channel_affine", *arguments, 0, lo, lo + width)


@given(
    st.lists(st.floats(-(2.0**99), 2.0**99, width=32), min_size=1, max_size=20),
    st.integers(-300, 0),
    st.integers(1, 300),
    st.sampled_from([0.0, 1e-10, 1e-5, 2.0]),
    st.sampled_from([torch.float32, torch.bfloat16]),
)
def test_qparams_of_any_numbers(values, lo, hi, eps, real_type):
    x = torch.tensor(values, dtype=torch.float64).to(real_type)
    for function in ("choose_qparams", "choose_qparams_symmetric"):
        arguments = (x, lo, hi, eps, torch.int8)
        if getattr(theirs, function)(*arguments)[0].item() > 0:
            equal(function, *arguments)
    for function in ("choose_qparams_per_token", "choose_qparams_per_token_asymmetric"):
        equal(function, x, torch.int8)


# ---- layouts ----


def layouts() -> dict[str, Any]:
    x = random(4 * 6 * 5, 8).reshape(4, 6, 5, 8) * 3
    return {
        "contiguous": x,
        "transposed": x.permute(3, 1, 0, 2),
        "channels_last": x.contiguous(memory_format=torch.channels_last),
        "strided": x[:, ::2, :, 1::3],
        "expanded": x[:1].expand(4, 6, 5, 8),
        "negated": torch.complex(x, -x).conj().imag,
        "flat": x.reshape(-1),
        "one": x[0, 0, 0, :1],
        "no elements": x[:0],
        "no channels": x[:, :0],
        "ones": x[:1, :1, :, :1],
    }


@pytest.mark.parametrize("layout", layouts())
@pytest.mark.parametrize("real_type", [torch.float32, torch.bfloat16])
def test_layouts(layout, real_type):
    x = layouts()[layout]
    x = x if real_type is torch.float32 else x.to(real_type)
    before = x.clone()
    limits = (-128, 127)
    q = equal("quantize_per_tensor", x, 0.05, 3, *limits, torch.int8)
    equal("dequantize_per_tensor", q, 0.05, 3, *limits, torch.int8)
    equal("fake_quantize_per_tensor_affine", x, 0.05, 3, *limits)
    equal("dequantize_per_tensor", q if layout != "transposed" else q.mT, 0.05, 3, *limits, torch.int8)
    if x.numel():
        equal("choose_qparams", x, *limits, 1e-6, torch.int8)
    for axis in range(-x.ndim, x.ndim):
        n = x.shape[axis]
        scales, zeros = torch.rand(2 * n)[::2] + 0.01, torch.arange(n, dtype=torch.int32) % 100
        q = equal("quantize_per_channel", x, scales, zeros, axis, *limits, torch.int8)
        equal("dequantize_per_channel", q, scales, zeros, axis, *limits, torch.int8)
        if axis >= 0 and n:
            equal("fake_quantize_per_channel_affine", x, scales, zeros, axis, *limits)
    tokens = torch.rand(*x.shape[:-1], 1) + 0.01, torch.zeros(*x.shape[:-1], 1, dtype=torch.int64) + 5
    q = equal("quantize_per_token", x, *tokens, *limits, torch.int8)
    equal("dequantize_per_token", q, *tokens, *limits, torch.int8, torch.float32)
    if x.ndim > 1:
        fewer = tuple(t[0] if len(t) == 1 else t for t in tokens)  # a leading 1 may be missing
        equal("quantize_per_token", x, *fewer, *limits, torch.int8)
        flat = x.flatten(0, -2)
        groups = torch.rand(flat.shape[0], 1), torch.ones(flat.shape[0], 1)
        if flat.shape[1] > 1:
            equal("quantize_per_channel_group", flat, *groups, *limits, torch.int8, flat.shape[1])
            equal("quantize_per_channel_group", flat, *(g[:1] for g in groups), *limits, torch.int8, flat.shape[1])
            equal("quantize_per_channel_group", flat, *groups, *limits, torch.int8, 128)  # longer than a row
    if x.numel():
        for choose in ("choose_qparams_per_token", "choose_qparams_per_token_asymmetric"):
            equal(choose, x, torch.int8)
    assert torch.equal(x, before)


def test_parameters_of_any_layout():
    x, scales, zeros = random(6, 8), torch.rand(2, 6) + 0.01, torch.arange(12).reshape(2, 6)
    q = equal("quantize_per_channel_group", x, scales.T, zeros.T, -128, 127, torch.int8, 4)
    equal("dequantize_per_channel_group", q, scales.T, zeros.T, -128, 127, torch.int8, 4, torch.float32)
    equal(
        "quantize_per_channel",
        x,
        scales[0].expand(8, 6).T[:, 0],
        zeros[1].expand(8, 6).T[:, 0],
        0,
        -128,
        127,
        torch.int8,
    )
    equal("quantize_per_channel", x, scales[:1, :1].expand(8, 1), zeros[:1, :1].expand(8, 1), 1, -128, 127, torch.int8)


def test_no_dimensions():
    x = torch.tensor(0.7)
    q = equal("quantize_per_tensor", x, 0.1, 3, -128, 127, torch.int8)
    equal("dequantize_per_tensor", q, 0.1, 3, -128, 127, torch.int8)
    equal("fake_quantize_per_tensor_affine", x, 0.1, 3, -128, 127)
    equal("choose_qparams", x, -128, 127, 1e-6, torch.int8)
    equal("choose_qparams_per_token", x, torch.int8)
    equal("choose_qparams_per_token_asymmetric", x, torch.int8)
    equal("quantize_per_token", x, torch.tensor([0.1]), torch.tensor([3]), -128, 127, torch.int8)
    equal("dequantize_per_token", q, torch.tensor([0.1]), torch.tensor([3]), -128, 127, torch.int8, torch.float32)
    for a, b in ((x[None], torch.tensor(0.1)), (x, torch.tensor(0.1))):
        equal("quantize_per_token", a, b, torch.tensor(3), -128, 127, torch.int8)


def test_one_scale_for_all_channels():
    x, one = random(6, 8), (torch.tensor([0.05]), torch.tensor([7]))
    for axis in (0, 1):
        q = equal("quantize_per_channel", x, *one, axis, -128, 127, torch.int8)
        equal("dequantize_per_channel", q, *one, axis, -128, 127, torch.int8)
        equal("quantize_per_channel", x, one[0][:, None], one[1][:, None], axis, -128, 127, torch.int8)


def test_results_own_their_memory_and_inputs_are_not_copied():
    for real_type in REALS:
        x = random(3, 4).to(real_type)
        assert _torch_tensors.array(x, "x").ctypes.data == x.data_ptr()
        assert _torch_tensors.array(x.clone().requires_grad_(), "x").dtype == _torch_tensors.array(x, "x").dtype
        y = ours.fake_quantize_per_tensor_affine(x, 0.05, 3, -128, 127)
        assert y.untyped_storage().nbytes() == y.nbytes
        assert not y._is_view()


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_dense_results_have_the_memory_format_of_the_input(memory_format):
    x = random(2 * 6 * 5, 8).reshape(2, 6, 5, 8).contiguous(memory_format=memory_format)
    q = ours.quantize_per_tensor(x, 0.05, 3, -128, 127, torch.int8)
    assert q.is_contiguous(memory_format=memory_format)


def test_other_defaults_do_not_matter():
    x, scales = random(3, 4), torch.rand(3)
    with torch.device("meta"):
        q = ours.quantize_per_tensor(x, 0.05, 3, -128, 127, torch.int8)
    equal("quantize_per_tensor", x, 0.05, 3, -128, 127, torch.int8)
    assert q.device.type == "cpu"
    with torch.inference_mode():
        equal("quantize_per_channel", x, scales, torch.zeros(3), 0, -128, 127, torch.int8)
        equal("fake_quantize_per_tensor_affine", x, 0.05, 3, -128, 127)


def test_one_element_tensors_for_numbers():
    """The .tensor and .tensor2 overloads."""
    x = random(3, 4)
    scale, zero_point, lo, hi = torch.tensor([0.05]), torch.tensor(3), torch.tensor(-128), torch.tensor([127])
    q = equal("quantize_per_tensor", x, scale, zero_point, -128, 127, torch.int8)
    equal("quantize_per_tensor", x, scale, zero_point, lo, hi, torch.int8)
    equal("quantize_per_tensor", x, scale.double(), torch.tensor([3.0]), -128, 127, torch.int8)
    equal("dequantize_per_tensor", q, scale, zero_point, -128, 127, torch.int8, out_dtype=torch.float16)
    equal("dequantize_per_tensor", q, scale, zero_point, lo, hi, torch.int8)
    for shift in (3, 300, -5):  # also beyond the limits
        equal("fake_quantize_per_tensor_affine", x, scale, torch.tensor([shift]), -128, 127)
    equal("fake_quantize_per_tensor_affine", x * 9, scale, torch.tensor([20.7]), -128, 127)
    for a, b in ((np.float32(0.05), np.int64(3)), (1, True)):
        equal("quantize_per_tensor", x, a, b, -128, 127, torch.int8)


def test_arguments_by_name_and_their_defaults():
    x, scales, zeros = random(3, 256), torch.full((3,), 0.05), torch.zeros(3)
    names = {"quant_min": -128, "quant_max": 127, "dtype": torch.int8}
    tensors = {"scales": scales[:, None], "zero_points": zeros[:, None], **names}
    equal("quantize_per_tensor", input=x, scale=0.05, zero_point=3, **names)
    q = equal("quantize_per_channel", input=x, scales=scales, zero_points=zeros, axis=0, **names)
    equal("dequantize_per_tensor", input=q, scale=0.05, zero_point=3, **names, out_dtype=None)
    equal("dequantize_per_channel", input=q, scales=scales, zero_points=None, axis=0, **names, out_dtype=None)
    equal("quantize_per_token", input=x, **tensors)
    equal("dequantize_per_token", input=q, **tensors, output_dtype=torch.float32)
    equal("choose_qparams", input=x, quant_min=0, quant_max=255, eps=1e-6, dtype=torch.uint8)
    equal("choose_qparams_symmetric", input=x, quant_min=0, quant_max=255, eps=1e-6, dtype=torch.uint8)
    equal("choose_qparams_per_token", input=x, dtype=torch.int8)
    equal("choose_qparams_per_token_asymmetric", input=x, dtype=torch.int8)
    limits = {"quant_min": -128, "quant_max": 127}
    equal("fake_quantize_per_tensor_affine", input=x, scale=0.05, zero_point=3, **limits)
    equal("fake_quantize_per_channel_affine", input=x, scale=scales, zero_point=zeros.int(), axis=0, **limits)
    for function, more in (("dequantize_per_token", ()), ("dequantize_per_channel_group", (128,))):
        parameters = [t.repeat(1, 2) if more else t for t in (scales[:, None], zeros[:, None])]
        whole = getattr(theirs, function)(q, *parameters, -128, 127, torch.int8, *more, torch.float32)
        assert torch.equal(getattr(ours, function)(q, *parameters, -128, 127, torch.int8), whole)


# ---- gradients ----

FAKE = ("fake_quantize_per_tensor_affine", "fake_quantize_per_channel_affine")


def gradient(call: Any, x: Any) -> tuple[Any, Any]:
    leaf = x.clone().requires_grad_()
    y = call(leaf)
    (y * torch.linspace(-2, 3, y.numel()).reshape(y.shape).to(y.dtype)).sum().backward()
    return y.detach(), leaf.grad


@pytest.mark.parametrize("function", FAKE)
@pytest.mark.parametrize("real_type", REALS)
@pytest.mark.parametrize(
    ("lo", "hi", "zero_point"),
    [(-128, 127, 0), (0, 255, 100), (-8, 7, 2), (-32768, 32767, 5), (0, 65535, 9), (-1, 50000, 7)],
)
def test_gradients(function, real_type, lo, hi, zero_point, target):
    n = 16
    odd = torch.tensor([NAN, INF, -INF, 1e30, -1e30]) if function == FAKE[0] else torch.tensor([1e9, -1e9, 3e5])
    x = torch.cat([hostile(0.05, 60000).reshape(-1)[: 100 * n], odd.repeat(n)[: 3 * n].clamp(-60000, 60000)])
    x = x.reshape(n, -1).to(real_type)
    scales, zeros = torch.full((n,), 0.05), torch.full((n,), zero_point, dtype=torch.int32)
    parameters = (0.05, zero_point, lo, hi) if function == FAKE[0] else (scales, zeros, 0, lo, hi)
    mine = gradient(lambda t: getattr(ours, function)(t, *parameters), x)
    original = gradient(lambda t: getattr(torch, function)(t, *parameters), x)
    assert differences(mine, original)[1] == 0
    assert (mine[1] == 0).any() or hi > 30000


def test_gradients_with_zero_points_far_away(target):
    x = torch.tensor([-(2.0**31), -1e9, 0.0, 3.0, 1e9])
    for zero_point in (2**31 - 1, -(2**31), 2**30, 1000):
        arguments = torch.tensor([1.0]), torch.tensor([zero_point], dtype=torch.int32), -128, 127
        mine, original = (
            gradient(lambda t, m=module, a=arguments: m.fake_quantize_per_tensor_affine(t, *a), x)
            for module in (ours, torch)
        )
        assert differences(mine, original)[1] == 0


def test_gradients_of_gradients_and_without_any():
    x = random(4, 8).requires_grad_()
    y = ours.fake_quantize_per_tensor_affine(x, 0.02, 0, -128, 127)
    (first,) = torch.autograd.grad((y * y).sum(), x, create_graph=True)
    again = torch.fake_quantize_per_tensor_affine(x, 0.02, 0, -128, 127)
    (expected,) = torch.autograd.grad((again * again).sum(), x, create_graph=True)
    assert torch.equal(first, expected)
    seconds = [torch.autograd.grad(g.sum(), x)[0] for g in (first, expected)]
    assert torch.equal(*seconds)
    with torch.no_grad():
        assert not ours.fake_quantize_per_tensor_affine(x, 0.02, 0, -128, 127).requires_grad
    assert not ours.fake_quantize_per_tensor_affine(x.detach(), 0.02, 0, -128, 127).requires_grad
    assert not ours.quantize_per_tensor(x, 0.02, 0, -128, 127, torch.int8).requires_grad
    empty = torch.zeros(0, 3, requires_grad=True)
    ours.fake_quantize_per_tensor_affine(empty, 0.02, 0, -128, 127).sum().backward()
    assert empty.grad.shape == (0, 3)


def test_training_takes_the_same_steps():
    weights = []
    for module in (ours, torch):
        torch.manual_seed(0)
        w = torch.randn(8, 16).requires_grad_()
        optimizer = torch.optim.SGD([w], lr=0.1)
        x, wanted = torch.randn(32, 16), torch.randn(32, 8)
        zeros = torch.zeros(8, dtype=torch.int32)
        for _ in range(5):
            scales = w.detach().abs().amax(1) / 7 * 0.8
            rough = module.fake_quantize_per_channel_affine(w, scales, zeros, 0, -8, 7)
            loss = ((module.fake_quantize_per_tensor_affine(x, 0.05, 3, -128, 127) @ rough.T - wanted) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        weights.append(w.detach())
    assert torch.equal(*weights)


@pytest.mark.filterwarnings("ignore:.*autograd kernel was not registered:UserWarning")
def test_learned_scales_are_left_to_torch():
    q, scales, zeros = torch.arange(12, dtype=torch.int8).reshape(3, 4), torch.rand(3), torch.zeros(3)
    for function, shape, arguments in (
        ("dequantize_per_channel", (3,), (0, -128, 127, torch.int8)),
        ("dequantize_per_token", (3, 1), (-128, 127, torch.int8, torch.float32)),
    ):
        found = []
        for module in (ours, theirs):
            s = scales.clone().requires_grad_()
            getattr(module, function)(q, s.reshape(shape), zeros.reshape(shape), *arguments).sum().backward()
            found.append(s.grad)
        assert torch.equal(*found)
    z = zeros.clone().requires_grad_()
    ours.dequantize_per_channel(q, scales, z, 0, -128, 127, torch.int8).sum().backward()
    assert torch.allclose(z.grad, -4 * scales)
    x = random(3, 4).requires_grad_()
    for function, arguments in (
        ("choose_qparams", (-128, 127, 1e-6, torch.int8)), ("choose_qparams_symmetric", (-128, 127, 1e-6, torch.int8)),
        ("choose_qparams_per_token", (torch.int8,)), ("choose_qparams_per_token_asymmetric", (torch.int8,)),
    ):  # fmt: skip
        sums = [getattr(module, function)(x, *arguments)[0].sum() for module in (ours, theirs)]
        assert torch.equal(*(torch.autograd.grad(total, x)[0] for total in sums))


def test_the_package_itself_does_without_torch():
    code = "import sys, fastquant.compat; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-P", "-c", code], check=True, timeout=60)
