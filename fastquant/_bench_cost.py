"""How long a call takes for any number of elements: with `out=`, on one thread, on memory that is allocated once."""

from __future__ import annotations

import math
import timeit
from collections.abc import Sequence
from typing import Any

import numpy as np

import fastquant as fq
from fastquant._bench_cases import aligned
from fastquant._bench_tables import duration

MOST = 1 << 31
TITLE = "Cost: one thread, float32 and int8, out= given; fake_quantize in place, dequantize to where x was"

_SAMPLE_SECONDS = 0.002
_STATEMENTS = {
    "quantize": "fq.quantize(x, 0.03, out=q)",
    "fake_quantize": "fq.fake_quantize(x, 0.03, out=x)",
    "minmax": "fq.minmax(x)",
    "dequantize": "fq.dequantize(q, 0.03, out=x)",
}


def sizes(most: int) -> list[int]:
    """1, 2, 4, ..., and the last of them."""
    return [*(1 << power for power in range((most - 1).bit_length())), most]


def _memory(most: int) -> tuple[Any, Any]:
    """Normally distributed numbers, the first million over and over, and codes; every page is there."""
    x, q = aligned((most,), np.float32), aligned((most,), np.int8)
    head = min(most, 1 << 20)
    x[:head] = np.random.default_rng(0).standard_normal(head, dtype=np.float32)
    for start in range(head, most, head):
        part = x[start : start + head]
        part[:] = x[: part.size]
    q.fill(1)
    return x, q


def measure(most: int, rounds: int) -> list[dict[str, Any]]:
    """For each number of elements and each function the best of some rounds.

    A round is all numbers and all functions, so that who holds up the machine for a while holds up one sample of each.
    Two functions write to x: multiples of the scale, which stay what they are.
    """
    x, q = _memory(most)
    threads = fq.get_num_threads()
    fq.set_num_threads(1)
    try:
        timers = {
            (name, size): timeit.Timer(statement, globals={"fq": fq, "x": x[:size], "q": q[:size]})
            for size in sizes(most)
            for name, statement in _STATEMENTS.items()
        }
        calls = {key: _calls(timer) for key, timer in timers.items()}
        best = dict.fromkeys(timers, math.inf)
        for _ in range(rounds):
            for key, timer in timers.items():
                best[key] = min(best[key], timer.timeit(calls[key]) / calls[key])
    finally:
        fq.set_num_threads(threads)
    return [{"function": name, "elements": size, "ns_per_call": best[name, size] * 1e9} for name, size in timers]


def _calls(timer: timeit.Timer) -> int:
    first = min(timer.timeit(1) for _ in range(2))
    return max(1, min(10_000, round(_SAMPLE_SECONDS / first)))


def table_of(found: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    functions = list(_STATEMENTS)
    times = {(row["function"], row["elements"]): row["ns_per_call"] for row in found}
    rows = [
        [f"{size:,}"]
        + [duration(times[name, size] / 1e9) for name in functions]
        + [f"{times[name, size] / size:.3g}" for name in functions]
        for size in dict.fromkeys(row["elements"] for row in found)
    ]
    return ["elements", *functions, *(f"{name} ns/element" for name in functions)], rows
