"""Calls made twice: by the public function, which reads plain arguments in C, and by the module for all others."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

import fastquant as fq
from fastquant import _api

FUNCTIONS = ("quantize", "dequantize", "fake_quantize", "minmax", "quantize_dynamic", "requantize", "pack", "unpack")
# Arguments of the functions of _api.py, in their order, with the defaults of the public ones.
ARGUMENTS: dict[str, dict[str, Any]] = {
    function: {name: p.default for name, p in inspect.signature(getattr(fq, function)).parameters.items()}
    for function in FUNCTIONS
}


def public(function: str, arguments: dict[str, Any]) -> Any:
    return getattr(fq, function)(**arguments)


def general(function: str, arguments: dict[str, Any]) -> Any:
    return getattr(_api, function)(*({**ARGUMENTS[function], **arguments}.values()))


def _described(result: Any) -> Any:
    """All that a caller can see of a result: types, shapes, layout and bits."""
    if isinstance(result, tuple):
        return type(result), *map(_described, result)
    a = np.asarray(result)
    return type(result), a.dtype, a.shape, a.strides, a.flags.writeable, a.tobytes()


def outcome(call: Callable[[str, dict[str, Any]], Any], function: str, arguments: dict[str, Any]) -> Any:
    """(type of the error, its message), or what there is to see of the result and whether it is `out`; then what has
    become of the arguments."""
    try:
        result = call(function, arguments)
    except Exception as error:
        made: Any = (type(error), str(error))
    else:
        codes = result[0] if function == "quantize_dynamic" else result
        made = (_described(result), codes is arguments.get("out"))
    return made, *(v.tobytes() for v in arguments.values() if isinstance(v, np.ndarray) and v.dtype != object)


def assert_twice(function: str, make: Callable[[], dict[str, Any]]) -> bool:
    """Both ways lead to the same, with arguments made anew for each. Whether that is a result."""
    plain, other = (outcome(call, function, make()) for call in (public, general))
    assert plain == other, f"{function}(**{make()}):\n{plain[0]}\nbut in general\n{other[0]}"
    return isinstance(plain[0][0], tuple)
