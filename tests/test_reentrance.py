"""Arguments whose reading runs code that changes other arguments: an error or the right result, never stray memory."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import fastquant as fq

N = 4096


class Meddler:
    """A scale, or a flag, that does something when it is read."""

    def __init__(self, deed, value=0.5):
        self.deed, self.value = deed, value

    def __array__(self, dtype=None, copy=None):
        self.deed()
        return np.asarray(self.value, dtype)

    def __bool__(self):
        self.deed()
        return True


def shrunk(a):
    return lambda: a.resize(1, refcheck=False)


@pytest.mark.parametrize("flag", ["symmetric", "narrow_range"])
def test_flags_run_no_code(flag, target):
    x, out = np.ones(N, np.float32), np.empty(N, np.int8)
    with pytest.raises(TypeError, match=flag):
        fq.quantize_dynamic(x, out=out, **{flag: Meddler(shrunk(out))})
    assert out.size == N


@pytest.mark.parametrize("kernel", ["quantize", "dequantize", "fake_quantize"])
@pytest.mark.parametrize("victim", ["in", "out"])
def test_arrays_that_shrink_while_the_scale_is_read(kernel, victim, target):
    kinds = {"quantize": ("f4", "i1"), "dequantize": ("i1", "f4"), "fake_quantize": ("f4", "f4")}[kernel]
    given, out = (np.ones(N, kind) for kind in kinds)
    scale = Meddler(shrunk(given if victim == "in" else out))
    with pytest.raises(ValueError, match="changed while the arguments were read"):
        getattr(fq, kernel)(given, scale, out=out)


def test_an_array_that_changes_its_type_while_the_scale_is_read(target):
    x, out = np.ones(N, np.float32), np.zeros(N, np.int8)

    def change():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # NumPy discourages it, but lets it happen
            out.dtype = np.uint8

    with pytest.raises(ValueError, match="changed while the arguments were read"):
        fq.quantize(x, Meddler(change), out=out)
    assert not out.any()


@pytest.mark.skipif(not getattr(sys, "_is_gil_enabled", lambda: True)(), reason="there is no GIL: NumPy crashes too")
@pytest.mark.parametrize("kernel", ["quantize_dynamic", "minmax"])
def test_arrays_that_another_thread_reshapes(kernel):
    """A call sees one shape or raises; it never mixes two, which would be out of bounds."""
    code = f"""
import sys, threading, time, numpy as np, fastquant as fq
shape = (3, 40001)
x, out = np.ones(shape, np.float32), np.empty(shape, np.int8)
stop = False
def change():
    i = 0
    while not stop:
        x.shape = (shape, (shape[0] * shape[1],), shape, shape[::-1])[i % 4]
        i += 1
thread = threading.Thread(target=change)
thread.start()
sys.setswitchinterval(1e-6)
end = time.monotonic() + 1.5
while time.monotonic() < end:
    try:
        if {kernel == "minmax"}:
            fq.minmax(x, axis=1, block_size=30000)
        else:
            fq.quantize_dynamic(x, axis=0, out=out)
    except ValueError:
        pass
stop = True
thread.join()
print("done")
"""
    own = str(Path(fq.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [own, os.environ.get("PYTHONPATH")]))}
    command = [sys.executable, "-W", "ignore", "-P", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert done.stdout.strip() == "done", (done.returncode, done.stderr[-2000:])
