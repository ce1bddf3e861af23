"""What the benchmarks say about the run: when, of what, and where."""

from __future__ import annotations

import datetime
import shutil
import subprocess
from pathlib import Path

import pytest
from bench_support import ABOUT

from fastquant import _bench_machine
from fastquant._bench_machine import header, machine

RUN = {"date": "2026-01-02", "revision": "0123abc modified", "compiler": "gcc 13.2.0", "virtual": True}


def test_what_a_run_is_of() -> None:
    lines = header(ABOUT | RUN, ["torch: not installed"])
    assert lines == [
        "run: 2026-01-02, fastquant's revision 0123abc modified, kernels compiled by gcc 13.2.0",
        "CPU: a CPU (a virtual machine's), 2 cores; caches of one: L1d 32K, L2 1M; 16 GiB of memory",
        "target: avx2 (of portable, avx2); an OS",
        "versions: Python 3.11, numpy 2.0",
        "left out: torch: not installed",
    ]


def test_what_is_not_known_is_not_said() -> None:
    lines = header(ABOUT, [])
    assert lines[0].startswith("CPU: a CPU, 2 cores;")
    assert header(ABOUT | {"virtual": None, "revision": "", "date": ""}, []) == lines
    assert header(ABOUT | {"virtual": False}, [])[0].startswith("CPU: a CPU (no virtual machine's), 2 cores;")
    assert header(ABOUT | {"compiler": "clang 17.0.6"}, [])[0] == "run: kernels compiled by clang 17.0.6"


def test_this_machine() -> None:
    about = machine()
    today = datetime.datetime.now(datetime.UTC).date()
    assert 0 <= (today - datetime.date.fromisoformat(about["date"])).days <= 1
    assert about["compiler"].split()[0] in ("gcc", "clang", "MSVC")
    assert header(about, [])[0].startswith(f"run: {about['date']}")


@pytest.mark.parametrize(
    ("text", "virtual"),
    [
        ("flags\t\t: fpu vme hypervisor lahf_lm\n", True),
        ("flags\t\t: fpu vme lahf_lm\nbugs\t\t: hypervisor_leak\n", False),
        ("Features\t: fp asimd\n", None),
        ("", None),
    ],
)
def test_virtual_machines(text: str, virtual: bool | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_bench_machine, "_text_of", lambda path: text)
    assert _bench_machine._is_virtual() is virtual


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_revisions(tmp_path: Path) -> None:
    def git(*words: str) -> str:
        command = ("git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example.org", *words)
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    package = tmp_path / "fastquant"
    package.mkdir()
    file = package / "__init__.py"
    file.write_text("")
    assert _bench_machine.revision(package) == ""
    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "First")
    git("tag", "v1")
    commit = git("rev-parse", "--short", "HEAD")
    assert _bench_machine.revision(package) == commit
    file.write_text("changed")
    assert _bench_machine.revision(package) == f"{commit} modified"
    installed = tmp_path / ".venv" / "site-packages" / "fastquant"
    installed.mkdir(parents=True)
    assert _bench_machine.revision(installed) == ""
