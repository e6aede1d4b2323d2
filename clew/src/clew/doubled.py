"""One span for one call, whoever else traces it: frameworks by themselves, OpenTelemetry's instrumentations.

Whoever is outermost keeps its span. Where clew's has begun first, a span that another instrumentation starts for the
same call is not made: it gets a `Shadow` of clew's, which hands on what the application says and ends nothing. Where
the other has begun first, clew makes none. Both are recognised by the instrumentation scope of the other and by the kind
of call that clew's span stands for, which the context carries.

Nothing of this costs anything before a module that traces is imported: `state.is_on`.
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

#: A kind of call: the family of `clew.transport.Call` (of messaging its system), and whether it is answered here.
Family = tuple[str, bool]

_PREFIX: Final = "opentelemetry.instrumentation."
# The instrumentation scopes that double clew's spans, and whose: of each the last part of OpenTelemetry's name.
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
    # What frameworks call themselves where they trace of their own accord.
    for framework in ("fastapi", "starlette"):
        found[framework] = set(found[_PREFIX + framework])
    return {name: frozenset(families) for name, families in found.items()}


_FAMILIES: Final = _by_scope()
# Modules that only those import who trace; one of them makes spans of the scopes above possible.
_MODULES: Final = (
    "opentelemetry.instrumentation.utils",
    "opentelemetry.instrumentation.instrumentor",
    "fastapi.telemetry._asgi",
    "starlette.middleware.opentelemetry",
)
# What of their code says on a span is said by clew's own; what others say is the application's.
_THEIR_MODULES: Final = ("opentelemetry.", "fastapi.telemetry.", "starlette.middleware.opentelemetry")
# From this version on FastAPI traces requests as soon as there is a global provider.
_FASTAPI_TRACES_SINCE: Final = (0, 142)
_ANSWERING: Final = (SpanKind.SERVER, SpanKind.CONSUMER)
_CALLING: Final = (SpanKind.CLIENT, SpanKind.PRODUCER)

# Under which key a context says what clew traces there: the family of the call and its span.
_OURS_KEY: Final = create_key("clew-traces")
# The same for the call that is answered: who extracts a context from headers begins with an empty one.
_answering: Final[ContextVar[tuple[Family, Span] | None]] = ContextVar("clew_answering", default=None)


class _State:
    __slots__ = ("is_on", "is_watching", "named")

    def __init__(self) -> None:
        #: Whether somebody who doubles spans is loaded.
        self.is_on = False
        self.is_watching = False
        self.named: set[tuple[str, bool]] = set()


state: Final = _State()


def watch() -> None:
    """From now on notice those who trace the same calls, when they are imported or if they are. Once is enough."""
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
    """Whether spans of this instrumentation scope may stand for calls that clew traces too."""
    return isinstance(scope_name, str) and scope_name in _FAMILIES


def is_traced_by_another(context: Context, family: Family) -> bool:
    """Whether the current span is another instrumentation's for the very call that is about to begin."""
    try:
        span = context.get(SPAN_KEY)
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
    """`context` with `span` as the current one, and with the word that clew traces such a call as that span."""
    ours = (family, span)
    if family[1]:
        _answering.set(ours)  # not reset: it counts as long as the span is recording
    return Context({**context, SPAN_KEY: span, _OURS_KEY: ours})


def _ours_in(context: Context, kind: object) -> tuple[Family, Span] | None:
    ours: tuple[Family, Span] | None = context.get(_OURS_KEY)  # type: ignore[assignment]
    if ours is None and kind not in _CALLING and current_client_transport() is None:
        ours = _answering.get()
    return ours


def shadow_of_ours(scope_name: str, context: Context | None, kind: SpanKind) -> Shadow | None:
    """What another instrumentation gets for its span where clew traces the same call; None where it does not."""
    try:
        ours = _ours_in(get_current() if context is None else context, kind)
        if ours is None:
            return None
        family, span = ours
        if family not in _FAMILIES.get(scope_name, ()) or not _is_of_side(kind, family) or not span.is_recording():
            return None
        _say(scope_name, False)
        return Shadow(span)
    except Exception as failure:
        guard.swallow("recognising another instrumentation", failure)
        return None


def _is_of_side(kind: object, family: Family) -> bool:
    if kind in _ANSWERING:
        return family[1]
    if kind in _CALLING:
        return not family[1]
    # Parts of a request, or the request itself below a span that was there already.
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
    """What is installed here that may trace the same calls, with how it is switched off. Imports none of it."""
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
    """Stands where another instrumentation wanted a span of its own: clew's span, which it neither changes nor ends.

    The application finds it as the current span; what it says there is said of clew's.
    """

    def __init__(self, span: Span) -> None:
        self._span = span

    def get_span_context(self) -> SpanContext:
        """That of clew's span."""
        return self._span.get_span_context()

    def is_recording(self) -> bool:
        """Whether clew's span is."""
        return self._span.is_recording()

    def end(self, end_time: int | None = None) -> None:
        """Does nothing."""

    def _set(self, method: str, *arguments: Any, **options: Any) -> None:
        # Two frames up: whoever called the method of this class.
        if not sys._getframe(2).f_globals.get("__name__", "").startswith(_THEIR_MODULES):
            getattr(self._span, method)(*arguments, **options)

    def set_attribute(self, key: str, value: Any) -> None:
        """On clew's span, if the application says so; likewise all that follows."""
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
        # What readable spans have beyond the API.
        return getattr(self._span, name)

    def __repr__(self) -> str:
        return f"Shadow({self._span!r})"


def _watch_sdk(module: ModuleType) -> None:
    """Let the SDK's tracers give shadows too. They keep their class, and other scopes their spans."""
    tracer_class: Any = module.Tracer
    original: Callable[..., Any] = tracer_class.start_span
    if hasattr(original, "_clew_shadows"):
        return

    @wraps(original)
    def start_span(
        self: Any, name: str, context: Any = None, kind: Any = SpanKind.INTERNAL, *args: Any, **kwargs: Any
    ) -> Any:
        scope = getattr(getattr(self, "_instrumentation_scope", None), "name", None)
        if scope in _FAMILIES and (shadow := shadow_of_ours(scope, context, kind)) is not None:
            return shadow
        return original(self, name, context, kind, *args, **kwargs)

    start_span._clew_shadows = True  # type: ignore[attr-defined]
    tracer_class.start_span = start_span
