"""A span of Jaeger's, from Thrift or from protobuf, written as a span of OTLP. No I/O.

`docs/receivers/jaeger.md` says where each field goes; this is the code behind that page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from clew.otlp import encode
from clew.otlp import fields as f
from clew_server.errors import TooLarge
from clew_server.receivers.contract import MAX_REQUEST_SPANS, OtlpBatch
from clew_server.receivers.foreign.conventions import (
    CLIENT,
    CONSUMER,
    INTERNAL,
    PRODUCER,
    SERVER,
    Value,
    beside,
    beside_event,
)
from clew_server.receivers.foreign.marks import ERROR, UNSET, Marks, is_failed_answer
from clew_server.receivers.foreign.writing import (
    MAX_NS,
    Groups,
    attributes,
    batch,
    event,
    resource,
    span,
    span_back,
    span_front,
    whole_characters,
)

CHILD_OF: Final = 0
FOLLOWS_FROM: Final = 1
SAMPLED: Final = 1
DEBUG: Final = 2
FIREHOSE: Final = 8

_NO_TRACE_ID: Final = bytes(16)
_NO_SPAN_ID: Final = bytes(8)
_KINDS: Final[dict[Value, int]] = {
    "server": SERVER,
    "client": CLIENT,
    "producer": PRODUCER,
    "consumer": CONSUMER,
    "internal": INTERNAL,
}
_REF_TYPES: Final = {CHILD_OF: "child_of", FOLLOWS_FROM: "follows_from"}
_REF_TYPE: Final = "opentracing.ref_type"
_SAMPLED_FLAG: Final = encode.tag(f.SPAN_FLAGS, f.FIXED32) + b"\1\0\0\0"
_LANGUAGES: Final = {"node": "nodejs", "c++": "cpp"}


class Reference(NamedTuple):
    """Another span that a span names."""

    type: int
    trace_id: bytes
    span_id: bytes


class JaegerSpan(NamedTuple):
    """One span as it came. Times in ns, not yet checked; a parent of eight zero bytes or none at all is no parent."""

    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    name: str
    references: Sequence[Reference]
    flags: int
    start_ns: int
    duration_ns: int
    tags: Mapping[str, Value]
    events: Sequence[bytes]
    """Its logs, as `event_of` wrote them."""


class Writer:
    """Collects the spans of one request and counts those that OTLP does not allow."""

    def __init__(self) -> None:
        self._groups = Groups()
        self._rejected: Counter[str] = Counter()
        self._spans = 0

    def add(self, resource_bytes: bytes, one: JaegerSpan) -> None:
        """Write a span of this process. Raises TooLarge beyond the spans a request may have."""
        self._spans += 1
        if self._spans > MAX_REQUEST_SPANS:  # those that are rejected count too
            raise TooLarge(f"more than {MAX_REQUEST_SPANS} spans in one request")
        if len(one.trace_id) != 16 or one.trace_id == _NO_TRACE_ID:
            self._rejected["trace_id"] += 1
        elif len(one.span_id) != 8 or one.span_id == _NO_SPAN_ID:
            self._rejected["span_id"] += 1
        else:
            written, marks = _written(one)
            self._groups.add(resource_bytes, marks.scope_name, marks.scope_version, written)

    def malformed(self) -> None:
        """Count a span whose bytes are none."""
        self._rejected["malformed"] += 1

    def batch(self, received: bytes) -> OtlpBatch:
        """What was collected. Raises TooLarge beyond the size of a request."""
        return batch(self._groups, received=received, rejected=self._rejected)


def resource_of(service: str, tags: Mapping[str, Value]) -> bytes:
    """The resource of a process."""
    items: dict[str, Value] = {"service.name": service} if service else {}
    for key, value in tags.items():
        if key in items and items[key] != value:
            items["jaeger.tag." + key] = value
        else:
            items[key] = value
    for key, value in tags.items():
        for name, standard in _of_process(key, value):
            if name not in tags and name not in items:
                items[name] = standard
    return resource(items)


def _of_process(key: str, value: Value) -> Iterable[tuple[str, Value]]:
    """What the tags of Jaeger's own clients are called by OpenTelemetry."""
    if not isinstance(value, str):
        return ()
    if key == "hostname":
        return (("host.name", value),)
    if key == "ip":
        return (("host.ip", (value,)),)
    if key == "client-uuid":
        return (("service.instance.id", value),)
    if key == "jaeger.version":
        language, dash, version = value.partition("-")
        if dash:
            language = language.lower()
            return (
                ("telemetry.sdk.name", "jaeger"),
                ("telemetry.sdk.language", _LANGUAGES.get(language, language)),
                ("telemetry.sdk.version", version),
            )
    return ()


def _written(one: JaegerSpan) -> tuple[bytes, Marks]:
    marks = Marks.of(one.tags)
    tags = marks.tags
    kind = 0
    said = tags.get("span.kind")
    if said is not None:
        kind = _KINDS.get(said, 0)
        if kind:
            tags = {key: value for key, value in tags.items() if key != "span.kind"}
    more = beside(tags, kind)
    start_ns, end_ns = one.start_ns, one.start_ns + one.duration_ns
    if not 0 < start_ns <= end_ns <= MAX_NS:
        start_ns, end_ns = _times(one, more)
    if one.flags & ~SAMPLED:
        more["jaeger.flags"] = one.flags
        if one.flags & DEBUG:
            more["jaeger.debug"] = True
        if one.flags & FIREHOSE:
            more["jaeger.firehose"] = True
    parent_id, links = _related(one) if one.references else (one.parent_id, [])
    code, message = _status(marks, tags, kind)
    front = span_front(
        one.name, kind, start_ns, end_ns, attributes(tags) + attributes(more) if more else attributes(tags)
    )
    back = span_back(one.events, [*marks.links, *links], code, message)
    if one.flags & SAMPLED:
        back += _SAMPLED_FLAG
    parent_id = parent_id if parent_id != _NO_SPAN_ID else b""
    return span(one.trace_id, one.span_id, marks.trace_state, parent_id, front, back), marks


def _times(one: JaegerSpan, more: dict[str, Value]) -> tuple[int, int]:
    """Start and end of a span with a time that OTLP does not have, which then is kept as an attribute."""
    start_ns = one.start_ns
    if not 0 <= start_ns <= MAX_NS:
        more["jaeger.start_time_us"] = start_ns // 1000
        start_ns = 0
    end_ns = start_ns + one.duration_ns
    if not start_ns <= end_ns <= MAX_NS:
        more["jaeger.duration_us"] = one.duration_ns // 1000
        end_ns = start_ns
    return start_ns, end_ns


def _related(one: JaegerSpan) -> tuple[bytes, list[bytes]]:
    """The parent, and a link for each reference that is not it.

    Without a parent in its own field it is the first span of the same trace that this one is a child of, else the first that
    it follows from. The reference to it says nothing more, unless it is of another type.
    """
    parent_id = one.parent_id
    if not parent_id.strip(b"\0"):
        parent_id = _first(one, CHILD_OF) or _first(one, FOLLOWS_FROM) or b""
    links = []
    for reference in one.references:
        is_parent = reference.span_id == parent_id and reference.trace_id == one.trace_id
        if not (is_parent and reference.type == CHILD_OF):
            links.append(_link(reference))
    return parent_id, links


def _link(reference: Reference) -> bytes:
    """A link; ids of another length than OTLP's, which protobuf can hold, are its attributes."""
    items = {_REF_TYPE: _REF_TYPES.get(reference.type, str(reference.type))}
    trace_id, span_id = reference.trace_id, reference.span_id
    if len(trace_id) != 16 or len(span_id) != 8:
        items |= {"jaeger.trace_id": trace_id.hex(), "jaeger.span_id": span_id.hex()}
        trace_id = span_id = b""
    return encode.link(int.from_bytes(trace_id, "big"), int.from_bytes(span_id, "big"), "", items, 0, 0)


def _first(one: JaegerSpan, type_: int) -> bytes | None:
    for reference in one.references:
        span_id = reference.span_id
        if reference.type == type_ and reference.trace_id == one.trace_id and len(span_id) == 8 and any(span_id):
            return span_id
    return None


def _status(marks: Marks, tags: Mapping[str, Value], kind: int) -> tuple[int, str]:
    """Where no tag says it, an answer's number does: 5xx, and for a client 4xx too."""
    code, message = marks.status_code, marks.status_message
    if code == ERROR and not message:
        said = tags.get("http.status_message")
        return code, said if isinstance(said, str) else ""
    if code == UNSET and "otel.status_code" not in tags and "error" not in tags:
        answer = tags.get("http.status_code", "")
        if is_failed_answer(answer, kind):
            return ERROR, ""
    return code, message


def event_of(time_ns: int, fields: Mapping[str, Value]) -> bytes:
    """A log as an event, whose name the field `event` says; OpenTelemetry's exporters call it `message`. Times in ns, not yet checked."""
    name_in = "event" if isinstance(fields.get("event"), str) else "message"
    name = fields.get(name_in)
    items: dict[str, Value] = dict(fields)
    more = beside_event(fields)
    if more:
        # Then it is the exception that has the name, for whoever looks for exceptions.
        items.update(more)
        named = "exception"
    elif isinstance(name, str) and name:
        del items[name_in]
        named = name
    else:
        named = "log"
    if not 0 <= time_ns <= MAX_NS:
        items["jaeger.timestamp_us"] = time_ns // 1000
        time_ns = 0
    return event(time_ns, named, {whole_characters(key): value for key, value in items.items()})
