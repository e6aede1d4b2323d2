"""OTLP requests read one level deep: spans, resources and scopes stay bytes, so that nothing is rebuilt and nothing is lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, cast

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from clew_server.errors import BadInput

_BYTES = descriptor_pb2.FieldDescriptorProto.TYPE_BYTES
_MESSAGE = descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE
_ONE = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL
_MANY = descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED


class RawScopeSpans(Protocol):
    """`ScopeSpans` of OTLP with scope and spans as bytes."""

    scope: bytes
    schema_url: bytes

    @property
    def spans(self) -> Sequence[bytes]: ...


class RawResourceSpans(Protocol):
    """`ResourceSpans` of OTLP with the resource as bytes."""

    resource: bytes
    schema_url: bytes

    @property
    def scope_spans(self) -> Sequence[RawScopeSpans]: ...


class RawRequest(Protocol):
    """`ExportTraceServiceRequest` of OTLP, one level deep."""

    @property
    def resource_spans(self) -> Sequence[RawResourceSpans]: ...


class _Parser(Protocol):
    def FromString(self, s: bytes) -> RawRequest: ...


def _build() -> _Parser:
    """The class, from a schema made here: wire-compatible with OTLP, in a pool of its own so that names cannot collide."""
    file = descriptor_pb2.FileDescriptorProto(name="clew/otlp_raw.proto", package="clew.raw", syntax="proto3")
    for message, fields in (
        ("ScopeSpans", (("scope", 1, _ONE, ""), ("spans", 2, _MANY, ""), ("schema_url", 3, _ONE, ""))),
        (
            "ResourceSpans",
            (("resource", 1, _ONE, ""), ("scope_spans", 2, _MANY, "ScopeSpans"), ("schema_url", 3, _ONE, "")),
        ),
        ("Request", (("resource_spans", 1, _MANY, "ResourceSpans"),)),
    ):
        described = file.message_type.add(name=message)
        for name, number, label, type_name in fields:
            field = described.field.add(name=name, number=number, label=label, type=_MESSAGE if type_name else _BYTES)
            if type_name:
                field.type_name = ".clew.raw." + type_name
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = pool.FindMessageTypeByName("clew.raw.Request")
    return cast("_Parser", message_factory.GetMessageClass(found))


_Request = _build()


def parse_raw(request: bytes) -> RawRequest:
    """The request with its spans as bytes. Raises BadInput where even this much cannot be read."""
    try:
        return _Request.FromString(request)
    except Exception as error:  # upb's DecodeError, whose module differs between protobuf versions
        raise BadInput(f"the bytes are not an OTLP request: {error}", code="malformed") from error


def count_spans(request: bytes) -> int:
    """Spans in a request, broken ones included; 0 where nothing can be read."""
    try:
        raw = parse_raw(request)
    except BadInput:
        return 0
    return sum(len(scope.spans) for resource in raw.resource_spans for scope in resource.scope_spans)


def one_span_requests(request: bytes) -> list[bytes]:
    """A request of its own for each span, with its resource and scope; empty where the request cannot be read."""
    try:
        raw = parse_raw(request)
    except BadInput:
        return []
    made = []
    for resource in raw.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                one: Any = cast("Any", _Request)()
                group = one.resource_spans.add(resource=resource.resource, schema_url=resource.schema_url)
                group.scope_spans.add(scope=scope.scope, schema_url=scope.schema_url, spans=[span])
                made.append(one.SerializeToString())
    return made
