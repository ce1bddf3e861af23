"""ONNX models of a few operators in a row, encoded by hand: the onnx package is much to install for one node.

Messages and field numbers are those of onnx.proto; the encoding is that of protocol buffers: a key, then a
varint, or a length and bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

_IR_VERSION, _OPSET = 8, 13  # QuantizeLinear has had an axis since operator set 13
_ELEMENT_TYPES = {"float32": 1, "uint8": 2, "int8": 3}
_ATTRIBUTE_INT = 2


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # negative numbers are 64 bits in two's complement
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _message(*fields: tuple[int, int | str | bytes]) -> bytes:
    """A message of (field number, value)."""
    encoded = b""
    for number, value in fields:
        if isinstance(value, int):
            encoded += _varint(number << 3) + _varint(value)
        else:
            data = value.encode() if isinstance(value, str) else value
            encoded += _varint(number << 3 | 2) + _varint(len(data)) + data
    return encoded


def _value_info(name: str, like: Array) -> bytes:
    shape = _message(*((1, _message((1, length))) for length in like.shape))
    tensor = _message((1, _ELEMENT_TYPES[like.dtype.name]), (2, shape))
    return _message((1, name), (2, _message((1, tensor))))


def _initializer(name: str, value: Array) -> bytes:
    dims = [(1, length) for length in value.shape]
    return _message(*dims, (2, _ELEMENT_TYPES[value.dtype.name]), (8, name), (9, value.tobytes()))


def encode(
    operators: Sequence[str],
    x: Array,
    results: Sequence[Array],
    parameters: Mapping[str, Array],
    axis: int | None,
) -> bytes:
    """The model y0, y1, ... = operators(x), each operator with the same parameters behind its first input.

    x and results stand for their shapes and types.
    """
    outputs = [f"y{i}" for i in range(len(results))]
    attributes = [] if axis is None else [(5, _message((1, "axis"), (3, axis), (20, _ATTRIBUTE_INT)))]
    nodes, value = [], "x"
    for i, operator in enumerate(operators):
        outs = outputs if operator is operators[-1] else [f"between{i}"]
        ins = [(1, name) for name in (value, *parameters)]
        nodes.append(_message(*ins, *((2, name) for name in outs), (4, operator), *attributes))
        value = outs[0]
    graph = _message(
        *((1, node) for node in nodes),
        (2, "benchmark"),
        *((5, _initializer(name, array)) for name, array in parameters.items()),
        (11, _value_info("x", x)),
        *((12, _value_info(name, result)) for name, result in zip(outputs, results, strict=True)),
    )
    return _message((1, _IR_VERSION), (7, graph), (8, _message((1, ""), (2, _OPSET))))
