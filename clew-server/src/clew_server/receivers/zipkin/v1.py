"""Zipkin's v1 model, in which one span may hold both sides of a call, read as v2 spans. No I/O.

The annotations `cs`, `cr`, `sr`, `ss`, `ms` and `mr` with an endpoint say which sides there are and when; `ws` and `wr` when a
message was on the wire; the binary annotations `sa`, `ca` and `ma` who the other side is. All others are events and tags.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from clew_server.receivers.foreign.conventions import CLIENT, CONSUMER, INTERNAL, PRODUCER, SERVER, Value
from clew_server.receivers.zipkin.spans import NOWHERE, Annotation, Endpoint, Spans

_CORE: Final = frozenset(("cs", "cr", "sr", "ss", "ms", "mr", "ws", "wr"))
_ADDRESSES: Final = frozenset(("sa", "ca", "ma"))
_ADDRESS_VALUES: Final = (True, 1, "", "1", "true")


class V1Annotation(NamedTuple):
    """Something that happened at a time, and the endpoint that reported it; `NOWHERE` without one."""

    timestamp_us: int
    value: str
    endpoint: Endpoint


class BinaryAnnotation(NamedTuple):
    """A tag, and the endpoint that reported it."""

    key: str
    value: Value
    endpoint: Endpoint


@dataclass(frozen=True, slots=True)
class V1Span:
    """A span as v1 has it: ids as `Spans.add` wants them, times in µs, 0 where they are not known."""

    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    name: str
    timestamp_us: int
    duration_us: int
    debug: bool
    annotations: Sequence[V1Annotation]
    binaries: Sequence[BinaryAnnotation]


@dataclass(slots=True)
class _Side:
    """One v2 span that is being put together."""

    kind: int
    local: Endpoint
    timestamp_us: int = 0
    duration_us: int = 0
    shared: bool = False
    remote: Endpoint = NOWHERE
    events: list[Annotation] = field(default_factory=list)
    tags: dict[str, Value] = field(default_factory=dict)
    more: dict[str, Value] = field(default_factory=dict)

    def begins_or_ends(self, timestamp_us: int) -> bool:
        """Whether a time is one of this side's own two; clients round each for itself, so a microsecond does not count."""
        end_us = self.timestamp_us + self.duration_us
        return abs(timestamp_us - self.timestamp_us) <= 1 or abs(timestamp_us - end_us) <= 1


def add_v1(spans: Spans, span: V1Span) -> None:
    """Add the sides of a v1 span: a client and a server become two spans, the server's marked as shared."""
    core: dict[str, V1Annotation] = {}
    others: list[V1Annotation] = []
    for one in span.annotations:
        if one.value in _CORE and one.endpoint is not NOWHERE and one.value not in core:
            core[one.value] = one
        else:
            others.append(one)
    sides = _sides(span, core)
    _place_core(sides, core)
    for one in others:
        side = _side_of(sides, one.endpoint)
        said = {} if _is_at(side, one.endpoint) else {"zipkin.endpoint": _text(one.endpoint)}
        side.events.append(Annotation(one.timestamp_us, one.value, said))
    addresses: dict[str, Endpoint] = {}
    for tag in span.binaries:
        if tag.key in _ADDRESSES and tag.endpoint is not NOWHERE and tag.key not in addresses:
            addresses[tag.key] = tag.endpoint
            if tag.value in _ADDRESS_VALUES:
                continue
        elif tag.key == "lc" and tag.value == "":
            continue
        side = _side_of(sides, tag.endpoint)
        side.tags[tag.key] = tag.value
        if tag.endpoint is not NOWHERE and tag.key not in _ADDRESSES and not _is_at(side, tag.endpoint):
            side.more[f"zipkin.endpoint.{tag.key}"] = _text(tag.endpoint)
    _place_addresses(sides, addresses)
    for side in sides:
        spans.add(
            span.trace_id,
            span.span_id,
            span.parent_id,
            side.kind,
            span.name,
            side.timestamp_us,
            side.duration_us,
            side.local,
            side.remote,
            sorted(side.events, key=lambda event: event.timestamp_us),
            side.tags,
            debug=span.debug,
            shared=side.shared,
            more=side.more,
        )


def _sides(span: V1Span, core: dict[str, V1Annotation]) -> list[_Side]:
    """The sides that the core annotations tell of; one local span where they tell of none."""
    begin, end = dict[str, V1Annotation](core), span.timestamp_us + span.duration_us
    for first, last in (("cs", "cr"), ("sr", "ss")):
        # An end that is where the span ends says where the side began, too.
        is_whole = first not in core and last in core and span.timestamp_us and span.duration_us
        if is_whole and core[last].timestamp_us == end:
            begin[first] = V1Annotation(span.timestamp_us, first, core[last].endpoint)
    cs, cr, sr, ss = (begin.get(value) for value in ("cs", "cr", "sr", "ss"))
    sides: list[_Side] = []
    client, server = cs or cr, sr or ss
    if client is not None:
        sides.append(_timed(span, CLIENT, client, cs, cr))
    if server is not None:
        if client is None:
            side = _timed(span, SERVER, server, sr, ss)
            side.shared = bool((core.get("sr") and not span.timestamp_us) or (ss and not span.duration_us))
        else:
            # The span's own times are the client's.
            side = _between(SERVER, server, sr, ss)
            side.shared = True
        sides.append(side)
    ms, mr, ws, wr = (core.get(value) for value in ("ms", "mr", "ws", "wr"))
    if ms is not None:
        sides.append(_between(PRODUCER, ms, ms, ws) if mr or sides else _timed(span, PRODUCER, ms, ms, ws))
    if mr is not None:
        start, stop = (mr, None) if wr is None else (wr, mr)
        if ms is not None or sides:
            side = _between(CONSUMER, mr, start, stop)
            side.shared = True
        else:
            side = _timed(span, CONSUMER, mr, start, stop)
        sides.append(side)
    return sides or [_local(span)]


def _timed(span: V1Span, kind: int, who: V1Annotation, first: V1Annotation | None, last: V1Annotation | None) -> _Side:
    """A side whose times are the span's own where it has both, else those of its annotations."""
    if span.timestamp_us and span.duration_us:
        return _Side(kind, who.endpoint, span.timestamp_us, span.duration_us)
    side = _between(kind, who, first, last)
    if not side.duration_us:
        side.timestamp_us = span.timestamp_us or side.timestamp_us
        side.duration_us = span.duration_us
    return side


def _between(kind: int, who: V1Annotation, first: V1Annotation | None, last: V1Annotation | None) -> _Side:
    side = _Side(kind, who.endpoint)
    if first is not None:
        side.timestamp_us = first.timestamp_us
        if last is not None and last.timestamp_us > first.timestamp_us:
            side.duration_us = last.timestamp_us - first.timestamp_us
    return side


def _local(span: V1Span) -> _Side:
    """A span within one process, or one that only says who the other side is."""
    tags = [tag for tag in span.binaries if tag.key not in _ADDRESSES]
    said = [tag.endpoint for tag in tags if tag.key == "lc"]
    said += [one.endpoint for one in span.annotations] + [tag.endpoint for tag in tags]
    local = next((endpoint for endpoint in said if endpoint is not NOWHERE), NOWHERE)
    return _Side(INTERNAL, local, span.timestamp_us, span.duration_us)


def _place_core(sides: list[_Side], core: dict[str, V1Annotation]) -> None:
    """What a core annotation says beyond its side's times is an event."""
    kinds = {"cs": CLIENT, "cr": CLIENT, "sr": SERVER, "ss": SERVER, "ms": PRODUCER, "mr": CONSUMER}
    for value, one in core.items():
        kind = kinds.get(value)
        side = next((side for side in sides if side.kind == kind), None) or _side_of(sides, one.endpoint)
        if (kind is None and side.kind not in (PRODUCER, CONSUMER)) or not side.begins_or_ends(one.timestamp_us):
            side.events.append(Annotation(one.timestamp_us, value))


def _place_addresses(sides: list[_Side], addresses: dict[str, Endpoint]) -> None:
    """Give each side its other side. An address that is no other side's is an attribute."""
    left = dict(addresses)
    for side in sides:
        if side.kind == INTERNAL and left:
            if "ca" in left and "sa" in left:
                if side.local is NOWHERE:
                    side.local = left.pop("ca")
                side.remote = left.pop("sa")
            elif "sa" in left:
                side.remote = left.pop("sa")
            elif "ca" in left:
                side.kind, side.remote = SERVER, left.pop("ca")
            continue
        key = {CLIENT: "sa", SERVER: "ca"}.get(side.kind, "ma")
        found = addresses.get(key)
        if found is None:
            continue
        if found != side.local:
            side.remote = found
        left.pop(key, None)
    for key, endpoint in left.items():
        sides[0].more[f"zipkin.{key}"] = _text(endpoint)


def _side_of(sides: list[_Side], endpoint: Endpoint) -> _Side:
    """The side that an endpoint belongs to; the first where it belongs to neither."""
    for side in sides:
        if side.local == endpoint:
            return side
    for side in sides:
        if endpoint.service and side.local.service == endpoint.service:
            return side
    return sides[0]


def _is_at(side: _Side, endpoint: Endpoint) -> bool:
    return endpoint is NOWHERE or endpoint == side.local


def _text(endpoint: Endpoint) -> str:
    """An endpoint in one text: service, address, port."""
    address = endpoint.address
    if endpoint.port:
        address = f"[{address}]:{endpoint.port}" if ":" in address else f"{address}:{endpoint.port}"
    return " ".join(part for part in (endpoint.service, address) if part)
