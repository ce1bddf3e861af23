"""How much memory of freed results is kept for the next ones: found at import."""

from __future__ import annotations

import os
from typing import Any

from fastquant import _kernels

_MOST = 512 << 20
_SHARE = 16  # of the machine's memory


def _physical() -> int:
    """Bytes of memory that the machine has; where it does not tell, none."""
    try:
        return max(0, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return 0


def _default(environment: Any) -> int:
    wanted = environment.get("FASTQUANT_KEEP_BYTES")
    if wanted:
        if not (wanted.strip().isdecimal() and int(wanted) <= 1 << 62):
            raise ValueError(f"FASTQUANT_KEEP_BYTES: got {wanted!r}, expected a number of bytes, 0 to keep none")
        return int(wanted)
    return min(_MOST, _physical() // _SHARE)


_kernels.keep(_default(os.environ))
