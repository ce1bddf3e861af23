"""Files: what is read and written to the byte, what is refused, and OUT complete or not there at all."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

pytest.importorskip("rich")
pytest.importorskip("safetensors")

from cli_support import ON_POSIX, header_of, listing, refused
from file_bytes import entry, npy_bytes, npz_bytes, safetensors_bytes
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from fastquant import _files, _quantize_command, _sinks
from fastquant.cli import main

# --- reading and copying ----------------------------------------------------------------------------------

ODD = {
    "big": np.arange(12, dtype=">f4").reshape(3, 4) / 7,
    "fortran": np.asfortranarray(np.arange(15, dtype=np.float32).reshape(5, 3) / 3),
    "ids": np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3)),
    "scalar": np.array(2.5, ">f8"),
    "empty": np.zeros((3, 0), np.float32),
    "flags": np.array([True, False, True]),
    "complex": np.array([1 + 2j], np.complex64),
}


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_npz_layouts(tmp_path: Path, write: Callable[..., None], suffix: str) -> None:
    path, out = tmp_path / "in.npz", tmp_path / ("out" + suffix)
    write(path, **ODD)
    assert main(["quantize", str(path), "-o", str(out)]) == 0
    if suffix == ".npz":
        with np.load(out) as file:
            found = dict(file)
        assert found["ids"].dtype == np.dtype(">i4")
        assert found["ids"].flags.f_contiguous
    else:
        found = load_file(out)
    for name in ("big", "fortran"):
        assert found[name].dtype == np.int8
        back = found[name].astype(np.float32) * found[f"{name}_scale"]
        assert np.abs(back - ODD[name]).max() <= found[f"{name}_scale"] * 0.5001
    for name in set(ODD) - {"big", "fortran"}:
        assert found[name].shape == ODD[name].shape
        assert np.array_equal(found[name], ODD[name])


def test_names_of_fields(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(npy_bytes(np.zeros(2, [("größe", "<i2")]), (3, 0)))
    with _files.open_source(tmp_path / "a.npy") as source:
        assert source.tensors[0].kind == "[('größe', '<i2')]"


def test_copies_are_the_same_to_the_byte(tmp_path: Path) -> None:
    record = np.zeros(2, [("größe", "<i2"), ("b", ">f8")])
    members = {
        "one.npy": npy_bytes(np.arange(3.0), (2, 0)),
        "deep/er.npy": npy_bytes(np.array(["text", "ß"])),
        "record.npy": npy_bytes(record, (3, 0)),
        "no_items.npy": npy_bytes(np.array(["", ""])),
    }
    (tmp_path / "in.npz").write_bytes(npz_bytes(members, zipfile.ZIP_DEFLATED))
    assert main(["quantize", str(tmp_path / "in.npz"), "-o", str(tmp_path / "out.npz")]) == 0
    with zipfile.ZipFile(tmp_path / "out.npz") as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == members
        assert archive.namelist() == list(members)


def test_npy_is_one_tensor_named_after_the_file(tmp_path: Path) -> None:
    x = np.linspace(-1, 1, 20, dtype=np.float16).reshape(4, 5)
    path, out = tmp_path / "My weights.NPY.npy", tmp_path / "o.safetensors"
    np.save(path, x)
    assert main(["quantize", str(path), "-o", str(out)]) == 0
    assert set(load_file(out)) == {"My weights.NPY", "My weights.NPY_scale"}


def test_types_that_numpy_has_not_are_copied(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = bytes(range(40))
    header = {
        "f8": entry([2, 8], 0, 16, "F8_E4M3"),
        "__metadata__": {"a\n": "b"},
        "bf": entry([4], 16, 24, "BF16"),
        "w": entry([1, 3], 24, 36),
        "f4": entry([2, 4], 36, 40, "F4"),
    }
    path, out = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    path.write_bytes(safetensors_bytes(header, data[:24] + np.array([1, 2, -3], "<f4").tobytes() + data[36:]))
    assert main(["quantize", str(path), "-o", str(out)]) == 0
    with safe_open(out, framework="numpy") as file:
        assert set(file.keys()) == {"f8", "bf", "w", "w_scale", "f4"}
        assert file.metadata() == {"a\n": "b"}
    after = header_of(out)
    size = max(described["data_offsets"][1] for name, described in after.items() if name != "__metadata__")
    body = out.read_bytes()[-size:]
    for name in ("f8", "bf", "f4"):
        (begin, end), (at, to) = header[name]["data_offsets"], after[name]["data_offsets"]
        assert body[at:to] == data[begin:end]
        assert (after[name]["dtype"], after[name]["shape"]) == (header[name]["dtype"], header[name]["shape"])
    capsys.readouterr()
    assert main(["inspect", str(path)]) == 0
    capsys.readouterr()
    assert main(["quantize", str(path), "-o", str(tmp_path / "out.npz")]) == 2
    assert "'f8': .npz cannot hold type F8_E4M3: write a .safetensors file" in capsys.readouterr().err
    assert not (tmp_path / "out.npz").exists()


def test_every_tensor_stays_aligned(tmp_path: Path) -> None:
    """Codes of odd sizes stand before float32 in the input's order, and readers that map need alignment."""
    tensors = {
        "a": np.ones((3, 3), np.float32),
        "b": np.arange(3, dtype=np.int64),
        "c": np.ones((1, 5), np.float16),
        "d": np.arange(3, dtype=np.float32),
        "e": np.ones((3, 1), ml_dtypes.bfloat16),
        "f": np.arange(1, dtype=np.uint16),
        "g": np.arange(7, dtype=np.complex64),
    }
    save_file(tensors, tmp_path / "in.safetensors")
    out = tmp_path / "out.safetensors"
    assert main(["quantize", str(tmp_path / "in.safetensors"), "-o", str(out)]) == 0
    sizes = {"I8": 1, "U16": 2, "F16": 2, "F32": 4, "I64": 8, "C64": 8}
    for described in header_of(out).values():
        assert described["data_offsets"][0] % sizes[described["dtype"]] == 0
    found = load_file(out)
    for name in "bdfg":
        assert np.array_equal(found[name], tensors[name])
    assert np.array_equal(found["a"], np.full((3, 3), 127))


def test_data_keeps_its_order_where_it_can(tmp_path: Path) -> None:
    path, out = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    save_file({name: np.ones((4, 4), np.float32) for name in "abc"}, path)
    assert main(["quantize", str(path), "-o", str(out)]) == 0
    begins = {name: described["data_offsets"][0] for name, described in header_of(out).items()}
    assert sorted(begins, key=begins.get) == ["a", "a_scale", "b", "b_scale", "c", "c_scale"]


@pytest.mark.parametrize(
    ("array", "problem"),
    [
        (np.array(["a"], "<U1"), "cannot hold type <U1"),
        (np.zeros(2, [("a", "i4")]), "cannot hold type"),
        (np.zeros(2, np.complex128), "cannot hold type complex128"),
        (np.zeros(2, "M8[s]"), "cannot hold type"),
    ],
)
def test_safetensors_cannot_hold_every_array(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], array: np.ndarray, problem: str
) -> None:
    np.savez(tmp_path / "x.npz", odd=array)
    assert main(["quantize", str(tmp_path / "x.npz"), "-o", str(tmp_path / "o.safetensors")]) == 2
    err = capsys.readouterr().err
    assert "'odd'" in err
    assert problem in err
    assert os.listdir(tmp_path) == ["x.npz"]


def test_names_that_npz_cannot_hold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_file({"a\0b": np.ones((2, 2), np.float32)}, tmp_path / "x.safetensors")
    assert main(["quantize", str(tmp_path / "x.safetensors"), "-o", str(tmp_path / "o.npz")]) == 2
    assert "cannot hold this name" in capsys.readouterr().err
    np.savez(tmp_path / "x.npz", __metadata__=np.ones(3))
    assert main(["quantize", str(tmp_path / "x.npz"), "-o", str(tmp_path / "o.safetensors")]) == 2
    assert "cannot hold this name" in capsys.readouterr().err


# --- OUT appears complete or not at all -------------------------------------------------------------------


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.safetensors"
    rng = np.random.default_rng(2)
    save_file({name: rng.standard_normal((300, 200)).astype(np.float32) for name in "abc"}, path)
    return path


def test_outs_that_are_refused(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = source.parent
    (folder / "folder.npz").mkdir()
    os.link(source, folder / "hard.safetensors")
    for out, problem in (
        (source, "is the same file as the input"),
        (folder / "hard.safetensors", "is the same file as the input"),
        (folder / "x.npy", "one .npy array cannot hold codes and scales"),
        (folder / "x.bin", "unknown suffix '.bin'"),
        (folder / "x", "unknown suffix ''"),
        (folder / "folder.npz", "not a regular file"),
        (folder / "none" / "x.npz", "its directory does not exist"),
        (source / "x.npz", ""),
        (folder / ("n" * 300 + ".npz"), ""),
    ):
        error = refused(capsys, "quantize", source, "-o", out)
        assert str(out) in error
        assert problem in error
    assert sorted(os.listdir(folder)) == ["folder.npz", "hard.safetensors", "in.safetensors"]


@ON_POSIX
def test_links_are_followed(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = source.parent / "other"
    other.mkdir()
    link = source.parent / "link.safetensors"
    link.symlink_to(source)
    assert "is the same file" in refused(capsys, "quantize", source, "-o", link)
    link.unlink()
    link.symlink_to(other / "real.safetensors")
    for _ in range(2):  # a link to nowhere, then to a file
        assert main(["quantize", str(source), "-o", str(link)]) == 0
        assert link.is_symlink()
        assert set(load_file(other / "real.safetensors")) == {"a", "a_scale", "b", "b_scale", "c", "c_scale"}
    assert os.listdir(other) == ["real.safetensors"]


@ON_POSIX
def test_permissions_are_those_of_any_new_file(source: Path) -> None:
    out = source.with_name("out.npz")
    before = os.umask(0o027)
    try:
        assert main(["quantize", str(source), "-o", str(out)]) == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE(out.stat().st_mode) == 0o640
    out.chmod(0o604)
    assert main(["quantize", str(source), "-o", str(out)]) == 0
    assert stat.S_IMODE(out.stat().st_mode) == 0o604


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs permissions that hold")
def test_a_folder_that_cannot_be_written(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    closed = source.parent / "closed"
    closed.mkdir(mode=0o500)
    assert "Permission denied" in refused(capsys, "quantize", source, "-o", closed / "o.npz")


class FullDisk:
    """A file that takes so many bytes and then fails as a full disk does."""

    def __init__(self, file: Any, room: int) -> None:
        self.file, self.room = file, room

    def write(self, data: Any) -> int:
        self.room -= memoryview(data).nbytes
        if self.room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.file.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
@pytest.mark.parametrize("room", [0, 10, 1000, 100_000, 179_000])
@pytest.mark.parametrize("existing", [True, False])
def test_a_full_disk(
    source: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, suffix: str, room: int,
    existing: bool,
) -> None:  # fmt: skip
    out = source.with_name("out" + suffix)
    if existing:
        out.write_bytes(b"precious")
    before = listing(source.parent)
    for sink in (_sinks._SafetensorsSink, _sinks._NpzSink):
        start = sink.start
        monkeypatch.setattr(sink, "start", lambda self, file, start=start: start(self, FullDisk(file, room)))
    error = refused(capsys, "quantize", source, "-o", out)
    assert error == f"fastquant: {out}: No space left on device\n"
    assert listing(source.parent) == before


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failure_at_the_end(
    source: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    def fail(*args: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    before = listing(source.parent)
    monkeypatch.setattr(f"fastquant._files.os.{failing}", fail)
    error = refused(capsys, "quantize", source, "-o", source.with_name("out.npz"))
    assert error.endswith("out.npz: Input/output error\n")
    assert listing(source.parent) == before


@pytest.mark.parametrize(
    ("raised", "status"), [(KeyboardInterrupt, 130), (MemoryError, 2), (RuntimeError("a bug"), None)]
)
def test_whatever_happens_in_the_middle(
    source: Path, monkeypatch: pytest.MonkeyPatch, raised: Any, status: int | None
) -> None:
    out = source.with_name("out.safetensors")
    out.write_bytes(b"precious")
    before = listing(source.parent)
    seen = []

    def fail(*args: object) -> None:
        seen.append(sorted(os.listdir(source.parent)))
        raise raised

    monkeypatch.setattr(_quantize_command, "measure", fail)
    if status is None:
        with pytest.raises(RuntimeError, match="a bug"):
            main(["quantize", str(source), "-o", str(out)])
    else:
        assert main(["quantize", str(source), "-o", str(out)]) == status
    assert len(seen[0]) == 3  # the temporary file was there
    assert listing(source.parent) == before


DRIVER = """
import pathlib, sys, time
from fastquant import _quantize_command, cli

def stall(*args):
    pathlib.Path(sys.argv[1]).touch()
    time.sleep(60)

_quantize_command.measure = stall
sys.exit(cli.main(sys.argv[2:]))
"""


@ON_POSIX
@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
@pytest.mark.parametrize("existing", [True, False])
def test_signals(
    source: Path, tmp_path_factory: pytest.TempPathFactory, name: str, status: int, existing: bool
) -> None:
    if signal.getsignal(getattr(signal, name)) == signal.SIG_IGN:
        pytest.skip(f"{name} is ignored here, as nohup has it, and children inherit that")
    out = source.with_name("out.safetensors")
    if existing:
        out.write_bytes(b"precious")
    before = listing(source.parent)
    marker = tmp_path_factory.mktemp("marker") / "started"
    command = [sys.executable, "-P", "-c", DRIVER, str(marker), "quantize", str(source), "-o", str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not marker.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(listing(source.parent)) == len(before) + 1
        process.send_signal(getattr(signal, name))
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == status
    assert stdout == ""
    assert stderr == ("fastquant: interrupted\n" if name == "SIGINT" else "fastquant: terminated\n")
    assert listing(source.parent) == before


@ON_POSIX
def test_a_limit_of_the_system(source: Path) -> None:
    """A write that really fails, in a process of its own."""
    before = listing(source.parent)
    code = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
    code += "from fastquant.cli import main; sys.exit(main(sys.argv[1:]))"
    for suffix in (".npz", ".safetensors"):
        out = str(source.with_name("o" + suffix))
        command = [sys.executable, "-P", "-c", code, "quantize", str(source), "-o", out]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"fastquant: {out}: File too large\n"
        assert listing(source.parent) == before


def test_handlers_are_put_back(source: Path) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    assert main(["inspect", str(source)]) == 0
    assert main(["inspect", str(source.with_name("none.npy"))]) == 2
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_main_in_another_thread(source: Path) -> None:
    statuses: list[int] = []
    thread = threading.Thread(target=lambda: statuses.append(main(["inspect", str(source)])))
    thread.start()
    thread.join()
    assert statuses == [0]
