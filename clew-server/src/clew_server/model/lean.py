"""Messages of OTLP read one level deep: what would be a message in them stays bytes. Wire-compatible with OTLP."""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor


def lean_class(descriptor: Descriptor) -> Any:
    """The class of a message with the fields of this one, made from its descriptor, so that a field OTLP adds is in it."""
    file = descriptor_pb2.FileDescriptorProto(
        name=f"clew/lean_{descriptor.name}.proto", package="clew.lean", syntax="proto3"
    )
    described = file.message_type.add(name=descriptor.name)
    kinds = descriptor_pb2.FieldDescriptorProto
    for field in descriptor.fields:
        made = described.field.add(name=field.name, number=field.number, json_name=field.json_name)
        made.label = kinds.LABEL_REPEATED if field.is_repeated else kinds.LABEL_OPTIONAL
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            made.type = kinds.TYPE_BYTES
            if not field.is_repeated:
                # Present though empty, as a message is.
                made.proto3_optional = True
                made.oneof_index = len(described.oneof_decl)
                described.oneof_decl.add(name=f"_{field.name}")
        elif field.type == FieldDescriptor.TYPE_ENUM:
            made.type = kinds.TYPE_INT32
        else:
            made.type = kinds.Type.Value(kinds.Type.Name(field.type))  # type: ignore[arg-type]
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"clew.lean.{descriptor.name}"))
