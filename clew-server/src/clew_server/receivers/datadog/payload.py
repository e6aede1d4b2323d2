"""Chunks of spans as Datadog's tracers write them: lists of lists of spans, in msgpack or JSON. No I/O.

Only one span is made into objects at a time: a byte of msgpack can be an empty map, which takes sixty-four.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import msgpack

from clew_server.errors import BadInput, TooLarge
from clew_server.receivers.contract import MAX_REQUEST_SPANS
from clew_server.receivers.json_walk import JsonWalk

MAX_SPAN_BYTES: Final = 2 << 20
MAX_STRINGS: Final = 500_000

RawSpan = dict[str, Any]
"""One span with the names of v0.4; the values are not checked."""

_V05: Final = (
    "service",
    "name",
    "resource",
    "trace_id",
    "span_id",
    "parent_id",
    "start",
    "duration",
    "error",
    "meta",
    "metrics",
    "type",
)
_V05_TEXTS: Final = frozenset(("service", "name", "resource", "type"))


def chunks_v04(body: bytes) -> Iterator[list[RawSpan | None]]:
    """The chunks of a v0.3 or v0.4 payload; None for a span that is none. Raises BadInput, TooLarge."""
    reader = _Reader(body)
    for _ in range(reader.list_head("the payload")):
        yield [_as_map(reader.value()) for _ in range(reader.list_head("a chunk", reader.take_spans))]
    reader.end()


def chunks_v05(body: bytes) -> Iterator[list[RawSpan | None]]:
    """The chunks of a v0.5 payload, whose texts stand in a table before them. Raises BadInput, TooLarge."""
    reader = _Reader(body)
    if reader.list_head("the payload") != 2:
        raise _malformed("a payload of v0.5 is a table of texts and a list of chunks")
    count = reader.list_head("the table of texts")
    if count > MAX_STRINGS:
        raise TooLarge(f"more than {MAX_STRINGS} texts in one payload")
    texts = [reader.value() for _ in range(count)]
    for _ in range(reader.list_head("the list of chunks")):
        yield [_named(reader.value(), texts) for _ in range(reader.list_head("a chunk", reader.take_spans))]
    reader.end()


def chunks_json(body: bytes) -> Iterator[list[RawSpan | None]]:
    """The chunks of a payload in JSON. Raises BadInput, TooLarge."""
    walk = JsonWalk(body.decode("utf-8", "replace"))
    spans = 0
    for _ in walk.elements():
        chunk: list[RawSpan | None] = []
        for _ in walk.elements():
            spans += 1
            if spans > MAX_REQUEST_SPANS:
                raise _too_many()
            chunk.append(_as_map(walk.value()))
        yield chunk
    walk.end()


def _as_map(value: Any) -> RawSpan | None:
    return value if isinstance(value, dict) else None


def _named(value: Any, texts: list[Any]) -> RawSpan | None:
    """A span of v0.5 with the names of v0.4; None where it is no list of twelve fields, or names a text that is not there."""
    if not isinstance(value, list) or len(value) < len(_V05):
        return None
    found = dict(zip(_V05, value, strict=False))
    try:
        for key in _V05_TEXTS:
            found[key] = _text_at(found[key], texts)
        found["meta"] = {_text_at(key, texts): _text_at(one, texts) for key, one in found["meta"].items()}
        found["metrics"] = {_text_at(key, texts): one for key, one in found["metrics"].items()}
    except (AttributeError, IndexError, TypeError):
        return None
    return found


def _text_at(index: Any, texts: list[Any]) -> Any:
    if isinstance(index, bool) or not isinstance(index, int) or index < 0:
        raise TypeError("no index")
    return texts[index]


class _Reader:
    """A place in msgpack bytes. What is wrong with them is BadInput."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._spans = 0
        self._unpacker = msgpack.Unpacker(None, max_buffer_size=max(1, len(body)), **_OPTIONS)
        self._unpacker.feed(body)

    def list_head(self, what: str, check: Callable[[int], None] | None = None) -> int:
        """How many elements the list has that begins here. nil is an empty one, as tracers in Go write it."""
        try:
            at = self._unpacker.tell()
            if self._body[at : at + 1] == b"\xc0":
                self._unpacker.skip()
                return 0
            count = int(self._unpacker.read_array_header())
        except (msgpack.UnpackException, ValueError) as error:
            raise _malformed(f"{what} is no list") from error
        if count > len(self._body) - at:
            raise _malformed(f"{what} is longer than its bytes")
        if check is not None:
            check(count)
        return count

    def take_spans(self, count: int) -> None:
        """Note that so many spans follow. Raises TooLarge beyond the spans that a request may have."""
        self._spans += count
        if self._spans > MAX_REQUEST_SPANS:
            raise _too_many()

    def value(self) -> Any:
        """The next value, whole."""
        at = self._unpacker.tell()
        try:
            self._unpacker.skip()
            end = self._unpacker.tell()
            if end - at > MAX_SPAN_BYTES:
                raise TooLarge(f"a span or a text of more than {MAX_SPAN_BYTES} bytes")
            return msgpack.unpackb(self._body[at:end], **_OPTIONS)
        except BadInput:
            raise
        except (msgpack.UnpackException, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise _malformed(str(error) or type(error).__name__) from error

    def end(self) -> None:
        """Nothing may follow."""
        if self._unpacker.tell() != len(self._body):
            raise _malformed("there are bytes behind the payload")


_OPTIONS: Final[dict[str, Any]] = {"raw": False, "strict_map_key": False, "unicode_errors": "replace"}


def _too_many() -> TooLarge:
    return TooLarge(f"more than {MAX_REQUEST_SPANS} spans in one request")


def _malformed(why: str) -> BadInput:
    return BadInput(f"the bytes are not traces of a Datadog tracer: {why}", code="malformed")
