"""An exporter of OpenCensus: its finished spans, with the ids they have, among those a provider of clew sends.

For applications that keep OpenCensus' own tracer and samplers and changes nothing but where spans go.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from opencensus.trace.base_exporter import Exporter as CensusExporter
from opentelemetry import trace

from clew import guard
from clew.otlp import encode
from clew.recorder.provider import TracerProvider
from clew.semconv import GRPC_CODES

SCOPE: Final = "clew.opencensus"
LINK_TYPES: Final = {1: "child", 2: "parent"}
MESSAGE_TYPES: Final = {1: "SENT", 2: "RECEIVED"}
# Kinds as OTLP counts, from OpenCensus' 1 server and 2 client.
_INTERNAL: Final = 1
_KINDS: Final = {1: 2, 2: 3}
_ERROR: Final = 2
_FLAGS_SAMPLED: Final = 0x001
_FLAGS_REMOTE_KNOWN: Final = 0x100
_FLAGS_REMOTE: Final = 0x200


class Exporter(CensusExporter):  # type: ignore[misc]  # the package has no types
    """`opencensus.trace.tracer.Tracer(exporter=clew.opencensus.Exporter())`; never blocks and never raises."""

    def __init__(self, tracer_provider: TracerProvider | None = None) -> None:
        """The global provider, at the moment of each export, without one; it must be clew's.

        Raises TypeError for any other provider, since those take no spans that have ended already.
        """
        if tracer_provider is not None and not hasattr(tracer_provider, "add_encoded_span"):
            raise TypeError(
                f"spans that have ended go to clew.TracerProvider only, not {type(tracer_provider).__name__}"
            )
        self._provider = tracer_provider

    def export(self, span_datas: Iterable[Any]) -> None:
        """Add finished spans to the provider's next batch."""
        self.emit(span_datas)

    def emit(self, span_datas: Iterable[Any]) -> None:
        """As `export`."""
        provider: Any = self._provider or trace.get_tracer_provider()
        add = getattr(provider, "add_encoded_span", None)
        if add is None:
            return
        for data in span_datas:
            try:
                add(SCOPE, encoded(data))
            except Exception as failure:
                guard.swallow("exporting a span of OpenCensus", failure)


def encoded(data: Any) -> bytes:
    """A SpanData of OpenCensus as an element of ScopeSpans.spans. Raises ValueError for ids that are none."""
    context = data.context
    state = ",".join(f"{key}={value}" for key, value in (context.tracestate or {}).items())
    attributes = {str(key): _value(value) for key, value in (data.attributes or {}).items() if value is not None}
    code, message = 0, ""
    status = data.status
    if status is not None and not status.is_ok:
        code, name = _ERROR, code_name(status.canonical_code)
        message = str(status.description or name)
        attributes["error.type"] = name
    flags = _FLAGS_SAMPLED | _FLAGS_REMOTE_KNOWN
    if data.same_process_as_parent_span is False:
        flags |= _FLAGS_REMOTE
    events = [
        *(
            encode.event(time_ns(note.timestamp), str(note.description), items_of(note.attributes))
            for note in data.annotations or ()
        ),
        *(encode.event(time_ns(one.timestamp), "message", message_items(one)) for one in data.message_events or ()),
    ]
    links = [
        encode.link(int(one.trace_id, 16), int(one.span_id, 16), "", link_items(one), 0, _FLAGS_REMOTE_KNOWN)
        for one in data.links or ()
    ]
    return encode.span_in_scope(
        int(context.trace_id, 16),
        int(data.span_id, 16),
        state,
        int(data.parent_span_id, 16) if data.parent_span_id else 0,
        str(data.name),
        _KINDS.get(data.span_kind, _INTERNAL),
        time_ns(data.start_time),
        time_ns(data.end_time),
        attributes,
        getattr(data.attributes, "dropped", 0) or 0,
        encode.span_events(events, 0) if events else b"",
        encode.span_links(links, 0) if links else b"",
        code,
        message,
        flags,
    )


def code_name(code: Any) -> str:
    """`NOT_FOUND` for 5; the number itself for others."""
    # A status of OpenCensus is one of google.rpc, as gRPC's are.
    return GRPC_CODES[code] if isinstance(code, int) and 0 <= code < len(GRPC_CODES) else str(code)


def items_of(attributes: Any) -> dict[str, Any]:
    """The items of OpenCensus' attributes, or of a mapping."""
    items = getattr(attributes, "attributes", attributes) or {}
    return {str(key): _value(value) for key, value in items.items() if value is not None}


def message_items(event: Any) -> dict[str, Any]:
    """The attributes of a message event; sizes in bytes."""
    details = {
        "message.type": MESSAGE_TYPES.get(event.type),
        "message.id": event.id,
        "message.uncompressed_size": event.uncompressed_size_bytes,
        "message.compressed_size": event.compressed_size_bytes,
    }
    return {key: value for key, value in details.items() if value is not None}


def link_items(link: Any) -> dict[str, Any]:
    """A link's attributes, and which way it points."""
    items = items_of(link.attributes)
    if link.type in LINK_TYPES:
        items["opencensus.link_type"] = LINK_TYPES[link.type]
    return items


def time_ns(text: str) -> int:
    """OpenCensus keeps times as `2026-11-24T12:00:00.000001Z`; ns since the epoch."""
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    since = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000


def _value(value: Any) -> Any:
    return value if isinstance(value, (str, bool, int, float)) else str(value)
