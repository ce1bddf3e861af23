"""The cases of the benchmarks: all types and granularities among them, their inputs, statements and models."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastquant import _bench_onnx
from fastquant._bench_cases import ALL, KERNELS, Case, cases, inputs
from fastquant._bench_peers import BARE, DIVISION, FASTQUANT, NUMPY, PLAIN, REFERENCE
from fastquant._bench_timing import contenders, forms
from fastquant._dtypes import PACKED_TYPES, REAL_TYPES


def case_of(kernel: str, code: str, size: int) -> Case:
    return Case(KERNELS[kernel], code, size)


WITHOUT_OUT = ("minmax", "pack", "unpack")


def test_every_kernel_has_its_statements() -> None:
    for case in cases(tuple(KERNELS), (96,), True):
        assert len(forms(case, FASTQUANT)) == (1 if case.kernel.function in WITHOUT_OUT else 2)
        assert len(forms(case, REFERENCE)) == 1
        if case.code in ("int8", "uint8", "") and case.kernel.block is None:
            assert len(forms(case, NUMPY)) == 1
        if not case.plain and case.kernel.function not in ("pack", "unpack"):
            assert len(forms(case, PLAIN)) == len(forms(case, FASTQUANT))


def test_every_type_is_a_case() -> None:
    # Lists that are made from the kernels': a code type or a real type more is one more case of each.
    everything = list(cases(tuple(KERNELS), (96,), True))
    for function in ("quantize", "dequantize", "fake_quantize", "quantize_dynamic", "requantize"):
        assert {case.code for case in everything if case.kernel.function == function} >= set(ALL)
    for function in ("quantize", "dequantize", "fake_quantize", "minmax"):
        found = {case.kernel.real for case in everything if case.kernel.function == function}
        assert found == set(REAL_TYPES)
    for function in ("quantize", "dequantize", "pack", "unpack"):
        kernels = [c for c in everything if c.kernel.function == function and c.kernel.packed and c.one_scale]
        found = {case.code for case in kernels}
        assert found == set(PACKED_TYPES)


def test_cases_that_are_asked_for() -> None:
    chosen = [case.code for case in cases(["quantize"], [96])]
    assert chosen == ["int8", "uint8"]
    assert [case.code for case in cases(["quantize"], [96], codes=["float8_e5m2"])] == ["float8_e5m2"]
    assert [case.code for case in cases(["quantize"], [96], True)] == list(ALL)
    assert not list(cases(["minmax"], [96], True, ["int8"]))


@pytest.mark.parametrize("size", [1, 2, 7, 96, 768, 1000, 1 << 16, 1 << 26])
def test_matrices_have_all_elements(size: int) -> None:
    rows, columns = case_of("quantize_axis_0", "int8", size).shape
    assert rows * columns == size
    assert rows >= 4 or size < 8
    assert columns <= 1024
    rows, columns = case_of("quantize_axis_last_wide", "int8", size).shape
    assert rows * columns == size
    assert rows >= 4 or size < 8
    assert columns == 4096 or size < 1 << 16


def test_bytes_that_must_move() -> None:
    expected = {"quantize": 5, "dequantize": 5, "fake_quantize": 8, "quantize_dynamic": 5, "requantize": 2}
    expected |= {"quantize_float16": 3, "dequantize_float64": 9, "fake_quantize_bfloat16": 4, "requantize_int32": 5}
    assert {name: case_of(name, "int8", 100).nbytes // 100 for name in expected} == expected
    assert case_of("minmax", "", 100).nbytes == 400
    assert case_of("quantize", "uint16", 100).nbytes == 600
    packed = {("quantize_packed", "int4"): 450, ("dequantize_packed", "int2"): 425, ("pack", "uint4"): 150}
    assert {key: case_of(*key, 100).nbytes for key in packed} == packed


def test_layouts_are_what_they_are_called() -> None:
    names = inputs(case_of("quantize_fortran", "int8", 96))
    assert names["x"].flags.f_contiguous
    assert not names["x"].flags.c_contiguous
    assert names["out"].flags.c_contiguous
    names = inputs(case_of("dequantize_strided", "int8", 96))
    assert names["q"].strides == (48, 2)
    assert inputs(case_of("quantize_tokens", "int8", 96))["x"].ndim == 3


def test_the_division_is_of_the_same_quotients() -> None:
    case = case_of("quantize", "uint8", 1 << 14)
    names = inputs(case)
    plain, _, division = contenders(case, (FASTQUANT, DIVISION), names)
    assert np.array_equal(plain.evaluate(), division.evaluate())
    assert names["scale"] < 2.0**100 < division.names["far_scale"]


def test_given_arrays_start_on_cache_lines() -> None:
    names = inputs(case_of("dequantize", "int8", 96))
    assert all(names[name].ctypes.data % 64 == 0 for name in ("x", "q", "out"))


@pytest.mark.parametrize("size", [96, 1003, 4096])
def test_the_bare_loop_has_the_arrays_of_the_case(size: int) -> None:
    for case in cases(tuple(KERNELS), (size,), True):
        names = inputs(case)
        bare = contenders(case, (BARE,), names)[0].names
        assert (bare["source"].nbytes, bare["sink"].nbytes) == case.moved
        given = next(names[name] for name in ("q", "p", "x") if name in names)
        contiguous = case.kernel.layout != "strided"
        assert np.shares_memory(bare["source"], given) is contiguous
        assert not contiguous or bare["source"].ctypes.data == given.ctypes.data
        assert "out" not in names or bare["sink"].ctypes.data == names["out"].ctypes.data
        contenders(case, (BARE,), names)[0].evaluate()


# --- models for ONNX Runtime ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operators", "given", "results", "axis"),
    [
        (("QuantizeLinear",), np.float32, [np.int8], None),
        (("QuantizeLinear",), np.float32, [np.uint8], -1),
        (("DequantizeLinear",), np.int8, [np.float32], 0),
        (("QuantizeLinear", "DequantizeLinear"), np.float32, [np.float32], None),
        (("DynamicQuantizeLinear",), np.float32, [np.uint8, np.float32, np.uint8], None),
    ],
)
def test_models_are_valid(operators: tuple[str, ...], given: Any, results: list[Any], axis: int | None) -> None:
    onnx = pytest.importorskip("onnx", exc_type=ImportError)
    code = np.int8 if np.int8 in (given, *results) else np.uint8
    shape = () if axis is None else (300,)
    parameters = {"scale": np.full(shape, 0.5, np.float32), "zero_point": np.zeros(shape, code)}
    if operators[0] == "DynamicQuantizeLinear":
        parameters = {}
    x = np.zeros((300, 300), given)
    tensors = [(x.shape if i == 0 else (), np.dtype(result).name) for i, result in enumerate(results)]
    given = (x.shape, x.dtype.name)
    model = onnx.load_from_string(_bench_onnx.model_of(operators, given, tensors, parameters, axis))
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == list(operators)
    for node in model.graph.node:
        assert [attribute.i for attribute in node.attribute] == ([] if axis is None else [axis])
    for found, expected in zip(model.graph.initializer, parameters.values(), strict=True):
        assert np.array_equal(onnx.numpy_helper.to_array(found), expected)
