"""Three ways to the same result: float32 (tokens, features) to int8 codes and a float32 scale for each token.

`load(name)` gives a Backend, whose `quantize(x, codes, scales, work)` fills arrays of the caller's: codes, int8 of x's
shape; scales, float32, one for each row; and, for those that need it, work, float32 of x's shape. NaN and infinity are
a ValueError that says where, and then nothing has been written.

NumPy's results are fastquant's bit for bit, and so are torch's, because both are written here with a true division.
torch's own operators (quantize_per_channel, quantized_decomposed.quantize_per_token) multiply by 1 / scale instead, and
so give other codes at some ties.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

NAMES = ("fastquant", "numpy", "torch")
HIGHEST = np.float32(127)
SMALLEST = np.finfo(np.float32).smallest_normal  # no scale is less, as in fq.qparams


@dataclass(frozen=True)
class Backend:
    name: str
    version: str
    quantize: Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None], None]
    needs_work: bool


def available() -> tuple[str, ...]:
    return tuple(name for name in NAMES if importlib.util.find_spec(name) is not None)


def load(name: str) -> Backend:
    """ImportError if its library is not installed."""
    makers = {"fastquant": _fastquant, "numpy": _numpy, "torch": _torch}
    if name not in makers:
        raise ValueError(f"backend: got {name!r}, expected one of {', '.join(NAMES)}")
    return makers[name]()


def _fastquant() -> Backend:
    import fastquant as fq

    def quantize(x, codes, scales, work):
        # The scales are a new array of 4 bytes a token, and the zero points, which are 0, another.
        scales[:] = fq.quantize_dynamic(x, axis=0, out=codes).scale

    return Backend("fastquant", fq.__version__, quantize, needs_work=False)


def _numpy() -> Backend:
    def quantize(x, codes, scales, work):
        largest = np.maximum(x.max(axis=1), -x.min(axis=1))  # of absolute values, without an array of them
        _write_scales(x, largest, scales)
        np.divide(x, scales[:, None], out=work)
        np.rint(work, out=work)
        # No clip: |x| / scale is at most 127 and the rounding errors of two divisions.
        np.copyto(codes, work, casting="unsafe")

    return Backend("numpy", np.__version__, quantize, needs_work=True)


def _torch() -> Backend:
    import torch

    # Like the others: requests are what is done at once. torch's workers would also spin on the load script's core.
    torch.set_num_threads(1)

    def quantize(x, codes, scales, work):
        given, room = torch.from_numpy(x), torch.from_numpy(work)
        largest = torch.maximum(given.amax(1), given.amin(1).neg())  # 7 times as fast as torch.aminmax(given, dim=1)
        _write_scales(x, largest.numpy(), scales)
        torch.div(given, torch.from_numpy(scales)[:, None], out=room)
        torch.from_numpy(codes).copy_(room.round_())

    return Backend("torch", torch.__version__, quantize, needs_work=True)


def _write_scales(x: np.ndarray, largest: np.ndarray, scales: np.ndarray) -> None:
    """fq.qparams' rule. It divides in float64 and rounds to float32, which gives float32's own quotient."""
    if not np.isfinite(largest).all():
        row, column = np.argwhere(~np.isfinite(x))[0].tolist()
        raise ValueError(f"x: got {x[row, column]} at index ({row}, {column}), expected finite values")
    np.divide(largest, HIGHEST, out=scales)
    np.maximum(scales, SMALLEST, out=scales)
    scales[largest == 0] = 1
