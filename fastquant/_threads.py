"""How many threads a call may use: set_num_threads, and what is found at import."""

from __future__ import annotations

import math
import operator
import os
from pathlib import Path
from typing import Any

from fastquant import _cgroups, _kernels

_MOST = 1024


def set_num_threads(n: int) -> None:
    """How many threads a call on large arrays may use, whichever thread of the process makes it.

    n : integer from 1 to 1024

    At import it is what the environment variable FASTQUANT_NUM_THREADS says; without it the number of CPUs that the
    process may run on, by its affinity and the quota of its control group, and not more than OMP_NUM_THREADS. Small
    arrays (below some 4 MiB of input and output) are never split. Threads are started when they are first wanted, and
    sleep between calls; a lower number leaves them asleep. They run where the calling thread may run, by its affinity.
    The limit is for the process: of n calls at once each runs on the thread that it was made on, and only what they
    leave of n helps. Results do not depend on it.

    Returns nothing. Raises TypeError for what is no integer, ValueError for one out of range.
    """
    expected = f"expected an integer from 1 to {_MOST}"
    if isinstance(n, bool):
        raise TypeError(f"n: got {n!r}, {expected}")
    try:
        count = operator.index(n)
    except TypeError:
        raise TypeError(f"n: got {type(n).__name__}, {expected}") from None
    if not 1 <= count <= _MOST:
        raise ValueError(f"n: got {count}, {expected}")
    _kernels.set_threads(count)


def get_num_threads() -> int:
    """Returns how many threads a call on large arrays may use: what set_num_threads was given last. (That one raises
    TypeError and ValueError for what is no such number.)"""
    return _kernels.threads()


def _positive(text: str | None) -> int | None:
    """A number > 0, or the first of a list of them, as OMP_NUM_THREADS has for nested loops."""
    first = (text or "").split(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) > 0 else None


def _share(quota: str, period: str) -> float:
    """CPUs' worth of time; infinite where there is no limit ("max", or -1)."""
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() and int(period) > 0 else math.inf


def _quota(group: str = _cgroups.OWN, root: Path = _cgroups.ROOT) -> float:
    """CPUs that the process's control group may use, by the kernel's documentation of cgroup-v2 (cpu.max) and of its
    predecessor (cpu.cfs_quota_us)."""
    shares = [math.inf]
    for legacy, folder in _cgroups.folders("cpu", group, root):
        if legacy:
            quota = _cgroups.text_of(folder / "cpu.cfs_quota_us").strip()
            shares.append(_share(quota, _cgroups.text_of(folder / "cpu.cfs_period_us").strip()))
        else:
            shares.append(_share(*[*_cgroups.text_of(folder / "cpu.max").split(), "", ""][:2]))
    return min(shares)


def _available() -> int:
    """CPUs that this process may run on; a part of one counts as one."""
    try:
        cpus = len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # not on every system
        cpus = os.cpu_count() or 1
    return max(1, min(cpus, math.ceil(min(_quota(), cpus))))


def _default(environment: Any) -> int:
    wanted = environment.get("FASTQUANT_NUM_THREADS")
    if wanted:
        if not (wanted.strip().isdecimal() and 1 <= int(wanted) <= _MOST):
            raise ValueError(f"FASTQUANT_NUM_THREADS: got {wanted!r}, expected an integer from 1 to {_MOST}")
        return int(wanted)
    return min(_available(), _positive(environment.get("OMP_NUM_THREADS")) or _MOST, _MOST)


_kernels.set_threads(_default(os.environ))
