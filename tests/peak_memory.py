"""How much memory calls take beyond their input and output, for test_peak_memory.py: runs in a process of its own and
prints {name: [by the system's count, by Python's]} in bytes. Linux.

Every input holds 64 MiB; outputs are written to before the call, so that their pages are there. New results are not
counted.
"""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

import fastquant as fq

MIB = 1 << 20
INPUT = 64 * MIB


def reals(dtype: Any = np.float32, columns: int = 4096) -> np.ndarray:
    some = np.random.default_rng(5).standard_normal(100_003, np.float32).astype(dtype)
    return np.resize(some, (INPUT // some.itemsize // columns, columns))


def wide(a: np.ndarray) -> np.ndarray:
    """Every second element of an array twice as large."""
    base = np.zeros((a.shape[0], 2 * a.shape[1]), a.dtype)
    base[:, ::2] = a
    return base[:, ::2]


def misaligned(a: np.ndarray) -> np.ndarray:
    shifted = np.zeros(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
    shifted[...] = a
    return shifted


def swapped(a: np.ndarray) -> np.ndarray:
    return a.astype(a.dtype.newbyteorder("S"))


def codes(dtype: Any = np.int8) -> np.ndarray:
    return np.resize(np.arange(251, dtype=np.uint8), (INPUT // 4096, 4096)).view(dtype)


def out(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    return np.full(shape, 1, dtype)


Call = Callable[[], Any]


def quantize(x: np.ndarray, target: np.ndarray | None = None, scale: Any = 0.05, **options: Any) -> Call:
    target = out(x.shape, np.int8) if target is None else target
    return lambda: fq.quantize(x, scale, out=target, **options)


def dequantize(q: np.ndarray, dtype: Any, target: np.ndarray | None = None, **options: Any) -> Call:
    target = out(q.shape, dtype) if target is None else target
    return lambda: fq.dequantize(q, 0.05, dtype=dtype, out=target, **options)


def fake(x: np.ndarray, target: np.ndarray | None, **options: Any) -> Call:
    return lambda: fq.fake_quantize(x, 0.05, out=x if target is None else target, **options)


def dynamic(x: np.ndarray, target: np.ndarray | None = None, **options: Any) -> Call:
    return lambda: fq.quantize_dynamic(x, out=target, **options)


def minmax(x: np.ndarray, **options: Any) -> Call:
    return lambda: fq.minmax(x, **options)


def requantize(q: np.ndarray, scale: Any = 0.05, **options: Any) -> Call:
    target = out(q.shape, np.uint8)
    return lambda: fq.requantize(q, scale, 0, 0.07, 3, dtype="uint8", out=target, **options)


def pack(q: np.ndarray) -> Call:
    return lambda: fq.pack(q.view(ml_dtypes.uint4))


def unpack(p: np.ndarray) -> Call:
    return lambda: fq.unpack(p, "uint2", (p.shape[0], 4 * p.shape[1]))


def copy(x: np.ndarray) -> Call:
    """What the numbers are if a call does copy its input."""
    return lambda: x.copy().max()


def scales(*shape: int) -> np.ndarray:
    return np.full(shape, 0.05, np.float32)


# Each makes its arrays, then the call to measure.
CALLS: dict[str, Callable[[], Call]] = {
    "contiguous": lambda: quantize(reals()),
    "strided": lambda: quantize(wide(reals())),
    "Fortran": lambda: quantize(np.asfortranarray(reals())),
    "Fortran, to Fortran": lambda: quantize(np.asfortranarray(reals()), np.full((4096, 4096), 1, np.int8, order="F")),
    "transposed": lambda: quantize(reals().reshape(64, 256, 1024).transpose(2, 0, 1)),
    "negative strides": lambda: quantize(reals()[::-1, ::-1]),
    "byte-swapped": lambda: quantize(swapped(reals())),
    "byte-swapped float64": lambda: quantize(swapped(reals(np.float64))),
    "misaligned": lambda: quantize(misaligned(reals())),
    "float16": lambda: quantize(reals(np.float16)),
    "float16, strided": lambda: quantize(wide(reals(np.float16))),
    "bfloat16": lambda: quantize(reals(ml_dtypes.bfloat16)),
    "bfloat16, transposed": lambda: quantize(reals(ml_dtypes.bfloat16).T),
    "float64": lambda: quantize(reals(np.float64)),
    "broadcast": lambda: quantize(np.broadcast_to(reals()[:1], (4096, 4096))),
    "strided out": lambda: quantize(reals(), wide(out((4096, 4096), np.int8))),
    "float8": lambda: quantize(reals(), out((4096, 4096), ml_dtypes.float8_e4m3fn)),
    "far zero point": lambda: quantize(reals(), zero_point=2**30),
    "offset": lambda: quantize(reals(), offset=0.5),
    "packed": lambda: quantize(reals(), out((4096, 2048), np.uint8), dtype="int4", packed=True),
    "packed, 2 bits, strided": lambda: quantize(wide(reals()), out((4096, 1024), np.uint8), dtype="uint2", packed=True),
    "channels": lambda: quantize(reals(), scale=scales(4096), axis=1),
    "channels, transposed": lambda: quantize(reals().T, scale=scales(4096), axis=1),
    "tokens, strided": lambda: quantize(wide(reals()), scale=scales(4096), axis=0),
    "axes": lambda: quantize(reals().reshape(64, 256, 1024), scale=scales(1024, 64), axis=(2, 0)),
    "blocks along axis 0": lambda: quantize(reals(), scale=scales(32, 4096), axis=0, block_size=128),
    "blocks, strided": lambda: quantize(wide(reals()), scale=scales(4096, 128), block_size=32),
    "short blocks": lambda: quantize(reals(), scale=scales(4096, 820), block_size=5),
    "dequantize to float16": lambda: dequantize(codes(), "float16"),
    "dequantize to bfloat16": lambda: dequantize(wide(codes()), "bfloat16"),
    "dequantize, Fortran": lambda: dequantize(np.asfortranarray(codes()), "float32"),
    "dequantize, swapped out": lambda: dequantize(codes(), "float32", out(codes().shape, ">f4")),
    "dequantize, packed": lambda: dequantize(codes(np.uint8), "float16", out((16384, 8192), np.float16), packed="int4"),
    "dequantize, int32": lambda: dequantize(reals().view(np.int32), "float32"),
    "fake_quantize, in place": lambda: fake(reals(), None),
    "fake_quantize, in place, strided": lambda: fake(wide(reals()), None, zero_point=3),
    "fake_quantize, float16, strided": lambda: fake(wide(reals(np.float16)), reals(np.float16)),
    "minmax": lambda: minmax(reals()),
    "minmax, strided": lambda: minmax(wide(reals(np.float16))),
    "minmax, channels": lambda: minmax(reals(), axis=1),
    "minmax, Fortran, blocks": lambda: minmax(np.asfortranarray(reals()), axis=0, block_size=1024),
    "quantize_dynamic": lambda: dynamic(reals()),
    "quantize_dynamic, tokens": lambda: dynamic(reals(), axis=0),
    "quantize_dynamic, tokens, float16": lambda: dynamic(reals(np.float16), axis=0),
    "quantize_dynamic, tokens, float64": lambda: dynamic(reals(np.float64), axis=0),
    "quantize_dynamic, tokens, out": lambda: dynamic(reals(), out((4096, 4096), np.int8), axis=0),
    "quantize_dynamic, tokens, strided": lambda: dynamic(wide(reals()), axis=0),
    "quantize_dynamic, tokens, packed": lambda: dynamic(reals(), axis=0, dtype="int4", packed=True),
    "quantize_dynamic, channels": lambda: dynamic(reals(), axis=1),
    "requantize": lambda: requantize(codes()),
    "requantize, strided, int32": lambda: requantize(wide(reals().view(np.int32))),
    "requantize, channels": lambda: requantize(codes(), scales(4096), axis=1),
    "pack": lambda: pack(codes(np.uint8)),
    "pack, Fortran": lambda: pack(np.asfortranarray(codes(np.uint8))),
    "unpack": lambda: unpack(codes(np.uint8)),
    "a copy": lambda: copy(reals()),
}


def resident(what: str) -> int:
    """VmRSS, or VmHWM: its peak."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{what}:")[1].split()[0]) * 1024


def measured(call: Call) -> tuple[int, int]:
    result = call()  # what stays after a first call, such as imported modules, is no part of a call
    del result
    tracemalloc.start()
    Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
    before = resident("VmRSS")
    result = call()
    peak = resident("VmHWM") - before
    kept, traced = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del result
    return peak - kept, traced - kept


if __name__ == "__main__":
    print(json.dumps({name: measured(make()) for name, make in CALLS.items()}))
