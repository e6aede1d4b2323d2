"""OTLP bytes from the values of other systems' spans. What comes back often is written once and looked up afterwards. No I/O.

The bytes are in canonical form (`clew.otlp.encode`), so that `canonical()` finds nothing to rewrite.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from functools import lru_cache
from struct import Struct
from typing import Any, Final

from clew.otlp import encode
from clew.otlp import fields as f
from clew_server.errors import TooLarge
from clew_server.receivers.canonical import HEAD_BYTES, checked
from clew_server.receivers.contract import MAX_REQUEST_SPANS, OtlpBatch
from clew_server.receivers.foreign.conventions import Value, typed

MAX_NS: Final = (1 << 64) - 1

_MOST_KEPT = 8192
_LONGEST_KEPT_BYTES = 128
_LONGEST_KEPT_RESOURCE = 2048
_pairs: dict[tuple[str, Value], bytes] = {}
_names: dict[str, bytes] = {}

_TRACE_ID_HEAD: Final = encode.tag(f.SPAN_TRACE_ID, f.BYTES) + b"\x10"
_SPAN_ID_HEAD: Final = encode.tag(f.SPAN_SPAN_ID, f.BYTES) + b"\x08"
_PARENT_HEAD: Final = encode.tag(f.SPAN_PARENT_SPAN_ID, f.BYTES) + b"\x08"
_KINDS: Final = [encode.tag(f.SPAN_KIND, f.VARINT) + bytes((kind,)) if kind else b"" for kind in range(6)]
_pack_time: Final = Struct("<cQ").pack
_pack_times: Final = Struct("<cQcQ").pack
_START: Final = encode.tag(f.SPAN_START, f.FIXED64)
_END: Final = encode.tag(f.SPAN_END, f.FIXED64)
_EVENT: Final = encode.tag(f.SPAN_EVENTS, f.BYTES)
_EVENT_TIME: Final = encode.tag(f.EVENT_TIME, f.FIXED64)
_EVENT_NAME: Final = encode.tag(f.EVENT_NAME, f.BYTES)
_pack_event: Final = Struct("<cBcQcB").pack
_ATTRIBUTE_HEADS: Final = [encode.tag(f.SPAN_ATTRIBUTES, f.BYTES) + encode.varint(n) for n in range(256)]
_SPAN: Final = encode.tag(f.SCOPE_SPANS_SPANS, f.BYTES)


def ns_from_us(time_us: int) -> int | None:
    """Nanoseconds; None where OTLP has no number for them."""
    return time_us * 1000 if 0 <= time_us <= MAX_NS // 1000 else None


def attributes(items: Mapping[str, Value]) -> bytes:
    """Attributes of a span. Texts under keys that are numbers by convention become numbers (`conventions.typed`)."""
    return b"".join([_pairs.get(item) or _attribute(*item) for item in items.items()])


def _attribute(key: str, value: Value) -> bytes:
    if not key.isascii():
        key = whole_characters(key)
    if type(value) is not str:
        return _headed(encode.key_value(key, value))
    written: Value = typed(key, value) if value.isascii() else whole_characters(value)
    encoded = _headed(encode.key_value(key, written))
    # Only texts may be looked up by their pair: 1, 1.0 and True are equal and written differently.
    if len(encoded) <= _LONGEST_KEPT_BYTES:
        if len(_pairs) >= _MOST_KEPT:
            _pairs.clear()
        _pairs[key, value] = encoded
    return encoded


def _headed(pair: bytes) -> bytes:
    length = len(pair)
    return _ATTRIBUTE_HEADS[length] + pair if length < 256 else encode.delimited(f.SPAN_ATTRIBUTES, pair)


def whole_characters(text: str) -> str:
    """The text with U+FFFD for each half of a surrogate pair that stands alone."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def event(time_ns: int, name: str, items: Mapping[str, Any] | None = None, dropped: int = 0) -> bytes:
    """An element of `Span.events`."""
    if items or dropped or not time_ns:
        return encode.delimited(f.SPAN_EVENTS, encode.event(time_ns, whole_characters(name), items or {}, dropped))
    raw = (name if name.isascii() else whole_characters(name)).encode()
    length = len(raw)
    if not 0 < length < 100:
        return encode.delimited(f.SPAN_EVENTS, encode.event(time_ns, whole_characters(name), {}))
    return _pack_event(_EVENT, length + 11, _EVENT_TIME, time_ns, _EVENT_NAME, length) + raw


def span_front(name: str, kind: int, start_ns: int, end_ns: int, attribute_bytes: bytes) -> bytes:
    """The fields of a span from its name to its attributes."""
    encoded = _names.get(name)
    if encoded is None:
        encoded = _name(name)
    if start_ns and end_ns:
        times = _pack_times(_START, start_ns, _END, end_ns)
    else:
        times = (_pack_time(_START, start_ns) if start_ns else b"") + (_pack_time(_END, end_ns) if end_ns else b"")
    return encoded + _KINDS[kind] + times + attribute_bytes


def _name(name: str) -> bytes:
    encoded = encode.delimited(f.SPAN_NAME, encode.utf8(whole_characters(name))) if name else b""
    if len(encoded) <= _LONGEST_KEPT_BYTES:
        if len(_names) >= _MOST_KEPT:
            _names.clear()
        _names[name] = encoded
    return encoded


def span_back(
    events: Iterable[bytes] = (), links: Iterable[bytes] = (), status_code: int = 0, status_message: str = ""
) -> bytes:
    """The fields of a span behind its attributes. `events` come from `event`, `links` from `clew.otlp.encode.link`."""
    back = b"".join(events) + b"".join([encode.delimited(f.SPAN_LINKS, link) for link in links])
    if status_code:
        back += encode.delimited(f.SPAN_STATUS, encode.status(status_code, whole_characters(status_message)))
    return back


def span(trace_id: bytes, span_id: bytes, trace_state: str, parent_id: bytes, front: bytes, back: bytes) -> bytes:
    """An element of `ScopeSpans.spans`. Ids are 16 and 8 bytes, `parent_id` may be empty."""
    state = encode.delimited(f.SPAN_TRACE_STATE, encode.utf8(whole_characters(trace_state))) if trace_state else b""
    parent = _PARENT_HEAD + parent_id if parent_id else b""
    body = b"".join((_TRACE_ID_HEAD, trace_id, _SPAN_ID_HEAD, span_id, state, parent, front, back))
    return _SPAN + encode.varint(len(body)) + body


def address_text(packed: bytes) -> str:
    """An address of 4 or 16 bytes as text; empty where it is neither, or all zero."""
    if len(packed) not in (4, 16) or not any(packed):
        return ""
    return _address(packed)


@lru_cache(maxsize=1024)
def _address(packed: bytes) -> str:
    return str(ipaddress.ip_address(packed))


def resource(items: Mapping[str, Value]) -> bytes:
    """The inside of a Resource, as `Groups.add` wants it."""
    pairs = tuple(items.items())
    # Only texts may be looked up by their pair: 1, 1.0 and True are equal and written differently.
    if any(type(value) is not str for _, value in pairs):
        return _resource(pairs)
    size = sum(len(key) + len(str(value)) for key, value in pairs)
    return _kept_resource(pairs) if size <= _LONGEST_KEPT_RESOURCE else _resource(pairs)


def _resource(pairs: tuple[tuple[str, Value], ...]) -> bytes:
    return encode.resource(
        {
            whole_characters(key): typed(key, whole_characters(value)) if isinstance(value, str) else value
            for key, value in pairs
        }
    )


_kept_resource: Final = lru_cache(maxsize=1024)(_resource)


class Groups:
    """Spans by resource and scope, in the order in which those were seen first."""

    def __init__(self) -> None:
        self._groups: dict[tuple[bytes, str, str], list[bytes]] = {}
        self._count = 0

    def add(self, resource_bytes: bytes, scope_name: str, scope_version: str, one: bytes) -> None:
        """Add a span, as `span` writes it. Raises TooLarge beyond the spans a request may have."""
        self._count += 1
        if self._count > MAX_REQUEST_SPANS:
            raise TooLarge(f"more than {MAX_REQUEST_SPANS} spans in one request")
        key = (resource_bytes, scope_name, scope_version)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = []
        group.append(one)

    def request(self) -> bytes:
        """An OTLP request of all of them."""
        return self.request_and_heads()[0]

    def request_and_heads(self) -> tuple[bytes, bytes]:
        """An OTLP request of all of them, and the first 28 bytes of each span in it, in its order."""
        by_resource: dict[bytes, tuple[list[bytes], list[bytes]]] = {}
        for (resource_bytes, name, version), spans in self._groups.items():
            found = by_resource.get(resource_bytes)
            if found is None:
                found = by_resource[resource_bytes] = ([], [])
            found[0].append(encode.scope_spans(_scope(name, version), spans))
            for one in spans:
                # Where a length ends in 0a there is an 0a behind it, so this is the trace id's tag.
                at = one.index(_TRACE_ID_HEAD)
                found[1].append(one[at : at + HEAD_BYTES])
        return (
            b"".join([encode.request(resource_bytes, scopes) for resource_bytes, (scopes, _) in by_resource.items()]),
            b"".join([head for _, heads in by_resource.values() for head in heads]),
        )


@lru_cache(maxsize=256)
def _scope(name: str, version: str) -> bytes:
    return encode.scope(whole_characters(name), whole_characters(version), {})


def batch(groups: Groups, *, received: bytes, rejected: Mapping[str, int]) -> OtlpBatch:
    """The batch of these spans. Raises TooLarge beyond the limits of a request."""
    request, heads = groups.request_and_heads()
    return checked(request, heads, received=received, rejected=rejected)
