"""The command line, run in process where that is possible: what it writes, prints and returns."""

from __future__ import annotations

import io
import math
import re
import sys
import tracemalloc
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

pytest.importorskip("rich")
pytest.importorskip("safetensors")

from cli_support import header_of, reference_codes, refused, table_row
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import fastquant as fq
from fastquant import _reference as reference
from fastquant._quality import measure
from fastquant.cli import main


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


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
        assert found[name].dtype.newbyteorder("=") == x.dtype  # files are little-endian everywhere
        assert found[name].shape == x.shape
        assert found[name].astype(x.dtype).tobytes() == x.tobytes()


@pytest.mark.parametrize("options", [[], ["--asymmetric"], ["--dtype", "uint8", "--axis", "-1"], ["--axis", "0"]])
def test_the_call_that_reads_back_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    x = np.random.default_rng(1).normal(3, 1, (7, 7)).astype(np.float32) * 2 ** np.arange(7, dtype=np.float32)
    path, out = tmp_path / "x.safetensors", tmp_path / "o.safetensors"
    save_file({"x": x}, path)
    assert main(["quantize", str(path), "-o", str(out), *options]) == 0
    printed = capsys.readouterr().out
    call = re.search(r"read back by (fq\.dequantize\(.*\))\.", printed)
    assert call, printed
    t = load_file(out)
    names = {"NAME": "x", "NAME_scale": "x_scale", "NAME_zero_point": "x_zero_point"}
    y = eval(call[1], {"fq": fq, "t": t, **names})
    steps = np.abs(y - x) / t["x_scale"].reshape((-1, 1) if options[-2:] == ["--axis", "0"] else (1, -1))
    assert steps.max() <= 0.51
    assert ("zero_point" in call[1]) == ("x_zero_point" in t)


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
    assert "--include 'z.wieght'" in refused(capsys, "quantize", model, "-o", out, "--include", "z.wieght")
    assert "--exclude 'Z*'" in refused(capsys, "quantize", model, "-o", out, "--exclude", "Z*")
    problem = refused(capsys, "quantize", model, "-o", out, "--axis", 2)
    assert "--axis 2" in problem
    assert "leave it out with --exclude" in problem
    assert "(5, 7)" in problem or "(48, 32)" in problem
    assert main(["quantize", str(model), "-o", str(out), "--axis", "2", "--include", "a.half"]) == 0
    capsys.readouterr()
    out.unlink()

    taken = model.with_name("taken.npz")
    np.savez(taken, w=np.ones((2, 2), np.float32), w_scale=np.ones(3), v=np.ones((2, 2)), v_zero_point=1)
    assert "'w_scale'" in refused(capsys, "quantize", taken, "-o", out)
    assert "'v_zero_point'" in refused(capsys, "quantize", taken, "-o", out, "--exclude", "w", "--asymmetric")
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
    problem = refused(capsys, "quantize", path, "-o", out)
    assert str(path) in problem
    assert "'bad[0]'" in problem
    assert "beyond the range of float32" in problem if value == 1e300 else "1 " in problem
    assert sorted(tmp_path.iterdir()) == [path]
    suggested = problem.split("--exclude '")[1].split("'")[0]
    assert main(["quantize", str(path), "-o", str(out), "--exclude", suggested]) == 0
    with np.load(out) as file:
        assert file["bad[0]"].tobytes() == bad.tobytes()
        assert file["fine"].dtype == np.int8


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
    assert "The metadata (" in out


def test_measure_goes_through_every_block(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    for block in (1, 5, 12, 64, 1 << 16):
        monkeypatch.setattr("fastquant._quality.BLOCK", block)
        for shape, axis in (((3, 4, 5), 1), ((3, 4, 5), 0), ((3, 4, 5), -1), ((60,), 0), ((60,), None)):
            x = rng.standard_normal(shape).astype(np.float32)
            q, scale, zero_point = reference_codes(x, "uint8", False, axis)
            error = x - reference.dequantize(q, scale, zero_point, axis=axis).astype(np.float64)
            quality = measure(x, q, scale, zero_point, axis)
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


NAMES = [
    "[bold]b[/bold]",
    "esc\x1b[31m\x07",
    "line\nbreak\r",
    "\u202eturned",
    ":smile:",
    "[/]",
    "del\x7f\x9b",
]


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
    assert out.count(shown) >= 2  # a narrow table may fold it

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
