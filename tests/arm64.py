"""The tests of neon on a machine without it: under qemu-user, in a root directory of 64-bit Arm.

    python tests/arm64.py ROOT                       all tests, but for those of the portable target
    python tests/arm64.py ROOT -x tests/test_rows.py

ROOT is what `debootstrap --arch=arm64` makes, with /proc mounted, and has Python, NumPy, ml_dtypes, pytest, hypothesis
and gcc, which the oracle wants. The extension is compiled out here, by `aarch64-linux-gnu-gcc`: in there it would take
an hour. Needs what a build needs, qemu-user-static with binfmt, and root's rights.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
COPIED = ["fastquant", "tests", "docs", "examples", "bench", ".github"]
COPIED += ["pyproject.toml", "setup.py", "sbom.py", "LICENSE", *(file.name for file in REPOSITORY.glob("*.md"))]
LEFT_OUT = shutil.ignore_patterns("*.so", "*.pyd", "*.o", "build", "__pycache__", ".*")

COMPILER = "aarch64-linux-gnu-gcc"
# As setup.py has them.
FLAGS = ("-O3", "-std=c11", "-ffp-contract=off", "-fno-trapping-math", "-fno-math-errno", "-fvisibility=hidden")
STRICT = ("-Wall", "-Wextra", "-Werror")  # with what is ours: what Cython makes has warnings
MACROS = ("-DNPY_NO_DEPRECATED_API=NPY_2_0_API_VERSION", "-DNPY_TARGET_VERSION=NPY_2_0_API_VERSION")
FACTS = """import sysconfig, numpy
print(sysconfig.get_path("include"), numpy.get_include(), sysconfig.get_config_var("EXT_SUFFIX"))"""


def python(root: Path, tree: Path, *arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    """Runs the Python of `root` in `tree`, which is a directory in there, whose fastquant it imports."""
    inside = f"/{tree.relative_to(root)}"
    environment = {"PATH": "/usr/sbin:/usr/bin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8"}
    environment |= {"PYTHONPATH": inside, "PYTHONDONTWRITEBYTECODE": "1"}
    command = ["chroot", str(root), "env", "-C", inside, "python3", *arguments]
    return subprocess.run(command, env=environment, text=True, check=False, **options)  # type: ignore[call-overload,no-any-return]


class Extension:
    """The extension module of a tree in a root directory, compiled for it."""

    def __init__(self, root: Path, tree: Path, *flags: str) -> None:
        include, numpy, suffix = python(root, tree, "-c", FACTS, stdout=subprocess.PIPE).stdout.split() or [""] * 3
        if not suffix:
            raise SystemExit(f"no Python in {root} that has NumPy")
        self.tree = tree
        self.objects = tree / "build"
        self.module = tree / "fastquant" / f"_kernels{suffix}"
        includes = (f"-I{tree}/fastquant", f"-I{root}{include}", f"-I{root}{numpy}", f"-I{root}/usr/include")
        self.command = (COMPILER, *FLAGS, *flags, "-fPIC", "-g0", "-pthread", *MACROS, *includes)

    def compile(self, *names: str) -> str:
        """These sources, or all; then links. Returns what the compiler says when it fails."""
        translated = self.tree / "fastquant" / "_kernels.c"
        sources = [*sorted((self.tree / "fastquant" / "src").glob("*.c")), translated]
        if not names:
            self.objects.mkdir(exist_ok=True)
            # Cython's part, and egg_info: the package asks for its version.
            subprocess.run([sys.executable, "setup.py", "-q", "egg_info"], cwd=self.tree, check=True)
        objects = {source: str(self.objects / f"{source.stem}.o") for source in sources}
        chosen = [source for source in sources if not names or source.stem in names]
        commands: list[Sequence[str]] = [
            (*self.command, *(() if source == translated else STRICT), "-c", str(source), "-o", objects[source])
            for source in chosen
        ]
        commands.append((COMPILER, "-shared", "-pthread", *objects.values(), "-lm", "-o", str(self.module)))
        for command in commands:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                return done.stderr
        return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, metavar="ROOT")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="of pytest")
    options = parser.parse_args()
    root = options.root.resolve()
    with tempfile.TemporaryDirectory(prefix="fastquant-", dir=root / "opt") as directory:
        tree = Path(directory)
        for source in (REPOSITORY / name for name in COPIED):
            if source.is_dir():
                shutil.copytree(source, tree / source.name, ignore=LEFT_OUT)
            else:
                shutil.copy2(source, tree / source.name)
        if errors := Extension(root, tree).compile():
            sys.exit(errors)
        command = ("-m", "pytest", "-q", "--require-targets=neon", "-k", "not portable", *options.arguments)
        return python(root, tree, *command).returncode


if __name__ == "__main__":
    sys.exit(main())
