"""The pool and the memory of results, driven from C by many threads at once (c/pool.c): as any compiler makes them, and
under ThreadSanitizer where there is one. No lock of Python's orders anything here, nor keeps a fork from a thread that
is in the middle of something."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from builds import RACES
from oracle import compiler

TESTS = Path(__file__).resolve().parent
SOURCES = TESTS.parent / "fastquant" / "src"
FILES = [TESTS / "c" / "pool.c", SOURCES / "threads.c", SOURCES / "reuse.c"]
FLAGS = ["-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-pthread", f"-I{SOURCES.parent}", f"-I{SOURCES}"]

pytestmark = pytest.mark.skipif(compiler() is None or os.name == "nt", reason="no C compiler that makes POSIX programs")


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("LD_PRELOAD", "CFLAGS", "LDFLAGS")}
    return kept | {"TSAN_OPTIONS": RACES}


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """The time limit only keeps a deadlock from stopping everything."""
    return subprocess.run(command, env=environment(), capture_output=True, text=True, check=False, timeout=600)


def without_random_addresses() -> list[str]:
    """A command before ThreadSanitizer's programs, which know only some places for what they load."""
    if shutil.which("setarch") and run("setarch", "-R", "true").returncode == 0:
        return ["setarch", "-R"]
    return []


@pytest.fixture(scope="module", params=["plain", "thread"])
def program(request, tmp_path_factory) -> list[str]:
    directory = tmp_path_factory.mktemp(request.param)
    cc, flags, before = str(compiler()), list(FLAGS), []
    if request.param == "thread":
        flags.append("-fsanitize=thread")
        before = without_random_addresses()
        (directory / "nothing.c").write_text("int main(void) { return 0; }\n")
        made = run(cc, "-fsanitize=thread", directory / "nothing.c", "-o", directory / "nothing")
        if made.returncode or run(*before, directory / "nothing").returncode:
            pytest.skip("no ThreadSanitizer here")
    made = run(cc, *flags, *FILES, "-o", directory / "pool")
    assert made.returncode == 0, made.stderr
    return [*before, str(directory / "pool")]


@pytest.mark.parametrize(("what", "times"), [("calls", 3000), ("forks", 100), ("start", 40), ("bound", 150)])
def test_threads_and_forks(program, what, times):
    done = run(*program, what, str(times))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), done.stderr[-4000:]
