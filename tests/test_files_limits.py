"""Files at the limits of their formats and of their readers: what is still taken, what is not, and what it costs."""

from __future__ import annotations

import io
import json
import os
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rich")
pytest.importorskip("safetensors")

from cli_support import listing, refused
from file_bytes import entry, npy_bytes, npz_bytes, safetensors_bytes
from fuzz_file_bytes import described, long_headers
from safetensors.numpy import load_file, save_file

from fastquant import _files, _quantize_command, _report
from fastquant.cli import main

# --- what the outputs have no place for -------------------------------------------------------------------


def written(tmp_path: Path, header: dict[str, object], suffix: str, size: int = 0) -> Path:
    """The output for a file of this header, which has to be there."""
    path, out = tmp_path / "x.safetensors", tmp_path / f"out{suffix}"
    path.write_bytes(safetensors_bytes(header, bytes(size)))
    assert main(["quantize", str(path), "-o", str(out)]) == 0
    return out


def told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], header: dict[str, object], suffix: str, size: int = 0
) -> str:
    """Why there is no output for a file of this header, which can be inspected."""
    path, out = tmp_path / "x.safetensors", tmp_path / f"out{suffix}"
    path.write_bytes(safetensors_bytes(header, bytes(size)))
    assert main(["inspect", str(path)]) == 0
    capsys.readouterr()
    before = listing(tmp_path)
    error = refused(capsys, "quantize", path, "-o", out)
    assert error.startswith(f"fastquant: {out}: tensor ")
    assert listing(tmp_path) == before
    return error


@pytest.mark.parametrize("letter", ["n", "ß"])
def test_names_as_long_as_a_member_s_can_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], letter: str
) -> None:
    most = 65_535 - len(".npy")
    for shape, added in (([4], ""), ([2, 2], "_scale")):
        length = most - len(added)
        name = letter * (length // len(letter.encode())) + "." * (length % len(letter.encode()))
        with np.load(written(tmp_path, {name: entry(shape, 0, 16)}, ".npz", 16)) as found:
            assert set(found) == {name, name + added}
        (tmp_path / "out.npz").unlink()
        error = told(tmp_path, capsys, {name + ".": entry(shape, 0, 16)}, ".npz", 16)
        assert f"{added}': .npz cannot hold a name of 65532 bytes" in error
        written(tmp_path, {name + ".": entry(shape, 0, 16)}, ".safetensors", 16).unlink()


def test_as_many_dimensions_as_numpy_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with np.load(written(tmp_path, {"a": entry([0] * 64, 0, 0)}, ".npz")) as found:
        assert found["a"].shape == (0,) * 64
    (tmp_path / "out.npz").unlink()
    with pytest.raises(ValueError, match="65"):
        np.empty((0,) * 65)
    for n in (65, 4001, 22_000):
        assert f".npz cannot hold {n} dimensions" in told(tmp_path, capsys, {"a": entry([0] * n, 0, 0)}, ".npz")


@pytest.mark.skipif(sys.maxsize < 1 << 32, reason="NumPy reads no such shape in 32 bits")
@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_shapes_that_no_reader_takes(tmp_path: Path, capsys: pytest.CaptureFixture[str], suffix: str) -> None:
    for kind, size in (("F32", 4), ("U8", 1), ("F64", 8)):
        most = (2**63 - 1) // size
        out = written(tmp_path, {"a": entry([0, most], 0, 0, kind)}, suffix)
        if suffix == ".npz":
            with np.load(out) as found:
                assert found["a"].shape == (0, most)
        else:
            assert load_file(out)["a"].shape == (0, most)
        out.unlink()
        for shape in ([0, most + 1], [most // 2 + 1, 0, 2], [0, 2**64 - 1]):
            assert "cannot hold shape" in told(tmp_path, capsys, {"a": entry(shape, 0, 0, kind)}, suffix)


def test_a_shape_of_very_many_sizes_is_multiplied_as_far_as_need_be() -> None:
    assert _files.too_large((0, *[2**62] * 1_000_000), 4)


@pytest.mark.skipif(sys.platform != "linux", reason="needs a system that takes any bytes as a name")
def test_a_path_that_is_not_utf8(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / os.fsdecode(b"\xff.npy")
    np.save(path, np.ones((2, 2), np.float32))
    before = listing(tmp_path)
    for suffix in (".npz", ".safetensors"):
        error = refused(capsys, "quantize", path, "-o", tmp_path / f"out{suffix}")
        assert f"tensor '\\udcff': {suffix} cannot hold this name, which is not UTF-8" in error
    assert listing(tmp_path) == before
    assert main(["inspect", str(path)]) == 0
    assert "\\udcff" in capsys.readouterr().out
    assert main(["inspect", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["file"] == str(path)
    # As an output, or with tensors of other names, it does no harm.
    np.savez(path.with_suffix(".npz"), a=np.ones((2, 2), np.float32))
    out = path.with_suffix(".safetensors")
    assert main(["quantize", str(path.with_suffix(".npz")), "-o", str(out)]) == 0
    assert "\\udcff.safetensors: " in capsys.readouterr().out
    assert main(["inspect", str(out)]) == 0


# --- headers of .npy --------------------------------------------------------------------------------------


@pytest.mark.parametrize("letters", [2000, 6000, 9850])
def test_field_names_as_long_as_numpy_reads(tmp_path: Path, letters: int) -> None:
    array = np.arange(3, dtype="<i2").view([("字" * letters, "<i2")])
    content = npy_bytes(array, (3, 0))
    (tmp_path / "x.npy").write_bytes(content)
    assert np.load(tmp_path / "x.npy").shape == (3,)
    with _files.open_source(tmp_path / "x.npy") as source:
        (tensor,) = source.tensors
        assert (tensor.shape, tensor.nbytes) == ((3,), 6)
        assert b"".join(source.pieces(tensor)) == array.tobytes()
        assert b"".join(source.pieces(tensor, head=True)) == content
    assert main(["inspect", str(tmp_path / "x.npy")]) == 0
    assert main(["quantize", str(tmp_path / "x.npy"), "-o", str(tmp_path / "o.npz")]) == 0
    with zipfile.ZipFile(tmp_path / "o.npz") as archive:
        assert archive.read("x.npy") == content


def test_headers_of_10_000_characters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def header(length: int) -> bytes:
        shape = "(2, 2)"
        return described(shape=shape.ljust(len(shape) + length - len(described(data=b"")) + 10))

    for length, fits in ((10_000, True), (10_001, False)):
        (tmp_path / "x.npy").write_bytes(header(length))
        if fits:
            assert np.load(tmp_path / "x.npy").shape == (2, 2)
            assert main(["inspect", str(tmp_path / "x.npy")]) == 0
            capsys.readouterr()
        else:
            with pytest.raises(ValueError, match="large"):
                np.load(tmp_path / "x.npy")
            assert "longer than 10,000 characters" in refused(capsys, "inspect", tmp_path / "x.npy")


def test_headers_are_as_long_as_the_file_at_most_in_the_long_run(tmp_path: Path) -> None:
    """A hundred long ones do no harm, nor do very many that a file really holds."""
    (tmp_path / "a.npz").write_bytes(long_headers(100))
    assert main(["inspect", str(tmp_path / "a.npz")]) == 0
    array = npy_bytes(np.zeros(0, [("n" * 9000, "<f4")]))
    (tmp_path / "b.npz").write_bytes(npz_bytes({f"{i}.npy": array for i in range(300)}))
    assert main(["inspect", str(tmp_path / "b.npz")]) == 0


# --- memory -----------------------------------------------------------------------------------------------


def peak_of(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_descriptions_take_little(tmp_path: Path) -> None:
    n = 5_000
    path = tmp_path / "x.safetensors"
    path.write_bytes(safetensors_bytes({f"{i}": entry([0, 1000], 0, 0) for i in range(n)}))
    assert peak_of(lambda: _files.open_source(path).__exit__()) < 900 * n
    npz = tmp_path / "x.npz"
    npz.write_bytes(long_headers(20, repr(",".join(["<f4"] * 2000))))
    assert peak_of(lambda: _files.open_source(npz).__exit__()) < 5 << 20  # one type alone has 0.7 MB


def test_commands_take_little_for_each_of_many_tensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Nowhere(io.StringIO):
        def write(self, text: str) -> int:
            return len(text)

    monkeypatch.setattr(sys, "stdout", Nowhere())
    n = 5_000
    path = tmp_path / "x.safetensors"
    path.write_bytes(safetensors_bytes({f"{i}": entry([0], 0, 0) for i in range(n)}))
    for argv in (["inspect"], ["inspect", "--json"], ["quantize", "-o", str(tmp_path / "o.safetensors")]):
        assert main([*argv, str(path)]) == 0  # what is imported late counts for nothing
        assert peak_of(lambda argv=argv: main([*argv, str(path)])) < 1200 * n, argv


def test_a_compressed_array_that_is_larger_than_it_seems(tmp_path: Path) -> None:
    array = np.zeros((3000, 1000), np.float32)
    array[::7] = np.arange(1000)
    np.savez_compressed(tmp_path / "x.npz", x=array, y=array[:11])
    with _files.open_source(tmp_path / "x.npz") as source:
        for tensor, expected in zip(source.tensors, (array, array[:11]), strict=True):
            assert np.array_equal(source.read(tensor), expected)
        assert peak_of(lambda: source.read(source.tensors[0])) < 2.2 * array.nbytes


def test_the_room_for_codes_grows_with_what_was_read() -> None:
    room = _quantize_command.Room("uint8")
    first = room.like(np.zeros((2, 3)))
    assert (first.shape, first.dtype, first.flags.c_contiguous) == ((2, 3), np.uint8, True)
    assert np.shares_memory(first, room.like(np.zeros(4)))
    larger = room.like(np.zeros((5, 5)))
    assert larger.shape == (5, 5)
    assert np.shares_memory(larger, room.like(np.zeros((1, 1))))


# --- tables -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "laid_out"), [(999, True), (1000, True), (1001, False)])
def test_tables_of_very_many_rows_are_not_laid_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], n: int, laid_out: bool
) -> None:
    path = tmp_path / "x.safetensors"
    names = [f"t{i:04}\t" for i in range(n)]
    save_file({name: np.full((1, 2), -1, np.float32) for name in names}, path)
    assert main(["inspect", str(path)]) == 0
    inspected = capsys.readouterr().out
    assert main(["quantize", str(path), "-o", str(tmp_path / "o.safetensors")]) == 0
    quantized = capsys.readouterr().out
    assert ("\t" in inspected, "\t" in quantized) == (not laid_out, not laid_out)
    if laid_out:
        return
    shown = [name.replace("\t", "\\t") for name in names]
    rows = [line.split("\t") for line in inspected.splitlines() if "\t" in line]
    assert rows[0] == ["tensor", "type", "shape", "bytes", "min", "max", "int8 scale", "int8 bytes", "int8 SQNR dB"]
    assert rows[1] == ["t0000\\t", "F32", "1x2", "8", "-1", "-1", "0.007874", "6", "exact"]
    assert [row[0] for row in rows[1:-1]] == shown
    assert rows[-1] == ["1001 tensors", "", "", "8,008", "", "", "", "6,006", ""]
    rows = [line.split("\t") for line in quantized.splitlines() if "\t" in line]
    assert rows[0] == ["tensor", "shape", "bytes before", "bytes after", "SQNR dB", "largest error", "GB/s"]
    assert [row[0] for row in rows[1:-1]] == shown
    assert rows[-1][:6] == ["total", "", "8,008", "6,006", "exact", "0"]
    assert "1001 of 1001 tensors quantized" in quantized


def test_nor_are_those_of_very_long_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = "n" * 300_000
    save_file({name: np.ones((1, 2), np.float32)}, tmp_path / "x.safetensors")
    assert main(["inspect", str(tmp_path / "x.safetensors")]) == 0
    assert f"\n{name}\tF32\t1x2\t" in capsys.readouterr().out


def test_rows_are_taken_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    ahead = []

    def rows():
        for i in range(3000):
            ahead.append(i - sys.stdout.getvalue().count("\n"))
            yield [str(i), "x"]

    _report.table_printer()(["a", "b"], rows(), ["total", ""])
    assert ahead[-1] < 1
    assert sys.stdout.getvalue().splitlines() == ["a\tb", *(f"{i}\tx" for i in range(3000)), "total\t", ""]


@pytest.mark.parametrize("tensors", [0, 1, 3])
def test_json_of_any_number_of_tensors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tensors: int
) -> None:
    np.savez(tmp_path / "x.npz", **{f"ß{i}": np.zeros((2, i)) for i in range(tensors)})
    assert main(["inspect", str(tmp_path / "x.npz"), "--json"]) == 0
    out = capsys.readouterr().out
    whole = json.loads(out)
    assert list(whole) == ["file", "metadata", "tensors", "bytes", "int8_bytes"]
    assert [tensor["name"] for tensor in whole["tensors"]] == [f"ß{i}" for i in range(tensors)]
    assert out == json.dumps(whole, indent=2) + "\n"


def test_long_texts_are_printable() -> None:
    text = "a\n" * 40_000 + "\udcff\u202e" + "ß" * 70_000
    assert _report.printable(text) == "a\\n" * 40_000 + "\\udcff\\u202e" + "ß" * 70_000
    assert _report.printable(text, "ascii").endswith("\\u202e" + "\\xdf" * 70_000)
