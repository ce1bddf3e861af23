"""All that the benchmarks compare with fastquant, and which of it can run here."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from fastquant._bench_libraries import ML_DTYPES, ONNXRUNTIME, TORCH, TORCH_DECOMPOSED, torch_module
from fastquant._bench_own import COPY, DIVISION, FASTQUANT, NUMPY, PLAIN, REFERENCE, Peer
from fastquant._threads import get_num_threads, set_num_threads

OWN = (FASTQUANT, COPY, DIVISION, PLAIN)
PEERS = (REFERENCE, NUMPY, ML_DTYPES, TORCH, TORCH_DECOMPOSED, ONNXRUNTIME)


def installed() -> list[Peer]:
    """Peers that can be expected to load, for a list of benchmarks that loads none of them."""
    return [peer for peer in PEERS if not peer.module or find_spec(peer.module)]


def version_of(module: str) -> str | None:
    try:
        return version(module)
    except PackageNotFoundError:
        return None


@contextmanager
def loaded(libraries: bool) -> Iterator[tuple[list[Peer], list[str]]]:
    """Peers ready to run, on one thread, and a line for each that is not. False: only those in NumPy."""
    found: list[Peer] = []
    skipped = []
    own, threads = get_num_threads(), None
    set_num_threads(1)
    for peer in PEERS:
        if not peer.module:
            found.append(peer)
        elif not libraries:
            skipped.append(f"{peer.name}: not asked for")
        else:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    peer.load()
                found.append(peer)
            except Exception as error:  # whatever a broken installation raises
                missing = isinstance(error, ModuleNotFoundError) and str(error.name).split(".")[0] == peer.module
                skipped.append(f"{peer.name}: " + ("not installed" if missing else f"does not load ({error})"))
    if any(peer.module == "torch" for peer in found):
        threads = torch_module().get_num_threads()
        torch_module().set_num_threads(1)
    try:
        yield found, skipped
    finally:
        set_num_threads(own)
        if threads is not None:
            torch_module().set_num_threads(threads)
