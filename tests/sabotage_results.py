"""What runs of sabotage.py have found: a line of JSON for each edit, and the table made of them."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from sabotage_files import Edit

KILLED, SURVIVED, EQUIVALENT, ERROR, NOT_HERE = "killed", "SURVIVED", "equivalent", "ERROR", "not here"

ROOT = Path(__file__).resolve().parent.parent


class Found(NamedTuple):
    edit: str
    key: str
    file: str
    result: str
    by: str
    test: str = ""  # told from later states of the file with the test that found it
    revision: str = ""


def key_of(edit: Edit, text: str) -> str:
    """Of what is tried: the edit, and the file that it is made in."""
    return hashlib.sha256(json.dumps([edit.pairs, text]).encode()).hexdigest()[:16]


def test_of(by: str) -> str:
    """Of the text of the file that the first of these tests is in."""
    file = ROOT / by.split("::")[0].split(" ")[0]
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16] if file.is_file() else ""


def read(path: Path) -> dict[tuple[str, str], Found]:
    """By edit and key, the last of each that was tried, if the test that found it is still the same."""
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = [Found(**json.loads(line)) for line in lines if line.endswith("}")]  # an interrupt may have cut one
    rows.sort(key=lambda row: row.result != NOT_HERE)
    return {(row.edit, row.key): row for row in rows if row.test == test_of(row.by)}


def write(path: Path, row: Found) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row._asdict()) + "\n")


HEAD = """\
# Mistakes made on purpose

What `python tests/sabotage.py` has found. It makes each of the mistakes listed in `tests/sabotage_*.py` in a copy of
the sources, builds it, and runs the tests until one fails; a mistake that no test sees *survives*: the tests are not
good enough. `--list` prints the mistakes, `--arm64` tries those of NEON elsewhere, `--write` writes this
file.
"""


def document(rows: Sequence[Found], listed: int, targets: Sequence[str], cpu: str) -> str:
    kinds = (KILLED, SURVIVED, EQUIVALENT, ERROR, NOT_HERE)
    revisions = ", ".join(dict.fromkeys(row.revision for row in rows))
    signals, endless = (
        sum(row.result == KILLED and bool(re.search(rf"\({how} [^()]*\)$", row.by)) for row in rows)
        for how in ("signal", "no end")
    )
    files: dict[str, list[Found]] = {}
    for row in rows:
        files.setdefault(row.file, []).append(row)

    def counts(some: Sequence[Found]) -> list[str]:
        return [f"{sum(row.result == kind for row in some):,}" for kind in kinds]

    of_neon = any(row.file.endswith("lanes_neon.h") and row.result == KILLED for row in rows)
    emulated = "; under qemu-user: neon" if of_neon and "neon" not in targets else ""
    lines = [
        *(f"| {' | '.join(('file', 'mistakes', *kinds))} |", "| --- |" + " ---: |" * (1 + len(kinds))),
        *(f"| `{file}` | {len(some):,} | {' | '.join(counts(some))} |" for file, some in sorted(files.items())),
        f"| all | {len(rows):,} | {' | '.join(counts(rows))} |",
    ]
    others = [f"- {row.result}: {row.edit} (`{row.file}`)" for row in rows if row.result in (SURVIVED, ERROR)]
    others += [f"- {row.result}: {row.edit} (`{row.file}`): {row.by}" for row in rows if row.result == EQUIVALENT]
    facts = [
        f"- date: {time.strftime('%Y-%m-%d', time.gmtime())}",
        f"- tried: {len(rows):,} of {listed:,} mistakes that are listed, at revisions {revisions}",
        f"- CPU: {cpu}; targets: {', '.join(targets)}{emulated}",
        f"- killed by the end of the process, not by a test's words: {signals}; by tests that had no end: {endless}",
        "- *equivalent*: no test sees it, and none can, for the reason given below",
        "- *not here*: the edit is of a target that this CPU does not have",
    ]
    return "\n".join([HEAD, *facts, "", *lines, *([""] if others else []), *others, ""])
