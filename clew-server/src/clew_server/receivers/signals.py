"""What differs between the OTLP signals that are received. Their requests are nested alike: fields 1, 2 and 2. No I/O."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

SignalName = Literal["traces", "logs"]


@dataclass(frozen=True, slots=True)
class Signal:
    """Names of a signal's messages and fields, in protobuf and in JSON."""

    name: SignalName
    one: str
    """What one item is called in a sentence to the sender."""
    request: Any
    """Class of the request."""
    resources: str
    scopes: str
    items: str
    resources_json: str
    scopes_json: str
    items_json: str
    malformed: str
    """Under which reason broken items are counted."""

    def resources_of(self, request: Any) -> Any:
        """The repeated `Resource…` field of a request."""
        return getattr(request, self.resources)

    def scopes_of(self, resource: Any) -> Any:
        """The repeated `Scope…` field of one of them."""
        return getattr(resource, self.scopes)

    def items_of(self, scope: Any) -> Any:
        """The repeated field of spans or log records of one of those."""
        return getattr(scope, self.items)

    def every_scope(self, request: Any) -> Iterator[Any]:
        """The `Scope…` messages of a whole request."""
        for resource in self.resources_of(request):
            yield from self.scopes_of(resource)

    def count(self, request: Any) -> int:
        """Spans or log records of a whole request."""
        return sum(len(self.items_of(scope)) for scope in self.every_scope(request))


TRACES: Final = Signal(
    name="traces",
    one="span",
    request=ExportTraceServiceRequest,
    resources="resource_spans",
    scopes="scope_spans",
    items="spans",
    resources_json="resourceSpans",
    scopes_json="scopeSpans",
    items_json="spans",
    malformed="malformed",
)
LOGS: Final = Signal(
    name="logs",
    one="log record",
    request=ExportLogsServiceRequest,
    resources="resource_logs",
    scopes="scope_logs",
    items="log_records",
    resources_json="resourceLogs",
    scopes_json="scopeLogs",
    items_json="logRecords",
    malformed="log_record",
)
