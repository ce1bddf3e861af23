"""The tests on machines that are not here: big-endian, of 32 bits, with the newest compilers and Python.

    python -m tests.other_machines                      what there is
    python -m tests.other_machines s390x                make the machine, once; build there; run the tests there
    python -m tests.other_machines i386 -- -k layouts -x
    python -m tests.other_machines newest --build clang -- -n 2

A machine is a root directory with a Debian for its architecture, which debootstrap makes; where this CPU cannot run it,
qemu-user does. Needs Linux, root's rights, debootstrap and the keys of Debian's archive (debian-archive-keyring), and
qemu-user-static for architectures of other CPUs. Nothing is taken that these keys have not signed, or that has expired:
--keyring and --snapshot are for other archives. Nothing outside of the directory is changed, but for the kernel's list
of interpreters, where qemu's is entered as its package would. What is built there, and how: tests/builds.py.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent))  # as pytest has it: for python -m

from builds import BUILDS, split

ROOT = Path(__file__).resolve().parents[1]
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
INTERPRETERS = Path("/proc/sys/fs/binfmt_misc")

# What the tests ask for that Debian has, so that nothing has to be compiled there, slowly, but for what is tested.
PACKAGES = [
    *("python3-dev", "python3-numpy", "python3-ml-dtypes", "python3-setuptools", "cython3", "gcc", "libc6-dev"),
    *("python3-pytest", "python3-pytest-xdist", "python3-hypothesis", "python3-packaging", "python3-yaml"),
    *("python3-safetensors", "python3-rich", "python3-onnx"),
]


class Machine(NamedTuple):
    what: str
    suite: str
    architecture: str = ""  # this machine's, unless named
    emulator: str = ""  # where this CPU does not run it
    newest: tuple[str, ...] = ()  # compilers of which the newest is wanted, whichever Debian takes by itself
    builds: tuple[str, ...] = ("gcc",)  # of tests/builds.py
    tests: tuple[str, ...] = ()  # arguments of pytest before those that are given; the whole suite


# What bytes and words mean, and no more: the emulator is some 20 times slower.
BYTES = (
    "reference or span_values or span_runs or test_api or rules or rows or layouts or matrix or quantizers or errors "
    "or oracle or native or files or fuzz or dlpack or onnx or plain_calls or minmax or environment"
)

MACHINES = {
    "s390x": Machine("big-endian, 64 bits", "testing", "s390x", emulator="qemu-s390x", tests=("-k", BYTES)),
    "i386": Machine("little-endian, 32 bits; floats in registers of 80 bits", "testing", "i386"),
    "newest": Machine(
        "this machine's architecture with the newest gcc, clang and Python of Debian's archive",
        "sid",
        newest=("gcc", "clang"),
        builds=("gcc", "clang", "O0"),
    ),
}

# In a mount namespace of its own: what is mounted here is gone when the command ends, however it ends.
ENTER = """
set -e
root=$1 sources=$2
shift 2
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --rbind /sys "$root/sys"
mkdir -p "$root/opt/fastquant"
mount --bind -o ro "$sources" "$root/opt/fastquant"
exec chroot "$root" "$@"
"""

NEWEST = """
set -e
for name in "$@"; do
    package=$(apt-cache search --names-only "^$name-[0-9]+\\$" | sed 's/ .*//' | sort -V | tail -n 1)
    apt-get install -y -q --no-install-recommends "$package"
    ln -sf "/usr/bin/$package" "/usr/local/bin/$name"
    "$name" --version
done
"""

ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LC_ALL": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
    # The sources are mounted read-only.
    "PYTHONDONTWRITEBYTECODE": "1",
    "HYPOTHESIS_STORAGE_DIRECTORY": "/tmp/hypothesis",
}


def inside(directory: Path, *command: str) -> int:
    """Run a command on the machine, in the directory of the sources."""
    enter = ["unshare", "--mount", "--propagation=private", "sh", "-c", ENTER, "sh", str(directory), str(ROOT)]
    moved = ["sh", "-c", 'cd /opt/fastquant && exec "$@"', "sh"]
    passed = {name: value for name, value in os.environ.items() if name.startswith("FASTQUANT_")}
    return subprocess.run([*enter, *moved, *command], env=ENVIRONMENT | passed, check=False).returncode


def must(code: int, what: str) -> None:
    if code:
        raise SystemExit(f"{what}: failed with exit code {code}")


def register(emulator: str) -> None:
    """Tell the kernel who runs this machine's programs. Debian's package does so where systemd runs, but not in
    containers."""
    if (INTERPRETERS / emulator).exists():
        return
    rule = Path(f"/usr/lib/binfmt.d/{emulator}.conf")
    if not rule.exists():
        raise SystemExit(f"no {rule}: install qemu-user-static")
    if not (INTERPRETERS / "register").exists():
        mount = ["mount", "-t", "binfmt_misc", "none", INTERPRETERS]
        must(subprocess.run(mount, check=False).returncode, "the list of interpreters")
    (INTERPRETERS / "register").write_text(rule.read_text())


def make(
    machine: Machine, directory: Path, suite: str, mirror: str | None, keyring: Path = KEYRING, snapshot: bool = False
) -> None:
    """The root directory, from nothing. One that was left half made is made again; a finished one is left alone."""
    began, base, done = (directory / f".fastquant-{step}" for step in ("began", "base", "done"))
    wanted = " ".join([mirror or "", suite, machine.architecture])
    if directory.exists() and any(directory.iterdir()) and not began.exists():
        raise SystemExit(f"{directory} holds something that is not a machine made by this program")
    if not base.exists() or base.read_text() != wanted:
        # debootstrap by itself takes what nobody has signed where there are no keys.
        if not keyring.exists():
            raise SystemExit(f"no {keyring}: install {keyring.stem}, or say with --keyring where the keys are")
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        began.touch()
        # What it mounts there is to be gone, too, before anybody removes the directory.
        command = ["unshare", "--mount", "--propagation=private", "debootstrap", "--variant=minbase"]
        command += [f"--keyring={keyring}"]
        command += [f"--arch={machine.architecture}"] if machine.architecture else []
        command += [suite, str(directory), *([mirror] if mirror else [])]
        must(subprocess.run(command, check=False).returncode, "debootstrap")
        base.write_text(wanted)
    if not done.exists() or done.read_text() != " ".join(PACKAGES):
        # Signatures last, so that a mirror could hand out the packages of a former day, with the faults that they had:
        # an index says until when it is to be believed. debootstrap does not look at that; apt does, unless the mirror
        # is meant to be of a former day, when every index has expired.
        update = ["apt-get", "update", "-q"]
        update += ["-o", "Acquire::Check-Valid-Until=false"] if snapshot else []
        install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *PACKAGES]
        must(inside(directory, *update), "apt-get update")
        must(inside(directory, *install), "apt-get install")
        must(inside(directory, "sh", "-c", NEWEST, "sh", *machine.newest), "the newest compilers")
        done.write_text(" ".join(PACKAGES))


def run(machine: Machine, directory: Path, builds: list[str], keep: bool, arguments: list[str]) -> int:
    """Build there and run the tests there; how many builds failed."""
    failed = 0
    for build in builds:
        place = f"/opt/builds/{build}"
        if not keep:
            shutil.rmtree(directory / place.lstrip("/"), ignore_errors=True)
        tests = ["-p", "no:cacheprovider", *machine.tests, *arguments]
        failed += inside(directory, "python3", "-m", "tests.builds", build, "--keep", place, "--", *tests) != 0
    return failed


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.other_machines", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = "; ".join(f"{name}: {machine.what}" for name, machine in MACHINES.items())
    parser.add_argument("name", nargs="?", choices=MACHINES, help=names)
    parser.add_argument("--root", type=Path, metavar="DIR", help="of the machine (/var/tmp/fastquant-NAME)")
    parser.add_argument("--suite", help="of Debian")
    parser.add_argument("--mirror", help="of Debian's archive, in place of debootstrap's own")
    parser.add_argument("--keyring", type=Path, default=KEYRING, metavar="FILE", help=f"of that archive ({KEYRING})")
    parser.add_argument("--snapshot", action="store_true", help="the mirror is of a former day, and may have expired")
    parser.add_argument("--build", action="append", choices=BUILDS, help="of tests/builds.py; may be given again")
    parser.add_argument("--keep", action="store_true", help="take the builds that are there")
    parser.epilog = "What stands behind -- is for pytest."
    own, arguments = split(sys.argv[1:] if argv is None else argv)
    options = parser.parse_args(own)
    if options.name is None:
        parser.print_help()
        return 0
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        parser.error("needs Linux and root's rights")
    machine = MACHINES[options.name]
    directory = options.root or Path(f"/var/tmp/fastquant-{options.name}")
    if machine.emulator:
        register(machine.emulator)
    suite = options.suite or machine.suite
    make(machine, directory.resolve(), suite, options.mirror, options.keyring, options.snapshot)
    builds = options.build or list(machine.builds)
    return 1 if run(machine, directory.resolve(), builds, options.keep, arguments) else 0


if __name__ == "__main__":
    sys.exit(main())
