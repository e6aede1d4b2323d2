"""OpenCensus' messages, written for tests and measurements: `ExportTraceServiceRequest` with a node, a resource and spans.

Spans are plain values (`Span`), so that a test states in one line what it sends. Written by the protocol's definitions and not by
what the receiver reads. `message` writes any message by the numbers of its fields.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from clew.otlp.encode import delimited, tag, varint

Attributes = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Span:
    """One span; times in ns."""

    trace_id: bytes
    span_id: bytes
    name: str = "op"
    parent_id: bytes = b""
    start_ns: int = 1_795_415_211_795_788_001
    end_ns: int = 1_795_415_211_796_788_002
    kind: int = 0
    attributes: Attributes = field(default_factory=dict)
    annotations: Sequence[tuple[int, str, Attributes]] = ()
    """Time, description, attributes of each."""
    messages: Sequence[tuple[int, int, int, int, int]] = ()
    """Time, type, id, uncompressed and compressed size of each."""
    links: Sequence[tuple[bytes, bytes, int, Attributes]] = ()
    """Trace id, span id, type, attributes of each."""
    status: tuple[int, str] | None = None
    same_process: bool | None = None
    children: int | None = None
    trace_state: Sequence[tuple[str, str]] = ()
    resource: bytes = b""
    """As `resource` writes it."""


def node(service: str = "svc", attributes: Mapping[str, str] | None = None, **more: bytes) -> bytes:
    """A Node of a process in Python. `more`: other bytes for `identifier`, `library_info`."""
    identifier = more.get("identifier", message({1: "vm", 2: 4711, 3: time(1_795_415_000_000_000_001)}))
    library = more.get("library_info", message({1: 8, 2: "0.0.1", 3: "0.11.4"}))
    entries = [message({1: key, 2: value}) for key, value in (attributes or {}).items()]
    return message({1: identifier, 2: library, 3: message({1: service}), 4: entries})


def resource(type_: str = "", labels: Mapping[str, str] | None = None) -> bytes:
    """A Resource."""
    return message({1: type_, 2: [message({1: key, 2: value}) for key, value in (labels or {}).items()]})


def request(spans: Sequence[Span | bytes], node: bytes = b"", resource: bytes = b"") -> bytes:
    """A message of the stream; spans may be written already."""
    written = [one if isinstance(one, bytes) else span(one) for one in spans]
    return message({1: node, 2: written, 3: resource})


def span(one: Span) -> bytes:
    """A span."""
    events = [
        message({1: time(at), 2: message({1: text(words), 2: attributes(items) if items else b""})})
        for at, words, items in one.annotations
    ]
    events += [
        message({1: time(at), 3: message({1: type_, 2: id_, 3: size, 4: packed})})
        for at, type_, id_, size, packed in one.messages
    ]
    links = [
        message({1: trace_id, 2: span_id, 3: type_, 4: attributes(items) if items else b""})
        for trace_id, span_id, type_, items in one.links
    ]
    parts = [
        message(
            {
                1: one.trace_id,
                2: one.span_id,
                3: one.parent_id,
                4: text(one.name),
                5: time(one.start_ns),
                6: time(one.end_ns),
                7: attributes(one.attributes) if one.attributes else b"",
                9: message({1: events}) if events else b"",
                10: message({1: links}) if links else b"",
            }
        )
    ]
    # Those that are written even where they are empty.
    if one.status is not None:
        parts.append(delimited(11, message({1: one.status[0], 2: one.status[1]})))
    if one.same_process is not None:
        parts.append(delimited(12, message({1: int(one.same_process)})))
    if one.children is not None:
        parts.append(delimited(13, message({1: one.children})))
    parts.append(message({14: one.kind}))
    if one.trace_state:
        parts.append(delimited(15, message({1: [message({1: key, 2: value}) for key, value in one.trace_state]})))
    if one.resource:
        parts.append(delimited(16, one.resource))
    return b"".join(parts)


def attributes(items: Attributes, dropped: int = 0) -> bytes:
    """Attributes."""
    return message({1: [message({1: key, 2: value(one)}) for key, one in items.items()], 2: dropped})


def value(one: Any) -> bytes:
    """An AttributeValue, which is written even where it is a zero."""
    if isinstance(one, bool):
        return tag(3, 0) + varint(one)
    if isinstance(one, int):
        return tag(2, 0) + varint(one & (1 << 64) - 1)
    if isinstance(one, float):
        return tag(4, 1) + struct.pack("<d", one)
    return delimited(1, text(one))


def text(words: str, truncated: int = 0) -> bytes:
    """A TruncatableString."""
    return message({1: words, 2: truncated})


def time(at_ns: int) -> bytes:
    """A Timestamp."""
    seconds, ns = divmod(at_ns, 1_000_000_000)
    return message({1: seconds, 2: ns})


def message(fields: Mapping[int, Any]) -> bytes:
    """Any message: numbers as varints, texts, bytes and messages with their length, lists as repeated fields; without zeros."""
    parts = []
    for number, content in fields.items():
        for one in content if isinstance(content, list) else [content] if content else []:
            if isinstance(one, int):
                parts.append(tag(number, 0) + varint(one & (1 << 64) - 1))
            else:
                parts.append(delimited(number, one.encode() if isinstance(one, str) else one))
    return b"".join(parts)
