"""fastquant.compat.numcodecs against numcodecs' own codec, and in zarr: equal to the bit, but for what it lists."""

from __future__ import annotations

import inspect
import json
import os
import pickle
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from importlib.metadata import entry_points

import numpy as np
import pytest
from compat_table_others import FAMILIES, differences, hostile, original, random, real, silent
from hypothesis import given
from hypothesis import strategies as st

numcodecs = pytest.importorskip("numcodecs")

from fastquant.compat import numcodecs as ours  # noqa: E402

INF, NAN = float("inf"), float("nan")
Codec = ours.FixedScaleOffset
Original = numcodecs.FixedScaleOffset
ID = "fastquant.fixedscaleoffset"
ENTRY_POINTS = {
    ("numcodecs.codecs", ID): "fastquant.compat.numcodecs:FixedScaleOffset",
    ("zarr.codecs", ID): "fastquant.compat.numcodecs:ZarrFixedScaleOffset",
}


@pytest.fixture
def registered():
    from numcodecs import registry

    before = dict(registry.codec_registry)
    numcodecs.register_codec(Codec)
    yield
    registry.codec_registry.clear()
    registry.codec_registry.update(before)


@pytest.fixture
def zarr(registered):
    zarr = pytest.importorskip("zarr", "3")
    zarr.registry.register_codec(ID, ours.ZarrFixedScaleOffset, qualname=ID)
    with zarr.config.set({"codecs": {ID: ID}}):
        yield zarr


def same(mine, other):
    n, wrong = differences(mine, other)
    assert not wrong, f"{wrong} of {n} differ: {mine}, {other}"


# ---- equal to the original ----


def test_equal_to_the_original(target):
    assert original("numcodecs") is not None
    compared = Counter()
    for case in FAMILIES["numcodecs"]():
        n, wrong = differences(silent(case.mine), silent(case.original))
        assert not wrong, f"{case.function}, {case.label}: {wrong} of {n} differ"
        compared[case.function] += n
    assert min(compared["encode"], compared["decode"]) > 10**5


def test_signature():
    mine, other = (list(inspect.signature(c).parameters.values()) for c in (Codec, Original))
    assert [(p.name, p.default) for p in mine[:-1]] == [(p.name, p.default) for p in other]
    assert (mine[-1].name, mine[-1].default, mine[-1].kind) == ("saturate", True, mine[-1].KEYWORD_ONLY)


@given(
    x=st.lists(st.floats(-300, 300, width=32), max_size=9),
    scale=st.floats(2.0**-20, 100, width=32),
    offset=st.floats(-10, 10),
    dtype=st.sampled_from(["f4", "f8", ">f4"]),
    astype=st.sampled_from(["i2", "i4", ">i2", "f8"]),
)
def test_any_numbers(x, scale, offset, dtype, astype):
    mine, other = Codec(offset, scale, dtype, astype), Original(offset, scale, dtype, astype)
    encoded = other.encode(np.array(x, dtype))
    same(mine.encode(np.array(x, dtype)), encoded)
    same(mine.decode(encoded), other.decode(encoded))


@pytest.mark.parametrize("saturate", [True, False])
@pytest.mark.parametrize(
    "make", [bytes, bytearray, memoryview, lambda b: np.frombuffer(b, "u1"), lambda b: np.frombuffer(b, "i8")]
)
def test_buffers(make, saturate, target):
    x = random((6, 4), "f8", spread=5)
    mine, other = Codec(1, 4.0, "f8", "i1", saturate=saturate), Original(1, 4.0, "f8", "i1")
    encoded = other.encode(make(x.tobytes()))
    same(mine.encode(make(x.tobytes())), encoded)
    if make is not bytes:
        same(mine.decode(make(encoded.tobytes())), other.decode(make(encoded.tobytes())))
    same(mine.decode(encoded.tobytes()), other.decode(encoded.tobytes()))
    assert mine.decode(encoded).tobytes() == mine.decode(encoded.tobytes()).tobytes()


def test_layouts(target):
    x = random((6, 8, 3), "f4", spread=20)
    for layout in (x, np.asfortranarray(x), x[::2], x[:, ::-1], x.transpose(1, 0, 2), x[0, 0, 0], x[:0], x[..., 0]):
        for astype in ("i2", "i4"):
            mine, other = Codec(0, 8.0, "f4", astype), Original(0, 8.0, "f4", astype)
            same(mine.encode(layout), other.encode(layout))
    q = np.arange(48, dtype="i2").reshape(6, 8)
    mine, other = Codec(0, 8.0, "f4", "i2"), Original(0, 8.0, "f4", "i2")
    for layout in (q, np.asfortranarray(q), q[::2], q[:, ::-1], q.T):
        same(mine.decode(layout), other.decode(layout))


OUTS = {
    "flat": lambda: np.zeros(12, "f4"),
    "C": lambda: np.zeros((3, 4), "f4"),
    "F": lambda: np.zeros((3, 4), "f4", order="F"),
    "bytes": lambda: bytearray(48),
    "uint8": lambda: np.zeros(48, "u1"),
    "int64": lambda: np.zeros(6, "i8"),
    "columns": lambda: np.zeros((3, 8), "f4")[:, ::2],
    "rows": lambda: np.zeros((6, 4), "f4")[::2],
}


@pytest.mark.parametrize("make", OUTS.values(), ids=OUTS)
@pytest.mark.parametrize("astype", ["i1", "u2", "i4", ">i2"])
def test_out(make, astype, target):
    q = np.arange(12).astype(astype)
    outs = make(), make()
    results = [c(3, 8.0, "f4", astype).decode(q, out=out) for c, out in zip((Codec, Original), outs, strict=True)]
    assert bytes(np.ascontiguousarray(outs[0])) == bytes(np.ascontiguousarray(outs[1])) != bytes(48)
    same(*(np.asarray(r) for r in results))
    assert np.shares_memory(results[0], np.asarray(outs[0]))


def test_out_that_does_not_fit():
    q = np.arange(12, dtype="i2")
    readonly = np.zeros(12, "f4")
    readonly.flags.writeable = False
    for out in (np.zeros(11, "f4"), bytearray(40), readonly, bytes(48)):
        for codec in (Codec, Original):
            with pytest.raises(ValueError, match=r"reshape|read-only|divisor|size"):
                codec(0, 8.0, "f4", "i2").decode(q, out=out)
    # Codes in the same memory as the result: as there, by a result that is copied.
    memory = np.zeros(6, "f8")
    codes = memory.view("i2")[12:]
    codes[:] = np.arange(12)
    expected = Original(0, 8.0, "f4", "i2").decode(codes.copy())
    assert (Codec(0, 8.0, "f4", "i2").decode(codes, out=memory).view("f4") == expected).all()


@pytest.mark.parametrize("name", ["wordllama", "minilm"])
def test_real_weights(name, target):
    x = real(name, 300)
    if x is None:
        pytest.skip(f"{name} is not installed")
    x = x.astype("f4")
    mine, other = Codec(0.1, 1000.0, "f4", "i2"), Original(0.1, 1000.0, "f4", "i2")
    same(mine.encode(x), other.encode(x))
    decoded = mine.decode(mine.encode(x))
    same(decoded, other.decode(other.encode(x)))
    assert np.abs(decoded - x.reshape(-1)).max() < 0.0006


# ---- different, as documented ----


def exactly(x, offset, scale, info):
    """round((x - offset) * scale) of integers, limited, in rational arithmetic."""
    return min(max(round((Fraction(x) - Fraction(offset)) * Fraction(scale)), info.min), info.max)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "g"])
@pytest.mark.parametrize("astype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", ">i2", ">u4"])
def test_saturates(dtype, astype, target):
    info = np.iinfo(astype)
    x = np.array([NAN, -NAN, INF, -INF, np.finfo(dtype).max, np.finfo(dtype).min, 3.5, 2.5, 0, -1], dtype)
    low = 0 if info.min == 0 else -1
    expected = [info.min, info.min, info.max, info.min, info.max, info.min, 4, 2, 0, low]
    if dtype == "f2":
        expected[4:6] = min(65504, info.max), max(-65504, info.min)
    codec = Codec(0, 1, dtype, astype)
    q = codec.encode(x)
    assert q.dtype == np.dtype(astype)
    assert q.tolist() == expected
    plain = silent(lambda: Codec(0, 1, dtype, astype, saturate=False).encode(x))
    same(plain, silent(lambda: Original(0, 1, dtype, astype).encode(x)))
    if np.dtype(astype).itemsize == 1:
        assert plain.tolist() != expected


@pytest.mark.parametrize("astype", ["i1", "u1", "i2", "u2"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_saturates_at_ties_and_ends(dtype, astype, target):
    x, info = hostile(0.25, dtype), np.iinfo(astype)
    with np.errstate(all="ignore"):
        level = np.around(x * dtype(4))
    expected = np.clip(level, info.min, info.max).astype(astype)
    same(Codec(0, 4.0, dtype, astype).encode(x), expected)


@pytest.mark.parametrize("scale", [0.0, -4.0, NAN, INF, 1e-300, 1e300])
def test_scales_that_kernels_lack(scale):
    x = np.array([1, -2, 0, 100], "f4")
    level = silent(lambda: np.around(x * scale))
    expected = [-128 if np.isnan(v) else int(min(max(v, -128), 127)) for v in level]
    assert Codec(0, scale, "f4", "i1").encode(x).tolist() == expected
    q = np.array([-3, 0, 100], "i1")
    same(Codec(0.5, scale, "f4", "i1").decode(q), silent(lambda: Original(0.5, scale, "f4", "i1").decode(q)))


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "i8", "u8"])
@pytest.mark.parametrize("offset", [0, 1, -5, 100, 3 * 10**9, np.int16(7), 2**62])
@pytest.mark.parametrize("scale", [1, 2, 300, 0.5, np.int8(3), 2**40])
def test_integers_do_not_wrap(dtype, offset, scale):
    info = np.iinfo(dtype)
    x = np.array([info.min, info.max, 0, 1, 50], dtype)
    for astype in ("i1", "u1", "i4", "i8"):
        mine = Codec(offset, scale, dtype, astype).encode(x)
        exact = [
            exactly(int(v), int(offset), Fraction(scale) if type(scale) is float else int(scale), np.iinfo(astype))
            for v in x
        ]
        if type(scale) is float and np.dtype(astype).itemsize == 8:  # by way of float64
            assert np.allclose(mine.astype(float), np.array(exact, float), rtol=1e-15)
        else:
            assert mine.tolist() == exact


def test_integers_wrap_there():
    x = np.array([0, 255], "u1")
    assert silent(lambda: Original(1, 1, "u1", "i2").encode(x)).tolist() == [255, 254]
    assert Codec(1, 1, "u1", "i2").encode(x).tolist() == [-1, 254]
    with pytest.raises(OverflowError):
        Original(-5, 1, "u1", "i2").encode(x)
    assert Codec(-5, 1, "u1", "i2").encode(x).tolist() == [5, 260]


@pytest.mark.parametrize("astype", ["i1", "u1", "i2"])
def test_integer_scales_beyond_the_codes(astype, target):
    """Which NumPy divides by all the same."""
    q = np.array([0, 1, 5], astype)
    for offset in (0, 2**70, np.float32(1)):
        for scale in (10**5, -(10**5), 2**70):
            mine, other = Codec(offset, scale, "f4", astype), Original(offset, scale, "f4", astype)
            same(mine.decode(q), other.decode(q))


# ---- a codec ----


@pytest.mark.parametrize("saturate", [True, False])
def test_config(registered, saturate):
    codec = Codec(0.5, 10, ">f4", "i2", saturate=saturate)
    config = codec.get_config()
    assert config == {"id": ID, "offset": 0.5, "scale": 10, "dtype": ">f4", "astype": "<i2", "saturate": saturate}
    again = numcodecs.get_codec(json.loads(json.dumps(config)))
    assert type(again) is Codec
    assert again == codec
    assert again != Codec(0.5, 10, ">f4", "i2", saturate=not saturate)
    assert pickle.loads(pickle.dumps(codec)) == codec
    assert eval(repr(codec), {"FixedScaleOffset": Codec}) == codec
    assert Codec(0, 1, "f8").get_config()["astype"] == "<f8"
    del config["saturate"]
    config["id"] = "fixedscaleoffset"
    x = np.arange(9, dtype=">f4")
    same(numcodecs.get_codec(config).decode(codec.encode(x)), codec.decode(codec.encode(x)))


def test_attributes_may_change():
    codec, x = Codec(0, 10.0, "f4", "i1"), np.array([1, -2], "f4")
    assert codec.encode(x).tolist() == [10, -20]
    codec.scale = 20.0
    assert codec.encode(x).tolist() == [20, -40]
    codec.saturate = False
    assert codec.encode(x * 10).tolist() == silent(lambda: Original(0, 20.0, "f4", "i1").encode(x * 10)).tolist()


def test_errors():
    with pytest.raises(TypeError, match="saturate: got 1, expected True or False"):
        Codec(0, 1, "f4", "i1", saturate=1)
    for codec in (Codec, Original):
        with pytest.raises(ValueError, match="object"):
            codec(0, 1, object)
        with pytest.raises(ValueError, match=r"size|compatible|divisor"):
            codec(0, 1, "f8", "i1").encode(b"123")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ours.nothing  # noqa: B018


# ---- zarr ----


def test_zarr_2(zarr, tmp_path):
    x = random((30, 20), spread=200)
    z = zarr.create_array(
        tmp_path / "a", shape=x.shape, chunks=(8, 7), dtype="f4", zarr_format=2, filters=[Codec(0, 100, "f4", "i2")]
    )  # fmt: skip
    z[:] = x
    again = zarr.open_array(tmp_path / "a", mode="r+")
    assert again.metadata.filters == (Codec(0, 100, "f4", "i2"),)
    limit = np.clip(x, -327.68, 327.67)
    assert np.abs(again[:] - limit).max() < 0.006
    again[3, 3] = 1e9
    assert abs(again[3, 3] - 327.67) < 1e-4
    options = {"shape": x.shape, "chunks": (8, 7), "dtype": "f4", "zarr_format": 2, "order": "F"}
    z = zarr.create_array(tmp_path / "b", filters=again.metadata.filters, **options)
    z[:] = x
    assert np.abs(zarr.open_array(tmp_path / "b")[:] - limit).max() < 0.006


@pytest.mark.parametrize("more", [{}, {"shards": (16, 14)}, {"dtype": "f8"}, {"dtype": ">f4"}, {"fill_value": 7.5}])
@pytest.mark.parametrize("astype", ["i2", ">i2", "u1", "i4", None])
def test_zarr_3(zarr, tmp_path, more, astype):
    x = np.abs(random((30, 20), spread=1))
    for scale, order in ((20, "C"), (20.0, "F")):
        where = tmp_path / order
        options = {"shape": x.shape, "chunks": (8, 7), "dtype": "f4", "zarr_format": 3, **more}
        z = zarr.create_array(where, filters=[ours.ZarrFixedScaleOffset(0.5, scale, astype=astype)], **options)
        z[:9] = np.asarray(x[:9], order=order)
        z[9:] = np.asarray(x[9:], order=order)
        again = zarr.open_array(where)
        own = np.dtype(options["dtype"])
        codec = Codec(0.5, scale, own, astype)
        expected = codec.decode(codec.encode(x.astype(own))).reshape(x.shape)
        assert (again[:] == expected).all()
        assert again.metadata.codecs == z.metadata.codecs
        empty = zarr.create_array(
            where / "none", filters=[ours.ZarrFixedScaleOffset(0, scale, astype=astype)], **options
        )
        assert (empty[:] == options.get("fill_value", 0)).all()


def test_zarr_3_config(zarr):
    codec = ours.ZarrFixedScaleOffset(0, 10, "f4", "u1")
    expected = {"offset": 0, "scale": 10, "dtype": "<f4", "astype": "|u1", "saturate": True}
    assert codec.to_dict() == {"name": ID, "configuration": expected}
    assert type(codec).from_dict(codec.to_dict()) == codec == pickle.loads(pickle.dumps(codec))
    assert type(codec).from_dict({"name": ID, "configuration": {"offset": 0, "scale": 10}}).dtype is None
    spec = zarr.core.array_spec.ArraySpec  # of a chunk
    chunk = spec(shape=(6,), dtype=zarr.dtype.Float64(), fill_value=0, config=None, prototype=None)
    assert codec.compute_encoded_size(48, chunk) == 6
    assert codec.resolve_metadata(chunk).dtype == zarr.dtype.UInt8()
    with pytest.raises(ValueError, match=f"name: got 'gzip', expected '{ID}'"):
        type(codec).from_dict({"name": "gzip"})
    with pytest.raises(ValueError, match="dtype: got <f4, expected the array's, <f8"):
        zarr.create_array({}, shape=(3,), dtype="f8", filters=[codec])
    with pytest.raises(TypeError, match="saturate: got 'no'"):
        ours.ZarrFixedScaleOffset(0, 10, saturate="no")


@pytest.mark.parametrize("case", ["Fortran order", "byte order", "dtype"])
def test_zarr_3_is_wrong_there(zarr, case):
    """numcodecs' codec in zarr's wrapper."""
    codecs = pytest.importorskip("zarr.codecs.numcodecs")
    x, config = np.arange(6, dtype="f4").reshape(2, 3), {"offset": 0, "scale": 10, "astype": "i2"}
    if case == "Fortran order":
        x = np.asfortranarray(x)
    elif case == "byte order":
        x, config["astype"] = x.astype(">f4"), ">i2"
    else:
        x, config["dtype"] = x.astype("f8"), "f4"

    def through(make):
        z = zarr.create_array({}, shape=x.shape, chunks=x.shape, dtype=x.dtype, filters=[make(**config)])
        z[:] = x
        return z[:]

    if case == "dtype":
        with pytest.raises(ValueError, match="dtype: got <f4, expected the array's, <f8"):
            through(ours.ZarrFixedScaleOffset)
    else:
        assert (through(ours.ZarrFixedScaleOffset) == x).all()
    try:
        found = silent(lambda: through(codecs.FixedScaleOffset))
    except ValueError:
        return
    assert (found != x).any(), "zarr has mended this: say so in the module"


SCRIPT = f"""
import sys, numpy as np
import numcodecs
assert not any(name.startswith("fastquant") for name in sys.modules)
config = dict(id="{ID}", offset=0, scale=10.0, dtype="f4", astype="i1")
codec = numcodecs.get_codec(config)
assert codec.encode(np.array([100, -1], "f4")).tolist() == [127, -10]
assert "zarr" not in sys.modules
try:
    import zarr
except ImportError:
    sys.exit()
for version, codec in (2, codec), (3, {{"name": "{ID}", "configuration": dict(offset=0, scale=10.0, astype="i1")}}):
    z = zarr.create_array({{}}, shape=(2,), dtype="f4", filters=[codec], zarr_format=version)
    z[:] = [100, -1]
    assert np.allclose(z[:], [12.7, -1])
    assert np.allclose(zarr.open_array(z.store)[:], [12.7, -1])
"""


def test_found_through_entry_points(tmp_path):
    """As an installed package would be: a distribution beside fastquant, in a process of its own."""
    info = tmp_path / "stands_in-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stands-in\nVersion: 1.0\n")
    lines = [f"[{group}]\n{name} = {target}\n" for (group, name), target in ENTRY_POINTS.items()]
    (info / "entry_points.txt").write_text("\n".join(lines))
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    subprocess.run([sys.executable, "-P", "-c", SCRIPT], check=True, env={**os.environ, "PYTHONPATH": path})


@pytest.mark.parametrize(("group", "name"), [*ENTRY_POINTS])
def test_installed_entry_points(group, name):
    found = entry_points(group=group, name=name)
    if not found:
        pytest.skip("fastquant is not installed, or by an earlier version")
    assert {each.value for each in found} == {ENTRY_POINTS[group, name]}
    if group == "numcodecs.codecs" or pytest.importorskip("zarr", "3"):
        assert next(iter(found)).load() is getattr(ours, name and ENTRY_POINTS[group, name].partition(":")[2])
