"""Tempo's API as Grafana's Tempo data source asks it, over HTTP from a real server."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, TracesData

from harness.server import Server
from harness.wire import new_trace_id, request, span

START_S = 1_795_000_000
NS = 1_000_000_000


@dataclass
class Tempo:
    client: httpx.Client
    trace_id: str
    root: Span
    child: Span

    def get(self, path: str, accept: str = "application/json", **parameters: Any) -> httpx.Response:
        return self.client.get(path, params=parameters, headers={"Accept": accept})

    def json(self, path: str, **parameters: Any) -> Any:
        answer = self.get(path, **parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture(scope="module")
def tempo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tempo]:
    """A server with one trace of two services, and ten further spans of one of them."""
    server = Server(
        tmp_path_factory.mktemp("tempo") / "data", options=["--tempo-port", "0", "--receive", "none"]
    ).start()
    trace_id = b"\0\0" + new_trace_id()[2:]
    start = START_S * NS
    values = {"http.route": "/cart", "http.status_code": 500, "cached": True, "ratio": 1.5}
    root = span(trace_id, name="GET /cart", start_unix_nano=start, duration_ns=2 * NS, values=values, failed=True)
    child = span(
        trace_id, parent_id=root.span_id, name="SELECT", kind=3, start_unix_nano=start + NS, duration_ns=NS // 2
    )
    child.events.add(name="row", time_unix_nano=start + NS).attributes.add(key="rows").value.int_value = 3
    server.export(request("cart", [root], resource={"k8s.pod.name": "cart-1"}))
    server.export(request("db", [child]))
    later = [span(name="poll", start_unix_nano=start + (60 + n) * NS, duration_ns=(n + 1) * NS) for n in range(10)]
    server.export(request("poller", later))
    server.flush()
    with httpx.Client(base_url=server.ready["tempo"], timeout=100) as client:
        yield Tempo(client, trace_id.hex(), root, child)
    server.close()


def spans_of(data: bytes) -> set[bytes]:
    return {
        one.SerializeToString()
        for resource in TracesData.FromString(data).resource_spans
        for scope in resource.scope_spans
        for one in scope.spans
    }


def test_what_grafana_asks_before_anything_else(tempo: Tempo) -> None:
    assert tempo.get("/api/echo").text == "echo"
    assert tempo.get("/ready").text == "ready"
    assert tempo.json("/api/status/buildinfo")["version"].startswith("2.6.0+clew.")
    assert tempo.get("/api/overrides").status_code == 404


def test_a_trace_by_its_id_in_all_four_forms(tempo: Tempo) -> None:
    both = {tempo.root.SerializeToString(), tempo.child.SerializeToString()}
    short = tempo.trace_id.lstrip("0")
    v1 = tempo.get(f"/api/traces/{short}", "application/protobuf", start=1, end=2)
    assert v1.headers["content-type"] == "application/protobuf"
    assert spans_of(v1.content) == both
    v2 = tempo.get(f"/api/v2/traces/{tempo.trace_id}", "application/protobuf").content
    assert v2[:1] == b"\x0a"
    # TraceByIDResponse: the trace in field 1, and nothing else where all could be read.
    assert any(spans_of(v2[at:]) == both for at in (2, 3, 4) if v2[1:at][-1:] and v2[at - 1] < 0x80)
    batches = tempo.json(f"/api/traces/{tempo.trace_id}")["batches"]
    listed = [one for batch in batches for scope in batch["scopeSpans"] for one in scope["spans"]]
    by_name = {one["name"]: one for one in listed}
    assert by_name["GET /cart"]["traceId"] == base64.b64encode(bytes.fromhex(tempo.trace_id)).decode()
    assert by_name["GET /cart"]["kind"] == "SPAN_KIND_SERVER"
    assert by_name["GET /cart"]["status"]["code"] == "STATUS_CODE_ERROR"
    assert by_name["SELECT"]["startTimeUnixNano"] == str((START_S + 1) * NS)
    assert tempo.json(f"/api/v2/traces/{tempo.trace_id}")["trace"]["resourceSpans"] == batches


def test_a_trace_that_is_not_there_is_404_and_no_id_is_400(tempo: Tempo) -> None:
    for path in ("/api/traces", "/api/v2/traces"):
        assert tempo.get(f"{path}/{new_trace_id().hex()}").status_code == 404
        assert tempo.get(f"{path}/nonsense").status_code == 400


WINDOW = {"start": START_S - 60, "end": START_S + 30}


def test_a_search_lists_traces_with_the_spans_that_match(tempo: Tempo) -> None:
    q = '{ resource.service.name = "cart" && status = error && duration > 1s && span.http.status_code = 500 }'
    (found,) = tempo.json("/api/search", q=q + " | select(span.ratio)", limit=20, spss=3, **WINDOW)["traces"]
    (spans,) = found.pop("spanSets")
    assert found.pop("spanSet") == spans
    assert found == {
        "traceID": tempo.trace_id.lstrip("0"),
        "rootServiceName": "cart",
        "rootTraceName": "GET /cart",
        "startTimeUnixNano": str(START_S * NS),
        "durationMs": 2000,
    }
    assert spans == {
        "matched": 1,
        "spans": [
            {
                "spanID": tempo.root.span_id.hex(),
                "name": "GET /cart",
                "startTimeUnixNano": str(START_S * NS),
                "durationNanos": str(2 * NS),
                "attributes": [
                    {"key": "service.name", "value": {"stringValue": "cart"}},
                    {"key": "status", "value": {"stringValue": "error"}},
                    {"key": "http.status_code", "value": {"intValue": "500"}},
                    {"key": "ratio", "value": {"doubleValue": 1.5}},
                ],
            }
        ],
    }


@pytest.mark.parametrize(
    "q",
    [
        "{}",
        "{ .cached = true && .ratio = 1.5 }",
        '{ resource.k8s.pod.name = "cart-1" }',
        '{ name = "SELECT" && kind = client }',
        '{ name != "GET /cart" && status != error && kind != server && duration != 2s }',
        '{ event:name = "row" && event.rows = 3 }',
        '{ instrumentation:name = "stories" && traceDuration > 1s }',
        '{ name = "x" || name =~ "SEL.*" }',
        "{ span.http.status_code >= 500 && .cached != false && span.k8s.pod.name = nil }",
        '{ rootName = "GET /cart" && rootServiceName =~ "c.rt" && nestedSetParent < 0 }',
        '{ trace:id != "1" && !(name = "poll") }',
        '{ name = "GET /cart" } && { name = "SELECT" }',
        '{ name = "x" } || { status = error } && {}',
        '{ resource.service.name = "cart" } > { resource.service.name = "db" }',
        '{ resource.service.name = "cart" && traceDuration > 1s } >> { name = "SELECT" }',
        '{ name = "SELECT" } << { status = error }',
    ],
)
def test_each_condition_finds_the_trace_and_what_is_listed_matches_what_was_searched(tempo: Tempo, q: str) -> None:
    (found,) = tempo.json("/api/search", q=q, **WINDOW)["traces"]
    assert found["traceID"] == tempo.trace_id.lstrip("0")
    assert found["spanSets"][0]["matched"] >= 1


@pytest.mark.parametrize(
    "q",
    [
        '{ span.k8s.pod.name = "cart-1" }',
        "{ resource.http.status_code = 500 }",
        '{ name = "SELECT" && status = error }',
        "{ traceDuration > 3s }",
        '{ name = "poll" }',
        '{ name =~ "SEL" }',
        '{ span.absent != "x" }',
        '{ rootName = "SELECT" }',
        '{ name = "GET /cart" } && { name = "poll" }',
        '{ name = "SELECT" } > { name = "GET /cart" }',
        '{ name = "SELECT" } >> {}',
        '{ name = "GET /cart" } ~ { name = "SELECT" }',
    ],
)
def test_a_condition_that_holds_for_no_span_there_finds_nothing(tempo: Tempo, q: str) -> None:
    assert tempo.json("/api/search", q=q, **WINDOW)["traces"] == []


def test_a_search_by_tags_and_durations(tempo: Tempo) -> None:
    tags = 'service.name=cart http.route="/cart"'
    found = tempo.json("/api/search", tags=tags, minDuration="1s", maxDuration="3s", **WINDOW)["traces"]
    assert [one["rootTraceName"] for one in found] == ["GET /cart"]
    assert tempo.json("/api/search", tags=tags, maxDuration="1s", **WINDOW)["traces"] == []


def test_what_is_shown_of_a_trace_are_the_spans_that_the_query_finds(tempo: Tempo) -> None:
    def shown(q: str) -> list[str]:
        (found,) = tempo.json("/api/search", q=q, spss=10, **WINDOW)["traces"]
        return [one["name"] for one in found["spanSets"][0]["spans"]]

    assert shown('{ name = "GET /cart" } >> {}') == ["SELECT"]
    assert shown('{ name = "SELECT" } < { kind = server }') == ["GET /cart"]
    assert shown('{ name =~ "GET.*" } && { kind = client }') == ["GET /cart", "SELECT"]
    assert shown('{ name = "nothing" } || { event.rows >= 3 }') == ["SELECT"]


def test_each_span_that_a_query_is_about_starts_in_the_time_that_is_asked_for(tempo: Tempo) -> None:
    both = '{ name = "GET /cart" } && { name = "SELECT" }'
    before = {"start": START_S - 60, "end": START_S + 1}
    assert len(tempo.json("/api/search", q=both, **WINDOW)["traces"]) == 1
    assert tempo.json("/api/search", q=both, **before)["traces"] == []
    (found,) = tempo.json("/api/search", q="{ traceDuration > 1s }", **before)["traces"]
    assert found["spanSets"][0]["matched"] == 1


def test_what_cannot_be_said_is_400_with_a_sentence(tempo: Tempo) -> None:
    answer = tempo.get("/api/search", q="{ name = span.other }")
    assert answer.status_code == 400
    assert answer.text.startswith("character 9: 'span.other' is no value: a text stands in quotes")
    assert "clew answers conditions joined by && and ||" in answer.text
    answer = tempo.get("/api/search", q='{ name =~ "(" }')
    assert (answer.status_code, "is not a regular expression" in answer.text) == (400, True)
    answer = tempo.get("/api/search", q='{ name =~ "a" } && { name = "b" ')
    assert (answer.status_code, answer.text) == (400, "character 31: the braces are not closed")
    assert answer.headers["content-type"].startswith("text/plain")


def test_tags_and_their_values(tempo: Tempo) -> None:
    window = {"start": START_S - 60, "end": START_S + 600}
    scopes = {one["name"]: one["tags"] for one in tempo.json("/api/v2/search/tags", **window)["scopes"]}
    assert scopes["resource"] == ["k8s.pod.name", "service.name"]
    assert scopes["span"] == ["cached", "http.route", "http.status_code", "ratio"]
    assert scopes["event"] == ["rows"]
    assert "duration" in scopes["intrinsic"]
    assert tempo.json("/api/v2/search/tags", scope="event", **window)["scopes"] == [{"name": "event", "tags": ["rows"]}]
    assert "http.route" in tempo.json("/api/search/tags", **window)["tagNames"]

    def values(tag: str) -> Any:
        return tempo.json(f"/api/v2/search/tag/{tag}/values", **window)["tagValues"]

    assert values("resource.service.name") == [{"type": "string", "value": name} for name in ("cart", "db", "poller")]
    assert values("span.http.status_code") == [{"type": "int", "value": "500"}]
    assert values(".cached") == [{"type": "bool", "value": "true"}]
    assert values("resource.k8s.pod.name") == [{"type": "string", "value": "cart-1"}]
    assert {"type": "keyword", "value": "error"} in values("status")
    assert {"type": "string", "value": "SELECT"} in values("name")
    assert tempo.json("/api/search/tag/http.route/values", **window)["tagValues"] == ["/cart"]
    assert tempo.json("/api/search/tag/service.name/values")["tagValues"] == ["cart", "db", "poller"]


def test_rates_counts_and_quantiles_over_time(tempo: Tempo) -> None:
    window = {"start": START_S + 55, "end": START_S + 75, "step": "5s"}

    def series(q: str) -> Any:
        return tempo.json("/api/metrics/query_range", q=q, **window)["series"]

    (counts,) = series('{ resource.service.name = "poller" } | count_over_time()')
    assert [one["value"] for one in counts["samples"]] == [0, 5, 5, 0]
    assert counts["samples"][0]["timestampMs"] == str((START_S + 55) * 1000)
    (rates,) = series('{ name = "poll" } | rate() by (resource.service.name)')
    assert [one["value"] for one in rates["samples"]] == [0, 1, 1, 0]
    assert rates["labels"] == [{"key": "resource.service.name", "value": {"stringValue": "poller"}}]
    (median, most) = series('{ name = "poll" } | quantile_over_time(duration, .5, 1)')
    assert [one["labels"][-1]["value"] for one in (median, most)] == [{"doubleValue": 0.5}, {"doubleValue": 1.0}]
    assert [one["value"] for one in most["samples"]] == pytest.approx([5, 10])
    assert [one["value"] for one in median["samples"]] == pytest.approx([3, 8], abs=0.6)
    (most,) = series('{ name =~ "po.*" || status = error } | count_over_time()')
    assert [one["value"] for one in most["samples"]] == [0, 5, 5, 0]
    (nothing,) = series('{ name = "nothing" } | rate()')
    assert {one["value"] for one in nothing["samples"]} == {0}
    assert tempo.get("/api/metrics/query_range", q="{} | histogram_over_time(duration)").status_code == 400
