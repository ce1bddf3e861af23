"""The three element-wise kernels behind one signature, as the package and as the reference compute them."""

from __future__ import annotations

from typing import Any

import numpy as np
from values import real_dtype

import fastquant as fq
from fastquant import _reference


def run(kernel: str, x: Any, scale: Any, zero_point: Any, code: str, real: str, **options: Any) -> np.ndarray:
    """A public call; `real` is the type of the result of dequantize."""
    dtype = real if kernel == "dequantize" else code
    return getattr(fq, kernel)(x, scale, zero_point, dtype=dtype, **options)


def reference(kernel: str, x: Any, scale: Any, zero_point: Any, code: str, real: str, **options: Any) -> np.ndarray:
    dtype = real if kernel == "dequantize" else code
    with np.errstate(all="ignore"):  # conversions of NaN, and overflow in narrow types
        return getattr(_reference, kernel)(x, scale, zero_point, dtype=dtype, **options)


def out_dtype(kernel: str, code: str, real: str) -> np.dtype[Any]:
    return real_dtype(code if kernel == "quantize" else real)
