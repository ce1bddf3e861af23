"""Which cases are measured: those that are asked for, those with a budget, or those that BENCHMARKS.md shows."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from fastquant import _bench_budgets
from fastquant._bench_cases import KERNELS, SIZES, Case, cases
from fastquant._report import UserError

# Kernels that are drawn against the size of arrays, with the code types that most others have too.
DRAWN = {"quantize": "int8", "dequantize": "int8", "fake_quantize": "int8", "quantize_dynamic": "int8", "minmax": ""}
SWEEP = tuple(1 << power for power in range(8, 27, 2))
IN_CACHE = 1 << 16
SPLIT = (1 << 22, 1 << 26)  # beyond the size from which calls use several threads


def _published() -> Iterator[Case]:
    for name, kernel in KERNELS.items():
        if kernel.usual:
            yield from cases([name], SIZES)
        if name in DRAWN:
            for size in SWEEP:
                yield Case(kernel, DRAWN[name], size)
            for size in SPLIT:
                yield Case(kernel, DRAWN[name], size, 2)
        yield from _bench_budgets.cases_with_budgets(name, _bench_budgets.SIZES)
        yield from cases([name], [IN_CACHE], everything=name in DRAWN)


def _by_code(case: Case) -> tuple[int, int, int]:
    return (*case.kernel.codes, *case.kernel.more).index(case.code), case.threads, case.size


def _wanted(case: Case, args: argparse.Namespace) -> bool:
    own = (case.kernel.name, case.size, case.code, case.threads)
    asked = (args.kernel, args.size, args.code, args.threads)
    return all(not choice or mine in choice for mine, choice in zip(own, asked, strict=True))


def planned_for(args: argparse.Namespace) -> dict[str, list[Case]]:
    """The cases of each kernel, in the order in which they were asked for."""
    codes = args.code or ()
    planned: dict[str, list[Case]] = {}
    if args.publish:
        for case in sorted(dict.fromkeys(_published()), key=_by_code):
            if _wanted(case, args):
                planned.setdefault(case.kernel.name, []).append(case)
        planned = {name: planned[name] for name in KERNELS if name in planned}
    elif args.budgets:
        sizes = sorted(set(args.size or _bench_budgets.SIZES))
        names: Iterator[str] | tuple[str, ...] = args.kernel or _bench_budgets.KERNELS
        threads = sorted(set(args.threads or _bench_budgets.THREADS))
        planned = {name: list(_bench_budgets.cases_with_budgets(name, sizes, codes, threads)) for name in names}
    else:
        sizes = sorted(set(args.size or SIZES))
        everything = args.all or codes
        names = args.kernel or (name for name, kernel in KERNELS.items() if kernel.usual or everything)
        threads = sorted(set(args.threads or [1]))
        planned = {name: list(cases([name], sizes, args.all, codes, threads)) for name in names}
    planned = {name: found for name, found in planned.items() if found}
    if not planned:
        raise UserError("bench: no such case: --list tells what there is")
    return planned
