"""Scales and zero points by torch's formulas: the extremes are found in one pass; the few numbers that follow from
them by the operations of torch/ao/quantization/utils.py (determine_qparams) and _decomposed.py, in NumPy, since torch
takes a microsecond or two for each. They are rounded to the types that torch has them in."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import torch

import fastquant as fq
from fastquant import _kernels
from fastquant.compat._torch_recording import recordable
from fastquant.compat._torch_tensors import (
    REALS,
    SINGLES,
    Array,
    Tensor,
    code_of,
    gradient_wanted,
    limits_of,
    number,
    original,
    real_array,
)

_Pair = tuple[Tensor, Tensor]

_HALVES: dict[torch.dtype, Any] = {torch.float16: np.float16, torch.bfloat16: ml_dtypes.bfloat16}
_ZERO = np.float32(0)
_EPS = float(np.finfo(np.float32).eps)


def _rounded(a: Any, half: Any) -> Any:
    """float32 numbers rounded to a 16-bit type, if there is one."""
    return a if half is None else a.astype(half).astype(np.float32)


def _minmax(x: Array, axis: Any = None) -> tuple[Any, Any]:
    try:
        return fq.minmax(x, axis=axis)
    except ValueError as error:
        raise ValueError(str(error).replace("x: ", "input: ", 1)) from None


def _no_scale(scale: Any, more: str = "") -> ValueError:
    return ValueError(
        f"input: got a range whose scale is {scale}, expected values whose range has a finite scale > 0{more}"
    )


def _choose(input: Any, quant_min: Any, quant_max: Any, eps: Any, dtype: Any, symmetric: bool) -> _Pair:
    x = real_array(input, "input", SINGLES)
    code_of(dtype)
    lo, hi = limits_of(quant_min, quant_max, None)
    if not lo <= 0 <= hi or lo == hi:
        raise ValueError(f"quant_min, quant_max: got {lo} and {hi}, expected a range of codes that holds 0 and another")
    if gradient_wanted(input):
        name = f"choose_qparams{'_symmetric' * symmetric}"
        choose = original(name, "input: got a tensor that requires a gradient")
        return choose(input, lo, hi, eps, dtype)  # type: ignore[no-any-return]
    least = number(eps, "eps")
    half = _HALVES.get(input.dtype)
    low, high = _minmax(x)
    below, above = min(low, _ZERO), max(high, _ZERO)
    with np.errstate(all="ignore"):
        if symmetric:
            scale = _rounded(max(-below, above) / np.float32((hi - lo) / 2), half)
        else:
            scale = _rounded(_rounded(above - below, half) / np.float32(hi - lo), half)
        # eps is a float32 tensor of one dimension, to whose type a scale in 16 bits is promoted.
        scale = np.maximum(scale, np.float32(least))
    if not 0 < scale < np.inf:
        raise _no_scale(scale, f" or eps greater than {least}")
    zero_point = 128 if dtype is torch.uint8 else 0
    if not symmetric:
        zero_point = min(max(lo - int(np.rint(below / scale)), lo), hi)
    return torch.from_numpy(np.array([scale], np.float64)), torch.from_numpy(np.array([zero_point], np.int64))


@recordable
def choose_qparams(input: Tensor, quant_min: int, quant_max: int, eps: float, dtype: torch.dtype) -> _Pair:
    """The scale, at least eps, and zero point of input's range, widened to hold 0, for codes quant_min to quant_max.

    input  float32, float16 or bfloat16, not empty, finite
    dtype  of the codes; not used

    Returns tensors of shape (1,), float64 and int64.
    """
    return _choose(input, quant_min, quant_max, eps, dtype, symmetric=False)


@recordable
def choose_qparams_symmetric(input: Tensor, quant_min: int, quant_max: int, eps: float, dtype: torch.dtype) -> _Pair:
    """As choose_qparams, of a range around 0: scale = max(|input|) / ((quant_max - quant_min) / 2), zero point 0, for
    uint8 128."""
    return _choose(input, quant_min, quant_max, eps, dtype, symmetric=True)


def _token_ends(input: Any) -> tuple[Any, Any, tuple[int, ...]]:
    """Least and greatest of each token, as float32 or float64, and their shape (..., 1)."""
    x = real_array(input, "input", REALS)
    if x.ndim and not x.shape[-1]:
        raise ValueError(f"input: got shape {x.shape}, expected tokens of at least one value")
    if x.ndim < 2:
        low, high = _minmax(x)
        return np.asarray(low), np.asarray(high), (1,) * x.ndim
    if x.flags.c_contiguous:
        return *_minmax(x.reshape(-1, x.shape[-1]), 0), (*x.shape[:-1], 1)
    return *_minmax(x, tuple(range(x.ndim - 1))), (*x.shape[:-1], 1)


@recordable
def choose_qparams_per_token(input: Tensor, dtype: torch.dtype) -> _Pair:
    """Scales max(|token|, 1e-5) / 127 and zero points 0, for int8.

    input  tokens along the last axis, of a real type, finite: (..., n)

    Returns tensors of shape (..., 1) and of input's type, float32 for float16.
    """
    if dtype is not torch.int8:
        raise ValueError(f"dtype: got {dtype}, expected torch.int8")
    if gradient_wanted(input):
        choose = original("choose_qparams_per_token", "input: got a tensor that requires a gradient")
        return choose(input, dtype)  # type: ignore[no-any-return]
    low, high, shape = _token_ends(input)
    half = _HALVES.get(input.dtype)
    kind = input.dtype
    if kind is torch.float16:  # made float32 before the least scale and the division
        half, kind = None, torch.float32
    least = _rounded(high.dtype.type(1e-5), half)
    extent = np.maximum(np.maximum(-low, high), least)
    scales = torch.from_numpy(np.asarray(extent / extent.dtype.type(127)).reshape(shape))
    scales = scales if scales.dtype is kind else scales.to(kind)
    return scales, torch.zeros_like(scales)


@recordable
def choose_qparams_per_token_asymmetric(input: Tensor, dtype: torch.dtype) -> _Pair:
    """Scales and zero points of each token's range, widened to hold 0, for codes -128 to 127; scales are at least
    float32's epsilon. The zero point comes from the end of the range that it errs less at, as XNNPACK has it.

    input  tokens along the last axis, of a real type, finite: (..., n)
    dtype  not used

    Returns tensors of shape (..., 1), float64 and int64.
    """
    if gradient_wanted(input):
        choose = original("choose_qparams_per_token_asymmetric", "input: got a tensor that requires a gradient")
        return choose(input, dtype)  # type: ignore[no-any-return]
    low, high, shape = _token_ends(input)
    half = _HALVES.get(input.dtype)
    real = high.dtype.type
    qmin, qmax, zero = real(-128), real(127), real(0)
    low, high = np.minimum(low, zero), np.maximum(high, zero)
    with np.errstate(all="ignore"):
        scale = np.maximum(_rounded(_rounded(high - low, half) / real(255), half), real(_EPS))
        wrong = _kernels.first_not_scale(np.asarray(scale))
        if wrong >= 0:
            raise _no_scale(np.asarray(scale).reshape(-1)[wrong])
        below, above = _rounded(low / scale, half), _rounded(high / scale, half)
        nearer_top = _rounded(_rounded(below + qmin, half) + _rounded(above + qmax, half), half) > zero
        zero_point = _rounded(np.where(nearer_top, qmin - below, qmax - above), half)
    zero_point = np.rint(np.minimum(np.maximum(zero_point, qmin), qmax))
    return (
        torch.from_numpy(np.asarray(scale, np.float64).reshape(shape)),
        torch.from_numpy(np.asarray(zero_point).astype(np.int64).reshape(shape)),
    )
