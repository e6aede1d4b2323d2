"""The global tracer provider under `clew run`, until the application sets its own; tracers obtained before then use the new one."""

from __future__ import annotations

from typing import Any, Final

from opentelemetry import trace
from opentelemetry.trace import Span, Tracer, TracerProvider
from opentelemetry.util.types import Attributes

from clew._otel import is_global_provider_set, replace_global_provider

_Scope = tuple[str, str | None, str | None, Attributes]


class ReplaceableProvider(TracerProvider):
    """Delegates to the provider it was made for, and to the application's once that is set."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider: Final = provider

    def install(self) -> None:
        """Be the global provider, and let the first call of `set_tracer_provider` replace it."""
        # The API refuses to replace one that was set; this one was not.
        if is_global_provider_set():
            return
        try:
            replace_global_provider(self, is_set=False)
        except RuntimeError:  # an API that clew does not know: traced, but the application cannot set its own any more
            trace.set_tracer_provider(self)

    @property
    def target(self) -> TracerProvider:
        """Set the provider to delegate to."""
        current = trace.get_tracer_provider()
        return self._provider if current is self else current

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> Tracer:
        return _Following(self, (instrumenting_module_name, instrumenting_library_version, schema_url, attributes))

    def __getattr__(self, name: str) -> Any:
        # `resource`, `add_span_processor`, `force_flush` and the like.
        return getattr(self.target, name)


class _Following(Tracer):
    def __init__(self, owner: ReplaceableProvider, scope: _Scope) -> None:
        self._owner = owner
        self._scope = scope
        self._known: tuple[TracerProvider | None, Tracer | None] = (None, None)

    def _tracer(self) -> Tracer:
        target = self._owner.target
        known, tracer = self._known
        if known is not target or tracer is None:
            tracer = target.get_tracer(*self._scope)
            self._known = (target, tracer)
        return tracer

    def start_span(self, *args: Any, **kwargs: Any) -> Span:
        return self._tracer().start_span(*args, **kwargs)

    def start_as_current_span(self, *args: Any, **kwargs: Any) -> Any:
        return self._tracer().start_as_current_span(*args, **kwargs)
