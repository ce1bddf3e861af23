"""Functions of onnxruntime.quantization.quant_utils (ONNX Runtime 1.32): same names, arguments, defaults and results,
to the bit and to the dtype. Neither ONNX Runtime nor onnx is needed, but onnx for quantize_onnx_initializer.

    from fastquant.compat.onnxruntime import quantize_nparray    # was: from onnxruntime.quantization.quant_utils

Types are numbers of TensorProto.DataType, as TensorProto.INT8 is: INT8 3, UINT8 2, INT16 5, UINT16 4, INT4 22, UINT4 21
(arrays of ml_dtypes' int4 and uint4) and FLOAT8E4M3FN 17.

Where the results differ
    NaN to integers       the lowest code (`low` where that is higher); there undefined (0 on x86-64), with a warning.
    Data with NaN or inf  quantize_data, compute_*: ValueError; there an AssertionError, a RuntimeError, a scale that is
                          infinite or NaN, or a zero point of 0 that stands for NaN.
    Scales                0, negative, infinite and NaN, also once rounded to the type of the division: ValueError;
                          there computed with. Zero points must be int32 integers; there fractions are added before
                          the code is truncated.
    low, high             limits of the code type go first; there a `high` below or a `low` above the type wraps.
    Constant data         to float8 (a standard deviation of 0): scale 1; there scale 0, which makes 448 or NaN of all
                          numbers. The same for data without elements; there scale NaN.
    Wide ranges           compute_scale_zp_blocked of hi - lo that overflows the weight's type: its true scale; there
                          inf. min_real_range, or a float64 range, that overflows: ValueError; there inf.
    Blocks                with a negative axis: counted from the end; there an error. quantize_onnx_initializer of
                          weights of another rank than 2, with scales of as many: computed; there an error or the wrong
                          scale. Fewer scales than blocks: ValueError; there memory that nothing was written to.
    pack_bytes_to_4bit    takes arrays of int8 too; there those with negative elements in odd places raise.
    Memory                Arrays are C-contiguous; there in the order of the input, as NumPy's operations have it.
    Errors                TypeError or ValueError that names the argument; there also AssertionError and RuntimeError.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import ml_dtypes
import numpy as np

import fastquant as fq
from fastquant import _rules
from fastquant import onnx as _operators
from fastquant._arguments import as_it_lies
from fastquant.compat._onnxruntime_arguments import (
    EXPECTED,
    FLOAT,
    FLOAT8,
    FLOAT16,
    FLOAT32,
    INTEGERS,
    NATIVE,
    PACKED,
    Array,
    axes_of,
    check_block_size,
    check_real,
    check_scale,
    elements_of,
    kind_of,
    limits_within,
    plain_scale,
    plain_zero_point,
    range_of,
    read_parameters,
)

__all__ = [
    "compute_data_quant_params",
    "compute_scale_zp",
    "compute_scale_zp_blocked",
    "compute_scale_zp_float8",
    "get_qmin_qmax_for_qType",
    "pack_bytes_to_4bit",
    "quantize_data",
    "quantize_nparray",
    "quantize_onnx_initializer",
]

def quantize_nparray(
    qType: Any, arr: Any, scale: Any, zero_point: Any, low: Any = None, high: Any = None
) -> Array:  # fmt: skip
    """clip(round(float32(arr) / scale) + zero_point, low, high), ties to even, as codes of qType.

    arr        of any shape; integers and float64 are rounded to float32 first. For float8: float32 or float16.
    scale      finite and > 0: a number, or an array that broadcasts to arr's shape. An array or NumPy scalar of float64
               (or int32, int64) makes the division one of float64, a Python number does not. For float8 the quotient
               has the type that arr and scale promote to.
    zero_point integers, likewise; 0 for float8.
    low, high  narrower limits; not for float8, which saturates at 448. Fractions are cut off.

    Returns an array of arr's shape: int8, uint8, int16, uint16, or ml_dtypes' int4, uint4, float8_e4m3fn.
    """
    if qType == FLOAT8:
        return _float8(np.asarray(as_it_lies(arr)), scale, zero_point, "arr", {})
    dtype, full, *_ = kind_of(qType, "qType", f"{EXPECTED} or 17 (FLOAT8E4M3FN)")
    limits = limits_within(full, low, high)
    if type(arr) is np.ndarray and arr.dtype == FLOAT32 and arr.ndim and limits is None:
        plain, level = plain_scale(scale), plain_zero_point(zero_point)
        if plain is not None and level is not None:
            return fq.quantize(arr, plain, level, dtype=dtype)
    x = np.asarray(as_it_lies(arr))
    s, z, precision = read_parameters(scale, zero_point)
    axes: tuple[int, ...] | None = None
    if s.size == 1 and z.size == 1:
        x = x.reshape((1,) * (max(s.ndim, z.ndim) - x.ndim) + x.shape)
        s, z = s.reshape(()), z.reshape(())
    else:
        axes, s, z = axes_of(x, s, z)
    return _integers(qType, x, s, z, precision, limits=limits, axis=axes)


def quantize_data(
    data: Any, qType: Any, symmetric: bool, reduce_range: bool = False, min_real_range: Any = None,
    rmin_override: Any = None, rmax_override: Any = None,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """(zero_point, scale, codes): quantize_nparray with the parameters of compute_data_quant_params."""
    zero_point, scale = _parameters_of(
        data, qType, "qType", symmetric, reduce_range, min_real_range, rmin_override, rmax_override
    )
    return zero_point, scale, quantize_nparray(qType, data, scale, zero_point)


def compute_data_quant_params(
    data: Any, quant_type: Any, symmetric: bool, reduce_range: bool = False, min_real_range: Any = None,
    rmin_override: Any = None, rmax_override: Any = None,
) -> tuple[Array, Array]:  # fmt: skip
    """(zero_point, scale) of data, a float array of one dimension or more: of quant_type and of data's dtype.

    By compute_scale_zp of data's range, each end of which an override replaces; for float8 by the standard deviation.
    symmetric without reduce_range leaves out the lowest code of int8 and int16; data without elements has scale 1.
    """
    return _parameters_of(
        data, quant_type, "quant_type", symmetric, reduce_range, min_real_range, rmin_override, rmax_override
    )


def _parameters_of(
    data: Any, number: Any, argument: str, symmetric: bool, reduce_range: bool, min_real_range: Any, rmin: Any,
    rmax: Any,
) -> tuple[Array, Array]:  # fmt: skip
    """argument: what the type's number is called."""
    if not isinstance(data, np.ndarray):
        raise TypeError(f"data: got {type(data).__name__}, expected a NumPy array")
    check_real(data, "data")
    if number == FLOAT8:
        if reduce_range:
            raise ValueError("reduce_range: got True for FLOAT8E4M3FN, expected False")
        with np.errstate(all="ignore"):
            std = np.std(data) if data.size else data.dtype.type(0)
        if not np.isfinite(std):
            raise ValueError(f"data: got a standard deviation of {std}, expected a finite one")
        zero_point, scale = compute_scale_zp_float8(number, std)
        return zero_point, scale
    dtype, *_ = kind_of(number, argument, f"{EXPECTED} or 17 (FLOAT8E4M3FN)")
    if not len(data):
        return np.array(0, dtype), np.array(1, data.dtype)
    if rmin is None or rmax is None:
        lo, hi = range_of(data, "data")
        rmin = lo if rmin is None else rmin
        rmax = hi if rmax is None else rmax
    qmin, qmax = get_qmin_qmax_for_qType(number, reduce_range, symmetric)
    zero_point, scale = compute_scale_zp(
        np.array(rmin, data.dtype), np.array(rmax, data.dtype), qmin, qmax, symmetric, min_real_range
    )
    return zero_point, scale


def get_qmin_qmax_for_qType(qType: Any, reduce_range: bool = False, symmetric: bool = False) -> tuple[Array, Array]:
    """The lowest and highest code, arrays of shape () and qType's dtype, that the other functions quantize to."""
    dtype, full, narrow, reduced = kind_of(qType, "qType", EXPECTED)
    low, high = reduced if reduce_range else narrow if symmetric else full
    return np.array(low, dtype), np.array(high, dtype)


def compute_scale_zp(
    rmin: Any, rmax: Any, qmin: Any, qmax: Any, symmetric: bool = False, min_real_range: Any = None
) -> list[Array]:
    """[zero_point, scale], of qmin's dtype and of rmax's: real = scale * (code - zero_point).

    The range rmin to rmax (arrays or NumPy scalars, floats) is widened to hold 0, then upwards to min_real_range, then,
    if symmetric, to the farther end on both sides. In float64:

        scale = (rmax - rmin) / (qmax - qmin), rounded once to rmax's dtype
        zero_point = round(qmin - rmin / scale), by the scale before it was rounded; symmetric: round((qmin + qmax) / 2)

    A scale below the smallest normal of rmax's dtype (float16: below its smallest subnormal, once rounded) is 1, and
    its zero point 0.
    """
    low, high = np.asarray(qmin), np.asarray(qmax)
    lowest, highest = int(low.astype(np.int64).item()), int(high.astype(np.int64).item())
    if lowest > 0 or highest < 0 or lowest == highest:
        raise ValueError(f"qmin: got {lowest} where qmax is {highest}, expected qmin <= 0 <= qmax and not both 0")
    ends = np.asarray(rmin), np.asarray(rmax)
    for end, name in zip(ends, ("rmin", "rmax"), strict=True):
        check_real(end, name)
        if end.size != 1 or not math.isfinite(end.item()):
            raise ValueError(f"{name}: got {end}, expected one finite number")
    dtype, shape = ends[1].dtype, ends[1].shape if ends[0].ndim < ends[1].ndim else ends[0].shape
    # Python's numbers are float64, and hold those of the other types.
    lo, hi = min(ends[0].item(), 0.0), max(ends[1].item(), 0.0)
    with np.errstate(all="ignore"):
        if min_real_range is not None:
            own = ends[0].dtype
            widened = (own.type(lo) + np.asarray(min_real_range, own)).item()
            hi, dtype = (widened, own) if widened > hi else (hi, dtype)
        if symmetric:
            hi = max(-lo, hi)
            lo, dtype = -hi, np.result_type(ends[0].dtype, dtype)
        scale = (hi - lo) / (highest - lowest)
        stored = np.asarray(scale, dtype)
    if not math.isfinite(stored.item()):
        raise ValueError(
            f"rmax: got a range of {lo} to {hi}, with min_real_range {min_real_range}, expected one whose width over "
            f"{highest - lowest} is finite as {dtype}"
        )
    if (stored.item() if dtype == np.float16 else scale) < _least_scale(dtype):
        return [np.array(0, low.dtype), np.array(1, dtype)]
    if symmetric:
        return [np.array(round((lowest + highest) / 2), low.dtype), stored.reshape(shape)]
    return [np.array(round(lowest - lo / scale), low.dtype).reshape(shape), stored.reshape(shape)]


def compute_scale_zp_float8(element_type: Any, std: Any) -> list[Array]:
    """[zero_point, scale] for float8: 0, and std (a NumPy scalar) over the standard deviation of all finite values of
    the type, 100.06, in std's dtype. 1 where that is 0."""
    if element_type != FLOAT8:
        raise ValueError(f"element_type: got {element_type}, expected 17 (FLOAT8E4M3FN)")
    spread = np.asarray(std)
    check_real(spread, "std")
    if not 0 <= spread < np.inf:
        raise ValueError(f"std: got {spread}, expected a finite number >= 0")
    with np.errstate(all="ignore"):
        scale = np.array(std / _float8_std(), spread.dtype)
    return [np.array(0, ml_dtypes.float8_e4m3fn), scale if scale > 0 else np.array(1, spread.dtype)]


def compute_scale_zp_blocked(
    weight: Any, quant_type: Any, axis: int, block_size: int, symmetric: bool
) -> tuple[Array, Array]:
    """(zero_point, scale) for blocks of block_size along axis of a float array of two dimensions: arrays of its shape,
    but with ceil(n / block_size) for the length n of axis; of quant_type's dtype and of weight's.

    Each range is widened to hold 0 and, if symmetric, to both sides. scale = (hi - lo) / (qmax - qmin), the difference
    one of weight's dtype, the quotient of float64; 1 where that is below the smallest normal (float16: subnormal).
    zero_point = round(qmin - lo / scale), by the rounded scale; 0 for such blocks; symmetric: round((qmin + qmax) / 2).
    """
    x = np.asarray(weight)
    if x.ndim != 2:
        raise NotImplementedError(f"weight: got {x.ndim} dimensions, expected 2; reshape it, or quantize per channel")
    check_real(x, "weight")
    qmin, qmax = get_qmin_qmax_for_qType(quant_type, symmetric=symmetric)
    lowest, highest = float(qmin), float(qmax)
    if x.size:
        lo, hi = (np.asarray(end, x.dtype) for end in range_of(x, "weight", axis=axis, block_size=block_size))
    else:
        check_block_size(block_size)
        shape = list(x.shape)
        shape[axis] = -(-shape[axis] // block_size)
        lo = hi = np.zeros(shape, x.dtype)
    zero = x.dtype.type(0)
    with np.errstate(all="ignore"):
        lo, hi = np.minimum(lo, zero), np.maximum(hi, zero)
        if symmetric:
            hi = np.maximum(-lo, hi)
            lo = -hi
        width = (hi - lo).astype(np.float64)
        width = np.where(np.isinf(width), hi.astype(np.float64) - lo.astype(np.float64), width)
        scale = (width / (highest - lowest)).astype(x.dtype)
        if not np.isfinite(scale).all():
            raise ValueError(f"weight: got a block whose range over {highest - lowest:g} is no finite {x.dtype}")
        small = scale < _least_scale(x.dtype)
        scale = np.where(small, x.dtype.type(1), scale)
        if symmetric:
            return np.full(scale.shape, round((lowest + highest) / 2), qmin.dtype), scale
        level = np.clip(np.rint(lowest - lo.astype(np.float64) / scale.astype(np.float64)), lowest, highest)
    return np.where(small, 0, level).astype(qmin.dtype), scale


def pack_bytes_to_4bit(src_8bit: Any) -> bytearray:
    """The low four bits of each element, two a byte, the first in the low bits; an odd tail is padded with 0.

    src_8bit  bytes, bytearray, or a memoryview, array or sequence of integers, of one dimension.

    Returns a bytearray of ceil(n / 2) bytes.
    """
    if isinstance(src_8bit, (bytes, bytearray)):
        codes = np.frombuffer(src_8bit, np.uint8)
    else:
        codes = np.asarray(src_8bit)
        if codes.ndim != 1:
            raise ValueError(f"src_8bit: got {codes.ndim} dimensions, expected 1")
        if codes.size == 0:
            return bytearray()
        if codes.dtype.kind not in "iu" and codes.dtype not in (ml_dtypes.int4, ml_dtypes.uint4):
            raise TypeError(f"src_8bit: got elements of {codes.dtype}, expected integers")
        if codes.dtype.itemsize > 1:
            codes = (codes & 15).astype(np.uint8)
    return bytearray(fq.pack(np.ascontiguousarray(codes).view(ml_dtypes.uint4)).data)


def quantize_onnx_initializer(
    weight: Any, quant_type: Any, zero_point: Any, scale: Any, axis: int | None = None,
    quant_weight_name: str | None = None, block_size: int = 0,
) -> Any:  # fmt: skip
    """A TensorProto of quant_type: the float or float16 initializer `weight` quantized by quantize_nparray's rule.

    axis None          scale and zero_point are one value
    axis               one for each index of axis
    axis, block_size   one for each block of that length along axis, of which the last may be shorter: arrays of
                       weight's shape, but with ceil(n / block_size) on axis

    Its name is quant_weight_name, or weight's with "_quantized". 4-bit codes are packed, two a byte.
    """
    from onnx import helper, numpy_helper

    if weight.data_type not in (FLOAT, FLOAT16):
        raise ValueError(f"weight: got data_type {weight.data_type}, expected 1 (FLOAT) or 10 (FLOAT16)")
    x = numpy_helper.to_array(weight)
    if quant_type != FLOAT8:
        kind_of(quant_type, "quant_type", f"{EXPECTED} or 17 (FLOAT8E4M3FN)")
    if axis is None:
        q = quantize_nparray(quant_type, x.reshape(-1), scale, zero_point)
    elif not -x.ndim <= axis < x.ndim:
        raise ValueError(f"axis: got {axis}, expected {-x.ndim} to {x.ndim - 1} for a weight of shape {x.shape}")
    else:
        q = _along(quant_type, x, elements_of(scale), elements_of(zero_point), axis % x.ndim, max(block_size, 0))
    name = quant_weight_name or f"{weight.name}_quantized"
    dims = tuple(weight.dims)
    if quant_type in PACKED:
        return helper.make_tensor(name, quant_type, dims, bytes(pack_bytes_to_4bit(q.reshape(-1))), raw=True)
    if quant_type == FLOAT8:
        return helper.make_tensor(name, quant_type, dims, q.tobytes(), raw=True)
    return numpy_helper.from_array(q.reshape(dims), name)


# ---- the arithmetic ----


def _integers(
    number: int, x: Array, scale: Array, zero_point: Array, precision: str | None, **where: Any
) -> Array:  # fmt: skip
    """Codes by parameters that are read already; where: limits, axis, block_size."""
    if x.dtype not in NATIVE:
        if x.dtype.kind not in "fiub":
            raise TypeError(f"arr: got {x.dtype}, expected real numbers")
        with np.errstate(all="ignore"):
            x = x.astype(np.float32)
    name = INTEGERS[number][0].name
    return _rules.quantize(x, scale, zero_point, rule="divide", dtype=name, precision=precision, **where)


def _float8(x: Array, scale: Any, zero_point: Any, argument: str, where: dict[str, int]) -> Array:
    """Codes of float8: ONNX Runtime runs QuantizeLinear in onnx's reference implementation."""
    if x.dtype not in (np.float32, np.float16):
        raise ValueError(f"{argument}: got {x.dtype}, expected float32 or float16 for FLOAT8E4M3FN")
    if np.any(np.asarray(zero_point).astype(np.float64) != 0):
        raise ValueError(f"zero_point: got {zero_point!r}, expected 0 for FLOAT8E4M3FN")
    s = np.asarray(scale)
    if hasattr(scale, "dtype"):
        check_real(s, "scale")
        check_scale(s, s.dtype)
    else:
        check_scale(s, x.dtype)
        s = s.astype(x.dtype)
    if s.dtype == np.float64:
        # The quotient is one of float64 there, and ml_dtypes casts it by way of float32.
        divisor = s if s.size == 1 or not where else _repeated(s, x.shape, **where)
        with np.errstate(all="ignore"):
            x = (x / divisor).astype(np.float32)
        s, where = np.ones((), np.float32), {}
    narrow = x.dtype == np.float16 and s.dtype == np.float16
    return _operators.quantize_linear(x, s, output_dtype=FLOAT8, precision=FLOAT16 if narrow else FLOAT, **where)


def _along(number: int, x: Array, scale: Array, zero_point: Array, axis: int, block: int) -> Array:
    """Codes by a scale for each index of axis, or for each block."""
    if block and scale.ndim == 2 and x.ndim > 2:
        # Blocks by what is left of the shape, in one dimension.
        moved = np.moveaxis(x, axis, 0)
        flat = moved.reshape(x.shape[axis], -1)
        q = _along(number, flat, np.moveaxis(scale, axis, 0), np.moveaxis(zero_point, axis, 0), 0, block)
        return np.moveaxis(q.reshape(moved.shape), 0, axis)
    count = -(-x.shape[axis] // block) if block else x.shape[axis]
    shape = (*x.shape[:axis], count, *x.shape[axis + 1 :]) if block else (count,)
    for a, argument in ((scale, "scale"), (zero_point, "zero_point")):
        if a.shape != shape and (block or a.size != count):
            raise ValueError(f"{argument}: got shape {a.shape}, expected {shape}")
    if x.size == 0:
        return np.empty(x.shape, ml_dtypes.float8_e4m3fn if number == FLOAT8 else INTEGERS[number][0])
    scale, zero_point = scale.reshape(shape), zero_point.reshape(shape)
    if number == FLOAT8:
        return _float8(x, scale, zero_point, "weight", {"axis": axis, "block_size": block})
    s, z, precision = read_parameters(scale, zero_point)
    return _integers(number, x, s, z, precision, axis=axis, block_size=block or None)


def _repeated(scale: Array, shape: tuple[int, ...], axis: int, block_size: int) -> Array:
    """A scale for each element, or what broadcasts to that."""
    if block_size:
        return np.take(scale, np.arange(shape[axis]) // block_size, axis=axis)
    return scale.reshape([n if a == axis else 1 for a, n in enumerate(shape)])


@cache
def _float8_std() -> np.float32:
    values = np.arange(256, dtype=np.uint8).view(ml_dtypes.float8_e4m3fn).astype(np.float32)
    return np.std(values[np.isfinite(values)])  # in this order: the sum's rounding depends on it


@cache
def _least_scale(dtype: np.dtype[Any]) -> float:
    """The smallest scale that is not taken for 0. Those of float16 divide float32 data, where subnormals do no harm."""
    info = np.finfo(dtype)
    return float(info.smallest_subnormal if dtype == np.float16 else info.tiny)
