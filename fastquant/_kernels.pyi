from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from fastquant._results import QParams, Quantized, Range

_Array = NDArray[Any]

# The public functions, re-exported by the package.

def quantize(
    x: ArrayLike,
    scale: ArrayLike,
    zero_point: ArrayLike = 0,
    *,
    dtype: DTypeLike | None = None,
    axis: SupportsIndex | None = None,
    offset: ArrayLike | None = None,
    out: _Array | None = None,
) -> _Array: ...
def dequantize(
    q: ArrayLike,
    scale: ArrayLike,
    zero_point: ArrayLike = 0,
    *,
    dtype: DTypeLike = "float32",
    axis: SupportsIndex | None = None,
    offset: ArrayLike | None = None,
    out: _Array | None = None,
) -> _Array: ...
def fake_quantize(
    x: ArrayLike,
    scale: ArrayLike,
    zero_point: ArrayLike = 0,
    *,
    dtype: DTypeLike = "int8",
    axis: SupportsIndex | None = None,
    offset: ArrayLike | None = None,
    out: _Array | None = None,
) -> _Array: ...
def minmax(x: ArrayLike, *, axis: SupportsIndex | None = None) -> Range: ...
def qparams(
    lo: ArrayLike,
    hi: ArrayLike,
    dtype: DTypeLike = "int8",
    *,
    symmetric: bool = True,
    narrow_range: bool = False,
    include_zero: bool = True,
) -> QParams: ...
def quantize_dynamic(
    x: ArrayLike,
    dtype: DTypeLike = "int8",
    *,
    symmetric: bool = True,
    narrow_range: bool = False,
    axis: SupportsIndex | None = None,
    out: _Array | None = None,
) -> Quantized: ...

# For the package and its tests.

def targets() -> tuple[str, ...]: ...
def active() -> str: ...
def activate(name: str) -> None: ...
def set_stream_from(nbytes: int) -> None: ...
def code_types() -> tuple[tuple[str, int, int], ...]: ...
def spans(target: str) -> dict[tuple[str, str, str], tuple[int, bool]]: ...
def run(
    kernel: str,
    src: _Array,
    dst: _Array,
    scales: _Array,
    zero_points: _Array,
    offsets: _Array,
    code: int,
    outer: int,
    channels: int,
    inner: int,
) -> None: ...
def extremes(x: _Array, lo: _Array, hi: _Array, outer: int, channels: int, inner: int) -> bool: ...
def first_not_scale(scales: _Array) -> int: ...
def qparams_of(
    lo: _Array, hi: _Array, lowest: int, highest: int, symmetric: bool, include_zero: bool
) -> tuple[NDArray[np.float32], NDArray[np.int32], tuple[int, str] | None]: ...
