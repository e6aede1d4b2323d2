"""Protobuf classes from tables of fields, for protocols of which only the numbers are needed. No I/O.

Each protocol gets a pool of its own, so that no name collides with the protocol's own package where that is loaded too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from clew_server.errors import BadInput, TooLarge
from clew_server.receivers.memory import check_memory
from clew_server.receivers.pieces import MAX_PART_FIELDS, PIECE_BYTES
from clew_server.receivers.wire import count_below

_TYPES: Final = descriptor_pb2.FieldDescriptorProto
BYTES: Final = _TYPES.TYPE_BYTES
INT32: Final = _TYPES.TYPE_INT32
INT64: Final = _TYPES.TYPE_INT64
UINT32: Final = _TYPES.TYPE_UINT32
UINT64: Final = _TYPES.TYPE_UINT64
BOOL: Final = _TYPES.TYPE_BOOL
DOUBLE: Final = _TYPES.TYPE_DOUBLE
SINT32: Final = _TYPES.TYPE_SINT32
FIXED64: Final = _TYPES.TYPE_FIXED64
SFIXED64: Final = _TYPES.TYPE_SFIXED64


class One(NamedTuple):
    """A field that a message has once. `type` is one of the types above or the name of a message."""

    name: str
    type: Any
    one_of: str = ""
    """The name of the group of which a message has one field only."""


class Many(NamedTuple):
    """A repeated field."""

    name: str
    type: Any


Message = Mapping[int, One | Many]
"""The fields of a message by their numbers."""


def build(package: str, messages: Mapping[str, Message]) -> dict[str, Any]:
    """The classes by the names of their messages. Texts are best declared as bytes, which is the same on the wire: one text
    that is not UTF-8 then does not cost its message the rest."""
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{package.replace('.', '/')}.proto", package=package, syntax="proto3"
    )
    for message, fields in messages.items():
        described = file.message_type.add(name=message)
        groups: dict[str, int] = {}
        for number, field in fields.items():
            made = described.field.add(name=field.name, number=number)
            made.label = _TYPES.LABEL_REPEATED if isinstance(field, Many) else _TYPES.LABEL_OPTIONAL
            if isinstance(field.type, str):
                made.type, made.type_name = _TYPES.TYPE_MESSAGE, f".{package}.{field.type}"
            else:
                made.type = field.type
            if isinstance(field, One) and field.one_of:
                if field.one_of not in groups:
                    groups[field.one_of] = len(groups)
                    described.oneof_decl.add(name=field.one_of)
                made.oneof_index = groups[field.one_of]
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in messages}


Inner = Mapping[int, "Inner"]
"""Of a message the fields that are messages: number → the same of the message in that field."""


def inner(messages: Mapping[str, Message]) -> dict[str, Inner]:
    """For each message the fields that are messages, as `parsed` takes them."""
    found: dict[str, dict[int, Inner]] = {name: {} for name in messages}
    for name, fields in messages.items():
        for number, field in fields.items():
            if isinstance(field.type, str):
                found[name][number] = found[field.type]
    return dict(found)


def parsed(message: Any, raw: bytes, below: Inner, name: str = "message") -> Any:
    """The message in the bytes; `message` is its class, `name` is for the sender.

    Raises BadInput, TooLarge for one of more fields than objects should be made for.
    """
    if len(raw) > PIECE_BYTES and count_below(raw, below, MAX_PART_FIELDS) > MAX_PART_FIELDS:
        raise TooLarge(f"more than {MAX_PART_FIELDS} attributes, events and other fields in one {name}")
    try:
        return message.FromString(raw)
    except DecodeError as error:
        check_memory(error)
        raise BadInput(f"the bytes are not a {name}: {error}", code="malformed") from error
