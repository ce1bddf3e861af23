from typing import Any, SupportsIndex, final

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from typing_extensions import disjoint_base

from fastquant._results import QParams, Quantized, Range

_Array = NDArray[Any]
_Axis = SupportsIndex | tuple[SupportsIndex, ...] | None
# Scales, zero points and offsets of one span.
_Parameters = tuple[_Array | None, _Array | None, _Array | None]

# The public functions, re-exported by the package.

def quantize(
    x: ArrayLike,
    scale: ArrayLike,
    zero_point: ArrayLike = 0,
    *,
    dtype: DTypeLike | None = None,
    axis: _Axis = None,
    block_size: SupportsIndex | None = None,
    packed: bool = False,
    offset: ArrayLike | None = None,
    saturate: bool = True,
    out: _Array | None = None,
) -> _Array: ...
def dequantize(
    q: ArrayLike,
    scale: ArrayLike,
    zero_point: ArrayLike = 0,
    *,
    dtype: DTypeLike = "float32",
    axis: _Axis = None,
    block_size: SupportsIndex | None = None,
    packed: DTypeLike | bool | None = None,
    offset: ArrayLike | None = None,
    out: _Array | None = None,
) -> _Array: ...
def fake_quantize(
    x: ArrayLike,
    scale: ArrayLike,
    zero_point: ArrayLike = 0,
    *,
    dtype: DTypeLike = "int8",
    axis: _Axis = None,
    block_size: SupportsIndex | None = None,
    offset: ArrayLike | None = None,
    saturate: bool = True,
    out: _Array | None = None,
) -> _Array: ...
def minmax(x: ArrayLike, *, axis: _Axis = None, block_size: SupportsIndex | None = None) -> Range: ...
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
    axis: _Axis = None,
    block_size: SupportsIndex | None = None,
    packed: bool = False,
    out: _Array | None = None,
) -> Quantized: ...
def requantize(
    q: ArrayLike,
    scale: ArrayLike,
    zero_point: ArrayLike,
    new_scale: ArrayLike,
    new_zero_point: ArrayLike,
    *,
    dtype: DTypeLike = "int8",
    axis: _Axis = None,
    out: _Array | None = None,
) -> _Array: ...
def pack(q: ArrayLike) -> NDArray[np.uint8]: ...
def unpack(p: ArrayLike, dtype: DTypeLike, shape: SupportsIndex | tuple[SupportsIndex, ...]) -> _Array: ...

# For the package and its tests.

def targets() -> tuple[str, ...]: ...
def active() -> str: ...
def compiler() -> str: ...
def activate(name: str) -> None: ...
def set_stream_from(nbytes: int) -> None: ...
def keep(nbytes: int, smallest: int) -> int: ...
def kept() -> int: ...
def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> _Array: ...
def bare(source: _Array, sink: _Array) -> int: ...
def code_types() -> tuple[tuple[str, float, float, int, bool], ...]: ...
def real_types() -> tuple[tuple[str, bool], ...]: ...
def spans(target: str) -> dict[tuple[str, str, str], tuple[int, bool]]: ...
def run(
    kernel: str,
    src: _Array,
    dst: _Array,
    parameters: _Parameters,
    code: int,
    strides: tuple[int, ...],
    block_axis: int,
    block: int,
    packed: bool = False,
    beyond: bool = False,
    precision: str | None = None,
    rule: str = "divide",
    limits: tuple[int, int] | None = None,
) -> None: ...
def run_back(
    src: _Array,
    dst: _Array,
    first: _Parameters,
    second: _Parameters,
    code: int,
    limits: tuple[int, int],
    strides: tuple[int, ...],
) -> None: ...
def set_threads(n: int) -> None: ...
def threads() -> int: ...
def set_piece(elements: int) -> int: ...
def set_parallel(from_bytes: int, smallest_part: int, step: int) -> tuple[int, int, int]: ...
def quantize_by(
    rule: str,
    x: Any,
    scale: Any,
    zero_point: Any,
    dtype: Any,
    limits: tuple[int, int] | None,
    axis: _Axis,
    block_size: SupportsIndex | None,
    offset: Any,
    precision: str | None,
    out: _Array | None,
) -> Any: ...
def dequantize_by(
    rule: str,
    q: Any,
    scale: Any,
    zero_point: Any,
    dtype: Any,
    axis: _Axis,
    block_size: SupportsIndex | None,
    offset: Any,
    precision: str | None,
    out: _Array | None,
) -> Any: ...
def signs(x: _Array) -> _Array: ...
c_api: Any

def under_defaults(function: Any, *arguments: Any) -> Any: ...
def rules() -> tuple[str, ...]: ...
def run_pair(
    src: _Array,
    dst: _Array,
    old: _Parameters,
    old_code: int,
    new: _Parameters,
    new_code: int,
    strides: tuple[int, ...],
) -> None: ...
def repack(src: _Array, dst: _Array, code: int, unpack: bool) -> None: ...
def extremes(x: _Array, lo: _Array, hi: _Array, strides: tuple[int, ...], block_axis: int, block: int) -> bool: ...
def quantize_rows(
    x: _Array,
    dst: _Array,
    found: tuple[_Array, _Array, _Array, _Array, _Array],
    code: int,
    strides: tuple[int, ...],
    block_axis: int,
    block: int,
    packed: bool,
    lowest: float,
    highest: float,
    symmetric: bool,
) -> bool: ...
def from_dlpack(capsule: Any) -> _Array: ...
def first_not_scale(scales: _Array) -> int: ...
def qparams_of(
    lo: _Array, hi: _Array, lowest: float, highest: float, symmetric: bool, include_zero: bool
) -> tuple[NDArray[np.float32], NDArray[np.int32], tuple[int, str] | None]: ...

@disjoint_base
class _Fixed:
    @property
    def scale(self) -> Any: ...
    @property
    def zero_point(self) -> Any: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def axis(self) -> int | tuple[int, ...] | None: ...
    @property
    def block_size(self) -> int | None: ...
    @property
    def packed(self) -> Any: ...
    @property
    def offset(self) -> Any: ...

@final
class Quantizer(_Fixed):
    def __new__(
        cls,
        scale: Any,
        zero_point: Any = 0,
        *,
        dtype: Any = None,
        axis: int | tuple[int, ...] | None = None,
        block_size: int | None = None,
        packed: bool = False,
        offset: Any = None,
        saturate: bool = True,
    ) -> Quantizer: ...
    @property
    def saturate(self) -> bool: ...
    def __call__(self, x: Any, out: _Array | None = None) -> _Array: ...

@final
class Dequantizer(_Fixed):
    def __new__(
        cls,
        scale: Any,
        zero_point: Any = 0,
        *,
        dtype: Any = "float32",
        axis: int | tuple[int, ...] | None = None,
        block_size: int | None = None,
        packed: Any = None,
        offset: Any = None,
    ) -> Dequantizer: ...
    def __call__(self, q: Any, out: _Array | None = None) -> _Array: ...
