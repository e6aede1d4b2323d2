"""OpenTelemetry SDK processors and exporters behind the recorder; imported only when one is attached."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from threading import RLock, Thread
from time import monotonic
from typing import Any

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource as SdkResource
from opentelemetry.sdk.trace import Event as SdkEvent
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, SynchronousMultiSpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util import BoundedList
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link

from clew import guard


class _CountingExporter(SpanExporter):
    """Passes everything on and counts what became of it."""

    def __init__(self, exporter: SpanExporter, bridge: Bridge) -> None:
        self._exporter = exporter
        self._bridge = bridge

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            self._bridge.count(len(spans), result is SpanExportResult.SUCCESS)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


class _Processors(SynchronousMultiSpanProcessor):
    """As the SDK's own, but a processor that raises stops neither the others nor the application."""

    def __init__(self, added: Callable[[], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # the SDK's own gap
        self._added = added

    def add_span_processor(self, span_processor: SpanProcessor) -> None:
        super().add_span_processor(span_processor)
        # Here, since applications add to `provider._active_span_processor` too.
        self._added()

    def on_start(self, span: Any, parent_context: Context | None = None) -> None:
        for processor in self._span_processors:
            _call(processor.on_start, span, parent_context=parent_context)

    def _on_ending(self, span: Any) -> None:
        for processor in self._span_processors:
            on_ending = getattr(processor, "_on_ending", None)
            if on_ending is not None:
                _call(on_ending, span)

    def on_end(self, span: ReadableSpan) -> None:
        for processor in self._span_processors:
            _call(processor.on_end, span)

    def shutdown(self) -> None:
        for processor in self._span_processors:
            _call(processor.shutdown)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        until = monotonic() + timeout_millis / 1000
        flushed = True
        for processor in self._span_processors:
            left_ms = int((until - monotonic()) * 1000)
            if left_ms <= 0:
                return False
            flushed = _call(processor.force_flush, left_ms) is not False and flushed
        return flushed


def _call(method: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
    """What `method` returns; False if it raises."""
    try:
        return method(*args, **keywords)
    except Exception as error:
        guard.swallow("a span processor", error)
        return False


class Bridge:
    """Shows recorded spans to SDK processors: the live span at its start, a ReadableSpan at its end."""

    def __init__(self, used: Callable[[], None], processors: Any = None) -> None:
        """`used` is called once there is a processor to show spans to.

        `processors` is one of the SDK's multi span processors; without it they are called one after the other.
        """
        self._used = used
        self.is_used = processors is not None
        self.processors: Any = _Processors(self._use) if processors is None else processors
        self.has_on_ending = hasattr(self.processors, "_on_ending")
        self.begin_in_child()

    def _use(self) -> None:
        self.is_used = True
        self._used()

    def begin_in_child(self) -> None:
        """Count anew after a fork; the processors keep what they hold."""
        # Reentrant: a signal's handler may end a span while one is being counted.
        self._lock = RLock()
        self._recorded = 0
        self._sent = 0
        self._dropped: Counter[str] = Counter()

    def add_processor(self, processor: SpanProcessor) -> None:
        """Attach a processor."""
        self.processors.add_span_processor(processor)

    def add_exporter(self, exporter: SpanExporter) -> None:
        """Attach an exporter behind the SDK's own batching."""
        self.add_processor(BatchSpanProcessor(_CountingExporter(exporter, self)))

    def started(self, span: Any, parent_context: Context | None) -> None:
        """Call every processor's `on_start`."""
        _call(self.processors.on_start, span, parent_context)

    def ending(self, span: Any) -> None:
        """Call every processor's `_on_ending` (experimental in the SDK, hence its name)."""
        _call(self.processors._on_ending, span)

    def ended(self, span: Any) -> None:
        """Call every processor's `on_end`."""
        if span.get_span_context().trace_flags.sampled:
            with self._lock:
                self._recorded += 1
        _call(self.processors.on_end, readable_span(span))

    def count(self, spans: int, delivered: bool) -> None:
        """An attached exporter has finished with these."""
        with self._lock:
            if delivered:
                self._sent += spans
            else:
                self._dropped["exporter_failed"] += spans

    def stats(self) -> dict[str, Any]:
        """As TracerProvider.stats."""
        with self._lock:
            return {"recorded": self._recorded, "sent": self._sent, "dropped": dict(self._dropped)}

    def force_flush(self, timeout_millis: int) -> bool:
        """Flush every processor."""
        return _call(self.processors.force_flush, timeout_millis) is not False

    def shutdown(self, timeout_s: float) -> None:
        """Shut every processor down, and wait for `timeout_s` at most: the SDK's exporters alone may take 30 s."""
        thread = Thread(target=self._shutdown_processors, name="clew-processors", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no threads left
            self._shutdown_processors()
        else:
            thread.join(timeout_s)

    def _shutdown_processors(self) -> None:
        _call(self.processors.shutdown)


def _bounded_attributes(values: Any, dropped: int) -> BoundedAttributes:
    bounded = BoundedAttributes(attributes=values)
    bounded.dropped = dropped
    return bounded


def _bounded_list(items: Sequence[Any], dropped: int) -> Any:
    bounded = BoundedList.from_seq(max(len(items), 1), items)
    bounded.dropped = dropped
    return bounded


@lru_cache(maxsize=8)
def _sdk_resource(resource: Any) -> SdkResource:
    if issubclass(type(resource), SdkResource):  # isinstance believes our own to be one
        return resource  # type: ignore[no-any-return]
    return SdkResource(dict(resource.attributes), resource.schema_url)


def readable_span(span: Any) -> ReadableSpan:
    """The ended span as the SDK's ReadableSpan, dropped counts included."""
    scope = span.instrumentation_scope
    events = [
        SdkEvent(event.name, _bounded_attributes(event.attributes, event.dropped_attributes), event.timestamp)
        for event in span.events
    ]
    links = [
        Link(link.context, _bounded_attributes(link.attributes, link.dropped_attributes))
        for link in span.recorded_links
    ]
    return ReadableSpan(
        name=span.name,
        context=span.get_span_context(),
        parent=span.parent,
        resource=_sdk_resource(span.resource),
        attributes=_bounded_attributes(span.attributes, span.dropped_attributes),
        events=_bounded_list(events, span.dropped_events),
        links=_bounded_list(links, span.dropped_links),
        kind=span.kind,
        status=span.status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=InstrumentationScope(scope.name, scope.version, scope.schema_url, scope.attributes),
    )
