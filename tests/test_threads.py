"""Calls on several threads: results, limits, many callers at once, forks, and the end of the interpreter.

tests/test_matrix.py runs half of its random calls in small parts on several threads.
"""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from many_threads import on_threads, run

import fastquant as fq
from fastquant import _kernels

COUNTS = (2, 3, 7)
on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    x = np.random.default_rng(3).standard_normal((1031, 1543), dtype=np.float32)
    x[517, 800], x[1030, 1542] = -40, 50
    return x


def calls(x: np.ndarray):
    """Each way to cut a call: rows, columns, blocks with a ragged end, buffers, ranges that parts share."""
    scale, wide = np.float32(np.linspace(0.01, 0.1, len(x))), np.float32(np.linspace(0.01, 0.1, x.shape[1]))
    q = np.random.default_rng(4).integers(-128, 127, x.shape, np.int8)
    yield from (
        lambda: fq.quantize(x, 0.1),
        lambda: fq.quantize(x, scale, axis=0),
        lambda: fq.quantize(x, wide, axis=1),
        lambda: fq.quantize(x.T, 0.1),
        lambda: fq.quantize(x[::2, ::3], 0.1),
        lambda: fq.quantize(x, 0.1, dtype="int4", packed=True),
        lambda: fq.dequantize(q, wide, axis=1),
        lambda: fq.fake_quantize(x, scale, axis=0),
        lambda: fq.requantize(q, 0.1, 0, 0.2, 3),
        lambda: fq.minmax(x),
        lambda: fq.minmax(x[::-1, ::2]),
        lambda: fq.minmax(x, axis=0),
        lambda: fq.minmax(x, axis=1),
        lambda: fq.minmax(x.astype(np.float64)),
        lambda: fq.minmax(x.reshape(-1), block_size=100_000),
        lambda: fq.quantize_dynamic(x),
        lambda: fq.quantize_dynamic(x, axis=0),
        lambda: fq.quantize_dynamic(x, axis=1),
        lambda: fq.quantize_dynamic(x, block_size=100, out=np.empty(x.shape, np.int8)),
        lambda: fq.quantize_dynamic(x.astype(np.float64), block_size=100),
    )


def as_bytes(result) -> list[bytes]:
    return [np.asarray(a).tobytes() for a in (result if isinstance(result, tuple) else (result,))]


@pytest.mark.parametrize("count", COUNTS)
def test_results_do_not_depend_on_the_count(x, count, target, stores):
    for number, call in enumerate(calls(x)):
        with on_threads(1):
            expected = as_bytes(call())
        fq.set_num_threads(count)
        try:
            assert as_bytes(call()) == expected, number  # as users have it
        finally:
            fq.set_num_threads(1)
        with on_threads(count):
            assert as_bytes(call()) == expected, number  # in the smallest parts


@pytest.mark.parametrize("place", [0, 700_000, -1])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_part_with_what_has_no_range(x, place, value, target):
    x = x.copy()
    x.reshape(-1)[place] = value
    out = np.full(x.shape, 7, np.int8)
    with on_threads(3):
        for where in ({}, {"axis": 0}, {"axis": 1}, {"block_size": 64}):
            with pytest.raises(ValueError, match=r"NaN|inf"):
                fq.minmax(x, **where)
            with pytest.raises(ValueError, match=r"NaN|inf"):
                fq.quantize_dynamic(x, out=out, **where)
            with pytest.raises(ValueError, match=r"NaN|inf"):
                fq.quantize_dynamic(x, **where)
    assert (out == 7).all()


def test_sums_that_overflow_are_no_nan(target):
    """A range is poisoned by NaN alone: parts whose sums are inf and -inf are fine."""
    x = np.full(1 << 20, 3e38, np.float32)
    x[1 << 19 :] *= -1
    with on_threads(2):
        assert fq.minmax(x) == (np.float32(-3e38), np.float32(3e38))
        for columns in (8, 1024):  # few are found by several parts, many each by one
            found = fq.minmax(x.reshape(-1, columns), axis=1)
            assert (found.lo == np.float32(-3e38)).all()
            assert (found.hi == np.float32(3e38)).all()


# ---- threads ----


@on_linux
def test_threads_are_used_and_no_more_than_allowed():
    script = """
import os, threading, time, numpy as np, fastquant as fq
x = np.zeros(1 << 23, np.float32)
tasks = lambda: len(os.listdir("/proc/self/task"))
before = tasks()
fq.quantize(x[:1000], 0.1)
fq.set_num_threads(1)
fq.quantize(x, 0.1)
alone = tasks() - before
fq.set_num_threads(4)
fq.quantize(x[:100_000], 0.1)   # too small
small = tasks() - before
fq.quantize(x, 0.1)
four = tasks() - before
def many():
    for _ in range(20):
        fq.quantize(x, 0.1)
threads = [threading.Thread(target=many) for _ in range(6)]
[t.start() for t in threads]; [t.join() for t in threads]
for _ in range(500):                # a thread that was joined may still be on its way out
    if tasks() - before > 3:
        time.sleep(0.01)
print(alone, small, four, tasks() - before)
"""
    assert run(script) == "0 0 3 3"


@on_linux
def test_threads_are_started_as_there_is_work_for_them():
    script = """
import os, numpy as np, fastquant as fq
from fastquant import _kernels
tasks = lambda: len(os.listdir("/proc/self/task"))
fq.set_num_threads(1024)
before = tasks()
_kernels.set_parallel(0, 1, 65536)
x = np.zeros(8 * 65536, np.float32)
for _ in range(20):
    fq.quantize(x, 0.1)
print(tasks() - before)
"""
    assert 1 <= int(run(script)) <= 7  # with the caller, one for each of eight parts


def test_many_callers_at_once(x):
    expected = as_bytes(fq.quantize_dynamic(x, axis=0))
    with on_threads(4), ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: as_bytes(fq.quantize_dynamic(x, axis=0)), range(64)))
    assert all(r == expected for r in results)


def test_the_count_may_change_meanwhile(x):
    expected = as_bytes(fq.quantize(x, 0.1))
    stop = threading.Event()

    def change() -> None:
        while not stop.is_set():
            for n in (1, 5, 2):
                fq.set_num_threads(n)

    with on_threads(2):
        thread = threading.Thread(target=change)
        thread.start()
        try:
            assert all(as_bytes(fq.quantize(x, 0.1)) == expected for _ in range(200))
        finally:
            stop.set()
            thread.join()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
@pytest.mark.parametrize("busy", ["idle", "busy"])
def test_children_of_a_fork(busy):
    """Also while other threads are in calls. The children use threads of their own, and so may theirs."""
    script = f"""
import os, sys, threading, warnings, numpy as np, fastquant as fq
warnings.simplefilter("ignore")  # forking with threads about
fq.set_num_threads(3)
x = np.random.default_rng(0).standard_normal(1 << 22, dtype=np.float32)
expected = fq.quantize(x, 0.1).tobytes()
stop = False
def work():
    while not stop:
        fq.quantize(x, 0.1)
threads = [threading.Thread(target=work, daemon=True) for _ in range(2 if {busy == "busy"} else 0)]
[t.start() for t in threads]
def child(depth):
    for _ in range(5):
        assert fq.quantize(x, 0.1).tobytes() == expected
    if sys.platform.startswith("linux"):
        assert len(os.listdir("/proc/self/task")) == 3
    if depth:
        fork(depth - 1)
def fork(depth):
    pid = os.fork()
    if pid == 0:
        try:
            child(depth)
        except BaseException:
            import traceback; traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
for _ in range(20):
    fork(1)
stop = True
[t.join() for t in threads]
print("fine")
"""
    assert run(script) == "fine"


def test_the_interpreter_ends_during_calls():
    script = """
import threading, time, numpy as np, fastquant as fq
fq.set_num_threads(4)
x = np.zeros(1 << 24, np.float32)
def forever():
    while True:
        fq.quantize(x, 0.1)
for _ in range(3):
    threading.Thread(target=forever, daemon=True).start()
time.sleep(0.2)
print("end")
"""
    for _ in range(3):
        assert run(script) == "end"


@pytest.mark.skipif(sys.platform == "win32", reason="there a signal ends the process")
def test_signals_come_to_the_main_thread():
    """Workers block them, so that none is delivered to a thread that Python does not know."""
    script = """
import signal, os, numpy as np, fastquant as fq
got = []
signal.signal(signal.SIGTERM, lambda *_: got.append(1))
fq.set_num_threads(4)
x = np.zeros(1 << 22, np.float32)
for _ in range(50):
    os.kill(os.getpid(), signal.SIGTERM)
    fq.quantize(x, 0.1)
print(len(got) > 0)
"""
    assert run(script) == "True"


@on_linux
def test_workers_leave_signals_to_others_but_crashes():
    script = """
import os, signal, time, numpy as np, fastquant as fq
fq.set_num_threads(3)
x = np.zeros(1 << 22, np.float32)
others = set(os.listdir("/proc/self/task"))
def blocked(task):
    (line,) = [l for l in open(f"/proc/self/task/{task}/status") if l.startswith("SigBlk")]
    bits = int(line.split()[1], 16)
    return tuple(bits >> s - 1 & 1 for s in (signal.SIGTERM, signal.SIGINT, signal.SIGSEGV, signal.SIGBUS))
fq.quantize(x, 0.1)
for _ in range(500):                # the C library blocks all of them until a thread has begun
    seen = {blocked(task) for task in set(os.listdir("/proc/self/task")) - others}
    if (1, 1, 1, 1) not in seen:
        break
    time.sleep(0.01)
print(seen, signal.pthread_sigmask(signal.SIG_BLOCK, []))
"""
    assert run(script) == "{(1, 1, 0, 0)} set()"


def test_other_interpreters_are_refused():
    """The module has state of its process: a second interpreter gets an error, not a share of it."""
    script = """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
import fastquant
other = interpreters.create()
try:
    failed = interpreters.run_string(other, "import fastquant")
except Exception as error:
    failed = error
print("refused" if failed is not None else "imported")
"""
    assert run(script) == "refused"


def test_small_arrays_are_not_split():
    usual = _kernels.set_parallel(0, 1, 32)
    assert _kernels.set_parallel(*usual) == (0, 1, 32)
    assert usual == (4 << 20, 256 << 10, 4096)
    assert _kernels.threads() == fq.get_num_threads()


@pytest.mark.skipif(not hasattr(sys, "_is_gil_enabled"), reason="this Python has a lock")
def test_free_threaded_python_stays_so():
    import sysconfig

    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        pytest.skip("this Python has a lock")
    script = "import sys, warnings; warnings.simplefilter('error'); import fastquant; print(sys._is_gil_enabled())"
    assert run(script) == "False"


def test_capsules_are_taken_once():
    """Threads that read one DLPack capsule: one gets the array, the others an error."""
    for _ in range(200):
        capsule = np.ones(3, np.float32).__dlpack__()
        start = threading.Barrier(4)

        def take(capsule=capsule, start=start) -> str:
            start.wait()
            try:
                return str(_kernels.from_dlpack(capsule).sum())
            except BufferError:
                return "taken"

        with ThreadPoolExecutor(4) as pool:
            results = [f.result() for f in [pool.submit(take) for _ in range(4)]]
        assert sorted(results) == ["3.0", "taken", "taken", "taken"]


KINDS = [
    lambda x: fq.quantize(x, 0.1),
    lambda x: fq.quantize(x, np.linspace(0.01, 0.1, x.shape[1]), axis=1),
    lambda x: fq.quantize_dynamic(x, axis=0),
    lambda x: fq.quantize_dynamic(x, "int4", block_size=32, packed=True),
    lambda x: fq.fake_quantize(x.T, 0.1),
    lambda x: fq.dequantize(x.view(np.int32), 0.5, 3),
    lambda x: fq.minmax(x, axis=1),
    lambda x: fq.quantize([1.0, 2.0], [0.5]),
]


def test_calls_of_all_kinds_at_once():
    """Small and large, plain and not, while targets change: each gives what it gives alone."""
    x = np.random.default_rng(12).normal(size=(16, 2048)).astype(np.float32)
    expected = [as_bytes(call(x)) for call in KINDS]
    wrong: list[int] = []
    stop = threading.Event()

    def work(seed: int) -> None:
        order = np.random.default_rng(seed).permutation(len(KINDS))
        for _ in range(60):
            wrong.extend(int(i) for i in order if as_bytes(KINDS[i](x)) != expected[i])

    def switch() -> None:
        while not stop.is_set():
            for name in fq.cpu.available():
                with fq.cpu.use(name):
                    pass

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    switching = threading.Thread(target=switch)
    with on_threads(3):
        switching.start()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stop.set()
        switching.join()
    assert not wrong
