"""Every numeric test takes the fixture `target` and so runs once on each instruction set that this machine offers."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

import fastquant as fq
from fastquant import _kernels

settings.register_profile("default", max_examples=150, deadline=None, derandomize=True, print_blob=True)
settings.register_profile("explore", max_examples=5000, deadline=None)
settings.load_profile("default")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require-targets",
        metavar="NAMES",
        default=os.environ.get("FASTQUANT_TEST_TARGETS", ""),
        help="fail unless all of these targets (comma-separated) are available here; also FASTQUANT_TEST_TARGETS",
    )


# What tests do to the whole process, and so in one thread only (pytest --parallel-threads, of pytest-run-parallel: it
# knows of warnings and monkeypatch itself). The fixture `target` is entered once, whatever the number of threads.
PROCESS_WIDE = (
    *("fastquant.set_num_threads", "fastquant.cpu.use", "fq.cpu.use", "many_threads.on_threads", "many_threads.run"),
    *(f"fastquant._kernels.{name}" for name in ("activate", "keep", "set_parallel", "set_piece", "set_stream_from")),
    *("subprocess.run", "os.fork", "os.umask", "threading.Thread", "tracemalloc.start"),
)


def pytest_configure(config: pytest.Config) -> None:
    if config.pluginmanager.hasplugin("run-parallel"):
        for name in PROCESS_WIDE:
            config.addinivalue_line("thread_unsafe_functions", name)


def pytest_sessionstart(session: pytest.Session) -> None:
    wanted = [name.strip() for name in session.config.getoption("--require-targets").split(",") if name.strip()]
    missing = [name for name in wanted if name not in fq.cpu.available()]
    if missing:
        raise pytest.UsageError(
            f"targets required but not available: {', '.join(missing)} (available: {', '.join(fq.cpu.available())})"
        )


def pytest_report_header() -> str:
    return f"fastquant {fq.__version__} from {fq.__file__}, targets: {', '.join(fq.cpu.available())}"


@pytest.fixture(params=fq.cpu.available())
def target(request: pytest.FixtureRequest) -> Iterator[str]:
    with fq.cpu.use(request.param):
        yield request.param


@pytest.fixture(params=["cached", "streaming"])
def stores(request: pytest.FixtureRequest) -> Iterator[str]:
    """Both ways of storing: through the caches, and past them as large outputs are."""
    usual = fq.cpu._last_level_cache()
    _kernels.set_stream_from(0 if request.param == "streaming" else sys.maxsize)
    yield request.param
    _kernels.set_stream_from(usual)


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    """Tensors as a model file has them."""
    from cli_support import model_arrays

    return model_arrays()


@pytest.fixture
def model(tmp_path: Path, arrays: dict[str, np.ndarray]) -> Path:
    """A model file, for the tests of the command line."""
    from safetensors.numpy import save_file

    path = tmp_path / "model.safetensors"
    save_file(arrays, path, metadata={"format": "pt", "note": "kept"})
    return path
