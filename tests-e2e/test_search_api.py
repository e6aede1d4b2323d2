"""What `/api/v1/traces` finds: the conditions of the contract over a small known set, newest first, in exact pages."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from harness.answers import wait_until
from harness.server import Server
from harness.wire import fresh_name, new_span_id, new_trace_id, request, span

MS = 1_000_000
TRACES = 130


@dataclass
class Shop:
    """`TRACES` traces of two services, one a second up to now; trace n lasts n + 1 ms and its spans come in two requests."""

    front: str
    back: str
    newest_unix_nano: int
    ids: list[str] = field(default_factory=list)

    def start_of(self, number: int) -> int:
        return self.newest_unix_nano - (TRACES - 1 - number) * 1_000_000_000


@pytest.fixture(scope="module")
def shop(server: Server) -> Shop:
    made = Shop(fresh_name("front"), fresh_name("back"), time.time_ns())
    front, back = [], []
    for number in range(TRACES):
        trace_id, root = new_trace_id(), new_span_id()
        made.ids.append(trace_id.hex())
        start, duration = made.start_of(number), (number + 1) * MS
        values: dict[str, str | int | float | bool | bytes] = {
            "http.route": "/pay" if number % 2 else "/cart",
            "user.id": number,
            "odd=key": "a=b",
        }
        front.append(
            span(
                trace_id,
                span_id=root,
                name="GET /pay" if number % 2 else "GET /cart",
                start_unix_nano=start,
                duration_ns=duration,
                values=values,
            )
        )
        back.append(
            span(
                trace_id,
                parent_id=root,
                name="charge",
                kind=Span.SPAN_KIND_CLIENT,
                start_unix_nano=start,
                duration_ns=duration // 2,
                failed=number % 10 == 3,
                values={"card": f"card {number % 4}", "ok": number % 10 != 3},
            )
        )
    server.export(request(made.front, front, resource={"region": "north"}))
    server.export(request(made.back, back, resource={"region": "süd"}))
    server.flush()
    return made


def numbers(shop: Shop, traces: list[dict[str, object]]) -> list[int]:
    known = {trace_id: number for number, trace_id in enumerate(shop.ids)}
    return [known[str(trace["trace_id"])] for trace in traces]


def test_a_service_is_found_whole_newest_first(server: Server, shop: Shop) -> None:
    found = server.found(service=shop.front, limit=1000)
    assert numbers(shop, found) == list(reversed(range(TRACES)))
    newest = found[0]
    assert newest == {
        "trace_id": shop.ids[-1],
        "start_unix_nano": str(shop.start_of(TRACES - 1)),
        "duration_ns": str(TRACES * MS),
        "spans": 2,
        "errors": 0,
        "root_service": shop.front,
        "root_name": "GET /pay",
        "has_root": True,
        "services": newest["services"],
    }
    assert sorted(newest["services"]) == sorted([shop.front, shop.back])


@pytest.mark.parametrize("limit", [1, 7, 50, 130, 1000])
def test_pages_join_to_the_whole_without_a_gap_or_a_repetition(server: Server, shop: Shop, limit: int) -> None:
    pages = []
    for page in server.pages(
        service=shop.front, limit=limit, **({"from": str(shop.start_of(100))} if limit == 1 else {})
    ):
        assert len(page["traces"]) <= limit
        assert page["complete"] is True
        assert page["reason"] is None
        pages.append(page["traces"])
    first = 100 if limit == 1 else 0
    assert numbers(shop, [trace for page in pages for trace in page]) == list(reversed(range(first, TRACES)))


def test_fifty_come_without_a_limit(server: Server, shop: Shop) -> None:
    page = server.get_json("/api/v1/traces", service=shop.front)
    assert len(page["traces"]) == 50
    assert page["next"] is not None


def test_traces_that_arrive_while_paging_do_not_shift_the_pages(server: Server) -> None:
    service, newest = fresh_name("busy"), time.time_ns()
    old = [span(start_unix_nano=newest - number * MS) for number in range(30)]
    server.export(request(service, old))
    server.flush()
    page = server.get_json("/api/v1/traces", service=service, limit=10)
    listed = [trace["trace_id"] for trace in page["traces"]]
    server.export(request(service, [span(start_unix_nano=newest + MS)]))
    server.flush()
    while page["next"] is not None:
        page = server.get_json("/api/v1/traces", service=service, limit=10, cursor=page["next"])
        listed += [trace["trace_id"] for trace in page["traces"]]
    assert listed == [one.trace_id.hex() for one in old]


@pytest.mark.parametrize(
    ("plain", "q", "expected"),
    [
        ({"operation": "GET /pay"}, 'name="GET /pay"', lambda n: n % 2 == 1),
        ({"status": "error"}, "status=error", lambda n: n % 10 == 3),
        ({"attr": "http.route:/pay"}, "http.route=/pay", lambda n: n % 2 == 1),
        ({"attr": "user.id:77"}, "user.id=77", lambda n: n == 77),
        ({"attr": "user.id:0"}, "user.id=0", lambda n: n == 0),
        ({"attr": "card:card 2"}, 'card="card 2"', lambda n: n % 4 == 2),
        ({"attr": "ok:false"}, "ok=false", lambda n: n % 10 == 3),
        ({"attr": "region:süd"}, "region=süd", lambda n: True),
        ({"attr": ["card:card 3", "ok:false"]}, 'card="card 3" ok=false', lambda n: n % 4 == 3 and n % 10 == 3),
        ({"attr": ["card:card 3", "http.route:/pay"]}, 'card="card 3" http.route=/pay', lambda n: False),
        ({"attr": "card:nobody"}, "card=nobody", lambda n: False),
        ({"attr": "ok:false"}, "ok exists ok!=true", lambda n: n % 10 == 3),
        ({"operation": "GET /pay"}, "name=*/pay", lambda n: n % 2 == 1),
        ({"attr": "card:card 2"}, 'card=~"2$" not card in ("card 1", "card 3")', lambda n: n % 4 == 2),
        ({"min_duration_ms": "100"}, "trace.duration>=100ms", lambda n: n + 1 >= 100),
        ({"max_duration_ms": "10"}, "trace.duration<=10ms", lambda n: n + 1 <= 10),
        (
            {"min_duration_ms": "20", "max_duration_ms": "21"},
            "trace.duration>=20ms trace.duration<=21ms",
            lambda n: n in (19, 20),
        ),
        (
            {"status": "error", "min_duration_ms": "64"},
            "status=error trace.duration>=64ms",
            lambda n: n % 10 == 3 and n + 1 >= 64,
        ),
    ],
)
def test_a_condition_finds_the_same_as_counting_by_hand(
    server: Server, shop: Shop, plain: dict[str, object], q: str, expected: object
) -> None:
    """Once with plain parameters, once as `q`. The service is a condition on the same span as the others are."""
    assert callable(expected)
    wanted = [number for number in reversed(range(TRACES)) if expected(number)]
    by_parameters: set[int] = set()
    by_query: set[int] = set()
    for service in (shop.front, shop.back):
        by_parameters |= set(numbers(shop, server.found(service=service, limit=1000, **plain)))
        by_query |= set(numbers(shop, server.found(q=f"service={service} {q}", limit=1000)))
    assert sorted(by_parameters, reverse=True) == wanted
    assert sorted(by_query, reverse=True) == wanted


@pytest.mark.parametrize(("sort", "descends"), [("start", False), ("-dur", True), ("dur", False)])
def test_traces_come_in_another_order_in_exact_pages(server: Server, shop: Shop, sort: str, descends: bool) -> None:
    found: list[str] = []
    cursor = ""
    while True:
        page = server.get_json("/api/v1/traces", service=shop.front, sort=sort, limit=60, cursor=cursor)
        assert page["complete"], page
        found += [trace["trace_id"] for trace in page["traces"]]
        if page["next"] is None:
            break
        cursor = page["next"]
    assert found == (shop.ids[::-1] if descends else shop.ids)


def test_completion_offers_the_keys_and_values_that_spans_have(server: Server, shop: Shop) -> None:
    q = f"service={shop.front}"
    keys = server.get_json("/api/v1/keys", q=q, prefix="d")["keys"]
    assert (keys[0]["key"], keys[0]["count"]) == ("dur", None)
    # Of the newest 100 traces; of all, counted when they were stored, where the server has many spans by now.
    (odd,) = [one for one in keys if one["key"] == '"odd=key"']
    assert (odd["type"], odd["count"] in (100, TRACES)) == ("text", True), odd
    operations = server.get_json("/api/v1/values", key="operation", q=q)
    assert (operations["complete"], sorted(one["value"] for one in operations["values"])) == (
        True,
        ["GET /cart", "GET /pay"],
    )
    assert sum(one["count"] for one in operations["values"]) == TRACES
    routes = server.get_json("/api/v1/values", key="http.route", q=q)
    assert "the newest 100 traces" in routes["reason"]
    # Where these have few values for what is typed, more traces are looked at: all there are.
    routes = server.get_json("/api/v1/values", key="http.route", q=q, prefix="PAY")
    assert (routes["values"], routes["complete"]) == ([{"value": "/pay", "count": TRACES // 2}], True)
    assert server.get_json("/api/v1/values", key='"odd=key"', q=q)["values"] == [{"value": "a=b", "count": 100}]
    words = server.get_json("/api/v1/values", key="failed")["values"]
    assert words == [{"value": "true", "count": None}, {"value": "false", "count": None}]
    assert server.get_json("/api/v1/values", key="dur")["values"] == []


def test_figures_about_all_matches_are_those_of_the_pages(server: Server, shop: Shop) -> None:
    summary = server.get_json("/api/v1/traces/summary", q=f"service={shop.front}", sel=f"0,{2**63 - 1},0,{11 * MS}")
    assert (summary["matched"], summary["selected"]["matched"], summary["complete"]) == (TRACES, 10, True)
    assert int(summary["p50_ns"]) == (TRACES // 2 + 1) * MS
    assert sum(count for _, _, count, _ in summary["heatmap"]["cells"]) == TRACES
    services = next(facet for facet in summary["facets"] if facet["key"] == "service")
    assert {(one["value"], one["count"], one["selected"]) for one in services["values"]} == {
        (shop.front, TRACES, 10),
        (shop.back, TRACES, 10),
    }
    assert (
        next(facet for facet in summary["facets"] if facet["key"] == "http.route")["values"][0]["count"] == TRACES // 2
    )


def test_where_nothing_matches_the_condition_that_excludes_most_is_named_with_the_nearest_spelling(
    server: Server, shop: Shop
) -> None:
    def excluded(q: str) -> Any:
        return server.get_json("/api/v1/traces/summary", q=q)["excluded"]

    misspelled = f"{shop.front.upper()}"
    assert excluded(f"service={misspelled} dur<1h") == {
        "condition": f"service={misspelled}",
        "position": 0,
        "matched_without": excluded(f"service={misspelled} dur<1h")["matched_without"],
        "nearest": shop.front,
        "nearest_is": "value",
    }
    found = excluded(f'service={shop.front} "http.route"=/payy')
    assert (found["condition"], found["matched_without"], found["nearest"]) == ('"http.route"=/payy', TRACES, "/pay")
    found = excluded(f"service={shop.front} http.rout=/pay")
    assert (found["nearest"], found["nearest_is"]) == ("http.route", "key")
    assert excluded(f"service={shop.front}") is None


@pytest.mark.parametrize("sel", ["1,2,3", "a,b,c,d", "1,2,3,-4", "1,2,3,4,5"])
def test_a_box_that_is_none_is_refused(server: Server, sel: str) -> None:
    answer = server.get("/api/v1/traces/summary", sel=sel)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_parameter")


def test_calls_are_counted_over_time(server: Server, shop: Shop) -> None:
    q = f"service={shop.front}"
    red = server.get_json("/api/v1/red", q=q, by="operation", **{"from": "now-1h"})
    counts = {(one["service"], one["value"]): one["count"] for one in red["series"]}
    assert counts == {(shop.front, "GET /pay"): TRACES // 2, (shop.front, "GET /cart"): TRACES // 2}
    by_route = server.get_json("/api/v1/red", q=q, by="http.route", step="7s", **{"from": "now-1h"})
    assert {one["value"]: one["count"] for one in by_route["series"]} == {"/pay": TRACES // 2, "/cart": TRACES // 2}
    for wrong in ({"by": "dur"}, {"by": "a b"}, {"step": "0s"}, {"step": "1s", "from": "now-7d"}, {"step": "soon"}):
        assert server.get("/api/v1/red", **wrong).status_code == 400, wrong


@pytest.mark.parametrize("key", ["", "a b", "a=", "(", "trace.none", '"open'])
def test_values_of_what_is_no_key_are_refused(server: Server, key: str) -> None:
    answer = server.get("/api/v1/values", key=key)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["message"]


def test_all_conditions_on_a_span_hold_for_one_span_of_the_trace(server: Server, shop: Shop) -> None:
    assert server.found(service=shop.front, operation="charge") == []
    assert server.found(service=shop.front, status="error") == []
    assert len(server.found(service=shop.back, operation="charge", limit=1000)) == TRACES


def test_conditions_on_a_trace_count_the_whole_trace_though_its_spans_came_apart(server: Server, shop: Shop) -> None:
    """The failing span is in the other service's request; the listed trace still counts both spans and the error."""
    found = server.found(service=shop.front, min_duration_ms="104", max_duration_ms="104")
    assert numbers(shop, found) == [103]
    assert (found[0]["spans"], found[0]["errors"]) == (2, 1)


def test_the_duration_of_a_span_is_not_the_duration_of_its_trace(server: Server, shop: Shop) -> None:
    by_span = numbers(shop, server.found(q=f"service={shop.back} dur>=50ms", limit=1000))
    assert by_span == [number for number in reversed(range(TRACES)) if (number + 1) * MS // 2 >= 50 * MS]
    assert numbers(shop, server.found(q=f"service={shop.back} dur<1ms", limit=1000)) == [0]


def test_from_and_to_are_about_the_start_of_the_trace(server: Server, shop: Shop) -> None:
    found = server.found(service=shop.front, **{"from": str(shop.start_of(40)), "to": str(shop.start_of(45))})
    assert numbers(shop, found) == [44, 43, 42, 41, 40]
    iso = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(shop.newest_unix_nano // 1_000_000_000 - 20))
    first = time.time_ns()
    since = numbers(shop, server.found(service=shop.front, limit=1000, **{"from": iso}))
    assert since == list(reversed(range(min(since), TRACES)))
    assert all(
        shop.start_of(number) // 1_000_000_000 >= shop.newest_unix_nano // 1_000_000_000 - 20 for number in since
    )
    assert len(since) in (20, 21)
    relative = numbers(shop, server.found(service=shop.front, limit=1000, **{"from": "now-1h"}))
    assert len(relative) == TRACES
    assert server.found(service=shop.front, to="now-1h") == []
    assert time.time_ns() > first


def test_a_trace_without_its_root_says_so_and_names_its_earliest_span(server: Server) -> None:
    service, trace_id, now = fresh_name("orphans"), new_trace_id(), time.time_ns()
    parent = new_span_id()
    server.export(
        request(
            service,
            [
                span(trace_id, parent_id=parent, name="later", start_unix_nano=now + MS),
                span(trace_id, parent_id=parent, name="earlier", start_unix_nano=now),
            ],
        )
    )
    server.flush()
    (found,) = server.found(service=service)
    assert (found["has_root"], found["root_service"], found["root_name"]) == (False, service, "earlier")


def test_services_and_operations_are_listed(server: Server, shop: Shop) -> None:
    services = server.get_json("/api/v1/services")["services"]
    assert {shop.front, shop.back} <= set(services)
    operations = server.get_json("/api/v1/operations", service=shop.front)["operations"]
    assert operations == [{"name": "GET /cart", "kind": "server"}, {"name": "GET /pay", "kind": "server"}]
    assert server.get_json("/api/v1/operations", service="nobody")["operations"] == []


@pytest.mark.parametrize(
    ("q", "position"),
    [
        ("service=", 8),
        ("service=a (b=c or d=e", 10),
        ("service=a {b=c}", 0),
        ('name=~"("', 6),
        ("status=broken", 7),
        ("dur>fast", 4),
        ('name="never closed', 5),
    ],
)
def test_a_query_that_cannot_be_answered_exactly_is_refused_at_its_position(
    server: Server, q: str, position: int
) -> None:
    answer = server.get("/api/v1/traces", q=q)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["code"].replace("_", "").isalpha()
    assert error["message"]
    assert error["position"] == position, error


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "1001"},
        {"limit": "many"},
        {"from": "yesterday-ish"},
        {"min_duration_ms": "slow"},
        {"attr": "no colon"},
        {"status": "broken"},
        {"cursor": "made up"},
        {"sort": "colour"},
        {"from": "9999-12-31T23:59:59-23:59"},
        {"to": "0001-01-01T00:00:00+23:59"},
        {"service": ["a", "b"]},
        {"q": ["service=a", ""]},
        {"limit": ["5", "5"]},
    ],
)
def test_a_parameter_that_means_nothing_or_came_twice_is_refused(server: Server, query: dict[str, Any]) -> None:
    answer = server.get("/api/v1/traces", **query)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["message"]


def test_other_questions_refuse_a_parameter_that_came_twice_too(server: Server) -> None:
    for path, query in (("operations", {"service": ["a", "b"]}),):
        answer = server.get(f"/api/v1/{path}", **query)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "repeated_parameter")
    answer = httpx.post(f"{server.http}/api/v1/flush", params={"timeout_s": ["1", "2"]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "repeated_parameter")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/traces"),
        ("DELETE", "/api/v1/status"),
        ("GET", "/api/v1/flush"),
        ("PUT", "/trace/x"),
        ("POST", "/healthz"),
    ],
)
def test_another_method_is_refused_in_the_shape_of_every_error(server: Server, method: str, path: str) -> None:
    answer = httpx.request(method, f"{server.http}{path}")
    assert answer.status_code == 405
    assert answer.headers["allow"]
    error = answer.json()["error"]
    assert error["code"] == "method_not_allowed"
    assert method in error["message"]
    on_otlp = httpx.post(f"{server.otlp_http}/healthz")
    assert (on_otlp.status_code, on_otlp.json()["error"]["code"]) == (405, "method_not_allowed")


def test_a_time_with_nanoseconds_cuts_between_two_traces_a_nanosecond_apart(server: Server) -> None:
    service = fresh_name("close")
    second = time.time_ns() // 1_000_000_000 - 60
    starts = [second * 1_000_000_000 + 123_456_788, second * 1_000_000_000 + 123_456_789]
    server.export(request(service, [span(start_unix_nano=start) for start in starts]))
    server.flush()
    at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)) + ".123456789Z"
    assert [int(t["start_unix_nano"]) for t in server.found(service=service, **{"from": at})] == starts[1:]
    assert [int(t["start_unix_nano"]) for t in server.found(service=service, to=at)] == starts[:1]


def test_a_span_that_came_in_two_requests_counts_once_in_lists_and_where_it_counts_twice_that_is_said(
    server: Server,
) -> None:
    service, trace_id = fresh_name("resent"), new_trace_id()
    again = span(trace_id, name="resent", values={"sent": "twice"})
    server.export(request(service, [again]))
    server.export(request(service, [again, span(trace_id, parent_id=again.span_id)]))
    server.flush()
    assert [trace["spans"] for trace in server.found(service=service)] == [2]
    asked = {"q": f"service={service} name=resent"}
    red = server.get("/api/v1/red", **asked).json()
    assert (red["counted"], [one["count"] for one in red["series"]]) == ("as_sent", [2])
    values = server.get("/api/v1/values", key="sent", **asked).json()
    assert (values["counted"], values["values"]) == ("as_sent", [{"value": "twice", "count": 2}])
    keys = server.get("/api/v1/keys", prefix="sent", **asked).json()
    assert (keys["counted"], [one["count"] for one in keys["keys"] if one["key"] == "sent"]) == ("as_sent", [2])
    assert server.get("/api/v1/baseline", service=service, operation="resent").json()["counted"] == "as_sent"


def test_readiness_and_a_trace_by_its_id_do_not_wait_behind_two_hundred_searches(server: Server, shop: Shop) -> None:
    async def body() -> tuple[list[int], list[int], list[int]]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=server.http, limits=limits, timeout=100) as http:

            async def search() -> int:
                return (await http.get("/api/v1/traces", params={"limit": 1000, "attr": "user.id:5"})).status_code

            searches = [asyncio.ensure_future(search()) for _ in range(200)]
            ready, by_id = [], []
            while not all(one.done() for one in searches):
                ready.append((await http.get("/readyz")).status_code)
                by_id.append((await http.get(f"/api/v1/traces/{shop.ids[5]}/skeleton")).status_code)
            return [await one for one in searches], ready, by_id

    searched, ready, by_id = asyncio.run(body())
    assert set(searched) <= {200, 503}
    assert 200 in searched
    assert set(ready) == {200}
    assert set(by_id) == {200}


def test_an_unknown_trace_is_404_and_a_malformed_id_is_400(server: Server) -> None:
    unknown = server.get(f"/api/v1/traces/{new_trace_id().hex()}")
    assert unknown.status_code == 404
    assert unknown.json()["error"]["code"]
    for malformed in ("xyz", "0" * 31, "g" * 32):
        answer = server.get(f"/api/v1/traces/{malformed}")
        assert answer.status_code == 400, malformed
        assert answer.json()["error"]["code"]


def test_the_skeleton_and_the_details_of_a_trace(server: Server, shop: Shop) -> None:
    trace_id = shop.ids[13]
    skeleton = server.get_json(f"/api/v1/traces/{trace_id}/skeleton")
    assert skeleton["total"] == 2
    assert skeleton["parent"] == [-1, 0]
    assert skeleton["t0"] == str(shop.start_of(13))
    assert skeleton["dur"] == [14 * MS, 7 * MS]
    assert [skeleton["names"][index] for index in skeleton["name"]] == ["GET /pay", "charge"]
    assert [skeleton["services"][index] for index in skeleton["svc"]] == [shop.front, shop.back]
    assert [flags & 1 for flags in skeleton["flags"]] == [0, 1]
    span_ids = [skeleton["span_id"][at : at + 16] for at in (0, 16)]

    answer = httpx.post(f"{server.http}/api/v1/traces/{trace_id}/spans", json={"span_ids": span_ids[1:]})
    assert answer.status_code == 200, answer.text
    (group,) = answer.json()["resourceSpans"]
    (only,) = group["scopeSpans"][0]["spans"]
    assert (only["spanId"], only["parentSpanId"], only["name"], only["status"]) == (
        span_ids[1],
        span_ids[0],
        "charge",
        {"message": "it failed", "code": 2},
    )


@pytest.mark.alone
def test_a_span_is_there_by_id_within_a_second_and_in_search_within_three(
    server: Server, best_of: Callable[..., float]
) -> None:
    """Observed from outside, at most five times: a busy machine makes some turns slower, never all of them faster.

    What storing takes is not in the three seconds: it is taken from flushes of one span, the quickest of the turn's three.
    """

    def by_id_s() -> float:
        trace_id = new_trace_id()
        server.export(request(fresh_name("fresh"), [span(trace_id)]))
        acknowledged = time.monotonic()
        wait_until(lambda: bool(server.trace_bytes(trace_id)))
        return time.monotonic() - acknowledged

    def flush() -> float:
        server.export(request(fresh_name("flushed"), [span()]))
        before_s = time.monotonic()
        server.flush()
        return time.monotonic() - before_s

    def in_search_s() -> float:
        service = fresh_name("fresh")
        server.export(request(service, [span()]))
        acknowledged = time.monotonic()
        wait_until(lambda: bool(server.found(service=service)))
        took_s = time.monotonic() - acknowledged
        flush_s = min(flush() for _ in range(3))
        print(f"in search after {took_s:.2f} s, where a flush takes {flush_s:.2f} s")
        return took_s - 2 * flush_s

    print(f"by id after {best_of(1.0, by_id_s) * 1000:.0f} ms")
    best_of(3.0, in_search_s)


def test_an_answer_on_a_kept_connection_does_not_wait_for_the_peers_acknowledgement(
    server: Server, best_of: Callable[..., float]
) -> None:
    """Head and body leave in two writes; with Nagle's algorithm the second would wait 40 ms for a delayed ACK."""

    def fourth_s() -> float:
        taken = []
        with httpx.Client(base_url=server.http) as kept:
            for _ in range(15):
                began = time.monotonic()
                assert kept.get("/healthz").status_code == 200
                taken.append(time.monotonic() - began)
        return sorted(taken)[3]

    best_of(0.03, fourth_s)
