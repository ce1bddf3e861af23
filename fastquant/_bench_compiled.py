"""Peers that compile what their user writes: torch.compile and numba. They compile when a case is prepared, not in what
is timed."""

from __future__ import annotations

import functools
import importlib
import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from fastquant._bench_cases import Case
from fastquant._bench_libraries import (
    decomposed_names,
    decomposed_operators,
    decomposed_statements,
    torch_arrays,
    torch_module,
    torch_threads,
)
from fastquant._bench_own import NONE, Names, Peer, Statements, blocks_fit, value_of
from fastquant._bench_timing import Unavailable
from fastquant._dtypes import CODE_TYPES

# ---- torch.compile: the decomposed operators, and where there are none what its users write ----


def _torch_expression(case: Case) -> str | None:
    """In terms of the tensor t or codes."""
    plain = not case.kernel.shaped and case.kernel.real == "float32"
    if plain and case.kernel.function == "minmax":
        return "torch.aminmax(t)"
    if plain and case.kernel.function == "fake_quantize" and case.code in ("int8", "uint8"):
        inner = "ops.quantize_per_tensor(t, scale, zero_point, lowest, highest, dtype)"
        return f"ops.dequantize_per_tensor({inner}, scale, zero_point, lowest, highest, dtype)"
    if plain and case.kernel.function == "quantize_dynamic" and case.code == "int8":
        return "dynamic(t)"
    if case.kernel.function in ("quantize", "dequantize"):
        return decomposed_statements(case)[0]
    return None


def _torch_statements(case: Case) -> Statements:
    if _torch_expression(case) is None:
        return NONE
    return f"compiled({'codes' if case.kernel.function == 'dequantize' else 't'})", None


def _torch_names(case: Case, names: Names) -> Names:
    torch = torch_module()
    own: Names = {"torch": torch, "t": torch.from_numpy(names["x"]), "function": case.kernel.function}
    own |= decomposed_names(case, names) if case.code else {}

    def dynamic(t: Any) -> tuple[Any, ...]:
        lo, hi = torch.aminmax(t)
        scale = torch.maximum(-lo, hi) / 127
        return torch.clamp(torch.round(t / scale), -128, 127).to(torch.int8), scale, torch.zeros((), dtype=torch.int32)

    own["dynamic"] = dynamic
    argument = "codes" if case.kernel.function == "dequantize" else "t"
    written = eval(f"lambda {argument}: {_torch_expression(case)}", names | own)
    torch.compiler.reset()  # what was compiled for other cases counts against a limit
    own["compiled"] = torch.compile(written, dynamic=False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            own["compiled"](own[argument])
    except Exception as error:  # no compiler, or one that fails: whatever inductor makes of that
        raise Unavailable(str(error)) from error
    return own


def _compiling() -> Any:
    """Find out once whether it compiles here."""
    decomposed_operators()
    torch = torch_module()
    if float(torch.compile(lambda t: t + 1)(torch.ones(()))) != 2:
        raise RuntimeError("torch.compile adds wrongly")
    return torch


TORCH_COMPILE = Peer(
    "torch.compile", _torch_statements, _torch_names, torch_arrays, "torch", _compiling, use_threads=torch_threads
)

# ---- numba: the loops that one would write oneself ----


def _numba() -> Any:
    return importlib.import_module("numba")


def _numba_threads(count: int) -> int:
    numba = _numba()
    before = int(numba.get_num_threads())
    numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))
    return before


@functools.cache
def _loops(parallel: bool) -> SimpleNamespace:
    """Compiled for the types that they are called with. One scale is an array of one element, of one row."""
    numba = _numba()
    prange = numba.prange
    # Without the NumPy error model a loop that divides stops to ask for zeros, and is not vectorised.
    jit: Callable[..., Any] = numba.njit(parallel=parallel, fastmath=False, error_model="numpy")

    @jit  # type: ignore[untyped-decorator]
    def quantize(x: Any, scale: Any, zero_point: Any, lowest: Any, highest: Any, out: Any) -> Any:
        for i in prange(x.size):
            out[i] = min(max(np.rint(x[i] / scale) + zero_point, lowest), highest)
        return out

    @jit  # type: ignore[untyped-decorator]
    def dequantize(q: Any, scale: Any, zero_point: Any, out: Any) -> Any:
        for i in prange(q.size):
            out[i] = (np.float32(q[i]) - zero_point) * scale
        return out

    @jit  # type: ignore[untyped-decorator]
    def fake_quantize(x: Any, scale: Any, zero_point: Any, lowest: Any, highest: Any, out: Any) -> Any:
        for i in prange(x.size):
            code = min(max(np.rint(x[i] / scale) + zero_point, lowest), highest)
            out[i] = (code - zero_point) * scale
        return out

    @jit  # type: ignore[untyped-decorator]
    def quantize_rows(x: Any, scale: Any, zero_point: Any, lowest: Any, highest: Any, out: Any) -> Any:
        for i in prange(x.shape[0]):
            s, z = scale[i], zero_point[i]
            for j in range(x.shape[1]):
                out[i, j] = min(max(np.rint(x[i, j] / s) + z, lowest), highest)
        return out

    @jit  # type: ignore[untyped-decorator]
    def dequantize_rows(q: Any, scale: Any, zero_point: Any, out: Any) -> Any:
        for i in prange(q.shape[0]):
            s, z = scale[i], zero_point[i]
            for j in range(q.shape[1]):
                out[i, j] = (np.float32(q[i, j]) - z) * s
        return out

    @jit  # type: ignore[untyped-decorator]
    def quantize_columns(x: Any, scale: Any, zero_point: Any, lowest: Any, highest: Any, out: Any) -> Any:
        for i in prange(x.shape[0]):
            for j in range(x.shape[1]):
                out[i, j] = min(max(np.rint(x[i, j] / scale[j]) + zero_point[j], lowest), highest)
        return out

    @jit  # type: ignore[untyped-decorator]
    def dequantize_columns(q: Any, scale: Any, zero_point: Any, out: Any) -> Any:
        for i in prange(q.shape[0]):
            for j in range(q.shape[1]):
                out[i, j] = (np.float32(q[i, j]) - zero_point[j]) * scale[j]
        return out

    @jit  # type: ignore[untyped-decorator]
    def minmax(x: Any) -> Any:
        lo = hi = x[0]
        for i in prange(x.size):
            lo = min(lo, x[i])
            hi = max(hi, x[i])
        return lo, hi

    @jit  # type: ignore[untyped-decorator]
    def dynamic(x: Any, out: Any) -> Any:
        lo, hi = minmax(x)
        scale = max(-lo, hi) / np.float32(127)
        return quantize(x, scale, np.float32(0), np.float32(-128), np.float32(127), out), scale, 0

    @jit  # type: ignore[untyped-decorator]
    def dynamic_rows(x: Any, scale: Any, zero_point: Any, out: Any) -> Any:
        for i in prange(x.shape[0]):
            most = np.float32(0)
            for j in range(x.shape[1]):
                most = max(most, abs(x[i, j]))
            s = most / np.float32(127)
            scale[i] = s
            zero_point[i] = 0
            for j in range(x.shape[1]):
                out[i, j] = min(max(np.rint(x[i, j] / s), np.float32(-128)), np.float32(127))
        return out, scale, zero_point

    return SimpleNamespace(
        **{name: value for name, value in locals().items() if name not in ("numba", "jit", "prange")}
    )


_INTEGERS = ("int8", "uint8", "int16", "uint16")


def _numba_loop(case: Case) -> str | None:
    kernel, function = case.kernel, case.kernel.function
    if kernel.real != "float32" or kernel.packed or kernel.layout != "C" or not blocks_fit(case):
        return None
    if function == "minmax":
        return "minmax" if case.one_scale else None
    if function not in ("quantize", "dequantize", "fake_quantize", "quantize_dynamic") or case.code not in _INTEGERS:
        return None
    columns = kernel.axis == -1 and kernel.block is None
    if function == "quantize_dynamic":
        if case.code != "int8" or columns or (kernel.axis == 0 and kernel.block is not None):
            return None
        return "dynamic" if case.one_scale else "dynamic_rows"
    if case.one_scale:
        return function
    if function == "fake_quantize" or (kernel.axis == 0 and kernel.block is not None):
        return None
    return f"{function}_columns" if columns else f"{function}_rows"


def _numba_statements(case: Case) -> Statements:
    """Each loop writes to `out`, which without is made first."""
    loop = _numba_loop(case)
    if loop is None:
        return NONE
    arguments = {
        "minmax": "v",
        "dynamic": "v, {out}",
        "dynamic_rows": "v, np.empty(rows, np.float32), np.empty(rows, np.int32), {out}",
    }.get(loop, "v, s, z, {out}" if loop.startswith("dequantize") else "v, s, z, lowest32, highest32, {out}")
    call = f"loops.{loop}({arguments})"
    if loop == "minmax":
        return call, None
    return call.format(out="np.empty(v.shape, result)"), call.format(out="result_out")


def _numba_names(case: Case, names: Names) -> Names:
    source = names["q"] if case.kernel.function == "dequantize" else names["x"]
    width = case.kernel.block or case.shape[-1]
    shape = (case.size,) if case.one_scale else (case.size // width, width)
    own: Names = {"loops": _loops(case.threads > 1), "v": source.reshape(shape), "rows": shape[0]}
    if case.code:
        codes = CODE_TYPES[case.code]
        own |= {"result_out": names["out"].reshape(shape), "result": names["out"].dtype}
        own |= {"lowest32": np.float32(codes.lowest), "highest32": np.float32(codes.highest)}
        # float32, so that the loops have vectors of one width.
        own |= {name: np.asarray(names[long], np.float32) for name, long in (("s", "scale"), ("z", "zero_point"))}
        own |= {name: np.float32(own[name]) if case.one_scale else own[name].reshape(-1) for name in "sz"}
    for statement in filter(None, _numba_statements(case)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            eval(statement, names | own)
    return own


NUMBA = Peer("numba", _numba_statements, _numba_names, value_of, "numba", _numba, use_threads=_numba_threads)
