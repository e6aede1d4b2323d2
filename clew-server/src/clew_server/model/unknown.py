"""Fields that OTLP does not know (newer ones, or known ones with another wire type): kept, where no reader but ours sees them.

A span, resource or scope that holds such fields at any depth is written as its known fields followed by field 1001, whose
content is the message as it came. Unknown fields of a `ResourceSpans` or `ScopeSpans` go into field 1002 of its resource or
scope. Every protobuf reader skips both, the store's too: what it is given holds nothing it could take for something else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol, cast

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

WHOLE_FIELD: Final = 1001
AROUND_FIELD: Final = 1002
_TAGS: Final = (b"\xca\x3e", b"\xd2\x3e")  # of the two fields, length-delimited


class _Kept(Protocol):
    whole: bytes
    around: bytes

    def HasField(self, field_name: str) -> bool: ...
    def SerializeToString(self) -> bytes: ...


def _build() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="clew/kept.proto", package="clew.kept", syntax="proto2")
    described = file.message_type.add(name="Kept")
    for name, number in (("whole", WHOLE_FIELD), ("around", AROUND_FIELD)):
        described.field.add(
            name=name,
            number=number,
            label=descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL,
            type=descriptor_pb2.FieldDescriptorProto.TYPE_BYTES,
        )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("clew.kept.Kept"))


_KeptMessage: Final = _build()


def known_fields_only(message: ExportTraceServiceRequest, body: bytes) -> tuple[ExportTraceServiceRequest, bytes]:
    """The request in canonical form, with unknown fields as this module keeps them, and its bytes.

    `body` is what the message was parsed from, or its serialization. The message may be changed. Unknown fields of the request
    itself are left out.
    """
    message.DiscardUnknownFields()
    request = message.SerializeToString()
    if request == body:
        return message, request
    original = ExportTraceServiceRequest.FromString(body)
    if len(original.SerializeToString()) == len(request):
        return message, request  # only written differently
    kept = ExportTraceServiceRequest()
    for group in original.resource_spans:
        _keep_group(kept.resource_spans.add(), group)
    return kept, kept.SerializeToString()


def whole(data: bytes) -> bytes:
    """A stored span, resource or scope as it came."""
    if _TAGS[0] not in data and _TAGS[1] not in data:
        return data
    kept = _kept(data)
    return kept.whole if kept is not None and kept.HasField("whole") else _known_part(data, kept)


def around(data: bytes) -> bytes:
    """Unknown fields of the `ResourceSpans` or `ScopeSpans` that the stored resource or scope was in; usually none."""
    kept = _kept(data)
    return kept.around if kept is not None else b""


def rewritten(data: bytes, change: Callable[[Span], None]) -> bytes:
    """A stored span, changed, with its unknown fields kept. Raises DecodeError where the bytes do not parse."""
    span = Span.FromString(whole(data))
    change(span)
    return _kept_form(span)


def _kept(data: bytes) -> _Kept | None:
    if not any(tag in data for tag in _TAGS):
        return None
    try:
        return cast("_Kept", _KeptMessage.FromString(data))
    except DecodeError:  # a damaged disk
        return None


def _known_part(data: bytes, kept: _Kept | None) -> bytes:
    """Without field 1002, which stands at the end."""
    if kept is None or not kept.HasField("around"):
        return data
    return data[: -len(_field(AROUND_FIELD, kept.around))]


def _keep_group(target: ResourceSpans, source: ResourceSpans) -> None:
    target.schema_url = source.schema_url
    outside = _only_unknown(source)
    if source.HasField("resource") or outside:
        target.resource.MergeFromString(_kept_form(source.resource) + _around_field(outside))
    for scope_spans in source.scope_spans:
        inner = target.scope_spans.add(schema_url=scope_spans.schema_url)
        outside = _only_unknown(scope_spans)
        if scope_spans.HasField("scope") or outside:
            inner.scope.MergeFromString(_kept_form(scope_spans.scope) + _around_field(outside))
        for span in scope_spans.spans:
            inner.spans.add().MergeFromString(_kept_form(span))


def _kept_form(message: Message) -> bytes:
    came = message.SerializeToString()
    known = type(message)()
    known.CopyFrom(message)
    known.DiscardUnknownFields()
    bare = known.SerializeToString()
    return bare if len(bare) == len(came) else bare + _field(WHOLE_FIELD, came)


def _only_unknown(message: ResourceSpans | ScopeSpans) -> bytes:
    rest: Any = type(message)()
    rest.CopyFrom(message)
    for field in message.DESCRIPTOR.fields:
        rest.ClearField(field.name)
    return bytes(rest.SerializeToString())


def _around_field(outside: bytes) -> bytes:
    return _field(AROUND_FIELD, outside) if outside else b""


def _field(number: int, content: bytes) -> bytes:
    made = _KeptMessage()
    setattr(made, "whole" if number == WHOLE_FIELD else "around", content)
    return bytes(made.SerializeToString())
