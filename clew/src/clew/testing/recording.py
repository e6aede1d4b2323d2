"""The spans of one test: a tracer provider that is the global one for as long as the test runs.

Tracers that the code under test has got from the API before, at import time say, follow: they are given a
tracer that asks for the recording provider of the moment at each span.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.util.types import Attributes

from clew._otel import replace_global_provider
from clew.recorder.provider import TracerProvider
from clew.testing.assertions import Spans
from clew.testing.memory import InMemoryExporter

_FLUSH_TIMEOUT_MS: Final = 100_000


class Recording(Spans):
    """The spans that have ended since the recording began; the recorder is flushed before each look."""

    def __init__(self, tracer_provider: TracerProvider, exporter: InMemoryExporter) -> None:
        self.tracer_provider: Final = tracer_provider
        self.exporter: Final = exporter
        super().__init__(self._ended)

    def _ended(self) -> list[Any]:
        self.tracer_provider.force_flush(_FLUSH_TIMEOUT_MS)
        return list(self.exporter.spans)

    def clear(self) -> None:
        """Forget the spans so far."""
        self.tracer_provider.force_flush(_FLUSH_TIMEOUT_MS)
        self.exporter.clear()


@contextmanager
def recording(**options: Any) -> Iterator[Recording]:
    """Record all spans of the block: `with recording() as spans: …; spans.one("checkout")`.

    `options` are those of `clew.TracerProvider`, the exporter excepted. For the block its provider is the global
    one, no span is current, and `set_tracer_provider` changes nothing; afterwards all is as it was. Nests: the
    innermost records. Spans that outlive the block are lost. Not for several threads at once, each with its own.
    """
    exporter = InMemoryExporter()
    provider = TracerProvider(exporter=exporter, **options)
    recorded = Recording(provider, exporter)
    token = attach(Context())
    try:
        with _as_global(provider):
            yield recorded
    finally:
        detach(token)
        provider.shutdown()


class _Switch(trace.TracerProvider):
    """The global provider while something records: delegates to the innermost recording's provider, afterwards to the real one."""

    def __init__(self) -> None:
        self.recording: list[TracerProvider] = []

    @property
    def target(self) -> trace.TracerProvider:
        return self.recording[-1] if self.recording else trace.get_tracer_provider()

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> trace.Tracer:
        scope = (instrumenting_module_name, instrumenting_library_version, schema_url, attributes)
        return _SwitchedTracer(self, scope)

    def __getattr__(self, name: str) -> Any:
        # `resource`, `add_span_processor`, `force_flush` and the like.
        return getattr(self.target, name)


class _SwitchedTracer(trace.Tracer):
    """A tracer of whatever the switch stands at; an API tracer that found it once keeps it for ever."""

    def __init__(self, switch: _Switch, scope: tuple[str, str | None, str | None, Attributes]) -> None:
        self._switch = switch
        self._scope = scope

    def start_span(self, *args: Any, **kwargs: Any) -> trace.Span:
        return self._switch.target.get_tracer(*self._scope).start_span(*args, **kwargs)

    def start_as_current_span(self, *args: Any, **kwargs: Any) -> Any:
        return self._switch.target.get_tracer(*self._scope).start_as_current_span(*args, **kwargs)


_switch: Final = _Switch()
_lock: Final = Lock()
# The API's provider, and whether it was set, from before the outermost recording.
_before: tuple[trace.TracerProvider | None, bool] = (None, False)


@contextmanager
def _as_global(provider: TracerProvider) -> Iterator[None]:
    global _before
    # The API does not allow to replace a provider that was set; a test must be able to restore it.
    with _lock:
        if not _switch.recording:
            _before = replace_global_provider(_switch, is_set=True)
        _switch.recording.append(provider)
    try:
        yield
    finally:
        with _lock:
            _switch.recording.remove(provider)
            if not _switch.recording:
                replace_global_provider(*_before)
