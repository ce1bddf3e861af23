"""The edits of sabotage.py: mistakes that somebody could make in the kernels and in the checks around them.

Each has a name, a file, and pairs of (text, replacement). A text occurs once in its file; where it occurs more often
the pair has the number of times as a third element. Keep the texts short: they have to follow the sources.
"""

from __future__ import annotations

import sabotage_bench
import sabotage_checks
import sabotage_io
import sabotage_lanes
import sabotage_loops
import sabotage_native
import sabotage_rows
import sabotage_rules
import sabotage_targets
import sabotage_threads
import sabotage_wide
from sabotage_files import Edit

__all__ = ["EDITS", "Edit"]

EDITS: list[Edit] = [
    *sabotage_lanes.EDITS,
    *sabotage_loops.EDITS,
    *sabotage_checks.EDITS,
    *sabotage_wide.EDITS,
    *sabotage_rows.EDITS,
    *sabotage_targets.EDITS,
    *sabotage_native.EDITS,
    *sabotage_rules.EDITS,
    *sabotage_threads.EDITS,
    *sabotage_bench.EDITS,
    *sabotage_io.EDITS,
]
