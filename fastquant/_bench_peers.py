"""Whom the benchmarks compare: fastquant, its specification, what NumPy users write, torch and ONNX Runtime.

Each peer is a table of statements. A key is the name of a kernel, with a code type behind it where that
matters; a value is the statement that makes a new array and the one that writes to memory it is given, None
for what a peer does not have. Every peer runs on one thread.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

import numpy as np

import fastquant as fq
from fastquant import _bench_onnx
from fastquant._bench_cases import KERNELS, Case, aligned

Names = dict[str, Any]
Statements = dict[str, tuple[str | None, str | None]]


def _nothing(case: Case, names: Names) -> Names:
    return {}


def _value(value: Any, names: Names) -> Iterable[Any]:
    return value if isinstance(value, tuple) else (value,)


@dataclass(frozen=True)
class Peer:
    name: str
    statements: Statements
    prepare: Callable[[Case, Names], Names] = _nothing  # names of its own, once for each case
    arrays: Callable[[Any, Names], Iterable[Any]] = _value  # a statement's value as NumPy arrays
    codes: tuple[str, ...] | None = None  # code types that it has, None for all
    module: str = ""  # what must be installed
    load: Callable[[], Any] = lambda: None
    fits: Callable[[Case], bool] = lambda case: True  # whether a case can tell something about it
    ours: bool = False  # measured to say something about fastquant, not to compete with it
    comparable: bool = True  # its values are meant to be fastquant's


FASTQUANT = Peer(
    "fastquant",
    {
        "quantize": (
            "fq.quantize(x, scale, zero_point, dtype=code)",
            "fq.quantize(x, scale, zero_point, out=out)",
        ),
        "dequantize": ("fq.dequantize(q, scale, zero_point)", "fq.dequantize(q, scale, zero_point, out=out)"),
        "fake_quantize": (
            "fq.fake_quantize(x, scale, zero_point, dtype=code)",
            "fq.fake_quantize(x, scale, zero_point, dtype=code, out=out)",
        ),
        "minmax": ("fq.minmax(x)", None),
        "quantize_dynamic": (
            "fq.quantize_dynamic(x, code, symmetric=symmetric)",
            "fq.quantize_dynamic(x, code, symmetric=symmetric, out=out)",
        ),
        "quantize_axis_0": (
            "fq.quantize(x, scale, zero_point, dtype=code, axis=0)",
            "fq.quantize(x, scale, zero_point, dtype=code, axis=0, out=out)",
        ),
        "quantize_axis_last": (
            "fq.quantize(x, scale, zero_point, dtype=code, axis=-1)",
            "fq.quantize(x, scale, zero_point, dtype=code, axis=-1, out=out)",
        ),
    },
    ours=True,
)

# ---- what fastquant is measured against, beside its peers ----


def _copy_names(case: Case, names: Names) -> Names:
    source, sink = (aligned((case.nbytes // 2,), np.uint8) for _ in range(2))
    source.fill(1)  # memory never written to is one page of zeros over and over
    return {"source": source, "sink": sink}


COPY = Peer(
    "copy",
    dict.fromkeys(KERNELS, (None, "np.copyto(sink, source)")),
    _copy_names,
    fits=lambda case: case.nbytes >= 1 << 18,  # below, the time of a copy is that of the call
    ours=True,
    comparable=False,
)


def _division_names(case: Case, names: Names) -> Names:
    # For scales beyond 2**100 the kernels divide (numerics.h). The quotients and so the codes stay the same.
    far_x = np.ldexp(names["x"], 110, out=aligned(case.shape, np.float32))
    return {"far_x": far_x, "far_scale": float(np.ldexp(names["scale"], 110))}


DIVISION = Peer(
    "division",
    {"quantize": (None, "fq.quantize(far_x, far_scale, zero_point, out=out)")},
    _division_names,
    fits=lambda case: case.size <= 1 << 20,  # beyond, memory hides the division
    ours=True,
)


def _plain_names(case: Case, names: Names) -> Names:
    scale, zero_point = fq.qparams(*fq.minmax(names["x"]), case.code)
    return {"plain_scale": float(scale), "plain_zero_point": int(zero_point)}


_PLAIN = (None, "fq.quantize(x, plain_scale, plain_zero_point, out=out)")
PLAIN = Peer(
    "plain",
    {"quantize_dynamic": _PLAIN, "quantize_axis_0": _PLAIN, "quantize_axis_last": _PLAIN},
    _plain_names,
    ours=True,
    comparable=False,
)

# ---- NumPy ----

REFERENCE = Peer(
    "reference",
    {
        "quantize": ("reference.quantize(x, scale, zero_point, dtype=code)", None),
        "dequantize": ("reference.dequantize(q, scale, zero_point)", None),
        "fake_quantize": ("reference.fake_quantize(x, scale, zero_point, dtype=code)", None),
        "minmax": ("reference.minmax(x)", None),
        "quantize_dynamic": ("reference.quantize_dynamic(x, code, symmetric=symmetric)", None),
        "quantize_axis_0": ("reference.quantize(x, scale, zero_point, dtype=code, axis=0)", None),
        "quantize_axis_last": ("reference.quantize(x, scale, zero_point, dtype=code, axis=-1)", None),
    },
)


def _numpy_dynamic_int8(x: Any) -> tuple[Any, ...]:
    scale = np.abs(x).max() / 127
    return np.clip(np.rint(x / scale), -128, 127).astype(np.int8), scale, 0


def _numpy_dynamic_uint8(x: Any) -> tuple[Any, ...]:
    lo, hi = min(x.min(), np.float32(0)), max(x.max(), np.float32(0))
    scale = (hi - lo) / 255
    zero_point = int(np.clip(np.rint(-lo / scale), 0, 255))
    return np.clip(np.rint(x / scale) + zero_point, 0, 255).astype(np.uint8), scale, zero_point


def _numpy_names(case: Case, names: Names) -> Names:
    own: Names = {"dynamic_int8": _numpy_dynamic_int8, "dynamic_uint8": _numpy_dynamic_uint8}
    if case.kernel.axis is not None:
        # int32 zero points would make the sum float64: a float32 array is the faster way to write it.
        own["offset"] = names["zero_point"].astype(np.float32)
    return own


NUMPY = Peer(
    "NumPy",
    {
        "quantize": ("np.clip(np.rint(x / scale) + zero_point, lowest, highest).astype(code)", None),
        "dequantize": ("(q.astype(np.float32) - zero_point) * scale", None),
        "fake_quantize": (
            "(np.clip(np.rint(x / scale) + zero_point, lowest, highest) - zero_point) * scale",
            None,
        ),
        "minmax": ("(x.min(), x.max())", None),
        "quantize_dynamic int8": ("dynamic_int8(x)", None),
        "quantize_dynamic uint8": ("dynamic_uint8(x)", None),
        "quantize_axis_0": (
            "np.clip(np.rint(x / scale[:, None]) + offset[:, None], lowest, highest).astype(code)",
            None,
        ),
        "quantize_axis_last": (
            "np.clip(np.rint(x / scale) + offset, lowest, highest).astype(code)",
            None,
        ),
    },
    _numpy_names,
)

# ---- torch ----


def _torch() -> Any:
    return importlib.import_module("torch")


def _decomposed() -> Any:
    importlib.import_module("torch.ao.quantization.fx._decomposed")  # registers the operators
    return _torch().ops.quantized_decomposed


def _torch_names(case: Case, names: Names) -> Names:
    torch = _torch()
    own: Names = {"torch": torch, "t": torch.from_numpy(names["x"]), "function": case.kernel.function}
    if not case.code:
        return own
    own["qtype"] = {"int8": torch.qint8, "uint8": torch.quint8}[case.code]
    if case.kernel.axis is not None:
        own["scales"] = torch.from_numpy(names["scale"])
        own["zero_points"] = torch.from_numpy(names["zero_point"]).to(torch.int64)
    if "q" in names:
        reals = torch.from_numpy(fq.dequantize(names["q"], names["scale"], names["zero_point"]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            own["qt"] = torch.quantize_per_tensor(reals, names["scale"], names["zero_point"], own["qtype"])
    return own


def _decomposed_names(case: Case, names: Names) -> Names:
    torch = _torch()
    own: Names = {"ops": _decomposed(), "t": torch.from_numpy(names["x"]), "dtype": getattr(torch, case.code)}
    own["function"] = case.kernel.function
    if case.kernel.axis is not None:
        own["scales"] = torch.from_numpy(names["scale"])
        own["zero_points"] = torch.from_numpy(names["zero_point"]).to(torch.int64)
    if "q" in names:
        own["codes"] = torch.from_numpy(names["q"])
    return own


def _torch_arrays(value: Any, names: Names) -> Iterable[Any]:
    for tensor in _value(value, names):
        yield (tensor.int_repr() if tensor.is_quantized else tensor).numpy()
        if names["function"] == "quantize_dynamic":
            yield np.float32(tensor.q_scale())
            yield tensor.q_zero_point()


_TORCH_CODES = ("int8", "uint8")

TORCH = Peer(
    "torch",
    {
        "quantize": ("torch.quantize_per_tensor(t, scale, zero_point, qtype)", None),
        "dequantize": ("torch.dequantize(qt)", None),
        "fake_quantize": (
            "torch.fake_quantize_per_tensor_affine(t, scale, zero_point, lowest, highest)",
            None,
        ),
        "minmax": ("torch.aminmax(t)", None),
        "quantize_dynamic uint8": ("torch.quantize_per_tensor_dynamic(t, qtype, False)", None),
        "quantize_axis_0": ("torch.quantize_per_channel(t, scales, zero_points, 0, qtype)", None),
        "quantize_axis_last": ("torch.quantize_per_channel(t, scales, zero_points, 1, qtype)", None),
    },
    _torch_names,
    _torch_arrays,
    _TORCH_CODES,
    "torch",
    _torch,
)

_PER_CHANNEL = "ops.quantize_per_channel(t, scales, zero_points, {axis}, lowest, highest, dtype)"

TORCH_DECOMPOSED = Peer(
    "torch pt2e",
    {
        "quantize": ("ops.quantize_per_tensor(t, scale, zero_point, lowest, highest, dtype)", None),
        "dequantize": ("ops.dequantize_per_tensor(codes, scale, zero_point, lowest, highest, dtype)", None),
        "quantize_axis_0": (_PER_CHANNEL.format(axis=0), None),
        "quantize_axis_last": (_PER_CHANNEL.format(axis=1), None),
    },
    _decomposed_names,
    _torch_arrays,
    _TORCH_CODES,
    "torch",
    _decomposed,
)

# ---- ONNX Runtime: models of one operator (two for fake_quantize) ----


def _ort() -> Any:
    runtime = importlib.import_module("onnxruntime")
    importlib.import_module("onnx")  # which writes the models
    return runtime


def _ort_names(case: Case, names: Names) -> Names:
    ort = _ort()
    function = case.kernel.function
    x = names["q"] if function == "dequantize" else names["x"]
    parameters, results = {}, [names["out"]]
    if function == "quantize_dynamic":
        results += [np.empty((), np.float32), np.empty((), np.uint8)]
    else:
        parameters["scale"] = np.asarray(names["scale"], np.float32)
        parameters["zero_point"] = np.asarray(names["zero_point"], case.code)
    model = _bench_onnx.model_of(_ORT_OPERATORS[function], x, results, parameters, case.kernel.axis)
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    binding.bind_ortvalue_input("x", ort.OrtValue.ortvalue_from_numpy(x))
    for i, result in enumerate(results):
        binding.bind_ortvalue_output(f"y{i}", ort.OrtValue.ortvalue_from_numpy(result))
    return {"session": session, "feed": {"x": x}, "binding": binding, "results": results}


def _ort_arrays(value: Any, names: Names) -> Iterable[Any]:
    return names["results"] if value is None else value


_ORT_OPERATORS = {
    "quantize": ("QuantizeLinear",),
    "dequantize": ("DequantizeLinear",),
    "fake_quantize": ("QuantizeLinear", "DequantizeLinear"),
    "quantize_dynamic": ("DynamicQuantizeLinear",),
}
_ORT_CALLS = ("session.run(None, feed)", "session.run_with_iobinding(binding)")

ONNXRUNTIME = Peer(
    "ONNX Runtime",
    {
        "quantize": _ORT_CALLS,
        "dequantize": _ORT_CALLS,
        "fake_quantize": _ORT_CALLS,
        "quantize_dynamic uint8": _ORT_CALLS,
        "quantize_axis_0": _ORT_CALLS,
        "quantize_axis_last": _ORT_CALLS,
    },
    _ort_names,
    _ort_arrays,
    ("int8", "uint8"),
    "onnxruntime",
    _ort,
)

# ---- all of them ----

OWN = (FASTQUANT, COPY, DIVISION, PLAIN)
PEERS = (REFERENCE, NUMPY, TORCH, TORCH_DECOMPOSED, ONNXRUNTIME)

# Installed by many who quantize, and not a peer here: say why rather than nothing.
NOT_COMPARABLE = {"ml_dtypes": "it casts without a scale; nothing of it makes int8 or uint8 codes"}


def installed() -> list[Peer]:
    """Peers that can be expected to load, for a list of benchmarks that loads none of them."""
    return [peer for peer in PEERS if not peer.module or find_spec(peer.module)]


def version_of(module: str) -> str | None:
    try:
        return version(module)
    except PackageNotFoundError:
        return None


@contextmanager
def loaded(libraries: bool) -> Iterator[tuple[list[Peer], list[str]]]:
    """Peers ready to run, on one thread, and a line for each that is not. False: only those in NumPy."""
    found: list[Peer] = []
    skipped = []
    threads = None
    for peer in PEERS:
        if not peer.module:
            found.append(peer)
        elif not libraries:
            skipped.append(f"{peer.name}: not asked for")
        else:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    peer.load()
                found.append(peer)
            except Exception as error:  # whatever a broken installation raises
                missing = isinstance(error, ModuleNotFoundError) and str(error.name).split(".")[0] == peer.module
                skipped.append(
                    f"{peer.name}: " + ("not installed" if missing else f"does not load ({error})")
                )
    if libraries:
        skipped += [f"{name}: {reason}" for name, reason in NOT_COMPARABLE.items()]
    if any(peer.module == "torch" for peer in found):
        threads = _torch().get_num_threads()
        _torch().set_num_threads(1)
    try:
        yield found, skipped
    finally:
        if threads is not None:
            _torch().set_num_threads(threads)
