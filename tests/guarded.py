"""Run by test_guard_pages.py in a process of its own: every kernel on memory that begins or ends at a page which may
not be touched. A byte read or written outside a buffer ends the process with a signal.

    python guarded.py TARGET [streaming]

Prints the number of calls.
"""

from __future__ import annotations

import ctypes
import itertools
import mmap
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from calls import out_dtype, reference, run
from spans import arithmetic, convert, extents, repack
from values import BITS, ELEMENTWISE, FLOAT_TYPES, PACKED_TYPES, REAL_TYPES, pool, real_dtype

import fastquant as fq
from fastquant import _kernels, _reference

PAGE = mmap.PAGESIZE
PROT_NONE = 0
LENGTHS = [*range(131), 255, 256, 257, 513, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE]


class Guarded:
    """Memory between two pages that fault."""

    def __init__(self, nbytes: int) -> None:
        self.size = -(-nbytes // PAGE) * PAGE
        self.map = mmap.mmap(-1, self.size + 2 * PAGE)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self.map))
        for guard in (start, start + PAGE + self.size):
            if ctypes.CDLL(None, use_errno=True).mprotect(ctypes.c_void_p(guard), ctypes.c_size_t(PAGE), PROT_NONE):
                raise OSError(ctypes.get_errno(), "mprotect")
        self.memory = np.frombuffer(self.map, np.uint8, self.size, PAGE)

    def arrays(self, dtype: np.dtype[Any], n: int) -> Iterator[np.ndarray]:
        """n elements that begin where memory begins, and n that end where it ends."""
        nbytes = n * dtype.itemsize
        yield self.memory[:nbytes].view(dtype)
        yield self.memory[self.size - nbytes :].view(dtype)

    def at_the_end(self, values: Any, dtype: Any) -> np.ndarray:
        values = np.asarray(values, dtype)
        *_, a = self.arrays(values.dtype, values.size)
        a[:] = values
        return a


def check(result: np.ndarray, expected: np.ndarray) -> None:
    if result.tobytes() != expected.tobytes():
        raise AssertionError("wrong result beside a guard page")


def calls_of_runs() -> int:
    """Public calls on one run: every kernel, real type and code type."""
    calls = 0
    sources, outs = Guarded(16 * PAGE), Guarded(16 * PAGE)
    scales, zero_points = Guarded(16 * PAGE), Guarded(16 * PAGE)

    def cases(source: np.ndarray, dtype: np.dtype[Any], lengths: list[int]) -> Iterator[tuple[Any, Any, int]]:
        for n in lengths:
            for x in sources.arrays(source.dtype, n):
                x[:] = source[:n]
                for out in outs.arrays(dtype, n):
                    yield x, out, n

    for kernel, real, code in ELEMENTWISE:
        dtype = out_dtype(kernel, code, real)
        # Two products, one product, division, far; then a real offset.
        for scale, zero_point, offset in (
            *((0.1, 3, None), (0.125, 3, None), (0.1, -700, None), (0.1, 2**20, None), (0.1, 0, 0.7)),
        ):
            if code in FLOAT_TYPES and zero_point:
                if zero_point != 3:
                    continue
                zero_point = 0
            source = pool(kernel, real, code, scale, zero_point, 3 * PAGE)
            expected = reference(kernel, source, scale, zero_point, code, real, offset=offset)
            for x, out, n in cases(source, dtype, LENGTHS if zero_point in (0, 3) else LENGTHS[::3]):
                check(run(kernel, x, scale, zero_point, code, real, offset=offset, out=out), expected[:n])
                calls += 1
        # Columns: parameters are read beside guard pages as well.
        s = np.linspace(0.05, 0.2, 3 * PAGE).astype(np.float32 if real in ("float16", "bfloat16") else real)
        z = np.arange(3 * PAGE, dtype=np.int32) % (1 if code in FLOAT_TYPES else 7)
        expected = reference(kernel, source, s, z, code, real, axis=0)
        for x, out, n in cases(source, dtype, LENGTHS):
            parameters = scales.at_the_end(s[:n], s.dtype), zero_points.at_the_end(z[:n], np.int32)
            check(run(kernel, x, *parameters, code, real, axis=0, out=out), expected[:n])
            calls += 1
        if kernel == "fake_quantize":
            expected = reference(kernel, source, 0.1, 0, code, real)
            for n in LENGTHS:
                for x in sources.arrays(source.dtype, n):
                    x[:] = source[:n]
                    check(run(kernel, x, 0.1, 0, code, real, out=x), expected[:n])
                    calls += 1
        if kernel == "quantize":
            for n in LENGTHS[1:]:
                for x in sources.arrays(source.dtype, n):
                    x[:] = source[:n]
                    fq.quantize_dynamic(x, code)
                    calls += 1
    for real in REAL_TYPES:
        source = pool("quantize", real, "int8", 0.1, 0, 3 * PAGE)
        for n in LENGTHS[1:]:
            for x in sources.arrays(source.dtype, n):
                x[:] = source[:n]
                each = fq.minmax(x, axis=0).lo
                if fq.minmax(x) != (x.min(), x.max()) or each.tobytes() != x.astype(each.dtype).tobytes():
                    raise AssertionError(f"wrong range of {n} elements beside a guard page")
                calls += 2
    return calls


def calls_at_offsets() -> int:
    """Arrays at every distance from a guard page, up to a line of a cache, and so misaligned ones; what is around an
    output stays as it was."""
    calls, untouched = 0, 0xA5
    sources, outs = Guarded(PAGE), Guarded(PAGE)

    def place(memory: Guarded, nbytes: int, distance: int, from_end: bool) -> slice:
        start = memory.size - nbytes - distance if from_end else distance
        return slice(start, start + nbytes)

    for kernel, real, code in ELEMENTWISE:
        source = pool(kernel, real, code, 0.1, 0, 257)
        expected = reference(kernel, source, 0.1, 0, code, real)
        for n, distance, from_end in itertools.product((1, 19, 65, 257), range(64), (False, True)):
            at = place(sources, source.itemsize * n, distance, from_end)
            to = place(outs, expected.itemsize * n, (7 * distance + 3) % 64, not from_end)
            sources.memory[at] = source[:n].view(np.uint8)
            outs.memory[:] = untouched
            x, out = sources.memory[at].view(source.dtype), outs.memory[to].view(expected.dtype)
            check(run(kernel, x, 0.1, 0, code, real, out=out), expected[:n])
            outs.memory[to] = untouched
            if not (outs.memory == untouched).all():
                raise AssertionError("written beside an output")
            calls += 1
    return calls


class Rows:
    """Rows of a tile at either end of guarded memory, one element apart, and what lies between them."""

    pages = 16

    def __init__(self) -> None:
        self.memory = Guarded(self.pages * PAGE)

    def arrays(self, values: np.ndarray) -> Iterator[np.ndarray]:
        rows, n = values.shape
        for a in self.memory.arrays(
            values.dtype, rows * (n + 1) - 1
        ):  # from the first row's begin to the last one's end
            tile = np.ndarray(values.shape, a.dtype, a, strides=((n + 1) * a.itemsize, a.itemsize))
            tile[...] = values
            yield tile


def calls_of_tiles(target: str, stream: bool) -> int:
    """Spans themselves, on three rows: parameters, ranges and packed codes beside guard pages as well."""
    calls = 0
    sources, outs = Rows(), Rows()
    around = [Guarded(4 * PAGE) for _ in range(3)]
    lengths = [*range(1, 68), 127, 128, 129, 255, 257, 1023, 1025]
    for kernel, real, code in ELEMENTWISE:
        source = pool(kernel, real, code, 0.1, 0, 3 * lengths[-1]).reshape(3, -1)
        for columns in (False, True):
            sets = lengths[-1] if columns else 3
            s = arithmetic(np.linspace(0.05, 0.2, sets).astype(np.float32), real)
            z = np.arange(sets, dtype=np.int32) % (1 if code in FLOAT_TYPES else 7)
            expected = reference(kernel, source, s, z, code, real, axis=int(columns))
            for n in lengths:
                m = n if columns else 3
                given = [at.at_the_end(p[:m], p.dtype) for at, p in zip(around, (s, z), strict=False)]
                for x in sources.arrays(source[:, :n]):
                    for out in outs.arrays(expected[:, :n]):
                        out[...] = np.zeros((), out.dtype)
                        convert(target, (kernel + "_columns" * columns, real, code), x, out, *given, stream=stream)
                        check(out, expected[:, :n])
                        calls += 1
    for real in REAL_TYPES:
        source = pool("quantize", real, "int8", 0.1, 0, 3 * lengths[-1]).reshape(3, -1)
        many = [source[:, : 9 * n].reshape(-1, n)[:9] for n in (8, 32, 40)]  # short rows, found together
        several = itertools.product((False, True), (source[:, :n] for n in lengths))
        for columns, given in (*several, *((False, a) for a in many)):
            for x in sources.arrays(given):
                begin = arithmetic([np.inf, -np.inf, 0], real)
                n = given.shape[1] if columns else len(given)
                lo, hi, poison = (at.at_the_end(np.full(n, v), v.dtype) for at, v in zip(around, begin, strict=True))
                extents(target, "minmax" + "_columns" * columns, real, x, lo, hi, poison, stream=stream)
                check(lo, x.astype(lo.dtype).min(axis=int(not columns)))
                check(hi, x.astype(hi.dtype).max(axis=int(not columns)))
                calls += 1
    for code in PACKED_TYPES:
        codes = np.random.default_rng(3).integers(0, 1 << BITS[code], (3, lengths[-1]), dtype=np.uint8)
        for n in lengths:
            packed = _reference.pack(np.ascontiguousarray(codes[:, :n]).view(real_dtype(code)))
            for kernel, given, expected in (("pack", codes[:, :n], packed), ("unpack", packed, codes[:, :n])):
                for x in sources.arrays(given):
                    for out in outs.arrays(np.zeros_like(expected)):
                        repack(target, kernel, code, x, out)
                        check(out, expected)
                        calls += 1
    return calls


class Together(Rows):
    """Rows that follow each other, with room for 1030 of a block of float64."""

    pages = 80

    def arrays(self, values: np.ndarray) -> Iterator[np.ndarray]:
        for a in self.memory.arrays(values.dtype, values.size):
            tile = a.reshape(values.shape)
            tile[...] = values
            yield tile


def calls_of_shared_parameters(target: str, stream: bool) -> int:
    """Parameters that are shared by columns, that change from row to row of one run, and that are prefetched around."""
    calls = 0
    sources, outs, together, apart = Rows(), Rows(), Together(), Together()
    around = [Guarded(4 * PAGE) for _ in range(3)]

    def given(n: int, real: str, code: str) -> list[np.ndarray]:
        s = arithmetic(0.05 + np.arange(n) % 29 * 0.01, real)
        z = np.arange(n, dtype=np.int32) % (1 if code in FLOAT_TYPES else 7)
        parameters = (s, z, s) if code in FLOAT_TYPES else (s, z)
        return [at.at_the_end(p, p.dtype) for at, p in zip(around, parameters, strict=False)]

    for kernel, real, code in ELEMENTWISE:
        for run_, phase, n in ((2, 1, 1), (2, 1, 67), (3, 0, 129), (40, 39, 257), (2, 0, 2051), (1100, 1099, 1101)):
            source = pool(kernel, real, code, 0.1, 0, 3 * n).reshape(3, n)
            sets = given((phase + n - 1) // run_ + 1, real, code)
            each = [p[(phase + np.arange(n)) // run_] for p in sets]
            offset = each[2] if len(each) > 2 else None
            expected = reference(kernel, source, *each[:2], code, real, axis=1, offset=offset)
            for x in sources.arrays(source):
                for out in outs.arrays(np.zeros_like(expected)):
                    span = (kernel + "_columns", real, code)
                    convert(target, span, x, out, *sets, stream=stream, run=run_, phase=phase)
                    check(out, expected)
                    calls += 1
        for rows, n in ((3, 32), (2, 96), (1030, 32), (7, 64)):
            source = pool(kernel, real, code, 0.1, 0, rows * n).reshape(rows, n)
            sets = given(rows, real, code)
            offset = sets[2] if len(sets) > 2 else None
            expected = reference(kernel, source, *sets[:2], code, real, axis=0, offset=offset)
            for x in together.arrays(source):
                for out in apart.arrays(np.zeros_like(expected)):
                    convert(target, (kernel, real, code), x, out, *sets, stream=stream)
                    check(out, expected)
                    calls += 1
    return calls


def calls_of_packed_tiles(target: str, stream: bool) -> int:
    """Conversion from and to packed codes, where rows begin and end."""
    calls = 0
    sources, outs = Rows(), Rows()
    around = [Guarded(4 * PAGE) for _ in range(2)]
    for kernel, code, real in itertools.product(("quantize", "dequantize"), PACKED_TYPES, REAL_TYPES):
        for columns, n in itertools.product((False, True), (*range(1, 68), 127, 128, 129, 255, 1023, 1025)):
            source = pool(kernel, real, code, 0.1, 0, 3 * n).reshape(3, n)
            s = arithmetic(np.linspace(0.05, 0.2, n if columns else 3), real)
            z = np.arange(s.size, dtype=np.int32) % (1 if code in FLOAT_TYPES else 3)
            given = [at.at_the_end(p, p.dtype) for at, p in zip(around, (s, z), strict=True)]
            expected = reference(kernel, source, s, z, code, real, axis=int(columns))
            if kernel == "quantize":
                expected = _reference.pack(expected)
            for x in sources.arrays(source if kernel == "quantize" else _reference.pack(source)):
                for out in outs.arrays(np.zeros_like(expected)):
                    span = (kernel + "_columns" * columns, real, code)
                    convert(target, span, x, out, *given, stream=stream, packs=8 // BITS[code])
                    check(out, expected)
                    calls += 1
    return calls


def calls_of_bare_loops() -> int:
    """Bytes in and bytes out of any number, beside guard pages on both sides."""
    calls = 0
    sources, sinks = Guarded(4 * PAGE), Guarded(4 * PAGE)
    sources.memory[:] = 1
    for n, m in itertools.product((*range(70), 127, 128, 257, 1025, PAGE + 1, 4 * PAGE), repeat=2):
        for source in sources.arrays(np.dtype(np.uint8), n):
            for sink in sinks.arrays(np.dtype(np.uint8), m):
                _kernels.bare(source, sink)
                calls += 1
    return calls


def main(target: str, streaming: bool) -> int:
    _kernels.set_stream_from(0 if streaming else sys.maxsize)
    with fq.cpu.use(target):
        tiles = (calls_of_tiles, calls_of_shared_parameters, calls_of_packed_tiles)
        return (
            calls_of_runs()
            + calls_at_offsets()
            + calls_of_bare_loops()
            + sum(calls(target, streaming) for calls in tiles)
        )


def prove_guards_work() -> None:
    """Touch one: the caller expects this process to die."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    memory = Guarded(PAGE)
    ctypes.memset(memory.memory.ctypes.data + memory.size, 1, 1)


if __name__ == "__main__":
    if sys.argv[1] == "touch":
        prove_guards_work()
    else:
        print(main(sys.argv[1], "streaming" in sys.argv))
