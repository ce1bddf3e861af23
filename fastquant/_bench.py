"""`fastquant bench`: every kernel against its peers, in one run, as tables and as JSON.

What is measured is in _bench_cases.py, what with in _bench_peers.py, how in _bench_timing.py, what it may cost in
_bench_budgets.py; bench/ measures the same with pytest-benchmark.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import fastquant as fq
from fastquant import _bench_budgets
from fastquant._bench_cases import ALL, KERNELS, SIZES, Case, cases, forget_inputs, inputs
from fastquant._bench_peers import OWN, PEERS, Peer, loaded, on_threads, versions
from fastquant._bench_tables import agreement, record_of, render, table_of, wrong_results
from fastquant._bench_timing import Contender, contenders, measure, settle_allocator
from fastquant._files import replacing
from fastquant._report import UserError

HOW_TO_READ = """\
call, ns/element, GB/s: fastquant's best sample; GB/s counts the input and the output once.
spread: median sample / best sample.
/bare: fastquant's time / that of a loop that reads and writes as many bytes and computes nothing.
/division: time / that of the same call where the kernel has to divide.
/plain: time / that of the same call for contiguous float32, int8 and one scale; for quantize_dynamic, quantize.
/one thread: time / that of the same call on one thread.
vs a peer: its time / fastquant's. win: fastquant is faster by 3% or more; LOSS: slower by 3% or more.
Everything runs on one thread, or on as many as --threads says; NumPy, ml_dtypes, NumKong, gguf and
sentence-transformers have one only. A peer whose one call makes a new array stands in both rows, with out= and
without. torch.compile and numba compile before they are timed."""


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


# ---- the machine ----


def _output_of(*command: str) -> str:
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    return ""


def _text_of(path: Path) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return path.read_text().strip()
    return ""


def _cpu_model() -> str:
    if match := re.search(r"^model name\s*:\s*(.+)$", _text_of(Path("/proc/cpuinfo")), re.MULTILINE):
        return match[1]
    mac = _output_of("sysctl", "-n", "machdep.cpu.brand_string") if sys.platform == "darwin" else ""
    return mac or platform.processor() or platform.machine()


def _caches() -> dict[str, str]:
    """Sizes of the caches that the first core uses, where Linux tells them."""
    found = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = (_text_of(index / name) for name in ("level", "type", "size"))
        if kind in ("Data", "Unified") and size:
            found["L1d" if level == "1" else f"L{level}"] = size
    return found


def machine() -> dict[str, Any]:
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "caches": _caches(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "target": fq.cpu.active(),
        "targets": fq.cpu.available(),
        "versions": versions(),
    }


def _header(about: dict[str, Any], skipped: Sequence[str]) -> list[str]:
    caches = ", ".join(f"{name} {size}" for name, size in about["caches"].items()) or "not known"
    versions = ", ".join(f"{name} {found}" for name, found in about["versions"].items())
    return [
        f"CPU: {about['cpu']}, {about['cores']} cores; caches of one: {caches}",
        f"target: {about['target']} (of {', '.join(about['targets'])}); {about['system']}",
        f"versions: Python {about['python']}, {versions}",
        *(f"left out: {line}" for line in skipped),
    ]


# ---- one kernel ----


def measure_case(case: Case, peers: Sequence[Peer], seconds: float, rounds: int) -> list[Contender]:
    with on_threads(case.threads, peers):
        entries = contenders(case, (*OWN, *peers), inputs(case))
        measure(entries, seconds, rounds)
    for entry in entries:
        entry.names = {}  # the arrays
    return entries


# ---- the whole ----


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


def _planned(args: argparse.Namespace) -> dict[str, list[Case]]:
    """The cases of each kernel, in the order in which they were asked for."""
    codes = args.code or ()
    if args.budgets:
        sizes = sorted(set(args.size or _bench_budgets.SIZES))
        names: Iterator[str] | Sequence[str] = args.kernel or _bench_budgets.KERNELS
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


def _print_kernel(name: str, records: Sequence[dict[str, Any]]) -> None:
    parts = ["", KERNELS[name].title, "", render(*table_of(records)), "", agreement(records)]
    print(*parts, sep="\n", flush=True)


def _print_budgets(found: Sequence[dict[str, Any]]) -> None:
    met = sum(row["met"] for row in found)
    print("", "Budgets", "", render(*_bench_budgets.table_of(found)), "", f"{met} of {len(found)} met.", sep="\n")


def run(args: argparse.Namespace) -> int:
    """Measure, and print a table for each kernel as it is done. Returns 1 if a result is wrong."""
    if args.list:
        print("\n".join(f"{name:36}{kernel.title}" for name, kernel in KERNELS.items()))
        return 0
    planned = _planned(args)
    wrong: list[str] = []
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(replacing(args.json)) if args.json else None
        peers, skipped = stack.enter_context(loaded(args.peers, args.peer or ()))
        stack.callback(forget_inputs)
        stack.callback(_progress, "")
        settle_allocator()
        about = machine()
        print("\n".join([*_header(about, skipped), "", HOW_TO_READ]), flush=True)
        everything = []
        for name, found in planned.items():
            records = []
            for case in found:
                _progress(f"{name} {case.code} {case.size:,} elements {case.threads} threads")
                records.append(record_of(case, measure_case(case, peers, args.seconds, args.repeat)))
            _progress("")
            _print_kernel(name, records)
            wrong += wrong_results(records)
            everything += records
        verdicts = _bench_budgets.verdicts(everything) if args.budgets else []
        if args.budgets:
            _print_budgets(verdicts)
        if file is not None:
            settings = {"seconds": args.seconds, "repeat": args.repeat}
            report = {"machine": about, "settings": settings, "left_out": skipped, "cases": everything}
            report |= {"budgets": verdicts} if args.budgets else {}
            file.write(json.dumps(report, indent=1).encode() + b"\n")
    for line in wrong:
        print(line)
    return 1 if wrong else 0
