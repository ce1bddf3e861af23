"""How calls are timed against each other: in turns, the best sample of each, their values compared first."""

from __future__ import annotations

import math
import statistics
import time
import timeit
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastquant._bench_cases import Case
from fastquant._dtypes import code_type_of

if TYPE_CHECKING:
    from fastquant._bench_own import Peer

REST_SECONDS = 0.02  # in which threads that wait for more work, of the peers before, have stopped spinning
SAMPLE_SECONDS = 0.002  # long beside the timer's own cost, short enough for peers to meet the same machine
WARM_SECONDS = 0.25  # longer calls get no other one before each sample: to them what is in the caches is little


NOISY = 1.5  # a spread beyond which something else kept the machine busy for most of the samples


class Unavailable(Exception):
    """A peer's version does not have what a case is about."""


def settle_allocator() -> None:
    """Have glibc keep freed temporaries of up to 32 MiB, as it does once one of that size has been freed
    (mallopt(3), M_MMAP_THRESHOLD). Otherwise those who need temporaries pay for fresh pages in the first
    cases and not in the later ones.
    """
    np.empty((32 << 20) - (64 << 10), np.uint8)


@dataclass
class Contender:
    """One statement of one peer about one case, and how long it took."""

    peer: Peer
    statement: str
    gives_out: bool  # the result goes to memory that the call is given
    names: dict[str, Any]
    calls_per_sample: int = 1
    samples: list[float] = field(default_factory=list)  # seconds a call
    differing: int | None = None  # values that are not fastquant's, of `compared`
    compared: int = 0

    @property
    def name(self) -> str:
        return f"{self.peer.name}, out=" if self.gives_out else self.peer.name

    @property
    def best(self) -> float:
        return min(self.samples)

    @property
    def spread(self) -> float:
        """Median over best: 1 on a quiet machine."""
        return statistics.median(self.samples) / self.best

    def evaluate(self) -> Any:
        """The statement's value. First calls may warn: torch's quantized types are deprecated."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return eval(self.statement, self.names)

    def arrays(self, value: Any) -> list[Any]:
        return [_comparable(np.asarray(a).reshape(-1)) for a in self.peer.arrays(value, self.names)]


def _comparable(a: Any) -> Any:
    """Float codes by their bits: signs of zeros count, and NaN is what it is."""
    codes = code_type_of(a.dtype)
    return a.view(np.uint8) if codes is not None and codes.is_float else a


def forms(case: Case, peer: Peer) -> list[tuple[str, bool]]:
    """The statements that a peer has for a case: without a given output, with one, or both."""
    plain, given = peer.statements(case)
    return [(s, s is given) for s in (plain, given) if s is not None]


def contenders(case: Case, peers: Sequence[Peer], names: dict[str, Any]) -> list[Contender]:
    """All statements about a case, ready to run. The first peer must be fastquant, to compare with."""
    found = []
    for peer in peers:
        if statements := forms(case, peer):
            try:
                own = names | peer.prepare(case, names)
            except Unavailable:
                continue
            found += [Contender(peer, statement, given, own) for statement, given in statements]
    return found


def compare(contender: Contender, value: Any, expected: Sequence[Any]) -> None:
    """Count the values that are not the expected ones."""
    if not contender.peer.comparable:
        return
    contender.differing = 0
    for mine, other in zip(expected, contender.arrays(value), strict=True):
        if mine.shape != other.shape:
            found = f"{contender.statement} gave {other.size} values"
            raise AssertionError(f"{contender.name}: {found}, expected {mine.size}")
        contender.differing += int(np.count_nonzero(mine != other))
        contender.compared += mine.size


class _Timed(NamedTuple):
    entry: Contender
    timer: timeit.Timer
    slow: bool
    warmed: bool


def measure(
    entries: Sequence[Contender], seconds: float, rounds: int, rest: float = 0.0, again_if_noisy: bool = False
) -> None:
    """Time all statements about one case, in turns, so that whatever else the machine does meets all of them.

    Rounds go on until `seconds` have passed, and at least `rounds` times. A peer so slow that one call takes
    more than its share of the seconds is sampled twice only. rest: seconds before each sample. Then comes a call that
    is not timed: the peers before have had the caches, and may have left them full of what has yet to be written.
    again_if_noisy: as much once more, beside the samples there are, if those of the first peer spread too far.
    """
    timed = _ready(entries, seconds, rounds)
    _take_turns(timed, seconds, rounds, rest)
    if again_if_noisy and any(entry.spread > NOISY for entry in entries if entry.peer is entries[0].peer):
        _take_turns(timed, seconds, rounds, rest)


def _ready(entries: Sequence[Contender], seconds: float, rounds: int) -> list[_Timed]:
    """Each statement made once or twice, its values compared, and how many calls a sample takes."""
    share = seconds / len(entries)
    sample = min(SAMPLE_SECONDS, share / max(1, rounds))
    expected: list[Any] = []
    timed = []
    for entry in entries:
        start = time.perf_counter()
        value = entry.evaluate()
        first = time.perf_counter() - start
        expected = expected or [a.copy() for a in entry.arrays(value)]
        compare(entry, value, expected)
        del value
        timer = timeit.Timer(entry.statement, globals=entry.names)
        if min(share, 10 * sample) < first < WARM_SECONDS:
            first = min(first, timer.timeit(1))  # slow, or what a library does once was in it
        slow = not entry.peer.ours and first > share
        if slow:
            entry.samples.append(first)
        else:
            entry.calls_per_sample = calls_per_sample(timer, first, sample)
        timed.append(_Timed(entry, timer, slow, entry.calls_per_sample > 1 or first < WARM_SECONDS))
    return timed


def _take_turns(timed: Sequence[_Timed], seconds: float, rounds: int, rest: float) -> None:
    start = time.perf_counter()
    done = 0
    while done < rounds or time.perf_counter() - start < seconds:
        for entry, timer, slow, warmed in timed:
            calls = entry.calls_per_sample
            if slow and done:
                continue
            if rest:
                time.sleep(rest)
            if warmed:
                timer.timeit(1)
            entry.samples.append(timer.timeit(calls) / calls)
        done += 1


def calls_per_sample(timer: timeit.Timer, first: float, sample: float) -> int:
    if first > 10 * sample:
        return 1
    calls = 1
    while (taken := timer.timeit(calls)) < sample / 4:
        calls *= 4
    return max(1, math.ceil(calls * sample / taken))
