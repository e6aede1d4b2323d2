"""Avoids two spans for one call when a framework or an OpenTelemetry instrumentation traces the call as well.

The instrumentation that starts its span first keeps it:

- clew first: when the other instrumentation starts a span for the same call, it gets a `Shadow` of clew's span. The
  shadow forwards what the application sets on it to clew's span, and its `end` does nothing.
- the other first: clew starts no span for the call.

The other instrumentation is recognised by the name of its instrumentation scope, and the call by its family (for
example HTTP server or database client), which clew stores in the context together with its span. Where a library only tells
about its calls (aiohttp's signals, PyMongo's listeners), no span is made current; there the span that the other one starts next, in
the same task and below the same span, is taken for the same call.

`state.is_on` is False, and none of this runs, until a module is imported that can trace the same calls.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from types import ModuleType
from typing import Any, Final

from opentelemetry.context import Context, create_key, get_current
from opentelemetry.trace import Span, SpanContext, SpanKind

from clew import guard, hooks
from clew._otel import SPAN_KEY
from clew.transport import current_client_transport

_logger: Final = logging.getLogger("clew")

#: A family of calls: `Call.kind` (for messaging the name of the system), and True where this process is the server.
Family = tuple[str, bool]

_PREFIX: Final = "opentelemetry.instrumentation."
# Family -> the OpenTelemetry instrumentations that make spans of it; the last part of each scope's name.
_SCOPES: Final[dict[str, tuple[str, ...]]] = {
    "http server": ("asgi", "fastapi", "starlette", "wsgi", "flask", "django", "aiohttp_server"),
    "http client": ("requests", "httpx", "httpx2", "urllib", "urllib3", "aiohttp_client"),
    "grpc server": ("grpc",),
    "grpc client": ("grpc",),
    "db client": ("dbapi", "psycopg", "psycopg2", "asyncpg", "sqlite3", "sqlalchemy", "redis", "pymongo", "aiopg"),
    "Celery server": ("celery",),
    "Celery client": ("celery",),
    "RabbitMQ server": ("pika", "aio_pika"),
    "RabbitMQ client": ("pika", "aio_pika"),
    "Kafka server": ("kafka", "confluent_kafka", "aiokafka"),
    "Kafka client": ("kafka", "confluent_kafka", "aiokafka"),
}


def _by_scope() -> dict[str, frozenset[Family]]:
    found: dict[str, set[Family]] = {}
    for name, libraries in _SCOPES.items():
        kind, _, side = name.partition(" ")
        for library in libraries:
            found.setdefault(_PREFIX + library, set()).add((kind, side == "server"))
    # Scope names of frameworks that trace without an instrumentation.
    for framework in ("fastapi", "starlette"):
        found[framework] = set(found[_PREFIX + framework])
    return {name: frozenset(families) for name, families in found.items()}


_FAMILIES: Final = _by_scope()
# A span of the scopes above needs one of these modules, and nothing else imports them.
_MODULES: Final = (
    "opentelemetry.instrumentation.utils",
    "opentelemetry.instrumentation.instrumentor",
    "fastapi.telemetry._asgi",
    "starlette.middleware.opentelemetry",
)
# Calls on a `Shadow` from these modules are ignored, since clew sets the same data itself; other callers are the
# application, and their calls are forwarded.
_THEIR_MODULES: Final = ("opentelemetry.", "fastapi.telemetry.", "starlette.middleware.opentelemetry")
# Since this version FastAPI traces requests as soon as a global provider is set.
_FASTAPI_TRACES_SINCE: Final = (0, 142)
_ANSWERING: Final = (SpanKind.SERVER, SpanKind.CONSUMER)
_CALLING: Final = (SpanKind.CLIENT, SpanKind.PRODUCER)

# Context key of the call that clew traces: its family and its span.
_OURS_KEY: Final = create_key("clew-traces")
# The same for the request being served. A second place, because an instrumentation that extracts a context from headers
# starts with an empty one.
_answering: Final[ContextVar[tuple[Family, Span] | None]] = ContextVar("clew_answering", default=None)
# Instrumentations that start a span in one callback of the library and end it in another, and never make it current.
_LISTENERS: Final = frozenset((_PREFIX + "sqlalchemy", _PREFIX + "pymongo"))
# Their last such span: scope name, span, what was current then, and the asyncio task.
_beside: Final[ContextVar[tuple[str, Span, object, object] | None]] = ContextVar("clew_beside", default=None)
# The same for clew's own spans that are never made current: family, span, what was current then, and the asyncio task.
_ours_beside: Final[ContextVar[tuple[Family, Span, object, object] | None]] = ContextVar(
    "clew_ours_beside", default=None
)


class _State:
    __slots__ = ("is_on", "is_watching", "named")

    def __init__(self) -> None:
        #: Whether a module is loaded that can trace the same calls.
        self.is_on = False
        self.is_watching = False
        self.named: set[tuple[str, bool]] = set()


state: Final = _State()


def watch() -> None:
    """Set `state.is_on` when one of `_MODULES` is imported, or now if one is. Further calls do nothing."""
    if state.is_watching:
        return
    state.is_watching = True
    for name in _MODULES:
        hooks.when_imported(name, _turn_on)


def _turn_on(_: ModuleType) -> None:
    if not state.is_on:
        state.is_on = True
        hooks.when_imported("opentelemetry.sdk.trace", _watch_sdk)


def doubles(scope_name: object) -> bool:
    """Whether an instrumentation scope of this name traces calls that clew traces too."""
    return isinstance(scope_name, str) and scope_name in _FAMILIES


def is_traced_by_another(context: Context, family: Family) -> bool:
    """Whether another instrumentation has already started a span for the call that is about to begin.

    That is the current span, or a span that was started just before without being made current.
    """
    try:
        span = context.get(SPAN_KEY)
        if not family[1] and _takes_beside(span, family):
            return True
        if span is None:
            return False
        name = getattr(getattr(span, "instrumentation_scope", None), "name", None)
        if type(name) is not str or family not in _FAMILIES.get(name, ()):
            return False
        if not _is_of_side(getattr(span, "kind", None), family) or not span.is_recording():  # type: ignore[attr-defined]
            return False
        _say(name, True)
        return True
    except Exception as failure:
        guard.swallow("recognising another instrumentation", failure)
        return False


def with_ours(context: Context, family: Family, span: Span) -> Context:
    """`context` with `span` as the current span, and with the note that `span` is clew's span for a call of `family`."""
    ours = (family, span)
    if family[1]:
        _answering.set(ours)  # never reset: it is ignored once the span has ended
    return Context({**context, SPAN_KEY: span, _OURS_KEY: ours})


def _ours_in(context: Context, kind: object) -> tuple[Family, Span] | None:
    ours: tuple[Family, Span] | None = context.get(_OURS_KEY)  # type: ignore[assignment]
    if ours is None and kind not in _CALLING and current_client_transport() is None:
        ours = _answering.get()
    return ours


def begun_beside(family: Family, span: Span) -> None:
    """Remember a client span of clew's that is not made current, because the library only tells about its calls.

    The next client span of `family` that another instrumentation starts in the same task is for the same call.
    """
    if state.is_on:
        try:
            _ours_beside.set((family, span, get_current().get(SPAN_KEY), _task()))
        except Exception as failure:
            guard.swallow("recognising another instrumentation", failure)


def _ours_beside_in(context: Context, kind: object) -> tuple[Family, Span] | None:
    ours = _ours_beside.get() if kind in _CALLING else None
    if ours is None or ours[2] is not context.get(SPAN_KEY) or ours[3] is not _task():
        return None
    return ours[:2]


def shadow_of_ours(scope_name: str, context: Context | None, kind: SpanKind) -> Shadow | None:
    """The span that another instrumentation gets instead of its own; None if clew does not trace the same call."""
    try:
        if context is None:
            context = get_current()
        for ours in (_ours_in(context, kind), _ours_beside_in(context, kind)):
            if ours is not None:
                family, span = ours
                if family in _FAMILIES.get(scope_name, ()) and _is_of_side(kind, family) and span.is_recording():
                    _say(scope_name, False)
                    return Shadow(span)
    except Exception as failure:
        guard.swallow("recognising another instrumentation", failure)
    return None


def started_by_another(scope_name: str, span: Span, kind: object) -> None:
    """Remember a client span that another instrumentation has started and does not make current."""
    if scope_name in _LISTENERS and kind in _CALLING:
        try:
            _beside.set((scope_name, span, get_current().get(SPAN_KEY), _task()))
        except Exception as failure:
            guard.swallow("recognising another instrumentation", failure)


def _takes_beside(current: object, family: Family) -> bool:
    beside = _beside.get()
    if beside is None:
        return False
    scope_name, span, was_current, task = beside
    if not span.is_recording():
        _beside.set(None)
        return False
    # A task inherits the variable of the task that made it, but not the call that is under way there.
    if was_current is not current or family not in _FAMILIES.get(scope_name, ()) or task is not _task():
        return False
    _beside.set(None)  # it stands for one call only, even if it is never ended
    _say(scope_name, True)
    return True


def _task() -> object:
    asyncio = sys.modules.get("asyncio")
    try:
        return None if asyncio is None else asyncio.current_task()
    except RuntimeError:  # no event loop runs in this thread
        return None


def _is_of_side(kind: object, family: Family) -> bool:
    if kind in _ANSWERING:
        return family[1]
    if kind in _CALLING:
        return not family[1]
    # INTERNAL: parts of a request, or the request itself where another span was current already.
    return family == ("http", True)


def _say(scope_name: str, is_first: bool) -> None:
    if (scope_name, is_first) in state.named:
        return
    state.named.add((scope_name, is_first))
    if is_first:
        _logger.info("clew: %s traces the same calls and begins first; clew leaves its own spans out", scope_name)
    else:
        _logger.info("clew: %s traces the same calls; its spans are left out", scope_name)


def installed() -> dict[str, str]:
    """Installed packages that can trace the same calls -> how to switch each off. Imports none of them."""
    from importlib.metadata import PackageNotFoundError, entry_points, version

    found: dict[str, str] = {}
    try:
        fastapi = version("fastapi")
        numbers = tuple(int(part) for part in fastapi.split(".")[:2] if part.isdecimal())
        if numbers >= _FASTAPI_TRACES_SINCE:
            found[f"FastAPI {fastapi}"] = 'FastAPI(telemetry={"tracing": False})'
    except PackageNotFoundError:
        pass
    libraries = {library for names in _SCOPES.values() for library in names}
    instrumentations = sorted(
        {
            entry.name
            for entry in entry_points(group="opentelemetry_instrumentor")
            if entry.name in libraries or entry.value.partition(":")[0].rpartition(".")[2] in libraries
        }
    )
    for name in instrumentations:
        found[f"opentelemetry-instrumentation-{name}"] = (
            f"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS={','.join(instrumentations)}, or do not call their instrument()"
        )
    return found


class Shadow(Span):
    """The span that another instrumentation gets for a call that clew traces. It cannot change or end clew's span.

    The application may find it as the current span; what the application sets on it is set on clew's span.
    """

    def __init__(self, span: Span) -> None:
        self._span = span

    def get_span_context(self) -> SpanContext:
        """The context of clew's span."""
        return self._span.get_span_context()

    def is_recording(self) -> bool:
        """Whether clew's span is recording."""
        return self._span.is_recording()

    def end(self, end_time: int | None = None) -> None:
        """Does nothing."""

    def _set(self, method: str, *arguments: Any, **options: Any) -> None:
        # Two frames up is the caller of the public method.
        if not sys._getframe(2).f_globals.get("__name__", "").startswith(_THEIR_MODULES):
            getattr(self._span, method)(*arguments, **options)

    def set_attribute(self, key: str, value: Any) -> None:
        """Set it on clew's span if the application calls this; ignored if the other instrumentation does."""
        self._set("set_attribute", key, value)

    def set_attributes(self, attributes: Any) -> None:
        """As `set_attribute`."""
        self._set("set_attributes", attributes)

    def add_event(self, name: str, attributes: Any = None, timestamp: int | None = None) -> None:
        """As `set_attribute`."""
        self._set("add_event", name, attributes, timestamp)

    def add_link(self, context: SpanContext, attributes: Any = None) -> None:
        """As `set_attribute`."""
        self._set("add_link", context, attributes)

    def update_name(self, name: str) -> None:
        """As `set_attribute`."""
        self._set("update_name", name)

    def set_status(self, status: Any, description: str | None = None) -> None:
        """As `set_attribute`."""
        self._set("set_status", status, description)

    def record_exception(
        self, exception: BaseException, attributes: Any = None, timestamp: int | None = None, escaped: bool = False
    ) -> None:
        """As `set_attribute`."""
        self._set("record_exception", exception, attributes, timestamp, escaped)

    def __getattr__(self, name: str) -> Any:
        # Attributes of the SDK's readable spans that the API does not have.
        return getattr(self._span, name)

    def __repr__(self) -> str:
        return f"Shadow({self._span!r})"


def _watch_sdk(module: ModuleType) -> None:
    """Make the SDK's tracers return shadows too. Their class stays the same, and so do spans of other scopes."""
    tracer_class: Any = module.Tracer
    original: Callable[..., Any] = tracer_class.start_span
    if hasattr(original, "_clew_shadows"):
        return

    @wraps(original)
    def start_span(
        self: Any, name: str, context: Any = None, kind: Any = SpanKind.INTERNAL, *args: Any, **kwargs: Any
    ) -> Any:
        scope = getattr(getattr(self, "_instrumentation_scope", None), "name", None)
        if scope not in _FAMILIES:
            return original(self, name, context, kind, *args, **kwargs)
        shadow = shadow_of_ours(scope, context, kind)
        if shadow is not None:
            return shadow
        span = original(self, name, context, kind, *args, **kwargs)
        started_by_another(scope, span, kind)
        return span

    start_span._clew_shadows = True  # type: ignore[attr-defined]
    tracer_class.start_span = start_span
