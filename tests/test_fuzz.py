"""The kept corpus of tests/fuzz.py, what it begins with, and a few changes of these, always the same. Each kind of
fault is found: one is made, and the fuzzer has to see it."""

from __future__ import annotations

import os
import random
import re
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rich")
pytest.importorskip("safetensors")

import fuzz as command
from file_bytes import entry, npy_bytes, npz_bytes, safetensors_bytes
from fuzz_api import Api
from fuzz_engine import Entry, Target, changed, covering, failure, fuzz, read_corpus, write_corpus
from fuzz_file_bytes import claiming, pickled
from fuzz_files import Files

import fastquant as fq
from fastquant import _files, _quality, cli
from fastquant._report import FileError

# Which arguments are wrong is stated with NumPy's integers of 64 bits in mind, and lengths that 32 do not hold.
pytestmark = pytest.mark.skipif(sys.maxsize < 1 << 40, reason="rules of what is wrong, for words of 64 bits")

CORPUS = Path(__file__).with_name("corpus")
GOOD = npy_bytes(np.float32([[1.5, -2], [0.25, 3]]))


@pytest.fixture(scope="module")
def files() -> Files:
    return Files()


def failures(target: Target, entries: list[Entry]) -> list[str]:
    found = ((entry, failure(target, entry)) for entry in entries)
    return [f"{result[1]}\n{target.describe(entry)}" for entry, result in found if isinstance(result, tuple)]


def test_the_kept_calls():
    target = Api()
    entries = read_corpus(CORPUS / "api")
    assert len(entries) > 50
    assert failures(target, [*target.seeds(), *entries]) == []


def test_the_kept_files(files):
    entries = read_corpus(CORPUS / "files")
    assert {entry.suffix for entry in [*files.seeds(), *entries]} == set(_files.SUFFIXES)
    assert failures(files, [*files.seeds(), *entries]) == []


def test_the_corpus_is_small():
    entries = [*read_corpus(CORPUS / "api"), *read_corpus(CORPUS / "files")]
    assert sum(len(entry.data) for entry in entries) < 1 << 20
    assert [entry.name for entry in entries] == [
        p.name for d in ("api", "files") for p in sorted((CORPUS / d).iterdir())
    ]


@pytest.mark.parametrize("make", [Api, Files])
def test_some_changes(make, monkeypatch):
    target = make()
    some = target.seeds()[::8]  # all are tried above
    monkeypatch.setattr(target, "seeds", lambda: some)
    report = fuzz(target, read_corpus(CORPUS / target.name)[:10], 1, count=60)
    assert [finding.message for finding in report.findings.values()] == []
    assert report.executions > 60


def read_all(path: Path) -> None:
    with _files.open_source(path) as source:
        for tensor in source.tensors:
            source.read(tensor)


@pytest.mark.parametrize(
    ("suffix", "data"),
    [
        (".npy", GOOD),
        (".npz", npz_bytes({"a.npy": GOOD})),
        (".safetensors", safetensors_bytes({"a": entry([2, 2], 0, 16), "b": entry([3], 16, 19, "I8")}, bytes(19))),
    ],
)
def test_files_that_end_anywhere(tmp_path, suffix, data):
    path = tmp_path / f"x{suffix}"
    for n in range(len(data)):
        path.write_bytes(data[:n])
        with pytest.raises(FileError):
            read_all(path)


# --- the engine -------------------------------------------------------------------------------------------


class Toy:
    """Fails where the bytes have an A, behind a B; features are the bytes that there are."""

    name = "toy"

    def seeds(self) -> list[Entry]:
        return [Entry(".toy", b"xyz")]

    def run(self, entry: Entry) -> Iterator[Any]:
        if b"B" in entry.data and b"A" in entry.data[entry.data.index(b"B") :]:
            raise RuntimeError("found")
        yield from entry.data

    def mutate(self, entry: Entry, others: Any, rng: random.Random) -> Entry:
        return Entry(entry.suffix, changed(entry.data, rng.choice(others).data, rng, 30))

    def describe(self, entry: Entry) -> str:
        return entry.data.hex()


def test_changes_find_and_make_small():
    report = fuzz(Toy(), [], 3, count=20_000)
    (finding,) = report.findings.values()
    assert finding.entry.data == b"BA"
    assert finding.message == "RuntimeError: found"
    assert len(report.features) > 200
    again = fuzz(Toy(), [], 3, count=20_000)
    assert (again.new, again.findings) == (report.new, report.findings)
    assert fuzz(Toy(), [], 4, count=20_000).new != report.new


def test_few_entries_cover_all():
    entries = [Entry(".toy", data) for data in (b"a", b"ab", b"c", b"abd", b"cc", b"BA", b"")]
    assert [e.data for e in covering(Toy(), entries)] == [b"abd", b"c"]


def test_a_corpus_is_written_and_read(tmp_path):
    entries = [Entry(".toy", b"1"), Entry(".toy", b"2")]
    write_corpus(tmp_path / "toy", entries)
    write_corpus(tmp_path / "toy", entries[1:])
    assert read_corpus(tmp_path / "toy") == entries[1:]


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(command.TARGETS, "toy", Toy)
    argv = [
        "toy",
        "--count",
        "3000",
        "--seed",
        "3",
        "--keep",
        "--corpus",
        str(tmp_path / "c"),
        "--found",
        str(tmp_path / "f"),
    ]
    assert command.main(argv) == 1
    out = capsys.readouterr().out
    assert "FOUND RuntimeError at test_fuzz.py" in out
    assert re.fullmatch(
        r"seed 3: [\d,]+ executions, 1 findings, \d+ new corpus entries \(kept.*\)", out.splitlines()[-1]
    )
    kept = read_corpus(tmp_path / "c" / "toy")
    assert len(kept) > 5
    (found,) = (tmp_path / "f").iterdir()
    assert found.read_bytes() == b"BA"
    with pytest.raises(RuntimeError, match="found"):
        command.main(["toy", "--replay", str(found)])
    assert command.main(["toy", "--replay", str(tmp_path / "c" / "toy" / kept[0].name)]) == 0
    with pytest.raises(SystemExit):
        command.main(["tay"])


# --- faults of calls --------------------------------------------------------------------------------------


def call_that_fails(wrapped: str, change: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> str:
    """The first finding with this function changed."""
    original = getattr(fq, wrapped)
    monkeypatch.setattr(fq, wrapped, lambda *args, **options: change(original, *args, **options))
    report = fuzz(Api(["portable"]), [], 5, count=2000, first=True)
    return "".join(finding.message for finding in report.findings.values())


def wrong_code(original: Any, *args: Any, **options: Any) -> Any:
    q = original(*args, **options)
    if q.size and q.dtype == np.int8 and q.flags.writeable:
        q.reshape(-1)[-1:] ^= 1
    return q


def one_too_many(original: Any, *args: Any, **options: Any) -> Any:
    q = original(*args, **options)
    out = options.get("out")
    if out is not None and out.size:
        root = out
        while isinstance(root.base, np.ndarray):
            root = root.base
        root.reshape(-1).view(np.uint8)[-1] ^= 1
    return q


def half_written(original: Any, *args: Any, **options: Any) -> Any:
    try:
        return original(*args, **options)
    except Exception:
        out = options.get("out")
        if isinstance(out, np.ndarray) and out.flags.writeable and out.size:
            out.view(f"u{out.itemsize}").flat[0] ^= 1
        raise


def input_changed(original: Any, *args: Any, **options: Any) -> Any:
    result = original(*args, **options)
    if isinstance(args[0], np.ndarray) and args[0].dtype == np.float32 and args[0].flags.writeable:
        args[0].reshape(-1).view(np.uint32)[:1] ^= 1
    return result


def accepts_all(original: Any, *args: Any, **options: Any) -> Any:
    try:
        return original(*args, **options)
    except TypeError:
        return None


def refuses_much(original: Any, *args: Any, **options: Any) -> Any:
    if options.get("block_size") == 3:
        raise ValueError("block_size: got 3")
    return original(*args, **options)


def names_nothing(original: Any, *args: Any, **options: Any) -> Any:
    try:
        return original(*args, **options)
    except ValueError as error:
        raise ValueError("wrong") from error


def other_error(original: Any, *args: Any, **options: Any) -> Any:
    try:
        return original(*args, **options)
    except ValueError as error:
        raise TypeError(str(error)) from error


def elsewhere(original: Any, *args: Any, **options: Any) -> Any:
    result = original(*args, **options)
    return result.copy() if isinstance(result, np.ndarray) else result


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (wrong_code, "differ"),
        (one_too_many, "bytes around out have changed"),
        (half_written, "out has changed by a call that was refused"),
        (input_changed, "an input has changed"),
        (accepts_all, "accepted, though"),
        (refuses_much, "block_size: got 3"),
        (names_nothing, "ValueError: wrong"),
        (other_error, "TypeError: scale: got"),
        (elsewhere, "another array than out"),
    ],
)
def test_a_fault_of_a_call_is_found(monkeypatch, change, told):
    assert told in call_that_fails("quantize", change, monkeypatch)


# --- faults of readers ------------------------------------------------------------------------------------


def file_that_fails(files: Files, suffix: str, data: bytes) -> str:
    found = failure(files, Entry(suffix, data))
    assert isinstance(found, tuple), "not found"
    return found[1]


def test_a_reader_that_unpickles_is_found(files, monkeypatch):
    def unpickle(path: Path) -> Any:
        np.load(path, allow_pickle=True)
        raise FileError(path, "holds Python objects")

    monkeypatch.setattr("fuzz_files.open_source", unpickle)
    told = file_that_fails(files, ".npy", pickled())
    assert "pickle.find_class" in told  # what is about to be called,
    assert "os.mkdir" in told  # and that it was
    assert "executed-by-fastquant" in told
    assert not list(files.folder.iterdir())


def after(work: Callable[[], object]) -> Callable[..., Any]:
    """The reader of headers, which does something else as well."""
    original = _files._npy_tensor

    def function(*args: Any) -> Any:
        work()
        return original(*args)

    return function


def raising(error: BaseException) -> Callable[..., Any]:
    def function(*args: Any) -> Any:
        raise error

    return function


def _busy() -> None:
    for _ in range(20_000):
        _quality.decibels(_quality.Quality())


def _one_less(x: Any, *args: Any, **options: Any) -> Any:
    found = fq._kernels.quantize_dynamic(x, *args, **options)
    found.q[...] -= 1
    return found


def _values_changed(source: _files.Source, tensor: _files.Tensor) -> Any:
    return np.zeros(tensor.shape, np.float32)


@pytest.mark.parametrize(
    ("where", "name", "value", "told"),
    [
        (_files.Source, "read", raising(KeyError("unexpected")), "KeyError: 'unexpected'"),
        (_files.Source, "read", _values_changed, "in another reader"),
        (_files, "_npy_tensor", raising(MemoryError()), "not enough memory"),
        (_files, "_npy_tensor", after(lambda: Path("../elsewhere").touch()), "elsewhere"),
        (_files, "_npy_tensor", after(lambda: Path("left").touch()), "left behind: "),
        (_files, "_npy_tensor", after(lambda: os.system("true")), "os.system"),
        (_files, "_npy_tensor", after(lambda: np.empty(64 << 20, np.uint8)), "bytes of memory"),
        (_files, "_npy_tensor", after(_busy), "lines of Python"),
        (fq, "quantize_dynamic", _one_less, "is not the reference's"),
        (cli, "complain", lambda text: print("fastquant:", text, "\x1b", file=sys.stderr), "\\x1b"),
        (cli, "complain", lambda text: print("fastquant:", text * 999, file=sys.stderr), "an error of"),
    ],
)
def test_a_fault_of_a_reader_is_found(files, monkeypatch, where, name, value, told):
    data = GOOD if where is not cli else GOOD[:-1]
    assert isinstance(failure(files, Entry(".npy", data)), set)
    try:
        monkeypatch.setattr(where, name, value)
        assert told in file_that_fails(files, ".npy", data)
    finally:
        (files.folder.parent / "elsewhere").unlink(missing_ok=True)


def test_more_than_a_file_can_hold_is_found(files, monkeypatch):
    """Memory is taken as the file says, without a check."""
    monkeypatch.setattr(_files, "_check_size", lambda member: None)
    monkeypatch.setattr(_files._NpzSource, "_surely_there", lambda source, tensor: tensor.nbytes)
    assert "bytes of memory" in file_that_fails(files, ".npz", claiming(f"({2**26}, 1)", 2**28, zipfile.ZIP_DEFLATED))
