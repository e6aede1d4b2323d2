"""Sentry's events become OTLP: what a real SDK sends, against golden files, and each rule on an event of its own.

`CLEW_GOLDEN=write` writes the golden files anew; they are reviewed by eye. `*.envelope` are captured bytes, unpacked.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew.otlp import to_json
from clew_server.errors import BadInput, TooLarge
from clew_server.receivers.contract import Head, OtlpBatch
from clew_server.receivers.sentry import decoder, envelope, specs, values
from clew_server.receivers.sentry.decoder import OTHERS, decode
from clew_server.testing import sentry
from clew_server.testing.stand import ReceiverStand

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode adds no path

from decoded import attributes_of, check_each_field_counts, check_golden, request_of, spans_of

GOLDEN = Path(__file__).parent / "golden/sentry"
DOCS = Path(__file__).parents[3] / "docs/receivers/sentry.md"
HEAD = Head("/api/7/envelope/", headers={"host": "clew:8969"}, parts={"project": "7"})
STORE = Head("/api/7/store/", parts={"project": "7"})
TRACE, ROOT, CHILD = "96ac6e089b6ed559073b275eb478e41d", "a4b1c2d3e4f50617", "b3c4d5e6f7081929"
START_NS = 1_795_415_211_795_788_000


def sent(*items: tuple[str, Any]) -> OtlpBatch:
    return decode(sentry.envelope(*items), HEAD)


def root_of(**fields: Any) -> Span:
    (span,) = spans_of(sent(("transaction", sentry.transaction(TRACE, ROOT, **fields))))
    return span


def child_of(**fields: Any) -> Span:
    made = sentry.transaction(TRACE, ROOT, spans=[sentry.span(TRACE, CHILD, **fields)])
    _, span = spans_of(sent(("transaction", made)))
    return span


def resource_of(**fields: Any) -> dict[str, Any]:
    (group,) = request_of(sent(("transaction", sentry.transaction(TRACE, ROOT, **fields)))).resource_spans
    return attributes_of(group.resource)


def event_of(**fields: Any) -> tuple[str, dict[str, Any]]:
    found = sent(("event", sentry.error(TRACE, CHILD, **fields)))
    assert (found.spans, found.fragments) == (1, 1)
    (span,) = spans_of(found)
    assert attributes_of(span) == {"clew.fragment": "sentry"}
    assert (span.trace_id.hex(), span.span_id.hex()) == (TRACE, CHILD)
    (event,) = span.events
    return event.name, attributes_of(event)


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.envelope")))
def test_what_a_real_client_sends_becomes_this_otlp(name: str) -> None:
    body = (GOLDEN / f"{name}.envelope").read_bytes()
    found = decode(body, HEAD)
    assert (found.received, dict(found.rejected)) == (body, {})
    check_golden(GOLDEN / f"{name}.json", to_json.request(found.request))


# -- transactions and their spans ---------------------------------------------------------------------------------------


def test_a_transaction_is_a_span_and_so_are_its_spans() -> None:
    made = sentry.transaction(
        TRACE,
        ROOT,
        "/buy",
        trace={"op": "http.server", "parent_span_id": "00000000000000ab", "status": "ok", "origin": "auto"},
        spans=[sentry.span(TRACE, CHILD, parent_span_id=ROOT, op="task", description="count")],
    )
    root, child = spans_of(sent(("transaction", made)))
    assert (root.trace_id.hex(), root.span_id.hex(), root.parent_span_id.hex()) == (TRACE, ROOT, "00000000000000ab")
    assert (root.name, root.kind, root.status.code, root.flags) == ("/buy", 2, 1, 1)
    assert (root.start_time_unix_nano, root.end_time_unix_nano) == (START_NS, START_NS + 1_000_000)
    assert attributes_of(root) == {"sentry.op": "http.server", "sentry.origin": "auto", "sentry.status": "ok"}
    assert (child.parent_span_id.hex(), child.name, child.kind) == (ROOT, "count", 1)
    assert attributes_of(child) == {"sentry.op": "task"}


@pytest.mark.parametrize(
    ("op", "said", "kind"),
    [
        ("http.server", {}, 2),
        ("grpc.server", {}, 2),
        ("websocket.server", {}, 2),
        ("function.aws", {}, 2),
        ("http.client", {}, 3),
        ("http.client.stream", {}, 3),
        ("db", {}, 3),
        ("db.redis", {}, 3),
        ("cache.get", {}, 3),
        ("gen_ai.chat", {}, 3),
        ("queue.publish", {}, 4),
        ("queue.submit.celery", {}, 4),
        ("queue.process", {}, 5),
        ("queue.task.celery", {}, 5),
        ("function", {}, 1),
        ("dbx", {}, 1),
        ("", {}, 1),
        ("db", {"otel.kind": "SERVER"}, 2),
        ("db", {"span.kind": "consumer"}, 5),
        ("db", {"sentry.kind": "sideways"}, 3),
    ],
)
def test_the_kind_is_what_the_op_says_unless_an_attribute_says_it(op: str, said: dict[str, str], kind: int) -> None:
    assert child_of(op=op, data=said).kind == kind


@pytest.mark.parametrize(
    ("op", "status", "answer", "code", "message"),
    [
        ("http.server", "ok", 200, 1, ""),
        ("http.server", None, None, 0, ""),
        ("http.server", "not_found", 404, 0, ""),
        ("http.client", "not_found", 404, 2, "not_found"),
        ("http.server", "internal_error", 500, 2, "internal_error"),
        ("http.server", "internal_error", 200, 2, "internal_error"),
        ("db", "deadline_exceeded", None, 2, "deadline_exceeded"),
        ("db", "cancelled", None, 0, ""),
        ("db", "unknown_error", None, 0, ""),
        ("db", "error", None, 2, ""),
    ],
)
def test_a_status_fails_a_span_as_sentry_and_the_conventions_count_failures(
    op: str, status: str | None, answer: int | None, code: int, message: str
) -> None:
    span = child_of(op=op, status=status, data={"http.response.status_code": answer})
    assert (span.status.code, span.status.message) == (code, message)
    assert attributes_of(span).get("sentry.status") == status


@pytest.mark.parametrize(
    ("op", "description", "data", "name", "beside"),
    [
        ("db", "select a from b", {"db.system": "mysql"}, "SELECT", {"db.query.text": "select a from b", "db.system.name": "mysql"}),
        ("db.redis", "GET 'k'", {"db.operation": "GET"}, "GET", {"db.query.text": "GET 'k'", "db.operation.name": "GET"}),
        ("db", "$1", {}, "db", {"db.query.text": "$1"}),
        (
            "http.client",
            "GET http://shop:80/a",
            {"url": "http://shop:80/a", "http.query": "?x=1", "http.fragment": "f"},
            "GET",
            {
                "http.request.method": "GET",
                "url.full": "http://shop:80/a?x=1",
                "url.query": "x=1",
                "url.fragment": "f",
                "server.address": "shop",
                "server.port": 80,
                "sentry.description": "GET http://shop:80/a",
            },
        ),
        ("http.client", "GET https://[::1/", {}, "GET", {"url.full": "https://[::1/"}),
        ("http.client", "odd", {}, "odd", {}),
        ("function", "count", {"http.method": "get", "url": "http://h/p"}, "count", {"http.request.method": "GET", "url.path": "/p"}),
        ("function", None, {}, "function", {}),
    ],
)  # fmt: skip
def test_names_are_those_that_many_spans_share_and_standard_attributes_stand_beside(
    op: str, description: str | None, data: dict[str, Any], name: str, beside: dict[str, Any]
) -> None:
    span = child_of(op=op, description=description, data=data)
    assert span.name == name
    assert attributes_of(span).items() >= (data | beside).items()


def test_data_tags_and_measurements_are_attributes_with_their_types() -> None:
    data = {"s": "ü", "i": 7, "f": 0.5, "b": True, "l": ["a", "b"], "m": {"k": [1]}, "n": None, "big": 1 << 70, "e": []}
    tags = [["s", "other"], {"key": "t", "value": "v"}, ["i", 7]]
    found = attributes_of(child_of(data=data, tags=tags, measurements={"fp": {"value": 1.5, "unit": "ms"}, "x": 1}))
    assert found == {
        "s": "ü",
        "i": 7,
        "f": 0.5,
        "b": True,
        "l": ["a", "b"],
        "m": '{"k": [1]}',
        "big": str(1 << 70),
        "sentry.tag.s": "other",
        "t": "v",
        "sentry.measurements.fp": 1.5,
        "sentry.measurements.fp.unit": "ms",
    }


def test_fields_without_a_place_are_attributes_of_sentrys() -> None:
    span = child_of(exclusive_time=1.5, same_process_as_parent=False, hash="h", new={"k": 1})
    assert attributes_of(span) == {
        "sentry.exclusive_time": 1.5,
        "sentry.same_process_as_parent": False,
        "sentry.hash": "h",
        "sentry.new": '{"k": 1}',
    }


def test_links_are_links() -> None:
    links = [
        {"trace_id": TRACE, "span_id": CHILD, "sampled": True, "attributes": {"why": {"type": "string", "value": "x"}}},
        {"trace_id": "x", "span_id": CHILD},
    ]
    good, bad = child_of(links=links).links
    assert (good.trace_id.hex(), good.span_id.hex(), good.flags, attributes_of(good)) == (TRACE, CHILD, 1, {"why": "x"})
    assert (bad.trace_id, attributes_of(bad)) == (b"", {"sentry.trace_id": "x", "sentry.span_id": CHILD})


def test_what_an_event_says_of_user_request_and_contexts_is_on_the_span_of_the_transaction() -> None:
    span = root_of(
        trace={"dynamic_sampling_context": {"sample_rate": "0.5", "sample_rand": "0.1", "public_key": "k"}},
        user={"id": "7", "email": "a@b", "username": "ann", "ip_address": "10.0.0.1", "plan": "free"},
        request={
            "url": "http://h/buy",
            "method": "POST",
            "query_string": "?x=1",
            "fragment": "f",
            "headers": {"Accept": "*/*", "X-Many": ["a", "b"]},
            "data": {"k": 1},
            "cookies": "c=1",
            "env": {"REMOTE_ADDR": "10.0.0.1"},
        },
        contexts={
            "response": {"status_code": 201, "body_size": 5},
            "cart": {"type": "default", "items": 2, "deep": {"k": 1}},
            "otel": {"attributes": {"otel.one": 1}, "resource": {}},
        },
        extra={"argv": ["a"]},
        event_id="e" * 32,
        transaction_info={"source": "route"},
        level="info",
    )
    assert attributes_of(span) == {
        "otel.one": 1,
        "user.id": "7",
        "user.email": "a@b",
        "user.name": "ann",
        "client.address": "10.0.0.1",
        "user.plan": "free",
        "url.full": "http://h/buy",
        "http.request.method": "POST",
        "url.query": "x=1",
        "url.fragment": "f",
        "http.request.header.accept": ["*/*"],
        "http.request.header.x-many": ["a", "b"],
        "sentry.request.data": '{"k": 1}',
        "sentry.request.cookies": "c=1",
        "sentry.request.env": '{"REMOTE_ADDR": "10.0.0.1"}',
        "http.response.status_code": 201,
        "sentry.contexts.response.body_size": 5,
        "sentry.contexts.cart.items": 2,
        "sentry.contexts.cart.deep": '{"k": 1}',
        "sentry.extra.argv": ["a"],
        "sentry.event_id": "e" * 32,
        "sentry.transaction.source": "route",
        "sentry.level": "info",
        "sentry.sample_rate": "0.5",
        "sentry.sample_rand": "0.1",
    }


def test_breadcrumbs_of_a_transaction_are_events_of_its_span() -> None:
    crumb = {
        "type": "http",
        "category": "httplib",
        "level": "info",
        "message": "m",
        "timestamp": "2026-11-28T20:40:38.5Z",
        "data": {"k": 1},
    }
    first, odd = root_of(breadcrumbs={"values": [crumb, {"timestamp": "never"}]}).events
    assert (first.name, first.time_unix_nano) == ("breadcrumb", 1_795_898_438_500_000_000)
    assert attributes_of(first) == {
        "breadcrumb.type": "http",
        "breadcrumb.category": "httplib",
        "breadcrumb.level": "info",
        "breadcrumb.message": "m",
        "breadcrumb.data.k": 1,
    }
    assert (odd.time_unix_nano, attributes_of(odd)) == (START_NS + 1_000_000, {"breadcrumb.timestamp": "never"})


@pytest.mark.parametrize(
    ("said", "ns"),
    [
        (1_795_415_211.795788, START_NS),
        (1_795_415_211, 1_795_415_211_000_000_000),
        ("2026-11-28T20:40:38.860941Z", 1_795_898_438_860_941_000),
        ("2026-11-28T20:40:38.860941123Z", 1_795_898_438_860_941_123),
        ("2026-11-28 20:40:38", 1_795_898_438_000_000_000),
        ("2026-11-28T21:40:38+01:00", 1_795_898_438_000_000_000),
        ("2026-13-28T20:40:38Z", None),
        ("1500-01-01T00:00:00Z", None),
        ("٢026-11-28T20:40:38Z", None),
        (-1, None),
        (True, None),
        (float("inf"), None),
        (1 << 70, None),
        (None, None),
    ],
)
def test_times_are_seconds_or_texts(said: Any, ns: int | None) -> None:
    assert values.ns_of(said) == ns


def test_times_that_otlp_does_not_have_are_kept_as_attributes() -> None:
    span = child_of(start_timestamp="then", timestamp=5)
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (5_000_000_000, 5_000_000_000)
    assert attributes_of(span) == {"sentry.start_timestamp": "then"}
    early = child_of(start_timestamp=7, timestamp=5)
    assert (early.start_time_unix_nano, early.end_time_unix_nano) == (7_000_000_000, 7_000_000_000)
    assert attributes_of(early) == {"sentry.timestamp": 5}


# -- the process --------------------------------------------------------------------------------------------------------


def test_the_process_is_the_resource() -> None:
    found = resource_of(
        release="shop@1.2+3",
        dist="3",
        environment="prod",
        server_name="vm",
        platform="node",
        sdk={"name": "sentry.javascript.node", "version": "9.1", "integrations": ["a"], "packages": [{"name": "n"}]},
        contexts={
            "runtime": {"name": "node", "version": "v22", "build": "b"},
            "os": {"name": "Linux", "version": "6.1", "kernel_version": "k", "build": "i"},
            "cloud_resource": {"type": "c", "cloud.provider": "aws"},
        },
    )
    assert found == {
        "service.name": "shop",
        "service.version": "1.2+3",
        "sentry.release": "shop@1.2+3",
        "sentry.project": "7",
        "deployment.environment.name": "prod",
        "host.name": "vm",
        "telemetry.sdk.name": "sentry.javascript.node",
        "telemetry.sdk.version": "9.1",
        "sentry.sdk.integrations": ["a"],
        "sentry.sdk.packages": '[{"name": "n"}]',
        "telemetry.sdk.language": "nodejs",
        "process.runtime.name": "node",
        "process.runtime.version": "v22",
        "process.runtime.description": "b",
        "os.name": "Linux",
        "os.version": "6.1",
        "os.build_id": "i",
        "os.description": "k",
        "cloud.provider": "aws",
        "sentry.dist": "3",
    }


@pytest.mark.parametrize(
    ("fields", "parts", "name"),
    [
        ({"tags": {"service": "tag"}, "release": "r@1"}, {"project": "7", "service": "path"}, "tag"),
        ({"tags": [["service.name", "tag"]]}, {"project": "7"}, "tag"),
        ({"release": "r@1"}, {"project": "7", "service": "path"}, "path"),
        ({"release": "r@1"}, {"project": "7"}, "r"),
        ({"release": "1.2"}, {"project": "7"}, "sentry-7"),
        ({"contexts": {"otel": {"resource": {"service.name": "otel"}}}, "release": "r@1"}, {"project": "7"}, "otel"),
        ({}, {}, None),
    ],
)
def test_the_service_is_what_says_most(fields: dict[str, Any], parts: dict[str, str], name: str | None) -> None:
    body = sentry.envelope(("transaction", sentry.transaction(TRACE, ROOT, **fields)))
    (group,) = request_of(decode(body, Head("/api/7/envelope/", parts=parts))).resource_spans
    assert attributes_of(group.resource).get("service.name") == name


# -- errors -------------------------------------------------------------------------------------------------------------


def test_an_error_is_an_exception_event_of_the_span_that_it_names() -> None:
    frame = {
        "abs_path": "/srv/a.py",
        "filename": "a.py",
        "function": "f",
        "lineno": 3,
        "context_line": "  x()",
        "vars": {"k": "1"},
    }
    raised = [
        {"type": "KeyError", "value": "'k'", "module": None},
        {
            "type": "Late",
            "value": "no",
            "module": "shop.errors",
            "mechanism": {"handled": False},
            "stacktrace": {"frames": [frame, {}]},
        },
    ]
    name, found = event_of(
        exception={"values": raised},
        tags={"t": "v"},
        user={"id": "7"},
        breadcrumbs={"values": [{"message": "m"}]},
        transaction="GET /buy",
        logger="log",
        fingerprint=["a"],
        modules={"m": "1"},
        event_id="e" * 32,
    )
    assert name == "exception"
    assert found.pop("sentry.exception") == json.dumps(raised)
    assert found == {
        "exception.type": "shop.errors.Late",
        "exception.message": "no",
        "exception.stacktrace": "KeyError: 'k'\n\nThe above exception was the direct cause of the following exception:\n\n"
        "Traceback (most recent call last):\n"
        '  File "/srv/a.py", line 3, in f\n    x()\n  File "?", line ?, in ?\nLate: no',
        "sentry.mechanism": '{"handled": false}',
        "t": "v",
        "user.id": "7",
        "sentry.breadcrumbs": '{"values": [{"message": "m"}]}',
        "sentry.transaction": "GET /buy",
        "sentry.logger": "log",
        "sentry.level": "error",
        "sentry.fingerprint": ["a"],
        "sentry.modules": '{"m": "1"}',
        "sentry.event_id": "e" * 32,
        "clew.from": "sentry",
        "log.severity_number": 17,
    }


def test_a_message_is_an_event_that_fails_no_span() -> None:
    entry = {"message": "%s left", "formatted": "3 left", "params": [3]}
    name, found = event_of(
        exception=None, logentry=entry, level="warning", tags={"clew.from": "me", "log.severity_number": "1"}
    )
    assert (name, found["message"], found["sentry.logentry"]) == ("message", "3 left", json.dumps(entry))
    assert (found["clew.from"], found["log.severity_number"], "exception.type" in found) == ("sentry", 13, False)
    assert event_of(exception=None, message="hi", level="odd")[1]["message"] == "hi"


def test_an_error_that_names_no_span_is_counted() -> None:
    found = sent(("event", {"exception": {"values": [{"type": "E"}]}}), ("event", sentry.error(TRACE, "0" * 16)))
    assert (found.spans, dict(found.dropped)) == (0, {"event": 2})


def test_the_older_path_takes_one_event() -> None:
    found = decode(json.dumps(sentry.error(TRACE, CHILD)).encode(), STORE)
    assert (found.spans, found.fragments) == (1, 1)
    found = decode(json.dumps(sentry.transaction(TRACE, ROOT)).encode(), STORE)
    assert (found.spans, found.fragments) == (1, 0)
    assert dict(decode(b'{"type": "transaction"}', STORE).rejected) == {"trace_id": 1}
    for body in (b"", b"[]", b"{"):
        with pytest.raises(BadInput):
            decode(body, STORE)


# -- what is sent as it ends --------------------------------------------------------------------------------------------


def test_a_streamed_span_is_a_span() -> None:
    attributes = {
        "sentry.op": "db",
        "sentry.release": "shop@1.2",
        "sentry.environment": "prod",
        "sentry.sdk.name": "sentry.python",
        "sentry.sdk.version": "2.75",
        "server.address": "db.host",
        "process.runtime.name": "CPython",
    }
    made = sentry.streamed(TRACE, CHILD, "select 1", parent_span_id=ROOT, attributes=attributes, status="error")
    (group,) = request_of(sent(("span", sentry.contained([made])))).resource_spans
    assert attributes_of(group.resource) == {
        "service.name": "shop",
        "service.version": "1.2",
        "sentry.release": "shop@1.2",
        "sentry.project": "7",
        "deployment.environment.name": "prod",
        "telemetry.sdk.name": "sentry.python",
        "telemetry.sdk.version": "2.75",
        "process.runtime.name": "CPython",
        "telemetry.sdk.language": "python",
    }
    (span,) = group.scope_spans[0].spans
    assert (span.parent_span_id.hex(), span.name, span.kind, span.status.code) == (ROOT, "SELECT", 3, 2)
    assert attributes_of(span) == {
        "sentry.op": "db",
        "server.address": "db.host",
        "sentry.status": "error",
        "sentry.is_segment": False,
        "db.query.text": "select 1",
    }


@pytest.mark.parametrize(
    ("attributes", "server", "host"),
    [
        ({"sentry.op": "http.server"}, None, "vm"),
        ({"sentry.op": "http.client", "url.full": "http://shop:1/a"}, "shop", "vm"),
        ({"sentry.op": "db"}, "vm", None),
    ],
)
def test_the_address_that_an_sdk_writes_to_each_span_is_its_hosts_name_where_it_can_be_none_of_a_server(
    attributes: dict[str, str], server: str | None, host: str | None
) -> None:
    made = sentry.streamed(TRACE, CHILD, attributes={**attributes, "server.address": "vm"})
    (group,) = request_of(sent(("span", sentry.contained([made])))).resource_spans
    assert attributes_of(group.resource).get("host.name") == host
    assert attributes_of(group.scope_spans[0].spans[0]).get("server.address") == server


def test_a_streamed_span_is_ok_without_being_asked_so_that_is_no_status() -> None:
    (span,) = spans_of(sent(("span", sentry.contained([sentry.streamed(TRACE, CHILD)]))))
    assert (span.status.code, attributes_of(span)["sentry.status"]) == (0, "ok")


def test_a_span_that_is_alone_in_its_item_is_taken() -> None:
    (old,) = spans_of(sent(("span", sentry.span(TRACE, CHILD, op="task", description="count"))))
    (new,) = spans_of(sent(("span", sentry.streamed(TRACE, CHILD))))
    assert (old.name, new.name) == ("count", "op")


def test_the_requests_by_which_spans_are_sent_are_not_kept() -> None:
    own = "POST http://clew:8969/api/7/envelope/"
    streamed = [sentry.streamed(TRACE, CHILD, own), sentry.streamed(TRACE, ROOT)]
    children = [sentry.span(TRACE, CHILD, op="http.client", description=own)]
    found = sent(("span", sentry.contained(streamed)), ("transaction", sentry.transaction(TRACE, ROOT, spans=children)))
    assert (found.spans, dict(found.dropped)) == (2, {"own_request": 2})


def test_a_log_is_an_event_of_its_span_where_it_tells_of_an_exception() -> None:
    def log(**fields: Any) -> dict[str, Any]:
        said = {key: {"type": "string", "value": value} for key, value in fields.pop("attributes", {}).items()}
        return {
            "trace_id": TRACE,
            "span_id": CHILD,
            "timestamp": 5,
            "level": "error",
            "body": "b",
            "attributes": said,
            **fields,
        }

    told = {"exception.type": "E", "sentry.release": "shop@1", "sentry.severity_number": 17, "server.address": "vm"}
    logs = [
        log(attributes=told),
        log(attributes={"logger.name": "x"}),
        log(attributes=told, span_id=None),
        log(attributes={**told, "sentry.trace.parent_span_id": CHILD}, span_id=None),
        7,
    ]
    found = sent(("log", sentry.contained(logs)))
    assert (found.spans, found.fragments, dict(found.dropped)) == (2, 2, {"log": 2})
    assert dict(found.rejected) == {"log_record": 1}
    first, _ = spans_of(found)
    assert attributes_of(first) == {"clew.fragment": "log"}
    assert (first.events[0].name, attributes_of(first.events[0])) == (
        "exception",
        {
            "exception.type": "E",
            "clew.from": "log",
            "log.severity_number": 17,
            "log.severity_text": "error",
            "log.body": "b",
        },
    )


# -- envelopes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("type_", "kind"), [*OTHERS.items(), ("made_up", "other_item"), ("", "other_item")])
def test_what_is_no_span_and_no_error_is_counted_by_kind(type_: str, kind: str) -> None:
    found = sent((type_, b"anything"))
    assert (found.spans, dict(found.dropped)) == (0, {kind: 1})


def test_an_envelope_for_a_tool_on_the_developers_machine_is_taken_as_well() -> None:
    body = sentry.envelope(("transaction", sentry.transaction(TRACE, ROOT, release="desk@1")))
    assert decode(body, Head(decoder.STREAM)).spans == 1
    assert decoder.STREAM in specs.SENTRY.paths


def test_an_item_without_a_length_ends_with_its_line() -> None:
    line = json.dumps(sentry.transaction(TRACE, ROOT)).encode()
    body = b'{}\r\n{"type":"transaction"}\n' + line + b'\n\n{"type":"session"}\n{}'
    found = decode(body, HEAD)
    assert (found.spans, dict(found.dropped)) == (1, {"session": 1})
    assert decode(b"{}", HEAD).spans == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"x",
        b"[]",
        b'{}\n{"type":"event","length":9}\n{}',
        b'{}\n{"type":"event","length":1}\n{}\n',
        b'{}\n{"type":"event","length":-1}\n{}',
        b'{}\n{"type":"event","length":"2"}\n{}',
        b"{}\nx\n",
    ],
)
def test_bytes_that_are_no_envelope_are_bad_input(body: bytes) -> None:
    with pytest.raises(BadInput, match="no envelope of Sentry's"):
        decode(body, HEAD)


def test_an_item_that_is_broken_costs_the_envelope_nothing_else() -> None:
    good = sentry.transaction(
        TRACE, ROOT, spans=[sentry.span(TRACE, "x"), sentry.span("x", CHILD), 7, sentry.span(TRACE, CHILD)]
    )
    found = sent(
        ("transaction", b"{"),
        ("event", b"[]"),
        ("span", b"7"),
        ("transaction", {"contexts": 7}),
        (
            "transaction",
            sentry.transaction(TRACE, ROOT, links=7, breadcrumbs=7, tags=7, user=7, request=7, contexts={"x": 7}),
        ),
        ("transaction", good),
    )
    assert found.spans == 3
    assert dict(found.rejected) == {"malformed": 4, "trace_id": 2, "span_id": 1}


def test_too_many_and_too_large_parts_are_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TooLarge, match="an item of this kind"):
        sent(("event", b" " * (decoder.MAX_ERROR_BYTES + 1)))
    with pytest.raises(TooLarge, match="head"):
        decode(b'{"k":"' + b"x" * envelope.MAX_HEAD_BYTES + b'"}', HEAD)
    for module, name, most in (
        (envelope, "MAX_ITEMS", 3),
        (decoder, "MAX_REQUEST_SPANS", 3),
        (values, "MAX_PARTS", 3),
        (decoder, "MAX_REQUEST_BYTES", 50),
    ):
        monkeypatch.setattr(module, name, most)
    with pytest.raises(TooLarge, match="items"):
        decode(b"{}\n" + b'{"length":0}\n\n' * 4, HEAD)
    with pytest.raises(TooLarge, match="spans"):
        sent(("span", sentry.contained([7] * 4)))
    many = sentry.transaction(TRACE, ROOT, breadcrumbs=[{}] * 4)
    assert dict(sent(("transaction", many)).rejected) == {"malformed": 1}
    with pytest.raises(TooLarge, match="written as OTLP"):
        sent(("transaction", sentry.transaction(TRACE, ROOT)))


# -- answers ------------------------------------------------------------------------------------------------------------


def test_the_answer_has_the_id_of_the_event() -> None:
    answers = specs.SENTRY.answers
    for body, said in (
        (sentry.envelope(event_id="a" * 32), {"id": "a" * 32}),
        (sentry.envelope(event_id="<b>"), {}),
        (b'{"event_id": "' + b"c" * 32 + b'"}', {"id": "c" * 32}),
        (b"{\n}", {}),
    ):
        answer = answers.accepted(OtlpBatch(body, b"", 0, None, {}), HEAD)
        assert (answer.status, answer.media, json.loads(answer.body)) == (200, "application/json", said)


def test_a_client_that_shall_come_again_is_told_in_sentrys_way() -> None:
    answer = specs.SENTRY.answers.refused(503, "full", HEAD)
    assert (answer.status, json.loads(answer.body)) == (429, {"detail": "full"})
    assert specs.SENTRY.answers.refused(400, "bad", HEAD).status == 400


@pytest.mark.parametrize(
    ("headers", "query", "token"),
    [
        ({"x-sentry-auth": "Sentry sentry_key=abc, sentry_version=7"}, "", "abc"),
        ({"x-sentry-auth": "Sentry sentry_version=7,sentry_key=abc"}, "", "abc"),
        ({"authorization": "Sentry sentry_key=abc"}, "", "abc"),
        ({"authorization": "Bearer abc"}, "", ""),
        ({"x-sentry-auth": "Sentry sentry_version=7"}, "sentry_key=ab%2Fc&sentry_version=7", "ab/c"),
        ({}, "x=1", ""),
        ({}, "x=1&sentry_key=a&sentry_key=b", "a"),
    ],
)
def test_the_key_of_the_dsn_is_found_where_sdks_say_it(headers: dict[str, str], query: str, token: str) -> None:
    assert specs.token_of(Head(headers=headers, query=query)) == token


def test_with_a_token_the_key_of_the_dsn_or_the_header_must_be_it(tmp_path: Path) -> None:
    with ReceiverStand(specs.SENTRY, tmp_path / "wal", token="secret") as stand:
        url = "http://{}:{}/shop/api/1/envelope/".format(*stand.address)

        def said(query: str = "", **headers: str) -> httpx.Response:
            named = {key.replace("_", "-"): value for key, value in headers.items()}
            return httpx.post(url + query, content=b"{}\n", headers=named)

        assert (said().status_code, "as the key of the DSN" in said().json()["detail"]) == (401, True)
        assert said(x_sentry_auth="Sentry sentry_key=wrong").status_code == 401
        assert said(x_sentry_auth="Sentry sentry_key=secret, sentry_version=7").status_code == 200
        assert said("?sentry_key=secret").status_code == 200
        assert said(authorization="Bearer secret").status_code == 200


# -- every field of the protocol has its place --------------------------------------------------------------------------

# Fields of Sentry's event payloads, as its developer documentation has them and its SDK for Python types them.
FIELDS = {
    "event": (
        *("event_id", "type", "timestamp", "start_timestamp", "platform", "level", "logger", "transaction", "server_name"),
        *("transaction_info", "release", "dist", "environment", "tags", "extra", "modules", "fingerprint", "sdk", "user"),
        *("request", "contexts", "breadcrumbs", "exception", "message", "logentry", "threads", "stacktrace", "spans"),
        *("measurements", "debug_meta", "_meta", "profile"),
    ),
    "trace": (
        *("trace_id", "span_id", "parent_span_id", "op", "description", "origin", "status", "data", "links"),
        "dynamic_sampling_context",
    ),
    "span": (
        *("trace_id", "span_id", "parent_span_id", "op", "description", "origin", "status", "start_timestamp"),
        *("timestamp", "tags", "data", "measurements", "same_process_as_parent", "links", "exclusive_time"),
    ),
    "streamed": (
        *("trace_id", "span_id", "parent_span_id", "name", "status", "is_segment", "start_timestamp", "end_timestamp"),
        *("attributes", "links"),
    ),
    "log": ("trace_id", "span_id", "timestamp", "level", "body", "attributes"),
    "exception": ("type", "value", "module", "mechanism", "stacktrace"),
    "request": ("url", "method", "query_string", "fragment", "headers", "data", "cookies", "env"),
    "user": ("id", "username", "email", "ip_address"),
    "breadcrumb": ("type", "category", "level", "message", "data", "timestamp"),
}  # fmt: skip


LINK = {"trace_id": TRACE, "span_id": ROOT, "attributes": {"k": "v"}}
CRUMB = {
    "type": "http",
    "category": "c",
    "level": "info",
    "message": "m",
    "data": {"k": 1},
    "timestamp": 1_795_415_211.5,
}
RAISED = {
    "type": "E",
    "value": "v",
    "module": "m",
    "mechanism": {"handled": True},
    "stacktrace": {"frames": [{"function": "f"}]},
}
REQUEST = {"url": "http://h/p", "method": "GET", "query_string": "a=1", "fragment": "f", "headers": {"A": "b"}} | {
    "data": "d",
    "cookies": "c=1",
    "env": {"k": "v"},
}
EVENT: dict[str, Any] = {
    "event_id": "e" * 32, "timestamp": sentry.START_S + 1, "start_timestamp": sentry.START_S, "platform": "python",
    "level": "info", "logger": "l", "transaction": "op", "server_name": "host", "transaction_info": {"source": "route"},
    "release": "shop@1", "dist": "d", "environment": "prod", "tags": {"t": "v"}, "extra": {"k": "v"}, "modules": {"m": "1"},
    "fingerprint": ["a"], "sdk": {"name": "sentry.python", "version": "1"}, "user": {"id": "7"}, "request": REQUEST,
    "breadcrumbs": {"values": [CRUMB]}, "threads": {"values": []}, "stacktrace": {"frames": []}, "debug_meta": {"k": 1},
    "measurements": {"fp": {"value": 1.5, "unit": "ms"}}, "profile": {"id": "p"},
}  # fmt: skip
OF_ERRORS = {"exception": {"values": [RAISED]}, "message": "said", "logentry": {"message": "m"}}
CONTEXT: dict[str, Any] = {
    "parent_span_id": CHILD,
    "op": "http.server",
    "description": "d",
    "origin": "o",
    "status": "ok",
    "data": {"k": "v"},
    "links": [LINK],
    "dynamic_sampling_context": {"sample_rate": "0.5"},
}
SPAN: dict[str, Any] = {
    "parent_span_id": ROOT,
    "op": "task",
    "description": "d",
    "origin": "o",
    "status": "ok",
    "tags": {"t": "v"},
    "data": {"k": "v"},
    "measurements": {"fp": {"value": 1.5}},
    "links": [LINK],
    "exclusive_time": 1.5,
}
STREAMED: dict[str, Any] = {"parent_span_id": ROOT, "links": [LINK], "attributes": {"k": "v"}}
LOG: dict[str, Any] = {
    "trace_id": TRACE,
    "span_id": CHILD,
    "timestamp": sentry.START_S,
    "level": "error",
    "body": "b",
    "attributes": {"exception.type": {"value": "E", "type": "string"}},
}


def said(**changes: Any) -> OtlpBatch:
    """An envelope with all that items can say; `event_…`, `trace_…`, `span_…`, `streamed_…`, `log_…` say it otherwise."""

    def of(group: str, usual: dict[str, Any]) -> dict[str, Any]:
        at = len(group) + 1
        return usual | {key[at:]: value for key, value in changes.items() if key.startswith(f"{group}_")}

    event = of("event", EVENT)
    errors = {key: event.pop(key, value) for key, value in OF_ERRORS.items()}
    crossed = event | {"type": "event"} | {key: value for key, value in errors.items() if value is not None}
    spans = event.pop("spans", None)
    child = of("span", {"trace_id": TRACE, "span_id": CHILD} | SPAN)
    root = of("trace", {"trace_id": TRACE, "span_id": ROOT} | CONTEXT)
    single = of("streamed", {"trace_id": TRACE, "span_id": "0" * 15 + "9"} | STREAMED)
    made = sentry.transaction("", "", spans=[sentry.span(child.pop("trace_id"), child.pop("span_id"), **child)])
    made = (
        made
        | event
        | {"contexts": event.get("contexts", {}) | {"trace": root}}
        | ({} if spans is None else {"spans": spans})
    )
    error = sentry.error(TRACE, ROOT) | {
        key: value for key, value in crossed.items() if key not in ("spans", "contexts")
    }
    return sent(
        ("transaction", made),
        ("event", error),
        ("span", sentry.contained([sentry.streamed(single.pop("trace_id"), single.pop("span_id"), **single)])),
        ("log", sentry.contained([of("log", LOG)])),
    )


def otherwise(value: Any) -> Any:
    """Another value of the same type."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str() if re.fullmatch("[0-9a-f]{16,32}", value):
            return value[:-1] + ("1" if value[-1] != "1" else "2")
        case str():
            return value + "x"
        case dict() if value:
            key = next(iter(value))
            return value | {key: otherwise(value[key])}
        case list() if value:
            return [otherwise(value[0])]
        case _:
            return type(value)(["x"]) if isinstance(value, list) else {"x": 1}


def changes() -> dict[str, dict[str, Any]]:
    usual = {
        **{f"event.{key}": value for key, value in (EVENT | OF_ERRORS).items()},
        **{f"trace.{key}": value for key, value in ({"trace_id": TRACE, "span_id": ROOT} | CONTEXT).items()},
        **{f"span.{key}": value for key, value in ({"trace_id": TRACE, "span_id": CHILD} | SPAN).items()},
        **{f"span.{key}": sentry.START_S + 0.001 for key in ("start_timestamp", "timestamp")},
        **{
            f"streamed.{key}": value
            for key, value in ({"trace_id": TRACE, "span_id": "0" * 15 + "9"} | STREAMED).items()
        },
        "streamed.name": "op",
        "streamed.is_segment": False,
        "streamed.start_timestamp": sentry.START_S,
        "streamed.end_timestamp": sentry.START_S + 0.001,
        **{f"log.{key}": value for key, value in LOG.items()},
    }
    made = {name: {name.replace(".", "_", 1): otherwise(value)} for name, value in usual.items()}
    for group, whole in (("exception", RAISED), ("request", REQUEST), ("breadcrumb", CRUMB)):
        for key, value in whole.items():
            one = whole | {key: otherwise(value)}
            of_event = {"exception": {"values": [one]}, "request": one, "breadcrumb": {"values": [one]}}[group]
            made[f"{group}.{key}"] = {f"event_{'breadcrumbs' if group == 'breadcrumb' else group}": of_event}
    for key in ("id", "username", "email", "ip_address"):
        made[f"user.{key}"] = {"event_user": {"id": "7"} | {key: "another"}}
    return made | {
        "event.spans": {"event_spans": []},
        "event.contexts": {"event_contexts": {"cart": {"items": 2}}},
        "span.status": {"span_status": "internal_error"},
        "trace.status": {"trace_status": "internal_error"},
        "streamed.status": {"streamed_status": "error"},
        "span.same_process_as_parent": {"span_same_process_as_parent": False},
        "trace.op": {"trace_op": "http.client"},
        "span.op": {"span_op": "db"},
        "log.level": {"log_level": "warn"},
    }


NOT_KEPT = {"event.type", "event._meta"}
"""What kind of event it is, and what the SDK left out of it: the page says so."""


def test_every_field_counts_in_what_is_stored() -> None:
    fields = {f"{name}.{field}" for name, fields in FIELDS.items() for field in fields} - NOT_KEPT
    made: dict[str, dict[str, Any]] = changes()
    check_each_field_counts({}, made, fields, lambda one: said(**one))


def test_every_field_and_every_kind_of_item_is_in_the_page() -> None:
    page = DOCS.read_text(encoding="utf-8")
    named = [f"{name}.{field}" for name, fields in FIELDS.items() for field in fields] + list(OTHERS)
    assert [name for name in named if f"`{name}`" not in page] == []
