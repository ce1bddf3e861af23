"""The figures of the benchmarks, and their tables."""

from __future__ import annotations

import contextlib
import io
import sys
import textwrap
from collections.abc import Sequence
from typing import Any

from fastquant._bench_cases import Case
from fastquant._bench_own import DIVISION, FASTQUANT, REFERENCE, Peer
from fastquant._bench_peers import OWN, PEERS
from fastquant._bench_timing import NOISY, Contender

EVEN = 1.03  # times that differ by less are called even

# ---- figures ----


def _find(entries: Sequence[Contender], peer: Peer, gives_out: bool) -> Contender | None:
    """What a peer offers for a call with or without out=: the same kind of call, or the one that it has."""
    own = [entry for entry in entries if entry.peer is peer]
    return next((entry for entry in own if entry.gives_out is gives_out), own[0] if own else None)


def _ratios(entries: Sequence[Contender], ours: Contender) -> dict[str, dict[str, float]]:
    """fastquant's time over that of its own measures, and the peers' times over fastquant's."""
    time_over, speed_over = {}, {}
    # Measures of our own that allocate nothing stand beside the form of the call that does not either.
    best_form = ours.gives_out or not any(e.gives_out for e in entries if e.peer is FASTQUANT)
    for peer in OWN[1:]:
        entry = _find(entries, peer, ours.gives_out)
        if entry and (best_form or entry.gives_out is ours.gives_out):
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


def record_of(case: Case, entries: Sequence[Contender]) -> dict[str, Any]:
    contending = []
    for entry in entries:
        contending.append(figures(case, entry))
        if entry.peer is FASTQUANT:
            contending[-1] |= _ratios(entries, entry)
    kernel = case.kernel
    return {
        "kernel": kernel.name,
        "code": case.code or None,
        "elements": case.size,
        "threads": case.threads,
        "shape": case.shape,
        "axis": kernel.axis,
        "block_size": kernel.block,
        "real": kernel.real,
        "layout": kernel.layout,
        "packed": kernel.packed,
        "bytes": case.nbytes,
        "contenders": contending,
    }


# ---- tables ----


def duration(seconds: float) -> str:
    unit, factor = next(((u, f) for u, f in (("ns", 1e9), ("us", 1e6)) if seconds * f < 9999.5), ("ms", 1e3))
    return f"{seconds * factor:.{0 if unit == 'ns' else 1}f} {unit}"


def _significant(value: float) -> str:
    return f"{value:.0f}" if value >= 99.5 else f"{value:#.3g}".rstrip(".")


def against(ratio: float) -> str:
    word = "win" if ratio >= EVEN else "LOSS" if ratio <= 1 / EVEN else "even"
    return f"{ratio:.{2 if ratio < 9.995 else 1 if ratio < 99.95 else 0}f} {word}"


def table_of(records: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    ours = [(record, row) for record in records for row in record["contenders"] if "time_over" in row]
    own = [peer.name for peer in OWN if any(peer.name in row["time_over"] for _, row in ours)]
    peers = [peer.name for peer in PEERS if any(peer.name in row["speed_over"] for _, row in ours)]
    counts = any(record["threads"] > 1 for record in records)
    columns = ["codes", "elements", *["threads"] * counts, "out=", "call", "ns/element", "GB/s", "spread"]
    columns += [f"/{name}" for name in own] + [f"vs {name}" for name in peers]
    rows = []
    for record, row in ours:
        cells = [record["code"] or "-", f"{record['elements']:,}"]
        cells += [str(record["threads"])] * counts + ["given" if row["out"] else "-"]
        cells += [duration(row["ns_per_call"] / 1e9), _significant(row["ns_per_call"] / record["elements"])]
        cells += [
            _significant(record["bytes"] / row["ns_per_call"]),
            f"{row['spread']:.2f}" + "~" * (row["spread"] > NOISY),
        ]
        times, speeds = row["time_over"], row["speed_over"]
        cells += [f"{times[name]:.2f}" if name in times else "-" for name in own]
        cells += [against(speeds[name]) if name in speeds else "-" for name in peers]
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
    styles = {"win": "green", "LOSS": "bold red", "met": "green", "MISSED": "bold red"}
    for row in rows:
        table.add_row(*(Text(cell, styles.get(cell.split(" ")[-1], "")) for cell in row))
    console = Console(file=io.StringIO(), force_terminal=True)
    unlimited = console.options.update(max_width=1000)
    console.width = console.measure(table, options=unlimited).maximum  # numbers are never cut
    with console.capture() as captured:
        console.print(table)
    return captured.get().strip("\n").rstrip()


def render(columns: list[str], rows: list[list[str]]) -> str:
    if sys.stdout.isatty():
        with contextlib.suppress(ImportError):
            return _rich_table(columns, rows)
    return _plain_table(columns, rows)


def agreement(records: Sequence[dict[str, Any]]) -> str:
    """How many values of each peer are not fastquant's."""
    rows = [row for record in records for row in record["contenders"] if row["differing"] is not None]
    parts = []
    for name in (DIVISION.name, *(peer.name for peer in PEERS)):
        if found := [row for row in rows if row["peer"] == name]:
            differing, compared = (sum(row[key] for row in found) for key in ("differing", "compared"))
            parts.append(f"{name} {differing:,} of {compared:,}")
    return textwrap.fill(f"Values that differ from fastquant's: {'; '.join(parts)}.", 110)


def wrong_results(records: Sequence[dict[str, Any]]) -> list[str]:
    """Where fastquant is not what the specification says, or not the same in both forms."""
    ours = {FASTQUANT.name, DIVISION.name, REFERENCE.name}
    return [
        f"WRONG: {record['kernel']} {record['code'] or ''} {record['elements']}: "
        f"{row['differing']} values of {row['name']!r} are not those of fastquant"
        for record in records
        for row in record["contenders"]
        if row["peer"] in ours and row["differing"]
    ]
