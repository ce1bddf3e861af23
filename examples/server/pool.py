"""A bounded pool of output arrays, made once. Used from the event loop only; nothing here is for threads."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Buffer:
    codes: np.ndarray  # int8, room for max_elements
    scales: np.ndarray  # float32, little-endian as it is sent; room for max_tokens
    work: np.ndarray | None  # float32, room for max_elements, for backends that need it

    def views(self, tokens: int, features: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Codes, scales and work of one request, in the buffer's memory."""
        shape, n = (tokens, features), tokens * features
        work = None if self.work is None else self.work[:n].reshape(shape)
        return self.codes[:n].reshape(shape), self.scales[:tokens], work


class Pool:
    def __init__(self, count: int, max_elements: int, max_tokens: int, *, needs_work: bool = False) -> None:
        if count < 1:
            raise ValueError(f"buffers: got {count}, expected 1 or more")
        self._free = [
            Buffer(
                np.empty(max_elements, np.int8),
                np.empty(max_tokens, "<f4"),
                np.empty(max_elements, np.float32) if needs_work else None,
            )
            for _ in range(count)
        ]
        # Serves those who wait in their order; a plain queue would let a newcomer overtake them.
        self._permits = asyncio.Semaphore(count)

    @property
    def free(self) -> int:
        return len(self._free)

    async def borrow(self, wait: float) -> Buffer:
        """The buffer that came back last, whose memory may still be in cache; TimeoutError after so many seconds."""
        # Not asyncio.wait_for, which in Python 3.11 can lose what was acquired when it is cancelled in that moment.
        async with asyncio.timeout(wait):
            await self._permits.acquire()
        return self._free.pop()

    def give_back(self, buffer: Buffer) -> None:
        self._free.append(buffer)
        self._permits.release()
