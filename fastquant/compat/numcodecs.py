"""FixedScaleOffset of numcodecs (0.16) that saturates: same arguments and defaults, and with saturate=False the same
bytes. Needs numcodecs, of whose codec it is a subclass.

    from fastquant.compat.numcodecs import FixedScaleOffset
    zarr.create_array(store, ..., zarr_format=2, filters=[FixedScaleOffset(0, 100, "f4", "i2")])

Its name in metadata is "fastquant.fixedscaleoffset", which numcodecs and zarr find through entry points where fastquant
is installed. Encoded data are those of numcodecs' codec: where fastquant is not, {"id": "fixedscaleoffset"} with the
same configuration, less "saturate", decodes them. For zarr_format=3, whose codecs are zarr's own: ZarrFixedScaleOffset,
of this module, with the same arguments; it takes the array's dtype where none is given. That needs zarr.

Where the results differ
    Beyond astype     saturate=True, integer astype: the lowest or highest code; there numbers wrap, or give what the
                      machine's conversion leaves. NaN gives the lowest code; there undefined, with a warning. Integer
                      dtypes do not wrap on the way either, nor does an offset or scale beyond theirs raise.
    zarr_format=3     chunks in Fortran order are stored as they are; there transposed (zarr 3.1). dtype, if given, must
                      be the array's; there the bytes of another are taken for it. Big-endian types are read as they
                      were written; there byte-swapped.
"""

from __future__ import annotations

import asyncio
import operator
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numcodecs.compat import ensure_ndarray, ensure_ndarray_like, ndarray_copy
from numcodecs.fixedscaleoffset import FixedScaleOffset as _Original

from fastquant import _rules

__all__ = ["FixedScaleOffset"]  # the other one needs zarr

Array = np.ndarray[Any, np.dtype[Any]]

ZarrFixedScaleOffset: Any  # by __getattr__

_FLOAT32, _FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
_CODES = ("int8", "uint8", "int16", "uint16")


class FixedScaleOffset(_Original):
    """Encodes round((x - offset) * scale), ties to even, and decodes q / scale + offset.

    offset, scale  numbers. Python's leave the arithmetic in the type of x; it is one of float64 when decoding integers.
    dtype          of the data.
    astype         of the encoded data. Default: dtype.
    saturate       integer astype: what is beyond it becomes its lowest or highest code, and NaN the lowest. False:
                   what numcodecs gives.

    Kernels do the work where dtype is float32 or float64, astype an integer of 8 or 16 bits and scale > 0; NumPy else.
    """

    codec_id = "fastquant.fixedscaleoffset"

    def __init__(self, offset: Any, scale: Any, dtype: Any, astype: Any = None, *, saturate: bool = True) -> None:
        super().__init__(offset=offset, scale=scale, dtype=dtype, astype=astype)
        if not isinstance(saturate, (bool, np.bool_)):
            raise TypeError(f"saturate: got {saturate!r}, expected True or False")
        self.saturate = bool(saturate)

    def encode(self, buf: Any) -> Any:
        """An array of one dimension, of astype, of the numbers in buf: an array or anything with a buffer, viewed as
        dtype, in the order of its memory if that is dense, else in C order."""
        if not self.saturate or self.astype.kind not in "iu" or self.dtype.kind not in "fiu":
            return super().encode(buf)
        x = ensure_ndarray(buf).view(self.dtype)
        if x.flags.f_contiguous:
            x = x.reshape(-1, order="A")
        how = self._plan[0]
        if how is None:
            return self._encode_saturated(x.reshape(-1))
        return _rules.quantize(x, **how).reshape(-1).astype(self.astype, copy=False)

    def decode(self, buf: Any, out: Any = None) -> Any:
        """An array of one dimension, of dtype; or out, a buffer of as many bytes, filled with it."""
        q = ensure_ndarray(buf).view(self.astype)
        q = q.reshape(-1, order="A")
        how = self._plan[1]
        if how is None:
            with np.errstate(all="ignore"):
                x = q / self.scale + self.offset
                return ndarray_copy(x.astype(self.dtype, copy=False), out)
        target = self._target(out, q)
        x = _rules.dequantize(q, **how, out=target)
        return ensure_ndarray_like(out) if target is not None else ndarray_copy(x.astype(self.dtype, copy=False), out)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "saturate": self.saturate}

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}, saturate={self.saturate})"

    @cached_property
    def _plan(self) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """What encode and decode call kernels with; None where these lack something."""
        dtype = self.dtype.newbyteorder("=")
        reals = (_FLOAT32, _FLOAT64)
        if dtype not in reals or self.astype.name not in _CODES or np.ndim(self.scale) or np.ndim(self.offset):
            return None, None
        # Each operation promotes its operands; kernels compute both in one type. To subtract 0 is to convert.
        difference = np.result_type(dtype, self.offset)
        product = np.result_type(difference, self.scale)
        quotient = np.result_type(self.astype, self.scale)
        quotient = quotient if quotient.kind == "f" else _FLOAT64
        there = product in reals and (difference == product or self.offset == 0) and self._within(product)
        back = quotient == np.result_type(quotient, self.offset) == _FLOAT64 and self._within(_FLOAT64)
        common = {"scale": self.scale, "rule": "multiply", "offset": None if self.offset == 0 else self.offset}
        wide = "float64" if product == _FLOAT64 else None
        encode = {**common, "dtype": self.astype.name, "precision": wide}
        decode = {**common, "dtype": dtype.name, "precision": "float64"}
        return encode if there else None, decode if back else None

    def __setattr__(self, name: str, value: Any) -> None:
        self.__dict__.pop("_plan", None)
        super().__setattr__(name, value)

    def _within(self, real: np.dtype[Any]) -> bool:
        with np.errstate(all="ignore"):
            return bool(0 < real.type(self.scale) < np.inf and np.isfinite(real.type(self.offset)))

    def _target(self, out: Any, q: Array) -> Array | None:
        """out as an array that a kernel can write to, if it is one."""
        if out is None or not self.dtype.isnative:
            return None
        a = ensure_ndarray(out)
        if a.dtype.hasobject or a.nbytes != q.size * self.dtype.itemsize:
            return None
        if not (a.flags.writeable and (a.flags.c_contiguous or a.flags.f_contiguous)):
            return None
        return a.reshape(-1, order="A").view(self.dtype)

    def _encode_saturated(self, x: Array) -> Array:
        """In NumPy, for the types and numbers that kernels lack."""
        info = np.iinfo(self.astype)
        with np.errstate(all="ignore"):
            if x.dtype.kind == "f" or self._stays_within(x):
                level = np.around((x - self.offset) * self.scale)
            else:  # in Python's integers: as NumPy's would be if they did not wrap
                level = (x.astype(object) - int(self.offset)) * _plain(self.scale)
                level = level if _is_whole(self.scale) else np.rint(level.astype(np.float64))
            if level.dtype.kind == "O":
                return np.minimum(np.maximum(level, info.min), info.max).astype(self.astype)
            if level.dtype.kind in "iu":
                own = np.iinfo(level.dtype)
                return np.clip(level, max(info.min, own.min), min(info.max, own.max)).astype(self.astype)
            level = level.astype(np.result_type(level.dtype, np.float64), copy=False)  # holds both limits, nearly
            codes = level.astype(self.astype)
            codes[level >= float(info.max) + 1] = info.max  # the sum is exact, or info.max was rounded up to it
            codes[~(level >= info.min)] = info.min
        return codes

    def _stays_within(self, x: Array) -> bool:
        """Whether integers x take (x - offset) * scale in NumPy without wrapping or raising."""
        if not x.size or not _is_whole(self.offset):
            return True
        dtype, ends = x.dtype, [int(x.min()), int(x.max())]
        for number, work in ((self.offset, operator.sub), (self.scale, operator.mul)):
            if not _is_whole(number):
                return True
            if type(number) is int and not _holds(dtype, number):
                return False
            dtype = np.result_type(dtype, number)
            if dtype.kind == "f":
                return True
            ends = [work(end, int(number)) for end in ends]
            if not all(_holds(dtype, end) for end in ends):
                return False
        return True


def _is_whole(number: Any) -> bool:
    return isinstance(number, (int, np.integer))


def _plain(number: Any) -> Any:
    return int(number) if _is_whole(number) else float(number)


def _holds(dtype: np.dtype[Any], number: int) -> bool:
    info = np.iinfo(dtype)
    return bool(info.min <= number <= info.max)


def __getattr__(name: str) -> Any:
    """ZarrFixedScaleOffset, when it is first asked for: zarr takes a second to import."""
    if name != "ZarrFixedScaleOffset":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = made = _zarr_codec()
    return made


def _zarr_codec() -> Any:
    from zarr.abc.codec import ArrayArrayCodec
    from zarr.dtype import parse_dtype

    @dataclass(frozen=True, init=False)
    class ZarrFixedScaleOffset(ArrayArrayCodec):
        """A filter for zarr_format=3: FixedScaleOffset, argument for argument. dtype, if given, must be the array's."""

        is_fixed_size = True
        codec_name: ClassVar[str] = FixedScaleOffset.codec_id

        offset: Any
        scale: Any
        dtype: str | None
        astype: str | None
        saturate: bool

        def __init__(self, offset: Any, scale: Any, dtype: Any = None, astype: Any = None, *, saturate: bool = True):
            codec = FixedScaleOffset(offset, scale, dtype or "f4", astype, saturate=saturate)
            config = codec.get_config()
            config["dtype"] = None if dtype is None else config["dtype"]
            config["astype"] = None if astype is None else config["astype"]
            for field in fields(self):
                object.__setattr__(self, field.name, config[field.name])

        @classmethod
        def from_dict(cls, data: dict[str, Any]) -> Any:
            name = data.get("name")
            if name != cls.codec_name:
                raise ValueError(f"name: got {name!r}, expected {cls.codec_name!r}")
            return cls(**data.get("configuration", {}))

        def to_dict(self) -> dict[str, Any]:
            given = {field.name: getattr(self, field.name) for field in fields(self)}
            return {"name": self.codec_name, "configuration": {k: v for k, v in given.items() if v is not None}}

        def evolve_from_array_spec(self, array_spec: Any) -> Any:
            if self.dtype is not None:
                return self
            return replace(self, dtype=array_spec.dtype.to_native_dtype().str)

        def validate(self, *, shape: Any, dtype: Any, chunk_grid: Any) -> None:
            own = dtype.to_native_dtype()
            if self.dtype is not None and np.dtype(self.dtype).newbyteorder("=") != own.newbyteorder("="):
                raise ValueError(f"dtype: got {self.dtype}, expected the array's, {own.str}")

        def resolve_metadata(self, chunk_spec: Any) -> Any:
            return replace(chunk_spec, dtype=parse_dtype(self._codec(chunk_spec).astype, zarr_format=3))

        def compute_encoded_size(self, input_byte_length: int, chunk_spec: Any) -> int:
            codec = self._codec(chunk_spec)
            return int(input_byte_length // codec.dtype.itemsize * codec.astype.itemsize)

        # Chunks come in any memory order, and after the bytes codec in its byte order, not in that of their dtype.

        async def _encode_single(self, chunk_array: Any, chunk_spec: Any) -> Any:
            codec, chunk = self._codec(chunk_spec), chunk_array.as_numpy_array()
            codes = await asyncio.to_thread(codec.encode, chunk.astype(codec.dtype, order="C", copy=False))
            return chunk_spec.prototype.nd_buffer.from_numpy_array(codes.reshape(chunk.shape))

        async def _decode_single(self, chunk_array: Any, chunk_spec: Any) -> Any:
            codec, codes = self._codec(chunk_spec), chunk_array.as_numpy_array()
            x = await asyncio.to_thread(codec.decode, codes.astype(codec.astype, order="C", copy=False))
            return chunk_spec.prototype.nd_buffer.from_numpy_array(x.reshape(chunk_spec.shape))

        def _codec(self, spec: Any) -> FixedScaleOffset:
            dtype = spec.dtype.to_native_dtype()
            return FixedScaleOffset(self.offset, self.scale, dtype, self.astype, saturate=self.saturate)

    ZarrFixedScaleOffset.__qualname__ = "ZarrFixedScaleOffset"  # where pickle finds it
    return ZarrFixedScaleOffset
