"""Running operators in ONNX Runtime, inputs for them, and the differences that fastquant.onnx documents.

Test modules that import this are skipped where ONNX Runtime is missing or older.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import ml_dtypes
import numpy as np
import pytest

pytest.importorskip("onnx")
# Older versions lack types and attributes of operator set 25.
ort = pytest.importorskip("onnxruntime", minversion="1.32")
from onnx import helper  # noqa: E402

FLOAT8 = ("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz")
NUMBERS = {
    "float32": 1,
    "uint8": 2,
    "int8": 3,
    "uint16": 4,
    "int16": 5,
    "int32": 6,
    "float16": 10,
    "float8_e4m3fn": 17,
    "float8_e4m3fnuz": 18,
    "float8_e5m2": 19,
    "float8_e5m2fnuz": 20,
    "uint4": 21,
    "int4": 22,
    "uint2": 25,
    "int2": 26,
}
DTYPES = {name: np.dtype(getattr(ml_dtypes, name, name)) for name in NUMBERS}
BITS = {"uint4": 4, "int4": 4, "uint2": 2, "int2": 2}  # of the types that tensors hold packed
LIMITS = {
    "int8": (-128, 127),
    "uint8": (0, 255),
    "int16": (-32768, 32767),
    "uint16": (0, 65535),
    "int4": (-8, 7),
    "uint4": (0, 15),
    "int2": (-2, 1),
    "uint2": (0, 3),
}
SHAPE = (5, 9, 22)

# name: (axis, block_size). Blocks of 2, 2 and 4 leave a shorter last one on their axes.
GRANULARITIES = {
    "tensor": (None, 0),
    "axis 0": (0, 0),
    "axis 1": (1, 0),
    "axis -1": (-1, 0),
    "blocks on 0": (0, 2),
    "blocks on 1": (-2, 2),
    "blocks on 2": (2, 4),
    "one block": (2, 22),
    "long block": (1, 12),
}


# ---- ONNX Runtime ----


@functools.cache
def session(operator: str, inputs: tuple[tuple[int, int], ...], outputs: tuple[int, ...], attributes: tuple[Any, ...]):
    """A model of one operator; inputs are (type, rank). Shapes are free, so that few models do."""
    names = ["x", "scale", "zero_point"][: len(inputs)]
    results = [f"y{i}" for i in range(len(outputs))]
    graph = helper.make_graph(
        [helper.make_node(operator, names, results, **dict(attributes))],
        "test",
        [
            helper.make_tensor_value_info(name, kind, [f"{name}{i}" for i in range(rank)])
            for name, (kind, rank) in zip(names, inputs, strict=True)
        ],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in zip(results, outputs, strict=True)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 25)], ir_version=10)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def to_bytes(a: np.ndarray) -> np.ndarray:
    """The bytes of a tensor: packed types low bits first, across rows. Never nothing: a pointer to it is taken."""
    flat = np.ascontiguousarray(a).reshape(-1)
    bits = BITS.get(a.dtype.name)
    if bits:
        per_byte = 8 // bits
        codes = np.concatenate([flat.view(np.uint8) & (2**bits - 1), np.zeros(-flat.size % per_byte, np.uint8)])
        flat = np.bitwise_or.reduce(codes.reshape(-1, per_byte) << (bits * np.arange(per_byte, dtype=np.uint8)), axis=1)
    return np.concatenate([flat.view(np.uint8), np.zeros(1, np.uint8)])


def from_bytes(address: int, name: str, shape: tuple[int, ...]) -> np.ndarray:
    n = int(np.prod(shape))
    bits = BITS.get(name, 8)
    if bits == 8:
        size = n * DTYPES[name].itemsize
        return np.frombuffer(ctypes.string_at(address, size), DTYPES[name]).reshape(shape)
    packed = np.frombuffer(ctypes.string_at(address, -(-n * bits // 8)), np.uint8)
    codes = (packed[:, None] >> np.arange(0, 8, bits, dtype=np.uint8)) & (2**bits - 1)
    flat = codes.reshape(-1)[:n].astype(np.int8)
    return np.where(flat > LIMITS[name][1], flat - 2**bits, flat).astype(DTYPES[name]).reshape(shape)


def ort_run(operator: str, inputs: list[np.ndarray], outputs: tuple[str, ...], **attributes: int) -> list[np.ndarray]:
    kinds = tuple((NUMBERS[a.dtype.name], a.ndim) for a in inputs)
    runner = session(operator, kinds, tuple(NUMBERS[name] for name in outputs), tuple(sorted(attributes.items())))
    binding = runner.io_binding()
    kept = [to_bytes(a) for a in inputs]
    for name, a, raw in zip(("x", "scale", "zero_point"), inputs, kept, strict=False):
        binding.bind_input(name, "cpu", 0, NUMBERS[a.dtype.name], list(a.shape), raw.ctypes.data)
    for i in range(len(outputs)):
        binding.bind_output(f"y{i}")
    runner.run_with_iobinding(binding)
    values = binding.get_outputs()
    return [from_bytes(v.data_ptr(), name, tuple(v.shape())) for v, name in zip(values, outputs, strict=True)]


# ---- inputs ----


def parameter_shape(granularity: str, shape: tuple[int, ...] = SHAPE) -> tuple[int, ...]:
    axis, block = GRANULARITIES[granularity]
    if axis is None:
        return ()
    if not block:
        return (shape[axis],)
    sizes = list(shape)
    sizes[axis] = -(-sizes[axis] // block)
    return tuple(sizes)


def attributes_of(granularity: str) -> dict[str, int]:
    axis, block = GRANULARITIES[granularity]
    return ({} if axis is None else {"axis": axis}) | ({"block_size": block} if block else {})


def spread(parameter: np.ndarray, granularity: str) -> np.ndarray:
    """A parameter with a value for each element of x."""
    axis, block = GRANULARITIES[granularity]
    if axis is None:
        return np.broadcast_to(parameter, SHAPE)
    if block:
        return np.repeat(parameter, block, axis).take(range(SHAPE[axis]), axis)
    sizes = [1, 1, 1]
    sizes[axis] = -1
    return np.broadcast_to(parameter.reshape(sizes), SHAPE)


def reals(codes: str, scale: np.ndarray, real: str, rng: np.random.Generator) -> np.ndarray:
    """Ordinary values, ties and values next to them, values beyond the range, and the extremes of the type."""
    if codes in LIMITS:
        lowest, highest = LIMITS[codes]
        levels = rng.uniform(lowest - highest, 2 * highest + 3, scale.shape)
        ties = rng.integers(lowest - highest, 2 * highest + 3, scale.shape) + 0.5
    else:
        largest = float(ml_dtypes.finfo(DTYPES[codes]).max)
        values = np.arange(256, dtype=np.uint8).view(DTYPES[codes]).astype(np.float64)
        values = np.unique(values[np.isfinite(values)])
        gap = np.append(np.diff(values), np.diff(values)[-1])
        which = rng.integers(0, values.size, scale.shape)
        ties = values[which] + gap[which] / 2
        levels = rng.choice([1, -1], scale.shape) * largest * np.exp2(rng.uniform(-20, 0.3, scale.shape))
    kinds = rng.integers(0, 4, scale.shape)
    with np.errstate(all="ignore"):
        x = np.where(kinds < 2, ties, levels) * scale.astype(np.float64)
        x = x.astype(real)
        x = np.where(kinds == 1, np.nextafter(x, np.array(rng.choice([-np.inf, np.inf]), real)), x)
    info = np.finfo(real)
    tiny, top = float(info.smallest_subnormal), float(info.max)
    extremes = [0, -0.0, tiny, -tiny, float(info.tiny), np.inf, -np.inf, np.nan, -np.nan, top, -top, top / 3]
    where = rng.choice(x.size, 2 * len(extremes), replace=False)
    x.reshape(-1)[where] = np.array(extremes * 2).astype(real)
    return x


def scales(shape: tuple[int, ...], real: str, rng: np.random.Generator) -> np.ndarray:
    return np.exp2(rng.uniform(-7, 2, shape)).astype(real)


def codes_in(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    if name == "int32":
        return np.asarray(rng.integers(-(2**31), 2**31, shape) >> rng.integers(0, 31, shape)).astype(np.int32)
    if name in FLOAT8:
        return np.asarray(rng.integers(0, 256, shape)).astype(np.uint8).view(DTYPES[name])
    lowest, highest = LIMITS[name]
    return np.asarray(rng.integers(lowest, highest + 1, shape)).astype(DTYPES[name])


def raw(a: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(a).reshape(-1).view(f"u{a.dtype.itemsize}")


# ---- the documented differences ----


def deviations(x: np.ndarray, scale: np.ndarray, codes: str, saturate: int, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Where ONNX Runtime 1.32 differs from fastquant.onnx, and its codes there. scale is one for each element."""
    with np.errstate(all="ignore"):
        quotient = (x.astype(kind) / scale.astype(kind)).astype(np.float32).reshape(-1)
    sign = np.where(np.signbit(x.reshape(-1)), 0x80, 0).astype(np.uint8)
    size = np.abs(quotient)
    if codes == "float8_e4m3fn" and not saturate:
        return (size >= 480) & (size < 496), sign | np.uint8(0x7E)
    if codes == "float8_e5m2":
        overflow = (size >= 61440) & (size < 65536)
        return (overflow & (not saturate)) | np.isnan(quotient), sign | np.uint8(0x7F)
    return np.zeros(x.size, bool), sign


def assert_agree(ours: np.ndarray, theirs: np.ndarray, known: tuple[np.ndarray, np.ndarray], what: str) -> int:
    """Equal bits but where a difference is known; there ONNX Runtime's own code, or ours if it has been mended.

    The number of differences.
    """
    assert ours.dtype == theirs.dtype, what
    assert ours.shape == theirs.shape, what
    a, b = raw(ours), raw(theirs)
    where, codes = known
    wrong = (a != b) & ~(where & (b == codes))
    assert not wrong.any(), f"{what}: {wrong.sum()} of {a.size} differ, first {a[wrong][0]}, ONNX Runtime {b[wrong][0]}"
    return int((a != b).sum())


NONE = (np.zeros(1, bool), np.zeros(1, np.uint8))
