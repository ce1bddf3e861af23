"""Memory of large results: used again, bounded, given back, and never anybody else's."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastquant as fq
from fastquant import _kernels, _memory

MIB = 1 << 20
N = 8 * MIB
CODES = np.zeros(N, np.int8)
REALS = np.zeros(N, np.float32)

_keeps = sys.platform.startswith(("linux", "darwin", "freebsd"))
pytestmark = pytest.mark.skipif(not _keeps, reason="this system has no way to mark memory as free")


def keep(nbytes: int) -> None:
    _kernels.keep(nbytes, 4 * MIB)


@pytest.fixture(autouse=True)
def keeping() -> Iterator[None]:
    """Nothing kept before, as much as by default after."""
    keep(0)
    keep(256 * MIB)
    yield
    keep(0)
    _kernels.keep(_memory._default(os.environ), _memory._SMALLEST)


def handler_of(a: Any) -> str | None:
    from numpy._core.multiarray import get_handler_name

    return get_handler_name(a)


RESULTS: dict[str, Callable[[], Any]] = {
    "quantize": lambda: fq.quantize(REALS, 0.5),
    "dequantize": lambda: fq.dequantize(CODES, 0.5),
    "fake_quantize": lambda: fq.fake_quantize(REALS, 0.5),
    "requantize": lambda: fq.requantize(CODES, 0.5, 0, 0.25, 0),
    "quantize_dynamic": lambda: fq.quantize_dynamic(REALS).q,
    "an axis": lambda: fq.quantize(REALS.reshape(8, -1), np.ones(8, np.float32), axis=0),
    "tokens": lambda: fq.quantize_dynamic(REALS.reshape(8, -1), axis=0).q,
    "packed": lambda: fq.quantize(REALS, 0.5, dtype="int4", packed=True),
    "pack": lambda: fq.pack(fq.quantize(REALS, 0.5, dtype="int4")),
    "unpack": lambda: fq.unpack(np.zeros(N // 2, np.uint8), "int4", N),
    "unpack, in Python": lambda: fq.unpack(np.zeros(N // 2, np.uint8), "int4", np.array([N])),
    "float16": lambda: fq.dequantize(CODES, 0.5, dtype="float16"),
    "in Python": lambda: fq.quantize(REALS, np.float16(0.5)),
    "Quantizer": lambda: fq.Quantizer(0.5)(REALS),
}


@pytest.mark.parametrize("name", RESULTS)
def test_results_are_of_memory_that_is_used_again(name):
    first = RESULTS[name]()
    expected = np.array(first)
    assert handler_of(first) == "fastquant"
    assert first.flags.owndata
    assert first.flags.writeable
    assert first.base is None
    where, size = first.ctypes.data, first.nbytes
    first.view(np.uint8).fill(0xA5)
    del first
    assert _kernels.kept() >= size
    again = RESULTS[name]()
    assert again.ctypes.data == where
    assert _kernels.kept() == 0 or name == "pack"  # which has codes first
    np.testing.assert_array_equal(again.view(np.uint8), expected.view(np.uint8))


def test_small_results_are_numpys():
    assert handler_of(fq.quantize(REALS[: 4 * MIB - 1], 0.5)) == "default_allocator"
    assert handler_of(fq.quantize(REALS[: 4 * MIB], 0.5)) == "fastquant"
    assert handler_of(fq.dequantize(CODES[: MIB - 1], 0.5)) == "default_allocator"
    assert handler_of(fq.dequantize(CODES[:MIB], 0.5)) == "fastquant"


def test_what_numpy_makes_of_them_is_numpys():
    result = fq.dequantize(CODES, 0.5)
    assert handler_of(result + 1) == "default_allocator"
    assert handler_of(result.copy()) == "default_allocator"


def test_views_keep_the_memory():
    view = fq.dequantize(CODES, 0.5)[5:9]
    assert _kernels.kept() == 0
    view[:] = 7
    for _ in range(3):
        fq.quantize(REALS, 0.5)
    assert view.tolist() == [7] * 4


def test_two_results_are_apart():
    results = [fq.dequantize(CODES, 0.5) for _ in range(3)]
    del results[1]
    results += [fq.dequantize(CODES, 0.5) for _ in range(3)]
    for i, result in enumerate(results):
        result.fill(i)
    assert [(r.min(), r.max()) for r in results] == [(i, i) for i in range(5)]


def test_no_more_is_kept_than_may_be():
    keep(70 * MIB)
    results = [fq.dequantize(CODES, 0.5) for _ in range(4)]  # 32 MiB each
    del results
    assert 64 * MIB <= _kernels.kept() <= 70 * MIB
    keep(40 * MIB)
    assert 32 * MIB <= _kernels.kept() <= 40 * MIB
    keep(31 * MIB)
    assert _kernels.kept() == 0
    fq.dequantize(CODES, 0.5)
    assert _kernels.kept() == 0
    keep(0)
    assert handler_of(fq.dequantize(CODES, 0.5)) == "default_allocator"


def test_few_pieces_are_kept_the_last_ones():
    results = [fq.quantize(REALS[: (4 + i) * MIB], 0.5) for i in range(4)]
    last = fq.quantize(REALS, 0.5)
    where = last.ctypes.data
    while results:
        results.pop(0)
    del last
    assert _kernels.kept() == (5 + 6 + 7 + 8) * MIB
    assert fq.quantize(REALS, 0.5).ctypes.data == where


def test_a_small_result_does_not_hold_the_memory_of_a_large_one():
    fq.dequantize(CODES, 0.5)
    kept = _kernels.kept()
    small = fq.quantize(REALS, 0.5)  # a quarter
    assert _kernels.kept() == kept
    half = fq.dequantize(CODES, 0.5, dtype="float16")
    assert _kernels.kept() == 0
    del small, half


def test_the_smallest_that_fits_is_taken():
    sizes = (8 * MIB, 5 * MIB, 6 * MIB)
    results = [fq.quantize(REALS[:n], 0.5) for n in sizes]
    where = [r.ctypes.data for r in results]
    del results
    assert fq.quantize(REALS[: 5 * MIB + 1], 0.5).ctypes.data == where[2]


def test_results_can_be_resized():
    result = fq.quantize(REALS + 1, 0.5)
    result.resize(N - 1, refcheck=False)
    assert result.shape == (N - 1,)
    result.resize(3 * N, refcheck=False)
    assert (result[: N - 1] == 2).all()
    assert not result[N - 1 :].any()
    result.resize(100, refcheck=False)
    assert (result == 2).all()
    del result
    assert _kernels.kept() <= 256 * MIB


def test_what_was_made_small_takes_no_place():
    large = fq.dequantize(CODES, 0.5)
    small = [fq.quantize(REALS, 0.5) for _ in range(5)]
    nbytes = large.nbytes
    del large
    for each in small:
        each.resize(100, refcheck=False)
    del each, small
    assert _kernels.kept() == nbytes


def test_failing_calls_lose_nothing():
    """Their results are freed, and kept like others."""
    bad = REALS.reshape(8, -1).copy()
    bad[-1, -1] = np.nan
    for _ in range(5):
        with pytest.raises(ValueError, match="NaN"):
            fq.quantize_dynamic(bad, axis=0)
    assert _kernels.kept() <= 2 * N


@pytest.mark.skipif(sys.maxsize < 1 << 50, reason="addresses of 32 bits: NumPy makes no such array")
def test_memory_that_is_not_there():
    broadcast = np.broadcast_to(np.float32(1), (1 << 50,))
    with pytest.raises(MemoryError):
        fq.quantize(broadcast, 0.5)
    with pytest.raises(MemoryError):
        fq.quantize(broadcast, np.float16(0.5))
    assert handler_of(np.empty(N)) == "default_allocator"


def test_a_handler_of_somebody_elses_is_respected():
    """One that is set in the calling thread stays, and is asked for the memory."""
    api = ctypes.pythonapi.PyCapsule_GetPointer
    api.restype, api.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    from numpy._core import _multiarray_umath

    table = ctypes.cast(api(_multiarray_umath._ARRAY_API, None), ctypes.POINTER(ctypes.c_void_p))
    default = ctypes.cast(table[306], ctypes.POINTER(ctypes.py_object)).contents.value
    own = ctypes.create_string_buffer(ctypes.string_at(api(default, b"mem_handler"), 128 + 5 * 8))
    own.value = b"somebody"
    set_handler = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object)(table[304])
    before = set_handler(new(ctypes.addressof(own), b"mem_handler", None))
    try:
        result = fq.dequantize(CODES, 0.5)
        assert handler_of(result) == "somebody"
        assert handler_of(fq.quantize(REALS, np.float16(0.5))) == "somebody"
        del result
    finally:
        set_handler(before)
    assert handler_of(fq.dequantize(CODES, 0.5)) == "fastquant"


def test_many_threads():
    """Results of all sizes made and dropped at once: each stays what its thread wrote."""
    wrong = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        held: list[tuple[int, Any]] = []
        for _ in range(60):
            value = int(rng.integers(1, 100))
            n = int(rng.integers(4 * MIB, 6 * MIB))
            result = fq.quantize(np.broadcast_to(np.float32(value), n), 1.0)
            held.append((value, result))
            if len(held) > 2:
                value, result = held.pop(int(rng.integers(0, 3)))
                if not (result == value).all():
                    wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert _kernels.kept() <= 256 * MIB


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_system_may_take_it_back():
    def lazily_free() -> int:
        text = Path("/proc/self/smaps_rollup").read_text()
        return 1024 * int(text.split("LazyFree:")[1].split()[0])

    before = lazily_free()
    result = fq.dequantize(CODES, 0.5)
    assert lazily_free() - before < MIB
    nbytes = result.nbytes
    del result
    assert lazily_free() - before > nbytes - 4 * MIB
    keep(0)
    assert lazily_free() - before < MIB


FORKS = """
import os, numpy as np, fastquant as fq
n = 1 << 23
fq.dequantize(np.zeros(n, np.int8), 0.5)
child = os.fork()
value = 3 if child == 0 else 5
ok = bool((fq.dequantize(np.full(n, value, np.int8), 1.0) == value).all())
if child == 0:
    os._exit(0 if ok else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0 and ok
"""


FREED = """
import ctypes, numpy as np, fastquant as fq
from fastquant import _kernels
_kernels.keep(1 << 30, 1 << 22)
data = fq.quantize(np.zeros(1 << 23, np.float32), 0.5).ctypes.data
print("kept" if _kernels.kept() >= 1 << 23 else "not kept", flush=True)
again = fq.quantize(np.zeros(1 << 23, np.float32), 0.5)
assert again.ctypes.data == data and ctypes.string_at(data, 1 << 23) == bytes(1 << 23)
del again
ctypes.string_at(data + 1000, 1000)
"""


def test_address_sanitizer_tells_who_reads_kept_memory():
    if b"__asan_report_" not in Path(_kernels.__file__).read_bytes():
        pytest.skip("not a build with AddressSanitizer")
    done = subprocess.run([sys.executable, "-P", "-c", FREED], capture_output=True, text=True, check=False)
    assert done.stdout == "kept\n"
    assert done.returncode != 0
    assert "AddressSanitizer: use-after-poison" in done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forks():
    """Parent and child each have what they write."""
    subprocess.run([sys.executable, "-P", "-W", "ignore", "-c", FORKS], check=True)


# ---- how much ----


def test_the_default_is_a_small_share_of_the_memory(monkeypatch):
    assert 0 < _memory._default({}) <= 512 * MIB
    monkeypatch.setattr(_memory, "physical_memory", lambda: 1 << 30)
    assert _memory._default({}) == 64 * MIB
    monkeypatch.setattr(_memory, "physical_memory", lambda: 0)
    assert _memory._default({}) == 0
    assert _memory._default({"FASTQUANT_KEEP_BYTES": " 12345 "}) == 12345
    assert _memory._default({"FASTQUANT_KEEP_BYTES": "0"}) == 0


@pytest.mark.parametrize("text", ["-1", "64Mi", "1e6", "9" * 30])
def test_what_is_no_number_of_bytes(text):
    with pytest.raises(ValueError, match=r"FASTQUANT_KEEP_BYTES: got .*, expected a number of bytes"):
        _memory._default({"FASTQUANT_KEEP_BYTES": text})


def test_the_default_is_a_share_of_what_the_control_group_has(tmp_path, monkeypatch):
    monkeypatch.setattr(_memory, "physical_memory", lambda: 1 << 36)
    group, root = tmp_path / "cgroup", tmp_path / "root"
    group.write_text("0::/a/b\n")
    assert _memory._allowed(str(group), root) == 1 << 36
    (root / "a" / "b").mkdir(parents=True)
    (root / "a" / "b" / "memory.max").write_text("max\n")
    assert _memory._allowed(str(group), root) == 1 << 36
    (root / "a" / "memory.max").write_text("1000000\n")
    assert _memory._allowed(str(group), root) == 1_000_000
    group.write_text("3:cpu,memory:/c\n")
    (root / "memory" / "c").mkdir(parents=True)
    (root / "memory" / "c" / "memory.limit_in_bytes").write_text("5000000\n")
    assert _memory._allowed(str(group), root) == 5_000_000
    monkeypatch.setattr(_memory, "_allowed", lambda: 1 << 24)
    assert _memory._default({}) == 1 << 20


def test_nothing_is_kept_where_it_would_count(tmp_path, monkeypatch):
    mode = tmp_path / "overcommit_memory"
    monkeypatch.setattr(_memory, "_OVERCOMMIT", mode)
    for text, kept in (("0\n", True), ("1\n", True), ("2\n", False)):
        mode.write_text(text)
        assert (_memory._default({}) > 0) is kept
    assert _memory._default({"FASTQUANT_KEEP_BYTES": "7"}) == 7


LIMITED = """
import resource, numpy as np, fastquant as fq
from fastquant import _kernels
small, large = np.zeros(64 << 20, np.float32), np.zeros(80 << 20, np.float32)
assert _kernels.keep(1 << 30, 4 << 20) > 0
fq.quantize(small, 0.5)
assert _kernels.kept() >= 64 << 20
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (40 << 20),) * 2)
assert fq.quantize(large, 0.5).nbytes == 80 << 20
try:
    fq.dequantize(np.broadcast_to(np.int8(1), 80 << 20), 0.5)
except MemoryError:
    print("no more")
from fastquant import _memory
assert _memory._default({}) == 0
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_limited_address_space():
    """What is kept does not stand in the way."""
    done = subprocess.run([sys.executable, "-P", "-c", LIMITED], check=True, capture_output=True, text=True)
    assert done.stdout == "no more\n"


@pytest.mark.parametrize(("text", "handler"), [("0", "default_allocator"), ("99999999", "fastquant")])
def test_the_environment(text, handler):
    code = (
        "import numpy as np, fastquant as fq; from numpy._core.multiarray import get_handler_name as name\n"
        "print(name(fq.dequantize(np.zeros(9 << 20, np.int8), 0.5)))"
    )
    environment = os.environ | {"FASTQUANT_KEEP_BYTES": text}
    command = [sys.executable, "-P", "-c", code]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert found.strip() == handler
