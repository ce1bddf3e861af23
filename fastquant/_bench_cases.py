"""What the benchmarks measure: the list of cases, and their inputs.

A case is a kernel (a function, with a granularity, a real type and a layout), a code type and a number of elements.
Code types come from the kernels' own list: a new one is measured as soon as it exists. What is timed, the statements
that refer to these inputs by name, is in _bench_own.py and the modules of the other peers (_bench_peers.py lists them);
how, in _bench_timing.py.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import fastquant as fq
from fastquant import _reference
from fastquant._dtypes import CODE_TYPES, PACKED_TYPES, code_type, real_dtype

SIZES = (768, 1 << 16, 1 << 20, 1 << 26)

USUAL = ("int8", "uint8")
ALL = tuple(CODE_TYPES)
FLOAT_CODES = tuple(name for name, codes in CODE_TYPES.items() if codes.is_float)
FLOAT8 = tuple(name for name in FLOAT_CODES if CODE_TYPES[name].bits == 8)
_A_FEW = (*USUAL, "int16", "int4", "float8_e4m3fn", "float4_e2m1fn")


@dataclass(frozen=True)
class Kernel:
    name: str
    function: str
    title: str
    codes: tuple[str, ...] = ("int8",)
    more: tuple[str, ...] = ()  # code types that are measured with --all, or when they are asked for
    usual: bool = False  # measured without --all
    axis: int | tuple[int, ...] | None = None
    block: int | None = None
    real: str = "float32"
    layout: str = "C"
    packed: bool = False
    source: str = ""  # requantize: the type of its input, if it is not that of its output
    widest: int = 1024  # columns of a matrix at most

    @property
    def shaped(self) -> bool:
        """Whether it needs a matrix."""
        return self.axis is not None or self.block is not None or self.layout != "C"


def _rest(*listed: str) -> tuple[str, ...]:
    return tuple(name for name in ALL if name not in listed)


def _kernels() -> Iterator[Kernel]:
    elementwise = {
        "quantize": "quantize: {real} to codes",
        "dequantize": "dequantize: codes to {real}",
        "fake_quantize": "fake_quantize: {real} to {real}",
    }
    others = _rest(*USUAL)
    for function, title in elementwise.items():
        more = (*others, "int32") if function == "dequantize" else others
        yield Kernel(function, function, title.format(real="float32") + ", one scale", USUAL, more, usual=True)
    yield Kernel("minmax", "minmax", "minmax: smallest and largest float32", ("",), usual=True)
    title = "quantize_dynamic: minmax, scale and codes in one call (signed and floats symmetric, unsigned asymmetric)"
    yield Kernel("quantize_dynamic", "quantize_dynamic", title, USUAL, others, usual=True)

    # Granularity
    granularities: dict[str, tuple[str, int | tuple[int, ...] | None, int | None]] = {
        "axis_0": ("a scale for each row (axis=0)", 0, None),
        "axis_last": ("a scale for each column (axis=-1)", -1, None),
        "axis_last_wide": ("a scale for each of 4096 columns (axis=-1)", -1, None),
        "tokens": ("a scale for each token of (batch, tokens, features) (axis=(0, 1))", (0, 1), None),
        "blocks_32": ("a scale for each 32 elements of a row (block_size=32)", -1, 32),
        "blocks_64": ("a scale for each 64 elements of a row (block_size=64)", -1, 64),
        "blocks_128": ("a scale for each 128 elements of a row (block_size=128)", -1, 128),
        "blocks_32_axis_0": ("a scale for each 32 elements of a column (axis=0, block_size=32)", 0, 32),
    }
    for function in (*elementwise, "quantize_dynamic", "minmax"):
        for name, (words, axis, block) in granularities.items():
            usual = function == "quantize" and name in ("axis_0", "axis_last", "blocks_32")
            codes: tuple[str, ...] = USUAL if usual else ("int8",)
            more = tuple(code for code in _A_FEW if code not in codes)
            if function == "minmax":
                codes, more = ("",), ()
            title = f"{function}: {words}"
            wide = 4096 if name.endswith("_wide") else 1024
            yield Kernel(f"{function}_{name}", function, title, codes, more, usual, axis, block, widest=wide)

    # Packed codes
    for function, words in (
        ("quantize", "float32 to packed codes"),
        ("dequantize", "packed codes to float32"),
        ("quantize_dynamic", "float32 to packed codes and the scales of their ranges"),
    ):
        if function != "quantize_dynamic":
            yield Kernel(f"{function}_packed", function, f"{function}: {words}, one scale", PACKED_TYPES, packed=True)
        for block in (32, 64):
            title = f"{function}: {words}, a scale for each {block} of a row"
            codes = ("int4", "uint4", "float4_e2m1fn")
            yield Kernel(f"{function}_packed_blocks_{block}", function, title, codes, axis=-1, block=block, packed=True)
    yield Kernel("pack", "pack", "pack: codes, one a byte, to packed codes", PACKED_TYPES, packed=True)
    yield Kernel("unpack", "unpack", "unpack: packed codes to codes, one a byte", PACKED_TYPES, packed=True)

    # Real types
    for function, title in elementwise.items():
        for real in ("float16", "bfloat16", "float64"):
            more = tuple(code for code in _A_FEW if code != "int8")
            words = title.format(real=real) + ", one scale"
            yield Kernel(f"{function}_{real}", function, words, more=more, real=real)
    for real in ("float16", "bfloat16", "float64"):
        yield Kernel(f"minmax_{real}", "minmax", f"minmax: smallest and largest {real}", ("",), real=real)

    # Integers to integers
    title = "requantize: codes of one scale to codes of another"
    yield Kernel("requantize", "requantize", title, USUAL, others)
    title = "requantize: int32 to codes"
    yield Kernel("requantize_int32", "requantize", title, USUAL, source="int32")

    # Layouts
    for function in ("quantize", "dequantize"):
        title = f"{function}: Fortran-ordered input, C-ordered output, one scale"
        yield Kernel(f"{function}_fortran", function, title, layout="F")
        title = f"{function}: every second element of a row, one scale"
        yield Kernel(f"{function}_strided", function, title, layout="strided")


KERNELS = {kernel.name: kernel for kernel in _kernels()}


@dataclass(frozen=True)
class Case:
    kernel: Kernel
    code: str  # "" for a kernel without codes
    size: int
    threads: int = 1

    @property
    def shape(self) -> tuple[int, ...]:
        """(size,), or where rows and columns matter a matrix of several rows, mostly of at most 1024 elements."""
        if not self.kernel.shaped:
            return (self.size,)
        widest = max(1, min(self.kernel.widest, self.size // 4))
        columns = max(d for d in range(1, widest + 1) if self.size % d == 0)
        rows = self.size // columns
        if not isinstance(self.kernel.axis, tuple):
            return (rows, columns)
        batch = next(d for d in (4, 3, 2, 1) if rows % d == 0)
        return (batch, rows // batch, columns)

    @property
    def nbytes(self) -> int:
        """Bytes that must move: the input and the output, once each."""
        return sum(self.moved)

    @property
    def moved(self) -> tuple[int, int]:
        """Bytes in and bytes out."""
        read, written = self._bits()
        return read * self.size // 8, written * self.size // 8

    def _bits(self) -> tuple[int, int]:
        kernel = self.kernel
        real = 8 * real_dtype(kernel.real).itemsize
        codes = _dtype_of(self.code).itemsize * 8 if self.code else 0
        stored = CODE_TYPES[self.code].bits if kernel.packed else codes
        source = 8 * np.dtype(kernel.source).itemsize if kernel.source else codes
        return {
            "quantize": (real, stored),
            "dequantize": (stored, real),
            "fake_quantize": (real, real),
            "minmax": (real, 0),
            "quantize_dynamic": (real, stored),
            "requantize": (source, codes),
            "pack": (codes, stored),
            "unpack": (stored, codes),
        }[kernel.function]

    @property
    def plain(self) -> bool:
        """Whether it is what others are compared with: float32, int8, one scale, contiguous."""
        kernel = self.kernel
        usual = not kernel.shaped and not kernel.packed and kernel.real == "float32" and not kernel.source
        return usual and self.code in ("int8", "") and kernel.function != "quantize_dynamic"

    @property
    def one_scale(self) -> bool:
        return self.kernel.axis is None


def _dtype_of(code: str) -> np.dtype[Any]:
    return np.dtype(np.int32) if code == "int32" else code_type(code).dtype


def cases(
    kernels: Sequence[str],
    sizes: Sequence[int],
    everything: bool = False,
    codes: Sequence[str] = (),
    threads: Sequence[int] = (1,),
) -> Iterator[Case]:
    """Of these kernels: with the usual code types, with all of theirs, or with those of `codes` that they have."""
    for name in kernels:
        kernel = KERNELS[name]
        for code in (*kernel.codes, *(kernel.more if everything or codes else ())):
            for size in sizes if not codes or code in codes else ():
                yield from (Case(kernel, code, size, count) for count in threads)


# ---- inputs ----


def aligned(shape: tuple[int, ...], dtype: Any) -> Any:
    """An empty array on a cache line, as those of torch and ONNX Runtime are: where NumPy puts an array is
    chance, and can be worth 10% of the time.
    """
    nbytes = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(nbytes + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + nbytes].view(dtype).reshape(shape)


@functools.cache
def _normals(size: int) -> Any:
    return np.random.default_rng(size).standard_normal(dtype=np.float32, out=aligned((size,), np.float32))


def forget_inputs() -> None:
    """Let go of the inputs, which cases of one size share."""
    _normals.cache_clear()


def _laid_out(a: Any, layout: str) -> Any:
    if layout == "F":
        return np.asfortranarray(a)
    if layout == "strided":
        wide = aligned((*a.shape[:-1], 2 * a.shape[-1]), a.dtype)
        wide[..., ::2] = wide[..., 1::2] = a
        return wide[..., ::2]
    return a


def inputs(case: Case) -> dict[str, Any]:
    """The names that every statement about this case may use."""
    kernel, code = case.kernel, case.code
    x = _normals(case.size).reshape(case.shape)
    if kernel.real != "float32":
        wide, x = x, aligned(case.shape, real_dtype(kernel.real))
        np.copyto(x, wide, casting="unsafe")
    x = _laid_out(x, kernel.layout)
    names: dict[str, Any] = {"np": np, "fq": fq, "reference": _reference, "x": x, "shape": case.shape}
    if not code:
        return names
    where: dict[str, Any] = {"axis": kernel.axis, "block_size": kernel.block}
    scale, zero_point = fq.qparams(*fq.minmax(x, **where), code if code in CODE_TYPES else "int8")
    if case.one_scale:  # Python numbers: NumPy keeps float32 beside them, and every peer takes them
        scale, zero_point = float(scale), int(zero_point)
    names |= {"scale": scale, "zero_point": zero_point, "code": code, "symmetric": not code.startswith("uint")}
    if code in CODE_TYPES:
        names |= {"lowest": CODE_TYPES[code].lowest, "highest": CODE_TYPES[code].highest}
    if kernel.function in ("dequantize", "requantize", "pack", "unpack"):
        names |= _codes_in(case, names)
    if kernel.function in ("dequantize", "fake_quantize"):
        names["out"] = aligned(case.shape, real_dtype(kernel.real))
    elif kernel.packed and kernel.function in ("quantize", "quantize_dynamic"):
        names["out"] = aligned(_packed_shape(case), np.uint8)
    else:
        names["out"] = aligned(case.shape, _dtype_of(code))
    return names


def _packed_shape(case: Case) -> tuple[int, ...]:
    return (*case.shape[:-1], -(-case.shape[-1] // CODE_TYPES[case.code].packs))


def _codes_in(case: Case, names: dict[str, Any]) -> dict[str, Any]:
    """Input that is codes, and what belongs to it."""
    kernel, x, scale = case.kernel, names["x"], names["scale"]
    found: dict[str, Any] = {}
    if kernel.function == "requantize":
        new_zero_point = 0 if case.code in FLOAT_CODES else names["zero_point"] + 3
        found |= {"new_scale": 1.7 * scale, "new_zero_point": new_zero_point}
    if "int32" in (case.code, kernel.source):
        found |= {"q": np.rint(x * np.float32(2**20)).astype(np.int32), "scale": 2.0**-20, "zero_point": 0}
        return found
    packs = kernel.packed and kernel.function != "pack"
    shape, dtype = (_packed_shape(case), np.uint8) if packs else (case.shape, _dtype_of(case.code))
    where: dict[str, Any] = {"axis": kernel.axis, "block_size": kernel.block, "packed": packs}
    q = aligned(shape, dtype)
    fq.quantize(x, scale, names["zero_point"], dtype=case.code, out=q, **where)
    found["p" if kernel.function == "unpack" else "q"] = _laid_out(q, kernel.layout)
    return found
