"""Questions to a server that holds a day of many spans, at rest and while it takes in half of what it can, with DuckDB asked the same of the same rows.

DuckDB is asked in this process while as much comes in, after all questions to the server: beside DuckDB's, which take both cores for seconds, what comes
in would fall behind, and then come faster than it should while the server is asked. It starts after the day that is asked about.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for `lib`
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests-e2e"))  # for `harness`: a real server

import httpx

from harness.server import Server
from lib import measure, shop, stand
from lib.duck import Duck
from lib.stream import Stream

PIECE = 200_000
MOST_TIMES = 5
TYPING_S = 0.2
"""Between two letters: more is stored meanwhile, as it is not within the few milliseconds of the questions themselves."""
NS_PER_S = 1_000_000_000
DAY_NS = 86_400 * NS_PER_S


class Asked(NamedTuple):
    """A question to both, the check that both answer the same, the budget of the 95th percentile in ms, and the pause before each."""

    name: str
    ours: Callable[[], Any]
    theirs: Callable[[], list[Any]]
    same: Callable[[Any, list[Any]], bool]
    budget_ms: int
    pause_s: float = 0.0


class Taken(NamedTuple):
    """Wall times and CPU of one question, ms."""

    wall: list[float]
    cpu: float
    incomplete: int


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--spans", type=int, default=200_000)
    options.add_argument("--repeat", type=int, default=21, help="times each question is asked")
    options.add_argument("--share", type=float, default=0.5, help="of the rate that filling reached, while it is asked")
    options.add_argument(
        "--no-duckdb", action="store_true", help="ask the server only, and do not compare what it answers"
    )
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="clew-bench-") as folder:
        server = Server(Path(folder) / "data", options=["--max-disk", "50GB", "--max-backlog", "2GB"]).start()
        try:
            duck = None if chosen.no_duckdb else Duck(Path(folder) / "spans.duckdb")
            now_ns = time.time_ns()
            known, rate = fill(server, duck, chosen.spans, now_ns - DAY_NS, now_ns)
            questions = asked(server, duck, known, now_ns - DAY_NS - NS_PER_S, now_ns + 600 * NS_PER_S)
            compare(questions, duck)
            at_rest = [ask(one, server, chosen.repeat) for one in questions]
            with Stream(server.otlp_http, int(rate * chosen.share), now_ns + 3_600 * NS_PER_S) as stream:
                time.sleep(10)
                began, before, load = time.monotonic(), measure.cpu_s(server.pid), measure.load()
                ours = [ask(one, server, chosen.repeat) for one in questions]
                used = (measure.cpu_s(server.pid) - before) / (time.monotonic() - began)
                load = f"{load} to {measure.load()}"
            sent = stream.sent
            theirs: list[Taken | None] = [None] * len(questions)
            if duck is not None:
                with Stream(server.otlp_http, int(rate * chosen.share), now_ns + 7_200 * NS_PER_S):
                    time.sleep(10)
                    theirs = [ask_duck(one, chosen.repeat) for one in questions]
                    compare(questions, duck)
            report(questions, at_rest, list(zip(ours, theirs, strict=True)))
            print(
                f"while the server was asked {sent['spans'] / sent['seconds']:,.0f} spans/s came in (wanted {rate * chosen.share:,.0f}), {sent['refused']} × 503,"
                f" the sender {sent['late_s']:.1f} s late at most, with {sent['cpu_s'] / sent['seconds']:.0%} of a core; the server used {used:.0%}"
            )
            print(f"peak memory of the server {measure.peak_rss_bytes(server.pid) >> 20:,} MiB (1,536); load {load}")
            if duck is not None:
                duck.close()
            assert server.stop() == 0
        finally:
            server.kill()


def compare(questions: list[Asked], duck: Duck | None) -> None:
    """Raises AssertionError where DuckDB, if there is one, answers anything else."""
    for one in questions:
        found = one.ours()
        assert duck is None or one.same(found, one.theirs()), one.name


def fill(server: Server, duck: Duck | None, spans: int, first_ns: int, last_ns: int) -> tuple[list[shop.Known], float]:
    """A day of traces, in both; some of them, and how many spans a second the server took."""
    known: list[shop.Known] = []
    taken_s, pieces = 0.0, -(-spans // PIECE)
    for number in range(pieces):
        made = shop.make_requests(
            min(PIECE, spans - number * PIECE),
            first_start_unix_nano=first_ns + (last_ns - first_ns) * number // pieces,
            last_start_unix_nano=first_ns + (last_ns - first_ns) * (number + 1) // pieces,
            seed=7 + number,
        )
        taken_s += stand.fill(server, made, senders=2, settle=False).searchable_s
        if duck is not None:
            duck.fill(made)
        known += made.known[:: max(1, pieces // 4)]
    measure.wait_quiet(server.pid, timeout_s=600)
    rate = spans / taken_s
    print(
        f"{spans:,} spans within a day; filled with {rate:,.0f} spans/s, until they could be found; load {measure.load()}"
    )
    return known, rate


def asked(server: Server, duck: Duck | None, known: list[shop.Known], from_ns: int, to_ns: int) -> list[Asked]:
    http = httpx.Client(base_url=server.http, timeout=60)
    within = {"from": str(from_ns), "to": str(to_ns)}
    turn = [0]

    def ours(path: str, **query: str) -> Callable[[], Any]:
        def get() -> Any:
            answer = http.get(path, params={**within, **query})
            assert answer.status_code == 200, answer.text[:300]
            return answer.json()

        return get

    def first_time(path: str, **query: str) -> Callable[[], Any]:
        """As `ours`, from a little earlier each time, where nothing is: what the server remembers of one time is no answer for the next."""

        def get() -> Any:
            return ours(path, **query, **{"from": str(from_ns - next_turn() * 400 * NS_PER_S)})()

        return get

    def theirs(text: str, *values: object) -> Callable[[], list[Any]]:
        def get() -> list[Any]:
            assert duck is not None
            return duck.connection.execute(text, values).fetchall()

        return get

    def same_traces(found: Any, rows: list[Any]) -> bool:
        listed, wanted = [trace["trace_id"] for trace in found["traces"]], [row[0].hex() for row in rows]
        if not found["complete"]:
            print(f"stopped with {len(listed)} of {len(wanted)} traces: {found['reason']}")
            return listed == wanted[: len(listed)]
        return listed == wanted

    def same_keys(found: Any, rows: list[Any]) -> bool:
        return {key for key, _ in rows} <= {one["key"] for one in found["keys"]}

    def next_turn() -> int:
        turn[0] += 1
        return turn[0]

    def same_values(found: Any, rows: list[Any]) -> bool:
        values = {value for value, _ in rows}
        return bool(found["values"]) and {one["value"] for one in found["values"]} <= values

    page = "SELECT trace_id, min(start) AS s, max(start + duration), count(*), count(*) FILTER (status = 2), list(DISTINCT service) FROM spans"
    last = " GROUP BY trace_id ORDER BY s DESC LIMIT 50"
    matching = f"{page} WHERE trace_id IN (SELECT trace_id FROM spans WHERE {{}}){last}"
    service, below = known[0].service, next(one for one in shop.SERVICES if one != known[0].service)
    operation = f"GET /api/{service}/items/0/{{id}}"
    related = "SELECT a.trace_id FROM spans AS a JOIN spans AS b ON b.trace_id = a.trace_id AND b.parent_id = a.span_id WHERE a.service = ? AND a.name = ? AND b.service = ?"

    def rare() -> str:
        return str(known[turn[0] * 37 % len(known)].request_id)

    def next_rare() -> Any:
        next_turn()
        return ours("/api/v1/traces", q=f"shop.request.id={rare()}")()

    failed = "status = 2 OR CAST(attributes['http.response.status_code'] AS INT) >= if(kind = 3, 400, 500)"
    traces = f"SELECT max(start + duration) - min(start) AS d, max({failed}) AS f FROM spans GROUP BY trace_id"
    return [
        Asked("newest page", ours("/api/v1/traces"), theirs(page + last), same_traces, 100),
        Asked(
            "service + operation + attribute + duration",
            ours("/api/v1/traces", q=f'service={service} name="{operation}" http.request.method=GET dur>1ms'),
            theirs(
                matching.format(
                    "service = ? AND name = ? AND attributes['http.request.method'] = 'GET' AND duration > 1000000"
                ),
                service,
                operation,
            ),
            same_traces,
            300,
        ),
        Asked(
            "an attribute that one trace has, another each time",
            next_rare,
            lambda: theirs(matching.format("attributes['shop.request.id'] = ?"), rare())(),
            same_traces,
            500,
        ),
        Asked(
            "two braces, >",
            ours("/api/v1/traces", q=f'{{service={service} name="{operation}"}} > {{service={below}}}'),
            theirs(f"{page} WHERE trace_id IN ({related}){last}", service, operation, below),
            same_traces,
            1_000,
        ),
        Asked(
            "two braces, >>",
            ours("/api/v1/traces", q=f"{{service={service} root=true}} >> {{service={below} status=error}}"),
            theirs(  # what hangs below a root is all the rest of its trace
                matching.format(
                    "service = ? AND parent_id = ''::BLOB) AND trace_id IN (SELECT trace_id FROM spans WHERE service = ? AND status = 2 AND parent_id != ''::BLOB"
                ),
                service,
                below,
            ),
            same_traces,
            1_000,
        ),
        Asked(
            "totals, heatmap and facets",
            ours("/api/v1/traces/summary"),
            theirs(
                f"SELECT count(*), count(*) FILTER (f), quantile_disc(d, [0.5, 0.95, 0.99]), histogram(d) FROM ({traces})"
            ),
            lambda found, rows: (found["matched"], found["failed"]) == (rows[0][0], rows[0][1]),
            1_500,
        ),
        Asked(
            "keys for completion, of another time each time",
            first_time("/api/v1/keys"),
            theirs("SELECT unnest(map_keys(attributes)) AS k, count(*) FROM spans GROUP BY k"),
            same_keys,
            50,
        ),
        Asked(
            "values of an attribute, of another time each time",
            first_time("/api/v1/values", key="http.route"),
            theirs("SELECT attributes['http.route'] AS v, count(*) FROM spans GROUP BY v"),
            same_values,
            50,
        ),
        Asked(
            "keys while somebody types",
            lambda: ours("/api/v1/keys", prefix="shop.request"[: next_turn() % 12])(),
            theirs("SELECT unnest(map_keys(attributes)) AS k, count(*) FROM spans GROUP BY k"),
            lambda found, rows: bool(found["keys"]),
            50,
            TYPING_S,
        ),
        Asked(
            "values while somebody types",
            lambda: ours("/api/v1/values", key="http.route", prefix="/api/"[: next_turn() % 5])(),
            theirs("SELECT attributes['http.route'] AS v, count(*) FROM spans GROUP BY v"),
            same_values,
            50,
            TYPING_S,
        ),
        Asked(
            "operations of a service for completion",
            first_time("/api/v1/values", key="name", q=f"service={service}", limit="100"),
            theirs("SELECT name, count(*) FROM spans WHERE service = ? GROUP BY name", service),
            lambda found, rows: {one["value"]: one["count"] for one in found["values"]} == dict(rows),
            50,
        ),
    ]


def ask(one: Asked, server: Server, repeat: int) -> Taken:
    """The server's times; its CPU is that of taking spans in as well, while there are any."""
    answers: list[Any] = []
    before = measure.cpu_s(server.pid)
    wall = measure.timed_ms(lambda: answers.append(one.ours()), repeat, one.pause_s)
    cpu = (measure.cpu_s(server.pid) - before) * 1000 / repeat
    return Taken(wall, cpu, sum("traces" in answer and not answer["complete"] for answer in answers))


def ask_duck(one: Asked, repeat: int) -> Taken:
    """DuckDB's times, of `MOST_TIMES` at most: it takes seconds for some."""
    one.theirs()
    repeat = min(repeat, MOST_TIMES)
    before = time.process_time()
    wall = measure.timed_ms(one.theirs, repeat)
    return Taken(wall, (time.process_time() - before) * 1000 / repeat, 0)


def report(questions: list[Asked], at_rest: list[Taken], rows: list[tuple[Taken, Taken | None]]) -> None:
    print(
        f"| {'ms':50} | at rest p50 | p95 | CPU | taking in p50 | p95 | budget | | DuckDB p50 | p95 | CPU |\n{'|---' * 11}|"
    )
    for one, rest, (ours, theirs) in zip(questions, at_rest, rows, strict=True):
        p95 = measure.percentile(ours.wall, 95)
        kept = "kept" if p95 <= one.budget_ms else "OVER"
        stopped = f", {ours.incomplete} incomplete" if ours.incomplete else ""
        print(
            f"| {one.name:50} | {measure.median(rest.wall):,.0f} | {measure.percentile(rest.wall, 95):,.0f} | {rest.cpu:,.0f}"
            f" | {measure.median(ours.wall):,.0f} | {p95:,.0f} | {one.budget_ms:,} | {kept}{stopped}"
            + (
                " | | | |"
                if theirs is None
                else f" | {measure.median(theirs.wall):,.0f} | {measure.percentile(theirs.wall, 95):,.0f} | {theirs.cpu:,.0f} |"
            )
        )


if __name__ == "__main__":
    main()
