"""A protobuf message in which every field says something, and the same with one field changed, for each field at any depth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

_PARTS = FieldDescriptor.TYPE_MESSAGE


def fill(message: Any) -> None:
    """Give each field of an empty message a value; of a list one element, of a `oneof` the last one."""
    for field in message.DESCRIPTOR.fields:
        place = getattr(message, field.name)
        if field.type == _PARTS:
            if not field.is_repeated:
                place.SetInParent()
            fill(place.add() if field.is_repeated else place)
        elif field.is_repeated:
            place.append(_value(field, 0))
        else:
            setattr(message, field.name, _value(field, 0))


def changes(message: Any) -> Iterator[tuple[str, Any]]:
    """The path of each field that is set, and a copy of the message in which it is another or, for a list, empty."""
    yield from _changes(message, message, ())


_Path = tuple[tuple[str, int | None], ...]
"""Names of fields, and in lists places."""


def _changes(whole: Message, message: Any, at: _Path) -> Iterator[tuple[str, Any]]:
    for field, value in message.ListFields():
        path = ".".join(name if place is None else f"{name}[{place}]" for name, place in (*at, (field.name, None)))
        if field.is_repeated:
            yield path, _copy(whole, at, lambda owner, name=field.name: owner.ClearField(name))
        if field.type == _PARTS:
            parts = enumerate(value) if field.is_repeated else ((None, value),)
            for place, part in parts:
                yield from _changes(whole, part, (*at, (field.name, place)))
        elif not field.is_repeated:
            yield path, _copy(whole, at, lambda owner, one=field: setattr(owner, one.name, _value(one, 1)))


def _copy(whole: Any, path: _Path, change: Any) -> Any:
    made = type(whole)()
    made.CopyFrom(whole)
    owner = made
    for name, place in path:
        owner = getattr(owner, name) if place is None else getattr(owner, name)[place]
    change(owner)
    return made


def _value(field: Any, which: int) -> Any:
    """One of two values. A field that a test has given another one is changed by both."""
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING:
            text = f"{field.name}-{which}"
            return text.encode() if field.type == FieldDescriptor.TYPE_BYTES else text
        case FieldDescriptor.CPPTYPE_BOOL:
            return not which
        case FieldDescriptor.CPPTYPE_DOUBLE:
            return 1.5 + which
        case _:
            return 3 + which
