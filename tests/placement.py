"""Arrays in every way that they can lie in memory, with known bytes around them.

`place` returns a view of an array's shape and the memory that it is a view of. A call may change what the view shows
and nothing else: `Kept` finds out.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

CANARY = 0xA5
MARGIN = 64


class Layout(NamedTuple):
    permuted: bool = False  # axes in another order in memory
    steps: bool = False  # only each second or third element is shown
    reversed: bool = False  # negative strides, in some axes at least
    window: bool = False  # part of a larger array, in every axis
    shifted: bool = False  # at an address that is no multiple of the element's size
    swapped: bool = False
    broadcast: bool = False  # stride 0, in some axes at least
    locked: bool = False  # read-only


LAYOUTS = {
    "plain": Layout(),
    "fortran": Layout(permuted=True),  # `place` reverses the axes of this one
    "permuted": Layout(permuted=True),
    "strided": Layout(steps=True),
    "negative": Layout(reversed=True),
    "window": Layout(window=True),
    "misaligned": Layout(shifted=True),
    "byte-swapped": Layout(swapped=True),
    "swapped, strided": Layout(swapped=True, steps=True, permuted=True),
    "mixed": Layout(permuted=True, steps=True, reversed=True, window=True),
    "mixed, misaligned": Layout(permuted=True, steps=True, reversed=True, window=True, shifted=True),
    "broadcast": Layout(broadcast=True),
    "broadcast, mixed": Layout(broadcast=True, permuted=True, reversed=True),
    "read-only": Layout(locked=True),
}
FOR_INPUT = tuple(LAYOUTS)
FOR_OUTPUT = tuple(name for name, layout in LAYOUTS.items() if not (layout.broadcast or layout.locked))


def fits(name: str, dtype: np.dtype[Any]) -> bool:
    """Types of ml_dtypes have no other byte order, bytes have none."""
    return not LAYOUTS[name].swapped or (dtype.isbuiltin == 1 and dtype.itemsize > 1)


def _some(rng: np.random.Generator, n: int) -> np.ndarray:
    """Some of n things, at least one."""
    chosen = rng.random(n) < 0.5
    if n:
        chosen[rng.integers(n)] = True
    return chosen


def place(
    name: str, shape: tuple[int, ...], dtype: np.dtype[Any], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A view of that shape (of length 1 in the axes to broadcast), and the bytes behind it, which are all CANARY."""
    layout, ndim = LAYOUTS[name], len(shape)
    kept = np.array(shape, int)
    if layout.broadcast:
        kept[_some(rng, ndim) & (kept > 0)] = 1
    steps = rng.integers(2, 4, ndim) if layout.steps else np.ones(ndim, int)
    before, after = rng.integers(1, 4, (2, ndim)) if layout.window else np.zeros((2, ndim), int)
    axes = np.arange(ndim)[::-1] if name == "fortran" else rng.permutation(ndim) if layout.permuted else np.arange(ndim)
    lengths = kept * steps + before + after
    nbytes = int(np.prod(lengths)) * dtype.itemsize
    start = MARGIN + (1 if layout.shifted else 0)
    memory = np.full(nbytes + 2 * MARGIN, CANARY, np.uint8)
    whole = memory[start : start + nbytes].view(dtype.newbyteorder("S") if layout.swapped else dtype)
    whole = whole.reshape(lengths[axes]).transpose(np.argsort(axes))
    view = whole[tuple(slice(b, b + n * s, s) for b, n, s in zip(before, kept, steps, strict=True)) or ...]
    if layout.reversed:
        view = view[tuple(slice(None, None, -1 if back else 1) for back in _some(rng, ndim)) or ...]
    return view, memory


def placed(a: np.ndarray, name: str, rng: np.random.Generator) -> np.ndarray:
    """a in that layout. Broadcast: what fits of it."""
    view, _ = place(name, a.shape, a.dtype, rng)
    view[...] = a[tuple(slice(0, n) for n in view.shape) or ...]
    if LAYOUTS[name].broadcast:
        return np.broadcast_to(view, a.shape)
    if LAYOUTS[name].locked:
        view.flags.writeable = False
    return view


def plain(a: np.ndarray) -> np.ndarray:
    """A copy in C order and native byte order."""
    return np.array(a, a.dtype.newbyteorder("="), order="C")


class Kept:
    """What memory holds; afterwards, whether anything has changed but what a view shows."""

    def __init__(self, memory: np.ndarray, view: np.ndarray | None = None) -> None:
        self.memory, self.view = memory, view
        self.bytes = memory.tobytes()
        self.shown = None if view is None else view.copy()

    def unchanged(self) -> bool:
        return self.memory.tobytes() == self.bytes

    def unchanged_around(self) -> bool:
        """Puts back what the view showed."""
        assert self.view is not None
        self.view[...] = self.shown
        return self.unchanged()
