"""Metrics of recorded, sent and dropped spans, where an OpenTelemetry meter provider is set.

Instruments and attributes are those of the semantic conventions for SDK metrics, 1.44.0, where they are in development
and have no counts in bytes; those are ours. Everything is read from the recorder's own counters when a reader collects,
so that spans pay nothing, and nothing is imported before the application has imported `opentelemetry.metrics` itself.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from itertools import count
from threading import Lock
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary, ref

from clew import environment, guard
from clew.recorder.export.exporter import Exporter, OtlpHttpExporter

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, Observation

    from clew.recorder.export.pipeline import BatchOptions, Pipeline

_METRICS: Final = "opentelemetry.metrics"
_SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"
#: Switches the SDK's metrics on, which cost something; ours are on unless it says false.
_ENABLED: Final = "OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED"

_ERROR_TYPE: Final = "error.type"
#: The conventions' own words for what happens before the exporter is called; other causes are told by ours.
_BEFORE_EXPORT: Final = {
    "buffer_full": "queue_full",
    "shutdown": "already_shutdown",
    "encoding": "encoding",
    "too_large": "too_large",
}

_numbers: Final = count()

Reading = tuple[int, dict[str, str]]
"""A value and its attributes."""


class ExportMetrics:
    """The instruments of one pipeline, made as soon as a reader exists."""

    def __init__(
        self, pipeline: Pipeline, exporter: Exporter, options: BatchOptions, meter_provider: Any = None
    ) -> None:
        """The pipeline with what it was made of. The global meter provider if `meter_provider` is None, also one that
        is set later.
        """
        self._pipeline = pipeline
        self._options = options
        self._meter_provider = meter_provider
        self._lock = Lock()
        self._is_settled = (environment.text(_ENABLED) or "").strip().lower() == "false"
        number = next(_numbers)
        self._processor = _component("batching_span_processor", number)
        self._exporter = _component(
            "otlp_http_span_exporter" if isinstance(exporter, OtlpHttpExporter) else type(exporter).__qualname__, number
        )
        self.begin_in_child()
        self.look()

    def begin_in_child(self) -> None:
        """Count anew after a fork, as the pipeline does; instruments that were made stay."""
        self._lock = Lock()
        self._highest: dict[str, dict[str, int]] = {}

    def look(self) -> None:
        """Make the instruments if there is a meter provider by now, or may be one later; cheap otherwise."""
        if self._is_settled or (self._meter_provider is None and _METRICS not in sys.modules):
            return
        with self._lock:
            if self._is_settled:
                return
            self._is_settled = True
        try:
            _instruments_of(self._meter_provider).add(self)
        except Exception as error:
            guard.swallow("metrics of the recorder", error)

    # -- what is read -----------------------------------------------------------------------------------------------

    def processed(self) -> Iterable[Reading]:
        """Spans that left the queue, and by cause those that were dropped before."""
        recorded, _, dropped, held = self._counts()
        before = {cause: dropped[reason] for reason, cause in _BEFORE_EXPORT.items() if reason in dropped}
        before[""] = recorded - held - sum(before.values())
        return self._counted("processed", before, self._processor)

    def exported(self) -> Iterable[Reading]:
        """Spans delivered, and by cause those given up."""
        _, sent, dropped, _ = self._counts()
        over = {reason: spans for reason, spans in dropped.items() if reason not in _BEFORE_EXPORT}
        over[""] = sent
        return self._counted("exported", over, self._exporter)

    def inflight(self) -> Iterable[Reading]:
        """Spans being sent."""
        recorded, sent, dropped, held = self._counts()
        yield max(recorded - sent - sum(dropped.values()) - held, 0), self._exporter

    def queue_spans(self) -> Iterable[Reading]:
        """Spans held."""
        yield self._pipeline.buffer.held, self._processor

    def capacity_spans(self) -> Iterable[Reading]:
        """Spans that can be held."""
        yield self._options.max_queue_spans, self._processor

    def queue_bytes(self) -> Iterable[Reading]:
        """Their bytes."""
        yield self._pipeline.buffer.held_bytes, self._processor

    def capacity_bytes(self) -> Iterable[Reading]:
        """Bytes that can be held."""
        yield self._options.max_queue_bytes, self._processor

    def _counts(self) -> tuple[int, int, dict[str, int], int]:
        """Recorded, sent, dropped by reason, held."""
        # What is held is asked first: what comes between is then taken for being sent, never the other way round.
        held = self._pipeline.buffer.held
        stats = self._pipeline.stats()
        return stats["recorded"], stats["sent"], stats["dropped"], held

    def _counted(self, instrument: str, by_cause: dict[str, int], component: dict[str, str]) -> Iterable[Reading]:
        # At the end a batch may be counted as lost and be delivered after all. A counter that decreases would be read as one that
        # was reset, and be counted twice.
        with self._lock:
            highest = self._highest.setdefault(instrument, {})
            for cause, spans in by_cause.items():
                highest[cause] = max(highest.get(cause, 0), spans)
            return [(n, {**component, _ERROR_TYPE: cause} if cause else component) for cause, n in highest.items()]


def _component(kind: str, number: int) -> dict[str, str]:
    # Other than the SDK's `<type>/<number>`, which may be there too.
    return {"otel.component.type": kind, "otel.component.name": f"clew/{kind}/{number}"}


class _Instruments:
    """The instruments of one meter provider, which has each of them once, however many pipelines there are."""

    def __init__(self, meter_provider: Any) -> None:
        metrics = import_module(_METRICS)
        self._observation: Callable[[int, dict[str, str]], Observation] = metrics.Observation
        # A meter keeps its callbacks for ever, so they refer to providers weakly. Replaced as a whole, so no lock is needed.
        self._read: tuple[ref[ExportMetrics], ...] = ()
        # The API's stand-in where no provider is set yet: it makes the instruments when one is.
        meter = metrics.get_meter("clew.recorder", meter_provider=meter_provider, schema_url=_SCHEMA_URL)
        meter.create_observable_counter(
            "otel.sdk.processor.span.processed",
            [self._callback(ExportMetrics.processed)],
            unit="{span}",
            description="Spans handed to the exporter; with error.type those that were dropped before.",
        )
        meter.create_observable_counter(
            "otel.sdk.exporter.span.exported",
            [self._callback(ExportMetrics.exported)],
            unit="{span}",
            description="Spans delivered; with error.type those that were given up.",
        )
        for name, unit, description, read in (
            ("otel.sdk.exporter.span.inflight", "{span}", "Spans that are being sent.", ExportMetrics.inflight),
            ("otel.sdk.processor.span.queue.size", "{span}", "Spans that wait.", ExportMetrics.queue_spans),
            ("otel.sdk.processor.span.queue.capacity", "{span}", "Spans that can wait.", ExportMetrics.capacity_spans),
            ("clew.processor.span.queue.bytes", "By", "Bytes that wait.", ExportMetrics.queue_bytes),
            ("clew.processor.span.queue.capacity_bytes", "By", "Bytes that can wait.", ExportMetrics.capacity_bytes),
        ):
            meter.create_observable_up_down_counter(name, [self._callback(read)], unit=unit, description=description)

    def add(self, metrics: ExportMetrics) -> None:
        """Read these too, until they are garbage."""
        self._read = (*(known for known in self._read if known() is not None), ref(metrics))

    def _callback(
        self, read: Callable[[ExportMetrics], Iterable[Reading]]
    ) -> Callable[[CallbackOptions], list[Observation]]:
        def callback(_: CallbackOptions) -> list[Observation]:
            alive = [metrics for known in self._read if (metrics := known()) is not None]
            return [self._observation(*reading) for metrics in alive for reading in read(metrics)]

        return callback


_lock = Lock()
_global: _Instruments | None = None
_of_others: Final[WeakKeyDictionary[Any, _Instruments]] = WeakKeyDictionary()


def _instruments_of(meter_provider: Any) -> _Instruments:
    """Those of the global meter provider, set or not, if it is None."""
    global _global
    with _lock:
        if meter_provider is None or meter_provider is import_module(_METRICS).get_meter_provider():
            _global = _global or _Instruments(None)
            return _global
        if meter_provider not in _of_others:
            _of_others[meter_provider] = _Instruments(meter_provider)
        return _of_others[meter_provider]


def _new_lock() -> None:
    global _lock
    _lock = Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock)
