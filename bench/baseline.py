"""fastquant's speed over that of its reference in NumPy, as it once was, and whether it still is.

The two are timed in turns in one process. A ratio that seems to have fallen is measured again, and is told only if it
stays low. Ratios are of a kind of CPU: NumPy's loops and these need not gain the same from another one.
"""

from __future__ import annotations

import json
import math
import platform
import time
import timeit
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import fastquant as fq
from fastquant._bench_cases import KERNELS, Case, cases, inputs
from fastquant._bench_machine import cpu_kind
from fastquant._bench_peers import FASTQUANT, REFERENCE
from fastquant._bench_timing import SAMPLE_SECONDS, calls_per_sample, contenders

STORE = Path(__file__).with_name("baseline.json")
SIZES = (768, 1 << 16, 1 << 20)
ENOUGH = 2 / 3  # of what is stored
AGAIN = 3  # measurements more before a fall is told
ROUNDS = 7
YARDSTICK = 1 << 16  # elements of the reference at most
RUNS = 5  # of which the lowest ratio is stored

# The time that a thread had, where that is told finely enough for a sample.
_FINE = time.get_clock_info("thread_time").resolution <= SAMPLE_SECONDS / 20
CLOCK = time.thread_time if _FINE else time.perf_counter

# Beside the usual kernels one of each kind.
_ALSO = (
    ("quantize", "float8_e4m3fn"),
    ("dequantize", "float8_e4m3fn"),
    ("quantize_packed", "int4"),
    ("dequantize_packed", "int4"),
    ("quantize_float16", "int8"),
    ("dequantize_bfloat16", "int8"),
    ("quantize_dynamic_tokens", "int8"),
    ("requantize", "int8"),
)


def checked() -> Iterator[Case]:
    yield from cases([name for name, kernel in KERNELS.items() if kernel.usual], SIZES)
    for name, code in _ALSO:
        yield from cases([name], SIZES, codes=[code])


def name_of(case: Case) -> str:
    return " ".join(filter(None, (case.kernel.name, case.code, str(case.size))))


def speed(case: Case) -> float:
    """How many times as fast an element is as the reference's, with out= where there is one.

    The best of some samples of each, taken in turns, of the time that this thread had a CPU: what else runs on the
    machine delays a long call more often than a short one. Of large arrays the reference takes a part only, since its
    temporaries would measure how fast the system hands out pages.
    """
    part = Case(case.kernel, case.code, min(case.size, YARDSTICK))
    best = {}
    timers = {}
    for whole, peer in ((case, FASTQUANT), (part, REFERENCE)):
        entry = contenders(whole, (peer,), inputs(whole))[-1]
        entry.evaluate()
        timer = timeit.Timer(entry.statement, timer=CLOCK, globals=entry.names)
        timers[peer.name] = timer, calls_per_sample(timer, 0.0, SAMPLE_SECONDS), whole.size
        best[peer.name] = math.inf
    for _ in range(ROUNDS):
        for name, (timer, calls, size) in timers.items():
            timer.timeit(1)  # the other one has had the caches
            best[name] = min(best[name], timer.timeit(calls) / calls / size)
    return best[REFERENCE.name] / best[FASTQUANT.name]


def lasting_fall(stored: float, measured: Callable[[], float]) -> list[float]:
    """The ratios that were found, if every one is too low; nothing as soon as one is not."""
    found: list[float] = []
    for _ in range(1 + AGAIN):
        found.append(measured())
        if found[-1] >= ENOUGH * stored:
            return []
    return found


def complaint(target: str, name: str, stored: float, found: list[float]) -> str:
    tried = ", ".join(f"{ratio:.3g}" for ratio in found)
    return f"{name} on {target}: {stored:.3g} times as fast as the reference is stored, and now it is {tried}"


# ---- the file ----


def key(target: str) -> str:
    """Under which the ratios of a target on this machine are stored. In small calls most of the time is that of the
    interpreter and of NumPy."""
    minor = [".".join(v.split(".")[:2]) for v in (platform.python_version(), np.__version__)]
    return f"{cpu_kind()}, Python {minor[0]}, NumPy {minor[1]}: {target}"


def stored(path: Path = STORE) -> dict[str, dict[str, float]]:
    """Ratios by key and name; nothing where there is no file."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def not_stored(known: dict[str, dict[str, float]]) -> list[str]:
    """Keys of this machine's targets that nothing is stored of."""
    return [key(target) for target in fq.cpu.available() if key(target) not in known]


def store(found: dict[str, dict[str, float]], path: Path = STORE) -> None:
    """Write what was found for some keys and cases; all others stay as they are."""
    merged: dict[str, Any] = stored(path)
    for each, ratios in found.items():
        found_here = {name: float(f"{ratio:.3g}") for name, ratio in ratios.items()}
        merged[each] = merged.get(each, {}) | found_here
    path.write_text(json.dumps(dict(sorted(merged.items())), indent=1) + "\n", encoding="utf-8", newline="\n")
