"""The command line, run in process where that is possible: what it writes, prints and returns."""

from __future__ import annotations

import io
import json
import math
import os
import subprocess
import sys
import tracemalloc
import types
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

pytest.importorskip("rich")
pytest.importorskip("safetensors")

from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from fastquant import _reference as reference
from fastquant import cli
from fastquant.cli import main

ON_POSIX = pytest.mark.skipif(os.name != "posix", reason="needs POSIX")


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def header_of(path: Path) -> dict:
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        assert length % 8 == 0
        return json.loads(file.read(length))


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    weights = rng.standard_normal((48, 32)).astype(np.float32)
    weights[5] *= 20
    return {
        "z.weight": weights,
        "a.half": rng.standard_normal((6, 4, 3)).astype(np.float16),
        "m.double": rng.standard_normal((5, 7)),
        "bias": rng.standard_normal(32).astype(np.float32),
        "ids": np.arange(20, dtype=np.int64).reshape(4, 5),
        "empty": np.zeros((0, 8), np.float32),
    }


@pytest.fixture
def model(tmp_path: Path, arrays: dict[str, np.ndarray]) -> Path:
    path = tmp_path / "model.safetensors"
    save_file(arrays, path, metadata={"format": "pt", "note": "kept"})
    return path


def fails(capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    """The one line that a failing command prints."""
    assert main([str(arg) for arg in argv]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("fastquant: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1
    return err


def reference_codes(x: np.ndarray, dtype: str, symmetric: bool, axis: int | None) -> tuple:
    return reference.quantize_dynamic(x.astype(np.float32), dtype, symmetric=symmetric, axis=axis)


# --- quantize ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_quantize_writes_what_the_reference_says(
    model: Path, arrays: dict[str, np.ndarray], suffix: str, dtype: str, symmetric: bool, axis: int | None
) -> None:
    out = model.with_name("out" + suffix)
    argv = ["quantize", str(model), "-o", str(out), "--dtype", dtype]
    argv += [] if symmetric else ["--asymmetric"]
    argv += [] if axis is None else ["--axis", str(axis)]
    assert main(argv) == 0
    if suffix == ".npz":
        with np.load(out) as file:
            found = dict(file)
    else:
        found = load_file(out)
    expected = {}
    for name, x in arrays.items():
        if name in ("bias", "ids", "empty"):
            expected[name] = x
            continue
        q, scale, zero_point = reference_codes(x, dtype, symmetric, axis)
        expected[name] = q
        expected[f"{name}_scale"] = scale
        if not symmetric or dtype == "uint8":
            expected[f"{name}_zero_point"] = zero_point
    assert set(found) == set(expected)
    for name, x in expected.items():
        x = np.asarray(x)
        assert found[name].dtype == x.dtype
        assert found[name].shape == x.shape
        assert found[name].tobytes() == x.tobytes()


def test_metadata_and_order_are_kept(model: Path) -> None:
    out = model.with_name("out.safetensors")
    assert main(["quantize", str(model), "-o", str(out)]) == 0
    before, after = header_of(model), header_of(out)
    assert after["__metadata__"] == before["__metadata__"] == {"format": "pt", "note": "kept"}
    assert [name for name in after if not name.endswith("_scale")] == list(before)
    names = list(after)
    assert names[names.index("z.weight") + 1] == "z.weight_scale"
    assert {entry["dtype"] for name, entry in after.items() if name.endswith("_scale")} == {"F32"}


def test_the_same_input_gives_the_same_file(model: Path) -> None:
    for suffix in (".safetensors", ".npz"):
        files = [model.with_name(f"{n}{suffix}") for n in (1, 2)]
        for file in files:
            assert main(["quantize", str(model), "-o", str(file)]) == 0
        assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize(
    ("options", "quantized"),
    [
        ([], {"z.weight", "a.half", "m.double"}),
        (["--include", "z.*"], {"z.weight"}),
        (["--include", "z.*", "--include", "?.half"], {"z.weight", "a.half"}),
        (["--exclude", "*half"], {"z.weight", "m.double"}),
        (["--include", "*.*", "--exclude", "z*", "--exclude", "m*"], {"a.half"}),
        (["--include", "bias"], set()),
        (["--exclude", "*"], set()),
        (["--exclude", "Z*"], {"z.weight", "a.half", "m.double"}),
    ],
)
def test_include_and_exclude(model: Path, options: list[str], quantized: set[str]) -> None:
    out = model.with_name("out.safetensors")
    assert main(["quantize", str(model), "-o", str(out), *options]) == 0
    with safe_open(out, framework="numpy") as file:
        names = set(file.keys())
    assert {name.removesuffix("_scale") for name in names if name.endswith("_scale")} == quantized


def test_bfloat16_is_quantized_through_float32(tmp_path: Path) -> None:
    x = np.random.default_rng(1).standard_normal((9, 5)).astype(ml_dtypes.bfloat16)
    path, out = tmp_path / "b.safetensors", tmp_path / "o.npz"
    save_file({"x": x}, path)
    assert header_of(path)["x"]["dtype"] == "BF16"
    assert main(["quantize", str(path), "-o", str(out)]) == 0
    q, scale, _ = reference_codes(x, "int8", True, None)
    with np.load(out) as file:
        assert np.array_equal(file["x"], q)
        assert file["x_scale"] == scale


def test_refusals_before_anything_is_written(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = model.with_name("out.safetensors")
    assert "--include 'z.wieght'" in fails(capsys, "quantize", model, "-o", out, "--include", "z.wieght")
    problem = fails(capsys, "quantize", model, "-o", out, "--axis", 2)
    assert "--axis 2" in problem
    assert "(5, 7)" in problem or "(48, 32)" in problem
    assert main(["quantize", str(model), "-o", str(out), "--axis", "2", "--include", "a.half"]) == 0
    capsys.readouterr()
    out.unlink()

    taken = model.with_name("taken.npz")
    np.savez(taken, w=np.ones((2, 2), np.float32), w_scale=np.ones(3), v=np.ones((2, 2)), v_zero_point=1)
    assert "'w_scale'" in fails(capsys, "quantize", taken, "-o", out)
    assert "'v_zero_point'" in fails(capsys, "quantize", taken, "-o", out, "--exclude", "w", "--asymmetric")
    assert not out.exists()
    assert main(["quantize", str(taken), "-o", str(out), "--exclude", "w"]) == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_values_that_cannot_be_quantized(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], value: float
) -> None:
    path, out = tmp_path / "x.npz", tmp_path / "out.npz"
    bad = np.ones((3, 3))
    bad[1, 1] = value
    np.savez(path, **{"fine": np.ones((2, 2)), "bad[0]": bad})
    problem = fails(capsys, "quantize", path, "-o", out)
    assert str(path) in problem
    assert "'bad[0]'" in problem
    assert "beyond the range of float32" in problem if value == 1e300 else "1 " in problem
    assert sorted(tmp_path.iterdir()) == [path]
    suggested = problem.split("--exclude '")[1].split("'")[0]
    assert main(["quantize", str(path), "-o", str(out), "--exclude", suggested]) == 0
    with np.load(out) as file:
        assert file["bad[0]"].tobytes() == bad.tobytes()
        assert file["fine"].dtype == np.int8


def table_row(out: str, first: str) -> list[str]:
    return next(line.split() for line in out.splitlines() if line.split()[:1] == [first])


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_the_table_says_what_was_lost(
    model: Path, arrays: dict[str, np.ndarray], capsys: pytest.CaptureFixture[str], axis: int | None
) -> None:
    argv = ["quantize", str(model), "-o", str(model.with_name("o.npz")), "--asymmetric"]
    assert main(argv + ([] if axis is None else ["--axis", str(axis)])) == 0
    out, err = capsys.readouterr()
    assert err == ""
    signal = noise = 0.0
    for name in ("z.weight", "a.half", "m.double"):
        x = arrays[name].astype(np.float64)
        q, scale, zero_point = reference_codes(x, "int8", False, axis)
        error = x - reference.dequantize(q, scale, zero_point, axis=axis)
        row = table_row(out, name)
        after = q.nbytes + np.asarray(scale).nbytes + np.asarray(zero_point).nbytes
        assert row[1:4] == ["x".join(map(str, x.shape)), f"{arrays[name].nbytes:,}", f"{after:,}"]
        assert float(row[4]) == pytest.approx(10 * math.log10((x**2).sum() / (error**2).sum()), abs=0.006)
        assert float(row[5]) == pytest.approx(abs(error).max(), rel=0.006)
        assert float(row[6]) >= 0
        signal, noise = signal + (x**2).sum(), noise + (error**2).sum()
    assert float(table_row(out, "total")[3]) == pytest.approx(10 * math.log10(signal / noise), abs=0.006)
    assert "3 of 6 tensors quantized (int8, asymmetric" in out
    assert "3 copied unchanged (288 bytes)" in out
    assert "bias" not in out
    assert "The metadata (format, note) is left out" in out


def test_measure_goes_through_every_block(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    for block in (1, 5, 12, 64, 1 << 16):
        monkeypatch.setattr("fastquant._report.BLOCK", block)
        for shape, axis in (((3, 4, 5), 1), ((3, 4, 5), 0), ((3, 4, 5), -1), ((60,), 0), ((60,), None)):
            x = rng.standard_normal(shape).astype(np.float32)
            q, scale, zero_point = reference_codes(x, "uint8", False, axis)
            error = x - reference.dequantize(q, scale, zero_point, axis=axis).astype(np.float64)
            quality = cli.measure(x, q, scale, zero_point, axis)
            assert quality.noise == pytest.approx((error**2).sum())
            assert quality.signal == pytest.approx((x.astype(np.float64) ** 2).sum())
            assert quality.largest == abs(error).max()


def test_nothing_lost_is_said_to_be_exact(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, zeros=np.zeros((4, 4), np.float32), whole=np.arange(-127, 129, 2.0).reshape(2, -1) % 128)
    assert main(["quantize", str(path), "-o", str(tmp_path / "o.npz")]) == 0
    out = capsys.readouterr().out
    for name in ("zeros", "whole", "total"):
        assert "exact" in table_row(out, name)


def test_nothing_to_quantize_is_a_copy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "v.npy", np.arange(5.0))
    assert main(["quantize", str(tmp_path / "v.npy"), "-o", str(tmp_path / "o.npz")]) == 0
    assert capsys.readouterr().out.startswith("0 of 1 tensors quantized")
    with np.load(tmp_path / "o.npz") as file:
        assert np.array_equal(file["v"], np.arange(5.0))


def test_only_one_tensor_is_in_memory_at_a_time(tmp_path: Path) -> None:
    path, out = tmp_path / "x.safetensors", tmp_path / "o.safetensors"
    one = 4 << 20
    big = np.random.default_rng(0).standard_normal((1024, one // 4096)).astype(np.float32)
    save_file({f"t{n}": big for n in range(6)} | {"copied": np.zeros(3 * one, np.uint8)}, path)
    tracemalloc.start()
    try:
        assert main(["quantize", str(path), "-o", str(out), "--axis", "0"]) == 0
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.25 * one + (6 << 20)  # the tensor, its codes, and the blocks of reading and measuring


# --- how it looks -----------------------------------------------------------------------------------------


def test_tables_are_plain_and_whole_in_a_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("FORCE_COLOR", "1")
    name = "layer." * 60 + "weight"
    np.savez(tmp_path / "x.npz", **{name: np.ones((3, 3), np.float32)})
    assert main(["quantize", str(tmp_path / "x.npz"), "-o", str(tmp_path / "o.npz")]) == 0
    assert main(["inspect", str(tmp_path / "x.npz")]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert len([line for line in out.splitlines() if name in line and "3x3" in line]) == 2
    assert all(line == line.rstrip() for line in out.splitlines())


def test_tables_fit_a_terminal(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "90")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert main(["quantize", str(model), "-o", str(model.with_name("o.npz"))]) == 0
    out = sys.stdout.getvalue()
    assert "z.weight" in out
    assert max(map(len, out.split("3 of 6")[0].splitlines())) <= 90


def test_the_progress_bar_is_on_stderr(
    model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal)
    assert main(["quantize", str(model), "-o", str(model.with_name("o.npz"))]) == 0
    assert "\x1b" in terminal.getvalue()
    assert "\x1b" not in capsys.readouterr().out


NAMES = ["[bold]b[/bold]", "esc\x1b[31m\x07", "line\nbreak\r", "\u202eright-to-left", ":smile:", "[/]", "del\x7f\x9b"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("terminal", [True, False])
def test_names_reach_the_terminal_as_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, terminal: bool
) -> None:
    path = tmp_path / "x.safetensors"
    save_file({name: np.ones((2, 2), np.float32)}, path, metadata={name: name})
    monkeypatch.setenv("COLUMNS", "150")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys, "stdout", Terminal() if terminal else io.StringIO())
    assert main(["inspect", str(path)]) == 0
    assert main(["inspect", str(path), "--json"]) == 0
    assert main(["quantize", str(path), "-o", str(tmp_path / "o.safetensors")]) == 0
    out = sys.stdout.getvalue()
    assert all(c == "\n" or c.isprintable() for c in out)
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
    assert out.count(shown) >= 3

    errors = io.StringIO()
    monkeypatch.setattr(sys, "stderr", errors)
    save_file({name: np.full((2, 2), np.nan, np.float32)}, path)
    assert main(["quantize", str(path), "-o", str(tmp_path / "o.safetensors")]) == 2
    assert errors.getvalue().count("\n") == 1
    assert errors.getvalue().rstrip("\n").isprintable()


def test_output_that_cannot_show_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"größe": np.ones((2, 2), np.float32)}, path)
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    assert main(["inspect", str(path)]) == 0
    assert b"gr\\xf6\\xdfe" in raw.getvalue()


# --- inspect ----------------------------------------------------------------------------------------------


def test_inspect_as_json(model: Path, arrays: dict[str, np.ndarray], capsys: pytest.CaptureFixture[str]) -> None:
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
        assert cost["sqnr_db"] == pytest.approx(10 * math.log10((x.astype(float) ** 2).sum() / (error**2).sum()))
    assert about["int8_bytes"] == sum((t["int8"] or t)["bytes"] for t in about["tensors"])


def test_inspect_counts_what_is_not_finite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x = np.ones((3, 4), np.float32)
    x[0] = [np.nan, np.inf, -np.inf, -2]
    save_file({"x": x, "all": np.full(2, np.nan, np.float16), "zero": np.zeros((2, 2))}, tmp_path / "x.safetensors")
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
    np.savez(tmp_path / "x.npz", **others, numbers=np.array([3, -(2**62)]), day=np.array("2020-01-01", "M8[D]"))
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
    vectors = load_file(small_wordllama / "weights" / "small.safetensors")["embedding.weight"][:30].astype(float)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    nearest = np.argsort(-(units @ units[0]))[1:11]
    lines = out.split("waa: float16")[1].splitlines()[2:12]
    assert [line.split()[0] for line in lines] == [f"w{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in nearest]


def test_demo_refuses(small_wordllama: Path, capsys: pytest.CaptureFixture[str]) -> None:
    problem = fails(capsys, "demo", "--words", "waa,piece,nonsense")
    assert "'piece', 'nonsense'" in problem
    assert "'waa'" not in problem
    fails(capsys, "demo", "--words", "")
    (small_wordllama / "tokenizers" / "small.json").write_text("{}")
    assert "small.json" in fails(capsys, "demo", "--words", "waa")
    (small_wordllama / "weights" / "small.safetensors").unlink()
    assert str(small_wordllama) in fails(capsys, "demo", "--words", "waa")


def test_demo_on_the_real_weights(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("wordllama.config")
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
    assert fails(capsys, "quantize", model, "-o", model.with_name("o.npz")) == expected
    assert fails(capsys, "inspect", model) == expected
    assert [path.name for path in model.parent.iterdir()] == [model.name]


def test_a_missing_demo_is_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert fails(capsys, "demo").endswith('pip install "fastquant-kernels[demo]"\n')


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
    command = [sys.executable, "-m", "fastquant", *map(str, argv)]
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
