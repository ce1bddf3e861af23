"""A call takes its input, its output and a small buffer, whatever the layout: nothing the size of the input is copied.

Counted twice, by the system (memory that C code allocates too) and by Python (memory that nothing was written to too).
Not here: an `out` that overlaps the input without being it, or packed codes whose bytes do not follow each other; these
go through an array of their own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from peak_memory import CALLS, INPUT, MIB

import fastquant as fq

try:
    Path("/proc/self/clear_refs").write_text("5")
except OSError:
    pytest.skip("peaks of memory cannot be reset here", allow_module_level=True)


@pytest.fixture(scope="module")
def peaks() -> dict[str, list[int]]:
    script = Path(__file__).with_name("peak_memory.py")
    # What is freed goes back to the system at once, so that a second copy does not hide in the memory of a first.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
    own = str(Path(fq.__file__).parents[1])
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [own, os.environ.get("PYTHONPATH")]))
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", [name for name in CALLS if name != "a copy"])
def test_no_copies(peaks, name):
    by_system, by_python = peaks[name]
    assert by_system < MIB, f"{by_system} bytes"
    assert by_python < MIB, f"{by_python} bytes"


def test_a_copy_would_be_seen(peaks):
    assert min(peaks["a copy"]) > INPUT - MIB
