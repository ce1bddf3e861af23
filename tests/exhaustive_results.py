"""What runs of `exhaustive.py` have found: a line of JSON for each case, and the tables made of them."""

from __future__ import annotations

import datetime
import hashlib
import json
import platform
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import oracle
from exhaustive_cases import CODES, KERNELS, PAIRS, TO, Case, cases

import fastquant as fq
from fastquant import _kernels
from fastquant._bench_machine import cpu_model, revision

ROOT = Path(__file__).resolve().parents[1]
READ = (*CODES, "int32")
Results = list[dict[str, Any]]


def identity() -> str:
    """Of the kernels and of the oracle: results of others are not these."""
    both = Path(_kernels.__file__).read_bytes() + oracle.SOURCE.read_bytes()
    return hashlib.sha256(both).hexdigest()[:16]


def read_results(path: Path) -> Results:
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    found = [json.loads(line) for line in lines if line.endswith("}")]  # an interrupt may have cut one
    current = identity()
    return [line for line in found if line["identity"] == current]


def is_done(case: Case, step: int, targets: tuple[str, ...], kernels: tuple[str, ...], results: Results) -> bool:
    """Has all of that been tried, with this step between inputs?"""
    wanted = {(kernel, target) for kernel in case.kernels if kernel in kernels for target in targets}
    for line in results:
        if Case(*line["case"]) == case and line["step"] == step:
            wanted -= {(kernel, target) for kernel, target, _ in line["wrong"]}
    return not wanted


def combinations(results: Results) -> dict[tuple[int, str, str, int, str], tuple[int, int]]:
    """Inputs and how many results were wrong, by kernel, real type, code type, pair and target."""
    best: dict[tuple[int, str, str, int, str], tuple[int, int]] = {}  # of two runs, that of more inputs
    for line in results:
        case = Case(*line["case"])
        for kernel, target, wrong in line["wrong"]:
            key = KERNELS.index(kernel), case.real, case.code, case.pair, target
            best[key] = max(best.get(key, (0, 0)), (line["inputs"], wrong))
    return best


def table(results: Results) -> tuple[list[str], int, int]:
    """Lines of Markdown, how many results they count and how many of these are wrong."""
    best = combinations(results)
    targets = [target for target in fq.cpu.available() if any(key[-1] == target for key in best)]
    rows: dict[tuple[int, int, int], dict[str, list[tuple[int, int]]]] = {}
    for (kernel, real, code, _, target), found in best.items():
        row = rows.setdefault((kernel, TO.index(real), READ.index(code)), {})
        row.setdefault(target, []).append(found)
    columns = ["kernel", "reals", "codes", "pairs", "inputs for each", *targets]
    lines = [f"| {' | '.join(columns)} |", "| --- | --- | --- | ---: | ---: |" + " ---: |" * len(targets)]
    for (kernel, real, code), by_target in sorted(rows.items()):
        inputs = sorted({inputs for found in by_target.values() for inputs, _ in found})
        pairs = min(map(len, by_target.values()))
        wrong = [f"{sum(w for _, w in by_target[target]):,}" if target in by_target else "" for target in targets]
        each = " to ".join(f"{n:,}" for n in (inputs if len(inputs) < 3 else (inputs[0], inputs[-1])))
        lines.append(f"| {' | '.join([f'`{KERNELS[kernel]}`', TO[real], READ[code], str(pairs), each, *wrong])} |")
    return lines, sum(inputs for inputs, _ in best.values()), sum(wrong for _, wrong in best.values())


# ---- the document ----


def first_line(*command: str) -> str:
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return (done.stdout.splitlines() or [""])[0]


def coverage(results: Results) -> str:
    """How much of all that there is to try has been tried in full."""
    found = combinations(results)
    everything = [
        ((KERNELS.index(kernel), case.real, case.code, case.pair, target), case.patterns)
        for case in cases()
        for kernel in case.kernels
        for target in fq.cpu.available()
    ]
    full = sum(found.get(key, (0, 0))[0] == patterns for key, patterns in everything)
    if full == len(everything):
        return "Every input of every combination of kernel, types, pair and target has been tried."
    return (
        f"**This is not all**: of {len(everything):,} combinations of kernel, types, pair and target {full:,} have "
        f"been tried with every input, {len(found) - full:,} with some."
    )


HEAD = """\
# Every input

What `python -m tests.exhaustive` has found. It puts every float32, float16 and bfloat16 number and every code through
the kernels, on every target of the machine, and compares the results bit for bit with those of
[tests/c/oracle.c](../tests/c/oracle.c), which computes the README's formulas in integer arithmetic and shares no code
with the library. `--help` tells how it is run; `python -m tests.exhaustive --write` writes this file.
"""

LEGEND = """\
The columns of targets count results that differ. *inputs for each* is how many were tried with each pair of scale and
zero point: 4,294,967,296 are all of float32 and of int32, 65,536 all of 16 bits, 256 all bytes. Types of fewer than 8
bits are read from a byte whose upper bits do not count, and all 256 are tried. Where it is fewer than all, patterns of
bits were tried at even distances.
"""


def document(results: Results) -> str:
    lines, tried, wrong = table(results)
    cc = oracle.compiler()
    pairs = [f"{scale.hex()} and {zero_point(-128, 127)}" for scale, zero_point in PAIRS]
    seconds = round(sum(line["seconds"] for line in results))
    facts = {
        "date": f"{datetime.date.today()}",
        "revision": f"{revision() or 'unknown'} (kernels and oracle: {identity()})",
        "CPU": cpu_model(),
        "oracle compiled by": f"{first_line(cc, '--version') if cc else 'unknown'}, `{' '.join(oracle.FLAGS)}`",
        "Python, NumPy": f"{platform.python_version()}, {np.__version__}",
        "time": f"{datetime.timedelta(seconds=seconds)}",
        "scales and zero points, for int8": "; ".join(pairs) + ". Of float codes the zero point is 0",
    }
    parts = [HEAD, *(f"- {name}: {value}" for name, value in facts.items()), ""]
    parts += [f"**{tried:,} results compared, {wrong:,} of them differ.** {coverage(results)}", ""]
    firsts = [f"- {text}" for line in results for text in line["first"]]
    parts += [*firsts, ""] if firsts else []
    return "\n".join([*parts, LEGEND, *lines, ""])
