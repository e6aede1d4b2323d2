"""A trace in Tempo's forms: its protobuf messages, and their JSON, in which ids are base64. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from clew.otlp.encode import varint
from clew_server.model.otlp_read import otlp_pieces
from clew_server.model.trace import Trace

PROTOBUF, JSON = "application/protobuf", "application/json"


def v1_protobuf(trace: Trace) -> Iterator[bytes]:
    """`tempopb.Trace`: ResourceSpans in field 1, as in an OTLP request."""
    return otlp_pieces(trace.stored)


def v2_protobuf(trace: Trace) -> Iterator[bytes]:
    """`tempopb.TraceByIDResponse`: the trace in field 1; where some of it cannot be read, status PARTIAL (3) and why (4)."""
    body = b"".join(otlp_pieces(trace.stored))
    yield b"\x0a" + varint(len(body)) + body
    if trace.unreadable is not None:
        message = trace.unreadable.encode()
        yield b"\x18\x01\x22" + varint(len(message)) + message


def v1_json(trace: Trace) -> Iterator[bytes]:
    """`{"batches": […]}`."""
    yield json.dumps({"batches": _resource_spans(trace)}, separators=(",", ":")).encode()


def v2_json(trace: Trace) -> Iterator[bytes]:
    """`{"trace": {"resourceSpans": […]}, "status", "message"}`."""
    answer: dict[str, Any] = {"trace": {"resourceSpans": _resource_spans(trace)}, "metrics": {}}
    if trace.unreadable is not None:
        answer |= {"status": "PARTIAL", "message": trace.unreadable}
    yield json.dumps(answer, separators=(",", ":")).encode()


def _resource_spans(trace: Trace) -> list[Any]:
    message = TracesData.FromString(b"".join(otlp_pieces(trace.stored)))
    return [MessageToDict(one) for one in message.resource_spans]


def value_as_json(value: AnyValue) -> Any:
    """A value of an attribute: `{"stringValue": …}` and so on."""
    return MessageToDict(value)
