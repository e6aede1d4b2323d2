"""What the decoders of other systems share: standard names beside older ones, tags that stand for fields, and the bytes."""

from __future__ import annotations

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.errors import TooLarge
from clew_server.receivers import contract
from clew_server.receivers.foreign import conventions, writing
from clew_server.receivers.foreign.conventions import CLIENT, INTERNAL, SERVER, Value, beside, beside_event, peer, typed
from clew_server.receivers.foreign.marks import ERROR, OK, UNSET, Marks

TRACE, SPAN = bytes(range(16)), bytes(range(1, 9))


@pytest.mark.parametrize(
    ("tags", "kind", "standard"),
    [
        ({"http.status_code": "500"}, CLIENT, {"http.response.status_code": 500}),
        ({"http.status_code": 404}, CLIENT, {"http.response.status_code": 404}),
        ({"http.status_code": "odd"}, CLIENT, {}),
        ({"http.status_code": True}, CLIENT, {}),
        ({"http.method": "get"}, CLIENT, {"http.request.method": "GET"}),
        (
            {"http.url": "http://a:80/b?c=d"},
            CLIENT,
            {"url.full": "http://a:80/b?c=d", "url.scheme": "http", "url.path": "/b", "url.query": "c=d"},
        ),
        ({"http.url": "/b?c=d"}, SERVER, {"url.path": "/b", "url.query": "c=d"}),
        ({"http.url": "http://[oops"}, CLIENT, {"url.full": "http://[oops"}),
        ({"http.path": "/b"}, SERVER, {"url.path": "/b"}),
        ({"http.host": "shop:8080"}, SERVER, {"server.address": "shop", "server.port": 8080}),
        ({"http.host": "[::1]:8080"}, SERVER, {"server.address": "::1", "server.port": 8080}),
        ({"http.host": "::1"}, SERVER, {"server.address": "::1"}),
        ({"net.peer.name": "db", "net.peer.port": "5432"}, CLIENT, {"server.address": "db", "server.port": 5432}),
        ({"net.peer.name": "web", "net.peer.port": 999}, SERVER, {"client.address": "web", "client.port": 999}),
        ({"net.host.name": "me", "net.host.port": 80}, SERVER, {"server.address": "me", "server.port": 80}),
        ({"net.host.name": "me", "net.host.port": 80}, CLIENT, {}),
        ({"peer.ipv4": 2130706433}, CLIENT, {"network.peer.address": "127.0.0.1"}),
        ({"peer.ipv4": "10.0.0.1"}, CLIENT, {"network.peer.address": "10.0.0.1"}),
        ({"db.system": "mssql"}, CLIENT, {"db.system.name": "microsoft.sql_server"}),
        ({"db.type": "redis"}, CLIENT, {"db.system.name": "redis"}),
        (
            {"db.instance": "shop", "db.statement": "select 1"},
            CLIENT,
            {"db.namespace": "shop", "db.query.text": "select 1"},
        ),
        ({"kafka.topic": "t"}, 4, {"messaging.system": "kafka", "messaging.destination.name": "t"}),
        ({"grpc.status_code": "NOT_FOUND"}, CLIENT, {"rpc.system": "grpc", "rpc.grpc.status_code": 5}),
        ({"grpc.status_code": "14"}, CLIENT, {"rpc.system": "grpc", "rpc.grpc.status_code": 14}),
        ({"my.tag": "x"}, INTERNAL, {}),
    ],
)
def test_the_standard_name_with_its_type_is_found_for_an_older_one(
    tags: dict[str, Value], kind: int, standard: dict[str, Value]
) -> None:
    found = beside(tags, kind)
    assert found == standard
    assert [type(value) for value in found.values()] == [type(value) for value in standard.values()]


def test_what_the_sender_wrote_is_not_written_again() -> None:
    assert beside({"http.status_code": "500", "http.response.status_code": "502"}, CLIENT) == {}


def test_of_two_older_names_for_one_thing_the_first_counts() -> None:
    assert beside({"http.path": "/first", "http.target": "/second"}, SERVER) == {"url.path": "/first"}


def test_every_older_name_takes_any_value_of_any_kind() -> None:
    for key in conventions.RULES:
        for value in ("", "x", "::", "[", "9" * 400, -1, 1 << 70, True, 1.5, b"\0", ("a",)):
            for kind in range(6):
                for name, standard in beside({key: value}, kind).items():
                    assert name != key
                    assert standard != ""


def test_a_long_value_is_not_kept() -> None:
    before = conventions._kept.cache_info().currsize
    text = "select " + "x" * 1000
    assert beside({"db.statement": text}, CLIENT) == {"db.query.text": text}
    assert conventions._kept.cache_info().currsize == before


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("http.response.status_code", "500", 500),
        ("http.response.status_code", "0500", "0500"),
        ("http.response.status_code", "²", "²"),
        ("http.response.status_code", "9" * 30, "9" * 30),
        ("http.status_code", "500", "500"),
        ("order", "7", "7"),
    ],
)
def test_a_text_becomes_a_number_only_under_a_key_that_has_numbers(key: str, text: str, value: Value) -> None:
    assert typed(key, text) == value


def test_the_other_side_is_the_server_of_a_client_and_the_client_of_a_server() -> None:
    network = {"network.peer.address": "10.0.0.1", "network.peer.port": 80}
    assert peer(CLIENT, "db", "10.0.0.1", 80) == {
        "peer.service": "db",
        "server.address": "10.0.0.1",
        "server.port": 80,
        **network,
    }
    assert peer(SERVER, "", "10.0.0.1", 80) == {"client.address": "10.0.0.1", "client.port": 80, **network}
    assert peer(INTERNAL, "", "10.0.0.1", 80) == network
    assert peer(CLIENT, "", "", 0) == {}


def test_an_opentracing_error_log_has_the_names_of_an_exception() -> None:
    fields: dict[str, Value] = {"event": "error", "error.kind": "ValueError", "message": "no", "stack": "at x"}
    assert beside_event(fields) == {
        "exception.type": "ValueError",
        "exception.message": "no",
        "exception.stacktrace": "at x",
    }
    assert beside_event({"event": "cache", "message": "hit"}) == {}


@pytest.mark.parametrize(
    ("tags", "code", "message", "left"),
    [
        ({"a": "b"}, UNSET, "", {"a": "b"}),
        ({"error": ""}, ERROR, "", {"error": ""}),
        ({"error": "true"}, ERROR, "", {"error": "true"}),
        ({"error": True}, ERROR, "", {"error": True}),
        ({"error": "boom"}, ERROR, "boom", {"error": "boom"}),
        ({"error": "false"}, UNSET, "", {"error": "false"}),
        ({"error": False}, UNSET, "", {"error": False}),
        ({"otel.status_code": "OK"}, OK, "", {}),
        ({"otel.status_code": "UNSET", "error": "x"}, ERROR, "x", {"error": "x"}),
        ({"otel.status_code": "ERROR", "error": "boom"}, ERROR, "boom", {"error": "boom"}),
        (
            {"otel.status_code": "ERROR", "otel.status_description": "why", "error": "true"},
            ERROR,
            "why",
            {"error": "true"},
        ),
        ({"otel.status_code": "strange"}, UNSET, "", {"otel.status_code": "strange"}),
    ],
)
def test_tags_make_the_status(tags: dict[str, Value], code: int, message: str, left: dict[str, Value]) -> None:
    found = Marks.of(tags)
    assert (found.status_code, found.status_message, dict(found.tags)) == (code, message, left)


def test_scope_trace_state_and_links_come_out_of_the_tags() -> None:
    found = Marks.of(
        {
            "otel.scope.name": "lib",
            "otel.scope.version": "1",
            "otel.library.name": "lib",
            "otel.library.version": "2",
            "w3c.tracestate": "a=b",
            "otlp.link.0": f'{TRACE.hex()}|{SPAN.hex()}|x=y|{{"n": 1, "l": [2]}}|3',
            "otlp.link.1": "odd",
            "k": "v",
        }
    )
    assert (found.scope_name, found.scope_version, found.trace_state) == ("lib", "1", "a=b")
    assert dict(found.tags) == {"otel.library.version": "2", "otlp.link.1": "odd", "k": "v"}
    link = Span.Link.FromString(found.links[0])
    assert (link.trace_id, link.span_id, link.trace_state, link.dropped_attributes_count) == (TRACE, SPAN, "x=y", 3)
    assert [pair.key for pair in link.attributes] == ["n", "l"]


def test_resource_attributes_are_known_by_the_mark_of_their_sdk() -> None:
    tags: dict[str, Value] = {"host.name": "vm", "http.method": "GET"}
    assert conventions.resource_of(tags) == {}
    assert conventions.resource_of({"telemetry.sdk.language": "go", **tags}) == {
        "telemetry.sdk.language": "go",
        "host.name": "vm",
    }


def test_a_span_is_written_as_protobuf_writes_it() -> None:
    front = writing.span_front(
        "a \ud800", SERVER, 5, 7, writing.attributes({"k": "v", "n": 1, "server.port": "80", "\udfff": "\ud800"})
    )
    back = writing.span_back([writing.event(6, "e", {"x": 1})], [], ERROR, "why")
    groups = writing.Groups()
    resource = writing.resource({"service.name": "s"})
    groups.add(resource, "lib", "1", writing.span(TRACE, SPAN, "a=b", SPAN, front, back))
    groups.add(resource, "", "", writing.span(TRACE, SPAN, "", b"", writing.span_front("", 0, 0, 0, b""), b""))
    request = groups.request()
    message = ExportTraceServiceRequest.FromString(request)
    assert message.SerializeToString() == request
    (group,) = message.resource_spans
    assert [scope.scope.name for scope in group.scope_spans] == ["lib", ""]
    span = group.scope_spans[0].spans[0]
    assert (span.name, span.start_time_unix_nano, span.end_time_unix_nano) == ("a �", 5, 7)
    assert [(pair.key, pair.value.WhichOneof("value")) for pair in span.attributes] == [
        ("k", "string_value"),
        ("n", "int_value"),
        ("server.port", "int_value"),
        ("�", "string_value"),
    ]
    batch = writing.batch(groups, received=b"came", rejected={"malformed": 1})
    assert (batch.received, batch.request, batch.spans, dict(batch.rejected)) == (b"came", request, 2, {"malformed": 1})


def test_a_large_request_is_the_same_in_parts() -> None:
    groups = writing.Groups()
    resource = writing.resource({"service.name": "s"})
    for number in range(1, 3001):
        front = writing.span_front("op", 1, 5, 7, writing.attributes({"text": f"{number} " + "x" * 300}))
        groups.add(resource, "", "", writing.span(TRACE, number.to_bytes(8, "big"), "", b"", front, b""))
    batch = writing.batch(groups, received=b"", rejected={})
    assert batch.spans == 3000
    assert len(batch.heads or b"") == 28 * 3000
    message = ExportTraceServiceRequest.FromString(batch.request)
    ids = [
        int.from_bytes(span.span_id, "big")
        for group in message.resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]
    assert ids == list(range(1, 3001))


def test_a_request_of_too_many_spans_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "MAX_REQUEST_SPANS", 2)
    assert contract.MAX_REQUEST_SPANS > 2
    groups = writing.Groups()
    groups.add(b"", "", "", b"")
    groups.add(b"", "", "", b"")
    with pytest.raises(TooLarge):
        groups.add(b"", "", "", b"")


def test_microseconds_beyond_the_clock_have_no_nanoseconds() -> None:
    assert writing.ns_from_us(1) == 1000
    assert writing.ns_from_us(-1) is None
    assert writing.ns_from_us(1 << 63) is None
