"""A producer of DLPack capsules over memory of its own, in ctypes: no framework, and any tensor that one can write.

The structures are those of dlpack.h in their unversioned form.
"""

from __future__ import annotations

import ctypes
from typing import Any, ClassVar

import numpy as np

CPU, CUDA = 1, 2
# Codes of types: DLDataTypeCode.
INT, UINT, FLOAT, OPAQUE, BFLOAT, COMPLEX, BOOL = range(7)
CODES = {"bfloat16": BFLOAT, "float8_e4m3fn": 10, "float8_e4m3fnuz": 11, "float8_e5m2": 12, "float8_e5m2fnuz": 13}


class _DataType(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16))


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("dtype", _DataType),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


class _Managed(ctypes.Structure):
    pass


_Deleter = ctypes.CFUNCTYPE(None, ctypes.POINTER(_Managed))
_Managed._fields_ = (("tensor", _Tensor), ("manager", ctypes.c_void_p), ("deleter", _Deleter))

_new = ctypes.pythonapi.PyCapsule_New
_new.restype, _new.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
_is_valid = ctypes.pythonapi.PyCapsule_IsValid
_is_valid.restype, _is_valid.argtypes = ctypes.c_int, (ctypes.py_object, ctypes.c_char_p)


def type_of(dtype: np.dtype[Any]) -> tuple[int, int, int]:
    """(code, bits, lanes) of a NumPy or ml_dtypes type."""
    code = CODES.get(dtype.name, {"i": INT, "u": UINT, "f": FLOAT, "b": BOOL, "c": COMPLEX}.get(dtype.kind, OPAQUE))
    return code, 8 * dtype.itemsize, 1


class Tensor:
    """An array as another library would hand it over. Everything about it can be given to differ from `array`.

    deleted counts the calls of the deleter: whoever takes a capsule owes one. spoil: the call fills the memory with
    0xEE.
    """

    _kept: ClassVar[list[Tensor]] = []  # consumers may call a deleter long after the tests have forgotten the tensor

    def __init__(
        self, array: np.ndarray, *, kind: tuple[int, int, int] | None = None, strides: Any = "own", device: int = CPU,
        byte_offset: int = 0, shape: tuple[int, ...] | None = None, has_deleter: bool = True, spoil: bool = False,
    ) -> None:  # fmt: skip
        self.array, self.device, self.spoil, self.deleted = array, device, spoil, 0
        shape = array.shape if shape is None else shape
        if isinstance(strides, str):
            strides = tuple(step // array.itemsize for step in array.strides)
        self.shape = (ctypes.c_int64 * len(shape))(*shape)
        self.strides = None if strides is None else (ctypes.c_int64 * len(strides))(*strides)
        self.managed = _Managed()
        t = self.managed.tensor
        t.data, t.byte_offset = (array.ctypes.data - byte_offset) % 2**64, byte_offset
        t.device_type, t.ndim = device, len(shape)
        t.dtype = _DataType(*(type_of(array.dtype) if kind is None else kind))
        t.shape = ctypes.cast(self.shape, ctypes.POINTER(ctypes.c_int64)) if shape else None
        t.strides = None if strides is None else ctypes.cast(self.strides, ctypes.POINTER(ctypes.c_int64))
        if has_deleter:
            self.managed.deleter = self.callback = _Deleter(self._delete)

    def _delete(self, managed: Any) -> None:
        self.deleted += 1
        if self.spoil:
            self.array.view(np.uint8)[...] = 0xEE

    def capsule(self) -> Any:
        """Without a destructor: one that nobody takes owes nothing."""
        self._kept.append(self)
        return _new(ctypes.addressof(self.managed), b"dltensor", None)

    def __dlpack__(self, **options: Any) -> Any:
        self.last = self.capsule()
        return self.last

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device, 0

    @property
    def was_taken(self) -> bool:
        """The last capsule: its name says so."""
        return bool(_is_valid(self.last, b"used_dltensor"))
