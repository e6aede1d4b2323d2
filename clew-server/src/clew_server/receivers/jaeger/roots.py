"""The spans at which traces begin, read from accepted requests: which service made them, and how they were sampled. No I/O.

A message with those fields of OTLP's `Span` that this needs, wire-compatible with it; attributes stay bytes, and are read of
root spans only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from clew_server.errors import BadInput
from clew_server.receivers.pieces import pieces

_TYPE_KEYS: Final = ("sampler.type", "jaeger.sampler.type")
_PARAM_KEYS: Final = ("sampler.param", "jaeger.sampler.param")
"""What Jaeger's clients and OpenTelemetry's samplers write to the root span they decided about."""
_PROBABILISTIC: Final = ("probabilistic", "traceidratio")
_THRESHOLD: Final = "th:"
_THRESHOLD_DIGITS: Final = 14


class Root(NamedTuple):
    """The root span of a trace that was recorded."""

    service: str
    operation: str
    says_how: bool
    """Whether the span says how it was sampled."""
    probability: float | None
    """With which it was sampled; None where it was not by a probability, or does not say."""


def roots(request: bytes) -> Iterator[Root]:
    """The root spans of a canonical request, of services that have a name. Memory does not grow with the request."""
    try:
        for piece in pieces(request):
            for resource in _Request.FromString(piece).resource_spans:
                service = ""
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        if span.parent_span_id:
                            continue
                        service = service or _service(resource.resource)
                        if service:
                            yield _root(service, span)
    except (BadInput, DecodeError):
        return  # nothing that an intake accepts; what was read before it counts


def _service(resource: bytes) -> str:
    for pair in Resource.FromString(resource).attributes:
        if pair.key == "service.name":
            return str(pair.value.string_value)
    return ""


def _root(service: str, span: Any) -> Root:
    type_, param = "", None
    for raw in span.attributes:
        if b"sampler." not in raw:
            continue
        pair = KeyValue.FromString(raw)
        if pair.key in _TYPE_KEYS:
            type_ = pair.value.string_value
        elif pair.key in _PARAM_KEYS:
            param = _number(pair.value)
    operation = span.name.decode("utf-8", "replace")
    if type_:
        return Root(service, operation, True, param if type_ in _PROBABILISTIC else None)
    probability = _of_threshold(span.trace_state.decode("utf-8", "replace"))
    return Root(service, operation, probability is not None, probability)


def _number(value: AnyValue) -> float | None:
    if value.HasField("double_value"):
        return float(value.double_value)
    if value.HasField("int_value"):
        return float(value.int_value)
    if value.HasField("bool_value"):  # jaeger-client writes 1 so
        return float(value.bool_value)
    return None


def _of_threshold(trace_state: str) -> float | None:
    """The probability that `ot=th:…` says; None without one."""
    for member in trace_state.split(","):
        key, _, value = member.strip().partition("=")
        if key != "ot":
            continue
        for part in value.split(";"):
            digits = part.removeprefix(_THRESHOLD)
            if digits is not part and 0 < len(digits) <= _THRESHOLD_DIGITS:
                try:
                    return 1 - int(digits.ljust(_THRESHOLD_DIGITS, "0"), 16) / 16**_THRESHOLD_DIGITS
                except ValueError:
                    return None
    return None


def _request_class() -> Any:
    """Built from OTLP's own descriptors: the numbers stand nowhere else."""
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="clew/roots.proto", package="clew.roots", syntax="proto3")
    span = file.message_type.add(name="Span")
    for name in ("parent_span_id", "name", "trace_state", "attributes"):
        of = Span.DESCRIPTOR.fields_by_name[name]
        label = kinds.LABEL_REPEATED if name == "attributes" else kinds.LABEL_OPTIONAL
        span.field.add(name=name, number=of.number, label=label, type=kinds.TYPE_BYTES)
    outer: tuple[tuple[str, str, str, int], ...] = (
        ("ScopeSpans", "spans", "Span", ScopeSpans.DESCRIPTOR.fields_by_name["spans"].number),
        ("ResourceSpans", "scope_spans", "ScopeSpans", ResourceSpans.DESCRIPTOR.fields_by_name["scope_spans"].number),
        ("Request", "resource_spans", "ResourceSpans", 1),
    )
    for message, name, type_name, number in outer:
        made = file.message_type.add(name=message)
        made.field.add(
            name=name,
            number=number,
            label=kinds.LABEL_REPEATED,
            type=kinds.TYPE_MESSAGE,
            type_name=f".clew.roots.{type_name}",
        )
        if message == "ResourceSpans":
            resource = ResourceSpans.DESCRIPTOR.fields_by_name["resource"].number
            made.field.add(name="resource", number=resource, label=kinds.LABEL_OPTIONAL, type=kinds.TYPE_BYTES)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("clew.roots.Request"))


_Request: Final = _request_class()
