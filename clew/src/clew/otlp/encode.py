"""OTLP trace messages from plain Python values to bytes, the same bytes google.protobuf writes for them.

Values are taken as they are: limits and cleaning are the recorder's. Times are ns since the epoch.
Canonical form: fields in the order of their numbers, defaults left out, shortest varints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from struct import Struct
from typing import Any, Final

from clew.otlp import fields as f

_pack_double: Final[Callable[[float], bytes]] = Struct("<d").pack
_pack_fixed32: Final = Struct("<I").pack
_pack_fixed64: Final = Struct("<Q").pack

_UINT64_MASK: Final = (1 << 64) - 1
_INT64_MIN: Final = -(1 << 63)
_INT64_MAX: Final = (1 << 63) - 1

# Cache of attribute keys, which are few and repeat with every span. Bounded, since keys may be made from data.
_MAX_CACHED_KEYS: Final = 4096


def varint(value: int) -> bytes:
    """`value` (0 ≤ value < 2**64) as a base-128 varint, least significant group first."""
    if value < 0x80:
        return _ONE_BYTE[value]
    if value < 0x4000:
        return bytes((value & 0x7F | 0x80, value >> 7))
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


_ONE_BYTE: Final = [bytes((n,)) for n in range(0x80)]


def tag(field: int, wire_type: int) -> bytes:
    """The tag of a field."""
    return varint(field << 3 | wire_type)


def delimited(field: int, payload: bytes) -> bytes:
    """A length-delimited field: a sub-message, a string or bytes; written also when empty."""
    return tag(field, f.BYTES) + varint(len(payload)) + payload


def utf8(text: str) -> bytes:
    """UTF-8 of `text`; what UTF-8 cannot carry (lone surrogates) becomes `?`, since OTLP refuses it."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


def digits(number: int) -> str:
    """An integer of any size in decimal; in hexadecimal where it has more digits than Python is willing to convert."""
    try:
        return str(number)
    except ValueError:
        return hex(number)


def any_value(value: Any) -> bytes:
    """The inside of an AnyValue; `None` is the empty one.

    An integer outside 64 bits becomes its decimal text, as OpenTelemetry asks for (common, "Mapping to AnyValue");
    anything OTLP has no form for becomes `str(value)`.
    """
    if value is None:
        return b""
    if isinstance(value, str):
        return delimited(f.ANY_STRING, utf8(value))
    if isinstance(value, bool):
        return _TRUE if value else _FALSE
    if isinstance(value, int):
        if _INT64_MIN <= value <= _INT64_MAX:
            return _ANY_INT + varint(value & _UINT64_MASK)
        return delimited(f.ANY_STRING, digits(value).encode())
    if isinstance(value, float):
        return _ANY_DOUBLE + _pack_double(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return delimited(f.ANY_BYTES, bytes(value))
    if isinstance(value, Mapping):
        items = [delimited(f.LIST_VALUES, key_value(str(key), item)) for key, item in value.items()]
        return delimited(f.ANY_KVLIST, b"".join(items))
    if isinstance(value, Sequence):
        return delimited(f.ANY_ARRAY, b"".join([delimited(f.LIST_VALUES, any_value(item)) for item in value]))
    return delimited(f.ANY_STRING, utf8(str(value)))


_ANY_INT: Final = tag(f.ANY_INT, f.VARINT)
_ANY_DOUBLE: Final = tag(f.ANY_DOUBLE, f.FIXED64)
_TRUE: Final = tag(f.ANY_BOOL, f.VARINT) + b"\x01"
_FALSE: Final = tag(f.ANY_BOOL, f.VARINT) + b"\x00"

_KV_TRUE: Final = delimited(f.KEY_VALUE_VALUE, _TRUE)
_KV_FALSE: Final = delimited(f.KEY_VALUE_VALUE, _FALSE)
_KV_DOUBLE: Final = tag(f.KEY_VALUE_VALUE, f.BYTES) + b"\x09" + _ANY_DOUBLE
# Everything between a key and a string value of n bytes, n < 126 (both lengths then take one byte).
_KV_SHORT_STRING: Final = [
    tag(f.KEY_VALUE_VALUE, f.BYTES) + varint(n + 2) + tag(f.ANY_STRING, f.BYTES) + varint(n) for n in range(126)
]
_KV_SMALL_INT: Final = [delimited(f.KEY_VALUE_VALUE, _ANY_INT + varint(n)) for n in range(1024)]
# Everything between a key and a positive integer of n bytes.
_KV_INT: Final = [tag(f.KEY_VALUE_VALUE, f.BYTES) + varint(len(_ANY_INT) + n) + _ANY_INT for n in range(10)]

_keys: dict[str, bytes] = {}


def _key(key: str) -> bytes:
    encoded = delimited(f.KEY_VALUE_KEY, utf8(key)) if key else b""
    if len(_keys) < _MAX_CACHED_KEYS:
        _keys[key] = encoded
    return encoded


def key_value(key: str, value: Any) -> bytes:
    """The inside of a KeyValue."""
    prefix = _keys.get(key)
    if prefix is None:
        prefix = _key(key)
    kind = type(value)
    if kind is str:
        raw: bytes
        try:
            raw = value.encode()
        except UnicodeEncodeError:
            raw = utf8(value)
        if len(raw) < 126:
            return prefix + _KV_SHORT_STRING[len(raw)] + raw
        return prefix + delimited(f.KEY_VALUE_VALUE, delimited(f.ANY_STRING, raw))
    if kind is int:
        if 0 <= value < 1024:
            small: bytes = _KV_SMALL_INT[value]
            return prefix + small
        if 0 < value <= _INT64_MAX:
            groups = varint(value)
            return prefix + _KV_INT[len(groups)] + groups
    elif kind is bool:
        return prefix + (_KV_TRUE if value else _KV_FALSE)
    elif kind is float:
        return prefix + _KV_DOUBLE + _pack_double(value)
    return prefix + delimited(f.KEY_VALUE_VALUE, any_value(value))


def attributes(field: int, items: Mapping[str, Any]) -> bytes:
    """A repeated KeyValue field."""
    return b"".join([delimited(field, key_value(key, value)) for key, value in items.items()])


def _dropped(field: int, count: int) -> bytes:
    return tag(field, f.VARINT) + varint(count) if count else b""


def _text(field: int, text: str) -> bytes:
    return delimited(field, utf8(text)) if text else b""


def _id(field: int, value: int, length: int) -> bytes:
    return delimited(field, value.to_bytes(length, "big")) if value else b""


def event(time_ns: int, name: str, items: Mapping[str, Any], dropped_attributes: int = 0) -> bytes:
    """The inside of a Span.Event."""
    return (
        (_EVENT_TIME + _pack_fixed64(time_ns & _UINT64_MASK) if time_ns else b"")
        + _text(f.EVENT_NAME, name)
        + attributes(f.EVENT_ATTRIBUTES, items)
        + _dropped(f.EVENT_DROPPED_ATTRIBUTES, dropped_attributes)
    )


_EVENT_TIME: Final = tag(f.EVENT_TIME, f.FIXED64)


def link(
    trace_id: int,
    span_id: int,
    trace_state: str,
    items: Mapping[str, Any],
    dropped_attributes: int,
    flags: int,
) -> bytes:
    """The inside of a Span.Link; `flags` as OTLP has them, trace flags in the low byte."""
    return (
        _id(f.LINK_TRACE_ID, trace_id, 16)
        + _id(f.LINK_SPAN_ID, span_id, 8)
        + _text(f.LINK_TRACE_STATE, trace_state)
        + attributes(f.LINK_ATTRIBUTES, items)
        + _dropped(f.LINK_DROPPED_ATTRIBUTES, dropped_attributes)
        + (_LINK_FLAGS + _pack_fixed32(flags) if flags else b"")
    )


_LINK_FLAGS: Final = tag(f.LINK_FLAGS, f.FIXED32)


def status(code: int, message: str) -> bytes:
    """The inside of a Status: 0 unset, 1 ok, 2 error."""
    return _text(f.STATUS_MESSAGE, message) + (_STATUS_CODE + varint(code) if code else b"")


_STATUS_CODE: Final = tag(f.STATUS_CODE, f.VARINT)


def resource(items: Mapping[str, Any]) -> bytes:
    """The inside of a Resource."""
    return attributes(f.RESOURCE_ATTRIBUTES, items)


def scope(name: str, version: str, items: Mapping[str, Any], dropped_attributes: int = 0) -> bytes:
    """The inside of an InstrumentationScope."""
    return (
        _text(f.SCOPE_NAME, name)
        + _text(f.SCOPE_VERSION, version)
        + attributes(f.SCOPE_ATTRIBUTES, items)
        + _dropped(f.SCOPE_DROPPED_ATTRIBUTES, dropped_attributes)
    )


_TRACE_ID_HEAD: Final = tag(f.SPAN_TRACE_ID, f.BYTES) + b"\x10"
_SPAN_ID_HEAD: Final = tag(f.SPAN_SPAN_ID, f.BYTES) + b"\x08"
_PARENT_HEAD: Final = tag(f.SPAN_PARENT_SPAN_ID, f.BYTES) + b"\x08"
_KIND_HEAD: Final = tag(f.SPAN_KIND, f.VARINT)
_FLAGS_HEAD: Final = tag(f.SPAN_FLAGS, f.FIXED32)
# kind, start and end are adjacent fields, so one call packs them.
_pack_kind_and_times: Final = Struct("<2scQcQ").pack
_KINDS: Final = [_KIND_HEAD + varint(kind) for kind in range(6)]
_START_TAG: Final = tag(f.SPAN_START, f.FIXED64)
_END_TAG: Final = tag(f.SPAN_END, f.FIXED64)
_pack_flags: Final = Struct("<2sI").pack
_ATTRIBUTE_HEAD: Final = [tag(f.SPAN_ATTRIBUTES, f.BYTES) + varint(n) for n in range(256)]
# Cache of encoded pairs: methods, routes and names of systems repeat with most spans. Once it is full, new pairs are
# encoded each time; they are most likely made from ids.
_pairs: dict[tuple[str, str], bytes] = {}
_MAX_CACHED_PAIRS: Final = 4096
_MAX_CACHED_PAIR_BYTES: Final = 128
_names: dict[str, bytes] = {}
_SPAN_IN_SCOPE: Final = tag(f.SCOPE_SPANS_SPANS, f.BYTES)


def span_in_scope(
    trace_id: int,
    span_id: int,
    trace_state: str,
    parent_span_id: int,
    name: str,
    kind: int,
    start_ns: int,
    end_ns: int,
    items: Mapping[str, Any],
    dropped_attributes: int,
    events: bytes,
    links: bytes,
    status_code: int,
    status_message: str,
    flags: int,
) -> bytes:
    """A Span as an element of ScopeSpans.spans, tag and length included: a batch is a concatenation of them.

    `kind` as OTLP counts (1 internal … 5 consumer); ids, `end_ns` and `flags` are not 0; times fit 64 bits.
    `events` and `links` are what `span_events` and `span_links` made, dropped counts included.
    """
    parts = [_TRACE_ID_HEAD, trace_id.to_bytes(16, "big"), _SPAN_ID_HEAD, span_id.to_bytes(8, "big")]
    if trace_state:
        parts.append(_text(f.SPAN_TRACE_STATE, trace_state))
    if parent_span_id:
        parts.append(_PARENT_HEAD)
        parts.append(parent_span_id.to_bytes(8, "big"))
    if name:
        encoded = _names.get(name)
        parts.append(_name(name) if encoded is None else encoded)
    if start_ns:
        parts.append(_pack_kind_and_times(_KINDS[kind], _START_TAG, start_ns, _END_TAG, end_ns))
    else:
        parts.append(_KINDS[kind] + _END_TAG + _pack_fixed64(end_ns))
    for key, value in items.items():
        # Only strings may be looked up by their pair: 1, 1.0 and True are equal and written differently.
        if type(value) is str:
            encoded = _pairs.get((key, value))
            parts.append(_string_attribute(key, value) if encoded is None else encoded)
        else:
            parts.append(_attribute(key, value))
    if dropped_attributes:
        parts.append(_dropped(f.SPAN_DROPPED_ATTRIBUTES, dropped_attributes))
    if events:
        parts.append(events)
    if links:
        parts.append(links)
    if status_code:
        parts.append(delimited(f.SPAN_STATUS, status(status_code, status_message)))
    parts.append(_pack_flags(_FLAGS_HEAD, flags))
    body = b"".join(parts)
    return _SPAN_IN_SCOPE + varint(len(body)) + body


def _name(name: str) -> bytes:
    encoded = delimited(f.SPAN_NAME, utf8(name))
    if len(encoded) <= _MAX_CACHED_PAIR_BYTES and len(_names) < _MAX_CACHED_PAIRS:
        _names[name] = encoded
    return encoded


def _attribute(key: str, value: Any) -> bytes:
    encoded = key_value(key, value)
    length = len(encoded)
    if length < 256:
        return _ATTRIBUTE_HEAD[length] + encoded
    return delimited(f.SPAN_ATTRIBUTES, encoded)


def _string_attribute(key: str, value: str) -> bytes:
    encoded = _attribute(key, value)
    if len(encoded) <= _MAX_CACHED_PAIR_BYTES and len(_pairs) < _MAX_CACHED_PAIRS:
        _pairs[key, value] = encoded
    return encoded


def span_events(events: Sequence[bytes], dropped: int) -> bytes:
    """Fields `events` and `dropped_events_count` of a Span."""
    return b"".join([delimited(f.SPAN_EVENTS, one) for one in events]) + _dropped(f.SPAN_DROPPED_EVENTS, dropped)


def span_links(links: Sequence[bytes], dropped: int) -> bytes:
    """Fields `links` and `dropped_links_count` of a Span."""
    return b"".join([delimited(f.SPAN_LINKS, one) for one in links]) + _dropped(f.SPAN_DROPPED_LINKS, dropped)


def scope_spans(scope_bytes: bytes, spans: Sequence[bytes], schema_url: str = "") -> bytes:
    """A ScopeSpans as an element of ResourceSpans.scope_spans; `spans` come from `span_in_scope`."""
    return delimited(
        f.RESOURCE_SPANS_SCOPE_SPANS,
        delimited(f.SCOPE_SPANS_SCOPE, scope_bytes) + b"".join(spans) + _text(f.SCOPE_SPANS_SCHEMA_URL, schema_url),
    )


def request(resource_bytes: bytes, scopes: Sequence[bytes], schema_url: str = "") -> bytes:
    """An ExportTraceServiceRequest of one resource; `scopes` come from `scope_spans`."""
    return delimited(
        f.REQUEST_RESOURCE_SPANS,
        delimited(f.RESOURCE_SPANS_RESOURCE, resource_bytes)
        + b"".join(scopes)
        + _text(f.RESOURCE_SPANS_SCHEMA_URL, schema_url),
    )
