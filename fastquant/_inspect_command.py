"""fastquant inspect: what a file holds, and what int8 would cost."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import math
import os
from typing import Any

import numpy as np

import fastquant as fq
from fastquant._files import Source, Tensor, open_source
from fastquant._quality import BLOCK, FLOATS, Quality, count_not_finite, decibels, measure, narrowed, quantizable
from fastquant._report import print_json, say, shape_text, table_printer


@dataclasses.dataclass(slots=True)
class About:
    """What a tensor holds, and what int8 codes of it would lose and be."""

    tensor: Tensor
    low: float | None = None
    high: float | None = None
    nan: int = 0
    inf: int = 0
    quality: Quality | None = None
    scale: float = 0.0

    @property
    def reduced(self) -> int:
        """Bytes, with the scale; as it is where it is not quantized."""
        return math.prod(self.tensor.shape) + 4 if self.quality else self.tensor.nbytes

    def as_json(self) -> dict[str, Any]:
        about: dict[str, Any] = {"name": self.tensor.name, "dtype": self.tensor.kind, "shape": self.tensor.shape}
        about |= {"bytes": self.tensor.nbytes, "min": self.low, "max": self.high, "nan": self.nan, "inf": self.inf}
        if not self.quality:
            return about | {"int8": None}
        db = None if self.quality.db == math.inf else self.quality.db  # JSON has no infinity
        return about | {"int8": {"bytes": self.reduced, "scale": self.scale, "sqnr_db": db}}

    def row(self) -> list[str]:
        row = [self.tensor.name, self.tensor.kind, shape_text(self.tensor.shape), f"{self.tensor.nbytes:,}"]
        row += [_number(self.low), _number(self.high)]
        if not self.quality:
            return [*row, "", "", ""]
        return [*row, f"{self.scale:.4g}", f"{self.reduced:,}", decibels(self.quality)]


def _inspect(source: Source, tensor: Tensor) -> About:
    about = About(tensor)
    if tensor.empty or tensor.dtype is None or tensor.kind[0] not in "BFIU" or tensor.kind == "BOOL":
        return about
    x = source.read(tensor)
    floating = tensor.kind in FLOATS
    lows, highs = [], []
    for at in range(0, x.size, BLOCK):
        block = x.reshape(-1)[at : at + BLOCK]
        if floating:
            block = block.astype(np.float64)
            block = block[np.isfinite(block)]
        if block.size:
            lows.append(block.min().item())
            highs.append(block.max().item())
    if lows:
        about.low, about.high = min(lows), max(highs)
    if floating:
        about.nan, about.inf = count_not_finite(x)
    if quantizable(tensor):
        with contextlib.suppress(ValueError):  # not finite: it cannot be quantized, and the counts say why
            q, scale, zero_point = fq.quantize_dynamic(narrowed(x), "int8")
            about.quality, about.scale = measure(x, q, scale, zero_point), float(scale)
    return about


def run(args: argparse.Namespace) -> int:
    show = None if args.json else table_printer()
    with open_source(args.file) as source:
        found = [_inspect(source, tensor) for tensor in source.tensors]
    size = sum(about.tensor.nbytes for about in found)
    reduced = sum(about.reduced for about in found)
    if show is None:
        whole = {"file": os.fspath(args.file), "metadata": source.metadata}
        tensors = (about.as_json() for about in found)
        print_json(whole, "tensors", tensors, {"bytes": size, "int8_bytes": reduced})
        return 0
    not_finite = any(about.nan or about.inf for about in found)
    columns = ["tensor", "type", "shape", "bytes", "min", "max", "int8 scale", "int8 bytes", "int8 SQNR dB"]
    total = [f"{len(found)} tensors", "", "", f"{size:,}", "", "", "", f"{reduced:,}", ""]
    if not_finite:
        columns += ["NaN", "inf"]
        total += [str(sum(about.nan for about in found)), str(sum(about.inf for about in found))]
    show(columns, (about.row() + [str(about.nan), str(about.inf)] * not_finite for about in found), total)
    say("int8: one scale per tensor, for floating tensors of two dimensions or more; the rest as it is.")
    if source.metadata:
        say("metadata: " + ", ".join(f"{key}={value}" for key, value in source.metadata.items()))
    return 0


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.5g}" if isinstance(value, float) else str(value)
