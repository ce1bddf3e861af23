"""What the benchmarks compare fastquant with that needs no other library: itself, its specification, a bare loop, and
what NumPy users write.

A peer answers for a case with the statement that makes a new array and the one that writes to memory it is given, None
for what it does not have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

import fastquant as fq
from fastquant import _kernels
from fastquant._bench_cases import Case, aligned
from fastquant._dtypes import CODE_TYPES, real_dtype

Names = dict[str, Any]
Statements = tuple[str | None, str | None]
NONE: Statements = (None, None)


def _nothing(case: Case, names: Names) -> Names:
    return {}


def value_of(value: Any, names: Names) -> Iterable[Any]:
    return value if isinstance(value, tuple) else (value,)


@dataclass(frozen=True)
class Peer:
    name: str
    statements: Callable[[Case], Statements]
    prepare: Callable[[Case, Names], Names] = _nothing  # names of its own, once for each case
    arrays: Callable[[Any, Names], Iterable[Any]] = value_of  # a statement's value as NumPy arrays
    module: str = ""  # what must be installed
    load: Callable[[], Any] = lambda: None
    use_threads: Callable[[int], int] | None = None  # how many from now on; returns how many before
    ours: bool = False  # measured to say something about fastquant, not to compete with it
    comparable: bool = True  # its values are meant to be fastquant's
    distribution: str = ""  # what that comes with, where its name is another


# ---- fastquant and its reference: the same calls, but for out= ----

_PARAMETERS = {
    "quantize": "x, scale, zero_point",
    "dequantize": "q, scale, zero_point",
    "fake_quantize": "x, scale, zero_point",
    "minmax": "x",
    "quantize_dynamic": "x, code, symmetric=symmetric",
    "requantize": "q, scale, zero_point, new_scale, new_zero_point",
    "pack": "q",
    "unpack": "p, code, shape",
}
_WITHOUT_OUT = ("minmax", "pack", "unpack")


def _where(case: Case) -> str:
    kernel = case.kernel
    text = "" if kernel.axis is None else f", axis={kernel.axis}"
    return text + ("" if kernel.block is None else f", block_size={kernel.block}")


def _code_option(case: Case) -> str:
    return ", dtype=code" if case.kernel.function in ("quantize", "fake_quantize", "requantize") else ""


def _real_option(case: Case) -> str:
    real = case.kernel.real
    return f", dtype={real!r}" if case.kernel.function == "dequantize" and real != "float32" else ""


def _packed_option(case: Case) -> str:
    if not case.kernel.packed:
        return ""
    made = ", packed=True"
    return {"quantize": made, "quantize_dynamic": made, "dequantize": ", packed=code"}.get(case.kernel.function, "")


def _has_tail(case: Case) -> bool:
    """Packed codes that do not fill their last byte: what is behind them only `out` can tell dequantize."""
    packed_input = case.kernel.packed and case.kernel.function == "dequantize"
    return packed_input and case.shape[-1] % CODE_TYPES[case.code].packs > 0


def _fastquant_statements(case: Case) -> Statements:
    kernel = case.kernel
    options = _where(case) + _packed_option(case)
    call = f"fq.{kernel.function}({_PARAMETERS[kernel.function]}"
    plain = f"{call}{_code_option(case)}{_real_option(case)}{options})"
    if kernel.function in _WITHOUT_OUT:
        return plain, None
    # A new user's shortest call: out has a dtype, unless it is packed.
    code = "" if kernel.function == "quantize" and not kernel.packed else _code_option(case)
    given = f"{call}{code}{_real_option(case)}{options}, out=out)"
    return (None if _has_tail(case) else plain), given


FASTQUANT = Peer("fastquant", _fastquant_statements, ours=True)


def _reference_statements(case: Case) -> Statements:
    kernel = case.kernel
    options = _code_option(case) + _real_option(case) + _where(case) + _packed_option(case)
    if kernel.packed and kernel.function == "dequantize":
        options += ", shape=shape"
    return f"reference.{kernel.function}({_PARAMETERS[kernel.function]}{options})", None


REFERENCE = Peer("reference", _reference_statements)

# ---- what else says something about fastquant ----


def _bare_statements(case: Case) -> Statements:
    return (None, "bare(source, sink)") if case.moved[1] else ("bare(source, sink)", None)


def _bytes_of(a: Any) -> Any:
    """All that a contiguous array has, in its order; None of one that is not."""
    whole = a if a.flags.c_contiguous else a.T
    return whole.reshape(-1).view(np.uint8) if whole.flags.c_contiguous else None


def _bare_names(case: Case, names: Names) -> Names:
    """The arrays of the case, so that near the size of a cache the loop finds there what the kernel finds."""
    read, written = case.moved
    given = next(names[name] for name in ("q", "p", "x") if name in names)
    source = _bytes_of(given)
    if source is None:  # strided: as many bytes, without what is between them
        source = aligned((read,), np.uint8)
        source.fill(1)  # memory never written to is one page of zeros over and over
    sink = _bytes_of(names["out"]) if written else np.empty(0, np.uint8)
    return {"source": source[:read], "sink": sink[:written], "bare": _kernels.bare}


BARE = Peer("bare", _bare_statements, _bare_names, ours=True, comparable=False)


def _one_thread_statements(case: Case) -> Statements:
    """What several threads are compared with, in turns: the same call on one."""
    if case.threads == 1 or case.nbytes < 1 << 22:  # smaller calls stay on one, and it takes time to say so
        return NONE
    plain, given = _fastquant_statements(case)
    return plain and f"(one(), {plain}, several())[1]", given and f"(one(), {given}, several())[1]"


def _one_thread_names(case: Case, names: Names) -> Names:
    return {"one": lambda: _kernels.set_threads(1), "several": lambda: _kernels.set_threads(case.threads)}


ONE_THREAD = Peer("one thread", _one_thread_statements, _one_thread_names, ours=True)


def _division_statements(case: Case) -> Statements:
    # Beyond the caches, memory hides the division.
    fits = case.kernel.name == "quantize" and case.code in ("int8", "uint8") and case.size <= 1 << 20
    return (None, "fq.quantize(far_x, far_scale, zero_point, out=out)") if fits else NONE


def _division_names(case: Case, names: Names) -> Names:
    # For scales beyond 2**100 the kernels divide (numerics.h). The quotients and so the codes stay the same.
    far_x = np.ldexp(names["x"], 110, out=aligned(case.shape, np.float32))
    return {"far_x": far_x, "far_scale": float(np.ldexp(names["scale"], 110))}


DIVISION = Peer("division", _division_statements, _division_names, ours=True)


def _plain_statements(case: Case) -> Statements:
    """The same function on contiguous float32 and int8 with one scale; for quantize_dynamic, quantize."""
    function = case.kernel.function
    if case.plain or function in ("pack", "unpack"):
        return NONE
    if function == "minmax":
        return "fq.minmax(plain_x)", None
    if function == "requantize":
        call = "fq.requantize(plain_q, plain_scale, 0, 1.7 * plain_scale, 3"
    elif function == "dequantize":
        call = "fq.dequantize(plain_q, plain_scale"
    elif function == "fake_quantize":
        call = "fq.fake_quantize(plain_x, plain_scale"
    else:
        call = "fq.quantize(plain_x, plain_scale"
    return (None if _has_tail(case) else f"{call})"), f"{call}, out=plain_out)"


def _plain_names(case: Case, names: Names) -> Names:
    function = case.kernel.function
    own: Names = {"plain_x": np.ascontiguousarray(names["x"], np.float32).reshape(-1)}
    if function == "minmax":
        return own
    own["plain_scale"] = float(fq.qparams(*fq.minmax(own["plain_x"])).scale)
    if function in ("dequantize", "requantize"):
        own["plain_q"] = fq.quantize(own["plain_x"], own["plain_scale"], out=aligned((case.size,), np.int8))
    reals_out = function in ("dequantize", "fake_quantize")
    own["plain_out"] = aligned((case.size,), np.float32 if reals_out else np.int8)
    return own


PLAIN = Peer("plain", _plain_statements, _plain_names, ours=True, comparable=False)

# ---- NumPy ----

_INTEGERS = ("int8", "uint8", "int16", "uint16")


def blocks_fit(case: Case) -> bool:
    """Blocks that are all full can be an axis of their own."""
    kernel = case.kernel
    return kernel.block is None or case.shape[_cut(case)] % kernel.block == 0


def _cut(case: Case) -> int:
    axis = case.kernel.axis
    return -1 if not isinstance(axis, int) else axis


def in_blocks(a: Any, case: Case) -> Any:
    """A view of an array in which each index of the axes that share a scale is one of an axis of its own."""
    if case.kernel.block is None:
        return a
    cut = _cut(case) % a.ndim
    return a.reshape(*a.shape[:cut], -1, case.kernel.block, *a.shape[cut + 1 :])


def spread(parameter: Any, case: Case) -> Any:
    """A parameter that broadcasts with in_blocks(x)."""
    if case.one_scale:
        return parameter
    if case.kernel.block is not None:
        return np.expand_dims(parameter, _cut(case) % len(case.shape) + 1)
    return parameter if case.kernel.axis == -1 else parameter[..., None]


def shared_axis(case: Case) -> int:
    """The axis of in_blocks(x) along which elements share a scale."""
    if case.kernel.block is not None:
        return _cut(case) % len(case.shape) + 1
    return 0 if case.kernel.axis == -1 else len(case.shape) - 1


def _numpy_statements(case: Case) -> Statements:
    kernel, function = case.kernel, case.kernel.function
    if not blocks_fit(case):
        return NONE
    wide = "float64" if kernel.real == "float64" else "float32"
    x = "x" if kernel.real == wide else "x.astype(np.float32)"  # half types: NumPy would divide in them
    back = "" if kernel.real == wide else ".astype(x.dtype)"
    in_order = "" if kernel.layout == "C" else ", order='C'"
    if function == "minmax":
        axis = "" if case.one_scale else f"axis={shared_axis(case)}"
        return f"({x}.min({axis}), {x}.max({axis}))", None
    if function in ("pack", "unpack"):
        return _numpy_packing(case), None
    if case.code not in _INTEGERS:
        return NONE
    codes = f"np.clip(np.rint({x} / scale) + zero_point, lowest, highest)"
    statement = {
        "quantize": f"{codes}.astype(code{in_order})",
        "fake_quantize": f"(({codes} - zero_point) * scale){back}",
        "dequantize": f"((q.astype(np.{wide}{in_order}) - zero_point) * scale){back}",
        "requantize": "np.clip(np.rint((q.astype(np.float32) - zero_point) * scale / new_scale) + new_zero_point, "
        "lowest, highest).astype(code)",
        "quantize_dynamic": f"dynamic_{case.code}(x)" if case.code in ("int8", "uint8") else None,
    }[function]
    return statement, None


def _numpy_packing(case: Case) -> str | None:
    packs = CODE_TYPES[case.code].packs
    if case.shape[-1] % packs:
        return None
    bits = 8 // packs
    if case.kernel.function == "pack":
        return " | ".join(f"(v[{i}::{packs}] & {2**bits - 1}) << {i * bits}" for i in range(packs))
    return f"np.stack([{', '.join(f'p >> {i * bits} & {2**bits - 1}' for i in range(packs))}], -1).view(v.dtype)"


def _numpy_names(case: Case, names: Names) -> Names:
    kernel = case.kernel
    if kernel.function == "pack":
        return {"v": names["q"].view(np.uint8)}
    if kernel.function == "unpack":
        return {"v": names["out"]}
    own: Names = {"x": in_blocks(names["x"], case)}
    if not case.code:
        return own
    own |= {"q": in_blocks(names["q"], case)} if "q" in names else {}
    own["scale"] = spread(names["scale"], case)
    own["zero_point"] = spread(names["zero_point"], case)
    if not case.one_scale:
        # int32 zero points would make the sum float64: a float32 array is the faster way to write it.
        own["zero_point"] = own["zero_point"].astype(real_dtype(kernel.real))
    if kernel.function == "quantize_dynamic":
        own |= {"dynamic_int8": _dynamic_int8(case), "dynamic_uint8": _dynamic_uint8(case)}
    return own


def _ends(x: Any, case: Case) -> tuple[Any, Any]:
    if case.one_scale:
        return x.min(), x.max()
    shared = shared_axis(case)
    return x.min(axis=shared, keepdims=True), x.max(axis=shared, keepdims=True)


def _dynamic_int8(case: Case) -> Callable[[Any], tuple[Any, ...]]:
    def dynamic(x: Any) -> tuple[Any, ...]:
        lo, hi = _ends(x, case)
        scale = np.maximum(-lo, hi) / np.float32(127)
        return np.clip(np.rint(x / scale), -128, 127).astype(np.int8), scale, np.zeros(scale.shape, np.int32)

    return dynamic


def _dynamic_uint8(case: Case) -> Callable[[Any], tuple[Any, ...]]:
    def dynamic(x: Any) -> tuple[Any, ...]:
        lo, hi = _ends(x, case)
        lo, hi = np.minimum(lo, np.float32(0)), np.maximum(hi, np.float32(0))
        scale = (hi - lo) / np.float32(255)
        zero_point = np.clip(np.rint(-lo / scale), 0, 255)
        return np.clip(np.rint(x / scale) + zero_point, 0, 255).astype(np.uint8), scale, zero_point

    return dynamic


NUMPY = Peer("NumPy", _numpy_statements, _numpy_names)
