"""TracerProvider: the recorder as OpenTelemetry's API sees it, and where its parts are put together."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from importlib import import_module
from threading import RLock
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeGuard, cast
from weakref import WeakSet, ref

from opentelemetry.context import Context
from opentelemetry.trace import NoOpTracer
from opentelemetry.trace import Tracer as ApiTracer
from opentelemetry.trace import TracerProvider as ApiTracerProvider
from opentelemetry.util.types import Attributes

from clew import doubled, environment, guard
from clew.otlp import encode
from clew.recorder import _select, ending
from clew.recorder._pure import CurrentSpan, Span, Tracer
from clew.recorder.export.exporter import Exporter
from clew.recorder.export.metrics import ExportMetrics
from clew.recorder.export.pipeline import BatchOptions, Pipeline
from clew.recorder.limits import Limits, clean_attributes, span_limits_from_environment
from clew.recorder.misuse import misuse
from clew.recorder.resource import Resource, default_resource
from clew.recorder.sampler import PARENT_BASED_ALWAYS_ON, Sampler, sampler_from_environment
from clew.recorder.sdk.readable import Scope, as_text
from clew.recorder.sdk.seen_as import seen_as
from clew.recorder.sdk.shadowing import ShadowingTracer
from clew.recorder.sdk.span_metrics import span_metrics

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.sdk.trace.export import SpanExporter

    from clew.recorder.sdk.bridge import Bridge

# Of the time that the process' exit may be held up, by all providers together; the rest is for what cannot be timed.
_OF_EXIT_TIMEOUT: Final = 0.9
_exit_until: float | None = None
# The SDK's.
_FLUSH_TIMEOUT_MS: Final = 30_000

_logger: Final = logging.getLogger("clew")
# Of the finalizers of multiprocessing, highest first; those of its queues are -5 and above.
_LAST: Final = -100

# So many tracers are kept for the next `get_tracer`, those made last.
_TRACERS_KEPT: Final = 1024

_providers: Final[WeakSet[TracerProvider]] = WeakSet()


def _after_fork_in_child() -> None:
    global _exit_until
    _exit_until = None
    for provider in list(_providers):
        provider._begin_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


class _Made(ref[Tracer]):
    """A tracer that was made: by what it is asked for, the one that was given (it may count), its scope's number."""

    __slots__ = ("given", "key", "number")
    key: Any
    given: Callable[[], ApiTracer | None]
    number: int | None


class TracerProvider(ApiTracerProvider):
    """Records spans and sends them to one exporter, and to any SpanProcessor of the SDK that is added.

    Nothing it does raises into the application or makes it wait, `force_flush` and `shutdown` excepted.
    """

    # Applications ask isinstance(provider, opentelemetry.sdk.trace.TracerProvider) before they add a processor.
    __class__ = property(seen_as("TracerProvider"))

    def __init__(
        self,
        sampler: Sampler | None = None,
        resource: Resource | Mapping[str, Any] | Any = None,
        shutdown_on_exit: bool = True,
        active_span_processor: Any = None,
        id_generator: Any = None,
        span_limits: Limits | None = None,
        *,
        exporter: Exporter | SpanExporter | None = None,
        batch: BatchOptions | None = None,
        meter_provider: Any = None,
    ) -> None:
        """The arguments of the SDK's TracerProvider in its order, then clew's own. Every one takes the SDK's object.

        `sampler` None is what `OTEL_TRACES_SAMPLER` says, parent-based always on by default. `resource` may be a mapping
        of attributes; without it the process' own is made, `OTEL_*` variables included. `active_span_processor` is
        where added processors go, one of the SDK's multi span processors. Without an `exporter` spans go only to
        processors. Raises TypeError for a `sampler` that is none. `meter_provider`, by default the global one, reads what became of them (`clew.recorder.export.metrics`);
        where `OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED` is true also how many start, which each of them pays for.
        """
        if sampler is not None:
            _refuse_what_is_no_sampler(sampler)
        self._resource: Resource = _resource_from(resource)
        # The SDK's object that was given, which `resource` returns.
        self._given_resource: Any = None if isinstance(resource, Mapping | Resource) else resource
        self._core = _select.selected
        self._sampler = sampler or sampler_from_environment(str(self._resource.attributes.get("service.name", "")))
        self._limits = span_limits or span_limits_from_environment()
        self._id_generator = id_generator
        self._is_disabled = bool(environment.read("OTEL_SDK_DISABLED"))
        # Reentrant: a signal's handler or a __del__ may ask for a tracer while one is being made.
        self._lock = RLock()
        # Weak, so that made-up names cannot fill the memory; the latest are kept even if nothing else refers to them.
        self._tracers: dict[Any, _Made] = {}
        self._every_tracer: set[_Made] = set()
        self._latest: deque[ApiTracer] = deque(maxlen=_TRACERS_KEPT)
        self._gone: deque[_Made] = deque()
        # Spans whose processors may still write, with the thread that is ending them.
        self._endings: list[tuple[int, Span]] = []
        self._bridge: Bridge | None = None
        self._pipeline: Pipeline | None = None
        self._export_metrics: ExportMetrics | None = None
        self._exit_timeout_s = (batch or BatchOptions()).exit_timeout_s
        self._is_shut_down = False
        self._metrics = span_metrics(meter_provider, CurrentSpan)
        if active_span_processor is not None:
            self._bridge_to_sdk(active_span_processor)
        if exporter is not None:
            if _is_sdk_exporter(exporter):
                self._bridge_to_sdk().add_exporter(exporter)
            else:
                ours, options = cast("Exporter", exporter), batch or BatchOptions()
                self._pipeline = Pipeline(ours, self._resource, options)
                self._export_metrics = ExportMetrics(self._pipeline, ours, options, meter_provider)
                self._pipeline.before_attempt = self._export_metrics.look
        _providers.add(self)
        self._atexit_handler = self._shutdown_at_exit if shutdown_on_exit else None
        if self._atexit_handler is not None:
            atexit.register(self._atexit_handler)
            ending.watch(_shutdown_all_at_exit)
            self._shutdown_at_the_end_of_a_multiprocessing_child()

    @property
    def resource(self) -> Any:
        """What the spans are produced by; `.attributes`, `.schema_url`."""
        return self._given_resource or self._resource

    @property
    def sampler(self) -> Any:
        """What decides which spans are recorded."""
        if self._sampler is not None:
            return self._sampler
        sampling = sys.modules.get("opentelemetry.sdk.trace.sampling")
        return PARENT_BASED_ALWAYS_ON if sampling is None else sampling.DEFAULT_ON

    @property
    def id_generator(self) -> Any:
        """What makes trace and span ids; the SDK's RandomIdGenerator where that is loaded and none was given."""
        if self._id_generator is not None:
            return self._id_generator
        module = sys.modules.get("opentelemetry.sdk.trace.id_generator")
        return None if module is None else module.RandomIdGenerator()

    @property
    def _span_limits(self) -> Limits:
        return self._limits

    @property
    def _active_span_processor(self) -> Any:
        return self._bridge_to_sdk().processors

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> ApiTracer:
        """The tracer of one instrumentation scope; the same arguments give the same tracer."""
        if self._is_disabled:
            return NoOpTracer()
        if not instrumenting_module_name:
            _logger.error("clew: get_tracer() without the name of what instruments")
        kept, _ = clean_attributes(attributes, None, None)
        key: Any = (instrumenting_module_name, instrumenting_library_version, schema_url, *kept.items())
        try:
            known = self._tracers.get(key)
        except TypeError:  # a name or a value that cannot be a key
            known = key = None
        if known is not None and (found := known.given()) is not None:
            return found
        pipeline = self._pipeline
        made: Tracer = self._core.Tracer(
            self,
            Scope(as_text(instrumenting_module_name or ""), instrumenting_library_version or "", schema_url, kept),
            self._limits,
            self._sampler,
            self._id_generator,
            pipeline.buffer if pipeline is not None else None,
            self._is_observed,
        )
        tracer: ApiTracer = made if self._metrics is None else self._metrics.counting(made)
        if doubled.doubles(instrumenting_module_name):
            tracer = ShadowingTracer(tracer, CurrentSpan)
        with self._lock:
            self._forget_gone()
            entry = _Made(made, self._gone.append)
            entry.key, entry.given, entry.number = key, ref(tracer), None if pipeline is None else made.scope_number
            self._every_tracer.add(entry)
            # Asked again: a processor may have been added while the tracer was made.
            made.observed = self._is_observed
            if key is not None:
                known = self._tracers.get(key)
                if known is not None and (found := known.given()) is not None:
                    return found
                self._tracers[key] = entry
                self._latest.append(tracer)
            return tracer

    def _forget_gone(self) -> None:
        # Not when a tracer is collected, which may be at any time and in any thread.
        while self._gone:
            with suppress(IndexError):
                entry = self._gone.popleft()
                self._every_tracer.discard(entry)
                if self._tracers.get(entry.key) is entry:
                    del self._tracers[entry.key]
                if entry.number is not None and self._pipeline is not None:
                    self._pipeline.buffer.release(entry.number)

    def add_encoded_span(self, scope_name: str, span: bytes) -> None:
        """Send a span that has ended elsewhere: an element of ScopeSpans.spans, as `clew.otlp.encode` makes it.

        For bridges from other systems. It is counted as recorded; without an exporter of clew's it goes nowhere, and
        processors do not see it.
        """
        if self._pipeline is not None and not self._is_disabled:
            buffer = self._pipeline.buffer
            number = buffer.scope(encode.scope(scope_name, "", {}), "")
            buffer.add(number, span)
            buffer.release(number)

    def add_span_processor(self, span_processor: SpanProcessor) -> None:
        """Let a SpanProcessor of the OpenTelemetry SDK see every recording span; needs `opentelemetry-sdk`."""
        self._bridge_to_sdk().add_processor(span_processor)

    @property
    def _is_observed(self) -> bool:
        return self._metrics is not None or (self._bridge is not None and self._bridge.is_used)

    def _observe(self) -> None:
        with self._lock:
            for entry in list(self._every_tracer):
                if (tracer := entry()) is not None:
                    tracer.observed = True

    def _bridge_to_sdk(self, processors: Any = None) -> Bridge:
        if self._bridge is None:
            from clew.recorder.sdk.bridge import Bridge

            bridge = Bridge(self._observe, processors)
            with self._lock:
                self._bridge = self._bridge or bridge
        return self._bridge

    def started(self, span: Span, parent_context: Context | None) -> None:
        """A span has started; called by tracers while processors are attached."""
        if self._bridge is not None:
            self._bridge.started(span, parent_context)

    def ending(self, span: Span) -> None:
        """A span is about to end; only its processors may still write to it."""
        if self._bridge is not None and self._bridge.has_on_ending:
            mine = (threading.get_ident(), span)
            self._endings.append(mine)
            try:
                self._bridge.ending(span)
            finally:
                self._endings.remove(mine)

    def is_ending(self, span: Span) -> bool:
        """Whether this thread is inside `ending` of this span."""
        me = threading.get_ident()
        return any(one is span and thread == me for thread, one in self._endings)

    def ended(self, span: Span) -> None:
        """A span has ended; called by tracers while processors are attached."""
        if self._metrics is not None:
            self._metrics.ended(span)
        if self._bridge is not None:
            self._bridge.ended(span)

    def stats(self) -> dict[str, Any]:
        """`{"recorded", "sent", "dropped": {reason: n}}`, counted since the start of this process.

        Recorded are the sampled spans that ended. Reasons: `buffer_full`, `unreachable`, `http_<status>`,
        `rejected` (partial success), `shutdown`, `too_large`, `encoding`, `exporter_failed`.
        """
        if self._pipeline is not None:
            return self._pipeline.stats()
        if self._bridge is not None:
            return self._bridge.stats()
        return {"recorded": 0, "sent": 0, "dropped": {}}

    def force_flush(self, timeout_millis: int | None = None) -> bool:
        """Send what has ended so far; True if all of it was delivered in time, which is 30 s unless it is given."""
        if timeout_millis is None:
            timeout_millis = _FLUSH_TIMEOUT_MS
        delivered = True
        if self._pipeline is not None:
            delivered = self._pipeline.force_flush(timeout_millis / 1000)
        if self._bridge is not None:
            delivered = self._bridge.force_flush(timeout_millis) and delivered
        return delivered

    def shutdown(self, timeout_s: float = 5.0) -> None:
        """Send what is left, for `timeout_s` at most, and stop. Once; later calls do nothing."""
        with self._lock:
            if self._is_shut_down:
                return
            self._is_shut_down = True
        if self._atexit_handler is not None:
            atexit.unregister(self._atexit_handler)
            self._atexit_handler = None
        until = monotonic() + timeout_s
        try:
            # From the last to the first; a failure of one does not stop the others.
            with ExitStack() as steps:
                steps.callback(getattr(self._sampler, "close", lambda: None))
                if self._bridge is not None:
                    bridge = self._bridge
                    steps.callback(lambda: bridge.shutdown(max(until - monotonic(), 0.0)))
                if self._pipeline is not None:
                    steps.callback(self._pipeline.shutdown, timeout_s)
        except Exception as error:
            guard.swallow("shutdown", error)

    def _shutdown_at_exit(self) -> None:
        global _exit_until
        if _exit_until is None:
            _exit_until = monotonic() + self._exit_timeout_s * _OF_EXIT_TIMEOUT
        self.shutdown(max(_exit_until - monotonic(), 0.0))

    def _begin_in_child(self) -> None:
        self._lock = RLock()
        self._endings.clear()
        self._resource = self._resource.in_this_process()
        if self._given_resource is not None and "process.pid" in self._resource.attributes:
            self._given_resource = None  # it names the parent
        if self._bridge is not None:
            self._bridge.begin_in_child()
        if self._pipeline is not None:
            self._pipeline.begin_in_child(self._resource)
            if self._export_metrics is not None:
                self._export_metrics.begin_in_child()
            if self._is_shut_down:
                self._pipeline.shutdown(0.0)
            elif self._atexit_handler is not None and (util := sys.modules.get("multiprocessing.util")) is not None:
                # Whether multiprocessing forks is not known yet; it runs this only if it does.
                util.register_after_fork(self, TracerProvider._shutdown_at_the_end_of_a_multiprocessing_child)

    def _shutdown_at_the_end_of_a_multiprocessing_child(self) -> None:
        # These children leave by os._exit, without atexit; finalizers are the exit they do have.
        process = sys.modules.get("multiprocessing.process")
        if process is None:
            return
        if getattr(process.current_process(), "_inheriting", False):
            # A child of spawn or forkserver that is still importing: it clears its finalizers when it begins,
            # and then runs what was registered with `register_after_fork`.
            util = import_module("multiprocessing.util")
            util.register_after_fork(self, TracerProvider._shutdown_at_the_end_of_a_multiprocessing_child)
        elif process.parent_process() is not None:
            from multiprocessing.util import Finalize

            Finalize(None, self._shutdown_after_other_threads, exitpriority=_LAST)

    def _shutdown_after_other_threads(self) -> None:
        # multiprocessing runs finalizers first and joins threads afterwards, and these may make spans until they end.
        others = [
            thread
            for thread in threading.enumerate()
            if not thread.daemon and thread not in (threading.main_thread(), threading.current_thread())
        ]
        if not others:
            self._shutdown_at_exit()
            return

        def wait_and_shut_down() -> None:
            for thread in others:
                thread.join()
            self._shutdown_at_exit()

        try:
            threading.Thread(target=wait_and_shut_down, name="clew-exit", daemon=False).start()
        except RuntimeError:
            self._shutdown_at_exit()


def _shutdown_all_at_exit() -> None:
    """As `atexit` would: shut down those that were made to be shut down at exit."""
    for provider in list(_providers):
        if provider._atexit_handler is not None:
            provider._shutdown_at_exit()


def _resource_from(resource: Any) -> Resource:
    if resource is None:
        return default_resource()
    if isinstance(resource, Resource):
        return resource
    if isinstance(resource, Mapping):
        return Resource(resource)
    attributes, schema_url = resource.attributes, getattr(resource, "schema_url", None)
    if not isinstance(attributes, Mapping):
        misuse("resource=%r has no attributes; the process' own resource is used", resource)
        return default_resource()
    return Resource(attributes, schema_url if isinstance(schema_url, str) else "")


def _refuse_what_is_no_sampler(sampler: object) -> None:
    if callable(getattr(sampler, "should_sample", None)):
        return
    if isinstance(sampler, Mapping) or hasattr(sampler, "attributes"):
        raise TypeError(f"the first argument is the sampler; attributes are given as resource=, here {sampler!r}")
    raise TypeError(f"a sampler has a method should_sample(), and {sampler!r} has none")


def _is_sdk_exporter(exporter: object) -> TypeGuard[SpanExporter]:
    # An SDK exporter can exist only once its module is imported, so it is not imported here.
    module = sys.modules.get("opentelemetry.sdk.trace.export")
    return module is not None and isinstance(exporter, module.SpanExporter)
