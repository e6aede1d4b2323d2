"""What Jaeger's list of results shows of each trace."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final, NamedTuple

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from clew_server.api.jaeger.traces import NO_SERVICE
from clew_server.model.lean import lean_class
from clew_server.model.trace import MISSING, Trace
from clew_server.store.contract import TraceSummary

_ERROR: Final = 2
_Span = lean_class(Span.DESCRIPTOR)


class Counts(NamedTuple):
    """Spans and spans with status error by service, and spans whose parent is not in the trace."""

    spans: Counter[str]
    errors: Counter[str]
    orphans: int


def service_counts(trace: Trace) -> Counts:
    """Counted from the spans of the trace."""
    spans: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    for row, raw in enumerate(trace.stored.raw):
        service = trace.service_of(row) or NO_SERVICE
        spans[service] += 1
        status = _Span.FromString(raw).status
        if status and Status.FromString(status).code == _ERROR:
            errors[service] += 1
    return Counts(spans, errors, sum(above == MISSING for above in trace.parent))


class Summary(NamedTuple):
    """One trace in a list of results."""

    trace: TraceSummary
    counts: Counts

    def services(self) -> list[tuple[str, int, int]]:
        """Name, spans and failed spans of each service, by name."""
        return [(name, self.counts.spans[name], self.counts.errors[name]) for name in sorted(self.counts.spans)]

    def as_json(self) -> dict[str, Any]:
        """As protobuf's JSON of Jaeger's TraceSummary: 64-bit integers are texts, what is 0 or empty is left out."""
        trace, counts = self.trace, self.counts
        whole = {
            "traceId": trace.trace_id,
            "rootServiceName": trace.root_service,
            "rootOperationName": trace.root_name,
            "minStartTimeUnixNano": str(trace.start_unix_nano),
            "maxEndTimeUnixNano": str(trace.start_unix_nano + trace.duration_ns),
            "spanCount": counts.spans.total(),
            "errorSpanCount": counts.errors.total(),
            "orphanSpanCount": counts.orphans,
            "services": [
                _present({"name": name, "spanCount": spans, "errorSpanCount": errors})
                for name, spans, errors in self.services()
            ],
        }
        return _present(whole)


def _present(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}
