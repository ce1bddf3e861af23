"""Where torch records calls rather than makes them, the call that it records is its own: torch.jit.trace, torch.export,
torch.compile, torch.fx and everything else that hands functions tensors without memory of their own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch

from fastquant.compat._torch_tensors import original

_P = ParamSpec("_P")
_R = TypeVar("_R")

_PLAIN = (torch.Tensor, torch.nn.Parameter)


def _is_recorded(t: Any) -> bool:
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return True
    # Tensors of export, nodes of torch.fx. What knows nothing of torch is refused by the function.
    return type(t) not in _PLAIN and hasattr(type(t), "__torch_function__")


def recordable(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """A function named as torch's own, or as an operator of quantized_decomposed."""
    name = function.__name__

    @functools.wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        if _is_recorded(args[0] if args else kwargs.get("input")):
            own = getattr(torch, name, None) if name.startswith("fake") else None
            own = own or original(name, "input: got a call that torch records")
            return own(*args, **kwargs)  # type: ignore[no-any-return]
        return function(*args, **kwargs)

    return call
