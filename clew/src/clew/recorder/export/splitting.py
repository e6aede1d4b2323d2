"""A request that a collector finds too large, in two halves."""

from __future__ import annotations

from typing import NamedTuple

from clew.otlp import decode, encode
from clew.otlp import fields as f


class Part(NamedTuple):
    """An ExportTraceServiceRequest and how many spans it holds."""

    spans: int
    request: bytes


def halves(request: bytes) -> tuple[Part, Part] | None:
    """The first half of the spans and the others, each below its own resource and scope; None of a single span.

    Raises ValueError for bytes that are no request.
    """
    spans = [
        (resource, scope, span)
        for resource in decode.messages(request, f.REQUEST_RESOURCE_SPANS)
        for scope in decode.messages(resource, f.RESOURCE_SPANS_SCOPE_SPANS)
        for span in decode.messages(scope, f.SCOPE_SPANS_SPANS)
    ]
    if len(spans) < 2:
        return None
    middle = len(spans) // 2
    return _part(spans[:middle]), _part(spans[middle:])


def _part(spans: list[tuple[bytes, bytes, bytes]]) -> Part:
    resources: dict[int, tuple[bytes, dict[int, tuple[bytes, list[bytes]]]]] = {}
    for resource, scope, span in spans:
        _, scopes = resources.setdefault(id(resource), (resource, {}))
        scopes.setdefault(id(scope), (scope, []))[1].append(span)
    whole = b"".join(
        encode.delimited(
            f.REQUEST_RESOURCE_SPANS,
            _without(resource, f.RESOURCE_SPANS_SCOPE_SPANS)
            + b"".join(
                encode.delimited(
                    f.RESOURCE_SPANS_SCOPE_SPANS,
                    _without(scope, f.SCOPE_SPANS_SPANS)
                    + b"".join(encode.delimited(f.SCOPE_SPANS_SPANS, span) for span in own),
                )
                for scope, own in scopes.values()
            ),
        )
        for resource, scopes in resources.values()
    )
    return Part(len(spans), whole)


def _without(message: bytes, number: int) -> bytes:
    """The length-delimited fields of a message but these; ResourceSpans and ScopeSpans have no others."""
    return b"".join(
        encode.delimited(found, value)
        for found, value in decode.fields(message)
        if found != number and isinstance(value, bytes)
    )
