"""A span of Pinpoint's and its events, from protobuf or JSON, written as spans of OTLP. No I/O.

Each event is a span whose id follows from ids that are in every piece, so that pieces which arrive apart, in any order, are one
tree without anything that has to be remembered between them. What a piece alone cannot know is found when the trace is read:
`model/pinpoint.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from clew import ids
from clew.otlp import encode
from clew_server.model import pinpoint as words
from clew_server.model.fragments import KEY as FRAGMENT
from clew_server.receivers.contract import OtlpBatch
from clew_server.receivers.foreign.conventions import CLIENT, SERVER, Value, beside
from clew_server.receivers.foreign.marks import ERROR, UNSET
from clew_server.receivers.foreign.quick import attributes_beside, plan
from clew_server.receivers.foreign.writing import (
    MAX_NS,
    Groups,
    attributes,
    batch,
    event,
    span,
    span_back,
    span_front,
)
from clew_server.receivers.pinpoint.types import ServiceType, event_kind

NONE: Final = -1
"""Where a parent or a next span would be named."""
_NS_PER_MS: Final = 1_000_000
_NO_ID: Final = bytes(8)
_SCOPE: Final = "pinpoint"


class Failure(NamedTuple):
    """An exception that ended a span or an event."""

    type: str
    """Empty where it is not known (yet)."""
    message: str


class Owner(NamedTuple):
    """The span that events belong to, and the asynchronous part of it, 0 where they belong to none."""

    resource: bytes
    transaction_id: str
    trace_id: bytes
    span_id: int
    own_id: bytes
    async_id: int = 0
    async_sequence: int = 0
    is_chunk: bool = False

    @classmethod
    def of(
        cls,
        resource: bytes,
        transaction_id: str,
        span_id: int,
        *,
        async_id: int = 0,
        async_sequence: int = 0,
        is_chunk: bool = False,
    ) -> Owner:
        """Raises OverflowError for ids beyond 64 bits."""
        trace_id = ids.trace_id_from_pinpoint(transaction_id)
        own_id = ids.span_id_from_int64(span_id)
        return cls(resource, transaction_id, trace_id, span_id, own_id, async_id, async_sequence, is_chunk)


class Event(NamedTuple):
    """One event, as it came."""

    sequence: int
    depth: int
    start_ms: int
    elapsed_ms: int
    type: ServiceType
    name: str
    tags: dict[str, Value]
    """Its attributes; the writer adds those that place it."""
    next_span_id: int = NONE
    end_point: str = ""
    destination: str = ""
    starts_async: int = 0
    failure: Failure | None = None
    has_failed: bool = False


class Writer:
    """Collects the spans of one message."""

    def __init__(self) -> None:
        self._groups = Groups()
        self._rejected: Counter[str] = Counter()
        self._fragments = 0
        self._lacking: dict[str, None] = {}
        self._unnamed = 0

    def span(
        self,
        owner: Owner,
        parent_span_id: int,
        name: str,
        kind: int,
        start_ms: int,
        elapsed_ms: int,
        tags: dict[str, Value],
        *,
        failure: Failure | None = None,
        has_failed: bool = False,
    ) -> None:
        """Write the span itself."""
        parent_id = b""
        if parent_span_id != NONE:
            tags["pinpoint.parent_span_id"] = str(parent_span_id)
            parent_id = ids.parent_id_from_pinpoint(owner.transaction_id, owner.span_id, parent_span_id)
        tags["pinpoint.transaction_id"] = owner.transaction_id
        tags[words.SPAN_ID] = str(owner.span_id)
        if owner.own_id == _NO_ID:
            self._rejected["span_id"] += 1
            return
        self._write(owner, owner.own_id, parent_id, name, kind, start_ms, elapsed_ms, tags, failure, has_failed)

    def events(self, owner: Owner, events: Iterable[Event]) -> None:
        """Write events of a span, all those of one piece."""
        above: list[tuple[int, bytes]] = []
        top = owner.own_id
        if owner.async_id:
            top = ids.span_id_from_pinpoint_async(owner.transaction_id, owner.span_id, owner.async_id)
        own_text = str(owner.span_id)
        for one in sorted(events, key=_by_sequence):
            depth = one.depth
            while above and above[-1][0] >= depth:
                above.pop()
            tags = one.tags
            calls = one.next_span_id not in (NONE, 0)
            if calls:
                span_id = ids.span_id_from_pinpoint_call(owner.transaction_id, one.next_span_id)
                tags["pinpoint.next_span_id"] = str(one.next_span_id)
            elif one.starts_async:
                span_id = ids.span_id_from_pinpoint_async(owner.transaction_id, owner.span_id, one.starts_async)
            else:
                span_id = ids.span_id_from_pinpoint_event(
                    owner.transaction_id, owner.span_id, one.sequence, owner.async_id, owner.async_sequence
                )
            parent_id = above[-1][1] if above else top
            above.append((depth, span_id))
            tags[words.SPAN_ID] = own_text
            tags[words.SEQUENCE] = one.sequence
            tags[words.DEPTH] = depth
            if owner.is_chunk:
                tags[words.CHUNK] = True
            if owner.async_id:
                tags[words.ASYNC_ID] = owner.async_id
                tags[words.ASYNC_SEQUENCE] = owner.async_sequence
            if one.starts_async:
                tags[words.STARTS_ASYNC] = one.starts_async
            kind = event_kind(one.type, calls=calls or bool(one.end_point or one.destination))
            tags["pinpoint.service_type"] = one.type.name
            if one.type.system is not None:
                tags.setdefault(*one.type.system)
            if one.end_point:
                tags["pinpoint.end_point"] = one.end_point
                _put_address(tags, "server", one.end_point)
            if one.destination:
                tags["pinpoint.destination_id"] = one.destination
                if one.type.system is not None and one.type.system[0] == "db.system.name":
                    tags.setdefault("db.namespace", one.destination)
                elif kind == CLIENT and ":" in one.destination:
                    _put_address(tags, "server", one.destination)
                elif kind == CLIENT:
                    tags["peer.service"] = one.destination
            self._write(
                owner,
                span_id,
                parent_id,
                one.name or one.type.name,
                kind,
                one.start_ms,
                one.elapsed_ms,
                tags,
                one.failure,
                one.has_failed,
            )

    def fragment(self, owner: Owner, start_ms: int, events: Iterable[bytes]) -> None:
        """Write events (`writing.event`) of a span that is written elsewhere."""
        start_ns = _ns(start_ms) or 0
        front = span_front("", 0, start_ns, start_ns, attributes({FRAGMENT: "pinpoint"}))
        if owner.own_id == _NO_ID:
            self._rejected["span_id"] += 1
            return
        self._groups.add(
            owner.resource, _SCOPE, "", span(owner.trace_id, owner.own_id, "", b"", front, span_back(events))
        )
        self._fragments += 1

    def malformed(self) -> None:
        """Count a message whose bytes are none."""
        self._rejected["malformed"] += 1

    def batch(self, received: bytes, agent: str = "") -> OtlpBatch:
        """What was collected. `agent`: whose facts its spans refer to. Raises TooLarge beyond the limits of a request."""
        found = batch(self._groups, received=received, rejected=self._rejected)
        if self._lacking:
            found = found._replace(
                lacking=[(agent, reference.partition("=")[0]) for reference in self._lacking],
                notes=[words.note(agent, reference) for reference in self._lacking],
                unnamed=self._unnamed,
            )
        return found._replace(fragments=self._fragments) if self._fragments else found

    def _write(
        self,
        owner: Owner,
        span_id: bytes,
        parent_id: bytes,
        name: str,
        kind: int,
        start_ms: int,
        elapsed_ms: int,
        tags: dict[str, Value],
        failure: Failure | None,
        has_failed: bool,
    ) -> None:
        unresolved = tags.get(words.UNRESOLVED)
        if isinstance(unresolved, tuple):
            self._lacking.update((str(reference), None) for reference in unresolved)
            self._unnamed += 1
        start_ns = _ns(start_ms)
        if start_ns is None:
            tags["pinpoint.start_time_ms"] = start_ms
            start_ns = 0
        end_ns = start_ns + elapsed_ms * _NS_PER_MS
        if not start_ns <= end_ns <= MAX_NS:
            tags["pinpoint.elapsed_ms"] = elapsed_ms
            end_ns = start_ns
        events: list[bytes] = []
        code, message = UNSET, ""
        if failure is not None:
            code, message = ERROR, failure.message
            items = {"exception.type": failure.type} if failure.type else {}
            if failure.message:
                items["exception.message"] = failure.message
            events.append(event(end_ns, "exception", items))
        elif has_failed or (
            kind in (CLIENT, SERVER)  # others only pass on what was answered
            and "http.status_code" in tags
            and _has_failed(tags["http.status_code"], 400 if kind == CLIENT else 500)
        ):
            code = ERROR
        planned = plan(tags)
        if planned.is_simple:
            more = attributes_beside(tags, kind, planned.rules) if planned.rules else b""
        else:
            more = attributes(beside(tags, kind))
        front = span_front(name, kind, start_ns, end_ns, attributes(tags) + more)
        back = span_back(events, (), code, message) if events or code else b""
        self._groups.add(owner.resource, _SCOPE, "", span(owner.trace_id, span_id, "", parent_id, front, back))


def _by_sequence(one: Event) -> int:
    return one.sequence


def _ns(time_ms: int) -> int | None:
    return time_ms * _NS_PER_MS if 0 <= time_ms <= MAX_NS // _NS_PER_MS else None


def _has_failed(answer: Value, least: int) -> bool:
    if isinstance(answer, str):
        return len(answer) == 3 and answer.isdecimal() and least <= int(answer) < 600
    return isinstance(answer, int) and least <= answer < 600


def put_accepted(
    tags: dict[str, Value], kind: int, rpc: str, end_point: str, remote: str, parent: Mapping[str, Value]
) -> None:
    """The attributes of a span that say what was asked for, by which client and where. `parent`: what it says of its caller."""
    if rpc:
        tags[words.RPC] = rpc
        if kind == SERVER and rpc.startswith("/"):
            tags.setdefault("url.path", rpc.partition("?")[0])
    if end_point:
        tags["pinpoint.end_point"] = end_point
        _put_address(tags, "server", end_point)
    if remote:
        tags["pinpoint.remote_address"] = remote
        _put_address(tags, "client", remote)
    tags.update(parent)
    caller = parent.get("pinpoint.parent.application")
    if caller:
        tags.setdefault("peer.service", caller)


def _put_address(tags: dict[str, Value], side: str, text: str) -> None:
    """`host:port`, an IPv6 address in brackets, or a host alone; of several separated by commas the first."""
    text = text.partition(",")[0]
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or (":" in host and not host.startswith("[")):
        host, port = text, ""
    tags.setdefault(f"{side}.address", host.strip("[]"))
    if port and len(port) <= 5:
        tags.setdefault(f"{side}.port", int(port))


def encoded_resource(items: Mapping[str, Value]) -> bytes:
    """A resource whose values are taken as they are."""
    return encode.resource({key: value for key, value in items.items() if value not in ("", 0)})
