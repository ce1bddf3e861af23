"""`fastquant bench`: every kernel against its peers, in one run, as tables and as JSON.

What is measured is in _bench_cases.py, what with in _bench_peers.py, how in _bench_timing.py, what it may cost in
_bench_budgets.py; bench/ measures the same with pytest-benchmark.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import re
import sys
from collections.abc import Sequence
from typing import Any

from fastquant import _bench_budgets, _bench_cost, _bench_plots
from fastquant._bench_cases import ALL, KERNELS, SIZES, Case, forget_inputs, inputs
from fastquant._bench_machine import header, machine
from fastquant._bench_peers import OWN, PEERS, Peer, loaded, on_threads
from fastquant._bench_selection import planned_for
from fastquant._bench_tables import agreement, record_of, render, table_of, wrong_results
from fastquant._bench_timing import REST_SECONDS, Contender, contenders, measure, settle_allocator
from fastquant._files import replacing

HOW_TO_READ = (
    "call, ns/element, GB/s: fastquant's best sample; GB/s counts the input and the output once.",
    "threads: how many each call of a row may use; without this column, one.",
    "spread: median sample / best sample; far from 1, the machine was busy. ~ marks what is above 1.5.",
    "/bare: fastquant's time / that of a loop that reads and writes as many bytes and computes nothing.",
    "/division: time / that of the same call where the kernel has to divide.",
    "/plain: time / that of the same call for contiguous float32, int8 and one scale; for quantize_dynamic, quantize.",
    "/one thread: the time under call, on several threads / that of the same call on one: 0.50 is twice as fast. "
    "Calls on less than 4 MiB in and out stay on one, and are not compared.",
    "NumPy, ml_dtypes, NumKong, gguf and sentence-transformers have one thread only.",
    "out=: a peer with one form of call, into a given array or a new one, stands in both rows, with out= and without.",
    "torch.compile and numba compile before they are timed.",
    "without out=: fastquant makes large results in memory of results that are gone, as ONNX Runtime's arena does; "
    "peers get new pages from the system each time. FASTQUANT_KEEP_BYTES=0 measures fastquant without that.",
)
IN_A_TERMINAL = "vs a peer: its time / fastquant's. win: fastquant is faster by 3% or more; LOSS: slower by 3% or more."


# ---- options ----


def _size(text: str) -> int:
    match = re.fullmatch(r"(\d+)(Ki|Mi|Gi)?", text)
    size = int(match[1]) << {None: 0, "Ki": 10, "Mi": 20, "Gi": 30}[match[2]] if match else 0
    if not size:
        raise argparse.ArgumentTypeError(f"got {text!r}, expected a number of elements such as 768 or 64Ki")
    return size


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"got {text!r}, expected seconds >= 0")


def _svg(text: str) -> str:
    if text.endswith(".svg"):
        return text
    raise argparse.ArgumentTypeError(f"got {text!r}, expected a name that ends in .svg")


def _count(text: str) -> int:
    if text.isdecimal() and int(text):
        return int(text)
    raise argparse.ArgumentTypeError(f"got {text!r}, expected a number >= 1")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    sizes = ", ".join(map(str, SIZES))
    sizes = f"elements, also as 64Ki or 1Mi; may be repeated [{sizes}]"
    usual = ", ".join(name for name, kernel in KERNELS.items() if kernel.usual)
    kernels = f"may be repeated; --list tells all [{usual}]"
    codes = f"code type: {', '.join((*ALL, 'int32'))}; may be repeated [a few of each kernel's]"
    parser.add_argument("--size", action="append", type=_size, metavar="N", help=sizes)
    parser.add_argument("--kernel", action="append", choices=tuple(KERNELS), metavar="NAME", help=kernels)
    parser.add_argument("--code", action="append", choices=(*ALL, "int32"), metavar="TYPE", help=codes)
    threads = "threads that calls may use; may be repeated, and each case is measured with each number [1]"
    parser.add_argument("--threads", action="append", type=_count, metavar="N", help=threads)
    parser.add_argument("--all", action="store_true", help="every kernel, or all code types of those with --kernel")
    parser.add_argument("--budgets", action="store_true", help="the cases that have a budget, and which are met")
    publish = "the cases that BENCHMARKS.md shows, with the sizes of its plots; with --cost all that it is made of"
    parser.add_argument("--publish", action="store_true", help=publish)
    cost = "instead of cases: calls with out= of 1, 2, 4, ... N elements, 5 bytes each [2Gi]"
    parser.add_argument("--cost", nargs="?", const=_bench_cost.MOST, type=_size, metavar="N", help=cost)
    parser.add_argument("--list", action="store_true", help="print the kernels' names and titles, and measure nothing")
    parser.add_argument(
        "--peers",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="compare with torch, ONNX Runtime and others, where installed, and not with NumPy alone [--peers]",
    )
    names = [peer.name for peer in PEERS if peer.module]
    peer = f"only with this one, and NumPy: {', '.join(names)}; may be repeated [all]"
    parser.add_argument("--peer", action="append", choices=names, metavar="NAME", help=peer)
    seconds = "time for each case; a large one takes more [%(default)s]"
    rounds = "rounds for each case at least [%(default)s]"
    parser.add_argument("--seconds", type=_seconds, default=0.4, metavar="S", help=seconds)
    parser.add_argument("--repeat", type=_count, default=3, metavar="N", help=rounds)
    parser.add_argument("--json", metavar="FILE", help="write all figures to FILE as well")
    plot = 'draw them as FILE.svg: needs matplotlib, which is in the extra "bench"'
    parser.add_argument("--plot", metavar="FILE.svg", type=_svg, help=plot)


# ---- one kernel ----


def measure_case(
    case: Case, peers: Sequence[Peer], seconds: float, rounds: int, again_if_noisy: bool = False
) -> list[Contender]:
    with on_threads(case.threads, peers):
        entries = contenders(case, (*OWN, *peers), inputs(case))
        measure(entries, seconds, rounds, REST_SECONDS if case.threads > 1 else 0.0, again_if_noisy)
    for entry in entries:
        entry.names = {}  # the arrays
    return entries


# ---- the whole ----


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


def _print_kernel(name: str, records: Sequence[dict[str, Any]]) -> None:
    parts = ["", KERNELS[name].title, "", render(*table_of(records)), "", agreement(records)]
    print(*parts, sep="\n", flush=True)


def _print_budgets(found: Sequence[dict[str, Any]]) -> None:
    met = sum(row["met"] for row in found)
    print("", "Budgets", "", render(*_bench_budgets.table_of(found)), "", f"{met} of {len(found)} met.", sep="\n")


def _measure_kernels(args: argparse.Namespace, peers: Sequence[Peer]) -> list[dict[str, Any]]:
    everything = []
    for name, found in planned_for(args).items():
        records = []
        for case in found:
            _progress(f"{name} {case.code} {case.size:,} elements {case.threads} threads")
            entries = measure_case(case, peers, args.seconds, args.repeat, again_if_noisy=args.publish)
            records.append(record_of(case, entries))
        _progress("")
        _print_kernel(name, records)
        everything += records
    return everything


def run(args: argparse.Namespace) -> int:
    """Measure, and print a table for each kernel as it is done. Returns 1 if a result is wrong."""
    if args.list:
        print("\n".join(f"{name:36}{kernel.title}" for name, kernel in KERNELS.items()))
        return 0
    planned_for(args)  # what there is not must be told before anything is loaded
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(replacing(args.json)) if args.json else None
        plot = stack.enter_context(replacing(args.plot)) if args.plot else None
        draw = _bench_plots.drawing() if args.plot else None
        stack.callback(_progress, "")
        _progress("loading what fastquant is compared with")
        peers, skipped = stack.enter_context(loaded(args.peers, args.peer or ()))
        _progress("")
        about = machine()
        print("\n".join(header(about, skipped)), flush=True)
        settings = {"seconds": args.seconds, "repeat": args.repeat}
        report: dict[str, Any] = {"machine": about, "settings": settings, "left_out": skipped, "cases": []}
        if not args.cost or args.publish:
            stack.callback(forget_inputs)
            settle_allocator()
            print("", *HOW_TO_READ, IN_A_TERMINAL, sep="\n", flush=True)
            report["cases"] = _measure_kernels(args, peers)
        if args.budgets or args.publish:
            report["budgets"] = _bench_budgets.verdicts(report["cases"])
            _print_budgets(report["budgets"])
        if args.cost:
            forget_inputs()
            report["cost"] = _bench_cost.measure(args.cost, max(args.repeat, 5))
            print("", _bench_cost.TITLE, "", render(*_bench_cost.table_of(report["cost"])), sep="\n", flush=True)
        if file is not None:
            file.write(json.dumps(report, indent=1).encode() + b"\n")
        if plot is not None and draw is not None:
            plot.write(draw(report))
    wrong = wrong_results(report["cases"])
    for line in wrong:
        print(line)
    return 1 if wrong else 0
