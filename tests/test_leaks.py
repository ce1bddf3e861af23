"""Many calls leave no memory behind, wrong ones included: see leaks.py. FASTQUANT_TEST_FULL=1 makes a million."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import fastquant

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="needs glibc's mallinfo2"
)
CALLS = 1_000_000 if os.environ.get("FASTQUANT_TEST_FULL") else 50_000


def run(*arguments: str) -> dict[str, Any]:
    environment = {**os.environ, "PYTHONPATH": str(Path(fastquant.__file__).parents[1])}
    command = [sys.executable, str(Path(__file__).with_name("leaks.py")), str(CALLS), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    if not found["glibc"]:
        pytest.skip("another malloc than glibc's")
    return found


def test_nothing_is_left_behind():
    found = run()
    assert found["clean"], found


def test_a_leak_of_some_calls_is_seen():
    found = run("leak")
    assert not found["clean"]
    assert found["heap"] >= 0.9 * found["calls"] // 100 * 16


def test_a_leak_of_one_kind_of_call_is_seen():
    assert len(run("leak", "one")["leaks"]) == 1
