"""A trace in Zipkin's v2 JSON. Made a span at a time, so that a large trace is never one text.

What the Zipkin receiver noted of a span (`zipkin.*`: a shared id, an absent time, an endpoint's parts) is given back as the field it
came from; everything else OTLP knows is a tag, as OpenTelemetry's exporters for Zipkin write it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from clew_server.model.attributes import plain
from clew_server.model.columns import CLIENT, CONSUMER, PRODUCER, SERVER
from clew_server.model.dependency import PEER_KEYS
from clew_server.model.text import value_text
from clew_server.model.trace import ADJUSTED, Trace

_KINDS: Final = {CLIENT: "CLIENT", SERVER: "SERVER", PRODUCER: "PRODUCER", CONSUMER: "CONSUMER"}
_HALF: Final = "0" * 16
_CODES: Final = {Status.STATUS_CODE_OK: "OK", Status.STATUS_CODE_ERROR: "ERROR"}
_PIECE_SPANS: Final = 200

_SHARED: Final = "zipkin.shared"
_ID: Final = "zipkin.id"
_PARENT_ID: Final = "zipkin.parent_id"
_DEBUG: Final = "zipkin.debug"
_ABSENT: Final = "zipkin.absent"
_TIMESTAMP: Final = "zipkin.timestamp"
_DURATION: Final = "zipkin.duration"


def zipkin_id(trace_id: str) -> str:
    """A trace id of 32 hex digits as Zipkin writes it: 16 digits where the upper half is zero."""
    return trace_id[16:] if trace_id.startswith(_HALF) else trace_id


def trace_pieces(trace: Trace) -> Iterator[bytes]:
    """The JSON list of a trace's spans, in pieces."""
    writer = _Writer(trace)
    yield b"["
    rows = range(len(trace))
    for at in range(0, len(trace), _PIECE_SPANS):
        piece = ",".join(_json(writer.span(row)) for row in rows[at : at + _PIECE_SPANS])
        yield (b"," if at else b"") + piece.encode("utf-8", "replace")
    yield b"]"


class _Writer:
    """The spans of one trace."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._origins: dict[int, tuple[str, dict[str, str]]] = {}
        self._shared = self._shared_ids()
        self._clients = {trace.span_ids[row] for row in range(len(trace)) if trace.kind[row] == CLIENT}

    def span(self, row: int) -> dict[str, Any]:
        """One span as Zipkin has it."""
        trace = self._trace
        span = trace.span(row)
        service, tags = self._origin(trace.stored.origin[row])
        values = {pair.key: pair.value for pair in span.attributes}
        noted = {key: values.pop(key) for key in list(values) if key.startswith("zipkin.")}
        found: dict[str, Any] = {"traceId": zipkin_id(span.trace_id.hex())}
        own, parent, shared = self._ids(row, span, noted)
        if parent:
            found["parentId"] = parent
        found["id"] = own
        if kind := _KINDS.get(span.kind):
            found["kind"] = kind
        if span.name:
            found["name"] = span.name
        found.update(self._times(row, span, noted))
        local = _endpoint(service, values, "network.local", noted, "zipkin.local_endpoint")
        if local:
            found["localEndpoint"] = local
        remote = _endpoint(_peer(span.kind, values), values, "network.peer", noted, "zipkin.remote_endpoint")
        if remote:
            found["remoteEndpoint"] = remote
        events = sorted(span.events, key=_event_us)
        annotations = [{"timestamp": _event_us(event), "value": _event_text(event)} for event in events]
        if annotations:
            found["annotations"] = annotations
        debug = _taken(noted, _DEBUG) == "true"
        all_tags = {**tags, **{key: tag_text(value) for key, value in values.items()}, **_fields(span, values)}
        all_tags.update({key: tag_text(value) for key, value in noted.items()})
        if all_tags:
            found["tags"] = all_tags
        if shared:
            found["shared"] = True
        if debug:
            found["debug"] = True
        return found

    def _shared_ids(self) -> dict[bytes, str]:
        """The ids that the receiver gave to servers' sides, and the shared ones that came."""
        found = {}
        trace = self._trace
        for row in range(len(trace)):
            if trace.kind[row] == SERVER and _SHARED.encode() in trace.stored.raw[row]:
                came = next((pair.value for pair in trace.span(row).attributes if pair.key == _ID), None)
                if came is not None and came.string_value:
                    found[trace.span_ids[row]] = came.string_value
        return found

    def _ids(self, row: int, span: Span, noted: dict[str, AnyValue]) -> tuple[str, str, bool]:
        """The span's id, its parent's, and whether it shares its id with a client."""
        own = self._shared.get(span.span_id)
        if own is not None:
            parent = _taken(noted, _PARENT_ID)
            for key in (_SHARED, _ID):
                noted.pop(key, None)
            return own, parent, True
        came = self._trace.parent_ids[row]
        parent = self._shared.get(came) or (came.hex() if len(came) == 8 and came.strip(b"\0") else "")
        # Two sides of a call that came with one id by another protocol.
        shares = span.kind == SERVER and span.span_id in self._clients
        return span.span_id.hex(), parent, shares

    def _times(self, row: int, span: Span, noted: dict[str, AnyValue]) -> dict[str, int]:
        """Whole microseconds: the start rounded down, a length at least 1 where it is not 0."""
        absent = {one.string_value for one in noted.pop(_ABSENT, AnyValue()).array_value.values}
        found = {}
        start_ns = self._trace.t0_unix_nano + self._trace.start_ns[row]
        if span.start_time_unix_nano and not self._trace.flags[row] & ADJUSTED:
            start_ns = span.start_time_unix_nano
        if (came := _taken(noted, _TIMESTAMP)).isdigit():
            found["timestamp"] = int(came)
        elif "timestamp" not in absent:
            found["timestamp"] = start_ns // 1_000
        length_ns = self._trace.duration_ns[row]
        if "timestamp" in absent:  # a length alone: OTLP has it as an end after a start of 0
            length_ns = max(0, span.end_time_unix_nano - span.start_time_unix_nano)
        if (came := _taken(noted, _DURATION)).isdigit():
            found["duration"] = int(came)
        elif length_ns and "duration" not in absent:
            found["duration"] = max(1, length_ns // 1_000)
        return found

    def _origin(self, number: int) -> tuple[str, dict[str, str]]:
        """The service and the other attributes of a resource, and the scope, as tags."""
        known = self._origins.get(number)
        if known is None:
            known = self._origins[number] = self._read_origin(number)
        return known

    def _read_origin(self, number: int) -> tuple[str, dict[str, str]]:
        origin = self._trace.stored.origins[number]
        resource = _parsed(Resource, origin.resource).attributes
        service = next((tag_text(pair.value) for pair in resource if pair.key == "service.name"), "")
        tags = {pair.key: tag_text(pair.value) for pair in resource if pair.key != "service.name"}
        scope = _parsed(InstrumentationScope, origin.scope)
        if scope.name:
            tags["otel.scope.name"] = scope.name
        if scope.version:
            tags["otel.scope.version"] = scope.version
        return service, tags


def tag_text(value: AnyValue) -> str:
    """A value as one text: as a search compares it, but lists and lists of keys in JSON."""
    if value.WhichOneof("value") in ("array_value", "kvlist_value"):
        return json.dumps(plain(value, value_text), ensure_ascii=False, separators=(",", ":"))
    return value_text(value)


def _peer(kind: int, values: Mapping[str, AnyValue]) -> str:
    """The name of the other side; only `peer.service` is no tag then."""
    keys = PEER_KEYS if kind in (CLIENT, PRODUCER, CONSUMER) else PEER_KEYS[:1]
    return next((text for key in keys if key in values and (text := tag_text(values[key]))), "")


def _endpoint(
    service: str, values: dict[str, AnyValue], where: str, noted: dict[str, AnyValue], more: str
) -> dict[str, str | int]:
    """One side of a call. The attributes that it is made of are taken from `values` and `noted`."""
    found: dict[str, str | int] = {}
    service = _taken(noted, f"{more}.service_name") or service
    if service:
        found["serviceName"] = service
    if where == "network.peer" and tag_text(values.get("peer.service", AnyValue())) == service:
        values.pop("peer.service", None)
    address = _taken(noted, f"{more}.address") or _taken(values, f"{where}.address")
    if address and address == service:
        del found["serviceName"]  # named by its address: it has no other name
    if address:
        found["ipv6" if ":" in address else "ipv4"] = address
    if second := _taken(noted, f"{more}.ipv6"):
        found["ipv6"] = second
    port = _taken(noted, f"{more}.port") or _taken(values, f"{where}.port")
    if port.isdigit() and 0 < int(port) < 65536:
        found["port"] = int(port)
    return found


def _taken(values: dict[str, AnyValue], key: str) -> str:
    value = values.pop(key, None)
    return "" if value is None else tag_text(value)


def _fields(span: Span, values: Mapping[str, AnyValue]) -> dict[str, str]:
    """The tags in which OpenTelemetry's exporters for Zipkin write what Zipkin has no field for."""
    found = {}
    if code := _CODES.get(span.status.code):
        found["otel.status_code"] = code
        if span.status.message:
            found["otel.status_description"] = span.status.message
        if code == "ERROR" and "error" not in values:
            found["error"] = span.status.message or "true"
    if span.trace_state:
        found["w3c.tracestate"] = span.trace_state
    for number, link in enumerate(span.links):
        items = json.dumps(_items(link.attributes), ensure_ascii=False, separators=(",", ":"))
        ids = f"{link.trace_id.hex()}|{link.span_id.hex()}"
        found[f"otlp.link.{number}"] = f"{ids}|{link.trace_state}|{items}|{link.dropped_attributes_count}"
    return found


def _event_us(event: Span.Event) -> int:
    return event.time_unix_nano // 1_000


def _event_text(event: Span.Event) -> str:
    """The name; with attributes `{"name": {"key": value}}`, as OpenTelemetry writes it and the receiver reads it."""
    if not event.attributes:
        return event.name
    return json.dumps({event.name: _items(event.attributes)}, ensure_ascii=False)


def _items(attributes: Iterable[KeyValue]) -> dict[str, Any]:
    return {pair.key: plain(pair.value, value_text) for pair in attributes}


def _parsed(kind: Any, data: bytes) -> Any:
    """The message; an empty one where damage left other bytes."""
    try:
        return kind.FromString(data)
    except DecodeError:
        return kind()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
