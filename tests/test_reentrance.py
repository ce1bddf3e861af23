"""Arguments whose reading runs code that changes other arguments: an error or the right result, never stray memory."""

from __future__ import annotations

import warnings

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
