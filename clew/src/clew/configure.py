"""The one place where recorder, propagation and `OTEL_*` variables meet: sets up tracing for a process."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from importlib.metadata import entry_points
from threading import Lock
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.trace import set_tracer_provider

from clew import environment, logs
from clew.environment import DEFAULT_ENDPOINT, headers_from_environment, traces_url, traces_url_from_environment
from clew.recorder.export.exporter import ConsoleExporter, Exporter, OtlpHttpExporter
from clew.recorder.export.fan_out import FanOut
from clew.recorder.export.file_exporter import FileExporter
from clew.recorder.export.pipeline import BatchOptions
from clew.recorder.limits import Limits
from clew.recorder.provider import TracerProvider
from clew.recorder.resource import UNKNOWN_SERVICE, default_resource
from clew.recorder.sampler import AlwaysOff, Sampler
from clew.replaceable import ReplaceableProvider

if TYPE_CHECKING:
    from opentelemetry.propagators.textmap import TextMapPropagator
    from opentelemetry.sdk.trace.export import SpanExporter

__all__ = [
    "DEFAULT_ENDPOINT",
    "DEFAULT_PROPAGATORS",
    "configure",
    "headers_from_environment",
    "shutdown",
    "traces_url",
    "traces_url_from_environment",
]

DEFAULT_PROPAGATORS: Final = ("tracecontext", "baggage", "kratos")
_GRPC_EXPORTER: Final = "opentelemetry.exporter.otlp.proto.grpc.trace_exporter"

_logger: Final = logging.getLogger("clew")
_lock: Final = Lock()
_provider: TracerProvider | None = None
# Whether the application's own call may replace the configuration without a warning.
_is_replaceable = False
_makes_replaceable = False
_REPLACED_TIMEOUT_S: Final = 1.0


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
    certificate_file: str | None = None,
    client_certificate_file: str | None = None,
    client_key_file: str | None = None,
    exit_timeout_s: float | None = None,
    exporter: Exporter | SpanExporter | None = None,
    span_limits: Limits | None = None,
    id_generator: Any = None,
    batch: BatchOptions | None = None,
    meter_provider: Any = None,
) -> TracerProvider:
    """Set the global tracer provider and propagators, and return the provider; call once, at the program's start.

    What is not given comes from the `OTEL_*` variables; one with a bad value is named in a warning and ignored.
    `endpoint` is the collector's base address for OTLP/HTTP, `/v1/traces` is appended unless it is there. `sampler`
    may be the SDK's, `None` is parent-based always on. `propagators` are names as in `OTEL_PROPAGATORS`. `exporter`
    replaces OTLP/HTTP. `timeout_s` bounds one request, `batch` the buffer and the rest of sending. `meter_provider`
    reads what became of the spans, by default the global one. `certificate_file` holds the authorities to trust over
    TLS, `client_certificate_file` and `client_key_file` what this process shows, all PEM. At exit what is left is
    sent, for `exit_timeout_s` at most, 5 s unless it is given.

    Raises RuntimeError when called twice, ValueError for an argument that cannot be meant.
    """
    global _provider, _is_replaceable
    with _lock:
        if _provider is not None and not _is_replaceable:
            raise RuntimeError("clew.configure() was called before; a process has one tracer provider")
        _set_log_level()
        environment.name_the_unknown()
        disabled = bool(environment.read("OTEL_SDK_DISABLED"))
        resource = default_resource(service_name, resource_attributes)
        if disabled:
            provider = TracerProvider(AlwaysOff(), resource, id_generator=id_generator, span_limits=span_limits)
        else:
            files = (certificate_file, client_certificate_file, client_key_file)
            exporters = (
                [exporter] if exporter is not None else _exporters(endpoint, headers, compression, timeout_s, files)
            )
            provider = TracerProvider(
                sampler,
                resource,
                id_generator=id_generator if id_generator is not None else _id_generator(),
                span_limits=span_limits,
                exporter=exporters[0] if exporters else None,
                batch=_batch_options(batch, timeout_s, exit_timeout_s),
                meter_provider=meter_provider,
            )
            for more in exporters[1:]:
                _add_sdk_exporter(provider, more)
        _set_propagators(propagators)
        _read_headers_natively()
        if not disabled:
            if resource.attributes["service.name"] == UNKNOWN_SERVICE and not _makes_replaceable:
                _logger.warning(
                    "clew: this service has no name and will be shown as %s; "
                    "give clew.configure(service_name=...) or OTEL_SERVICE_NAME",
                    UNKNOWN_SERVICE,
                )
            if _makes_replaceable:
                ReplaceableProvider(provider).install()
            else:
                set_tracer_provider(provider)
        logs.install_from_environment()
        replaced, _provider, _is_replaceable = _provider, provider, _makes_replaceable
    if replaced is not None:
        replaced.shutdown(_REPLACED_TIMEOUT_S)
    return provider


def configure_replaceably() -> None:
    """As `configure()`, for `clew run`: the application's own call replaces it, whenever it comes."""
    global _makes_replaceable
    _makes_replaceable = True
    try:
        configure()
    finally:
        _makes_replaceable = False


def shutdown(timeout_s: float = 5.0) -> None:
    """Send what is left, for `timeout_s` at most, and stop recording; nothing happens where nothing is configured."""
    if _provider is not None:
        _provider.shutdown(timeout_s)


def _set_log_level() -> None:
    level = environment.read("OTEL_LOG_LEVEL")
    # A level that the application has set for this logger is kept.
    if level is not None and _logger.level == logging.NOTSET:
        _logger.setLevel(level)


# -- exporters ----------------------------------------------------------------------------------------------------------


#: Authorities, the client's certificate, its key.
_Files = tuple[str | None, str | None, str | None]


def _exporters(
    endpoint: str | None,
    headers: Mapping[str, str] | None,
    compression: str | None,
    timeout_s: float | None,
    files: _Files,
) -> list[Any]:
    """What spans go to: at most one exporter of ours, which is the first, and any number of the SDK's."""
    merged = {**headers_from_environment(), **(headers or {})}
    if endpoint is not None:
        return [_http_exporter(traces_url(endpoint), merged, compression, files)]
    names = environment.read("OTEL_TRACES_EXPORTER") or ["otlp"]
    if "none" in names:
        return []
    ours: list[Exporter] = []
    foreign: list[SpanExporter] = []
    for name in names:
        if name == "console":
            ours.append(ConsoleExporter())
            continue
        if name == "otlp/stdout":
            ours.append(FileExporter("-"))
            continue
        protocol = _PROTOCOLS.get(name) or (environment.read_otlp("PROTOCOL") or "http/protobuf")
        if name not in ("otlp", *_PROTOCOLS):
            made = _installed("opentelemetry_traces_exporter", "OTEL_TRACES_EXPORTER", name)
        elif protocol == "grpc":
            made = _grpc_exporter(merged, compression, timeout_s)
        else:
            made = None
        if made is not None:
            foreign.append(made)
        elif name in ("otlp", *_PROTOCOLS):
            ours.insert(0, _http_exporter(traces_url_from_environment(), merged, compression, files))
    if not ours and not foreign:
        ours.append(_http_exporter(traces_url_from_environment(), merged, compression, files))
    if len(ours) > 1:
        ours = [FanOut(ours[0], ours[1:])]
    return [*ours, *foreign]


#: Names that the SDK has for its two exporters.
_PROTOCOLS: Final = {"otlp_proto_http": "http/protobuf", "otlp_proto_grpc": "grpc"}


def _http_exporter(url: str, headers: Mapping[str, str], compression: str | None, files: _Files) -> Exporter:
    authorities, certificate, key = files
    if certificate is None:
        # A key of the environment belongs to a certificate of the environment.
        certificate = environment.read_otlp("CLIENT_CERTIFICATE")
        key = key or (environment.read_otlp("CLIENT_KEY") if certificate is not None else None)
    return OtlpHttpExporter(
        url,
        headers=headers,
        compression=compression or environment.read_otlp("COMPRESSION") or "none",
        certificate_file=authorities or environment.read_otlp("CERTIFICATE"),
        client_certificate_file=certificate,
        client_key_file=key,
    )


def _grpc_exporter(headers: Mapping[str, str], compression: str | None, timeout_s: float | None) -> Any:
    """The SDK's exporter, which reads endpoint, certificates and so on itself; `None` where it is not installed."""
    try:
        exporter = import_module(_GRPC_EXPORTER).OTLPSpanExporter
        from grpc import Compression
    except ImportError:
        environment.ignore(
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            "grpc",
            "it needs the package opentelemetry-exporter-otlp-proto-grpc; spans are sent by http/protobuf",
        )
        return None
    chosen = compression or environment.read_otlp("COMPRESSION") or "none"
    return exporter(
        headers=tuple((key.lower(), value) for key, value in headers.items()),
        # The specification's milliseconds; the exporter itself would take the variable for seconds.
        timeout=timeout_s or (environment.read_otlp("TIMEOUT") or 10_000) / 1000,
        compression=Compression.Gzip if chosen == "gzip" else Compression.NoCompression,
    )


def _add_sdk_exporter(provider: TracerProvider, exporter: Any) -> None:
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider.add_span_processor(BatchSpanProcessor(exporter))


def _installed(group: str, variable: str, name: str) -> Any:
    """What is installed under an entry point's name, made without arguments; `None`, and a warning, if it cannot be."""
    found = entry_points(group=group)
    for entry in found:
        if entry.name.lower() == name:
            try:
                return entry.load()()
            except Exception as error:
                environment.ignore(variable, name, f"{entry.value} failed: {error!r}")
                return None
    known = ", ".join(sorted({entry.name for entry in found})) or "no other"
    environment.ignore(variable, name, f"nothing of this name is installed; {known} is")
    return None


# -- the rest -----------------------------------------------------------------------------------------------------------


def _batch_options(batch: BatchOptions | None, timeout_s: float | None, exit_timeout_s: float | None) -> BatchOptions:
    if batch is not None:
        chosen: dict[str, Any] = {"timeout_s": timeout_s} if timeout_s else {}
        if exit_timeout_s is not None:
            chosen["exit_timeout_s"] = exit_timeout_s
        return replace(batch, **chosen) if chosen else batch
    default = BatchOptions()
    delay_ms = environment.read("OTEL_BSP_SCHEDULE_DELAY")
    retry_for_ms = environment.read("OTEL_BSP_EXPORT_TIMEOUT")
    max_queue_spans = environment.read("OTEL_BSP_MAX_QUEUE_SIZE") or default.max_queue_spans
    return BatchOptions(
        schedule_delay_s=default.schedule_delay_s if delay_ms is None else delay_ms / 1000,
        max_queue_spans=max_queue_spans,
        max_batch_spans=min(
            environment.read("OTEL_BSP_MAX_EXPORT_BATCH_SIZE") or default.max_batch_spans, max_queue_spans
        ),
        # In milliseconds, as the specification has it.
        timeout_s=timeout_s or (environment.read_otlp("TIMEOUT") or default.timeout_s * 1000) / 1000,
        retry_for_s=default.retry_for_s if retry_for_ms is None else retry_for_ms / 1000,
        exit_timeout_s=default.exit_timeout_s if exit_timeout_s is None else exit_timeout_s,
    )


def _id_generator() -> Any:
    for variable in ("OTEL_PYTHON_ID_GENERATOR", "OTEL_ID_GENERATOR"):
        name = environment.read(variable)
        if name:
            # "random" is built in.
            return None if name == "random" else _installed("opentelemetry_id_generator", variable, name)
    return None


def _set_propagators(names: Sequence[str] | None) -> None:
    set_global_textmap = _import_set_global_textmap()
    from clew.propagation import propagators_from_names

    if names is not None:
        set_global_textmap(propagators_from_names(list(names)))
        return
    known = []
    for name in environment.read("OTEL_PROPAGATORS") or ():
        try:
            propagators_from_names([name])
            known.append(name)
        except Exception as error:  # unknown, or installed and failing
            environment.ignore("OTEL_PROPAGATORS", name, str(error))
    set_global_textmap(propagators_from_names(known or list(DEFAULT_PROPAGATORS)))


def _read_headers_natively() -> None:
    """Read the headers of requests in C where spans are recorded in C."""
    from clew.carriers import native
    from clew.recorder import _select

    if _select.selected.name == "native":
        from clew.recorder import _fast

        native.use(_fast)
    else:
        native.use(None)


def _import_set_global_textmap() -> Callable[[TextMapPropagator], None]:
    # The first import of this module builds what OTEL_PROPAGATORS names and raises for a name it does not know.
    with environment.without("OTEL_PROPAGATORS"):
        from opentelemetry.propagate import set_global_textmap
    return set_global_textmap


class _CallableModule(ModuleType):
    """Importing this module binds `clew.configure` to it, and `clew.configure(...)` must still be the function."""

    def __call__(self, *args: Any, **kwargs: Any) -> TracerProvider:
        return configure(*args, **kwargs)


sys.modules[__name__].__class__ = _CallableModule
