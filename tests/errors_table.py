"""The table of test_errors_table.py: calls that must fail, and how their messages begin."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

V, T = ValueError, TypeError

SHAPE = (4, 6)
X = np.linspace(-1, 1, 24, dtype=np.float32).reshape(SHAPE)
Q = np.ones(SHAPE, np.int8)
Q4 = np.ones(SHAPE, ml_dtypes.int4)
P = np.full((4, 3), 0x21, np.uint8)
F8 = ml_dtypes.float8_e4m3fn

BASE: dict[str, dict[str, Any]] = {
    "quantize": {"x": X, "scale": 0.1},
    "dequantize": {"q": Q, "scale": 0.1},
    "fake_quantize": {"x": X, "scale": 0.1},
    "quantize_dynamic": {"x": X},
    "minmax": {"x": X},
    "qparams": {"lo": -1.0, "hi": 1.0},
    "requantize": {"q": Q, "scale": 0.1, "zero_point": 0, "new_scale": 0.2, "new_zero_point": 0},
    "pack": {"q": Q4},
    "unpack": {"p": P, "dtype": "int4", "shape": SHAPE},
}
AFFINE = "quantize dequantize fake_quantize"
RANGES = "quantize_dynamic minmax"
WITH_AXIS = f"{AFFINE} {RANGES} requantize"
WITH_BLOCKS = f"{AFFINE} {RANGES}"
PACKING = "quantize quantize_dynamic"

ONES = {n: np.ones(n, np.float32) for n in ((), (1,), (2,), (4,), (6,), (4, 1), (4, 2), (4, 6), (6, 4), (1, 6))}
ZEROS = {n: np.zeros(n, np.int32) for n in ONES}


def rows(functions: str, *wrong: tuple[dict[str, Any], type[Exception], str]) -> list[Any]:
    return [(function, *row) for function in functions.split() for row in wrong]


# function, arguments that differ from BASE, exception, how the message begins
TABLE = [
    # ---- axis ----
    *rows(
        WITH_AXIS,
        ({"axis": (0, 0)}, V, "axis: got (0, 0), expected each axis once"),
        ({"axis": (0, -2)}, V, "axis: got (0, -2), expected each axis once"),
        ({"axis": (0, 2)}, V, "axis: got 2, expected an axis of an array of shape (4, 6)"),
        ({"axis": (-3,)}, V, "axis: got -3"),
        ({"axis": 10**30}, V, "axis: got 1000000000000000000000000000000"),
        ({"axis": (0, 1.0)}, T, "axis: got (0, 1.0), expected None, an integer or a tuple of integers"),
        ({"axis": (0, None)}, T, "axis: got (0, None)"),
        ({"axis": (0, True)}, T, "axis: got (0, True)"),
        ({"axis": ((0,),)}, T, "axis: got ((0,),)"),
        ({"axis": [0]}, T, "axis: got [0]"),
        ({"axis": True}, T, "axis: got True"),
        ({"axis": "rows"}, T, "axis: got 'rows'"),
        ({"axis": np.array([0, 1])}, T, "axis: got array([0, 1])"),
    ),
    # ---- block_size ----
    *rows(
        WITH_BLOCKS,
        ({"block_size": 0}, V, "block_size: got 0, expected an integer > 0"),
        ({"block_size": -32}, V, "block_size: got -32"),
        ({"block_size": 2.0}, T, "block_size: got 2.0, expected None or an integer > 0"),
        ({"block_size": "2"}, T, "block_size: got '2'"),
        ({"block_size": True}, T, "block_size: got True"),
        ({"block_size": (2, 2)}, T, "block_size: got (2, 2)"),
        ({"block_size": 2, "axis": (0, 1)}, V, "axis: got (0, 1), expected one axis where there is a block_size"),
        ({"block_size": 2, "axis": 2}, V, "axis: got 2"),
        ({"block_size": 2, "axis": 0.5}, T, "axis: got 0.5"),
    ),
    *rows(
        "quantize fake_quantize quantize_dynamic minmax",
        ({"x": np.float32(1), "block_size": 2}, V, "block_size: got 2 for an array of shape ()"),
        ({"x": np.float32(1), "axis": 0}, V, "axis: got 0, expected an axis of an array of shape ()"),
    ),
    ("dequantize", {"q": np.int8(1), "block_size": 2}, V, "block_size: got 2 for an array of shape ()"),
    ("requantize", {"q": np.int8(1), "axis": -1}, V, "axis: got -1, expected an axis of an array of shape ()"),
    ("requantize", {"block_size": 2}, T, ""),  # it has none: Python's own message
    # ---- parameters: as many as the granularity has ----
    *rows(
        AFFINE,
        *(
            ({**where, name: values[shape]}, V, f"{name}: got shape {shape}, expected one number or shape {wanted}")
            for name, values in (("scale", ONES), ("zero_point", ZEROS), ("offset", ONES))
            for where, shape, wanted in (
                ({"axis": (0, 1)}, (6, 4), "(4, 6), the lengths of axes (0, 1)"),
                ({"axis": (1, 0)}, (4, 6), "(6, 4), the lengths of axes (1, 0)"),
                ({"axis": (0, 1)}, (4,), "(4, 6)"),
                ({"axis": (1,)}, (4,), "(6,), the length of axis 1"),
                ({"axis": -2}, (6,), "(4,), the length of axis 0"),
                ({"axis": 0}, (4, 1), "(4,)"),
                ({"axis": 0}, (1,), "(4,)"),
                ({"block_size": 3}, (4,), "(4, 2), one for each block of 3 along axis 1"),
                ({"block_size": 3}, (4, 1), "(4, 2)"),
                ({"block_size": 3}, (4, 6), "(4, 2)"),
                ({"block_size": 4, "axis": 0}, (4, 6), "(1, 6), one for each block of 4 along axis 0"),
                ({"block_size": 100, "axis": 1}, (4, 2), "(4, 1)"),
            )
        ),
        ({"axis": (), "scale": ONES[4,]}, V, "scale: got shape (4,), expected one number"),
        ({"scale": np.float32([[0.1, 0.1], [0.1, 0.0]] * 2), "block_size": 3}, V, "scale: got 0.0 at index (1, 1)"),
        (
            {"offset": np.float32([[0.1, np.nan], [0.1, 0.0]] * 2), "block_size": 3},
            ValueError,
            "offset: got nan at index (0, 1), expected finite numbers",
        ),
        ({"zero_point": np.full((4, 6), 2**31), "axis": (0, 1)}, V, "zero_point: got 2147483648 at index (0, 0)"),
        ({"offset": 1.0, "zero_point": np.int32([0, 0, 0, 1]), "axis": 0}, V, "offset: got an offset and a zero_point"),
        ({"scale": np.ones(4, F8), "axis": 0}, T, "scale: got an array of float8_e4m3fn"),
        ({"scale": np.ones(4, "M8[s]"), "axis": 0}, T, "scale: got an array of datetime64[s]"),
        ({"zero_point": np.zeros(4, np.float32), "axis": 0}, T, "zero_point: got an array of float32, expected int32"),
    ),
    # ---- packed ----
    *rows(
        PACKING,
        ({"packed": 1, "dtype": "int4"}, T, "packed: got 1, expected True or False"),
        ({"packed": None, "dtype": "int4"}, T, "packed: got None"),
        ({"packed": "int4", "dtype": "int4"}, T, "packed: got 'int4'"),
        ({"packed": True}, V, "packed: got True for int8, expected a dtype of 4 or 2 bits: int4, uint4"),
        ({"packed": True, "dtype": "float8_e5m2"}, V, "packed: got True for float8_e5m2"),
        ({"packed": True, "dtype": "float6_e2m3fn"}, V, "packed: got True for float6_e2m3fn"),
        ({"packed": np.True_, "dtype": "uint16"}, V, "packed: got True for uint16"),
        ({"packed": True, "dtype": "int4", "x": np.float32(1)}, V, "packed: got True for an array of shape ()"),
    ),
    *rows(
        "dequantize",
        ({"packed": True, "q": P}, T, "packed: got True, expected the type of the packed codes: int4, uint4"),
        ({"packed": 4, "q": P}, T, "packed: got 4, expected one of int8"),
        ({"packed": "int8", "q": P}, V, "packed: got int8, expected a type of 4 or 2 bits"),
        ({"packed": "float8_e4m3fn", "q": P}, V, "packed: got float8_e4m3fn"),
        ({"packed": "int5", "q": P}, V, "packed: got 'int5'"),
        ({"packed": np.float32, "q": P}, V, "packed: got float32"),
        ({"packed": "int4"}, T, "q: got an array of int8, expected a packed array of uint8"),
        ({"packed": "int4", "q": Q4}, T, "q: got an array of int4, expected a packed array of uint8"),
        ({"packed": "int4", "q": np.uint8(3)}, V, "q: got an array of shape (), expected one whose last axis"),
        ({"packed": "int4", "q": [1, 1 << 40]}, T, "q: got a list of int64"),
        ({"packed": "int4", "q": None}, T, "q: got None"),
        ({"packed": "int4", "q": P, "scale": ONES[4, 2], "block_size": 2}, V, "scale: got shape (4, 2), expected one"),
        ({"packed": "int4", "q": P, "scale": ONES[4, 2], "axis": 1}, V, "scale: got shape (4, 2)"),
        ({"packed": "float4_e2m1fn", "q": P, "zero_point": 1}, V, "zero_point: got 1, expected 0"),
    ),
    # ---- saturate ----
    *rows(
        "quantize fake_quantize",
        ({"saturate": False}, V, "saturate: got False, expected True for int8: integers always saturate"),
        ({"saturate": False, "dtype": "uint2"}, V, "saturate: got False, expected True for uint2"),
        ({"saturate": np.False_, "dtype": "uint16"}, V, "saturate: got False"),
        ({"saturate": 0, "dtype": F8}, T, "saturate: got 0, expected True or False"),
        ({"saturate": 1}, T, "saturate: got 1, expected True or False"),
        ({"saturate": None, "dtype": F8}, T, "saturate: got None"),
        ({"saturate": "no", "dtype": F8}, T, "saturate: got 'no'"),
    ),
    # ---- float codes have no zero point ----
    *rows(
        "quantize fake_quantize",
        *(
            row
            for name in ("float8_e4m3fn", "float8_e5m2fnuz", "float6_e3m2fn", "float4_e2m1fn")
            for row in (
                ({"dtype": name, "zero_point": 1}, V, f"zero_point: got 1, expected 0: {name} has no zero point"),
                ({"dtype": name, "zero_point": -1}, V, "zero_point: got -1, expected 0"),
                ({"dtype": name, "zero_point": 0.0}, T, "zero_point: got float"),
                ({"dtype": name, "zero_point": np.int32([0, 0, 3, 0]), "axis": 0}, V, "zero_point: got 3 at index 2"),
            )
        ),
    ),
    ("quantize", {"zero_point": np.zeros(4, F8), "axis": 0, "dtype": "int8"}, T, "zero_point: got an array of float8"),
    ("dequantize", {"zero_point": np.zeros(4, F8), "axis": 0}, T, "zero_point: got an array of float8_e4m3fn"),
    ("quantize", {"zero_point": np.array(1, F8)}, V, "zero_point: got 1.0, expected 0: float8_e4m3fn"),
    ("quantize", {"zero_point": np.array([0, 1, 0, 0], F8), "axis": 0}, V, "zero_point: got 1.0 at index 1"),
    ("fake_quantize", {"zero_point": np.zeros((), F8)}, V, "zero_point: got float8_e4m3fn, expected int8"),
    ("fake_quantize", {"zero_point": np.zeros((), Q4.dtype), "dtype": "uint4"}, V, "zero_point: got int4"),
    ("dequantize", {"q": Q.view(F8), "zero_point": 2}, V, "zero_point: got 2, expected 0: float8_e4m3fn"),
    ("requantize", {"q": Q.view(F8), "zero_point": 2}, V, "zero_point: got 2, expected 0: float8_e4m3fn"),
    ("requantize", {"dtype": F8, "new_zero_point": 2}, V, "new_zero_point: got 2, expected 0: float8_e4m3fn"),
    *rows(
        "quantize_dynamic qparams",
        *(
            row
            for name in ("float8_e4m3fn", "float8_e5m2", "float6_e2m3fn", "float4_e2m1fn")
            for row in (
                ({"dtype": name, "symmetric": False}, V, f"symmetric: got False, expected True for {name}"),
                ({"dtype": name, "narrow_range": True}, V, f"narrow_range: got True, expected False for {name}"),
            )
        ),
        ({"dtype": F8, "symmetric": 1}, T, "symmetric: got 1, expected True or False"),
        ({"dtype": F8, "narrow_range": "no"}, T, "narrow_range: got 'no', expected True or False"),
    ),
    # ---- dtype ----
    *rows(
        "quantize fake_quantize quantize_dynamic qparams requantize unpack",
        ({"dtype": "int32"}, V, "dtype: got int32, expected one of int8, uint8, int16"),
        ({"dtype": np.dtype(">i4")}, V, "dtype: got int32"),
        ({"dtype": "bfloat16"}, V, "dtype: got bfloat16"),
        ({"dtype": ml_dtypes.float8_e8m0fnu}, V, "dtype: got float8_e8m0fnu"),
        ({"dtype": "int3"}, V, "dtype: got 'int3'"),
        ({"dtype": ""}, V, "dtype: got ''"),
        ({"dtype": 4}, T, "dtype: got 4"),
        ({"dtype": ("int8", 2)}, V, "dtype: got void16"),
    ),
    *rows(
        "fake_quantize quantize_dynamic qparams requantize unpack",
        ({"dtype": None}, T, "dtype: got None, expected one of int8"),
    ),
    *rows(
        "dequantize",
        ({"dtype": "int4"}, V, "dtype: got int4, expected one of float32"),
        ({"dtype": F8}, V, "dtype: got float8_e4m3fn"),
        ({"dtype": complex}, V, "dtype: got complex128"),
    ),
    # ---- requantize ----
    *rows(
        "requantize",
        ({"q": X}, T, "q: got an array of float32, expected an array of int8"),
        ({"q": Q.astype(np.int64)}, T, "q: got an array of int64"),
        ({"q": [1, 1 << 40]}, T, "q: got a list of int64"),
        *(
            row
            for name in ("scale", "new_scale")
            for row in (
                ({name: 0.0}, V, f"{name}: got 0.0, expected finite numbers > 0"),
                ({name: -1.0}, V, f"{name}: got -1.0"),
                ({name: np.inf}, V, f"{name}: got inf"),
                ({name: 1e-46}, V, f"{name}: got 1e-46, expected finite numbers > 0, as float32"),
                ({name: "1"}, T, f"{name}: got '1'"),
                ({name: None}, T, f"{name}: got None"),
                ({name: ONES[4,]}, V, f"{name}: got shape (4,), expected one number; for one of each channel"),
                ({name: ONES[4,], "axis": 1}, V, f"{name}: got shape (4,), expected one number or shape (6,)"),
                ({name: np.float32([1, 1, np.nan, 1]), "axis": 0}, V, f"{name}: got nan at index 2"),
            )
        ),
        *(
            row
            for name in ("zero_point", "new_zero_point")
            for row in (
                ({name: 0.5}, T, f"{name}: got float, expected int32 integers"),
                ({name: True}, T, f"{name}: got True"),
                ({name: None}, T, f"{name}: got None"),
                ({name: 2**31}, V, f"{name}: got 2147483648"),
                ({name: 2**80}, V, f"{name}: got {2**80}"),
                ({name: ZEROS[4,]}, V, f"{name}: got shape (4,)"),
                ({name: np.array([0, 0, -(2**31) - 1, 0]), "axis": 0}, V, f"{name}: got -2147483649 at index 2"),
            )
        ),
    ),
    # ---- pack and unpack ----
    *rows(
        "pack",
        ({"q": Q}, T, "q: got an array of int8, expected an array of codes of 4 or 2 bits: int4, uint4"),
        ({"q": Q.astype(np.int32)}, T, "q: got an array of int32"),
        ({"q": Q.view(F8)}, T, "q: got an array of float8_e4m3fn"),
        ({"q": Q.view(ml_dtypes.float6_e2m3fn)}, T, "q: got an array of float6_e2m3fn"),
        ({"q": X}, T, "q: got an array of float32"),
        ({"q": [1, 1 << 40]}, T, "q: got a list of int64"),
        ({"q": None}, T, "q: got None"),
        ({"q": np.ma.array(Q)}, T, "q: got a masked array"),
        ({"q": np.array(1, Q4.dtype)}, V, "q: got an array of shape (), expected one with an axis to pack along"),
    ),
    *rows(
        "unpack",
        ({"p": Q}, T, "p: got an array of int8, expected a packed array of uint8"),
        ({"p": Q4}, T, "p: got an array of int4"),
        ({"p": np.uint8(1)}, V, "p: got an array of shape ()"),
        ({"p": [1, 1 << 40]}, T, "p: got a list of int64"),
        ({"p": None}, T, "p: got None"),
        ({"dtype": "int8"}, V, "dtype: got int8, expected one of 4 or 2 bits: int4"),
        ({"dtype": "float6_e3m2fn"}, V, "dtype: got float6_e3m2fn, expected one of 4 or 2 bits"),
        ({"shape": (4, 7)}, V, "shape: got (4, 7), expected one of int4 that packs into (4, 3), the shape of p"),
        ({"shape": (4, 4)}, V, "shape: got (4, 4)"),
        ({"shape": (6, 4)}, V, "shape: got (6, 4)"),
        ({"shape": (24,)}, V, "shape: got (24,)"),
        ({"shape": 24}, V, "shape: got (24,)"),
        ({"shape": (1, 4, 6)}, V, "shape: got (1, 4, 6)"),
        ({"shape": ()}, V, "shape: got ()"),
        ({"shape": (-4, 6)}, V, "shape: got (-4, 6)"),
        ({"shape": (4, -6)}, V, "shape: got (4, -6)"),
        ({"shape": (4, 6.0)}, T, "shape: got (4, 6.0), expected an integer or a tuple of integers"),
        ({"shape": "46"}, T, "shape: got '46'"),
        ({"shape": None}, T, "shape: got None"),
        ({"shape": (True, 6)}, T, "shape: got (True, 6)"),
        ({"shape": True}, T, "shape: got True"),
        ({"shape": ((4, 6),)}, T, "shape: got ((4, 6),)"),
        ({"dtype": "uint2"}, V, "shape: got (4, 6), expected one of uint2 that packs into (4, 3)"),
    ),
]  # fmt: skip
