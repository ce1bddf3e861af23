"""The command line: fastquant quantize | inspect | demo | bench.

Every failure that can be foreseen is one line on stderr and exit status 2; 130 and 143 say that the run was
interrupted or terminated.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import fastquant as fq
from fastquant import _inspect_command, _quantize_command
from fastquant._report import UserError, complain, missing_extra


class Stopped(BaseException):
    def __init__(self, signum: int) -> None:
        self.signum = signum


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
    p.set_defaults(run=_quantize_command.run)

    p = commands.add_parser(
        "inspect",
        help="show types and ranges, and what int8 would cost",
        description="Show type, shape and range of every tensor, and the size and accuracy of int8 instead.",
    )
    p.add_argument("file", metavar="FILE", help="a .safetensors, .npy or .npz file")
    p.add_argument("--json", action="store_true", help="print JSON, where an SQNR of null means: exact")
    p.set_defaults(run=_inspect_command.run)

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
