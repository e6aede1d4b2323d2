"""Fragments: what is learned of a span apart from it. Here they are made from log records, and merged into their spans. No I/O.

A fragment is an OTLP span with the trace id and span id of the span it belongs to and an attribute `clew.fragment` that names
its kind. It goes through the log and the store like any span, and nothing counts it. Whoever reads a trace merges it: the
fragment's events become events of the span.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import Final, NamedTuple

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.model.attributes import text_of
from clew_server.model.stored import Origin, StoredSpans
from clew_server.model.unknown import rewritten

KEY: Final = "clew.fragment"
"""Attribute of a fragment; the store looks for it too (schema step 9)."""
LOG: Final = "log"
FROM: Final = "clew.from"
"""Attribute of an event that was a log record. It and all attributes behind it were added here; those before are the record's."""
SEVERITY: Final = "log.severity_number"

MARK: Final = KEY.encode()
_NO_TRACE_ID: Final = bytes(16)
_NO_SPAN_ID: Final = bytes(8)
_MAX_INT64: Final = (1 << 63) - 1
_EXCEPTION: Final = ("exception.type", "exception.message", "exception.stacktrace")
_ESCAPED: Final = "exception.escaped"
_SAME_EXCEPTION_NS: Final = 1_000_000_000


class Merged(NamedTuple):
    """Spans with the events of their fragments; `awaited` counts the fragments whose span is not among them."""

    spans: StoredSpans
    awaited: int


def belongs_to_a_span(record: LogRecord) -> bool:
    """Whether a record names a span and is an event or an exception; any other is a line of text that clew does not keep."""
    if len(record.trace_id) != 16 or len(record.span_id) != 8:
        return False
    if record.trace_id == _NO_TRACE_ID or record.span_id == _NO_SPAN_ID:
        return False
    return bool(record.event_name) or any(pair.key.startswith("exception.") for pair in record.attributes)


def write_fragment(target: Span, record: LogRecord, scope_name: str) -> None:
    """Make an empty span the fragment of a record for which `belongs_to_a_span` holds."""
    time_unix_nano = record.time_unix_nano or record.observed_time_unix_nano
    target.trace_id = record.trace_id
    target.span_id = record.span_id
    target.flags = record.flags
    target.start_time_unix_nano = target.end_time_unix_nano = time_unix_nano
    target.attributes.add(key=KEY).value.string_value = LOG
    event = target.events.add(
        name=record.event_name or "exception",
        time_unix_nano=time_unix_nano,
        dropped_attributes_count=record.dropped_attributes_count,
    )
    event.attributes.MergeFrom(record.attributes)
    event.attributes.add(key=FROM).value.string_value = LOG
    if record.severity_number:
        event.attributes.add(key=SEVERITY).value.int_value = record.severity_number
    if record.severity_text:
        event.attributes.add(key="log.severity_text").value.string_value = record.severity_text
    if record.HasField("body"):
        event.attributes.add(key="log.body").value.CopyFrom(record.body)
    if observed := record.observed_time_unix_nano:
        value = event.attributes.add(key="log.observed_time_unix_nano").value
        if observed <= _MAX_INT64:
            value.int_value = observed
        else:
            value.string_value = str(observed)
    if scope_name:
        event.attributes.add(key="log.scope.name").value.string_value = scope_name


def is_fragment(span: Span) -> bool:
    """Whether a parsed span is a fragment of another."""
    return any(pair.key == KEY for pair in span.attributes)


def merged(spans: StoredSpans) -> Merged:
    """The spans of one trace without the fragments among them, whose events stand in their spans instead.

    The events do not depend on the order of `spans`; one that the span has already is not added. Spans whose bytes do not
    parse stay as they are.
    """
    fragments: dict[bytes, list[_Part]] = {}
    places = set[int]()
    for place, raw in enumerate(spans.raw):
        # Parsing every span of a large trace costs a second, this look at its bytes a hundredth of it (`in` takes twice as long).
        part = _part(spans, place) if raw.find(MARK) >= 0 else None
        if part is not None and is_fragment(part.span):
            fragments.setdefault(part.span.span_id, []).append(part)
            places.add(place)
    if not fragments:
        return Merged(spans, 0)
    rest = spans.take([place for place in range(len(spans)) if place not in places])
    owners: dict[bytes, list[_Part]] = {}
    for place, raw in enumerate(rest.raw):
        if raw[20:28] in fragments:  # canonical: the two ids come first (docs/formats/wal.md)
            part = _part(rest, place)
            if part is not None:
                owners.setdefault(part.span.span_id, []).append(part)
    awaited = 0
    gained: dict[int, list[Span.Event]] = {}
    for span_id, of_span in fragments.items():
        candidates = owners.get(span_id)
        if candidates is None:
            awaited += len(of_span)
            continue
        for fragment in of_span:
            gained.setdefault(_chosen(candidates, fragment).place, []).extend(fragment.span.events)
    for place, events in gained.items():
        rest.raw[place] = _with_events(rest.raw[place], events)
    return Merged(rest, awaited)


class _Part(NamedTuple):
    """A fragment, or a span to which fragments may belong."""

    place: int
    origin: Origin
    raw: bytes
    span: Span


def _part(spans: StoredSpans, place: int) -> _Part | None:
    raw = spans.raw[place]
    try:
        return _Part(place, spans.origins[spans.origin[place]], raw, Span.FromString(raw))
    except DecodeError:
        return None


def _chosen(candidates: list[_Part], fragment: _Part) -> _Part:
    """Of several spans with one id: that of the same resource, else of the same service; of those one that was running then,
    else the earliest."""
    some = candidates
    if len(some) > 1:
        same = [one for one in some if one.origin.resource == fragment.origin.resource]
        if not same:
            service = _service(fragment.origin)
            same = [one for one in some if _service(one.origin) == service]
        some = same or some
        at = fragment.span.start_time_unix_nano
        running = [one for one in some if one.span.start_time_unix_nano <= at <= one.span.end_time_unix_nano]
        some = running or some
    return min(some, key=lambda one: (one.span.start_time_unix_nano, one.raw, one.origin))


def _service(origin: Origin) -> str:
    try:
        return text_of(Resource.FromString(origin.resource).attributes, "service.name")
    except DecodeError:
        return ""


def _with_events(raw: bytes, events: Iterable[Span.Event]) -> bytes:
    """The bytes of a span with these events among its own, by time; without those that it has already."""
    in_order = sorted(events, key=lambda event: (event.time_unix_nano, event.SerializeToString(deterministic=True)))

    def add(span: Span) -> None:
        own = list(span.events)
        new = _new(own, in_order)
        if new:
            both = list(heapq.merge(own, new, key=lambda event: event.time_unix_nano))
            del span.events[:]
            span.events.extend(both)

    return rewritten(raw, add)


def _new(own: list[Span.Event], others: list[Span.Event]) -> list[Span.Event]:
    seen = {_key(event) for event in own}
    exceptions: dict[tuple[str, ...], list[int]] = {}
    for event in own:
        if told := _exception(event):
            exceptions.setdefault(told, []).append(event.time_unix_nano)
    new = []
    for event in others:
        key = _key(event)
        if key in seen or _told_already(event, exceptions):
            continue
        seen.add(key)
        new.append(event)
    return new


def _key(event: Span.Event) -> tuple[str, int, tuple[bytes, ...]]:
    """Name, time and attributes, these in any order and without what was added to a log record.

    `exception.escaped`, which is deprecated, is left out: SDKs write it in the span event only.
    """
    written = sorted(pair.SerializeToString(deterministic=True) for pair in _as_recorded(event) if pair.key != _ESCAPED)
    return event.name, event.time_unix_nano, tuple(written)


def _as_recorded(event: Span.Event) -> list[KeyValue]:
    pairs = list(event.attributes)
    for at in range(len(pairs) - 1, -1, -1):
        if pairs[at].key == FROM:
            return pairs[:at]
    return pairs


def _exception(event: Span.Event) -> tuple[str, ...] | None:
    """Type, message and stack trace of an exception; None where there is no stack trace."""
    found = {pair.key: pair.value.string_value for pair in event.attributes if pair.key in _EXCEPTION}
    told = tuple(found.get(key, "") for key in _EXCEPTION)
    return told if told[2] else None


def _told_already(event: Span.Event, exceptions: dict[tuple[str, ...], list[int]]) -> bool:
    """Whether the span's own event tells of this very exception, raised once and written down twice, a moment apart.

    An event of the span stands for one log record, so that an exception raised again and again keeps its count.
    """
    told = _exception(event)
    times = exceptions.get(told) if told else None
    for at, time_unix_nano in enumerate(times or ()):
        if abs(time_unix_nano - event.time_unix_nano) <= _SAME_EXCEPTION_NS:
            assert times is not None
            del times[at]
            return True
    return False
