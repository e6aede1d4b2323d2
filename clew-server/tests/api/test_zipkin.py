"""Zipkin's query API over a real store: the cases of Zipkin's own storage tests, with data of ours, and what clew adds to them."""

from __future__ import annotations

import itertools
import json
import struct
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from starlette.testclient import TestClient

from clew.otlp.encode import varint
from clew_server.api.zipkin.http import zipkin_app
from clew_server.guard import Guard
from clew_server.query.service import QueryService
from clew_server.store.chdb import ChdbStore
from clew_server.store.contract import SegmentFile, StoredTrace

SERVER, CLIENT, PRODUCER, CONSUMER = 2, 3, 4, 5
MS = 1_000_000
NOW_MS = time.time_ns() // MS
NOW = NOW_MS * MS
DAY_MS = 86_400_000


class NothingRecent:
    """A log that is empty."""

    def read(self, trace_id: bytes) -> StoredTrace:
        return StoredTrace([], None, 0)

    def state(self, trace_id: bytes) -> int:
        return 0


class Zipkin:
    """The API of one store, asked as Zipkin's users ask."""

    def __init__(self, folder: Path, client: TestClient, store: ChdbStore) -> None:
        self._folder, self._client, self._store = folder, client, store
        self.app = client.app
        self._numbers = itertools.count(1)
        self.ids = itertools.count(1)

    def put(self, *spans: dict[str, Any]) -> None:
        """Store spans as one segment; see `span`."""
        request = ExportTraceServiceRequest()
        for one in spans:
            of_resource = request.resource_spans.add()
            for key, value in {"service.name": one["service"], **one.get("resource", {})}.items():
                of_resource.resource.attributes.add(key=key).value.string_value = value
            of_scope = of_resource.scope_spans.add()
            of_scope.scope.name = one.get("scope", "")
            span = of_scope.spans.add(
                trace_id=bytes.fromhex(one["trace"]),
                span_id=bytes.fromhex(one["id"]),
                parent_span_id=bytes.fromhex(one.get("parent", "")),
                name=one.get("name", ""),
                kind=one.get("kind", 0),
                start_time_unix_nano=one["at"],
                end_time_unix_nano=one["at"] + one.get("dur", MS),
            )
            span.status.code = one.get("status", 0)
            span.status.message = one.get("message", "")
            for key, value in one.get("tags", {}).items():
                kind = {str: "string_value", int: "int_value", bool: "bool_value"}[type(value)]
                setattr(span.attributes.add(key=key).value, kind, value)
            for at, name in one.get("events", ()):
                span.events.add(time_unix_nano=at, name=name)
        body = request.SerializeToString()
        number = next(self._numbers)
        mark = b"\x09" + struct.pack("<Q", 1) + b"\x11" + struct.pack("<Q", time.time_ns())
        body += varint(1000 << 3 | 2) + varint(len(mark)) + mark
        path = self._folder / f"{number:020}.otlp"
        path.write_bytes(varint(len(body)) + body)
        for statement in ("chunks", "search"):
            self._store.writer.write(SegmentFile(path, path.name), statement)  # type: ignore[arg-type]

    def get(self, path: str, status: int = 200, **parameters: Any) -> Any:
        answer = self._client.get(path, params=parameters or None)
        assert answer.status_code == status, answer.text
        return answer.json() if status == 200 else answer.text

    def found(self, **parameters: Any) -> set[str]:
        """Names of the spans of the traces that a search finds."""
        traces = self.get(
            "/api/v2/traces", **{"limit": 1000, "lookback": DAY_MS, "endTs": NOW_MS + 60_000, **parameters}
        )
        return {span.get("name", "") for trace in traces for span in trace}


@pytest.fixture(scope="module")
def zipkin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zipkin]:
    folder = tmp_path_factory.mktemp("zipkin")
    store = ChdbStore(folder / "chdb", schema_folder=folder / "schema", writers=1, readers=2)
    store.open()
    query = QueryService(
        store.reader, store.reader, NothingRecent(), dependencies=store.dependencies, values=store.values
    )

    async def ready() -> None:
        return None

    with TestClient(zipkin_app(query, not_ready=ready, clock_ns=lambda: NOW)) as client:
        under_test = Zipkin(folder, client, store)
        assert_all_is_empty(under_test)
        under_test.put(*SPANS)
        yield under_test
    query.close()
    store.close()


def trace_id(number: int) -> str:
    return f"{number:032x}"


def span(trace: int, number: int, service: str, name: str, **more: Any) -> dict[str, Any]:
    return {
        "trace": more.pop("trace_id", trace_id((1 << 64) + trace)),
        "id": f"{number:016x}",
        "service": service,
        "name": name,
        "at": NOW - 10 * 60_000 * MS + trace * MS,
        **more,
    }


SPANS = [
    # A client, its server and the server's database, with an error and an event.
    span(1, 1, "frontend", "get", kind=CLIENT, tags={"peer.service": "backend", "network.peer.address": "10.1.2.3", "network.peer.port": 80, "http.method": "GET"}, dur=200 * MS, resource={"environment": "production", "host.name": "h1"}),
    span(1, 2, "backend", "get /api", kind=SERVER, parent=f"{1:016x}", dur=150 * MS, status=2, message="no stock", tags={"http.path": "/api", "retries": 3, "cached": False}, events=[(NOW - 10 * 60_000 * MS + 2 * MS, "stock asked")], scope="shop"),
    span(1, 3, "backend", "select", kind=CLIENT, parent=f"{2:016x}", dur=999, tags={"db.namespace": "stock", "db.system.name": "mysql"}),
    # Marks that are looked for one by one and together.
    span(2, 4, "app", "only foo", events=[(NOW, "foo")]),
    span(3, 5, "app", "only bar", tags={"bar": "baz"}),
    span(4, 6, "app", "foo and bar", events=[(NOW, "foo")], tags={"bar": "baz"}),
    span(5, 7, "app", "other bar", tags={"bar": "qux"}, dur=20 * MS),
    span(6, 8, "other", "foo elsewhere", events=[(NOW, "foo")], dur=30 * MS),
    # Two traces whose ids differ above 64 bits only, and a short id.
    span(7, 9, "wide", "first", trace_id=trace_id((1 << 64) + 0xAAAA)),
    span(8, 10, "wide", "second", trace_id=trace_id((2 << 64) + 0xAAAA)),
    span(9, 11, "short", "of 64 bits", trace_id=trace_id(0x17133D482BA4F605)),
    # Messages, by a broker that sends no spans.
    span(10, 12, "shop", "send", kind=PRODUCER, tags={"peer.service": "kafka"}),
    span(11, 13, "mail", "receive", kind=CONSUMER, tags={"peer.service": "kafka"}),
    # What the Zipkin receiver makes of a shared span: the server's side has an id of its own.
    span(12, 14, "caller", "rpc", kind=CLIENT, parent=f"{99:016x}", tags={"zipkin.debug": True}),
    span(12, 15, "callee", "rpc", kind=SERVER, parent=f"{14:016x}", tags={"zipkin.shared": True, "zipkin.id": f"{14:016x}", "zipkin.parent_id": f"{99:016x}", "network.local.address": "::1", "network.local.port": 9000}),
    span(12, 16, "callee", "inside", parent=f"{15:016x}"),
    # Both sides with one id, as another protocol brings them.
    span(13, 17, "caller2", "rpc2", kind=CLIENT),
    span(13, 17, "callee2", "rpc2", kind=SERVER),
    # Long ago.
    span(14, 18, "old", "yesterday", at=NOW - 30 * 3_600_000 * MS),
]  # fmt: skip


def assert_all_is_empty(zipkin: Zipkin) -> None:
    for path in ("services", "spans?serviceName=x", "remoteServices?serviceName=x", "traces", "autocompleteKeys"):
        assert zipkin.get(f"/api/v2/{path}") == []
    assert zipkin.get(f"/api/v2/dependencies?endTs={NOW_MS}") == []
    assert zipkin.get("/api/v2/autocompleteValues?key=environment") == []
    assert zipkin.get(f"/api/v2/trace/{trace_id(1)}", 404) == f"{1:016x} not found"


def test_a_trace_is_given_as_zipkin_writes_it(zipkin: Zipkin) -> None:
    at_us = (NOW - 10 * 60_000 * MS + MS) // 1_000
    assert zipkin.get(f"/api/v2/trace/{trace_id((1 << 64) + 1)}") == [
        {
            "traceId": trace_id((1 << 64) + 1),
            "id": f"{1:016x}",
            "kind": "CLIENT",
            "name": "get",
            "timestamp": at_us,
            "duration": 200_000,
            "localEndpoint": {"serviceName": "frontend"},
            "remoteEndpoint": {"serviceName": "backend", "ipv4": "10.1.2.3", "port": 80},
            "tags": {"environment": "production", "host.name": "h1", "http.method": "GET"},
        },
        {
            "traceId": trace_id((1 << 64) + 1),
            "parentId": f"{1:016x}",
            "id": f"{2:016x}",
            "kind": "SERVER",
            "name": "get /api",
            "timestamp": at_us,
            "duration": 150_000,
            "localEndpoint": {"serviceName": "backend"},
            "annotations": [{"timestamp": at_us + 1_000, "value": "stock asked"}],
            "tags": {
                "otel.scope.name": "shop",
                "http.path": "/api",
                "retries": "3",
                "cached": "false",
                "otel.status_code": "ERROR",
                "otel.status_description": "no stock",
                "error": "no stock",
            },
        },
        {
            "traceId": trace_id((1 << 64) + 1),
            "parentId": f"{2:016x}",
            "id": f"{3:016x}",
            "kind": "CLIENT",
            "name": "select",
            "timestamp": at_us,
            "duration": 1,
            "localEndpoint": {"serviceName": "backend"},
            "remoteEndpoint": {"serviceName": "stock"},
            "tags": {"db.namespace": "stock", "db.system.name": "mysql"},
        },
    ]


def test_a_shared_span_that_was_told_apart_is_given_back_with_its_one_id(zipkin: Zipkin) -> None:
    spans = zipkin.get(f"/api/v2/trace/{trace_id((1 << 64) + 12)}")
    sides = [(one["id"], one.get("parentId"), one.get("shared"), one.get("debug"), one.get("tags")) for one in spans]
    shared, above = f"{14:016x}", f"{99:016x}"
    assert sides == [
        (shared, above, None, True, None),
        (shared, above, True, None, None),
        (f"{16:016x}", shared, None, None, None),
    ]
    assert spans[1]["localEndpoint"] == {"serviceName": "callee", "ipv6": "::1", "port": 9000}


def test_two_sides_that_came_with_one_id_are_shared(zipkin: Zipkin) -> None:
    client, server = zipkin.get(f"/api/v2/trace/{trace_id((1 << 64) + 13)}")
    assert (client["id"], client.get("shared")) == (server["id"], None)
    assert server["shared"] is True


def test_names_are_sorted_and_of_the_service_asked_for(zipkin: Zipkin) -> None:
    services = zipkin.get("/api/v2/services")
    assert services == sorted({one["service"] for one in SPANS})
    assert zipkin.get("/api/v2/spans", serviceName="backend") == ["get /api", "select"]
    assert zipkin.get("/api/v2/spans", serviceName="nobody") == []
    assert zipkin.get("/api/v2/remoteServices", serviceName="frontend") == ["backend"]
    assert zipkin.get("/api/v2/remoteServices", serviceName="backend") == ["stock"]
    assert zipkin.get("/api/v2/remoteServices", serviceName="mail") == ["kafka"]
    assert zipkin.get("/api/v2/autocompleteKeys") == ["environment", "host.name"]
    assert zipkin.get("/api/v2/autocompleteValues", key="environment") == ["production"]
    assert zipkin.get("/api/v2/autocompleteValues", key="nothing") == []


@pytest.mark.parametrize(
    ("parameters", "names"),
    [
        ({"serviceName": "frontend"}, {"get", "get /api", "select"}),
        ({"serviceName": "backend"}, {"get", "get /api", "select"}),
        ({"serviceName": "nobody"}, set()),
        ({"serviceName": "backend", "spanName": "select"}, {"get", "get /api", "select"}),
        ({"serviceName": "frontend", "spanName": "select"}, set()),
        ({"serviceName": "frontend", "spanName": "all"}, {"get", "get /api", "select"}),
        ({"serviceName": "frontend", "remoteServiceName": "backend"}, {"get", "get /api", "select"}),
        ({"serviceName": "backend", "remoteServiceName": "stock"}, {"get", "get /api", "select"}),
        ({"serviceName": "frontend", "remoteServiceName": "stock"}, set()),
        ({"remoteServiceName": "kafka"}, {"send", "receive"}),
        ({"annotationQuery": "foo"}, {"only foo", "foo and bar", "foo elsewhere"}),
        ({"annotationQuery": "bar"}, {"only bar", "foo and bar", "other bar"}),
        ({"annotationQuery": "bar=baz"}, {"only bar", "foo and bar"}),
        ({"annotationQuery": "foo and bar=baz"}, {"foo and bar"}),
        ({"annotationQuery": "foo and bar and bar=qux"}, set()),
        ({"annotationQuery": "foo", "serviceName": "other"}, {"foo elsewhere"}),
        ({"annotationQuery": "error"}, {"get", "get /api", "select"}),
        ({"annotationQuery": "environment=production"}, {"get", "get /api", "select"}),
        ({"annotationQuery": "environment"}, {"get", "get /api", "select"}),
        ({"annotationQuery": "retries=3 and cached=false"}, {"get", "get /api", "select"}),
        ({"annotationQuery": "otel.scope.name=shop and otel.status_description=no stock"}, {"get", "get /api", "select"}),
        ({"serviceName": "app", "minDuration": 20_000}, {"other bar"}),
        ({"serviceName": "app", "minDuration": 20_001}, set()),
        ({"serviceName": "app", "minDuration": 1_000, "maxDuration": 1_000}, {"only foo", "only bar", "foo and bar"}),
        ({"serviceName": "old"}, set()),
        ({"serviceName": "old", "lookback": 2 * DAY_MS}, {"yesterday"}),
        ({"serviceName": "old", "endTs": NOW_MS - 30 * 3_600_000 - 1, "lookback": DAY_MS}, set()),
    ],
)  # fmt: skip
def test_a_search_finds(zipkin: Zipkin, parameters: dict[str, Any], names: set[str]) -> None:
    assert zipkin.found(**parameters) == names


def test_the_end_of_a_search_is_in_it_and_its_start_too(zipkin: Zipkin) -> None:
    at_ms = (NOW - 10 * 60_000 * MS + 2 * MS) // MS  # the start of "only foo"
    assert zipkin.found(annotationQuery="foo", endTs=at_ms, lookback=1) == {"only foo"}
    assert zipkin.found(annotationQuery="foo", endTs=at_ms + 1, lookback=1) == {"only foo"}
    assert zipkin.found(annotationQuery="foo", endTs=at_ms - 1, lookback=1_000) == set()


def test_the_newest_traces_count_where_there_is_a_limit(zipkin: Zipkin) -> None:
    traces = zipkin.get("/api/v2/traces", serviceName="app", limit=2, lookback=DAY_MS)
    assert [[one["name"] for one in trace] for trace in traces] == [["other bar"], ["foo and bar"]]
    assert len(zipkin.get("/api/v2/traces")) == 10


def test_bits_above_64_tell_traces_apart_and_short_ids_are_found_however_they_are_written(zipkin: Zipkin) -> None:
    for high, name in ((1, "first"), (2, "second")):
        (one,) = zipkin.get(f"/api/v2/trace/{trace_id((high << 64) + 0xAAAA)}")
        assert one["name"] == name
    for text in ("17133d482ba4f605", "017133d482ba4f605", trace_id(0x17133D482BA4F605), "17133D482BA4F605"):
        (one,) = zipkin.get(f"/api/v2/trace/{text}")
        assert one["traceId"] == "17133d482ba4f605"


def test_many_traces_come_in_the_order_asked_for_and_unknown_ones_are_left_out(zipkin: Zipkin) -> None:
    ids = [trace_id((1 << 64) + number) for number in (5, 77, 2)]
    found = zipkin.get("/api/v2/traceMany", traceIds=",".join(ids))
    assert [trace[0]["name"] for trace in found] == ["other bar", "only foo"]
    assert zipkin.get("/api/v2/traceMany", traceIds=f"{trace_id(77)},{trace_id(78)}") == []


def test_dependencies_are_those_of_the_native_api_in_zipkins_words(zipkin: Zipkin) -> None:
    def links(**parameters: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = zipkin.get("/api/v2/dependencies", **parameters)
        return found

    assert links(endTs=NOW_MS) == [
        {"parent": "backend", "child": "stock", "callCount": 1},
        {"parent": "caller", "child": "callee", "callCount": 1},
        {"parent": "caller2", "child": "callee2", "callCount": 1},
        {"parent": "frontend", "child": "backend", "callCount": 1, "errorCount": 1},
        {"parent": "kafka", "child": "mail", "callCount": 1},
        {"parent": "shop", "child": "kafka", "callCount": 1},
    ]
    assert links(endTs=NOW_MS, lookback=60_000) == []


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("traces?limit=0", "limit='0': wants a whole number above 0"),
        ("traces?limit=x", "limit='x': wants a whole number above 0"),
        ("traces?endTs=-1", "endTs='-1': wants a whole number above 0"),
        ("traces?maxDuration=5", "maxDuration is only valid with minDuration"),
        ("traces?minDuration=5&maxDuration=4", "maxDuration is less than minDuration"),
        ("traces?serviceName=a&serviceName=b", "serviceName came 2 times"),
        ("trace/xyz", "'xyz' is not a trace id: it has 32 hex digits."),
        ("trace/0000000000000000", "'0000000000000000' is not a trace id: it has 32 hex digits."),
        ("traceMany?traceIds=", "traceIds parameter is empty"),
        ("traceMany?traceIds=1", "Use /api/v2/trace/{traceId} to read a single trace"),
        ("traceMany?traceIds=1,01", "redundant traceId: 01"),
        ("dependencies", "endTs is missing: wants milliseconds since 1970"),
        ("spans", "serviceName parameter is empty"),
        ("autocompleteValues", "key parameter is empty"),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_a_sentence_with_its_status(zipkin: Zipkin, path: str, words: str) -> None:
    assert zipkin.get(f"/api/v2/{path}", 400) == words


def test_the_ui_asks_below_its_own_path_and_for_its_settings(zipkin: Zipkin) -> None:
    assert zipkin.get("/zipkin/api/v2/services") == zipkin.get("/api/v2/services")
    assert zipkin.get("/zipkin/config.json")["searchEnabled"] is True
    assert zipkin.get("/health")["status"] == "UP"
    assert zipkin.get("/info")["zipkin"]["version"].startswith("clew ")
    assert zipkin.get("/nothing", 404) == "there is nothing at /nothing"


def golden(traces: Sequence[Sequence[dict[str, Any]]]) -> str:
    return json.dumps(traces, sort_keys=True)


def test_a_search_gives_whole_traces_as_the_trace_by_its_id(zipkin: Zipkin) -> None:
    traces = zipkin.get("/api/v2/traces", serviceName="backend", lookback=DAY_MS)
    assert golden(traces) == golden([zipkin.get(f"/api/v2/trace/{trace_id((1 << 64) + 1)}")])


def test_a_token_is_wanted_here_as_everywhere(zipkin: Zipkin) -> None:
    with TestClient(Guard(zipkin.app, token="secret", loopback=False)) as client:
        assert client.get("/api/v2/services").status_code == 401
        assert client.get("/api/v2/services", headers={"Authorization": "Bearer secret"}).status_code == 200
