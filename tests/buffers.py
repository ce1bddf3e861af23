"""Memory around results: what a kernel writes outside its own shows."""

from __future__ import annotations

from typing import Any

import numpy as np

CANARY = 0xA5


def aligned(nbytes: int, fill: int = CANARY) -> np.ndarray:
    """Bytes that begin at a multiple of 64."""
    raw = np.full(nbytes + 64, fill, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + nbytes]


def in_aligned_memory(x: np.ndarray) -> np.ndarray:
    copy = aligned(x.nbytes).view(x.dtype)
    copy[:] = x.reshape(-1)
    copy.flags.writeable = False
    return copy.reshape(x.shape)


class Canaries:
    """An array of known bytes, windows of which are given to kernels as `out`."""

    def __init__(self, dtype: np.dtype[Any], shape: int | tuple[int, ...]) -> None:
        self.dtype = dtype
        self.buffer = aligned(int(np.prod(shape)) * dtype.itemsize)
        self.typed = self.buffer.view(dtype).reshape(shape)
        self.expected = self.buffer.copy()
        self.expected_typed = self.expected.view(dtype).reshape(shape)

    def check(self, window: Any, results: np.ndarray, what: Any) -> None:
        """Only the window changed, and it holds the results. Everything is as before afterwards."""
        self.expected_typed[window] = results
        if self.buffer.tobytes() != self.expected.tobytes():
            differ = self.buffer != self.expected
            wrong = np.argwhere(differ.reshape(*self.typed.shape, -1).any(axis=-1))[:10].tolist()
            raise AssertionError(f"{what}: wrong at {wrong} where {window} was to be written")
        self.buffer[:] = CANARY
        self.expected[:] = CANARY
