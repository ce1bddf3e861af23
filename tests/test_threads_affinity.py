"""Where workers may run: on the CPUs of whoever calls, beside it, and nothing of the caller's changes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system has no affinity of threads"),
]

SETUP = """
import os, time, numpy as np, fastquant as fq
from fastquant import _kernels
cpus = sorted(os.sched_getaffinity(0))
x = np.random.default_rng(0).standard_normal(1 << 20).astype(np.float32)
fq.set_num_threads(1)
expected = fq.quantize(x, 0.05)
_kernels.set_parallel(0, 1, 4096)
others = set(map(int, os.listdir("/proc/self/task")))  # NumPy's, a sanitizer's

def call(mine=cpus):
    os.sched_setaffinity(0, mine[:1])
    time.sleep(0.002)  # so that the workers fall asleep
    os.sched_setaffinity(0, mine)  # but this thread stays where it is
    assert (fq.quantize(x, 0.05) == expected).all()

def workers():
    found = {}
    for thread in set(map(int, os.listdir("/proc/self/task"))) - others:
        with open(f"/proc/self/task/{thread}/status") as file:
            blocked = next(line for line in file if line.startswith("SigBlk")).split()[1]
        if int(blocked, 16) & 1 << 1:  # SIGINT, which workers leave to others
            found[thread] = os.sched_getaffinity(thread)
    return found
"""

KEPT_OFF = """
os.sched_setaffinity(0, cpus[:1])
fq.set_num_threads(2)
for _ in range(3):
    call(cpus[:1])
assert list(workers().values()) == [{cpus[0]}]  # born there, and the caller may use no other
for _ in range(200):
    call(cpus[:2])
    if {cpus[1]} in workers().values():
        break
else:
    raise AssertionError(workers())
assert os.sched_getaffinity(0) == set(cpus[:2])
"""

# One that is free, and falls asleep where the caller is.
BORN_FREE = """
fq.set_num_threads(2)
for _ in range(500):
    call(cpus[:2])
    if {cpus[1]} in workers().values():
        break
else:
    raise AssertionError(workers())
"""

# Callers that may use one CPU, each another: workers go with them, whoever started them.
FOLLOWING = """
fq.set_num_threads(2)
for mine in (cpus[:1], cpus[1:2], cpus[:1]) * 10:
    for _ in range(200):
        call(mine)
        if list(workers().values()) == [set(mine)]:
            break
    else:
        raise AssertionError((mine, workers()))
"""

# A free caller after one that was bound: workers may use all CPUs again, but for at most one.
FREED = """
fq.set_num_threads(3)
for _ in range(3):
    call(cpus[:1])
for _ in range(200):
    call()
    if all(len(allowed) >= len(cpus) - 1 for allowed in workers().values()):
        break
else:
    raise AssertionError(workers())
"""

CALLERS = """
import threading
fq.set_num_threads(3)

def caller(mine):
    for _ in range(20):
        call(mine)
    assert os.sched_getaffinity(0) == set(mine)

threads = [threading.Thread(target=caller, args=(mine,)) for mine in (cpus[:1], cpus[1:2], cpus)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
for _ in range(5):
    call()
assert len(workers()) >= 1
assert all(allowed and allowed <= set(cpus) for allowed in workers().values())
assert os.sched_getaffinity(0) == set(cpus)
"""


@pytest.mark.parametrize("code", [KEPT_OFF, BORN_FREE, FOLLOWING, FREED, CALLERS])
def test_workers(code):
    if len(os.sched_getaffinity(0)) < (3 if code == FREED else 2):
        pytest.skip("there are too few CPUs")
    subprocess.run([sys.executable, "-P", "-c", SETUP + code], check=True, timeout=300)
