"""What it costs to list traces whose spans came again in other requests, beside as many traces that came once."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `lib`
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests-e2e"))  # for `harness`: a real server

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from harness.server import Server
from harness.wire import new_trace_id, request, span
from lib import measure


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--traces", type=int, default=1000)
    options.add_argument("--spans", type=int, default=20, help="spans of each trace")
    options.add_argument(
        "--large", type=int, default=50_000, help="spans of each of three large traces; 0 leaves them out"
    )
    options.add_argument("--repeat", type=int, default=5)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="clew-bench-") as folder:
        server = Server(Path(folder) / "data").start()
        try:
            compare(server, chosen)
            assert server.stop() == 0
        finally:
            server.close()


def compare(server: Server, chosen: argparse.Namespace) -> None:
    makers = {"once": 1, "twice": 2, "five times": 5}
    for service, times in makers.items():
        send(server, service, [spans_of_trace(chosen.spans) for _ in range(chosen.traces)], times)
    if chosen.large:
        for service, times in (("large once", 1), ("large twice", 2)):
            send(server, service, [spans_of_trace(chosen.large) for _ in range(3)], times)
    server.flush()
    measure.wait_quiet(server.pid)
    print(f"{chosen.traces} traces of {chosen.spans} spans, a page of 1,000; load {measure.load()}")
    usual = page(server, "once", chosen)
    for service in ("twice", "five times"):
        taken = page(server, service, chosen)
        print(f"  {service}: {taken / usual:.2f} times the page without repetitions")
    if chosen.large:
        usual = page(server, "large once", chosen)
        print(f"  large twice: {page(server, 'large twice', chosen) / usual:.2f} times the page without repetitions")


def page(server: Server, service: str, chosen: argparse.Namespace) -> float:
    """Milliseconds of a page, in the middle of some; meanwhile a trace is read by id, again and again."""
    by_id_ms: list[float] = []
    over = threading.Event()
    first = server.get_json("/api/v1/traces", service=service, limit=1)["traces"][0]["trace_id"]

    def read() -> None:
        other = Reader(server)
        while not over.is_set():
            began = time.perf_counter()
            other.get(f"/api/v1/traces/{first}/skeleton")
            by_id_ms.append((time.perf_counter() - began) * 1000)

    reader = threading.Thread(target=read)
    answers = []

    def ask() -> None:
        answers.append(server.get_json("/api/v1/traces", timeout_s=120, service=service, limit=1000))

    alone = measure.timed_ms(ask, chosen.repeat)
    reader.start()
    beside = measure.timed_ms(ask, chosen.repeat)
    over.set()
    reader.join()
    last = answers[-1]
    spans = sum(trace["spans"] for trace in last["traces"])
    errors = sum(trace["errors"] for trace in last["traces"])
    print(
        f"  {service:11} {len(last['traces']):5} traces, {spans:7} spans, {errors:6} failed,"
        f" {'complete' if last['complete'] else last['reason']}: p50 {measure.median(alone):7.0f} ms, most {max(alone):7.0f};"
        f" beside reading by id {measure.median(beside):7.0f}; by id p50 {measure.median(by_id_ms):6.0f}, most {max(by_id_ms):6.0f}"
    )
    return measure.median(alone)


class Reader:
    """A client of its own: one client serves one thread."""

    def __init__(self, server: Server) -> None:
        import httpx

        self._client = httpx.Client(base_url=server.http, timeout=120)

    def get(self, path: str) -> None:
        self._client.get(path).raise_for_status()


def spans_of_trace(count: int) -> list[Span]:
    trace_id, now = new_trace_id(), time.time_ns()
    root = span(trace_id, name="GET /cart", start_unix_nano=now, failed=True)
    rest = [
        span(
            trace_id,
            parent_id=root.span_id,
            start_unix_nano=now + at,
            failed=at % 5 == 0,
            values={"http.route": f"/items/{at}", "db.statement": "SELECT name FROM items WHERE id = ?"},
        )
        for at in range(1, count)
    ]
    return [root, *rest]


def send(server: Server, service: str, traces: list[list[Span]], times: int) -> None:
    """All spans, `times` times, each time in requests cut elsewhere."""
    chance = random.Random(7)
    spans = [one for trace in traces for one in trace]
    for _ in range(times):
        at = 0
        while at < len(spans):
            upto = at + chance.randint(400, 512) * (20 if len(traces) < 10 else 1)
            server.export(request(service, spans[at:upto]))
            at = upto


if __name__ == "__main__":
    main()
