"""What listeners to the live tail cost a server that takes spans in at a steady rate: its CPU a span, with and without them, in turns."""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `lib`
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests-e2e"))  # for `harness`: a real server

import httpx

from harness.server import Server
from lib import measure
from lib.stream import Stream

AWAITED_S = 21
"""A listener that went is told on for 20 s, in case that it comes back."""
LISTENING = (
    ("nobody", 0, ""),
    ("one, all traces", 1, ""),
    ("one, a query that few match", 1, "service=checkout status=error dur>10ms"),
    ("ten, a query that few match", 10, "service=checkout status=error dur>10ms"),
)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--spans-a-second", type=int, default=5_000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seconds", type=float, default=8, help="that each is measured in each round")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="clew-bench-") as folder:
        server = Server(Path(folder) / "data", options=["--max-backlog", "2GB"]).start()
        try:
            with Stream(server.otlp_http, chosen.spans_a_second, time.time_ns()):
                time.sleep(5)
                began = measure.load()
                rows = [
                    [turn(server, count, q, chosen.seconds) for _, count, q in LISTENING] for _ in range(chosen.rounds)
                ]
            assert server.stop() == 0
        finally:
            server.kill()
    print(
        f"{chosen.spans_a_second:,} spans/s wanted, {chosen.rounds} rounds of {chosen.seconds:.0f} s each, load {began} to {measure.load()}\n"
        "| listening | µs of CPU a span, median | of its round's without | events/s |\n|---|---|---|---|"
    )
    for at, (name, _, _) in enumerate(LISTENING):
        cost = measure.median([row[at][0] for row in rows])
        ratio = measure.median([row[at][0] / row[0][0] for row in rows])
        events = measure.median([row[at][1] for row in rows])
        print(f"| {name} | {cost:.1f} | {ratio:.2f} | {events:,.0f} |")


def turn(server: Server, listeners: int, q: str, seconds: float) -> tuple[float, float]:
    """CPU of the server for each span it accepted, in µs, and events that one listener was sent in a second."""
    seen = [0]
    time.sleep(AWAITED_S)
    with ExitStack() as stack:
        for _ in range(listeners):
            stack.enter_context(listening(server, q, seen))
        time.sleep(1)
        spans, cpu_s, events, began = accepted(server), measure.cpu_s(server.pid), seen[0], time.monotonic()
        time.sleep(seconds)
        spans, cpu_s = accepted(server) - spans, measure.cpu_s(server.pid) - cpu_s
        events = seen[0] - events
    return cpu_s * 1e6 / spans, events / max(1, listeners) / (time.monotonic() - began)


def accepted(server: Server) -> int:
    return int(server.status()["accepted_spans"])


@contextmanager
def listening(server: Server, q: str, seen: list[int]) -> Iterator[None]:
    """A reader of the tail in a thread of its own, which counts the events."""
    http = httpx.Client(base_url=server.http, timeout=60)
    ended = threading.Event()
    opened = threading.Event()

    def read() -> None:
        with http.stream("GET", "/api/v1/tail", params={"q": q} if q else {}) as answer:
            assert answer.status_code == 200
            for line in answer.iter_lines():
                opened.set()
                seen[0] += line.startswith("event: trace")
                if ended.is_set():
                    return

    reader = threading.Thread(target=read)
    reader.start()
    assert opened.wait(30)
    try:
        yield
    finally:
        ended.set()
        reader.join()
        http.close()


if __name__ == "__main__":
    main()
