"""Everything clew takes of `opentelemetry-api` that is not public, so that a new version is checked in one place.

Names are plain objects, imported once: reading them costs what reading the API's own costs. Where a version has a name
no longer, what stands here instead is built from the API's public functions, which is slower and does the same.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import Any, Final, Protocol

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.context.contextvars_context import ContextVarsRuntimeContext
from opentelemetry.trace import INVALID_SPAN, TracerProvider, set_span_in_context

#: Under which key a Context holds the current span. Read from a context, not from the API's `_SPAN_KEY`.
SPAN_KEY: Final[str] = next(iter(set_span_in_context(INVALID_SPAN, Context())))


def _key(name: str, meaning: str) -> str:
    found = getattr(context, name, None)
    return found if isinstance(found, str) else context.create_key(meaning)


#: A context that has this key set records nothing. Without the API's key only clew itself respects it.
SUPPRESS_INSTRUMENTATION_KEY: Final = _key("_SUPPRESS_INSTRUMENTATION_KEY", "suppress_instrumentation")
#: As above, for HTTP clients only: set around a call that an instrumentation of a higher layer has recorded.
SUPPRESS_HTTP_INSTRUMENTATION_KEY: Final = _key("_SUPPRESS_HTTP_INSTRUMENTATION_KEY", "suppress_http_instrumentation")


class RuntimeContext(Protocol):
    """Where the current Context is kept. `attach` returns the token for `detach`."""

    def get_current(self) -> Context: ...

    def attach(self, context: Context) -> Token[Context]: ...

    def detach(self, token: Token[Context]) -> None: ...


class _PublicFunctions:
    get_current = staticmethod(context.get_current)
    attach = staticmethod(context.attach)
    detach = staticmethod(context.detach)


#: The API's runtime context: its methods without the functions around them, which `get_current()` and the like are.
RUNTIME_CONTEXT: Final[RuntimeContext] = getattr(context, "_RUNTIME_CONTEXT", None) or _PublicFunctions()

#: The names of the module `opentelemetry.context`, and the one that is bound to its runtime context.
CONTEXT_NAMES: Final[dict[str, Any]] = context.__dict__
RUNTIME_CONTEXT_NAME: Final = "_RUNTIME_CONTEXT"


def context_variable(runtime: object) -> ContextVar[Context] | None:
    """The ContextVar that this runtime context keeps the current Context in; None where it is none of the API's."""
    variable = getattr(runtime, "_current_context", None) if type(runtime) is ContextVarsRuntimeContext else None
    return variable if isinstance(variable, ContextVar) else None


_variable = context_variable(RUNTIME_CONTEXT)
#: `attach` and `detach` without the functions around them. `DETACH` raises ValueError where the token is of another context.
ATTACH: Final[Callable[[Context], Token[Context]]] = RUNTIME_CONTEXT.attach if _variable is None else _variable.set
DETACH: Final[Callable[[Token[Context]], object]] = context.detach if _variable is None else _variable.reset


#: The names of the module `opentelemetry.trace`, and the one that is bound to the global provider: None until it is set.
#: `TRACE_NAMES.get(GLOBAL_PROVIDER)` looks at no environment variable, which `get_tracer_provider()` does until then.
TRACE_NAMES: Final[dict[str, Any]] = trace.__dict__
GLOBAL_PROVIDER: Final = "_TRACER_PROVIDER"


def replace_global_provider(provider: TracerProvider | None, is_set: bool) -> tuple[TracerProvider | None, bool]:
    """Put `provider` where the API keeps its global one, whatever is there; returns what was there, as arguments.

    With `is_set` False the API still takes the next provider that is given to `set_tracer_provider`. Raises RuntimeError
    where this version of the API keeps its provider elsewhere.
    """
    names: Any = trace
    try:
        before = names._TRACER_PROVIDER, names._TRACER_PROVIDER_SET_ONCE._done
    except AttributeError as error:
        raise RuntimeError(
            f"this version of opentelemetry-api keeps its global tracer provider where clew does not know it ({error}); "
            "pass the provider explicitly, or install a version that is known to work"
        ) from error
    names._TRACER_PROVIDER, names._TRACER_PROVIDER_SET_ONCE._done = provider, is_set
    return before


def is_global_provider_set() -> bool:
    """Whether the application has set a global provider, so that the API refuses another."""
    once = getattr(trace, "_TRACER_PROVIDER_SET_ONCE", None)
    return bool(getattr(once, "_done", False))
