"""OTLP in files: one request or many, as protobuf or as JSON. No I/O."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from clew_server.errors import BadInput, TooLarge
from clew_server.model.otlp_raw import count_spans
from clew_server.receivers.files.blocks import ZSTD, Blocks, unzstd
from clew_server.receivers.files.contract import MAX_HELD_BYTES, PART_BYTES, Notes, Part
from clew_server.receivers.files.held import Held, parts_of
from clew_server.receivers.files.json_stream import JsonStream
from clew_server.receivers.otlp_json import resource_from_json, scope_from_json, span_from_json, text_from_json
from clew_server.receivers.pieces import pieces
from clew_server.receivers.wire import varint

_RESOURCE_SPANS: Final = 0x0A
_SIZE_BYTES: Final = 4
_MOST_SPANS: Final = 1 << 40
"""No limit: what is cut here is the file's, and each request that leaves is small."""


# -- protobuf -----------------------------------------------------------------------------------------------------------


def is_request(head: bytes) -> bool:
    """Whether the bytes begin as a request does: a ResourceSpans, with one of its fields or none."""
    if head[:1] != b"\x0a":
        return False
    size, at = _varint(head, 1)
    return at > 0 and (size == 0 or head[at : at + 1] in (b"\x0a", b"\x12", b"\x1a"))


def is_delimited(head: bytes) -> bool:
    """Whether the bytes begin with the length of a request, as a varint, and such a request."""
    size, at = _varint(head, 0)
    if at == 0 or size < 2 or not is_request(head[at:]):
        return False
    inner, end = _varint(head, at + 1)
    return end > 0 and end - at + inner <= size


def is_prefixed(head: bytes) -> bool:
    """Whether the bytes begin with a length in four bytes and a request: the collector's file exporter, `format: proto`.

    With `compression: zstd` each request is packed, and can be JSON.
    """
    size = int.from_bytes(head[:_SIZE_BYTES], "big")
    body = head[_SIZE_BYTES:]
    if size < 2 or len(body) < 2:
        return False
    return body[:4] == ZSTD or is_request(body)


def one_request(source: Blocks, notes: Notes) -> Iterator[Part]:
    """The parts of one request, ResourceSpans by ResourceSpans."""
    while tag := source.peek(1):
        if tag[0] != _RESOURCE_SPANS:
            raise BadInput(f"the file is not OTLP protobuf: a field of tag {tag[0]} in a request", code="malformed")
        head = source.peek(11)
        size, at = _varint(head, 1)
        if at == 0:
            raise _ends_early()
        yield from _cut(_whole(source, at + size, "a resource"))


def delimited(source: Blocks, notes: Notes) -> Iterator[Part]:
    """The parts of requests that each have their length before them, as a varint."""
    while head := source.peek(10):
        size, at = _varint(head, 0)
        if at == 0:
            raise _ends_early()
        source.take(at)
        yield from _cut(_whole(source, size, "a request"))


def prefixed(source: Blocks, notes: Notes) -> Iterator[Part]:
    """The parts of requests that each have their length before them, in four bytes, most significant first."""
    while head := source.take(_SIZE_BYTES):
        if len(head) < _SIZE_BYTES:
            raise _ends_early()
        body = _whole(source, int.from_bytes(head, "big"), "a request")
        if body[:4] == ZSTD:
            body = b"".join(_bounded(unzstd(body).rest()))
        if body[:1] == b"{":
            yield from json_object(JsonStream(iter([body])), notes)
        else:
            yield from _cut(body)


def _cut(request: bytes) -> Iterator[Part]:
    made = [request] if len(request) <= PART_BYTES else pieces(request, most=_MOST_SPANS)
    for piece in made:
        spans = count_spans(piece)
        if not spans and piece.strip(b"\x0a\x00"):
            _check(piece)
        yield Part(piece, spans)


def _check(piece: bytes) -> None:
    """Raises BadInput for bytes that are no request at all."""
    for _ in pieces(piece):
        pass


def _bounded(blocks: Iterator[bytes]) -> Iterator[bytes]:
    held = Held("a request")
    for block in blocks:
        held.add(len(block))
        yield block


def _whole(source: Blocks, size: int, what: str) -> bytes:
    if size > MAX_HELD_BYTES:
        raise TooLarge(f"{what} of {size} bytes: at most {MAX_HELD_BYTES >> 20} MiB of a file are in memory")
    body = source.take(size)
    if len(body) < size:
        raise _ends_early()
    return body


def _varint(head: bytes, at: int) -> tuple[int, int]:
    """The number at `at` and the place behind it; (0, 0) where there is none."""
    try:
        return varint(head, at, len(head))
    except BadInput:
        return 0, 0


def _ends_early() -> BadInput:
    return BadInput("the file ends in the middle of a request", code="malformed")


# -- JSON ---------------------------------------------------------------------------------------------------------------


def json_object(stream: JsonStream, notes: Notes) -> Iterator[Part]:
    """The parts of one request as JSON, an object."""
    for key in stream.members():
        if key != "resourceSpans":
            stream.value()
            continue
        for _ in stream.elements():
            yield from _resource(stream, notes)


def _resource(stream: JsonStream, notes: Notes) -> Iterator[Part]:
    resource = url = b""
    scopes: list[tuple[bytes, bytes, list[bytes]]] = []
    held = Held("a resource")
    wrong = False
    for key in stream.members():
        if key == "scopeSpans":
            scopes.extend(_scope(stream, notes, held) for _ in stream.elements())
            continue
        value = stream.value()
        try:
            if key == "resource" and value is not None:
                resource = resource_from_json(value)
            elif key == "schemaUrl":
                url = text_from_json(value, key)
        except BadInput:
            wrong = True
    if wrong:
        notes.left_out["malformed"] += sum(len(spans) for _, _, spans in scopes)
    else:
        yield from parts_of(resource, url, scopes)


def _scope(stream: JsonStream, notes: Notes, held: Held) -> tuple[bytes, bytes, list[bytes]]:
    scope = url = b""
    spans: list[bytes] = []
    wrong = False
    for key in stream.members():
        if key == "spans":
            for _ in stream.elements():
                source = stream.value()
                try:
                    spans.append(span_from_json(source))
                    held.add(len(spans[-1]))
                except TooLarge:
                    raise
                except BadInput:
                    notes.left_out["malformed"] += 1
            continue
        value = stream.value()
        try:
            if key == "scope" and value is not None:
                scope = scope_from_json(value)
            elif key == "schemaUrl":
                url = text_from_json(value, key)
        except BadInput:
            wrong = True
    if wrong:
        notes.left_out["malformed"] += len(spans)
        spans = []
    return scope, url, spans
