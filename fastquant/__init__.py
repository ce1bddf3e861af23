"""Exact, fast conversion between real arrays and the small number types of machine learning."""

from importlib.metadata import version as _version

from fastquant import cpu
from fastquant._kernels import dequantize, fake_quantize, minmax, qparams, quantize, quantize_dynamic
from fastquant._results import QParams, Quantized, Range

__version__ = _version("fastquant-kernels")

__all__ = [
    "QParams",
    "Quantized",
    "Range",
    "__version__",
    "cpu",
    "dequantize",
    "fake_quantize",
    "minmax",
    "qparams",
    "quantize",
    "quantize_dynamic",
]
