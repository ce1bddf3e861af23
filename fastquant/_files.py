"""Reading and writing .safetensors, .npy and .npz files, one tensor in memory at a time.

Whatever is wrong with a file comes out as a FileError: one line that names the file and what is wrong.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import secrets
import stat
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import ml_dtypes
import numpy as np

from fastquant._report import FileError, UserError, missing_extra, quoted

CHUNK = 1 << 20
SUFFIXES = (".safetensors", ".npy", ".npz")

# NumPy refuses headers of more than 10,000 characters by itself: this is enough to hold any that it takes.
_NPY_HEAD = 1 << 14
# The safetensors library refuses to read a longer header.
_MAX_HEADER = 100_000_000

# What a byte of a member can hold at most, of the two methods that NumPy writes. Deflate makes 258 bytes of two bits.
# Of bzip2 and LZMA it is any number, and LZMA takes memory as the file says.
_EXPANSION = {zipfile.ZIP_STORED: 1, zipfile.ZIP_DEFLATED: 1032}

# Types by the names of the safetensors format. Those that are missing here (float8 and below) have no plain
# NumPy type; their bytes are copied as they are.
_DTYPES = {
    "BOOL": np.dtype("?"),
    "U8": np.dtype("u1"),
    "I8": np.dtype("i1"),
    "U16": np.dtype("<u2"),
    "I16": np.dtype("<i2"),
    "U32": np.dtype("<u4"),
    "I32": np.dtype("<i4"),
    "U64": np.dtype("<u8"),
    "I64": np.dtype("<i8"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16).newbyteorder("<"),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
    "C64": np.dtype("<c8"),
}
# bfloat16 is left out: to NumPy's file formats it is two bytes without a meaning.
_KINDS = {dtype: kind for kind, dtype in _DTYPES.items() if kind != "BF16"}


@dataclass(frozen=True)
class Tensor:
    name: str
    kind: str  # the safetensors name of the type, or NumPy's where safetensors has none
    shape: tuple[int, ...]
    nbytes: int
    dtype: np.dtype[Any] | None  # None where NumPy has no such type
    fortran: bool = False
    npy_header: bytes = b""  # as found in the file, so that a copy is the same to the byte
    where: Any = None

    @property
    def empty(self) -> bool:
        return 0 in self.shape

    @property
    def plain(self) -> bool:
        """C-ordered and little-endian, as safetensors stores everything."""
        return not self.fortran and (self.dtype is None or self.dtype == self.dtype.newbyteorder("<"))


def array_tensor(name: str, dtype: Any, shape: tuple[int, ...]) -> Tensor:
    """The description of a tensor that is yet to be made."""
    dtype = np.dtype(dtype).newbyteorder("<")
    return Tensor(name, _KINDS[dtype], shape, dtype.itemsize * _product(shape), dtype)


def _product(shape: Iterable[int]) -> int:
    product = 1
    for n in shape:
        product *= n  # Python integers: a hostile shape cannot overflow
    return product


@contextlib.contextmanager
def _reading(path: Path, what: str = "") -> Iterator[None]:
    """Turn anything that goes wrong while reading into one line about that file.

    The parsers underneath (zipfile and its decompressors, NumPy's headers, json) raise a dozen kinds of
    exceptions on damaged input, and the list differs between their versions.
    """
    try:
        yield
    except UserError:
        raise
    except MemoryError as error:
        raise FileError(path, what + "not enough memory to read it") from error
    except OSError as error:
        raise FileError(path, what + (error.strerror or str(error))) from error
    except Exception as error:
        raise FileError(path, what + (" ".join(str(error).split()) or type(error).__name__)) from error


class Source:
    """A file of tensors: their descriptions at once, their data one at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tensors: list[Tensor] = []
        self.metadata: dict[str, str] = {}
        self.on_read: Callable[[int], object] = lambda count: None
        self._stack = contextlib.ExitStack()
        try:
            self._open()
        except BaseException:
            self._stack.close()
            raise

    def _raw(self) -> IO[bytes]:
        return self._stack.enter_context(open(self.path, "rb"))

    def _open(self) -> None:
        """Fill in self.tensors and self.metadata."""
        raise NotImplementedError

    def _data(self, tensor: Tensor) -> contextlib.AbstractContextManager[IO[bytes]]:
        """A stream that stands at the first byte of the tensor."""
        raise NotImplementedError

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def pieces(self, tensor: Tensor) -> Iterator[bytes]:
        """The bytes of a tensor as they are in the file, in pieces."""
        left = tensor.nbytes
        with contextlib.ExitStack() as stack:
            with _reading(self.path):
                stream = stack.enter_context(self._data(tensor))
            while left:
                with _reading(self.path, f"tensor {quoted(tensor.name)}: "):
                    piece = stream.read(min(left, CHUNK))
                if not piece:
                    raise FileError(self.path, f"tensor {quoted(tensor.name)} is cut off, {left} bytes are missing")
                left -= len(piece)
                self.on_read(len(piece))
                yield piece

    def read(self, tensor: Tensor) -> np.ndarray[Any, Any]:
        """The whole tensor, C-ordered and in the machine's byte order."""
        assert tensor.dtype is not None
        with _reading(self.path, f"tensor {quoted(tensor.name)}: "):
            flat = np.empty(tensor.nbytes, np.uint8)
        at = 0
        for piece in self.pieces(tensor):
            flat[at : at + len(piece)] = np.frombuffer(piece, np.uint8)
            at += len(piece)
        with _reading(self.path, f"tensor {quoted(tensor.name)}: "):
            array = flat.view(tensor.dtype).reshape(tensor.shape, order="F" if tensor.fortran else "C")
            return np.asarray(array, dtype=tensor.dtype.newbyteorder("="), order="C")


class _SafetensorsSource(Source):
    def _open(self) -> None:
        try:
            from safetensors import safe_open
        except ImportError as error:
            raise missing_extra("cli") from error
        with _reading(self.path, "not a valid safetensors file: "):
            # The library checks the header (lengths, overlaps, holes): the offsets below can be relied upon.
            with safe_open(self.path, framework="numpy"):
                pass
            self._file = self._raw()
            length = int.from_bytes(self._file.read(8), "little")
            header = json.loads(self._file.read(length), object_pairs_hook=_unique)
        self.metadata = header.pop("__metadata__", None) or {}
        for name, entry in header.items():
            begin, end = entry["data_offsets"]
            dtype = _DTYPES.get(entry["dtype"])
            shape = tuple(entry["shape"])
            self.tensors.append(
                Tensor(name, entry["dtype"], shape, end - begin, dtype, where=8 + length + begin)
            )

    def _data(self, tensor: Tensor) -> contextlib.AbstractContextManager[IO[bytes]]:
        self._file.seek(tensor.where)
        return contextlib.nullcontext(self._file)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The library lets a repeated name pass, and which of the two counts is then anybody's guess."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the name {quoted(name)} appears twice")
        found[name] = value
    return found


class _NpySource(Source):
    def _open(self) -> None:
        with _reading(self.path, "not a valid .npy file: "):
            self._file = self._raw()
            size = os.fstat(self._file.fileno()).st_size
            self.tensors.append(_npy_tensor(self._file, self.path.stem, size))

    def _data(self, tensor: Tensor) -> contextlib.AbstractContextManager[IO[bytes]]:
        self._file.seek(len(tensor.npy_header))
        return contextlib.nullcontext(self._file)


class _NpzSource(Source):
    def _open(self) -> None:
        with _reading(self.path, "not a valid .npz file: "):
            self._zip = self._stack.enter_context(zipfile.ZipFile(self.path))
            _unique([(member.filename, None) for member in self._zip.infolist()])
            # Else a few bytes, in which all members lie, could hold any number of them.
            if sum(member.compress_size for member in self._zip.infolist()) > os.path.getsize(self.path):
                raise ValueError("its members would be longer than the file, or overlap")
        for member in self._zip.infolist():
            with _reading(self.path, f"not a valid .npz file: member {quoted(member.filename)}: "):
                _check_size(member)
                if not member.filename.endswith(".npy"):
                    raise ValueError("not a NumPy array (.npy)")
                with self._zip.open(member) as stream:
                    name = member.filename.removesuffix(".npy")
                    self.tensors.append(_npy_tensor(stream, name, member.file_size, member))

    @contextlib.contextmanager
    def _data(self, tensor: Tensor) -> Iterator[IO[bytes]]:
        with self._zip.open(tensor.where) as stream:
            stream.read(len(tensor.npy_header))
            yield stream


def _check_size(member: zipfile.ZipInfo) -> None:
    """Refuse a size that the member cannot have: memory is taken for it before all of it has been read."""
    if member.compress_type not in _EXPANSION:
        raise ValueError("compressed in a way that NumPy does not write")
    if member.file_size > _EXPANSION[member.compress_type] * member.compress_size:
        raise ValueError(f"{member.compress_size} bytes cannot hold {member.file_size}")


def _npy_tensor(stream: IO[bytes], name: str, size: int, where: object = None) -> Tensor:
    head = io.BytesIO(stream.read(_NPY_HEAD))
    version = np.lib.format.read_magic(head)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"unknown version {version} of the format")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(head)
        elif version == (2, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(head)
        else:
            # 3.0 differs from 2.0 only in the encoding of a record's field names, the only texts in a header.
            length = int.from_bytes(head.read(4), "little")
            text = head.read(length).decode("utf-8").encode("ascii", "backslashreplace")
            as_2_0 = io.BytesIO(len(text).to_bytes(4, "little") + text)
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(as_2_0)
    if dtype.hasobject:
        raise ValueError("holds Python objects, which are not loaded")
    if any(n < 0 or isinstance(n, bool) for n in shape):
        raise ValueError(f"negative shape {shape}" if min(shape) < 0 else f"shape {shape} is not of integers")
    header = head.getvalue()[: head.tell()]
    nbytes = dtype.itemsize * _product(shape)
    found = size - len(header)
    if found != nbytes:
        raise ValueError(f"shape {shape} of {dtype} takes {nbytes} bytes, the file holds {found}")
    kind = _KINDS.get(dtype.newbyteorder("<")) or str(dtype)
    return Tensor(name, kind, tuple(map(int, shape)), nbytes, dtype, bool(fortran), header, where)


def open_source(path: str | os.PathLike[str]) -> Source:
    path = Path(path)
    with _reading(path):
        mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise FileError(path, "is a directory, not a file")
    if not stat.S_ISREG(mode):
        raise FileError(path, "is not a regular file")
    kinds = dict(zip(SUFFIXES, (_SafetensorsSource, _NpySource, _NpzSource), strict=True))
    if path.suffix.lower() not in kinds:
        raise FileError(path, f"unknown suffix {path.suffix!r}: expected {', '.join(SUFFIXES)}")
    return kinds[path.suffix.lower()](path)


class Sink:
    """An output file whose tensors are known by description before the first of them is written."""

    keeps_layout = False  # whether big-endian and Fortran-ordered arrays can be stored as they are

    def __init__(self, path: Path, tensors: list[Tensor], metadata: dict[str, str]) -> None:
        self.path, self.tensors, self.metadata = path, tensors, metadata

    def check(self) -> None:
        """Refuse, before anything is written, what the format cannot hold."""
        raise NotImplementedError

    def _cannot_hold(self, tensor: Tensor, what: str) -> FileError:
        return FileError(self.path, f"tensor {quoted(tensor.name)}: {self.path.suffix} cannot hold {what}")

    def start(self, file: IO[bytes]) -> contextlib.AbstractContextManager[object]:
        raise NotImplementedError

    def put(self, tensor: Tensor, pieces: Iterable[Any]) -> None:
        raise NotImplementedError

    def put_array(self, tensor: Tensor, array: Any) -> None:
        array = np.asarray(array, dtype=tensor.dtype, order="C")
        self.put(tensor, [array.reshape(-1).view(np.uint8)])

    def copy(self, source: Source, tensor: Tensor) -> None:
        if tensor.plain or self.keeps_layout:
            self.put(tensor, source.pieces(tensor))
        else:
            self.put_array(array_tensor(tensor.name, tensor.dtype, tensor.shape), source.read(tensor))


class _SafetensorsSink(Sink):
    def check(self) -> None:
        for tensor in self.tensors:
            if tensor.npy_header and tensor.kind not in _DTYPES:
                raise self._cannot_hold(tensor, f"type {tensor.kind}")
            if tensor.name == "__metadata__":
                raise self._cannot_hold(tensor, "this name")

    def start(self, file: IO[bytes]) -> contextlib.AbstractContextManager[object]:
        offsets: dict[str, list[int]] = {}
        end = 0
        for tensor in _placed(self.tensors):
            offsets[tensor.name] = [end, end + tensor.nbytes]
            end += tensor.nbytes
        header: dict[str, Any] = {"__metadata__": self.metadata} if self.metadata else {}
        for t in self.tensors:
            header[t.name] = {"dtype": t.kind, "shape": t.shape, "data_offsets": offsets[t.name]}
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        if len(text) > _MAX_HEADER:
            raise FileError(self.path, f"its header would be longer than the format's {_MAX_HEADER} bytes")
        file.write(len(text).to_bytes(8, "little") + text)
        self._file = file
        self._places = {name: 8 + len(text) + begin for name, (begin, _) in offsets.items()}
        return contextlib.nullcontext()

    def put(self, tensor: Tensor, pieces: Iterable[Any]) -> None:
        self._file.seek(self._places[tensor.name])
        for piece in pieces:
            self._file.write(piece)


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

    def check(self) -> None:
        for tensor in self.tensors:
            if not tensor.npy_header and tensor.dtype not in _KINDS:
                raise self._cannot_hold(tensor, f"type {tensor.kind}: write a .safetensors file")
            if zipfile.ZipInfo(f"{tensor.name}.npy").filename != f"{tensor.name}.npy":
                raise self._cannot_hold(tensor, "this name")

    def start(self, file: IO[bytes]) -> contextlib.AbstractContextManager[object]:
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True)
        return self._zip

    def put(self, tensor: Tensor, pieces: Iterable[Any]) -> None:
        # ZipInfo's fixed date instead of the clock: the same input gives the same file.
        with self._zip.open(zipfile.ZipInfo(f"{tensor.name}.npy"), "w", force_zip64=True) as member:
            member.write(tensor.npy_header or _npy_header(tensor))
            for piece in pieces:
                member.write(piece)


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


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """A new file that takes the place of `path` when the block ends well, and is removed when it does not."""
    target = Path(os.path.realpath(path))  # what a link points to is replaced, not the link
    # Opened as any new file is, so that the umask and the directory's defaults decide its permissions
    # (tempfile would make it private); beside the target, so that the rename stays within one file system.
    temporary = target.with_name(f".fastquant-{secrets.token_hex(8)}.tmp")
    try:
        if target.exists() and not target.is_file():
            raise FileError(path, "exists and is not a regular file")
        if not target.parent.is_dir():
            raise FileError(path, "its directory does not exist")
        with open(temporary, "x+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            os.chmod(temporary, stat.S_IMODE(target.stat().st_mode))
        os.replace(temporary, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise FileError(path, error.strerror or str(error)) from error
        raise
    _sync_directory(target.parent)


def _sync_directory(path: Path) -> None:
    """Make the rename itself durable, where the system lets a directory be opened for that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
