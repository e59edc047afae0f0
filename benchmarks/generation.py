"""The client that asks a language model, against a local server that takes 50 ms for a reply.

    python benchmarks/generation.py

The server is that of the tests, in a process of its own; the client is measured in another, fresh one: 100 requests
first (which also import the client), then 1,000, sixteen at a time. The ideal is what the server's waiting takes.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

from helpers.extraction.generation import generate, read_store, requests_for
from helpers.taxonomy import load_taxonomy

LATENCY = 0.05  # seconds
CONCURRENCY = 16
SIZES = (100, 1000)


def serve(end: Connection) -> None:
    """Send the server's address, and serve until told to stop."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
    from llm_server import LlmServer

    with LlmServer(latency=LATENCY) as server:
        end.send(server.url)
        end.recv()


def measure(url: str) -> list[tuple[float, float]]:
    """Seconds of each run, and this process's peak memory after it, in MB."""
    os.environ |= {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": "none"}
    taxonomy = load_taxonomy("sample")
    requests = [r for n in (9, 10) for r in requests_for(taxonomy, n_sentences=n)]  # 2 x 500, all different
    measured = []
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES:
            store = Path(folder) / f"{size}.jsonl"
            begun = time.perf_counter()
            counts = asyncio.run(generate(requests[:size], store, model="local", concurrency=CONCURRENCY))
            seconds = time.perf_counter() - begun
            measured.append((seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3))
            assert counts["replies"] == len(read_store(store)) == size, counts
    return measured


def main() -> None:
    fresh = multiprocessing.get_context("spawn")
    ours, theirs = fresh.Pipe()
    server = fresh.Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    with ProcessPoolExecutor(1, mp_context=fresh) as pool:
        measured = pool.submit(measure, ours.recv()).result()
    ours.send("stop")
    server.join(10)
    for size, (seconds, peak) in zip(SIZES, measured, strict=True):
        ideal = size / CONCURRENCY * LATENCY
        print(f"{size:>5,} requests, {CONCURRENCY} at a time: {seconds:6.2f} s, ideal {ideal:.2f} s, ", end="")
        print(f"{seconds / ideal:.2f} times the ideal; peak memory {peak:.0f} MB")
    grown = measured[-1][1] - measured[0][1]
    print(f"from {SIZES[0]:,} to {SIZES[1]:,} requests the peak grew by {grown:.1f} MB")


if __name__ == "__main__":
    main()
