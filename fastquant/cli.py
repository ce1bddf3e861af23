"""The command line: fastquant quantize | inspect | demo | bench.

Every failure that can be foreseen is one line on stderr and exit status 2; 130 and 143 say that the run was
interrupted or terminated.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import glob
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

import fastquant as fq
from fastquant._files import Source, Tensor, array_tensor, open_source, replacing
from fastquant._report import (
    BLOCK,
    Array,
    FileError,
    Quality,
    UserError,
    complain,
    decibels,
    measure,
    missing_extra,
    print_json,
    progress,
    quoted,
    say,
    table_printer,
)
from fastquant._sinks import plan_sink

_FLOATS = ("F16", "BF16", "F32", "F64")


class Stopped(BaseException):
    def __init__(self, signum: int) -> None:
        self.signum = signum


def _narrowed(x: Array) -> Array:
    """float64 as float32, since the codes get a float32 scale; the other types as they are."""
    if x.dtype != np.float64:
        return x
    with np.errstate(over="ignore"):
        return x.astype(np.float32)


def _quantizable(tensor: Tensor) -> bool:
    return tensor.kind in _FLOATS and len(tensor.shape) >= 2 and not tensor.empty


def _count_not_finite(x: Array) -> tuple[int, int]:
    flat = x.reshape(-1)
    nan = inf = 0
    for at in range(0, flat.size, BLOCK):
        nan += int(np.isnan(flat[at : at + BLOCK]).sum())
        inf += int(np.isinf(flat[at : at + BLOCK]).sum())
    return nan, inf


# --- quantize ---------------------------------------------------------------------------------------------


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
        if included and not excluded and _quantizable(tensor):
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
    x = _narrowed(original)
    try:
        result = fq.quantize_dynamic(x, args.dtype, symmetric=not args.asymmetric, axis=args.axis, out=out)
    except ValueError as error:
        nan, inf = _count_not_finite(original)
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


def quantize_command(args: argparse.Namespace) -> int:
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
    return [name, _shape(shape), *sizes, decibels(quality), f"{quality.largest:.3g}", speed]


def _shape(shape: tuple[int, ...] | None) -> str:
    return "" if shape is None else "x".join(map(str, shape)) or "scalar"


# --- inspect ----------------------------------------------------------------------------------------------


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
        row = [self.tensor.name, self.tensor.kind, _shape(self.tensor.shape), f"{self.tensor.nbytes:,}"]
        row += [_number(self.low), _number(self.high)]
        if not self.quality:
            return [*row, "", "", ""]
        return [*row, f"{self.scale:.4g}", f"{self.reduced:,}", decibels(self.quality)]


def _inspect(source: Source, tensor: Tensor) -> About:
    about = About(tensor)
    if tensor.empty or tensor.dtype is None or tensor.kind[0] not in "BFIU" or tensor.kind == "BOOL":
        return about
    x = source.read(tensor)
    floating = tensor.kind in _FLOATS
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
        about.nan, about.inf = _count_not_finite(x)
    if _quantizable(tensor):
        with contextlib.suppress(ValueError):  # not finite: it cannot be quantized, and the counts say why
            q, scale, zero_point = fq.quantize_dynamic(_narrowed(x), "int8")
            about.quality, about.scale = measure(x, q, scale, zero_point), float(scale)
    return about


def inspect_command(args: argparse.Namespace) -> int:
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


# --- the whole ---------------------------------------------------------------------------------------------


def _demo_command(args: argparse.Namespace) -> int:
    from fastquant import _demo

    return _demo.run(args)


def _bench_command(args: argparse.Namespace) -> int:
    from fastquant import _bench

    return int(_bench.run(args))


def _parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fastquant", description="Quantize the tensors of a file, or see what that would cost."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {fq.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    p = commands.add_parser(
        "quantize",
        help="write a copy of a file with its floating tensors as 8-bit codes",
        description="Floating tensors of two dimensions or more become codes under their own name, with "
        "NAME_scale (and NAME_zero_point, with --asymmetric or uint8) beside them; all others are copied "
        "unchanged. OUT appears complete or not at all.",
    )
    p.add_argument("file", metavar="IN", help="a .safetensors, .npy or .npz file")
    p.add_argument("-o", "--out", metavar="OUT", required=True, help="a .safetensors or .npz file")
    p.add_argument("--dtype", choices=("int8", "uint8"), default="int8", help="type of the codes [int8]")
    p.add_argument("--asymmetric", action="store_true", help="use the codes' whole range, with a zero point")
    p.add_argument("--axis", type=int, metavar="N", help="one scale for each index of this axis [one in all]")
    for option, text in (("include", "quantize only tensors so named"), ("exclude", "copy tensors so named")):
        p.add_argument(
            f"--{option}", metavar="GLOB", action="append", default=[], help=f"{text}; may be repeated"
        )
    p.set_defaults(run=quantize_command)

    p = commands.add_parser(
        "inspect",
        help="show types and ranges, and what int8 would cost",
        description="Show type, shape and range of every tensor, and the size and accuracy of int8 instead.",
    )
    p.add_argument("file", metavar="FILE", help="a .safetensors, .npy or .npz file")
    p.add_argument("--json", action="store_true", help="print JSON, where an SQNR of null means: exact")
    p.set_defaults(run=inspect_command)

    p = commands.add_parser("demo", help="quantize real word vectors and compare their neighbours")
    words = "king,river,doctor,music"
    p.add_argument("--words", metavar="W1,W2,...", default=words, help="[%(default)s]")
    p.set_defaults(run=_demo_command)

    p = commands.add_parser("bench", help="measure the kernels on this machine")
    if next((arg for arg in argv if not arg.startswith("-")), None) == "bench":
        try:
            from fastquant import _bench
        except ModuleNotFoundError as error:
            raise missing_extra("bench") from error
        _bench.add_arguments(p)
    p.set_defaults(run=_bench_command)
    return parser


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """Let SIGINT, SIGTERM and SIGHUP unwind the stack, so that the temporary file goes."""

    def stop(signum: int, frame: object) -> None:
        for each in previous:
            signal.signal(each, signal.SIG_IGN)  # a second Ctrl-C must not interrupt the cleaning up
        raise Stopped(signum)

    previous: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            signum = getattr(signal, name, None)
            # A signal that is ignored from outside (nohup) stays ignored.
            if signum is not None and signal.getsignal(signum) not in (signal.SIG_IGN, None):
                previous[signum] = signal.getsignal(signum)
    try:
        for signum in previous:
            signal.signal(signum, stop)
        yield
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)


def main(argv: Sequence[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else list(argv)
    try:
        with _stoppable():
            args = _parser(argv).parse_args(argv)
            status = args.run(args)
            sys.stdout.flush()
            return int(status)
    except UserError as error:
        complain(str(error))
        return 2
    except MemoryError:
        complain("not enough memory")
        return 2
    except KeyboardInterrupt:
        complain("interrupted")
        return 128 + signal.SIGINT
    except Stopped as stopped:
        complain("interrupted" if stopped.signum == signal.SIGINT else "terminated")
        return 128 + stopped.signum
    except OSError as error:
        # Files report their own failures, so this is stdout: its reader has left, or its disk is full. What
        # is still buffered must not fail once more when Python exits.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return 141  # as if SIGPIPE had ended the run
        complain(f"standard output: {error.strerror or error}")
        return 2
