"""fastquant.compat.onnxruntime against ONNX Runtime's own functions: equal to the bit, but for what its text lists."""

from __future__ import annotations

import inspect
import itertools
import subprocess
import sys
from collections import Counter

import ml_dtypes
import numpy as np
import pytest
from compat_table_others import (
    FAMILIES,
    FLOAT8,
    INT4,
    INT8,
    LIMITS,
    UINT4,
    UINT8,
    differences,
    original,
    random,
    silent,
)
from hypothesis import given
from hypothesis import strategies as st

from fastquant.compat import onnxruntime as ours

INF, NAN = float("inf"), float("nan")
F16, F32, F64 = np.float16, np.float32, np.float64


@pytest.fixture(scope="module")
def theirs():
    if original("onnxruntime") is None:
        pytest.skip("needs onnxruntime and onnx")
    return original("onnxruntime")


@pytest.fixture
def onnx():
    return pytest.importorskip("onnx")


# ---- equal ----


def test_equal_to_the_original(theirs, target):
    compared = Counter()
    for case in FAMILIES["onnxruntime"]():
        n, wrong = differences(case.mine(), silent(case.original))
        assert not wrong, f"{case.function}({case.label}): {wrong} of {n} differ"
        compared[case.function] += n
    assert set(compared) == set(ours.__all__) - {"get_qmin_qmax_for_qType"}
    assert compared["quantize_data"] > 10**5


@pytest.mark.parametrize("name", ours.__all__)
def test_signatures(theirs, name):
    def parameters(function):
        return [(p.name, p.default) for p in inspect.signature(function).parameters.values() if p.name[0] != "_"]

    assert parameters(getattr(ours, name)) == parameters(getattr(theirs, name))


def test_limits_of_types(theirs):
    for q, reduced, symmetric in itertools.product(LIMITS, (False, True), (False, True)):
        mine, other = (f(q, reduced, symmetric) for f in (ours.get_qmin_qmax_for_qType, theirs.get_qmin_qmax_for_qType))
        assert differences(mine, other) == (2, 0)


@given(
    x=st.lists(st.floats(width=32, allow_nan=False), max_size=9),
    scale=st.floats(2.0**-140, 2.0**100, width=32),
    zero_point=st.integers(-(2**31), 2**31 - 2**8),
    q=st.sampled_from([*LIMITS]),
    kind=st.sampled_from([F32, F64, float]),
    level=st.sampled_from([int, np.int32, np.int64]),
)
def test_any_numbers(theirs, x, scale, zero_point, q, kind, level):
    arguments = q, np.array(x, F32), kind(scale), level(zero_point)
    n, wrong = differences(ours.quantize_nparray(*arguments), silent(lambda: theirs.quantize_nparray(*arguments)))
    assert not wrong, n


@given(
    ends=st.lists(st.floats(-(2.0**120), 2.0**120, width=32), min_size=2, max_size=2),
    q=st.sampled_from([*LIMITS]),
    symmetric=st.booleans(),
    least=st.sampled_from([None, 0.0, 0.25, 1e9]),
)
def test_any_range(theirs, ends, q, symmetric, least):
    low, high = np.array(min(ends), F32), np.array(max(ends), F32)
    arguments = low, high, *ours.get_qmin_qmax_for_qType(q, False, symmetric), symmetric, least
    assert differences(ours.compute_scale_zp(*arguments), silent(lambda: theirs.compute_scale_zp(*arguments)))[1] == 0


@given(st.binary(max_size=70))
def test_any_bytes(theirs, b):
    assert ours.pack_bytes_to_4bit(b) == theirs.pack_bytes_to_4bit(b)


def test_inputs_are_left_alone(target):
    x = random((6, 8), F64)
    x.flags.writeable = False
    before = x.copy()
    ours.quantize_data(x, INT8, False)
    ours.compute_scale_zp_blocked(x, INT8, 1, 4, True)
    assert (x == before).all()
    zero_point, scale, q = ours.quantize_data(x.T[::-1], INT8, False)
    assert (q == ours.quantize_nparray(INT8, np.ascontiguousarray(x.T[::-1]), scale, zero_point)).all()


# ---- different, as documented ----


def test_nan(theirs, target):
    x = np.array([NAN, 1, -NAN], F32)
    for q, (low, _) in LIMITS.items():
        assert ours.quantize_nparray(q, x, F32(1), 1).astype(int).tolist() == [low, 2, low]
        silent(lambda q=q: theirs.quantize_nparray(q, x, F32(1), 1))  # returns something
    assert ours.quantize_nparray(INT8, x, F32(1), 0, -5, 5).tolist() == [-5, 1, -5]


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_data_that_are_not_finite(theirs, bad):
    x = np.array([[1, bad], [2, 3]], F32)
    for q in (INT8, UINT4, FLOAT8):
        with pytest.raises(ValueError, match=r"data: got"):
            ours.quantize_data(x, q, False)
    with pytest.raises(ValueError, match=r"weight: got (nan|inf|-inf)"):
        ours.compute_scale_zp_blocked(x, INT8, 0, 1, False)
    low, high = ours.get_qmin_qmax_for_qType(INT8)
    with pytest.raises(ValueError, match="rmax: got"):
        ours.compute_scale_zp(F32(-1), F32(bad), low, high)
    # There: an error of another kind, or a scale that is not finite.
    try:
        _, scale, _ = silent(lambda: theirs.quantize_data(x, INT8, False))
    except AssertionError:
        return
    assert not np.isfinite(scale)


@pytest.mark.parametrize("scale", [0, -1.0, INF, NAN, 1e-50, np.array([1, -2], F32), F16(0), 1e39])
def test_scales(theirs, scale):
    x = np.array([1, -1], F32)
    for q in (INT8, FLOAT8):
        with pytest.raises(ValueError, match=r"scale: got .*, expected finite numbers > 0"):
            ours.quantize_nparray(q, x, scale, 0)
    assert silent(lambda: theirs.quantize_nparray(INT8, x, scale, 0)).shape == (2,)  # computed with


@pytest.mark.parametrize("zero_point", [0.5, 2**31, F32(-1.5), np.array([1.0, 0.25]), NAN, 2**70])
def test_zero_points(zero_point):
    with pytest.raises(ValueError, match=r"zero_point: got .*, expected integers of int32"):
        ours.quantize_nparray(INT8, np.array([1, -1], F32), F32(1), zero_point)


def test_limits_beyond_the_type(theirs, target):
    x = np.array([-300, 0, 300], F32)
    assert ours.quantize_nparray(INT8, x, F32(1), 0, None, -200).tolist() == [-128] * 3
    assert silent(lambda: theirs.quantize_nparray(INT8, x, F32(1), 0, None, -200)).tolist() != [-128] * 3  # wraps
    for q in (INT8, INT4):
        mine = ours.quantize_nparray(q, x, F32(1), 0, -(10**6), 10**6)
        assert differences(mine, ours.quantize_nparray(q, x, F32(1), 0)) == (3, 0)


@pytest.mark.parametrize("dtype", [F32, F16])
def test_constant_data_to_float8(theirs, dtype, target):
    for value in (0, 3, 0.5):
        zero_point, scale, q = ours.quantize_data(np.full(5, value, dtype), FLOAT8, True)
        assert (zero_point, scale, scale.dtype) == (0, 1, dtype)
        assert q.astype(F32).tolist() == [value] * 5
    _, scale, q = silent(lambda: theirs.quantize_data(np.full(5, 3, dtype), FLOAT8, True))
    assert scale == 0
    assert q.astype(F32).tolist() == [448] * 5
    with pytest.raises(RuntimeError, match="NaN"):
        silent(lambda: theirs.quantize_data(np.zeros(5, dtype), FLOAT8, True))
    zero_point, scale, q = ours.quantize_data(np.zeros((0, 2), dtype), FLOAT8, True)
    assert (scale, q.shape, q.dtype) == (1, (0, 2), ml_dtypes.float8_e4m3fn)
    assert np.isnan(silent(lambda: theirs.quantize_data(np.zeros((0, 2), dtype), FLOAT8, True))[1])


def test_wide_ranges(theirs):
    x = np.array([[3e38, -3e38], [1, 2]], F32)
    zero_point, scale = ours.compute_scale_zp_blocked(x, INT8, 1, 2, False)
    assert scale[0, 0] == F32((F64(x[0, 0]) - F64(x[0, 1])) / 255)
    assert zero_point.tolist() == [[0], [-128]]
    assert silent(lambda: theirs.compute_scale_zp_blocked(x, INT8, 1, 2, False))[1][0, 0] == INF
    low, high = ours.get_qmin_qmax_for_qType(INT8)
    for ends, least in (((-1e308, 1e308), None), ((-1.0, 1.0), 1e39)):
        rmin, rmax = (F64(end) if least is None else F32(end) for end in ends)
        with pytest.raises(ValueError, match="rmax: got a range"):
            ours.compute_scale_zp(rmin, rmax, low, high, False, least)
        assert silent(lambda a=(rmin, rmax, low, high, False, least): theirs.compute_scale_zp(*a))[1] == INF


def test_blocks_on_a_negative_axis(theirs, onnx, target):
    x = random((5, 9))
    weight = onnx.numpy_helper.from_array(x, "w")
    zero_point, scale = ours.compute_scale_zp_blocked(x, INT4, 1, 4, False)
    assert differences(ours.compute_scale_zp_blocked(x, INT4, -1, 4, False), (zero_point, scale))[1] == 0
    mine = ours.quantize_onnx_initializer(weight, INT4, zero_point, scale, -1, block_size=4)
    assert mine == theirs.quantize_onnx_initializer(weight, INT4, zero_point, scale, 1, block_size=4)
    for call in (
        lambda: theirs.compute_scale_zp_blocked(x, INT4, -1, 4, False),
        lambda: theirs.quantize_onnx_initializer(weight, INT4, zero_point, scale, -1, block_size=4),
    ):
        with pytest.raises(ValueError, match="reshape"):
            call()


@pytest.mark.parametrize("q", [INT8, UINT4, FLOAT8])
def test_blocks_of_other_ranks(theirs, onnx, q, target):
    """As (k, n) weights that are reshaped, which ONNX Runtime quantizes too."""
    x = random((7, 3, 4))
    scale = random((2, 3, 4)).astype(F32) ** 2 + F32(0.1)
    zero_point = np.full(scale.shape, 0 if q == FLOAT8 else 2)
    mine = ours.quantize_onnx_initializer(
        onnx.numpy_helper.from_array(x, "w"), q, zero_point, scale, 0, block_size=4
    )  # fmt: skip
    flat = onnx.numpy_helper.from_array(x.reshape(7, 12), "w")
    other = theirs.quantize_onnx_initializer(
        flat, q, zero_point.reshape(2, 12), scale.reshape(2, 12), 0, block_size=4
    )  # fmt: skip
    assert list(mine.dims) == [7, 3, 4]
    assert mine.raw_data == other.raw_data
    line = onnx.numpy_helper.from_array(x.reshape(-1), "w")
    spread = ours.quantize_onnx_initializer(line, q, zero_point[0, 0, :1], scale[0, 0, :1], 0, block_size=84)
    whole = theirs.quantize_onnx_initializer(line, q, zero_point[0, 0, 0], scale[0, 0, 0])
    assert spread.raw_data == whole.raw_data


def test_too_few_blocks(onnx):
    weight = onnx.numpy_helper.from_array(random((8, 3)), "w")
    ones = np.ones((2, 3), F32)
    with pytest.raises(ValueError, match=r"scale: got shape \(2, 3\), expected \(3, 3\)"):
        ours.quantize_onnx_initializer(weight, INT8, ones.astype(np.int8), ones, 0, block_size=3)
    with pytest.raises(ValueError, match=r"zero_point: got shape \(2,\), expected \(3,\)"):
        ours.quantize_onnx_initializer(weight, INT8, np.zeros(2), np.ones(3, F32), 1)


def test_signed_codes_are_packed(theirs):
    codes = np.array([7, -8, -1], np.int8)
    assert ours.pack_bytes_to_4bit(codes) == theirs.pack_bytes_to_4bit(codes.tobytes()) == bytearray(b"\x87\x0f")
    assert ours.pack_bytes_to_4bit(codes.astype(ml_dtypes.int4)) == bytearray(b"\x87\x0f")
    with pytest.raises(ValueError, match="byte must be in range"):
        theirs.pack_bytes_to_4bit(codes)


def test_errors():
    x = np.array([1, 2], F32)
    low, high = ours.get_qmin_qmax_for_qType(INT8)
    for call, kind, text in (
        (lambda: ours.quantize_nparray(6, x, 1.0, 0), ValueError, r"qType: got 6, expected 3 \(INT8\)"),
        (lambda: ours.quantize_nparray(18, x, 1.0, 0), ValueError, r"qType: got 18, expected 3 \(INT8\)"),
        (lambda: ours.quantize_data(x, [], True), ValueError, "qType: got"),
        (lambda: ours.quantize_data([1.0], INT8, True), TypeError, "data: got list, expected a NumPy array"),
        (lambda: ours.quantize_data(np.int64([1]), INT8, True), ValueError, "data: got int64, expected float32"),
        (lambda: ours.quantize_data(np.zeros((2, 0), F32), INT8, True), ValueError, "data: got shape"),
        (lambda: ours.quantize_data(x, FLOAT8, True, True), ValueError, "reduce_range: got True"),
        (lambda: ours.compute_data_quant_params(x, 1, True), ValueError, "quant_type: got 1"),
        (lambda: ours.quantize_nparray(INT8, x.astype(complex), 1.0, 0), TypeError, "arr: got complex128"),
        (lambda: ours.quantize_nparray(INT8, x, "1", 0), TypeError, "scale: got str, expected real numbers"),
        (lambda: ours.quantize_nparray(INT8, x, 1j, 0), TypeError, "scale: got complex, expected real numbers"),
        (lambda: ours.quantize_nparray(INT8, x, 1.0, "0"), TypeError, "zero_point: got str, expected integers"),
        (lambda: ours.quantize_nparray(INT8, x, np.ones(3), 0), ValueError, r"scale: got shape \(3,\)"),
        (lambda: ours.quantize_nparray(FLOAT8, x, x, 1), ValueError, "zero_point: got 1, expected 0"),
        (lambda: ours.quantize_nparray(FLOAT8, x.astype(F64), x, 0), ValueError, "arr: got float64, expected float32"),
        (lambda: ours.compute_scale_zp(F32(0), F32(1), high, high), ValueError, "qmin: got 127 where qmax is 127"),
        (lambda: ours.compute_scale_zp(np.int64(0), F32(1), low, high), ValueError, "rmin: got int64, expected"),
        (lambda: ours.compute_scale_zp_float8(INT8, F32(1)), ValueError, "element_type: got 3, expected 17"),
        (lambda: ours.compute_scale_zp_float8(FLOAT8, F32(NAN)), ValueError, "std: got nan"),
        (lambda: ours.compute_scale_zp_blocked(x, INT8, 0, 1, True), NotImplementedError, "weight: got 1 dimensions"),
        (lambda: ours.compute_scale_zp_blocked(x[None], INT8, 0, 0, True), ValueError, "block_size: got 0"),
        (lambda: ours.compute_scale_zp_blocked(x[:0, None], INT8, 0, 0, True), ValueError, "block_size: got 0"),
        (lambda: ours.pack_bytes_to_4bit(np.zeros((2, 2), np.int8)), ValueError, "src_8bit: got 2 dimensions"),
        (lambda: ours.pack_bytes_to_4bit([0.5]), TypeError, "src_8bit: got elements of float64"),
        (lambda: ours.pack_bytes_to_4bit("ab"), ValueError, "src_8bit: got 0 dimensions"),
    ):
        with pytest.raises(kind, match=text):
            call()


def test_errors_of_initializers(onnx):
    weight = onnx.numpy_helper.from_array(random((4, 3)), "w")
    for call, text in (
        (lambda: ours.quantize_onnx_initializer(weight, 1, 0, 1.0), "quant_type: got 1"),
        (lambda: ours.quantize_onnx_initializer(weight, INT8, 0, 1.0, 2), "axis: got 2, expected -2 to 1"),
        (lambda: ours.quantize_onnx_initializer(onnx.numpy_helper.from_array(np.ones(3)), INT8, 0, 1.0),
         "weight: got data_type 11"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=text):
            call()


def test_an_empty_weight(onnx):
    weight = onnx.numpy_helper.from_array(np.zeros((0, 3), F32), "w")
    for axis, block, shape in ((0, 0, (0,)), (1, 0, (3,)), (0, 2, (0, 3)), (1, 2, (0, 2))):
        q = ours.quantize_onnx_initializer(weight, UINT8, np.zeros(shape), np.ones(shape, F32), axis, block_size=block)
        assert onnx.numpy_helper.to_array(q).shape == (0, 3)
        if block:
            zero_point, scale = ours.compute_scale_zp_blocked(np.zeros((0, 3), F32), UINT8, axis, block, True)
            assert zero_point.shape == scale.shape == shape


def test_neither_original_is_imported():
    code = (
        "import sys, fastquant.compat.onnxruntime as o, numpy as np\n"
        "o.quantize_data(np.ones(3, 'f4'), 3, True); o.pack_bytes_to_4bit(b'12')\n"
        "assert not {'onnx', 'onnxruntime'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-P", "-W", "error", "-c", code], check=True)
