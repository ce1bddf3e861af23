"""Exact, fast conversion between real arrays and the small number types of machine learning.

quantize, dequantize, fake_quantize, requantize, quantize_dynamic; minmax and qparams, which find scales and zero
points; Quantizer and Dequantizer, whose parameters are checked once; pack and unpack. Modules: onnx, dask, cpu, compat
(drop-ins for other libraries, each to be imported by name). What begins with _ is private.
"""

import os as _os
from importlib import import_module as _import_module
from importlib.metadata import version as _version
from importlib.util import find_spec as _find_spec

if _find_spec("fastquant._kernels") is None:
    raise ImportError(
        f"no compiled kernels in {__path__[0]}: this is a source tree. Run Python from another folder, where the "
        "installed package is found, or build the kernels in place with: pip install -e ."
    )

from fastquant import _memory, cpu  # noqa: F401  # the first sets how much memory is kept
from fastquant._kernels import (
    Dequantizer,
    Quantizer,
    dequantize,
    fake_quantize,
    minmax,
    pack,
    qparams,
    quantize,
    quantize_dynamic,
    requantize,
    unpack,
)
from fastquant._results import QParams, Quantized, Range
from fastquant._threads import get_num_threads, set_num_threads

__version__ = _version("fastquant-kernels")


def get_include() -> str:
    """Returns the directory of fastquant.h, for compilers of native code that calls the kernels; it raises no TypeError
    and no ValueError. The header says how."""
    return _os.path.join(_os.path.dirname(__file__), "include")


def __getattr__(name: str) -> object:
    """fastquant.onnx and fastquant.dask, when they are first asked for."""
    if name in ("onnx", "dask"):
        return _import_module(f"fastquant.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "Dequantizer",
    "QParams",
    "Quantized",
    "Quantizer",
    "Range",
    "__version__",
    "cpu",
    "dequantize",
    "fake_quantize",
    "get_include",
    "get_num_threads",
    "minmax",
    "pack",
    "qparams",
    "quantize",
    "quantize_dynamic",
    "requantize",
    "set_num_threads",
    "unpack",
]
