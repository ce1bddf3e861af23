"""A call, and what the arguments of all functions have in common: inputs, parameters, `out`."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
from fuzz_arguments import Arguments, Shape, T, V, Wrong, bad_array
from matrix import CODES, dtype_of
from placement import CANARY, FOR_OUTPUT, Kept, fits, place, plain

import fastquant as fq

OUTS = ("none", "none", *FOR_OUTPUT, "overlapping", "in place", "parameter", "any strides")


class Call:
    """wrong: arguments and exceptions, of which one must come. With none, `expected` makes the results, or raises a
    ValueError where the values of `source` have none."""

    def __init__(self, function: str) -> None:
        self.function = function
        self.arguments: list[Any] = []
        self.options: dict[str, Any] = {}
        self.wrong: Wrong = {}
        self.source: tuple[str, ...] = ("x",)
        self.expected: Callable[[], Any] = lambda: None
        self.made: Callable[[], Any] | None = None  # runs it, where that is no call of fq.function
        self.kept: Kept | None = None  # the memory around out
        self.traits: list[Hashable] = []
        self.threads, self.streaming = 1, False

    def run(self) -> Any:
        if self.made is not None:
            return self.made()
        return getattr(fq, self.function)(*self.arguments, **self.options)

    def inputs(self) -> list[np.ndarray]:
        """Memory of arguments that no call may change."""
        out = self.options.get("out")
        arrays = [a for a in (*self.arguments, *self.options.values()) if isinstance(a, np.ndarray) and a is not out]
        whole = [_root(a) for a in arrays if a.dtype != object]
        return [a for a in whole if self.kept is None or not np.may_share_memory(a, self.kept.memory)]

    def __str__(self) -> str:
        parts = [_shown(a) for a in self.arguments] + [f"{name}={_shown(a)}" for name, a in self.options.items()]
        wrong = {name: sorted(e.__name__ for e in kinds) for name, kinds in self.wrong.items()}
        return f"{self.function}({', '.join(parts)}) wrong: {wrong} threads: {self.threads} {self.traits}"


def _root(a: np.ndarray) -> np.ndarray:
    while isinstance(a.base, np.ndarray):
        a = a.base
    return a


def _shown(a: Any) -> str:
    if isinstance(a, np.ndarray):
        return f"<{a.dtype} {a.shape} strides {a.strides}: {np.array2string(a.reshape(-1)[:6], separator=', ')}>"
    return f"{a!r:.200}"


class Inputs(Arguments):
    """What the functions' arguments have in common. code, real: the types of the call."""

    code: str
    real: str
    zero: Any

    # ---- inputs ----

    def form_of_x(self, shape: Shape) -> str:
        """Settles the real type."""
        form = self.note("x", self.bytes.pick(("array", "array", "array", "list", "scalar", "array")))
        if form == "list" and 0 not in shape:
            self.real = "float64"
            return form
        return form if form == "scalar" and shape == () else "array"

    def x(self, call: Call, shape: Shape, form: str, size: float) -> tuple[Any, np.ndarray]:
        """The argument, and its values as the reference takes them."""
        b = self.bytes
        if b.seldom():
            self.blame("x", T)
            return bad_array(b, shape, True), np.zeros(shape, dtype_of(self.real))
        x = self.reals(shape, self.real, size)
        if form == "list":
            return x.tolist(), x
        if form == "scalar":
            return x[()], x
        laid = self.laid(x, "x layout")
        return laid, plain(laid).view(np.ndarray)

    def q(self, shape: Shape, code: str) -> tuple[Any, np.ndarray]:
        if self.bytes.seldom():
            self.blame("q", T)
            return bad_array(self.bytes, shape, False), self.codes(shape, code)
        laid = self.laid(self.codes(shape, code), "q layout")
        return laid, plain(laid).view(np.ndarray)

    def affine(self, call: Call, shape: Shape, real: str, code: str, **how: bool) -> dict[str, Any]:
        """Sets scale, zero_point and where they change; the reference's arguments for these."""
        grid = self.granularity(shape, call.options, how.get("blocks", True))
        where = self.where(call)
        has_axes = grid is not None and bool(where.get("axis") not in (None, ()) or where.get("block_size"))
        scale, scales = self.scale("scale", grid, has_axes, real)
        zero, zeros = self.zero_point("zero_point", grid, has_axes, code)
        # Other libraries have offsets beside zero points.
        offset, offsets = self.offset(grid, has_axes, real, zeros if not how.get("beside") else np.zeros(()))
        call.arguments += [scale]
        if self.bytes.byte() % 8 or zeros.any() or "zero_point" in self.wrong:
            call.options["zero_point"] = zero
        else:
            zeros, zero = np.zeros((), np.int32), 0
        if offset is not None:
            call.options["offset"] = offset
        self.grid, self.has_axes, self.zero = grid, has_axes, zero
        return {"scale": scales, "zero_point": zeros, "offset": offsets, **where}

    def where(self, call: Call) -> dict[str, Any]:
        """axis and block_size for the reference, which takes no more than it needs."""
        axis, block = call.options.get("axis"), call.options.get("block_size")
        if "axis" in self.wrong or "block_size" in self.wrong:
            return {}
        axis = tuple(int(a) for a in axis) if isinstance(axis, tuple) else None if axis is None else int(axis)
        return {"axis": axis, "block_size": None if block is None else min(int(block), 2**31)}

    def own_type(self) -> str | None:
        """The code type that the zero point tells, by what is documented."""
        dtype = getattr(self.zero, "dtype", None)
        return (
            str(dtype.newbyteorder("=").name) if dtype is not None and dtype.newbyteorder("=").name in CODES else None
        )

    def check_zero_point(self, argument: str, zeros: np.ndarray, code: str) -> None:
        if argument in self.wrong and T in self.wrong[argument]:
            return
        values = zeros.astype(np.float64)
        is_float = code.startswith("float")
        name = zeros.dtype.name
        integers = zeros.dtype.kind in "iu" or (name in CODES and not name.startswith("float"))
        if not integers and not (name in CODES and is_float):
            self.blame(argument, T)
        elif (is_float and values.any()) or not ((values >= -(2.0**31)) & (values < 2.0**31)).all():
            self.blame(argument, V)

    # ---- out ----

    def out(self, call: Call, x: Any, shape: Shape, name: str, parameter: Any = None) -> None:
        """Where the result goes: shape and type are what they must be, unless out is wrong."""
        b, dtype = self.bytes, dtype_of(name)
        kind = self.note("out", b.pick(OUTS))
        if max(shape, default=0) > 1 << 20:
            return
        if b.seldom():
            call.options["out"] = self.wrong_out(call, shape, dtype)
            return
        if kind == "none":
            return
        in_place = call.function in ("fake_quantize", "requantize")
        if kind == "in place" and in_place and _may_be_out(x, shape, dtype):
            call.options["out"], call.kept = x, Kept(_root(x).reshape(-1).view(np.uint8), x.view(np.ndarray))
            return
        if kind == "any strides" and 0 not in shape:
            out, memory = self.any_strides(shape, dtype, np.full(1, CANARY, np.uint8))
            if not _distinct(out):
                self.blame("out", V)
        elif kind == "overlapping" and not {"x", "q"} & set(self.wrong) and _may_move(x):
            out, memory = self.overlapping(call, x, shape, dtype)
        elif kind == "parameter" and 0 not in shape and _may_move(parameter) and parameter.size:
            out, memory = self.around(call, parameter, shape, dtype)
        else:
            out, memory = place(kind if kind in FOR_OUTPUT and fits(kind, dtype) else "plain", shape, dtype, self.rng)
        call.options["out"], call.kept = out, Kept(memory, out)

    def overlapping(
        self, call: Call, x: np.ndarray, shape: Shape, dtype: np.dtype[Any]
    ) -> tuple[np.ndarray, np.ndarray]:
        nbytes = int(np.prod(shape)) * dtype.itemsize
        memory = np.full(x.nbytes + nbytes + 128, CANARY, np.uint8)
        at, to = (int(self.rng.integers(0, memory.size - n + 1)) for n in (x.nbytes, nbytes))
        view = memory[at : at + x.nbytes].view(x.dtype).reshape(x.shape)
        view[...] = x
        call.arguments[0] = view
        out = memory[to : to + nbytes].view(dtype).reshape(shape)
        return (out[::-1] if out.ndim and self.bytes.byte() % 2 else out), memory

    def around(
        self, call: Call, parameter: np.ndarray, shape: Shape, dtype: np.dtype[Any]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Scales that lie in the memory that results are written to."""
        nbytes = int(np.prod(shape)) * dtype.itemsize
        memory = np.full(max(nbytes, parameter.nbytes) + 128, CANARY, np.uint8)
        at = int(self.rng.integers(0, memory.size - parameter.nbytes + 1))
        view = memory[at : at + parameter.nbytes].view(parameter.dtype).reshape(parameter.shape)
        view[...] = parameter
        call.arguments[1] = view
        return memory[64 : 64 + nbytes].view(dtype).reshape(shape), memory

    def wrong_out(self, call: Call, shape: Shape, dtype: np.dtype[Any]) -> Any:
        other = np.dtype(np.float64 if dtype != np.float64 else np.float32)  # no code type, which could be meant
        shapes = ((*shape, 1), (1, *shape), tuple(n + 1 for n in shape) or (1,), shape[:-1] or (3, 3))
        how = self.bytes.pick(("type", "shape", "read-only", "list", "masked", "None", "other"))
        self.blame("out", V if how in ("shape", "read-only") else T)
        if how == "list":
            return np.zeros(shape).tolist()
        if how == "masked":
            return np.ma.array(np.zeros(shape, dtype))
        if how in ("None", "other"):
            return self.bytes.pick(("out", memoryview(bytes(8)), 1.0, dtype.type(0)))
        shapes = tuple(s for s in shapes if s != shape and np.prod(s, dtype=float) < 1 << 20)
        wrong = self.bytes.pick(shapes) if how == "shape" else shape
        out, memory = place("plain", wrong, other if how == "type" else dtype, self.rng)
        out.flags.writeable = how != "read-only"
        call.kept = Kept(memory, out)
        return out


def size_of(scale: np.ndarray) -> float:
    """A scale to make values of."""
    with np.errstate(all="ignore"):
        first = float(scale.reshape(-1)[0]) if scale.size else 1.0
    return abs(first) if np.isfinite(first) and first != 0 else 1.0


def _may_move(a: Any) -> bool:
    """An array that may as well lie elsewhere."""
    return type(a) is np.ndarray and a.flags.c_contiguous and not a.dtype.hasobject


def _may_be_out(x: Any, shape: Shape, dtype: np.dtype[Any]) -> bool:
    right = isinstance(x, np.ndarray) and (x.shape, x.dtype) == (shape, dtype)
    return right and x.flags.writeable and not isinstance(x, np.ma.MaskedArray) and _distinct(x)


def _distinct(a: np.ndarray) -> bool:
    """No two elements share a byte."""
    places = np.zeros((), np.int64)
    for step, n in zip(a.strides, a.shape, strict=True):
        places = (places[..., None] + step * np.arange(n)).reshape(-1)
    every = (places.reshape(-1)[:, None] + np.arange(a.itemsize)).reshape(-1)
    return len(np.unique(every)) == every.size
