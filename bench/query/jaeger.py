"""What the answers of Jaeger's API cost beside clew's own about the same traces: 20 traces of a search, and one trace by its id."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `lib`
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests-e2e"))  # for `harness`: a real server

from harness.server import Server
from harness.wire import new_span_id, new_trace_id, request, span
from lib import measure, stand

LARGE = 1_000


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--spans", type=int, default=50_000, help="spans of the shop beside the large trace")
    options.add_argument("--repeat", type=int, default=15)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="clew-bench-") as folder:
        server = Server(Path(folder) / "data").start()
        try:
            made = stand.make(chosen.spans, minutes=30)
            stand.fill(server, made, senders=2)
            compare(server, chosen.repeat)
            assert server.stop() == 0
        finally:
            server.close()


def compare(server: Server, repeat: int) -> None:
    large = send_large(server)
    service = server.get_json("/api/v1/services")["services"][0]
    print(
        f"load {measure.load()}; medians of {repeat}, wall time and CPU of the server, on one connection, not compressed"
    )

    def get(path: str, **query: object) -> bytes:
        answer = server.get(path, headers={"Accept-Encoding": "identity"}, **query)
        assert answer.status_code == 200, answer.text
        return answer.content

    now_us = time.time_ns() // 1_000
    window = {"start": now_us - 3_600_000_000, "end": now_us}

    def own_search() -> int:
        found = server.get_json("/api/v1/traces", service=service, limit=20)["traces"]
        return sum(len(get(f"/api/v1/traces/{trace['trace_id']}")) for trace in found)

    search: dict[str, Callable[[], int]] = {
        "clew: search, then 20 traces by id": own_search,
        "Jaeger /api/traces, 20 traces": lambda: len(get("/api/traces", service=service, limit=20, **window)),
        "the same with two tags": lambda: len(
            get("/api/traces", service=service, limit=20, tags='{"http.request.method":"GET","error":"true"}', **window)
        ),
    }
    by_id: dict[str, Callable[[], int]] = {
        "clew: OTLP JSON": lambda: len(get(f"/api/v1/traces/{large}")),
        "Jaeger /api/traces/{id}": lambda: len(get(f"/api/traces/{large}")),
        "Jaeger /api/v3/traces/{id}": lambda: len(get(f"/api/v3/traces/{large}")),
    }
    for title, calls in (("20 traces", search), (f"one trace of {LARGE:,} spans", by_id)):
        print(title)
        first = None
        for name, call in calls.items():
            size = call()
            wall = measure.timed_ms(call, repeat)
            before = measure.cpu_s(server.pid)
            for _ in range(repeat):
                call()
            cpu_ms = (measure.cpu_s(server.pid) - before) * 1_000 / repeat
            median = measure.median(wall)
            first = first or (median, cpu_ms)
            print(
                f"  {name:36} {median:7.1f} ms ({median / first[0]:.2f} x), CPU {cpu_ms:6.1f} ms"
                f" ({cpu_ms / first[1]:.2f} x), {size:,} bytes"
            )


def send_large(server: Server) -> str:
    chance, trace_id, root = random.Random(1), new_trace_id(), new_span_id()
    start = time.time_ns() - 60 * 10**9
    spans = [span(trace_id, span_id=root, start_unix_nano=start, duration_ns=10**9)]
    for number in range(1, LARGE):
        values: dict[str, str | int | float | bool | bytes] = {
            "db.system.name": "postgresql",
            "db.query.text": f"SELECT * FROM item WHERE id = {chance.randrange(10**6)}",
            "server.address": "db-1",
            "server.port": 5432,
        }
        at = start + number * 10**6
        spans.append(
            span(trace_id, parent_id=root, name="SELECT", kind=3, start_unix_nano=at, duration_ns=10**6, values=values)
        )
    server.export(request("large", spans))
    server.flush()
    return trace_id.hex()


if __name__ == "__main__":
    main()
