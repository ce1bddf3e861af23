"""Results that belong together."""

from __future__ import annotations

from typing import Any, NamedTuple


class Range(NamedTuple):
    """Smallest and largest value: scalars, or arrays with one element for each index of an axis."""

    lo: Any
    hi: Any


class QParams(NamedTuple):
    """Scale (float32) and zero point (int32): scalars, or arrays of the shape of the ranges."""

    scale: Any
    zero_point: Any


class Quantized(NamedTuple):
    """Codes, with the scale and the zero point that they were made with."""

    q: Any
    scale: Any
    zero_point: Any
