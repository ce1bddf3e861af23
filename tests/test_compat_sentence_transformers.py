"""fastquant.compat.sentence_transformers against sentence-transformers itself: equal to the bit, but for what its text
lists."""

from __future__ import annotations

import inspect
import logging
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
from compat_table_others import FAMILIES, differences, original, random, silent
from hypothesis import given
from hypothesis import strategies as st

from fastquant import _reference
from fastquant.compat import sentence_transformers as ours

INF, NAN = float("inf"), float("nan")
PRECISIONS = ("float32", "int8", "uint8", "binary", "ubinary")
quantize = ours.quantize_embeddings


@pytest.fixture(scope="module")
def theirs():
    if original("sentence_transformers") is None:
        pytest.skip("needs sentence-transformers, and what it needs")
    return original("sentence_transformers").quantize_embeddings


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


def same(mine, other):
    n, wrong = differences(mine, other)
    assert not wrong, f"{wrong} of {n} differ"


# ---- equal to the original ----


def test_equal_to_the_original(theirs, target):
    compared = 0
    for case in FAMILIES["sentence_transformers"]():
        n, wrong = differences(case.mine(), silent(case.original))
        assert not wrong, f"{case.label}: {wrong} of {n} differ"
        compared += n
    assert compared > 10**5


def test_signature(theirs):
    mine, other = (inspect.signature(f).parameters.values() for f in (quantize, theirs))
    assert [(p.name, p.default) for p in mine] == [(p.name, p.default) for p in other]


@given(
    rows=st.lists(st.tuples(*[st.floats(-(2.0**100), 2.0**100, width=32)] * 3), min_size=2, max_size=6),
    precision=st.sampled_from(PRECISIONS),
    dtype=st.sampled_from(["f4", "f8"]),
)
def test_any_numbers(theirs, rows, precision, dtype):
    x = np.array(rows, dtype)
    same(quantize(x, precision), silent(lambda: theirs(x, precision)))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_tensors(theirs, torch, precision, target):
    x = torch.from_numpy(random((120, 9)))
    ranges = random((2, 9)) * np.array([[0], [1]], "f4") ** 2
    ranges.sort(axis=0)
    for t in (x, x.double(), x.half(), x.bfloat16(), x.T.contiguous().T, x[::2]):
        same(quantize(t, precision), theirs(t, precision))
        same(quantize(list(t), precision, ranges), theirs(list(t), precision, ranges))
        same(quantize([t, t[:3]], precision), theirs([t, t[:3]], precision))
    x.requires_grad_()
    with pytest.raises(RuntimeError, match="grad"):
        theirs(x, precision)
    with pytest.raises(RuntimeError, match="grad"):
        quantize(x, precision)


@pytest.mark.parametrize("precision", ["int8", "uint8"])
@pytest.mark.parametrize("arguments", [([[0.5, 1.0]],), ([0.5, 1.0],), ([np.zeros((1, 2)), np.zeros((0, 2))],)])
def test_a_single_embedding(theirs, precision, arguments):
    arguments = (np.array(arguments[0]) if isinstance(arguments[0][0], (list, float)) else arguments[0], precision)
    for function in (quantize, theirs):
        with pytest.raises(ValueError, match="single"):
            function(*arguments)


@pytest.mark.parametrize("rows", [99, 100])
def test_the_warning(theirs, rows, caplog):
    x = random((rows, 4))
    with caplog.at_level(logging.WARNING):
        for function in (quantize, theirs):
            function(x, "int8")
            function([x[:40], x[40:]], "uint8")
            function(x, "int8", calibration_embeddings=x)
            function(x, "binary")
    by = [record.name.startswith("fastquant") for record in caplog.records]
    assert (sum(by), len(by)) == ((2, 4) if rows < 100 else (0, 0))


# ---- by definition, also without the original ----


@pytest.mark.parametrize("precision", ["int8", "uint8"])
def test_by_definition(precision, target):
    x = random((200, 17))
    start, end = x.min(axis=0), x.max(axis=0)
    expected = np.clip(np.floor((x - start) / ((end - start) / np.float32(255))), 0, 255)
    low = -128 if precision == "int8" else 0
    same(quantize(x, precision), (expected + low).astype(precision))
    bits = np.packbits(x > 0, axis=-1)
    same(quantize(x, "ubinary"), bits)
    same(quantize(x, "binary"), (bits.astype(int) - 128).astype("int8"))
    kept = x.copy()
    quantize(x, precision)
    assert (x == kept).all()


def test_bfloat16_arrays(target):
    """NumPy arrays of ml_dtypes: as float32, which holds them."""
    x = random((120, 5)).astype(ml_dtypes.bfloat16)
    for precision in PRECISIONS:
        same(quantize(x, precision), quantize(x.astype("f4"), precision))
        same(quantize([x, x], precision)[1], quantize(x.astype("f4"), precision))


# ---- different, as documented ----


def test_nan(theirs, target):
    x = np.array([[NAN, 1], [0.5, -NAN]], "f4")
    ranges = np.array([[0, 0], [1, 2]], "f4")
    assert quantize(x, "uint8", ranges).tolist() == [[0, 127], [127, 0]]
    assert quantize(x, "int8", ranges).tolist() == [[-128, -1], [-1, -128]]
    assert silent(lambda: theirs(x, "int8", ranges)).tolist() != [[-128, -1], [-1, -128]]
    same(quantize(x, "binary"), theirs(x, "binary"))


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_ranges_that_are_not_finite(theirs, bad):
    x = random((120, 3))
    broken = x.copy()
    broken[7, 1] = bad
    with pytest.raises(ValueError, match=rf"^embeddings: got {bad}"):
        quantize(broken, "int8")
    with pytest.raises(ValueError, match=rf"^embeddings: got {bad}"):
        quantize([x, broken], "int8")
    with pytest.raises(ValueError, match=rf"^calibration_embeddings: got {bad}"):
        quantize(x, "int8", calibration_embeddings=broken)
    for at in (0, 1):
        ranges = np.array([[-1, -1, -1], [1, 1, 1]], "f4")
        ranges[at, 2] = bad
        with pytest.raises(ValueError, match=r"ranges: got \(.*\) for dimension 2, expected finite ends"):
            quantize(x, "int8", ranges)
        column = silent(lambda ranges=ranges: theirs(x, "uint8", ranges))[:, 2]
        assert len(set(column.tolist())) <= 2  # there: all of a dimension is lost


def test_ranges_of_wrong_widths(theirs, target):
    x = random((5, 2))
    for lo, hi in ((1, -1), (-3e38, 3e38)):
        ranges = np.array([[lo, 0], [hi, 1]], "f4")
        with pytest.raises(ValueError, match=r"ranges: got \(.*\) for dimension 0, expected finite ends, the second"):
            quantize(x, "uint8", ranges)
        column = silent(lambda ranges=ranges: theirs(x, "uint8", ranges))[:, 0].tolist()
        order = np.argsort(x[:, 0])
        assert np.array(column)[order].tolist() == sorted(column, reverse=True)  # falling, or all the same


def test_three_dimensions_without_ranges(theirs):
    x = random((4, 3, 5))
    with pytest.raises(ValueError, match="embeddings: got 3 dimensions, expected 2"):
        quantize(x, "int8")
    with pytest.raises(ValueError, match="calibration_embeddings: got 3 dimensions, expected 2"):
        quantize(x[0], "int8", calibration_embeddings=x)
    other = silent(lambda: theirs(x, "uint8"))
    ranges = x.min(axis=0)[:2]  # not the extremes of anything
    same(other, silent(lambda: theirs(x, "uint8", ranges)))


def test_lists_of_several_widths(theirs):
    documents = [random((60, 3)), random((60, 2))]
    for function in (quantize, theirs):
        with pytest.raises(ValueError, match=r"widths|dimensions"):
            function(documents, "int8")
    with pytest.raises(ValueError, match=r"ranges: got shape \(2, 3\), expected \(2, 2\)"):
        quantize(documents, "int8", random((2, 3)) ** 2 * np.array([[0], [1]], "f4"))


def test_errors():
    x = random((4, 3))
    for arguments, kind, text in (
        ((x, "int4"), ValueError, "precision: got 'int4', expected float32, int8"),
        ((x, "xint8"), ValueError, "precision: got 'xint8', expected float32, int8"),
        ((x.astype("i1"), "int8"), TypeError, "embeddings: got int8, expected real numbers"),
        (([np.ones((4, 3), "u1")], "binary"), TypeError, "embeddings: got uint8, expected real numbers"),
        ((x.astype(complex), "int8"), TypeError, "embeddings: got complex128, expected real numbers"),
        ((np.float32(1), "int8"), ValueError, "embeddings: got a number, expected an array"),
        ((x, "int8", x[:1]), ValueError, r"ranges: got shape \(1, 3\), expected \(2, 3\)"),
        ((x, "int8", x[0]), ValueError, r"ranges: got shape \(3,\), expected \(2, 3\)"),
        ((x, "int8", np.array([[0, 0], [1, 1]])), ValueError, r"ranges: got shape \(2, 2\), expected \(2, 3\)"),
        ((x, "int8", None, x[:0]), ValueError, "calibration_embeddings: got shape"),
    ):
        with pytest.raises(kind, match=text):
            quantize(*arguments)


def test_hands_on_to_kernels(target):
    """The rule itself, at the ties and ends of what it rounds."""
    start, step = np.float32(-1), np.float32(2**-7)
    x = np.concatenate([np.arange(-400, 400, dtype="f4") * step / 2, np.array([INF, -INF, 3e38, 1e-45], "f4")])
    ranges = np.array([[start], [start + 255 * step]], "f4")
    for precision, low in (("uint8", 0), ("int8", -128)):
        expected = _reference.quantize(x, step, low, rule="floor", dtype=precision, offset=start)
        same(quantize(x, precision, ranges), expected)


def test_neither_original_is_imported():
    code = (
        "import sys, numpy as np\n"
        "from fastquant.compat.sentence_transformers import quantize_embeddings\n"
        "quantize_embeddings(np.eye(200, dtype='f4'), 'int8'); quantize_embeddings([[1.0, 2.0]], 'binary')\n"
        "assert not {'torch', 'sentence_transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-P", "-W", "error", "-c", code], check=True)
