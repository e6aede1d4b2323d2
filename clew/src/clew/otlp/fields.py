"""Field numbers and wire types of OTLP's trace messages (opentelemetry-proto 1.10, `trace.proto`, `common.proto`)."""

from __future__ import annotations

from typing import Final

# Wire types (protobuf encoding, "Message structure").
VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
FIXED32: Final = 5

# ExportTraceServiceRequest, TracesData
REQUEST_RESOURCE_SPANS: Final = 1

# ExportTraceServiceResponse, ExportTracePartialSuccess
RESPONSE_PARTIAL_SUCCESS: Final = 1
PARTIAL_REJECTED_SPANS: Final = 1
PARTIAL_ERROR_MESSAGE: Final = 2

# google.rpc.Status, the body of a refusal
RPC_STATUS_MESSAGE: Final = 2

# ResourceSpans
RESOURCE_SPANS_RESOURCE: Final = 1
RESOURCE_SPANS_SCOPE_SPANS: Final = 2
RESOURCE_SPANS_SCHEMA_URL: Final = 3

# Resource
RESOURCE_ATTRIBUTES: Final = 1

# ScopeSpans
SCOPE_SPANS_SCOPE: Final = 1
SCOPE_SPANS_SPANS: Final = 2
SCOPE_SPANS_SCHEMA_URL: Final = 3

# InstrumentationScope
SCOPE_NAME: Final = 1
SCOPE_VERSION: Final = 2
SCOPE_ATTRIBUTES: Final = 3
SCOPE_DROPPED_ATTRIBUTES: Final = 4

# Span
SPAN_TRACE_ID: Final = 1
SPAN_SPAN_ID: Final = 2
SPAN_TRACE_STATE: Final = 3
SPAN_PARENT_SPAN_ID: Final = 4
SPAN_NAME: Final = 5
SPAN_KIND: Final = 6
SPAN_START: Final = 7
SPAN_END: Final = 8
SPAN_ATTRIBUTES: Final = 9
SPAN_DROPPED_ATTRIBUTES: Final = 10
SPAN_EVENTS: Final = 11
SPAN_DROPPED_EVENTS: Final = 12
SPAN_LINKS: Final = 13
SPAN_DROPPED_LINKS: Final = 14
SPAN_STATUS: Final = 15
SPAN_FLAGS: Final = 16

# Span.Event
EVENT_TIME: Final = 1
EVENT_NAME: Final = 2
EVENT_ATTRIBUTES: Final = 3
EVENT_DROPPED_ATTRIBUTES: Final = 4

# Span.Link
LINK_TRACE_ID: Final = 1
LINK_SPAN_ID: Final = 2
LINK_TRACE_STATE: Final = 3
LINK_ATTRIBUTES: Final = 4
LINK_DROPPED_ATTRIBUTES: Final = 5
LINK_FLAGS: Final = 6

# Status
STATUS_MESSAGE: Final = 2
STATUS_CODE: Final = 3

# KeyValue
KEY_VALUE_KEY: Final = 1
KEY_VALUE_VALUE: Final = 2

# AnyValue (a oneof), and ArrayValue.values, KeyValueList.values
ANY_STRING: Final = 1
ANY_BOOL: Final = 2
ANY_INT: Final = 3
ANY_DOUBLE: Final = 4
ANY_ARRAY: Final = 5
ANY_KVLIST: Final = 6
ANY_BYTES: Final = 7
LIST_VALUES: Final = 1

# SpanFlags: bits 0-7 are the W3C trace flags.
FLAG_REMOTE_KNOWN: Final = 0x100
FLAG_REMOTE: Final = 0x200
