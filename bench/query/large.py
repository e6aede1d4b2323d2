"""What reading one large trace costs: its skeleton, a span's details, its export, over HTTP, against the number of spans.

The yardstick of the same run is the CPU this process takes to parse the trace's spans once.
"""

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

import httpx
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from harness.server import PROTOBUF, Server
from harness.wire import new_trace_id, request, span
from lib import measure

SERVICES = 12
SPANS_A_REQUEST = 512


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--spans", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    options.add_argument("--repeat", type=int, default=3)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="clew-bench-") as folder:
        server = Server(Path(folder) / "data").start()
        try:
            print(
                f"wall time is the best, CPU (the server's, all threads) the mean of {chosen.repeat}; load {measure.load()}"
            )
            print("| spans | question | wall ms | CPU ms | CPU of the yardstick's | bytes |\n|---|---|---|---|---|---|")
            for count in chosen.spans:
                measure_trace(server, count, chosen.repeat)
            print(f"peak memory of the server {measure.peak_rss_bytes(server.pid) >> 20} MiB; load {measure.load()}")
            assert server.stop() == 0
        finally:
            server.close()


def measure_trace(server: Server, count: int, repeat: int) -> None:
    spans = make_trace(count)
    trace_id = spans[0].trace_id
    send(server, spans)
    server.flush(300)
    measure.wait_quiet(server.pid, for_s=2)
    parts = [one.SerializeToString() for one in spans]
    yardstick_ms = min(parsing_ms(parts) for _ in range(3))
    print(
        f"| {count:,} | each span parsed once, in this process | | {yardstick_ms:.0f} | 1 | {sum(map(len, parts)):,} |"
    )
    http = httpx.Client(base_url=server.http, timeout=120, headers={"Accept-Encoding": "identity"})
    path = f"/api/v1/traces/{trace_id.hex()}"
    picked = random.Random(5)

    def details() -> httpx.Response:
        return http.post(f"{path}/spans", json={"span_ids": [picked.choice(spans).span_id.hex()]})

    def fifty() -> httpx.Response:
        at = picked.randrange(max(1, count - 50))
        return http.post(f"{path}/spans", json={"span_ids": [one.span_id.hex() for one in spans[at : at + 50]]})

    def export(accept: str, encoding: str = "identity") -> httpx.Response:
        return http.get(path, headers={"Accept": accept, "Accept-Encoding": encoding})

    questions: list[tuple[str, int, Callable[[], httpx.Response]]] = [
        ("skeleton, first", 1, lambda: http.get(f"{path}/skeleton")),
        ("skeleton, again", repeat, lambda: http.get(f"{path}/skeleton")),
        ("details of one span", repeat * 3, details),
        ("details of 50 spans", repeat * 3, fifty),
        ("export, OTLP JSON", repeat, lambda: export("application/json")),
        ("export, OTLP JSON, gzip", 1, lambda: export("application/json", "gzip")),
        ("export, OTLP protobuf", repeat, lambda: export(PROTOBUF)),
    ]
    for name, times, ask in questions:
        wall_ms, cpu_ms, size = [], [], 0
        for _ in range(times):
            cpu_before, began = measure.cpu_s(server.pid), time.perf_counter()
            answer = ask()
            wall_ms.append((time.perf_counter() - began) * 1000)
            cpu_ms.append((measure.cpu_s(server.pid) - cpu_before) * 1000)
            assert answer.status_code == 200, answer.text[:300]
            size = len(answer.content)
        print(
            f"| {count:,} | {name} | {min(wall_ms):.0f} | {sum(cpu_ms) / len(cpu_ms):.0f}"
            f" | {sum(cpu_ms) / len(cpu_ms) / yardstick_ms:.2f} | {size:,} |",
            flush=True,
        )


def parsing_ms(parts: list[bytes]) -> float:
    """CPU of parsing each span once."""
    began = time.process_time()
    for part in parts:
        Span.FromString(part)
    return (time.process_time() - began) * 1000


def make_trace(count: int) -> list[Span]:
    """A root, below it spans that hang on one of the last 30 before them; each has what an instrumented call has."""
    chance = random.Random(count)
    trace_id, now = new_trace_id(), time.time_ns() - 60_000_000_000
    made = [span(trace_id, name="GET /cart", start_unix_nano=now, duration_ns=count * 10_000)]
    for at in range(1, count):
        above = made[chance.randrange(max(0, at - 30), at)] if chance.random() < 0.9 else made[0]
        made.append(
            span(
                trace_id,
                parent_id=above.span_id,
                name=f"operation {at % 40}",
                kind=1 + at % 5,
                start_unix_nano=now + at * 10_000,
                duration_ns=chance.randrange(1_000, 500_000),
                failed=at % 50 == 0,
                values={
                    "http.request.method": "GET",
                    "http.route": f"/api/items/{at % 40}/{{id}}",
                    "http.response.status_code": 200,
                    "url.path": f"/api/items/{at % 40}/{at}",
                    "db.query.text": "SELECT name, price FROM items WHERE id = ?",
                },
            )
        )
    return made


def send(server: Server, spans: list[Span]) -> None:
    """Requests of one service each, as exporters send them."""
    of_service: dict[int, list[Span]] = {}
    for at, one in enumerate(spans):
        waiting = of_service.setdefault(at * 7 // 5 % SERVICES, [])
        waiting.append(one)
        if len(waiting) >= SPANS_A_REQUEST:
            server.export(request(f"service-{at * 7 // 5 % SERVICES}", waiting))
            waiting.clear()
    for number, rest in of_service.items():
        if rest:
            server.export(request(f"service-{number}", rest))


if __name__ == "__main__":
    main()
