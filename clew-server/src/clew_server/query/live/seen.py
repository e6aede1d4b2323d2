"""A trace as far as it has arrived, in the form that conditions are evaluated on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property, lru_cache
from typing import Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.model.columns import FAILED
from clew_server.model.trace import Trace

Pairs = Sequence[tuple[str, AnyValue]]
"""Attributes in their order; a key may come twice."""
_ERROR: Final = 2
_NO_ID: Final = b"\x00" * 8


class SeenSpan:
    """One span of a `SeenTrace`. What only parsing can tell is read when it is asked for, and kept."""

    __slots__ = ("_attributes", "_row", "_span", "_trace")

    def __init__(self, trace: Trace, row: int) -> None:
        self._trace = trace
        self._row = row
        self._span: Span | None = None
        self._attributes: Pairs | None = None

    @property
    def service(self) -> str:
        return self._trace.service_of(self._row)

    @property
    def name(self) -> str:
        return self._trace.name_of(self._row)

    @property
    def kind(self) -> int:
        """OTLP's number."""
        return self._trace.kind[self._row]

    @property
    def start_unix_nano(self) -> int:
        return self._trace.t0_unix_nano + self._trace.start_ns[self._row]

    @property
    def duration_ns(self) -> int:
        return self._trace.duration_ns[self._row]

    @property
    def end_unix_nano(self) -> int:
        return self.start_unix_nano + self.duration_ns

    @property
    def span_id(self) -> bytes:
        return self._trace.span_ids[self._row]

    @property
    def parent_id(self) -> bytes:
        """Empty where it has none."""
        parent_id = self._trace.parent_ids[self._row]
        return b"" if parent_id == _NO_ID else parent_id

    @property
    def is_failed(self) -> bool:
        return bool(self._trace.flags[self._row] & FAILED)

    @property
    def status(self) -> int:
        """OTLP's number."""
        return self.span.status.code

    @property
    def is_error(self) -> bool:
        """Whether its status is error. Parses only what failed."""
        return self.is_failed and self.status == _ERROR

    @property
    def span(self) -> Span:
        """Parsed, with the events that came as log records."""
        if self._span is None:
            self._span = self._trace.span(self._row)
        return self._span

    @property
    def attributes(self) -> Pairs:
        if self._attributes is None:
            self._attributes = pairs(self.span.attributes)
        return self._attributes

    @property
    def resource(self) -> Pairs:
        stored = self._trace.stored
        return _resource_pairs(stored.origins[stored.origin[self._row]].resource)

    @property
    def scope(self) -> tuple[str, Pairs]:
        """Name and attributes."""
        stored = self._trace.stored
        return _scope_parts(stored.origins[stored.origin[self._row]].scope)


class SeenTrace:
    """The spans of a trace that have arrived, at least one."""

    def __init__(self, trace: Trace, trace_id: bytes, *, left_out: int = 0) -> None:
        """`left_out`: spans that came as well and are only counted."""
        self.trace = trace
        self.trace_id = trace_id
        self.left_out = left_out
        self.spans = [SeenSpan(trace, row) for row in range(len(trace))]

    @property
    def span_count(self) -> int:
        return len(self.spans) + self.left_out

    @cached_property
    def start_unix_nano(self) -> int:
        return min(span.start_unix_nano for span in self.spans)

    @cached_property
    def duration_ns(self) -> int:
        return max(0, max(span.end_unix_nano for span in self.spans) - self.start_unix_nano)

    @cached_property
    def errors(self) -> int:
        """Spans with status error."""
        return sum(span.is_error for span in self.spans)

    @cached_property
    def failed_spans(self) -> int:
        return sum(span.is_failed for span in self.spans)

    @cached_property
    def services(self) -> list[str]:
        return sorted({span.service for span in self.spans})

    @cached_property
    def first(self) -> SeenSpan:
        """The root, else the earliest span: the order of the store (`traces.first`)."""
        return min(
            self.spans,
            key=lambda one: (bool(one.parent_id), one.start_unix_nano, one.service, one.name, one.end_unix_nano),
        )


def pairs(attributes: Iterable[KeyValue]) -> Pairs:
    return [(pair.key, pair.value) for pair in attributes]


@lru_cache(2_000)
def _resource_pairs(resource: bytes) -> Pairs:
    try:
        return pairs(Resource.FromString(resource).attributes)
    except DecodeError:
        return []


@lru_cache(2_000)
def _scope_parts(scope: bytes) -> tuple[str, Pairs]:
    try:
        parsed = InstrumentationScope.FromString(scope)
    except DecodeError:
        return "", []
    return parsed.name, pairs(parsed.attributes)
