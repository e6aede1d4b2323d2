"""A Datadog span written as a span of OTLP. No I/O.

`docs/receivers/datadog.md` says where each field goes; this is the code behind that page.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from clew.ids import span_id_from_hex, span_id_from_int64, trace_id_from_hex, trace_id_from_int64s
from clew.otlp import encode
from clew.otlp import fields as f
from clew_server.receivers.datadog.payload import RawSpan
from clew_server.receivers.foreign.conventions import CLIENT, CONSUMER, INTERNAL, PRODUCER, SERVER, Value, beside
from clew_server.receivers.foreign.marks import ERROR, OK, UNSET, json_object
from clew_server.receivers.foreign.writing import (
    MAX_NS,
    attributes,
    event,
    span,
    span_back,
    span_front,
    whole_characters,
)

_KINDS: Final = {
    "server": SERVER,
    "client": CLIENT,
    "producer": PRODUCER,
    "consumer": CONSUMER,
    "internal": INTERNAL,
}
# Of a span without `span.kind`: what its type says.
_KINDS_OF_TYPES: Final = {
    "web": SERVER,
    "serverless": SERVER,
    "rpc": CLIENT,
    "http": CLIENT,
    "sql": CLIENT,
    "db": CLIENT,
    "cache": CLIENT,
    "redis": CLIENT,
    "memcached": CLIENT,
    "mongodb": CLIENT,
    "cassandra": CLIENT,
    "elasticsearch": CLIENT,
    "worker": CONSUMER,
    "queue": CONSUMER,
}
_QUERY_TYPES: Final = frozenset(("sql", "cassandra"))
"""Types whose resource is the text of the query."""
_LINKS, _EVENTS, _HIGH = "_dd.span_links", "events", "_dd.p.tid"
_PRIORITY: Final = "_sampling_priority_v1"
_SAMPLED: Final = encode.tag(f.SPAN_FLAGS, f.FIXED32) + b"\1\0\0\0"
_U64: Final = (1 << 64) - 1
MAX_PARTS: Final = 1 << 14
"""Links of a span, and events."""


class Malformed(ValueError):
    """A span that is none; `reason` is how it is counted."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def number_of(value: Any) -> int | None:
    """An integer of 64 bits, signed or not, also as a text of digits (JavaScript); None for anything else."""
    if isinstance(value, str) and len(value) <= 20 and value.isascii() and value.isdecimal():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not -(1 << 63) <= value <= _U64:
        return None
    return value


def map_of(value: Any) -> Mapping[str, Any]:
    """A map; what is none, like nil, is an empty one."""
    return value if isinstance(value, dict) else {}


def text_of(value: Any) -> str:
    """A text; empty for anything else."""
    return value if isinstance(value, str) else ""


def high_half(chunk: Iterable[RawSpan]) -> dict[int, int]:
    """The high halves of trace ids by their low ones: tracers write it to the first span of a chunk only."""
    found: dict[int, int] = {}
    for raw in chunk:
        said = map_of(raw.get("meta")).get(_HIGH)
        low = number_of(raw.get("trace_id"))
        if low is not None and isinstance(said, str) and len(said) == 16 and low & _U64 not in found:
            try:
                found[low & _U64] = int(said, 16)
            except ValueError:
                continue
    return found


def written(raw: RawSpan, high_halves: Mapping[int, int]) -> bytes:
    """A span as an element of `ScopeSpans.spans`. Raises Malformed."""
    low, span_number = number_of(raw.get("trace_id")), number_of(raw.get("span_id"))
    if not low:
        raise Malformed("trace_id")
    if not span_number:
        raise Malformed("span_id")
    trace_id = trace_id_from_int64s(high_halves.get(low & _U64, 0), low)
    parent = number_of(raw.get("parent_id"))
    meta, metrics = map_of(raw.get("meta")), map_of(raw.get("metrics"))
    tags: dict[str, Value] = {}
    _put(tags, meta)
    _put(tags, metrics)
    type_ = text_of(raw.get("type"))
    kind = _kind(tags, type_)
    more = _own(raw, tags, type_)
    start_ns, end_ns = _times(raw, more)
    events = _events(raw, tags)
    failed = bool(raw.get("error"))
    code, message = _status(tags, failed)
    raised = _exception(tags, events, end_ns)
    links = _links(raw, tags)
    more |= {key: value for key, value in beside(tags, kind).items() if key not in more}
    if not more.keys().isdisjoint(tags):
        more = {key: value for key, value in more.items() if key not in tags}
    front = span_front(
        text_of(raw.get("name")), kind, start_ns, end_ns, attributes(tags) + (attributes(more) if more else b"")
    )
    priority = metrics.get(_PRIORITY, 1)
    back = span_back([one for _, one in events] + raised, links, code, message)
    if not (isinstance(priority, int | float) and priority <= 0):
        back += _SAMPLED
    return span(
        trace_id,
        span_id_from_int64(span_number),
        "",
        span_id_from_int64(parent) if parent else b"",
        front,
        back,
    )


_PLAIN: Final = frozenset((str, int, float, bool, bytes))


def _put(tags: dict[str, Value], found: Mapping[Any, Any]) -> None:
    if _PLAIN.issuperset(map(type, found.values())) and {str}.issuperset(map(type, found)):
        tags.update(found)
        return
    for key, value in found.items():
        name = key if isinstance(key, str) else str(key)
        tags[name] = value if isinstance(value, str | bool | int | float | bytes) else _text(value)


def _text(value: Any) -> str:
    """JSON of a value that an attribute cannot hold."""
    try:
        return json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, TypeError, RecursionError):
        return str(type(value).__name__)


def _kind(tags: dict[str, Value], type_: str) -> int:
    said = tags.get("span.kind")
    kind = _KINDS.get(said.lower()) if isinstance(said, str) else None
    if kind is not None:
        del tags["span.kind"]
        return kind
    return _KINDS_OF_TYPES.get(type_.lower(), INTERNAL)


def _own(raw: RawSpan, tags: dict[str, Value], type_: str) -> dict[str, Value]:
    """The fields that OTLP has no place for."""
    more: dict[str, Value] = {}
    resource = text_of(raw.get("resource"))
    if resource:
        more["datadog.resource"] = resource
        if type_.lower() in _QUERY_TYPES:
            more["db.query.text"] = resource
    if type_:
        more["datadog.type"] = type_
    for key, value in map_of(raw.get("meta_struct")).items():
        more[f"datadog.meta_struct.{key}"] = value if isinstance(value, bytes) else _text(value)
    if raw.get("error") not in (0, 1, None, False, True):
        more["datadog.error"] = _text(raw["error"])
    tags.pop(_HIGH, None)
    return more


def _times(raw: RawSpan, more: dict[str, Value]) -> tuple[int, int]:
    """Start and end in ns. Times that OTLP does not have are kept as attributes."""
    start_ns, duration_ns = raw.get("start"), raw.get("duration")
    if isinstance(start_ns, bool) or not isinstance(start_ns, int) or not 0 <= start_ns <= MAX_NS:
        if start_ns is not None:
            more["datadog.start"] = _text(start_ns)
        start_ns = 0
    if isinstance(duration_ns, float) and 0 <= duration_ns < 1 << 53:
        duration_ns = int(duration_ns)
    if isinstance(duration_ns, bool) or not isinstance(duration_ns, int) or not 0 <= duration_ns <= MAX_NS - start_ns:
        if duration_ns is not None:
            more["datadog.duration"] = _text(duration_ns)
        duration_ns = 0
    return start_ns, start_ns + duration_ns


def _status(tags: Mapping[str, Value], failed: bool) -> tuple[int, str]:
    if failed:
        message = tags.get("error.message", tags.get("error.msg", ""))
        return ERROR, message if isinstance(message, str) else ""
    # OpenTelemetry's API on top of a Datadog tracer says it so.
    return (OK if text_of(tags.get("otel.status_code")).lower() == "ok" else UNSET), ""


def _exception(tags: dict[str, Value], events: list[tuple[dict[str, Any], bytes]], end_ns: int) -> list[bytes]:
    """The exception that the tags tell of, unless an event tells of it too. The stack moves to it."""
    found: dict[str, Value] = {}
    if "error.type" not in tags and "error.stack" not in tags:
        return []
    for name, *keys in (
        ("exception.type", "error.type"),
        ("exception.message", "error.message", "error.msg"),
        ("exception.stacktrace", "error.stack"),
    ):
        said = next((tags[key] for key in keys if isinstance(tags.get(key), str) and tags[key]), None)
        if said is not None:
            found[name] = said
    if not found.keys() & {"exception.type", "exception.stacktrace"}:
        return []
    for known, _ in events:
        if known.get("exception.message") == found.get("exception.message") and "exception.type" in known:
            return []
    tags.pop("error.stack", None)
    return [event(end_ns, "exception", _whole(found))]


def _events(raw: RawSpan, tags: dict[str, Value]) -> list[tuple[dict[str, Any], bytes]]:
    """Its span events, each with its attributes: a field in v0.4, a tag with JSON else."""
    found = raw.get("span_events")
    if not isinstance(found, list):
        found = _json_list(tags, _EVENTS, ("name", "time_unix_nano"))
    events = []
    for one in _few(found):
        said = map_of(one)
        items = {str(key): _typed(value) for key, value in map_of(said.get("attributes")).items()}
        time_ns = said.get("time_unix_nano")
        if isinstance(time_ns, bool) or not isinstance(time_ns, int) or not 0 <= time_ns <= MAX_NS:
            items["datadog.time_unix_nano"] = _text(time_ns)
            time_ns = 0
        events.append((items, event(time_ns, text_of(said.get("name")) or "event", _whole(items))))
    return events


def _typed(value: Any) -> Any:
    """An attribute of an event: a value, or a map that names its type.

    Some tracers write the values of all types, some leave out what is zero or empty: the type says which one counts.
    """
    if not isinstance(value, dict):
        return _plain(value)
    type_ = value.get("type", _ARRAY if "array_value" in value else None)
    if type_ == _ARRAY:
        values = map_of(value.get("array_value")).get("values") or []
        if isinstance(values, list):
            return tuple(_typed(one) if isinstance(one, dict) else _plain(one) for one in values)
    for at, (key, absent) in enumerate(_SCALARS):
        if type_ == at:
            return _plain(value.get(key, absent))
        if type_ is None and key in value:
            return _plain(value[key])
    return _text(value)


_SCALARS: Final[tuple[tuple[str, Value], ...]] = (
    ("string_value", ""),
    ("bool_value", False),
    ("int_value", 0),
    ("double_value", 0.0),
)
"""By the number of their type: where each is, and what it is where that is left out."""
_ARRAY: Final = 4


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_plain(one) if not isinstance(one, list) else _text(one) for one in value)
    return value if isinstance(value, str | bool | int | float | bytes) else _text(value)


def _links(raw: RawSpan, tags: dict[str, Value]) -> list[bytes]:
    """Its links: a field in v0.4, a tag with JSON else."""
    found = raw.get("span_links")
    if not isinstance(found, list):
        found = _json_list(tags, _LINKS, ("trace_id", "span_id"))
    return [_link(map_of(one)) for one in _few(found)]


def _link(one: Mapping[str, Any]) -> bytes:
    """Ids that are none are the link's attributes."""
    items = {str(key): _plain(value) for key, value in map_of(one.get("attributes")).items()}
    trace_id, span_id = _linked(one)
    if not any(trace_id) or not any(span_id):
        items |= {"datadog.trace_id": _text(one.get("trace_id")), "datadog.span_id": _text(one.get("span_id"))}
        trace_id = span_id = b""
    dropped = number_of(one.get("dropped_attributes_count")) or 0
    flags = number_of(one.get("flags")) or 0
    return encode.link(
        int.from_bytes(trace_id, "big"),
        int.from_bytes(span_id, "big"),
        whole_characters(text_of(one.get("tracestate"))),
        _whole(items),
        min(max(0, dropped), (1 << 32) - 1),
        flags & 0xFF,
    )


def _linked(one: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """The ids of a link: numbers with a high half beside them in msgpack, hex digits in JSON."""
    trace, span_ = one.get("trace_id"), one.get("span_id")
    try:
        if isinstance(trace, str) and isinstance(span_, str):
            return trace_id_from_hex(trace), span_id_from_hex(span_)
    except ValueError:
        return b"", b""
    low, number, high = number_of(trace), number_of(span_), number_of(one.get("trace_id_high")) or 0
    if low is None or number is None:
        return b"", b""
    return trace_id_from_int64s(high, low), span_id_from_int64(number)


def _json_list(tags: dict[str, Value], key: str, needed: tuple[str, ...]) -> list[Any]:
    """The list in a tag, which then goes; a tag with anything else stays."""
    said = tags.get(key)
    if not isinstance(said, str) or not said.startswith("["):
        return []
    wrapped = json_object('{"list":' + said + "}")
    try:
        found = json.loads(wrapped["list"]) if wrapped else None
    except (ValueError, TypeError, RecursionError):
        return []
    if not isinstance(found, list) or not all(isinstance(one, dict) and all(n in one for n in needed) for one in found):
        return []
    del tags[key]
    return found


def _few(found: list[Any]) -> list[Any]:
    """Raises Malformed for more than a span may have: an empty one takes a byte in msgpack and hundreds here."""
    if len(found) > MAX_PARTS:
        raise Malformed("malformed")
    return found


def _whole(items: Mapping[str, Any]) -> dict[str, Any]:
    return {whole_characters(key): value for key, value in items.items()}
