"""Many calls leave no memory behind, wrong ones included: see leaks.py. FASTQUANT_TEST_FULL=1 makes a million."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import pytest

import fastquant

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="needs glibc's mallinfo2"
)
CALLS = 1_000_000 if os.environ.get("FASTQUANT_TEST_FULL") else 50_000


def growth(*arguments: str) -> tuple[int, int]:
    environment = {**os.environ, "PYTHONPATH": str(Path(fastquant.__file__).parents[1])}
    command = [sys.executable, str(Path(__file__).with_name("leaks.py")), str(CALLS), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    heap, blocks, heap_after, blocks_after = map(int, done.stdout.split())
    if heap == 0:
        pytest.skip("another malloc than glibc's")
    return heap_after - heap, blocks_after - blocks


def test_nothing_is_left_behind():
    heap, blocks = growth()
    # What the interpreter keeps for itself is about 1 KB and 300 blocks, however many the calls. Of a million, each of
    # the 650 is made 1,500 times.
    assert heap < 6000
    assert blocks < 1000


def test_a_leak_is_seen():
    assert growth("leak")[0] >= CALLS * 9 // 10 // 100 * 16
