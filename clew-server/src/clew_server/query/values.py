"""What the spans of a trace say under one key: a cell of a list of traces, the colours of its rows. Pure, on bytes that are read already."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from google.protobuf.message import DecodeError
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.model.attributes import text_in_span, text_of
from clew_server.model.trace import Trace

MOST_VALUES: Final = 4
"""So many different values are given; one more than are shown says that there are more."""


MOST_GROUPS: Final = 50
"""So many values are given with their spans."""


class Group(NamedTuple):
    """The spans of a trace that have one value of an attribute."""

    value: str
    rows: list[int]
    """In row order."""


class Groups(NamedTuple):
    """The most frequent values, of equally frequent ones the lesser text; how many spans have another one, and how many have none."""

    most: list[Group]
    other: int
    without: int


def values(trace: Trace, key: str) -> list[str]:
    """The first different values of an attribute, in row order, as text: each span's own, else its resource's. Empty ones are left out."""
    found: dict[str, None] = {}
    for text in _texts(trace, key):
        if text:
            found[text] = None
            if len(found) == MOST_VALUES:
                break
    return list(found)


def groups(trace: Trace, key: str) -> Groups:
    """The spans by the value they have for an attribute, as text: their own, else their resource's. An empty one is none."""
    rows_of: dict[str, list[int]] = {}
    for row, text in enumerate(_texts(trace, key)):
        rows_of.setdefault(text, []).append(row)
    without = len(rows_of.pop("", ()))
    ranked = sorted(rows_of, key=lambda text: (-len(rows_of[text]), text))
    other = sum(len(rows_of[text]) for text in ranked[MOST_GROUPS:])
    return Groups([Group(text, rows_of[text]) for text in ranked[:MOST_GROUPS]], other, without)


def _texts(trace: Trace, key: str) -> Iterator[str]:
    """The value that each row has, empty where it has none."""
    stored = trace.stored
    shared: dict[int, str] = {}
    for raw, origin in zip(stored.raw, stored.origin, strict=True):
        text = text_in_span(raw, key)
        if text is None:
            text = _parsed(raw, key)
        if not text:
            if origin not in shared:
                shared[origin] = _of_resource(stored.origins[origin].resource, key)
            text = shared[origin]
        yield text


def _parsed(raw: bytes, key: str) -> str:
    try:
        return text_of(Span.FromString(raw).attributes, key)
    except DecodeError:
        return ""


def _of_resource(resource: bytes, key: str) -> str:
    try:
        return text_of(Resource.FromString(resource).attributes, key)
    except DecodeError:
        return ""
