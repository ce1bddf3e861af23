"""fastquant.onnx against the onnx package: its node tests, its Python reference where that follows the text, its
schemas.
"""

from __future__ import annotations

import inspect
import subprocess
import sys
import warnings
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from onnx_support import E8M0, FLOAT8, FLOATS, INTS, OPERATORS, assert_same, dtype_of

from fastquant import onnx as fqo


@pytest.fixture(scope="module")
def node_tests() -> list[Any]:
    """Tests of the operators and of the functions that they expand to, with the operator that each is about."""
    pytest.importorskip("onnx", minversion="1.23")
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of other operators
        cases = collect_testcases(None)
    by_operator = {name.lower(): name for name in OPERATORS}
    found = []
    for case in cases:
        own = [node for node in case.model.graph.node if node.op_type in OPERATORS]
        name = by_operator.get(case.name.split("_")[1]) or (own[0].op_type if own else None)
        if name:
            found.append((name, own, case))
    return found


def test_node_tests(node_tests):
    from onnx import TensorProto, numpy_helper

    def array(value: Any) -> np.ndarray:
        return numpy_helper.to_array(value) if isinstance(value, TensorProto) else np.asarray(value)

    seen = []
    for operator, nodes, case in node_tests:
        # An expanded function has no node of its own; it stands for the operator on the same inputs.
        given = {a.name: a.i for node in nodes if node.op_type == operator for a in node.attribute}
        for inputs, outputs in case.data_sets:
            results = OPERATORS[operator](*map(array, inputs), **given)
            results = results if isinstance(results, tuple) else (results,)
            for result, expected in zip(results, map(array, outputs), strict=True):
                if case.name == "test_quantizelinear_float4e2m1":
                    # The test has 0 for -0 / 4. It compares by value; we keep the sign, as Cast does.
                    assert expected[2, 0].view(np.uint8) == 0
                    expected = expected.copy()
                    expected[2, 0] = -0.0
                assert_same(result, expected, case.name)
        seen.append(case.name)
    # onnx 1.23.2 has 33. A pattern that finds none would pass everything.
    assert len(seen) >= 33
    assert {"test_quantizelinear_int2", "test_dequantizelinear_blocked"} <= set(seen)
    assert "test_dynamicquantizelinear_min_adjusted_expanded" in seen


def reference(operator: str, *inputs: np.ndarray, **attributes: int) -> np.ndarray:
    from onnx import helper
    from onnx.reference import ReferenceEvaluator

    names = ["x", "scale", "zero_point"][: len(inputs)]
    node = helper.make_node(operator, names, ["y"], **attributes)
    infos = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for name, a in zip(names, inputs, strict=True)
    ]
    graph = helper.make_graph([node], "test", infos, [helper.make_empty_tensor_value_info("y")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 28)])
    with np.errstate(all="ignore"):
        return ReferenceEvaluator(model).run(None, dict(zip(names, inputs, strict=True)))[0]


def number_of(name: str) -> int:
    from onnx import helper

    return int(helper.np_dtype_to_tensor_dtype(dtype_of(name)))


# Shape of x, of the scale, attributes.
GRANULARITIES = [
    ((4, 6, 5), (), {}),
    ((4, 6, 5), (4,), {"axis": 0}),
    ((4, 6, 5), (6,), {}),
    ((4, 6, 5), (4, 6, 2), {"axis": -1, "block_size": 3}),
    ((4, 6, 5), (4, 2, 5), {"axis": 1, "block_size": 4}),
]


def scales(shape: tuple[int, ...], kind: str, rng: np.random.Generator) -> np.ndarray:
    if kind == "float8_e8m0fnu":
        return np.asarray(rng.integers(120, 132, shape)).astype(np.uint8).view(E8M0)
    if kind == "int32":
        return np.asarray(rng.integers(1, 50, shape)).astype(np.int32)
    return np.asarray(np.exp2(rng.uniform(-6, 2, shape))).astype(dtype_of(kind))


def codes_of(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    if name == "int32":
        return np.asarray(rng.integers(-(2**31), 2**31, shape)).astype(np.int32)
    if name in FLOATS:
        bits = {"float6_e2m3fn": 6, "float6_e3m2fn": 6, "float4_e2m1fn": 4}.get(name, 8)
        return np.asarray(rng.integers(0, 2**bits, shape)).astype(np.uint8).view(dtype_of(name))
    info = ml_dtypes.iinfo(dtype_of(name))
    return np.asarray(rng.integers(info.min, info.max + 1, shape)).astype(dtype_of(name))


@pytest.mark.parametrize("codes", [*INTS, *FLOATS])
@pytest.mark.parametrize(
    ("real", "scale_type", "precision"),
    [
        ("float32", "float32", ""),
        ("float16", "float16", ""),
        ("bfloat16", "bfloat16", ""),
        ("float16", "float32", ""),
        ("float32", "float8_e8m0fnu", ""),
        ("bfloat16", "float8_e8m0fnu", ""),
        ("int32", "float8_e8m0fnu", ""),
        ("float32", "int32", ""),
        ("int32", "int32", ""),
        ("float32", "float32", "bfloat16"),
        ("float32", "float32", "float16"),
        ("bfloat16", "float32", "float16"),
        ("float16", "float8_e8m0fnu", "float32"),
        ("float16", "float16", "float64"),
        ("int32", "float32", "float32"),
    ],
)
def test_quantize_linear_against_the_reference(real, scale_type, precision, codes):
    """On finite quotients, where the reference follows the text: the types that ONNX Runtime lacks among them."""
    pytest.importorskip("onnx", minversion="1.23")
    rng = np.random.default_rng([ord(c) for c in real + scale_type + precision + codes])
    given = {"precision": number_of(precision)} if precision else {}
    for shape, scale_shape, attributes in GRANULARITIES:
        scale = scales(scale_shape, scale_type, rng)
        x = (rng.standard_normal(shape) * np.exp2(rng.uniform(-4, 7))).astype(dtype_of(real))
        zero = codes_of(codes, scale_shape, rng) if codes in INTS else np.zeros(scale_shape, dtype_of(codes))
        inputs, options = (x, scale, zero), attributes | given
        expected = reference("QuantizeLinear", *inputs, **options)
        assert_same(fqo.quantize_linear(*inputs, **options), expected, f"{options}")
        inputs, options = (x, scale), options | {"output_dtype": number_of(codes)}
        expected = reference("QuantizeLinear", *inputs, **options)
        assert_same(fqo.quantize_linear(*inputs, **options), expected, f"{options}")


@pytest.mark.parametrize("codes", [*INTS, *FLOATS, "int32"])
@pytest.mark.parametrize("scale_type", ["float32", "float16", "bfloat16", "float8_e8m0fnu"])
def test_dequantize_linear_against_the_reference(scale_type, codes):
    pytest.importorskip("onnx", minversion="1.23")
    rng = np.random.default_rng([ord(c) for c in scale_type + codes])
    for shape, scale_shape, attributes in GRANULARITIES:
        for output in ("", "float32", "float16", "bfloat16"):
            if not output and scale_type == "float8_e8m0fnu":
                continue
            x, scale = codes_of(codes, shape, rng), scales(scale_shape, scale_type, rng)
            zero = codes_of(codes, scale_shape, rng) if codes in INTS else np.zeros(scale_shape, dtype_of(codes))
            options = attributes | ({"output_dtype": number_of(output)} if output else {})
            for inputs in ((x, scale), (x, scale, zero)):
                expected = reference("DequantizeLinear", *inputs, **options)
                assert_same(fqo.dequantize_linear(*inputs, **options), expected, f"{options}")


def test_types_are_those_of_operator_set_28():
    onnx = pytest.importorskip("onnx", minversion="1.23")
    from onnx import TensorProto, helper

    for name, number in fqo._NUMBERS.items():
        assert helper.tensor_dtype_to_np_dtype(number) == dtype_of(name)
        assert number in TensorProto.DataType.values()
    short = {"float": "float32", "double": "float64", "float8e8m0": "float8_e8m0fnu", "float4e2m1": "float4_e2m1fn"}
    short |= {"float6e2m3": "float6_e2m3fn", "float6e3m2": "float6_e3m2fn"}
    short |= {name.replace("_", ""): name for name in FLOAT8}

    def constraint(operator: str, parameter: str) -> set[str]:
        (found,) = (c for c in onnx.defs.get_schema(operator, 28).type_constraints if c.type_param_str == parameter)
        words = [word.removeprefix("tensor(").removesuffix(")") for word in found.allowed_type_strs]
        return {short.get(word, word) for word in words}

    assert constraint("QuantizeLinear", "T1") == set(fqo._REALS_IN)
    assert constraint("QuantizeLinear", "T2") == set(fqo._QUANTIZE_SCALES)
    assert constraint("QuantizeLinear", "T3") == set(fqo._CODES)
    assert constraint("DequantizeLinear", "T1") == {*fqo._CODES, "int32"}
    assert constraint("DequantizeLinear", "T2") == set(fqo._DEQUANTIZE_SCALES)
    assert constraint("DequantizeLinear", "T3") == set(fqo._REALS)


@pytest.mark.parametrize("operator", OPERATORS)
def test_arguments_are_the_operators(operator):
    onnx = pytest.importorskip("onnx", minversion="1.23")

    schema = onnx.defs.get_schema(operator)
    if schema.since_version > 28:
        pytest.skip("a newer operator")
    parameters = inspect.signature(OPERATORS[operator]).parameters
    attributes = {name: p.default for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY}
    assert [name for name in parameters if name not in attributes] == [i.name for i in schema.inputs]
    assert attributes == {name: a.default_value.i for name, a in schema.attributes.items()}


def test_the_onnx_package_is_not_needed():
    code = "import sys; sys.modules['onnx'] = None; import fastquant.onnx as o; print(o.quantize_linear.__name__)"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "quantize_linear"
