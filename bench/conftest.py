"""Options of the benchmarks, and peers set to one thread for as long as they run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from baseline import STORE

from fastquant._bench_cases import forget_inputs
from fastquant._bench_peers import loaded
from fastquant._bench_timing import settle_allocator


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--quick", action="store_true", help="small sizes and few rounds: does it run, about how fast")
    parser.addoption("--all", action="store_true", help="every kernel and code type, as fastquant bench --all")
    text = (
        "where ratios are stored, by target; a file of your own is for before and after a change [bench/baseline.json]"
    )
    parser.addoption("--baseline", type=Path, default=STORE, metavar="FILE", help=text)
    parser.addoption("--write-baseline", action="store_true", help="store the ratios of this machine's targets")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--quick"):
        # Read by pytest-benchmark when it configures itself, which it does last.
        config.option.benchmark_max_time = "0.02"
        config.option.benchmark_min_rounds = 3


def pytest_report_header(config: pytest.Config) -> list[str]:
    with loaded(libraries=True) as (_, left_out):
        return [f"left out: {line}" for line in left_out]


@pytest.fixture(scope="session")
def peers() -> Iterator[set[str]]:
    """Names of the peers that run here."""
    settle_allocator()
    with loaded(libraries=True) as (found, _):
        yield {peer.name for peer in found}
    forget_inputs()
