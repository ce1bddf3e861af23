"""Files for tests/fuzz_files.py: what it begins with, and changes that leave the rest of a file well-formed, to reach
what lies behind the first check."""

from __future__ import annotations

import ast
import io
import json
import random
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable

import numpy as np
from file_bytes import entry, npy_bytes, npz_bytes, safetensors_bytes
from fuzz_engine import NUMBERS, Entry, changed

MOST = 4096  # bytes of data that a header is given, however much it asks for
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
KINDS = ("BOOL", "U8", "I8", "I16", "F16", "BF16", "F32", "F64", "I64", "C64", "F8_E4M3", "F4", "F6_E2M3", "Q4")
DESCRS = (
    *("<f4", ">f4", "<f2", "<f8", "|i1", "|u1", "<i8", ">u2", "|b1", "<c8", "<c16", "<U3", "|S0", "<U0", "|V0", "|V2"),
    *("|O", "<M8[s]", "<m8", "<f16", "<q9", "f", "object", "O", "<i4,<f4", "(2,)<f4"),
)
OTHERS = (
    "[('a', '<f4')]",
    "[('a', '|O')]",
    "[('a', [('b', '<f2', (2, 2))])]",
    "{}",
    "None",
    "b'<f4'",
    "('<f4', (2, 2))",
)
WORDS = ("True", "False", "None", "null", "true", "-0", "1e3", "0.5", "NaN", "[]", "{}", "()", "''", '""', "2L", "1_0")


def described(descr: str = "'<f4'", order: str = "False", shape: str = "(2, 2)", data: bytes = bytes(16)) -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n".encode("latin1")
    return b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text + data


class Executed:
    """Pickled, it says what unpickling calls: a folder is made, which nobody can overlook."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.mkdir, ("executed-by-fastquant",)


def pickled() -> bytes:
    """An array of objects whose loading would execute something."""
    array = np.empty(1, object)
    array[0] = Executed()
    return npy_bytes(array, allow_pickle=True)


def archive(members: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> bytes:
    """Of members whose names may repeat."""
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", method) as z:
        warnings.simplefilter("ignore")
        for name, data in members:
            z.writestr(zipfile.ZipInfo(name), data, method)
    return file.getvalue()


# Offsets in a record of the directory, and sizes, of: flags, method, CRC, sizes, lengths, where the member begins.
FIELDS = ((8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (32, 2), (38, 4), (42, 4))
LOCAL = ((6, 2), (8, 2), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2))
END = ((4, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2))


def patched(data: bytes, signature: bytes, field: tuple[int, int], value: int) -> bytes:
    """The first record of that kind with another value."""
    at = data.find(signature)
    at, size = at + field[0], field[1]
    return data[:at] + (value % 256**size).to_bytes(size, "little") + data[at + size :]


def overlapping(copies: int, nbytes: int) -> bytes:
    """Arrays that lie in each other: each is its own header, the next member's local header and what that one holds, in
    stored blocks before those of the innermost (Fifield, "A better zip bomb", 2019)."""
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    blocks, content = engine.compress(bytes(nbytes)) + engine.flush(), bytes(nbytes)
    at, records, local = 0, [], b""
    places = []
    for i in reversed(range(copies)):
        head = described("'|u1'", shape=f"({len(local) + len(content)},)", data=b"") + local
        content = head + content
        blocks = struct.pack("<BHH", 0, len(head), len(head) ^ 0xFFFF) + head + blocks
        name = b"%04x.npy" % i
        fields = struct.pack("<HHHHHLLLHH", 20, 0, 8, 0, 33, zlib.crc32(content), len(blocks), len(content), 8, 0)
        local = b"PK\3\4" + fields + name
        records.append(
            b"PK\1\2" + struct.pack("<H", 20) + fields + struct.pack("<HHHL", 0, 0, 0, 0) + b"\0\0\0\0" + name
        )
        places.append(len(blocks) + len(local))
    whole = local + blocks
    at = len(whole)
    directory = b"".join(r[:42] + struct.pack("<L", at - p) + r[46:] for r, p in zip(records, places, strict=True))
    return whole + directory + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, copies, copies, len(directory), at, 0)


def claiming(shape: str, nbytes: int, method: int = zipfile.ZIP_STORED) -> bytes:
    """An archive whose directory and array agree on bytes that are not there; zip64, as far as need be."""
    array = described(shape=shape, data=b"").ljust(128)
    data = archive([("a.npy", array)], method)
    size = nbytes + len(described(shape=shape, data=b""))
    if size < 2**32 - 1:
        return patched(data, b"PK\1\2", (24, 4), size)
    data = patched(data, b"PK\1\2", (24, 4), 2**32 - 1)
    begin, end = data.index(b"PK\1\2"), data.index(b"PK\5\6")
    extra = struct.pack("<HHQ", 1, 8, size)
    data = data[:end] + extra + patched(data[end:], b"PK\5\6", (12, 4), end - begin + len(extra))
    return patched(data, b"PK\1\2", (30, 2), len(extra))


def claiming_within(nbytes: int) -> bytes:
    """A deflated member of so many bytes, from which as much could come as directory and array say; little does."""
    floats = 1032 * (nbytes - 1) // 4
    array = described(shape=f"(1, {floats})", data=b"")
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    content = (engine.compress(array + bytes(1 << 17)) + engine.flush()).ljust(nbytes, b"\0")
    fields = struct.pack("<HHHHHLLLHH", 20, 0, 8, 0, 33, 0, nbytes, 4 * floats + len(array), 5, 0) + b"a.npy"
    member = b"PK\3\4" + fields + content
    record = b"PK\1\2" + struct.pack("<H", 20) + fields[:-5] + bytes(14) + b"a.npy"
    return member + record + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, len(record), len(member), 0)


def long_headers(members: int, descr: str = "'<f4'") -> bytes:
    """Empty arrays whose headers are as long as can be, in an archive that is much shorter."""
    array = described(descr, shape="(0,)".ljust(9950 - len(descr)), data=b"")
    return archive([(f"{i:x}.npy", array) for i in range(members)], zipfile.ZIP_DEFLATED)


def safetensors_seeds() -> list[bytes]:
    item = json.dumps(entry([1], 0, 4)).encode()
    two = {"a": entry([2, 2], 0, 16), "b": entry([3], 16, 19, "I8"), "__metadata__": {"format": "pt"}}
    kinds = {
        kind: entry([2, 2], 32 * i, 32 * i + 4 * size, kind) for i, (kind, size) in enumerate((("F16", 2), ("BF16", 2)))
    }
    floats = {"h": entry([2, 2], 0, 8, "F16"), "b": entry([1, 4], 8, 16, "BF16"), "d": entry([2, 1], 16, 32, "F64")}
    data = np.array([1.5, -2, 0.25, 1e-3, 3, 7], "<f4").tobytes()
    numbers = [-1, 2**31, 2**53, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 2**65]
    return [
        safetensors_bytes({}), safetensors_bytes(two, data[:19]), safetensors_bytes(floats, bytes(range(32))),
        safetensors_bytes(kinds, bytes(40)),
        safetensors_bytes({"e": entry([0, 2**40], 0, 0), "s": entry([], 0, 4)}, data[:4]),
        safetensors_bytes({"n" * 3000: entry([2, 2], 0, 16)}, np.array([1, np.nan, 2, 3], "<f4").tobytes()),
        safetensors_bytes({"w": entry([2, 2], 0, 16), "w_scale": entry([], 16, 20)}, data[:20]),
        safetensors_bytes({"\u202e\n\x1b[31m": entry([2, 2], 0, 16)}, data[:16]),
        *(safetensors_bytes({"a": entry([n], 0, 4)}, data[:4]) for n in numbers),
        *(safetensors_bytes({"a": entry([1], n, n + 4)}, data[:4]) for n in numbers),
        *(safetensors_bytes({"a": entry([1], 0, n)}, data[:4]) for n in numbers),
        *(safetensors_bytes({"a": entry([1], 0, 4)}, data[:4], length=n) for n in numbers if 0 <= n < 2**64),
        safetensors_bytes({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, data[:12]),
        safetensors_bytes(b'{"a":%b,"a":%b}' % (item, item), data[:4]),
        safetensors_bytes(b'{"a":{"dtype":"F32","dtype":"I8","shape":[1],"data_offsets":[0,4]}}', data[:4]),
        safetensors_bytes(b'{"__metadata__":{"k":"1","k":"2"}}'),
        safetensors_bytes(b'{"a":' * 5_000 + b"1" + b"}" * 5_000), safetensors_bytes(b"[" * 100_000),
        safetensors_bytes(b'{"\xff\xfe": 1}'), safetensors_bytes(b'{"\\ud800": %b}' % item, data[:4]),
        safetensors_bytes({"a": {**entry([1], 0, 4), "shape": [1e308]}}, data[:4]),
        # What the outputs have no place for.
        *(safetensors_bytes({"a": entry(shape, 0, 0)}) for shape in ([0] * 70, [0] * 22_000, [0, 2**63], [0, 2**62])),
        *(safetensors_bytes({"n" * n: entry([2, 2], 0, 16)}, data[:16]) for n in (65_520, 65_530, 65_533)),
    ]  # fmt: skip


def npy_seeds() -> list[bytes]:
    good = npy_bytes(np.float32([[1.5, -2], [0.25, 3]]))
    large = ("(0,)" + " " * 9_900, str((0,) * 70), str((0,) * 3000), f"(0, {10**30})", f"(0, {2**62}, 4)")
    shapes = ("(-1, -4)", "()", "(4,)", "(0, 2)", "(True, 4)", "(2.0, 2)", "(1, 1)" * 2, f"({2**63},)", f"({2**64}, 0)")
    deep = ("(" * 99 + ")" * 99, "[" * 900, "-" * 900 + "1", "1" * 5000, "2**9**9**9", "'a'" * 100)
    return [
        good, npy_bytes(np.float32([[1, 2]]), (2, 0)), npy_bytes(np.float16([[1, np.nan]]), (3, 0)), pickled(),
        npy_bytes(np.asfortranarray(np.arange(6.0).reshape(2, 3))), npy_bytes(np.zeros(2, [("größe", "<i2")]), (3, 0)),
        *(described(f"'{descr}'") for descr in DESCRS), *(described(descr) for descr in OTHERS),
        *(described(shape=shape) for shape in (*shapes, *deep)),
        described("'|V0'", shape=f"({2**62}, 4)", data=b""), described("'|O'", data=b"cos\nmkdir\n(S'x'\ntR."),
        *(described(shape=shape, data=b"") for shape in large), npy_bytes(np.zeros(2, [("字" * 6000, "<i2")]), (3, 0)),
        described(shape=f"({2**62}, 4)", data=b""), good[:8] + b"\xff\xff" + good[10:], good + good,
    ]  # fmt: skip


def npz_seeds() -> list[bytes]:
    good, empty = npy_bytes(np.float32([[1.5, -2], [0.25, 3]])), npy_bytes(np.zeros((0, 3)))
    two = archive([("a.npy", good), ("b/c.npy", empty)])
    bomb = npy_bytes(np.zeros((1000, 300), np.float32))
    return [
        archive([]), two, *(archive([("a.npy", good)], method) for method in sorted(set(METHODS))),
        archive([("a.npy", good), ("a.npy", empty)]), archive([("../../a.npy", good), ("/b.npy", good)]),
        npz_bytes({"o.npy": pickled()}), npz_bytes({"a.npy": good, "b.txt": b""}), npz_bytes({"folder/": b""}),
        patched(two, b"PK\1\2", (8, 2), 1), patched(two, b"PK\1\2", (10, 2), 99), patched(two, b"PK\1\2", (16, 4), 0),
        *(patched(two, b"PK\1\2", (42, 4), n) for n in (1, 2**31, 2**32 - 1)), b"PK\5\6" + bytes(18),
        claiming(f"({0x3FFFFFE0}, 1)", 4 * 0x3FFFFFE0), claiming(f"({2**40}, 1)", 2**42),
        *(claiming(f"({2**26}, 1)", 2**28, method) for method in METHODS[1:]), overlapping(50, 100_000),
        claiming_within(60_000), long_headers(40), long_headers(3, repr(",".join(["<f4"] * 500))),
        archive([("a.npy", bomb)], zipfile.ZIP_DEFLATED), archive([("a.npy", bomb)], zipfile.ZIP_LZMA),
    ]  # fmt: skip


def seeds() -> list[Entry]:
    lists: tuple[tuple[str, Callable[[], list[bytes]]], ...] = (
        (".safetensors", safetensors_seeds), (".npy", npy_seeds), (".npz", npz_seeds),
    )  # fmt: skip
    return [Entry(suffix, data) for suffix, make in lists for data in make()]


# --- changes ----------------------------------------------------------------------------------------------


def changed_text(text: bytes, rng: random.Random, words: tuple[str, ...]) -> bytes:
    """A header with another number, word or item, or with anything."""
    how = rng.randrange(6)
    if how == 0:
        return changed(text, text, rng, 8000)
    if how == 1:  # an item twice, or one less
        items = text.split(b",")
        at = rng.randrange(len(items))
        items[at : at + 1] = rng.choice(([items[at]] * 2, [], [items[at], rng.choice(items)]))
        return b",".join(items)
    pattern = rb"-?\b\d+\b" if how < 4 else rb"'[^']*'|\"[^\"]*\"|\b[A-Za-z]\w*\b|\[[^][]*\]|\([^()]*\)"
    found = list(re.finditer(pattern, text))
    if not found:
        return text + rng.choice(words).encode()
    match = rng.choice(found)
    number = str(rng.choice((0, 1, 2, 3, 4, rng.choice(NUMBERS))))
    word = number if how < 4 else rng.choice((*words, number))
    return text[: match.start()] + word.encode("latin1") + text[match.end() :]


def changed_safetensors(data: bytes, rng: random.Random) -> bytes:
    length = min(int.from_bytes(data[:8], "little"), len(data))
    text, body = data[8 : 8 + length], data[8 + length :]
    for _ in range(rng.choice((1, 1, 2, 3))):
        text = changed_text(text, rng, (*(f'"{kind}"' for kind in KINDS), *WORDS, "[0,4]", "[2,2]", '"__metadata__"'))
    if rng.random() < 0.6:  # as much data as the offsets want
        ends = [int(n) for n in re.findall(rb'"data_offsets": ?\[ ?\d+, ?(\d{1,5})\b', text)]
        body = body.ljust(MOST, b"\x3f")[: min(max(ends, default=0), MOST)]
    return safetensors_bytes(text, body, None if rng.random() < 0.95 else rng.choice(NUMBERS) % 2**64)


def changed_npy(data: bytes, rng: random.Random) -> bytes:
    wide = data[6:7] in (b"\2", b"\3")
    begin = 12 if wide else 10
    end = begin + int.from_bytes(data[8:begin], "little")
    text, body = data[begin:end], data[end:]
    for _ in range(rng.choice((1, 1, 2, 3))):
        words = (*(f"'{descr}'" for descr in DESCRS), *OTHERS, *WORDS, "(2, 2)", "(4,)", "(1, 2, 2)")
        text = changed_text(text, rng, words)
    if rng.random() < 0.7:
        body = body.ljust(MOST, b"\x3f")[: _wanted(text, len(body))]
    length = (len(text) if rng.random() < 0.95 else rng.choice(NUMBERS)) % 256 ** (begin - 8)
    version = rng.choice((data[6:8], b"\1\0", b"\2\0", b"\3\0")) if wide else data[6:8]
    return data[:6] + version + length.to_bytes(begin - 8, "little") + text + body


def _wanted(text: bytes, otherwise: int) -> int:
    """Bytes of the array that a header describes, if that can be told and is not much."""
    try:
        header = ast.literal_eval(text.decode("latin1"))
        return min(
            int(np.prod([int(n) for n in header["shape"]], dtype=object)) * np.dtype(header["descr"]).itemsize, MOST
        )
    except Exception:  # of any kind: the text is anything
        return otherwise


def changed_npz(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as z:
            members = [(member.filename, z.read(member)) for member in z.infolist()[:20] if member.file_size < 1 << 20]
    except Exception:  # of any kind: it need not be an archive
        members = []
    if not members or rng.random() < 0.4:
        signature, fields = rng.choice(((b"PK\1\2", FIELDS), (b"PK\3\4", LOCAL), (b"PK\5\6", END)))
        if signature not in data:
            return changed(data, b"", rng, 16_000)
        return patched(data, signature, rng.choice(fields), rng.choice((rng.randrange(20), rng.choice(NUMBERS))))
    at = rng.randrange(len(members))
    name, content = members[at]
    how = rng.randrange(6)
    if how < 3:
        members[at] = name, changed_npy(content, rng)
    elif how == 3:
        members[at] = (
            rng.choice(("", "a", ".npy", "a.npy", "../a.npy", "a\0b.npy", "ä.npy", "a_scale.npy", "x/.npy")),
            content,
        )
    elif how == 4:
        members.append(
            (f"{name.removesuffix('.npy')}{rng.choice(('', '2', '_scale'))}.npy", rng.choice([content, *others]))
        )
    else:
        del members[at]
    return archive(members, rng.choice(METHODS))
