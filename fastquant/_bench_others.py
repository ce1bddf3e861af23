"""Peers with formats or purposes of their own: bitsandbytes, faiss, sentence-transformers, gguf and NumKong.

Each is called as its documentation tells, where what it does corresponds to a case: as many bits, and as many elements
to a scale. Where their codes mean something else, or their scales are found in another way, no values are compared.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

import fastquant as fq
from fastquant._bench_cases import Case
from fastquant._bench_libraries import torch_module, torch_threads
from fastquant._bench_own import NONE, Names, Peer, Statements, blocks_fit, value_of

_PLAIN_CODES = ("int8", "uint8")


def _is_float32(case: Case) -> bool:
    return case.kernel.real == "float32" and case.kernel.layout == "C" and not case.kernel.source


def _last_axis_blocks(case: Case) -> int:
    """How long the blocks are that a case cuts its rows into; 0 for none, or for blocks that do not fit."""
    kernel = case.kernel
    whole = kernel.axis == -1 and _is_float32(case) and blocks_fit(case)
    return kernel.block if whole and kernel.block else 0


# ---- bitsandbytes: blocks of a tensor, codes from a table ----

_BITSANDBYTES_BLOCKS = (32, 64, 128, 256, 512, 1024, 2048, 4096)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """It logs what it did not find as it is imported."""
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def _bitsandbytes() -> Any:
    torch_module()
    with _quiet():
        return importlib.import_module("bitsandbytes.functional")


def _bitsandbytes_statements(case: Case) -> Statements:
    block, function = _last_axis_blocks(case), case.kernel.function
    if block not in _BITSANDBYTES_BLOCKS:
        return NONE
    if not case.kernel.packed and case.code == "int8":
        statement = {
            "quantize_dynamic": f"bnb.quantize_blockwise(t, blocksize={block})",
            "dequantize": "bnb.dequantize_blockwise(codes, state)",
        }
    elif case.kernel.packed and case.code == "float4_e2m1fn":
        statement = {
            "quantize_dynamic": f"bnb.quantize_4bit(t, blocksize={block}, quant_type='fp4')",
            "dequantize": "bnb.dequantize_4bit(codes, state)",
        }
    else:
        return NONE
    return statement.get(function), None


def _bitsandbytes_names(case: Case, names: Names) -> Names:
    bnb, torch = _bitsandbytes(), torch_module()
    own: Names = {"bnb": bnb, "t": torch.from_numpy(names["x"])}
    if case.kernel.function == "dequantize":
        if case.kernel.packed:
            made = bnb.quantize_4bit(own["t"], blocksize=case.kernel.block, quant_type="fp4")
        else:
            made = bnb.quantize_blockwise(own["t"], blocksize=case.kernel.block)
        own |= dict(zip(("codes", "state"), made, strict=True))
    return own


BITSANDBYTES = Peer(
    "bitsandbytes",
    _bitsandbytes_statements,
    _bitsandbytes_names,
    module="bitsandbytes",
    load=_bitsandbytes,
    comparable=False,
    use_threads=torch_threads,  # both are OpenMP's, of one runtime
)

# ---- faiss: scalar quantizers of vectors, one range for all components or one for each ----


def _faiss() -> Any:
    return importlib.import_module("faiss")


def _faiss_threads(count: int) -> int:
    faiss = _faiss()
    before = int(faiss.omp_get_max_threads())
    faiss.omp_set_num_threads(count)
    return before


def _faiss_statements(case: Case) -> Statements:
    kernel = case.kernel
    each = kernel.axis in (None, -1) and kernel.block is None and not kernel.packed
    if not each or not _is_float32(case) or case.code != "uint8":
        return NONE
    return {"quantize": "sq.compute_codes(vectors)", "dequantize": "sq.decode(codes)"}.get(kernel.function), None


def _faiss_names(case: Case, names: Names) -> Names:
    faiss = _faiss()
    width = max(d for d in range(1, min(1024, case.size) + 1) if case.size % d == 0)
    vectors = names["x"].reshape(-1, width)
    kind = faiss.ScalarQuantizer.QT_8bit_uniform if case.one_scale else faiss.ScalarQuantizer.QT_8bit
    sq = faiss.ScalarQuantizer(width, kind)
    sq.train(vectors[: 1 << 12])
    own: Names = {"sq": sq, "vectors": vectors}
    if case.kernel.function == "dequantize":
        own["codes"] = sq.compute_codes(vectors)
    return own


FAISS = Peer(
    "faiss",
    _faiss_statements,
    _faiss_names,
    module="faiss",
    distribution="faiss-cpu",
    load=_faiss,
    comparable=False,  # its codes are truncated
    use_threads=_faiss_threads,
)

# ---- sentence-transformers: embeddings, a range for each component ----


def _sentence_transformers() -> Any:
    return importlib.import_module("sentence_transformers.util")


def _embeddings_statements(case: Case) -> Statements:
    kernel = case.kernel
    columns = kernel.function == "quantize" and kernel.axis == -1 and kernel.block is None and not kernel.packed
    if not columns or not _is_float32(case) or case.code not in _PLAIN_CODES:
        return NONE
    return "quantize_embeddings(x, precision=code, ranges=ranges)", None


def _embeddings_names(case: Case, names: Names) -> Names:
    function = _sentence_transformers().quantize_embeddings
    return {"quantize_embeddings": function, "ranges": np.stack(fq.minmax(names["x"], axis=-1))}


SENTENCE_TRANSFORMERS = Peer(
    "sentence-transformers",
    _embeddings_statements,
    _embeddings_names,
    module="sentence_transformers",
    load=_sentence_transformers,
    comparable=False,  # its codes are truncated
)

# ---- gguf: files of llama.cpp, blocks of 32 that hold their own scale ----

_GGUF = {(False, "int8"): "Q8_0", (True, "int4"): "Q4_0"}


def _gguf() -> Any:
    importlib.import_module("gguf.quants")
    return importlib.import_module("gguf")


def _gguf_statements(case: Case) -> Statements:
    kind = _GGUF.get((case.kernel.packed, case.code))
    if kind is None or _last_axis_blocks(case) != 32:
        return NONE
    statement = {
        "quantize_dynamic": f"gguf.quants.quantize(x, gguf.GGMLQuantizationType.{kind})",
        "dequantize": f"gguf.quants.dequantize(blocks, gguf.GGMLQuantizationType.{kind})",
    }
    return statement.get(case.kernel.function), None


def _gguf_names(case: Case, names: Names) -> Names:
    gguf = _gguf()
    own: Names = {"gguf": gguf}
    if case.kernel.function == "dequantize":
        kind = getattr(gguf.GGMLQuantizationType, _GGUF[case.kernel.packed, case.code])
        own["blocks"] = gguf.quants.quantize(names["x"], kind)
    return own


GGUF = Peer("gguf", _gguf_statements, _gguf_names, module="gguf", load=_gguf, comparable=False)

# ---- NumKong: casts, with the scale applied in a pass of its own; x * (1 / scale), as torch ----

_NUMKONG_CODES = {**dict.fromkeys(_PLAIN_CODES), "float8_e4m3fn": "e4m3", "float8_e5m2": "e5m2"}


def _numkong() -> Any:
    return importlib.import_module("numkong")


def _numkong_statements(case: Case) -> Statements:
    kernel = case.kernel
    if kernel.shaped or kernel.packed or not _is_float32(case):
        return NONE
    if kernel.function == "minmax":
        return "numkong.minmax(x)[::2]", None
    if case.code not in _NUMKONG_CODES:
        return NONE
    cast = "numkong.astype(numkong.scale(x, alpha=1 / scale, beta=zero_point), kind"
    back = "numkong.scale(numkong.astype(q, 'float32'), alpha=scale, beta=-zero_point * scale"
    if kernel.function == "quantize":
        return f"{cast})", f"{cast}, out=out)" if case.code in _PLAIN_CODES else None
    return (f"{back})", f"{back}, out=out)") if kernel.function == "dequantize" else NONE


def _numkong_names(case: Case, names: Names) -> Names:
    own: Names = {"numkong": _numkong()}
    return own | {"kind": _NUMKONG_CODES[case.code] or case.code} if case.code else own


def _numkong_arrays(value: Any, names: Names) -> Iterable[Any]:
    """Its tensors are buffers; of float8 codes, of their bytes. What wrote to `out` returns that, or nothing."""
    for each in value_of(names["out"] if value is None else value, names):
        yield np.asarray(each)


NUMKONG = Peer("NumKong", _numkong_statements, _numkong_names, _numkong_arrays, module="numkong", load=_numkong)
