"""The same results whatever else happens in the process: rounding modes, flushed subnormals, traps, threads.

Libraries change the first three: -ffast-math start-up code, torch.set_flush_denormal, numeric codes with fesetround.
Between setting a mode and restoring it a test makes one call and nothing else, so that NumPy is not disturbed.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import platform
import shutil
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from c_flags import ARITHMETIC
from many_threads import on_threads
from values import assert_same, hard_values

import fastquant as fq
from fastquant import _rules

X = hard_values("float32", "int8", 0.1, 3)
FINITE = X[np.isfinite(X)][-7200:]
DOUBLES = FINITE.astype(np.float64)
ROWS = FINITE.reshape(4, -1)
CODES = np.arange(-128, 128).astype(np.int8)
CODE_ROWS = CODES.reshape(2, -1)
S, T = np.float32(0.1), np.float32(0.7)  # one rounded up, the other down
PAIR = np.array([0.1, 0.7], np.float32)
FOUR = np.array([0.1, 0.7, 0.3, 3.0], np.float32)
FOUR_WIDE = np.array([0.1, 0.7, 0.3, 3.0])  # rounded to float32 by the call

TINY = (np.arange(-150, 150, dtype=np.int64) * 2.0**-145).astype(np.float32)
TINY_ROWS = TINY.reshape(2, -1)
TINY_DOUBLES = TINY.astype(np.float64) * 2.0**-900
TINY_HALVES = (np.arange(1, 9) * 6e-8).astype(np.float16)
NEGATIVE_NAN = np.array([0xFFC00000, 0xFFC00001, 0x3F800000], np.uint32).view(np.float32)
HALVES = np.array([0x7C00, 0xFC00, 0x7E00, 0xFE00, 0x7BFF, 0x3C00], np.uint16).view(np.float16)
U, V = np.float32(2.0**-144), np.float32(2.0**-140)
TINY_PAIR = np.array([2.0**-144, 2.0**-143], np.float32)
TINY_PAIR_WIDE = TINY_PAIR.astype(np.float64)

# Each goes another way through the package. All that can be made before the call is, since NumPy, too, is affected.
CALLS: dict[str, Callable[[], Any]] = {
    "quantize": lambda: fq.quantize(X, S, 3),
    "quantize, far": lambda: fq.quantize(X, S, 1_000_000),
    "quantize, division": lambda: fq.quantize(X, S, -700),
    "quantize, general path": lambda: fq.quantize(X[::-1], S, 3),
    "quantize, float64": lambda: fq.quantize(DOUBLES, 0.1, 3),
    "quantize, offset": lambda: fq.quantize(X, S, offset=T),
    "quantize, rows": lambda: fq.quantize(ROWS, FOUR, axis=0),
    "quantize, columns": lambda: fq.quantize(ROWS.T, FOUR, axis=1),
    "dequantize": lambda: fq.dequantize(CODES, S, 3),
    "dequantize, far": lambda: fq.dequantize(CODES, S, 16_777_217),
    "dequantize, float64": lambda: fq.dequantize(CODES, 0.1, 3, dtype="float64"),
    "dequantize, offset": lambda: fq.dequantize(CODES, S, offset=T),
    "dequantize, float16": lambda: fq.dequantize(CODES, S, dtype="float16"),
    "dequantize, bfloat16": lambda: fq.dequantize(CODES, S, dtype="bfloat16"),
    "fake_quantize": lambda: fq.fake_quantize(X, S, 3),
    "minmax": lambda: fq.minmax(FINITE),
    "minmax, axis": lambda: fq.minmax(ROWS, axis=0),
    "quantize_dynamic": lambda: fq.quantize_dynamic(FINITE, symmetric=False),
    "quantize_dynamic, axis": lambda: fq.quantize_dynamic(ROWS, symmetric=False, axis=0),
    "qparams": lambda: fq.qparams(-0.1, 0.7, symmetric=False),
    "qparams, arrays": lambda: fq.qparams(-FOUR_WIDE, FOUR_WIDE, symmetric=False),
    # parameters that the call rounds to float32
    "Python scale, rounded up": lambda: fq.dequantize(CODES, 0.1),
    "Python scale, rounded down": lambda: fq.dequantize(CODES, 0.7),
    "Python scale, general path, up": lambda: fq.dequantize(CODES[::-1], 0.1),
    "Python scale, general path, down": lambda: fq.dequantize(CODES[::-1], 0.7),
    "Python scale, quantize": lambda: fq.quantize(FINITE, 0.1, 3),
    "float64 scales": lambda: fq.dequantize(CODES.reshape(4, -1), FOUR_WIDE, axis=0),
    "Python offset, rounded up": lambda: fq.dequantize(CODES, S, offset=0.1),
    "Python offset, rounded down": lambda: fq.dequantize(CODES, S, offset=0.7),
    # subnormals: in, out, as scales
    "subnormal x": lambda: fq.quantize(TINY, U),
    "subnormal x, fake": lambda: fq.fake_quantize(TINY, U),
    "subnormal scale, Python": lambda: fq.quantize(TINY, 2.0**-144),
    "subnormal scale, general path": lambda: fq.quantize(TINY[::-1], U),
    "subnormal scale, rows": lambda: fq.quantize(TINY_ROWS, TINY_PAIR, axis=0),
    "subnormal scale, wide": lambda: fq.quantize(TINY_ROWS, TINY_PAIR_WIDE, axis=0),
    "subnormal x, large scale": lambda: fq.quantize(TINY, np.float32(1.0)),
    "subnormal result": lambda: fq.dequantize(CODES, V),
    "subnormal result, rows": lambda: fq.dequantize(CODE_ROWS, TINY_PAIR, axis=0),
    "subnormal range": lambda: fq.minmax(TINY),
    "subnormal range, axis": lambda: fq.minmax(TINY_ROWS, axis=0),
    "subnormal range, float64": lambda: fq.minmax(TINY_DOUBLES),
    "subnormal range, float16": lambda: fq.minmax(TINY_HALVES),
    "subnormal range, dynamic": lambda: fq.quantize_dynamic(TINY, symmetric=False),
    "subnormal offset": lambda: fq.quantize(TINY, U, offset=V),
    "subnormal float64": lambda: fq.quantize(TINY_DOUBLES, 2.0**-1044),
    "subnormal qparams": lambda: fq.qparams(-1e-310, 1e-310, symmetric=False),
    # NaN, and float16 where it ends
    "NaN to float8": lambda: fq.quantize(NEGATIVE_NAN, S, dtype="float8_e4m3fn"),
    "NaN to float8, offset": lambda: fq.quantize(NEGATIVE_NAN, S, offset=T, dtype="float8_e4m3fn"),
    "float16, infinity and NaN": lambda: fq.quantize(HALVES, S),
    "float16, beyond": lambda: fq.dequantize(CODES, np.float32(1000.0), dtype="float16"),
    # parameters that are kept, and those of other libraries' rules
    "Dequantizer, rounded up": lambda: fq.Dequantizer(0.1)(CODES),
    "Dequantizer, rounded down": lambda: fq.Dequantizer(0.7)(CODES),
    "Dequantizer, offset": lambda: fq.Dequantizer(0.1, offset=0.7)(CODES),
    "Dequantizer, axis": lambda: fq.Dequantizer(FOUR_WIDE, axis=0)(CODES.reshape(4, -1)),
    "Quantizer, subnormal": lambda: fq.Quantizer(2.0**-144)(TINY),
    "Quantizer, subnormal offset": lambda: fq.Quantizer(2.0**-144, offset=2.0**-140)(TINY),
    "Quantizer, subnormal, axis": lambda: fq.Quantizer(TINY_PAIR_WIDE, axis=0)(TINY_ROWS),
    "rules": lambda: _rules.quantize(X, T, 3, rule="multiply", dtype="int8"),
    "rules, rounded": lambda: _rules.dequantize(CODES.reshape(4, -1), FOUR_WIDE, 0, rule="multiply", axis=0),
    "rules, rounded, offset": lambda: _rules.dequantize(CODES[::-1], 0.1, 0, rule="multiply", offset=0.7),
    "rules, in Python": lambda: _rules.dequantize(CODES.reshape(4, -1), FOUR_WIDE.tolist(), 0, rule="multiply", axis=0),
    "rules, subnormal": lambda: _rules.quantize(TINY_ROWS, TINY_PAIR_WIDE, 0, rule="divide", dtype="int8", axis=0),
}


def same(got: Any, expected: Any) -> None:
    if isinstance(got, Exception):
        raise AssertionError(f"raised {got!r}")
    for part, wanted in zip(*((r if isinstance(r, tuple) else (r,)) for r in (got, expected)), strict=True):
        assert_same(part, wanted)


@contextmanager
def mode(setter: Callable[[int], Any], value: int, usual: int) -> Iterator[None]:
    setter(value)
    try:
        yield
    finally:
        setter(usual)


# ---- rounding modes, through the C library ----

ROUNDING = {
    "x86_64": {"up": 0x800, "down": 0x400, "zero": 0xC00},
    "aarch64": {"up": 0x400000, "down": 0x800000, "zero": 0xC00000},
    "s390x": {"up": 2, "down": 3, "zero": 1},
}
MACHINE = {"AMD64": "x86_64", "i686": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
MODES = ROUNDING.get(MACHINE, {})


@pytest.fixture(scope="module")
def libm() -> Any:
    if sys.platform == "win32" or not MODES:
        pytest.skip("values of fesetround not known here")
    return ctypes.CDLL(ctypes.util.find_library("m"))


@pytest.fixture(params=[1, 3])
def threads(request):
    with on_threads(request.param):
        yield request.param


@pytest.mark.parametrize("direction", ["up", "down", "zero"])
@pytest.mark.parametrize("call", CALLS)
def test_rounding_mode(target, threads, libm, call, direction):
    expected = CALLS[call]()
    with mode(libm.fesetround, MODES[direction], 0):
        try:
            got = CALLS[call]()
        except Exception as error:
            got = error
        after = libm.fegetround()
    same(got, expected)
    assert after == MODES[direction]


def test_rounding_modes_are_really_set(libm):
    one, ten = ctypes.c_double(1), ctypes.c_double(10)
    quotients = set()
    for direction in ("up", "down"):
        with mode(libm.fesetround, MODES[direction], 0):
            quotient = one.value / ten.value
        quotients.add(quotient)
    assert len(quotients) == 2


# ---- the control register, through a helper in C ----


@pytest.fixture(scope="session")
def fpcontrol(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The helper's shared library."""
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    compiler = compiler if shutil.which(compiler) else "cc"
    if not shutil.which(compiler):
        pytest.skip("no C compiler")
    library = tmp_path_factory.mktemp("c") / "fpcontrol.so"
    source = Path(__file__).with_name("c") / "fpcontrol.c"
    built = subprocess.run(
        [compiler, *ARITHMETIC, "-shared", "-fPIC", "-O1", "-o", str(library), str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode:
        pytest.skip(f"the helper does not compile here: {built.stderr.strip()[-200:]}")
    return str(library)


def register(path: str) -> Any:
    helper = ctypes.CDLL(path)
    helper.fp_get.restype = ctypes.c_ulonglong
    helper.fp_set.argtypes = [ctypes.c_ulonglong]
    return helper


X86 = MACHINE == "x86_64"
# x86: FTZ is bit 15, DAZ bit 6 of MXCSR; Arm: FZ is bit 24 of FPCR.
FLUSHES = {"results": 0x8000, "operands": 0x40, "both": 0x8040} if X86 else {"both": 1 << 24}
STICKY = 0x3F if X86 else 0


# Arm: every NaN that arithmetic gives is the same one; float16 has larger numbers in place of infinity and NaN.
OTHERS = {} if X86 else {"default NaN": 1 << 25, "alternative half precision": 1 << 26}


@pytest.mark.parametrize("bits", [*FLUSHES, *OTHERS])
@pytest.mark.parametrize("call", CALLS)
def test_other_modes(target, threads, fpcontrol, call, bits):
    helper = register(fpcontrol)
    expected = CALLS[call]()
    usual = helper.fp_get()
    changed = usual | {**FLUSHES, **OTHERS}[bits]
    with mode(helper.fp_set, changed, usual):
        try:
            got = CALLS[call]()
        except Exception as error:
            got = error
        after = helper.fp_get()
    same(got, expected)
    assert after & ~STICKY == changed & ~STICKY


def test_subnormals_are_really_flushed(fpcontrol):
    helper = register(fpcontrol)
    tiny = np.array([2.0**-140], np.float32)
    usual = helper.fp_get()
    with mode(helper.fp_set, usual | FLUSHES["both"], usual):
        flushed = tiny * tiny.dtype.type(0.5)
    assert flushed[0] == 0
    assert (tiny * tiny.dtype.type(0.5))[0] > 0


TRAPPED = """
import ctypes, sys
import numpy as np, fastquant as fq
helper = ctypes.CDLL(sys.argv[1])
x = np.array([np.nan, np.inf, -np.inf, 3e38, -3e38, 1.0] * 20, np.float32)
x.view(np.uint32)[::6] = 0x7F800001
scale = np.float32(1e-10)
call = lambda: (fq.quantize(x, scale, 3), fq.fake_quantize(x, scale, 3), fq.dequantize(q, np.float32(3e38)))
with fq.cpu.use(sys.argv[2]):
    q = fq.quantize(x, scale, 3)
    expected = call()
    usual = helper.fp_get()
    helper.fp_set(usual & ~0x681)  # invalid, division by zero and overflow trap; a sticky flag from before must not
    got = call()
    helper.fp_set(usual)
assert all(a.tobytes() == b.tobytes() for a, b in zip(got, expected))
"""


@pytest.mark.skipif(not X86, reason="other machines do not trap")
def test_traps(target, fpcontrol):
    """Exceptions that the caller has unmasked are not raised by NaN and infinity among the inputs."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", TRAPPED, fpcontrol, target], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stderr}"


# ---- threads ----


def test_many_threads_at_once(target):
    """Each with its own input and parameters, some long enough to release the GIL."""
    rng = np.random.default_rng(10)
    work = []
    for i in range(16):
        x = (rng.standard_normal(40_000 if i % 2 else 700) * (i + 1)).astype(np.float32)
        work.append((x, 0.01 * (i + 1), i - 8, ("int8", "uint8")[i % 2]))

    def once(item: tuple[Any, ...]) -> bytes:
        x, scale, zero_point, dtype = item
        q = fq.quantize(x, scale, zero_point, dtype=dtype)
        y = fq.fake_quantize(x, scale, zero_point, dtype=dtype)
        return q.tobytes() + y.tobytes() + fq.dequantize(q, scale, zero_point).tobytes() + repr(fq.minmax(x)).encode()

    expected = [once(item) for item in work]
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(once, work * 12))
    assert results == expected * 12


def test_switching_targets_under_way():
    """Any mixture of targets gives the same result, also when another thread switches during the calls."""
    x = np.random.default_rng(11).standard_normal(50_000).astype(np.float32)
    expected = fq.quantize(x, 0.02, 5).tobytes()
    stop = threading.Event()

    def switch() -> None:
        while not stop.is_set():
            for name in fq.cpu.available():
                with fq.cpu.use(name):
                    pass

    before = fq.cpu.active()
    thread = threading.Thread(target=switch)
    thread.start()
    try:
        results = {fq.quantize(x, 0.02, 5).tobytes() for _ in range(200)}
    finally:
        stop.set()
        thread.join()
    assert results == {expected}
    assert fq.cpu.active() == before


LARGE = np.random.default_rng(12).standard_normal((1000, 1000)).astype(np.float32)
LARGE_CODES = fq.quantize(LARGE, 0.02)
RELEASING: dict[str, Callable[[Any], Any]] = {
    "quantize": lambda out: fq.quantize(LARGE, 0.02, out=out),
    "quantize, rows": lambda out: fq.quantize(LARGE, 0.02, axis=0, out=out),
    "dequantize": lambda out: fq.dequantize(LARGE_CODES, 0.02),
    "fake_quantize": lambda out: fq.fake_quantize(LARGE, 0.02),
    "minmax": lambda out: fq.minmax(LARGE),
    "minmax, rows": lambda out: fq.minmax(LARGE, axis=0),
    "quantize_dynamic": lambda out: fq.quantize_dynamic(LARGE, out=out),
}


@pytest.mark.skipif(not getattr(sys, "_is_gil_enabled", lambda: True)(), reason="there is no GIL")
@pytest.mark.parametrize("call", RELEASING)
def test_large_calls_release_the_gil(target, call):
    """With an endless switch interval nobody is made to give up the GIL, so another thread runs only if the call lets
    it. The number of attempts is bounded, not their time."""
    out = np.empty(LARGE.shape, np.int8)
    progress = []
    start = threading.Lock()
    start.acquire()

    def other() -> None:
        with start:
            progress.append(True)

    usual = sys.getswitchinterval()
    thread = threading.Thread(target=other)
    thread.start()
    sys.setswitchinterval(1e6)
    try:
        start.release()
        attempts = 0
        while not progress and attempts < 3000:
            RELEASING[call](out)
            attempts += 1
        ran = bool(progress)
    finally:
        sys.setswitchinterval(usual)
        thread.join()
    assert ran
