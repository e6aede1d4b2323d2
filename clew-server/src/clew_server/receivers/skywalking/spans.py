"""A span of SkyWalking's, from protobuf or from JSON, written as a span of OTLP. No I/O.

`docs/receivers/skywalking.md` says where each field goes; this is the code behind that page.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from clew.ids import span_id_from_skywalking, trace_id_from_text
from clew.otlp import encode
from clew.otlp import fields as f
from clew_server.errors import TooLarge
from clew_server.receivers.contract import MAX_REQUEST_SPANS, OtlpBatch
from clew_server.receivers.foreign import quick
from clew_server.receivers.foreign.conventions import (
    CLIENT,
    CONSUMER,
    INTERNAL,
    PRODUCER,
    RULES,
    SERVER,
    Value,
    beside,
    names_beside,
)
from clew_server.receivers.foreign.marks import ERROR, UNSET
from clew_server.receivers.foreign.writing import (
    MAX_NS,
    Groups,
    attributes,
    batch,
    span,
    span_back,
    span_front,
    whole_characters,
)
from clew_server.receivers.skywalking.components import NAMES, SYSTEMS
from clew_server.receivers.skywalking.logs import Log, event_of, message_of

ENTRY, EXIT, LOCAL = 0, 1, 2
SPAN_TYPES: Final = ("Entry", "Exit", "Local")
DATABASE, RPC_FRAMEWORK, HTTP, MQ, CACHE, FAAS = 1, 2, 3, 4, 5, 6
LAYERS: Final = ("Unknown", "Database", "RPCFramework", "Http", "MQ", "Cache", "FAAS")
CROSS_PROCESS, CROSS_THREAD = 0, 1
REF_TYPES: Final = ("CrossProcess", "CrossThread")
EARLIER: Final = "sw8.tag."
"""Before the key of a tag: an attribute with the values that tags of the same key had before the last one."""

_OWN: Final = "sw8."
_HAS_REMOTE: Final = 0x100
_IS_REMOTE: Final = 0x200
_NS_PER_MS: Final = 1_000_000
_MOST_MS: Final = MAX_NS // _NS_PER_MS
_MOST_EARLIER: Final = 128
_FLAGS: Final = {
    flags: encode.tag(f.SPAN_FLAGS, f.FIXED32) + flags.to_bytes(4, "little")
    for flags in (_HAS_REMOTE, _HAS_REMOTE | _IS_REMOTE)
}
# Tags of SkyWalking's agents, by names that `foreign.conventions` knows.
_ALIASES: Final = {
    "url": "http.url",
    "status_code": "http.status_code",
    "mq.topic": "messaging.destination",
    "mq.queue": "messaging.destination",
    "cache.type": "db.system",
    "cache.cmd": "db.operation",
    "cache.instance": "db.instance",
}
TAGS: Final = frozenset(_ALIASES) | RULES
_SYSTEMS_OF: Final = {"db.system.name": ("db.type", "db.system", "cache.type")}


class Reference(NamedTuple):
    """The span in another segment that a segment hangs on."""

    type: int
    trace_id: str
    segment_id: str
    span_number: int
    service: str
    instance: str
    endpoint: str
    address: str


class SkyWalkingSpan(NamedTuple):
    """One span as it came. Times in ms, not yet checked."""

    number: int
    parent: int
    start_ms: int
    end_ms: int
    references: Sequence[Reference]
    name: str
    peer: str
    type: int
    layer: int
    component: int
    is_error: bool
    tags: Mapping[str, Value]
    logs: Sequence[Log]
    skips_analysis: bool


class Segment(NamedTuple):
    """What the spans of a segment share."""

    trace_id: str
    segment_id: str
    is_size_limited: bool


def put(tags: dict[str, Value], key: str, value: str) -> None:
    """Add a tag whose key may be there already: the last one counts, and the others are kept beside it."""
    before = tags.get(key)
    if before is not None and before != value:
        known = tags.get(EARLIER + key)
        so_far = known if isinstance(known, tuple) else ()
        if len(so_far) < _MOST_EARLIER:
            tags[EARLIER + key] = (*so_far, str(before))
    tags[key] = value


class Writer:
    """Collects the spans of one request and counts those that OTLP does not allow."""

    def __init__(self) -> None:
        self._groups = Groups()
        self._rejected: Counter[str] = Counter()
        self._spans = 0
        self._resource = b""
        self._segment = Segment("", "", False)
        self._trace_id = b""
        self._same = b""
        self._ids: dict[int, bytes] = {}

    def segment(self, resource_bytes: bytes, segment: Segment) -> None:
        """Begin a segment: the spans that are added next are its."""
        self._resource, self._segment = resource_bytes, segment
        self._ids = {}
        self._trace_id = trace_id_from_text(segment.trace_id) if segment.trace_id else b""
        same: dict[str, Value] = {"sw8.segment_id": whole_characters(segment.segment_id)}
        if self._trace_id.hex() != segment.trace_id:
            same["sw8.trace_id"] = whole_characters(segment.trace_id)
        if segment.is_size_limited:
            same["sw8.size_limited"] = True
        # Written past the cache of pairs, which ids that come once would fill.
        self._same = b"".join([encode.delimited(f.SPAN_ATTRIBUTES, encode.key_value(*pair)) for pair in same.items()])

    def add(self, one: SkyWalkingSpan) -> None:
        """Write a span of this segment. Raises TooLarge beyond the spans a request may have."""
        self.expect()
        if not self._trace_id.strip(b"\0"):
            self._rejected["trace_id"] += 1
        elif not self._segment.segment_id:
            self._rejected["span_id"] += 1
        else:
            self._groups.add(self._resource, "", "", self._written(one))

    def expect(self) -> None:
        """Count a span. Raises TooLarge beyond the spans a request may have; those that are rejected count too."""
        self._spans += 1
        if self._spans > MAX_REQUEST_SPANS:
            raise TooLarge(f"more than {MAX_REQUEST_SPANS} spans in one request")

    def malformed(self) -> None:
        """Count a span whose bytes are none."""
        self.expect()
        self._rejected["malformed"] += 1

    def batch(self, received: bytes) -> OtlpBatch:
        """What was collected. Raises TooLarge beyond the size of a request."""
        return batch(self._groups, received=received, rejected=self._rejected)

    def _written(self, one: SkyWalkingSpan) -> bytes:
        more: dict[str, Value] = {}
        parent_id, flags, links = b"", 0, list[bytes]()
        if one.parent >= 0:
            parent_id, flags = self._id(one.parent), _HAS_REMOTE
        if one.references:
            parent_id, flags, links = self._related(one, parent_id, flags, more)
        start_ms, end_ms = one.start_ms, one.end_ms
        if not 0 < start_ms <= end_ms <= _MOST_MS:
            start_ms, end_ms = _times(one, more)
        if one.skips_analysis:
            more["sw8.skip_analysis"] = True
        kind = _kind(one)
        used = one.references[0].address if one.references and kind == SERVER else ""
        written = (
            _attributes(one.tags, kind, _given(one.type, one.layer, one.component), _peer(one.peer, used, kind))
            + self._same
            + _number(one.number)
        )
        if more:
            written += attributes(more)
        message = message_of(one.logs) if one.is_error else ""
        back = span_back(
            [event_of(log) for log in one.logs] if one.logs else (),
            links,
            ERROR if one.is_error else UNSET,
            message,
        )
        if flags:
            back += _FLAGS[flags]
        front = span_front(one.name, kind, start_ms * _NS_PER_MS, end_ms * _NS_PER_MS, written)
        return span(self._trace_id, self._id(one.number), "", parent_id, front, back)

    def _id(self, number: int) -> bytes:
        """The id of a span of this segment."""
        found = self._ids.get(number)
        if found is None:
            found = self._ids[number] = span_id_from_skywalking(self._segment.segment_id, number)
        return found

    def _related(
        self, one: SkyWalkingSpan, parent_id: bytes, flags: int, more: dict[str, Value]
    ) -> tuple[bytes, int, list[bytes]]:
        """Parent, flags and links. Without a parent in its segment it is the first reference of the same trace."""
        links = []
        for reference in one.references:
            is_here = reference.trace_id in (self._segment.trace_id, "")
            if not parent_id and is_here and reference.segment_id and reference.span_number >= 0:
                parent_id = span_id_from_skywalking(reference.segment_id, reference.span_number)
                # Python's agent says CrossProcess of threads too; a local span has its parent in its own process.
                is_remote = reference.type != CROSS_THREAD and one.type != LOCAL
                flags = _HAS_REMOTE | (_IS_REMOTE if is_remote else 0)
                more |= _reference_items(reference)
            else:
                links.append(self._link(reference, is_here))
        return parent_id, flags, links

    def _link(self, reference: Reference, is_here: bool) -> bytes:
        items = _reference_items(reference)
        trace_id = self._trace_id if is_here else trace_id_from_text(reference.trace_id)
        if reference.trace_id and trace_id.hex() != reference.trace_id:
            items["sw8.trace_id"] = reference.trace_id
        span_id = span_id_from_skywalking(reference.segment_id, reference.span_number)
        flags = _HAS_REMOTE | (_IS_REMOTE if reference.type != CROSS_THREAD else 0)
        clean = {key: whole_characters(value) if isinstance(value, str) else value for key, value in items.items()}
        return encode.link(int.from_bytes(trace_id, "big"), int.from_bytes(span_id, "big"), "", clean, 0, flags)


def _reference_items(reference: Reference) -> dict[str, Value]:
    items: dict[str, Value] = {
        "sw8.ref_type": _named(REF_TYPES, reference.type),
        "sw8.parent_segment_id": reference.segment_id,
        "sw8.parent_span_id": reference.span_number,
    }
    said = {
        "sw8.parent_service": reference.service,
        "sw8.parent_service_instance": reference.instance,
        "sw8.parent_endpoint": reference.endpoint,
        "sw8.network_address_used_at_peer": reference.address,
    }
    items.update({key: value for key, value in said.items() if value})
    return items


def _named(names: Sequence[str], number: int) -> str:
    return names[number] if 0 <= number < len(names) else str(number)


def _kind(one: SkyWalkingSpan) -> int:
    if one.type == ENTRY:
        return CONSUMER if one.layer == MQ else SERVER
    if one.type == EXIT:
        return PRODUCER if one.layer == MQ else CLIENT
    return INTERNAL if one.type == LOCAL else 0


def _times(one: SkyWalkingSpan, more: dict[str, Value]) -> tuple[int, int]:
    """Start and end in ms of a span with a time that OTLP does not have, which then is kept as an attribute."""
    start_ms, end_ms = one.start_ms, one.end_ms
    if not 0 <= start_ms <= _MOST_MS:
        more["sw8.start_time_ms"] = start_ms
        start_ms = 0
    if not start_ms <= end_ms <= _MOST_MS:
        if end_ms:  # zero is what a span says that has no end
            more["sw8.end_time_ms"] = end_ms
        end_ms = start_ms
    return start_ms, end_ms


@lru_cache(maxsize=1024)
def _number(number: int) -> bytes:
    return attributes({"sw8.span_id": number})


class _Given(NamedTuple):
    """Attributes that do not come from tags, written, and their names."""

    items: tuple[tuple[str, Value], ...]
    written: bytes
    names: frozenset[str]


def _as_given(items: Mapping[str, Value]) -> _Given:
    return _Given(tuple(items.items()), attributes(items), frozenset(items))


@lru_cache(maxsize=1024)
def _given(type_: int, layer: int, component: int) -> _Given:
    items: dict[str, Value] = {}
    if not 0 <= type_ < len(SPAN_TYPES):
        items["sw8.span_type"] = type_
    if layer:
        items["sw8.span_layer"] = _named(LAYERS, layer)
    if component:
        items["sw8.component_id"] = component
        name = NAMES.get(component)
        if name is not None:
            items["sw8.component"] = name
        key, value = SYSTEMS.get(component, ("", ""))
        # An HTTP span by a library for gRPC is still HTTP; what a local span calls is no system.
        if key and (layer == 0 or key in _OF_LAYER.get(layer, ())) and type_ != LOCAL:
            items[key] = value
    if layer == MQ and type_ in (ENTRY, EXIT):
        items["messaging.operation.type"] = "process" if type_ == ENTRY else "send"
    return _as_given(items)


_OF_LAYER: Final[dict[int, tuple[str, ...]]] = {
    DATABASE: ("db.system.name",),
    CACHE: ("db.system.name",),
    MQ: ("messaging.system",),
    RPC_FRAMEWORK: ("rpc.system",),
    HTTP: ("db.system.name",),  # Elasticsearch, InfluxDB
}


@lru_cache(maxsize=4096)
def _peer(peer: str, used_address: str, kind: int) -> _Given:
    """Of the other side of a span, and of the address by which a client called a server."""
    if not peer and not used_address:
        return _NOTHING
    items: dict[str, Value] = {"sw8.peer": peer} if peer else {}
    side = _SIDES.get(kind)
    if side:
        items |= dict(_host_and_port(side, peer))
    items |= dict(_host_and_port("server", used_address))
    return _as_given(items)


_NOTHING: Final = _as_given({})
_SIDES: Final = {SERVER: "client", CLIENT: "server", PRODUCER: "server", CONSUMER: "server"}
_ADDRESS: Final = re.compile(
    r"(?:[a-z0-9+.-]+://)?(?:\[([^\]]+)\]|([^:/,;\[\]\s]+))(?::(-?\d{1,5}))?(?:[/,;].*)?", re.ASCII
)


def _host_and_port(side: str, text: str) -> tuple[tuple[str, Value], ...]:
    """Of `host:port`, of the first of several, or of an address of version 6 in brackets; none for what is no address."""
    found = _ADDRESS.fullmatch(text)
    if found is None:
        return ()
    host = (found[1] or found[2]).removeprefix("::ffff:")
    port = int(found[3] or 0)
    if not found[1] and not found[3] and "." not in host:
        return ()  # a name such as `unknown` or `localhost`, which says nothing of an address
    pairs: tuple[tuple[str, Value], ...] = ((f"{side}.address", host),)
    return (*pairs, (f"{side}.port", port)) if 0 < port < 1 << 16 else pairs


def _attributes(tags: Mapping[str, Value], kind: int, given: _Given, peer: _Given) -> bytes:
    """Attributes of the tags, of the rest of the span, and the standard names beside the tags."""
    if not tags:
        return given.written + peer.written
    plan = _plan(tuple(tags), given.names | peer.names)
    if not plan.is_simple:
        return _with_double_names(tags, kind, given, peer)
    parts = [attributes(tags), given.written, peer.written]
    if plan.rules:
        parts.append(quick.attributes_beside(tags, kind, plan.rules))
    for key, alias in plan.aliases:
        parts.append(quick.attributes_beside({alias: tags[key]}, kind, (alias,)))
    return b"".join(parts)


class _Plan(NamedTuple):
    """What the keys of a span's tags mean."""

    rules: tuple[str, ...]
    aliases: tuple[tuple[str, str], ...]
    is_simple: bool
    """No name is meant twice, and no tag is named like the span's own fields."""


@lru_cache(maxsize=2048)
def _plan(keys: tuple[str, ...], given: frozenset[str]) -> _Plan:
    ignored = {key for name, rules in _SYSTEMS_OF.items() if name in given for key in rules}
    rules = tuple(key for key in keys if key in RULES and key not in ignored)
    aliases = tuple((key, _ALIASES[key]) for key in keys if key in _ALIASES and key not in ignored)
    names = [*keys, *given]
    for key in (*rules, *(alias for _, alias in aliases)):
        names += names_beside(key)
    is_simple = len(set(names)) == len(names) and not any(key.startswith(_OWN) for key in keys)
    return _Plan(rules, aliases, is_simple)


def _with_double_names(tags: Mapping[str, Value], kind: int, given: _Given, peer: _Given) -> bytes:
    """The tags' own names count first, then the span's own fields, then what the tags imply."""
    items = {
        EARLIER + key if key.startswith(_OWN) and not key.startswith(EARLIER) else key: value
        for key, value in tags.items()
    }
    for key, value in (*given.items, *peer.items):
        items.setdefault(key, value)
    older = dict(tags)
    for key, alias in _ALIASES.items():
        if key in tags:
            older.setdefault(alias, tags[key])
    for key, value in beside(older, kind).items():
        items.setdefault(key, value)
    return attributes(items)
