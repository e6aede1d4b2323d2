"""How long questions take at rest, over HTTP, with the same questions put to DuckDB beside them in the same run."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `lib`
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests-e2e"))  # for `harness`: a real server

import httpx

from harness.server import PROTOBUF, Server
from lib import measure, stand
from lib.duck import Duck

Ask = Callable[[], object]
HOUR_MS = 3_600_000


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--spans", type=int, default=200_000)
    options.add_argument(
        "--minutes", type=int, default=60, help="the starts of the spans lie within so many minutes before now"
    )
    options.add_argument(
        "--repeat", type=int, default=21, help="times a search is asked; a trace by id ten times as often"
    )
    chosen = options.parse_args()
    made = stand.make(chosen.spans, minutes=chosen.minutes)
    print(f"{made.spans:,} spans within {chosen.minutes} minutes, load {measure.load()}")
    with tempfile.TemporaryDirectory(prefix="clew-bench-") as folder:
        server = Server(
            Path(folder) / "data", options=["--max-disk", "50GB", "--receive", "zipkin@127.0.0.1:0"]
        ).start()
        try:
            stand.fill(server, made, senders=2)
            duck = Duck(Path(folder) / "spans.duckdb")
            duck.fill(made)
            compare(server, duck, made.known, chosen.repeat)
            duck.close()
            assert server.stop() == 0
        finally:
            server.kill()


def compare(server: Server, duck: Duck, known: list[stand.shop.Known], repeat: int) -> None:
    http = httpx.Client(base_url=server.http, timeout=60)
    zipkin = httpx.Client(base_url=server.receiver("zipkin"), timeout=60)
    turn = [0]

    def next_known() -> stand.shop.Known:
        turn[0] += 1
        return known[turn[0] * 37 % len(known)]

    def ask(path: str, accept: str = "application/json", **query: str) -> httpx.Response:
        answer = http.get(path, params=query, headers={"Accept": accept})
        assert answer.status_code == 200, answer.text[:300]
        return answer

    def find(**query: str) -> Ask:
        return lambda: ask("/api/v1/traces", **query)

    def sql(text: str, *values: object) -> Ask:
        return lambda: duck.connection.execute(text, values).fetchall()

    page = "SELECT trace_id, min(start) AS s, max(start + duration), count(*), count(*) FILTER (status = 2), list(DISTINCT service) FROM spans"
    last = " GROUP BY trace_id ORDER BY s DESC LIMIT 50"
    matching = f"{page} WHERE trace_id IN (SELECT trace_id FROM spans WHERE {{}}){last}"
    service, operation = known[0].service, f"GET /api/{known[0].service}/items/0/{{id}}"
    request_ids = (one.request_id for one in known[::-1])
    user = "user-00017"
    by_id = "SELECT * FROM spans WHERE trace_id = ?"
    questions: list[tuple[str, int, Ask, Ask]] = [
        (
            "trace by id, OTLP JSON",
            repeat * 10,
            lambda: ask(f"/api/v1/traces/{next_known().trace_id.hex()}"),
            lambda: sql(by_id, next_known().trace_id)(),
        ),
        (
            "trace by id, OTLP protobuf",
            repeat * 10,
            lambda: ask(f"/api/v1/traces/{next_known().trace_id.hex()}", PROTOBUF),
            lambda: sql(by_id, next_known().trace_id)(),
        ),
        (
            "trace by id, skeleton",
            repeat * 10,
            lambda: ask(f"/api/v1/traces/{next_known().trace_id.hex()}/skeleton"),
            lambda: sql(by_id, next_known().trace_id)(),
        ),
        ("newest page", repeat, find(), sql(page + last)),
        (
            "newest page, last hour",
            repeat,
            find(**{"from": "now-1h"}),
            sql(f"{page} WHERE start >= ?{last}", time.time_ns() - HOUR_MS * 1_000_000),
        ),
        ("service", repeat, find(service=service), sql(matching.format("service = ?"), service)),
        (
            "failed spans of a service",
            repeat,
            find(service=service, status="error"),
            sql(matching.format("service = ? AND status = 2"), service),
        ),
        (
            "service + operation + attribute + duration",
            repeat,
            find(q=f'service={service} name="{operation}" http.request.method=GET dur>1ms'),
            sql(
                matching.format(
                    "service = ? AND name = ? AND attributes['http.request.method'] = 'GET' AND duration > 1000000"
                ),
                service,
                operation,
            ),
        ),
        (
            "traces longer than 2 s",
            repeat,
            find(min_duration_ms="2000"),
            sql(
                f"{page} GROUP BY trace_id HAVING max(start + duration) - min(start) >= 2000000000 ORDER BY min(start) DESC LIMIT 50".replace(
                    "AS s", ""
                )
            ),
        ),
        (
            "longest first, all there is",
            repeat,
            find(sort="-dur"),
            sql(f"{page} GROUP BY trace_id ORDER BY max(start + duration) - min(start) DESC LIMIT 50"),
        ),
        (
            "totals, heatmap and facets of all",
            max(3, repeat // 4),
            lambda: ask("/api/v1/traces/summary"),
            sql(
                "SELECT count(*), quantile_disc(d, [0.5, 0.95, 0.99]), histogram(d) FROM"
                " (SELECT max(start + duration) - min(start) AS d FROM spans GROUP BY trace_id)"
            ),
        ),
        (
            "keys for completion",
            repeat,
            lambda: ask("/api/v1/keys"),
            sql("SELECT unnest(map_keys(attributes)) AS k, count(*) FROM spans GROUP BY k"),
        ),
        (
            "values of an attribute for completion",
            repeat,
            lambda: ask("/api/v1/values", key="http.route"),
            sql("SELECT attributes['http.route'] AS v, count(*) FROM spans GROUP BY v"),
        ),
        (
            "operations of a service for completion",
            repeat,
            lambda: ask("/api/v1/values", key="name", q=f"service={service}"),
            sql("SELECT name, count(*) FROM spans WHERE service = ? GROUP BY name", service),
        ),
        (
            "rate, failures, percentiles by service, an hour",
            repeat,
            lambda: ask("/api/v1/red"),
            sql("SELECT service, count(*), quantile_disc(duration, [0.5, 0.95, 0.99]) FROM spans GROUP BY service"),
        ),
        (
            "an attribute of one user in all services",
            repeat,
            find(attr=f"enduser.id:{user}"),
            sql(matching.format("attributes['enduser.id'] = ?"), user),
        ),
        (
            "an attribute that one trace has, another each time",
            repeat,
            lambda: ask("/api/v1/traces", attr=f"shop.request.id:{next(request_ids)}"),
            lambda: sql(matching.format("attributes['shop.request.id'] = ?"), next_known().request_id)(),
        ),
        (
            "dependencies, all there is",
            max(3, repeat // 4),
            lambda: ask("/api/v1/dependencies"),
            sql(
                "SELECT above.service, below.service, count(*), count(*) FILTER (below.status = 2) FROM spans AS below JOIN spans AS above"
                " ON below.trace_id = above.trace_id AND below.parent_id = above.span_id WHERE below.service != above.service GROUP BY ALL"
            ),
        ),
        (
            "Zipkin's API: the 10 newest traces, whole",
            repeat,
            lambda: zipkin.get("/api/v2/traces", params={"limit": 10}).raise_for_status(),
            sql(
                "SELECT * FROM spans WHERE trace_id IN (SELECT trace_id FROM spans GROUP BY trace_id ORDER BY min(start) DESC LIMIT 10)"
            ),
        ),
        ("services", repeat, lambda: ask("/api/v1/services"), sql("SELECT DISTINCT service FROM spans")),
        (
            "operations of a service",
            repeat,
            lambda: ask("/api/v1/operations", service=service),
            sql("SELECT DISTINCT name, kind FROM spans WHERE service = ?", service),
        ),
    ]
    print(f"| {'question':50} | clew first | p50 | p95 | DuckDB p50 | p95 | n | (ms)\n|---|---|---|---|---|---|---|")
    for name, times, ours, theirs in questions:
        first = measure.timed_ms(ours, 1)[0]
        check_same(name, ours(), theirs())
        mine = measure.timed_ms(ours, times)
        theirs()
        yardstick = measure.timed_ms(theirs, min(times, 50))
        print(
            f"| {name:50} | {first:6.1f} | {measure.median(mine):6.1f} | {measure.percentile(mine, 95):6.1f}"
            f" | {measure.median(yardstick):6.1f} | {measure.percentile(yardstick, 95):6.1f} | {times} |"
        )
    print(f"load {measure.load()}")


def check_same(name: str, ours: object, theirs: object) -> None:
    """Both list the same traces in the same order, or the comparison would be of different questions."""
    assert isinstance(ours, httpx.Response)
    assert isinstance(theirs, list)
    if ours.url.path == "/api/v1/traces" and "another each time" not in name:
        listed = [trace["trace_id"] for trace in ours.json()["traces"]]
        wanted = [row[0].hex() for row in theirs]
        assert listed == wanted, f"{name}: {len(listed)} and {len(wanted)} traces, different ones"


if __name__ == "__main__":
    main()
