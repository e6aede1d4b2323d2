"""Protobuf classes from tables of fields, for protocols of which only the numbers are needed. No I/O.

Each protocol gets a pool of its own, so that no name collides with the protocol's own package where that is loaded too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_TYPES: Final = descriptor_pb2.FieldDescriptorProto
BYTES: Final = _TYPES.TYPE_BYTES
INT32: Final = _TYPES.TYPE_INT32
INT64: Final = _TYPES.TYPE_INT64
UINT32: Final = _TYPES.TYPE_UINT32
UINT64: Final = _TYPES.TYPE_UINT64
BOOL: Final = _TYPES.TYPE_BOOL
DOUBLE: Final = _TYPES.TYPE_DOUBLE


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
