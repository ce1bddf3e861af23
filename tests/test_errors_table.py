"""Every argument of every function, wrong in every way that test_errors.py leaves out: granularity, packing, float
codes, requantize, pack and unpack. Each call fails with the right exception, whose message begins with the argument's
name, and leaves `out` and all around it as it was, whatever the layout of `out`.
"""

from __future__ import annotations

import inspect
import re
from typing import Any

import numpy as np
import pytest
from errors_table import BASE, F8, ONES, SHAPE, TABLE, P
from matrix import dtype_of
from placement import CANARY, Kept, place
from test_errors import CODE_DTYPES, REAL_DTYPES, SHARED

import fastquant as fq


def result_of(function: str, arguments: dict[str, Any]) -> tuple[tuple[int, ...], np.dtype[Any]] | None:
    """Shape and type of `out`, were the other arguments right; None for functions that have none."""
    source = next(iter(arguments.values()))
    shape = source.shape if isinstance(source, (np.ndarray, np.generic)) else SHAPE
    if function in ("minmax", "qparams", "pack", "unpack"):
        return None
    if function == "dequantize":
        return (SHAPE if arguments.get("packed") and shape == P.shape else shape), np.dtype(np.float32)
    if function == "fake_quantize":
        return shape, np.dtype(np.float32)
    zero_point, dtype = arguments.get("zero_point"), arguments.get("dtype", "int8")
    if "dtype" not in arguments and isinstance(zero_point, np.ndarray) and zero_point.dtype == F8:
        dtype = F8
    packed = bool(arguments.get("packed")) and bool(shape)
    try:
        return (
            ((*shape[:-1], -(-shape[-1] // 2)), np.dtype(np.uint8))
            if packed
            else (shape, dtype_of(np.dtype(dtype).name))
        )
    except (TypeError, ValueError):
        return shape, np.dtype(np.int8)


def message(function: str, arguments: dict[str, Any], exception: type[Exception]) -> str:
    with pytest.raises(exception) as caught:
        getattr(fq, function)(**arguments)
    assert type(caught.value) is exception, str(caught.value)
    return str(caught.value)


def named(i: int) -> str:
    return f"{i}-{TABLE[i][0]}-{'-'.join(TABLE[i][1])}"


PREPARED = {"quantize": fq.Quantizer, "dequantize": fq.Dequantizer}


def is_known_early(row: tuple[Any, ...]) -> bool:
    """Zeros of a float type are right for codes of that type, which Dequantizer has not seen yet: taken for 0."""
    return row[0] != "dequantize" or getattr(row[1].get("zero_point"), "dtype", None) != F8


@pytest.mark.parametrize(
    "i", [i for i, row in enumerate(TABLE) if row[0] in PREPARED and is_known_early(row)], ids=named
)
def test_prepared_parameters_are_wrong_in_the_same_ways(i):
    """When they are prepared, or when an array comes that they are not for."""
    function, wrong, exception, begins = TABLE[i]
    arguments = {**BASE[function], **wrong}
    array, out = arguments.pop("x" if function == "quantize" else "q"), arguments.pop("out", None)
    with pytest.raises(exception) as caught:
        PREPARED[function](**arguments)(array, out)
    assert type(caught.value) is exception, str(caught.value)
    # No array is there yet whose lengths could be told.
    told, expected = (re.sub(r"(one number or) .*", r"\1", text) for text in (str(caught.value), begins))
    assert told.startswith(expected)


@pytest.mark.parametrize("i", range(len(TABLE)), ids=named)
def test_wrong_arguments(i):
    function, wrong, exception, begins = TABLE[i]
    arguments = {**BASE[function], **wrong}
    told = message(function, arguments, exception)
    assert told.startswith(begins), told
    assert "\n" not in told
    result = result_of(function, arguments)
    for layout in ("plain", "mixed", "misaligned") if result else ():
        out, memory = place(layout, *result, np.random.default_rng(i))
        kept = Kept(memory)
        told = message(function, {**arguments, "out": out}, exception)
        assert told.startswith(begins), told
        assert kept.unchanged()


def test_every_argument_is_in_a_table():
    elsewhere = {name for row in (*SHARED, *CODE_DTYPES, *REAL_DTYPES) for name in row[0]}
    elsewhere |= {"x", "q", "out", "lo", "hi", "include_zero"}
    for function in BASE:
        names = set(inspect.signature(getattr(fq, function)).parameters)
        assert names <= {name for row in TABLE if row[0] == function for name in row[1]} | elsewhere, function


# ---- out ----

# function, arguments, and the shape and type that out must have
OUTS = {
    "quantize, packed": ("quantize", {"dtype": "int4", "packed": True}, (4, 3), "uint8"),
    "quantize, packed, 2 bits": ("quantize", {"dtype": "uint2", "packed": True}, (4, 2), "uint8"),
    "quantize, blocks": ("quantize", {"scale": ONES[4, 2], "block_size": 3, "dtype": "int16"}, (4, 6), "int16"),
    "quantize, float8": ("quantize", {"dtype": "float8_e5m2"}, (4, 6), "float8_e5m2"),
    "quantize, int4": ("quantize", {"dtype": "int4"}, (4, 6), "int4"),
    "dequantize, packed": ("dequantize", {"q": P, "packed": "uint4"}, (4, 6), "float32"),
    "dequantize, bfloat16": ("dequantize", {"dtype": "bfloat16"}, (4, 6), "bfloat16"),
    "fake_quantize, axes": ("fake_quantize", {"scale": ONES[4, 6], "axis": (0, 1)}, (4, 6), "float32"),
    "quantize_dynamic, rows": ("quantize_dynamic", {"axis": 0}, (4, 6), "int8"),
    "quantize_dynamic, packed": ("quantize_dynamic", {"axis": 0, "dtype": "int4", "packed": True}, (4, 3), "uint8"),
    "quantize_dynamic, float4": (
        "quantize_dynamic",
        {"block_size": 2, "dtype": "float4_e2m1fn"},
        (4, 6),
        "float4_e2m1fn",
    ),
    "requantize": ("requantize", {}, (4, 6), "int8"),
    "requantize, float8": (
        "requantize",
        {"dtype": "float8_e4m3fn", "scale": ONES[6,], "axis": 1},
        (4, 6),
        "float8_e4m3fn",
    ),
}


@pytest.mark.parametrize("layout", ["plain", "mixed"])
@pytest.mark.parametrize("name", OUTS)
def test_wrong_out(name, layout):
    function, options, shape, type_name = OUTS[name]
    arguments, dtype = {**BASE[function], **options}, dtype_of(type_name)
    other = np.dtype(np.int8) if dtype != np.int8 else np.dtype(np.uint8)
    for wrong in (shape[::-1], (4, shape[1] + 1), (4, shape[1] - 2), (1, *shape), (shape[0] * shape[1],), ()):
        out, memory = place(layout, wrong, dtype, np.random.default_rng(1))
        kept = Kept(memory)
        told = message(function, {**arguments, "out": out}, ValueError)
        assert told.startswith("out: got shape "), told
        assert kept.unchanged()
    out, memory = place(layout, shape, other, np.random.default_rng(1))
    kept = Kept(memory)
    told = message(function, {**arguments, "out": out}, TypeError)
    assert told.startswith(f"out: got an array of {other}, expected {type_name}")
    out, memory = place(layout, shape, dtype, np.random.default_rng(1))
    out.flags.writeable = False
    told = message(function, {**arguments, "out": out}, ValueError)
    assert told.startswith("out: got a read-only array")
    assert (memory == CANARY).all()
    assert message(function, {**arguments, "out": out.tolist()}, TypeError).startswith(
        "out: got list, expected a NumPy"
    )
    masked = np.ma.array(np.zeros(shape, dtype), mask=False) if dtype.isbuiltin == 1 else None
    if masked is not None:
        assert message(function, {**arguments, "out": masked}, TypeError).startswith("out: got a masked array")
    assert kept.unchanged()


@pytest.mark.parametrize("last", [4, 7, 8])
def test_out_of_packed_codes_holds_exactly_their_bytes(last):
    out, memory = place("window", (4, last), np.dtype(np.float32), np.random.default_rng(1))
    kept = Kept(memory)
    told = message("dequantize", {"q": P, "scale": 0.1, "packed": "int4", "out": out}, ValueError)
    assert told.startswith(f"out: got shape (4, {last}), expected (4, 6)")
    assert kept.unchanged()
    out = np.empty((4, 5), np.float32)  # three bytes, the last of them half full
    assert fq.dequantize(P, 0.1, packed="int4", out=out) is out


# ---- data without a range ----

WHERE: dict[str, dict[str, Any]] = {
    "tensor": {},
    "tokens": {"axis": 0},
    "channels": {"axis": 1},
    "both": {"axis": (1, 0)},
    "blocks": {"block_size": 32},
    "ragged blocks": {"block_size": 48},
    "blocks of rows": {"block_size": 2, "axis": 0},
}


@pytest.mark.parametrize("shape", [(5, 160), (3, 9000)], ids=str)
@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("real", ["float32", "float64", "float16", "bfloat16"])
def test_not_finite(target, real, where, shape):
    """The scale of a row is known before the next row is read: codes must not be in `out` when that turns out bad."""
    rng = np.random.default_rng(3)
    fine = rng.normal(size=shape).astype(dtype_of(real))
    for row in (0, shape[0] // 2, shape[0] - 1):
        for column in (0, shape[1] // 2 + 1, shape[1] - 1):
            bad = (np.nan, np.inf, -np.inf)[(row + column) % 3]
            x = fine.copy()
            x[row, column] = bad
            begins = f"x: got {bad} at index ({row}, {column}), expected finite values"
            for given in (x, np.asfortranarray(x)):
                assert message("minmax", {"x": given, **WHERE[where]}, ValueError).startswith(begins)
                for options, dtype, packs in (({}, "int8", 1), ({"packed": True}, "int4", 2), ({}, "float8_e4m3fn", 1)):
                    arguments = {"x": given, "dtype": dtype, **options, **WHERE[where]}
                    assert message("quantize_dynamic", arguments, ValueError).startswith(begins)
                    out_dtype = dtype_of("uint8" if packs == 2 else dtype)
                    for layout in ("plain", "strided"):
                        out, memory = place(layout, (shape[0], -(-shape[1] // packs)), out_dtype, rng)
                        kept = Kept(memory)
                        assert message("quantize_dynamic", {**arguments, "out": out}, ValueError).startswith(begins)
                        assert kept.unchanged()


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("symmetric", [True, False])
def test_ranges_without_a_scale(target, where, symmetric):
    """Finite float64 data whose scale float32 cannot hold."""
    for row in (0, 2, 4):
        x = np.ones((5, 160))
        x[row, 77] = 1e300
        arguments = {"x": x, "symmetric": symmetric, **WHERE[where]}
        for out_layout in (None, "plain", "strided"):
            out, memory = place(out_layout or "plain", x.shape, np.dtype(np.int8), np.random.default_rng(1))
            kept = Kept(memory)
            told = message("quantize_dynamic", {**arguments, "out": out} if out_layout else arguments, ValueError)
            assert told.startswith("x: got ")
            assert "scale" in told
            assert kept.unchanged()
