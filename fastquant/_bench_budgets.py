"""What fastquant's times may be, as ratios taken in one run, and whether they were.

A budget is about kernels and code types at sizes of a kind: `small` calls, whose cost is that of a call, arrays `in
cache`, or `large` ones, beyond any cache. Memory has a budget too, which the tests look at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fastquant._bench_cases import FLOAT8, Case, cases
from fastquant._bench_peers import PEERS, REFERENCE

SIZES = (768, 1 << 16, 1 << 26)
THREADS = (1, 2)

SMALL = (768, 768)
IN_CACHE = (1 << 14, 1 << 18)
LARGE = (1 << 24, 1 << 62)
NOT_SMALL = (IN_CACHE[0], LARGE[1])

# At least so many times as fast; all others are times that may be reached.
_BEST_OF = tuple(peer.name for peer in PEERS if peer is not REFERENCE)
_SPEEDS = ("torch", "ml_dtypes", "the best peer", "one thread")


@dataclass(frozen=True)
class Budget:
    what: str
    kernels: tuple[str, ...]
    codes: tuple[str, ...]
    sizes: tuple[int, int]
    measure: str  # "ns a call", a measure of our own (time over its time) or a peer (its time over ours)
    limit: float
    out: bool | None = None  # calls with out=, without, or both
    threads: int = 1

    @property
    def at_least(self) -> bool:
        return self.measure in _SPEEDS

    @property
    def text(self) -> str:
        if self.measure == "ns a call":
            return f"<= {self.limit:g} ns a call"
        if self.at_least:
            return f">= {self.limit:g} x {self.measure}"
        return f"<= {self.limit:g} of {self.measure}"

    def value(self, row: dict[str, Any]) -> float | None:
        """What a row of fastquant's says about it, None for nothing: a peer that is not there, say."""
        if self.measure == "ns a call":
            return float(row["ns_per_call"])
        if self.measure == "the best peer":
            return min((row["speed_over"][peer] for peer in _BEST_OF if peer in row["speed_over"]), default=None)
        if self.measure == "one thread":
            return 1 / row["time_over"][self.measure] if self.measure in row["time_over"] else None
        return row["speed_over" if self.at_least else "time_over"].get(self.measure)  # type: ignore[no-any-return]

    def met(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit


_GRANULAR = (
    *("axis_0", "axis_last", "axis_last_wide", "tokens"),
    *("blocks_32", "blocks_64", "blocks_128", "blocks_32_axis_0"),
)
_BOTH = ("quantize", "dequantize")

BUDGETS = (
    Budget("a small call", ("quantize",), ("int8",), SMALL, "ns a call", 250, True),
    Budget("a small call", ("quantize",), ("int8",), SMALL, "ns a call", 400, False),
    Budget("a small call", ("quantize",), ("int8",), SMALL, "torch", 6, False),  # torch has no out=
    Budget("in cache", _BOTH, ("int8", "uint8"), IN_CACHE, "the best peer", 1.1),
    Budget("in cache", ("quantize",), ("int8", "uint8"), IN_CACHE, "division", 0.65, True),
    Budget("large", _BOTH, ("int8", "uint8"), LARGE, "bare", 1.10, True),
    Budget("two threads", _BOTH, ("int8",), LARGE, "one thread", 1.4, True, threads=2),
    *(
        Budget("granularity", (f"{function}_{name}",), ("int8",), NOT_SMALL, "plain", 1.3, True)
        for function in _BOTH
        for name in _GRANULAR
    ),
    Budget("dynamic, per token", ("quantize_dynamic_tokens",), ("int8",), NOT_SMALL, "plain", 1.3),
    Budget("dynamic, per tensor", ("quantize_dynamic",), ("int8",), NOT_SMALL, "plain", 1.9),
    Budget("packed", ("quantize_packed", "dequantize_packed"), ("int4", "uint4"), LARGE, "plain", 1.0, True),
    Budget(
        "half types",
        tuple(f"{function}_{real}" for function in _BOTH for real in ("float16", "bfloat16")),
        ("int8",),
        LARGE,
        "plain",
        0.8,
        True,
    ),
    Budget("float8", _BOTH, FLOAT8, NOT_SMALL, "plain", 1.5, True),
    Budget("float8", _BOTH, FLOAT8, NOT_SMALL, "ml_dtypes", 10, False),  # nor has ml_dtypes
)

KERNELS = tuple(dict.fromkeys(name for budget in BUDGETS for name in budget.kernels))


def _about(budget: Budget, kernel: str, code: str | None, size: int, threads: int) -> bool:
    what = kernel in budget.kernels and code in budget.codes
    return what and budget.sizes[0] <= size <= budget.sizes[1] and budget.threads == threads


def cases_with_budgets(
    kernel: str, sizes: Sequence[int], codes: Sequence[str] = (), threads: Sequence[int] = THREADS
) -> Iterator[Case]:
    for case in cases([kernel], sizes, everything=True, codes=codes, threads=threads):
        if any(_about(budget, kernel, case.code, case.size, case.threads) for budget in BUDGETS):
            yield case


def verdicts(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What each budget says of each call that was measured."""
    found = []
    for budget in BUDGETS:
        for record in records:
            what = record["kernel"], record["code"], record["elements"], record["threads"]
            if not _about(budget, *what):
                continue
            for row in record["contenders"]:
                if "time_over" not in row or budget.out not in (None, row["out"]):
                    continue
                if (value := budget.value(row)) is not None:
                    found.append(
                        {
                            "budget": budget.what,
                            "kernel": record["kernel"],
                            "code": record["code"],
                            "elements": record["elements"],
                            "threads": record["threads"],
                            "out": row["out"],
                            "limit": budget.text,
                            "measured": value,
                            "met": budget.met(value),
                        }
                    )
    return found


def table_of(found: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    columns = ["budget", "kernel", "codes", "elements", "threads", "out=", "measured", "allowed", "result"]
    rows = [
        [
            row["budget"],
            row["kernel"],
            row["code"],
            f"{row['elements']:,}",
            str(row["threads"]),
            "given" if row["out"] else "-",
            f"{row['measured']:.{0 if row['measured'] >= 100 else 2}f}",
            row["limit"],
            "met" if row["met"] else "MISSED",
        ]
        for row in found
    ]
    return columns, rows
