"""The head of a span: its ids, name, kind, times and status, read from its bytes without parsing its attributes.

`SpanHead` is a message with those fields of OTLP's `Span`, wire-compatible with it. Reading it costs half of parsing the whole span.
In `SpanHeads`, which has a field `spans`, are many: in each of them `status` is the bytes of the status, and `events` and `links` are
the bytes of the last one, since a list costs more than all other fields together.
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


def _head_classes() -> tuple[Any, Any]:
    """The two messages, built from OTLP's own descriptors: their numbers and types are not repeated here."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="clew/span_head.proto", package="clew.head", syntax="proto3")
    whole = Span.DESCRIPTOR.fields_by_name
    head, lean = file.message_type.add(name="SpanHead"), file.message_type.add(name="LeanHead")
    for message in (head, lean):
        for name in _FIELDS:
            of = whole[name]
            made = message.field.add(name=name, number=of.number, label=kinds.LABEL_OPTIONAL)
            made.type = kinds.TYPE_INT32 if of.enum_type is not None else kinds.Type.Value(kinds.Type.Name(of.type))  # type: ignore[arg-type]
    for name in _PARTS:
        number = whole[name].number
        head.field.add(name=name, number=number, label=kinds.LABEL_REPEATED, type=kinds.TYPE_BYTES)
        lean.field.add(name=name, number=number, label=kinds.LABEL_OPTIONAL, type=kinds.TYPE_BYTES)
    status = head.nested_type.add(name="Status")
    code = Status.DESCRIPTOR.fields_by_name["code"]
    status.field.add(name="code", number=code.number, label=kinds.LABEL_OPTIONAL, type=kinds.TYPE_INT32)
    number = whole["status"].number
    head.field.add(
        name="status",
        number=number,
        label=kinds.LABEL_OPTIONAL,
        type=kinds.TYPE_MESSAGE,
        type_name=".clew.head.SpanHead.Status",
    )
    lean.field.add(name="status", number=number, label=kinds.LABEL_OPTIONAL, type=kinds.TYPE_BYTES)
    heads = file.message_type.add(name="SpanHeads")
    heads.field.add(
        name="spans",
        number=1,
        label=kinds.LABEL_REPEATED,
        type=kinds.TYPE_MESSAGE,
        type_name=".clew.head.LeanHead",
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    made_head, made_heads = (
        message_factory.GetMessageClass(pool.FindMessageTypeByName(f"clew.head.{name}"))
        for name in ("SpanHead", "SpanHeads")
    )
    return made_head, made_heads


if TYPE_CHECKING:
    SpanHead = Span
    SpanHeads: Any
else:
    SpanHead, SpanHeads = _head_classes()


def span_without_parts(raw: bytes) -> Span:
    """A span with the fields of its head only. Raises DecodeError when not even those can be read."""
    head = SpanHead.FromString(raw)
    span = Span(status=Status(code=head.status.code))
    for name in _FIELDS:
        setattr(span, name, getattr(head, name))
    return span
