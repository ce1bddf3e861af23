"""POST /quantize?tokens=T&features=F: float32 (T, F) in, int8 codes and a float32 scale for each token out.

The body is T * F float32, little-endian, row after row. The answer is T float32 scales, little-endian, and then T * F
int8 codes; x is about codes * scales[:, None]. Headers: X-Tokens, X-Features, and Server-Timing with the milliseconds
of the wait for a buffer and of the quantize call. Errors are plain text: 400 for a request that makes no sense, 413 for
one too large, 422 for NaN and infinity, 503 (Retry-After) when no buffer came free in time. GET /health tells the
backend.

    python service.py --backend fastquant --port 8000
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, fields
from time import perf_counter

import backends
import numpy as np
from pool import Buffer, Pool
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route


@dataclass(frozen=True)
class Settings:
    backend: str = "fastquant"
    buffers: int = 4
    max_elements: int = 1 << 22  # 16 MiB of body; a buffer is a quarter of it, with work five quarters
    max_tokens: int = 1 << 16
    wait: float = 0.25  # seconds that a request waits for a buffer before it is told to come back
    # A thread lets another core quantize while the event loop reads the next bodies. Below 16,384 elements fastquant
    # keeps the interpreter lock, and a thread would gain nothing. Above, it has to gain more than it costs: some 100 us
    # to hand work over and to be told of its end, and the wait for the lock, up to 5 ms where the loop is busy. On two
    # cores (README.md): 2**19 elements are best done at once, 2**21 in a thread; 2**20 are the same.
    thread_from: int = 1 << 20


class Service:
    def __init__(self, settings: Settings, backend: backends.Backend) -> None:
        self.settings, self.backend = settings, backend
        self.pool = Pool(settings.buffers, settings.max_elements, settings.max_tokens, needs_work=backend.needs_work)
        self.executor = ThreadPoolExecutor(min(settings.buffers, os.cpu_count() or 1), "quantize")

    async def health(self, request: Request) -> Response:
        about = {"backend": self.backend.name, "version": self.backend.version, "free": self.pool.free}
        return JSONResponse({**asdict(self.settings), **about})

    async def quantize(self, request: Request) -> Response:
        tokens, features = read_shape(request.query_params, self.settings)
        try:
            body = await read_body(request, 4 * tokens * features)
        except ClientDisconnect:
            return Response(status_code=400)  # which nobody reads
        x = np.frombuffer(body, "<f4").reshape(tokens, features)  # the body's own memory
        start = perf_counter()
        # Borrowed only now, so that a slow sender holds none.
        try:
            buffer = await self.pool.borrow(self.settings.wait)
        except TimeoutError:
            message = f"all {self.settings.buffers} buffers are in use, and none came free in {self.settings.wait:g} s"
            raise HTTPException(503, message, {"Retry-After": "1"}) from None
        waited = perf_counter() - start
        if x.size < self.settings.thread_from:
            try:
                return self.answer(x, buffer, waited)
            finally:
                self.pool.give_back(buffer)
        future = asyncio.get_running_loop().run_in_executor(self.executor, self.answer, x, buffer, waited)
        # When this request is cancelled the thread goes on writing to the buffer (or has yet to begin, and the shield
        # keeps it from being dropped from the executor's queue): the buffer goes back when the thread is done with it.
        future.add_done_callback(lambda _: self.pool.give_back(buffer))
        return await asyncio.shield(future)

    def answer(self, x: np.ndarray, buffer: Buffer, waited: float) -> Response:
        """All that needs the buffer; after it, the buffer may go to another request."""
        codes, scales, work = buffer.views(*x.shape)
        start = perf_counter()
        try:
            self.backend.quantize(x, codes, scales, work)
        except ValueError as error:
            return PlainTextResponse(str(error), 422)
        spent = perf_counter() - start
        # Copied here, by the one join, and not sent from the buffer itself: a server may keep what the network does not
        # take at once (asyncio of Python 3.12 keeps views without a copy), and slow readers would hold buffers.
        content = b"".join((scales.data, codes.data))
        return Response(
            content,
            media_type="application/octet-stream",
            headers={
                "X-Tokens": str(x.shape[0]),
                "X-Features": str(x.shape[1]),
                "Server-Timing": f"pool;dur={waited * 1e3:.4f}, quantize;dur={spent * 1e3:.4f}",
            },
        )


def read_shape(query: Mapping[str, str], settings: Settings) -> tuple[int, int]:
    """tokens and features, both 1 or more and not too many."""
    shape = []
    for name in ("tokens", "features"):
        text = query.get(name, "")
        if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text)):
            raise HTTPException(400, f"{name}: got {text[:40]!r}, expected a whole number, 1 or more, in the query")
        shape.append(int(text))
    tokens, features = shape
    if tokens > settings.max_tokens:
        raise HTTPException(413, f"tokens: got {tokens}, expected {settings.max_tokens} or less")
    if (n := tokens * features) > settings.max_elements:
        raise HTTPException(413, f"tokens * features: got {n}, expected {settings.max_elements} or less")
    return tokens, features


async def read_body(request: Request, expected: int) -> bytearray:
    """The body, of so many bytes; refused as soon as it is known to be of another length.

    A bytearray, since torch wants memory that it could write to.
    """
    body = bytearray()
    told = request.headers.get("content-length", str(expected))
    if told == str(expected):
        async for chunk in request.stream():
            body += chunk
            if len(body) > expected:
                told = f"more than {expected}"
                break
        else:
            told = str(len(body))
    if told != str(expected):
        raise HTTPException(400, f"body: got {told} bytes, expected {expected}: 4 * tokens * features")
    return body


def create_app(settings: Settings | None = None, backend: backends.Backend | None = None) -> Starlette:
    settings = settings or Settings()
    service = Service(settings, backend or backends.load(settings.backend))

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        service.executor.shutdown(wait=False)

    app = Starlette(
        routes=[Route("/quantize", service.quantize, methods=["POST"]), Route("/health", service.health)],
        lifespan=lifespan,
    )
    app.state.service = service
    return app


def main() -> None:
    import uvicorn

    parser = argparse.ArgumentParser(description="Quantize embeddings over HTTP.")
    parser.add_argument("--port", type=int, default=8000, help="0: one that is free (default: %(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    parser.add_argument("--limit-concurrency", type=int, help="uvicorn's; it bounds the bodies in memory")
    for field in fields(Settings):
        option = "--" + field.name.replace("_", "-")
        parser.add_argument(option, type=type(field.default), default=field.default, help="default: %(default)s")
    options = vars(parser.parse_args())
    host, port, limit = (options.pop(name) for name in ("host", "port", "limit_concurrency"))
    app = create_app(Settings(**options))
    # asyncio turns Nagle's delay off only where the protocol is named, which socket.create_server does not do.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
        print(f"http://{host}:{listener.getsockname()[1]}", flush=True)
        config = uvicorn.Config(app, log_level="warning", access_log=False, limit_concurrency=limit)
        with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is how it is ended by hand
            uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
