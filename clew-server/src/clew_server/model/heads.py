"""The head of a span: its ids, name, kind, times and status, read from its bytes without parsing its attributes.

A message with those fields of OTLP's `Span`, wire-compatible with it. Reading it costs half of parsing the whole span.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

_PARTS: Final = ("events", "links")
_FIELDS: Final = (
    "trace_id",
    "span_id",
    "parent_span_id",
    "name",
    "kind",
    "start_time_unix_nano",
    "end_time_unix_nano",
)


def _head_class() -> Any:
    """Built from OTLP's own descriptors: the numbers and types stand nowhere else."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="clew/span_head.proto", package="clew.head", syntax="proto3")
    head = file.message_type.add(name="SpanHead")
    whole = Span.DESCRIPTOR.fields_by_name
    for name in _FIELDS:
        of = whole[name]
        made = head.field.add(name=name, number=of.number, label=kinds.LABEL_OPTIONAL)
        made.type = kinds.TYPE_INT32 if of.enum_type is not None else kinds.Type.Value(kinds.Type.Name(of.type))  # type: ignore[arg-type]
    for name in _PARTS:
        head.field.add(name=name, number=whole[name].number, label=kinds.LABEL_REPEATED, type=kinds.TYPE_BYTES)
    status = head.nested_type.add(name="Status")
    code = Status.DESCRIPTOR.fields_by_name["code"]
    status.field.add(name="code", number=code.number, label=kinds.LABEL_OPTIONAL, type=kinds.TYPE_INT32)
    head.field.add(
        name="status",
        number=whole["status"].number,
        label=kinds.LABEL_OPTIONAL,
        type=kinds.TYPE_MESSAGE,
        type_name=".clew.head.SpanHead.Status",
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("clew.head.SpanHead"))


if TYPE_CHECKING:
    SpanHead = Span
else:
    SpanHead = _head_class()


def span_without_parts(raw: bytes) -> Span:
    """A span with the fields of its head only. Raises DecodeError when not even those can be read."""
    head = SpanHead.FromString(raw)
    span = Span(status=Status(code=head.status.code))
    for name in _FIELDS:
        setattr(span, name, getattr(head, name))
    return span
