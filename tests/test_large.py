"""More than 2^31 elements: lengths, indices and byte counts that 32 bits cannot hold.

Only with FASTQUANT_TEST_FULL=1 and 8 GB to spare. Inputs are zeros that nobody has written to, which take no memory
until then, or broadcast; what is written are a few marks, around 2^31 and at both ends.
"""

from __future__ import annotations

import os

import numpy as np
import pytest

import fastquant as fq

N = 2**31 + 4099
MARKS = np.array([0, 1, 65_537, 2**30, 2**31 - 1, 2**31, 2**31 + 1, N - 99, N - 2, N - 1])
NEEDED = 8 << 30


def spare_memory() -> int:
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 0


pytestmark = pytest.mark.skipif(
    not os.environ.get("FASTQUANT_TEST_FULL") or spare_memory() < NEEDED,
    reason="takes 7 GB of memory; FASTQUANT_TEST_FULL=1 where there are 8 to spare",
)


def marked(dtype: str) -> np.ndarray:
    """Zeros, and 1, 2, 3, ... at the marks."""
    x = np.zeros(N, dtype)
    x[MARKS] = np.arange(1, MARKS.size + 1)
    return x


@pytest.fixture(scope="module")
def halves() -> np.ndarray:
    return marked("float16")


@pytest.fixture(scope="module")
def room() -> np.ndarray:
    """For results: the system takes longer to hand out so much memory than kernels to fill it."""
    return np.full(N, 7, np.float16)


def test_quantize(target, halves, room):
    q = room.view(np.int8)[:N]
    assert fq.quantize(halves, 0.5, out=q) is q
    assert q[MARKS].tolist() == [2 * i for i in range(1, MARKS.size + 1)]
    assert np.count_nonzero(q) == MARKS.size


def test_quantize_packed(target, halves):
    p = fq.quantize(halves, 4.0, dtype="uint2", packed=True)
    assert p.shape == (-(-N // 4),)
    found = (p[MARKS // 4] >> (MARKS % 4 * 2)) & 3
    assert found.tolist() == [0, 0, 1, 1, 1, 2, 2, 2, 2, 2]


def test_quantize_broadcast(target, room):
    """Rows that are one row in memory, fewer than 2^31 of them, and more elements."""
    row = np.linspace(-10, 10, 4096, dtype=np.float32)
    shape = (2**19 + 1, 4096)
    scale = np.linspace(0.05, 0.5, 4096, dtype=np.float32)
    q = room.view(np.int8)[: shape[0] * shape[1]].reshape(shape)
    fq.quantize(np.broadcast_to(row, shape), scale, axis=1, out=q)
    expected = fq.quantize(row, scale, axis=0)
    assert all(np.array_equal(q[i], expected) for i in (0, 2**18, 2**19 - 1, 2**19))


def test_dequantize(target, room):
    assert fq.dequantize(marked("uint8"), 0.5, dtype="float16", out=room) is room
    assert room[MARKS].tolist() == [i / 2 for i in range(1, MARKS.size + 1)]
    assert np.count_nonzero(room.view(np.uint16)) == MARKS.size


def test_dequantize_packed(target, room):
    p = np.zeros(-(-N // 2), np.uint8)
    np.bitwise_or.at(p, MARKS // 2, (np.arange(1, MARKS.size + 1) << MARKS % 2 * 4).astype(np.uint8))
    assert fq.dequantize(p, 0.5, packed="uint4", dtype="float16", out=room) is room
    assert room[MARKS].tolist() == [i / 2 for i in range(1, MARKS.size + 1)]


def test_fake_quantize(target, halves, room):
    fq.fake_quantize(halves[::-1], 2.0, out=room[::-1])
    assert room[MARKS].tolist() == [0, 2, 4, 4, 4, 6, 8, 8, 8, 10]
    assert np.count_nonzero(room.view(np.uint16)) == MARKS.size - 1


def test_minmax(target, halves):
    assert fq.minmax(halves) == (0, MARKS.size)
    last = [float(np.searchsorted(MARKS, end)) for end in (N // 2, 2 * (N // 2))]  # the highest mark before
    assert fq.minmax(halves[: 2 * (N // 2)].reshape(2, -1), axis=0).hi.tolist() == last
    assert fq.minmax(halves, block_size=2**30).hi.tolist() == [3.0, 5.0, MARKS.size]


def test_minmax_of_what_is_broadcast(target):
    x = np.broadcast_to(np.arange(-3, 4, dtype=np.float32)[:, None], (7, 2**29))
    low, high = fq.minmax(x, axis=0)
    assert low.tolist() == high.tolist() == [-3, -2, -1, 0, 1, 2, 3]


def test_quantize_dynamic(target, halves):
    q, scale, zero_point = fq.quantize_dynamic(halves, "uint2", symmetric=False, block_size=2**31, packed=True)
    assert np.array_equal(scale, np.float32([5 / 3, MARKS.size / 3]))
    assert not zero_point.any()
    assert ((q[MARKS // 4] >> (MARKS % 4 * 2)) & 3).tolist() == [1, 1, 2, 2, 3, 2, 2, 2, 3, 3]
