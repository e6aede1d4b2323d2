"""Zipkin's JSON in files: a list of spans (a trace), or a list of such lists, v2 and v1; `receivers.zipkin` reads the spans. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from clew_server.errors import BadInput, TooLarge
from clew_server.model.otlp_raw import count_spans
from clew_server.receivers.contract import Head
from clew_server.receivers.files.contract import PART_BYTES, Notes, Part
from clew_server.receivers.files.json_stream import JsonStream
from clew_server.receivers.pieces import pieces
from clew_server.receivers.zipkin.decoder import decode

KEYS: Final = frozenset(
    [
        "traceId",
        "id",
        "parentId",
        "name",
        "kind",
        "timestamp",
        "duration",
        "localEndpoint",
        "remoteEndpoint",
        "annotations",
        "tags",
        "debug",
        "shared",
        "binaryAnnotations",
    ]
)
_HEAD: Final = Head(path="/api/v2/spans", content_type="application/json")
_MOST_CHARACTERS: Final = 8 << 20
_HEAD_V1: Final = Head(path="/api/v1/spans", content_type="application/json")


class Span(NamedTuple):
    """A span as it stands in the file."""

    text: str
    is_v1: bool


def span(stream: JsonStream) -> Span:
    """The span that comes."""
    value, text = stream.value_and_text()
    return Span(text, _is_v1(value))


def one(stream: JsonStream, notes: Notes) -> Iterator[Part]:
    """A span that stands alone, as in a file of lines."""
    return _read([span(stream)], notes)


def grouped(elements: Iterable[Part | Span], notes: Notes) -> Iterator[Part]:
    """The parts among the elements, and those of the spans of Zipkin among them.

    An empty part ends a trace. The spans of a trace are read together, unless they are very many: `shared` is about two.
    """
    waiting: list[Span] = []
    size = 0
    for element in elements:
        if isinstance(element, Span):
            waiting.append(element)
            size += len(element.text)
        elif element.request:
            yield element
        if size >= (_MOST_CHARACTERS if isinstance(element, Span) else PART_BYTES):
            yield from _read(waiting, notes)
            waiting, size = [], 0
    if waiting:
        yield from _read(waiting, notes)


def _read(spans: list[Span], notes: Notes) -> Iterator[Part]:
    """The parts of these spans. Spans of both versions can stand in one file."""
    notes.format = notes.format or "Zipkin JSON"
    for head, wanted in ((_HEAD, False), (_HEAD_V1, True)):
        chosen = [one.text for one in spans if one.is_v1 is wanted]
        if not chosen:
            continue
        try:
            batch = decode(f"[{','.join(chosen)}]".encode("utf-8", "replace"), head)
        except TooLarge:
            raise
        except BadInput:  # every span of it was refused
            notes.left_out["malformed"] += len(chosen)
            continue
        notes.left_out.update(batch.rejected)
        for piece in pieces(batch.request):
            yield Part(piece, count_spans(piece))


def _is_v1(value: Any) -> bool:
    """Whether a span has what only version 1 has: binary annotations, or annotations with an endpoint."""
    if not isinstance(value, dict):
        return False
    annotations = value.get("annotations")
    return "binaryAnnotations" in value or (
        isinstance(annotations, list) and any(isinstance(one, dict) and "endpoint" in one for one in annotations)
    )
