"""Arguments from bytes, one at a time, right or wrong: what tests/fuzz_calls.py makes calls of.

The rules here are those of the documentation, stated again: nothing is asked of fastquant.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np
from fuzz_engine import Bytes
from matrix import CODES, dtype_of, stored
from placement import CANARY, FOR_INPUT, LAYOUTS, fits, placed
from values import SCALES, USUAL_SCALES, ZERO_POINTS

T, V = TypeError, ValueError
Wrong = dict[str, set[type[Exception]]]
Shape = tuple[int, ...]

LENGTHS = (2, 1, 3, 0, 4, 5, 7, 8, 16, 17, 31, 32, 33, 64, 65, 100, 257, 1000)
MOST = 4096  # elements
ENDLESS = (2**31, 2**40)  # lengths of axes of arrays that are empty
BLOCKS = (2, 1, 3, 4, 5, 7, 8, 16, 31, 32, 33, 64, 100, 1000, 2**31, 2**40, 2**70)
REALS_OF_SCALES = ("float32", "float64", "float16", "bfloat16", "longdouble", "int64", "uint8")
ZERO_POINT_TYPES = ("int32", "int64", "int8", "uint8", "int16", "uint16", "uint32", "uint64", "int4", "uint4", "int2")
NO_NUMBERS: tuple[Any, ...] = (
    None, "1", b"1", True, 1j, {}, object(), [[1.0], [1.0, 2.0]], np.ones((), object), np.array("2020", "M8[s]"),
    np.ones((), bool), np.ma.array(1.0), [None], np.zeros((), [("a", "f4")]),
)  # fmt: skip


class Hostile:
    """An object whose conversion raises what nobody expects."""

    def __array__(self, *args: Any, **options: Any) -> Any:
        raise RuntimeError("no array")

    def __index__(self) -> int:
        raise TypeError("no integer")


class Sub(np.ndarray):
    """A subclass, as memory maps are."""


def arithmetic(real: str) -> type[Any]:
    """The type that parameters are rounded to."""
    return np.float64 if real == "float64" else np.float32


def anything(taken: Sequence[Any] = NO_NUMBERS) -> tuple[Any, ...]:
    return (*taken, Hostile())


class Arguments:
    def __init__(self, data: bytes) -> None:
        self.bytes = Bytes(data)
        self.rng = np.random.default_rng(self.bytes.number(2))
        self.endless = False
        self.wrong: Wrong = {}
        self.traits: list[tuple[str, Any]] = []

    def note(self, what: str, trait: Any) -> Any:
        self.traits.append((what, trait))
        return trait

    def blame(self, argument: str, exception: type[Exception]) -> None:
        self.wrong.setdefault(argument, set()).add(exception)

    def bad(self, argument: str, *choices: tuple[Any, type[Exception]]) -> Any:
        value, exception = self.bytes.pick(choices)
        self.blame(argument, exception)
        return value

    # ---- shapes and layouts ----

    def shape(self, least: int = 0, endless: bool = True) -> Shape:
        ndim = max(self.bytes.pick((2, 1, 3, 0, 2, 4, 5, 1)), least)
        shape = [self.bytes.pick(LENGTHS) for _ in range(ndim)]
        while np.prod([n or 1 for n in shape]) > MOST:
            shape = [max(n // 2, 1) for n in shape]
        if 0 in shape and endless and self.bytes.seldom():
            self.endless = True
            shape[self.bytes.byte() % ndim] = self.bytes.pick(ENDLESS)
            shape[self.bytes.byte() % ndim] = 0
        self.note("shape", "empty" if 0 in shape else ndim)
        return tuple(shape)

    def laid(self, a: np.ndarray, what: str) -> np.ndarray:
        """a in some layout. Some show other values: the caller takes what there is."""
        layout = self.note(what, self.bytes.pick((*FOR_INPUT, "any strides", "subclass", "base")))
        if max(a.shape, default=0) > 1 << 20 or layout == "base" or not (layout in LAYOUTS or a.size):
            return a
        if layout == "any strides":
            return self.any_strides(a.shape, a.dtype, a.reshape(-1).view(np.uint8))[0]
        if layout == "subclass":
            return a.view(Sub)
        return placed(a, layout if fits(layout, a.dtype) else "plain", self.rng)

    def any_strides(self, shape: Shape, dtype: np.dtype[Any], content: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Elements that may share bytes with each other, and the memory, with known bytes around them."""
        steps = [int(self.rng.integers(-2 * dtype.itemsize - 1, 2 * dtype.itemsize + 2)) for _ in shape]
        reach = [step * (n - 1) for step, n in zip(steps, shape, strict=True)]
        below, above = -sum(min(r, 0) for r in reach), sum(max(r, 0) for r in reach) + dtype.itemsize
        memory = np.full(below + above + 64, CANARY, np.uint8)
        memory[32:-32] = np.resize(content, below + above)
        return np.ndarray(shape, dtype, memory, 32 + below, tuple(steps)), memory

    # ---- axis and block_size ----

    def granularity(self, shape: Shape, options: dict[str, Any], blocks: bool = True) -> Shape | None:
        """The shape of arrays of parameters; None where that is wrong. Sets the options axis and block_size."""
        ndim, b = len(shape), self.bytes
        kind = self.note(
            "granularity", b.pick(("tensor", "axis", "block", "axes", "tensor", "axis", "block", "tensor"))
        )
        if b.seldom():
            return self._wrong_granularity(ndim, options, blocks)
        if kind == "tensor" or ndim == 0 or (kind == "block" and not blocks):
            if b.seldom():
                options["axis"] = ()
            return ()
        axis = b.byte() % (2 * ndim) - ndim
        if kind == "axes":
            axes = self.rng.permutation(ndim)[: 1 + b.byte() % ndim]
            options["axis"] = tuple(int(a) - ndim * int(self.rng.integers(2)) for a in axes)
            return tuple(shape[a] for a in axes)
        options["axis"] = b.pick((axis, np.int64(axis), (axis,), np.array(axis), axis))
        if kind == "axis":
            return (shape[axis],)
        if axis == -1 and b.byte() % 2:
            del options["axis"]
        block = b.pick(BLOCKS)
        options["block_size"] = np.int64(block) if block < 2**62 and b.seldom() else block
        return tuple(-(-n // block) if i == axis % ndim else n for i, n in enumerate(shape))

    def _wrong_granularity(self, ndim: int, options: dict[str, Any], blocks: bool) -> None:
        if blocks and self.bytes.byte() % 2:
            options["block_size"] = self.bad(
                "block_size", (0, V), (-1, V), (-(2**70), V), (2.0, T), (True, T), ("2", T), ((2,), T), (Hostile(), T)
            )
            return
        problems: list[tuple[Any, type[Exception]]] = [
            (ndim, V), (-ndim - 1, V), (10**30, V), (0.0, T), ("0", T), (True, T), ([0], T), ((0, None), T),
            ((ndim,), V), (Hostile(), T), (np.array([0, 1]), T),
        ]  # fmt: skip
        options["axis"] = self.bad("axis", *problems, *([((0, -ndim), V)] if ndim else []))

    # ---- parameters ----

    def parameter_shape(self, argument: str, grid: Shape | None, has_axes: bool) -> Shape:
        b = self.bytes
        # The reference makes a list of all indices of an axis, also of one without end.
        if grid is None or np.prod(grid, dtype=float) > MOST or self.endless:
            return ()
        if b.seldom():
            shape = b.pick(((*grid, 1), (1, *grid), (*grid[:-1], 2 * (grid or (1,))[-1] + 1), grid[1:]))
            if shape != () and shape != (grid if has_axes else (1,)):
                self.blame(argument, V)
            return shape
        if not has_axes:
            return b.pick(((), (), (), (1,)))
        return () if b.byte() % 4 == 3 else grid

    def formed(self, values: np.ndarray, name: str, types: Sequence[str]) -> tuple[Any, np.ndarray]:
        """As a caller may give it: and as the array that it stands for."""
        b = self.bytes
        with np.errstate(all="ignore"):
            a = values.astype(dtype_of(b.pick(types)))
        form = self.note(name, b.pick(("own", "own", "own", "scalar", "list", "own")))
        if (form == "list" and a.size) or (form == "scalar" and a.ndim == 0 and b.byte() % 2):
            python = a.astype(np.float64 if a.dtype.kind not in "iu" or a.dtype == np.float32 else a.dtype).tolist()
            return python, np.asarray(python)
        if a.ndim == 0:
            return (a[()] if form == "scalar" else a), a
        a = self.laid(a, f"{name} layout")
        return a, np.array(a)

    def scale(self, argument: str, grid: Shape | None, has_axes: bool, real: str) -> tuple[Any, np.ndarray]:
        b = self.bytes
        if b.seldom():
            value = b.pick(anything())
            self.blame(argument, T)
            return value, np.ones(())
        shape = self.parameter_shape(argument, grid, has_axes)
        base = b.pick((*USUAL_SCALES[:2], 1.0, *SCALES))
        if b.seldom():
            base = b.pick((1e-300, 1e300, 1e39, 1e-46, 5e-324, 1.7e308))
        with np.errstate(over="ignore"):
            values = np.full(shape, base) * (1 + self.rng.integers(0, 8, shape) / 8 if shape else 1)
        if b.seldom() and values.size:
            values.reshape(-1)[self.rng.integers(values.size)] = b.pick((0.0, -1.0, np.nan, np.inf, -0.0))
        given, a = self.formed(values, argument, REALS_OF_SCALES)
        with np.errstate(all="ignore"):
            rounded = a.astype(arithmetic(real))
        if not ((rounded > 0) & np.isfinite(rounded)).all():
            self.blame(argument, V)
        return given, a

    def zero_point(self, argument: str, grid: Shape | None, has_axes: bool, code: str) -> tuple[Any, np.ndarray]:
        """Whether it goes with the code type, the caller finds out."""
        b = self.bytes
        is_float = code.startswith("float")
        if b.seldom():
            value = b.pick((0.5, np.float32(1), np.zeros((), dtype_of("bfloat16")), *anything()))
            self.blame(argument, T)
            return value, np.zeros((), np.int32)
        shape = self.parameter_shape(argument, grid, has_axes)
        base = 0 if is_float and not b.seldom() else b.pick((0, 1, -3, 128, *ZERO_POINTS))
        if b.seldom():
            base = b.pick((2**31, -(2**31) - 1, 2**40, 2**62))
        values = np.full(shape, base, np.int64)
        values[...] += 0 if base == 0 or abs(base) > 2**30 else self.rng.integers(0, 3, shape)
        if is_float and b.byte() % 4 == 1:
            return self.formed(values.astype(np.float32), argument, [code])
        return self.formed(values, argument, ZERO_POINT_TYPES)

    def offset(self, grid: Shape | None, has_axes: bool, real: str, zero_point: np.ndarray) -> tuple[Any, Any]:
        b = self.bytes
        if b.byte() % 4 != 3:
            return None, None
        if b.seldom():
            self.blame("offset", T)
            return b.pick(anything()[1:]), None
        shape = self.parameter_shape("offset", grid, has_axes)
        values = np.full(shape, b.pick((0.5, -0.3, 0.0, -0.0, 1e-45, 1e30, -3.4e38, np.nan, np.inf, 1e39)))
        given, a = self.formed(values, "offset", REALS_OF_SCALES[:5])
        with np.errstate(all="ignore"):
            finite = np.isfinite(a.astype(arithmetic(real))).all()
        if not finite or (zero_point.astype(np.float64) != 0).any():
            self.blame("offset", V)
        return given, a

    # ---- types and flags ----

    def type_name(self, name: str, options: dict[str, Any], default: str | None, names: Sequence[str]) -> None:
        """The option dtype, in one of its forms."""
        b = self.bytes
        dtype = dtype_of(name)
        if b.seldom():
            none = ((None, T),) if default is not None else (("", V),)
            wrong = (("int32", V), ("int3", V), ("O", V), (4, T), ([8], T), (object, V), (("int8", 2), V))
            text = "".join(b.pick("iufbc8421,()<>|=[]V SUOM?{}:") for _ in range(b.byte() % 12))
            options["dtype"] = self.bad(
                "dtype", *none, *wrong, (Hostile, V), (dtype_of("float8_e8m0fnu"), V), (text, V)
            )
            if options["dtype"] == text and _names(text) in names:
                self.wrong.pop("dtype")
                options["dtype"] = name
            return
        if name == default and b.byte() % 2:
            return
        options["dtype"] = b.pick((name, dtype, dtype.type, dtype.newbyteorder() if dtype.isbuiltin == 1 else name))

    def flag(self, argument: str, usual: bool) -> bool | Any:
        if self.bytes.seldom():
            return self.bad(argument, (1, T), (0, T), (None, T), ("no", T), (np.int8(1), T), (np.array(True), T))
        value = usual if self.bytes.byte() % 3 else not usual
        return np.bool_(value) if self.bytes.seldom() else value

    # ---- values ----

    def reals(self, shape: Shape, real: str, size: float) -> np.ndarray:
        b, n = self.bytes, int(np.prod(shape)) if 0 not in shape else 0
        dtype = dtype_of(real)
        kind = self.note("values", b.pick(("normal", "bits", "ties", "special", "one", "finite", "finite", "wide")))
        with np.errstate(all="ignore"):
            if kind == "bits":
                x = self.rng.integers(0, 256, n * dtype.itemsize).astype(np.uint8).view(dtype)
            elif kind == "special":
                values = [np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, 3.4e38, 1e308, -1e308, size, 127.5 * size]
                x = self.rng.choice(np.array(values), n).astype(dtype)
            elif kind == "one":
                x = np.full(n, b.pick((0.0, -0.0, size, -size, 5e-324, 1e38, -65504.0))).astype(dtype)
            elif kind == "ties":
                x = ((self.rng.integers(-300, 300, n) + 0.5) * size).astype(dtype)
            elif kind == "wide":
                x = (self.rng.choice([-1, 1], n) * np.exp2(self.rng.uniform(-149, 127, n))).astype(dtype)
            else:
                x = (self.rng.normal(size=n) * min(size, 1e30) * 60).astype(dtype)
                x = np.where(np.isfinite(x), x, np.zeros((), dtype)).astype(dtype)
        return x.reshape(shape)

    def codes(self, shape: Shape, code: str) -> np.ndarray:
        """Any bits, also those that do not count."""
        n = int(np.prod(shape)) if 0 not in shape else 0
        content = self.rng.integers(0, 256, n * dtype_of(code).itemsize).astype(np.uint8)
        return content.view(stored(code) if code in CODES else np.int32).view(dtype_of(code)).reshape(shape)


def _names(text: str) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return str(np.dtype(text).newbyteorder("=").name)
    except Exception:  # of any kind: the text is anything
        return ""


def bad_array(b: Bytes, shape: Shape, fine: bool) -> Any:
    """What is no array of reals, and none of codes either. fine: an array of integers is wrong too."""
    arrays = [np.zeros(shape, t) for t in ("?", "c8", "O", "M8[s]", "i8", "u4", ml_dtypes.float8_e8m0fnu)]
    arrays += [np.ma.array(np.zeros(shape, np.float32), mask=True)] + ([np.zeros(shape, np.int8)] if fine else [])
    return b.pick((*arrays, None, "text", b"", {}, Hostile(), [True], ["a"], [[1.0], [1.0, 2.0]], 1j))
