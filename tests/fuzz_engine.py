"""What finds and keeps inputs, whatever they are inputs of: bytes are changed, and what reaches something new is kept.

New is a pair of lines of Python that have not followed each other before, or anything else that the target counts as a
feature, such as the message of an error. Compiled code is not traced: its targets have to name features.
"""

from __future__ import annotations

import hashlib
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, Protocol, TypeVar

T = TypeVar("T")
# Where lengths, offsets and counters of 8 to 64 bits, with sign or without, end or begin to be something else.
NUMBERS = tuple(
    sorted(
        {
            sign * 2**e + d
            for e in (0, 1, 7, 8, 15, 16, 31, 32, 40, 53, 62, 63, 64)
            for d in (-1, 0, 1)
            for sign in (1, -1)
        }
    )
)


class Entry(NamedTuple):
    """An input: bytes, and what kind of file they would be."""

    suffix: str
    data: bytes

    @property
    def name(self) -> str:
        return hashlib.sha1(self.data, usedforsecurity=False).hexdigest()[:16] + self.suffix


class Target(Protocol):
    name: str

    def seeds(self) -> list[Entry]:
        """What to begin with, beside the kept corpus."""

    def run(self, entry: Entry) -> Iterable[Hashable]:
        """Features of the entry; AssertionError, or anything else, if something is wrong."""

    def mutate(self, entry: Entry, others: Sequence[Entry], rng: random.Random) -> Entry: ...

    def describe(self, entry: Entry) -> str:
        """For people."""


class Bytes:
    """Choices from bytes. Where these end everything is 0, which stands for the plainest choice."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def byte(self) -> int:
        self.at += 1
        return self.data[self.at - 1] if self.at <= len(self.data) else 0

    def pick(self, choices: Sequence[T]) -> T:
        return choices[self.byte() % len(choices)]

    def seldom(self) -> bool:
        """One in sixteen."""
        return self.byte() >= 240

    def number(self, n: int) -> int:
        """Of n bytes."""
        return int.from_bytes(bytes(self.byte() for _ in range(n)), "little")


class Trace:
    """Pairs of lines that follow each other in some modules' code, and how many lines there were."""

    def __init__(self, *modules: str) -> None:
        self.modules, self.pairs, self.lines = modules, set[tuple[str, int, int]](), 0
        self._wanted: dict[Any, bool] = {}

    def __enter__(self) -> Trace:
        self.pairs, self.lines, self._before = set(), 0, sys.gettrace()
        sys.settrace(self._call)
        return self

    def __exit__(self, *exc: object) -> None:
        sys.settrace(self._before)

    def _call(self, frame: FrameType, event: str, arg: object) -> Any:
        code = frame.f_code
        wanted = self._wanted.get(code)
        if wanted is None:
            wanted = self._wanted[code] = str(frame.f_globals.get("__name__")).startswith(self.modules)
        if not wanted:
            return None
        before, name, add = 0, code.co_qualname, self.pairs.add

        def line(frame: FrameType, event: str, arg: object) -> Any:
            nonlocal before
            if event == "line":
                self.lines += 1
                # From the function's first line: a change elsewhere in the file leaves features as they were.
                now = frame.f_lineno - code.co_firstlineno
                add((name, before, now))
                before = now
            return line

        return line


def changed(data: bytes, other: bytes, rng: random.Random, longest: int) -> bytes:
    """data, changed in one to four places, as if it had no meaning."""
    at_once = rng.choice((1, 1, 2, 4))
    for _ in range(at_once):
        n = len(data)
        at = rng.randrange(n + 1)
        size = min(rng.choice((1, 1, 2, 4, 8, 16)), n - at)
        how = rng.randrange(9)
        if how == 0 and n:
            at %= n
            data = data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
        elif how == 1:
            data = data[:at] + rng.randbytes(size) + data[at + size :]
        elif how == 2:
            data = data[:at] + rng.randbytes(rng.choice((1, 2, 8))) + data[at:]
        elif how == 3:
            data = data[:at] + data[at + size :]
        elif how == 4:
            data = data[:at] + data[at : at + size] * 2 + data[at + size :]
        elif how == 5:
            size = rng.choice((1, 2, 4, 8))
            number = rng.choice(NUMBERS) % 256**size
            data = data[:at] + number.to_bytes(size, rng.choice(("little", "big"))) + data[at + size :]
        elif how == 6 and other:
            begin = rng.randrange(len(other))
            data = data[:at] + other[begin : begin + rng.choice((4, 16, 64))] + data[at:]
        elif how == 7 and other:
            data = data[:at] + other[min(at, len(other)) :]
        else:
            data = data[:at] + bytes([rng.choice((0, 1, 127, 128, 255))]) + data[at + 1 :]
    return data[:longest]


def letters(message: str) -> str:
    """What is the same in messages of one kind: letters, up to where what was given may begin."""
    return re.sub("[^a-z]+", " ", re.split("['\"`({[]", message.lower())[0])[:60].strip()


class Finding(NamedTuple):
    entry: Entry
    kind: str  # of the failure: one of each is enough
    message: str


class Report:
    """What a run did."""

    def __init__(self, target: str) -> None:
        self.target, self.executions, self.seconds = target, 0, 0.0
        self.findings: dict[str, Finding] = {}
        self.new: list[Entry] = []
        self.features: set[Hashable] = set()

    def __str__(self) -> str:
        speed = f"{self.executions / self.seconds:,.0f}/s" if self.seconds else "-"
        return (
            f"{self.target}: {self.executions:,} executions in {self.seconds:.0f} s ({speed}), {len(self.features):,} "
            f"features, {len(self.findings)} findings, {len(self.new)} new entries"
        )


def failure(target: Target, entry: Entry) -> tuple[str, str] | set[Hashable]:
    """Features of an entry; or the kind of the failure and its message."""
    try:
        return set(target.run(entry))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        frame = error.__traceback__
        while frame is not None and frame.tb_next is not None:
            frame = frame.tb_next
        where = f"{Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}" if frame else ""
        told = f"{type(error).__name__}: {error}"
        return f"{type(error).__name__} at {where}, {letters(told)}", told


def smaller(data: bytes) -> Iterator[bytes]:
    """Without a piece, or with zeros for it; ever smaller pieces."""
    size = len(data)
    while size > 0:
        for at in range(0, len(data), size):
            yield data[:at] + data[at + size :]
            yield data[:at] + bytes(len(data[at : at + size])) + data[at + size :]
        size //= 2


def reduced(target: Target, finding: Finding, most: int = 300) -> Finding:
    """A smaller entry that fails in the same way."""
    tries = 0
    again = True
    while again and tries < most:
        again = False
        for data in smaller(finding.entry.data):
            tries += 1
            if tries >= most or data == finding.entry.data:
                continue
            entry = finding.entry._replace(data=data)
            found = failure(target, entry)
            if isinstance(found, tuple) and found[0] == finding.kind:
                finding, again = Finding(entry, *found), True
                break
    return finding


def fuzz(
    target: Target, corpus: Sequence[Entry], seed: int, *, seconds: float | None = None, count: int | None = None,
    before: Callable[[Entry], object] = lambda entry: None, first: bool = False,
) -> Report:  # fmt: skip
    """Tries the seeds and the corpus, then changes of them, for so many seconds or so many times. before: called with
    each entry, which a crash of the process would take with it. first: ends with the first finding, as it is."""
    report, rng, start = Report(target.name), random.Random(seed), time.monotonic()
    known = dict.fromkeys([*target.seeds(), *corpus])
    kept: list[Entry] = []

    def attempt(entry: Entry, is_new: bool) -> None:
        before(entry)
        report.executions += 1
        found = failure(target, entry)
        if isinstance(found, tuple):
            if found[0] not in report.findings:
                finding = Finding(entry, *found)
                report.findings[found[0]] = finding if first else reduced(target, finding)
        elif not found <= report.features:
            report.features |= found
            kept.append(entry)
            if is_new:
                report.new.append(entry)

    def goes_on() -> bool:
        in_time = seconds is None or time.monotonic() - start < seconds
        return in_time and (count is None or changes < count) and not (first and report.findings)

    changes = 0
    for entry in known:
        attempt(entry, False)
    while goes_on():
        changes += 1
        # The newest half as often as all: what was reached last is where there is most to find.
        pool = kept[len(kept) // 2 :] if rng.random() < 0.5 else kept
        entry = target.mutate(rng.choice(pool or [*known]), kept or [*known], rng)
        if entry not in known:
            attempt(entry, True)
    report.seconds = time.monotonic() - start
    return report


def covering(target: Target, entries: Iterable[Entry]) -> list[Entry]:
    """Few of these that have all their features: those with most first, less what later ones make superfluous."""
    found = {entry: failure(target, entry) for entry in entries}
    sets = {entry: features for entry, features in found.items() if isinstance(features, set)}
    times: Counter[Hashable] = Counter()
    few = []
    for entry in sorted(sets, key=lambda entry: (-len(sets[entry]), len(entry.data), entry)):
        if any(feature not in times for feature in sets[entry]):
            few.append(entry)
            times.update(sets[entry])
    for entry in few[:]:
        if all(times[feature] > 1 for feature in sets[entry]):
            few.remove(entry)
            times.subtract(sets[entry])
    return few


def read_corpus(directory: Path) -> list[Entry]:
    return [Entry(path.suffix, path.read_bytes()) for path in sorted(directory.iterdir()) if path.is_file()]


def write_corpus(directory: Path, entries: Iterable[Entry]) -> None:
    """These entries and no others."""
    directory.mkdir(parents=True, exist_ok=True)
    wanted = {entry.name: entry.data for entry in entries}
    for path in directory.iterdir():
        if path.is_file() and path.name not in wanted:
            path.unlink()
    for name, data in wanted.items():
        (directory / name).write_bytes(data)
