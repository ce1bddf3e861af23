"""What the benchmarks compare with: each peer that is installed here runs, on the threads that it is told to."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from bench_support import bench, run

import fastquant as fq
from fastquant._bench_own import NONE, NUMPY, REFERENCE, Peer
from fastquant._bench_peers import OWN, PEERS, on_threads


# 4096 elements are matrices of whole blocks, which some peers need.
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("name", "kernels"),
    [
        ("torch", {"quantize", "quantize_axis_last", "dequantize_axis_0", "fake_quantize_axis_0", "minmax_axis_0"}),
        ("torch pt2e", {"dequantize", "quantize_tokens", "dequantize_blocks_32", "quantize_dynamic_tokens"}),
        ("torch.compile", {"quantize", "dequantize_axis_0", "fake_quantize", "minmax", "quantize_dynamic"}),
        ("ONNX Runtime", {"quantize", "quantize_packed", "dequantize_packed", "quantize_blocks_32"}),
        ("ONNX Runtime", {"dequantize", "fake_quantize", "quantize_dynamic", "dequantize_packed_blocks_32"}),
        ("ml_dtypes", {"quantize", "dequantize", "fake_quantize", "quantize_axis_0", "quantize_blocks_32"}),
        ("numba", {"quantize", "dequantize", "fake_quantize", "minmax", "quantize_axis_0", "dequantize_axis_0"}),
        ("numba", {"quantize_axis_last", "dequantize_axis_last", "quantize_tokens", "dequantize_blocks_32"}),
        ("numba", {"quantize_dynamic", "quantize_dynamic_tokens", "quantize_dynamic_blocks_64"}),
        ("NumKong", {"quantize", "dequantize", "minmax"}),
        ("faiss", {"quantize", "dequantize", "quantize_axis_last", "dequantize_axis_last"}),
        ("sentence-transformers", {"quantize_axis_last"}),
        ("bitsandbytes", {"quantize_dynamic_blocks_64", "dequantize_blocks_64"}),
        ("bitsandbytes", {"quantize_dynamic_packed_blocks_64", "dequantize_packed_blocks_64"}),
        ("gguf", {"quantize_dynamic_blocks_32", "dequantize_blocks_32"}),
        ("gguf", {"quantize_dynamic_packed_blocks_32", "dequantize_packed_blocks_32"}),
    ],
)
def test_installed_peers(
    name: str, kernels: set[str], threads: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    peer = next(peer for peer in PEERS if peer.name == name)
    pytest.importorskip(peer.module, exc_type=ImportError)
    path = tmp_path / "figures.json"
    options = [f"--peer={name}", f"--threads={threads}", *(f"--kernel={name}" for name in sorted(kernels))]
    assert run("--size=4096", "--seconds=0", "--repeat=1", "--all", *options, "--json", str(path)) == 0
    if f"left out: {name}: does not load" in capsys.readouterr().out:
        pytest.skip(f"{name} does not load")  # torch.compile without a compiler
    report = json.loads(path.read_text())
    found = [(case, row) for case in report["cases"] for row in case["contenders"] if row["peer"] == name]
    assert {case["kernel"] for case, _ in found} == kernels
    assert {case["threads"] for case in report["cases"]} == {threads}
    assert not {row["peer"] for case in report["cases"] for row in case["contenders"]} - {
        *(peer.name for peer in (*OWN, REFERENCE, NUMPY)),
        name,
    }
    for _, row in found:
        assert (row["compared"] > 0) is peer.comparable
        # Who multiplies by the reciprocal moves a value in a million.
        assert not peer.comparable or row["differing"] <= row["compared"] // 1000
    if name in ("ml_dtypes", "numba"):
        assert sum(row["differing"] for _, row in found) <= len(found)  # of numba, scales


def test_threads_are_set_and_put_back() -> None:
    told: list[int] = []

    def use(count: int) -> int:
        told.append(count)
        return 7

    peer = Peer("made up", lambda case: NONE, use_threads=use)
    before = fq.get_num_threads()
    with on_threads(3, [peer, NUMPY, peer]):
        assert fq.get_num_threads() == 3
        assert told == [3]
    assert told == [3, 7]
    assert fq.get_num_threads() == before


def test_each_number_of_threads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "figures.json"
    options = ("--threads=2", "--threads=1", "--threads=2", "--kernel=quantize", "--code=int8", "--size=1Mi")
    assert bench("--no-peers", *options, "--json", str(path)) == 0
    table = capsys.readouterr().out.split("one scale\n")[-1].splitlines()
    assert "threads" in table[1]
    assert "/one thread" in table[1]
    report = json.loads(path.read_text())
    assert [(case["elements"], case["threads"]) for case in report["cases"]] == [
        *((96, 1), (96, 2)),
        *((1 << 20, 1), (1 << 20, 2)),
    ]
    split = report["cases"][-1]["contenders"]
    rows = {row["name"]: row for row in split}
    assert rows["one thread"]["differing"] == rows["one thread, out="]["differing"] == 0
    ratio = rows["fastquant, out="]["ns_per_call"] / rows["one thread, out="]["ns_per_call"]
    assert rows["fastquant, out="]["time_over"]["one thread"] == pytest.approx(ratio)


def test_peers_that_are_not_installed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert bench("--kernel", "quantize") == 0
    out = capsys.readouterr().out
    for name in ("torch", "torch pt2e", "ONNX Runtime"):
        assert f"left out: {name}: not installed\n" in out
        assert f"vs {name}" not in out


def test_peers_that_are_not_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert bench("--kernel", "quantize", "--peer", "ml_dtypes") == 0
    out = capsys.readouterr().out
    assert "left out: torch: not asked for\n" in out
    assert "left out: ml_dtypes" not in out
