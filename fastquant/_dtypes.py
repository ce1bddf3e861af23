"""The number types: one table of code types (from the kernels' list) and one of real types."""

from __future__ import annotations

from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from fastquant import _kernels


class CodeType(NamedTuple):
    """A type that codes are stored in: its row in the kernels' list, its NumPy dtype, its lowest and highest code."""

    row: int
    dtype: np.dtype[Any]
    lowest: int
    highest: int

    @property
    def name(self) -> str:
        return self.dtype.name


CODE_TYPES: dict[str, CodeType] = {
    name: CodeType(row, np.dtype(name), lowest, highest)
    for row, (name, lowest, highest) in enumerate(_kernels.code_types())
}

# Real types that callers may use, and the type that the arithmetic runs in: float16 and bfloat16 are exact in float32.
REAL_TYPES: dict[str, np.dtype[Any]] = {
    "float32": np.dtype(np.float32),
    "float64": np.dtype(np.float64),
    "float16": np.dtype(np.float32),
    "bfloat16": np.dtype(np.float32),
}
_REAL_DTYPES = {name: np.dtype(getattr(ml_dtypes, name, name)) for name in REAL_TYPES}


def _name_of(dtype: Any, argument: str, expected: str) -> str:
    if isinstance(dtype, str) and dtype in _REAL_DTYPES:
        return dtype  # np.dtype("bfloat16") depends on who registered the name
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
_CODES = {codes.dtype: codes for codes in CODE_TYPES.values()}


def arithmetic_dtype(dtype: np.dtype[Any]) -> np.dtype[Any] | None:
    """The dtype that arithmetic on reals of this dtype, in any byte order, runs in; None if it is no real type."""
    return _ARITHMETIC.get(dtype if dtype.isnative else dtype.newbyteorder("="))


def code_type_of(dtype: np.dtype[Any]) -> CodeType | None:
    """The code type of arrays of this dtype, or None."""
    return _CODES.get(dtype)
