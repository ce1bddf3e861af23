"""What the tests of the command line share."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastquant import _reference as reference
from fastquant.cli import main

ON_POSIX = pytest.mark.skipif(os.name != "posix", reason="needs POSIX")


def header_of(path: Path) -> dict[str, Any]:
    """The header of a safetensors file, in the order of the file."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        assert length % 8 == 0
        return json.loads(file.read(length))


def listing(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def refused(capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    """The one line that a failing command prints."""
    assert main([str(arg) for arg in argv]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("fastquant: ")
    assert err.endswith("\n")
    assert err[:-1].isprintable()
    assert len(err) < 2000
    return err


def model_arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    weights = rng.standard_normal((48, 32)).astype(np.float32)
    weights[5] *= 20
    return {
        "z.weight": weights,
        "a.half": rng.standard_normal((6, 4, 3)).astype(np.float16),
        "m.double": rng.standard_normal((5, 7)),
        "bias": rng.standard_normal(32).astype(np.float32),
        "ids": np.arange(20, dtype=np.int64).reshape(4, 5),
        "empty": np.zeros((0, 8), np.float32),
    }


def reference_codes(x: np.ndarray, dtype: str, symmetric: bool, axis: int | None) -> tuple:
    return reference.quantize_dynamic(x.astype(np.float32), dtype, symmetric=symmetric, axis=axis)


def table_row(out: str, first: str) -> list[str]:
    """The cells of the line that begins with this word."""
    return next(line.split() for line in out.splitlines() if line.split()[:1] == [first])
