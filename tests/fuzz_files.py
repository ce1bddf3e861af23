"""Any bytes as a .safetensors, .npy or .npz file, read through fastquant/_files.py and by the commands.

Either there are arrays, and they are those that NumPy or safetensors find; or there is a FileError, one line. Never
another exception, a file written elsewhere, a pickle loaded, more memory than the file's arrays need, or work without
end. Work is counted in lines of Python and in bytes that come out of the file: no clock.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import re
import shutil
import sys
import tempfile
import tracemalloc
import weakref
import zlib
from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import safetensors
from fuzz_engine import Bytes, Entry, Trace, changed, letters
from fuzz_file_bytes import changed_npy, changed_npz, changed_safetensors, seeds

from fastquant import _inspect_command, _quantize_command, _reference, cli
from fastquant._files import Source, Tensor, open_source
from fastquant._report import FileError, say, table_printer

LONGEST = 100_000  # bytes of a changed file: more than the 65,535 that some lengths can be
# What a run may take beside the file and its largest array: modules that are imported late, a table's text, chunks.
MEMORY, LINES = 12 << 20, 60_000
NOT_UTF8 = os.fsdecode(b"\xff") if sys.platform == "linux" else ""
# Deflate makes at most 258 bytes of 2 bits; and there is a header.
EXPANSION = 1032
# Raised by Python's own code whenever something of the kind happens, whatever the way to it.
FORBIDDEN = ("pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen")
CHANGING = {"os.rename": 2, "os.remove": 1, "os.mkdir": 1, "os.rmdir": 1, "os.link": 2, "os.symlink": 2}


class Watch:
    """Audit events while it is on: what must not happen is written down. A hook cannot be removed: there is one."""

    _on: Watch | None = None
    _hooked = False

    def __init__(self, folder: Path) -> None:
        self.folder, self.seen = str(folder.resolve()), list[str]()

    def __enter__(self) -> Watch:
        Watch._on, self.seen = self, []
        if not Watch._hooked:
            Watch._hooked = True
            sys.addaudithook(lambda event, args: Watch._on and Watch._on.hear(event, args))
        self._bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
        return self

    def __exit__(self, *exc: object) -> None:
        Watch._on, sys.dont_write_bytecode = None, self._bytecode

    def hear(self, event: str, args: Any) -> None:
        if event in FORBIDDEN:
            self.seen.append(f"{event} {args}")
        elif event == "open":
            path, mode, flags = args
            writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) if isinstance(flags, int) else mode != "r"
            if writes and not isinstance(path, int) and os.fspath(path) != os.devnull:
                self._look(event, path)
        elif event in CHANGING:
            for path in args[: CHANGING[event]]:
                self._look(event, path)

    def _look(self, event: str, path: Any) -> None:
        path = os.path.abspath(os.fsdecode(path))
        if os.path.dirname(path) != self.folder or os.path.basename(path).startswith("executed"):
            self.seen.append(f"{event} {path}")


class Held:
    """What a file really holds: bytes that came out of it."""

    def __init__(self) -> None:
        self.largest = self.total = 0

    def add(self, source: Source, tensor: Tensor) -> None:
        found = 0
        for piece in source.pieces(tensor):
            found += len(piece)
            self.largest, self.total = max(self.largest, found), self.total + len(piece)


class Files:
    name = "files"

    def __init__(self) -> None:
        fast = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # where a sync costs nothing
        self.folder = Path(tempfile.mkdtemp(prefix="fastquant-fuzz-", dir=fast)).resolve()
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        self.trace = Trace("fastquant.", "zipfile", "numpy.lib._format", "numpy.lib.format")
        self.seeds = seeds
        self._parser = cli._parser([])
        self._warm()

    def _warm(self) -> None:
        """What is imported late counts for no entry."""
        path = self.folder / "warm.npy"
        np.save(path, np.ones((2, 2), np.float32))
        for argv in (["inspect"], ["inspect", "--json"], ["quantize", "-o", str(self.folder / "warm.npz")]):
            with contextlib.redirect_stdout(io.StringIO()):
                cli.main([*argv, str(path)])
        for each in self.folder.iterdir():
            each.unlink()

    def describe(self, entry: Entry) -> str:
        return f"{entry.suffix} of {len(entry.data)} bytes: {entry.data[:200]!r}"

    def mutate(self, entry: Entry, others: Sequence[Entry], rng: random.Random) -> Entry:
        suffix, data = entry
        alike = [other.data for other in rng.sample(others, min(len(others), 8)) if other.suffix == suffix]
        if rng.random() < 0.3:
            return Entry(suffix, changed(data, rng.choice(alike or [data]), rng, LONGEST))
        if suffix == ".npz":
            arrays = [other.data for other in rng.sample(others, min(len(others), 8)) if other.suffix == ".npy"]
            return Entry(suffix, changed_npz(data, arrays, rng)[:LONGEST])
        return Entry(suffix, (changed_npy if suffix == ".npy" else changed_safetensors)(data, rng)[:LONGEST])

    def run(self, entry: Entry) -> Iterator[Hashable]:
        choice = zlib.crc32(entry.data)
        # Some of a name that is not UTF-8, where a system allows it.
        path = self.folder / f"in{NOT_UTF8 * (choice % 16 == 5)}{entry.suffix}"
        path.write_bytes(entry.data)
        held = Held()
        try:
            with Watch(self.folder) as watch, contextlib.chdir(self.folder):
                error, features = self._bounded(entry, held, lambda: self._read(path, held, entry.data))
                yield from features
                # A file that cannot be read fails one command as the other.
                if error is None or choice & 1:
                    yield from self._bounded(entry, held, lambda: self._inspect(path, choice >> 1))[1]
                if error is None or not choice & 1:
                    yield from self._bounded(entry, held, lambda: self._quantize(path, choice >> 1, held))[1]
            assert not watch.seen, f"while a file was read: {watch.seen}"
            assert os.listdir(self.folder) == [path.name], f"left behind: {os.listdir(self.folder)}"
        finally:
            for each in self.folder.iterdir():
                each.rmdir() if each.is_dir() else each.unlink()

    def _bounded(self, entry: Entry, held: Held, work: Callable[[], str | None]) -> tuple[str | None, list[Hashable]]:
        """The error, if there was one, and features."""
        tracemalloc.start()
        try:
            with self.trace as trace:
                error = work()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        size = len(entry.data)
        assert peak < MEMORY + 64 * size + 12 * held.largest, f"{peak:,} bytes of memory; the file has {size:,}"
        assert held.total <= EXPANSION * size, f"{held.total:,} bytes out of a file of {size:,}"
        most = LINES + 40 * size + held.total // 100
        assert trace.lines < most, f"{trace.lines:,} lines of Python for a file of {size:,}"
        return error, [*trace.pairs, (entry.suffix, error)]

    # --- the three ways of reading -------------------------------------------------------------------------

    def _read(self, path: Path, held: Held, data: bytes) -> str | None:
        found: dict[str, np.ndarray | bytes] = {}
        try:
            with open_source(path) as source:
                for tensor in source.tensors:
                    held.add(source, tensor)
                    if tensor.dtype is None:
                        if tensor.nbytes:  # else there is nothing to read, and others need not read it
                            found[tensor.name] = b"".join(source.pieces(tensor))
                    else:
                        found[tensor.name] = source.read(tensor)
                        assert not found[tensor.name].dtype.hasobject
                        assert found[tensor.name].shape == tensor.shape
        except FileError as error:
            return letters(str(error).removeprefix(str(path)))
        expected = _by_others(path, data) if found else {}
        for name, array in found.items():
            shape, values, raw = expected[name]
            if path.suffix == ".safetensors" and not isinstance(array, bytes):  # the bytes of the file, on any machine
                array = array.astype(array.dtype.newbyteorder("<"))
            same = array == raw if isinstance(array, bytes) else (array.shape, array.tobytes()) == (shape, values)
            assert same, f"{name!r} is {array!r:.200}, {shape} {values!r:.200} in another reader"
        return None

    def _main(self, choice: int, *argv: str) -> tuple[str, str | None]:
        """What a command prints; its error instead."""
        out, err = io.StringIO(), io.StringIO()
        # The real tables take longer than all the rest: a few of them will do.
        table = table_printer if choice % 16 == 0 else lambda: _cells
        with (
            mock.patch.object(cli, "_parser", return_value=self._parser),
            mock.patch.object(_inspect_command, "table_printer", table),
            mock.patch.object(_quantize_command, "table_printer", table),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            status = cli.main(list(argv))
        if status == 0:
            assert err.getvalue() == "", err.getvalue()
            return out.getvalue(), None
        line = err.getvalue()
        assert (status, out.getvalue()) == (2, ""), f"status {status}, {out.getvalue()!r:.200}, {line!r:.200}"
        assert re.fullmatch("fastquant: .+\n", line), repr(line)
        assert line[:-1].isprintable(), repr(line)
        assert len(line) < 2000, f"an error of {len(line):,} characters: {line[:300]}"
        assert "not enough memory" not in line, line
        return "", letters(line.replace(str(self.folder), ""))

    def _inspect(self, path: Path, choice: int) -> str | None:
        argv = ["inspect", str(path), *(["--json"] if choice % 4 else [])]
        text, error = self._main(choice, *argv)
        if error is None and choice % 4:
            json.loads(text, parse_constant=lambda name: _refuse(f"{name} in JSON"))
        return error

    def _quantize(self, path: Path, choice: int, held: Held) -> str | None:
        choices = Bytes(choice.to_bytes(4, "little")[1:])
        out = path.with_name("out" + choices.pick((".npz", ".safetensors")))
        dtype, asymmetric = choices.pick((("int8", False), ("uint8", False), ("int8", True), ("uint8", True)))
        axis = choices.pick((None, None, 0, -1))
        argv = ["quantize", str(path), "-o", str(out), "--dtype", dtype, *(["--asymmetric"] if asymmetric else [])]
        _, error = self._main(choice, *argv, *([] if axis is None else [f"--axis={axis}"]))
        assert out.exists() == (error is None), "an output of a command that failed, or none"
        if error is None:
            _by_others(out, out.read_bytes())
        if error is None and held.largest < 1 << 16:
            compare(path, out, dtype, not asymmetric, axis)
        out.unlink(missing_ok=True)
        return error


def _cells(columns: list[str], rows: list[list[str]], total: Sequence[str] = (), left: int = 2) -> None:
    for row in [columns, *rows, total]:
        say(" ".join(row))


def _refuse(what: str) -> None:
    raise AssertionError(what)


def _by_others(path: Path, data: bytes) -> dict[str, Any]:
    """The arrays as those who made the format read them: shapes, C-ordered bytes, and bytes as they are in the file."""
    if path.suffix == ".safetensors":
        read = {name: (tuple(a["shape"]), bytes(a["data"])) for name, a in safetensors.deserialize(data)}
        return {name: (shape, piece, piece) for name, (shape, piece) in read.items()}
    loaded = np.load(path, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        arrays = {path.stem: loaded}
    else:
        with loaded:
            arrays = {name: loaded[name] for name in loaded.files}
    native = {name: a.astype(a.dtype.newbyteorder("=")) for name, a in arrays.items()}
    return {name: (a.shape, native[name].tobytes(), a.tobytes("A")) for name, a in arrays.items()}


def compare(path: Path, out: Path, dtype: str, symmetric: bool, axis: int | None) -> None:
    """The output against the input: codes are the reference's, all else is as it was."""
    with open_source(path) as source, open_source(out) as made:
        tensors = {tensor.name: tensor for tensor in made.tensors}
        assert made.metadata == (source.metadata if out.suffix == ".safetensors" else {})
        for tensor in source.tensors:
            there = tensors.pop(tensor.name)
            assert there.shape == tensor.shape
            if tensor.kind in ("F16", "BF16", "F32", "F64") and len(tensor.shape) > 1 and not tensor.empty:
                x = source.read(tensor)
                with np.errstate(all="ignore"):
                    expected = _reference.quantize_dynamic(x.astype(np.float32), dtype, symmetric=symmetric, axis=axis)
                names = [tensor.name + suffix for suffix in ("", "_scale", "_zero_point")]
                found = [made.read(there), *(made.read(tensors.pop(name)) for name in names[1:] if name in tensors)]
                for got, wanted in zip(found, expected, strict=False):
                    assert got.tobytes() == np.asarray(wanted).tobytes(), f"{tensor.name!r} is not the reference's"
            elif tensor.dtype is None or tensor.empty:  # of more dimensions, perhaps, than NumPy has
                assert b"".join(made.pieces(there)) == b"".join(source.pieces(tensor))
            else:
                assert made.read(there).tobytes() == source.read(tensor).tobytes()
        assert not tensors, f"more than was asked for: {tensors}"
