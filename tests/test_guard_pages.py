"""No kernel touches a byte outside its buffers: see guarded.py, which this runs in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import fastquant

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs mmap and mprotect")

SCRIPT = Path(__file__).with_name("guarded.py")


def guarded(*arguments: str) -> subprocess.CompletedProcess[str]:
    # The package that is tested here, not another that may be installed.
    environment = {**os.environ, "PYTHONPATH": str(Path(fastquant.__file__).parents[1])}
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@pytest.mark.parametrize("stores", ["cached", "streaming"])
def test_nothing_outside_is_touched(target, stores):
    result = guarded(target, stores)
    assert result.returncode == 0, f"exit status {result.returncode}\n{result.stderr}"
    assert int(result.stdout) > 100_000


def test_guards_are_real():
    assert guarded("touch").returncode < 0
