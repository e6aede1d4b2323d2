"""The one place where recorder, propagation and `OTEL_*` variables meet: sets up tracing for a process."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit

from opentelemetry.trace import set_tracer_provider

from clew.recorder.exporter import ConsoleExporter, Exporter, OtlpHttpExporter
from clew.recorder.limits import Limits
from clew.recorder.pipeline import BatchOptions
from clew.recorder.provider import TracerProvider
from clew.recorder.resource import UNKNOWN_SERVICE, default_resource
from clew.recorder.sampler import AlwaysOff, Sampler, sampler_from_name

if TYPE_CHECKING:
    from opentelemetry.propagators.textmap import TextMapPropagator
    from opentelemetry.sdk.trace.export import SpanExporter

DEFAULT_ENDPOINT: Final = "http://localhost:4318"
DEFAULT_PROPAGATORS: Final = ("tracecontext", "baggage", "kratos")

_logger: Final = logging.getLogger("clew")
_lock: Final = Lock()
_provider: TracerProvider | None = None
_T = TypeVar("_T")


def configure(
    service_name: str | None = None,
    endpoint: str | None = None,
    resource_attributes: Mapping[str, Any] | None = None,
    sampler: Sampler | None = None,
    propagators: Sequence[str] | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
    compression: str | None = None,
    exporter: Exporter | SpanExporter | None = None,
    span_limits: Limits | None = None,
    id_generator: Any = None,
) -> TracerProvider:
    """Set the global tracer provider and propagators, and return the provider; call once, at the program's start.

    What is not given comes from the `OTEL_*` variables; one with a bad value is named in a warning and ignored.
    `endpoint` is the collector's base address, `/v1/traces` is appended unless it is there. `sampler` may be the
    SDK's, `None` is parent-based always on. `propagators` are names as in `OTEL_PROPAGATORS`. `exporter` replaces
    OTLP/HTTP. `timeout_s` bounds one request. At exit what is left is sent, for 5 s at most.

    Raises RuntimeError when called twice, ValueError for an argument that cannot be meant.
    """
    global _provider
    with _lock:
        if _provider is not None:
            raise RuntimeError("clew.configure() was called before; a process has one tracer provider")
        disabled = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
        resource = default_resource(service_name, resource_attributes)
        if disabled:
            provider = TracerProvider(resource, AlwaysOff(), span_limits, id_generator)
        else:
            if exporter is None:
                exporter = _exporter(endpoint, headers, compression)
            provider = TracerProvider(
                resource,
                sampler if sampler is not None else _sampler_from_environment(),
                span_limits,
                id_generator,
                exporter,
                batch=_batch_options(timeout_s),
            )
        _set_propagators(propagators)
        if not disabled:
            if resource.attributes["service.name"] == UNKNOWN_SERVICE:
                _logger.warning(
                    "clew: this service has no name and will be shown as %s; "
                    "give clew.configure(service_name=...) or OTEL_SERVICE_NAME",
                    UNKNOWN_SERVICE,
                )
            set_tracer_provider(provider)
        _provider = provider
        return provider


def shutdown(timeout_s: float = 5.0) -> None:
    """Send what is left, for `timeout_s` at most, and stop recording; nothing happens where nothing is configured."""
    if _provider is not None:
        _provider.shutdown(timeout_s)


def traces_url(endpoint: str) -> str:
    """The address to POST traces to, of a collector's base address. Raises ValueError if it is no http address."""
    parts = urlsplit(endpoint.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"endpoint {endpoint!r} is not an address such as {DEFAULT_ENDPOINT}")
    path = parts.path.rstrip("/")
    if not path.endswith("/v1/traces"):
        path += "/v1/traces"
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def traces_url_from_environment() -> str:
    """The address to POST traces to as `OTEL_EXPORTER_OTLP_*ENDPOINT` say; this machine by default."""
    exact = _read("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", _exact_url)
    return exact or _read("OTEL_EXPORTER_OTLP_ENDPOINT", traces_url) or traces_url(DEFAULT_ENDPOINT)


def headers_from_environment() -> dict[str, str]:
    """Headers as `OTEL_EXPORTER_OTLP_TRACES_HEADERS` says, or `OTEL_EXPORTER_OTLP_HEADERS`."""
    return _read_otlp("HEADERS", _headers) or {}


def _exact_url(text: str) -> str:
    # The specification: the variable for traces is the whole address; only a missing path becomes "/".
    traces_url(text)
    return text


def _exporter(
    endpoint: str | None, headers: Mapping[str, str] | None, compression: str | None
) -> Exporter | SpanExporter | None:
    kind = os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if endpoint is None and kind == "none":
        return None
    if endpoint is None and kind == "console":
        return ConsoleExporter()
    if endpoint is None and kind not in ("", "otlp"):
        _ignore("OTEL_TRACES_EXPORTER", kind, "otlp, console or none are known")
    protocol = _read_otlp("PROTOCOL", str)
    if protocol not in (None, "http/protobuf"):
        _ignore("OTEL_EXPORTER_OTLP_PROTOCOL", protocol, "clew sends http/protobuf")
    merged = headers_from_environment()
    merged.update(headers or {})
    return OtlpHttpExporter(
        traces_url(endpoint) if endpoint is not None else traces_url_from_environment(),
        headers=merged,
        compression=compression or _read_otlp("COMPRESSION", _compression) or "none",
        certificate_file=_read_otlp("CERTIFICATE", _readable_file),
    )


def _batch_options(timeout_s: float | None) -> BatchOptions:
    default = BatchOptions()
    delay_ms = _read("OTEL_BSP_SCHEDULE_DELAY", _count)
    return BatchOptions(
        schedule_delay_s=default.schedule_delay_s if delay_ms is None else delay_ms / 1000,
        max_queue_spans=_read("OTEL_BSP_MAX_QUEUE_SIZE", _positive) or default.max_queue_spans,
        max_batch_spans=_read("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", _positive) or default.max_batch_spans,
        # In milliseconds, as the specification has it.
        timeout_s=timeout_s or (_read_otlp("TIMEOUT", _positive) or default.timeout_s * 1000) / 1000,
    )


def _sampler_from_environment() -> Sampler | None:
    name = os.environ.get("OTEL_TRACES_SAMPLER", "").strip().lower()
    if not name:
        return None
    argument = os.environ.get("OTEL_TRACES_SAMPLER_ARG", "").strip()
    try:
        return sampler_from_name(name, argument)
    except ValueError as error:
        _ignore("OTEL_TRACES_SAMPLER", f"{name} {argument}".strip(), str(error))
        return None


def _set_propagators(names: Sequence[str] | None) -> None:
    set_global_textmap = _import_set_global_textmap()
    from clew.propagation import propagators_from_names

    if names is not None:
        set_global_textmap(propagators_from_names(list(names)))
        return
    wanted = [name.strip() for name in os.environ.get("OTEL_PROPAGATORS", "").split(",") if name.strip()]
    if wanted:
        try:
            set_global_textmap(propagators_from_names(wanted))
            return
        except ValueError as error:
            _ignore("OTEL_PROPAGATORS", ",".join(wanted), str(error))
    set_global_textmap(propagators_from_names(list(DEFAULT_PROPAGATORS)))


def _import_set_global_textmap() -> Callable[[TextMapPropagator], None]:
    # The first import of this module builds what OTEL_PROPAGATORS names and raises for a name it does not know.
    wanted = os.environ.pop("OTEL_PROPAGATORS", None)
    try:
        from opentelemetry.propagate import set_global_textmap
    finally:
        if wanted is not None:
            os.environ["OTEL_PROPAGATORS"] = wanted
    return set_global_textmap


def _read(variable: str, parse: Callable[[str], _T]) -> _T | None:
    text = os.environ.get(variable, "").strip()
    if not text:
        return None
    try:
        return parse(text)
    except (ValueError, OSError) as error:
        _ignore(variable, text, str(error))
        return None


def _read_otlp(name: str, parse: Callable[[str], _T]) -> _T | None:
    specific = _read(f"OTEL_EXPORTER_OTLP_TRACES_{name}", parse)
    return specific if specific is not None else _read(f"OTEL_EXPORTER_OTLP_{name}", parse)


def _ignore(variable: str, value: object, reason: str) -> None:
    _logger.warning("clew: %s=%s is ignored: %s", variable, value, reason)


def _count(text: str) -> int:
    if not text.isdecimal():
        raise ValueError("a whole number is wanted")
    return int(text)


def _positive(text: str) -> int:
    if _count(text) == 0:
        raise ValueError("a number above 0 is wanted")
    return int(text)


def _compression(text: str) -> str:
    if text not in ("none", "gzip"):
        raise ValueError("none or gzip are known")
    return text


def _readable_file(path: str) -> str:
    with open(path, "rb"):
        return path


def _headers(text: str) -> dict[str, str]:
    result: dict[str, str] = {}
    for item in filter(None, map(str.strip, text.split(","))):
        key, equals, value = item.partition("=")
        if not equals or not key.strip():
            raise ValueError("key=value,key=value is wanted")
        result[unquote(key.strip())] = unquote(value.strip())
    return result


class _CallableModule(ModuleType):
    """Importing this module binds `clew.configure` to it, and `clew.configure(...)` must still be the function."""

    def __call__(self, *args: Any, **kwargs: Any) -> TracerProvider:
        return configure(*args, **kwargs)


sys.modules[__name__].__class__ = _CallableModule
