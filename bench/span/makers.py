"""The contestants, each as something that makes spans; runs in the contestant's own interpreter, so stdlib only here.

The standard span: started by name, four attributes, current while it lasts, ended. Attributes are set one by one on
the span, as instrumentations do.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

NAME = "GET /users/{id}"


@dataclass
class Maker:
    """One contestant, ready. `make(n)` makes n spans on the calling thread."""

    make: Callable[[int], None]
    flush: Callable[[], Any]
    shutdown: Callable[[], Any]
    one: Callable[[int], None]
    """Makes one span, for timing each of them."""
    counts: Callable[[], Any] = dict
    """What the contestant itself says it recorded, sent and dropped, if it does."""


@dataclass(frozen=True)
class Wish:
    """What is asked of a contestant."""

    http: str
    """Base address of the collector."""
    grpc: str
    compression: str = "none"
    """`none`, `gzip`."""
    mode: str = "standard"
    """`standard`; `parent` (an unsampled remote parent); `ratio` (a root that the ratio sampler drops);
    `observed` (a SpanProcessor of the SDK attached besides); `no-exporter`; `null-exporter`."""
    max_queue_spans: int = 0
    """0 leaves the contestant's default."""


def build(name: str, wish: Wish) -> Maker:
    """The contestant of that name. Raises ImportError where it is not installed, ValueError for what it cannot do."""
    return _BUILDERS[name](wish)


# -- those that implement the OpenTelemetry API -----------------------------------------------------------------------


def _api_maker(tracer: Any, flush: Callable[[], Any], shutdown: Callable[[], Any], wish: Wish) -> Maker:
    def one(number: int) -> None:
        with tracer.start_as_current_span(NAME) as span:
            span.set_attribute("http.request.method", "GET")
            span.set_attribute("http.route", "/users/{id}")
            span.set_attribute("http.response.status_code", 200)
            span.set_attribute("user.id", f"user-{number}")

    def make(count: int) -> None:
        for number in range(count):
            with tracer.start_as_current_span(NAME) as span:
                span.set_attribute("http.request.method", "GET")
                span.set_attribute("http.route", "/users/{id}")
                span.set_attribute("http.response.status_code", 200)
                span.set_attribute("user.id", f"user-{number}")

    if wish.mode != "parent":
        return Maker(make, flush, shutdown, one)

    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, use_span

    remote = SpanContext(0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331, True, TraceFlags(0))

    def under_a_parent(count: int) -> None:
        with use_span(NonRecordingSpan(remote)):
            make(count)

    return Maker(under_a_parent, flush, shutdown, one)


def _noop(wish: Wish) -> Maker:
    from opentelemetry.trace import NoOpTracerProvider

    return _api_maker(NoOpTracerProvider().get_tracer("bench"), _nothing, _nothing, wish)


def _empty(wish: Wish) -> Maker:
    """No span at all: what the clock, the loop and the machine cost by themselves."""

    def make(count: int) -> None:
        for _ in range(count):
            pass

    return Maker(make, _nothing, _nothing, lambda number: None)


def _nothing() -> None:
    """For contestants that have nothing to flush."""


class _DeadEnd:
    """An exporter that has delivered before it began."""

    def export(self, request: bytes, timeout_s: float) -> Any:
        from clew.recorder.export.exporter import Outcome

        return Outcome("delivered")

    def forget(self) -> None:
        """Nothing to forget."""

    def close(self) -> None:
        """Nothing to close."""


def _clew(wish: Wish) -> Maker:
    from clew.recorder import _select

    wanted = os.environ.get("CLEW_RECORDER")
    if wanted and wanted != _select.selected.name:
        raise ImportError(f"{_select.selected.name} is what there is, not {wanted}: {_select.reason}")
    from clew.recorder.export.exporter import OtlpHttpExporter
    from clew.recorder.export.pipeline import BatchOptions
    from clew.recorder.provider import TracerProvider

    sampler = None
    if wish.mode == "ratio":
        from clew.recorder.sampler import ParentBased, TraceIdRatio

        sampler = ParentBased(TraceIdRatio(0.0))
    exporter: Any = OtlpHttpExporter(wish.http + "/v1/traces", compression=wish.compression)
    if wish.mode == "null-exporter":
        exporter = _DeadEnd()
    elif wish.mode == "no-exporter":
        exporter = None
    batch = BatchOptions()
    if wish.max_queue_spans:
        batch = BatchOptions(max_queue_spans=wish.max_queue_spans, max_queue_bytes=wish.max_queue_spans * 1024)
    provider = TracerProvider(resource={"service.name": "bench"}, sampler=sampler, exporter=exporter, batch=batch)
    if wish.mode == "observed":
        from opentelemetry.sdk.trace import SpanProcessor

        provider.add_span_processor(SpanProcessor())
    maker = _api_maker(provider.get_tracer("bench"), provider.force_flush, provider.shutdown, wish)
    maker.counts = provider.stats
    return maker


def _sdk_provider(wish: Wish) -> Any:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    sampler = ParentBased(TraceIdRatioBased(0.0)) if wish.mode == "ratio" else None
    provider = TracerProvider(resource=Resource.create({"service.name": "bench"}), sampler=sampler)
    if wish.mode == "observed":
        provider.add_span_processor(SpanProcessor())
    return provider


def _sdk(wish: Wish, exporter: Callable[[], Any]) -> Maker:
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = _sdk_provider(wish)
    if wish.mode != "no-exporter":
        queue = {"max_queue_size": wish.max_queue_spans} if wish.max_queue_spans else {}
        provider.add_span_processor(BatchSpanProcessor(exporter(), **queue))
    return _api_maker(provider.get_tracer("bench"), provider.force_flush, provider.shutdown, wish)


def _sdk_http(wish: Wish) -> Maker:
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    compression = Compression.Gzip if wish.compression == "gzip" else Compression.NoCompression
    return _sdk(wish, lambda: OTLPSpanExporter(endpoint=wish.http + "/v1/traces", compression=compression))


def _sdk_grpc(wish: Wish) -> Maker:
    from grpc import Compression
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    compression = Compression.Gzip if wish.compression == "gzip" else Compression.NoCompression
    return _sdk(wish, lambda: OTLPSpanExporter(endpoint=wish.grpc, insecure=True, compression=compression))


def _fastotel(wish: Wish) -> Maker:
    from fastotel import OTLPSpanProcessor

    provider = _sdk_provider(wish)
    queue = {"max_queue_size": wish.max_queue_spans} if wish.max_queue_spans else {}
    provider.add_span_processor(
        OTLPSpanProcessor(endpoint=wish.http + "/v1/traces", compression=wish.compression, **queue)
    )
    return _api_maker(provider.get_tracer("bench"), provider.force_flush, provider.shutdown, wish)


# It cannot be flushed, so its queue has to hold a whole run.
_HONEYCOMB_CONFIG = """\
file_format: "1.0"
resource:
  attributes: [{{name: service.name, value: bench}}]
tracer_provider:
  sampler:
    parent_based:
      root: {{{root}}}
  processors:
    - batch:
        max_queue_size: {queue}
        exporter:
          otlp_http:
            endpoint: {endpoint}
            compression: {compression}
"""


def _honeycomb(wish: Wish) -> Maker:
    import honeycomb_pycpp

    root = "trace_id_ratio_based: {ratio: 0.0}" if wish.mode == "ratio" else "always_on:"
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(
            _HONEYCOMB_CONFIG.format(
                root=root,
                queue=wish.max_queue_spans or 1_000_000,
                endpoint=wish.http + "/v1/traces",
                compression=wish.compression,
            )
        )
        file.flush()
        sdk = honeycomb_pycpp.SDK(file.name)
    if sdk.tracer_provider is None:
        raise ValueError("honeycomb-pycpp did not accept its configuration")
    return _api_maker(sdk.tracer_provider.get_tracer("bench"), _nothing, sdk.shutdown, wish)


# -- those with an API of their own -----------------------------------------------------------------------------------


def _pytracingx(wish: Wish) -> Maker:
    import pytracingx

    _only_standard(wish)
    compression = pytracingx.RawOtlp(compression=wish.compression) if wish.compression != "none" else None
    sink = pytracingx.TraceSink(
        endpoint=wish.http + "/v1/traces",
        protocol="http/protobuf",
        batch_max_queue=wish.max_queue_spans or None,
        raw_otlp=compression,
    )
    pytracingx.init(pytracingx.Config(service_name="bench", console_output=False, sinks=[sink]))
    start_span = pytracingx.start_span

    def make(count: int) -> None:
        for number in range(count):
            with start_span(NAME) as span:
                span.set_attribute("http.request.method", "GET")
                span.set_attribute("http.route", "/users/{id}")
                span.set_attribute("http.response.status_code", 200)
                span.set_attribute("user.id", f"user-{number}")

    return Maker(make, pytracingx.force_flush, pytracingx.shutdown, lambda number: make(1))


def _ddtrace(wish: Wish) -> Maker:
    _only_standard(wish)
    if wish.compression != "none":
        raise ValueError("ddtrace sends its traces to the agent uncompressed")
    # What is no span stays at home: telemetry about itself, remote configuration, statistics for the agent's metrics.
    for variable in ("DD_INSTRUMENTATION_TELEMETRY_ENABLED", "DD_REMOTE_CONFIGURATION_ENABLED"):
        os.environ[variable] = "false"
    os.environ["DD_TRACE_AGENT_URL"] = wish.http
    os.environ["DD_SERVICE"] = "bench"
    from ddtrace.trace import tracer

    def make(count: int) -> None:
        for number in range(count):
            with tracer.trace(NAME) as span:
                span.set_tag("http.request.method", "GET")
                span.set_tag("http.route", "/users/{id}")
                span.set_tag("http.response.status_code", 200)
                span.set_tag("user.id", f"user-{number}")

    return Maker(make, tracer.flush, tracer.shutdown, lambda number: make(1))


def _only_standard(wish: Wish) -> None:
    if wish.mode != "standard":
        raise ValueError(f"measured with the standard span only, not {wish.mode}")


_BUILDERS: dict[str, Callable[[Wish], Maker]] = {
    "clew": _clew,
    "empty": _empty,
    "noop": _noop,
    "sdk-http": _sdk_http,
    "sdk-grpc": _sdk_grpc,
    "honeycomb": _honeycomb,
    "fastotel": _fastotel,
    "pytracingx": _pytracingx,
    "ddtrace": _ddtrace,
}
