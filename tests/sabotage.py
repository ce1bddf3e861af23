"""Does a mistake in the kernels turn a test red? Makes each mistake of sabotage_edits.py in a copy of the tree,
rebuilds the copy, and runs the tests on it until one fails.

    python tests/sabotage.py                    all of them: about 20 s each with ccache; --jobs 2 for two at a time
    python tests/sabotage.py --list
    python tests/sabotage.py clamp columns      those whose names contain one of these
    python tests/sabotage.py --write            a table of what has been found, to docs/mutation.md

What is found is written to build/sabotage.jsonl as it comes. A run goes on where the last one was: an edit is tried
again if it survived, or if its file, the edit itself or the test that found it has changed. An edit that changes
nothing that a test could see says why; it is tried too, and counted apart.

Exit status 0 if every mistake is found, 1 if one survives, 2 if the script itself has a problem: a text that is not in
its file as often as it says, an edit that does not compile, tests that fail without any edit.

Needs what a build needs (Cython, NumPy, a compiler), the installed package and its dependencies. With ccache, what an
edit does not touch is not compiled again.

An edit of a target's lanes is tried where that target is available, by the tests of that target; elsewhere it is listed
as "not here". Those of neon need a 64-bit Arm machine, or a root directory of one under qemu-user.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

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

from fastquant._bench_machine import cpu_model, revision

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "build" / "sabotage.jsonl"
DOCUMENT = ROOT / "docs" / "mutation.md"
REVISION = revision(ROOT / "fastquant") or "unknown"
COPIED = ["setup.py", "sbom.py", "pyproject.toml", "README.md", "LICENSE", ".github", "fastquant", "tests"]
LEFT_OUT = shutil.ignore_patterns("*.so", "*.pyd", "_kernels.c", "build", "__pycache__", ".*")

# Those that find most, and fast, first. The others test the reference or one constant for long.
TESTS = (
    *("exhaustive_small", "errors_table", "matrix", "overlap", "span_lengths", "reference", "minmax", "rows"),
    *("plain_calls", "copies", "dlpack", "span_runs", "span_packs", "span_tiles", "division"),
    *("rules", "threads", "thread_count", "threads_affinity", "quantizers", "native", "reuse", "pool", "bench_bare"),
    *("layouts", "errors", "api", "cpu", "guard_pages", "onnx", "onnx_text", "onnx_errors", "reentrance"),
    *("span_values", "environment", "memory", "sweep", "properties", "threads_hostile"),
    *("files", "files_hostile", "files_limits", "cli", "cli_commands"),
)

HANGS = 3600  # seconds; all tests take some minutes

# Where an edit is likely to be found: those files first.
LIKELY = {
    "_granular.pxi": ("plain_calls",),
    "_grid.pxi": ("plain_calls",),
    "_plain.pxi": ("plain_calls", "api"),
    "_calls.pxi": ("plain_calls", "errors_table"),
    "_general.pxi": ("plain_calls", "rules", "reentrance"),
    "_split.pxi": ("threads", "environment"),
    "threads.c": ("threads_affinity", "pool", "threads"),
    "reuse.c": ("pool", "reuse"),
    "_output.py": ("overlap", "memory"),
    "_memory.pxi": ("reuse",),
    "_memory.py": ("reuse",),
    "native.c": ("native",),
    "bare.inc.h": ("bench_bare",),
    "_bare.pxi": ("bench_bare",),
    "_threads.py": ("thread_count",),
    "_cgroups.py": ("thread_count", "reuse"),
    "_quantizers.pxi": ("quantizers", "environment"),
    "_fixed.py": ("quantizers",),
    "_rules.py": ("environment", "overlap", "rules"),
    "_portable_arithmetic.pxi": ("rules",),
    "_walk.pxi": ("rules",),
    "_ranges.pxi": ("plain_calls", "minmax"),
    "numerics.c": ("reference", "minmax", "plain_calls"),
    "_dlpack.pxi": ("dlpack",),
    "copy.h": ("copies",),
    "fpenv.h": ("environment",),
    "onnx.py": ("onnx", "onnx_text", "onnx_errors"),
    "cpu.py": ("cpu",),
    "_files.py": ("files_hostile", "files_limits", "files", "cli"),
    "_sinks.py": ("files_limits", "files", "cli"),
    "_quantize_command.py": ("cli", "files", "files_limits"),
    "_report.py": ("files_limits", "cli"),
    "_arguments.py": ("errors_table", "errors", "errors_types"),
    "packing.inc.h": ("span_packs",),
    "lanes_avx512.h": ("exhaustive_small", "span_values", "span_lengths", "rules"),
    "lanes_neon.h": ("exhaustive_small", "span_values", "span_lengths", "rules"),
    "extents.inc.h": ("minmax", "span_tiles"),
    "params.inc.h": ("exhaustive_small", "span_runs", "span_tiles", "division"),
}


class Broken(Exception):
    """The script has a problem, so that nothing can be said about the tests."""


class Tree:
    """A copy of the repository, built in place."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, path / name, ignore=LEFT_OUT)
            elif source.exists():
                shutil.copy2(source, path / name)
        self.environment = {**os.environ, "PYTHONPATH": str(path), "PYTHONDONTWRITEBYTECODE": "1"}
        self.environment["FASTQUANT_CFLAGS"] = "-O1 -DFQ_CALLS"  # the same results, compiled in seconds
        self.environment.pop("FASTQUANT_CPU", None)
        if shutil.which("ccache"):
            compiler = sysconfig.get_config_var("CC") or "cc"
            cache = str(path.parent / "ccache")
            self.environment |= {"CC": f"ccache {compiler}", "CCACHE_NOHASHDIR": "1", "CCACHE_DIR": cache}
        self.built_as_is = False
        self.translated = False  # whether what Cython has made is of the files without an edit

    def run(self, *arguments: str, seconds: float | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.path,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )

    def build(self, edited: str) -> None:
        """From nothing: no object of an earlier build is used. `edited`: the ending of the name of the edited file."""
        as_is, of_cython = edited in ("", ".py"), edited in (".pyx", ".pxi", ".pxd")
        if as_is and self.built_as_is:
            return
        self.built_as_is = False
        shutil.rmtree(self.path / "build", ignore_errors=True)
        for pattern in ("*.so", "*.pyd"):
            for old in (self.path / "fastquant").glob(pattern):
                old.unlink()
        if of_cython or not self.translated:
            (self.path / "fastquant" / "_kernels.c").unlink(missing_ok=True)
        self.translated = not of_cython
        built = self.run("setup.py", "-q", "build_ext", "--inplace", "--force")
        if built.returncode:
            raise Broken("does not compile:\n" + built.stderr.strip()[-1500:])
        where = self.run("-c", "import fastquant._kernels as k; print(k.__file__)").stdout.strip()
        if not Path(where or "/").is_relative_to(self.path):
            raise Broken(f"tests would import {where or 'nothing'}, not the copy in {self.path}")
        self.built_as_is = as_is

    def test(self, *options: str, first: Sequence[str] = ()) -> tuple[bool, list[str]]:
        """Whether all passed, and the tests that failed; those of some files are run before the others are read."""
        if first:
            passed, failed = self.test_files(options, first)
            if not passed:
                return passed, failed
        return self.test_files(options, [name for name in TESTS if name not in first])

    def test_files(self, options: Sequence[str], names: Sequence[str]) -> tuple[bool, list[str]]:
        tests = [f"tests/test_{name}.py" for name in names]
        command = ("-X", "faulthandler", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=no", *options, *tests)
        try:
            done = self.run(*command, seconds=HANGS)
        except subprocess.TimeoutExpired:
            return False, [f"(no end within {HANGS} s)"]
        if done.returncode == 5:  # none of the target in these files
            return True, []
        failed = re.findall(r"^(?:FAILED|ERROR) (tests/\S+::.+?|tests/\S+)(?: - .*)?$", done.stdout, re.MULTILINE)
        if done.returncode < 0:
            # The process died, as it may with a wrong address: the traceback names the test.
            found = re.search(r'File ".*(tests/test_\w+\.py)", line \d+ in (test_\w+)', done.stderr)
            failed = [f"{found[1]}::{found[2]}" if found else "?", f"(signal {-done.returncode})"]
        if done.returncode > 1 or (done.returncode and not failed):
            raise Broken(f"pytest ended with status {done.returncode}:\n{(done.stdout + done.stderr)[-1500:]}")
        return done.returncode == 0, failed


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


def baseline(tree: Tree, deselect_failing: bool) -> list[str]:
    """Options for the other runs, once the tests have passed without any edit."""
    tree.build("")
    passed, failed = tree.test()
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
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FILE", help="default: build/sabotage.jsonl")
    parser.add_argument("--write", action="store_true", help="try nothing, but write the results to docs/mutation.md")
    arguments = parser.parse_args()
    edits = [e for e in EDITS if not arguments.names or any(name in e.name for name in arguments.names)]
    if not edits or len({e.name for e in EDITS}) != len(EDITS):
        parser.error("no edit has such a name" if not edits else "two edits have one name")
    if arguments.list:
        print(*(f"{e.name}  ({e.file})" for e in edits), sep="\n")
        return 0

    with tempfile.TemporaryDirectory(prefix="fastquant-sabotage-") as directory:
        trees: Queue[Tree] = Queue()
        for i in range(max(1, arguments.jobs)):
            trees.put(Tree(Path(directory).resolve() / str(i)))
        tree = trees.get()
        try:
            before = known(edits, tree, arguments.results)
            if not arguments.write:
                done = [row is not None and row.result in (KILLED, EQUIVALENT) for row in before]
                todo = [edit for edit, known_already in zip(edits, done, strict=True) if not known_already]
                options = baseline(tree, arguments.deselect_failing) if todo else []
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
