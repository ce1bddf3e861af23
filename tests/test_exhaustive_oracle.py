"""exhaustive.py, quickly: all numbers of 16 bits, all codes, and of float32 and int32 every 4099th pattern and what is
near the places where results change, on every target, against c/oracle.c. And the oracle itself.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import exhaustive_cases
import numpy as np
import oracle
import pytest
from exact import CODES as EXACT_CODES
from exact import FLOATS as EXACT_FLOATS
from exact import exact_code, exact_value, exactly, float_value, hard_inputs, to_real
from exhaustive_cases import CODES, FLOATS, FROM, LIMITS, PACKS, PAIRS, TO, Case, cases, differences
from values import BITS, CODE_TYPES, FLOAT_TYPES, PACKED_TYPES, REAL_TYPES, bits, hard_values, real_dtype, ties

import fastquant as fq

STRIDE = 4099  # odd, and prime: all combinations of low bits occur
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> oracle.Oracle:
    if oracle.compiler() is None:
        # Where targets are required, as on CI, the tests may not pass without the oracle. (MSVC does not compile it.)
        if os.environ.get("FASTQUANT_TEST_TARGETS") and sys.platform != "win32":
            pytest.fail("no C compiler for the oracle")
        pytest.skip("no C compiler for the oracle")
    return oracle.Oracle(oracle.compile_oracle(tmp_path_factory.mktemp("oracle")))


# ---- the library against the oracle ----


def test_nothing_is_left_out():
    assert {name: limits for name, limits in LIMITS.items() if name != "int32"} == CODE_TYPES
    assert set(FLOATS) == set(FLOAT_TYPES)
    assert set(PACKS.items()) == {(name, 8 // BITS[name]) for name in PACKED_TYPES}
    assert (set(TO), set(FROM)) == (set(REAL_TYPES), set(REAL_TYPES) - {"float64"})
    every = list(cases())
    assert len(set(every)) == len(every) == len(PAIRS) * (16 * 4 + 3 * (8 + 2 * 7))


def inputs(case: Case) -> np.ndarray:
    """The bits of all inputs of a type, or of these many."""
    if case.patterns <= 1 << 16:
        return np.arange(case.patterns).astype(oracle.unsigned(case.source))
    # Other ones for each pair.
    some = np.arange(case.pair, case.patterns, STRIDE, dtype=np.uint64).astype(np.uint32)
    if case.source == "int32":
        powers = 1 << np.arange(32, dtype=np.uint32)
        return np.concatenate([some, powers - 1, powers, powers + 1])
    scale, zero_point = case.parameters
    # Zeros, infinities, NaN with payloads, all exponents; ties, and two numbers on either side of each.
    near = [hard_values("float32", case.code, scale, zero_point)]
    if LIMITS.get(case.code, (0, 0))[1] > 255:  # of which `ties` takes some only
        levels = np.arange(LIMITS[case.code][0], LIMITS[case.code][1] + 1.0) - zero_point
        with np.errstate(over="ignore"):
            middles = ((levels + 0.5) * scale).astype(np.float32)
            near += [middles, np.nextafter(middles, np.float32(np.inf)), np.nextafter(middles, np.float32(-np.inf))]
    return np.concatenate([some, *(a.view(np.uint32) for a in near)])


@pytest.mark.parametrize("code", [*CODES, "int32"])
@pytest.mark.parametrize("source", [*FROM, "codes"])
def test_everything(known, source, code):
    chosen = [case for case in cases() if case.code == code and case.source == (code if source == "codes" else source)]
    for case in chosen:
        found = differences(case, known, inputs(case), fq.cpu.available())
        assert len(found) == len(case.kernels) * len(fq.cpu.available())
        assert not [f"{target}: {wrong} differ. {first}" for (_, target), (wrong, first) in found.items() if wrong]
    assert chosen or code == "int32"


# ---- the oracle ----

BY_HAND = [
    # real, bits of x, scale, zero point, code, bits of the code
    ("float32", 0x40A00000, 10 / 127, 0, "int8", 64),  # 5 / 0.07874016 is just 63.5 in float32, a tie: to the even 64
    ("float32", 0xC0F00000, 10 / 127, 0, "int8", 0xA1),  # -7.5: -95.25, to -95, which is 0x100 - 95 = 0xA1
    ("float32", 0x3F000000, 1.0, 0, "int8", 0),  # 0.5, 1.5, 2.5: to 0, 2 and 2
    ("float32", 0x3FC00000, 1.0, 0, "int8", 2),
    ("float32", 0x40200000, 1.0, 0, "int8", 2),
    ("float32", 0x40200000, 1.0, 1, "int8", 3),  # the zero point is added after rounding: 2 + 1, not 3.5 to 4
    ("float32", 0xFF800000, 1.0, 100, "uint8", 0),  # -infinity
    ("float32", 0xFFC00001, 1.0, 100, "int4", 8),  # NaN: the lowest code -8, four bits of it
    ("float16", 0x0001, 2.0**-24, 0, "uint8", 1),  # the smallest float16 is 2**-24
    ("bfloat16", 0x4049, 1.0, 0, "uint2", 3),  # 1.1001001b * 2 = 3.14
    ("float32", 0x43E80000, 1.0, 0, "float8_e4m3fn", 0x7E),  # 464: the largest, 1.11b * 2**8 = 448
    # float8_e5m2: 2**-16 is the smallest. A half of it is a tie, to zero with the sign; 0.75 of it rounds up.
    ("float32", 0xB7000000, 1.0, 0, "float8_e5m2", 0x80),
    ("float32", 0xB7400000, 1.0, 0, "float8_e5m2", 0x81),
    ("float32", 0x80000000, 1.0, 0, "float8_e5m2fnuz", 0x00),  # -0: there is none
    ("float32", 0x7FC00000, 1.0, 0, "float8_e5m2fnuz", 0x80),  # the one NaN
    ("float32", 0x7FC00000, 1.0, 0, "float6_e3m2fn", 0x1F),  # NaN: 1.11b * 2**4 = 28
    ("float32", 0x40A00000, 1.0, 0, "float4_e2m1fn", 0x6),  # 5, between 4 (1.0b * 2**2, code 6) and 6 (7): to even
]


@pytest.mark.parametrize(("real", "x", "scale", "zero_point", "code", "expected"), BY_HAND)
def test_codes_by_hand(known, real, x, scale, zero_point, code, expected):
    a = np.array([x], oracle.unsigned(real))
    assert known.quantize(a, scale, zero_point, code, real).tolist() == [expected]


def test_beyond_the_range_by_hand(known):
    """464, the next float32 and both infinities, where nothing saturates. float8_e4m3fn: 464 is the middle of 448, code
    0x7E, and 480, which would be 0x7F: to the even one. float8_e5m2: 464 * 2**8 is beyond 1.11b * 2**15 = 57344."""
    x = np.array([0x43E80000, 0x43E80001, 0x7F800000, 0xFF800000], np.uint32)
    assert known.quantize(x, 1.0, 0, "float8_e4m3fn", "float32", False).tolist() == [0x7E, 0x7F, 0x7F, 0xFF]
    assert known.quantize(x, 2.0**-8, 0, "float8_e5m2", "float32", False).tolist() == [0x7C, 0x7C, 0x7C, 0xFC]
    assert known.quantize(x, 1.0, 0, "float8_e4m3fnuz", "float32", False).tolist() == [0x80] * 4
    assert known.quantize(x, 1.0, 0, "float4_e2m1fn", "float32", False).tolist() == [0x7, 0x7, 0x7, 0xF]


def test_reals_by_hand(known):
    codes = np.array([0xFF, 0x05], np.uint8)
    # -1 - 3 = -4 and 5 - 3 = 2, times 1.5: -6 = -1.1b * 2**2 and 3 = 1.1b * 2
    assert known.dequantize(codes, 1.5, 3, "int8", "float32").tolist() == [0xC0C00000, 0x40400000]
    assert known.dequantize(codes, 1.5, 3, "int8", "float16").tolist() == [0xC600, 0x4200]
    # Four bits: -1 and 5
    assert known.dequantize(codes, 1.5, 0, "int4", "bfloat16").tolist() == [0xBFC0, 0x40F0]
    # float4_e2m1fn 0xF is -1.1b * 2**2 = -6, 5 is 1.1b * 2 = 3
    assert known.dequantize(codes, 1.0, 0, "float4_e2m1fn", "float64").view(np.float64).tolist() == [-6, 3]
    # 2**24 + 1 - 0 rounds to 2**24 in float32, and 65520 to infinity in float16
    assert known.dequantize(np.array([0x1000001], np.uint32), 1.0, 0, "int32", "float32").tolist() == [0x4B800000]
    assert known.dequantize(np.array([65520], np.uint32), 1.0, 0, "int32", "float16").tolist() == [0x7C00]
    assert known.pack(np.array([1, 2, 3], np.uint8), "uint4", 2).tolist() == [0x21, 0x03]
    assert known.pack(np.array([1, 2, 3, 0, 2], np.uint8), "uint2", 4).tolist() == [0b00_11_10_01, 0b10]


@pytest.mark.parametrize("code", EXACT_CODES)
@pytest.mark.parametrize("real", FROM)
def test_oracle_against_rational_arithmetic(known, real, code):
    rng = np.random.default_rng(5)
    for pair in range(len(PAIRS)):
        scale, zero_point = Case(real, code, real, pair).parameters
        x = hard_inputs("float32" if real == "bfloat16" else real, code, scale, zero_point, rng)
        if real == "bfloat16":
            x = (bits(x) >> 16).astype(np.uint16).view(real_dtype(real))
        for saturate in (True, False) if code in EXACT_FLOATS else (True,):
            expected = [exact_code(float(v), scale, zero_point, code, "float32", saturate=saturate) for v in x]
            got = known.quantize(bits(x), scale, zero_point, code, real, saturate)
            assert (got == np.array(expected) % (1 << BITS[code])).all()


@pytest.mark.parametrize("code", EXACT_CODES)
@pytest.mark.parametrize("real", TO)
def test_oracle_values_against_rational_arithmetic(known, real, code):
    q = np.arange(0, 1 << BITS[code], 1 if BITS[code] <= 8 else 61)
    for pair in range(len(PAIRS)):
        scale, zero_point = Case(code, code, real, pair).parameters
        got = known.dequantize(q.astype(oracle.unsigned(code)), scale, zero_point, code, real)
        if code in FLOATS:
            levels = [float_value(int(i), code) for i in q]
        else:
            signed = np.where(q > LIMITS[code][1], q - (1 << BITS[code]), q) - zero_point
            levels = [exactly(float(i)) for i in signed]
        values, negative = zip(*(exact_value(level, scale, None, real) for level in levels), strict=True)
        x = got.view(real_dtype(real)).astype(np.float64)
        assert np.array_equal(x, [float(to_real(value, real)) for value in values], equal_nan=True)
        assert np.array_equal(np.signbit(x), negative)


# ---- it can fail ----


@pytest.mark.parametrize("code", ["int8", "uint16", "float8_e4m3fn"])
def test_a_wrong_scale_is_found(known, monkeypatch, code):
    """One unit in the last place of the scale shows at ties, and in most products."""
    case = Case("float32", code, "float32", 4)
    x = inputs(case)

    def wrong(kernel: str, case: Case, x: np.ndarray) -> np.ndarray:
        scale, zero_point = case.parameters
        larger = np.nextafter(np.float32(scale), np.float32(1))
        return getattr(fq, kernel)(x.view(np.float32), larger, zero_point, dtype=code)

    monkeypatch.setattr(exhaustive_cases, "call", wrong)
    found = differences(case, known, x, ["portable"])
    assert all(0 < count < x.size for count, _ in found.values())
    assert found["quantize", "portable"].first.startswith(f"quantize, float32, {code}, scale 0x1.99999a")


@pytest.mark.parametrize("code", PACKS)
def test_wrong_packed_codes_are_found(known, monkeypatch, code):
    right = exhaustive_cases.call
    monkeypatch.setattr(exhaustive_cases, "call", lambda kernel, case, x: right(kernel, case, x)[::-1].copy())
    for case in (Case("float16", code, "float16", 2), Case(code, code, "float32", 2)):
        found = differences(case, known, inputs(case), ["portable"])
        assert {kernel for (kernel, _), (count, _) in found.items() if count} == set(case.kernels)


@pytest.mark.parametrize("code", ["int8", "float8_e4m3fn"])
def test_multiplying_by_the_reciprocal_is_found(known, code):
    """What is not a true division has other codes at ties, if in few of them."""
    scale = np.float32(10 / 127)
    x = ties(code, float(scale), 0, "float32")
    product = x * (np.float32(1) / scale)
    made = bits(fq.quantize(product, 1.0, dtype=code))
    assert 0 < np.count_nonzero(made != known.quantize(bits(x), float(scale), 0, code, "float32")) < x.size // 4


MISTAKES = {
    # text of c/oracle.c, what replaces it, and a case in which that shows: source, code type, real type, pair
    "ties upwards": ("rest > half ||", "rest >= half ||", ("float16", "int8", "float16", 2)),
    "ties of floats upwards": ("rest > half ||", "rest >= half ||", ("float16", "float6_e2m3fn", "float16", 2)),
    "the reciprocal": ("(dividend)) / scale", "(dividend)) * (1 / scale)", ("float32", "uint8", "float32", 5)),
    "another NaN": ("code = f->lowest;", "code = 0;", ("bfloat16", "int4", "bfloat16", 0)),
    "NaN without sign": ("case FN: return sign |", "case FN: return", ("float16", "float8_e4m3fn", "float16", 0)),
    "-0": ("magnitude == 0 && f->kind == FNUZ", "0", ("float16", "float8_e5m2fnuz", "float16", 2)),
    "no subnormals": ("leading = smallest;", "return sign;", ("bfloat16", "float8_e4m3fnuz", "bfloat16", 2)),
    "beyond": ("saturate ||", "!saturate ||", ("float32", "float8_e5m2", "float32", 2, False)),
    "in float64": ("as_float(level) * (float)scale", "as_double(level) * scale", ("int32", "int32", "bfloat16", 4)),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_found(known, tmp_path, mistake):
    """An oracle with a mistake differs from the library, as a library with that mistake would from the oracle."""
    old, new, fields = MISTAKES[mistake]
    case = Case(*fields)
    text = oracle.SOURCE.read_text(encoding="utf-8")
    assert text.count(old) == 1
    (tmp_path / "mistaken.c").write_text(text.replace(old, new), encoding="utf-8")
    mistaken = oracle.Oracle(oracle.compile_oracle(tmp_path, tmp_path / "mistaken.c"))
    x = inputs(case)
    assert not any(count for count, _ in differences(case, known, x, ["portable"]).values())
    assert any(count for count, _ in differences(case, mistaken, x, ["portable"]).values())


# ---- the command ----


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tests" / "exhaustive.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_command(known, tmp_path):
    results, table = tmp_path / "results.jsonl", tmp_path / "table.md"
    options = ["--results", results, "--stride", "1048583", "--jobs", "1", "--code", "int2", "--target", "portable"]
    done = run(*options, "--real", "float32", "--pair", "5")
    assert (done.returncode, done.stdout.count("| 4,096 |")) == (0, 3), done.stderr
    assert "results compared, 0 of them differ" in done.stdout
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    assert [line["inputs"] for line in lines] == [256, 4096]

    # Goes on with what has not been tried, even where the last line was cut.
    with results.open("a") as file:
        file.write('{"identity": "cut\n')
    again = run(*options, "--real", "float32", "--real", "float16", "--pair", "5")
    assert again.returncode == 0, again.stderr
    assert "float32 to" not in again.stderr
    assert "float16" in again.stderr

    # Says so, if anything differs.
    lines[1]["wrong"][0][2], lines[1]["first"] = 7, ["portable: this one"]
    results.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert run(*options, "--real", "float32", "--pair", "5").returncode == 1
    assert run("--results", results, "--write", table).returncode == 0
    text = table.read_text()
    assert "| `quantize` | float32 | int2 | 1 | 4,096 | 7 |" in text
    assert "- portable: this one" in text
    assert run("--code", "int3").returncode == 2
