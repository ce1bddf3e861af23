"""Reading .safetensors, .npy and .npz files, one tensor in memory at a time, and replacing files as a whole.

Whatever is wrong with a file comes out as a FileError: one line that names the file and what is wrong.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import secrets
import stat
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import ml_dtypes
import numpy as np

from fastquant._report import FileError, UserError, missing_extra, quoted, shortened

CHUNK = 1 << 20
SUFFIXES = (".safetensors", ".npy", ".npz")

# As NumPy has it: characters of a header (in UTF-8, of up to 4 bytes each) that it takes from strangers, and axes.
_NPY_HEADER = 10_000
MAX_AXES = 64

# What a byte of a member can hold at most, of the two methods that NumPy writes. Deflate makes 258 bytes of two bits.
# Of bzip2 and LZMA it is any number, and LZMA takes memory as the file says.
_EXPANSION = {zipfile.ZIP_STORED: 1, zipfile.ZIP_DEFLATED: 1032}

# Types by the names of the safetensors format. Those that are missing here (float8 and below) have no plain
# NumPy type; their bytes are copied as they are.
DTYPES = {
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
KINDS = {dtype: kind for kind, dtype in DTYPES.items() if kind != "BF16"}


@dataclass(frozen=True, slots=True)
class Tensor:
    """A description. A file may hold a million of them in a few bytes each, so nothing large is kept in one."""

    name: str
    kind: str  # the safetensors name of the type, or NumPy's (perhaps shortened) where safetensors has none
    shape: tuple[int, ...]
    nbytes: int
    dtype: np.dtype[Any] | None  # None where safetensors or NumPy has no such type
    fortran: bool = False
    head: int = 0  # bytes of the .npy header before the data
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
    return Tensor(name, KINDS[dtype], shape, dtype.itemsize * _product(shape), dtype)


def _product(shape: Iterable[int]) -> int:
    product = 1
    for n in shape:
        product *= n  # Python integers: a hostile shape cannot overflow
    return product


def too_large(shape: tuple[int, ...], itemsize: int) -> bool:
    """Whether readers refuse the shape, even that of an empty array: they multiply in 64 bits, and leave out zeros."""
    product = max(itemsize, 1)
    for n in shape:  # perhaps of millions: the whole product would take for ever
        product *= n or 1
        if product >= 1 << 63:
            return True
    return False


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
        """A stream that stands at the first byte of the tensor, or of its header if it has one."""
        raise NotImplementedError

    def _surely_there(self, tensor: Tensor) -> int:
        """How many bytes of the tensor the file is known to hold before they have been read."""
        return tensor.nbytes

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def pieces(self, tensor: Tensor, head: bool = False) -> Iterator[bytes]:
        """The bytes of a tensor as they are in the file, in pieces; with its header on request."""
        left = tensor.nbytes + (tensor.head if head else 0)
        with contextlib.ExitStack() as stack:
            with _reading(self.path):
                stream = stack.enter_context(self._data(tensor))
                if not head:
                    stream.read(tensor.head)
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
            flat = np.empty(self._surely_there(tensor), np.uint8)
        at = 0
        for piece in self.pieces(tensor):
            if at + len(piece) > flat.size:  # what is there turns out to be more: room for as much again
                with _reading(self.path, f"tensor {quoted(tensor.name)}: "):
                    flat.resize(min(tensor.nbytes, max(2 * flat.size, at + len(piece))), refcheck=False)
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
            header = json.loads(self._file.read(length), object_pairs_hook=_object)
        self.metadata = header.pop("__metadata__", None) or {}
        for name, (kind, shape, begin, end) in header.items():
            self.tensors.append(Tensor(name, kind, shape, end - begin, DTYPES.get(kind), where=8 + length + begin))

    def _data(self, tensor: Tensor) -> contextlib.AbstractContextManager[IO[bytes]]:
        self._file.seek(tensor.where)
        return contextlib.nullcontext(self._file)


def _object(pairs: list[tuple[str, Any]]) -> Any:
    """An object of the header; those of tensors, which may be very many, as tuples. Metadata holds texts only."""
    found = _unique(pairs)
    if not isinstance(found.get("shape"), list):
        return found
    return sys.intern(found["dtype"]), tuple(found["shape"]), *found["data_offsets"]


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
        self._file.seek(0)
        return contextlib.nullcontext(self._file)


class _NpzSource(Source):
    def _open(self) -> None:
        with _reading(self.path, "not a valid .npz file: "):
            self._zip = self._stack.enter_context(zipfile.ZipFile(self.path))
            _unique([(member.filename, None) for member in self._zip.infolist()])
            # Else a few bytes, in which all members lie, could hold any number of them.
            size = os.path.getsize(self.path)
            if sum(member.compress_size for member in self._zip.infolist()) > size:
                raise ValueError("its members would be longer than the file, or overlap")
        heads = 0
        for member in self._zip.infolist():
            with _reading(self.path, f"not a valid .npz file: member {quoted(member.filename)}: "):
                _check_size(member)
                if not member.filename.endswith(".npy"):
                    raise ValueError("not a NumPy array (.npy)")
                with self._zip.open(member) as stream:
                    name = member.filename.removesuffix(".npy")
                    self.tensors.append(_npy_tensor(stream, name, member.file_size, member))
                # Each takes some time, and deflate makes a long one of a few bytes.
                heads += self.tensors[-1].head
                if heads > CHUNK + 4 * size:
                    raise ValueError("the headers of its arrays are much longer than the file")

    def _data(self, tensor: Tensor) -> contextlib.AbstractContextManager[IO[bytes]]:
        return self._zip.open(tensor.where)

    def _surely_there(self, tensor: Tensor) -> int:
        # Stored members lie side by side in the file; what becomes of the others is only said.
        return min(tensor.nbytes, max(tensor.where.compress_size, CHUNK))


def _check_size(member: zipfile.ZipInfo) -> None:
    """Refuse a size that the member cannot have: it would be found out only when all of it has been read."""
    if member.compress_type not in _EXPANSION:
        raise ValueError("compressed in a way that NumPy does not write")
    if member.file_size > _EXPANSION[member.compress_type] * member.compress_size:
        raise ValueError(f"{member.compress_size} bytes cannot hold {member.file_size}")


def _npy_tensor(stream: IO[bytes], name: str, size: int, where: object = None) -> Tensor:
    shape, fortran, dtype, head = _npy_header(stream)
    if dtype.hasobject:
        raise ValueError("holds Python objects, which are not loaded")
    if dtype.subdtype:
        raise ValueError("its elements would be arrays, which NumPy does not read")
    if any(n < 0 or isinstance(n, bool) for n in shape):
        raise ValueError(f"negative shape {shape}" if min(shape) < 0 else f"shape {shape} is not of integers")
    if len(shape) > MAX_AXES or too_large(shape, dtype.itemsize):
        raise ValueError(f"NumPy has no arrays of shape {shape}")
    nbytes = dtype.itemsize * _product(shape)
    if size - head != nbytes:
        raise ValueError(f"shape {shape} of {dtype} takes {nbytes} bytes, the file holds {size - head}")
    kind = KINDS.get(dtype.newbyteorder("<"))
    known = dtype if kind else None  # a record's type may take a thousand times the bytes that it has in the file
    kind = kind or shortened(str(dtype))
    return Tensor(name, kind, tuple(map(int, shape)), nbytes, known, bool(fortran), head, where)


def _npy_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Shape, Fortran order and type of an array, and how long its header is."""
    version = np.lib.format.read_magic(stream)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"unknown version {version} of the format")
    wide = 2 if version == (1, 0) else 4
    size = int.from_bytes(stream.read(wide), "little")
    text = stream.read(size) if size <= 4 * _NPY_HEADER else b""
    characters = text.decode("utf-8" if version == (3, 0) else "latin1")
    if size > 4 * _NPY_HEADER or len(characters) > _NPY_HEADER:
        raise ValueError(f"its header is longer than {_NPY_HEADER:,} characters")
    if len(text) < size:
        raise ValueError("its header is cut off")
    if version == (3, 0):
        # 3.0 differs from 2.0 only in the encoding of a record's field names, the only texts in a header.
        text = characters.encode("ascii", "backslashreplace")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        as_2_0 = io.BytesIO(len(text).to_bytes(4, "little") + text)
        header = np.lib.format.read_array_header_2_0(as_2_0, max_header_size=len(text))
    return *header, 8 + wide + size


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
