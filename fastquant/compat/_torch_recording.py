"""Where torch watches calls rather than makes them, the call that it sees is its own: torch.jit.trace, torch.export,
torch.compile, torch.fx, torch.func, forward derivatives, dispatch modes, and everything else that hands functions
tensors whose memory is not their value.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch
from torch.autograd import forward_ad

from fastquant.compat._torch_tensors import original

_P = ParamSpec("_P")
_R = TypeVar("_R")

_PLAIN = {torch.nn.Parameter, int, float, bool, torch.dtype, type(None)}

# Not in torch's documented interface, and so missing one day.
_modes: Callable[[], int] = getattr(torch._C, "_len_torch_dispatch_stack", lambda: 0)
_transform: Callable[[], Any] = getattr(getattr(torch._C, "_functorch", None), "peek_interpreter_stack", lambda: None)
_is_functional: Callable[[Any], bool] = getattr(torch, "_is_functional_tensor", lambda t: False)


def _is_watched() -> bool:
    """Whatever the arguments are: in a graph that is made, a transform of torch.func, a dual level."""
    compiled = torch.compiler.is_compiling() or torch.jit.is_tracing()
    return compiled or _modes() > 0 or _transform() is not None or getattr(forward_ad, "_current_level", -1) >= 0


def _is_symbol(value: Any) -> bool:
    """Tensors of export, nodes of torch.fx: what knows torch, and has no memory. The function refuses all else."""
    kind = type(value)
    if kind is torch.Tensor:
        return _is_functional(value)
    return kind not in _PLAIN and hasattr(kind, "__torch_function__")


def recordable(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """A function named as torch's own, or as an operator of quantized_decomposed, which may lack its defaults."""
    name = function.__name__
    given = enumerate(inspect.signature(function).parameters.items())
    defaults = [(i, key, p.default) for i, (key, p) in given if p.default not in (p.empty, None)]

    @functools.wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        if _is_watched() or any(map(_is_symbol, args)) or any(map(_is_symbol, kwargs.values())):
            own = getattr(torch, name, None) if name.startswith("fake") else None
            own = own or original(name, "input: got a call that torch records")
            missing = {key: value for i, key, value in defaults if i >= len(args) and key not in kwargs}
            return own(*args, **kwargs, **missing)  # type: ignore[no-any-return]
        return function(*args, **kwargs)

    return call
