"""Builds of the extension that nobody ships, and the tests on them: with sanitizers, other compilers, other flags.

    python -m tests.builds                      what there is
    python -m tests.builds address              build it, and run the whole suite on it
    python -m tests.builds address -- -k layouts -x
    python -m tests.builds O0 --compiler gcc-15
    python -m tests.builds gcc --warnings       only what the compiler says of the C files that are ours

Needs the build requirements of pyproject.toml and the extra `test` in this environment, and the compiler that a build
names. It is made from a copy of the files in a directory of its own, kept by --keep and taken again as long as files,
flags and compiler are the same; nothing here is changed. All of them compile the C files that are ours with -Wall
-Wextra -Werror (Cython's file has warnings of its own). The newest compilers, and other machines:
tests/other_machines.py.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))  # as pytest has it: for python -m

from c_flags import ARITHMETIC

ROOT = Path(__file__).resolve().parents[1]
WARNINGS = "-Wall -Wextra -Werror"


class Build(NamedTuple):
    what: str
    flags: str  # behind those of setup.py
    compiler: str = "gcc"
    runtime: str = ""  # a library that must be there before Python's own allocations
    instrument: str = ""  # in names of functions that such a build calls, and no other
    environment: tuple[tuple[str, str], ...] = ()  # of the tests
    prefix: tuple[str, ...] = ()  # before the tests' command
    tests: tuple[str, ...] = ()  # arguments of pytest; the whole suite


SANITIZE = "-O1 -g1 -fno-omit-frame-pointer -DFQ_CALLS -fno-sanitize-recover=all -fsanitize="
HALT = "halt_on_error=1:print_stacktrace=1"
# Python and NumPy are as they are: what they do is seen as far as it goes through the C library (their locks and
# conditions, malloc and free, memcpy), so that the lock of Python orders what it guards, and a race between their code
# and ours is not told. Children of forks start threads, processes end at once (the tests have thousands), and a test
# asks for more memory than there is.
RACES = "halt_on_error=1:exitcode=66:die_after_fork=0:atexit_sleep_ms=0:allocator_may_return_null=1"
THREADS = (
    *(f"tests/test_{name}.py" for name in ("threads", "thread_count", "threads_affinity", "threads_hostile")),
    *(f"tests/test_{name}.py" for name in ("reentrance", "reuse", "minmax", "quantizers", "overlap", "matrix")),
)

LOGS = "LOGS"  # in a prefix: a directory of the build's, whose files hold paragraphs, one a report

BUILDS = {
    "address": Build(
        "AddressSanitizer: reads and writes outside of arrays, use after free",
        SANITIZE + "address",
        runtime="libasan.so",
        instrument="__asan_report_",
        # Python's own allocator would hand out again at once what is freed. Leaks are counted by tests/test_leaks.py.
        environment=(
            ("ASAN_OPTIONS", "detect_leaks=0:allocator_may_return_null=1:handle_segv=0"),
            ("PYTHONMALLOC", "malloc"),
        ),
    ),
    "undefined": Build(
        "UndefinedBehaviorSanitizer, and casts of floats to integers that do not hold them",
        # Python's own flags say that signed integers wrap, which would leave overflows out.
        SANITIZE + "undefined,float-cast-overflow -fno-wrapv -fstrict-overflow",
        runtime="libubsan.so",
        instrument="__ubsan_handle_",
        environment=(("UBSAN_OPTIONS", HALT),),
    ),
    "valgrind": Build(
        "Memcheck: values that nobody has written; of calls of many kinds, since it takes 100 times as long",
        "-O1 -g1 -DFQ_CALLS",
        # Python's own allocator hands out parts of blocks, and would hide where ours end.
        environment=(("PYTHONMALLOC", "malloc"),),
        # Origins: an element of a result that was left out is used by others, and was made by us.
        prefix=("valgrind", "-q", "--num-callers=30", "--track-origins=yes", f"--log-file={LOGS}/%p"),
        tests=(
            *(f"tests/test_{name}.py" for name in ("plain_calls", "rows", "minmax", "span_packs", "quantizers")),
            # Valgrind converts int64 to float32 by way of float64, in two roundings; the CPU has an instruction of one.
            "--deselect=tests/test_quantizers.py::test_parameters_are_rounded_once",
        ),
    ),
    "thread": Build(
        "ThreadSanitizer: memory that two threads use, and nothing orders",
        SANITIZE + "thread",
        runtime="libtsan.so",
        instrument="__tsan_read",
        environment=(("TSAN_OPTIONS", RACES),),
        prefix=("setarch", "-R"),  # it has to know where everything lies, and knows no more than 28 random bits
        tests=THREADS,
    ),
    "O0": Build("without optimisation", "-O0"),
    "gcc": Build("gcc as it is installed, -O3", ""),
    "clang": Build("clang as it is installed, -O3", "", compiler="clang"),
}  # fmt: skip


def compiler_of(build: Build, directory: Path) -> Path:
    """A command that compiles like the build's compiler, and is strict with the files that are ours."""
    wrapper = directory / "cc"
    wrapper.write_text(
        f'#!/bin/sh\ncase " $*" in *" -c fastquant/src/"*) exec {build.compiler} "$@" {WARNINGS};; esac\n'
        f'exec {build.compiler} "$@"\n'
    )
    wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR)
    return wrapper


SOURCES = ("fastquant", "setup.py", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in", "sbom.py")
NOT_SOURCES = ("*.so", "__pycache__", "_kernels.c")


def made_of(build: Build) -> str:
    """Flags, compiler and sources, told from others."""
    version = subprocess.run([build.compiler, "--version"], capture_output=True, text=True, check=True).stdout
    digest = hashlib.sha256(f"{build.flags} {build.compiler} {version} {sys.version}".encode())
    for file in sorted(file for name in SOURCES for file in (ROOT / name, *(ROOT / name).rglob("*"))):
        inside = file.relative_to(ROOT)
        if file.is_file() and not any(fnmatch(part, pattern) for part in inside.parts for pattern in NOT_SOURCES):
            digest.update(f"{inside} {file.stat().st_size} ".encode() + file.read_bytes())
    return digest.hexdigest()


def built(build: Build, directory: Path) -> Path:
    """The package in this directory: the one that is there, if it was made of the same, or a new one."""
    mark, package, wanted = directory / "made-of", directory / "source", made_of(build)
    if not mark.exists() or mark.read_text() != wanted:
        mark.unlink(missing_ok=True)
        shutil.rmtree(package, ignore_errors=True)
        make(build, directory)
        mark.write_text(wanted)
    for kernels in package.glob("fastquant/_kernels*.so"):
        assert build.instrument.encode() in kernels.read_bytes(), f"{kernels} calls no {build.instrument}"
    return package


def make(build: Build, directory: Path) -> Path:
    """The package, built in a copy of the sources; the directory to import it from."""
    source = directory / "source"
    for name in SOURCES:
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=shutil.ignore_patterns(*NOT_SOURCES))
        else:
            shutil.copy2(path, source / name)
    # egg_info: the package asks for its version, which no installed one need be there to tell.
    command = [sys.executable, "setup.py", "-q", "egg_info", "build_ext", "--inplace"]
    flags = {"FASTQUANT_CFLAGS": build.flags, "CFLAGS": "-g1" if "-g1" in build.flags else "", "LDFLAGS": build.flags}
    environment = os.environ | flags | {"CC": str(compiler_of(build, directory))}
    subprocess.run(command, cwd=source, env=environment, check=True)
    return source


def warnings(build: Build) -> int:
    """How many of the C files that are ours the compiler warns of: in seconds, where compiling takes minutes. Vector
    targets are among them even where the build leaves them out; what only the optimiser sees comes with the build."""
    command = [build.compiler, "-fsyntax-only", "-O3", "-std=c11", *ARITHMETIC, "-Ifastquant", *WARNINGS.split()]
    files = sorted((ROOT / "fastquant" / "src").glob("*.c"))
    assert files
    return sum(subprocess.run([*command, file], cwd=ROOT, check=False).returncode != 0 for file in files)


def runtime_of(build: Build) -> str:
    found = subprocess.run(
        [build.compiler, f"-print-file-name={build.runtime}"], capture_output=True, text=True, check=True
    )
    return found.stdout.strip()


def reports(logs: Path) -> list[str]:
    """Those in which our code takes part. The interpreter, the loader and the vector code of libc have their own: they
    read words that hold more than they look at."""
    texts = [file.read_text(errors="replace") for file in sorted(logs.iterdir())]
    found = [paragraph for text in texts for paragraph in re.split(r"(?m)^==\d+== *\n", text)]
    return [paragraph for paragraph in found if "_kernels" in paragraph or "/fastquant/" in paragraph]


def test(build: Build, package: Path, arguments: list[str]) -> int:
    environment = os.environ | {"PYTHONPATH": str(package)} | dict(build.environment)
    if build.runtime:
        environment["LD_PRELOAD"] = runtime_of(build)
    logs = package.parent / "logs"
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir()
    python = [*(word.replace(LOGS, str(logs)) for word in build.prefix), sys.executable, "-P"]
    imported = "import fastquant._kernels; print(fastquant._kernels.__file__)"
    done = subprocess.run([*python, "-c", imported], env=environment, capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()).is_relative_to(package), f"{done.stdout} instead of the build in {package}"
    command = [*python, "-m", "pytest", "-q", *(arguments or build.tests)]
    code = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
    found = reports(logs)
    print(*found, sep="\n", end="")
    return code or bool(found)


def split(argv: list[str]) -> tuple[list[str], list[str]]:
    """What stands before -- and behind it: argparse gives up where options stand between a name and --."""
    at = argv.index("--") if "--" in argv else len(argv)
    return argv[:at], argv[at + 1 :]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.builds", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", nargs="?", choices=BUILDS, help="; ".join(f"{n}: {b.what}" for n, b in BUILDS.items()))
    parser.add_argument("--keep", type=Path, metavar="DIR", help="build there, or take the same build if it is there")
    parser.add_argument("--compiler", metavar="NAME", help="in place of the build's own, gcc or clang")
    parser.add_argument("--warnings", action="store_true", help="only look for warnings, and build nothing")
    parser.epilog = "What stands behind -- is for pytest."
    own, arguments = split(sys.argv[1:] if argv is None else argv)
    options = parser.parse_args(own)
    if options.name is None:
        parser.print_help()
        return 0
    build = BUILDS[options.name]
    build = build._replace(compiler=options.compiler or build.compiler)
    if shutil.which(build.compiler) is None:
        parser.error(f"no {build.compiler} here")
    if wrong := warnings(build):
        print(f"{options.name}: FAILED, warnings in {wrong} files")
        return 1
    if options.warnings:
        print(f"{options.name}: no warnings in the C files of fastquant/src")
        return 0
    with tempfile.TemporaryDirectory(prefix="fastquant-build-") as temporary:
        directory = options.keep or Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        package = built(build, directory)
        print(f"{options.name}: there after {time.monotonic() - began:.0f} s", flush=True)
        code = test(build, package, arguments)
        print(f"{options.name}: {'passed' if code == 0 else 'FAILED'} after {time.monotonic() - began:.0f} s")
        return code


if __name__ == "__main__":
    sys.exit(main())
