"""Which cases the page of benchmarks shows, and what a call costs. Nothing here looks at how fast anything is."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
from bench_support import bench, run

import fastquant as fq
from fastquant import _bench, _bench_budgets, _bench_cost
from fastquant._bench_cases import KERNELS, SIZES, Case, cases
from fastquant._bench_selection import DRAWN, SPLIT, SWEEP, planned_for


def published(*options: str) -> list[Case]:
    parser = argparse.ArgumentParser()
    _bench.add_arguments(parser)
    return [case for found in planned_for(parser.parse_args(["--publish", *options])).values() for case in found]


def test_what_is_published() -> None:
    found = published()
    assert len(set(found)) == len(found)
    usual = [name for name, kernel in KERNELS.items() if kernel.usual]
    assert set(found) >= set(cases(usual, SIZES))
    assert {case.kernel.name for case in found} == set(KERNELS)
    for name in _bench_budgets.KERNELS:
        assert set(found) >= set(_bench_budgets.cases_with_budgets(name, _bench_budgets.SIZES))
    assert set(found) >= set(cases(tuple(DRAWN), [1 << 16], everything=True))
    for name, code in DRAWN.items():
        mine = [case for case in found if (case.kernel.name, case.code) == (name, code)]
        assert {case.size for case in mine if case.threads == 1} >= set(SWEEP)
        assert {case.size for case in mine if case.threads == 2} >= set(SPLIT)


def test_a_part_of_what_is_published() -> None:
    found = published("--kernel=quantize", "--size=64Ki", "--size=4Mi", "--code=int8")
    assert {(case.kernel.name, case.code, case.size, case.threads) for case in found} == {
        ("quantize", "int8", 1 << 16, 1),
        ("quantize", "int8", 1 << 22, 1),
        ("quantize", "int8", 1 << 22, 2),
    }
    assert {case.threads for case in published("--threads=2")} == {2}


@pytest.mark.parametrize(
    ("most", "sizes"), [(1, [1]), (2, [1, 2]), (1000, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000])]
)
def test_sizes_of_costs(most: int, sizes: list[int]) -> None:
    assert _bench_cost.sizes(most) == sizes


def test_costs_are_of_every_function_and_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_bench_cost, "_SAMPLE_SECONDS", 0.0)
    threads = fq.get_num_threads()
    found = _bench_cost.measure(100, 1)
    assert fq.get_num_threads() == threads
    functions = ["quantize", "fake_quantize", "minmax", "dequantize"]
    assert [(row["elements"], row["function"]) for row in found] == [
        (size, name) for size in _bench_cost.sizes(100) for name in functions
    ]
    assert all(row["ns_per_call"] > 0 for row in found)
    columns, rows = _bench_cost.table_of(found)
    assert [row[0] for row in rows] == ["1", "2", "4", "8", "16", "32", "64", "100"]
    assert all(len(row) == len(columns) for row in rows)


def test_memory_of_costs() -> None:
    x, q = _bench_cost._memory((1 << 21) + 5)
    assert x.size == q.size == (1 << 21) + 5
    assert np.array_equal(x[: 1 << 20], x[1 << 20 : 1 << 21])
    assert np.isfinite(x).all()


def test_costs_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "figures.json"
    assert bench("--no-peers", "--cost", "64", "--json", str(path)) == 0
    out = capsys.readouterr().out
    assert _bench_cost.TITLE in out
    report = json.loads(path.read_text())
    assert not report["cases"]
    assert {row["elements"] for row in report["cost"]} == {1, 2, 4, 8, 16, 32, 64}


def test_all_that_is_published_in_one_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "figures.json"
    options = ("--no-peers", "--kernel=quantize", "--size=768", "--seconds=0", "--repeat=1", "--cost=4")
    assert run("--publish", *options, "--json", str(path)) == 0
    out = capsys.readouterr().out
    assert "\nBudgets\n" in out
    report = json.loads(path.read_text())
    assert {"cases", "budgets", "cost"} <= set(report)
    assert {case["elements"] for case in report["cases"]} == {768}
