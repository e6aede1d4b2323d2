"""SkyWalking over HTTP: segments, properties and heartbeats in JSON, with the names of the protobuf fields. No I/O.

Enums are names or numbers, as agents write both; a null is a field that is not there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from clew_server.errors import BadInput
from clew_server.model.facts import Fact
from clew_server.receivers.contract import Head, OtlpBatch
from clew_server.receivers.foreign.conventions import Value
from clew_server.receivers.json_walk import JsonWalk
from clew_server.receivers.skywalking.logs import Log
from clew_server.receivers.skywalking.properties import facts_of, resource_of
from clew_server.receivers.skywalking.spans import (
    LAYERS,
    REF_TYPES,
    SPAN_TYPES,
    Reference,
    Segment,
    SkyWalkingSpan,
    Writer,
    put,
)

_Json = Mapping[str, Any]
_INTEGER: Final = re.compile(r"-?[0-9]{1,19}", re.ASCII).fullmatch


def decode_segment_json(body: bytes, head: Head) -> OtlpBatch:
    """One segment. Raises BadInput, TooLarge."""
    walk = _walk(body)
    writer = Writer()
    _add(writer, walk.value(), head)
    walk.end()
    return writer.batch(body)


def decode_segments_json(body: bytes, head: Head) -> OtlpBatch:
    """A list of segments. Raises BadInput, TooLarge."""
    walk = _walk(body)
    writer = Writer()
    for _ in walk.elements():
        _add(writer, walk.value(), head)
    walk.end()
    return writer.batch(body)


def count_logs(body: bytes, head: Head) -> OtlpBatch:
    """A list of logs, or one. Raises BadInput."""
    walk = _walk(body)
    found = walk.value()
    walk.end()
    logs = found if isinstance(found, list) else [found]
    return _nothing_kept(body, log=len(logs))


def heartbeat(body: bytes, head: Head) -> OtlpBatch:
    """A sign of life, of which nothing is kept. Raises BadInput."""
    walk = _walk(body)
    _object(walk.value(), "a heartbeat")
    walk.end()
    return _nothing_kept(body)


def properties_of_json(body: bytes, head: Head) -> Sequence[Fact]:
    """What an instance says of itself. Raises BadInput, TooLarge."""
    walk = _walk(body)
    found = _object(walk.value(), "an instance")
    walk.end()
    pairs: list[tuple[str, str]] = []
    for one in _list(found, "properties"):
        if "key" in one:
            pairs.append((_text(one, "key"), _text(one, "value")))
        else:  # agents in Lua once sent {"language": "Lua"}
            pairs += [(key, _text(one, key)) for key in one]
    return facts_of(_text(found, "service"), _text(found, "serviceInstance"), pairs, _text(found, "layer"))


def _nothing_kept(body: bytes, **dropped: int) -> OtlpBatch:
    return OtlpBatch(body, b"", 0, None, {}, dropped={kind: count for kind, count in dropped.items() if count})


def _walk(body: bytes) -> JsonWalk:
    return JsonWalk(body.decode("utf-8-sig", "replace"))


def _add(writer: Writer, value: Any, head: Head) -> None:
    segment = _object(value, "a segment")
    resource_bytes = resource_of(_text(segment, "service"), _text(segment, "serviceInstance"), head)
    writer.segment(
        resource_bytes,
        Segment(_text(segment, "traceId"), _text(segment, "traceSegmentId"), _flag(segment, "isSizeLimited")),
    )
    spans = segment.get("spans")
    if spans is not None and not isinstance(spans, list):
        raise BadInput("spans of a segment are a list", code="malformed")
    for span in spans or ():
        try:
            one = _span(_object(span, "a span"))
        except BadInput:
            writer.malformed()
        else:
            writer.add(one)


def _span(span: _Json) -> SkyWalkingSpan:
    return SkyWalkingSpan(
        _integer(span, "spanId"),
        _integer(span, "parentSpanId"),
        _integer(span, "startTime"),
        _integer(span, "endTime"),
        [_reference(one) for one in _list(span, "refs")],
        _text(span, "operationName"),
        _text(span, "peer"),
        _enum(span, "spanType", SPAN_TYPES),
        _enum(span, "spanLayer", LAYERS),
        _integer(span, "componentId"),
        _flag(span, "isError"),
        _pairs(span, "tags"),
        [Log(_integer(one, "time"), _pairs(one, "data")) for one in _list(span, "logs")],
        _flag(span, "skipAnalysis"),
    )


def _reference(one: _Json) -> Reference:
    return Reference(
        _enum(one, "refType", REF_TYPES),
        _text(one, "traceId"),
        _text(one, "parentTraceSegmentId"),
        _integer(one, "parentSpanId"),
        _text(one, "parentService"),
        _text(one, "parentServiceInstance"),
        _text(one, "parentEndpoint"),
        _text(one, "networkAddressUsedAtPeer"),
    )


def _object(value: Any, what: str) -> _Json:
    if not isinstance(value, dict):
        raise BadInput(f"{what} is an object in JSON, not {str(value)[:64]!r}", code="malformed")
    return value


def _list(item: _Json, key: str) -> Sequence[_Json]:
    found = item.get(key)
    if found is None:
        return ()
    if not isinstance(found, list):
        raise BadInput(f"{key} is a list", code="malformed")
    return [_object(one, f"an element of {key}") for one in found]


def _pairs(item: _Json, key: str) -> dict[str, Value]:
    pairs: dict[str, Value] = {}
    for one in _list(item, key):
        put(pairs, _text(one, "key"), _text(one, "value"))
    return pairs


def _text(item: _Json, key: str) -> str:
    found = item.get(key)
    if found is None:
        return ""
    if isinstance(found, str):
        return found
    if isinstance(found, bool):
        return "true" if found else "false"
    if isinstance(found, int | float):  # agents in JavaScript and Lua
        return str(found)
    raise BadInput(f"{key} is a text", code="malformed")


def _flag(item: _Json, key: str) -> bool:
    found = item.get(key)
    if found is None or isinstance(found, bool):
        return bool(found)
    raise BadInput(f"{key} is true or false", code="malformed")


def _integer(item: _Json, key: str) -> int:
    found = item.get(key)
    if found is None:
        return 0
    if isinstance(found, float) and found.is_integer() and abs(found) < 1 << 53:
        found = int(found)
    if isinstance(found, str) and _INTEGER(found):  # 64 bits are quoted in protobuf's JSON
        found = int(found)
    if isinstance(found, int) and not isinstance(found, bool) and -(1 << 63) <= found < 1 << 63:
        return found
    raise BadInput(f"{key} is an integer of 64 bits", code="malformed")


def _enum(item: _Json, key: str, names: Sequence[str]) -> int:
    found = item.get(key)
    if isinstance(found, str):
        if found in names:
            return names.index(found)
        if not _INTEGER(found):
            raise BadInput(f"{key} is one of {', '.join(names)}", code="malformed")
    return _integer(item, key)


PATHS: Final[Mapping[str, Callable[[bytes, Head], OtlpBatch]]] = {
    "/v3/segment": decode_segment_json,
    "/v3/segments": decode_segments_json,
    "/v3/logs": count_logs,
    "/v3/management/keepAlive": heartbeat,
}
