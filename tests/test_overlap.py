"""`out` in memory that a call still has to read: arrays larger than the kernels' buffers, so that order matters."""

from __future__ import annotations

import numpy as np
import pytest
from calls import reference

import fastquant as fq
from fastquant import _output, _rules

ROWS, COLUMNS = 3000, 40


def test_in_place_in_another_order(target):
    """The same memory from the same address on, but not the same elements."""
    x = np.linspace(-3, 3, 300 * 300, dtype=np.float32).reshape(300, 300)
    expected = fq.fake_quantize(x, 0.3)
    assert not np.array_equal(expected, expected.T)
    fq.fake_quantize(x, 0.3, out=x.T)
    assert x.T.tobytes() == expected.tobytes()


def apart(x: np.ndarray, out: np.ndarray) -> None:
    """requantize into memory that x shares in part gives what it gives elsewhere."""
    expected = fq.requantize(x.copy(), 0.1, 0, 0.2, 0)
    assert fq.requantize(x, 0.1, 0, 0.2, 0, out=out) is out
    assert out.tobytes() == expected.tobytes()


def test_the_same_memory_in_every_order(target):
    """out begins where x does, or ends, or lies to either side of it; arrays beyond the kernels' buffers."""
    n = 40_000

    def memory() -> np.ndarray:
        return np.random.default_rng(0).integers(-100, 100, 3 * n).astype(np.int8)

    m = memory()
    apart(m[:n].reshape(200, 200).T, m[:n].reshape(200, 200))
    m = memory()
    apart(m[:n].reshape(200, 200), m[:n].reshape(200, 200).T)
    for shift in (0, 1, n // 2, n - 1, n, n + 1):
        for step in (1, -1):
            m = memory()
            apart(m[n : 2 * n][::step], m[shift : shift + n])
            m = memory()
            apart(m[shift : shift + n], m[n : 2 * n][::step])
    for shift in (0, 1, n - 1, n, 2 * n - 1):
        m = memory()
        apart(m[: 2 * n : 2], m[shift : shift + n])


def test_overlap_that_is_too_hard_to_tell(monkeypatch):
    def give_up(*_, **__):
        raise np.exceptions.TooHardError

    monkeypatch.setattr(np, "shares_memory", give_up)
    x = np.linspace(-3, 3, 400, dtype=np.float32)
    expected = fq.fake_quantize(x[:-1].copy(), 0.3)
    fq.fake_quantize(x[:-1], 0.3, out=x[1:])
    assert x[1:].tobytes() == expected.tobytes()


@pytest.mark.parametrize("parameter", ["scale", "zero_point", "offset"])
@pytest.mark.parametrize("kernel", ["fake_quantize", "dequantize"])
def test_parameters_in_the_memory_of_out(target, kernel, parameter):
    """Those of the last rows lie where the first rows are written."""
    rng = np.random.default_rng(4)
    memory = np.zeros((ROWS, COLUMNS), np.float32)
    part = memory.reshape(-1)[100 : 100 + ROWS]
    given = {"scale": rng.uniform(0.1, 0.2, ROWS).astype(np.float32), "zero_point": 0, "offset": None}
    if parameter == "zero_point":
        part = part.view(np.int32)
        given[parameter] = rng.integers(-9, 9, ROWS).astype(np.int32)
    elif parameter == "offset":
        given[parameter] = rng.normal(size=ROWS).astype(np.float32)
    x = rng.normal(size=(ROWS, COLUMNS)).astype(np.float32)
    if kernel == "dequantize":
        x = rng.integers(-128, 128, (ROWS, COLUMNS)).astype(np.int8)
    expected = reference(
        kernel, x, given["scale"], given["zero_point"], "int8", "float32", axis=0, offset=given["offset"]
    )
    part[:] = given[parameter]
    getattr(fq, kernel)(x, **{**given, parameter: part}, axis=0, out=memory)
    assert memory.tobytes() == expected.tobytes()


def test_requantize_parameters_in_the_memory_of_out(target):
    rng = np.random.default_rng(4)
    q = rng.integers(-128, 128, (ROWS, COLUMNS)).astype(np.int8)
    scale, zero_point = rng.uniform(0.1, 0.2, ROWS).astype(np.float32), rng.integers(-9, 9, ROWS).astype(np.int32)
    for i in range(4):
        parameters = [scale, zero_point, 2 * scale, zero_point - 3]
        expected = fq.requantize(q, *parameters, axis=0)
        memory = np.zeros((ROWS, COLUMNS), np.int8)
        part = memory.reshape(-1)[400 : 400 + 4 * ROWS].view(parameters[i].dtype)
        part[:] = parameters[i]
        parameters[i] = part
        fq.requantize(q, *parameters, axis=0, out=memory)
        assert memory.tobytes() == expected.tobytes()


def laid_out(shape, steps, dtype):
    """An array with these steps, in elements, in memory of its own."""
    memory = np.zeros(4096, dtype)
    steps = [step * memory.itemsize for step in steps]
    return np.lib.stride_tricks.as_strided(memory[2048:], shape, steps), memory


# Layouts, and whether two of their elements share memory. Those of the middle go past each other.
LAYOUTS = {
    "one place": ((40,), (0,), True),
    "one place for a row": ((30, 5), (0, 1), True),
    "one place for a column": ((30, 5), (1, 0), True),
    "windows": ((30, 5), (1, 1), True),
    "windows, backwards": ((30, 5), (-1, 1), True),
    "windows with gaps": ((30, 5), (20, 20), True),
    "every third meets": ((9, 9), (6, 8), True),
    "three axes that meet": ((3, 3, 4), (5, 7, 12), True),
    "past each other": ((3, 2), (2, 3), False),
    "past each other, backwards": ((9, 3), (-3, 13), False),
    "three axes": ((2, 2, 2), (5, 7, 11), False),
    "Fortran's order": ((30, 5), (1, 30), False),
    "gaps": ((30, 5), (11, 2), False),
    "an axis of one": ((30, 1), (1, 0), False),
    "nothing": ((0, 30), (0, 0), False),
}

INTO: dict = {
    "quantize": lambda x, out: fq.quantize(x, 0.5, out=out),
    "quantize, axis": lambda x, out: fq.quantize(x, np.full(len(x), 0.5), axis=0, out=out),
    "quantize, general": lambda x, out: fq.quantize(x, np.float16(0.5), out=out),
    "quantize_dynamic": lambda x, out: fq.quantize_dynamic(x, out=out).q,
    "quantize_dynamic, axis": lambda x, out: fq.quantize_dynamic(x, axis=0, out=out).q,
    "requantize": lambda x, out: fq.requantize(x.astype(np.int8), 0.5, 0, 0.25, 0, out=out),
    "Quantizer": lambda x, out: fq.Quantizer(0.5)(x, out),
    "rules": lambda x, out: _rules.quantize(x, 0.5, rule="multiply", dtype="int8", out=out),
    "dequantize": lambda x, out: fq.dequantize(x.astype(np.int8), 0.5, out=out),
    "fake_quantize": lambda x, out: fq.fake_quantize(x, 0.5, out=out),
}  # fmt: skip


@pytest.mark.parametrize("call", INTO)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_out_whose_elements_share_memory(layout, call):
    """No output can hold two numbers in one place, and two threads would write it at once."""
    shape, steps, meets = LAYOUTS[layout]
    x = np.random.default_rng(5).normal(size=shape).astype(np.float32)
    if x.size == 0 and "dynamic" in call:
        return  # which has no range
    dtype = np.float32 if call in ("dequantize", "fake_quantize") else np.int8
    out, memory = laid_out(shape, steps, dtype)
    if meets:
        with pytest.raises(ValueError, match="out: got an array of elements that share memory, expected each to have"):
            INTO[call](x, out)
        assert not memory.any()
    else:
        assert INTO[call](x, out) is out
        assert out.tobytes() == INTO[call](x, None).tobytes()


def test_what_shares_memory_is_told_exactly():
    """By the bytes of each element, one by one."""
    rng = np.random.default_rng(6)
    found = set()
    for _ in range(3000):
        shape = tuple(rng.integers(1, 6, rng.integers(1, 5)))
        strides = tuple(int(s) for s in rng.integers(-40, 41, len(shape)) * rng.choice([1, 4]))
        a = np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), shape, strides)
        starts = sum(np.multiply.outer(np.arange(n), s).reshape((-1,) + (1,) * (len(shape) - 1 - k))
                     for k, (n, s) in enumerate(zip(shape, strides, strict=True)))  # fmt: skip
        touched = (np.reshape(starts, -1)[:, None] + np.arange(4)).reshape(-1)
        meets = len(np.unique(touched)) < len(touched)
        assert _output._meets_itself(a) is meets, (shape, strides)
        found.add(meets)
    assert found == {True, False}


def test_out_of_which_it_is_too_hard_to_tell(monkeypatch):
    monkeypatch.setattr(_output, "_meets_itself", lambda a: None)
    x = np.random.default_rng(7).normal(size=(3, 2)).astype(np.float32)
    out, _ = laid_out((3, 2), (2, 3), np.int8)
    assert not np.may_share_memory(_output.Output(out, x, (3, 2), out.dtype).array, out)
    fq.quantize(x, np.float16(0.5), out=out)
    assert out.tobytes() == fq.quantize(x, 0.5).tobytes()
    x = laid_out((3, 2), (2, 3), np.float32)[0]
    x[:] = [[1, -2], [3, -4], [5, -6]]
    fq.fake_quantize(x, 2.0, out=x)
    assert x.tolist() == [[0, -2], [4, -4], [4, -6]]


def test_the_search_for_shared_memory_ends():
    primes = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53)
    hard = np.lib.stride_tricks.as_strided(np.zeros(1, np.int8), (2,) * 16, [10**9 // p for p in primes])
    assert _output._meets_itself(hard, tries=20) is None
    wide = np.lib.stride_tricks.as_strided(np.zeros(1, np.int8), (30_000, 30_000), (30_003, 30_001))  # below 2 GiB
    assert _output._meets_itself(wide) is None
