"""All that the benchmarks compare with fastquant, and which of it can run here."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from fastquant._bench_compiled import NUMBA, TORCH_COMPILE
from fastquant._bench_libraries import ML_DTYPES, ONNXRUNTIME, TORCH, TORCH_DECOMPOSED
from fastquant._bench_others import BITSANDBYTES, FAISS, GGUF, NUMKONG, SENTENCE_TRANSFORMERS
from fastquant._bench_own import BARE, DIVISION, FASTQUANT, NUMPY, ONE_THREAD, PLAIN, REFERENCE, Peer
from fastquant._threads import get_num_threads, set_num_threads

OWN = (FASTQUANT, BARE, DIVISION, PLAIN, ONE_THREAD)
PEERS = (
    *(REFERENCE, NUMPY, ML_DTYPES, NUMBA, TORCH, TORCH_DECOMPOSED, TORCH_COMPILE, ONNXRUNTIME),
    *(NUMKONG, FAISS, SENTENCE_TRANSFORMERS, BITSANDBYTES, GGUF),
)


def installed() -> list[Peer]:
    """Peers that can be expected to load, for a list of benchmarks that loads none of them."""
    return [peer for peer in PEERS if not peer.module or find_spec(peer.module)]


def versions() -> dict[str, str]:
    """Of what is measured, where it is installed."""
    found = {}
    for name in dict.fromkeys(("fastquant-kernels", "numpy", *(peer.distribution or peer.module for peer in PEERS))):
        with suppress(PackageNotFoundError, ValueError):
            found[name] = version(name)
    return found


@contextmanager
def loaded(libraries: bool, only: Sequence[str] = ()) -> Iterator[tuple[list[Peer], list[str]]]:
    """Peers ready to run, on one thread, and a line for each that could have been expected and is not.

    libraries: False leaves those in NumPy, and expects no other; `only` these and those in it.
    """
    found: list[Peer] = []
    skipped = []
    for peer in PEERS:
        if not peer.module:
            found.append(peer)
        elif not libraries:
            continue
        elif only and peer.name not in only:
            skipped.append(f"{peer.name}: not asked for")
        else:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    peer.load()
                found.append(peer)
            except Exception as error:  # whatever a broken installation raises
                missing = isinstance(error, ModuleNotFoundError) and str(error.name).split(".")[0] == peer.module
                why = next(iter(str(error).splitlines()), type(error).__name__)
                skipped.append(f"{peer.name}: " + ("not installed" if missing else f"does not load ({why[:200]})"))
    with on_threads(1, found):
        yield found, skipped


@contextmanager
def on_threads(count: int, peers: Sequence[Peer]) -> Iterator[None]:
    """As many threads for fastquant and for the peers that can be told; the others have one, or as many as their
    case says (ONNX Runtime). Afterwards as it was."""
    with ExitStack() as stack:
        stack.callback(set_num_threads, get_num_threads())
        set_num_threads(count)
        for use in dict.fromkeys(peer.use_threads for peer in peers):
            if use is not None:
                stack.callback(use, use(count))
        yield
