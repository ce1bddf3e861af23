"""How much memory of freed results is kept for the next ones: found at import."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from pathlib import Path
from typing import Any

from fastquant import _cgroups, _kernels

_MOST = 512 << 20
_SHARE = 16  # of the memory that there is
# glibc's malloc keeps what is smaller (mallopt(3), M_MMAP_THRESHOLD), others give it back.
_SMALLEST = (32 if platform.libc_ver()[0] == "glibc" else 4) << 20

_OVERCOMMIT = Path("/proc/sys/vm/overcommit_memory")


def physical_memory() -> int:
    """Bytes of memory that the machine has; where it does not tell, none."""
    try:
        return max(0, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return 0


def _allowed(group: str = _cgroups.OWN, root: Path = _cgroups.ROOT) -> int:
    """Bytes that the control group leaves of them, by the kernel's documentation of cgroup-v2 (memory.max) and of its
    predecessor (memory.limit_in_bytes)."""
    found = [physical_memory()]
    for legacy, folder in _cgroups.folders("memory", group, root):
        text = _cgroups.text_of(folder / ("memory.limit_in_bytes" if legacy else "memory.max")).strip()
        if text.isdecimal():
            found.append(int(text))
    return min(found)


def _is_counted() -> bool:
    """Whether what the system may take back counts until it does: as address space, or as memory that was promised."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        if resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY:
            return True
    return _cgroups.text_of(_OVERCOMMIT).strip() == "2"


def _default(environment: Any) -> int:
    wanted = environment.get("FASTQUANT_KEEP_BYTES")
    if wanted:
        if not (wanted.strip().isdecimal() and int(wanted) <= 1 << 62):
            raise ValueError(f"FASTQUANT_KEEP_BYTES: got {wanted!r}, expected a number of bytes, 0 to keep none")
        return int(wanted)
    return 0 if _is_counted() else min(_MOST, _allowed() // _SHARE)


_kernels.keep(_default(os.environ), _SMALLEST)
