"""The ONNX operators' calls from bytes, as fuzz_functions.py makes those of fastquant's own functions."""

from __future__ import annotations

from typing import Any

import numpy as np
from fuzz_arguments import Hostile, Shape, T, V
from fuzz_calls import Call, Inputs
from matrix import CODES, dtype_of
from placement import plain

from fastquant import _reference, onnx

OPERATORS = ("quantize_linear", "dequantize_linear", "dynamic_quantize_linear")
# TensorProto.DataType, as onnx.proto has it.
NUMBERS = {
    "float32": 1, "uint8": 2, "int8": 3, "uint16": 4, "int16": 5, "int32": 6, "float16": 10, "float64": 11,
    "bfloat16": 16, "float8_e4m3fn": 17, "float8_e4m3fnuz": 18, "float8_e5m2": 19, "float8_e5m2fnuz": 20, "uint4": 21,
    "int4": 22, "float4_e2m1fn": 23, "float8_e8m0fnu": 24, "uint2": 25, "int2": 26, "float6_e2m3fn": 27,
    "float6_e3m2fn": 28,
}  # fmt: skip
INTEGERS = tuple(code for code in CODES if not code.startswith("float"))
HALVES = ("float16", "bfloat16")
FLOATS = ("float32", *HALVES)
NO_TENSORS: tuple[Any, ...] = ("text", {}, Hostile(), 1, [1.0], np.ma.array(1.0), np.ones((), bool), np.ones(2, "c8"))


class Operators(Inputs):
    def attribute(self, argument: str, values: tuple[int, ...], wrong: tuple[int, ...]) -> Any:
        """An integer, seldom none."""
        if self.bytes.seldom():
            return self.bad(argument, (None, T), (1.0, T), ("1", T), (Hostile(), T), *((value, V) for value in wrong))
        value = self.bytes.pick(values)
        return np.int64(value) if self.bytes.seldom() else value

    def cut(self, call: Call, shape: Shape, prefix: str) -> tuple[Shape, dict[str, Any]]:
        """The shape of scales, and the reference's words for it."""
        b, ndim = self.bytes, len(shape)
        kind = self.note("granularity", b.pick(("tensor", "axis", "block", "tensor")))
        if kind == "tensor" or not ndim:
            call.options["axis"] = b.pick((1, 0, 5, -9))  # not looked at
            return b.pick(((), (1,))), {}
        axis = b.byte() % (2 * ndim) - ndim
        if b.seldom():
            axis = b.pick((ndim, -ndim - 1, 2**40))
            self.blame("axis", V)
        call.options["axis"] = axis
        length = shape[axis % ndim]
        if kind == "axis":
            # (1,) is one scale for all, and the axis is not looked at.
            if length == 1:
                self.wrong.pop("axis", None)
            return (length,), ({"axis": axis} if length != 1 else {})
        block = b.pick((2, 1, 3, 8, 16, 33, 1000, 2**40))
        call.options["block_size"] = block
        grid = tuple(-(-n // block) if i == axis % ndim else n for i, n in enumerate(shape))
        return grid, {"axis": axis, "block_size": min(block, 2**31)}

    def tensor(self, argument: str, a: np.ndarray) -> Any:
        if self.bytes.seldom():
            self.blame(argument, T)
            return self.bytes.pick(NO_TENSORS)
        return self.laid(a, argument)

    def scales(self, argument: str, grid: Shape, kind: str) -> tuple[Any, np.ndarray]:
        b = self.bytes
        values = np.full(grid, b.pick((1.0, 0.1, 0.0078125, 3.0, 300.0, 1e-6, 2.0**-130, 1e30)))
        if kind == "int32":
            values = np.full(grid, b.pick((1, 3, 2**20 + 1, 2**30)))
        if b.seldom():
            values[...] = b.pick((0.0, -1.0, 2**31 - 1) if kind == "int32" else (0.0, -1.0, np.nan, np.inf))
        with np.errstate(all="ignore"):
            a = values.astype(dtype_of(kind))
        given = self.tensor(argument, a)
        return given, plain(given).view(np.ndarray) if argument not in self.wrong else a

    def zeros(self, call: Call, prefix: str, scale: np.ndarray, code: str) -> np.ndarray | None:
        b = self.bytes
        if b.byte() % 3 == 0:
            return None
        shape = scale.shape
        if b.seldom():
            shape = (*shape, 2)
            self.blame(f"{prefix}_zero_point", V)
        value = b.pick((0, 1, 3, 200)) if code in INTEGERS or b.seldom() else 0
        with np.errstate(all="ignore"):
            a = np.full(shape, value).astype(np.uint8).astype(dtype_of(code))
        if (code.startswith("float") or code == "int32") and a.astype(np.float64).any():
            self.blame(f"{prefix}_zero_point", V)
        given = self.tensor(f"{prefix}_zero_point", a)
        call.options[f"{prefix}_zero_point"] = given
        return plain(given).view(np.ndarray) if T not in self.wrong.get(f"{prefix}_zero_point", ()) else a

    def make_quantize_linear(self, call: Call) -> None:
        b = self.bytes
        shape = self.shape(endless=False)
        real, kind = b.pick((*FLOATS, "int32")), b.pick((*FLOATS, "int32", "float8_e8m0fnu"))
        self.real = real
        x = self.codes(shape, "int32") if real == "int32" else self.reals(shape, real, 1.0)
        given = self.tensor("x", x)
        a = plain(given).view(np.ndarray) if "x" not in self.wrong else x
        grid, where = self.cut(call, shape, "y")
        scale, scales = self.scales("y_scale", grid, kind)
        call.arguments = [given, scale]
        zeros = self.zeros(call, "y", scales, self.code)
        if zeros is None:
            number = self.attribute("output_dtype", (0, NUMBERS[self.code]), (1, -1, 2**40, 6, 24))
            call.options["output_dtype"] = number
            self.code = "uint8" if "output_dtype" not in self.wrong and int(number) == 0 else self.code
        elif b.byte() % 2:
            other = NUMBERS["int16" if self.code != "int16" else "int8"]
            call.options["output_dtype"] = self.attribute("output_dtype", (NUMBERS[self.code],), (1, -1, other))
        precision = 0
        if b.byte() % 3 == 1:
            precision = call.options["precision"] = self.attribute("precision", (1, 10, 16, 11, 0), (2, -1, 24, 99))
        saturate = True
        if b.byte() % 3 == 1:
            saturate = call.options["saturate"] = self.attribute("saturate", (0, 1), (2, -1))
        names = {number: name for name, number in NUMBERS.items()}
        usual = {"int32": "float64", "float8_e8m0fnu": "float32"}.get(kind, kind)
        divides = usual if "precision" in self.wrong or not precision else names[int(precision)]
        self.check_scale("y_scale", scales, divides)
        float8 = self.code.startswith("float8")
        call.expected = lambda: _quantized(a, scales, zeros, divides, where, self.code, bool(saturate) or not float8)
        call.made = lambda: onnx.quantize_linear(*call.arguments, **call.options)
        call.source = ()

    def check_scale(self, argument: str, scales: np.ndarray, kind: str) -> None:
        with np.errstate(all="ignore"):
            # ml_dtypes rounds float64 by way of float32; scales of no type are so long that this matters.
            rounded = scales.astype(dtype_of(kind)).astype(np.float64)
        if not ((rounded > 0) & np.isfinite(rounded)).all():
            self.blame(argument, V)

    def make_dequantize_linear(self, call: Call) -> None:
        b = self.bytes
        shape = self.shape(endless=False)
        self.code = b.pick((*CODES, "int32"))
        q = self.codes(shape, self.code)
        given = self.tensor("x", q)
        a = plain(given).view(np.ndarray) if "x" not in self.wrong else q
        kind = b.pick((*FLOATS, "float8_e8m0fnu"))
        grid, where = self.cut(call, shape, "x")
        scale, scales = self.scales("x_scale", grid, kind)
        call.arguments = [given, scale]
        zeros = self.zeros(call, "x", scales, self.code)
        self.real = kind
        if b.byte() % 2 or kind == "float8_e8m0fnu":
            numbers = tuple(NUMBERS[name] for name in FLOATS)
            number = self.attribute("output_dtype", numbers, (3, 11, -1))
            call.options["output_dtype"] = number
            if "output_dtype" not in self.wrong:
                self.real = {NUMBERS[name]: name for name in FLOATS}[int(number)]
        self.check_scale("x_scale", scales, "float32")
        call.expected = lambda: _reference.dequantize(
            a, _parameter(scales.astype(np.float32), where), _level(zeros, where), dtype=self.real, **where
        )
        call.made = lambda: onnx.dequantize_linear(*call.arguments, **call.options)
        call.source = ()

    def make_dynamic_quantize_linear(self, call: Call) -> None:
        self.code = "uint8"
        x = self.reals(self.shape(endless=False), "float32", 1.0)
        given = self.tensor("x", x)
        a = plain(given).view(np.ndarray) if "x" not in self.wrong else x
        call.arguments = [given]
        call.expected = lambda: _dynamic(a)
        call.made = lambda: onnx.dynamic_quantize_linear(*call.arguments)


def _parameter(a: np.ndarray, where: dict[str, Any]) -> np.ndarray:
    return a if where else a.reshape(())


def _level(zeros: np.ndarray | None, where: dict[str, Any]) -> np.ndarray:
    return np.zeros((), np.int32) if zeros is None else _parameter(zeros, where)


def _quantized(
    x: np.ndarray,
    scale: np.ndarray,
    zeros: np.ndarray | None,
    divides: str,
    where: dict[str, Any],
    code: str,
    saturate: bool,
) -> np.ndarray:
    """The operator's text, by the reference: x and the scale in the type of the division."""
    half = divides if divides in HALVES else None
    if x.dtype == np.int32:
        wide = x.astype(np.float64)
        x = _reference._rounded(wide, half).astype(np.float32) if half else wide.astype(divides)
    elif divides == "float64":
        x = x.astype(np.float64)
    if half:
        exact = scale.astype(np.float64)
        scale = _reference._rounded(exact, half).astype(np.float32)
    scale = _parameter(scale.astype(np.float64 if divides == "float64" else np.float32), where)
    return _reference.quantize(x, scale, _level(zeros, where), dtype=code, saturate=saturate, precision=half, **where)


def _dynamic(x: np.ndarray) -> tuple[Any, Any, Any]:
    if not np.isfinite(x).all():
        raise ValueError
    zero = np.float32(0)
    lo = min(zero, x.min(initial=zero)) + zero
    hi = max(zero, x.max(initial=zero)) + zero
    scale = (hi - lo) / np.float32(255) if hi > lo else np.float32(1)
    if not 0 < scale < np.inf:
        raise ValueError
    level = np.rint(np.clip(-lo / scale, zero, np.float32(255))).astype(np.uint8)
    return _reference.quantize(x, scale, level, dtype="uint8"), np.asarray(scale, np.float32), np.asarray(level)
