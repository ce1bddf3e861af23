"""Damaged and hostile files: one line on stderr, status 2, nothing written."""

from __future__ import annotations

import io
import json
import os
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rich")
pytest.importorskip("safetensors")

from cli_support import ON_POSIX, listing, refused
from file_bytes import entry, npy_bytes, npz_bytes, safetensors_bytes
from fuzz_file_bytes import claiming, claiming_within, long_headers, overlapping

from fastquant._files import _unique

# --- damaged and hostile input ----------------------------------------------------------------------------

GOOD = np.arange(64, dtype=np.float32).reshape(8, 8)
GOOD_NPY = npy_bytes(GOOD)
GOOD_NPZ = npz_bytes({"a.npy": GOOD_NPY, "b.npy": GOOD_NPY})
GOOD_SAFETENSORS = safetensors_bytes({"a": entry([2, 2], 0, 16)}, bytes(16))


def npy_header(text: str, data: bytes = b"", version: bytes = b"\1\0") -> bytes:
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text.encode("latin1") + data


def npy_described(
    descr: str = "'<f4'", order: str = "False", shape: str = "(2, 2)", data: bytes = bytes(16)
) -> bytes:
    return npy_header(f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}}}\n", data)


def duplicated() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.npy", GOOD_NPY)
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("a.npy", GOOD_NPY)
    return file.getvalue()


def lying() -> bytes:
    """The directory and the array's header agree on 4 GiB that are not there."""
    data = npz_bytes({"a.npy": npy_described(shape=f"({0x3FFFFFE0}, 1)", data=b"").ljust(128)})
    header = len(npy_described(shape=f"({0x3FFFFFE0}, 1)", data=b""))
    at = data.index(b"PK\1\2") + 24
    return data[:at] + (4 * 0x3FFFFFE0 + header).to_bytes(4, "little") + data[at + 4 :]


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]


ENTRY = json.dumps(entry([1], 0, 4)).encode()
HOSTILE: dict[str, bytes | Callable[[], bytes]] = {
    "empty.safetensors": b"",
    "short.safetensors": b"\1\0\0",
    "header-beyond-the-file.safetensors": safetensors_bytes({}, length=1000),
    "huge-header.safetensors": safetensors_bytes({}, length=1 << 40),
    "endless-header.safetensors": safetensors_bytes({}, length=(1 << 64) - 1),
    "not-json.safetensors": safetensors_bytes(b"hello, world"),
    "not-an-object.safetensors": safetensors_bytes([1, 2]),
    "not-utf8.safetensors": safetensors_bytes(b'{"\xff": 1}'),
    "deep.safetensors": safetensors_bytes(b'{"a":' + b"[" * 50_000),
    "truncated.safetensors": GOOD_SAFETENSORS[:-1],
    "trailing.safetensors": GOOD_SAFETENSORS + b"\0",
    "overlap.safetensors": safetensors_bytes({"a": entry([1], 0, 4), "b": entry([1], 0, 4)}, bytes(4)),
    "hole.safetensors": safetensors_bytes({"a": entry([1], 4, 8)}, bytes(8)),
    "backwards.safetensors": safetensors_bytes({"a": entry([1], 4, 0)}, bytes(4)),
    "negative-shape.safetensors": safetensors_bytes({"a": entry([-1], 0, 4)}, bytes(4)),
    "wrong-size.safetensors": safetensors_bytes({"a": entry([3], 0, 8)}, bytes(8)),
    "overflow.safetensors": safetensors_bytes({"a": entry([1 << 40, 1 << 40], 0, 4)}, bytes(4)),
    "unknown-type.safetensors": safetensors_bytes({"a": entry([1], 0, 4, "Q4")}, bytes(4)),
    "metadata.safetensors": safetensors_bytes({"__metadata__": {"a": 1}}),
    "twice.safetensors": safetensors_bytes(b'{"a":%b,"a":%b}' % (ENTRY, ENTRY), bytes(4)),
    "70-axes.safetensors": safetensors_bytes({"a": entry([1] * 70, 0, 4)}, bytes(4)),
    "npz-inside.safetensors": GOOD_NPZ,
    "empty.npy": b"",
    "magic.npy": b"\x94NUMPY" + GOOD_NPY[6:],
    "version.npy": npy_header("{}", version=b"\7\0"),
    "header-cut.npy": GOOD_NPY[:40],
    "data-cut.npy": GOOD_NPY[:-1],
    "trailing.npy": GOOD_NPY + GOOD_NPY,
    "objects.npy": npy_bytes(np.array([{}, None]), allow_pickle=True),
    "objects-that-fit.npy": npy_described(descr="'|O'", data=bytes(32)),
    "pickle.npy": b"\x80\x04]\x94.",
    "code.npy": npy_header("__import__('os').system('true')\n"),
    "nested.npy": npy_header("(" * 9000 + "\n"),
    "minus.npy": npy_header("-" * 9000 + "1\n"),
    "long-header.npy": npy_header("{" + " " * 60_000 + "}\n"),
    "negative.npy": npy_described(shape="(-2, -2)"),
    "enormous.npy": npy_described(shape="(1 << 62, 4)"),
    "enormous-shape.npy": npy_described(shape=f"({1 << 62}, {1 << 62})"),
    "text-shape.npy": npy_described(shape="('2', 2)"),
    "type.npy": npy_described(descr="'<q9'"),
    "object-field.npy": npy_described(descr="[('a', '|O')]"),
    "order.npy": npy_described(order="'C'"),
    "not-utf8.npy": npy_bytes(np.zeros(2, [("grö", "<i2")]), (3, 0)).replace("ö".encode(), b"\x80\x9f"),
    "huge-but-empty.npy": npy_described(shape=f"(0, {10**30})", data=b""),
    "huge-product-but-empty.npy": npy_described(shape=f"(0, {2**31}, {2**30})", data=b""),
    "65-axes.npy": npy_described(shape=f"{(0,) * 65}", data=b""),
    "3000-axes.npy": npy_described(shape=f"{(0,) * 3000}", data=b""),
    "arrays-in-arrays.npy": npy_described(descr="'(2,)<f4'", shape="(2,)"),
    "long-utf8-header.npy": npy_bytes(np.zeros(2, [("字" * 10_000, "<i2")]), (3, 0)),
    "keys.npy": npy_header("{'descr': '<f4', 'shape': (2, 2)}\n", bytes(16)),
    "empty.npz": b"",
    "not-a-zip.npz": b"hello, world" * 100,
    "truncated.npz": GOOD_NPZ[:-30],
    "half.npz": GOOD_NPZ[: len(GOOD_NPZ) // 2],
    "npy.npz": GOOD_NPY,
    "text-member.npz": npz_bytes({"a.npy": GOOD_NPY, "readme.txt": b"hello"}),
    "text-in-npy.npz": npz_bytes({"a.npy": b"hello"}),
    "objects.npz": npz_bytes({"a.npy": npy_bytes(np.array([{}]), allow_pickle=True)}),
    "folder.npz": npz_bytes({"a.npy": GOOD_NPY, "folder/": b""}),
    "cut-member.npz": npz_bytes({"a.npy": GOOD_NPY[:-8]}),
    "claims-more.npz": npz_bytes({"a.npy": npy_described(shape=f"({1 << 40}, 4)")}),
    "lying.npz": lying,
    "twice.npz": duplicated,
    "checksum.npz": flipped(GOOD_NPZ, 200),
    "method.npz": GOOD_NPZ.replace(b"PK\1\2\x14\3\x14\0\0\0\0\0", b"PK\1\2\x14\3\x14\0\0\0\x63\0"),
    "encrypted.npz": GOOD_NPZ.replace(b"PK\1\2\x14\3\x14\0\0\0", b"PK\1\2\x14\3\x14\0\1\0"),
    "deflate.npz": flipped(npz_bytes({"a.npy": GOOD_NPY}, zipfile.ZIP_DEFLATED), 60),
    # A few bytes that ask for gigabytes, or that are read many times over.
    "claims-stored.npz": claiming(f"({1 << 40}, 1)", 1 << 42),
    "claims-deflated.npz": claiming(f"({1 << 26}, 1)", 1 << 28, zipfile.ZIP_DEFLATED),
    "claims-within.npz": lambda: claiming_within(64_000),
    "overlapping.npz": overlapping(50, 100_000),
    "long-headers.npz": lambda: long_headers(120),
    "bzip2.npz": npz_bytes({"a.npy": GOOD_NPY}, zipfile.ZIP_BZIP2),
    "lzma.npz": npz_bytes({"a.npy": GOOD_NPY}, zipfile.ZIP_LZMA),
    # Errors are read by people, and on terminals.
    "long-name.npz": npz_bytes({"n" * 30_000 + ".npy": GOOD_NPY[:-1]}),
    "long-name.safetensors": safetensors_bytes({"w" * 10_000: entry([1], 0, 4), "x": entry([1], 0, 4)}, bytes(4)),
    "long-shape.npy": npy_described(shape="[" + "1, " * 3000 + "]"),
    "bool-shape.npy": npy_described(shape="(True, 4)"),
    "name.npz": npz_bytes({"\xff.npy": GOOD_NPY}).replace("\xff".encode(), b"\xff\xff"),
}


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
@pytest.mark.parametrize("name", HOSTILE)
def test_damaged_and_hostile_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, suffix: str
) -> None:
    content = HOSTILE[name]
    path = tmp_path / name
    path.write_bytes(content() if callable(content) else content)
    before = listing(tmp_path)
    out = tmp_path / f"out{suffix}"
    error = refused(capsys, "quantize", path, "-o", out)
    assert str(path if (name, suffix) != ("70-axes.safetensors", ".npz") else out) in error
    assert str(path) in refused(capsys, "inspect", path)
    assert listing(tmp_path) == before


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("claims-stored.npz", "128 bytes cannot hold 4398046511186"),
        ("bzip2.npz", "compressed in a way that NumPy does not write"),
        ("overlapping.npz", "longer than the file, or overlap"),
        ("long-headers.npz", "the headers of its arrays are much longer than the file"),
        ("twice.npz", "the name 'a.npy' appears twice"),
        ("twice.safetensors", "the name 'a' appears twice"),
        ("objects-that-fit.npy", "holds Python objects, which are not loaded"),
        ("65-axes.npy", "NumPy has no arrays of shape (0, 0,"),
        ("arrays-in-arrays.npy", "its elements would be arrays"),
        ("long-header.npy", "its header is longer than 10,000 characters"),
        ("long-utf8-header.npy", "its header is longer than 10,000 characters"),
        ("header-cut.npy", "its header is cut off"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, problem: str) -> None:
    content = HOSTILE[name]
    path = tmp_path / name
    path.write_bytes(content() if callable(content) else content)
    error = refused(capsys, "inspect", path)
    assert problem in error
    assert "allow_pickle" not in error  # the command has no such option


@pytest.mark.parametrize(
    "name", ["claims-stored.npz", "claims-deflated.npz", "claims-within.npz", "lying.npz", "overlapping.npz"]
)
def test_no_memory_is_taken_on_a_file_s_word(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    content = HOSTILE[name]
    path = tmp_path / name
    path.write_bytes(content() if callable(content) else content)
    tracemalloc.start()
    try:
        refused(capsys, "quantize", path, "-o", tmp_path / "out.npz")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20


def test_a_repeated_name_is_found_in_one_pass() -> None:
    """Headers may have a hundred million characters."""
    compared = 0

    class Name(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    names = [Name(i) for i in range(3000)]
    with pytest.raises(ValueError, match="the name '2999' appears twice"):
        _unique([(name, None) for name in [*names, Name(2999)]])
    assert compared < 3000


def test_names_in_errors_are_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(safetensors_bytes({"a" * 500 + "z": entry([1, 1], 0, 4)}, np.array(np.nan, "<f4").tobytes()))
    error = refused(capsys, "quantize", path, "-o", tmp_path / "out.npz")
    assert f"tensor '{'a' * 60}...{'a' * 59}z' holds 1 NaN" in error


def test_a_header_of_a_gigabyte(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.safetensors"
    with open(path, "wb") as file:
        file.write((1 << 30).to_bytes(8, "little"))
        file.truncate((1 << 30) + 8)
    assert str(path) in refused(capsys, "inspect", path)


def test_paths_that_are_no_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.npz"
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "x.bin").write_bytes(b"")
    for name, problem in (
        ("missing.npz", "No such file or directory"),
        ("folder.npz", "is a directory"),
        ("x.bin", "unknown suffix '.bin': expected .safetensors, .npy, .npz"),
        ("x.bin/y.npz", "Not a directory" if os.name == "posix" else ""),
        ("n" * 300 + ".npz", ""),
        ("nul\0.npz", ""),
    ):
        for argv in (["quantize", tmp_path / name, "-o", out], ["inspect", tmp_path / name]):
            assert problem in refused(capsys, *argv)
    assert not out.exists()


@ON_POSIX
def test_a_pipe_does_not_block(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "pipe.npy")
    assert "is not a regular file" in refused(capsys, "inspect", tmp_path / "pipe.npy")
