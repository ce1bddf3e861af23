"""Builds that nobody ships: what decides whether they pass."""

from __future__ import annotations

import shutil
from pathlib import Path

import builds
import other_machines
import pytest

GCC = builds.BUILDS["gcc"]


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """C files in place of ours."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc")
    folder = tmp_path / "fastquant" / "src"
    folder.mkdir(parents=True)
    (folder / "fine.c").write_text("int fine(int n) { return n; }\n")
    monkeypatch.setattr(builds, "ROOT", tmp_path)
    return folder


def test_what_stands_behind_the_dashes_is_for_pytest():
    assert builds.split(["gcc", "--keep", "x", "--", "-k", "rows"]) == (["gcc", "--keep", "x"], ["-k", "rows"])
    assert builds.split(["--", "--", "a"]) == ([], ["--", "a"])
    assert builds.split(["gcc"]) == (["gcc"], [])


def test_a_warning_is_found(sources):
    assert builds.warnings(GCC) == 0
    (sources / "wrong.c").write_text("int wrong(int n, int unused) { return n; }\n")
    assert builds.warnings(GCC) == 1
    (sources / "worse.c").write_text("int worse(unsigned n) { for (int i = 0; i < n; i++) {} return 0; }\n")
    assert builds.warnings(GCC) == 2


def test_the_compiler_of_a_build_is_strict_with_our_files_alone(sources, tmp_path):
    (sources / "wrong.c").write_text("int wrong(int n, int unused) { return n; }\n")
    shutil.copy(sources / "wrong.c", tmp_path / "cython.c")
    wrapper = builds.compiler_of(GCC, tmp_path)

    def compiles(file: str) -> bool:
        command = [str(wrapper), "-c", file, "-o", "x.o"]
        return builds.subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0

    assert compiles("fastquant/src/fine.c")
    assert not compiles("fastquant/src/wrong.c")
    assert compiles("cython.c")


def test_a_build_that_is_kept_is_of_the_same_flags_and_sources(sources, tmp_path, monkeypatch):
    for name in builds.SOURCES[1:]:
        (tmp_path / name).touch()
    made = []

    def make(build, directory):
        made.append(build.flags)
        (directory / "source" / "fastquant").mkdir(parents=True)
        calls = b"__asan_report_load1" if build.flags == "asan" else b""
        (directory / "source" / "fastquant" / "_kernels.so").write_bytes(calls)

    monkeypatch.setattr(builds, "make", make)
    build, directory = builds.Build("", "-O1"), tmp_path / "kept"
    directory.mkdir()
    for _ in range(2):
        builds.built(build, directory)
    assert made == ["-O1"]
    builds.built(build._replace(flags="-O2"), directory)
    (sources / "fine.c").write_text("int fine(int n) { return -n; }\n")
    builds.built(build._replace(flags="-O2"), directory)
    assert made == ["-O1", "-O2", "-O2"]
    builds.built(build._replace(flags="asan", instrument="__asan_report_"), directory)
    with pytest.raises(AssertionError, match="calls no __asan_report_"):
        builds.built(build._replace(instrument="__asan_report_"), directory)


def test_reports_of_memcheck_that_are_about_our_code(tmp_path):
    ours = "==7== Use of uninitialised value of size 8\n==7==    at 0x1: run_tile (_kernels.c:9)\n"
    theirs = "==7== Invalid read of size 8\n==7==    at 0x1: strncmp (strcmp-sse2.S:162)\n"
    (tmp_path / "7").write_text(f"{theirs}==7== \n{ours}==7== \n{theirs}==7== \n")
    assert builds.reports(tmp_path) == [ours]
    (tmp_path / "7").write_text(theirs)
    assert builds.reports(tmp_path) == []


def test_a_machine_made_for_something_else_is_left_alone(tmp_path):
    (tmp_path / "kept").touch()
    with pytest.raises(SystemExit, match="not a machine made by this program"):
        other_machines.make(other_machines.MACHINES["i386"], tmp_path, "testing", None)
    assert (tmp_path / "kept").exists()


@pytest.fixture
def commands(monkeypatch):
    """Those that would have been run, in place of running them."""
    found = []

    def run(command, **_):
        found.append([str(word) for word in command])
        return other_machines.subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(other_machines.subprocess, "run", run)
    return found


@pytest.fixture
def keyring(tmp_path):
    path = tmp_path / "debian-ports-archive-keyring.gpg"
    path.touch()
    return path


def test_a_finished_machine_is_not_made_again(tmp_path, commands, keyring):
    machine = other_machines.MACHINES["s390x"]
    for _ in range(2):
        other_machines.make(machine, tmp_path / "root", "testing", "http://mirror", keyring)
    assert [command[3] for command in commands].count("debootstrap") == 1
    assert len(commands) == 4
    keyring.unlink()
    other_machines.make(machine, tmp_path / "root", "testing", "http://mirror", keyring)
    assert len(commands) == 4
    keyring.touch()
    other_machines.make(machine, tmp_path / "root", "sid", "http://mirror", keyring)
    assert len(commands) == 8


def test_no_machine_is_made_of_what_nobody_has_signed(tmp_path, commands, keyring):
    machine = other_machines.MACHINES["i386"]
    other_machines.make(machine, tmp_path / "root", "testing", None, keyring)
    assert f"--keyring={keyring}" in commands[0]
    assert not [word for command in commands for word in command if "no-check" in word or "nsigned" in word]
    keyring.unlink()
    before = len(commands)
    for name in ("root", "new"):
        with pytest.raises(SystemExit, match="install debian-ports-archive-keyring, or say with --keyring"):
            other_machines.make(machine, tmp_path / name, "sid", None, keyring)
    assert len(commands) == before
    assert (tmp_path / "root" / ".fastquant-done").exists()  # what was there is left


def test_the_keys_are_those_of_debian_unless_others_are_named(tmp_path, commands, monkeypatch):
    given = []
    monkeypatch.setattr(other_machines, "make", lambda *arguments: given.append(arguments[3:]))
    monkeypatch.setattr(other_machines.sys, "platform", "linux")
    monkeypatch.setattr(other_machines.os, "geteuid", lambda: 0, raising=False)
    other_machines.main(["newest", "--root", str(tmp_path)])
    other_machines.main(["newest", "--root", str(tmp_path), "--mirror", "x", "--keyring", "k", "--snapshot"])
    assert given == [(None, other_machines.KEYRING, False), ("x", Path("k"), True)]
    assert other_machines.KEYRING.name == "debian-archive-keyring.gpg"


def test_an_expired_index_is_taken_of_snapshots_alone(tmp_path, commands, keyring):
    machine = other_machines.MACHINES["i386"]
    for snapshot in (False, True):
        other_machines.make(machine, tmp_path / str(snapshot), "testing", None, keyring, snapshot)
    updates = [command for command in commands if "update" in command]
    assert ["Acquire::Check-Valid-Until=false" in command for command in updates] == [False, True]
    # Everything else that is signed is checked as it always is.
    assert [word for command in commands for word in command if "Acquire" in word or "APT::" in word] == updates[1][-1:]
