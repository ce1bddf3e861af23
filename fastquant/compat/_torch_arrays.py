"""What fastquant.compat.torch does with several scales: the types that torch computes in, and the kernels' arguments
for tokens, channels and groups."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch

from fastquant.compat import _torch_kernels as kernels
from fastquant.compat._torch_tensors import (
    CODES,
    HALVES,
    REALS,
    Array,
    Tensor,
    array,
    count_error,
    empty,
    gradient_wanted,
    integer,
    scale_array,
    zero_point_array,
)


def why(dtype: Any, types: str) -> str:
    """What an error says of a call that only torch's operator could take."""
    return types if dtype in CODES else f"dtype: got {dtype}, which fastquant has no kernels for"


def precision_of(real: torch.dtype) -> str | None:
    return None if real is torch.float32 else REALS[real]


def as_many(parameters: Array, n: int) -> Array:
    """n parameters, from one or as many."""
    return parameters if parameters.size == n else np.full(n, parameters.reshape(()), parameters.dtype)


# ---- x * (1 / scales) + zero_points ----


def shifts_of(
    input: Tensor, scales: Tensor, zero_points: Tensor, inverse: torch.dtype
) -> tuple[torch.dtype, Array] | None:
    """The type of both operations, and zero points as torch adds them, rounded to it; as contiguous float32 or float64.
    None where the two differ in their types, or torch's rules for single numbers hold."""
    z = array(zero_points, "zero_points")
    if not input.ndim or not scales.ndim or not z.ndim:
        return None
    real, kind = input.dtype, zero_points.dtype
    if real is not inverse:
        real = torch.promote_types(real, inverse)
    whole = z.dtype.kind in "iu"
    if not whole and kind is not real and torch.promote_types(real, kind) is not real:
        return None
    if real in HALVES:
        a = np.ascontiguousarray(zero_points.detach().to(real).float().numpy())
    else:
        a = np.ascontiguousarray(z, np.float64 if real is torch.float64 else np.float32)
    if not (whole and real not in HALVES) and not np.isfinite(a).all():
        raise ValueError(f"zero_points: got {a[~np.isfinite(a)].flat[0]} as {real}, expected finite numbers")
    return real, a


def rounded_limits(limits: tuple[int, int], real: torch.dtype, dtype: torch.dtype) -> tuple[int, int]:
    """Limits as torch.clamp takes them, in the type of its input; but within dtype, where torch wraps."""
    lo, hi = limits
    exact = HALVES.get(real)
    if exact is None or (-exact <= lo and hi <= exact):
        return limits
    low, high = torch.tensor(limits, dtype=torch.float64, device="cpu").to(real).tolist()
    code = CODES[dtype]
    return int(max(low, code.lowest)), int(min(high, code.highest))


def groups_of(input: Tensor, scales: Any, group_size: Any) -> tuple[int, tuple[int, int]]:
    """The length of a group, and how many there are: rows, and in a row."""
    group = group_size if type(group_size) is int else integer(group_size, "group_size")
    if input.ndim != 2:
        raise ValueError(f"input: got shape {tuple(input.shape)}, expected two dimensions")
    if group <= 1:
        raise ValueError(f"group_size: got {group}, expected more than 1")
    rows, n = input.shape
    if group > n > 0 and isinstance(scales, torch.Tensor) and scales.shape[-1:] == (1,):
        group = n  # GPTQ quantizes single columns
    if n % group:
        raise ValueError(f"group_size: got {group}, expected a divisor of {n}, the length of input's rows")
    return group, (rows, n // group)


def check_groups(scales: Tensor, zero_points: Tensor | None, group: int, counts: tuple[int, int]) -> bool:
    """Whether there is one scale for all groups."""
    n = scales.numel()
    if n not in (1, counts[0] * counts[1]):
        raise count_error(scales, "scales", counts[0] * counts[1], f"group of {group}")
    if zero_points is not None and zero_points.numel() not in (1, n):
        raise count_error(zero_points, "zero_points", n, "scale")
    return n == 1


# ---- (q - zero_points) * scales ----


class Plan(NamedTuple):
    """How to dequantize: the type that the kernel makes, what it is to be converted to, the arithmetic, parameters."""

    made: torch.dtype
    wanted: torch.dtype
    precision: str | None
    scales: Array
    zero_points: Array


def plan_of(input: Tensor, scales: Any, zero_points: Any, wanted: Any) -> Plan | None:
    """The difference in the type that torch promotes q and zero_points to, the product in the one that it promotes that
    and scales to; None where the kernels do not compute so."""
    factors = array(scales, "scales")
    real = scales.dtype
    if input.dtype not in CODES or real not in REALS or wanted not in REALS or gradient_wanted(scales):
        return None
    if not input.ndim or not factors.ndim:
        return None
    shifts = kernels.ZERO
    if zero_points is not None:
        z = array(zero_points, "zero_points")
        kind = zero_points.dtype
        if kind in REALS:
            if gradient_wanted(zero_points) or (kind in HALVES and kind is not real):
                return None
            real = torch.promote_types(kind, real)
        whole = zero_point_array(z)
        if whole is None or not z.ndim:
            return None
        shifts = whole
    if real is torch.float32:
        made = torch.float32 if wanted is torch.float64 else wanted
        return Plan(made, wanted, None, scale_array(factors, False), shifts)
    if real is torch.float64:
        # torch converts float64 to 16-bit types by way of float32.
        made = torch.float64 if wanted is torch.float64 else torch.float32
        return Plan(made, wanted, "float64", scale_array(factors, True), shifts)
    # torch rounds 16-bit codes before or after the difference, by the type of zero_points.
    narrow = input.dtype is torch.int8 or input.dtype is torch.uint8
    return Plan(real, wanted, REALS[real], scale_array(factors, False), shifts) if narrow else None


def dequantize_by(input: Tensor, q: Array, plan: Plan, cut: kernels.Cut | None) -> Tensor:
    """Reals; parameters as cut says, None: for each token along the last axis."""
    made, wanted, precision, scales, shifts = plan
    result, out = empty(input, made)
    if q.size:
        if cut is None:
            q, out, cut = kernels.by_token(q, out) if q.ndim > 1 else (q, out, kernels.whole(q.ndim))
        kernels.dequantize(q, out, q.dtype.name, scales, as_many(shifts, scales.size), cut, precision)
    return result if made is wanted else result.to(wanted)
