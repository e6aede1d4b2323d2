"""Trace and span ids in log records: of every logger (`install`), of one handler (`TraceContextFilter`), in structlog."""

from __future__ import annotations

import logging
from collections.abc import Callable, MutableMapping
from functools import wraps
from threading import Lock
from typing import Any, Final

from opentelemetry.context import get_current
from opentelemetry.trace import TracerProvider, get_current_span

from clew import environment, guard
from clew._otel import GLOBAL_PROVIDER, SPAN_KEY, TRACE_NAMES

#: The format of OpenTelemetry's logging instrumentation, for `OTEL_PYTHON_LOG_LEVEL` without a format.
DEFAULT_FORMAT: Final = (
    "%(asctime)s %(levelname)s [%(name)s] [%(filename)s:%(lineno)d] [trace_id=%(otelTraceID)s span_id=%(otelSpanID)s "
    "resource.service.name=%(otelServiceName)s trace_sampled=%(otelTraceSampled)s] - %(message)s"
)

_lock: Final = Lock()
_hooks: list[_Hook] = []
# The last provider and the name of its service, in one object, so that threads never see one without the other.
_service: tuple[object, str] = (None, "")


class TraceContextFilter(logging.Filter):
    """Gives every record of a handler what `install` gives all records. Drops nothing.

    `handler.addFilter(TraceContextFilter())`, and `%(trace_id)s %(span_id)s` in the format.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Complete the record; always True."""
        _complete(record, None)
        return True


def add_trace_context(logger: object, method_name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The ids as a structlog processor; writes nothing when no span is current, and nothing over a caller's own value.

    `structlog.configure(processors=[clew.logs.add_trace_context, …])`, ahead of the renderer.
    """
    try:
        context = get_current_span().get_span_context()
        if context.is_valid:
            event.setdefault("trace_id", f"{context.trace_id:032x}")
            event.setdefault("span_id", f"{context.span_id:016x}")
            event.setdefault("trace_sampled", context.trace_flags.sampled)
    except Exception as error:
        guard.swallow("ids in a structlog event", error)
    return event


def install(tracer_provider: TracerProvider | None = None) -> None:
    """Give every record of every logger the current span's ids; `uninstall` undoes it, a second call changes nothing.

    A record has `trace_id` (32 hex digits) and `span_id` (16), both "" when no span is current, `trace_sampled` and
    `service_name`; and the same by the names of OpenTelemetry's instrumentation, `otelTraceID` and `otelSpanID` ("0"
    when no span is current), `otelTraceSampled` and `otelServiceName`. What the caller's `extra`, or a record factory,
    has set under one of these names stays. The service's name is that of `tracer_provider`, by default of the global
    provider of the moment.
    """
    with _lock:
        if _hooks:
            return
        # Both places, since a class of loggers may override either without calling ours (absl does with `handle`).
        #
        # Not a record factory, as OpenTelemetry's instrumentation has it: a factory that is set later replaces it,
        # and `makeRecord` raises KeyError for an `extra` that names what the factory has set. Here the factory and
        # `extra` have had their turn. It is early enough for the filters of loggers, and for a QueueHandler, whose
        # listener runs in a thread without the span.
        _hooks.append(_Hook("makeRecord", _completing_made, tracer_provider))
        _hooks.append(_Hook("handle", _completing_handled, tracer_provider))


def uninstall() -> None:
    """Undo `install`; nothing happens where nothing is installed."""
    with _lock:
        while _hooks:
            _hooks.pop().remove()


def install_from_environment() -> None:
    """What `OTEL_PYTHON_LOG_CORRELATION`, `OTEL_PYTHON_LOG_FORMAT` and `OTEL_PYTHON_LOG_LEVEL` say.

    `logging.basicConfig` is called only if one of the last two is set: called here, the application's own call would
    be without effect.
    """
    if not environment.read("OTEL_PYTHON_LOG_CORRELATION"):
        return
    install()
    form, level = environment.read("OTEL_PYTHON_LOG_FORMAT"), environment.read("OTEL_PYTHON_LOG_LEVEL")
    if form is not None or level is not None:
        logging.basicConfig(format=form or DEFAULT_FORMAT, level=level)


class _Hook:
    """One method of `logging.Logger`, replaced by one that completes records."""

    def __init__(self, method: str, completing: Callable[..., Any], provider: TracerProvider | None) -> None:
        self.provider = provider
        self.is_on = True
        self._method = method
        self._original = getattr(logging.Logger, method)
        self._replaced_by = completing(self, self._original)
        setattr(logging.Logger, method, self._replaced_by)

    def remove(self) -> None:
        # If other code has replaced the method since and calls ours, ours stays and does nothing.
        self.is_on = False
        if getattr(logging.Logger, self._method) is self._replaced_by:
            setattr(logging.Logger, self._method, self._original)


def _completing_made(hook: _Hook, original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def make_record(
        self: logging.Logger,
        name: Any,
        level: Any,
        fn: Any,
        lno: Any,
        msg: Any,
        args: Any,
        exc_info: Any,
        func: Any = None,
        extra: Any = None,
        sinfo: Any = None,
    ) -> Any:
        # Named, since `*args` takes longer; logging has had these parameters since Python 3.2.
        record = original(self, name, level, fn, lno, msg, args, exc_info, func, extra, sinfo)
        if hook.is_on:
            _complete(record, hook.provider)
        return record

    return make_record


def _completing_handled(hook: _Hook, original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def handle(self: logging.Logger, record: Any) -> Any:
        if hook.is_on and "otelServiceName" not in getattr(record, "__dict__", ()):
            _complete(record, hook.provider)
        return original(self, record)

    return handle


def _complete(record: Any, provider: TracerProvider | None) -> None:
    try:
        keep = record.__dict__.setdefault
        span: Any = get_current().get(SPAN_KEY)
        context = None if span is None else span.get_span_context()
        if context is None or not context.is_valid:
            keep("trace_id", "")
            keep("span_id", "")
            keep("trace_sampled", False)
            keep("otelTraceID", "0")
            keep("otelSpanID", "0")
            keep("otelTraceSampled", False)
        else:
            trace_id, span_id = f"{context.trace_id:032x}", f"{context.span_id:016x}"
            sampled = context.trace_flags.sampled
            keep("trace_id", trace_id)
            keep("span_id", span_id)
            keep("trace_sampled", sampled)
            keep("otelTraceID", trace_id)
            keep("otelSpanID", span_id)
            keep("otelTraceSampled", sampled)
        # The public function looks into the environment at each call as long as there is no provider.
        asked = provider or TRACE_NAMES.get(GLOBAL_PROVIDER)
        known, service_name = _service
        if asked is not known:
            service_name = _learn_service_name(asked)
        keep("service_name", service_name)
        keep("otelServiceName", service_name)
    except Exception as error:
        guard.swallow("ids in a log record", error)


def _learn_service_name(provider: object) -> str:
    global _service
    resource = getattr(provider, "resource", None)
    name = "" if resource is None else str(resource.attributes.get("service.name") or "")
    _service = (provider, name)
    return name
