"""quantize_embeddings of sentence_transformers.util (sentence-transformers 6.2): same name, arguments, defaults and
results, bit for bit. Neither sentence-transformers nor torch is needed: embeddings are NumPy arrays, or tensors of any
library with DLPack (or what NumPy reads), which come back as NumPy arrays.

    from fastquant.compat.sentence_transformers import quantize_embeddings

Where the results differ
    NaN                   int8 and uint8: the lowest code; there undefined (on x86-64: 0), with a warning.
    Ranges                with NaN or infinity, computed or given: ValueError; there NaN made into codes, or one code
                          for all. So for a width that is negative, or infinite in float32; there codes that fall as
                          numbers rise, or are all 0.
    3 or more dimensions  without ranges: ValueError; there the minima of the first two indices of the second axis are
                          taken for minimum and maximum.
    Lists                 of matrices: all of one width, also where a width of 1 would broadcast there.
    Memory                Arrays are C-contiguous; there in the order of the embeddings.
    Errors                TypeError or ValueError that names the argument; there also Exception and AttributeError. The
                          warning for fewer than 100 rows goes to this module's logger.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

import fastquant as fq
from fastquant import _rules
from fastquant._arguments import as_it_lies
from fastquant._dtypes import arithmetic_dtype

__all__ = ["quantize_embeddings"]

Array = np.ndarray[Any, np.dtype[Any]]

logger = logging.getLogger(__name__)

_PRECISIONS = ("float32", "int8", "uint8", "binary", "ubinary")
_FEW = 100  # rows: ranges of fewer are worth a warning


def quantize_embeddings(embeddings: Any, precision: str, ranges: Any = None, calibration_embeddings: Any = None) -> Any:
    """Embeddings, (n, dim) or with ranges of any shape (..., dim), in a smaller type.

    precision               result
    "float32"               float32
    "uint8"                 clip(floor((x - lo) / step), 0, 255), step = (hi - lo) / 255 in float32, 1 where that is 0;
                            in float64 where embeddings are
    "int8"                  that, minus 128
    "ubinary"               uint8, x > 0 in a bit, eight along the last axis in a byte, the first in the high bit:
                            (..., ceil(dim / 8))
    "binary"                that, minus 128, in int8

    ranges                  (2, dim): lo and hi of each dimension, rounded to float32. Default: the extremes of
    calibration_embeddings  (m, dim). Default: embeddings themselves, of two rows or more.

    A list of matrices (n_i, dim) gives a list, by ranges that they share; a list of vectors or numbers is one array.
    ValueError where ranges are needed and there is one embedding; a warning is logged where there are fewer than 100.
    """
    if isinstance(embeddings, list):
        if not embeddings:
            return []
        if isinstance(embeddings[0], (list, tuple, float, int)):
            each = [np.array(embeddings)]
        else:
            each = [_array(e) for e in embeddings]
            if each[0].ndim == 2:
                return _quantize(each, precision, ranges, calibration_embeddings)
            each = [np.array(each)]
    else:
        each = [_array(embeddings)]
    return _quantize(each, precision, ranges, calibration_embeddings)[0]


def _quantize(each: list[Array], precision: str, ranges: Any, calibration: Any) -> list[Array]:
    """Arrays quantized alike."""
    if precision not in _PRECISIONS:
        raise ValueError(f"precision: got {precision!r}, expected {', '.join(_PRECISIONS)}")
    for x in each:
        if x.dtype in (np.int8, np.uint8):
            raise TypeError(f"embeddings: got {x.dtype}, expected real numbers; these are quantized already")
        if not _is_real(x) and x.dtype.kind not in "iub":
            raise TypeError(f"embeddings: got {x.dtype}, expected real numbers")
    if precision == "float32":
        with np.errstate(all="ignore"):
            return [x.astype(np.float32) for x in each]
    if any(x.ndim == 0 for x in each):
        raise ValueError("embeddings: got a number, expected an array of one dimension or more")
    if precision in ("binary", "ubinary"):
        return [_signs(x, precision) for x in each]
    if all(x.ndim == 2 and len(x) == 0 for x in each):
        return [np.zeros(x.shape, precision) for x in each]
    if ranges is None:
        lo, hi = _ranges(each, precision, calibration)
    else:
        ends = _array(ranges)
        if ends.ndim < 2 or len(ends) < 2:
            raise ValueError(f"ranges: got shape {ends.shape}, expected (2, {each[0].shape[-1]})")
        lo, hi = ends[0], ends[1]
    with np.errstate(all="ignore"):
        start = np.asarray(lo).astype(np.float32)
        step = np.asarray((np.asarray(hi).astype(np.float32) - start) / np.float32(255))
    step[step == 0] = 1
    try:
        return [_codes(x, start, step, precision) for x in each]
    except ValueError:
        _check_ranges(lo, hi, start, step)
        raise


def _signs(x: Array, precision: str) -> Array:
    bits: Array = _rules.signs(x) if _is_real(x) and x.size else np.packbits(x > 0, axis=-1)
    # Minus 128 modulo 256 is the high bit flipped.
    return bits if precision == "ubinary" else np.bitwise_xor(bits, 0x80, out=bits).view(np.int8)


def _check_ranges(lo: Any, hi: Any, start: Array, step: Array) -> None:
    wrong = ~(np.isfinite(start) & (step > 0) & (step < np.inf))
    if wrong.any():
        at = int(np.argmax(wrong.reshape(-1)))
        got = ", ".join(str(np.asarray(end).reshape(-1)[at]) for end in (lo, hi))
        raise ValueError(
            f"ranges: got ({got}) for dimension {at}, expected finite ends, the second not below the first, with a "
            "width that is finite in float32"
        )


def _codes(x: Array, start: Array, step: Array, precision: str) -> Array:
    axis = None if start.size == 1 else -1
    if axis is None:
        start, step = start.reshape(()), step.reshape(())
    elif start.shape != x.shape[-1:]:
        raise ValueError(f"ranges: got shape (2, {', '.join(map(str, start.shape))}), expected (2, {x.shape[-1]})")
    if not _is_real(x):  # what NumPy promotes integers and float32 to
        x = x.astype(np.result_type(x.dtype, np.float32))
    if not x.size:
        return np.zeros(x.shape, precision)
    level = -128 if precision == "int8" else 0
    return _rules.quantize(x, step, level, rule="floor", dtype=precision, axis=axis, offset=start)


def _ranges(matrices: list[Array], precision: str, calibration: Any) -> tuple[Any, Any]:
    """The extremes of each dimension: of the calibration embeddings, if given, or else of all matrices together."""
    argument = "embeddings"
    if calibration is not None:
        argument, matrices = "calibration_embeddings", [_array(calibration)]
    else:
        rows = sum(len(m) if m.ndim > 1 else 1 for m in matrices)
        if rows == 1:
            raise ValueError(
                f"embeddings: got a single one, expected several, or ranges or calibration_embeddings, for {precision}"
            )
        if rows < _FEW:
            logger.warning(
                "%s ranges are computed from %d embeddings only: give ranges, or calibration_embeddings with more, "
                "for codes that suit what comes later",
                precision,
                rows,
            )
    ends = [_extremes(m, argument) for m in matrices if len(m)] or [_extremes(matrices[0], argument)]
    if len({np.shape(lo) for lo, _ in ends}) > 1:
        widths = ", ".join(str(m.shape[1:]) for m in matrices)
        raise ValueError(f"embeddings: got matrices of widths {widths}, expected the same")
    lo, hi = ends[0]
    for other_lo, other_hi in ends[1:]:
        lo, hi = np.minimum(lo, other_lo), np.maximum(hi, other_hi)
    return lo, hi


def _extremes(x: Array, argument: str) -> tuple[Any, Any]:
    if x.ndim not in (1, 2):
        raise ValueError(f"{argument}: got {x.ndim} dimensions, expected 2 where ranges are computed from them")
    if not _is_real(x):
        return np.min(x, axis=0), np.max(x, axis=0)
    try:
        lo, hi = fq.minmax(x, axis=-1) if x.ndim == 2 else fq.minmax(x)
    except ValueError as error:
        raise ValueError(argument + ":" + str(error).partition(":")[2]) from None
    return lo, hi


def _is_real(x: Array) -> bool:
    return arithmetic_dtype(x.dtype) is not None


def _array(value: Any) -> Array:
    """value as an array where it lies. A tensor is moved to the CPU; bfloat16, which NumPy lacks, becomes float32, as
    there."""
    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "__dlpack__") and hasattr(value, "cpu"):
        value = value.cpu()
    a = np.asarray(as_it_lies(value))
    return a.astype(np.float32) if a.dtype.name == "bfloat16" else a
