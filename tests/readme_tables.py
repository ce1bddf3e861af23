"""The README's tables of types, granularities and layouts, from the kernels' list and from calls that are made here.

python tests/readme_tables.py writes them into README.md, between the lines that mark their places
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from values import ALL_CODES, PACKED_TYPES, REAL_TYPES, bits, real_dtype

import fastquant as fq
from fastquant import _kernels

README = Path(__file__).resolve().parent.parent / "README.md"
SHAPE = (2, 3, 10)


def markdown(columns: list[str], rows: list[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


# ---- types ----


def types() -> str:
    """Every code type, with the reals that the span tables have rows for."""
    spans = _kernels.spans("portable")
    rows = []
    for name, lowest, highest, width, is_float in _kernels.code_types():
        to_and_from = []
        for real in REAL_TYPES:
            ways = [
                word
                for word, kernel in (("from", "quantize"), ("to", "dequantize"))
                if (kernel, real, name) in spans and (name in ALL_CODES or kernel == "dequantize")
            ]
            to_and_from.append(" and ".join(ways))
        packed = f"{8 // width} a byte" if name in PACKED_TYPES else "no"
        zero_point = "0" if is_float else "int32"
        rows.append([name, str(width), f"{lowest:g} to {highest:g}" if is_float else f"{lowest} to {highest}"])
        rows[-1] += [packed, zero_point, *to_and_from]
    return markdown(["codes", "bits", "range", "packed", "zero point", *REAL_TYPES], rows)


# ---- what works, by trying it ----

FUNCTIONS = ("quantize", "dequantize", "fake_quantize", "quantize_dynamic", "minmax", "requantize")

# Options for an array of SHAPE, and the shape that they give parameters.
GRANULARITIES: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "one scale": ({}, ()),
    "an axis, `axis=-1`": ({"axis": -1}, (10,)),
    "several, `axis=(2, 0)`": ({"axis": (2, 0)}, (10, 2)),
    "tokens of (batch, tokens, features), `axis=(0, 1)`": ({"axis": (0, 1)}, (2, 3)),
    "blocks of the last axis, the last one shorter, `block_size=4`": ({"block_size": 4}, (2, 3, 3)),
    "blocks of another axis, `axis=1, block_size=2`": ({"axis": 1, "block_size": 2}, (2, 2, 10)),
}


def _spread_out(a: np.ndarray) -> np.ndarray:
    wide = np.zeros((*a.shape[:-1], 2 * a.shape[-1]), a.dtype)
    wide[..., ::2] = a
    return wide[..., ::2]


def _turned(a: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(a[..., ::-1])[..., ::-1]


def _transposed(a: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(a.transpose(1, 2, 0)).transpose(2, 0, 1)


def _misaligned(a: np.ndarray) -> np.ndarray:
    memory = np.zeros(a.nbytes + 1, np.uint8)
    found = memory[1:].view(a.dtype).reshape(a.shape)
    found[...] = a
    return found


def _swapped(a: np.ndarray) -> np.ndarray:
    # One byte has no order, and bfloat16 has no name for the other one.
    return a.astype(a.dtype.newbyteorder()) if a.dtype.isbuiltin == 1 else a


def _read_only(a: np.ndarray) -> np.ndarray:
    found = a.copy()
    found.flags.writeable = False
    return found


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "C-contiguous": np.ascontiguousarray,
    "Fortran-ordered": np.asfortranarray,
    "axes in any order": _transposed,
    "strided": _spread_out,
    "negative strides": _turned,
    "misaligned": _misaligned,
    "byte-swapped": _swapped,
    "read-only": _read_only,
}


def _call(function: str, a: np.ndarray, code: str, real: str, granularity: str, **more: Any) -> Any:
    options, shape = GRANULARITIES[granularity]
    scale = 0.1 * (1 + np.arange(np.prod(shape, dtype=int)).reshape(shape))
    options = options | more
    if function == "minmax":
        return fq.minmax(a, **options)
    if function == "quantize_dynamic":
        return fq.quantize_dynamic(a, code, **options)
    if function == "requantize":
        return fq.requantize(a, scale, 0, 2 * scale, 0, dtype=code, **options)
    return getattr(fq, function)(a, scale, dtype=real if function == "dequantize" else code, **options)


def _input(function: str, code: str, real: str) -> np.ndarray:
    x = (np.arange(np.prod(SHAPE)) % 23 - 11.0).reshape(SHAPE)
    if function in ("dequantize", "requantize"):
        return fq.quantize(x, 1.0, dtype=code)
    return x.astype(real_dtype(real))


def _equal(got: Any, expected: Any) -> bool:
    pairs = zip(*(value if isinstance(value, tuple) else (value,) for value in (got, expected)), strict=True)
    return all(np.array_equal(bits(_native(a)), bits(b)) for a, b in pairs)


def _native(a: Any) -> np.ndarray:
    a = np.asarray(a)
    return a if a.dtype.isnative else a.astype(a.dtype.newbyteorder("="))


def _works(function: str, granularity: str, layout: str, code: str, real: str, gives_out: bool) -> bool:
    """Whether it takes an input, or an `out`, of that layout, with the result that contiguous arrays have."""
    a, lay_out = _input(function, code, real), LAYOUTS[layout]
    expected = _call(function, a, code, real, granularity)
    if not gives_out:
        return _equal(_call(function, lay_out(a), code, real, granularity), expected)
    made = expected[0] if isinstance(expected, tuple) else expected
    out = lay_out(np.zeros_like(made))
    got = _call(function, a, code, real, granularity, out=out)
    return (got[0] if isinstance(got, tuple) else got) is out and _equal(got, expected)


def _types_of(function: str) -> Iterator[tuple[str, str]]:
    """Every code type and every real type that the function looks at, each at least once."""
    if function == "minmax":
        return iter([("int8", real) for real in REAL_TYPES])
    reals = [("int8", real) for real in REAL_TYPES[1:]] if function != "requantize" else []
    return iter([*((code, REAL_TYPES[0]) for code in ALL_CODES), *reals])


def _verdict(function: str, granularities: list[str], layouts: list[str], gives_out: bool = False) -> str:
    """yes or no, for all types alike."""
    found = set()
    for granularity, layout in itertools.product(granularities, layouts):
        for code, real in _types_of(function):
            try:
                found.add(_works(function, granularity, layout, code, real, gives_out))
            except (TypeError, ValueError):
                found.add(False)
    return {(True,): "yes", (False,): "no"}.get(tuple(found), "some types")


def granularities() -> str:
    rows = [[name, *(_verdict(f, [name], list(LAYOUTS)) for f in FUNCTIONS)] for name in GRANULARITIES]
    return markdown(["", *(f"`{name}`" for name in FUNCTIONS)], rows)


def layouts() -> str:
    elementwise = [function for function in FUNCTIONS if function != "minmax"]
    some = ["one scale", "an axis, `axis=-1`"]
    rows = []
    for name in LAYOUTS:
        given, taken = (
            {_verdict(function, some, [name], gives_out) for function in elementwise} for gives_out in (False, True)
        )
        rows.append([name, *("yes" if v == {"yes"} else "no" if v == {"no"} else "some" for v in (given, taken))])
    return markdown(["layout", "input", "`out`"], rows)


TABLES: dict[str, Callable[[], str]] = {"types": types, "granularities": granularities, "layouts": layouts}


def with_tables(text: str) -> str:
    """The README with the tables as they should be."""
    for name, table in TABLES.items():
        before, begin, rest = text.partition(f"<!-- {name}: tests/readme_tables.py -->\n")
        _, end, after = rest.partition(f"\n<!-- {name}: end -->")
        if not begin or not end:
            raise ValueError(f"README.md: no place for the table of {name}")
        text = f"{before}{begin}{table()}{end}{after}"
    return text


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    README.write_text(with_tables(README.read_text(encoding="utf-8")), encoding="utf-8")
