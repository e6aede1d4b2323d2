"""TracerProvider: the recorder as OpenTelemetry's API sees it, and where its parts are put together."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Mapping
from threading import RLock
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeGuard, cast
from weakref import WeakSet

from opentelemetry.context import Context
from opentelemetry.trace import TracerProvider as ApiTracerProvider
from opentelemetry.util.types import Attributes

from clew import guard
from clew.recorder import _select
from clew.recorder._pure import Span, Tracer
from clew.recorder.exporter import Exporter
from clew.recorder.limits import Limits, clean_attributes, span_limits_from_environment
from clew.recorder.pipeline import BatchOptions, Pipeline
from clew.recorder.readable import Scope
from clew.recorder.resource import Resource, default_resource
from clew.recorder.sampler import Sampler

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.sdk.trace.export import SpanExporter

    from clew.recorder.sdk_bridge import Bridge

# What the process' exit may be held up by, connections that never answer included; by all providers together.
_EXIT_TIMEOUT_S: Final = 4.5
_exit_until: float | None = None

# Of the finalizers of multiprocessing, highest first; those of its queues are -5 and above.
_LAST: Final = -100

_providers: Final[WeakSet[TracerProvider]] = WeakSet()


def _after_fork_in_child() -> None:
    global _exit_until
    _exit_until = None
    for provider in list(_providers):
        provider._begin_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


class TracerProvider(ApiTracerProvider):
    """Records spans and sends them to one exporter, and to any SpanProcessor of the SDK that is added.

    Nothing it does raises into the application or makes it wait, `force_flush` and `shutdown` excepted.
    """

    def __init__(
        self,
        resource: Resource | Mapping[str, Any] | Any = None,
        sampler: Sampler | None = None,
        span_limits: Limits | None = None,
        id_generator: Any = None,
        exporter: Exporter | SpanExporter | None = None,
        *,
        batch: BatchOptions | None = None,
    ) -> None:
        """Every argument takes the SDK's object too: Resource, Sampler, SpanLimits, IdGenerator, SpanExporter.

        `resource` may be a mapping of attributes; without it the process' own is made, `OTEL_*` variables included.
        `sampler` None is parent-based always on. Without an `exporter` spans go only to added processors.
        """
        self._resource: Resource = _resource_from(resource)
        self._core = _select.selected
        self._sampler = sampler
        self._limits = span_limits or span_limits_from_environment()
        self._id_generator = id_generator
        # Reentrant: a signal's handler or a __del__ may ask for a tracer while one is being made.
        self._lock = RLock()
        self._tracers: dict[tuple[str, str | None, str | None], Tracer] = {}
        self._every_tracer: WeakSet[Tracer] = WeakSet()
        self._bridge: Bridge | None = None
        self._pipeline: Pipeline | None = None
        self._is_shut_down = False
        if exporter is not None:
            if _is_sdk_exporter(exporter):
                self._bridge_to_sdk().add_exporter(exporter)
            else:
                self._pipeline = Pipeline(cast("Exporter", exporter), self._resource, batch or BatchOptions())
        _providers.add(self)
        atexit.register(self._shutdown_at_exit)
        self._shutdown_at_the_end_of_a_multiprocessing_child()

    @property
    def resource(self) -> Resource:
        """What the spans are produced by; `.attributes`, `.schema_url`."""
        return self._resource

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> Tracer:
        """The tracer of one instrumentation scope; the same arguments give the same tracer."""
        key = (instrumenting_module_name, instrumenting_library_version, schema_url)
        if not attributes:
            known = self._tracers.get(key)
            if known is not None:
                return known
        kept, _ = clean_attributes(attributes, None, None)
        pipeline = self._pipeline
        tracer: Tracer = self._core.Tracer(
            self,
            Scope(str(instrumenting_module_name or ""), instrumenting_library_version, schema_url, kept),
            self._limits,
            self._sampler,
            self._id_generator,
            pipeline.buffer if pipeline is not None else None,
            self._bridge is not None,
        )
        with self._lock:
            self._every_tracer.add(tracer)
            if not attributes:
                return self._tracers.setdefault(key, tracer)
        return tracer

    def add_span_processor(self, span_processor: SpanProcessor) -> None:
        """Let a SpanProcessor of the OpenTelemetry SDK see every recording span; needs `opentelemetry-sdk`."""
        bridge = self._bridge_to_sdk()
        bridge.add_processor(span_processor)
        with self._lock:
            for tracer in self._every_tracer:
                tracer.observed = True

    def _bridge_to_sdk(self) -> Bridge:
        if self._bridge is None:
            from clew.recorder.sdk_bridge import Bridge

            self._bridge = Bridge()
        return self._bridge

    def started(self, span: Span, parent_context: Context | None) -> None:
        """A span has started; called by tracers while processors are attached."""
        if self._bridge is not None:
            self._bridge.started(span, parent_context)

    def ended(self, span: Span) -> None:
        """A span has ended; called by tracers while processors are attached."""
        if self._bridge is not None:
            self._bridge.ended(span)

    def stats(self) -> dict[str, Any]:
        """`{"recorded", "sent", "dropped": {reason: n}}`, counted since the start of this process.

        Recorded are the sampled spans that ended. Reasons: `buffer_full`, `unreachable`, `http_<status>`,
        `rejected` (partial success), `shutdown`, `encoding`, `exporter_failed`.
        """
        if self._pipeline is not None:
            return self._pipeline.stats()
        if self._bridge is not None:
            return self._bridge.stats()
        return {"recorded": 0, "sent": 0, "dropped": {}}

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what has ended so far; True if all of it was delivered in time."""
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
        atexit.unregister(self._shutdown_at_exit)
        until = monotonic() + timeout_s
        try:
            if self._pipeline is not None:
                self._pipeline.shutdown(timeout_s)
            if self._bridge is not None:
                self._bridge.shutdown(max(until - monotonic(), 0.0))
        except Exception as error:
            guard.swallow("shutdown", error)

    def _shutdown_at_exit(self) -> None:
        global _exit_until
        if _exit_until is None:
            _exit_until = monotonic() + _EXIT_TIMEOUT_S
        self.shutdown(max(_exit_until - monotonic(), 0.0))

    def _begin_in_child(self) -> None:
        self._lock = RLock()
        self._resource = self._resource.in_this_process()
        if self._bridge is not None:
            self._bridge.begin_in_child()
        if self._pipeline is not None:
            self._pipeline.begin_in_child(self._resource)
            if self._is_shut_down:
                self._pipeline.shutdown(0.0)
            elif (util := sys.modules.get("multiprocessing.util")) is not None:
                # Whether multiprocessing forks is not known yet; it runs this only if it does.
                util.register_after_fork(self, TracerProvider._shutdown_at_the_end_of_a_multiprocessing_child)

    def _shutdown_at_the_end_of_a_multiprocessing_child(self) -> None:
        # These children leave by os._exit, without atexit; finalizers are the exit they do have.
        process = sys.modules.get("multiprocessing.process")
        if process is not None and process.parent_process() is not None:
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


def _resource_from(resource: Any) -> Resource:
    if resource is None:
        return default_resource()
    if isinstance(resource, Resource):
        return resource
    if isinstance(resource, Mapping):
        return Resource(resource)
    return Resource(resource.attributes, getattr(resource, "schema_url", None) or "")


def _is_sdk_exporter(exporter: object) -> TypeGuard[SpanExporter]:
    # Whoever holds an SDK exporter has imported its module; nobody else shall.
    module = sys.modules.get("opentelemetry.sdk.trace.export")
    return module is not None and isinstance(exporter, module.SpanExporter)
