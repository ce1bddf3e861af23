"""The rest of the command line: inspect, demo, bench, and what holds for every command."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rich")
pytest.importorskip("safetensors")

from cli_support import ON_POSIX, reference_codes, refused, table_row
from safetensors.numpy import load_file, save_file

from fastquant import _reference as reference
from fastquant.cli import main

# --- inspect ----------------------------------------------------------------------------------------------


def test_inspect_as_json(
    model: Path, arrays: dict[str, np.ndarray], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(model), "--json"]) == 0
    about = json.loads(capsys.readouterr().out)
    assert about["metadata"] == {"format": "pt", "note": "kept"}
    assert about["bytes"] == sum(x.nbytes for x in arrays.values())
    tensors = {tensor["name"]: tensor for tensor in about["tensors"]}
    assert set(tensors) == set(arrays)
    for name, x in arrays.items():
        assert tensors[name]["shape"] == list(x.shape)
        assert tensors[name]["bytes"] == x.nbytes
        if x.size:
            assert (tensors[name]["min"], tensors[name]["max"]) == (x.min(), x.max())
        if name in ("bias", "ids", "empty"):
            assert tensors[name]["int8"] is None
            continue
        q, scale, zero_point = reference_codes(x, "int8", True, None)
        error = x.astype(np.float64) - reference.dequantize(q, scale, zero_point)
        cost = tensors[name]["int8"]
        assert cost["scale"] == scale
        assert cost["bytes"] == q.nbytes + 4
        ratio = (x.astype(float) ** 2).sum() / (error**2).sum()
        assert cost["sqnr_db"] == pytest.approx(10 * math.log10(ratio))
    assert about["int8_bytes"] == sum((t["int8"] or t)["bytes"] for t in about["tensors"])


def test_inspect_counts_what_is_not_finite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = np.ones((3, 4), np.float32)
    x[0] = [np.nan, np.inf, -np.inf, -2]
    others = {"all": np.full(2, np.nan, np.float16), "zero": np.zeros((2, 2))}
    save_file({"x": x, **others}, tmp_path / "x.safetensors")
    assert main(["inspect", str(tmp_path / "x.safetensors"), "--json"]) == 0
    tensors = {t["name"]: t for t in json.loads(capsys.readouterr().out)["tensors"]}
    assert (tensors["x"]["nan"], tensors["x"]["inf"], tensors["x"]["int8"]) == (1, 2, None)
    assert (tensors["x"]["min"], tensors["x"]["max"]) == (-2, 1)
    assert (tensors["all"]["nan"], tensors["all"]["min"]) == (2, None)
    assert tensors["zero"]["int8"] == {"bytes": 8, "scale": 1, "sqnr_db": None}
    assert main(["inspect", str(tmp_path / "x.safetensors")]) == 0
    out = capsys.readouterr().out
    assert table_row(out, "x")[-2:] == ["1", "2"]
    assert "exact" in table_row(out, "zero")


def test_inspect_takes_types_that_it_cannot_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = np.zeros(3, [("a", "i4"), ("b", "f4")])
    others = {"text": np.array(["a", "bc"]), "flags": np.array([[True]]), "c": np.array([1j]), "v": record}
    day = np.array("2020-01-01", "M8[D]")
    np.savez(tmp_path / "x.npz", **others, numbers=np.array([3, -(2**62)]), day=day)
    assert main(["inspect", str(tmp_path / "x.npz"), "--json"]) == 0
    tensors = {t["name"]: t for t in json.loads(capsys.readouterr().out)["tensors"]}
    assert (tensors["numbers"]["min"], tensors["numbers"]["max"]) == (-(2**62), 3)
    assert all(tensors[name]["min"] is None for name in [*others, "day"])
    assert main(["inspect", str(tmp_path / "x.npz")]) == 0


# --- demo and bench ---------------------------------------------------------------------------------------


@pytest.fixture
def small_wordllama(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of the same layout with 40 vectors, which fails if it is imported."""
    root = tmp_path / "site" / "wordllama"
    (root / "weights").mkdir(parents=True)
    (root / "tokenizers").mkdir()
    (root / "__init__.py").write_text("raise RuntimeError('imported')")
    words = [f"\u2581w{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(30)]
    tokens = [*words, "piece", "<s>", "\u2581", "\u2581a1", *(f"<{n}>" for n in range(6))]
    vectors = np.random.default_rng(5).standard_normal((40, 64)).astype(np.float16)
    save_file({"embedding.weight": vectors}, root / "weights" / "small.safetensors")
    vocabulary = {"model": {"vocab": {token: n for n, token in enumerate(tokens)}}}
    (root / "tokenizers" / "small.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    monkeypatch.syspath_prepend(str(root.parent))
    monkeypatch.delitem(sys.modules, "wordllama", raising=False)
    return root


def test_demo(small_wordllama: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--words", "waa, wac"]) == 0
    out = capsys.readouterr().out
    assert "40 x 64 float16" in out
    assert table_row(out, "float16")[1] == f"{40 * 64 * 2:,}"
    assert "of 30 whole words" in out
    assert out.count("of 10 agree") == 4
    assert "waa: float16" in out
    assert "wac: float16" in out
    weights = load_file(small_wordllama / "weights" / "small.safetensors")
    vectors = weights["embedding.weight"][:30].astype(float)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    nearest = np.argsort(-(units @ units[0]))[1:11]
    lines = out.split("waa: float16")[1].splitlines()[2:12]
    assert [line.split()[0] for line in lines] == [f"w{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in nearest]


def test_demo_refuses(small_wordllama: Path, capsys: pytest.CaptureFixture[str]) -> None:
    problem = refused(capsys, "demo", "--words", "waa,piece,nonsense")
    assert "'piece', 'nonsense'" in problem
    assert "'waa'" not in problem
    refused(capsys, "demo", "--words", "")
    (small_wordllama / "tokenizers" / "small.json").write_text("{}")
    assert "small.json" in refused(capsys, "demo", "--words", "waa")
    (small_wordllama / "weights" / "small.safetensors").unlink()
    assert str(small_wordllama) in refused(capsys, "demo", "--words", "waa")


def test_demo_on_the_real_weights(capsys: pytest.CaptureFixture[str]) -> None:
    if importlib.util.find_spec("wordllama") is None:
        pytest.skip("needs wordllama")
    assert main(["demo"]) == 0
    out = capsys.readouterr().out
    assert "32000 x 256 float16" in out
    assert table_row(out, "float16")[1] == "16,384,000"
    assert out.count("of 10 agree") == 8


def test_bench_is_imported_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = types.ModuleType("fastquant._bench")
    bench.add_arguments = lambda parser: parser.add_argument("--size", type=int)  # type: ignore[attr-defined]
    bench.run = lambda args: args.size  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "fastquant._bench", bench)
    monkeypatch.setattr("fastquant._bench", bench, raising=False)
    assert main(["bench", "--size", "7"]) == 7


# --- the frame --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", ["rich", "safetensors"])
def test_a_missing_extra_is_named(
    model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    expected = 'fastquant: this command needs the extra: pip install "fastquant-kernels[cli]"\n'
    assert refused(capsys, "quantize", model, "-o", model.with_name("o.npz")) == expected
    assert refused(capsys, "inspect", model) == expected
    assert [path.name for path in model.parent.iterdir()] == [model.name]


def test_a_missing_demo_is_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert refused(capsys, "demo").endswith('pip install "fastquant-kernels[demo]"\n')


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["squash"],
        ["quantize", "x.npz"],
        ["quantize", "-o", "x.npz"],
        ["quantize", "x.npz", "-o", "y.npz", "--dtype", "int7"],
        ["quantize", "x.npz", "-o", "y.npz", "--axis", "one"],
        ["inspect"],
    ],
)
def test_wrong_usage(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(argv)
    assert stopped.value.code == 2
    assert "usage: fastquant" in capsys.readouterr().err


def run(*argv: object, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "fastquant", *map(str, argv)]
    return subprocess.run(command, text=True, stderr=subprocess.PIPE, timeout=120, **options)


def test_python_m() -> None:
    done = run("--help", stdout=subprocess.PIPE)
    assert done.returncode == 0
    assert all(command in done.stdout for command in ("quantize", "inspect", "demo", "bench"))
    done = run("inspect", "no-such-file.npy", stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "fastquant: no-such-file.npy: No such file or directory\n"


@ON_POSIX
def test_a_reader_that_leaves(model: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = run("inspect", model, stdout=writer)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_standard_output(model: Path) -> None:
    with open("/dev/full", "w") as full:
        done = run("inspect", model, stdout=full)
    assert done.returncode == 2
    assert done.stderr == "fastquant: standard output: No space left on device\n"
