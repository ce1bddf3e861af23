"""Does a mistake in the kernels turn a test red? Makes each mistake of sabotage_edits.py in a copy of the tree,
rebuilds the copy, and runs the tests on it until one fails.

    python tests/sabotage.py                    all of them: about 20 s each with ccache; --jobs 2 for two at a time
    python tests/sabotage.py --list
    python tests/sabotage.py clamp columns      those whose names contain one of these
    python tests/sabotage.py --arm64 ROOT       those of neon's lanes, under qemu-user; ROOT as arm64.py wants it
    python tests/sabotage.py --write            a table of what has been found, to docs/mutation.md

What is found is written to build/sabotage.jsonl as it comes. A run goes on where the last one was: an edit is tried
again if it survived, or if its file, the edit itself or the test that found it has changed. An edit that changes
nothing that a test could see says why; it is tried too, and counted apart.

Exit status 0 if every mistake is found, 1 if one survives, 2 if the script itself has a problem: a text that is not in
its file as often as it says, an edit that does not compile, tests that fail without any edit.

Needs what a build needs (Cython, NumPy, a compiler), the installed package and its dependencies. With ccache, what an
edit does not touch is not compiled again.

An edit of a target's lanes is tried where that target is available, by the tests of that target; elsewhere it is listed
as "not here".
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

from sabotage_arm64 import Arm64Tree
from sabotage_edits import EDITS, Edit
from sabotage_results import (
    EQUIVALENT,
    ERROR,
    KILLED,
    NOT_HERE,
    SURVIVED,
    Found,
    document,
    key_of,
    read,
    test_of,
    write,
)
from sabotage_tree import LIKELY, ROOT, Broken, Tree

from fastquant._bench_machine import cpu_model, revision

RESULTS = ROOT / "build" / "sabotage.jsonl"
DOCUMENT = ROOT / "docs" / "mutation.md"
REVISION = revision(ROOT / "fastquant") or "unknown"


def target_of(edit: Edit) -> str:
    """The target that the edit is of, or "" if it may be of any."""
    found = re.fullmatch(r".*/lanes_(\w+)\.h", edit.file)
    return found[1] if found else ""


def place_of(edit: Edit, tree: Tree) -> Path:
    """The file that has the texts of the edit as often as it says."""
    files = sorted(tree.path.glob(edit.file))
    fitting = [
        file for file in files if all(file.read_text().count(old) == (n[0] if n else 1) for old, _, *n in edit.pairs)
    ]
    if len(fitting) != 1:
        counts = {file.name: [file.read_text().count(old) for old, *_ in edit.pairs] for file in files}
        expected = [n[0] if n else 1 for _, _, *n in edit.pairs]
        raise Broken(f"{edit.name}: its texts occur {counts} times, expected {expected} in one file of {edit.file}")
    return fitting[0]


def edited(edit: Edit, path: Path) -> str:
    """The file's text with the edit."""
    text = path.read_text()
    for old, new, *_ in edit.pairs:
        text = text.replace(old, new)
    return text


def outcome(edit: Edit, tree: Tree, options: list[str], available: list[str]) -> Found:
    """What became of it, and by what it was found or why it could not be tried."""
    path = place_of(edit, tree)
    original, times = path.read_text(), path.stat()
    found = Found(edit.name, key_of(edit, original), str(path.relative_to(tree.path)), NOT_HERE, "")
    target = target_of(edit)
    if target:
        if target not in available:
            return found
        options = [*options, "-k", " and ".join(f"not {name}" for name in available if name != target)]
    try:
        path.write_text(edited(edit, path))
        tree.build(path.suffix)
        passed, failed = tree.test("-x", *options, first=LIKELY.get(path.name, ()))
        by = " ".join(failed)
        return found._replace(result=SURVIVED if passed else KILLED, by=by, test=test_of(by), revision=REVISION)
    except Broken as error:
        return found._replace(result=ERROR, by=str(error))
    finally:
        path.write_text(original)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # what was made of it is still of it


def baseline(tree: Tree, deselect_failing: bool, *options: str) -> list[str]:
    """Options for the other runs, once the tests have passed without any edit."""
    tree.build("")
    passed, failed = tree.test(*options)
    if passed:
        return []
    if not deselect_failing:
        raise Broken("without any edit these fail:\n" + "\n".join(failed))
    print(f"deselected, since they fail without any edit: {len(failed)} tests", flush=True)
    return [f"--deselect={name}" for name in failed]


def known(edits: Sequence[Edit], tree: Tree, results: Path) -> list[Found | None]:
    """What has been found already of each edit, as its file is now."""
    before = read(results)
    rows = [before.get((edit.name, key_of(edit, place_of(edit, tree).read_text()))) for edit in edits]
    for i, (edit, row) in enumerate(zip(edits, rows, strict=True)):
        if row and row.result == SURVIVED and edit.equivalent:
            rows[i] = row._replace(result=EQUIVALENT, by=edit.equivalent)
    return rows


def try_all(edits: Sequence[Edit], trees: Queue[Tree], options: list[str], available: list[str], results: Path) -> None:
    printing = threading.Lock()

    def work(edit: Edit) -> None:
        tree = trees.get()
        found = outcome(edit, tree, options, available)
        trees.put(tree)
        with printing:
            write(results, found)
            print(f"{found.result:9} {found.edit:55} {found.by}", flush=True)

    with ThreadPoolExecutor(trees.qsize()) as workers:
        list(workers.map(work, sorted(edits, key=lambda e: not e.file.endswith(".py"))))  # those need no build


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="only edits whose name contains one of these")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    parser.add_argument("--jobs", type=int, default=1, help="so many at a time")
    parser.add_argument("--deselect-failing", action="store_true", help="leave out tests that fail without any edit")
    parser.add_argument("--arm64", type=Path, metavar="ROOT", help="only those of neon's lanes, under qemu-user")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FILE", help="default: build/sabotage.jsonl")
    parser.add_argument("--write", action="store_true", help="try nothing, but write the results to docs/mutation.md")
    arguments = parser.parse_args()
    if arguments.write and (arguments.names or arguments.arm64):
        parser.error("--write is of all edits")
    edits = [e for e in EDITS if not arguments.names or any(name in e.name for name in arguments.names)]
    root = arguments.arm64 and arguments.arm64.resolve()
    if root:
        edits = [e for e in edits if target_of(e) == "neon"]
    if not edits or len({e.name for e in EDITS}) != len(EDITS):
        parser.error("no edit has such a name" if not edits else "two edits have one name")
    if arguments.list:
        print(*(f"{e.name}  ({e.file})" for e in edits), sep="\n")
        return 0

    with tempfile.TemporaryDirectory(prefix="fastquant-sabotage-", dir=root and root / "opt") as directory:
        trees: Queue[Tree] = Queue()
        for i in range(max(1, arguments.jobs)):
            path = Path(directory).resolve() / str(i)
            trees.put(Arm64Tree(path, root) if root else Tree(path))
        tree = trees.get()
        try:
            before = known(edits, tree, arguments.results)
            if not arguments.write:
                done = [row is not None and row.result in (KILLED, EQUIVALENT) for row in before]
                todo = [edit for edit, known_already in zip(edits, done, strict=True) if not known_already]
                target = ["-k", "not portable"] if root else []
                options = baseline(tree, arguments.deselect_failing, *target) if todo else []
                available = tree.run("-c", "import fastquant as fq; print(*fq.cpu.available())").stdout.split()
                trees.put(tree)
                try_all(todo, trees, options, available, arguments.results)
                before = known(edits, tree, arguments.results)
        except Broken as error:
            print(error, file=sys.stderr)
            return 2
    rows = [row for row in before if row]
    if arguments.write:
        import fastquant as fq

        DOCUMENT.write_text(document(rows, len(edits), fq.cpu.available(), cpu_model()), encoding="utf-8")
    counts = {kind: sum(row.result == kind for row in rows) for kind in (KILLED, SURVIVED, EQUIVALENT, ERROR, NOT_HERE)}
    print(", ".join(f"{count} {kind}" for kind, count in counts.items()), f"of {len(edits)}")
    return 2 if counts[ERROR] else 1 if counts[SURVIVED] else 0


if __name__ == "__main__":
    sys.exit(main())
