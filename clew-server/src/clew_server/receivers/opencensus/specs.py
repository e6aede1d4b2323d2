"""The OpenCensus agent's listener. No I/O."""

from __future__ import annotations

from typing import Final

from clew_server.receivers.contract import Head, Limits, Other, ReceiverSpec, Stream
from clew_server.receivers.opencensus.export import MessageDecoder, decode_export

_TRACES: Final = "/opencensus.proto.agent.trace.v1.TraceService/"
_METRICS: Final = "/opencensus.proto.agent.metrics.v1.MetricsService/"
EXPORT: Final = _TRACES + "Export"
EXPORT_ONE: Final = _TRACES + "ExportOne"
CONFIG: Final = _TRACES + "Config"
EXPORT_METRICS: Final = _METRICS + "Export"
EXPORT_ONE_METRICS: Final = _METRICS + "ExportOne"


def _remembering(head: Head) -> MessageDecoder:
    return MessageDecoder()


OPENCENSUS: Final = ReceiverSpec(
    name="opencensus",
    transport="grpc",
    default_port=55678,
    decode=decode_export,
    paths=(EXPORT_ONE,),
    streams={
        # No answer to each message: the exporters read none, and a stream whose answers are not read stops one day.
        # It stays open after a message that cannot be read: Java's exporter connects anew after five minutes only.
        EXPORT: Stream(keep_open=True, decoder=_remembering),
    },
    others={
        # Nothing is to be configured. A client that waits for an answer has sent all (Python); one that keeps the call open
        # answers each message with its own configuration (Java).
        CONFIG: Other(kind="config"),
        EXPORT_METRICS: Other(kind="metrics"),
        EXPORT_ONE_METRICS: Other(kind="metrics"),
    },
    limits=Limits(idle_s=600.0, stream_idle_s=86_400.0),
)
