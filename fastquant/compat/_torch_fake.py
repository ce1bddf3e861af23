"""fake_quantize_per_tensor_affine and _per_channel_affine of torch proper, with their gradient: ATen's
FakeQuantPerTensorAffine.cpp, FakeQuantPerChannelAffine.cpp and QuantizedOpKernels.cpp."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import fastquant as fq
from fastquant.compat import _torch_kernels as kernels
from fastquant.compat._torch_recording import recordable
from fastquant.compat._torch_tensors import (
    HALVES,
    LEAST_INVERTIBLE,
    MOST,
    REALS,
    Array,
    Tensor,
    array,
    axis_of,
    empty,
    gradient_wanted,
    int32,
    inverse_of,
    limits_of,
    number,
    real_array,
)

# What all calls come to: 1 / scale, scale, zero point, limits within int16 or uint16, channels.
_Grid = tuple[Array, Array, Array, tuple[int, int], kernels.Cut]

_SCALES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}


def _grid(inverse: Array, scale: Array, zero_point: Array, limits: tuple[int, int], cut: kernels.Cut) -> _Grid:
    lo, hi = limits
    if not (lo >= -(2**15) and hi < 2**15) and not (lo >= 0 and hi < 2**16):
        # Codes that are all shifted, zero points among them, stand for the same numbers.
        zero_point, limits = np.asarray(zero_point - np.int32(lo)), (0, hi - lo)
    return inverse, scale, zero_point, limits, cut


def _check_no_gradient(t: Any, argument: str) -> None:
    if gradient_wanted(t):
        raise ValueError(f"{argument}: got a tensor that requires a gradient, which there is none of: .detach() it")


def _other_zero_point(zero_point: Any, lo: int, hi: int) -> int:
    if not isinstance(zero_point, torch.Tensor):
        shift = int32(zero_point, "zero_point")
        if not lo <= shift <= hi:
            raise ValueError(f"zero_point: got {shift}, expected one from quant_min, {lo}, to quant_max, {hi}")
        return shift
    if zero_point.is_floating_point() and zero_point.numel() == 1:
        number = zero_point.item()
        if not abs(number) < 2**31:
            raise ValueError(f"zero_point: got {number}, expected an int32 integer")
        return int(number)  # ATen drops the fraction
    return int32(zero_point, "zero_point")


@recordable
def fake_quantize_per_tensor_affine(
    input: Tensor, scale: Any, zero_point: Any, quant_min: int, quant_max: int
) -> Tensor:
    """(clamp(round(input * (1 / scale)) + zero_point, quant_min, quant_max) - zero_point) * scale, 1 / scale in
    float32; of input's type and shape. Differentiable: the gradient passes where the code was not clamped.

    input              float32, float64, float16 or bfloat16
    scale, zero_point  numbers, the zero point within the limits; or tensors of one number, which may lie anywhere
    """
    limits = lo, hi = limits_of(quant_min, quant_max, None)
    if torch.is_autocast_enabled("cpu") and getattr(input, "dtype", None) in HALVES:
        input = input.float()  # this operator is one that autocast runs in float32
    x = real_array(input, "input", REALS)
    step = scale
    if type(scale) is not float:
        _check_no_gradient(scale, "scale")
        step = number(scale, "scale")
    if not LEAST_INVERTIBLE < step < MOST:
        raise ValueError(f"scale: got {step}, expected a finite number > 0, as its reciprocal, in float32")
    plain_shift = type(zero_point) is int and lo <= zero_point <= hi
    shift = zero_point if plain_shift else _other_zero_point(zero_point, lo, hi)
    if hi - lo > 65535 or max(abs(shift), abs(lo)) >= 2**30:  # differences are to be int32
        zeros = torch.tensor([shift], dtype=torch.int32, device="cpu")
        steps = torch.tensor([step], dtype=torch.float32, device="cpu")
        plain: Tensor = torch.fake_quantize_per_tensor_affine(input, steps, zeros, lo, hi)
        return plain
    single = kernels.one(step, np.float32)
    # The float64 quotient, rounded, is the float32 quotient of float32 numbers.
    inverse = kernels.one(1.0 / single.item(), np.float32)
    if x.itemsize == 8:
        inverse = inverse.astype(np.float64)
    return _run(input, x, _grid(inverse, single, kernels.one(shift, np.int32), limits, kernels.whole(x.ndim)))


@recordable
def fake_quantize_per_channel_affine(
    input: Tensor, scale: Tensor, zero_point: Tensor, axis: int, quant_min: int, quant_max: int
) -> Tensor:
    """As fake_quantize_per_tensor_affine, with a scale and a zero point for each index of axis.

    input       float32, float64, float16 or bfloat16
    scale       float32 or bfloat16, of shape (input.shape[axis],)
    zero_point  integers of that shape, within the limits; real zero points, added before rounding, are torch's own
    axis        0 to input.ndim - 1
    """
    limits = lo, hi = limits_of(quant_min, quant_max, None)
    x = real_array(input, "input", REALS)
    channel = axis_of(axis, x.ndim, 0)
    steps = real_array(scale, "scale", _SCALES)
    zeros = array(zero_point, "zero_point")
    shape = x.shape[channel : channel + 1]
    for a, t, argument in ((steps, scale, "scale"), (zeros, zero_point, "zero_point")):
        if a.shape != shape:
            raise ValueError(
                f"{argument}: got shape {a.shape}, expected {shape}, one value for each index of axis {channel}"
            )
        _check_no_gradient(t, argument)
    if hi - lo > 65535 or zeros.dtype.kind not in "iu" or not -(2**30) < lo < 2**30:
        plain: Tensor = torch.fake_quantize_per_channel_affine(input, scale, zero_point, channel, lo, hi)
        return plain
    if zeros.size and not lo <= np.minimum.reduce(zeros) <= np.maximum.reduce(zeros) <= hi:
        wrong = zeros[(zeros < lo) | (zeros > hi)][0]
        raise ValueError(f"zero_point: got {wrong}, expected numbers from quant_min, {lo}, to quant_max, {hi}")
    steps = np.ascontiguousarray(steps, np.float32)
    shift = np.ascontiguousarray(zeros, np.int32)
    inverse = inverse_of(steps, "scale")
    if x.itemsize == 8:
        inverse, steps = inverse.astype(np.float64), steps.astype(np.float64)
    return _run(input, x, _grid(inverse, steps, shift, limits, kernels.along(channel, x.ndim)))


def _run(input: Tensor, x: Array, grid: _Grid) -> Tensor:
    if gradient_wanted(input):
        result: Tensor = _FakeQuantize.apply(input, x, grid)  # type: ignore[no-untyped-call]
        return result
    return _forward(input, x, grid)


def _forward(input: Tensor, x: Array, grid: _Grid) -> Tensor:
    result, out = empty(input, input.dtype)
    if not x.size:
        return result
    inverse, scale, zero_point, limits, cut = grid
    if inverse.dtype == scale.dtype:
        kernels.fake_quantize(x, out, limits, inverse, scale, zero_point, cut)
        return result
    # Per tensor, ATen multiplies by the scale in float32, also for float64 x.
    q = np.empty(x.shape, kernels.code_type_of(limits))
    kernels.quantize(x, q, q.dtype.name, "multiply", limits, inverse, zero_point, None, cut, None)
    out[...] = fq.dequantize(q, scale, zero_point)
    return result


def _inside(input: Tensor, x: Array, grid: _Grid) -> Tensor:
    """Where the code is not clamped, NaN's is: whether it reaches the lowest and not beyond the highest, as bits."""
    (result, inside), (_, above) = empty(input, torch.uint8), empty(input, torch.uint8)
    inverse, _, zero_point, (lo, hi), cut = grid
    if x.size:
        for floor, out in ((lo - 1, inside), (hi, above)):
            shifted = np.asarray(zero_point - np.int32(floor))
            kernels.quantize(x, out, "uint8", "multiply", (0, 1), inverse, shifted, None, cut, None)
        np.bitwise_xor(inside, above, out=inside)
    return result.view(torch.bool)


class _FakeQuantize(torch.autograd.Function):
    """The straight-through estimator; the mask is what ATen saves too."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, x: Array, grid: _Grid) -> Tensor:
        ctx.save_for_backward(_inside(input, x, grid))
        return _forward(input, x, grid)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (inside,) = ctx.saved_tensors
        return gradients[0] * inside, None, None
