"""What keeps spans for a test: an exporter that decodes clew's own bytes, and a processor for any provider."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from threading import Condition
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from clew.otlp import decode
from clew.otlp import fields as f
from clew.recorder.export.exporter import Outcome
from clew.recorder.resource import Resource
from clew.recorder.sdk.readable import Event, RecordedLink, Scope

_KINDS = {kind.value + 1: kind for kind in SpanKind}
_CODES = {code.value: code for code in StatusCode}


@dataclass(frozen=True)
class RecordedSpan:
    """A span as a collector gets it; named and shaped as the SDK's ReadableSpan. Times in ns since the epoch."""

    name: str
    context: SpanContext
    parent: SpanContext | None
    kind: SpanKind
    status: Status
    start_time: int
    end_time: int
    attributes: Mapping[str, Any]
    events: Sequence[Event]
    links: Sequence[RecordedLink]
    resource: Resource
    instrumentation_scope: Scope
    dropped_attributes: int
    dropped_events: int
    dropped_links: int

    def get_span_context(self) -> SpanContext:
        """As `context`."""
        return self.context


class InMemoryExporter:
    """Keeps what clew's recorder exports: `clew.TracerProvider(exporter=InMemoryExporter())`; needs no SDK.

    Spans arrive with the next batch: `provider.force_flush()` before they are looked at. Thread-safe.
    """

    def __init__(self) -> None:
        self._lock = Condition()
        self._requests: list[bytes] = []
        self._spans: list[RecordedSpan] = []

    @property
    def spans(self) -> list[RecordedSpan]:
        """The spans exported so far, in the order of their ends."""
        with self._lock:
            return list(self._spans)

    @property
    def requests(self) -> list[bytes]:
        """The serialized ExportTraceServiceRequests they came in."""
        with self._lock:
            return list(self._requests)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._spans.clear()
            self._requests.clear()

    def export(self, request: bytes, timeout_s: float) -> Outcome:
        """Called by the provider; always delivers."""
        spans = list(spans_from_otlp(request))
        with self._lock:
            self._requests.append(request)
            self._spans += spans
        return Outcome("delivered")

    def forget(self) -> None:
        """Called by the provider in a forked child, which starts with nothing."""
        self._lock = Condition()
        self.clear()

    def close(self) -> None:
        """Called by the provider; what was kept stays."""


class SpanRecorder:
    """Keeps the ended spans of a provider in the order of their ends; each as OpenTelemetry's ReadableSpan.

    A span processor in all but its base class, so that the SDK need not be imported. Thread-safe.
    """

    def __init__(self, tracer_provider: Any = None) -> None:
        """Attached to `tracer_provider` unless that is None. Raises TypeError if it takes no span processors."""
        self._spans: list[Any] = []
        self._started: list[Any] = []
        self._changed = Condition()
        if tracer_provider is not None:
            add = getattr(tracer_provider, "add_span_processor", None)
            if add is None:
                raise TypeError(f"{type(tracer_provider).__name__} takes no span processors")
            add(self)

    @property
    def spans(self) -> list[Any]:
        """The spans ended so far."""
        with self._changed:
            return list(self._spans)

    @property
    def open(self) -> int:
        """How many spans have started and not ended."""
        with self._changed:
            return len(self._started) - len(self._spans)

    def one(self, *, kind: SpanKind | None = None, name: str | None = None, timeout_s: float = 5.0) -> Any:
        """The only ended span of this kind and name, waited for. Raises AssertionError for none and for several."""

        def matching() -> list[Any]:
            return [
                span
                for span in self._spans
                if (kind is None or span.kind is kind) and (name is None or span.name == name)
            ]

        with self._changed:
            self._changed.wait_for(matching, timeout_s)
            found = matching()
        assert len(found) == 1, f"one span wanted, {len(found)} found among {[span.name for span in self._spans]}"
        return found[0]

    def clear(self) -> None:
        """Forget everything."""
        with self._changed:
            self._spans.clear()
            self._started.clear()

    def on_start(self, span: Any, parent_context: Context | None = None) -> None:
        """Called by the provider."""
        with self._changed:
            self._started.append(span)

    def _on_ending(self, span: Any) -> None:
        """Called by the provider."""

    def on_end(self, span: Any) -> None:
        """Called by the provider."""
        with self._changed:
            self._spans.append(span)
            self._changed.notify_all()

    def shutdown(self) -> None:
        """Called by the provider."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing is ever held back."""
        return True


def spans_from_otlp(request: bytes) -> Iterator[RecordedSpan]:
    """The spans of one serialized ExportTraceServiceRequest, in its order. Raises ValueError if it is none."""
    for resource_spans in decode.messages(request, f.REQUEST_RESOURCE_SPANS):
        parts = _Fields(resource_spans)
        resource = Resource(
            decode.attributes(parts.message(f.RESOURCE_SPANS_RESOURCE), f.RESOURCE_ATTRIBUTES),
            parts.text(f.RESOURCE_SPANS_SCHEMA_URL),
        )
        for scope_spans in decode.messages(resource_spans, f.RESOURCE_SPANS_SCOPE_SPANS):
            scope = _scope(scope_spans)
            for span in decode.messages(scope_spans, f.SCOPE_SPANS_SPANS):
                yield _span(span, resource, scope)


class _Fields:
    """The fields of a message that come once."""

    def __init__(self, message: bytes) -> None:
        self._values = dict(decode.fields(message))

    def number(self, field: int) -> int:
        value = self._values.get(field, 0)
        return value if isinstance(value, int) else 0

    def message(self, field: int) -> bytes:
        value = self._values.get(field, b"")
        return value if isinstance(value, bytes) else b""

    def text(self, field: int) -> str:
        return self.message(field).decode()


def _scope(scope_spans: bytes) -> Scope:
    message = _Fields(scope_spans).message(f.SCOPE_SPANS_SCOPE)
    scope = _Fields(message)
    return Scope(
        scope.text(f.SCOPE_NAME),
        scope.text(f.SCOPE_VERSION) or None,
        _Fields(scope_spans).text(f.SCOPE_SPANS_SCHEMA_URL) or None,
        _attributes(message, f.SCOPE_ATTRIBUTES),
    )


def _span(message: bytes, resource: Resource, scope: Scope) -> RecordedSpan:
    span = _Fields(message)
    flags = span.number(f.SPAN_FLAGS)
    context = _context(
        span.message(f.SPAN_TRACE_ID), span.message(f.SPAN_SPAN_ID), span.text(f.SPAN_TRACE_STATE), flags, False
    )
    parent = None
    if any(parent_id := span.message(f.SPAN_PARENT_SPAN_ID)):
        # The flags are the span's own but for the bits about its parent.
        parent = _context(span.message(f.SPAN_TRACE_ID), parent_id, "", flags, bool(flags & f.FLAG_REMOTE))
    status = _Fields(span.message(f.SPAN_STATUS))
    code = _CODES.get(status.number(f.STATUS_CODE), StatusCode.UNSET)
    return RecordedSpan(
        name=span.text(f.SPAN_NAME),
        context=context,
        parent=parent,
        kind=_KINDS.get(span.number(f.SPAN_KIND), SpanKind.INTERNAL),
        status=Status(code, status.text(f.STATUS_MESSAGE) or None if code is StatusCode.ERROR else None),
        start_time=span.number(f.SPAN_START),
        end_time=span.number(f.SPAN_END),
        attributes=_attributes(message, f.SPAN_ATTRIBUTES),
        events=tuple(_event(one) for one in decode.messages(message, f.SPAN_EVENTS)),
        links=tuple(_link(one) for one in decode.messages(message, f.SPAN_LINKS)),
        resource=resource,
        instrumentation_scope=scope,
        dropped_attributes=span.number(f.SPAN_DROPPED_ATTRIBUTES),
        dropped_events=span.number(f.SPAN_DROPPED_EVENTS),
        dropped_links=span.number(f.SPAN_DROPPED_LINKS),
    )


def _event(message: bytes) -> Event:
    event = _Fields(message)
    return Event(
        event.text(f.EVENT_NAME),
        event.number(f.EVENT_TIME),
        _attributes(message, f.EVENT_ATTRIBUTES),
        event.number(f.EVENT_DROPPED_ATTRIBUTES),
    )


def _link(message: bytes) -> RecordedLink:
    link = _Fields(message)
    flags = link.number(f.LINK_FLAGS)
    context = _context(
        link.message(f.LINK_TRACE_ID),
        link.message(f.LINK_SPAN_ID),
        link.text(f.LINK_TRACE_STATE),
        flags,
        bool(flags & f.FLAG_REMOTE),
    )
    return RecordedLink(context, _attributes(message, f.LINK_ATTRIBUTES), link.number(f.LINK_DROPPED_ATTRIBUTES))


def _context(trace_id: bytes, span_id: bytes, state: str, flags: int, is_remote: bool) -> SpanContext:
    return SpanContext(
        int.from_bytes(trace_id, "big"),
        int.from_bytes(span_id, "big"),
        is_remote,
        TraceFlags(flags & 0xFF),
        TraceState.from_header([state]) if state else TraceState(),
    )


def _attributes(message: bytes, field: int) -> dict[str, Any]:
    return {key: _frozen(value) for key, value in decode.attributes(message, field).items()}


def _frozen(value: Any) -> Any:
    # Sequences are tuples where spans are read, in the SDK and in the recorder.
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value
