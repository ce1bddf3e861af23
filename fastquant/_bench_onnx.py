"""ONNX models of one operator, or of several in a row, for the ONNX Runtime peer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def model_of(
    operators: Sequence[str],
    x: Array,
    results: Sequence[Array],
    parameters: Mapping[str, Array],
    axis: int | None,
) -> bytes:
    """The model y0, y1, ... = operators(x), each operator with the same parameters behind its first input.

    x and results stand for their shapes and types.
    """
    from onnx import helper, numpy_helper

    def info(name: str, like: Array) -> Any:
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(like.dtype), like.shape)

    outputs = [f"y{i}" for i in range(len(results))]
    attributes: dict[str, Any] = {} if axis is None else {"axis": axis}
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
        [info(name, like) for name, like in zip(outputs, results, strict=True)],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in parameters.items()],
    )
    # Operator set 13 gave QuantizeLinear its axis; older runtimes read this format too.
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)])
    return bytes(model.SerializeToString())
