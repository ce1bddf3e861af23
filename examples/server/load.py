"""Measure service.py over loopback: requests a second, latency percentiles, and the time inside the quantize call.

Starts one service for each backend on a free port of 127.0.0.1, checks its first answer, and then loads them in turn,
round after round, so that whatever else the machine does hits all of them. Each connection is kept alive and sends its
next request when it has read the answer to its last (a closed loop: a stall delays the requests behind it, and they do
not count it again). Answers are read whole, but taken apart only while warming up.

    python load.py --tokens 64 --features 768 --concurrency 4
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import platform
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import aiohttp
import backends
import numpy as np

PERCENTILES = (50, 90, 99, 99.9)


@dataclass
class Target:
    url: str
    health: dict[str, Any] = field(default_factory=dict)
    differing: int = 0  # codes of the first answer that are not those of NumPy, here
    latencies: list[float] = field(default_factory=list)  # seconds
    quantize: list[float] = field(default_factory=list)  # milliseconds, as in Server-Timing
    errors: int = 0
    rates: list[float] = field(default_factory=list)  # requests a second, for each round


@contextmanager
def running(backend: str, settings: list[str]) -> Iterator[str]:
    """A service of its own process; its URL."""
    service = Path(__file__).with_name("service.py")
    command = [sys.executable, str(service), "--backend", backend, "--port", "0", *settings]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()  # it listens from then on
            if not url:
                raise SystemExit(f"load.py: the service with {backend} did not start")
            yield url
        finally:
            process.terminate()


def decode(content: bytes, tokens: int, features: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes and scales of an answer, in its memory."""
    scales = np.frombuffer(content, "<f4", tokens)
    return np.frombuffer(content, np.int8, offset=scales.nbytes).reshape(tokens, features), scales


async def warm_up(session: aiohttp.ClientSession, target: Target, x: np.ndarray, seconds: float) -> None:
    async with session.get(f"{target.url}/health") as answer:
        answer.raise_for_status()
        target.health = await answer.json()
    codes, scales = np.empty(x.shape, np.int8), np.empty(len(x), np.float32)
    backends.load("numpy").quantize(x, codes, scales, np.empty_like(x))
    path = f"{target.url}/quantize?tokens={x.shape[0]}&features={x.shape[1]}"
    async with session.post(path, data=x.tobytes()) as answer:
        if answer.status != 200:
            raise SystemExit(f"load.py: {target.url} answered {answer.status}: {await answer.text()}")
        got, got_scales = decode(await answer.read(), *x.shape)
    if not np.allclose(got_scales, scales, rtol=1e-6, atol=0) or np.abs(got.astype(int) - codes).max() > 1:
        raise SystemExit(f"load.py: {target.url} gives a wrong result")
    target.differing = int((got != codes).sum())
    await one_round(session, Target(target.url), x, seconds, 4)


async def one_round(session: aiohttp.ClientSession, target: Target, x: np.ndarray, seconds: float, n: int) -> None:
    """n connections for so many seconds."""
    body = x.tobytes()
    url = f"{target.url}/quantize?tokens={x.shape[0]}&features={x.shape[1]}"
    before, start = len(target.latencies), perf_counter()

    async def connection() -> None:
        while perf_counter() < start + seconds:
            sent = perf_counter()
            async with session.post(url, data=body) as answer:
                content = await answer.read()
            spent = perf_counter() - sent
            found = re.search(r"quantize;dur=([\d.]+)", answer.headers.get("Server-Timing", ""))
            if answer.status == 200 and found and len(content) == 4 * len(x) + x.size:
                target.latencies.append(spent)
                target.quantize.append(float(found[1]))
            else:
                target.errors += 1

    await asyncio.gather(*(connection() for _ in range(n)))
    target.rates.append((len(target.latencies) - before) / (perf_counter() - start))


async def measure(targets: list[Target], options: argparse.Namespace) -> None:
    x = np.random.default_rng(0).standard_normal((options.tokens, options.features), dtype=np.float32)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=60)) as session:
        share = options.seconds / options.rounds
        for target in targets:
            await warm_up(session, target, x, min(1.0, share))
        for r in range(options.rounds):
            for i in range(len(targets)):
                gc.collect()  # here rather than in somebody's tail
                await one_round(session, targets[(i + r) % len(targets)], x, share, options.concurrency)


def report(target: Target) -> dict[str, Any]:
    if not target.latencies:
        raise SystemExit(f"load.py: {target.url} answered no request, and {target.errors} with an error")
    milliseconds = np.percentile(target.latencies, PERCENTILES) * 1e3
    inside = np.percentile(target.quantize, PERCENTILES)
    return {
        "backend": target.health["backend"],
        "version": target.health["version"],
        "requests": len(target.latencies),
        "errors": target.errors,
        "differing_codes": target.differing,
        "requests_per_s": round(float(np.mean(target.rates)), 1),
        "requests_per_s_of_rounds": [round(rate, 1) for rate in target.rates],
        "latency_ms": {f"p{p:g}": round(float(v), 4) for p, v in zip(PERCENTILES, milliseconds, strict=True)},
        "quantize_ms": {f"p{p:g}": round(float(v), 4) for p, v in zip(PERCENTILES, inside, strict=True)},
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown."""
    names = [f"p{p:g}" for p in PERCENTILES]
    head = ["backend", "requests/s", "of rounds", *(f"{n} ms" for n in names), "quantize p50 µs", "p99 µs", "errors"]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        rates = row["requests_per_s_of_rounds"]
        lines.append(
            [
                f"{row['backend']} {row['version']}",
                f"{row['requests_per_s']:.0f}",
                f"{min(rates):.0f} to {max(rates):.0f}",
                *(f"{row['latency_ms'][n]:.2f}" for n in names),
                *(f"{row['quantize_ms'][n] * 1e3:.1f}" for n in ("p50", "p99")),
                str(row["errors"]),
            ]
        )
    notes = [f"{r['backend']}: {r['differing_codes']} codes are not NumPy's." for r in rows if r["differing_codes"]]
    notes += [f"{r['backend']}: p99.9 of {r['requests']} requests says little." for r in rows if r["requests"] < 2000]
    return "\n".join(["| " + " | ".join(line) + " |" for line in lines] + (["", *notes] if notes else []))


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the quantizing service over loopback.")
    parser.add_argument("--tokens", type=int, default=64, help="default: %(default)s")
    parser.add_argument("--features", type=int, default=768, help="default: %(default)s")
    parser.add_argument("--concurrency", type=int, default=4, help="connections (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=20, help="for each backend, in all (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--backends", help=f"comma-separated (default: those installed of {', '.join(backends.NAMES)})")
    parser.add_argument("--url", action="append", help="of a service that runs already; may be given several times")
    parser.add_argument("--service", default="", help='options for service.py, such as "--buffers 8"')
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args()
    if min(options.tokens, options.features, options.concurrency, options.rounds, options.seconds) <= 0:
        parser.error("tokens, features, concurrency, seconds and rounds must be more than 0")
    names = options.backends.split(",") if options.backends else backends.available()
    if unknown := set(names) - set(backends.available()):
        parser.error(f"not installed, or no backend: {', '.join(sorted(unknown))}")
    # aiohttp's advice for large bodies, to send them in pieces, is for clients that have other things to do.
    warnings.filterwarnings("ignore", "Sending a large body", ResourceWarning)
    with ExitStack() as stack:
        urls = options.url or [stack.enter_context(running(name, options.service.split())) for name in names]
        targets = [Target(url.rstrip("/")) for url in urls]
        asyncio.run(measure(targets, options))
    rows = [report(target) for target in targets]
    case = {name: getattr(options, name) for name in ("tokens", "features", "concurrency", "seconds", "rounds")}
    case |= {"python": platform.python_version(), "cpus": os.cpu_count(), "numpy": np.__version__}
    if options.json:
        print(json.dumps({"case": case, "results": rows}, indent=2))
    else:
        print(", ".join(f"{name} {value}" for name, value in case.items()), table(rows), sep="\n\n")


if __name__ == "__main__":
    main()
