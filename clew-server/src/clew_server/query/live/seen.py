"""A trace as far as it has arrived, in the form that conditions are evaluated on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, lru_cache
from typing import Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew_server.model.attributes import text_of
from clew_server.model.columns import FAILED
from clew_server.model.fragments import KEY as FRAGMENT
from clew_server.model.head_columns import head_columns
from clew_server.model.heads import span_without_parts
from clew_server.model.pinpoint import MARK as OF_PINPOINT
from clew_server.model.stored import StoredSpan
from clew_server.model.trace import Trace, trace_from_spans

Pairs = Sequence[tuple[str, AnyValue]]
"""Attributes in their order; a key may come twice."""
_ERROR: Final = 2
_NO_ID: Final = b"\x00" * 8
_MERGED_MARKS: Final = (FRAGMENT.encode(), OF_PINPOINT)
"""In the bytes of spans that are merged with others."""
_USUAL_TIMES_NS: Final = (946_684_800_000_000_000, 4_102_444_799_999_999_999)
"""Of starts (2000 to 2099); what lies outside is placed by `trace_from_spans`."""


class SeenSpan:
    """One span of a `SeenTrace`. What only parsing can tell is read when it is asked for, and kept."""

    __slots__ = (
        "_attributes",
        "_raw",
        "_resource",
        "_scope",
        "_span",
        "duration_ns",
        "is_failed",
        "kind",
        "name",
        "parent_id",
        "service",
        "span_id",
        "start_unix_nano",
    )

    def __init__(
        self,
        raw: bytes,
        resource: bytes,
        scope: bytes,
        *,
        name: str,
        kind: int,
        span_id: bytes,
        parent_id: bytes,
        start_unix_nano: int,
        duration_ns: int,
        is_failed: bool,
    ) -> None:
        """`kind`: OTLP's number. `parent_id`: empty where it has none. `resource`, `scope`: their bytes."""
        self._raw = raw
        self._resource = resource
        self._scope = scope
        self._span: Span | None = None
        self._attributes: Pairs | None = None
        self.service = _service(resource)
        self.name = name
        self.kind = kind
        self.span_id = span_id
        self.parent_id = b"" if parent_id == _NO_ID else parent_id
        self.start_unix_nano = start_unix_nano
        self.duration_ns = duration_ns
        self.is_failed = is_failed

    @property
    def end_unix_nano(self) -> int:
        return self.start_unix_nano + self.duration_ns

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
            try:
                self._span = Span.FromString(self._raw)
            except DecodeError:
                self._span = span_without_parts(self._raw)
        return self._span

    @property
    def attributes(self) -> Pairs:
        if self._attributes is None:
            self._attributes = pairs(self.span.attributes)
        return self._attributes

    @property
    def resource(self) -> Pairs:
        return _resource_pairs(self._resource)

    @property
    def scope(self) -> tuple[str, Pairs]:
        """Name and attributes."""
        return _scope_parts(self._scope)


class SeenTrace:
    """The spans of a trace that have arrived, at least one. `seen_trace` makes it."""

    def __init__(
        self, trace_id: bytes, spans: Sequence[SeenSpan], trace: Callable[[], Trace], *, left_out: int = 0
    ) -> None:
        """`trace`: the same as a tree. `left_out`: spans that came as well and are only counted."""
        self.trace_id = trace_id
        self.spans = spans
        self.left_out = left_out
        self._trace = trace

    @cached_property
    def trace(self) -> Trace:
        """The tree, made when it is asked for: that costs ten times as much as the rest."""
        return self._trace()

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


def seen_trace(trace_id: bytes, spans: Sequence[StoredSpan], *, left_out: int = 0) -> SeenTrace | None:
    """The trace of these spans, which may come twice; None where there are only log records for spans that did not come."""
    seen = _from_heads(spans)
    if seen is not None:
        return SeenTrace(trace_id, seen, lambda: trace_from_spans(spans), left_out=left_out)
    trace = trace_from_spans(spans)
    return SeenTrace(trace_id, _from_trace(trace), lambda: trace, left_out=left_out) if len(trace) else None


def _from_heads(spans: Sequence[StoredSpan]) -> list[SeenSpan] | None:
    """The spans by what their heads say; None where that is not enough, as with log records, repeated spans and odd times."""
    raws = [span.span for span in spans]
    if len(set(raws)) < len(raws) or any(raw.find(mark) >= 0 for raw in raws for mark in _MERGED_MARKS):
        return None
    heads = head_columns(raws)
    if len(heads.places) < len(raws):
        return None
    starts, ends = heads.starts_unix_nano, heads.ends_unix_nano
    durations = [end - start for start, end in zip(starts, ends, strict=True)]
    if min(starts) < _USUAL_TIMES_NS[0] or max(starts) > _USUAL_TIMES_NS[1]:
        return None
    if min(durations) < 0 or max(durations) > _USUAL_TIMES_NS[1] or not 0 <= min(heads.kinds) <= max(heads.kinds) <= 5:
        return None
    return [
        SeenSpan(
            raw,
            spans[at].resource,
            spans[at].scope,
            name=heads.names[at],
            kind=heads.kinds[at],
            span_id=heads.ids[at],
            parent_id=heads.parent_ids[at],
            start_unix_nano=starts[at],
            duration_ns=durations[at],
            is_failed=bool(heads.flags[at] & FAILED),
        )
        for at, raw in enumerate(raws)
    ]


def _from_trace(trace: Trace) -> list[SeenSpan]:
    origins = trace.stored.origins
    return [
        SeenSpan(
            trace.stored.raw[row],
            origins[origin].resource,
            origins[origin].scope,
            name=trace.name_of(row),
            kind=trace.kind[row],
            span_id=trace.span_ids[row],
            parent_id=trace.parent_ids[row],
            start_unix_nano=trace.t0_unix_nano + int(trace.start_ns[row]),
            duration_ns=int(trace.duration_ns[row]),
            is_failed=bool(trace.flags[row] & FAILED),
        )
        for row, origin in enumerate(trace.stored.origin)
    ]


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


@lru_cache(2_000)
def _service(resource: bytes) -> str:
    try:
        return text_of(Resource.FromString(resource).attributes, "service.name")
    except DecodeError:
        return ""
