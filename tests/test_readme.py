"""The README says what is: its examples run, its tables are those of the kernels. And docstrings tell all arguments."""

from __future__ import annotations

import doctest
import inspect
import re
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from readme_tables import README, TABLES, markdown, with_tables

import fastquant as fq
from fastquant import _kernels
from fastquant import onnx as fqo

if not README.exists():
    pytest.skip("no README.md beside the tests", allow_module_level=True)

TEXT = README.read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
PUBLIC = [getattr(fq, name) for name in fq.__all__ if inspect.isroutine(getattr(fq, name))]


def test_examples_run():
    """One after the other, as a reader would."""
    names: dict[str, Any] = {}
    for block in BLOCKS:
        needs = re.match(r"import (torch|dask)", block)
        if ">>>" not in block and not (needs and find_spec(needs[1]) is None):
            exec(compile(block, "README.md", "exec"), names)
    assert names["rows"].scale.shape == (512,)
    assert np.abs(names["z"] - names["x"]).max() < 1
    assert names["tokens"].scale.shape == (8, 64)
    assert names["blocks"].scale.shape == (512, 8)
    assert (names["p"].dtype, names["p"].shape) == (np.uint8, (512, 384))
    assert (names["y"].dtype.name, names["y"].shape) == ("int4", (512, 768))


def test_examples_print_what_they_say():
    runner = doctest.DocTestRunner()
    shown = [block for block in BLOCKS if ">>>" in block]
    for i, block in enumerate(shown):
        # A comment behind a statement belongs to the source; doctest takes what follows as the output.
        test = doctest.DocTestParser().get_doctest(block, {"fq": fq, "np": np}, f"README.md {i}", None, None)
        assert runner.run(test, out=print).failed == 0
    assert runner.tries > 0


def test_tables_are_those_of_the_kernels():
    assert with_tables(TEXT) == TEXT, "python tests/readme_tables.py writes them"


def test_a_table_that_is_not_right_shows(monkeypatch):
    assert with_tables(TEXT.replace("| int8 | 8 |", "| int8 | 9 |", 1)) == TEXT
    monkeypatch.setitem(TABLES, "types", lambda: markdown(["codes"], [["int9"]]))
    assert with_tables(TEXT) != TEXT
    with pytest.raises(ValueError, match="no place for the table of layouts"):
        with_tables(TEXT.replace("<!-- layouts: end -->", ""))


@pytest.mark.parametrize("function", PUBLIC, ids=lambda function: function.__name__)
def test_the_readme_has_the_signatures(function):
    signature = inspect.signature(function)
    plain = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    text = str(inspect.Signature(plain)).replace("'", '"')
    assert f"`fq.{function.__name__}{text}`" in TEXT


# ---- docstrings ----


@pytest.mark.parametrize("function", [*PUBLIC, fqo.quantize_linear, fqo.dequantize_linear, fqo.dynamic_quantize_linear])
def test_docstrings_tell_every_argument(function):
    text = inspect.getdoc(function)
    for name in inspect.signature(function).parameters:
        assert re.search(rf"^ *(\w+, )*{name}(, \w+)* +(: )?\S", text, re.MULTILINE) or (
            function is fq.fake_quantize and re.search(rf"\b{name}\b", text)
        ), name
    for word in ("TypeError", "ValueError", "Returns"):
        assert word in text


def test_the_docstring_of_quantize_tells_every_code_type():
    for name, *_ in _kernels.code_types():
        assert name in inspect.getdoc(fq.quantize)
    assert all(name in inspect.getdoc(fq.quantize) for name, _ in _kernels.real_types())
