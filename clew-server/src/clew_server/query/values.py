"""What the spans of a trace say under one key: a cell of a list of traces, the colours of its rows. Pure, on bytes that are read already."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.model.attributes import find, json_text, text_in_span
from clew_server.model.families import newest_first
from clew_server.model.text import written_text
from clew_server.model.trace import Trace

MOST_VALUES: Final = 4
"""So many different values are given; one more than are shown says that there are more."""


MOST_GROUPS: Final = 50
"""So many values are given with their spans."""


class Group(NamedTuple):
    """The spans of a trace that have one value of an attribute."""

    value: str
    rows: list[int]
    """In row order."""


class Groups(NamedTuple):
    """The most frequent values, of equally frequent ones the lesser text; how many spans have another one, and how many have none."""

    most: list[Group]
    other: int
    without: int


def values(trace: Trace, key: str) -> list[str]:
    """The first different values of an attribute, in row order, as text: each span's own, else its resource's. Empty ones are left out.

    A list gives its elements, each of which a query finds.
    """
    found: dict[str, None] = {}
    for texts in _of_rows(trace, key, _elements):
        for text in texts:
            found[text] = None
            if len(found) == MOST_VALUES:
                return list(found)
    return list(found)


def groups(trace: Trace, key: str) -> Groups:
    """The spans by the value they have for an attribute, as text: their own, else their resource's. An empty one is none."""
    rows_of: dict[str, list[int]] = {}
    for row, texts in enumerate(_of_rows(trace, key, _whole)):
        rows_of.setdefault("".join(texts), []).append(row)
    without = len(rows_of.pop("", ()))
    ranked = sorted(rows_of, key=lambda text: (-len(rows_of[text]), text))
    other = sum(len(rows_of[text]) for text in ranked[MOST_GROUPS:])
    return Groups([Group(text, rows_of[text]) for text in ranked[:MOST_GROUPS]], other, without)


_Texts = tuple[str, ...]
_Read = Callable[[AnyValue], _Texts]
"""The texts that are shown of a value; none where it is empty."""


def _whole(value: AnyValue) -> _Texts:
    """One text: of a list and of a map their JSON."""
    if value.WhichOneof("value") in ("array_value", "kvlist_value"):
        inner = value.array_value.values or value.kvlist_value.values
        return (json_text(value),) if inner else ()
    return (text,) if (text := written_text(value)) else ()


def _elements(value: AnyValue) -> _Texts:
    if value.WhichOneof("value") != "array_value":
        return _whole(value)
    return tuple(text for one in value.array_value.values for text in _whole(one))


def _of_rows(trace: Trace, key: str, read: _Read) -> Iterator[_Texts]:
    """What each row has, under the newest of the attribute's names that it has a value for."""
    stored = trace.stored
    names = newest_first(key)
    shared: dict[int, _Texts] = {}
    for raw, origin in zip(stored.raw, stored.origin, strict=True):
        texts = _of_span(raw, names, read)
        if not texts:
            if origin not in shared:
                shared[origin] = _parsed(Resource, stored.origins[origin].resource, names, read)
            texts = shared[origin]
        yield texts


def _of_span(raw: bytes, names: Sequence[str], read: _Read) -> _Texts:
    for name in names:
        text = text_in_span(raw, name)
        if text is None:
            return _parsed(Span, raw, names, read)
        if text:
            return (text,)
    return ()


def _parsed(kind: type[Span] | type[Resource], raw: bytes, names: Sequence[str], read: _Read) -> _Texts:
    try:
        attributes = kind.FromString(raw).attributes
    except DecodeError:
        return ()
    values = (find(attributes, name) for name in names)
    return next((texts for value in values if value is not None and (texts := read(value))), ())
