"""Which spans of a trace hold a text: in attributes, events, links, status and what they share. Pure, on bytes that are read already."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.errors import BadInput
from clew_server.model.text import value_text, written_text
from clew_server.model.trace import Trace

MOST_FOUND: Final = 10_000
"""So many spans are named; that there are more is said."""
LONGEST_TEXT: Final = 200

# Texts that may be part of a number, or of true and false, which are not text in the bytes of a span.
_NUMBER: Final = re.compile(r"[0-9.e+\-]+")
_WORDS: Final = ("true", "false", "-infinity", "nan")


class Found(NamedTuple):
    """Rows of the spans, in row order; `is_complete` is False where there are more than are named."""

    rows: list[int]
    is_complete: bool


def find(trace: Trace, text: str) -> Found:
    """The spans with the text in a key or value (not of bytes), a name of an event, the status, their resource or scope.

    Upper and lower case are the same.

    Raises BadInput, code `bad_parameter`, for a blank text and one of more than 200 characters.
    """
    wanted = text.strip().casefold()
    if not wanted or len(text) > LONGEST_TEXT:
        raise BadInput(f"q: wants a text of 1 to {LONGEST_TEXT} characters to find", code="bad_parameter")
    stored = trace.stored
    shared = [_in_origin(origin.resource, origin.scope, wanted) for origin in stored.origins]
    # What is text in a span stands in its bytes as it is; most spans are passed over without being parsed.
    is_made = _NUMBER.fullmatch(wanted) is not None or any(wanted in word for word in _WORDS)
    quick = wanted.encode() if wanted.isascii() and not is_made else None
    rows: list[int] = []
    for row, (raw, origin) in enumerate(zip(stored.raw, stored.origin, strict=True)):
        if not shared[origin]:
            if quick is not None and quick not in raw.lower():
                continue
            if not _in_span(raw, wanted):
                continue
        if len(rows) == MOST_FOUND:
            return Found(rows, is_complete=False)
        rows.append(row)
    return Found(rows, is_complete=True)


def _in_span(raw: bytes, wanted: str) -> bool:
    try:
        span = Span.FromString(raw)
    except DecodeError:
        return False
    return (
        wanted in span.status.message.casefold()
        or _in_attributes(span.attributes, wanted)
        or any(wanted in event.name.casefold() or _in_attributes(event.attributes, wanted) for event in span.events)
        or any(_in_attributes(link.attributes, wanted) for link in span.links)
    )


def _in_origin(resource: bytes, scope: bytes, wanted: str) -> bool:
    try:
        named = InstrumentationScope.FromString(scope)
        return (
            _in_attributes(Resource.FromString(resource).attributes, wanted)
            or wanted in named.name.casefold()
            or _in_attributes(named.attributes, wanted)
        )
    except DecodeError:
        return False


def _in_attributes(attributes: Iterable[KeyValue], wanted: str) -> bool:
    return any(wanted in pair.key.casefold() or _in_value(pair.value, wanted) for pair in attributes)


def _in_value(value: AnyValue, wanted: str) -> bool:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return any(_in_value(one, wanted) for one in value.array_value.values)
    if kind == "kvlist_value":
        return _in_attributes(value.kvlist_value.values, wanted)
    if kind == "double_value":  # `1e+16` in queries and as JSON, `10000000000000000` on the page
        return wanted in f"{value_text(value)} {written_text(value)}".casefold()
    return kind != "bytes_value" and wanted in value_text(value).casefold()
