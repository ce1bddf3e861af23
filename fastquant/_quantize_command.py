"""fastquant quantize: a copy of a file with its floating tensors as codes."""

from __future__ import annotations

import argparse
import dataclasses
import glob
import os
import time
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

import fastquant as fq
from fastquant._files import Source, Tensor, array_tensor, open_source, replacing
from fastquant._quality import Array, Quality, count_not_finite, decibels, measure, narrowed, quantizable
from fastquant._report import FileError, progress, quoted, say, shape_text, table_printer
from fastquant._sinks import plan_sink

Result = tuple[Any, float, Quality]


@dataclasses.dataclass(slots=True)
class Job:
    """One tensor of the input: copied, or (with codes, scale and maybe zero point) quantized."""

    tensor: Tensor
    outputs: Sequence[Tensor]
    quality: Quality | None = None
    seconds: float = 0.0

    @property
    def sizes(self) -> tuple[int, int]:
        return self.tensor.nbytes, sum(output.nbytes for output in self.outputs)


class Room:
    """One piece of memory for the codes of every tensor in turn, touched before it is used: else GB/s would show how
    fast the system hands out pages. It grows for tensors that have been read: a file may claim what it does not hold.
    """

    def __init__(self, dtype: str) -> None:
        self._codes: Array = np.empty(0, dtype)

    def like(self, x: Array) -> Array:
        if x.size > self._codes.size:
            self._codes = self._codes[:0].copy()  # what there was is freed first
            self._codes = np.ones(x.size, self._codes.dtype)
        return self._codes[: x.size].reshape(x.shape)


def _plan(source: Source, args: argparse.Namespace) -> list[Job]:
    names = {tensor.name for tensor in source.tensors}
    for option in ("include", "exclude"):  # a typo, and a layer to be left alone would be quantized
        for pattern in getattr(args, option):
            if not any(fnmatchcase(name, pattern) for name in names):
                raise FileError(source.path, f"--{option} {pattern!r} matches none of its {len(names)} tensors")
    jobs = []
    for tensor in source.tensors:
        included = not args.include or any(fnmatchcase(tensor.name, p) for p in args.include)
        excluded = any(fnmatchcase(tensor.name, p) for p in args.exclude)
        if included and not excluded and quantizable(tensor):
            jobs.append(Job(tensor, _outputs(source, tensor, names, args)))
        else:
            jobs.append(Job(tensor, ()))
    return jobs


def _outputs(source: Source, tensor: Tensor, names: set[str], args: argparse.Namespace) -> list[Tensor]:
    ndim = len(tensor.shape)
    if args.axis is not None and not -ndim <= args.axis < ndim:
        problem = f"--axis {args.axis} is out of range for tensor {quoted(tensor.name)} of shape {tensor.shape}: "
        problem += f"leave it out with --exclude {quoted(glob.escape(tensor.name))}"
        raise FileError(source.path, problem)
    shape = () if args.axis is None else (tensor.shape[args.axis],)
    outputs = [array_tensor(tensor.name, args.dtype, tensor.shape)]
    outputs.append(array_tensor(f"{tensor.name}_scale", np.float32, shape))
    if _has_zero_point(args):
        outputs.append(array_tensor(f"{tensor.name}_zero_point", np.int32, shape))
    for output in outputs[1:]:
        if output.name in names:
            problem = f"tensor {quoted(output.name)} exists already, but {quoted(tensor.name)} needs that name"
            raise FileError(source.path, problem)
    return outputs


def _has_zero_point(args: argparse.Namespace) -> bool:
    """Symmetric int8 alone has its zero point at 0 always."""
    return bool(args.asymmetric) or args.dtype == "uint8"


def _quantize(source: Source, tensor: Tensor, args: argparse.Namespace, room: Room) -> Result:
    """The codes (in the given memory) and parameters, the seconds that they took, and what was lost."""
    original = source.read(tensor)
    out = room.like(original)
    start = time.perf_counter()
    x = narrowed(original)
    try:
        result = fq.quantize_dynamic(x, args.dtype, symmetric=not args.asymmetric, axis=args.axis, out=out)
    except ValueError as error:
        nan, inf = count_not_finite(original)
        if nan or inf:
            what = f"holds {nan} NaN and {inf} infinite values"
        elif x is not original:
            what = "holds values beyond the range of float32"
        else:
            what = f"cannot be quantized ({error})"
        hint = f"leave it out with --exclude {quoted(glob.escape(tensor.name))}"
        raise FileError(source.path, f"tensor {quoted(tensor.name)} {what}: {hint}") from error
    seconds = time.perf_counter() - start
    return result, seconds, measure(original, result.q, result.scale, result.zero_point, args.axis)


def run(args: argparse.Namespace) -> int:
    show = table_printer()  # before any work is done: a missing library must not cost the user the whole run
    if os.path.exists(args.out) and os.path.exists(args.file) and os.path.samefile(args.out, args.file):
        raise FileError(args.out, "is the same file as the input")
    with open_source(args.file) as source:
        jobs = _plan(source, args)
        tensors = [t for job in jobs for t in (job.outputs or [job.tensor])]
        sink = plan_sink(args.out, tensors, source.metadata)
        room = Room(args.dtype)
        # A first call: else GB/s would show how fast the system loads modules.
        fq.quantize_dynamic(np.ones((1, 1), np.float32), args.dtype, axis=None if args.axis is None else 0)
        with (
            replacing(args.out) as file,
            sink.start(file),
            progress(sum(job.tensor.nbytes for job in jobs)) as source.on_read,
        ):
            for job in jobs:
                if not job.outputs:
                    sink.copy(source, job.tensor)
                    continue
                result, job.seconds, job.quality = _quantize(source, job.tensor, args, room)
                for output, array in zip(job.outputs, result, strict=False):
                    sink.put_array(output, array)
                del result  # else the room for these codes would stay while a larger one is made
    done = [(job, job.quality) for job in jobs if job.quality]
    total = Quality()
    for _, quality in done:
        total.add(quality)
    columns = ["tensor", "shape", "bytes before", "bytes after", "SQNR dB", "largest error", "GB/s"]
    if done:
        rows = (_row(job.tensor.name, job.tensor.shape, *job.sizes, quality, job.seconds) for job, quality in done)
        before, after = (sum(job.sizes[at] for job, _ in done) for at in (0, 1))
        show(columns, rows, _row("total", None, before, after, total, sum(job.seconds for job, _ in done)))
    copied = [job.tensor for job in jobs if not job.outputs]
    how = f"{args.dtype}, {'asymmetric' if args.asymmetric else 'symmetric'}, "
    how += "one scale per tensor" if args.axis is None else f"one scale per index of axis {args.axis}"
    say(f"{len(done)} of {len(jobs)} tensors quantized ({how}).")
    if done:
        say(f"Each is read back by {_read_back(args)}.")
    else:
        say("Only floating tensors (F16, BF16, F32, F64) of two dimensions or more, not empty, are quantized.")
    if copied:
        say(f"{len(copied)} copied unchanged ({sum(t.nbytes for t in copied):,} bytes).")
    if source.metadata and Path(args.out).suffix.lower() == ".npz":
        say(f"The metadata ({', '.join(source.metadata)}) is left out: .npz has no place for it.")
    sizes = os.path.getsize(args.file), os.path.getsize(args.out)
    say(f"{args.file}: {sizes[0]:,} bytes. {args.out}: {sizes[1]:,} bytes ({sizes[1] / sizes[0]:.1%}).")
    if done:
        say("GB/s: bytes before, over the time to find their range and codes; no reading, no writing.")
    return 0


def _read_back(args: argparse.Namespace) -> str:
    """The call for all tensors that _outputs has planned; nothing in the file says which axis it was."""
    zero_point = ", t[NAME_zero_point]" if _has_zero_point(args) else ""
    axis = "" if args.axis is None else f", axis={args.axis}"
    return f"fq.dequantize(t[NAME], t[NAME_scale]{zero_point}{axis})"


def _row(
    name: str, shape: tuple[int, ...] | None, before: int, after: int, quality: Quality, seconds: float
) -> list[str]:
    speed = f"{before / seconds / 1e9:.2f}" if seconds else "-"
    sizes = [f"{before:,}", f"{after:,}"]
    return [name, shape_text(shape), *sizes, decibels(quality), f"{quality.largest:.3g}", speed]
