"""Run by test_guard_pages.py in a process of its own: every kernel on memory that begins or ends at a page which may
not be touched. A byte read or written outside a buffer ends the process with a signal.

    python guarded.py TARGET [streaming]

Prints the number of calls.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from calls import out_dtype, reference, run
from values import CODE_TYPES, KERNELS, pool

import fastquant as fq
from fastquant import _kernels

PAGE = mmap.PAGESIZE
PROT_NONE = 0
LENGTHS = [*range(131), 255, 256, 257, 513]


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


def main(target: str, streaming: bool) -> int:
    _kernels.set_stream_from(0 if streaming else 1 << 62)
    calls = 0
    lengths = [*LENGTHS, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE]
    sources, outs = Guarded(16 * PAGE), Guarded(16 * PAGE)
    scales, zero_points = Guarded(16 * PAGE), Guarded(16 * PAGE)

    def cases(source: np.ndarray, kernel: str, code: str, real: str) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
        for n in lengths:
            for x in sources.arrays(source.dtype, n):
                x[:] = source[:n]
                for out in outs.arrays(out_dtype(kernel, code, real), n):
                    yield x, out, n

    with fq.cpu.use(target):
        for real in ("float32", "float64"):
            for code in CODE_TYPES:
                for kernel in KERNELS:
                    # Two products, one product, division, far; then a real offset.
                    for scale, zero_point in ((0.1, 3), (0.125, 3), (0.1, -700), (0.1, 2**20)):
                        source = pool(kernel, real, code, scale, zero_point, 3 * PAGE)
                        expected = reference(kernel, source, scale, zero_point, code, real)
                        for x, out, n in cases(source, kernel, code, real):
                            check(run(kernel, x, scale, zero_point, code, real, out=out), expected[:n])
                            calls += 1
                    source = pool(kernel, real, code, 0.1, 0, 3 * PAGE)
                    expected = reference(kernel, source, 0.1, 0, code, real, offset=0.7)
                    for x, out, n in cases(source, kernel, code, real):
                        check(run(kernel, x, 0.1, 0, code, real, offset=0.7, out=out), expected[:n])
                        calls += 1
                    # Columns: parameters are read beside guard pages as well.
                    s = np.linspace(0.05, 0.2, 3 * PAGE).astype(real)
                    z = np.arange(3 * PAGE, dtype=np.int32) % 7
                    expected = reference(kernel, source, s, z, code, real, axis=0)
                    for x, out, n in cases(source, kernel, code, real):
                        parameters = scales.at_the_end(s[:n], real), zero_points.at_the_end(z[:n], np.int32)
                        check(run(kernel, x, *parameters, code, real, axis=0, out=out), expected[:n])
                        calls += 1
                for n in lengths[1:]:
                    for x in sources.arrays(np.dtype(real), n):
                        x[:] = source[:n] if source.dtype == real else np.arange(n)
                        fq.quantize_dynamic(x, code)
                        fq.fake_quantize(x, 0.1, dtype=code, out=x)
                        calls += 2
            source = pool("quantize", real, "int8", 0.1, 0, 3 * PAGE)
            for n in lengths[1:]:
                for x in sources.arrays(np.dtype(real), n):
                    x[:] = source[:n]
                    if fq.minmax(x) != (x.min(), x.max()) or fq.minmax(x, axis=0).lo.tobytes() != x.tobytes():
                        raise AssertionError(f"wrong range of {n} elements beside a guard page")
                    calls += 2
    return calls


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
