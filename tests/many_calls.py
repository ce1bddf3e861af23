"""Calls of every kind on small arguments, wrong ones too: for test_memory.py and leaks.py, which make them often."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import fastquant as fq

SMALL = np.linspace(-1, 1, 24, dtype=np.float32).reshape(4, 6)
SMALL_CODES = np.zeros((4, 6), np.int8)
SMALL_REALS = np.zeros((4, 6), np.float32)
SCALES = np.full(4, 0.1, np.float32)
POINTS = np.full(4, 3, np.int32)
# Not interned, so that their reference counts mean something.
SCALE, POINT = float("0.0371"), int("123456")
NUMPY_SCALE, NUMPY_POINT = np.float32(0.25), np.int32(7)


def failing(function: Callable[..., Any], *arguments: Any, **options: Any) -> Callable[[], None]:
    def call() -> None:
        with pytest.raises((TypeError, ValueError)):
            function(*arguments, **options)

    return call


def portably() -> None:
    with fq.cpu.use("portable"):
        fq.quantize(SMALL, SCALE)


class Exporter:
    """Another library's array: only DLPack tells what it is."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.array.__dlpack_device__()


QUANTIZER, DEQUANTIZER = fq.Quantizer(SCALES, axis=0), fq.Dequantizer(SCALES, POINTS, axis=0)
NAN = np.array([1.0, np.nan], np.float32)
LOCKED = np.zeros((4, 6), np.int8)
LOCKED.flags.writeable = False

MANY: dict[str, Callable[[], Any]] = {
    "quantize": lambda: fq.quantize(SMALL, SCALE, POINT),
    "quantize, out": lambda: fq.quantize(SMALL, SCALE, POINT, dtype="int8", out=SMALL_CODES),
    "quantize, NumPy scalars": lambda: fq.quantize(SMALL, NUMPY_SCALE, NUMPY_POINT, dtype=np.uint8),
    "quantize, axis": lambda: fq.quantize(SMALL, SCALES, POINTS, axis=0),
    "quantize, columns": lambda: fq.quantize(SMALL.T, SCALES, POINTS, axis=1),
    "quantize, offset": lambda: fq.quantize(SMALL, SCALE, offset=0.5, out=SMALL_CODES),
    "quantize, list": lambda: fq.quantize([1.0, 2.0], SCALE),
    "quantize, strided": lambda: fq.quantize(SMALL[:, ::2], SCALE, out=SMALL_CODES[:, ::2]),
    "quantize, overlap": lambda: fq.quantize(SMALL_REALS, SCALE, out=SMALL_REALS.view(np.int8)[:, 3:9]),
    "dequantize": lambda: fq.dequantize(SMALL_CODES, SCALE, POINT),
    "dequantize, out": lambda: fq.dequantize(SMALL_CODES, NUMPY_SCALE, NUMPY_POINT, out=SMALL_REALS),
    "dequantize, float16": lambda: fq.dequantize(SMALL_CODES, SCALE, POINT, dtype="float16"),
    "fake_quantize": lambda: fq.fake_quantize(SMALL, SCALE, POINT, out=SMALL_REALS),
    "fake_quantize, in place": lambda: fq.fake_quantize(SMALL_REALS, SCALE, POINT, out=SMALL_REALS),
    "minmax": lambda: fq.minmax(SMALL),
    "minmax, axis": lambda: fq.minmax(SMALL, axis=1),
    "qparams": lambda: fq.qparams(-SCALE, SCALE),
    "qparams, arrays": lambda: fq.qparams(-SCALES, SCALES, symmetric=False),
    "quantize_dynamic": lambda: fq.quantize_dynamic(SMALL, out=SMALL_CODES),
    "quantize_dynamic, axis": lambda: fq.quantize_dynamic(SMALL, "uint8", axis=0),
    "quantize, axes": lambda: fq.quantize(SMALL, 0.1 + np.zeros((6, 4)), axis=(1, 0)),
    "quantize, blocks": lambda: fq.quantize(SMALL, SCALE, block_size=4),
    "quantize, packed": lambda: fq.quantize(SMALL, SCALE, dtype="uint4", packed=True),
    "quantize, float8": lambda: fq.quantize(SMALL, SCALE, dtype="float8_e5m2", saturate=False),
    "dequantize, packed": lambda: fq.dequantize(SMALL_CODES.view(np.uint8), SCALE, packed="int2"),
    "quantize_dynamic, blocks": lambda: fq.quantize_dynamic(SMALL, block_size=3),
    "requantize": lambda: fq.requantize(SMALL_CODES, SCALE, POINT, SCALE, POINT),
    "Quantizer": lambda: fq.Quantizer(SCALES, POINTS, axis=0),
    "Quantizer, called": lambda: QUANTIZER(SMALL),
    "Quantizer, out": lambda: QUANTIZER(SMALL, SMALL_CODES),
    "Dequantizer": lambda: fq.Dequantizer(0.1 + np.zeros((4, 2)), block_size=3, dtype="float16"),
    "Dequantizer, called": lambda: DEQUANTIZER(SMALL_CODES),
    "pickled": lambda: pickle.loads(pickle.dumps(QUANTIZER)),
    "DLPack": lambda: fq.quantize(Exporter(SMALL), SCALE),
    "onnx.quantize_linear": lambda: fq.onnx.quantize_linear(SMALL, SCALES, axis=0),
    "onnx.dequantize_linear": lambda: fq.onnx.dequantize_linear(SMALL_CODES, NUMPY_SCALE),
    "onnx.dynamic_quantize_linear": lambda: fq.onnx.dynamic_quantize_linear(SMALL),
    "set_num_threads": lambda: fq.set_num_threads(fq.get_num_threads()),
    "cpu.use": portably,
    "error: Quantizer": failing(fq.Quantizer, SCALES),
    "error: Quantizer, called": lambda: failing(QUANTIZER, SMALL[:3])(),
    "error: Dequantizer": failing(fq.Dequantizer, SCALE, "two"),
    "error: DLPack": failing(lambda: fq.quantize(Exporter(SMALL.astype(np.complex64)), SCALE)),
    "error: onnx": failing(lambda: fq.onnx.quantize_linear(SMALL, -SCALES)),
    "error: set_num_threads": failing(fq.set_num_threads, 0),
    "pack": lambda: fq.pack(SMALL_CODES.view(ml_dtypes.uint4)),
    "unpack": lambda: fq.unpack(SMALL_CODES.view(np.uint8), "int4", (4, 11)),
    "error: block_size": failing(fq.quantize, SMALL, SCALE, block_size=0),
    "error: packed": failing(fq.quantize, SMALL, SCALE, packed=True),
    "error: packed, out": failing(fq.quantize, SMALL, SCALE, dtype="int4", packed=True, out=SMALL_CODES),
    "error: saturate": failing(fq.quantize, SMALL, SCALE, saturate=False),
    "error: requantize": failing(fq.requantize, SMALL_CODES, SCALE, POINT, -SCALE, POINT),
    "error: pack": failing(fq.pack, SMALL_CODES),
    "error: unpack": failing(fq.unpack, SMALL_CODES.view(np.uint8), "int4", (4, 13)),
    "error: x": failing(fq.quantize, "text", SCALE),
    "error: scale": failing(fq.quantize, SMALL, -SCALE, POINT, out=SMALL_CODES),
    "error: scale's shape": failing(fq.quantize, SMALL, SCALES, out=SMALL_CODES),
    "error: zero_point": failing(fq.quantize, SMALL, SCALE, 2**40),
    "error: dtype": failing(fq.quantize, SMALL, SCALE, dtype="int32"),
    "error: axis": failing(fq.quantize, SMALL, SCALES, axis=7),
    "error: out": failing(fq.quantize, SMALL, SCALE, out=LOCKED),
    "error: offset": failing(fq.dequantize, SMALL_CODES, SCALE, 3, offset=SCALE),
    "error: q": failing(fq.dequantize, SMALL, SCALE),
    "error: NaN": failing(fq.minmax, NAN),
    "error: NaN, dynamic": failing(fq.quantize_dynamic, NAN),
    "error: range": failing(fq.qparams, 2.0, 1.0),
    "error: too wide": failing(fq.qparams, [0.0], [1e300]),
    "error: target": failing(lambda: fq.cpu.use("none").__enter__()),
    "error: keyword": failing(fq.quantize, SMALL, SCALE, colour=SCALE),
}
