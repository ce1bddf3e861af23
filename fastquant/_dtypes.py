"""The number types: one table of code types and one of real types, both from the kernels' lists."""

from __future__ import annotations

from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from fastquant import _kernels


class CodeType(NamedTuple):
    """A type that codes are stored in: its row in the kernels' list, its NumPy dtype, its lowest and highest number,
    its bits, and whether it is a float."""

    row: int
    dtype: np.dtype[Any]
    lowest: float
    highest: float
    bits: int
    is_float: bool

    @property
    def name(self) -> str:
        return self.dtype.name

    @property
    def packs(self) -> int:
        """Codes in a byte when packed; 1 for types that are not."""
        return 8 // self.bits if self.bits in (2, 4) else 1


def _dtype(name: str) -> np.dtype[Any]:
    return np.dtype(getattr(ml_dtypes, name, name))


_READ: dict[str, CodeType] = {
    name: CodeType(row, _dtype(name), lowest, highest, bits, is_float)
    for row, (name, lowest, highest, bits, is_float) in enumerate(_kernels.code_types())
}
# Accumulators of integer arithmetic are read, never made.
CODE_TYPES: dict[str, CodeType] = {name: codes for name, codes in _READ.items() if name != "int32"}
PACKED_TYPES = tuple(name for name, codes in CODE_TYPES.items() if codes.packs > 1)

# Real types that callers may use, and the type that the arithmetic runs in: float16 and bfloat16 are exact in float32.
REAL_TYPES: dict[str, np.dtype[Any]] = {
    name: np.dtype(np.float64 if is_double else np.float32) for name, is_double in _kernels.real_types()
}
_REAL_DTYPES = {name: _dtype(name) for name in REAL_TYPES}


def _name_of(dtype: Any, argument: str, expected: str) -> str:
    if isinstance(dtype, str) and (dtype in _READ or dtype in _REAL_DTYPES):
        return dtype  # what np.dtype makes of "bfloat16" or "int4" depends on who registered the name
    try:
        return str(np.dtype(dtype).newbyteorder("=").name)
    except (TypeError, ValueError, SyntaxError):  # np.dtype parses what it is given
        error = ValueError if isinstance(dtype, str) else TypeError
        raise error(f"{argument}: got {dtype!r}, expected {expected}") from None


def code_type(dtype: Any, argument: str = "dtype") -> CodeType:
    """The code type that `dtype` (a name, a NumPy or ml_dtypes type, a dtype) stands for."""
    if isinstance(dtype, str) and dtype in CODE_TYPES:
        return CODE_TYPES[dtype]
    expected = "one of " + ", ".join(CODE_TYPES)
    if dtype is None:
        raise TypeError(f"{argument}: got None, expected {expected}")
    name = _name_of(dtype, argument, expected)
    if name not in CODE_TYPES:
        raise ValueError(f"{argument}: got {name}, expected {expected}")
    return CODE_TYPES[name]


def real_dtype(dtype: Any, argument: str = "dtype") -> np.dtype[Any]:
    """The dtype of reals that `dtype` stands for."""
    expected = "one of " + ", ".join(REAL_TYPES)
    if dtype is None:
        raise TypeError(f"{argument}: got None, expected {expected}")
    name = _name_of(dtype, argument, expected)
    if name not in REAL_TYPES:
        raise ValueError(f"{argument}: got {name}, expected {expected}")
    return _REAL_DTYPES[name]


_ARITHMETIC = {_REAL_DTYPES[name]: dtype for name, dtype in REAL_TYPES.items()}
_CODES = {codes.dtype: codes for codes in _READ.values()}


def arithmetic_dtype(dtype: np.dtype[Any]) -> np.dtype[Any] | None:
    """The dtype that arithmetic on reals of this dtype, in any byte order, runs in; None if it is no real type."""
    return _ARITHMETIC.get(dtype if dtype.isnative else dtype.newbyteorder("="))


def code_type_of(dtype: np.dtype[Any]) -> CodeType | None:
    """The code type, int32 included, of arrays of this dtype in any byte order, or None."""
    return _CODES.get(dtype if dtype.isnative else dtype.newbyteorder("="))
