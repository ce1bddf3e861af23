"""Any arguments of the public functions: exactly the reference's results on every target, or an error that names an
argument which is wrong. Then `out` is as it was; inputs, and memory around `out`, are so always."""

from __future__ import annotations

import random
import sys
import warnings
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
from fuzz_calls import Call
from fuzz_engine import Entry, Trace, changed, letters
from fuzz_functions import FUNCTIONS, Decoder
from many_threads import on_threads
from values import assert_same

import fastquant as fq
from fastquant import _kernels

LONGEST = 96
SUFFIX = ".call"
_USUAL = fq.cpu._last_level_cache()


class Api:
    name = "api"

    def __init__(self, targets: Sequence[str] | None = None) -> None:
        self.targets = tuple(targets or fq.cpu.available())
        modules = (
            "_api",
            "_arguments",
            "_dtypes",
            "_fixed",
            "_grid",
            "_output",
            "_ranges",
            "_rules",
            "onnx",
            "_kernels",
        )
        self.trace = Trace(*(f"fastquant.{name}" for name in modules))

    def seeds(self) -> list[Entry]:
        """The plainest call of each function, and some of random bytes."""
        rng = random.Random(0)
        plain = [bytes([0, 0, i]) for i in range(len(FUNCTIONS))]
        return [Entry(SUFFIX, data) for data in (*plain, *(rng.randbytes(LONGEST) for _ in range(20)))]

    def describe(self, entry: Entry) -> str:
        return f"{entry.data.hex()}\n  {Decoder(entry.data).call()}"

    def mutate(self, entry: Entry, others: Sequence[Entry], rng: random.Random) -> Entry:
        if rng.random() < 0.5:  # any bytes are a call, and are so as often right as changes of others
            return Entry(SUFFIX, rng.randbytes(LONGEST))
        return Entry(SUFFIX, changed(entry.data, rng.choice(others).data, rng, LONGEST))

    def run(self, entry: Entry) -> Iterator[Hashable]:
        expected: Any = None
        for i, target in enumerate(self.targets):
            call = Decoder(entry.data).call()
            if i == 0:
                expected = None if call.wrong else self.expected(call)
                yield from call.traits
            with _settings(target, call), self.trace as trace:
                outcome = self.outcome(call)
            self.judge(call, expected, *outcome)
            yield from trace.pairs
            if isinstance(outcome[0], Exception):
                argument, _, rest = str(outcome[0]).partition(": ")
                yield call.function, argument[:20], letters(rest.partition("expected")[2])[:25]

    def expected(self, call: Call) -> Any:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return call.expected()
            except ValueError:
                if not call.source:
                    raise
                call.wrong = {name: {ValueError} for name in call.source}
                return ValueError

    def outcome(self, call: Call) -> tuple[Any, bool]:
        """What comes of it, and whether inputs have changed."""
        inputs = call.inputs()
        before = [a.tobytes() for a in inputs]
        with warnings.catch_warnings():
            # NumPy's about numbers are the call's fault; that it means to drop something is not.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", RuntimeWarning)
            try:
                got = call.run()
            except Exception as error:
                got = error
        return got, [a.tobytes() for a in inputs] != before

    def judge(self, call: Call, expected: Any, got: Any, changed: bool) -> None:
        assert not changed, "an input has changed"
        if expected is ValueError:
            call.wrong = {name: {ValueError} for name in call.source}
        if call.wrong or isinstance(got, Exception):
            self.judge_error(call, got)
            return
        out = call.options.get("out")
        results, wanted = (r if isinstance(r, tuple) else (r,) for r in (got, expected))
        assert len(results) == len(wanted), f"{len(results)} results"
        if out is not None:
            assert results[0] is out, "another array than out"
        for g, e in zip(results, wanted, strict=True):
            g = np.asarray(g)
            assert g.dtype.newbyteorder("=") == np.asarray(e).dtype, f"{g.dtype}, expected {np.asarray(e).dtype}"
            assert_same(np.array(g, g.dtype.newbyteorder("=")), np.asarray(e))
        if call.kept is not None:
            assert call.kept.unchanged_around(), "bytes around out have changed"

    def judge_error(self, call: Call, got: Any) -> None:
        assert isinstance(got, Exception), f"accepted, though {' and '.join(call.wrong)} is wrong"
        message = str(got)
        named = next((name for name in call.wrong if message.startswith(f"{name}: ")), None)
        told = f"{type(got).__name__}: {message} (expected of {call.wrong})"
        assert named is not None, told
        assert type(got) in call.wrong[named], told
        if call.kept is not None:
            assert call.kept.unchanged(), f"out has changed by a call that was refused: {told}"


@contextmanager
def _settings(target: str, call: Call) -> Iterator[None]:
    _kernels.set_stream_from(0 if call.streaming else sys.maxsize)
    try:
        with fq.cpu.use(target), on_threads(call.threads) if call.threads > 1 else nullcontext():
            yield
    finally:
        _kernels.set_stream_from(_USUAL)
