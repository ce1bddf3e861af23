"""Calls of the public functions with any arguments, and files of any bytes, against the reference and other readers.

    python -m tests.fuzz --seconds 60           both targets, half of the time each; in the repository, pip install -e
    python -m tests.fuzz files --seed 7         one of them, with other changes; --count N instead of seconds: the same
    python -m tests.fuzz --keep                 what is new goes into the corpus, what others cover out of it
    python -m tests.fuzz --replay FILE          one entry, with what it means and the traceback, if it fails

Inputs are the kept corpus (tests/corpus) and changes of it; what reaches lines, errors or combinations that nothing
before did is changed further (fuzz_engine.py). The corpus is replayed by the tests. Ends with 1 if anything is found:
build/fuzz then has an entry for it, made small. If the process crashed, it has the entry that was running.
"""

from __future__ import annotations

import argparse
import faulthandler
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # as pytest has it: for python -m tests.fuzz

from fuzz_api import Api
from fuzz_engine import Entry, Report, Target, covering, fuzz, read_corpus, write_corpus
from fuzz_files import Files

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT / "tests" / "corpus"
FOUND = ROOT / "build" / "fuzz"
TARGETS = {"api": Api, "files": Files}
HANGS = 120  # seconds of one entry, after which the process ends itself; only here, where somebody waits


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", nargs="*", metavar="TARGET", help=f"{', '.join(TARGETS)}; all, if none is named")
    how_long = parser.add_mutually_exclusive_group()
    how_long.add_argument("--seconds", type=float, default=60, metavar="N", help="of all targets together [60]")
    how_long.add_argument("--count", type=int, metavar="N", help="changes for each target, instead of seconds")
    parser.add_argument("--seed", type=int, metavar="N", help="of the changes [the time of day, which is printed]")
    parser.add_argument("--corpus", type=Path, default=CORPUS, metavar="DIR", help="with a folder for each target")
    parser.add_argument("--keep", action="store_true", help="write what is new to the corpus, remove what is covered")
    parser.add_argument("--found", type=Path, default=FOUND, metavar="DIR", help="for entries that fail [build/fuzz]")
    parser.add_argument(
        "--replay", type=Path, metavar="FILE", help="run this entry of the one target, and nothing else"
    )
    options = parser.parse_args(argv)
    unknown = [name for name in options.target if name not in TARGETS]
    if unknown:
        parser.error(f"{', '.join(unknown)}: expected {', '.join(TARGETS)}")
    if options.replay and len(options.target) != 1:
        parser.error("--replay takes the name of one target")
    return options


def replay(target: Target, path: Path) -> int:
    entry = Entry(path.suffix, path.read_bytes())
    print(target.describe(entry))
    print(f"{len(set(target.run(entry)))} features")
    return 0


def run(target: Target, options: argparse.Namespace, seconds: float) -> Report:
    corpus = options.corpus / target.name
    entries = read_corpus(corpus) if corpus.is_dir() else []
    options.found.mkdir(parents=True, exist_ok=True)
    last = options.found / f"running-{target.name}"
    with last.open("wb", buffering=0) as running:

        def remember(entry: Entry) -> None:
            """What a crash leaves behind. A crash is known by its file, which is otherwise removed."""
            running.seek(0)
            running.write(entry.data)
            running.truncate()
            faulthandler.dump_traceback_later(HANGS, exit=True, file=sys.__stderr__)

        limits = {"count": options.count} if options.count is not None else {"seconds": seconds}
        report = fuzz(target, entries, options.seed, before=remember, **limits)
        faulthandler.cancel_dump_traceback_later()
    last.unlink()
    for finding in report.findings.values():
        path = options.found / finding.entry.name
        path.write_bytes(finding.entry.data)
        print(f"\nFOUND {finding.kind}\n  {finding.message}\n  {target.describe(finding.entry)}")
        print(f"  python -m tests.fuzz {target.name} --replay {path}")
    if options.keep:
        write_corpus(corpus, [e for e in covering(target, [*entries, *report.new]) if e not in set(target.seeds())])
    return report


def main(argv: list[str] | None = None) -> int:
    options = parse(argv)
    names = options.target or list(TARGETS)
    if options.replay:
        return replay(TARGETS[names[0]](), options.replay)
    if options.seed is None:
        options.seed = int(time.time())
    print(f"seed {options.seed}", flush=True)  # a crash leaves no other word of it
    reports = [run(TARGETS[name](), options, options.seconds / len(names)) for name in names]
    print(*reports, sep="\n")
    executions, findings = sum(r.executions for r in reports), sum(len(r.findings) for r in reports)
    new = sum(len(r.new) for r in reports)
    kept = "kept, where no others cover them" if options.keep else "not kept"
    print(f"seed {options.seed}: {executions:,} executions, {findings} findings, {new} new corpus entries ({kept})")
    return 1 if findings else 0


if __name__ == "__main__":
    faulthandler.enable()
    sys.exit(main())
