"""How many times as fast one call is as another that does the same: for tables."""

from __future__ import annotations

import timeit
from collections.abc import Callable
from typing import Any

ROUNDS = 15
SECONDS = 0.02  # of a round of one call, if it is shorter


def times_as_fast(mine: Callable[[], Any], original: Callable[[], Any]) -> float:
    """The original's time over ours: the best of interleaved rounds."""
    calls = mine, original
    loops = [max(1, int(SECONDS / max(timeit.timeit(call, number=1), 1e-6))) for call in calls]
    best = [float("inf")] * 2
    for _ in range(ROUNDS):
        for i, call in enumerate(calls):
            best[i] = min(best[i], timeit.timeit(call, number=loops[i]) / loops[i])
    return best[1] / best[0]


def shown(ratio: float) -> str:
    """With two digits; a loss is bold."""
    return f"**{ratio:.2f}**" if ratio < 1 else f"{ratio:.1f}" if ratio < 9.95 else f"{ratio:.0f}"
