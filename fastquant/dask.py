"""minmax, quantize, quantize_dynamic and dequantize of dask arrays: lazily, chunk by chunk, bit for bit what the
functions of fastquant make of the whole array in memory. Needs dask: pip install "fastquant-kernels[dask]".

    from fastquant import dask as fqd
    q, scale, zero_point = fqd.quantize_dynamic(da.from_zarr("embeddings.zarr"), axis=0)

Names, arguments and errors are those of fastquant; there is no `out`. Results are dask arrays of known types and chunks
(of no dimension where fastquant returns a scalar), alone or in Range and Quantized. scale, zero_point and offset are
numbers, NumPy arrays or dask arrays, of which a task gets what its chunk needs. Types, shapes, axes, and parameters
that are no dask arrays are checked at once; all other values when dask computes. Indices in errors are then those
within a chunk.

Chunks
    Codes have x's chunks, of any sizes, empty ones among them. Blocks (block_size) and bytes (packed) do not fit into
    all: borders that cut one are moved up to its end, by a rechunk along that axis alone. Unknown sizes (nan) are
    refused: x.compute_chunk_sizes() finds them.
Memory
    Where each range lies within one chunk (per token with all features in one chunk; blocks), quantize_dynamic is one
    pass over each chunk. Ranges of several chunks are reduced in a tree, split_every chunks a step (as in da.min), and
    codes need all of it first: computed in one go, dask keeps x until its last chunk is seen, as for x - x.min(). Of an
    x beyond memory compute the parameters first, then the codes. Each step reads x chunk by chunk:

        _, *params = fqd.quantize_dynamic(x)
        q = fqd.quantize(x, *dask.compute(*params))

    Results share their work if they are computed together: dask.compute(*fqd.quantize_dynamic(x)).
Threads
    A task may use fastquant.get_num_threads() threads beside the scheduler's; FASTQUANT_NUM_THREADS=1 makes it one.
float8_e5m2
    distributed (2026.8) does not find this type by its name: a chunk of it that has to move to another process never
    arrives. Move bytes instead, q.view("uint8"), or compute and store it within the task.
"""

from __future__ import annotations

import math
from functools import partial
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

import fastquant as fq
from fastquant._arguments import (
    Array,
    check_flag,
    check_packed,
    check_saturate,
    check_shape,
    choose_code_type,
    code_input,
    packed_input,
    read_offset,
    read_scale,
    read_zero_point,
    real_input,
)
from fastquant._dtypes import CodeType, arithmetic_dtype, code_type, real_dtype
from fastquant._grid import Grid, grid_of
from fastquant._ranges import check_not_empty, params_of
from fastquant._results import QParams, Quantized, Range

try:
    import dask.array as da
    from dask.array.utils import meta_from_array
except ImportError as error:
    raise ImportError(f'fastquant.dask needs dask: pip install "fastquant-kernels[dask]" ({error})') from error

__all__ = ["dequantize", "minmax", "quantize", "quantize_dynamic"]

_Chunks = tuple[tuple[int, ...], ...]


def _lazy(a: Any, argument: str) -> Any:
    """a, if it is a dask array of known chunks."""
    if not isinstance(a, da.Array):
        raise TypeError(f"{argument}: got {type(a).__name__}, expected a dask array")
    if any(math.isnan(n) for n in a.shape):
        raise ValueError(
            f"{argument}: got chunks of unknown sizes, expected known ones; {argument}.compute_chunk_sizes() finds them"
        )
    return a


def _real_meta(x: Any) -> Array:
    return real_input(meta_from_array(_lazy(x, "x")))


def _where(grid: Grid) -> dict[str, Any]:
    """The granularity as arguments for a chunk."""
    return {"axis": grid.axes or None, "block_size": grid.block or None}


def _index(grid: Grid, ndim: int) -> tuple[int, ...]:
    """The axes of the data that are those of an array of parameters."""
    return tuple(range(ndim)) if grid.block else grid.axes


def _fitted(a: Any, grid: Grid, packs: int, stored: bool = False) -> Any:
    """a, whose chunks hold whole blocks and bytes of `packs` codes; stored: a is of such bytes."""
    steps = {grid.block_axis: grid.block} if grid.block else {}
    if packs > 1:
        step = math.lcm(steps.get(a.ndim - 1, 1), packs)
        steps[a.ndim - 1] = step // packs if stored else step
    for axis, step in steps.items():
        borders, n = list(accumulate(a.chunks[axis])), a.shape[axis]
        if any(border % step and border != n for border in borders):
            moved = sorted({0, *(min(-(-border // step) * step, n) for border in borders)})
            a = a.rechunk({axis: tuple(end - start for start, end in pairwise(moved))})
    return a


def _parameter_chunks(grid: Grid, chunks: _Chunks) -> _Chunks:
    """Of an array of parameters, by those of the data."""
    cut = grid.block_axis if grid.block else None
    return tuple(
        tuple(-(-n // grid.block) for n in chunks[a]) if a == cut else chunks[a] for a in _index(grid, len(chunks))
    )


def _parameter(value: Any, argument: str, check: Any, grid: Grid, chunks: _Chunks) -> tuple[Any, Any]:
    """What blockwise takes for data of those chunks: a value, without an index, or a dask array, with one.

    check reads a concrete value. Of a dask array it is shown one element, as a test of the type.
    """
    if isinstance(value, da.Array):
        check_shape(_lazy(value, argument), argument, grid)
        check(np.full((), argument == "scale", value.dtype))
        if not value.ndim or not grid.axes:
            return value.reshape(()), ()
        return value.rechunk(_parameter_chunks(grid, chunks)), _index(grid, len(chunks))
    a = check(value)
    if a is None or not a.ndim or not grid.axes:
        return (a if a is None else a.reshape(())), None
    return da.from_array(a, chunks=_parameter_chunks(grid, chunks)), _index(grid, len(chunks))


def _parameters(
    scale: Any, zero_point: Any, offset: Any, real: np.dtype[Any], codes: CodeType, grid: Grid, chunks: _Chunks
) -> tuple[Any, ...]:
    lazy = isinstance(zero_point, da.Array)
    zero_points = np.zeros((), np.int32) if lazy else read_zero_point(zero_point, grid, codes)
    return (
        *_parameter(scale, "scale", lambda a: read_scale(a, real, grid), grid, chunks),
        *_parameter(zero_point, "zero_point", lambda a: read_zero_point(a, grid, codes), grid, chunks),
        *_parameter(offset, "offset", lambda a: read_offset(a, zero_points, real, grid), grid, chunks),
    )


def _apply(function: Any, options: dict[str, Any], a: Array, scale: Any, zero_point: Any, offset: Any) -> Array:
    """One chunk and its parameters."""
    return function(a, scale, zero_point, offset=offset, **options)  # type: ignore[no-any-return]


def _map(function: Any, options: dict[str, Any], a: Any, given: tuple[Any, ...], made: Any, last: Any) -> Any:
    """Codes or reals of the chunks of a; last: the lengths of chunks along the last axis if they are not a's."""
    index = tuple(range(a.ndim))
    return da.blockwise(
        partial(_apply, function, options), index, a, index, *given, token=f"fastquant-{function.__name__}",
        adjust_chunks=None if last is None else {a.ndim - 1: last}, meta=np.empty((0,) * a.ndim, made),
        align_arrays=False,
    )  # fmt: skip


def quantize(
    x: Any, scale: Any, zero_point: Any = 0, *, dtype: Any = None, axis: Any = None, block_size: Any = None,
    packed: Any = False, offset: Any = None, saturate: Any = True,
) -> Any:  # fmt: skip
    """fastquant.quantize of a dask array: a dask array of codes (packed: of uint8), of x's chunks."""
    packs = check_flag(packed, "packed")
    codes = choose_code_type(dtype, zero_point, None)
    check_saturate(saturate, codes)
    meta = _real_meta(x)
    packs = check_packed(packed, codes, x.shape)
    grid = grid_of(x.shape, axis, block_size)
    x = _fitted(x, grid, codes.packs if packs else 1)
    real = arithmetic_dtype(meta.dtype)
    assert real is not None
    given = _parameters(scale, zero_point, offset, real, codes, grid, x.chunks)
    rule = {"dtype": codes.name, "packed": packs, "saturate": bool(saturate)}
    last = tuple(-(-n // codes.packs) for n in x.chunks[-1]) if packs else None
    return _map(fq.quantize, rule | _where(grid), x, given, np.uint8 if packs else codes.dtype, last)


def dequantize(
    q: Any, scale: Any, zero_point: Any = 0, *, dtype: Any = "float32", axis: Any = None, block_size: Any = None,
    packed: Any = None, offset: Any = None,
) -> Any:  # fmt: skip
    """fastquant.dequantize of a dask array: a dask array of dtype, of q's chunks (packed: of all codes in them)."""
    wanted = real_dtype(dtype)
    meta = meta_from_array(_lazy(q, "q"))
    packs = packed is not None and packed is not False
    _, codes = packed_input(meta, packed) if packs else code_input(meta)
    width = codes.packs if packs else 1
    shape = tuple(n * width if a == q.ndim - 1 else n for a, n in enumerate(q.shape))
    grid = grid_of(shape, axis, block_size)
    q = _fitted(q, grid, width, stored=True)
    last = tuple(n * width for n in q.chunks[-1]) if packs else None
    chunks = q.chunks if last is None else (*q.chunks[:-1], last)
    real = np.dtype(np.float64) if wanted == np.float64 else np.dtype(np.float32)
    given = _parameters(scale, zero_point, offset, real, codes, grid, chunks)
    rule = {"dtype": wanted.name, "packed": codes.name if packs else None}
    return _map(fq.dequantize, rule | _where(grid), q, given, wanted, last)


def _in_chunk(a: Array, function: Any, options: dict[str, Any], block_id: tuple[int, ...] = ()) -> Any:
    """What function makes of a chunk, or an error that tells which one it is."""
    try:
        return function(a, **options)
    except ValueError as error:
        raise ValueError(f"{error}; in chunk {tuple(map(int, block_id[len(block_id) - a.ndim :]))} of x") from None


def _ends_of(a: Array, axis: tuple[int, ...], block_size: int | None = None) -> Array:
    """Ranges of a chunk, smallest values then largest: shape (2, ...), a's rank behind it; 1 along what is reduced, and
    0 where there was nothing."""
    grid = grid_of(a.shape, axis, block_size)
    shape = grid.shape if grid.block else tuple(n if i in axis else min(n, 1) for i, n in enumerate(a.shape))
    if not a.size:
        return np.empty((2, *shape), arithmetic_dtype(a.dtype))
    return np.stack(fq.minmax(a, axis=axis, block_size=block_size)).reshape(2, *shape)


def _as_they_are(ends: Array, axis: Any, keepdims: bool) -> Array:
    return ends


def _joined(ends: Array, axis: tuple[int, ...], keepdims: bool) -> Array:
    """Ranges of ranges, along axis."""
    kept = tuple(i for i in range(ends.ndim - 1) if i + 1 not in axis)
    found = np.stack([_ends_of(ends[0], kept)[0], _ends_of(ends[1], kept)[1]])
    return found if keepdims else found.reshape(2, *(ends.shape[1 + i] for i in kept))


def _ends(x: Any, grid: Grid, split_every: int | None) -> Any:
    """Ranges, smallest values then largest: a dask array of shape (2, *grid.shape)."""
    if split_every is not None:
        problem = f"split_every: got {split_every!r}, expected None or an integer of 2 or more"
        if isinstance(split_every, bool) or not isinstance(split_every, int):
            raise TypeError(problem)
        if split_every < 2:
            raise ValueError(problem)
    index = _index(grid, x.ndim)
    kept = tuple(sorted(index))
    sizes = dict(zip(index, _parameter_chunks(grid, x.chunks), strict=True))
    chunks = [sizes.get(a, tuple(min(n, 1) for n in lengths)) for a, lengths in enumerate(x.chunks)]
    meta = np.empty((0,) * (x.ndim + 1), arithmetic_dtype(x.dtype))
    where = _where(grid) if grid.block else {"axis": kept}
    ends = x.map_blocks(
        _in_chunk, _ends_of, where, chunks=((2,), *chunks), new_axis=0, meta=meta, token="fastquant-minmax"
    )
    reduced = tuple(a + 1 for a in range(x.ndim) if a not in index)
    if reduced:
        ends = da.reduction(
            ends, _as_they_are, _joined, axis=reduced, split_every=split_every, dtype=meta.dtype, meta=meta
        )
    return ends.transpose((0, *(1 + kept.index(a) for a in index)))


def minmax(x: Any, *, axis: Any = None, block_size: Any = None, split_every: int | None = None) -> Range:
    """fastquant.minmax of a dask array: Range of dask arrays, reduced in a tree of split_every chunks a step."""
    _real_meta(x)
    grid = grid_of(x.shape, axis, block_size)
    check_not_empty(x, grid)
    ends = _ends(_fitted(x, grid, 1), grid, split_every)
    return Range(ends[0], ends[1])


def _params_of_ends(ends: Array, dtype: str, symmetric: bool, narrow_range: bool) -> QParams:
    wide = ends.astype(np.float64, order="C")  # which is how they are read
    return params_of(wide[0, ...], wide[1, ...], code_type(dtype), symmetric, narrow_range, True, "x")


def _member_of(results: Any, i: int) -> Any:
    """Of a NamedTuple, in lists if dask has contracted axes that have one chunk."""
    while isinstance(results, list):
        (results,) = results
    return results[i]


def _member(results: Any, i: int, index: tuple[int, ...], chunks: _Chunks, dtype: Any) -> Any:
    """An array of the i-th members of what the chunks of `results` are."""
    return da.blockwise(
        partial(_member_of, i=i), index, results, tuple(range(results.ndim)), meta=np.empty((0,) * len(index), dtype),
        adjust_chunks=dict(zip(index, chunks, strict=True)), token="fastquant-member",
    )  # fmt: skip


def quantize_dynamic(
    x: Any, dtype: Any = "int8", *, symmetric: Any = True, narrow_range: Any = False, axis: Any = None,
    block_size: Any = None, packed: Any = False, split_every: int | None = None,
) -> Quantized:  # fmt: skip
    """fastquant.quantize_dynamic of a dask array: Quantized of dask arrays, q of x's chunks. How it passes over x, and
    split_every: see the module."""
    meta = _real_meta(x)
    grid = grid_of(x.shape, axis, block_size)
    codes = code_type(dtype)
    rule = {"dtype": codes.name, "symmetric": symmetric, "narrow_range": narrow_range}
    options = rule | _where(grid) | {"packed": packed}
    one = np.zeros((1,) * x.ndim, meta.dtype)
    made = fq.quantize_dynamic(one, **options).q.dtype  # checks all that depends on no shape
    check_not_empty(x, grid)
    x = _fitted(x, grid, codes.packs if packed else 1)
    index, every = _index(grid, x.ndim), tuple(range(x.ndim))
    chunks = _parameter_chunks(grid, x.chunks)
    if all(len(lengths) == 1 for a, lengths in enumerate(x.chunks) if a not in index):
        last = tuple(-(-n // codes.packs) for n in x.chunks[-1]) if packed else None
        results = x.map_blocks(
            _in_chunk, fq.quantize_dynamic, options, dtype=object, meta=np.empty((0,) * x.ndim, object),
            token="fastquant-quantize_dynamic",
        )  # fmt: skip
        q = _member(results, 0, every, x.chunks if last is None else (*x.chunks[:-1], last), made)
        return Quantized(
            q, _member(results, 1, index, chunks, np.float32), _member(results, 2, index, chunks, np.int32)
        )
    ends = _ends(x, grid, split_every)
    at = tuple(range(len(index)))
    both = da.blockwise(
        partial(_params_of_ends, **rule), at, ends, (len(at), *at), concatenate=True, dtype=object,
        meta=np.empty((0,) * len(at), object), token="fastquant-qparams",
    )  # fmt: skip
    scale, zero_point = (_member(both, i, at, chunks, made) for i, made in ((0, np.float32), (1, np.int32)))
    return Quantized(
        quantize(x, scale, zero_point, dtype=dtype, axis=axis, block_size=block_size, packed=packed), scale, zero_point
    )
