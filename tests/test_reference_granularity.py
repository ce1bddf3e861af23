"""The reference on axes, blocks and packed codes, from their definitions and as the onnx package has them."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from exact import CODES, FLOATS, FLOATS8, INF, INTEGERS, NAN, REALS, codes_from
from values import assert_same, real_dtype

from fastquant import _reference

# ---- axes and blocks ----

GRANULARITIES = [
    # axis, block_size
    (None, None), ((), None), (0, None), (-1, None), ((1,), None), ((2, 0), None), ((0, 2), None), ((-1, -3), None),
    ((2, 0, 1), None), ((1, 2, 0), None), (None, 2), (None, 3), (-1, 1), (0, 2), (1, 3), (-2, 2), ((2,), 4), (2, 100),
    ((), 5),
]  # fmt: skip
SHAPE = (2, 3, 5)


def group_of(index: tuple[int, ...], axis: Any, block_size: int | None) -> tuple[int, ...]:
    """Where in an array of parameters the one of an element stands, from the definition."""
    axes = (axis,) if isinstance(axis, int) else axis or ()
    if block_size is None:
        return tuple(index[a] for a in axes)
    cut = (axes or (-1,))[0] % len(index)
    return tuple(i // block_size if a == cut else i for a, i in enumerate(index))


def shape_of(axis: Any, block_size: int | None, shape: tuple[int, ...] = SHAPE) -> tuple[int, ...]:
    axes = (axis,) if isinstance(axis, int) else axis or ()
    if block_size is None:
        return tuple(shape[a] for a in axes)
    cut = (axes or (-1,))[0] % len(shape)
    return tuple(math.ceil(n / block_size) if a == cut else n for a, n in enumerate(shape))


@pytest.mark.parametrize(("axis", "block_size"), GRANULARITIES)
def test_parameters_along_axes_and_blocks(axis, block_size):
    """Each element as if it were alone with the parameters of its group."""
    rng = np.random.default_rng(5)
    shape = shape_of(axis, block_size)
    scale = rng.uniform(0.01, 0.1, shape).astype(np.float32)
    zero_point = rng.integers(-50, 50, shape)
    offset = rng.uniform(-1, 1, shape).astype(np.float32)
    x = rng.standard_normal(SHAPE).astype(np.float32)
    where = {"axis": axis, "block_size": block_size}
    for arguments in ({"zero_point": zero_point}, {"zero_point": 3}, {"offset": offset}, {"offset": 0.25}):
        q = _reference.quantize(x, scale, dtype="int8", **arguments, **where)
        y = _reference.dequantize(q, scale, **arguments, **where)
        z = _reference.fake_quantize(x, scale, **arguments, **where)
        assert q.shape == y.shape == z.shape == SHAPE
        for index in np.ndindex(*SHAPE):
            group = group_of(index, axis, block_size)
            alone = {k: v[group] if np.ndim(v) else v for k, v in arguments.items()}
            assert q[index] == _reference.quantize(x[index], scale[group], dtype="int8", **alone)
            assert y[index] == _reference.dequantize(q[index], scale[group], **alone)
            assert z[index] == y[index]
    one = _reference.quantize(x, 0.05, 7, dtype="int8", **where)
    assert_same(one, _reference.quantize(x, 0.05, 7, dtype="int8"))
    if block_size is None:
        new = scale * np.float32(3)
        again = _reference.requantize(q, scale, zero_point, new, 1, dtype="uint8", axis=axis)
        for index in np.ndindex(*SHAPE):
            group = group_of(index, axis, None)
            real = _reference.dequantize(q[index], scale[group], zero_point[group])
            assert again[index] == _reference.quantize(real, new[group], 1, dtype="uint8")


@pytest.mark.parametrize(("axis", "block_size"), GRANULARITIES)
@pytest.mark.parametrize("real", REALS)
def test_ranges_of_axes_and_blocks(real, axis, block_size):
    x = np.random.default_rng(6).standard_normal(SHAPE).astype(real_dtype(real))
    groups: dict[tuple[int, ...], list[float]] = {}
    for index in np.ndindex(*SHAPE):
        groups.setdefault(group_of(index, axis, block_size), []).append(float(x[index]))
    lo, hi = _reference.minmax(x, axis=axis, block_size=block_size)
    wanted = np.dtype(np.float64 if real == "float64" else np.float32)
    for end, extreme in ((lo, min), (hi, max)):
        assert (end.shape, end.dtype) == (shape_of(axis, block_size), wanted)
        assert isinstance(end, np.generic) == (shape_of(axis, block_size) == ())
        for group, values in groups.items():
            assert end[group] == extreme(values)
    # quantize_dynamic is these ranges, fitted, and the codes that follow.
    for dtype, options in (("int8", {}), ("uint4", {"symmetric": False}), ("float8_e5m2", {})):
        q, scale, zero_point = _reference.quantize_dynamic(x, dtype, axis=axis, block_size=block_size, **options)
        expected = _reference.qparams(lo, hi, dtype, **options)
        assert_same(scale, expected[0])
        assert_same(zero_point, expected[1])
        assert_same(q, _reference.quantize(x, scale, zero_point, dtype=dtype, axis=axis, block_size=block_size))


def test_zeros_of_block_ranges_are_positive():
    lo, hi = _reference.minmax(np.float32([-0.0, -0.0, -0.0]), block_size=2)
    assert_same(np.stack([lo, hi]), np.zeros((2, 2), np.float32))


def test_ranges_of_nothing():
    for shape, where, expected in (
        ((0, 5), {"block_size": 2}, (0, 3)),
        ((3, 0), {"block_size": 2}, (3, 0)),
        ((3, 0, 2), {"axis": (1, 0)}, (0, 3)),
        ((3, 0, 2), {"axis": 1}, (0,)),
    ):
        for end in _reference.minmax(np.zeros(shape, np.float32), **where):
            assert end.shape == expected
        q, scale, _ = _reference.quantize_dynamic(np.zeros(shape, np.float32), **where)
        assert (q.shape, scale.shape) == (shape, expected)
    for shape, where in (((3, 0, 2), {"axis": (2, 0)}), ((0,), {}), ((3, 0), {"axis": 0}), ((0, 4), {"axis": ()})):
        with pytest.raises(ValueError, match="x: "):
            _reference.minmax(np.zeros(shape, np.float32), **where)
    for bad in (NAN, INF, -INF):
        with pytest.raises(ValueError, match="x: "):
            _reference.minmax(np.float32([1, 2, bad]), block_size=2)


# ---- packed codes ----


def test_pack_by_hand():
    # -8 = 1000, 7 = 0111, -1 = 1111: the first in the low half; the last byte of a row filled with zeros.
    q = codes_from([[-8, 7, -1], [1, 0, 5]], "int4")
    assert_same(_reference.pack(q), np.uint8([[0x78, 0x0F], [0x01, 0x05]]))
    assert_same(_reference.pack(codes_from([15, 1, 8], "uint4")), np.uint8([0x1F, 0x08]))
    # -2 = 10, -1 = 11, 0 = 00, 1 = 01, first lowest: 01 00 11 10 = 0x4E; then 1 alone.
    assert_same(_reference.pack(codes_from([-2, -1, 0, 1, 1], "int2")), np.uint8([0x4E, 0x01]))
    # 3 2 1 0, first lowest: 00 01 10 11 = 0x1B
    assert_same(_reference.pack(codes_from([3, 2, 1, 0], "uint2")), np.uint8([0x1B]))
    # -0 = 8, 6.0 = 7
    assert_same(_reference.pack(codes_from([8, 7], "float4_e2m1fn")), np.uint8([0x78]))
    # Bits that the type does not use are left out.
    assert_same(_reference.pack(np.uint8([0xF8, 0xF7]).view(ml_dtypes.int4)), np.uint8([0x78]))


@pytest.mark.parametrize("dtype", _reference.PACKED)
def test_unpack_is_the_inverse_of_pack(dtype):
    per_byte = {"int4": 2, "uint4": 2, "float4_e2m1fn": 2, "int2": 4, "uint2": 4}[dtype]
    rng = np.random.default_rng(7)
    for shape in [*((n,) for n in range(10)), (3, 5), (2, 0, 3), (0, 5), (2, 3, 0), (2, 3, 4)]:
        q = rng.integers(0, 2 ** (8 // per_byte), shape).astype(np.uint8).view(real_dtype(dtype))
        p = _reference.pack(q)
        assert (p.dtype, p.shape) == (np.uint8, (*shape[:-1], math.ceil(shape[-1] / per_byte)))
        assert_same(_reference.unpack(p, dtype, shape), q)
        # Without a shape, all that the bytes hold: codes of zero at the end of each row.
        full = np.zeros((*shape[:-1], p.shape[-1] * per_byte), np.uint8)
        full[..., : shape[-1]] = q.view(np.uint8)
        assert_same(_reference.unpack(p, dtype), full.view(real_dtype(dtype)))
        assert_same(_reference.pack(np.asfortranarray(q)), p)
    # What stands in the bits left over is no code.
    p = np.full((2, 1), 0xFF, np.uint8)
    assert _reference.unpack(p, dtype, (2, 1)).shape == (2, 1)
    assert_same(_reference.unpack(p, dtype, (2, 1)).view(np.uint8), np.full((2, 1), 2 ** (8 // per_byte) - 1, np.uint8))


@pytest.mark.parametrize("dtype", _reference.PACKED)
def test_packed_quantize_and_dequantize(dtype):
    x = np.random.default_rng(8).standard_normal((3, 7)).astype(np.float32)
    for where in ({}, {"axis": 0}, {"axis": 1}, {"axis": (1, 0)}, {"block_size": 3}, {"axis": 0, "block_size": 2}):
        q, scale, zero_point = _reference.quantize_dynamic(x, dtype, **where)
        p = _reference.quantize(x, scale, zero_point, dtype=dtype, packed=True, **where)
        assert_same(p, _reference.pack(q))
        assert_same(_reference.quantize_dynamic(x, dtype, packed=True, **where)[0], p)
        y = _reference.dequantize(q, scale, zero_point, **where)
        assert_same(_reference.dequantize(p, scale, zero_point, packed=dtype, shape=x.shape, **where), y)
    whole = _reference.dequantize(p, 0.5, packed=dtype)
    assert whole.shape == (3, 8)
    assert_same(whole[:, :7], _reference.dequantize(q, 0.5))
    assert_same(whole[:, 7], np.zeros(3, np.float32))


# ---- ONNX ----


def onnx_operator(op: str, inputs: list[np.ndarray], to: str, attributes: dict[str, Any]) -> np.ndarray:
    """A single operator, as the reference of the onnx package computes it."""
    # Floats of 6 bits came later.
    newest = any(a.dtype.name.startswith("float6") for a in inputs) or to.startswith("float6")
    onnx = pytest.importorskip("onnx", minversion="1.23" if newest else None)
    from onnx.reference import ReferenceEvaluator

    names = ["x", "scale", "zero_point"][: len(inputs)]
    kinds = [onnx.helper.np_dtype_to_tensor_dtype(a.dtype) for a in inputs]
    given = [onnx.helper.make_tensor_value_info(n, k, a.shape) for n, k, a in zip(names, kinds, inputs, strict=True)]
    kind = onnx.helper.np_dtype_to_tensor_dtype(real_dtype(to))
    node = onnx.helper.make_node(op, names, ["y"], **attributes)
    result = onnx.helper.make_tensor_value_info("y", kind, None)
    graph = onnx.helper.make_graph([node], "one", given, [result])
    opset = onnx.helper.make_opsetid("", onnx.defs.onnx_opset_version())
    model = onnx.helper.make_model(graph, opset_imports=[opset])
    return ReferenceEvaluator(model).run(None, dict(zip(names, inputs, strict=True)))[0]


@pytest.mark.parametrize(("axis", "block_size"), [(None, None), (0, None), (-1, None), (1, 2), (0, 2), (2, 4)])
@pytest.mark.parametrize("dtype", CODES)
def test_the_reference_of_onnx_agrees(dtype, axis, block_size):
    """Where that is right: finite inputs, quotients that int32 holds. It lets infinities and NaN pass through int32."""
    rng = np.random.default_rng(9)
    shape = shape_of(axis, block_size)
    scale = rng.uniform(0.01, 0.1, shape).astype(np.float32)
    largest = INTEGERS[dtype][1] if dtype in INTEGERS else FLOATS[dtype][3]
    x = (rng.standard_normal(SHAPE) * 0.05 * largest).astype(np.float32)
    x[0, 0, 0], x[1, 2, 3] = largest, -largest  # saturated: the quotients are ten times as large
    zeros = np.zeros(shape, np.int64)
    zero_point = (rng.integers(*INTEGERS[dtype], shape, endpoint=True) if dtype in INTEGERS else zeros).astype(
        real_dtype(dtype)
    )
    where = {} if axis is None else {"axis": axis} if block_size is None else {"axis": axis, "block_size": block_size}
    q = _reference.quantize(x, scale, zero_point, **where)
    assert_same(onnx_operator("QuantizeLinear", [x, scale, zero_point], dtype, where), q, x)
    y = _reference.dequantize(q, scale, zero_point, **where)
    assert_same(onnx_operator("DequantizeLinear", [q, scale, zero_point], "float32", where), y)
    if dtype in FLOATS8:
        q = _reference.quantize(x, scale, zero_point, saturate=False, **where)
        assert_same(onnx_operator("QuantizeLinear", [x, scale, zero_point], dtype, {**where, "saturate": 0}), q, x)
