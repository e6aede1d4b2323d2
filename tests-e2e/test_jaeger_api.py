"""Jaeger's query APIs, `/api` and `/api/v3`, asked as its UI, Grafana and its own tests of stores ask.

The searches are those by which Jaeger tests a store: tags in one place and in several, durations, operations, limits. Each has a
trace that must be found and, of the same service, one for every condition that fails this one only.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew_server.api.jaeger.messages import message
from harness.server import Server
from harness.wire import attributes, fresh_name, new_span_id, new_trace_id, spans_of

US = 1_000
HOUR = 3_600_000_000_000
Value = str | int | float | bool
TAGS: dict[str, Value] = {"place.name": "same value", "place.number": 123, "place.ratio": 72.5, "place.flag": True}
PLACES = ("span", "event", "resource", "scope", "link")


@dataclass
class Query:
    """A search, and where the tags stand in the trace that it must find. Lengths in microseconds, 0 for none."""

    title: str
    places: tuple[str, ...] = ()
    has_operation: bool = False
    shortest_us: int = 0
    longest_us: int = 0
    traces: int = 1
    service: str = field(default_factory=lambda: fresh_name("jaeger"))
    expected: list[str] = field(default_factory=list)

    @property
    def tags(self) -> dict[str, Value]:
        return TAGS if self.places else {}

    @property
    def operation(self) -> str:
        return "find me" if self.has_operation else ""

    @property
    def duration_us(self) -> int:
        """A length of which only this query's bounds approve."""
        return (self.shortest_us + self.longest_us) // 2 if self.longest_us else 100


MIXED = ("span", "event", "resource", "span")
QUERIES = [
    Query("tags of the span", ("span",) * 4),
    Query("tags of an event", ("event",) * 4),
    Query("tags of the resource", ("resource",) * 4),
    Query("tags in different places", ("resource", "event", "span", "span")),
    Query("a trace over midnight"),
    Query("an operation", has_operation=True),
    Query("an operation and a longest time", has_operation=True, longest_us=2),
    Query("an operation and a range of times", has_operation=True, shortest_us=4_500, longest_us=5_500),
    Query("a range of times", shortest_us=4_500, longest_us=5_500),
    Query("a longest time", longest_us=1_000),
    Query("a service alone"),
    Query("tags and an operation", ("span",) * 4, has_operation=True),
    Query("tags, an operation and a longest time", ("resource",) * 4, has_operation=True, longest_us=2_000),
    Query("tags, an operation and a range", ("event",) * 4, has_operation=True, shortest_us=4_500, longest_us=5_500),
    Query("tags and a range of times", ("span",) * 4, shortest_us=4_500, longest_us=5_500),
    Query("tags and a longest time", ("resource",) * 4, longest_us=1_000),
    Query("mixed tags and an operation", MIXED, has_operation=True),
    Query("mixed tags, an operation and a longest time", MIXED, has_operation=True, longest_us=2_000),
    Query("mixed tags, an operation and a range", MIXED, has_operation=True, shortest_us=4_500, longest_us=5_500),
    Query(
        "mixed tags and a range of times", ("event", "span", "resource", "span"), shortest_us=4_500, longest_us=5_500
    ),
    Query("mixed tags and a longest time", MIXED, longest_us=1_000),
    Query("several traces", traces=3),
    Query("tags of a span in a named scope", ("span",) * 4),
    Query("tags of the scope", ("scope",) * 4),
    Query("tags of a link", ("link",) * 4),
]


@dataclass
class Asked:
    """The time of the searches, and the trace with services, operations and kinds of their own."""

    midnight: int
    at: int
    example: str = ""
    services: list[str] = field(default_factory=list)
    large: str = ""
    doubled: str = ""
    wanderer: tuple[str, str, str] = ("", "", "")
    """A tag that two services have in common, and their two traces."""

    def window(self, query: Query) -> tuple[int, int]:
        if query.title == "a trace over midnight":
            return self.midnight, self.midnight + HOUR // 6
        return self.at - HOUR, self.at + HOUR


class Sender:
    """Collects requests and sends them together."""

    def __init__(self) -> None:
        self.request = ExportTraceServiceRequest()

    def trace(
        self,
        service: str,
        start: int,
        duration_us: int,
        *,
        name: str = "some",
        tags: Mapping[str, tuple[str, Value]] | None = None,
        trace_id: bytes = b"",
        span_id: bytes = b"",
        parent_id: bytes = b"",
        kind: int = 0,
        failed: bool = False,
        scope: str = "",
    ) -> str:
        """One span, a trace of its own unless `trace_id` names one; `tags`: place and value of each key. Its trace id."""
        resource = self.request.resource_spans.add()
        resource.resource.attributes.extend(attributes({"service.name": service}))
        scoped = resource.scope_spans.add()
        scoped.scope.name = scope
        made = scoped.spans.add(
            trace_id=trace_id or new_trace_id(),
            span_id=span_id or new_span_id(),
            parent_span_id=parent_id,
            name=name,
            kind=kind,  # type: ignore[arg-type]
            start_time_unix_nano=start,
            end_time_unix_nano=start + duration_us * US,
        )
        if failed:
            made.status.code = 2  # type: ignore[assignment]
        for key, (place, value) in (tags or {}).items():
            if place == "event" and not made.events:
                made.events.add(name="first", time_unix_nano=start)
                made.events.add(name="second", time_unix_nano=start)
            if place == "link" and not made.links:
                made.links.add(trace_id=b"\xff" * 16, span_id=b"\xff" * 8)
            target: Any = {
                "span": made,
                "resource": resource.resource,
                "scope": scoped.scope,
                "event": made.events[-1] if made.events else None,
                "link": made.links[-1] if made.links else None,
            }[place]
            target.attributes.extend(attributes({key: value}))
        return made.trace_id.hex()


@pytest.fixture(scope="module")
def asked(server: Server) -> Asked:
    day = 24 * HOUR
    midnight = time.time_ns() // day * day - day
    made = Asked(midnight, midnight + day // 2)
    sender = Sender()
    for query in QUERIES:
        tags = dict(zip(TAGS, zip(query.places, TAGS.values(), strict=True), strict=True)) if query.places else {}
        scope = "a library" if "scope" in query.title else ""
        if query.title == "a trace over midnight":
            trace_id = new_trace_id()
            sender.trace(query.service, midnight - HOUR // 20, 5, trace_id=trace_id)
            query.expected.append(sender.trace(query.service, midnight + HOUR // 20, 5, trace_id=trace_id))
            sender.trace(query.service, midnight - HOUR // 10, 5)  # ended before the time that is asked for
            continue
        for _ in range(query.traces):
            name = query.operation or "some"
            query.expected.append(
                sender.trace(query.service, made.at, query.duration_us, name=name, tags=tags, scope=scope)
            )
        decoy = {"name": query.operation or "some", "tags": tags}
        sender.trace(fresh_name("other"), made.at, query.duration_us, **decoy)  # type: ignore[arg-type]
        sender.trace(query.service, made.at - 2 * HOUR, query.duration_us, **decoy)  # type: ignore[arg-type]
        for key in tags:
            wrong = {**tags, key: (tags[key][0], "something else")}
            sender.trace(query.service, made.at, query.duration_us, name=query.operation or "some", tags=wrong)
        if query.has_operation:
            sender.trace(query.service, made.at, query.duration_us, name="another", tags=tags)
        if query.longest_us:
            sender.trace(query.service, made.at, query.longest_us + 1, **decoy)  # type: ignore[arg-type]
        if query.shortest_us:
            sender.trace(query.service, made.at, query.shortest_us - 1, **decoy)  # type: ignore[arg-type]
    _example(sender, made)
    server.export(sender.request.SerializeToString())
    server.flush()
    return made


def _example(sender: Sender, made: Asked) -> None:
    made.services = [fresh_name(f"example-{number}") for number in (1, 2, 3)]
    first, second, third = made.services
    trace_id, root = new_trace_id(), new_span_id()
    at = made.at
    made.example = sender.trace(first, at, 100, name="one", trace_id=trace_id, span_id=root)
    sender.trace(first, at, 60, name="three", kind=2, trace_id=trace_id, parent_id=root, failed=True)
    sender.trace(first, at, 50, name="four", kind=3, trace_id=trace_id, parent_id=root)
    sender.trace(second, at, 40, name="two", trace_id=trace_id, parent_id=root)
    sender.trace(third, at, 40, name="one", trace_id=trace_id, parent_id=b"\x01" * 8)
    tag, tags = fresh_name("tag"), {}
    tags = {tag: ("span", "yes")}
    made.wanderer = (
        tag,
        sender.trace(fresh_name("here"), at, 10, tags=tags),
        sender.trace(fresh_name("there"), at, 10, tags=tags),
    )
    large, doubled, twin = new_trace_id(), new_trace_id(), new_span_id()
    made.large, made.doubled = large.hex(), doubled.hex()
    for trace_id, spans in ((large, 10_008), (doubled, 200)):
        resource = sender.request.resource_spans.add()
        resource.resource.attributes.extend(attributes({"service.name": fresh_name("many")}))
        scoped = resource.scope_spans.add()
        for number in range(1, spans + 1):
            is_twin = spans == 200 and number % 20 == 0
            scoped.spans.add(
                trace_id=trace_id,
                span_id=twin if is_twin else number.to_bytes(8, "big"),
                name="many",
                start_time_unix_nano=at + number * US,
                end_time_unix_nano=at + (number + 1) * US,
            )


def through_api(server: Server, query: Query, window: tuple[int, int], *, tags_as: str = "tags") -> dict[str, Any]:
    parameters: dict[str, Any] = {
        "service": query.service,
        "operation": query.operation,
        "start": window[0] // US,
        "end": window[1] // US,
        "limit": 1000,
        "lookback": "custom",
        "minDuration": f"{query.shortest_us}us" if query.shortest_us else "",
        "maxDuration": f"{query.longest_us}us" if query.longest_us else "",
    }
    if tags_as == "tags" and query.tags:
        parameters["tags"] = json.dumps(query.tags)
    if tags_as == "tag":
        parameters["tag"] = [f"{key}:{_text(value)}" for key, value in query.tags.items()]
    return dict(server.get_json("/api/traces", **parameters))


def through_v3(server: Server, query: Query, window: tuple[int, int], path: str = "traces") -> httpx.Response:
    parameters = {
        "query.serviceName": query.service,
        "query.operationName": query.operation,
        "query.startTimeMin": iso(window[0]),
        "query.startTimeMax": iso(window[1]),
        "query.searchDepth": "1000",
        "query.durationMin": f"{query.shortest_us}us" if query.shortest_us else "",
        "query.durationMax": f"{query.longest_us}us" if query.longest_us else "",
    }
    if query.tags:
        parameters["query.attributes"] = json.dumps({key: _text(value) for key, value in query.tags.items()})
    return server.get(f"/api/v3/{path}", **parameters)


def _text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def iso(time_unix_nano: int) -> str:
    moment = datetime.fromtimestamp(time_unix_nano // 1_000_000_000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_unix_nano % 1_000_000_000:09}Z"


def otlp_spans(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for resource in body["resourceSpans"]:
        for scope in resource["scopeSpans"]:
            yield from scope["spans"]


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.title)
def test_what_jaeger_asks_of_a_store_is_found_through_the_api(server: Server, asked: Asked, query: Query) -> None:
    for tags_as in ("tags", "tag") if query is QUERIES[0] else ("tags",):
        found = through_api(server, query, asked.window(query), tags_as=tags_as)
        assert found["errors"] is None
        assert sorted(full(trace["traceID"]) for trace in found["data"]) == sorted(query.expected)


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.title)
def test_what_jaeger_asks_of_a_store_is_found_through_v3(server: Server, asked: Asked, query: Query) -> None:
    answer = through_v3(server, query, asked.window(query))
    assert answer.status_code == 200, answer.text
    assert sorted({span["traceId"] for span in otlp_spans(answer.json()["result"])}) == sorted(query.expected)


def full(trace_id: str) -> str:
    return trace_id.rjust(32, "0")


@pytest.fixture(scope="module")
def channel(server: Server) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.ready["jaeger_query"]) as opened:
        yield opened


def call(channel: grpc.Channel, name: str, request: Any) -> list[bytes]:
    """The messages that a method of the service answers with."""
    streams = name in ("GetTrace", "FindTraces", "FindTraceSummaries")
    make = channel.unary_stream if streams else channel.unary_unary
    answer = make(f"/jaeger.api_v3.QueryService/{name}")(request.SerializeToString(), timeout=100)
    return list(answer) if streams else [answer]


def grpc_query(query: Query, window: tuple[int, int]) -> Any:
    asked = message("TraceQueryParameters")(
        service_name=query.service,
        operation_name=query.operation,
        attributes={key: _text(value) for key, value in query.tags.items()},
        search_depth=1000,
    )
    asked.start_time_min.FromNanoseconds(window[0])
    asked.start_time_max.FromNanoseconds(window[1])
    asked.duration_min.FromNanoseconds(query.shortest_us * US)
    asked.duration_max.FromNanoseconds(query.longest_us * US)
    return asked


@pytest.mark.parametrize("title", ["mixed tags, an operation and a range", "a trace over midnight", "several traces"])
def test_a_search_over_grpc_streams_the_traces_with_every_field(
    server: Server, channel: grpc.Channel, asked: Asked, title: str
) -> None:
    query = next(query for query in QUERIES if query.title == title)
    wanted = message("FindTracesRequest")(query=grpc_query(query, asked.window(query)))
    chunks = call(channel, "FindTraces", wanted)
    found = [span for chunk in chunks for span in spans_of(chunk)]
    assert sorted({span.trace_id.hex() for span in found}) == sorted(query.expected)
    own = [span for trace_id in query.expected for span in spans_of(server.trace_bytes(bytes.fromhex(trace_id)))]
    by_id = {span.span_id: span for span in own}
    assert {span.span_id: span for span in found} == by_id


def test_a_large_trace_over_grpc_comes_in_chunks_that_any_client_takes(channel: grpc.Channel, asked: Asked) -> None:
    chunks = call(channel, "GetTrace", message("GetTraceRequest")(trace_id=asked.large))
    assert all(len(chunk) < 4 << 20 for chunk in chunks)
    assert len({span.span_id for chunk in chunks for span in spans_of(chunk)}) == 10_008


def test_names_calls_and_summaries_over_grpc_are_those_over_http(
    server: Server, channel: grpc.Channel, asked: Asked
) -> None:
    (names,) = call(channel, "GetServices", message("GetServicesRequest")())
    assert (
        list(message("GetServicesResponse").FromString(names).services)
        == server.get_json("/api/v3/services")["services"]
    )
    service = asked.services[0]
    (raw,) = call(channel, "GetOperations", message("GetOperationsRequest")(service=service))
    operations = message("GetOperationsResponse").FromString(raw).operations
    assert [(one.name, one.span_kind) for one in operations] == [("four", "client"), ("one", ""), ("three", "server")]
    window = (asked.at - HOUR, asked.at + HOUR)
    query = Query("example", service=asked.services[1])
    (raw,) = call(channel, "FindTraceSummaries", message("FindTraceSummariesRequest")(query=grpc_query(query, window)))
    (made,) = message("FindTraceSummariesResponse").FromString(raw).summaries
    (over_http,) = through_v3(server, query, window, "trace-summaries").json()["summaries"]
    assert json_format.MessageToDict(made) == over_http
    times = message("GetDependenciesRequest")()
    times.start_time.FromNanoseconds(window[0])
    times.end_time.FromNanoseconds(window[1])
    (raw,) = call(channel, "GetDependencies", times)
    answer = server.get_json("/api/v3/dependencies", startTime=iso(window[0]), endTime=iso(window[1]))
    assert json_format.MessageToDict(message("DependenciesResponse").FromString(raw)) == {
        name: value for name, value in answer.items() if value
    }


def test_what_is_asked_wrongly_over_grpc_has_the_status_for_it(channel: grpc.Channel) -> None:
    for name, request, code in (
        ("GetTrace", message("GetTraceRequest")(trace_id="nothex"), grpc.StatusCode.INVALID_ARGUMENT),
        ("GetTrace", message("GetTraceRequest")(trace_id=new_trace_id().hex()), grpc.StatusCode.NOT_FOUND),
        ("FindTraces", message("FindTracesRequest")(), grpc.StatusCode.INVALID_ARGUMENT),
        ("GetOperations", message("GetOperationsRequest")(), grpc.StatusCode.INVALID_ARGUMENT),
        ("GetDependencies", message("GetDependenciesRequest")(), grpc.StatusCode.INVALID_ARGUMENT),
        ("GetNothing", message("GetServicesRequest")(), grpc.StatusCode.UNIMPLEMENTED),
    ):
        with pytest.raises(grpc.RpcError) as refused:
            call(channel, name, request)
        assert refused.value.code() == code, name  # type: ignore[attr-defined]


def test_services_are_listed_in_both_shapes(server: Server, asked: Asked) -> None:
    answer = server.get_json("/api/services")
    assert set(asked.services) <= set(answer["data"])
    assert answer["total"] == len(answer["data"])
    assert answer["errors"] is None
    assert server.get_json("/api/v3/services")["services"] == answer["data"]


def test_operations_are_listed_with_and_without_their_kinds(server: Server, asked: Asked) -> None:
    service = asked.services[0]
    names = server.get_json(f"/api/services/{service}/operations")
    assert names["data"] == ["four", "one", "three"]
    assert names["total"] == 3
    whole = server.get_json("/api/operations", service=service)
    assert whole["data"] == [
        {"name": "four", "spanKind": "client"},
        {"name": "one", "spanKind": ""},
        {"name": "three", "spanKind": "server"},
    ]
    assert server.get_json("/api/operations", service=service, spanKind="server")["data"] == [whole["data"][2]]
    v3 = server.get_json("/api/v3/operations", service=service)
    # Jaeger's own UI takes no operation without a kind.
    assert v3["operations"][1] == {"name": "one", "spanKind": "internal"}
    assert (
        server.get_json("/api/v3/operations", service=service, span_kind="client")["operations"] == v3["operations"][:1]
    )


def test_a_trace_is_the_same_through_all_three_apis(server: Server, asked: Asked) -> None:
    own = {
        span["spanId"]: (
            span.get("parentSpanId", ""),
            span["name"],
            int(span["startTimeUnixNano"]),
            int(span["endTimeUnixNano"]),
        )
        for span in otlp_spans(server.get_json(f"/api/v1/traces/{asked.example}"))
    }
    v3 = {
        span["spanId"]: (
            span.get("parentSpanId", ""),
            span["name"],
            int(span["startTimeUnixNano"]),
            int(span["endTimeUnixNano"]),
        )
        for span in otlp_spans(server.get_json(f"/api/v3/traces/{asked.example}")["result"])
    }
    (trace,) = server.get_json(f"/api/traces/{asked.example}")["data"]
    older = {
        span["spanID"]: (
            next((one["spanID"] for one in span["references"] if one["refType"] == "CHILD_OF"), ""),
            span["operationName"],
            span["startTime"] * US,
            (span["startTime"] + span["duration"]) * US,
        )
        for span in trace["spans"]
    }
    assert own == v3
    assert len(own) == 5
    assert older == {
        key: (parent, name, start // US * US, start // US * US + (end - start))
        for key, (parent, name, start, end) in own.items()
    }
    services = {trace["processes"][span["processID"]]["serviceName"] for span in trace["spans"]}
    assert services == set(asked.services)


def test_a_trace_that_is_unknown_is_404_in_the_shape_of_each_api(server: Server) -> None:
    unknown = new_trace_id().hex()
    answer = server.get(f"/api/traces/{unknown}")
    assert answer.status_code == 404
    assert answer.json()["errors"] == [{"code": 404, "msg": f"There is no trace {unknown}."}]
    v3 = server.get(f"/api/v3/traces/{unknown}")
    assert v3.status_code == 404
    assert v3.json()["error"]["httpCode"] == 404


def test_a_trace_of_10_008_spans_is_whole(server: Server, asked: Asked) -> None:
    (trace,) = server.get_json(f"/api/traces/{asked.large}")["data"]
    assert len({span["spanID"] for span in trace["spans"]}) == 10_008
    assert len(list(otlp_spans(server.get_json(f"/api/v3/traces/{asked.large}")["result"]))) == 10_008


def test_spans_that_share_an_id_are_all_shown_and_said_to_share_it(server: Server, asked: Asked) -> None:
    (trace,) = server.get_json(f"/api/traces/{asked.doubled}")["data"]
    assert len(trace["spans"]) == 200
    shared = [span for span in trace["spans"] if span["warnings"]]
    assert len(shared) == 10
    assert len({span["spanID"] for span in shared}) == 1
    assert len(list(otlp_spans(server.get_json(f"/api/v3/traces/{asked.doubled}")["result"]))) == 200


def test_a_list_of_results_says_what_jaegers_ui_shows_of_each_trace(server: Server, asked: Asked) -> None:
    query = Query("example", service=asked.services[1])
    (summary,) = through_v3(server, query, (asked.at - HOUR, asked.at + HOUR), "trace-summaries").json()["summaries"]
    first, second, third = asked.services
    assert summary == {
        "traceId": asked.example,
        "rootServiceName": first,
        "rootOperationName": "one",
        "minStartTimeUnixNano": str(asked.at),
        "maxEndTimeUnixNano": str(asked.at + 100 * US),
        "spanCount": 5,
        "errorSpanCount": 1,
        "orphanSpanCount": 1,
        "services": [
            {"name": first, "spanCount": 3, "errorSpanCount": 1},
            {"name": second, "spanCount": 1},
            {"name": third, "spanCount": 1},
        ],
    }


def test_v3_finds_traces_of_all_services_where_none_is_named(server: Server, asked: Asked) -> None:
    tag, *expected = asked.wanderer
    answer = server.get(
        "/api/v3/traces",
        **{
            "query.attributes": json.dumps({tag: "yes"}),
            "query.start_time_min": iso(asked.at - HOUR),
            "query.start_time_max": iso(asked.at + HOUR),
        },
    )
    assert sorted(span["traceId"] for span in otlp_spans(answer.json()["result"])) == sorted(expected)


def test_what_jaeger_has_in_tags_is_found_in_the_fields_of_the_span(server: Server, asked: Asked) -> None:
    for tags, found in (
        ({"error": "true"}, 1),
        ({"span.kind": "server", "error": "true"}, 1),
        ({"span.kind": "client", "error": "true"}, 0),
        ({"otel.status_code": "ERROR"}, 1),
    ):
        answer = server.get_json(
            "/api/traces",
            service=asked.services[0],
            tags=json.dumps(tags),
            start=(asked.at - HOUR) // US,
            end=(asked.at + HOUR) // US,
        )
        assert len(answer["data"]) == found, tags


def test_the_name_of_an_event_is_found_where_opentracing_has_it(server: Server, asked: Asked) -> None:
    query = next(query for query in QUERIES if query.title == "tags of an event")
    for key in ("event", "message"):
        for name, found in (("second", True), ("third", False)):
            start, end = asked.window(query)
            answer = server.get_json(
                "/api/traces", service=query.service, tag=f"{key}:{name}", start=start // US, end=end // US
            )
            assert set(query.expected) <= {trace["traceID"] for trace in answer["data"]} or not found
            assert found or not answer["data"]


def test_traces_are_given_by_their_ids_and_the_unknown_ones_named(server: Server, asked: Asked) -> None:
    unknown = new_trace_id().hex()
    answer = server.get("/api/traces", traceID=[asked.example, unknown, asked.doubled]).json()
    assert [full(trace["traceID"]) for trace in answer["data"]] == [asked.example, asked.doubled]
    assert [(error["code"], error["traceID"]) for error in answer["errors"]] == [(404, unknown)]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/api/traces", "parameter 'service' is required"),
        ("/api/traces?service=a&start=soon", "unable to parse param 'start'"),
        ("/api/traces?service=a&limit=many", "unable to parse param 'limit'"),
        ("/api/traces?service=a&minDuration=1", "unable to parse param 'minDuration'"),
        ("/api/traces?service=a&minDuration=2s&maxDuration=1s", "'maxDuration' should be greater"),
        ("/api/traces?service=a&tag=key", "malformed 'tag' parameter"),
        ("/api/traces?service=a&tags=key", "malformed 'tags' parameter"),
        ("/api/traces?traceID=nothex", "is not a trace id"),
        ("/api/traces/nothex", "is not a trace id"),
        ("/api/traces/12?raw=perhaps", "unable to parse param 'raw'"),
        ("/api/operations", "parameter 'service' is required"),
        ("/api/metrics/calls", "unable to parse param 'service'"),
        ("/api/metrics/latencies?service=a&quantile=2", "unable to parse param 'quantile'"),
        ("/api/metrics/errors?service=a&step=0", "unable to parse param 'step'"),
        ("/api/metrics/errors?service=a&lookback=9999999999&step=60000", "points"),
        ("/api/metrics/errors?service=a&spanKind=odd", "unsupported span kind"),
        ("/api/dependencies?endTs=now", "unable to parse param 'endTs'"),
        ("/api/v3/traces", "query.startTimeMin and query.startTimeMax are required"),
        ("/api/v3/traces?query.startTimeMin=now&query.startTimeMax=now", "must be before"),
        ("/api/v3/traces?query.startTimeMin=now-1h&query.startTimeMax=now&query.durationMin=5", "query.durationMin"),
        ("/api/v3/traces?query.startTimeMin=now-1h&query.startTimeMax=now&query.filter=%7B%7D", "query.filter"),
        ("/api/v3/traces/nothex", "is not a trace id"),
    ],
)
def test_what_cannot_be_understood_is_said_in_the_shape_of_each_api(server: Server, path: str, words: str) -> None:
    answer = httpx.get(server.http + path)
    assert answer.status_code == 400
    body = answer.json()
    if path.startswith("/api/v3"):
        assert words in body["error"]["message"]
        assert body["error"]["httpCode"] == 400
    else:
        (error,) = body["errors"]
        assert words in error["msg"]
        assert error["code"] == 400
        assert body["data"] is None


def test_a_search_that_finds_nothing_is_an_empty_list_and_404_in_v3(server: Server) -> None:
    nobody = Query("nobody", service=fresh_name("nobody"))
    window = (time.time_ns() - HOUR, time.time_ns())
    assert through_api(server, nobody, window)["data"] == []
    assert through_v3(server, nobody, window).status_code == 404
    assert through_v3(server, nobody, window, "trace-summaries").json() == {"summaries": []}


def test_calls_between_services_are_counted_in_both_shapes(server: Server) -> None:
    caller, callee, sender = fresh_name("caller"), fresh_name("callee"), Sender()
    at = time.time_ns() - HOUR // 2
    for _ in range(3):
        trace_id, client = new_trace_id(), new_span_id()
        sender.trace(caller, at, 100, kind=3, trace_id=trace_id, span_id=client)
        sender.trace(callee, at, 50, kind=2, trace_id=trace_id, parent_id=client)
    server.export(sender.request.SerializeToString())
    server.flush()
    answer = server.get_json("/api/dependencies", endTs=time.time_ns() // 1_000_000, lookback=3_600_000, service=caller)
    assert answer["data"] == [{"parent": caller, "child": callee, "callCount": 3}]
    assert server.get_json("/api/dependencies", endTs=1_000, lookback=1_000)["data"] == []
    v3 = server.get_json("/api/v3/dependencies", startTime=iso(at - HOUR), endTime=iso(at + HOUR))
    assert {"parent": caller, "child": callee, "callCount": "3"} in v3["dependencies"]


def test_a_file_of_otlp_is_shown_in_jaegers_shape_and_not_kept(server: Server) -> None:
    trace_id = new_trace_id().hex()
    one = {"traceId": trace_id, "spanId": "00f067aa0ba902b7", "name": "of a file", "startTimeUnixNano": str(10**18)}
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [one]}]}]})
    answer = httpx.post(f"{server.http}/api/transform", content=body)
    (trace,) = answer.json()["data"]
    assert (trace["traceID"], trace["spans"][0]["operationName"]) == (trace_id, "of a file")
    assert server.get(f"/api/traces/{trace_id}").status_code == 404
    refused = httpx.post(f"{server.http}/api/transform", content=b"{}")
    assert refused.status_code == 400
    assert refused.json()["errors"][0]["code"] == 400


def test_the_monitor_tab_has_calls_errors_and_latencies(server: Server) -> None:
    service, sender = fresh_name("monitored"), Sender()
    minute = 60_000_000_000
    at = time.time_ns() // minute * minute - 5 * minute
    for number in range(4):
        sender.trace(service, at, 2_000, name="load", kind=2, failed=number == 0)
    sender.trace(service, at, 2_000, name="inside", kind=1)
    server.export(sender.request.SerializeToString())
    server.flush()
    asked = {
        "service": service,
        "endTs": (at + 2 * minute) // 1_000_000,
        "lookback": 60_000,
        "step": 60_000,
        "ratePer": 120_000,
        "spanKind": "server",
    }
    stamps = [f"{datetime.fromtimestamp((at + n * minute) // 10**9, UTC):%Y-%m-%dT%H:%M:%SZ}" for n in (1, 2)]
    for path, name, value in (("calls", "call_rate", 4 / 120), ("errors", "error_rate", 0.25)):
        whole = server.get_json(f"/api/metrics/{path}", **asked)
        assert (whole["name"], whole["type"]) == (f"service_{name}", "GAUGE")
        (series,) = whole["metrics"]
        assert series["labels"] == [{"name": "service_name", "value": service}]
        assert series["metricPoints"] == [
            {"gaugeValue": {"doubleValue": pytest.approx(value)}, "timestamp": stamp} for stamp in stamps
        ]
    latencies = server.get_json("/api/metrics/latencies", **asked, quantile=0.95, groupByOperation="true")
    assert latencies["name"] == "service_operation_latencies"
    (series,) = latencies["metrics"]
    assert series["labels"][0] == {"name": "operation", "value": "load"}
    assert [point["gaugeValue"]["doubleValue"] for point in series["metricPoints"]] == [pytest.approx(2.0)] * 2
    assert server.get_json("/api/metrics/minstep")["data"] == 60_000
    assert server.get_json("/api/metrics/calls", service=fresh_name("nobody"))["metrics"] == []


def test_grafana_searches_without_times_and_opens_what_it_found(server: Server) -> None:
    service, sender = fresh_name("grafana"), Sender()
    trace_id = sender.trace(
        service, time.time_ns() - 47 * HOUR, 20, name="load /", tags={"http.method": ("span", "GET")}
    )
    sender.trace(service, time.time_ns() - 49 * HOUR, 20, name="load /")  # before the two days it means
    server.export(sender.request.SerializeToString())
    server.flush()
    assert service in server.get("/api/services").json()["data"]
    assert server.get(f"/api/services/{service}/operations").json()["data"] == ["load /"]
    found = server.get("/api/traces", service=service, tags='{"http.method":"GET"}', minDuration="1us", limit=20).json()
    assert [trace["traceID"] for trace in found["data"]] == [trace_id]
    assert len(server.get_json("/api/traces", service=service)["data"]) == 1
    opened = server.get(f"/api/traces/{trace_id}", start=1, end=2).json()["data"][0]
    assert opened["spans"][0]["tags"] == [{"key": "http.method", "type": "string", "value": "GET"}]
    # Its newer client writes times into the address without escaping the plus of their zone.
    times = "start_time=2026-01-01T00:00:00+01:00&end_time=2030-01-01T00:00:00+01:00"
    newer = httpx.get(f"{server.http}/api/v3/traces/{trace_id}?{times}").json()
    assert len(list(otlp_spans(newer["result"]))) == 1


def test_64_bit_ids_are_short_and_found_by_any_form(server: Server) -> None:
    sender = Sender()
    trace_id = bytes(8) + new_span_id()[:-1] + b"\x01"
    sender.trace(fresh_name("short"), time.time_ns(), 5, trace_id=trace_id)
    server.export(sender.request.SerializeToString())
    short = trace_id[8:].hex()
    for text in (short, short.lstrip("0"), short.upper(), trace_id.hex()):
        (trace,) = server.get_json(f"/api/traces/{text}")["data"]
        assert trace["traceID"] == short


def test_answers_are_compressed_for_those_who_take_it(server: Server, asked: Asked) -> None:
    plain, packed = (
        server.get("/api/traces", headers={"Accept-Encoding": kind}, traceID=[asked.example, asked.doubled])
        for kind in ("identity", "gzip")
    )
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.json() == plain.json()
