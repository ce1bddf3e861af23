"""What other libraries have for the cases of the benchmarks: ml_dtypes, torch and ONNX Runtime.

A statement is what their documentation tells users to write; what a library has no
operator for (float8 with a scale in torch, say) is the shortest expression that computes the same.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np

import fastquant as fq
from fastquant import _bench_onnx
from fastquant._bench_cases import FLOAT8, FLOAT_CODES, Case
from fastquant._bench_own import NONE, Names, Peer, Statements, blocks_fit, in_blocks, shared_axis, spread, value_of
from fastquant._bench_timing import Unavailable
from fastquant._dtypes import CODE_TYPES, code_type

# ---- ml_dtypes: casts, with the scale applied by NumPy ----


def _cast_statements(case: Case) -> Statements:
    kernel = case.kernel
    if kernel.real != "float32" or kernel.packed or kernel.source or not blocks_fit(case):
        return NONE
    if case.code in FLOAT_CODES:
        statement = {
            "quantize": "(x / scale).astype(dtype)",
            "dequantize": "q.astype(np.float32) * scale",
            "fake_quantize": "(x / scale).astype(dtype).astype(np.float32) * scale",
        }
    elif case.code in CODE_TYPES and CODE_TYPES[case.code].bits < 8:
        codes = "np.clip(np.rint(x / scale) + zero_point, lowest, highest)"
        statement = {
            "quantize": f"{codes}.astype(dtype)",
            "dequantize": "(q.astype(np.float32) - zero_point) * scale",
        }
    else:
        return NONE
    return statement.get(kernel.function), None


def _cast_names(case: Case, names: Names) -> Names:
    own: Names = {"dtype": code_type(case.code).dtype, "x": in_blocks(names["x"], case)}
    own |= {"q": in_blocks(names["q"], case)} if "q" in names else {}
    own["scale"] = spread(names["scale"], case)
    zero_point = spread(names["zero_point"], case)
    own["zero_point"] = zero_point if case.one_scale else zero_point.astype(np.float32)
    return own


def _ml_dtypes() -> Any:
    return importlib.import_module("ml_dtypes")


ML_DTYPES = Peer("ml_dtypes", _cast_statements, _cast_names, module="ml_dtypes", load=_ml_dtypes)

# ---- torch ----


def torch_module() -> Any:
    return importlib.import_module("torch")


def torch_threads(count: int) -> int:
    torch = torch_module()
    before = int(torch.get_num_threads())
    torch.set_num_threads(count)
    return before


def decomposed_operators() -> Any:
    importlib.import_module("torch.ao.quantization.fx._decomposed")  # registers the operators
    return torch_module().ops.quantized_decomposed


_TORCH_CODES = ("int8", "uint8")


def _is_float32_rows(case: Case) -> bool:
    return case.kernel.real == "float32" and not case.kernel.packed and case.kernel.layout == "C"


def _torch_statements(case: Case) -> Statements:
    kernel, function = case.kernel, case.kernel.function
    if function == "minmax" and kernel.real != "bfloat16" and kernel.block is None:
        dim = "" if case.one_scale else f", dim={shared_axis(case)}"
        return f"torch.aminmax(t{dim})", None
    if not _is_float32_rows(case) or kernel.block is not None:
        return NONE
    if case.code in FLOAT8 and case.one_scale:
        statement = {"quantize": "(t / scale).to(dtype)", "dequantize": "codes.to(torch.float32) * scale"}
        return statement.get(function), None
    if case.code not in _TORCH_CODES:
        return NONE
    axis = {0: 0, -1: 1}.get(kernel.axis) if isinstance(kernel.axis, int) else None
    if axis is not None:
        channel = f"scales, zero_points, {axis}"
        statement = {
            "quantize": f"torch.quantize_per_channel(t, {channel}, qtype)",
            "dequantize": "torch.dequantize(qt)",
            "fake_quantize": f"torch.fake_quantize_per_channel_affine(t, {channel}, lowest, highest)",
        }
    elif case.one_scale:
        statement = {
            "quantize": "torch.quantize_per_tensor(t, scale, zero_point, qtype)",
            "dequantize": "torch.dequantize(qt)",
            "fake_quantize": "torch.fake_quantize_per_tensor_affine(t, scale, zero_point, lowest, highest)",
        }
        if case.code == "uint8":
            statement["quantize_dynamic"] = "torch.quantize_per_tensor_dynamic(t, qtype, False)"
    else:
        return NONE
    return statement.get(function), None


def _tensors(names: Names) -> Names:
    """Scales and zero points of an axis."""
    torch = torch_module()
    return {
        "scales": torch.from_numpy(names["scale"]),
        "zero_points": torch.from_numpy(names["zero_point"]),
    }


def _torch_names(case: Case, names: Names) -> Names:
    torch = torch_module()
    own: Names = {"torch": torch, "t": torch.from_numpy(names["x"]), "function": case.kernel.function}
    if not case.code:
        return own
    if case.code in FLOAT8:
        own["dtype"] = getattr(torch, case.code)
        if "q" in names:
            own["codes"] = torch.from_numpy(names["q"].view(np.uint8)).view(own["dtype"])
        return own
    own["qtype"] = {"int8": torch.qint8, "uint8": torch.quint8}[case.code]
    if not case.one_scale:
        own |= _tensors(names)
    if "q" in names:
        axis = case.kernel.axis
        reals = torch.from_numpy(fq.dequantize(names["q"], names["scale"], names["zero_point"], axis=axis))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if case.one_scale:
                own["qt"] = torch.quantize_per_tensor(reals, names["scale"], names["zero_point"], own["qtype"])
            else:
                dim = 0 if axis == 0 else 1
                own["qt"] = torch.quantize_per_channel(reals, own["scales"], own["zero_points"], dim, own["qtype"])
    return own


def torch_arrays(value: Any, names: Names) -> Iterable[Any]:
    torch = torch_module()
    for tensor in value_of(value, names):
        if "float8" in str(tensor.dtype):
            yield tensor.view(torch.uint8).numpy()
        else:
            yield (tensor.int_repr() if tensor.is_quantized else tensor).numpy()
        if names["function"] == "quantize_dynamic" and tensor.is_quantized:
            yield np.float32(tensor.q_scale())
            yield tensor.q_zero_point()


TORCH = Peer("torch", _torch_statements, _torch_names, torch_arrays, "torch", torch_module, use_threads=torch_threads)


def decomposed_statements(case: Case) -> Statements:
    kernel, function = case.kernel, case.kernel.function
    if not _is_float32_rows(case) or case.code not in _TORCH_CODES:
        return NONE
    source = {"quantize": "t", "dequantize": "codes"}.get(function)
    if function == "quantize_dynamic" and isinstance(kernel.axis, tuple) and case.code == "int8":
        return "per_token(t)", None
    if source is None:
        return NONE
    limits = "lowest, highest, dtype"
    real = ", torch.float32" if function == "dequantize" else ""  # where it has no default
    if kernel.block is not None:
        if kernel.axis != -1 or not blocks_fit(case):
            return NONE
        return f"ops.{function}_per_channel_group({source}, scales, zero_points, {limits}, {kernel.block}{real})", None
    if kernel.axis is None:
        return f"ops.{function}_per_tensor({source}, scale, zero_point, {limits})", None
    if isinstance(kernel.axis, tuple):
        return f"ops.{function}_per_token({source}, scales, zero_points, {limits}{real})", None
    axis = 0 if kernel.axis == 0 else 1
    return f"ops.{function}_per_channel({source}, scales, zero_points, {axis}, {limits})", None


def decomposed_names(case: Case, names: Names) -> Names:
    torch, ops = torch_module(), decomposed_operators()
    dtype = getattr(torch, case.code)
    own: Names = {"torch": torch, "ops": ops, "t": torch.from_numpy(names["x"]), "dtype": dtype}
    own["function"] = case.kernel.function
    if not case.one_scale:
        own |= _tensors(names)
    if isinstance(case.kernel.axis, tuple):
        own |= {key: own[key][..., None] for key in ("scales", "zero_points")}

    def per_token(t: Any) -> Any:
        scales, zero_points = ops.choose_qparams_per_token(t, dtype)
        return ops.quantize_per_token(t, scales, zero_points, -128, 127, dtype), scales, zero_points

    own["per_token"] = per_token
    if "q" in names:
        own["codes"] = torch.from_numpy(names["q"])
    return own


TORCH_DECOMPOSED = Peer(
    "torch pt2e",
    decomposed_statements,
    decomposed_names,
    torch_arrays,
    "torch",
    decomposed_operators,
    use_threads=torch_threads,
)

# ---- ONNX Runtime: models of one operator (two for fake_quantize) ----

_OPERATORS = {
    "quantize": ("QuantizeLinear",),
    "dequantize": ("DequantizeLinear",),
    "fake_quantize": ("QuantizeLinear", "DequantizeLinear"),
    "quantize_dynamic": ("DynamicQuantizeLinear",),
}
_ORT_CALLS = ("session.run(None, feed)", "session.run_with_iobinding(binding)")
_ORT_CODES = (*_TORCH_CODES, "int16", "uint16", *FLOAT8)


def _ort() -> Any:
    runtime = importlib.import_module("onnxruntime")
    importlib.import_module("onnx")  # which writes the models
    return runtime


def _ort_statements(case: Case) -> Statements:
    kernel = case.kernel
    if kernel.real != "float32" or kernel.layout != "C" or kernel.function not in _OPERATORS:
        return NONE
    if isinstance(kernel.axis, tuple):  # the operators have one axis
        return NONE
    if kernel.function == "quantize_dynamic":
        return _ORT_CALLS if kernel.axis is None and case.code == "uint8" else NONE
    if kernel.packed:
        # Its packed tensors have no padding at the ends of rows, and no NumPy arrays: only bound memory.
        fits = case.code in _bench_onnx.PACKED and case.shape[-1] % CODE_TYPES[case.code].packs == 0
        return (None, _ORT_CALLS[1]) if fits and kernel.function != "fake_quantize" else NONE
    if case.code in FLOAT8:  # which numpy cannot be given
        return (None, _ORT_CALLS[1])
    return _ORT_CALLS if case.code in _ORT_CODES else NONE


def _ort_names(case: Case, names: Names) -> Names:
    ort, kernel = _ort(), case.kernel
    function = kernel.function
    x = names["q"] if function == "dequantize" else names["x"]
    results = [(names["out"], case.shape, "float32" if names["out"].dtype == np.float32 else case.code)]
    parameters = {}
    if function == "quantize_dynamic":
        results += [(np.empty((), np.float32), (), "float32"), (np.empty((), np.uint8), (), "uint8")]
    else:
        parameters["scale"] = np.asarray(names["scale"], np.float32)
        parameters["zero_point"] = np.asarray(names["zero_point"]).astype(code_type(case.code).dtype)
    given = (case.shape, case.code if function == "dequantize" else "float32")
    model = _bench_onnx.model_of(
        _OPERATORS[function],
        given,
        [(shape, name) for _, shape, name in results],
        parameters,
        None if case.one_scale else int(kernel.axis),  # type: ignore[arg-type]  # None stands for one scale
        kernel.block,
    )
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = case.threads, 1
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its own kinds, which versions change
        raise Unavailable(str(error)) from error
    binding = session.io_binding()
    for name, array, shape, kind in [
        ("x", x, *given),
        *((f"y{i}", *result) for i, result in enumerate(results)),
    ]:
        bind = binding.bind_input if name == "x" else binding.bind_output
        bind(name, "cpu", 0, _bench_onnx.number_of(kind), list(shape), array.ctypes.data)
    return {"session": session, "feed": {"x": x}, "binding": binding, "results": [a for a, *_ in results]}


def _ort_arrays(value: Any, names: Names) -> Iterable[Any]:
    return names["results"] if value is None else value


ONNXRUNTIME = Peer("ONNX Runtime", _ort_statements, _ort_names, _ort_arrays, "onnxruntime", _ort)
