"""The benchmarks run, count and label correctly. Nothing here looks at how fast anything is."""

from __future__ import annotations

import io
import itertools
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench_support import Clock, bench, contender, record, run

from fastquant import _bench, _bench_tables, _bench_timing, _reference
from fastquant._bench_cases import KERNELS, cases
from fastquant._bench_peers import FASTQUANT, OWN
from fastquant._bench_timing import measure
from fastquant._report import UserError

USUAL = tuple(name for name, kernel in KERNELS.items() if kernel.usual)


# --- everything, small ---------------------------------------------------------------------------------


def test_usual_kernels_with_numpy_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "figures.json"
    assert bench("--no-peers", "--size", "64Ki", "--json", str(path)) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "left out" not in out
    assert "WRONG" not in out
    assert out.count("reference 0 of ") == len(USUAL)
    assert all(f"\n{kernel.title}\n" in out for kernel in KERNELS.values() if kernel.usual)

    report = json.loads(path.read_text())
    assert report["left_out"] == []
    assert report["machine"]["target"] in report["machine"]["targets"]
    measured = [(case["kernel"], case["code"] or "", case["elements"]) for case in report["cases"]]
    assert measured == [(c.kernel.name, c.code, c.size) for c in cases(USUAL, (96, 1 << 16))]
    for case in report["cases"]:
        rows = {row["name"]: row for row in case["contenders"]}
        assert rows["reference"]["differing"] == 0
        assert ("fastquant, out=" in rows) is (case["kernel"] != "minmax")
        assert ("bare" if case["kernel"] == "minmax" else "bare, out=") in rows
        for row in rows.values():
            assert row["ns_per_element"] == pytest.approx(row["ns_per_call"] / case["elements"])
            assert row["gb_per_s"] == pytest.approx(case["bytes"] / row["ns_per_call"])
            assert row["spread"] >= 1
        times = {name: row["ns_per_call"] for name, row in rows.items()}
        ours = rows["fastquant"]
        assert ours["speed_over"]["reference"] == pytest.approx(times["reference"] / times["fastquant"])
        plain = case["kernel"] in ("quantize", "dequantize", "fake_quantize", "minmax") and case["code"] != "uint8"
        assert ("plain" in ours["time_over"]) is not plain
        if not plain:
            for form in ("", ", out="):
                ratio = times[f"fastquant{form}"] / times[f"plain{form}"]
                assert rows[f"fastquant{form}"]["time_over"]["plain"] == pytest.approx(ratio)
        if case["kernel"] == "quantize":
            ratio = times["fastquant, out="] / times["division, out="]
            assert rows["fastquant, out="]["time_over"]["division"] == pytest.approx(ratio)
            assert "division" not in ours["time_over"]


# Packed codes that end within a byte, and blocks that end within a block, among them.
@pytest.mark.parametrize("size", ["96", "1003", "4032"])
def test_every_case_is_what_the_reference_says(size: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "figures.json"
    assert run("--size", size, "--seconds=0", "--repeat=1", "--no-peers", "--all", "--json", str(path)) == 0
    capsys.readouterr()
    found = json.loads(path.read_text())["cases"]
    assert {case["kernel"] for case in found} == set(KERNELS)
    assert len(found) == len(list(cases(tuple(KERNELS), (int(size),), True)))
    for case in found:
        row = next(row for row in case["contenders"] if row["name"] == "reference")
        assert row["differing"] == 0, case["kernel"]
        packed = case["kernel"].startswith(("quantize_packed", "quantize_dynamic_packed", "pack"))
        reduced = case["kernel"].startswith("minmax")
        assert row["compared"] >= (2 if reduced else case["elements"] // 4 if packed else case["elements"])


def test_wrong_results_are_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    right = _reference.quantize

    def wrong(*args: Any, **options: Any) -> Any:
        q = right(*args, **options)
        return (q.view(np.uint8) ^ 1).view(q.dtype)

    monkeypatch.setattr(_reference, "quantize", wrong)
    assert bench("--no-peers", "--kernel", "quantize") == 1
    out = capsys.readouterr().out
    values = 96 * len(KERNELS["quantize"].codes)
    assert f"reference {values:,} of {values:,}" in out
    assert "WRONG: quantize int8 96: 96 values of 'reference' are not those of fastquant" in out


def test_colours_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rich")

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    columns = ["codes", *(f"vs {i}" for i in range(30))]
    monkeypatch.setattr(sys, "stdout", Terminal())
    table = _bench_tables.render(columns, [["int8", *["0.50 LOSS", "2.00 win"] * 15]])
    assert "\x1b[1;31m0.50 LOSS\x1b[0m" in table
    assert table.count("2.00 win") == 15


def test_every_column_is_explained() -> None:
    measures = {peer.name: 1.0 for peer in OWN[1:]}
    columns, rows = _bench_tables.table_of([record("quantize", "int8", 768, 2, time_over=measures)])
    assert dict(zip(columns, rows[0], strict=True))["threads"] == "2"
    words = " ".join(_bench.HOW_TO_READ)
    assert [name for name in columns[2:] if name not in words] == []
    assert "threads" not in _bench_tables.table_of([record("quantize", "int8", 768)])[0]


def test_figures_that_cannot_be_written_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="its directory does not exist"):
        bench("--json", str(tmp_path / "missing" / "figures.json"))


@pytest.mark.parametrize(
    "option",
    ["--size=0", "--size=-1", "--size=64ki", "--seconds=nan", "--seconds=-1", "--repeat=0", "--kernel=x"],
)
def test_options_that_are_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        bench(option)
    assert stopped.value.code == 2
    assert option.split("=")[0] in capsys.readouterr().err


def test_kernels_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench("--list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(KERNELS)


def test_no_case_at_all() -> None:
    with pytest.raises(UserError, match="no such case"):
        bench("--kernel", "minmax", "--code", "int8")


# --- measuring -----------------------------------------------------------------------------------------


def test_statements_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str] = []
    monkeypatch.setattr(_bench_timing, "calls_per_sample", lambda *_: 2)
    entries = [contender(f"log.append({name!r})", {"log": log, "np": np}, OWN[1]) for name in "ab"]
    measure(entries, 0.0, 3)
    # Twice to see that it works and how long it takes; then in each round a call that warms up, and two that are timed.
    assert "".join(log) == "aabb" + 3 * "aaabbb"
    assert [len(entry.samples) for entry in entries] == [3, 3]


@pytest.mark.parametrize(("seconds", "calls"), [(0.125, "aa"), (0.5, "a")])
def test_long_calls_are_warmed_too_if_not_very_long(
    seconds: float, calls: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    entry = contender("log.append('a') or wait(seconds)", {}, OWN[1])
    entry.names |= {"log": (log := []), "wait": clock.wait, "seconds": seconds}
    measure([entry], 0.0, 3)
    assert entry.calls_per_sample == 1
    assert "".join(log) == calls + 3 * calls
    assert entry.samples == [seconds] * 3
    log.clear()
    measure([entry], 1.0, 1)  # what warms takes its part of the time that a case is given
    assert "".join(log) == calls + (4 if seconds == 0.125 else 2) * calls


@pytest.mark.parametrize(
    ("times", "again", "samples"),
    [
        ([1, 1, 4], True, 3),
        ([1, 4, 4], True, 6),  # the median is four times the best
        ([1, 4, 4], False, 3),
    ],
)
def test_noisy_samples_are_taken_again(
    times: list[int], again: bool, samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    takes = iter([1, *times, *[1] * 3])  # the first, which is too long for others that warm
    entry = contender("wait(next(takes))", {"wait": clock.wait, "takes": takes}, FASTQUANT)
    measure([entry], 0.0, 3, again_if_noisy=again)
    assert entry.samples[:3] == times
    assert len(entry.samples) == samples


def test_noisy_rows_are_marked() -> None:
    columns, rows = _bench_tables.table_of(
        [record("quantize", "int8", 768, spread=spread) for spread in (1.0, 1.5, 1.51)]
    )
    assert [row[columns.index("spread")] for row in rows] == ["1.00", "1.50", "1.51~"]


def test_only_what_is_published_is_measured_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []
    monkeypatch.setattr(
        _bench_timing,
        "_take_turns",
        lambda timed, *_: asked.append(len(timed)) or [each.entry.samples.extend([1.0, 2.0, 2.0]) for each in timed],
    )
    options = ("--no-peers", "--kernel=quantize", "--code=int8", "--size=768", "--threads=1")
    assert run("--seconds=0", *options) == 0
    assert len(asked) == 1
    assert run("--publish", "--seconds=0", *options) == 0
    assert len(asked) == 3
    assert "2.00~" in capsys.readouterr().out


def test_rests_before_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    rests: list[float] = []
    monkeypatch.setattr(_bench_timing.time, "sleep", rests.append)
    entries = [contender("0", {"np": np}, OWN[1]) for _ in range(2)]
    measure(entries, 0.0, 3)
    assert not rests
    measure(entries, 0.0, 3, 0.5)
    assert rests == [0.5] * 6


def test_a_slow_peer_has_two_samples() -> None:
    names: dict[str, Any] = {"wait": lambda: sum(range(200_000)), "np": np}
    entries = [contender("0", names, FASTQUANT), contender("wait() and 0", names)]
    measure(entries, 0.0, 4)
    assert [len(entry.samples) for entry in entries] == [4, 2]


def test_what_is_done_once_is_not_what_a_call_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    takes = itertools.chain(
        [0.125], itertools.repeat(2**-13)
    )  # as a library does that reads its tables when first called
    names = {"wait": clock.wait, "takes": takes}
    entries = [contender("wait(2**-13)", names, FASTQUANT), contender("wait(next(takes))", names)]
    measure(entries, 0.125, 3)
    assert [(entry.calls_per_sample, set(entry.samples)) for entry in entries] == 2 * [(17, {2**-13})]
    assert len(entries[0].samples) == len(entries[1].samples) > 3


def test_values_are_compared() -> None:
    names = {"np": np}
    entries = [contender("np.arange(4)", names, FASTQUANT), contender("np.array([0, 1, 5, 5])", names)]
    measure(entries, 0.0, 1)
    assert [(entry.differing, entry.compared) for entry in entries] == [(0, 4), (2, 4)]
    with pytest.raises(AssertionError, match="gave 3 values, expected 4"):
        measure([entries[0], contender("np.arange(3)", names)], 0.0, 1)


def test_best_and_spread() -> None:
    entry = contender("0", {})
    entry.samples = [3.0, 2.0, 8.0]
    assert (entry.best, entry.spread) == (2.0, 1.5)


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (0.4, "0.40 LOSS"),
        (0.97, "0.97 LOSS"),
        (0.98, "0.98 even"),
        (1.02, "1.02 even"),
        (1.03, "1.03 win"),
        (9.996, "10.0 win"),
        (99.96, "100 win"),
        (1234.4, "1234 win"),
    ],
)
def test_losses_are_called_so(ratio: float, text: str) -> None:
    assert _bench_tables.against(ratio) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(130e-9, "130 ns"), (9999e-9, "9999 ns"), (10e-6, "10.0 us"), (0.0173, "17.3 ms")]
)
def test_durations(seconds: float, text: str) -> None:
    assert _bench_tables.duration(seconds) == text
