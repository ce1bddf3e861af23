"""What sabotage.py breaks: a copy of the repository, built in place, and the tests that are run on it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
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

# Where an edit is likely to be found: those files first.
LIKELY = {
    "_granular.pxi": ("plain_calls", "rules"),
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

    tests: Sequence[str] = TESTS
    hangs = 3600  # seconds; all tests take some minutes

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
        return self.test_files(options, [name for name in self.tests if name not in first])

    def test_files(self, options: Sequence[str], names: Sequence[str]) -> tuple[bool, list[str]]:
        tests = [f"tests/test_{name}.py" for name in names]
        command = ("-X", "faulthandler", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=no", *options, *tests)
        try:
            done = self.run(*command, seconds=self.hangs)
        except subprocess.TimeoutExpired:
            return False, [f"(no end within {self.hangs} s)"]
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
