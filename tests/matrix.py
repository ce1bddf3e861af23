"""One random call of a kernel, compared with the reference bit for bit: a Case says everything that it depends on."""

from __future__ import annotations

import sys
import zlib
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
from many_threads import on_threads
from placement import CANARY, FOR_INPUT, FOR_OUTPUT, LAYOUTS, Kept, fits, place, placed, plain
from values import REAL_TYPES, assert_same, real_dtype

import fastquant as fq
from fastquant import _kernels, _reference

TYPES = {row[0]: row for row in _kernels.code_types()}
CODES = tuple(name for name in TYPES if name != "int32")
PACKED = tuple(name for name in CODES if TYPES[name][3] < 5)
GRANULARITIES = ("tensor", "axis", "axes", "block")
# Kernel -> real types and code types that it comes in; the code type of requantize is the new one.
KERNELS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "quantize": (REAL_TYPES, CODES),
    "dequantize": (REAL_TYPES, (*CODES, "int32")),
    "fake_quantize": (REAL_TYPES, CODES),
    "quantize_dynamic": (REAL_TYPES, CODES),
    "minmax": (REAL_TYPES, ("int8",)),
    "requantize": (("float32",), CODES),
    "pack": (("float32",), PACKED),
    "unpack": (("float32",), PACKED),
}
# Where results go: to a new array, an array of some layout, memory that the input shares, or the input itself.
OUTPUTS = ("new", *FOR_OUTPUT, "overlapping", "in place")
LENGTHS = (1, 2, 3, 5, 7, 8, 31, 33, 64, 70, 130)


def dtype_of(name: str) -> np.dtype[Any]:
    return np.dtype(getattr(ml_dtypes, name, name))


def stored(name: str) -> np.dtype[Any]:
    """Unsigned integers that are as long as codes of the type."""
    return np.dtype(f"u{dtype_of(name).itemsize}")


def number_per_byte(code: str) -> int:
    return 8 // TYPES[code][3] if code in PACKED else 1


def packed_shape(shape: tuple[int, ...], code: str) -> tuple[int, ...]:
    return (*shape[:-1], -(-shape[-1] // number_per_byte(code)))


class Case(NamedTuple):
    kernel: str
    real: str
    code: str
    granularity: str
    target: str
    streaming: bool
    threads: int
    source: str  # layout of the input
    output: str  # one of OUTPUTS
    number: int  # all that is random follows from this and the above

    def check(self) -> None:
        usual = fq.cpu._last_level_cache()
        _kernels.set_stream_from(0 if self.streaming else sys.maxsize)
        try:
            with fq.cpu.use(self.target), on_threads(self.threads), np.errstate(all="ignore"):
                Trial(self).run()
        except Exception as error:
            raise AssertionError(
                f"{error}\n  PYTHONPATH=tests python -c 'import matrix; matrix.{self}.check()'"
            ) from error
        finally:
            _kernels.set_stream_from(usual)

    def __str__(self) -> str:
        return repr(self).replace("'", '"')


def cases(kernel: str, real: str, granularity: str, target: str, each: int) -> list[Case]:
    """So many of every code type; layouts in turn."""
    found: list[Case] = []
    for number in range(each):
        for code in KERNELS[kernel][1]:
            k = len(found)
            source = FOR_INPUT[k % len(FOR_INPUT)]
            output = OUTPUTS[(k + k // len(FOR_INPUT)) % len(OUTPUTS)]
            threads = (1, 2, 1, 5)[k % 4]
            found.append(Case(kernel, real, code, granularity, target, k % 3 == 0, threads, source, output, number))
    return found


class Trial:
    """The arguments of a case, made from its random numbers."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.rng = np.random.default_rng(zlib.crc32(repr(case).encode()))
        self.is_float = TYPES[case.code][4]
        self.shape = self.random_shape()
        self.where, self.grid = self.random_grid()

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def pick(self, *values: Any, p: list[float] | None = None) -> Any:
        return values[self.rng.choice(len(values), p=p)]

    # ---- shapes and granularity ----

    def random_shape(self) -> tuple[int, ...]:
        least = 0 if self.case.granularity == "tensor" and self.case.kernel not in ("pack", "unpack") else 1
        kind = self.rng.random()
        if kind < 0.15:
            return (int(self.rng.integers(1, 3000)),)
        if kind < 0.4:
            return (int(self.rng.integers(1, 40)), int(self.rng.integers(1, 300)))
        shape = tuple(int(n) for n in self.rng.choice(LENGTHS, self.rng.integers(least, 5)))
        while np.prod(shape) > 20_000:
            shape = tuple(max(1, n // 2) for n in shape)
        if shape and self.chance(0.03):
            empty = self.rng.integers(len(shape))
            shape = (*shape[:empty], 0, *shape[empty + 1 :])
        return shape

    def random_grid(self) -> tuple[dict[str, Any], tuple[int, ...]]:
        """The options axis and block_size, and the shape of parameters."""
        ndim, case = len(self.shape), self.case
        axis = int(self.rng.integers(-ndim, ndim)) if ndim else 0
        if case.granularity == "tensor" or case.kernel in ("pack", "unpack"):
            return {}, ()
        if case.granularity == "axis" or (case.granularity == "block" and case.kernel == "requantize"):
            return {"axis": axis}, (self.shape[axis],)
        if case.granularity == "axes":
            axes = tuple(int(a) for a in self.rng.permutation(ndim)[: self.rng.integers(1, ndim + 1)])
            given = tuple(a - ndim if self.chance(0.3) else a for a in axes)
            return {"axis": given}, tuple(self.shape[a] for a in axes)
        block = int(self.pick(1, 2, 3, 5, 16, 31, 32, 33, 64, 128, 1000))
        grid = list(self.shape)
        grid[axis] = -(-grid[axis] // block)
        if axis == -1 and self.chance(0.5):
            return {"block_size": block}, tuple(grid)
        return {"axis": (axis,) if self.chance(0.2) else axis, "block_size": block}, tuple(grid)

    # ---- values ----

    def scales(self) -> np.ndarray:
        size = self.pick(1e-3, 1.0, 0.1, 2.0**-110, 1e10, 300.0, p=[0.2, 0.4, 0.2, 0.05, 0.05, 0.1])
        if self.chance(0.2):
            return np.asarray(np.ldexp(1.0, self.rng.integers(-5, 6, self.grid)), np.float32)
        return np.asarray(self.rng.uniform(0.5, 2.0, self.grid) * size, np.float32)

    def zero_points(self, is_float: bool) -> np.ndarray:
        far = self.pick(0, 3, 200, 20_000, 2**31 - 1, p=[0.25, 0.3, 0.25, 0.1, 0.1])
        return np.asarray(self.rng.integers(-far, far + 1, self.grid) * (not is_float), np.int32)

    def one_or_all(self, a: np.ndarray) -> Any:
        """A parameter for each, or the first of them for all; in one of the forms that a caller may give it."""
        if a.size and self.chance(0.25):
            one = a.reshape(-1)[0]
            return self.pick(one, one.item(), np.asarray(one))
        if a.ndim and self.chance(0.2):
            return placed(a, self.pick("fortran", "strided", "negative", "byte-swapped"), self.rng)
        return a.astype(np.float64 if a.dtype.kind == "f" else np.int64) if self.chance(0.2) else a

    def reals(self, scale: Any, finite: bool) -> np.ndarray:
        size = float(np.asarray(scale).reshape(-1)[0]) if np.size(scale) else 1.0
        highest = TYPES[self.case.code][2]
        x = self.rng.uniform(-1.3 * highest, 1.3 * highest, self.shape) * size
        if self.chance(0.4):
            x = self.rng.normal(size=self.shape) * size * highest / 3
        elif self.chance(0.3):  # multiples of half a step: ties, where the scale is a power of two
            x = np.rint(2 * x / size) / 2 * size
        x = np.clip(x, -6e4, 6e4) if finite and self.case.real == "float16" else x
        if not finite and self.chance(0.4):
            special = [np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, 3e38, -3e38, size * highest]
            x = np.where(self.rng.random(self.shape) < 0.1, self.rng.choice(special, self.shape), x)
        elif finite and self.chance(0.2):
            x = np.where(self.rng.random(self.shape) < 0.7, self.pick(0.0, -0.0), x)
        return np.asarray(x, real_dtype(self.case.real))

    def codes(self, code: str, shape: tuple[int, ...]) -> np.ndarray:
        """Any codes: also with bits set that do not count, where the type has such bits and the input is one."""
        if code == "int32":
            return np.asarray(self.rng.integers(-(2**31), 2**31, shape) >> self.rng.integers(0, 31), np.int32)
        bits = 8 * dtype_of(code).itemsize
        return np.asarray(self.rng.integers(0, 1 << bits, shape), stored(code)).view(dtype_of(code))

    # ---- calls ----

    def run(self) -> None:
        getattr(self, f"run_{self.case.kernel}")()

    def affine(self, is_float: bool) -> tuple[Any, Any, dict[str, Any]]:
        scale, zero_point, options = self.one_or_all(self.scales()), self.one_or_all(self.zero_points(is_float)), {}
        if self.chance(0.15):
            zero_point, options = (
                0,
                {"offset": self.one_or_all(np.asarray(self.rng.normal(size=self.grid), np.float32))},
            )
        return scale, zero_point, options

    def packs(self) -> bool:
        return self.case.code in PACKED and len(self.shape) > 0 and self.chance(0.5)

    def run_quantize(self) -> None:
        scale, zero_point, options = self.affine(self.is_float)
        options = {**options, **self.where, "dtype": self.case.code}
        if self.is_float and self.chance(0.4):
            options["saturate"] = False
        if self.packs():
            options["packed"] = True
        self.compare(self.reals(scale, False), (scale, zero_point), options)

    def run_fake_quantize(self) -> None:
        scale, zero_point, options = self.affine(self.is_float)
        options = {**options, **self.where, "dtype": self.case.code}
        if self.is_float and self.chance(0.4):
            options["saturate"] = False
        self.compare(self.reals(scale, False), (scale, zero_point), options)

    def run_dequantize(self) -> None:
        scale, zero_point, options = self.affine(self.is_float)
        options = {**options, **self.where, "dtype": self.case.real}
        if not self.packs():
            self.compare(self.codes(self.case.code, self.shape), (scale, zero_point), options)
            return
        q = _reference.unpack(self.codes("uint8", packed_shape(self.shape, self.case.code)), self.case.code, self.shape)
        # Only an out tells that the last byte is not full.
        needs_out = self.shape[-1] % number_per_byte(self.case.code) != 0
        expected = _reference.dequantize(q, scale, zero_point, **options)
        self.compare(
            _reference.pack(q), (scale, zero_point), {**options, "packed": self.case.code}, expected, needs_out
        )

    def run_quantize_dynamic(self) -> None:
        options = dict(self.where)
        if not self.is_float:
            options.update(symmetric=self.chance(0.5), narrow_range=self.chance(0.3))
        if self.packs():
            options["packed"] = True
        self.compare(self.reals(1.0, True), (self.case.code,), options)

    def run_minmax(self) -> None:
        self.compare(self.reals(1.0, True), (), self.where, takes_out=False)

    def run_requantize(self) -> None:
        old = str(self.pick("int32", *CODES, p=[0.4, *[0.6 / len(CODES)] * len(CODES)]))
        scales = self.scales(), np.asarray(self.scales() * self.pick(0.5, 1.0, 3.0), np.float32)
        before = self.one_or_all(scales[0]), self.one_or_all(self.zero_points(TYPES[old][4]))
        after = self.one_or_all(scales[1]), self.one_or_all(self.zero_points(self.is_float))
        q = self.codes(old, self.shape)
        self.compare(q, (*before, *after), {**self.where, "dtype": self.case.code})

    def run_pack(self) -> None:
        self.compare(self.codes(self.case.code, self.shape), (), {}, takes_out=False)

    def run_unpack(self) -> None:
        p = self.codes("uint8", packed_shape(self.shape, self.case.code))
        self.compare(p, (self.case.code, self.shape), {}, takes_out=False)

    # ---- comparison ----

    def compare(
        self, source: np.ndarray, arguments: tuple[Any, ...], options: dict[str, Any], expected: Any = None,
        needs_out: bool = False, takes_out: bool = True,
    ) -> None:  # fmt: skip
        """Call the kernel on the source in its layout; expected: None to ask the reference."""
        case = self.case
        kernel = getattr(fq, case.kernel)
        layout = case.source if fits(case.source, source.dtype) else "plain"
        x = placed(source, layout, self.rng)
        if LAYOUTS[layout].broadcast:
            expected = None  # another array now
        a = plain(x)
        if expected is None:
            expected = self.reference(a, arguments, options)
        results = expected if isinstance(expected, tuple) else (expected,)
        output = case.output if takes_out and isinstance(results[0], np.ndarray) else "new"
        if output == "new" and needs_out:
            output = "plain"
        x, out, memory = self.memory(x, output, results[0])
        options = options if out is None else {**options, "out": out}
        kept, before = Kept(memory, out), a.tobytes()
        if expected is ValueError:
            self.refused(kernel, (x, *arguments), options, kept)
            return
        got = kernel(x, *arguments, **options)
        gots = got if isinstance(got, tuple) else (got,)
        assert len(gots) == len(results)
        if out is not None:
            assert gots[0] is out, "another array than out"
        for g, e in zip(gots, results, strict=True):
            assert_same(plain(np.asarray(g)), np.asarray(e))
        assert out is not None or not isinstance(got, np.ndarray) or got.flags.c_contiguous
        if out is not None:
            assert kept.unchanged_around(), "bytes around out have changed"
        if out is not x:
            assert plain(x).tobytes() == before, "the input has changed"

    def reference(self, a: np.ndarray, arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Results, or ValueError where there are none."""
        if "packed" in options and options["packed"] is not True:
            options = {**options, "shape": self.shape}
        try:
            return getattr(_reference, self.case.kernel)(a, *arguments, **options)
        except ValueError:
            if self.case.kernel not in ("minmax", "quantize_dynamic") or a.size > 0:
                raise
            return ValueError

    def memory(self, x: np.ndarray, output: str, like: Any) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
        """The input, `out` and the memory that out lies in."""
        if like is ValueError or output == "new":
            return x, None, np.zeros(0, np.uint8)
        same = x.dtype.newbyteorder("=") == like.dtype and x.shape == like.shape and x.flags.writeable
        if output == "in place" and self.case.kernel in ("fake_quantize", "requantize") and same:
            return x, x, np.zeros(0, np.uint8)
        if output in ("in place", "overlapping"):
            return self.overlapping(x, like)
        layout = output if fits(output, like.dtype) else "plain"
        out, memory = place(layout, like.shape, like.dtype, self.rng)
        return x, out, memory

    def overlapping(self, x: np.ndarray, like: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A contiguous input and an output, forwards or backwards, at random places of the same memory."""
        memory = np.full(x.nbytes + like.nbytes + 128, CANARY, np.uint8)
        views = []
        for a, dtype in ((x, x.dtype.newbyteorder("=")), (like, like.dtype)):
            at = int(self.rng.integers(0, memory.size - a.nbytes + 1))
            at -= 0 if self.chance(0.2) else at % dtype.itemsize
            view = memory[at : at + a.nbytes].view(dtype).reshape(a.shape)
            views.append(view[::-1] if view.ndim and self.chance(0.3) else view)
        views[0][...] = x
        return views[0], views[1], memory

    def refused(self, kernel: Any, arguments: tuple[Any, ...], options: dict[str, Any], kept: Kept) -> None:
        try:
            kernel(*arguments, **options)
        except ValueError:
            assert kept.unchanged(), "changed by a call that was refused"
        else:
            raise AssertionError("not refused")
