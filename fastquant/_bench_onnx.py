"""ONNX models of one operator, or of several in a row, for the ONNX Runtime peer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Tensor = tuple[tuple[int, ...], str]  # its shape and its type

PACKED = ("int4", "uint4", "int2", "uint2")
_DATA_TYPES = {
    "float32": "FLOAT",
    "float8_e4m3fn": "FLOAT8E4M3FN",
    "float8_e4m3fnuz": "FLOAT8E4M3FNUZ",
    "float8_e5m2": "FLOAT8E5M2",
    "float8_e5m2fnuz": "FLOAT8E5M2FNUZ",
}


def number_of(name: str) -> int:
    """Of a type, in TensorProto.DataType."""
    from onnx import TensorProto

    return int(getattr(TensorProto, _DATA_TYPES.get(name, name.upper())))


def _opset_of(names: set[str], block: int | None) -> tuple[int, int]:
    """The oldest operator set that has it, which the most versions read, and a version of the file format for it."""
    if names & {"int2", "uint2"}:
        return 25, 10
    if block is not None or names & {"int4", "uint4", "int16", "uint16"}:
        return 21, 10
    # 13 gave QuantizeLinear its axis, 19 its float8.
    return (19, 9) if any(name.startswith("float8") for name in names) else (13, 8)


def model_of(
    operators: Sequence[str],
    x: Tensor,
    results: Sequence[Tensor],
    parameters: Mapping[str, Array],
    axis: int | None,
    block: int | None = None,
) -> bytes:
    """The model y0, y1, ... = operators(x), each operator with the same parameters behind its first input."""
    from onnx import helper, numpy_helper

    def info(name: str, tensor: Tensor) -> Any:
        return helper.make_tensor_value_info(name, number_of(tensor[1]), tensor[0])

    outputs = [f"y{i}" for i in range(len(results))]
    attributes: dict[str, Any] = {} if axis is None else {"axis": axis}
    attributes |= {} if block is None else {"block_size": block}
    nodes, value = [], "x"
    for i, operator in enumerate(operators):
        last = i == len(operators) - 1
        nodes.append(
            helper.make_node(operator, [value, *parameters], outputs if last else [f"between{i}"], **attributes)
        )
        value = f"between{i}"
    graph = helper.make_graph(
        nodes,
        "benchmark",
        [info("x", x)],
        [info(name, tensor) for name, tensor in zip(outputs, results, strict=True)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in parameters.items()],
    )
    names = {x[1], *(name for _, name in results), *(array.dtype.name for array in parameters.values())}
    opset, ir_version = _opset_of(names, block)
    model = helper.make_model(graph, ir_version=ir_version, opset_imports=[helper.make_opsetid("", opset)])
    return bytes(model.SerializeToString())
