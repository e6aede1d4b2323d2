"""A transaction and its spans, written as spans of OTLP. No I/O.

`docs/receivers/sentry.md` says where each field goes; this is the code behind that page.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from clew.otlp import encode
from clew.otlp import fields as f
from clew_server.receivers.foreign.conventions import Value
from clew_server.receivers.foreign.writing import (
    attributes,
    event,
    span,
    span_back,
    span_front,
    whole_characters,
)
from clew_server.receivers.sentry.meaning import kind_of, name_of, standard, status_of
from clew_server.receivers.sentry.values import (
    Json,
    Malformed,
    id_of,
    list_of,
    map_of,
    ns_of,
    pairs_of,
    put,
    put_all,
    text_of,
)

SAMPLED: Final = encode.tag(f.SPAN_FLAGS, f.FIXED32) + b"\1\0\0\0"

# Fields of a span, or of the context `trace`, that have a place of their own.
_OF_SPANS: Final = frozenset(
    (
        *("trace_id", "span_id", "parent_span_id", "op", "description", "status", "start_timestamp", "timestamp"),
        *(
            "data",
            "tags",
            "measurements",
            "links",
            "origin",
            "same_process_as_parent",
            "dynamic_sampling_context",
            "type",
        ),
    )
)
# Of a transaction or an error: those that have a place of their own, in the resource or here.
_OF_EVENTS: Final = frozenset(
    (
        *("type", "transaction", "transaction_info", "contexts", "tags", "timestamp", "start_timestamp", "spans"),
        *("measurements", "event_id", "user", "extra", "request", "release", "environment", "server_name", "sdk"),
        *("platform", "dist", "breadcrumbs", "_meta"),
    )
)
_OF_RESOURCES: Final = frozenset(("trace", "runtime", "os", "otel", "response", "cloud_resource"))
_RATES: Final = ("sample_rate", "sample_rand", "replay_id")


def child(raw: Any) -> bytes:
    """A span of a transaction as an element of `ScopeSpans.spans`. Raises Malformed."""
    if not isinstance(raw, dict):
        raise Malformed("malformed")
    return _written(raw, "", {}, [])


def root(found: Json) -> bytes:
    """The span that a transaction itself is. Raises Malformed."""
    trace = map_of(map_of(found.get("contexts")).get("trace"))
    raw = {
        **trace,
        **{key: found.get(key) for key in ("start_timestamp", "timestamp", "tags", "measurements")},
    }
    more: dict[str, Value] = {}
    put_event(more, found)
    sampling = map_of(trace.get("dynamic_sampling_context"))
    for key in _RATES:
        put(more, f"sentry.{key}", sampling.get(key))
    crumbs = [_breadcrumb(map_of(one), raw) for one in list_of(found.get("breadcrumbs"))]
    return _written(raw, text_of(found.get("transaction")), more, crumbs)


def put_event(into: dict[str, Value], found: Json) -> None:
    """Add what a transaction or an error says beside its times, tags and breadcrumbs."""
    contexts = map_of(found.get("contexts"))
    put_all(into, "", map_of(contexts.get("otel")).get("attributes"))
    _put_user(into, map_of(found.get("user")))
    _put_request(into, map_of(found.get("request")))
    response = map_of(contexts.get("response"))
    put(into, "http.response.status_code", response.get("status_code"))
    put_all(into, "sentry.contexts.response.", response, without=("status_code", "type"))
    for name, context in contexts.items():
        if name not in _OF_RESOURCES:
            put_all(into, f"sentry.contexts.{name}.", context, without=("type",))
    put_all(into, "sentry.extra.", found.get("extra"))
    put(into, "sentry.event_id", found.get("event_id"))
    put_all(into, "sentry.transaction.", found.get("transaction_info"))
    put_all(into, "sentry.", found, without=_OF_EVENTS)


def _put_user(into: dict[str, Value], user: Json) -> None:
    put(into, "user.name", user.get("username"))
    put(into, "client.address", user.get("ip_address"))
    put_all(into, "user.", user, without=("username", "ip_address"))


def _put_request(into: dict[str, Value], request: Json) -> None:
    put(into, "url.full", request.get("url"))
    put(into, "http.request.method", request.get("method"))
    query = request.get("query_string")
    put(into, "url.query", query.removeprefix("?") if isinstance(query, str) else query)
    put(into, "url.fragment", request.get("fragment"))
    for name, value in pairs_of(request.get("headers")):
        put(into, f"http.request.header.{name.lower()}", [value] if isinstance(value, str) else value)
    put_all(
        into,
        "sentry.request.",
        request,
        without=("url", "method", "query_string", "fragment", "headers"),
    )


def put_tags(into: dict[str, Value], tags: Any, status: str) -> None:
    """Add tags; one that says something else than the attribute with its name is `sentry.tag.NAME`."""
    for key, value in pairs_of(tags):
        if key == "status" and value == status:
            continue  # Python's SDK writes it twice
        put(into, f"sentry.tag.{key}" if key in into and into[key] != value else key, value)


def put_measurements(into: dict[str, Value], measurements: Any) -> None:
    """Add measurements and their units."""
    for name, one in map_of(measurements).items():
        said = map_of(one)
        put(into, f"sentry.measurements.{name}", said.get("value"))
        put(into, f"sentry.measurements.{name}.unit", said.get("unit") or None)


def links_of(found: Any) -> list[bytes]:
    """Links of a span. Raises Malformed."""
    return [_link(map_of(one)) for one in list_of(found)]


def _link(one: Json) -> bytes:
    items: dict[str, Value] = {}
    for key, value in map_of(one.get("attributes")).items():
        put(items, key, value["value"] if isinstance(value, dict) and "value" in value else value)
    trace_id, span_id = id_of(one.get("trace_id"), 16), id_of(one.get("span_id"), 8)
    if trace_id is None or span_id is None:
        put(items, "sentry.trace_id", one.get("trace_id"))
        put(items, "sentry.span_id", one.get("span_id"))
        trace_id = span_id = b""
    flags = 1 if one.get("sampled") is True else 0
    return encode.link(int.from_bytes(trace_id, "big"), int.from_bytes(span_id, "big"), "", whole(items), 0, flags)


def whole(items: Mapping[str, Value]) -> dict[str, Any]:
    """Attributes of links and events, whose texts `encode` takes as they are."""
    return {whole_characters(key): _whole(value) for key, value in items.items()}


def _whole(value: Value) -> Value:
    if isinstance(value, str):
        return whole_characters(value)
    return tuple(whole_characters(one) for one in value) if isinstance(value, tuple) else value


def times_of(start: Any, end: Any, into: dict[str, Value]) -> tuple[int, int]:
    """Start and end in ns. Times that OTLP does not have are kept as attributes."""
    start_ns, end_ns = ns_of(start), ns_of(end)
    if start_ns is None:
        put(into, "sentry.start_timestamp", start)
        start_ns = end_ns or 0
    if end_ns is None or end_ns < start_ns:
        put(into, "sentry.timestamp", end)
        end_ns = start_ns
    return start_ns, end_ns


def ids_of(raw: Json) -> tuple[bytes, bytes, bytes]:
    """Trace id, span id, and the parent's or nothing. Raises Malformed."""
    trace_id, span_id = id_of(raw.get("trace_id"), 16), id_of(raw.get("span_id"), 8)
    if trace_id is None:
        raise Malformed("trace_id")
    if span_id is None:
        raise Malformed("span_id")
    return trace_id, span_id, id_of(raw.get("parent_span_id"), 8) or b""


def write(
    raw: Json,
    name: str,
    op: str,
    description: str,
    status: str,
    items: dict[str, Value],
    times: tuple[int, int],
    events: list[bytes],
) -> bytes:
    """A span with these attributes, and the standard ones beside them. Raises Malformed."""
    trace_id, span_id, parent_id = ids_of(raw)
    kind = kind_of(op, items)
    code, message = status_of(status, kind, items)
    named = name or name_of(op, description, items)
    items |= standard(op, description, kind, items)
    if description and named != description and items.get("db.query.text") != description:
        put(items, "sentry.description", description)
    front = span_front(named, kind, *times, attributes(items))
    back = span_back(events, links_of(raw.get("links")), code, message)
    return span(trace_id, span_id, "", parent_id, front, back + SAMPLED)


def _written(raw: Json, name: str, more: Mapping[str, Value], events: list[bytes]) -> bytes:
    op, description, status = text_of(raw.get("op")), text_of(raw.get("description")), text_of(raw.get("status"))
    items: dict[str, Value] = {}
    put_all(items, "", raw.get("data"))
    put_tags(items, raw.get("tags"), status)
    for key, value in more.items():
        items.setdefault(key, value)
    put_measurements(items, raw.get("measurements"))
    for key in ("op", "origin", "status"):
        put(items, f"sentry.{key}", raw.get(key) or None)
    if not raw.keys() <= _OF_SPANS:
        put_all(items, "sentry.", raw, without=_OF_SPANS)
    if raw.get("same_process_as_parent") is False:
        put(items, "sentry.same_process_as_parent", False)
    times = times_of(raw.get("start_timestamp"), raw.get("timestamp"), items)
    return write(raw, name, op, description, status, items, times, events)


def _breadcrumb(one: Json, raw: Json) -> bytes:
    """A breadcrumb as an event; without a time that OTLP has it stands at the end of its span."""
    items: dict[str, Value] = {}
    put_all(items, "breadcrumb.", one, without=("timestamp", "data"))
    put_all(items, "breadcrumb.data.", one.get("data"))
    at = ns_of(one.get("timestamp"))
    if at is None:
        put(items, "breadcrumb.timestamp", one.get("timestamp"))
        at = ns_of(raw.get("timestamp")) or 0
    return event(at, "breadcrumb", whole(items))
