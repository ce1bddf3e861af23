"""Run by test_leaks.py in a process of its own: many calls, and whether memory has grown.

    python leaks.py CALLS [leak | leak one]

Calls of many kinds, each made as often as the others, one kind after the other. Prints bytes of the C library's heap,
and blocks of Python's, that were in use before them and after, and what a call of each kind left behind, where that is
anything. What leaks does so however often it is called, while a cache grows once: all is done again where anything
was left, up to ROUNDS times, and the last round is printed, of each kind only what was left in every round. `leak`
leaves 16 bytes at every hundredth call, `leak one` at every call of one kind, for tests of this.
"""

from __future__ import annotations

import ctypes
import gc
import itertools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from errors_table import BASE, TABLE
from many_calls import MANY

import fastquant as fq

ROWS = np.zeros((400, 5000), np.float32)  # enough for threads; as many columns as take a room for their parameters
MANY_SCALES = np.full(5000, 0.1, np.float32)
LARGE_CODES = np.zeros(40 << 20, np.int8)
Call = Callable[[], Any]
HEAVY: dict[str, Call] = {
    "threads": lambda: fq.quantize(ROWS, 0.1),
    "threads, columns": lambda: fq.quantize(ROWS, MANY_SCALES, axis=1),
    "threads, ranges": lambda: fq.quantize_dynamic(ROWS, axis=0),
    "columns": lambda: fq.quantize(ROWS[:8], MANY_SCALES, axis=1),
    "memory that is kept": lambda: fq.requantize(LARGE_CODES, 0.1, 0, 0.2, 0),
}
SHARE, LEAST_HEAVY = 20, 25  # of as many calls as others, but so many
# Bytes: rooms for parameters, of 165 KB, of which up to eight are kept; a heap of 64 MiB, which a thread may get.
HEAVY_SLACK, HEAVY_MAPPED = 2 << 20, 256 << 20

FIELDS = ["arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"]
ROUNDS = 4
# What the interpreter keeps for itself in a round is about 1 KB and 300 blocks, however many the calls.
HEAP, BLOCKS = 6000, 1000
SLACK = 20  # bytes, and blocks, that anything may leave
WARM = 10  # calls after which caches, and what is made once, are there


class Mallinfo2(ctypes.Structure):
    """<malloc.h> of glibc 2.33 or newer."""

    _fields_ = [(name, ctypes.c_size_t) for name in FIELDS]


KEPT = ctypes.CDLL(None)
KEPT.mallinfo2.restype = Mallinfo2


def in_use() -> tuple[int, int]:
    gc.collect()
    heap = KEPT.mallinfo2()
    return heap.uordblks + heap.hblkhd, sys.getallocatedblocks()


def mapped() -> int:
    """Bytes of address space, in which pieces of kept memory are, unlike in the heap."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def wrong_call(of: str, wrong: dict[str, Any], error: type[Exception]) -> Callable[[], None]:
    function, arguments = getattr(fq, of), BASE[of] | wrong

    def call() -> None:
        try:
            function(**arguments)
        except error:
            return
        raise AssertionError(f"{of}: no error")

    return call


def one_round(calls: dict[str, Call], each: int, lost: Callable[[int], bool]) -> dict[str, Any]:
    """`lost` tells of the number of a kind whether a call of it is to leave something behind."""
    made, leaks = 0, {}
    first = before = in_use()
    for i, (name, call) in enumerate(calls.items()):
        for _ in range(each):
            if lost(i):
                KEPT.malloc(ctypes.c_size_t(16))
            call()
            made += 1
        after = in_use()
        left = [(now - was) / each for now, was in zip(after, before, strict=True)]
        if left[0] >= 8 + SLACK / each or left[1] >= 0.5 + SLACK / each:
            leaks[name] = left
        before = after
    last = before
    for name, call in HEAVY.items():
        heap, maps, times = in_use()[0], mapped(), max(each // SHARE, LEAST_HEAVY)
        for _ in range(times):
            call()
            made += 1
        left = [(in_use()[0] - heap) / times, (mapped() - maps) / times]
        if left[0] >= HEAVY_SLACK / times or left[1] >= HEAVY_MAPPED / times:
            leaks[name] = left
    return {"calls": made, "heap": last[0] - first[0], "blocks": last[1] - first[1], "leaks": leaks}


def main(total: int, leak: bool, of_one: bool) -> None:
    calls = dict(MANY)
    calls |= {f"{row[0]}, wrong {' '.join(row[1])}, {i}": wrong_call(*row[:3]) for i, row in enumerate(TABLE)}
    for call in (*calls.values(), *HEAVY.values()):
        for _ in range(WARM):
            call()
    gc.freeze()  # what is there already need not be looked at again
    made = itertools.count()
    lost = (lambda i: i == 7) if of_one else (lambda i: leak and next(made) % 100 == 0)
    suspects = {*calls, *HEAVY}
    for rounds in range(1, ROUNDS + 1):
        found = one_round(calls, total // len(calls), lost)
        found["leaks"] = {name: left for name, left in found["leaks"].items() if name in suspects}
        found["rounds"] = rounds
        suspects = {*found["leaks"]}
        clean = not suspects and found["heap"] < HEAP and found["blocks"] < BLOCKS
        if clean:
            break
    counts = {"kinds": len(calls) + len(HEAVY), "wrong": len(TABLE)}
    print(json.dumps({"clean": clean, "glibc": in_use()[0] > 0, **counts, **found}))


if __name__ == "__main__":
    main(int(sys.argv[1]), "leak" in sys.argv, "one" in sys.argv)
