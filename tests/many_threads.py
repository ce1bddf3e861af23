"""Calls on several threads, also where arrays are too small for that to be worth it."""

from __future__ import annotations

import os
import subprocess
import sys
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


def run(script: str, **environment: str) -> str:
    """What a new interpreter prints. The time limit only keeps a deadlock from stopping everything."""
    variables = {k: v for k, v in os.environ.items() if k not in ("FASTQUANT_NUM_THREADS", "OMP_NUM_THREADS")}
    command = [sys.executable, "-P", "-c", script]
    done = subprocess.run(command, env={**variables, **environment}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()
