"""The protobuf messages of Jaeger's api_v3, made from `query_service.proto` when they are first asked for. No I/O but that file's.

That file is plain: messages with scalar, repeated, map and message fields, one a line, which is all that is read of it here.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, duration_pb2, message_factory, timestamp_pb2

_PACKAGE: Final = "clew.jaeger.api_v3"
"""Not Jaeger's own, so that its generated code can be loaded beside; the wire does not show it."""
_MESSAGE: Final = re.compile(r"^message (\w+) \{(.*?)\}", re.MULTILINE | re.DOTALL)
_FIELD: Final = re.compile(r"^\s*(repeated )?(map<string, string>|[\w.]+) (\w+) = (\d+);", re.MULTILINE)
_Kind = descriptor_pb2.FieldDescriptorProto


@cache
def message(name: str) -> Any:
    """The class of a message. Raises KeyError for one that is not in the file."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"{_PACKAGE}.{name}"))


def text() -> str:
    """The file itself."""
    return resources.files("clew_server.api.jaeger").joinpath("query_service.proto").read_text(encoding="utf-8")


@cache
def _pool() -> descriptor_pool.DescriptorPool:
    file = descriptor_pb2.FileDescriptorProto(name="clew/jaeger_query.proto", package=_PACKAGE, syntax="proto3")
    pool = descriptor_pool.DescriptorPool()
    for known in (duration_pb2, timestamp_pb2):
        pool.AddSerializedFile(known.DESCRIPTOR.serialized_pb)
        file.dependency.append(known.DESCRIPTOR.name)
    for name, body in _MESSAGE.findall(text()):
        described = file.message_type.add(name=name)
        for repeated, kind, field, number in _FIELD.findall(body):
            made = described.field.add(name=field, number=int(number), label=_Kind.LABEL_OPTIONAL)
            if repeated or kind.startswith("map"):
                made.label = _Kind.LABEL_REPEATED
            if kind.startswith("map"):
                made.type, made.type_name = _Kind.TYPE_MESSAGE, f".{_PACKAGE}.{name}.{field.title()}Entry"
                entry = described.nested_type.add(name=f"{field.title()}Entry")
                entry.options.map_entry = True
                for at, part in enumerate(("key", "value"), 1):
                    entry.field.add(name=part, number=at, label=_Kind.LABEL_OPTIONAL, type=_Kind.TYPE_STRING)
            elif f"TYPE_{kind.upper()}" in _Kind.Type.keys():  # noqa: SIM118 (an enum's wrapper, not a dict)
                made.type = _Kind.Type.Value(f"TYPE_{kind.upper()}")
            else:
                made.type = _Kind.TYPE_MESSAGE
                made.type_name = f".{kind}" if "." in kind else f".{_PACKAGE}.{kind}"
    pool.Add(file)
    return pool
