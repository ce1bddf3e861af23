"""The numerics of fastquant in plain NumPy: the specification that every kernel is tested against.

Slow, obvious, complete. It shares no arithmetic with the kernels. Arguments are those of the public functions (without
`out`; types are names) and are not checked here, but for values that have no result.

Real numbers. `x` is taken as float32, or as float64 if it is float64 (or a list of Python numbers); float16 and
bfloat16 are exact in float32. That type is "the real type" below: scale and offset are rounded to it, and each
operation on reals is rounded to it once, to nearest, ties to even.

Codes. One byte or two each. Types of fewer than eight bits have a byte for each code, its upper bits zero; where codes
are read, the upper bits are ignored.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import ml_dtypes
import numpy as np


class Float(NamedTuple):
    """A float code type. Without its sign bit a code is a number that grows with the value that it stands for."""

    largest: int  # the code of the largest finite value
    beyond: int  # what is farther from zero becomes, unless it saturates; the sign is added
    nan: int  # what NaN becomes
    sign: int  # the sign bit
    nan_keeps_sign: bool = True
    negative_zero: bool = True


# The lowest and the highest code.
LIMITS = {
    "int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767), "uint16": (0, 65535),
    "int4": (-8, 7), "uint4": (0, 15), "int2": (-2, 1), "uint2": (0, 3),
}  # fmt: skip

# The types of 6 and 4 bits have neither infinity nor NaN: what is beyond, and NaN, is the largest finite value. The
# fnuz types have one NaN, in the place of -0.
FLOATS = {
    "float8_e4m3fn": Float(largest=0x7E, beyond=0x7F, nan=0x7F, sign=0x80),
    "float8_e4m3fnuz": Float(largest=0x7F, beyond=0x80, nan=0x80, sign=0x80, negative_zero=False),
    "float8_e5m2": Float(largest=0x7B, beyond=0x7C, nan=0x7E, sign=0x80),
    "float8_e5m2fnuz": Float(largest=0x7F, beyond=0x80, nan=0x80, sign=0x80, negative_zero=False),
    "float6_e2m3fn": Float(largest=0x1F, beyond=0x1F, nan=0x1F, sign=0x20, nan_keeps_sign=False),
    "float6_e3m2fn": Float(largest=0x1F, beyond=0x1F, nan=0x1F, sign=0x20, nan_keeps_sign=False),
    "float4_e2m1fn": Float(largest=0x07, beyond=0x07, nan=0x07, sign=0x08, nan_keeps_sign=False),
}

# How other libraries make a number of x, which is then rounded; fastquant.compat has them. s is what they are given for
# a scale, o an offset, 0 unless given. Each operation is rounded once.
RULES = {
    "divide": lambda x, s, o: (x - o) / s,  # fastquant's own
    "floor": lambda x, s, o: np.floor((x - o) / s),
    "multiply": lambda x, s, o: (x - o) * s,
    "multiply_shift": lambda x, s, o: x * s + o,
}

# Bits of a code, of the types that can be packed.
PACKED = {"int4": 4, "uint4": 4, "float4_e2m1fn": 4, "int2": 2, "uint2": 2}


def quantize(x: Any, scale: Any, zero_point: Any = 0, *, dtype: str | None = None, axis: Any = None,
             block_size: int | None = None, packed: bool = False, offset: Any = None, saturate: bool = True,
             precision: str | None = None, rule: str = "divide", limits: tuple[int, int] | None = None) -> Any:
    """Integer codes: saturate(nearest(x / scale) + zero_point). Float codes: the code nearest to x / scale, saturated.
    With `offset`, (x - offset) / scale in place of x / scale.

    The quotient is that of a true division in the real type. Ties go to even. The zero point is added as an integer,
    after rounding. Infinities saturate; NaN gives the lowest code, in float codes NaN. saturate=False, of float codes
    only: what is beyond the largest finite value, once rounded, gives infinity, or NaN where there is none.
    precision: "float16" or "bfloat16": x is rounded to that type first, and the result of each operation once more to
    that type (of a subtraction only to the real type); "float64": x is converted to it.
    rule: another way to the number that is rounded, see RULES; for integer codes only. limits: the lowest and highest
    code, if not those of dtype.
    dtype=None is the zero point's, if that is an array or scalar of a code type; else int8.
    """
    if dtype is None:
        dtype = str(zero_point.dtype.name) if isinstance(zero_point, (np.ndarray, np.generic)) else "int8"
        dtype = dtype if dtype in LIMITS or dtype in FLOATS else "int8"
    x = _reals(x) if precision != "float64" else np.asarray(x).astype(np.float64)
    half = precision if precision != "float64" else None
    scale = _spread(scale, x.shape, axis, block_size).astype(x.dtype)
    shift = None if offset is None else _spread(offset, x.shape, axis, block_size).astype(x.dtype)
    with np.errstate(all="ignore"):
        made = RULES[rule](x if half is None else _rounded(x, half), scale, x.dtype.type(0) if shift is None else shift)
        if half is None:
            quotient = made
        elif rule == "multiply_shift":
            quotient = _rounded(_rounded(x, half) * scale, half)
            quotient = quotient if shift is None else _rounded(quotient + shift, half)
        else:
            quotient = _rounded(made, half)
    # Where scales are finite nothing but a NaN in x makes a NaN. Its sign is taken from x: not every CPU hands it on.
    quotient = np.where(np.isnan(x), np.copysign(np.nan, x), quotient)
    if dtype in FLOATS:
        _no_zero_point(zero_point)
        q = _float_codes(quotient, dtype, saturate)
    else:
        if not saturate:
            raise ValueError(f"saturate: got False, expected True for {dtype}")
        q = _integer_codes(quotient, _spread(zero_point, x.shape, axis, block_size), dtype, limits or LIMITS[dtype])
    return pack(q) if packed else q


def _integer_codes(quotient: Any, zero_point: Any, dtype: str, limits: tuple[int, int]) -> Any:
    lowest, highest = limits
    # float64 holds every float32 and every int32; sums that it would have to round lie far outside every code type.
    code = np.clip(np.rint(quotient).astype(np.float64) + zero_point.astype(np.float64), lowest, highest)
    return np.where(np.isnan(quotient), lowest, code).astype(np.int64).astype(_dtype(dtype))


def _float_codes(quotient: Any, dtype: str, saturate: bool) -> Any:
    kind = FLOATS[dtype]
    code = _nearest(np.abs(quotient), dtype, kind.largest)
    # Infinities are counted among what is beyond.
    code = np.where(code > kind.largest, kind.largest if saturate else kind.beyond, code)
    code = np.where(np.isnan(quotient), kind.nan, code)
    signed = (kind.negative_zero | (code != 0)) & (kind.nan_keeps_sign | ~np.isnan(quotient))
    return np.asarray(code | np.where(np.signbit(quotient) & signed, kind.sign, 0), np.uint8).view(_dtype(dtype))


def _nearest(magnitude: Any, dtype: str, largest: int) -> Any:
    """The number of the value of a binary floating-point type that is nearest to a real >= 0: 0 for the value 0, 1 for
    the smallest, up to `largest`; largest + 1 beyond. Ties go to the even number, whose significand is even.

    Beyond is what rounds to the value that would come next if the exponent had no end. Casts of ml_dtypes would not do:
    those from float64 round to float32 first, and so twice.
    """
    bits = np.arange(largest + 1).astype(f"u{_dtype(dtype).itemsize}")
    values = bits.view(_dtype(dtype)).astype(np.float64)
    values = np.append(values, 2 * values[-1] - values[-2])
    middles = (values[1:] + values[:-1]) / 2  # exact: a bit more than the significands of the type
    magnitude = magnitude.astype(np.float64)
    below = np.searchsorted(middles, magnitude, side="left")  # how many middles are smaller: a tie stays below its own
    tie = magnitude == np.append(middles, np.inf)[below]
    return np.where(tie & (below <= largest), below + below % 2, below)


def _rounded(x: Any, dtype: str) -> Any:
    """Reals rounded once to numbers of float16 or bfloat16, in the type that they had. NaN comes out infinite."""
    infinity = int(np.array(np.inf).astype(_dtype(dtype)).view(np.uint16))
    bits = _nearest(np.abs(x), dtype, infinity - 1).astype(np.uint16)
    return np.copysign(bits.view(_dtype(dtype)).astype(x.dtype), x)


def dequantize(q: Any, scale: Any, zero_point: Any = 0, *, dtype: str = "float32", axis: Any = None,
               block_size: int | None = None, packed: str | None = None, offset: Any = None, shape: Any = None,
               precision: str | None = None, rule: str = "divide") -> Any:
    """real(q - zero_point) * scale; with `offset`, real(q) * scale + offset, two roundings.

    The difference is exact in integers, and rounded once where the real type does not hold it. float64 is computed in
    float64; every other dtype in float32, rounded to dtype at the end. Float codes: NaN keeps its sign, -0 too where no
    offset is added. packed: the type of the codes, `shape` their shape (default: all that the bytes hold).
    rule="multiply": real(q - zero_point) / scale, what the rule of that name makes codes of. precision: "float64" to
    compute in float64 whatever the dtype; "float16" or "bfloat16": q is rounded to that type, and so is the difference.
    """
    q = unpack(q, packed, shape) if packed else np.asarray(q)
    real = np.float64 if "float64" in (dtype, precision) else np.float32
    scale = _spread(scale, q.shape, axis, block_size).astype(real)
    if q.dtype.name in FLOATS:
        _no_zero_point(zero_point)
        used = 2 * FLOATS[q.dtype.name].sign - 1
        level = (q.view(np.uint8) & used).view(q.dtype).astype(real)  # exact
    else:
        zero_point = _spread(zero_point, q.shape, axis, block_size).astype(np.int64)
        level = (q.astype(np.int64) - zero_point).astype(real)
        if precision in ("float16", "bfloat16"):
            level = _rounded(_rounded(q.astype(real), precision) - zero_point.astype(real), precision)
    with np.errstate(all="ignore"):
        x = level / scale if rule == "multiply" else level * scale
        if offset is not None:
            x = x + _spread(offset, q.shape, axis, block_size).astype(real)
        x = np.where(np.isnan(level), level, x)  # for its sign, as above
        return np.asarray(x, real).astype(_dtype(dtype))


def fake_quantize(x: Any, scale: Any, zero_point: Any = 0, *, dtype: str = "int8", axis: Any = None,
                  block_size: int | None = None, offset: Any = None, saturate: bool = True) -> Any:
    """dequantize(quantize(x)), in the real type of x; rounded to float16 or bfloat16 if x is of these."""
    x = np.asarray(x)
    where: dict[str, Any] = {"axis": axis, "block_size": block_size, "offset": offset}
    q = quantize(x, scale, zero_point, dtype=dtype, saturate=saturate, **where)
    return dequantize(q, scale, zero_point, dtype=x.dtype.name if x.dtype.kind not in "iu" else "float64", **where)


def requantize(q: Any, scale: Any, zero_point: Any, new_scale: Any, new_zero_point: Any, *, dtype: str = "int8",
               axis: Any = None) -> Any:
    """quantize(dequantize(q, scale, zero_point), new_scale, new_zero_point), both in float32."""
    return quantize(dequantize(q, scale, zero_point, axis=axis), new_scale, new_zero_point, dtype=dtype, axis=axis)


def minmax(x: Any, *, axis: Any = None, block_size: int | None = None) -> tuple[Any, Any]:
    """Smallest and largest value, of all of x, for each index of `axis` or for each block. A zero is +0. ValueError for
    NaN, infinity and a range of nothing.
    """
    x = _reals(x)
    axes = _axes(axis, block_size, x.ndim)
    zero = x.dtype.type(0)
    # Where x is empty there are no blocks, but there may be indices of nothing.
    nothing = x.size == 0 and block_size is None and all(x.shape[a] > 0 for a in axes)
    if nothing or not np.isfinite(x).all():
        raise ValueError("x: expected at least one value, all finite")
    if block_size is not None:
        starts = np.arange(0, x.shape[axes[0]], block_size)
        lo, hi = (extreme.reduceat(x, starts, axis=axes[0]) for extreme in (np.minimum, np.maximum))
        return lo + zero, hi + zero
    others = tuple(a for a in range(x.ndim) if a not in axes)
    ends = np.min(x, axis=others, initial=np.inf), np.max(x, axis=others, initial=-np.inf)
    # The axes that are left are in the order of x; they are wanted in the order of `axis`.
    order = np.argsort(np.argsort(axes))
    return tuple(np.transpose(end, order)[()] + zero for end in ends)  # type: ignore[return-value]


def qparams(lo: Any, hi: Any, dtype: str = "int8", *, symmetric: bool = True, narrow_range: bool = False,
            include_zero: bool = True) -> tuple[Any, Any]:
    """A range of reals to a scale (float32) and a zero point (int32), computed in float64, each rounded once.

    symmetric:   scale = max(|lo|, |hi|) / (highest - middle), zero_point = middle: 0, or half of the codes if unsigned.
    asymmetric:  scale = (hi - lo) / (highest - lowest), zero_point = nearest(lowest - lo / scale).
    float codes: scale = max(|lo|, |hi|) / largest finite, zero_point = 0; symmetric, and of the full range.
    include_zero first widens the range to hold 0, and keeps the zero point within the code type. narrow_range leaves
    out the lowest code. A range of zero has scale 1; a scale that float32 would hold as a subnormal is the smallest
    normal.
    """
    lo, hi = np.asarray(lo, np.float64), np.asarray(hi, np.float64)
    if dtype in FLOATS:
        if not symmetric or narrow_range:
            wrong = "narrow_range: got True, expected False" if symmetric else "symmetric: got False, expected True"
            raise ValueError(f"{wrong} for {dtype}")
        middle, lowest = 0, 0
        highest = float(ml_dtypes.finfo(_dtype(dtype)).max)
    else:
        lowest, highest = LIMITS[dtype]
        middle = 0 if lowest < 0 else (highest + 1) // 2
        lowest += narrow_range
    with np.errstate(all="ignore"):
        if symmetric:
            extent = np.maximum(np.abs(lo), np.abs(hi))
            scale = extent / (highest - middle)
        else:
            if include_zero:
                lo, hi = np.minimum(lo, 0.0), np.maximum(hi, 0.0)
            extent = hi - lo
            scale = extent / (highest - lowest)
        scale = np.where(extent == 0, 1.0, np.maximum(scale, np.finfo(np.float32).tiny))
        rounded = scale.astype(np.float32)
    if not np.isfinite(rounded).all():
        raise ValueError("lo, hi: a range this wide has no float32 scale")
    if symmetric:
        return rounded[()], np.full(lo.shape, middle, np.int32)[()]
    zero_point = np.rint(lowest - lo / scale)
    if include_zero:
        zero_point = np.clip(zero_point, lowest, highest)
    elif (np.abs(zero_point + 0.5) > 2**31).any():
        raise ValueError("lo, hi: a range this far from 0 has no int32 zero point")
    return rounded[()], zero_point.astype(np.int32)[()]


def quantize_dynamic(x: Any, dtype: str = "int8", *, symmetric: bool = True, narrow_range: bool = False,
                     axis: Any = None, block_size: int | None = None, packed: bool = False) -> tuple[Any, Any, Any]:
    """minmax, then qparams, then quantize."""
    ends = minmax(x, axis=axis, block_size=block_size)
    scale, zero_point = qparams(*ends, dtype, symmetric=symmetric, narrow_range=narrow_range)
    q = quantize(x, scale, zero_point, dtype=dtype, axis=axis, block_size=block_size, packed=packed)
    return q, scale, zero_point


def pack(q: Any) -> Any:
    """Codes of 4 or 2 bits, two or four in a byte along the last axis, the first in the low bits. The bits of a row's
    last byte that are left over are zero.
    """
    bits = PACKED[np.asarray(q).dtype.name]
    codes = np.asarray(q).view(np.uint8) & (2**bits - 1)
    codes = np.concatenate([codes, np.zeros((*codes.shape[:-1], -codes.shape[-1] % (8 // bits)), np.uint8)], axis=-1)
    return np.bitwise_or.reduce([codes[..., i :: 8 // bits] << (i * bits) for i in range(8 // bits)])


def unpack(p: Any, dtype: str, shape: Any = None) -> Any:
    """The codes in an array of bytes that pack made; `shape` is theirs. The bits left over are ignored."""
    p = np.asarray(p)
    bits = PACKED[dtype]
    shape = (*p.shape[:-1], p.shape[-1] * (8 // bits)) if shape is None else tuple(shape)
    parts = [(p >> (i * bits)) & (2**bits - 1) for i in range(8 // bits)]
    rows = np.stack(parts, axis=-1).reshape((*p.shape[:-1], p.shape[-1] * (8 // bits)))
    return np.ascontiguousarray(rows[..., : shape[-1]]).view(_dtype(dtype)).reshape(shape)


def _reals(x: Any) -> Any:
    x = np.asarray(x)
    return x.astype(np.float64 if x.dtype.kind in "iu" or x.dtype.itemsize == 8 else np.float32)


def _axes(axis: Any, block_size: int | None, ndim: int) -> tuple[int, ...]:
    """The axes of which each index, or with block_size each block, has a parameter of its own."""
    axes = axis if isinstance(axis, tuple) else () if axis is None else (axis,)
    if block_size is not None and not axes:
        axes = (-1,)
    return tuple(a % ndim for a in axes)


def _spread(parameter: Any, shape: tuple[int, ...], axis: Any, block_size: int | None) -> Any:
    """A parameter in a shape that broadcasts with arrays of `shape`: one value, or one for each index or block."""
    parameter = np.asarray(parameter)
    axes = _axes(axis, block_size, len(shape))
    if parameter.ndim == 0 or not axes:
        return parameter.reshape(())
    if block_size is not None:
        return np.take(parameter, np.arange(shape[axes[0]]) // block_size, axis=axes[0])
    in_order = parameter.transpose(np.argsort(axes))
    return in_order.reshape([length if a in axes else 1 for a, length in enumerate(shape)])


def _no_zero_point(zero_point: Any) -> None:
    if (np.asarray(zero_point) != 0).any():
        raise ValueError("zero_point: expected 0 for float codes")


def _dtype(name: str) -> Any:
    return np.dtype(getattr(ml_dtypes, name, name))
