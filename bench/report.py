"""Write BENCHMARKS.md, bench/plots and bench/figures.json from what a run measured.

    fastquant bench --publish --cost --json run.json
    python bench/report.py run.json               # without a file: from bench/figures.json, once more

bench/figures.json is what the page needs of a run, in few bytes: with it anybody can write the page again.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fastquant import _bench_budgets, _bench_cost, _bench_plots
from fastquant._bench import HOW_TO_READ
from fastquant._bench_cases import KERNELS
from fastquant._bench_machine import header
from fastquant._bench_peers import FASTQUANT, OWN, PEERS, REFERENCE
from fastquant._bench_tables import EVEN, agreement, table_of

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "BENCHMARKS.md"
FIGURES = ROOT / "bench" / "figures.json"
PLOTS = ROOT / "bench" / "plots"

WHY = "[docs/limits.md](docs/limits.md) tells why the others are not"

Report = dict[str, Any]

CAPTIONS = {
    "roofline": "Speed against size: bytes in and out over the time of a call, on one thread. The dotted line is a "
    "loop that reads and writes as many bytes and computes nothing.",
    "peers": "Times of the peers over fastquant's with `out=`, each in the form that it has. Left of the line, ringed "
    "in red: a peer is faster.",
    "cost": "What a call costs, by the number of elements: a fixed part, then a straight line.",
}


# ---- what is kept of a run ----


def _rounded(value: Any) -> Any:
    """Four digits of every measured number."""
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _statements(cases: Sequence[Report]) -> list[Report]:
    """What was timed of each peer, and of which kernels: a statement is the same at all sizes."""
    kernels: dict[tuple[str, str], dict[str, None]] = {}
    for case in cases:
        for row in case["contenders"]:
            kernels.setdefault((row["peer"], row["statement"]), {})[case["kernel"]] = None
    return [{"peer": peer, "statement": text, "kernels": [*names]} for (peer, text), names in kernels.items()]


def kept(report: Report) -> Report:
    row_keys = ("peer", "out", "ns_per_call", "spread", "differing", "compared", "time_over", "speed_over")
    case_keys = ("kernel", "code", "elements", "threads", "bytes")
    cases = [
        {key: case[key] for key in case_keys}
        | {"contenders": [{key: row[key] for key in row_keys if key in row} for row in case["contenders"]]}
        for case in report["cases"]
    ]
    others = ("machine", "settings", "left_out", "budgets", "cost", "statements")
    if all("statement" in row for case in report["cases"] for row in case["contenders"]):  # not in what was kept before
        report = report | {"statements": _statements(report["cases"])}
    found: Report = _rounded({key: report[key] for key in others if key in report} | {"cases": cases})
    return found


def dumped(report: Report) -> str:
    """JSON with a line for each case, so that changes can be read."""

    def dense(value: Any) -> str:
        return json.dumps(value, separators=(",", ":"))

    parts = []
    for key, value in report.items():
        lines = ",\n".join(map(dense, value)) if isinstance(value, list) and value else None
        parts.append(f"{dense(key)}:" + (f"[\n{lines}\n]" if lines else dense(value)))
    return "{" + ",\n".join(parts) + "}\n"


# ---- the page ----


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)


def _cell(text: str) -> str:
    """As tables of the command line have it; losses in bold, and no words."""
    number, _, word = text.partition(" ")
    return {"LOSS": f"**{number}**", "win": number, "even": number}.get(word, text)


def _ours(cases: Sequence[Report]) -> Iterator[tuple[Report, Report]]:
    yield from ((case, row) for case in cases for row in case["contenders"] if "speed_over" in row)


def _what(case: Report, row: Report) -> str:
    makes = "" if KERNELS[case["kernel"]].function == "minmax" else ", `out=` given" if row["out"] else ", new output"
    threads = f", {case['threads']} threads" if case["threads"] > 1 else ""
    return f"{case['kernel']} {case['code'] or ''}".strip() + f", {case['elements']:,} elements{makes}{threads}"


# Arrays of these sizes are told apart: the cost of a call, of a kernel, and of memory.
_SIZES = {"to 4Ki": (0, 1 << 12), "to 1Mi": (1 << 12, 1 << 20), "beyond": (1 << 20, math.inf)}


def _mean(ratios: Sequence[float]) -> str:
    """The geometric one."""
    return f"{math.exp(sum(map(math.log, ratios)) / len(ratios)):.2f}" if ratios else "-"


def _counts(case: Report, row: Report, peer: str) -> bool:
    """Whether a ratio is counted: once for each form that a peer has, though one may stand in both of fastquant's rows.

    Where they have no form in common (`minmax` never has out=) there is one row.
    """
    rows = case["contenders"]
    ours, its = ({each["out"] for each in rows if each["peer"] == name} for name in (FASTQUANT.name, peer))
    return row["out"] in its or not its & ours


# The specification is no competitor: it comes last.
_IN_SUMMARY = (*(peer.name for peer in PEERS if peer is not REFERENCE), REFERENCE.name)


def _summary(cases: Sequence[Report]) -> Iterator[str]:
    rows = []
    for peer in _IN_SUMMARY:
        found = [
            (case["elements"], row["speed_over"][peer])
            for case, row in _ours(cases)
            if peer in row["speed_over"] and _counts(case, row, peer)
        ]
        if found:
            ratios = [ratio for _, ratio in found]
            won, lost = sum(ratio >= EVEN for ratio in ratios), sum(ratio <= 1 / EVEN for ratio in ratios)
            counts = (len(ratios), won, len(ratios) - won - lost, lost)
            means = [_mean([ratio for n, ratio in found if over < n <= most]) for over, most in _SIZES.values()]
            rows.append([peer, *map(str, counts), f"{min(ratios):.2f}", _mean(ratios), *means])
    columns = ["against", "calls", "won", "even", "lost", "least", "mean", *_SIZES]
    yield from _table(columns, rows)


def _losses(cases: Sequence[Report]) -> Iterator[str]:
    for case, row in _ours(cases):
        faster = sorted((ratio, name) for name, ratio in row["speed_over"].items() if ratio <= 1 / EVEN)
        if faster:
            yield f"- {_what(case, row)}: " + ", ".join(f"{name} {ratio:.2f}" for ratio, name in faster)


def _plot(kind: str) -> Iterator[str]:
    yield from ("", f"![{kind}](bench/plots/{kind}.svg)", "", CAPTIONS[kind])


def _cost(found: Sequence[Report]) -> Iterator[str]:
    yield from ("", "## Cost by the number of elements", "", f"{_bench_cost.TITLE}.")
    yield from _plot("cost")
    columns, rows = _bench_cost.table_of(found)
    yield from ("", *_table(columns, [row for i, row in enumerate(rows) if i % 4 == 0 or i == len(rows) - 1]))


def _timed(statements: Sequence[Report]) -> Iterator[str]:
    yield from ("", "## What was timed", "")
    yield "Statements in Python, with the kernels that they are timed for. The names in them are set before: `x`, `q`,"
    yield "`out` and the parameters in [_bench_cases.py](fastquant/_bench_cases.py), a peer's own where it is defined,"
    yield "in the modules that [_bench_peers.py](fastquant/_bench_peers.py) lists."
    for peer in (FASTQUANT.name, *_IN_SUMMARY, *(own.name for own in OWN if own is not FASTQUANT)):
        if found := [each for each in statements if each["peer"] == peer]:
            yield from ("", f"<details><summary>{peer}</summary>", "")
            yield from (f"- `{each['statement']}`: {', '.join(each['kernels'])}" for each in found)
            yield from ("", "</details>")


def _contents(lines: Sequence[str]) -> Iterator[str]:
    """Links to the sections, as GitHub names them."""
    titles = [line.removeprefix("## ") for line in lines if line.startswith("## ")]
    yield " | ".join(f"[{title}](#{title.lower().replace(' ', '-')})" for title in titles)


def page(report: Report) -> str:
    """All of BENCHMARKS.md."""
    lines = list(_sections(report))
    top = [
        "# Benchmarks",
        "",
        "Written by `python bench/report.py` from one run of `fastquant bench --publish --cost`; do not edit.",
        "[bench/README.md](bench/README.md) tells how to measure and what the numbers mean.",
        "",
        *_contents(lines),
    ]
    return "\n".join([*top, *lines]) + "\n"


def _sections(report: Report) -> Iterator[str]:
    cases = report["cases"]
    kinds = _bench_plots.kinds(report)
    yield from (
        "",
        "## The machine",
        "",
        *(f"- {line}" for line in header(report["machine"], report["left_out"])),
        "",
        "## How to read the tables",
        "",
        *(f"- {line}" for line in HOW_TO_READ),
        "- Peers stand with the time that they take over fastquant's. **Bold**: the peer is faster by 3% or more.",
        "- The summary counts a peer that has one form of call once for each case, beside fastquant's of that form.",
        "",
        "## Summary",
        "",
        "How many times as long a peer takes: the least, and geometric means of all and by the number of elements.",
        "`reference` is the specification.",
        "",
    )
    for threads in sorted({case["threads"] for case in cases}):
        some = [case for case in cases if case["threads"] == threads]
        yield from (f"On {threads} thread{'s' * (threads > 1)}, {len(some)} cases:", "", *_summary(some), "")
    yield agreement(cases).replace("\n", " ")
    for kind in ("roofline", "peers"):
        yield from _plot(kind) if kind in kinds else ()
    yield from ("", "## Where a peer is faster", "")
    yield from ("Of the calls on this page. The number is its time over fastquant's.", "")
    yield from list(_losses(cases)) or ["Nowhere in this run."]
    if report.get("budgets"):
        met = sum(row["met"] for row in report["budgets"])
        columns, rows = _bench_budgets.table_of(report["budgets"])
        rows = [[f"**{cell}**" if cell == "MISSED" else cell for cell in row] for row in rows]
        yield from ("", "## Budgets", "", f"{met} of {len(rows)} are met; {WHY}.", "", *_table(columns, rows))
    if "cost" in kinds:
        yield from _cost(report["cost"])
    if report.get("statements"):
        yield from _timed(report["statements"])
    yield from ("", "## Every call")
    for name in dict.fromkeys(case["kernel"] for case in cases):
        columns, rows = table_of([case for case in cases if case["kernel"] == name])
        columns = [column.removeprefix("vs ") for column in columns]
        yield from ("", f"### {KERNELS[name].title}", "", *_table(columns, [list(map(_cell, row)) for row in rows]))


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", type=Path, default=FIGURES, help="what --json wrote [bench/figures.json]")
    report: Report = json.loads(parser.parse_args(argv).run.read_text(encoding="utf-8"))
    report = kept(report)
    draw = _bench_plots.drawing()
    PLOTS.mkdir(exist_ok=True)
    for kind in _bench_plots.kinds(report):
        (PLOTS / f"{kind}.svg").write_bytes(draw(report, [kind]))
    FIGURES.write_text(dumped(report), encoding="utf-8", newline="\n")
    PAGE.write_text(page(report), encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
