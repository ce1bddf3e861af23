"""Targets: the same kernels, compiled for different instruction sets.

The best target that the CPU can run is chosen at import, or the one that the environment variable FASTQUANT_CPU names.
Results are identical on all of them; `use` is for tests, comparisons and for ruling a target out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fastquant import _kernels

__all__ = ["active", "available", "use"]


def available() -> tuple[str, ...]:
    """Names of the targets that this build has and this CPU can run, the best last."""
    return _kernels.targets()


def active() -> str:
    """Name of the target in use."""
    return _kernels.active()


@contextmanager
def use(target: str) -> Iterator[None]:
    """Run the body of a `with` statement on the named target, in all threads of the process.

    Raises ValueError if this build or this CPU does not have it. Calls already under way end with the target that they
    began with. The choice belongs to the process: uses that overlap in several threads leave whichever target the last
    to end found in use.
    """
    before = _kernels.active()
    _activate(target, "target")
    try:
        yield
    finally:
        _kernels.activate(before)


def _activate(target: str, argument: str) -> None:
    if not isinstance(target, str):
        raise TypeError(f"{argument}: got {type(target).__name__}, expected a target's name")
    if target not in available():
        raise ValueError(f"{argument}: got {target!r}, expected one of {', '.join(available())} on this machine")
    _kernels.activate(target)


def _last_level_cache(caches: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> int:
    """Bytes of the largest cache, or a usual size where the system does not tell. The C library knows it on x86 only,
    Linux on most others too."""
    sizes = []
    for file in caches.glob("index*/size"):
        with suppress(OSError, ValueError):
            sizes.append(int(file.read_text().strip().removesuffix("K")) << 10)
    with suppress(AttributeError, ValueError, OSError):
        sizes.append(os.sysconf("SC_LEVEL3_CACHE_SIZE"))
    return max(*sizes, 0, 0) or 32 << 20


def _choose_at_import() -> None:
    _kernels.set_stream_from(_last_level_cache())
    chosen = os.environ.get("FASTQUANT_CPU")
    _activate(chosen or available()[-1], "FASTQUANT_CPU")


_choose_at_import()
