"""What the spans of a trace say under one key: a cell of a list of traces. Pure, on bytes that are read already."""

from __future__ import annotations

from typing import Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.model.attributes import text_in_span, text_of
from clew_server.model.trace import Trace

MOST_VALUES: Final = 4
"""So many different values are given; one more than are shown says that there are more."""


def values(trace: Trace, key: str) -> list[str]:
    """The first different values of an attribute, in row order, as text: each span's own, else its resource's. Empty ones are left out."""
    stored = trace.stored
    shared: dict[int, str] = {}
    found: dict[str, None] = {}
    for raw, origin in zip(stored.raw, stored.origin, strict=True):
        text = text_in_span(raw, key)
        if text is None:
            text = _parsed(raw, key)
        if not text:
            if origin not in shared:
                shared[origin] = _of_resource(stored.origins[origin].resource, key)
            text = shared[origin]
        if text:
            found[text] = None
            if len(found) == MOST_VALUES:
                break
    return list(found)


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
