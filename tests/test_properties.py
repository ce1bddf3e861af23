"""Properties that hold for every input, searched by hypothesis.

`pytest --hypothesis-profile=explore tests/test_properties.py` searches longer, with other examples each time.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from calls import reference, run
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from values import (
    CODE_TYPES,
    INT32_MAX,
    INT32_MIN,
    KERNELS,
    REAL_TYPES,
    ZERO_POINTS,
    assert_same,
    codes_of,
    pool,
    real_dtype,
)

import fastquant as fq
from fastquant import _reference

# `target` stays the same for all examples of a test.
examples = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])

code_types = st.sampled_from(list(CODE_TYPES))
real_types = st.sampled_from(REAL_TYPES)
scales = st.one_of(
    st.floats(2.0**-149, 3.4028234663852886e38, width=32),
    st.builds(
        lambda m, e: float(np.ldexp(np.float32(m), e)),
        st.floats(1, 1.9999998807907104, width=32),
        st.integers(-126, 120),
    ),
    st.floats(0.0009765625, 1024.0, width=32),
)
zero_points = st.one_of(
    st.sampled_from(ZERO_POINTS), st.integers(-640, 640), st.integers(INT32_MIN, INT32_MAX), st.just(0)
)
shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=9) | st.tuples(st.integers(0, 400))


@st.composite
def relaid(draw: Any, a: np.ndarray) -> np.ndarray:
    """The same values in another layout."""
    kind = draw(st.sampled_from(["plain", "fortran", "strided", "reversed", "swapped", "misaligned", "read-only"]))
    if kind == "fortran":
        return np.asfortranarray(a) if a.ndim else a
    if kind == "strided":
        wide = np.zeros((*a.shape, 3), a.dtype)
        wide[..., 1] = a
        return wide[..., 1]
    if kind == "reversed":
        flip = (slice(None, None, -1),) * a.ndim
        return a[flip].copy()[flip]
    if kind == "swapped" and a.dtype.isnative and a.dtype.itemsize > 1 and a.dtype.kind == "f":
        return a.astype(a.dtype.newbyteorder())
    if kind == "misaligned":
        raw = np.zeros(a.nbytes + 1, np.uint8)[1:]
        shifted = raw.view(a.dtype).reshape(a.shape)
        shifted[...] = a
        return shifted
    if kind == "read-only":
        a = a.copy()
        a.flags.writeable = False
    return a


@st.composite
def reals(draw: Any, real: str, shape: tuple[int, ...], scale: float, zero_point: int, code: str) -> np.ndarray:
    """Values near the codes' range, with a few of any bit pattern among them."""
    n = int(np.prod(shape))
    x = pool("quantize", real, code, scale, zero_point, n, draw(st.integers(0, 2**32)))
    dtype = real_dtype(real)
    patterns = draw(st.lists(st.integers(0, 2 ** (8 * dtype.itemsize) - 1), max_size=min(n, 6)))
    where = draw(st.lists(st.integers(0, max(n - 1, 0)), min_size=len(patterns), max_size=len(patterns)))
    if patterns:
        x.view(f"u{dtype.itemsize}")[where] = np.array(patterns, f"u{dtype.itemsize}")
    return x.reshape(shape)


@st.composite
def calls(draw: Any) -> tuple[Any, ...]:
    """A kernel, its input and its parameters."""
    kernel, code, real = draw(st.sampled_from(KERNELS)), draw(code_types), draw(real_types)
    shape = draw(shapes)
    axis = draw(st.sampled_from([None, *range(-len(shape), len(shape))]))
    scale, zero_point = draw(scales), draw(zero_points)
    if kernel == "dequantize":
        x = pool(kernel, real, code, scale, zero_point, int(np.prod(shape)), draw(st.integers(0, 99))).reshape(shape)
    else:
        x = draw(reals(real, shape, scale, zero_point, code))
    x = draw(relaid(x))
    if axis is None or draw(st.booleans()):
        s, z = (
            draw(st.sampled_from([float, np.float32, np.float64]))(scale),
            draw(st.sampled_from([int, np.int32, np.int64]))(zero_point),
        )
    else:
        n = shape[axis]
        s = np.array([scale] * n, np.float32)
        s[n // 2 :] = draw(scales)
        z = np.array([zero_point] * n, draw(st.sampled_from([np.int32, np.int64])))
        z[n // 3 :] = draw(zero_points)
    return kernel, x, s, z, code, real, axis


@examples
@given(call=calls(), data=st.data())
def test_calls_agree_with_the_reference(target, call, data):
    kernel, x, scale, zero_point, code, real, axis = call
    options: dict[str, Any] = {"axis": axis}
    if data.draw(st.booleans(), "offset instead of a zero point"):
        zero_point = 0
        options["offset"] = data.draw(st.floats(-(2.0**100), 2.0**100, width=32), "offset")
    expected = reference(kernel, x, scale, zero_point, code, real, **options)
    assert_same(run(kernel, x, scale, zero_point, code, real, **options), expected, x)
    out = data.draw(relaid(np.zeros(x.shape, expected.dtype)), "out")
    if out.flags.writeable:
        assert run(kernel, x, scale, zero_point, code, real, out=out, **options) is out
        assert_same(out.astype(expected.dtype), expected, x)


@examples
@given(real=real_types, code=code_types, scale=scales, shape=shapes, data=st.data())
def test_minmax_and_dynamic_agree_with_the_reference(target, real, code, scale, shape, data):
    x = data.draw(relaid(data.draw(reals(real, shape, scale, 0, code), "x")), "x, relaid")
    axis = data.draw(st.sampled_from([None, *range(-len(shape), len(shape))]), "axis")
    options = {"symmetric": data.draw(st.booleans()), "narrow_range": data.draw(st.booleans())}
    for function, arguments in (("minmax", {}), ("quantize_dynamic", {"dtype": code, **options})):
        with np.errstate(all="ignore"):
            try:
                expected = getattr(_reference, function)(x, axis=axis, **arguments)
            except ValueError:
                expected = None
        try:
            got = getattr(fq, function)(x, axis=axis, **arguments)
        except ValueError:
            got = None
        assert (got is None) == (expected is None)
        if got is not None:
            for part, wanted in zip(got, expected, strict=True):
                assert_same(part, wanted, what=function)


@given(
    bounds=st.tuples(st.floats(-1e38, 1e38), st.floats(-1e38, 1e38)).map(sorted),
    code=code_types,
    symmetric=st.booleans(),
    narrow_range=st.booleans(),
    include_zero=st.booleans(),
)
def test_qparams_agree_with_the_reference(bounds, code, symmetric, narrow_range, include_zero):
    options = {"symmetric": symmetric, "narrow_range": narrow_range, "include_zero": include_zero}
    try:
        expected = _reference.qparams(*bounds, code, **options)
    except ValueError:
        expected = None
    try:
        got = fq.qparams(*bounds, code, **options)
    except ValueError:
        got = None
    assert (got is None) == (expected is None)
    if got is not None and expected is not None:
        assert_same(got.scale, expected[0])
        assert_same(got.zero_point, expected[1])


@examples
@given(code=code_types, scale=st.floats(2.0**-126, 2.0**100, width=32), zero_point=st.integers(-(2**15), 2**15))
def test_every_code_survives_a_round_trip(target, code, scale, zero_point):
    """(level * scale) / scale rounds back to the level: two roundings of 2^-24 each move it by less than a half."""
    q = codes_of(code)
    assert_same(fq.quantize(fq.dequantize(q, scale, zero_point), scale, zero_point, dtype=code), q)


@examples
@given(code=code_types, real=real_types, scale=scales, zero_point=zero_points, data=st.data())
def test_fake_quantize_is_both_calls(target, code, real, scale, zero_point, data):
    x = data.draw(reals(real, (67,), scale, zero_point, code))
    back = fq.dequantize(fq.quantize(x, scale, zero_point, dtype=code), scale, zero_point, dtype=x.dtype)
    assert_same(fq.fake_quantize(x, scale, zero_point, dtype=code), back, x)


@examples
@given(code=code_types, real=real_types, scale=scales, zero_point=zero_points, data=st.data())
def test_quantize_is_monotonic(target, code, real, scale, zero_point, data):
    x = data.draw(reals(real, (150,), scale, zero_point, code)).astype(np.float64 if real == "float64" else np.float32)
    x = np.sort(x[~np.isnan(x)])
    codes = fq.quantize(x, scale, zero_point, dtype=code).astype(int)
    assert (np.diff(codes) >= 0).all()


@examples
@given(
    kernel=st.sampled_from(KERNELS), real=real_types, scale=scales, zero_point=zero_points, seed=st.integers(0, 2**32)
)
def test_order_of_elements_does_not_matter(target, kernel, real, scale, zero_point, seed):
    x = pool(kernel, real, "int8", scale, zero_point, 131, seed)
    shuffled = np.random.default_rng(seed).permutation(131)
    whole = run(kernel, x, scale, zero_point, "int8", real)
    assert_same(run(kernel, x[shuffled], scale, zero_point, "int8", real), whole[shuffled], x[shuffled])
