"""`out` in memory that a call still has to read: arrays larger than the kernels' buffers, so that order matters."""

from __future__ import annotations

import numpy as np
import pytest
from calls import reference

import fastquant as fq

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


def test_in_place_where_elements_share_memory(target):
    """No output can hold two numbers in one place; each is at least made from the input as it was."""
    memory = np.arange(6, dtype=np.float32)
    x = np.lib.stride_tricks.as_strided(memory, (5, 2), (4, 4))
    scale = np.float32([1, 2, 0.7, 3, 5])
    expected = fq.fake_quantize(x.copy(), scale, axis=0)
    fq.fake_quantize(x, scale, axis=0, out=x)
    for place, number in enumerate(memory):
        candidates = [expected[i, j] for i in range(5) for j in range(2) if i + j == place]
        assert number in candidates
