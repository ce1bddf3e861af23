"""Every float32, float16 and bfloat16 number and every code, through quantize, dequantize and fake_quantize on every
target, against an oracle that shares no code with the library (tests/c/oracle.c).

    python -m tests.exhaustive                  in the repository, with fastquant installed by pip install -e
    python -m tests.exhaustive --code int8 --real float32 --target avx2
    python -m tests.exhaustive --stride 4099    quick: every 4099th pattern of 32 bits
    python -m tests.exhaustive --write          all that has been found so far, to docs/exhaustive.md

Each combination of types is tried with 7 pairs of a scale and a zero point, float codes with saturate=False too. All of
it takes about 5 hours of one core of an AMD EPYC, most of them in the oracle: one to two minutes for each of the 182
combinations of a pair and types of 32 bits. Results are written as they come, and a run that was interrupted goes on
where it was, unless the kernels have changed. Ends with 1 if anything differs.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import datetime
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))  # as pytest has it: for python -m tests.exhaustive

import oracle
from exhaustive_cases import KERNELS, PAIRS, TO, Case, Found, cases, part, prepare
from exhaustive_results import READ, ROOT, document, identity, is_done, read_results, table

import fastquant as fq

DOCUMENT = ROOT / "docs" / "exhaustive.md"
RESULTS = ROOT / "build" / "exhaustive.jsonl"
PART = 1 << 23  # inputs given to a process at a time: some tenths of a second


class Progress:
    """A bar on a terminal, else a line for each case."""

    def __init__(self, total: int) -> None:
        self.total, self.done, self.start, self.shown = total, 0, time.monotonic(), 0.0
        self.bar = sys.stderr.isatty()

    def add(self, inputs: int, what: str, last: bool) -> None:
        self.done += inputs
        now, finished = time.monotonic(), self.done == self.total
        if not (last or (self.bar and now - self.shown > 0.2)):
            return
        self.shown, share = now, self.done / self.total
        seconds = round((now - self.start) * (1 / share - 1))
        left = f"{datetime.timedelta(seconds=seconds)} left" if share > 0.001 else "some time left"
        line = f"[{'#' * int(30 * share):30}] {share:6.1%}, {left}: {what}"
        start, end = ("\r\x1b[K", "\n" if finished else "") if self.bar else ("", "\n")
        print(start, line, sep="", end=end, file=sys.stderr, flush=True)


def name_of(case: Case) -> str:
    types = f"{case.code} to {case.real}" if case.source == case.code else f"{case.real} to {case.code}"
    return f"{types}, pair {case.pair + 1}{'' if case.saturate else ', saturate=False'}"


def step_of(case: Case, stride: int) -> int:
    """Types of up to 16 bits are always tried in full."""
    return stride if case.patterns > 1 << 16 else 1


def bounds(case: Case, step: int) -> Iterator[tuple[int, int]]:
    size = PART * step
    for start in range(0, case.patterns, size):
        yield start, min(case.patterns, start + size)


def run_case(
    case: Case, step: int, targets: tuple[str, ...], kernels: tuple[str, ...], progress: Progress,
    workers: concurrent.futures.Executor,
) -> dict[str, Any]:  # fmt: skip
    """Tries the case in parts; what there is to write down."""
    began, tried = time.monotonic(), 0
    total: dict[tuple[str, str], Found] = {}
    parts = [workers.submit(part, case, *b, step, targets, kernels) for b in bounds(case, step)]
    for future in concurrent.futures.as_completed(parts):
        inputs, found = future.result()
        tried += inputs
        for key, now in found.items():
            before = total.get(key, Found(0, ""))
            total[key] = Found(before.wrong + now.wrong, before.first or now.first)
        progress.add(inputs, name_of(case), tried == inputs_of(case, step))
    return {
        "case": case, "step": step, "inputs": tried, "seconds": round(time.monotonic() - began, 3),
        "wrong": [(*key, now.wrong) for key, now in total.items()],
        "first": [f"{target}: {now.first}" for (_, target), now in total.items() if now.wrong],
    }  # fmt: skip


def inputs_of(case: Case, step: int) -> int:
    return -(-case.patterns // step)


def run(todo: list[Case], options: argparse.Namespace) -> None:
    targets, kernels = options.target, options.kernel
    progress = Progress(sum(inputs_of(case, step_of(case, options.stride)) for case in todo))
    options.results.parent.mkdir(parents=True, exist_ok=True)
    of = {"identity": identity()}
    # The target is one for all threads of a process: processes. A fork would hand on locks of other threads.
    spawn = multiprocessing.get_context("spawn")
    with (
        tempfile.TemporaryDirectory(prefix="fastquant-oracle-") as directory,
        options.results.open("a", encoding="utf-8") as file,
        concurrent.futures.ProcessPoolExecutor(
            options.jobs, spawn, prepare, (oracle.compile_oracle(Path(directory)),)
        ) as workers,
    ):
        try:
            for case in todo:
                line = of | run_case(case, step_of(case, options.stride), targets, kernels, progress, workers)
                file.write(json.dumps(line) + "\n")
                file.flush()
                for text in line["first"]:
                    print(f"\nDIFFERS on {text}", file=sys.stderr)
        except KeyboardInterrupt:
            workers.shutdown(cancel_futures=True)
            raise


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.exhaustive", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )

    def choice(option: str, names: tuple[str, ...], what: str) -> None:
        text = f"only {what} (may be repeated): {'; '.join(names)}"
        parser.add_argument(option, action="append", choices=names, metavar="NAME", help=text)

    choice("--target", fq.cpu.available(), "this target")
    choice("--kernel", KERNELS, "this kernel")
    choice("--real", TO, "reals of this type")
    choice("--code", READ, "codes of this type")
    pairs = range(1, len(PAIRS) + 1)
    parser.add_argument("--pair", type=int, action="append", choices=pairs, help="only this pair")
    parser.add_argument("--stride", type=int, default=1, metavar="N", help="of 32 bits only every Nth pattern; odd")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="processes (all CPUs)")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FILE", help="default: build/exhaustive.jsonl")
    parser.add_argument(
        "--write", nargs="?", type=Path, const=DOCUMENT, metavar="FILE",
        help="try nothing, but write all that is in the results to docs/exhaustive.md, or FILE",
    )  # fmt: skip
    options = parser.parse_args(argv)
    if options.stride < 1 or options.jobs < 1:
        parser.error("--stride and --jobs are at least 1")
    options.target = tuple(options.target or fq.cpu.available())
    options.kernel = tuple(options.kernel or KERNELS)
    return options


def selected(options: argparse.Namespace) -> list[Case]:
    return [
        case
        for case in cases()
        if case.code in (options.code or READ)
        and case.real in (options.real or TO)
        and case.pair + 1 in (options.pair or range(1, len(PAIRS) + 1))
        and set(case.kernels) & set(options.kernel)
    ]


def main(argv: list[str] | None = None) -> int:
    options = parse(argv)
    results = read_results(options.results)
    if options.write:
        options.write.write_text(document(results), encoding="utf-8")
        return 0
    if oracle.compiler() is None:
        print("no C compiler for the oracle", file=sys.stderr)
        return 2
    todo = [
        case
        for case in selected(options)
        if not is_done(case, step_of(case, options.stride), options.target, options.kernel, results)
    ]
    try:
        if todo:
            run(todo, options)
    except KeyboardInterrupt:
        print(f"\ninterrupted; what is done is in {options.results}", file=sys.stderr)
        return 130
    lines, tried, wrong = table(read_results(options.results))
    print(*lines, "", f"{tried:,} results compared, {wrong:,} of them differ", sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
