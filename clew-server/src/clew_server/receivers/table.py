"""The receivers there are, one line each. Loads nothing: a decoder is imported when its listener opens.

A new receiver is a file with its `ReceiverSpec` and a line here: docs/how-to/add-a-receiver.md.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from clew_server.receivers.contract import ReceiverSpec, Transport


class Line(NamedTuple):
    """One receiver."""

    name: str
    """As in `--receive`. Names that begin alike (`jaeger-http`, `jaeger-grpc`) can be named together (`jaeger`)."""
    transport: Transport
    default_port: int
    spec: str
    """`module:NAME` of its ReceiverSpec, below `clew_server.receivers`."""
    point_at: str
    """How to tell an agent to send here; `{address}`, `{host}` and `{port}` are those of the listener."""
    option: str = ""
    """The option that moves it; empty for what `--receive` opens."""

    def load(self) -> ReceiverSpec:
        """The spec, imported now."""
        module, _, name = self.spec.partition(":")
        spec: ReceiverSpec = getattr(importlib.import_module(f"clew_server.receivers.{module}"), name)
        return spec


RECEIVERS = (
    Line("otlp-grpc", "grpc", 4317, "otlp_receivers:OTLP_GRPC", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc OTEL_EXPORTER_OTLP_ENDPOINT=http://{address}", "--otlp-grpc-port"),
    Line("otlp-http", "http", 4318, "otlp_receivers:OTLP_HTTP", "OTEL_EXPORTER_OTLP_ENDPOINT={address}", "--otlp-http-port"),
    Line("zipkin", "http", 9411, "zipkin.receiver:ZIPKIN", "OTEL_EXPORTER_ZIPKIN_ENDPOINT={address}/api/v2/spans"),
    Line("jaeger-compact", "udp", 6831, "jaeger.specs:COMPACT", "JAEGER_AGENT_HOST={host} JAEGER_AGENT_PORT={port}"),
    Line("jaeger-binary", "udp", 6832, "jaeger.specs:BINARY", "JAEGER_AGENT_HOST={host} JAEGER_AGENT_PORT={port} (Node)"),
    Line("jaeger-http", "http", 14268, "jaeger.specs:HTTP", "JAEGER_ENDPOINT={address}/api/traces"),
    Line("jaeger-grpc", "grpc", 14250, "jaeger.specs:GRPC", "--reporter.grpc.host-port={address}"),
    Line("jaeger-sampling", "http", 5778, "jaeger.specs:SAMPLING", "JAEGER_SAMPLING_ENDPOINT={address}/sampling"),
    Line("opencensus", "grpc", 55678, "opencensus.specs:OPENCENSUS", "TraceExporter(endpoint='{address}')"),
    Line("skywalking-grpc", "grpc", 11800, "skywalking.specs:GRPC", "SW_AGENT_COLLECTOR_BACKEND_SERVICES={address}"),
    Line("skywalking-http", "http", 12800, "skywalking.specs:HTTP", "POST {address}/v3/segments (protocol http, backend services {host}:{port})"),
    Line("pinpoint", "grpc", 9991, "pinpoint.specs:COLLECTOR", "profiler.transport.grpc.collector.ip={host} (Node: PINPOINT_COLLECTOR_IP={host}); agent port {port}, stat and span the two behind it"),
    Line("pinpoint-json", "tcp", 9999, "pinpoint.specs:JSON", "pinpointPy: set_agent(ID, NAME, 'tcp:{address}')"),
    Line("datadog", "http", 8126, "datadog.specs:DATADOG", "DD_TRACE_AGENT_URL={address}"),
    Line("cat", "tcp", 2280, "cat.specs:CAT", "client.xml: server ip={host} port={port}, without the router"),
    Line("cat-router", "http", 8080, "cat.specs:ROUTER", "client.xml: server ip={host} http-port={port}; GET {address}/cat/s/router says where cat listens"),
    Line("sentry", "http", 8969, "sentry.specs:SENTRY", "SENTRY_DSN=http://KEY@{host}:{port}/1"),
    Line("sofatracer", "file", 0, "sofatracer.specs:SOFATRACER", "SOFATracer with logging.path above {address}"),
)  # fmt: skip

BY_NAME = {line.name: line for line in RECEIVERS}
OPTIONAL = {line.name: line for line in RECEIVERS if not line.option}
"""What `--receive` can name."""

_BY_DEFAULT = ("zipkin", "jaeger")


def named(name: str) -> tuple[Line, ...]:
    """The receivers that a name of `--receive` stands for; none for a name that there is not."""
    if name == "all":
        return tuple(line for line in OPTIONAL.values() if line.transport != "file")  # those need a folder
    if name in OPTIONAL:
        return (OPTIONAL[name],)
    return tuple(line for line in OPTIONAL.values() if line.name.startswith(name + "-"))


def names() -> str:
    """All that `--receive` understands, for a sentence."""
    groups = {line.name.partition("-")[0] for line in OPTIONAL.values()}
    return ", ".join(sorted(groups | set(OPTIONAL))) or "none but OTLP, which is always open"


def by_default() -> str:
    """What `--receive` is without being given."""
    return ",".join(name for name in _BY_DEFAULT if named(name)) or "none"


def pointed(line: Line, host: str, port: int = 0) -> str:
    """How to tell an agent to send to this receiver at `host`, at its default port or another."""
    if line.transport == "file":
        return line.point_at.format(address="FOLDER")
    at = f"{host}:{port or line.default_port}"
    address = f"http://{at}" if line.transport == "http" else at
    return line.point_at.format(address=address, host=host, port=port or line.default_port)
