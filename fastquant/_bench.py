"""`fastquant bench`: every kernel against its peers, in one run, as tables and as JSON.

What is measured is in _bench_cases.py, whom it is compared with in _bench_peers.py; bench/ measures the same
with pytest-benchmark.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import os
import platform
import re
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fastquant as fq
from fastquant._bench_cases import (
    KERNELS,
    SIZES,
    Case,
    Contender,
    cases,
    contenders,
    forget_inputs,
    inputs,
    measure,
    settle_allocator,
)
from fastquant._bench_peers import DIVISION, FASTQUANT, OWN, PEERS, REFERENCE, Peer, loaded, version_of
from fastquant._files import replacing

EVEN = 1.03  # times that differ by less are called even

HOW_TO_READ = """\
call, ns/element, GB/s: fastquant's best sample; GB/s counts the input and the output once.
spread: median sample / best sample.
/copy: fastquant's time / that of np.copyto moving as many bytes in all, half of them read, half written:
it stands in for a bare loop with the same bytes in and out, whose halves are unequal. From 256 KiB on.
/division: time / that of the same call where the kernel has to divide.
/plain: time / that of quantize with one scale for all.
vs a peer: its time / fastquant's. win: fastquant is faster by 3% or more; LOSS: slower by 3% or more.
Everything runs on one thread. ONNX Runtime is called by session.run, or by run_with_iobinding for out=; no
other peer writes to memory it is given, so that the one call they have stands in both rows."""


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


def _rounds(text: str) -> int:
    if text.isdecimal() and int(text):
        return int(text)
    raise argparse.ArgumentTypeError(f"got {text!r}, expected a number >= 1")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    sizes = ", ".join(map(str, SIZES))
    sizes = f"elements, also as 64Ki or 1Mi; may be repeated [{sizes}]"
    kernels = f"{', '.join(KERNELS)}; may be repeated [all]"
    parser.add_argument("--size", action="append", type=_size, metavar="N", help=sizes)
    parser.add_argument("--kernel", action="append", choices=tuple(KERNELS), metavar="NAME", help=kernels)
    parser.add_argument(
        "--peers",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="compare with torch and ONNX Runtime, where installed, and not with NumPy alone [--peers]",
    )
    seconds = "time for each case; a large one takes more [%(default)s]"
    rounds = "rounds for each case at least [%(default)s]"
    parser.add_argument("--seconds", type=_seconds, default=0.4, metavar="S", help=seconds)
    parser.add_argument("--repeat", type=_rounds, default=3, metavar="N", help=rounds)
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
    libraries = ("fastquant-kernels", "numpy", *dict.fromkeys(peer.module for peer in PEERS if peer.module))
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "caches": _caches(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "target": fq.cpu.active(),
        "targets": fq.cpu.available(),
        "versions": {name: found for name in libraries if (found := version_of(name))},
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
    entries = contenders(case, (*OWN, *peers), inputs(case))
    measure(entries, seconds, rounds)
    for entry in entries:
        entry.names = {}  # the arrays
    return entries


def _find(entries: Sequence[Contender], peer: Peer, gives_out: bool) -> Contender | None:
    """What a peer offers for a call with or without out=: the same kind of call, or the one that it has."""
    own = [entry for entry in entries if entry.peer is peer]
    return next((entry for entry in own if entry.gives_out is gives_out), own[0] if own else None)


def _ratios(entries: Sequence[Contender], ours: Contender) -> dict[str, dict[str, float]]:
    """fastquant's time over that of its own measures, and the peers' times over fastquant's."""
    time_over, speed_over = {}, {}
    # The measures of our own allocate nothing: they stand beside the form of the call that does not either.
    best_form = ours.gives_out or not any(e.gives_out for e in entries if e.peer is FASTQUANT)
    for peer in OWN[1:] if best_form else ():
        if entry := _find(entries, peer, True):
            time_over[peer.name] = ours.best / entry.best
    for peer in PEERS:
        if entry := _find(entries, peer, ours.gives_out):
            speed_over[peer.name] = entry.best / ours.best
    return {"time_over": time_over, "speed_over": speed_over}


def figures(case: Case, entry: Contender) -> dict[str, Any]:
    """What is published of one contender, here and in bench/."""
    return {
        "name": entry.name,
        "peer": entry.peer.name,
        "out": entry.gives_out,
        "statement": entry.statement,
        "ns_per_call": entry.best * 1e9,
        "ns_per_element": entry.best * 1e9 / case.size,
        "gb_per_s": case.nbytes / entry.best / 1e9,
        "spread": entry.spread,
        "samples": len(entry.samples),
        "calls_per_sample": entry.calls_per_sample,
        "differing": entry.differing,
        "compared": entry.compared,
    }


def _record(case: Case, entries: Sequence[Contender]) -> dict[str, Any]:
    contending = []
    for entry in entries:
        contending.append(figures(case, entry))
        if entry.peer is FASTQUANT:
            contending[-1] |= _ratios(entries, entry)
    return {
        "kernel": case.kernel.name,
        "code": case.code or None,
        "elements": case.size,
        "shape": case.shape,
        "axis": case.kernel.axis,
        "bytes": case.nbytes,
        "contenders": contending,
    }


# ---- tables ----


def _duration(seconds: float) -> str:
    unit, factor = next(((u, f) for u, f in (("ns", 1e9), ("us", 1e6)) if seconds * f < 9999.5), ("ms", 1e3))
    return f"{seconds * factor:.{0 if unit == 'ns' else 1}f} {unit}"


def _significant(value: float) -> str:
    return f"{value:.0f}" if value >= 99.5 else f"{value:#.3g}".rstrip(".")


def _against(ratio: float) -> str:
    word = "win" if ratio >= EVEN else "LOSS" if ratio <= 1 / EVEN else "even"
    return f"{ratio:.{2 if ratio < 9.995 else 1 if ratio < 99.95 else 0}f} {word}"


def _table(records: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    ours = [(record, row) for record in records for row in record["contenders"] if "time_over" in row]
    own = [peer.name for peer in OWN if any(peer.name in row["time_over"] for _, row in ours)]
    peers = [peer.name for peer in PEERS if any(peer.name in row["speed_over"] for _, row in ours)]
    columns = ["codes", "elements", "out=", "call", "ns/element", "GB/s", "spread"]
    columns += [f"/{name}" for name in own] + [f"vs {name}" for name in peers]
    rows = []
    for record, row in ours:
        cells = [record["code"] or "-", f"{record['elements']:,}", "given" if row["out"] else "-"]
        cells += [_duration(row["ns_per_call"] / 1e9), _significant(row["ns_per_element"])]
        cells += [_significant(row["gb_per_s"]), f"{row['spread']:.2f}"]
        times, speeds = row["time_over"], row["speed_over"]
        cells += [f"{times[name]:.2f}" if name in times else "-" for name in own]
        cells += [_against(speeds[name]) if name in speeds else "-" for name in peers]
        rows.append(cells)
    return columns, rows


def _plain_table(columns: list[str], rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    lines = [columns, ["-" * width for width in widths], *rows]
    return "\n".join("  ".join(map(str.rjust, line, widths)) for line in lines)


def _rich_table(columns: list[str], rows: list[list[str]]) -> str:
    """For a terminal: the same table with wins and losses in colour. Raises ImportError without rich."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for column in columns:
        heading = column.replace(" ", "\n").replace("ns/", "ns/\n")
        table.add_column(Text(heading), justify="right", no_wrap=True)
    styles = {"win": "green", "LOSS": "bold red"}
    for row in rows:
        table.add_row(*(Text(cell, styles.get(cell.split(" ")[-1], "")) for cell in row))
    console = Console(file=io.StringIO(), force_terminal=True)
    unlimited = console.options.update(max_width=1000)
    console.width = console.measure(table, options=unlimited).maximum  # numbers are never cut
    with console.capture() as captured:
        console.print(table)
    return captured.get().strip("\n").rstrip()


def _render(columns: list[str], rows: list[list[str]]) -> str:
    if sys.stdout.isatty():
        with contextlib.suppress(ImportError):
            return _rich_table(columns, rows)
    return _plain_table(columns, rows)


def _agreement(records: Sequence[dict[str, Any]]) -> str:
    """How many values of each peer are not fastquant's."""
    rows = [row for record in records for row in record["contenders"] if row["differing"] is not None]
    parts = []
    for name in (DIVISION.name, *(peer.name for peer in PEERS)):
        if found := [row for row in rows if row["peer"] == name]:
            differing, compared = (sum(row[key] for row in found) for key in ("differing", "compared"))
            parts.append(f"{name} {differing:,} of {compared:,}")
    return textwrap.fill(f"Values that differ from fastquant's: {'; '.join(parts)}.", 110)


def _wrong(records: Sequence[dict[str, Any]]) -> list[str]:
    """Where fastquant is not what the specification says, or not the same in both forms."""
    ours = {FASTQUANT.name, DIVISION.name, REFERENCE.name}
    return [
        f"WRONG: {record['kernel']} {record['code'] or ''} {record['elements']}: "
        f"{row['differing']} values of {row['name']!r} are not those of fastquant"
        for record in records
        for row in record["contenders"]
        if row["peer"] in ours and row["differing"]
    ]


# ---- the whole ----


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


def run(args: argparse.Namespace) -> int:
    """Measure, and print a table for each kernel as it is done. Returns 1 if a result is wrong."""
    kernels = list(dict.fromkeys(args.kernel or KERNELS))
    sizes = sorted(set(args.size or SIZES))
    wrong: list[str] = []
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(replacing(args.json)) if args.json else None
        peers, skipped = stack.enter_context(loaded(args.peers))
        stack.callback(forget_inputs)
        stack.callback(_progress, "")
        settle_allocator()
        about = machine()
        print("\n".join([*_header(about, skipped), "", HOW_TO_READ]), flush=True)
        everything = []
        for name in kernels:
            records = []
            for case in cases([name], sizes):
                _progress(f"{name} {case.code} {case.size:,} elements")
                records.append(_record(case, measure_case(case, peers, args.seconds, args.repeat)))
            _progress("")
            print(
                "",
                KERNELS[name].title,
                "",
                _render(*_table(records)),
                "",
                _agreement(records),
                sep="\n",
                flush=True,
            )
            wrong += _wrong(records)
            everything += records
        if file is not None:
            settings = {"seconds": args.seconds, "repeat": args.repeat, "threads": 1}
            report = {"machine": about, "settings": settings, "left_out": skipped, "cases": everything}
            file.write(json.dumps(report, indent=1).encode() + b"\n")
    for line in wrong:
        print(line)
    return 1 if wrong else 0
