"""Writing .safetensors and .npz files, one tensor in memory at a time."""

from __future__ import annotations

import contextlib
import io
import json
import os
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np

from fastquant._files import DTYPES, KINDS, MAX_AXES, SUFFIXES, Source, Tensor, array_tensor, too_large
from fastquant._report import FileError, quoted

# The safetensors library refuses to read a longer header.
_MAX_HEADER = 100_000_000
# Of a member's name, whose length has 16 bits.
_MAX_ZIP_NAME = 0xFFFF


class Sink:
    """An output file whose tensors are known by description before the first of them is written."""

    keeps_layout = False  # whether arrays that come with a header of NumPy's can be stored as they are

    def __init__(self, path: Path, tensors: list[Tensor], metadata: dict[str, str]) -> None:
        self.path, self.tensors, self.metadata = path, tensors, metadata

    def check(self) -> None:
        """Refuse, before anything is written, what the format cannot hold or its readers would refuse."""
        for tensor in self.tensors:
            try:
                name = tensor.name.encode()
            except UnicodeEncodeError:
                what = "this name, which is not UTF-8"
            else:
                what = self._beyond(tensor, name)
            if not what and too_large(tensor.shape, tensor.dtype.itemsize if tensor.dtype else 1):
                what = f"shape {tensor.shape}"
            if what:
                raise FileError(self.path, f"tensor {quoted(tensor.name)}: {self.path.suffix} cannot hold {what}")

    def _beyond(self, tensor: Tensor, name: bytes) -> str:
        """What of the tensor this format has no place for."""
        raise NotImplementedError

    def start(self, file: IO[bytes]) -> contextlib.AbstractContextManager[object]:
        raise NotImplementedError

    def put(self, tensor: Tensor, pieces: Iterable[Any]) -> None:
        raise NotImplementedError

    def put_array(self, tensor: Tensor, array: Any) -> None:
        array = np.asarray(array, dtype=tensor.dtype, order="C")
        self.put(tensor, [array.reshape(-1).view(np.uint8)])

    def copy(self, source: Source, tensor: Tensor) -> None:
        if self.keeps_layout:
            self.put(tensor, source.pieces(tensor, head=True))
        elif tensor.plain:
            self.put(tensor, source.pieces(tensor))
        else:
            self.put_array(array_tensor(tensor.name, tensor.dtype, tensor.shape), source.read(tensor))


class _SafetensorsSink(Sink):
    def _beyond(self, tensor: Tensor, name: bytes) -> str:
        if tensor.head and tensor.kind not in DTYPES:
            return f"type {tensor.kind}"
        return "this name" if name == b"__metadata__" else ""

    def start(self, file: IO[bytes]) -> contextlib.AbstractContextManager[object]:
        self._places: dict[str, int] = {}
        end = 0
        for tensor in _placed(self.tensors):
            self._places[tensor.name] = end
            end += tensor.nbytes
        items = [_item("__metadata__", self.metadata)] if self.metadata else []
        for t in self.tensors:
            begin = self._places[t.name]
            described = {"dtype": t.kind, "shape": t.shape, "data_offsets": [begin, begin + t.nbytes]}
            items.append(_item(t.name, described))
        text = b"{%b}" % b",".join(items)
        text += b" " * (-len(text) % 8)
        if len(text) > _MAX_HEADER:
            raise FileError(self.path, f"its header would be longer than the format's {_MAX_HEADER} bytes")
        file.write(len(text).to_bytes(8, "little") + text)
        self._file, self._begin = file, 8 + len(text)
        return contextlib.nullcontext()

    def put(self, tensor: Tensor, pieces: Iterable[Any]) -> None:
        self._file.seek(self._begin + self._places[tensor.name])
        for piece in pieces:
            self._file.write(piece)


def _item(name: str, value: object) -> bytes:
    """One at a time: json takes a kilobyte for each while it encodes all of them."""
    return json.dumps({name: value}, ensure_ascii=False, separators=(",", ":"))[1:-1].encode()


def _placed(tensors: list[Tensor]) -> list[Tensor]:
    """The order of the data: as given, unless that would put a tensor where its type is not aligned (readers
    that map the file refuse this); then the widest types first, as the safetensors library itself does it.
    """
    end = 0
    for tensor in tensors:
        if tensor.dtype and tensor.nbytes and end % tensor.dtype.itemsize:
            return sorted(tensors, key=lambda t: -t.dtype.itemsize if t.dtype else 0)
        end += tensor.nbytes
    return tensors


class _NpzSink(Sink):
    keeps_layout = True

    def _beyond(self, tensor: Tensor, name: bytes) -> str:
        if not tensor.head and tensor.dtype not in KINDS:
            return f"type {tensor.kind}: write a .safetensors file"
        member = _member(tensor)
        if member.filename != f"{tensor.name}.npy":
            return "this name"
        if len(name + b".npy") > _MAX_ZIP_NAME:
            return f"a name of {len(name)} bytes"
        return f"{len(tensor.shape)} dimensions" if len(tensor.shape) > MAX_AXES else ""

    def start(self, file: IO[bytes]) -> contextlib.AbstractContextManager[object]:
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True)
        return self._zip

    def put(self, tensor: Tensor, pieces: Iterable[Any]) -> None:
        with self._zip.open(_member(tensor), "w", force_zip64=True) as member:
            if not tensor.head:
                member.write(_npy_header(tensor))
            for piece in pieces:
                member.write(piece)


def _member(tensor: Tensor) -> zipfile.ZipInfo:
    """With ZipInfo's fixed date instead of the clock: the same input gives the same file."""
    return zipfile.ZipInfo(f"{tensor.name}.npy")


def _npy_header(tensor: Tensor) -> bytes:
    assert tensor.dtype is not None
    descr = np.lib.format.dtype_to_descr(tensor.dtype)
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        head, {"descr": descr, "fortran_order": False, "shape": tensor.shape}
    )
    return head.getvalue()


def plan_sink(path: str | os.PathLike[str], tensors: list[Tensor], metadata: dict[str, str]) -> Sink:
    """The writer for the suffix of `path`; nothing is written yet, but what cannot be written is refused."""
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".npy":
        raise FileError(path, "one .npy array cannot hold codes and scales: expected .safetensors or .npz")
    if suffix not in SUFFIXES:
        raise FileError(path, f"unknown suffix {path.suffix!r}: expected .safetensors or .npz")
    sink = (_SafetensorsSink if suffix == ".safetensors" else _NpzSink)(path, tensors, metadata)
    sink.check()
    return sink
