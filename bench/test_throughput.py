"""Every kernel and every peer, each statement a benchmark; a group is a kernel, a code type and a size.

The cases and the statements are those of `fastquant bench`, which times them in turns.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import pytest

from fastquant._bench_cases import KERNELS, SIZES, Case, cases, inputs
from fastquant._bench_peers import FASTQUANT, OWN, Peer, installed
from fastquant._bench_timing import Contender, compare, contenders, forms

QUICK_SIZES = SIZES[:2]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    sizes = QUICK_SIZES if metafunc.config.getoption("--quick") else SIZES
    everything = metafunc.config.getoption("--all")
    names = tuple(name for name, kernel in KERNELS.items() if kernel.usual or everything)
    parameters = [
        pytest.param(
            case,
            peer,
            statement,
            id="-".join(map(str, (*_words(case), peer.name, "out" * gives_out))).rstrip("-"),
        )
        for case in cases(names, sizes, everything)
        for peer in (*OWN, *installed())
        for statement, gives_out in forms(case, peer)
    ]
    metafunc.parametrize(("case", "peer", "statement"), parameters)


def _words(case: Case) -> tuple[Any, ...]:
    return tuple(word for word in (case.kernel.name, case.code, case.size) if word)


@functools.lru_cache(maxsize=1)
def _names(case: Case) -> tuple[dict[str, Any], Sequence[Any]]:
    """Inputs of a case, which the benchmarks of one group share, and the arrays that are expected."""
    names = inputs(case)
    ours = contenders(case, [FASTQUANT], names)[0]
    return names, ours.arrays(ours.evaluate())


def test_throughput(case: Case, peer: Peer, statement: str, benchmark: Any, peers: set[str]) -> None:
    if peer not in OWN and peer.name not in peers:
        pytest.skip(f"{peer.name} does not load")
    names, expected = _names(case)
    contender = next((c for c in contenders(case, [peer], names) if c.statement == statement), None)
    if contender is None:
        pytest.skip(f"this version of {peer.name} does not have it")
    compare(contender, contender.evaluate(), expected)
    benchmark.group = " ".join(map(str, _words(case)))
    benchmark.extra_info.update(about(case, contender))
    benchmark(eval(f"lambda: {statement}", contender.names))
    if benchmark.stats is not None:  # None with --benchmark-disable
        best = benchmark.stats.stats.min
        benchmark.extra_info["ns_per_element"] = best * 1e9 / case.size
        benchmark.extra_info["gb_per_s"] = case.nbytes / best / 1e9
    if peer.name in ("fastquant", "division", "reference"):
        assert contender.differing == 0


def about(case: Case, contender: Contender) -> dict[str, Any]:
    return {
        "kernel": case.kernel.name,
        "code": case.code or None,
        "elements": case.size,
        "threads": case.threads,
        "shape": case.shape,
        "axis": case.kernel.axis,
        "block_size": case.kernel.block,
        "real": case.kernel.real,
        "layout": case.kernel.layout,
        "bytes": case.nbytes,
        "peer": contender.peer.name,
        "out": contender.gives_out,
        "statement": contender.statement,
        "differing": contender.differing,
        "compared": contender.compared,
    }
