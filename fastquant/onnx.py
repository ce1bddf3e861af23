"""The ONNX quantization operators, argument for argument, as NumPy functions. The onnx package is not needed.

    QuantizeLinear         since_version 28   quantize_linear
    DequantizeLinear       since_version 28   dequantize_linear
    DynamicQuantizeLinear  since_version 11   dynamic_quantize_linear

Tensors are arrays of exactly the operators' types. Those that NumPy lacks are dtypes of ml_dtypes, one element a byte,
never packed. Attributes are integers, types among them: numbers of TensorProto.DataType, 0 for an attribute not given.
Results are bit for bit those of the operators' text.

Where the text is silent, or the onnx package's Python reference differs from it
    Division        runs in y_scale's type, or in `precision`: x and y_scale are rounded to it, and so is the quotient
                    (ONNX Runtime does so; the reference divides in the type that NumPy promotes both to: float32 x by
                    float16 in float32, int32 x always in float64). `precision`: float, float16, bfloat16 or double.
    int32 y_scale   is no type to divide in: float64 instead, which holds both operands (as the reference does).
    float8e8m0      as y_scale, neither: float32 (as the reference does, except for int32 x).
    Multiplication  "the output type determines the precision": the exact difference (int32: rounded to float32) times
                    the scale in float32, then rounded to the output type (as the reference and ONNX Runtime do).
                    Rounding the operands to a 16-bit output type first would only lose bits.
    NaN             to integers: the lowest code (as ONNX Runtime does); to float4 and float6, which have no NaN: the
                    largest finite number, positive (the reference: what ml_dtypes' cast gives).
    -0              keeps its sign in the float types that have it, as in Cast (the reference adds a zero point of
                    float4 and float6, and -0 + 0 is 0; test_quantizelinear_float4e2m1 has 0, comparing by value).
    Infinity        to float8, saturate=1: the largest finite number, also of the FNUZ types (the tables of Cast 28).
                    To integers: the end of the range (the reference converts infinity to int32, which is undefined).
    One dimension   "per-tensor quantization is applied"; a scale for each element is taken too, with axis 0 or -1 (as
                    ONNX Runtime does).

Differences from ONNX Runtime (1.32.0, CPU, operator set 25; all else was measured equal, bit for bit)
    e5m2, NaN                 0x7E with the sign of the NaN; ONNX Runtime: 0x7F.
    e4m3fn, saturate=0        480 <= |quotient| < 496 is NaN; ONNX Runtime: 448 with the sign (the table says NaN).
    e5m2, saturate=0          61440 <= |quotient| < 65536 is infinity; ONNX Runtime: NaN (the table says infinity).
    scales that are 0, negative, infinite or NaN: ValueError; ONNX Runtime computes with them.
    a zero point of int32     other than 0: ValueError, as the text says; ONNX Runtime subtracts it.
    a zero point of floats    other than 0: ValueError; ONNX Runtime ignores it in QuantizeLinear.
    block_size                with one block along x of one dimension, y_scale (1,): computed; ONNX Runtime refuses.
    DynamicQuantizeLinear     of NaN: ValueError; ONNX Runtime leaves it out of the range or makes it the scale, by its
                              place in x. Of infinity, or a range that overflows: ValueError; ONNX Runtime: scale inf.
                              Of a range whose scale underflows: ValueError; ONNX Runtime: scale 0.
    Types                     ONNX Runtime has no bfloat16, float4, float6, float8e8m0, int32 x or y_scale, and no
                              operator set 28 here; precision is float or float16.
"""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

import fastquant as fq
from fastquant import _api
from fastquant._arguments import as_it_lies

__all__ = ["DynamicQuantized", "dequantize_linear", "dynamic_quantize_linear", "quantize_linear"]

Array = np.ndarray[Any, np.dtype[Any]]

# TensorProto.DataType of onnx.proto.
_NUMBERS = {
    "float32": 1,
    "uint8": 2,
    "int8": 3,
    "uint16": 4,
    "int16": 5,
    "int32": 6,
    "float16": 10,
    "float64": 11,
    "bfloat16": 16,
    "float8_e4m3fn": 17,
    "float8_e4m3fnuz": 18,
    "float8_e5m2": 19,
    "float8_e5m2fnuz": 20,
    "uint4": 21,
    "int4": 22,
    "float4_e2m1fn": 23,
    "float8_e8m0fnu": 24,
    "uint2": 25,
    "int2": 26,
    "float6_e2m3fn": 27,
    "float6_e3m2fn": 28,
}
_NAMES = {number: name for name, number in _NUMBERS.items()}
_NAME_OF = {np.dtype(getattr(ml_dtypes, name, name)): name for name in _NUMBERS}
_DTYPE_OF = {name: dtype for dtype, name in _NAME_OF.items()}

# The operators' type constraints.
_REALS = ("float32", "float16", "bfloat16")
_REALS_IN = (*_REALS, "int32")
_QUANTIZE_SCALES = (*_REALS_IN, "float8_e8m0fnu")
_DEQUANTIZE_SCALES = (*_REALS, "float8_e8m0fnu")
_FLOAT8 = ("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz")
_FLOAT_CODES = (*_FLOAT8, "float4_e2m1fn", "float6_e2m3fn", "float6_e3m2fn")
_INT_CODES = ("int8", "uint8", "int16", "uint16", "int4", "uint4", "int2", "uint2")
_CODES = (*_INT_CODES, *_FLOAT_CODES)
_PRECISIONS = ("float32", "float16", "float64", "bfloat16")

_QUANTIZE_ARGUMENTS = {"scale": "y_scale", "zero_point": "y_zero_point", "dtype": "output_dtype"}
_DEQUANTIZE_ARGUMENTS = {"q": "x", "scale": "x_scale", "zero_point": "x_zero_point", "dtype": "output_dtype"}


class DynamicQuantized(NamedTuple):
    """The outputs of DynamicQuantizeLinear."""

    y: Array
    y_scale: Array
    y_zero_point: Array


def quantize_linear(
    x: Any,
    y_scale: Any,
    y_zero_point: Any = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
    precision: int = 0,
    saturate: int = 1,
) -> Array:
    """QuantizeLinear (since_version 28): y = saturate(round(x / y_scale) + y_zero_point), ties to even.

    x             float32, float16, bfloat16 or int32, of any shape.
    y_scale       float32, float16, bfloat16, int32 or float8_e8m0fnu; finite and > 0. Its shape sets the granularity:
                  () or (1,)                 one scale for all of x
                  (x.shape[axis],)           one for each index of axis
                  x's, with ceil(n / block_size) for the length n of axis: one for each block; needs block_size
    y_zero_point  of y's type and y_scale's shape, () and (1,) being alike; 0 where y's type is of floats.
    axis          -rank to rank - 1; not looked at where there is one scale.
    block_size    0, or the length of a block: ceil(n / m) to ceil(n / (m - 1)) - 1, where axis has m blocks.
    output_dtype  number of y's type. 0: y_zero_point's, or uint8 (2) without one. Both given must agree.
    precision     number of the type of the division: x and y_scale are rounded to it, and so is the quotient.
                  0: y_scale's type, float64 if that is int32, float32 if it is float8e8m0.
    saturate      float8 only. 1: beyond the range, the largest finite number; 0: NaN, or infinity if the type has it
                  (the tables of Cast, since_version 28).

    Returns an array of x's shape: int8, uint8, int16, uint16, or a dtype of ml_dtypes: int4, uint4, int2, uint2,
    float8_e4m3fn, float8_e4m3fnuz, float8_e5m2, float8_e5m2fnuz, float4_e2m1fn, float6_e2m3fn, float6_e3m2fn.

    TypeError for tensors of other types and attributes that are no integers; ValueError for a wrong value or shape.
    """
    a = _tensor(x, "x", _REALS_IN)
    scale = _tensor(y_scale, "y_scale", _QUANTIZE_SCALES)
    zero = None if y_zero_point is None else _tensor(y_zero_point, "y_zero_point", _CODES)
    codes = _code_type(output_dtype, zero)
    cut = _granularity(a.shape, scale, zero, axis, block_size, "y")
    saturated = _flag(saturate, "saturate") or codes not in _FLOAT8
    a, scale, rounded_to = _division(a, scale, precision)
    level = _level(zero, "y_zero_point")
    with _operator_names(_QUANTIZE_ARGUMENTS):
        return _api.quantize(a, scale, level, codes, *cut, False, None, saturated, None, rounded_to)


def dequantize_linear(
    x: Any, x_scale: Any, x_zero_point: Any = None, *, axis: int = 1, block_size: int = 0, output_dtype: int = 0
) -> Array:
    """DequantizeLinear (since_version 28): y = (x - x_zero_point) * x_scale.

    x             of a type that quantize_linear returns, or int32; of any shape.
    x_scale       float32, float16, bfloat16 or float8_e8m0fnu; finite and > 0; shapes as for quantize_linear.
    x_zero_point  of x's type and x_scale's shape, () and (1,) being alike; 0 where x is int32 or of floats.
    axis, block_size  as for quantize_linear.
    output_dtype  1 (float32), 10 (float16) or 16 (bfloat16). 0: x_scale's type; float8e8m0 is none for y, so it must be
                  given with such scales.

    Returns an array of x's shape. The difference is exact (int32: rounded once to float32), the product is one of
    float32, rounded to the output type.

    TypeError for tensors of other types and attributes that are no integers; ValueError for a wrong value or shape.
    """
    q = _tensor(x, "x", (*_CODES, "int32"))
    scale = _tensor(x_scale, "x_scale", _DEQUANTIZE_SCALES)
    zero = None if x_zero_point is None else _tensor(x_zero_point, "x_zero_point", (_NAME_OF[q.dtype],))
    wanted = _NAMES.get(_attribute(output_dtype, "output_dtype") or _NUMBERS[_NAME_OF[scale.dtype]], "")
    if wanted not in _REALS:
        given = "0 where x_scale is float8e8m0" if output_dtype == 0 else output_dtype
        raise ValueError(f"output_dtype: got {given}, expected {_list(_REALS, numbers=True)}")
    cut = _granularity(q.shape, scale, zero, axis, block_size, "x")
    level = _level(zero, "x_zero_point")
    with _operator_names(_DEQUANTIZE_ARGUMENTS):
        return _api.dequantize(q, scale.astype(np.float32, copy=False), level, wanted, *cut, None, None, None)


def dynamic_quantize_linear(x: Any) -> DynamicQuantized:
    """DynamicQuantizeLinear (since_version 11): quantizes to uint8 with the scale and zero point of x's own range.

        lo, hi = min(x, 0), max(x, 0)
        y_scale = (hi - lo) / 255, or 1 where hi == lo
        y_zero_point = round(clip(0 - lo / y_scale, 0, 255)), ties to even
        y = saturate(round(x / y_scale) + y_zero_point)

    Each operation is one of float32, so that bits may differ from fq.qparams, which computes in float64. The text
    leaves a range of 0 open; scale 1 and zero point 0 are those of ONNX Runtime, also for an x without elements.

    x  float32, of any shape.

    Returns (y, y_scale, y_zero_point): uint8 of x's shape, float32 and uint8 of shape ().

    TypeError for another type; ValueError for NaN and infinity in x, and for a range so wide or so narrow that its
    scale is infinite or 0 in float32.
    """
    a = _tensor(x, "x", ("float32",))
    zero = np.float32(0)
    lo, hi = (zero, zero) if a.size == 0 else fq.minmax(a)
    lo, hi = np.minimum(lo, zero), np.maximum(hi, zero)
    with np.errstate(all="ignore"):
        scale = (hi - lo) / np.float32(255) if hi > lo else np.float32(1)
    if not 0 < scale < np.inf:
        raise ValueError(f"x: got the range {lo} to {hi}, expected one whose scale is finite and > 0 in float32")
    level = np.rint(np.clip(zero - lo / scale, zero, np.float32(255)))
    y_scale, y_zero_point = np.asarray(scale, np.float32), np.asarray(level).astype(np.uint8)
    y = _api.quantize(a, y_scale, y_zero_point, "uint8", None, None, False, None, True, None)
    return DynamicQuantized(y, y_scale, y_zero_point)


# ---- reading arguments ----


def _list(names: tuple[str, ...], numbers: bool = False) -> str:
    words = [f"{_NUMBERS[name]} ({name})" if numbers else name for name in names]
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _tensor(value: Any, argument: str, types: tuple[str, ...]) -> Array:
    """value as an array of one of these types; nothing is converted to them, as in a graph."""
    a: Array
    if type(value) is np.ndarray:
        a = value
    elif isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{argument}: got a masked array, expected a plain one; its mask would be lost")
    else:
        try:
            a = as_it_lies(value)
        except (TypeError, ValueError, RuntimeError, BufferError) as error:
            raise TypeError(f"{argument}: got {type(value).__name__}, expected an array of {_list(types)}") from error
    if not a.dtype.isnative:
        a = a.astype(a.dtype.newbyteorder("="))
    if _NAME_OF.get(a.dtype) not in types:
        raise TypeError(f"{argument}: got {a.dtype}, expected {_list(types)}")
    return a


def _attribute(value: Any, argument: str) -> int:
    if type(value) is int:
        return value
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{argument}: got {value!r}, expected an integer")
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{argument}: got {value!r}, expected an integer") from None


def _flag(value: Any, argument: str) -> bool:
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    number = _attribute(value, argument)
    if number not in (0, 1):
        raise ValueError(f"{argument}: got {number}, expected 0 or 1")
    return number == 1


def _code_type(output_dtype: Any, zero: Array | None) -> str:
    """The name of y's type."""
    number = _attribute(output_dtype, "output_dtype")
    given = _NAMES.get(number, "")
    if number != 0 and given not in _CODES:
        raise ValueError(f"output_dtype: got {number}, expected 0, {_list(_CODES, numbers=True)}")
    if zero is None:
        return given or "uint8"
    own = _NAME_OF[zero.dtype]
    if given and given != own:
        expected = f"0 or {_NUMBERS[own]} ({own}, the type of y_zero_point)"
        raise ValueError(f"output_dtype: got {number} ({given}), expected {expected}")
    return own


def _granularity(
    shape: tuple[int, ...], scale: Array, zero: Array | None, axis: Any, block_size: Any, letter: str
) -> tuple[int | None, int | None]:
    """axis and block_size in the words of fastquant: (None, None) is one scale for all. Shapes are right afterwards."""
    axis, block = _attribute(axis, "axis"), _attribute(block_size, "block_size")
    if block < 0:
        raise ValueError(f"block_size: got {block}, expected 0 or a positive integer")
    one = ((), (1,))
    if block == 0 and scale.shape in one:
        if zero is not None and zero.shape not in one:
            raise ValueError(f"{letter}_zero_point: got shape {zero.shape}, expected {scale.shape}, {letter}_scale's")
        return None, None
    if zero is not None and zero.shape != scale.shape:
        raise ValueError(f"{letter}_zero_point: got shape {zero.shape}, expected {scale.shape}, {letter}_scale's")
    if scale.ndim != (len(shape) if block else 1):
        more = "with block_size" if block else "without block_size"
        expected = f"{len(shape)} dimensions, as x has" if block else "0 or 1 dimensions"
        raise ValueError(f"{letter}_scale: got shape {scale.shape}, expected {expected}, {more}")
    if not -len(shape) <= axis < len(shape):
        takes = f"{-len(shape)} to {len(shape) - 1}" if shape else "no scale for each index or block"
        raise ValueError(f"axis: got {axis}, expected {takes} for x of shape {shape}")
    axis %= len(shape)
    wanted = (shape[axis],)
    if block:
        # The accepted range of block_size is the one in which this is the number of blocks.
        wanted = (*shape[:axis], -(-shape[axis] // block), *shape[axis + 1 :])
    if scale.shape != wanted:
        blocks = f" and block_size {block}" if block else ""
        raise ValueError(
            f"{letter}_scale: got shape {scale.shape}, expected {wanted} for x of shape {shape}, axis {axis}{blocks}"
        )
    return axis, block or None


def _division(a: Array, scale: Array, precision: Any) -> tuple[Array, Array, str | None]:
    """x and y_scale as _api.quantize takes them, and what it is to round x and the quotient to, if that is narrower
    than its own arithmetic."""
    own = _NAME_OF[scale.dtype]
    number = _attribute(precision, "precision")
    if number == 0:
        kind = {"int32": "float64", "float8_e8m0fnu": "float32"}.get(own, own)
    else:
        kind = _NAMES.get(number, "")
        if kind not in _PRECISIONS:
            raise ValueError(f"precision: got {number}, expected 0, {_list(_PRECISIONS, numbers=True)}")
    if kind in ("float32", "float64"):
        if kind == "float64" or a.dtype == np.int32:
            with np.errstate(all="ignore"):  # a signaling NaN
                a = a.astype(kind)
        return a, scale.astype(kind, copy=False), None
    if a.dtype == np.int32:
        a = _rounded(a, kind)
    narrow = _rounded(scale, kind).astype(np.float32)
    wrong = ~((narrow > 0) & (narrow < np.inf))
    if wrong.any():
        raise ValueError(f"y_scale: got {scale[wrong].flat[0]}, expected numbers that are finite and > 0 as {kind}")
    return a, narrow, kind


def _rounded(a: Array, kind: str) -> Array:
    """a in a 16-bit type of floats, rounded once."""
    if a.dtype == np.int32:
        # NumPy and ml_dtypes go by way of float32. Beyond 2^24 that would round twice: let the low byte only say on
        # which side of a multiple of 256 the number lies. No number or tie of a 16-bit type lies between two of them.
        wide = a.astype(np.int64)
        low = wide & 255
        a = np.where(np.abs(wide) < 2**24, wide, wide - low + 128 * (low > 0)).astype(np.float32)
    with np.errstate(all="ignore"):
        return a.astype(_DTYPE_OF[kind], copy=False)


def _level(zero: Array | None, argument: str) -> Any:
    """A zero point as fastquant takes it: int8 to uint16 as they are, integers that NumPy lacks as int32."""
    if zero is None:
        return 0
    name = _NAME_OF[zero.dtype]
    if name in _INT_CODES:
        return zero if zero.dtype.isbuiltin == 1 else zero.astype(np.int32)
    values = zero.astype(np.float64)
    if values.any():
        raise ValueError(f"{argument}: got {values[values != 0].flat[0]}, expected 0, the only zero point of {name}")
    return 0


class _operator_names:
    """Around a call of fastquant: errors call its arguments by the operator's names."""

    def __init__(self, names: dict[str, str]):
        self._names = names

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if not isinstance(error, (TypeError, ValueError)):
            return
        argument, colon, rest = str(error).partition(":")
        if argument in self._names:
            renamed = TypeError if isinstance(error, TypeError) else ValueError
            raise renamed(self._names[argument] + colon + rest) from None
