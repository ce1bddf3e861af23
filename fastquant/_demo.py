"""The demo: real word vectors quantized, and the neighbours of a few words before and after."""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import time
from pathlib import Path

import numpy as np

import fastquant as fq
from fastquant._files import open_source
from fastquant._quality import Array, decibels, measure
from fastquant._report import FileError, UserError, missing_extra, say, table_printer

NEIGHBOURS = 10
SAMPLE = 500
_WORD_START = "\u2581"  # how the tokenizer spells the space before a word


def _find() -> tuple[Path, Path]:
    """The weights and the tokenizer of the wordllama package, which itself is not imported."""
    spec = importlib.util.find_spec("wordllama")
    if spec is None or not spec.submodule_search_locations:
        raise missing_extra("demo")
    root = Path(next(iter(spec.submodule_search_locations)))
    weights = sorted(root.glob("weights/*.safetensors"))
    tokenizers = sorted(root.glob("tokenizers/*.json"))
    if not weights or not tokenizers:
        raise FileError(root, "this wordllama has no weights/*.safetensors or no tokenizers/*.json")
    return weights[0], tokenizers[0]


def _load_vectors(path: Path) -> Array:
    with open_source(path) as source:
        matrices = [tensor for tensor in source.tensors if len(tensor.shape) == 2]
        if len(matrices) != 1 or matrices[0].kind not in ("F16", "BF16", "F32"):
            raise FileError(path, "expected one floating matrix of word vectors")
        return source.read(matrices[0])


def _load_vocabulary(path: Path, rows: int) -> dict[str, int]:
    """Whole words and their rows; pieces of words, punctuation and control tokens are left out."""
    try:
        vocabulary = json.loads(path.read_text(encoding="utf-8"))["model"]["vocab"].items()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FileError(path, "cannot be read as a tokenizer's JSON with a vocabulary") from error
    words = ((token[1:], row) for token, row in vocabulary if token.startswith(_WORD_START))
    return {word: row for word, row in words if word.isalpha() and row < rows}


def _unit(vectors: Array) -> Array:
    vectors = vectors.astype(np.float32)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(norms == 0, 1, norms)


def _neighbours(vectors: Array, rows: Array) -> Array:
    """The nearest other rows of each of the given rows, nearest first."""
    units = _unit(vectors)
    cosines = units[rows] @ units.T
    cosines[np.arange(len(rows)), rows] = -np.inf  # a word is no neighbour of itself
    best = np.argpartition(-cosines, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
    order = np.argsort(-np.take_along_axis(cosines, best, axis=1), axis=1, kind="stable")
    return np.take_along_axis(best, order, axis=1)


def _agreement(before: Array, after: Array) -> int:
    return sum(len(set(b) & set(a)) for b, a in zip(before.tolist(), after.tolist(), strict=True))


def run(args: argparse.Namespace) -> int:
    show = table_printer()
    weights, tokenizer = _find()
    vectors = _load_vectors(weights)
    vocabulary = _load_vocabulary(tokenizer, len(vectors))
    words = [word.strip() for word in args.words.split(",") if word.strip()]
    unknown = [word for word in words if word not in vocabulary]
    if unknown or not words:
        names = ", ".join(map(repr, unknown)) or "nothing"
        raise UserError(f"--words: {names}: no single tokens of the vocabulary; expected words like king, river")

    kind = str(vectors.dtype)
    x = vectors.astype(np.float32)
    labels, restored = [kind], [x]
    rows = [[kind, f"{vectors.nbytes:,}", "", "", ""]]
    for label, axis in (("int8 per tensor", None), ("int8 per token", 0)):
        seconds = math.inf
        for _ in range(5):
            start = time.perf_counter()
            q, scale, zero_point = fq.quantize_dynamic(x, "int8", axis=axis)
            seconds = min(seconds, time.perf_counter() - start)
        milliseconds = f"{seconds * 1e3:.1f}"
        nbytes = q.nbytes + np.asarray(scale).nbytes
        sqnr = decibels(measure(vectors, q, scale, zero_point, axis))
        rows.append([label, f"{nbytes:,}", f"{nbytes / vectors.nbytes:.1%}", sqnr, milliseconds])
        labels.append(label)
        restored.append(fq.dequantize(q, scale, zero_point, axis=axis))
    shape = " x ".join(map(str, vectors.shape))
    say(f"{weights.name}: {shape} {kind}, one vector for each token, quantized from float32")
    show(["stored as", "bytes", "of the file's", "SQNR dB", "ms to quantize"], rows, left=1)

    known = list(vocabulary)
    words_only = list(vocabulary.values())
    asked = np.array([known.index(word) for word in words])
    found = [_neighbours(each[words_only], asked) for each in restored]
    say(f"The {NEIGHBOURS} nearest of {len(known):,} whole words by cosine; * marks one that {kind} has not.")
    for at, word in enumerate(words):
        before = [known[i] for i in found[0][at]]
        columns = [before]
        agree = [""]
        for each in found[1:]:
            columns.append([known[i] if known[i] in before else f"*{known[i]}" for i in each[at]])
            agree.append(f"{_agreement(found[0][at : at + 1], each[at : at + 1])} of {NEIGHBOURS} agree")
        lines = [list(line) for line in zip(*columns, strict=True)]
        show([f"{word}: {kind}", *labels[1:]], lines, agree, left=3)

    sample = np.linspace(0, len(known) - 1, SAMPLE).astype(int)
    found = [_neighbours(each[words_only], sample) for each in restored]
    for label, each in zip(labels[1:], found[1:], strict=True):
        same = _agreement(found[0], each) / found[0].size
        say(f"Over {SAMPLE} words of the vocabulary, {label} keeps {same:.1%} of the {NEIGHBOURS} nearest.")
    return 0
