"""The check for kernels that became slower, with numbers that are made up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import baseline
import pytest
import test_baseline

import fastquant as fq


def ratios(*values: float) -> Iterator[float]:
    yield from values


@pytest.mark.parametrize(
    ("measured", "used"),
    [
        ((30.0,), 1),  # as it was
        ((90.0,), 1),  # faster
        ((20.0,), 1),  # two thirds exactly
        ((19.9, 29.0), 2),  # a busy machine
        ((1.0, 2.0, 19.0, 20.1), 4),  # the last chance
    ],
)
def test_no_fall(measured: tuple[float, ...], used: int) -> None:
    source = ratios(*measured, *[0.0] * 9)
    assert baseline.lasting_fall(30.0, lambda: next(source)) == []
    assert len([*source]) == len(measured) + 9 - used


def test_a_fall_that_lasts() -> None:
    source = ratios(19.9, 18.0, 19.0, 1.0, 30.0)
    found = baseline.lasting_fall(30.0, lambda: next(source))
    assert found == [19.9, 18.0, 19.0, 1.0]
    text = baseline.complaint("avx2", "quantize int8 768", 30.0, found)
    assert (
        text == "quantize int8 768 on avx2: 30 times as fast as the reference is stored, and now it is 19.9, 18, 19, 1"
    )


def test_stored_ratios(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    assert baseline.stored(path) == {}
    baseline.store({"neon": {"a": 12.3456, "b": 1.0}}, path)
    baseline.store({"avx2": {"a": 3.0}, "neon": {"a": 0.98765}}, path)
    assert baseline.stored(path) == {"avx2": {"a": 3.0}, "neon": {"a": 0.988, "b": 1.0}}
    assert list(baseline.stored(path)) == ["avx2", "neon"]


def test_targets_without_ratios(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fq.cpu, "available", lambda: ("portable", "new"))
    check = test_baseline.test_every_target_has_a_baseline_or_none
    every = {baseline.key(target): {"a": 1.0} for target in ("portable", "new")}
    check(every, None)
    del every[baseline.key("new")]
    with pytest.raises(AssertionError, match=r"nothing is stored for .*: new: pytest"):
        check(every, None)
    check(every, {})  # they are about to be stored
    with pytest.raises(pytest.skip.Exception, match=r"portable; .*: new: pytest"):
        check({"another CPU": {"a": 1.0}}, None)


def test_what_is_stored_is_what_is_checked() -> None:
    names = [baseline.name_of(case) for case in baseline.checked()]
    assert len(set(names)) == len(names)
    assert {case.size for case in baseline.checked()} == {768, 1 << 16, 1 << 20}
    for target, found in baseline.stored().items():
        assert set(found) == set(names), f"{target}: pytest bench/test_baseline.py --write-baseline"
        assert all(ratio > 0 for ratio in found.values())


def test_every_case_can_be_measured() -> None:
    for case in baseline.checked():
        if case.size == 768:
            assert baseline.speed(case) > 0


def test_falls_turn_the_check_red() -> None:
    case = next(case for case in baseline.checked() if case.size == 768)
    target, name = fq.cpu.active(), baseline.name_of(case)
    key = baseline.key(target)
    speed = baseline.speed(case)
    test_baseline.test_as_fast_as_before(target, case, {key: {name: 0.1 * speed}}, None)
    with pytest.raises(AssertionError, match="times as fast as the reference is stored"):
        test_baseline.test_as_fast_as_before(target, case, {key: {name: 1e6 * speed}}, None)
    with pytest.raises(pytest.skip.Exception, match=r"nothing is stored for this case"):
        test_baseline.test_as_fast_as_before(target, case, {key: {}}, None)
    found: dict[str, dict[str, float]] = {}
    test_baseline.test_as_fast_as_before(target, case, {}, found)
    assert found[key][name] > 0
