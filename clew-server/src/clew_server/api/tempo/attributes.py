"""What a TraceQL query can name: attributes with their place, and intrinsics. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

from clew_server.api.tempo.tokens import unquoted

_PLACES: Final = {
    "span": "span",
    "resource": "resource",
    "event": "event",
    "link": "link",
    "instrumentation": "instrumentation",
}


class Attribute(NamedTuple):
    """`place`: `span`, `resource`, `event`, `link`, `instrumentation`, `any` (span, else resource), `intrinsic` with the key `name`,
    `status`, …, or `unknown`."""

    place: str
    key: str
    text: str
    """As it was written."""


_INTRINSICS: Final = {
    "status": "status",
    "span:status": "status",
    "statusMessage": "statusMessage",
    "span:statusMessage": "statusMessage",
    "duration": "duration",
    "span:duration": "duration",
    "name": "name",
    "span:name": "name",
    "kind": "kind",
    "span:kind": "kind",
    "traceDuration": "traceDuration",
    "trace:duration": "traceDuration",
    "rootName": "rootName",
    "trace:rootName": "rootName",
    "rootServiceName": "rootServiceName",
    "trace:rootService": "rootServiceName",
    "event:name": "event:name",
    "instrumentation:name": "instrumentation:name",
    "trace:id": "trace:id",
    "span:id": "span:id",
    "span:parentID": "span:parentID",
    "link:traceID": "link:traceID",
    "nestedSetParent": "nestedSetParent",
}
INTRINSICS: Final = tuple(dict.fromkeys(_INTRINSICS.values()))


def attribute_of(text: str) -> Attribute:
    """`span.KEY`, `resource.KEY`, `event.KEY`, `.KEY` or an intrinsic; the place `unknown` for anything else."""
    if text in _INTRINSICS:
        return Attribute("intrinsic", _INTRINSICS[text], text)
    scope, dot, key = text.partition(".")
    if not dot or (scope and scope not in _PLACES):
        return Attribute("unknown", text, text)
    if key.startswith('"') and key.endswith('"') and len(key) > 1:
        key = unquoted(key)
    return Attribute(_PLACES.get(scope, "any"), key, text)
