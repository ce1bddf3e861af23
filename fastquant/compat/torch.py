"""torch's quantizers on CPU tensors: the operators of torch.ops.quantized_decomposed, which go away with torch.ao, and
torch.fake_quantize_per_tensor_affine and _per_channel_affine. Same names, arguments and defaults, same results, bit for
bit (torch 2.13.0 on x86-64; torch/ao/quantization/fx/_decomposed.py and ATen's QuantizedOpKernels.cpp).

Tensors are read where they are; results are new tensors that own their memory, in the memory format of the input where
that is dense (torch's have other strides in places). Nothing else of that size is made, but for
    inputs that are negated lazily, which are copied;
    the mask of fake_quantize's gradient, a byte an element, and as much again while it is made;
    dequantize_* to another type than those that the kernels make of the arithmetic below: float64 of float32, 16-bit
    reals of float64 (by way of float32, as in torch), float32 of 16-bit reals;
    fake_quantize_per_tensor_affine of float64: codes, and float32.

Each operation is rounded to the type that torch rounds it to:

    quantize_per_tensor          clamp(round(x * float32(1 / scale)) + zero_point), 1 / scale in float64
    quantize_per_channel         clamp(round(x * (1 / scales)) + zero_points), 1 / scales in the type of scales; the
                                 product in float64 if that is float64
    quantize_per_token,          clamp(round(x * (1 / scales) + zero_points)) in the type that torch promotes x and
      _per_channel_group         scales to, also float16 or bfloat16
    dequantize_per_tensor        (q - zero_point) * scale in the output type
    dequantize_*, others         (q - zero_points) * scales in the type of scales, then converted
    fake_quantize_*              (clamp(round(x * (1 / scale)) + zero_point) - zero_point) * scale, 1 / scale in float32

One function stands for the overloads of an operator: numbers may be one-element tensors.

Where torch is wrong or undefined, and these functions are not
    NaN                      gives quant_min (torch: 0 here, undefined in general).
    scales, and 1 / scales   that are not finite and > 0, in the type used: ValueError (torch computes with them).
    quant_min > quant_max    ValueError (torch.clamp: all quant_max).
    large zero points        are added exactly (torch: in float32, which rounds beyond 2^24, int64 ones too); beyond
                             int32, or a fraction for one scale: ValueError.
    dequantize_*             q and zero_points of types that torch promotes to 8 or 16 bits: exact (torch: the
                             difference wraps). uint16 with zero points: works (torch: an error).
    scales of another shape  than one for each channel or token (or one): ValueError (torch broadcasts, also along the
                             wrong axis: per token, (n,) for an (n, n) input).
    quantize_per_token       in 16-bit reals saturates (torch: 32767, rounded to 32768, wraps).
    choose_qparams*          NaN and infinity, and ranges or eps that make a scale of 0 or infinity: ValueError (torch:
                             such scales, and zero points made of them).
    *_per_channel_group      NaN gives quant_min (torch: an error, for which it reads the input twice).
    fake_quantize_per_channel_affine
                             infinity saturates (torch: +infinity, and what is beyond int64, gives quant_min). bfloat16
                             scales, int64 zero points and empty inputs work (torch: errors).

Handed on to torch's operator, while torch has it; else a ValueError that says so
    int32 and float8 codes; fractional zero points of several scales, and real ones of a type other than that of the
    arithmetic; 16-bit codes with scales of 16-bit reals; scales without dimensions; other output types than reals;
    limits of fake_quantize more than 65535 apart; gradients other than that of fake_quantize: of scales through
    dequantize_*, of inputs through choose_qparams*.

Where torch watches calls (torch.jit.trace, torch.export, torch.compile, torch.fx, ONNX export, torch.vmap, torch.func,
forward derivatives, dispatch modes) it gets its own operator, which does there what it does. Under autocast
fake_quantize_per_tensor_affine is computed in float32, as torch's.

TypeError or ValueError where torch raises AssertionError, RuntimeError, IndexError or NotImplementedError. Tensors on
other devices, quantized and sparse ones are refused. As after .numpy(), inputs and results cannot be enlarged by
resize_.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import torch

import fastquant as fq
from fastquant.compat import _torch_kernels as kernels
from fastquant.compat._torch_arrays import (
    as_many,
    check_groups,
    dequantize_by,
    groups_of,
    plan_of,
    precision_of,
    rounded_limits,
    shifts_of,
    why,
)
from fastquant.compat._torch_fake import fake_quantize_per_channel_affine, fake_quantize_per_tensor_affine
from fastquant.compat._torch_qparams import (
    choose_qparams,
    choose_qparams_per_token,
    choose_qparams_per_token_asymmetric,
    choose_qparams_symmetric,
)
from fastquant.compat._torch_recording import recordable
from fastquant.compat._torch_tensors import (
    CODES,
    HALVES,
    LEAST,
    MOST,
    REALS,
    SINGLES,
    Array,
    Code,
    Tensor,
    array,
    axis_of,
    check_tokens,
    code_array,
    code_of,
    count_error,
    empty,
    int32,
    integer,
    inverses,
    limits_of,
    number,
    original,
    real_array,
    zero_point_array,
)

__all__ = [
    "choose_qparams",
    "choose_qparams_per_token",
    "choose_qparams_per_token_asymmetric",
    "choose_qparams_symmetric",
    "dequantize_per_channel",
    "dequantize_per_channel_group",
    "dequantize_per_tensor",
    "dequantize_per_token",
    "fake_quantize_per_channel_affine",
    "fake_quantize_per_tensor_affine",
    "quantize_per_channel",
    "quantize_per_channel_group",
    "quantize_per_tensor",
    "quantize_per_token",
]

Dtype: TypeAlias = torch.dtype


def _check_codes(input: Tensor, dtype: Any) -> None:
    if input.dtype is not dtype:
        raise ValueError(f"dtype: got {dtype}, expected {input.dtype}, the type of input")


@recordable
def quantize_per_tensor(
    input: Tensor, scale: Any, zero_point: Any, quant_min: Any, quant_max: Any, dtype: Dtype
) -> Tensor:
    """Codes: clamp(round(input * float32(1 / scale)) + zero_point, quant_min, quant_max), of input's shape.

    input       float32, float16 or bfloat16
    scale       units of input a code; the operators' overloads take one-element tensors for it and the integers
    dtype       int8, uint8, int16 or uint16 (int32, float8: by torch)
    """
    step = scale if type(scale) is float else number(scale, "scale")
    inverse = 1.0 / step if step > 0 else 0.0
    if not LEAST < inverse < MOST:
        raise ValueError(f"scale: got {step}, expected a finite number > 0 whose reciprocal is one of float32")
    code = CODES.get(dtype) or code_of(dtype)
    if code is None:
        quantize = original("quantize_per_tensor", f"dtype: got {dtype}, which fastquant has no kernels for")
        lo, hi = integer(quant_min, "quant_min"), integer(quant_max, "quant_max")
        return quantize(input, step, integer(zero_point, "zero_point"), lo, hi, dtype)  # type: ignore[no-any-return]
    limits = limits_of(quant_min, quant_max, dtype)
    x = real_array(input, "input", SINGLES)
    result, out = empty(input, dtype)
    shift = int32(zero_point, "zero_point")
    factor, zero = kernels.one(inverse, np.float32), kernels.one(shift, np.int32)
    kernels.quantize(x, out, code.name, "multiply", limits, factor, zero, None, kernels.whole(x.ndim), None)
    return result


@recordable
def dequantize_per_tensor(
    input: Tensor, scale: Any, zero_point: Any, quant_min: Any, quant_max: Any, dtype: Dtype, *,
    out_dtype: Dtype | None = None,
) -> Tensor:  # fmt: skip
    """Reals: (input - zero_point) * scale in out_dtype, float32 unless given. dtype must be input's, the limits are not
    used."""
    step = scale if type(scale) is float else number(scale, "scale")
    shift = zero_point if type(zero_point) is int else integer(zero_point, "zero_point")
    q = code_array(input, "input")
    _check_codes(input, dtype)
    code = CODES.get(dtype) or code_of(dtype)
    real = torch.float32 if out_dtype is None else out_dtype
    if code is None or q is None or real not in REALS:
        dequantize = original("dequantize_per_tensor", why(dtype, f"out_dtype: got {real}, expected a real type"))
        lo, hi = integer(quant_min, "quant_min"), integer(quant_max, "quant_max")
        return dequantize(input, step, shift, lo, hi, dtype, out_dtype=out_dtype)  # type: ignore[no-any-return]
    if not (LEAST < step < MOST or (real is torch.float64 and 0 < step < float("inf"))):
        raise ValueError(f"scale: got {step}, expected a finite number > 0, as {real}")
    shift = int32(shift, "zero_point")
    result, out = empty(input, real)
    name = REALS[real]
    if real in HALVES and abs(shift) > HALVES[real]:
        near = torch.tensor(shift, dtype=real, device="cpu").item()  # what torch subtracts
        shift = int(near) if abs(near) < float("inf") else shift
    # Differences that the 16-bit type holds exactly need no rounding, and so no slower kernel.
    rounds = real in HALVES and max(shift - code.lowest, code.highest - shift) > HALVES[real]
    if rounds:
        factor, zero = kernels.one(step, np.float32), kernels.one(shift, np.int32)
        kernels.dequantize(q, out, code.name, factor, zero, kernels.whole(q.ndim), name)
    else:
        fq.dequantize(q, step, shift, dtype=name, out=out)
    return result


@recordable
def quantize_per_channel(
    input: Tensor, scales: Tensor, zero_points: Tensor, axis: int, quant_min: int, quant_max: int, dtype: Dtype
) -> Tensor:
    """Codes: clamp(round(input * (1 / scales)) + zero_points), a scale and a zero point for each index of axis.

    input                float32, float16 or bfloat16
    scales, zero_points  tensors of input.shape[axis] values, or of one for all channels
    axis                 may be negative
    """
    code = CODES.get(dtype) or code_of(dtype)
    x = real_array(input, "input", SINGLES)
    channel = axis_of(axis, x.ndim, -x.ndim)
    inverse, kind = inverses(scales)
    shift = None if code is None else zero_point_array(array(zero_points, "zero_points"))
    if shift is None or code is None or scales.ndim == 0:
        quantize = original("quantize_per_channel", why(dtype, "zero_points: got other values than integers"))
        return quantize(input, scales, zero_points, axis, quant_min, quant_max, dtype)  # type: ignore[no-any-return]
    limits = limits_of(quant_min, quant_max, dtype)
    one = inverse.size == 1
    if not one and inverse.size != x.shape[channel]:
        raise count_error(scales, "scales", x.shape[channel], f"index of axis {axis}")
    if shift.size != inverse.size:
        raise count_error(zero_points, "zero_points", inverse.size, "scale")
    result, out = empty(input, dtype)
    cut = kernels.whole(x.ndim) if one else kernels.along(channel, x.ndim)
    precision = "float64" if kind is torch.float64 else None
    kernels.quantize(x, out, code.name, "multiply", limits, inverse, shift, None, cut, precision)
    return result


@recordable
def dequantize_per_channel(
    input: Tensor, scales: Tensor, zero_points: Tensor | None, axis: int, quant_min: int, quant_max: int, dtype: Dtype,
    *, out_dtype: Dtype | None = None,
) -> Tensor:  # fmt: skip
    """Reals: (input - zero_points) * scales in the type of scales, then to out_dtype, float32 unless given.

    scales, zero_points  as in quantize_per_channel; zero_points may be None
    """
    q = code_array(input, "input")
    _check_codes(input, dtype)
    channel = axis_of(axis, input.ndim, -input.ndim)
    real = torch.float32 if out_dtype is None else out_dtype
    plan = plan_of(input, scales, zero_points, real)
    if plan is None or q is None:
        dequantize = original(
            "dequantize_per_channel", why(dtype, "scales, zero_points: got types or a gradient that the kernels lack")
        )
        arguments = (input, scales, zero_points, axis, quant_min, quant_max, dtype)
        return dequantize(*arguments, out_dtype=out_dtype)  # type: ignore[no-any-return]
    limits_of(quant_min, quant_max, dtype)
    n = scales.numel()
    if n not in (1, input.shape[channel]):
        raise count_error(scales, "scales", input.shape[channel], f"index of axis {axis}")
    if zero_points is not None and zero_points.numel() != n:
        raise count_error(zero_points, "zero_points", n, "scale")
    return dequantize_by(input, q, plan, kernels.whole(q.ndim) if n == 1 else kernels.along(channel, q.ndim))


def _shifted(
    x: Array, out: Array, code: Code, limits: tuple[int, int], inverse: Array, offset: Array, cut: kernels.Cut,
    real: Dtype,
) -> None:  # fmt: skip
    """x * inverse + offset, rounded to codes; in float64, float32, or a 16-bit type after each operation."""
    precision = precision_of(real)
    inverse = np.ascontiguousarray(inverse, np.float64 if real is torch.float64 else np.float32)
    kernels.quantize(x, out, code.name, "multiply_shift", limits, inverse, kernels.ZERO, offset, cut, precision)


@recordable
def quantize_per_token(
    input: Tensor, scales: Tensor, zero_points: Tensor, quant_min: int, quant_max: int, dtype: Dtype
) -> Tensor:
    """Codes: clamp(round(input * (1 / scales) + zero_points)), a scale and a zero point for each token.

    input                tokens along the last axis, of any real type: (..., n)
    scales, zero_points  (..., 1); zero points are added before rounding, and may be fractions
    """
    code = CODES.get(dtype) or code_of(dtype)
    x = real_array(input, "input", REALS)
    inverse, kind = inverses(scales)
    shifts = shifts_of(input, scales, zero_points, kind) if code is not None else None
    if shifts is None or code is None:
        quantize = original("quantize_per_token", why(dtype, "zero_points: got a type that the kernels lack"))
        return quantize(input, scales, zero_points, quant_min, quant_max, dtype)  # type: ignore[no-any-return]
    real, offset = shifts
    limits = rounded_limits(limits_of(quant_min, quant_max, dtype), real, dtype)
    check_tokens(scales, "scales", tuple(x.shape))
    check_tokens(zero_points, "zero_points", tuple(x.shape))
    result, out = empty(input, dtype)
    if x.size:
        x, out, cut = kernels.by_token(x, out) if x.ndim > 1 else (x, out, kernels.whole(x.ndim))
        _shifted(x, out, code, limits, inverse, offset, cut, real)
    return result


@recordable
def dequantize_per_token(
    input: Tensor, scales: Tensor, zero_points: Tensor, quant_min: int, quant_max: int, dtype: Dtype,
    output_dtype: Dtype = torch.float32,
) -> Tensor:  # fmt: skip
    """Reals: (input - zero_points) * scales in the type of scales, then to output_dtype. Shapes as in
    quantize_per_token. The limits and dtype are not used."""
    q = code_array(input, "input")
    plan = plan_of(input, scales, zero_points, output_dtype)
    if plan is None or q is None:
        reason = why(input.dtype, "scales, zero_points: got types or a gradient that the kernels lack")
        dequantize = original("dequantize_per_token", reason)
        arguments = (input, scales, zero_points, quant_min, quant_max, dtype, output_dtype)
        return dequantize(*arguments)  # type: ignore[no-any-return]
    shape = tuple(input.shape)
    check_tokens(scales, "scales", shape)
    check_tokens(zero_points, "zero_points", shape)
    return dequantize_by(input, q, plan, None)


@recordable
def quantize_per_channel_group(
    input: Tensor, scales: Tensor, zero_points: Tensor, quant_min: int, quant_max: int, dtype: Dtype,
    group_size: int = 128,
) -> Tensor:  # fmt: skip
    """Codes of a matrix, a scale and a zero point for each group_size elements of a row, computed as in
    quantize_per_token. scales, zero_points: tensors of as many values, or of one."""
    code = CODES.get(dtype) or code_of(dtype)
    x = real_array(input, "input", REALS)
    group, counts = groups_of(input, scales, group_size)
    inverse, kind = inverses(scales)
    shifts = shifts_of(input, scales, zero_points, kind) if code is not None else None
    if shifts is None or code is None:
        quantize = original("quantize_per_channel_group", why(dtype, "zero_points: got a type that the kernels lack"))
        arguments = (input, scales, zero_points, quant_min, quant_max, dtype, group_size)
        return quantize(*arguments)  # type: ignore[no-any-return]
    real, offset = shifts
    limits = rounded_limits(limits_of(quant_min, quant_max, dtype), real, dtype)
    one = check_groups(scales, zero_points, group, counts)
    result, out = empty(input, dtype)
    cut = kernels.whole(2) if one else kernels.groups(counts[1], group)
    _shifted(x, out, code, limits, inverse, as_many(offset, inverse.size), cut, real)
    return result


@recordable
def dequantize_per_channel_group(
    input: Tensor, scales: Tensor, zero_points: Tensor | None, quant_min: int, quant_max: int, dtype: Dtype,
    group_size: int = 128, output_dtype: Dtype = torch.float32,
) -> Tensor:  # fmt: skip
    """Reals of a matrix of codes, groups as in quantize_per_channel_group, computed as in dequantize_per_token.
    zero_points may be None. The limits and dtype are not used."""
    q = code_array(input, "input")
    group, counts = groups_of(input, scales, group_size)
    plan = plan_of(input, scales, zero_points, output_dtype)
    if plan is None or q is None:
        reason = why(input.dtype, "scales, zero_points: got types or a gradient that the kernels lack")
        dequantize = original("dequantize_per_channel_group", reason)
        arguments = (input, scales, zero_points, quant_min, quant_max, dtype, group_size, output_dtype)
        return dequantize(*arguments)  # type: ignore[no-any-return]
    one = check_groups(scales, zero_points, group, counts)
    return dequantize_by(input, q, plan, kernels.whole(2) if one else kernels.groups(counts[1], group))
