"""Whom the benchmarks compare: fastquant, its specification, what NumPy users write, torch and ONNX Runtime.

Each peer is a table of statements. A key is the name of a kernel, with a code type behind it where that matters; a value
is the statement that makes a new array and the one that writes to memory it is given, None for what a peer does not have.
Every peer runs on one thread.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

import numpy as np

import fastquant as fq
from fastquant._bench_cases import Case

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
    arrays: Callable[[Any, Names], Iterable[Any]] = _value  # a statement's value as NumPy arrays, to be compared
    codes: tuple[str, ...] | None = None  # code types that it has, None for all
    module: str = ""  # what must be installed
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
    half = case.nbytes // 2
    return {"source": np.ones(half, np.uint8), "sink": np.ones(half, np.uint8)}


COPY = Peer(
    "copy",
    dict.fromkeys(
        ("quantize", "dequantize", "fake_quantize", "minmax", "quantize_dynamic", "quantize_axis_0", "quantize_axis_last"),
        (None, "np.copyto(sink, source)"),
    ),
    _copy_names,
    ours=True,
    comparable=False,
)


def _division_names(case: Case, names: Names) -> Names:
    # With scales beyond 2**100 the kernels divide (numerics.h). The quotients, and so the codes, are those of x and scale.
    return {"far_x": np.ldexp(names["x"], 110), "far_scale": float(np.ldexp(names["scale"], 110))}


DIVISION = Peer(
    "division",
    {"quantize": (None, "fq.quantize(far_x, far_scale, zero_point, out=out)")},
    _division_names,
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


def _torch_names(case: Case, names: Names) -> Names:
    import_ = importlib.import_module
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch = import_("torch")
        torch.set_num_threads(1)
        own: Names = {"torch": torch, "t": torch.from_numpy(names["x"])}
        if not case.code:
            return own
        own |= {"qtype": {"int8": torch.qint8, "uint8": torch.quint8}[case.code], "type": getattr(torch, case.code)}
        if case.kernel.axis is not None:
            own["scales"] = torch.from_numpy(names["scale"])
            own["zero_points"] = torch.from_numpy(names["zero_point"]).to(torch.int64)
        if "q" in names:
            reals = torch.from_numpy(fq.dequantize(names["q"], names["scale"], names["zero_point"]))
            own["qt"] = torch.quantize_per_tensor(reals, names["scale"], names["zero_point"], own["qtype"])
            own["codes"] = torch.from_numpy(names["q"])
    return own


def _torch_arrays(value: Any, names: Names) -> Iterable[Any]:
    for tensor in _value(value, names):
        if not tensor.is_quantized:
            yield tensor.numpy()
            continue
        yield tensor.int_repr().numpy()
        if "symmetric" in names and "scale" in names and tensor.q_scale() != names["scale"]:
            yield from (np.float32(tensor.q_scale()), tensor.q_zero_point())
