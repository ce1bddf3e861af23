"""The machine that figures are of, when they were taken, and the versions."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fastquant as fq
from fastquant import _kernels
from fastquant._bench_peers import versions
from fastquant._memory import physical_memory


def _output_of(*command: str) -> str:
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    return ""


def _text_of(path: Path) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return path.read_text().strip()
    return ""


def cpu_model() -> str:
    if match := re.search(r"^model name\s*:\s*(.+)$", _text_of(Path("/proc/cpuinfo")), re.MULTILINE):
        return match[1]
    mac = _output_of("sysctl", "-n", "machdep.cpu.brand_string") if sys.platform == "darwin" else ""
    return mac or platform.processor() or platform.machine()


def cpu_kind() -> str:
    """Vendor, family and model number, where Linux tells them: different CPUs may have one name."""
    text = _text_of(Path("/proc/cpuinfo"))
    found = dict(re.findall(r"^(vendor_id|cpu family|model)\s*:\s*(.+)$", text, re.MULTILINE))
    return " ".join(found.values()) if len(found) == 3 else cpu_model()


def _is_virtual() -> bool | None:
    """Whether the CPU says that it is a virtual machine's: on x86, where Linux tells; None elsewhere."""
    flags = re.search(r"^flags\s*:(.*)$", _text_of(Path("/proc/cpuinfo")), re.MULTILINE)
    return "hypervisor" in flags[1].split() if flags else None


def revision(package: Path = Path(fq.__file__).parent) -> str:
    """The commit that is checked out, and whether files are not as they are there; "" outside a checkout of fastquant.

    A package installed somewhere below a checkout of something else is none.
    """
    git = ("git", "-C", str(package))
    top = _output_of(*git, "rev-parse", "--show-toplevel")
    if not top or Path(top).resolve() != package.resolve().parent:
        return ""
    return _output_of(*git, "describe", "--always", "--exclude=*", "--dirty= modified")


def _caches() -> dict[str, str]:
    """Sizes of the caches that the first core uses, where Linux tells them."""
    found = {}
    for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = (_text_of(index / name) for name in ("level", "type", "size"))
        if kind in ("Data", "Unified") and size:
            found["L1d" if level == "1" else f"L{level}"] = size
    return found


def machine() -> dict[str, Any]:
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "revision": revision(),
        "compiler": _kernels.compiler(),
        "cpu": cpu_model(),
        "virtual": _is_virtual(),
        "cores": os.cpu_count(),
        "caches": _caches(),
        "memory": physical_memory() or None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "target": fq.cpu.active(),
        "targets": fq.cpu.available(),
        "versions": versions(),
    }


def header(about: dict[str, Any], skipped: Sequence[str]) -> list[str]:
    caches = ", ".join(f"{name} {size}" for name, size in about["caches"].items()) or "not known"
    memory = f"; {about['memory'] / 2**30:.0f} GiB of memory" if about["memory"] else ""
    # Figures of older runs do not tell what is asked for with get.
    virtual = about.get("virtual")
    kind = "" if virtual is None else f" ({'a' if virtual else 'no'} virtual machine's)"
    parts = (("", "date"), ("fastquant's revision ", "revision"), ("kernels compiled by ", "compiler"))
    run = ", ".join(words + about[key] for words, key in parts if about.get(key))
    libraries = ", ".join(f"{name} {found}" for name, found in about["versions"].items())
    return [
        *([f"run: {run}"] if run else []),
        f"CPU: {about['cpu']}{kind}, {about['cores']} cores; caches of one: {caches}{memory}",
        f"target: {about['target']} (of {', '.join(about['targets'])}); {about['system']}",
        f"versions: Python {about['python']}, {libraries}",
        *(f"left out: {line}" for line in skipped),
    ]
