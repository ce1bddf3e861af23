"""How many threads a call may use: what is asked for, and what is found at import."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from many_threads import run

import fastquant as fq
from fastquant import _threads


@pytest.mark.parametrize(
    ("n", "error", "message"),
    [
        (0, ValueError, r"n: got 0, expected an integer from 1 to 1024"),
        (-1, ValueError, "n: got -1"),
        (1025, ValueError, "n: got 1025"),
        (2**70, ValueError, "n: got "),
        (1.0, TypeError, "n: got float, expected an integer"),
        ("2", TypeError, "n: got str"),
        (None, TypeError, "n: got NoneType"),
        (True, TypeError, "n: got True"),
    ],
)
def test_wrong_counts(n, error, message):
    before = fq.get_num_threads()
    with pytest.raises(error, match=message):
        fq.set_num_threads(n)
    assert fq.get_num_threads() == before


def test_the_count_is_kept():
    before = fq.get_num_threads()
    try:
        fq.set_num_threads(np.int64(5))
        assert fq.get_num_threads() == 5
    finally:
        fq.set_num_threads(before)


COUNT = "import fastquant as fq; print(fq.get_num_threads())"


def test_the_environment_says_how_many():
    cpus = _threads._available()
    assert int(run(COUNT)) == cpus
    assert run(COUNT, FASTQUANT_NUM_THREADS="3", OMP_NUM_THREADS="1") == "3"
    assert run(COUNT, OMP_NUM_THREADS="1") == "1"
    assert run(COUNT, OMP_NUM_THREADS="1,4") == "1"
    for ignored in ("", "0", "-2", "many"):
        assert int(run(COUNT, OMP_NUM_THREADS=ignored)) == cpus


@pytest.mark.parametrize("wrong", ["0", "two", "-1", "1.5", "1025"])
def test_a_wrong_environment_is_an_error(wrong):
    with pytest.raises(ValueError, match=f"FASTQUANT_NUM_THREADS: got '{wrong}', expected an integer from 1 to 1024"):
        _threads._default({"FASTQUANT_NUM_THREADS": wrong})


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no affinity")
def test_affinity_is_respected():
    one = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
    assert run(one + COUNT) == "1"


V1 = "cpu/a/cpu.cfs_"


@pytest.mark.parametrize(
    ("group", "files", "expected"),
    [
        ("0::/a/b\n", {"a/b/cpu.max": "150000 100000"}, 1.5),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000", "a/cpu.max": "400000 100000"}, 4),
        ("0::/a/b\n", {"a/b/cpu.max": "800000 100000", "a/cpu.max": "400000 100000"}, 4),
        ("0::/\n", {"cpu.max": "200000 100000"}, 2),
        ("0::/outside\n", {"cpu.max": "300000 100000"}, 3),
        ("0::/a\n", {"a/cpu.max": "max 100000"}, float("inf")),
        ("0::/a\n", {"a/cpu.max": "nonsense"}, float("inf")),
        ("4:memory:/a\n3:cpu,cpuacct:/a\n", {f"{V1}quota_us": "50000", f"{V1}period_us": "100000"}, 0.5),
        ("3:cpu:/a\n", {f"{V1}quota_us": "-1", f"{V1}period_us": "100000"}, float("inf")),
        ("", {}, float("inf")),
    ],
)  # fmt: skip
def test_quotas_of_control_groups(tmp_path, group, files, expected):
    for name, text in {"self": group, **{f"fs/{k}": v for k, v in files.items()}}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert _threads._quota(str(tmp_path / "self"), Path(tmp_path / "fs")) == expected


def test_a_part_of_a_cpu_is_one(monkeypatch):
    monkeypatch.setattr(_threads, "_quota", lambda: 0.3)
    assert _threads._available() == 1
