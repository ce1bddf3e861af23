"""Kernels x real types x code types x granularities x layouts x targets, at random, against the reference bit for bit.

A case that fails prints the line that repeats it. FASTQUANT_TEST_FULL=1 runs ten times as many.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from matrix import GRANULARITIES, KERNELS, OUTPUTS, PACKED, cases
from placement import FOR_INPUT, Kept, place, placed, plain

import fastquant as fq

# Rounds over all code types; more of what has few code types.
EACH = {"minmax": 60, "pack": 60, "unpack": 60, "requantize": 24}
TIMES = 10 if os.environ.get("FASTQUANT_TEST_FULL") else 1

COMBINATIONS = [
    (kernel, real, granularity)
    for kernel, (reals, _) in KERNELS.items()
    for real in reals
    for granularity in (GRANULARITIES if kernel not in ("pack", "unpack") else ("tensor",))
]

each_combination = pytest.mark.parametrize(
    ("kernel", "real", "granularity"), [pytest.param(*names, id="-".join(names)) for names in COMBINATIONS]
)


def planned(kernel: str, real: str, granularity: str, target: str, times: int) -> Any:
    return cases(kernel, real, granularity, target, EACH.get(kernel, 12) * times)


@each_combination
def test_matrix(target, kernel, real, granularity):
    for case in planned(kernel, real, granularity, target, TIMES):
        case.check()


@each_combination
def test_every_combination_is_planned(kernel, real, granularity):
    plan = planned(kernel, real, granularity, "portable", 1)
    assert {case.code for case in plan} == set(KERNELS[kernel][1])
    assert {case.source for case in plan} == set(FOR_INPUT)
    assert {case.output for case in plan} == set(OUTPUTS)
    assert {case.streaming for case in plan} == {True, False}
    assert {case.threads for case in plan} == {1, 2, 5}


# ---- what the cases above stand on ----


@pytest.mark.parametrize("name", FOR_INPUT)
def test_layouts_are_what_they_say(name):
    rng = np.random.default_rng(1)
    a = rng.normal(size=(3, 4, 5)).astype(np.float32)
    found = [placed(a, name, rng) for _ in range(30)]
    if "broadcast" not in name:
        assert all(plain(x).tobytes() == a.tobytes() for x in found)
    claims = {
        "fortran": lambda x: x.flags.f_contiguous,
        "strided": lambda x: not x.flags.c_contiguous and min(x.strides) > 4,
        "negative": lambda x: min(x.strides) < 0,
        "window": lambda x: x.strides[1] > 20,
        "misaligned": lambda x: not x.flags.aligned,
        "mixed, misaligned": lambda x: not x.flags.aligned and min(x.strides) < 0,
        "byte-swapped": lambda x: not x.dtype.isnative,
        "broadcast": lambda x: 0 in x.strides,
        "read-only": lambda x: not x.flags.writeable,
    }
    assert all(claims.get(name, lambda x: True)(x) for x in found)
    assert placed(a[0, 0, :1].reshape(()), name, rng).shape == ()
    assert placed(a[:, :0], name, rng).shape == (3, 0, 5)


def test_bytes_around_a_view_are_watched():
    view, memory = place("mixed", (3, 4), np.dtype(np.int16), np.random.default_rng(2))
    kept = Kept(memory, view)
    view[...] = 7
    assert not kept.unchanged()
    assert kept.unchanged_around()
    memory[0] ^= 1
    assert not kept.unchanged_around()


def test_a_failing_case_tells_how_to_repeat_it(monkeypatch):
    case = cases("quantize", "float32", "axis", "portable", 1)[0]
    case.check()
    monkeypatch.setattr(fq, "quantize", lambda *_, **__: np.zeros(1, np.int8))
    with pytest.raises(
        AssertionError, match=r'python -c .import matrix; matrix\.Case\(kernel="quantize", real="float32"'
    ):
        case.check()


def test_packed_types_are_those_of_the_table():
    assert set(PACKED) == {"int4", "uint4", "int2", "uint2", "float4_e2m1fn"}
