"""No kernel has become slower than two thirds of what it was, beside the reference (baseline.py), on any target."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from baseline import RUNS, checked, complaint, key, lasting_fall, name_of, not_stored, speed, store, stored

import fastquant as fq
from fastquant._bench_cases import Case, forget_inputs
from fastquant._bench_peers import on_threads
from fastquant._bench_timing import settle_allocator


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        options = metafunc.config.option
        known = stored(options.baseline)
        parameters = [
            pytest.param(target, case, id=f"{target}-{name_of(case).replace(' ', '-')}")
            for target in fq.cpu.available()
            if options.write_baseline or key(target) in known
            for case in checked()
        ]
        metafunc.parametrize(("target", "case"), parameters)


@pytest.fixture(scope="module")
def known(request: pytest.FixtureRequest) -> dict[str, dict[str, float]]:
    return stored(request.config.option.baseline)


@pytest.fixture(scope="module")
def ratios(request: pytest.FixtureRequest) -> Iterator[dict[str, dict[str, float]] | None]:
    """Where to put them, if they are to be stored."""
    settle_allocator()
    found: dict[str, dict[str, float]] = {}
    writing = request.config.option.write_baseline
    with on_threads(1, []):
        yield found if writing else None
    forget_inputs()
    if writing:
        store(found, request.config.option.baseline)


def test_every_target_has_a_baseline_or_none(
    known: dict[str, dict[str, float]], ratios: dict[str, dict[str, float]] | None
) -> None:
    """A target that is new or was forgotten would go unchecked on a machine that has ratios of the others."""
    if ratios is not None:
        return
    missing = not_stored(known)
    what = f"nothing is stored for {'; '.join(missing)}: pytest bench/test_baseline.py --write-baseline"
    if len(missing) == len(fq.cpu.available()):
        pytest.skip(what)
    assert not missing, what


def test_as_fast_as_before(
    target: str, case: Case, known: dict[str, dict[str, float]], ratios: dict[str, dict[str, float]] | None
) -> None:
    with fq.cpu.use(target):
        if ratios is not None:
            ratios.setdefault(key(target), {})[name_of(case)] = min(speed(case) for _ in range(RUNS))
            return
        before = known[key(target)].get(name_of(case))
        if before is None:
            pytest.skip("nothing is stored for this case")
        found = lasting_fall(before, lambda: speed(case))
    assert not found, complaint(target, name_of(case), before, found)
