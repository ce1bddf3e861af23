"""examples/server: right results, errors that say so, and buffers that are never shared nor lost."""

from __future__ import annotations

import asyncio
import importlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastquant as fq
from fastquant import _reference

pytest.importorskip("starlette")
httpx = pytest.importorskip("httpx")
FOLDER = Path(__file__).parent.parent / "examples" / "server"
if not FOLDER.exists():
    pytest.skip("no examples here", allow_module_level=True)
sys.path.insert(0, str(FOLDER))
try:
    backends, pool, service = (importlib.import_module(name) for name in ("backends", "pool", "service"))
finally:
    sys.path.remove(str(FOLDER))

INLINE, THREAD = 1 << 40, 1
RNG = np.random.default_rng(5)


def embeddings(tokens: int, features: int) -> np.ndarray:
    return RNG.standard_normal((tokens, features), dtype=np.float32)


def in_process(app: Any, client_side: Callable[[Any], Coroutine[Any, Any, Any]]) -> Any:
    """The result of client_side(client), with a client of app."""

    async def main() -> Any:
        transport = httpx.ASGITransport(app)  # raises what the app raises: no error hides as a 500
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await asyncio.wait_for(client_side(client), 60)

    try:
        return asyncio.run(main())
    finally:
        app.state.service.executor.shutdown()


async def post(client: Any, x: np.ndarray) -> Any:
    return await client.post(f"/quantize?tokens={x.shape[0]}&features={x.shape[1]}", content=x.tobytes())


def decode(answer: Any) -> tuple[np.ndarray, np.ndarray]:
    assert answer.status_code == 200, answer.text
    tokens, features = int(answer.headers["x-tokens"]), int(answer.headers["x-features"])
    assert len(answer.content) == tokens * (4 + features)
    codes = np.frombuffer(answer.content, np.int8, offset=4 * tokens).reshape(tokens, features)
    return codes, np.frombuffer(answer.content, "<f4", tokens)


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.001)


class Gate:
    """A backend that says when it has begun, and ends when it is let. All codes of a request are its first element."""

    def __init__(self) -> None:
        self.begun, self.at_once, self.most = 0, 0, 0
        self.open, self.lock = threading.Event(), threading.Lock()
        self.codes: list[np.ndarray] = []
        self.backend = backends.Backend("gate", "0", self.quantize, needs_work=False)

    def quantize(self, x: np.ndarray, codes: np.ndarray, scales: np.ndarray, work: None) -> None:
        with self.lock:
            self.begun, self.at_once = self.begun + 1, self.at_once + 1
            self.most = max(self.most, self.at_once)
            self.codes.append(codes)
        codes[:], scales[:] = x[0, 0], x[0, 0]
        assert self.open.wait(20)
        assert (codes == x[0, 0]).all()  # nobody else has written here meanwhile
        with self.lock:
            self.at_once -= 1


def numbered(i: int) -> np.ndarray:
    return np.full((2, 8), i, np.float32)


# --- results -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("thread_from", [INLINE, THREAD])
@pytest.mark.parametrize("shape", [(1, 1), (1, 768), (3, 5), (64, 33), (7, 4096)])
def test_results(shape: tuple[int, int], thread_from: int) -> None:
    x = embeddings(*shape)
    app = service.create_app(service.Settings(thread_from=thread_from))
    answer = in_process(app, lambda client: post(client, x))
    codes, scales = decode(answer)
    expected = fq.quantize_dynamic(x, axis=0)
    np.testing.assert_array_equal(codes, expected.q)
    np.testing.assert_array_equal(scales, expected.scale)
    np.testing.assert_array_equal(codes, _reference.quantize(x, scales, axis=0))
    assert "quantize;dur=" in answer.headers["server-timing"]
    assert app.state.service.pool.free == 4


@pytest.mark.parametrize("name", ["numpy", "torch"])
def test_other_backends_give_the_same_bits(name: str) -> None:
    pytest.importorskip(name)
    ties = np.arange(-254, 255, dtype=np.float32)[None] / 2  # scale 1: each half is a tie
    rows = [ties, ties * np.float32(3e-39), ties * np.float32(1e36), ties * 0, -ties * 0, ties * np.float32(0.1)]
    rows += [embeddings(2000, ties.size), np.eye(3, ties.size, dtype=np.float32) * np.float32(1e-45)]
    x = np.concatenate(rows)
    codes, scales, work = np.empty(x.shape, np.int8), np.empty(len(x), "<f4"), np.empty_like(x)
    backends.load(name).quantize(x, codes, scales, work)
    expected = fq.quantize_dynamic(x, axis=0)
    np.testing.assert_array_equal(scales, expected.scale)
    np.testing.assert_array_equal(codes, expected.q)


@pytest.mark.parametrize("name", ["fastquant", "numpy", "torch"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_every_backend_refuses_what_is_not_finite(name: str, value: float) -> None:
    pytest.importorskip(name)
    x = embeddings(4, 40)
    x[2, 7] = value
    codes, scales = np.full(x.shape, 99, np.int8), np.full(len(x), 99, "<f4")
    with pytest.raises(ValueError, match=rf"x: got {value} at index \(2, 7\)"):
        backends.load(name).quantize(x, codes, scales, np.empty_like(x))
    assert (codes == 99).all()
    assert (scales == 99).all()


def test_backend_names() -> None:
    assert {"fastquant", "numpy"} <= set(backends.available())
    with pytest.raises(ValueError, match="expected one of fastquant, numpy, torch"):
        backends.load("jax")


# --- errors --------------------------------------------------------------------------------------------

BODY = bytes(4 * 2 * 3)
ERRORS = [
    ("features=3", BODY, 400, "tokens: got '', expected a whole number"),
    ("tokens=2&features=0", b"", 400, "features: got '0', expected a whole number, 1 or more"),
    ("tokens=-2&features=-3", BODY, 400, "tokens: got '-2'"),
    ("tokens=2.0&features=3", BODY, 400, "tokens: got '2.0'"),
    ("tokens=%C2%B2&features=3", BODY, 400, "tokens: got '²'"),
    ("tokens=2&features=" + "9" * 5000, BODY, 400, "features: got '9999"),
    ("tokens=2&features=3", BODY[1:], 400, "body: got 23 bytes, expected 24"),
    ("tokens=2&features=3", BODY + b"x", 400, "body: got 25 bytes, expected 24"),
    ("tokens=2&features=3", b"", 400, "body: got 0 bytes, expected 24"),
    ("tokens=9&features=1", bytes(36), 413, "tokens: got 9, expected 8 or less"),
    ("tokens=8&features=9", bytes(288), 413, "tokens * features: got 72, expected 64 or less"),
    ("tokens=2&features=9223372036854775807", BODY, 413, "tokens * features: got 18446744073709551614"),
]


@pytest.mark.parametrize(("query", "body", "status", "message"), ERRORS)
def test_errors(query: str, body: bytes, status: int, message: str) -> None:
    app = service.create_app(service.Settings(max_elements=64, max_tokens=8))
    answer = in_process(app, lambda client: client.post(f"/quantize?{query}", content=body))
    assert answer.status_code == status
    assert message in answer.text
    assert app.state.service.pool.free == 4


@pytest.mark.parametrize("sizes", [(20,), (24, 1), (20, 5), (4,) * 100])
def test_bodies_of_unknown_length_are_counted(sizes: tuple[int, ...]) -> None:
    read = []

    async def body() -> Any:
        for size in sizes:
            read.append(size)
            yield bytes(size)

    app = service.create_app(service.Settings())
    answer = in_process(app, lambda client: client.post("/quantize?tokens=2&features=3", content=body()))
    assert answer.status_code == 400
    assert "expected 24" in answer.text
    assert sum(read) < 40  # and not read on to their end


@pytest.mark.parametrize("thread_from", [INLINE, THREAD])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite(value: float, thread_from: int) -> None:
    x = embeddings(5, 30)
    x[3, 4] = value
    with pytest.raises(ValueError, match="x: got") as caught:
        fq.quantize_dynamic(x, axis=0)
    app = service.create_app(service.Settings(thread_from=thread_from))
    answer = in_process(app, lambda client: post(client, x))
    assert (answer.status_code, answer.text) == (422, str(caught.value))
    assert app.state.service.pool.free == 4


def test_client_that_leaves_while_it_sends() -> None:
    app = service.create_app(service.Settings())
    events = [{"type": "http.request", "body": BODY[:5], "more_body": True}, {"type": "http.disconnect"}]
    scope = {"type": "http", "method": "POST", "path": "/quantize", "query_string": b"tokens=2&features=3"}
    sent = []

    async def receive() -> Any:
        return events.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app({**scope, "headers": []}, receive, send))
    assert sent[0]["status"] == 400
    assert app.state.service.pool.free == 4


# --- the pool ------------------------------------------------------------------------------------------


def test_health_and_settings() -> None:
    app = service.create_app(service.Settings(buffers=3))
    answer = in_process(app, lambda client: client.get("/health")).json()
    assert (answer["backend"], answer["version"], answer["free"]) == ("fastquant", fq.__version__, 3)
    with pytest.raises(ValueError, match="buffers: got 0"):
        service.create_app(service.Settings(buffers=0))


def test_codes_are_written_to_the_pool_and_copied_from_it() -> None:
    gate = Gate()
    gate.open.set()
    app = service.create_app(service.Settings(buffers=1, thread_from=INLINE), gate.backend)
    (buffer,) = app.state.service.pool._free

    async def both(client: Any) -> tuple[Any, Any]:
        return await post(client, numbered(1)), await post(client, numbered(2))

    first, second = in_process(app, both)
    assert all(np.shares_memory(codes, buffer.codes) for codes in gate.codes)
    buffer.codes[:] = 77
    assert (decode(first)[0] == 1).all()
    assert (decode(second)[0] == 2).all()
    response = app.state.service.answer(numbered(3), buffer, 0.0)
    buffer.codes[:] = 77
    assert response.body[8:] == bytes([3] * 16)


@pytest.mark.parametrize("name", ["fastquant", "numpy"])
def test_requests_at_once_are_not_mixed_up(name: str) -> None:
    xs = [embeddings(int(n), 300) * np.float32(i + 1) for i, n in enumerate(RNG.integers(1, 200, 60))]
    app = service.create_app(service.Settings(backend=name, buffers=2, wait=60, thread_from=100 * 300))

    async def all_of_them(client: Any) -> list[Any]:
        return await asyncio.gather(*(post(client, x) for x in xs))

    for x, answer in zip(xs, in_process(app, all_of_them), strict=True):
        codes, scales = decode(answer)
        expected = fq.quantize_dynamic(x, axis=0)
        np.testing.assert_array_equal(codes, expected.q)
        np.testing.assert_array_equal(scales, expected.scale)
    assert app.state.service.pool.free == 2


def test_an_empty_pool_is_waited_for_and_then_503(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    gate = Gate()
    app = service.create_app(service.Settings(buffers=2, wait=0.05, thread_from=THREAD), gate.backend)

    async def five(client: Any) -> list[Any]:
        held = [asyncio.create_task(post(client, numbered(i))) for i in (1, 2)]
        await until(lambda: gate.begun == 2)
        refused = await asyncio.gather(*(post(client, numbered(i)) for i in (3, 4)))
        assert gate.begun == 2
        waiting = asyncio.create_task(post(client, numbered(5)))
        await asyncio.sleep(0.005)
        gate.open.set()
        return [*refused, *[await task for task in (*held, waiting)]]

    refused = in_process(app, five)
    for answer in refused[:2]:
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert answer.text == "all 2 buffers are in use, and none came free in 0.05 s"
    for i, answer in zip((1, 2, 5), refused[2:], strict=True):
        assert (decode(answer)[0] == i).all()
    assert (gate.most, app.state.service.pool.free) == (2, 2)


def test_cancelled_requests_give_their_buffers_back_when_their_threads_are_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "os.cpu_count", lambda: 1
    )  # one thread: the second request waits for it, the third for a buffer
    gate = Gate()
    app = service.create_app(service.Settings(buffers=2, wait=20, thread_from=THREAD), gate.backend)
    free = app.state.service.pool

    async def cancel_three(client: Any) -> Any:
        tasks = []
        for i in (1, 2, 3):
            tasks.append(asyncio.create_task(post(client, numbered(i))))
            await until(lambda i=i: free.free == max(0, 2 - i))
        await until(lambda: gate.begun == 1)
        await asyncio.sleep(0.01)
        for task in tasks:
            task.cancel()
        assert {type(error) for error in await asyncio.gather(*tasks, return_exceptions=True)} == {
            asyncio.CancelledError
        }
        assert free.free == 0  # the one is written to, and the other will be
        gate.open.set()
        await until(lambda: free.free == 2)
        assert gate.begun == 2
        return await asyncio.gather(*(post(client, numbered(i)) for i in (4, 5, 6)))

    for i, answer in zip((4, 5, 6), in_process(app, cancel_three), strict=True):
        assert (decode(answer)[0] == i).all()
    assert free.free == 2


def test_buffers_survive_errors_of_the_backend() -> None:
    def broken(x: np.ndarray, codes: np.ndarray, scales: np.ndarray, work: None) -> None:
        raise MemoryError

    for thread_from in (INLINE, THREAD):
        backend = backends.Backend("broken", "0", broken, needs_work=False)
        app = service.create_app(service.Settings(thread_from=thread_from), backend)
        with pytest.raises(MemoryError):
            in_process(app, lambda client: post(client, numbered(1)))
        assert app.state.service.pool.free == 4


def test_those_who_wait_are_served_in_their_order_and_may_leave() -> None:
    async def main() -> None:
        buffers = pool.Pool(1, 16, 2)
        held = await buffers.borrow(0)
        with pytest.raises(TimeoutError):
            await buffers.borrow(0)
        order: list[int] = []

        async def wait(i: int) -> None:
            buffer = await buffers.borrow(20)
            order.append(i)
            await asyncio.sleep(0)
            buffers.give_back(buffer)

        tasks = [asyncio.create_task(wait(i)) for i in range(5)]
        await asyncio.sleep(0)
        buffers.give_back(held)
        tasks[0].cancel()  # which was about to have it
        tasks[2].cancel()
        late = asyncio.create_task(wait(5))
        await asyncio.wait([*tasks, late])
        assert order == [1, 3, 4, 5]
        assert buffers.free == 1

    asyncio.run(main())


# --- over a socket -------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="ends its services by a signal")
def test_a_real_server() -> None:
    pytest.importorskip("uvicorn")
    command = [sys.executable, str(FOLDER / "service.py"), "--port", "0", "--max-elements", "100000"]
    with subprocess.Popen([*command, "--thread-from", "10000"], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            with httpx.Client(base_url=process.stdout.readline().strip(), timeout=60) as client:
                for shape in ((1, 9), (100, 999), (3, 7)):
                    x = embeddings(*shape)
                    url = f"/quantize?tokens={shape[0]}&features={shape[1]}"
                    np.testing.assert_array_equal(
                        decode(client.post(url, content=x.tobytes()))[0], fq.quantize_dynamic(x, axis=0).q
                    )
                    assert client.post(url, content=x.tobytes() + b"more").status_code == 400
                    x[0, 1] = np.nan
                    assert "x: got nan at index (0, 1)" in client.post(url, content=x.tobytes()).text
                answer = client.post("/quantize?tokens=1000&features=1000", content=bytes(4_000_000))
                assert answer.status_code == 413
                assert client.get("/health").json()["free"] == 4
        finally:
            process.terminate()


@pytest.mark.skipif(sys.platform == "win32", reason="ends its services by a signal")
def test_load_script() -> None:
    for name in ("uvicorn", "aiohttp"):
        pytest.importorskip(name)
    command = [sys.executable, str(FOLDER / "load.py"), "--backends", "fastquant,numpy", "--tokens", "3"]
    command += ["--features", "16", "--concurrency", "2", "--seconds", "0.2", "--rounds", "2"]

    def run(*options: str) -> str:
        result = subprocess.run([*command, *options], capture_output=True, text=True, timeout=120)
        assert (result.returncode, result.stderr) == (0, "")
        return result.stdout

    head, _, *rows = [line.split(" | ") for line in run().splitlines() if line.startswith("|")]
    assert [name for name in head if name.startswith("p")] == ["p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "p99 µs"]
    assert [row[0].split()[1] for row in rows] == ["fastquant", "numpy"]
    for row in rows:
        latencies = [float(cell) for cell in row[3:7]]
        assert latencies == sorted(latencies)
        assert latencies[0] > 0
    for result in json.loads(run("--json"))["results"]:
        assert result["errors"] == result["differing_codes"] == 0
        assert set(result["latency_ms"]) == set(result["quantize_ms"]) == {"p50", "p90", "p99", "p99.9"}
        assert 0 < result["quantize_ms"]["p50"] < result["latency_ms"]["p50"]
        assert len(result["requests_per_s_of_rounds"]) == 2
