"""Pinpoint's spans when they are read: pieces of one span become one tree, and numbers of methods and texts become words. No I/O.

An agent sends the events of a span in pieces, and numbers instead of names. The receiver writes each piece as it comes, so two
things are only known when a trace is read: which event of another piece an event hangs on, and what a number stands for whose
words came later than the span.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from struct import Struct
from typing import Any, Final, NamedTuple

from google.protobuf.message import DecodeError
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.model.attributes import text_of
from clew_server.model.facts import Fact, Known
from clew_server.model.stored import StoredSpans
from clew_server.model.unknown import rewritten

SPAN_ID: Final = "pinpoint.span_id"
SEQUENCE: Final = "pinpoint.sequence"
DEPTH: Final = "pinpoint.depth"
ASYNC_ID: Final = "pinpoint.async.id"
ASYNC_SEQUENCE: Final = "pinpoint.async.sequence"
STARTS_ASYNC: Final = "pinpoint.async.starts"
CHUNK: Final = "pinpoint.chunk"
"""Attribute of an event that came apart from its span."""
UNRESOLVED: Final = "pinpoint.unresolved"
"""Attribute with what was not known when a span came: `api:12`, `sql:3`, `sqluid:0a1b`, `string:5=exception.type`."""
RPC: Final = "pinpoint.rpc"
"""Attribute of a span that has its name from what was asked for."""
AGENT_ID: Final = "service.instance.id"
AGENT_START: Final = "pinpoint.agent.start_time"
LITERALS: Final = "pinpoint.sql.literals"

MARK: Final = b"pinpoint."
_CHUNK_MARK: Final = CHUNK.encode()
_UNRESOLVED_MARK: Final = UNRESOLVED.encode()
_SEQUENCE_MARK: Final = SEQUENCE.encode()
_EXCEPTION_TYPE: Final = "exception.type"
_PLACEHOLDER: Final = re.compile(r"'\d+\$'|\b\d+[#$]")

Value = str | int


def agent_key(agent_id: str, start_time: str) -> str:
    """Under which facts of an agent are kept: a process that starts anew numbers its methods anew."""
    return f"{agent_id}^{start_time}"


class Api(NamedTuple):
    """What the metadata of a method says."""

    name: str
    """Name of a span."""
    tags: Mapping[str, Value]


@lru_cache(maxsize=4096)
def api(fact: bytes) -> Api:
    """The method that a fact `api:ID` stands for (`api_fact`)."""
    line, type_, text, location = _parted(fact)
    tags: dict[str, Value] = {"pinpoint.api": text}
    name = text
    function, parenthesis, _ = text.partition("(")
    if parenthesis and "." in function:
        name = ".".join(function.rsplit(".", 2)[-2:])
        tags["code.function.name"] = function
    if location:
        tags["code.file.path"] = location
    if line > 0:
        tags["code.line.number"] = line
    if type_:
        tags["pinpoint.api.type"] = type_
    return Api(name, tags)


_NUMBERS: Final = Struct("<iiI")


def api_fact(text: bytes, line: int, type_: int, location: bytes) -> bytes:
    """The value of a fact `api:ID`."""
    return _NUMBERS.pack(line, type_, len(text)) + text + location


def _parted(fact: bytes) -> tuple[int, int, str, str]:
    line, type_, length = _NUMBERS.unpack_from(fact)
    rest = fact[_NUMBERS.size :]
    return line, type_, rest[:length].decode("utf-8", "replace"), rest[length:].decode("utf-8", "replace")


_UNNAMED: Final = "unnamed"
"""Under which notes are kept among facts; the key of an agent is never this, it has a `^`."""
_MOST_NOTES: Final = 10_000
"""The newest, that are looked at for one question."""


def note(agent: str, reference: str) -> Fact:
    """What is remembered of spans that are stored with a reference to a fact of their agent that is not known."""
    return Fact(_UNNAMED, f"{agent}\n{reference}", b"")


class Late(NamedTuple):
    """A fact that became known after spans that refer to it were stored."""

    agent_id: str
    start_time: str
    reference: str
    """As those spans have it in `pinpoint.unresolved`."""
    span: Span
    """With what the fact gives to a span: a name, attributes, an event."""


def late(known: Known) -> list[Late]:
    """All of them, of the newest 10,000 references that were stored so."""
    found = []
    for key in list(known.of(_UNNAMED))[-_MOST_NOTES:]:
        agent, _, reference = key.partition("\n")
        fact = known.of(agent).get(reference.partition("=")[0])
        if fact is not None:
            agent_id, _, start_time = agent.rpartition("^")
            found.append(Late(agent_id, start_time, reference, _given(reference, fact)))
    return found


@lru_cache(maxsize=_MOST_NOTES)
def _given(reference: str, fact: bytes) -> Span:
    span = Span()
    fact_key, _, target = reference.partition("=")
    if target == _EXCEPTION_TYPE:
        span.events.add(name="exception")
    span.attributes.add(key=UNRESOLVED).value.array_value.values.add(string_value=reference)
    _resolver({fact_key: fact})(span)
    return span


def sql_tags(text: str) -> dict[str, Value]:
    """Attributes of a statement in Pinpoint's form, in which `0#` stands for a number and `'1$'` for a text."""
    return {"db.query.text": _PLACEHOLDER.sub("?", text), "pinpoint.sql": text}


def joined(spans: StoredSpans, known: Known) -> tuple[StoredSpans, int]:
    """The spans of a trace with Pinpoint's pieces joined and its numbers resolved, and how many spans still have unresolved ones."""
    # Looking for bytes costs a hundredth of parsing them; nearly all spans have none of these.
    of_pinpoint = [raw for raw in spans.raw if raw.find(MARK) >= 0]
    has_chunks = any(raw.find(_CHUNK_MARK) >= 0 for raw in of_pinpoint)
    has_unresolved = any(raw.find(_UNRESOLVED_MARK) >= 0 for raw in of_pinpoint)
    if not (has_unresolved or has_chunks):
        return spans, 0
    spans = spans.take(range(len(spans)))
    unresolved = _resolve(spans, known) if has_unresolved else 0
    if has_chunks:
        _hang(spans)
    return spans, unresolved


class _Event(NamedTuple):
    place: int
    span_id: bytes
    parent_id: bytes
    sequence: int
    depth: int


_Piece = tuple[str, int, int]
"""Pinpoint's span id, and of an asynchronous part its two numbers."""


def _hang(spans: StoredSpans) -> None:
    """Give each event of a span that came in pieces the parent that it has among all of them."""
    pieces: dict[_Piece, list[_Event]] = {}
    starters: dict[tuple[str, int], bytes] = {}
    in_chunks = set[_Piece]()
    for place, raw in enumerate(spans.raw):
        if raw.find(_SEQUENCE_MARK) < 0:
            continue
        try:
            span = Span.FromString(raw)
        except DecodeError:
            continue
        found = {pair.key: pair.value for pair in span.attributes if pair.key.startswith("pinpoint.")}
        if SPAN_ID not in found or SEQUENCE not in found:
            continue
        owner = found[SPAN_ID].string_value
        piece = (owner, _number(found, ASYNC_ID), _number(found, ASYNC_SEQUENCE))
        event = _Event(place, span.span_id, span.parent_span_id, _number(found, SEQUENCE), _number(found, DEPTH))
        pieces.setdefault(piece, []).append(event)
        if CHUNK in found:
            in_chunks.add(piece)
        if STARTS_ASYNC in found:
            starters[owner, _number(found, STARTS_ASYNC)] = span.span_id
    for piece in in_chunks:
        above: list[_Event] = []
        for event in sorted(pieces[piece], key=lambda one: (one.sequence, one.place)):
            while above and above[-1].depth >= event.depth:
                above.pop()
            parent = above[-1].span_id if above else starters.get((piece[0], piece[1])) if piece[1] else None
            above.append(event)
            if parent is not None and parent != event.parent_id:
                spans.raw[event.place] = rewritten(spans.raw[event.place], _parent_setter(parent))


def _number(found: Mapping[str, Any], key: str) -> int:
    value = found.get(key)
    return 0 if value is None else int(value.int_value)


def _parent_setter(parent: bytes) -> Any:
    def change(span: Span) -> None:
        span.parent_span_id = parent

    return change


def _resolve(spans: StoredSpans, known: Known) -> int:
    unresolved = 0
    facts: dict[int, Mapping[str, bytes]] = {}
    for place, raw in enumerate(spans.raw):
        if raw.find(_UNRESOLVED_MARK) < 0:
            continue
        origin = spans.origin[place]
        if origin not in facts:
            facts[origin] = known.of(_agent_of(spans.origins[origin].resource))
        of_agent = facts[origin]
        if of_agent:
            with contextlib.suppress(DecodeError):
                spans.raw[place] = rewritten(raw, _resolver(of_agent))
        unresolved += spans.raw[place].find(_UNRESOLVED_MARK) >= 0
    return unresolved


def _agent_of(resource: bytes) -> str:
    try:
        attributes = Resource.FromString(resource).attributes
    except DecodeError:
        return ""
    start = next((pair.value for pair in attributes if pair.key == AGENT_START), None)
    return agent_key(text_of(attributes, AGENT_ID), "" if start is None else start.string_value)


def _resolver(facts: Mapping[str, bytes]) -> Any:
    def change(span: Span) -> None:
        mark = next((pair for pair in span.attributes if pair.key == UNRESOLVED), None)
        if mark is None:
            return
        left = []
        for value in mark.value.array_value.values:
            reference, _, target = value.string_value.partition("=")
            fact = facts.get(reference)
            if fact is None:
                left.append(value.string_value)
                continue
            for key, words in _words(span, reference, target, fact):
                _set(span, key, words)
        if left:
            del mark.value.array_value.values[:]
            for one in left:
                mark.value.array_value.values.add(string_value=one)
        else:
            kept = [pair for pair in span.attributes if pair.key != UNRESOLVED]
            del span.attributes[:]
            span.attributes.extend(kept)

    return change


def _words(span: Span, reference: str, target: str, fact: bytes) -> Iterator[tuple[str, Value]]:
    """The attributes that a fact gives to a span; what it gives to the span's name and events is done at once."""
    if reference.startswith("api:"):
        found = api(fact)
        if all(pair.key != RPC for pair in span.attributes):  # as the receiver names a span
            span.name = found.name
        yield from found.tags.items()
    elif reference.startswith("sql"):
        yield from sql_tags(fact.decode("utf-8", "replace")).items()
    elif target == _EXCEPTION_TYPE:
        for event in span.events:
            if event.name == "exception" and all(pair.key != target for pair in event.attributes):
                event.attributes.add(key=target).value.string_value = fact.decode("utf-8", "replace")
    elif target:
        yield target, fact.decode("utf-8", "replace")


def _set(span: Span, key: str, value: Value) -> None:
    if any(pair.key == key for pair in span.attributes):
        return
    pair = span.attributes.add(key=key)
    if isinstance(value, int):
        pair.value.int_value = value
    else:
        pair.value.string_value = value
