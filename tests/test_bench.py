"""The benchmarks run, count and label correctly. Nothing here looks at how fast anything is."""

from __future__ import annotations

import argparse
import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastquant import _bench, _bench_cases, _bench_onnx, _reference
from fastquant._bench_cases import KERNELS, Case, Contender, cases, contenders, forms, inputs, measure
from fastquant._bench_peers import DIVISION, FASTQUANT, NUMPY, OWN, PEERS, REFERENCE, Peer
from fastquant._report import UserError

QUICK = ["--size", "96", "--seconds", "0", "--repeat", "1"]


def bench(*options: str) -> int:
    parser = argparse.ArgumentParser()
    _bench.add_arguments(parser)
    return _bench.run(parser.parse_args([*QUICK, *options]))


def contender(statement: str, names: dict[str, Any], peer: Peer = NUMPY) -> Contender:
    return Contender(peer, statement, False, names)


def case_of(kernel: str, code: str, size: int) -> Case:
    return Case(KERNELS[kernel], code, size)


# --- everything, small ---------------------------------------------------------------------------------


def test_all_kernels_with_numpy_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "figures.json"
    assert bench("--no-peers", "--size", "64Ki", "--json", str(path)) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "left out: torch: not asked for" in out
    assert "WRONG" not in out
    assert out.count("reference 0 of ") == len(KERNELS)
    assert all(f"\n{kernel.title}\n" in out for kernel in KERNELS.values())

    report = json.loads(path.read_text())
    assert report["machine"]["target"] in report["machine"]["targets"]
    measured = [(case["kernel"], case["code"] or "", case["elements"]) for case in report["cases"]]
    assert measured == [(c.kernel.name, c.code, c.size) for c in cases(tuple(KERNELS), (96, 1 << 16))]
    for case in report["cases"]:
        rows = {row["name"]: row for row in case["contenders"]}
        assert rows["reference"]["differing"] == 0
        assert ("fastquant, out=" in rows) is (case["kernel"] != "minmax")
        assert ("copy, out=" in rows) is (case["bytes"] >= 1 << 18)
        for row in rows.values():
            assert row["ns_per_element"] == pytest.approx(row["ns_per_call"] / case["elements"])
            assert row["gb_per_s"] == pytest.approx(case["bytes"] / row["ns_per_call"])
            assert row["spread"] >= 1
        times = {name: row["ns_per_call"] for name, row in rows.items()}
        ours = rows["fastquant"]
        assert ours["speed_over"]["reference"] == pytest.approx(times["reference"] / times["fastquant"])
        if case["kernel"] == "quantize":
            ratio = times["fastquant, out="] / times["division, out="]
            assert rows["fastquant, out="]["time_over"]["division"] == pytest.approx(ratio)
            assert ours["time_over"] == {}


@pytest.mark.parametrize("module", ["torch", "onnxruntime"])
def test_installed_peers(module: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip(module, exc_type=ImportError)
    path = tmp_path / "figures.json"
    assert bench("--json", str(path)) == 0
    mine = {peer.name for peer in PEERS if peer.module == module}
    rows = [
        row for c in json.loads(path.read_text())["cases"] for row in c["contenders"] if row["peer"] in mine
    ]
    assert {row["peer"] for row in rows} == mine
    assert all(row["compared"] for row in rows)
    # torch multiplies by the reciprocal, which moves a value in millions; of these few, none is near a tie.
    assert sum(row["differing"] for row in rows) == 0


def test_peers_that_are_not_installed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert bench("--kernel", "quantize") == 0
    out = capsys.readouterr().out
    for name in ("torch", "torch pt2e", "ONNX Runtime"):
        assert f"left out: {name}: not installed\n" in out
        assert f"vs {name}" not in out


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
    table = _bench._render(columns, [["int8", *["0.50 LOSS", "2.00 win"] * 15]])
    assert "\x1b[1;31m0.50 LOSS\x1b[0m" in table
    assert table.count("2.00 win") == 15


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


# --- cases ---------------------------------------------------------------------------------------------


def test_every_kernel_has_its_statements() -> None:
    for case in cases(tuple(KERNELS), (96,)):
        assert len(forms(case, FASTQUANT)) == (1 if case.kernel.name == "minmax" else 2)
        assert len(forms(case, REFERENCE)) == 1
        if case.kernel.name != "quantize_dynamic" or case.code in ("int8", "uint8"):
            assert len(forms(case, NUMPY)) == 1


@pytest.mark.parametrize("size", [1, 2, 7, 96, 768, 1000, 1 << 16, 1 << 26])
def test_matrices_have_all_elements(size: int) -> None:
    rows, columns = case_of("quantize_axis_0", "int8", size).shape
    assert rows * columns == size
    assert rows >= 4 or size < 8
    assert columns <= 1024


def test_bytes_that_must_move() -> None:
    expected = {"quantize": 5, "dequantize": 5, "fake_quantize": 8, "minmax": 4, "quantize_dynamic": 5}
    assert {name: case_of(name, "int8", 100).nbytes // 100 for name in expected} == expected


def test_the_division_is_of_the_same_quotients() -> None:
    case = case_of("quantize", "uint8", 1 << 14)
    names = inputs(case)
    plain, _, division = contenders(case, (FASTQUANT, DIVISION), names)
    assert np.array_equal(plain.evaluate(), division.evaluate())
    assert names["scale"] < 2.0**100 < division.names["far_scale"]


def test_given_arrays_start_on_cache_lines() -> None:
    names = inputs(case_of("dequantize", "int8", 96))
    assert all(names[name].ctypes.data % 64 == 0 for name in ("x", "q", "out"))


# --- measuring -----------------------------------------------------------------------------------------


def test_statements_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str] = []
    monkeypatch.setattr(_bench_cases, "_calls_per_sample", lambda *_: 2)
    entries = [contender(f"log.append({name!r})", {"log": log, "np": np}, OWN[1]) for name in "ab"]
    measure(entries, 0.0, 3)
    # Once to see that it works; then in each round a call that warms up, and two that are timed.
    assert "".join(log) == "ab" + 3 * "aaabbb"
    assert [len(entry.samples) for entry in entries] == [3, 3]


def test_a_slow_peer_has_two_samples() -> None:
    names: dict[str, Any] = {"wait": lambda: sum(range(200_000)), "np": np}
    entries = [contender("0", names, FASTQUANT), contender("wait() and 0", names)]
    measure(entries, 0.0, 4)
    assert [len(entry.samples) for entry in entries] == [4, 2]


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
    assert _bench._against(ratio) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(130e-9, "130 ns"), (9999e-9, "9999 ns"), (10e-6, "10.0 us"), (0.0173, "17.3 ms")]
)
def test_durations(seconds: float, text: str) -> None:
    assert _bench._duration(seconds) == text


# --- models for ONNX Runtime ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operators", "given", "results", "axis"),
    [
        (("QuantizeLinear",), np.float32, [np.int8], None),
        (("QuantizeLinear",), np.float32, [np.uint8], -1),
        (("DequantizeLinear",), np.int8, [np.float32], 0),
        (("QuantizeLinear", "DequantizeLinear"), np.float32, [np.float32], None),
        (("DynamicQuantizeLinear",), np.float32, [np.uint8, np.float32, np.uint8], None),
    ],
)
def test_models_are_valid(
    operators: tuple[str, ...], given: Any, results: list[Any], axis: int | None
) -> None:
    onnx = pytest.importorskip("onnx", exc_type=ImportError)
    code = np.int8 if np.int8 in (given, *results) else np.uint8
    shape = () if axis is None else (300,)
    parameters = {"scale": np.full(shape, 0.5, np.float32), "zero_point": np.zeros(shape, code)}
    if operators[0] == "DynamicQuantizeLinear":
        parameters = {}
    x = np.zeros((300, 300), given)
    arrays = [np.zeros(x.shape if i == 0 else (), result) for i, result in enumerate(results)]
    model = onnx.load_from_string(_bench_onnx.model_of(operators, x, arrays, parameters, axis))
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == list(operators)
    for node in model.graph.node:
        assert [attribute.i for attribute in node.attribute] == ([] if axis is None else [axis])
    for found, expected in zip(model.graph.initializer, parameters.values(), strict=True):
        assert np.array_equal(onnx.numpy_helper.to_array(found), expected)
