"""Where fastquant.compat.torch differs from torch, as its text says: each with what torch does. What it hands on; its
errors; the page on moving."""

from __future__ import annotations

import re
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from compat_table_torch import differences, random, theirs  # noqa: E402

from fastquant.compat import torch as ours  # noqa: E402

pytestmark = pytest.mark.skipif(theirs is None, reason="this torch has no quantized_decomposed operators")

INF, NAN = float("inf"), float("nan")
INT8, UINT8, INT16, UINT16 = torch.int8, torch.uint8, torch.int16, torch.uint16
X = torch.tensor([[0.5, -1.25, 3.0], [7.0, 0.0, -0.75]])
SCALES, ZEROS = torch.tensor([0.1, 0.2]), torch.tensor([0, 1], dtype=torch.int32)
Q = torch.tensor([[-128, 0, 127], [1, 2, 3]], dtype=INT8)
BYTES = (-128, 127)


def i32(*values: int) -> Any:
    return torch.tensor(values, dtype=torch.int32)


# ---- torch is wrong or undefined ----


@pytest.mark.parametrize("real_type", [torch.float32, torch.float16, torch.bfloat16])
def test_nan_gives_the_lowest_code(real_type, target):
    x = torch.tensor([[NAN, 1.0, -NAN, NAN]]).to(real_type)
    scales, zeros = torch.tensor([1.0]), i32(3)
    for q in (
        ours.quantize_per_tensor(x, 1.0, 3, *BYTES, INT8),
        ours.quantize_per_channel(x, scales, zeros, 0, *BYTES, INT8),
        ours.quantize_per_token(x, scales[None], zeros[None], *BYTES, INT8),
        ours.quantize_per_channel_group(x, scales[None], zeros[None], *BYTES, INT8, 4),
    ):
        assert q.tolist() == [[-128, 4, -128, -128]]
    with pytest.raises(AssertionError, match="NaN"):
        theirs.quantize_per_channel_group(x, scales[None], zeros[None], *BYTES, INT8, 4)
    for module in (ours, torch):  # defined in ATen, too
        assert module.fake_quantize_per_tensor_affine(x, 1.0, 3, *BYTES).tolist() == [[-131, 1, -131, -131]]
        assert module.fake_quantize_per_channel_affine(x, scales, zeros, 0, *BYTES).tolist() == [[-131, 1, -131, -131]]


def test_fake_quantize_per_channel_saturates_infinity(target):
    x = torch.tensor([[INF, -INF, 1e30, -1e30]])
    arguments = (x, torch.tensor([1.0]), i32(3), 0, *BYTES)
    assert ours.fake_quantize_per_channel_affine(*arguments).tolist() == [[124, -131, 124, -131]]
    assert torch.fake_quantize_per_channel_affine(*arguments).tolist() == [[-131, -131, -131, -131]]


def test_differences_of_one_small_type_do_not_wrap(target):
    zeros = torch.tensor([1, -1], dtype=INT8)
    arguments = (Q, torch.ones(2), zeros, 0, *BYTES, INT8)
    assert ours.dequantize_per_channel(*arguments).tolist() == [[-129, -1, 126], [2, 3, 4]]
    assert theirs.dequantize_per_channel(*arguments).tolist() == [[127, -1, 126], [2, 3, 4]]
    tokens = (Q, torch.ones(2, 1), zeros[:, None], *BYTES, INT8, torch.float32)
    assert ours.dequantize_per_token(*tokens).tolist() == [[-129, -1, 126], [2, 3, 4]]
    assert theirs.dequantize_per_token(*tokens).tolist() == [[127, -1, 126], [2, 3, 4]]


def test_uint16_with_zero_points(target):
    q = torch.tensor([[0, 40000, 65535]]).to(UINT16)
    arguments = (q, torch.tensor([0.5]), i32(3), 0, 0, 65535, UINT16)
    assert ours.dequantize_per_channel(*arguments).tolist() == [[-1.5, 19998.5, 32766.0]]
    with pytest.raises(RuntimeError, match="uint16"):
        theirs.dequantize_per_channel(*arguments)


def test_large_zero_points_are_exact(target):
    x = torch.tensor([-(2.0**25), -(2.0**25) + 4])
    arguments = (x, 1.0, 2**25 + 3, *BYTES, INT8)
    assert ours.quantize_per_tensor(*arguments).tolist() == [3, 7]
    assert theirs.quantize_per_tensor(*arguments).tolist() == [4, 8]
    q = torch.tensor([3], dtype=INT8)
    arguments = (q, 1.0, 2**24 + 1, *BYTES, INT8)
    assert ours.dequantize_per_tensor(*arguments).tolist() == [-(2**24) + 2]
    assert theirs.dequantize_per_tensor(*arguments).tolist() == [-(2**24) + 3]


def test_sixteen_bits_of_codes_saturate_in_sixteen_bit_reals(target):
    x = torch.full((1, 3), 1e9).bfloat16()
    arguments = (x, torch.tensor([[0.5]]).bfloat16(), i32(0)[None], -32768, 32767, INT16)
    assert ours.quantize_per_token(*arguments).tolist() == [[32767] * 3]
    assert theirs.quantize_per_token(*arguments).tolist() == [[-32768] * 3]


def test_scales_for_the_wrong_axis_are_refused():
    x, scales, zeros = random(4, 4), torch.rand(4), torch.zeros(4)
    assert theirs.quantize_per_token(x, scales, zeros, *BYTES, INT8).shape == (4, 4)
    with pytest.raises(ValueError, match=r"^scales: got shape \(4,\), expected \(4, 1\), one value for each token"):
        ours.quantize_per_token(x, scales, zeros, *BYTES, INT8)
    assert theirs.quantize_per_channel(x[:1], scales, zeros, 0, *BYTES, INT8).shape == (4, 4)
    with pytest.raises(ValueError, match=r"^scales: got shape \(4,\), expected 1 values, one for each index of axis 0"):
        ours.quantize_per_channel(x[:1], scales, zeros, 0, *BYTES, INT8)


def test_ranges_without_a_scale_are_refused():
    for x in (torch.tensor([-3e38, 3e38]), torch.tensor([-65504.0, 65504.0]).half()):
        for function in ("choose_qparams", "choose_qparams_symmetric"):
            if function == "choose_qparams":
                assert getattr(theirs, function)(x, *BYTES, 1e-6, INT8)[0].item() == INF
                with pytest.raises(ValueError, match=r"^input: got a range whose scale is inf"):
                    getattr(ours, function)(x, *BYTES, 1e-6, INT8)
        assert theirs.choose_qparams_per_token_asymmetric(x, INT8)[0].item() == INF
        with pytest.raises(ValueError, match=r"^input: got a range whose scale is inf"):
            ours.choose_qparams_per_token_asymmetric(x, INT8)
    assert theirs.choose_qparams(torch.zeros(3), *BYTES, 0.0, INT8)[0].item() == 0
    said = r"^input: got a range whose scale is (0\.0|nan|inf).* or eps greater than"
    for eps in (0.0, -1.0, NAN, INF):
        with pytest.raises(ValueError, match=said):
            ours.choose_qparams(torch.zeros(3), *BYTES, eps, INT8)


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_qparams_of_what_is_not_finite_are_refused(value):
    x = torch.tensor([[1.0, value]])
    for function, arguments in (
        ("choose_qparams", (*BYTES, 1e-6, INT8)), ("choose_qparams_symmetric", (*BYTES, 1e-6, INT8)),
        ("choose_qparams_per_token", (INT8,)), ("choose_qparams_per_token_asymmetric", (INT8,)),
    ):  # fmt: skip
        assert not np.isfinite(getattr(theirs, function)(x, *arguments)[0].item())
        with pytest.raises(ValueError, match=r"^input: got -?(nan|inf) at index .*expected finite values"):
            getattr(ours, function)(x, *arguments)


def test_fake_quantize_per_channel_takes_more_types(target):
    x = random(2) * 20
    expected = torch.fake_quantize_per_channel_affine(x, SCALES.bfloat16().float(), ZEROS, 0, *BYTES)
    assert torch.equal(ours.fake_quantize_per_channel_affine(x, SCALES.bfloat16(), ZEROS.long(), 0, *BYTES), expected)
    with pytest.raises(RuntimeError):
        torch.fake_quantize_per_channel_affine(X, SCALES.bfloat16(), ZEROS, 0, *BYTES)
    with pytest.raises(RuntimeError):
        torch.fake_quantize_per_channel_affine(X, SCALES, ZEROS.long(), 0, *BYTES)
    assert ours.fake_quantize_per_channel_affine(X[:0], SCALES[:0], ZEROS[:0], 0, *BYTES).shape == (0, 3)
    with pytest.raises(RuntimeError):
        torch.fake_quantize_per_channel_affine(X[:0], SCALES[:0], ZEROS[:0], 0, *BYTES)


# ---- handed on ----

HANDED_ON = {
    "int32 codes": ("quantize_per_tensor", (X, 0.1, 3, -(2**20), 2**20, torch.int32)),
    "float8 codes": ("quantize_per_tensor", (X, 0.1, 0, -448, 448, torch.float8_e4m3fn)),
    "int32 codes by channel": ("quantize_per_channel", (X, SCALES, ZEROS, 0, -(2**20), 2**20, torch.int32)),
    "int32 codes by token": ("quantize_per_token", (X, SCALES[:, None], ZEROS[:, None], -999, 999, torch.int32)),
    "int32 codes by group": ("quantize_per_channel_group", (X, SCALES, ZEROS, -999, 999, torch.int32, 3)),
    "from int32": ("dequantize_per_tensor", (Q.int(), 0.1, 3, -(2**20), 2**20, torch.int32)),
    "from float8": ("dequantize_per_tensor", (X.to(torch.float8_e5m2), 0.1, 0, -448, 448, torch.float8_e5m2)),
    "from int32 by channel": ("dequantize_per_channel", (Q.int(), SCALES, ZEROS, 0, -999, 999, torch.int32)),
    "from int32 by token": (
        "dequantize_per_token", (Q.int(), SCALES[:, None], ZEROS[:, None], *BYTES, INT8, torch.float32)),
    "from int32 by group": ("dequantize_per_channel_group", (Q.int(), SCALES, ZEROS, *BYTES, INT8, 3, torch.float32)),
    "fractional zero points": ("quantize_per_channel", (X, SCALES, ZEROS + 0.5, 0, *BYTES, INT8)),
    "and back": ("dequantize_per_channel", (Q, SCALES, ZEROS + 0.5, 0, *BYTES, INT8)),
    "float64 zero points": ("quantize_per_token", (X, SCALES[:, None], ZEROS[:, None].double(), *BYTES, INT8)),
    "16 bits by bfloat16": ("dequantize_per_channel", (Q.to(INT16), SCALES.bfloat16(), ZEROS, 0, -999, 999, INT16)),
    "zero points of 16 bits": ("dequantize_per_channel", (Q, SCALES, (ZEROS + 200).bfloat16(), 0, *BYTES, INT8)),
    "integer scales": ("dequantize_per_channel", (Q, ZEROS + 1, ZEROS, 0, *BYTES, INT8)),
}  # fmt: skip


@pytest.mark.parametrize("what", HANDED_ON)
def test_handed_on(what, monkeypatch):
    function, arguments = HANDED_ON[what]
    mine, original = getattr(ours, function)(*arguments), getattr(theirs, function)(*arguments)
    assert mine.dtype == original.dtype
    assert torch.equal(mine.float(), original.float())
    monkeypatch.setitem(sys.modules, "torch.ao.quantization.fx._decomposed", None)
    monkeypatch.setattr(torch.ops, "quantized_decomposed", types.SimpleNamespace())
    argument = "dtype" if "int32" in what or "float8" in what else r"(scales, )?zero_points"
    missing = rf"^{argument}: got .*; torch {re.escape(torch.__version__)} has no quantized_decomposed\.{function}"
    with pytest.raises(ValueError, match=missing):
        getattr(ours, function)(*arguments)


def test_output_types_that_are_handed_on():
    arguments = (Q, 0.1, 3, *BYTES, INT8)
    found = [module.dequantize_per_tensor(*arguments, out_dtype=torch.int32) for module in (ours, theirs)]
    assert differences(*found) == (6, 0)


def test_fake_quantize_of_what_the_kernels_lack():
    wide = (X, 1e-3, 2, -(2**20), 2**20)
    assert torch.equal(ours.fake_quantize_per_tensor_affine(*wide), torch.fake_quantize_per_tensor_affine(*wide))
    for arguments in (
        (X, SCALES, ZEROS, 0, -(2**20), 2**20),
        (X, SCALES, ZEROS + 0.25, 0, *BYTES),
        (X, SCALES, ZEROS.float(), 0, *BYTES),
        (X, SCALES, ZEROS + 2**30, 0, 2**30, 2**30 + 255),
    ):
        mine, original = (m.fake_quantize_per_channel_affine(*arguments) for m in (ours, torch))
        assert torch.equal(mine, original)


# ---- errors ----


class NotATensor:
    pass


LIMITS = {"quant_min": -128, "quant_max": 127}
CODES = {**LIMITS, "dtype": INT8}
CHANNELS = {"scales": SCALES, "zero_points": ZEROS}
TOKENS = {"scales": SCALES[:, None], "zero_points": ZEROS[:, None]}
SPARSE = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 2.0]]).to_sparse()
GOOD = {
    "quantize_per_tensor": {"input": X, "scale": 0.1, "zero_point": 3, **CODES},
    "dequantize_per_tensor": {"input": Q, "scale": 0.1, "zero_point": 3, **CODES},
    "quantize_per_channel": {"input": X, **CHANNELS, "axis": 0, **CODES},
    "dequantize_per_channel": {"input": Q, **CHANNELS, "axis": 0, **CODES},
    "quantize_per_token": {"input": X, **TOKENS, **CODES},
    "dequantize_per_token": {"input": Q, **TOKENS, **CODES},
    "quantize_per_channel_group": {"input": X, **CHANNELS, **CODES, "group_size": 3},
    "dequantize_per_channel_group": {"input": Q, **CHANNELS, **CODES, "group_size": 3},
    "choose_qparams": {"input": X, **LIMITS, "eps": 1e-6, "dtype": INT8},
    "choose_qparams_symmetric": {"input": X, **LIMITS, "eps": 1e-6, "dtype": INT8},
    "choose_qparams_per_token": {"input": X, "dtype": INT8},
    "choose_qparams_per_token_asymmetric": {"input": X, "dtype": INT8},
    "fake_quantize_per_tensor_affine": {"input": X, "scale": 0.1, "zero_point": 3, **LIMITS},
    "fake_quantize_per_channel_affine": {"input": X, "scale": SCALES, "zero_point": ZEROS, "axis": 0, **LIMITS},
}
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    QUANTIZED = torch.quantize_per_tensor(X, 0.1, 3, torch.qint8)

_ALL = tuple(GOOD)
_ONE_SCALE = ("quantize_per_tensor", "dequantize_per_tensor", "fake_quantize_per_tensor_affine")
_CHANNELS = ("quantize_per_channel", "dequantize_per_channel")
_TOKENS = ("quantize_per_token", "dequantize_per_token")
_GROUPS = ("quantize_per_channel_group", "dequantize_per_channel_group")
_SEVERAL = (*_CHANNELS, *_TOKENS, *_GROUPS)
_SINGLES = ("quantize_per_tensor", "quantize_per_channel", "choose_qparams", "choose_qparams_symmetric")
_MADE = ("quantize_per_tensor", "quantize_per_channel", "quantize_per_token", "quantize_per_channel_group")
_LIMITED = (*_MADE, "choose_qparams", "fake_quantize_per_tensor_affine", "fake_quantize_per_channel_affine")
_FAKE_CHANNEL = "fake_quantize_per_channel_affine"

WRONG = [
    *((f, "input", bad, TypeError, said) for f in _ALL for bad, said in (
        (NotATensor(), "got NotATensor, expected a torch tensor"),
        (X.numpy(), "got ndarray, expected a torch tensor"),
        (None, "got NoneType"),
        (X.to("meta"), "got a tensor on meta, expected a dense tensor in the memory of the CPU"),
        (SPARSE, "got a tensor of torch.sparse_coo, expected a dense tensor"),
        (QUANTIZED, "got a quantized tensor, expected a dense"),
    )),
    *((f, "input", bad, TypeError, "expected one of torch.float32") for f in _MADE for bad in (Q, X.cfloat())),
    *((f, "input", X.double(), TypeError, "got a tensor of torch.float64, expected one of") for f in _SINGLES),
    *((f, "scale", bad, ValueError, "expected a finite number > 0") for f in _ONE_SCALE
      for bad in (0.0, -0.1, NAN, INF, -INF, 1e-60, 1e60, torch.tensor([0.0]))),
    *((f, "scale", 1e-39, ValueError, "reciprocal") for f in _ONE_SCALE if f != "dequantize_per_tensor"),
    *((f, "scale", bad, TypeError, said) for f in _ONE_SCALE for bad, said in (
        ("0.1", "got '0.1', expected a number"), (None, "got NoneType"), ([0.1, 0.2], "got list"))),
    *((f, "scale", SCALES, ValueError, r"got a tensor of shape \(2,\), expected one element") for f in _ONE_SCALE),
    *((f, "zero_point", bad, ValueError, "expected an int32") for f in _ONE_SCALE[:2] for bad in (2**31, -(2**40))),
    *((f, "zero_point", bad, TypeError, "expected an integer") for f in _ONE_SCALE for bad in (0.5, "1", None)),
    *((f, "zero_point", torch.tensor(0.5), ValueError, "got 0.5, expected an integer") for f in _ONE_SCALE[:2]),
    (_ONE_SCALE[2], "zero_point", 200, ValueError, "got 200, expected one from quant_min, -128, to quant_max, 127"),
    (_ONE_SCALE[2], "zero_point", torch.tensor(1e20), ValueError, "expected an int32 integer"),
    (_FAKE_CHANNEL, "zero_point", i32(0, 300), ValueError, "got 300, expected numbers from quant_min, -128"),
    (_FAKE_CHANNEL, "zero_point", i32(0), ValueError, r"got shape \(1,\), expected \(2,\)"),
    (_FAKE_CHANNEL, "scale", SCALES[:1], ValueError, r"got shape \(1,\), expected \(2,\)"),
    (_FAKE_CHANNEL, "scale", SCALES.double(), TypeError, "got a tensor of torch.float64"),
    (_FAKE_CHANNEL, "scale", SCALES.clone().requires_grad_(), ValueError, "requires a gradient"),
    (_FAKE_CHANNEL, "scale", torch.tensor([0.1, 0.0]), ValueError, "got 0.0 at index 1, expected finite numbers > 0"),
    (_FAKE_CHANNEL, "axis", -1, ValueError, "got -1, expected 0 to 1"),
    *((f, "axis", bad, ValueError, "expected -2 to 1") for f in _CHANNELS for bad in (2, -3)),
    *((f, "axis", "0", TypeError, "got str, expected an integer") for f in _CHANNELS),
    *((f, "scales", torch.tensor([1.0, bad]).reshape(GOOD[f]["scales"].shape), ValueError,
       "at index 1, expected finite numbers > 0") for f in _SEVERAL for bad in (0.0, -1.0, NAN, INF)),
    *((f, "scales", torch.tensor([1.0, 1e-39]).reshape(GOOD[f]["scales"].shape), ValueError,
       "at index 1, expected finite numbers > 0 whose reciprocals are such numbers of float32") for f in _MADE[1:]),
    *((f, "scales", torch.rand(7), ValueError, r"got shape \(7,\), expected") for f in _SEVERAL),
    *((f, "scales", [0.1, 0.2], TypeError, "got list, expected a torch tensor") for f in _SEVERAL),
    *((f, "zero_points", i32(*range(7)), ValueError, r"got shape \(7,\), expected") for f in _SEVERAL),
    *((f, "zero_points", [0, 1], TypeError, "got list, expected a torch tensor") for f in _SEVERAL),
    *((f, "zero_points", torch.tensor([0, 2**40]), ValueError, "got 1099511627776, expected int32") for f in _CHANNELS),
    *((f, "zero_points", torch.tensor([0, NAN]), ValueError, "got nan, expected int32") for f in _CHANNELS),
    ("quantize_per_token", "zero_points", torch.tensor([[0], [NAN]]), ValueError, "got nan as torch.float32, expected"),
    *((f, "group_size", bad, ValueError, said) for f in _GROUPS for bad, said in (
        (1, "got 1, expected more than 1"), (2, "got 2, expected a divisor of 3"))),
    *((f, "input", GOOD[f]["input"][0], ValueError, "expected two dimensions") for f in _GROUPS),
    *((f, "quant_min", 200, ValueError, "got 200, greater than quant_max, 127") for f in _LIMITED),
    *((f, "quant_min", -129, ValueError, "got -129, expected at least -128 for torch.int8") for f in _MADE),
    *((f, "quant_max", 128, ValueError, "got 128, expected at most 127 for torch.int8") for f in _MADE),
    *((f, "quant_max", "127", TypeError, "got str, expected an integer") for f in _LIMITED),
    *((f, "dtype", torch.int64, ValueError, "got torch.int64, expected torch.int8") for f in _MADE),
    *((f, "dtype", "int8", TypeError, "got 'int8', expected torch.int8") for f in _MADE),
    *((f, "dtype", UINT8, ValueError, "got torch.uint8, expected torch.int8, the type of input")
      for f in ("dequantize_per_tensor", "dequantize_per_channel")),
    ("choose_qparams_per_token", "dtype", UINT8, ValueError, "got torch.uint8, expected torch.int8"),
    *((f, "input", torch.zeros(2, 0), ValueError, "got shape") for f in _ALL if f.startswith("choose")),
    *((f, "input", Q, TypeError, "got a tensor of torch.int8") for f in _ALL if f.startswith("choose")),
    ("choose_qparams", "eps", "1", TypeError, "got '1', expected a number"),
]  # fmt: skip


@pytest.mark.parametrize("function", GOOD)
def test_wrong_arguments(function):
    """Errors name the argument, what it got and what it takes."""
    getattr(ours, function)(**GOOD[function])
    for _, argument, bad, kind, said in (row for row in WRONG if row[0] == function):
        with pytest.raises(kind, match=rf"^{argument}: .*{said}"):
            getattr(ours, function)(**{**GOOD[function], argument: bad})


def test_ranges_of_codes_without_zero():
    for lo, hi in ((5, 20), (-20, -5), (0, 0)):
        with pytest.raises(ValueError, match=rf"^quant_min, quant_max: got {lo} and {hi}, expected"):
            ours.choose_qparams(X, lo, hi, 1e-6, INT8)
        with pytest.raises(AssertionError):
            theirs.choose_qparams(X, lo, hi, 1e-6, INT8)


# ---- the page ----

PAGE = Path(__file__).parent.parent / "docs" / "moving-from-torch.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)


@pytest.mark.filterwarnings("ignore")
def test_before_and_after_are_the_same():
    names: dict[str, Any] = {}
    torch.manual_seed(0)
    pairs = 0
    for block in BLOCKS:
        exec(compile(block, str(PAGE), "exec"), names)
        if block.startswith("# after"):
            pairs += 1
            assert differences(names["after"], names["before"])[1] == 0, block
    assert pairs == 5


@pytest.mark.filterwarnings("ignore")
def test_codes_of_torch_proper_differ_where_the_page_says():
    """One code, and only near the middle between two."""
    x = torch.cat([random(2000) * 2, (torch.arange(-100, 100) + 0.5)[None, :96] * 0.05])
    scale = float(np.float32(0.05))
    for zero_point in (0, 3):
        proper = torch.quantize_per_tensor(x, scale, zero_point, torch.qint8).int_repr()
        codes = ours.quantize_per_tensor(x, scale, zero_point, *BYTES, INT8)
        apart = proper != codes
        assert bool(apart.any()) == (zero_point != 0)
        assert (proper.int() - codes.int()).abs().max() <= 1
        quotient = x[apart].double() / scale
        assert ((quotient - quotient.floor() - 0.5).abs() < 1e-4).all()
