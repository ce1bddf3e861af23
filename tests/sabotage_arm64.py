"""The tree of sabotage.py in a root directory of 64-bit Arm, for the edits of neon's lanes where no such CPU is."""

from __future__ import annotations

import subprocess
from pathlib import Path

from arm64 import Extension, python
from sabotage_tree import Broken, Tree


class Arm64Tree(Tree):
    """`path` is in `root`, of arm64.py."""

    # Those that run lanes: emulated, all would take hours.
    tests = (
        *("exhaustive_small", "span_values", "span_lengths", "rules", "span_packs", "guard_pages"),
        *("span_runs", "span_tiles", "minmax", "rows", "plain_calls", "layouts", "division", "matrix", "environment"),
    )

    hangs = 6 * 3600

    def __init__(self, path: Path, root: Path) -> None:
        super().__init__(path)
        self.root = root
        self.extension = Extension(root, path, "-O1", "-DFQ_CALLS")
        self.complete = False

    def run(self, *arguments: str, seconds: float | None = None) -> subprocess.CompletedProcess[str]:
        return python(self.root, self.path, *arguments, capture_output=True, timeout=seconds)

    def build(self, edited: str) -> None:
        if errors := self.extension.compile(*(["target_neon"] if self.complete else [])):
            raise Broken("does not compile:\n" + errors.strip()[-1500:])
        self.complete = True
