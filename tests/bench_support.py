"""How the tests of the benchmarks run them: nothing is measured for longer than it takes."""

from __future__ import annotations

import argparse
import itertools
import timeit
from typing import Any

import pytest

from fastquant import _bench, _bench_timing
from fastquant._bench_peers import NUMPY, Peer
from fastquant._bench_timing import Contender

QUICK = ["--size", "96", "--seconds", "0", "--repeat", "1"]


def run(*options: str) -> int:
    parser = argparse.ArgumentParser()
    _bench.add_arguments(parser)
    return _bench.run(parser.parse_args(options))


def bench(*options: str) -> int:
    return run(*QUICK, *options)


def contender(statement: str, names: dict[str, Any], peer: Peer = NUMPY) -> Contender:
    return Contender(peer, statement, False, names)


class Clock:
    """The only time that measuring knows of. It goes on while calls wait."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(_bench_timing.time, "perf_counter", self)

        def timed(timer: timeit.Timer, number: int) -> float:
            return float(timer.inner(itertools.repeat(None, number), self))  # type: ignore[attr-defined]

        monkeypatch.setattr(_bench_timing.timeit.Timer, "timeit", timed)

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> int:
        self.now += seconds
        return 0


def record(kernel: str, code: str, size: int, threads: int = 1, **row: Any) -> dict[str, Any]:
    """One made up, of one call with out=, and a peer that makes a new array."""
    timed = {"ns_per_call": 1000.0, "spread": 1.0, "differing": None, "compared": 0}
    ours = {"peer": "fastquant", "out": True, "time_over": {}, "speed_over": {}} | timed | row
    about = {"kernel": kernel, "code": code, "elements": size, "threads": threads, "bytes": 5 * size}
    return about | {"contenders": [ours, {"peer": "NumPy", "out": False} | timed]}


# A machine as fastquant._bench_machine tells of one.
ABOUT: dict[str, Any] = {
    "cpu": "a CPU",
    "cores": 2,
    "caches": {"L1d": "32K", "L2": "1M"},
    "memory": 1 << 34,
    "system": "an OS",
    "python": "3.11",
    "target": "avx2",
    "targets": ["portable", "avx2"],
    "versions": {"numpy": "2.0"},
}
