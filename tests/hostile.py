"""What the scripts of test_threads_hostile.py have in common, and what their child processes import: calls of every
kind, large enough to be split over threads and small, with the bits that each has to give."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

import fastquant as fq
from fastquant import _kernels

_kernels.keep(256 << 20, 1 << 20)  # also what results of 2 MiB leave

BIG = np.random.default_rng(0).standard_normal(1 << 21, dtype=np.float32)  # 10 MiB with its codes: some parts
SMALL = BIG[:768]
CODES = fq.quantize(BIG, 0.05)
SCALES = np.linspace(0.01, 0.1, 1024, dtype=np.float32)

SMALL_CALLS: list[Callable[[], Any]] = [
    lambda: fq.quantize(SMALL, 0.05, 3),
    lambda: fq.dequantize(CODES[:768], 0.05),
    lambda: fq.quantize_dynamic(SMALL, block_size=32, dtype="int4", packed=True),
    lambda: fq.quantize([1.0, 2.0], [0.5]),
]
LARGE_CALLS: list[Callable[[], Any]] = [
    lambda: fq.quantize(BIG, 0.05),
    lambda: fq.quantize(BIG.reshape(1024, -1), SCALES, axis=0),
    lambda: fq.quantize(BIG.reshape(-1, 1024), SCALES, axis=1),
    lambda: fq.dequantize(CODES, 0.05),
    lambda: fq.quantize_dynamic(BIG),
    lambda: fq.quantize_dynamic(BIG.reshape(1024, -1), axis=0),
    lambda: fq.minmax(BIG),
    lambda: fq.fake_quantize(BIG, 0.05),
]
CALLS = SMALL_CALLS + LARGE_CALLS
ALL = range(len(CALLS))
ONE_LARGE = (len(SMALL_CALLS),)


def bits(result: Any) -> bytes:
    found = hashlib.blake2b()
    for array in result if isinstance(result, tuple) else (result,):
        found.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8))
    return found.digest()


def _expected() -> list[bytes]:
    before = fq.get_num_threads()
    fq.set_num_threads(1)
    with fq.cpu.use("portable"):
        found = [bits(call()) for call in CALLS]
    fq.set_num_threads(before)
    return found


EXPECTED = _expected()


def check(numbers: Any = ALL) -> None:
    for number in numbers:
        assert bits(CALLS[number]()) == EXPECTED[number], number


def check_all(n: int = 0) -> int:
    """On one thread and on several; what child processes do."""
    for threads in (1, 3):
        fq.set_num_threads(threads)
        check()
    return n


def check_kept() -> None:
    """Memory that is freed is there to be used again; where no other thread frees any."""
    _kernels.keep(0, 1 << 20)
    assert _kernels.kept() == 0
    _kernels.keep(256 << 20, 1 << 20)
    check(ONE_LARGE)
    if sys.platform.startswith(("linux", "darwin", "freebsd")):
        assert _kernels.kept() == BIG.size


def child(work: Callable[[], Any]) -> int:
    """A forked process that does this and is gone; its number."""
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def ended_well(pid: int) -> None:
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


class Busy:
    """Threads in calls, while the body of a `with` statement runs."""

    def __init__(self, *works: Callable[[], Any], times: int = 2) -> None:
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(work,)) for work in (works or (check,)) * times]

    def _run(self, work: Callable[[], Any]) -> None:
        while not self.stop.is_set():
            work()

    def __enter__(self) -> Busy:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join()


def switch_targets() -> None:
    for name in fq.cpu.available():
        with fq.cpu.use(name):
            assert fq.cpu.active() in fq.cpu.available()


def switch_counts() -> None:
    for n in range(1, 9):
        fq.set_num_threads(n)
        assert 1 <= fq.get_num_threads() <= 8


def in_processes(method: str) -> None:
    """Processes of multiprocessing, made while threads are in calls."""
    import multiprocessing

    fq.set_num_threads(3)
    context = multiprocessing.get_context(method)
    with Busy(times=1), context.Pool(2) as pool:
        assert pool.map(check_all, range(4)) == [0, 1, 2, 3]
        pool.close()
        pool.join()
    check()


if __name__ == "__main__":
    in_processes(sys.argv[1])
    print("fine")
