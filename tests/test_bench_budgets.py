"""The budgets: what they are about, and what they say. Nothing here looks at how fast anything is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from bench_support import record, run

from fastquant import _bench_budgets


@pytest.mark.parametrize(
    ("found", "limit", "met"),
    [
        (record("quantize", "int8", 768, ns_per_call=249.0), "<= 250 ns a call", True),
        (record("quantize", "int8", 768, ns_per_call=251.0), "<= 250 ns a call", False),
        (record("quantize", "int8", 768, ns_per_call=399.0, out=False), "<= 400 ns a call", True),
        (record("quantize", "int8", 768, speed_over={"torch": 5.9}, out=False), ">= 6 x torch", False),
        (
            record("dequantize", "uint8", 1 << 16, speed_over={"torch": 2.0, "NumPy": 1.0}),
            ">= 1.1 x the best peer",
            False,
        ),
        (record("quantize", "int8", 1 << 26, time_over={"bare": 1.1}), "<= 1.1 of bare", True),
        (record("quantize_tokens", "int8", 1 << 16, time_over={"plain": 1.31}), "<= 1.3 of plain", False),
        (record("quantize_packed", "int4", 1 << 26, time_over={"plain": 0.99}), "<= 1 of plain", True),
        (record("quantize_bfloat16", "int8", 1 << 26, time_over={"plain": 0.81}), "<= 0.8 of plain", False),
        (record("quantize", "int8", 1 << 26, 2, time_over={"one thread": 0.75}), ">= 1.4 x one thread", False),
        (record("quantize", "int8", 1 << 26, 2, time_over={"one thread": 0.7}), ">= 1.4 x one thread", True),
        (
            record("dequantize", "float8_e5m2", 1 << 26, speed_over={"ml_dtypes": 9.9}, out=False),
            ">= 10 x ml_dtypes",
            False,
        ),
    ],
)
def test_budgets(found: dict[str, Any], limit: str, met: bool) -> None:
    verdicts = [v for v in _bench_budgets.verdicts([found]) if v["limit"] == limit]
    assert [v["met"] for v in verdicts] == [met]
    assert _bench_budgets.table_of(verdicts)[1][0][-1] == ("met" if met else "MISSED")


def test_budgets_are_about_sizes_and_what_was_measured() -> None:
    assert not _bench_budgets.verdicts([record("quantize_packed", "int4", 1 << 16, time_over={"plain": 9.0})])
    assert not _bench_budgets.verdicts([record("quantize_tokens", "int8", 768, time_over={"plain": 9.0})])
    assert not _bench_budgets.verdicts([record("quantize_tokens", "int8", 1 << 16)])
    assert not _bench_budgets.verdicts([record("minmax", "", 1 << 16)])
    assert not _bench_budgets.verdicts([record("quantize", "int8", 1 << 26, 2, time_over={"bare": 9.0})])


def test_every_budget_has_its_cases() -> None:
    for budget in _bench_budgets.BUDGETS:
        for kernel in budget.kernels:
            found = {c.code for c in _bench_budgets.cases_with_budgets(kernel, _bench_budgets.SIZES)}
            assert found >= set(budget.codes)


def test_budgets_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "figures.json"
    options = ("--budgets", "--no-peers", "--kernel=quantize", "--kernel=quantize_tokens", "--code=int8")
    assert run(*options, "--size=768", "--size=64Ki", "--seconds=0", "--repeat=1", "--json", str(path)) == 0
    out = capsys.readouterr().out
    assert "\nBudgets\n" in out
    report = json.loads(path.read_text())
    assert {(b["kernel"], b["elements"]) for b in report["budgets"]} == {
        ("quantize", 768),
        ("quantize", 1 << 16),
        ("quantize_tokens", 1 << 16),
    }
    assert f"{sum(b['met'] for b in report['budgets'])} of {len(report['budgets'])} met." in out
