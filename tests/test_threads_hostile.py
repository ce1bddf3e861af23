"""Everything at once: targets and limits that change during calls, forks in the middle of them, other processes,
signals, and an interpreter that ends before its threads do. Results are right to the bit, ends are clean, and nothing
hangs.

Each script runs in a process of its own (hostile.py has what they share): exit status, output and an empty stderr are
what is asked of it. Time limits only keep a deadlock from stopping everything.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
SETUP = """
import atexit, os, signal, sys, threading, time, numpy as np, fastquant as fq
from hostile import *
"""

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system does not fork")
posix = pytest.mark.skipif(os.name != "posix", reason="there signals end the process")


def ends(*command: str, output: str = "fine", status: int = 0) -> None:
    path = [str(TESTS), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, path)), "FASTQUANT_NUM_THREADS": "3"}
    done = subprocess.run(
        [sys.executable, "-P", "-W", "ignore::DeprecationWarning", *command],  # forks with threads about
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (status, output, ""), done.stderr[-4000:]


def test_targets_and_limits_change_during_calls():
    script = """
def work():
    for _ in range(6):
        check(np.random.default_rng().permutation(len(CALLS)))
workers = [threading.Thread(target=work) for _ in range(3)]
with Busy(switch_targets, switch_counts, times=1):
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
check_all()
check_kept()
print("fine")
"""
    ends("-c", SETUP + script)


# ---- forks ----


@forks
def test_forks_in_the_middle_of_calls():
    """From the main thread and from others, while targets and limits change too."""
    script = """
def fork():
    for _ in range(3):
        ended_well(child(lambda: (check_all(), check_kept())))
forking = [threading.Thread(target=fork) for _ in range(2)]
with Busy(check, switch_targets, switch_counts, times=1):
    for thread in forking:
        thread.start()
    fork()
    for thread in forking:
        thread.join()
print("fine")
"""
    ends("-c", SETUP + script)


@forks
def test_forks_while_the_pool_starts():
    """Children, which have no workers, fork while a first call starts them."""
    script = """
def start():
    fq.set_num_threads(8)
    first = threading.Thread(target=check, args=(ONE_LARGE,))
    first.start()
    pids = [child(lambda: check(ONE_LARGE)) for _ in range(3)]
    first.join()
    for pid in pids:
        ended_well(pid)
for _ in range(10):
    ended_well(child(start))
print("fine")
"""
    ends("-c", SETUP + script)


@forks
def test_children_that_end_in_the_usual_way():
    """By the end of the interpreter rather than os._exit, with workers of their own."""
    script = """
atexit.register(lambda: (check(), os.write(1, b"x")))
with Busy(times=1) as busy:
    pid = os.fork()
    if pid == 0:
        check()
        busy.threads.clear()  # they are not here
        sys.exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
"""
    ends("-c", SETUP + script, output="xx")


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_processes_of_multiprocessing(method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip("not on this system")
    ends(str(TESTS / "hostile.py"), method)


# ---- signals ----


@posix
def test_ctrl_c_during_calls():
    """The call ends, then KeyboardInterrupt is raised; nothing is left behind."""
    script = """
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells have background processes ignore it
fq.set_num_threads(4)
def interrupt(after):
    time.sleep(after)
    os.kill(os.getpid(), signal.SIGINT)
caught = 0
for i in range(20):
    thread = threading.Thread(target=interrupt, args=(i / 1000,))
    try:
        thread.start()
        while True:
            check()
    except KeyboardInterrupt:
        caught += 1
    thread.join()
    check()
assert caught == 20
check_kept()
print("fine")
"""
    ends("-c", SETUP + script)


@posix
def test_handlers_that_call_fastquant():
    """A timer that goes off in the middle of calls, and of the waits for workers; its handler makes calls itself."""
    script = """
fq.set_num_threads(4)
handled, busy = 0, False
def handler(*_):
    global handled, busy
    if not busy:
        busy = True
        check((handled % len(CALLS),))
        handled += 1
        busy = False
signal.signal(signal.SIGALRM, handler)
signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
with Busy(times=1):
    while handled < 100:
        check()
    signal.setitimer(signal.ITIMER_REAL, 0)
print("fine")
"""
    ends("-c", SETUP + script)


@posix
def test_signals_that_end_the_process():
    script = """
threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()
with Busy():
    time.sleep(3600)
"""
    ends("-c", SETUP + script, output="", status=-signal.SIGTERM)


# ---- the end of the interpreter ----

IN_CALLS = """
begun = [threading.Event() for _ in range(3)]
def forever(event):
    while True:
        check()
        event.set()
for event in begun:
    threading.Thread(target=forever, args=(event,), daemon=True).start()
for event in begun:
    event.wait()
"""

ENDS = {
    "at the end of the script": ("print('fine')", "fine", 0),
    "sys.exit": ("sys.exit(3)", "", 3),
    "os._exit": ("os._exit(4)", "", 4),
    "in atexit": ("atexit.register(lambda: (check_all(), print('fine')))", "fine", 0),
    "in atexit, sys.exit": ("atexit.register(lambda: (check_all(), print('fine'))); sys.exit(5)", "fine", 5),
    "while limits and targets change": ("atexit.register(switch_counts); atexit.register(switch_targets)", "", 0),
}


@pytest.mark.parametrize("how", ENDS)
def test_an_end_with_calls_in_flight(how):
    last, output, status = ENDS[how]
    for _ in range(2):
        ends("-c", SETUP + IN_CALLS + last, output=output, status=status)


def test_threads_that_the_interpreter_waits_for():
    script = """
from concurrent.futures import ThreadPoolExecutor
def work(n):
    for _ in range(3):
        check()
    os.write(1, b"x")
ThreadPoolExecutor(2).map(work, range(2))
for n in range(2):
    threading.Thread(target=work, args=(n,)).start()
"""
    ends("-c", SETUP + script, output="xxxx")


def test_finalizers_at_the_end():
    """Of an object of the main module, of a cycle, and of one that lives as long as `sys`: functions that are held work
    when modules are empty already."""
    script = """
import gc
class Last:
    def __del__(self, functions=(fq.quantize, fq.quantize_dynamic, fq.minmax, fq.qparams, fq.Quantizer(0.05)), x=BIG,
                lo=BIG.min(), expected=CODES.tobytes(), write=os.write):
        quantize, quantize_dynamic, minmax, qparams, quantizer = functions
        assert quantize(x, 0.05).tobytes() == quantizer(x).tobytes() == expected
        assert minmax(x)[0] == lo and quantize_dynamic(x)[2] == 0 and qparams(-127, 1)[0] == 1
        write(1, b"x")
gc.disable()
one, sys.last = Last(), Last()
cycle = [Last()]
cycle.append(cycle)
del cycle
"""
    ends("-c", SETUP + script, output="xxx")


def test_another_interpreter_gets_an_error():
    """ImportError, and the first one goes on."""
    script = """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
other = interpreters.create()
attempt = '''
import warnings
warnings.simplefilter("ignore")  # NumPy's
try:
    import fastquant
except ImportError:
    print("refused", flush=True)
'''
assert interpreters.run_string(other, attempt) is None
check_all()
interpreters.destroy(other)
check_all()
"""
    ends("-c", SETUP + script, output="refused")
