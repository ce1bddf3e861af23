"""Reading the arguments of fastquant.compat.torch: tensors as NumPy arrays of their memory, numbers, limits, scales and
zero points. TypeError for a wrong kind, ValueError for a wrong value or shape, each naming the argument.
"""

from __future__ import annotations

import importlib
import operator
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import ml_dtypes
import numpy as np
import torch

from fastquant import _kernels

Array = np.ndarray[Any, np.dtype[Any]]
Tensor: TypeAlias = torch.Tensor


class Code(NamedTuple):
    """A code type that the kernels have."""

    name: str
    lowest: int
    highest: int


CODES = {
    torch.int8: Code("int8", -(2**7), 2**7 - 1),
    torch.uint8: Code("uint8", 0, 2**8 - 1),
    torch.int16: Code("int16", -(2**15), 2**15 - 1),
    torch.uint16: Code("uint16", 0, 2**16 - 1),
}
# Types that only torch's own operators take.
_OTHER_CODES = (torch.int32, torch.float8_e4m3fn, torch.float8_e5m2)

SINGLES = {torch.float32: "float32", torch.float16: "float16", torch.bfloat16: "bfloat16"}
REALS = {**SINGLES, torch.float64: "float64"}
# The integers up to this magnitude, which these types hold exactly.
HALVES = {torch.float16: 2**11, torch.bfloat16: 2**8}

# What float32 rounds to a number that is finite and > 0 lies between these, exclusively ...
LEAST, MOST = 2.0**-150, 2.0**128 - 2.0**103
# ... and what it rounds to one whose reciprocal is finite too, above this: 1 / 2^-128 is not.
LEAST_INVERTIBLE = 2.0**-128 + 2.0**-150

_GOOD = "finite numbers > 0"


def original(name: str, why: str) -> Callable[..., Any]:
    """torch's own operator, for what the kernels do not do."""
    try:
        if not hasattr(torch.ops.quantized_decomposed, name):
            importlib.import_module("torch.ao.quantization.fx._decomposed")  # which registers them
        return getattr(torch.ops.quantized_decomposed, name)  # type: ignore[no-any-return]
    except (ImportError, AttributeError):
        raise ValueError(
            f"{why}; torch {torch.__version__} has no quantized_decomposed.{name}, to which such calls are handed on"
        ) from None


def gradient_wanted(t: Any) -> bool:
    return isinstance(t, torch.Tensor) and t.requires_grad and torch.is_grad_enabled()


# ---- tensors ----


def array(t: Any, argument: str) -> Array:
    """A tensor's memory as an array, without a copy; a copy of tensors that are negated lazily."""
    if isinstance(t, torch.Tensor) and t.dtype is not torch.bfloat16 and not t.requires_grad:
        try:
            return t.numpy()
        except (RuntimeError, TypeError):
            pass
    return _array(t, argument)


def _array(t: Any, argument: str) -> Array:
    if not isinstance(t, torch.Tensor):
        raise TypeError(f"{argument}: got {type(t).__name__}, expected a torch tensor")
    # is_quantized first: quantized tensors say that they are strided, and their memory holds codes.
    what = "a quantized tensor" if t.is_quantized else f"a tensor of {t.layout}" if t.layout != torch.strided else ""
    if t.device.type != "cpu" and not what:
        what = f"a tensor on {t.device}"
    if not what:
        try:
            plain = t.detach().resolve_conj().resolve_neg()
            if plain.dtype is torch.bfloat16:  # which NumPy lacks: by way of its bits
                return plain.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
            return plain.numpy()
        except (RuntimeError, TypeError) as error:
            what = f"a {type(t).__name__} of {t.dtype} without a NumPy array ({str(error).splitlines()[0]})"
    raise TypeError(f"{argument}: got {what}, expected a dense tensor in the memory of the CPU")


def real_array(t: Any, argument: str, types: dict[torch.dtype, str]) -> Array:
    a = array(t, argument)
    if t.dtype not in types:
        raise TypeError(f"{argument}: got a tensor of {t.dtype}, expected one of {_names(types)}")
    return a


def code_array(t: Any, argument: str) -> Array | None:
    """A tensor of codes as an array; None if its type is one that the kernels, or NumPy, lack."""
    return None if isinstance(t, torch.Tensor) and t.dtype in _OTHER_CODES else array(t, argument)


def empty(like: Tensor, dtype: torch.dtype) -> tuple[Tensor, Array]:
    """A new tensor of this shape, in the memory format of `like` where that is dense, and its memory as an array."""
    result = torch.empty_like(like, dtype=dtype)
    if dtype is torch.bfloat16:
        return result, _array(result, "out")
    return result, result.numpy()


def _names(types: Any) -> str:
    names = [str(dtype) for dtype in types]
    return f"{', '.join(names[:-1])} or {names[-1]}"


# ---- numbers ----


def number(value: Any, argument: str) -> float:
    """A number, or a tensor of one element, as in the .tensor overloads."""
    if isinstance(value, torch.Tensor):
        value = _one(value, argument)
    if isinstance(value, (str, bytes)):
        raise TypeError(f"{argument}: got {value!r}, expected a number or a tensor of one")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{argument}: got {value!r}, expected a number that a float can hold") from None
    except (TypeError, ValueError):
        raise TypeError(f"{argument}: got {type(value).__name__}, expected a number or a tensor of one") from None


def integer(value: Any, argument: str) -> int:
    """An integer, or a tensor of one."""
    if isinstance(value, torch.Tensor):
        value = _one(value, argument)
        if isinstance(value, float):
            if not value.is_integer():
                raise ValueError(f"{argument}: got {value}, expected an integer")
            return int(value)
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{argument}: got {type(value).__name__}, expected an integer or a tensor of one") from None


def _one(t: Tensor, argument: str) -> Any:
    if t.numel() != 1:
        raise ValueError(f"{argument}: got a tensor of shape {tuple(t.shape)}, expected one element")
    return t.item()


def int32(value: Any, argument: str) -> int:
    number = value if type(value) is int else integer(value, argument)
    if not -(2**31) <= number < 2**31:
        raise ValueError(f"{argument}: got {number}, expected an int32 integer")
    return number


def limits_of(quant_min: Any, quant_max: Any, dtype: torch.dtype | None) -> tuple[int, int]:
    """The lowest and the highest code, within dtype; the caller has seen to it that the kernels have that."""
    lo = quant_min if type(quant_min) is int else integer(quant_min, "quant_min")
    hi = quant_max if type(quant_max) is int else integer(quant_max, "quant_max")
    if lo > hi:
        raise ValueError(f"quant_min: got {lo}, greater than quant_max, {hi}; expected quant_min <= quant_max")
    if dtype is not None:
        code = CODES[dtype]
        if lo < code.lowest:
            raise ValueError(f"quant_min: got {lo}, expected at least {code.lowest} for {dtype}")
        if hi > code.highest:
            raise ValueError(f"quant_max: got {hi}, expected at most {code.highest} for {dtype}")
    return lo, hi


def code_of(dtype: Any, argument: str = "dtype") -> Code | None:
    """The kernels' code type, or None if only torch's operators take this dtype."""
    code = CODES.get(dtype)
    if code is None and dtype not in _OTHER_CODES:
        expected = _names((*CODES, *_OTHER_CODES))
        error = ValueError if isinstance(dtype, torch.dtype) else TypeError
        raise error(f"{argument}: got {dtype!r}, expected {expected}")
    return code


def axis_of(axis: Any, ndim: int, lowest: int) -> int:
    """An axis from `lowest` on, which the originals decide."""
    index = axis if type(axis) is int else integer(axis, "axis")
    if not lowest <= index < ndim:
        takes = f"{lowest} to {ndim - 1}" if ndim else "a tensor with an axis"
        raise ValueError(f"axis: got {index}, expected {takes} for an input of {ndim} dimensions")
    return index % ndim


# ---- scales and zero points, several of each ----


# 1 / x is finite, and > 0, for finite x above these: none can overflow, which would be a warning.
_BOUNDS = {np.dtype(np.float32): np.full((), 2.0**-128, np.float32), np.dtype(np.float64): np.full((), 2.0**-1024)}


def inverse_of(a: Array, argument: str) -> Array:
    """1 / a of a contiguous array of float32 or float64 with dimensions."""
    wrong = _kernels.first_not_scale(np.subtract(a, _BOUNDS[a.dtype]))
    if wrong >= 0:
        raise _no_inverse(a, wrong, argument)
    return np.reciprocal(a)


def _no_inverse(a: Any, wrong: int, argument: str) -> ValueError:
    return ValueError(
        f"{argument}: got {a.reshape(-1)[wrong]} at index {wrong}, expected {_GOOD} whose reciprocals are such numbers "
        f"of {a.dtype}"
    )


def inverses(scales: Any, argument: str = "scales") -> tuple[Array, torch.dtype]:
    """1 / scales, rounded in their type (integers: in the default one), and that type: float64 as float64, others as
    float32, contiguous, of any shape."""
    a = array(scales, argument)
    kind = scales.dtype
    if a.ndim and (kind is torch.float32 or kind is torch.float64):
        return inverse_of(np.ascontiguousarray(a), argument), kind
    inverse = scales.detach().reciprocal()
    kind = inverse.dtype
    if kind not in REALS:
        raise TypeError(f"{argument}: got a tensor of {scales.dtype}, expected one of {_names(REALS)}")
    reals = (inverse if kind is torch.float64 else inverse.float()).contiguous().numpy()
    wrong = _kernels.first_not_scale(reals)
    if wrong >= 0:
        raise _no_inverse(a, wrong, argument)
    return reals, kind


def scale_array(a: Array, wide: bool, argument: str = "scales") -> Array:
    """Scales to multiply by: contiguous, float64 if wide, or else float32."""
    a = np.ascontiguousarray(a, np.float64 if wide else np.float32)
    wrong = _kernels.first_not_scale(a)
    if wrong >= 0:
        raise ValueError(f"{argument}: got {a.reshape(-1)[wrong]} at index {wrong}, expected {_GOOD}")
    return a


def zero_point_array(a: Array, argument: str = "zero_points") -> Array | None:
    """Zero points as contiguous int32, from integers or reals; None if there is a fraction in them."""
    kind = a.dtype.kind
    if kind not in "iu":
        if a.dtype.name not in REALS.values():
            raise TypeError(f"{argument}: got a tensor of {a.dtype}, expected integers")
        a = a.astype(np.float64)
    if kind not in "iu" or a.dtype.itemsize > 4:
        wrong = ~((a >= -(2**31)) & (a < 2**31))  # NaN too
        if wrong.any():
            raise ValueError(f"{argument}: got {a[wrong].flat[0]}, expected int32 integers")
    z = np.ascontiguousarray(a, np.int32)
    return None if kind not in "iu" and (z != a).any() else z


def count_error(t: Tensor, argument: str, count: int, what: str) -> ValueError:
    return ValueError(f"{argument}: got shape {tuple(t.shape)}, expected {count} values, one for each {what}")


def check_tokens(t: Any, argument: str, shape: tuple[int, ...]) -> None:
    """One value for each token of an input of this shape: (..., 1) for (..., n). Leading axes of length 1 may be
    missing, as they broadcast; what else the original takes it applies to other axes."""
    wanted = (*shape[:-1], 1)
    given = tuple(t.shape)
    if given != wanted:
        missing = len(wanted) - len(given)
        if missing < 0 or (*(1,) * missing, *given) != wanted:
            expected = f"{wanted}, one value for each token of an input of shape {shape}"
            raise ValueError(f"{argument}: got shape {given}, expected {expected}")
