"""Calls on several threads, also where arrays are too small for that to be worth it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import fastquant as fq
from fastquant import _kernels


@contextmanager
def on_threads(n: int) -> Iterator[None]:
    """With n > 1: on so many threads, in as many parts as there can be, whatever the size."""
    before = fq.get_num_threads()
    usual = _kernels.set_parallel(0, 1, 32) if n > 1 else None
    fq.set_num_threads(n)
    try:
        yield
    finally:
        fq.set_num_threads(before)
        if usual is not None:
            _kernels.set_parallel(*usual)
