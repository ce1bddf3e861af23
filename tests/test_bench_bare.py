"""The bare loop that the benchmarks hold the kernels against: it reads and writes all that it is given, on each target.

That it touches nothing else is shown by guarded.py.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

import fastquant as fq
from fastquant import _kernels

LENGTHS = (0, 1, 15, 16, 17, 63, 64, 65, 127, 200, 1000)


@pytest.fixture
def cut() -> Iterator[None]:
    """Every call in several parts, on two threads."""
    threads, before = fq.get_num_threads(), _kernels.set_parallel(0, 32, 32)
    fq.set_num_threads(2)
    yield
    _kernels.set_parallel(*before)
    fq.set_num_threads(threads)


def read(source: np.ndarray, sink: np.ndarray) -> int:
    """The or of all that was read. Sink must be written to in full, with what was read."""
    sink[:] = 0xFF
    left = _kernels.bare(source, sink)
    return left | int(np.bitwise_or.reduce(sink, initial=0))


def check(many: int, few: int) -> None:
    for n, m in ((many, few), (few, many)):
        source, sink = np.zeros(n, np.uint8), np.empty(m, np.uint8)
        assert read(source, sink) == 0, (n, m)
        for i in range(n):
            source[i] = 1 << i % 8
            assert read(source, sink) == source[i], (n, m, i)
            source[i] = 0


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("ratio", [0, 1, 2, 3, 4, 8, 16, 40])
def test_every_byte_is_read_and_written(target: str, stores: str, length: int, ratio: int) -> None:
    check(length * ratio, length)


@pytest.mark.parametrize("ratio", [0, 1, 4])
def test_every_byte_in_parts(target: str, stores: str, ratio: int, cut: None) -> None:
    check(200 * ratio, 200)
    check(200 * ratio + 5, 200)


@pytest.mark.parametrize("start", [1, 3, 8, 15])
def test_any_alignment(target: str, stores: str, start: int) -> None:
    rng = np.random.default_rng(start)
    source = rng.integers(0, 256, 4096 + start, np.uint8)[start:] & 0x5A
    sink = np.empty(1024 + start, np.uint8)
    sink[:start] = 7
    assert read(source, sink[start:]) == 0x5A
    assert (sink[:start] == 7).all()


def test_arrays_of_any_type_and_what_is_refused() -> None:
    x, q = np.ones(64, np.float32), np.empty(64, np.int8)
    assert _kernels.bare(x, q) | int(np.bitwise_or.reduce(q.view(np.uint8))) == 0x3F | 0x80
    q.flags.writeable = False
    for source, sink in ((x, q), (x[::2], np.empty(8)), (x, np.empty(8)[::2])):
        with pytest.raises(ValueError, match="expected C-contiguous arrays"):
            _kernels.bare(source, sink)
