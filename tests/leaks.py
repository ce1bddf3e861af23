"""Run by test_leaks.py in a process of its own: many calls, and whether memory has grown.

    python leaks.py CALLS [leak]

Prints bytes of the C library's heap, and blocks of Python's, that were in use after a tenth of the calls and are after
all of them. `leak` leaves 16 bytes at every hundredth call, for a test of this.
"""

from __future__ import annotations

import ctypes
import gc
import itertools
import sys
from collections.abc import Callable
from typing import Any

from errors_table import BASE, TABLE
from many_calls import MANY

import fastquant as fq

FIELDS = ["arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"]


class Mallinfo2(ctypes.Structure):
    """<malloc.h> of glibc 2.33 or newer."""

    _fields_ = [(name, ctypes.c_size_t) for name in FIELDS]


def in_use() -> tuple[int, int]:
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = Mallinfo2
    gc.collect()
    heap = mallinfo2()
    return heap.uordblks + heap.hblkhd, sys.getallocatedblocks()


def wrong_call(of: str, wrong: dict[str, Any], error: type[Exception]) -> Callable[[], None]:
    function, arguments = getattr(fq, of), BASE[of] | wrong

    def call() -> None:
        try:
            function(**arguments)
        except error:
            return
        raise AssertionError(f"{of}: no error")

    return call


def main(total: int, leak: bool) -> None:
    calls = itertools.cycle([*MANY.values(), *(wrong_call(*row[:3]) for row in TABLE)])
    kept = ctypes.CDLL(None)
    before = (0, 0)
    for i in range(total):
        if i == total // 10:
            before = in_use()
        if leak and i % 100 == 0:
            kept.malloc(ctypes.c_size_t(16))
        next(calls)()
    print(*before, *in_use())


if __name__ == "__main__":
    main(int(sys.argv[1]), "leak" in sys.argv)
