"""Spans and logs that an SDK sends as they end, many in one item, each with typed attributes. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from clew.otlp import encode
from clew.otlp import fields as f
from clew_server.model.fragments import belongs_to_a_span, write_fragment
from clew_server.receivers.foreign.conventions import CLIENT, PRODUCER, Value
from clew_server.receivers.sentry.meaning import kind_of, severity_of
from clew_server.receivers.sentry.process import of_streamed
from clew_server.receivers.sentry.spans import times_of, write
from clew_server.receivers.sentry.values import Malformed, id_of, map_of, ns_of, put, put_all, text_of

_OF_SPANS: Final = frozenset(
    (
        *("trace_id", "span_id", "parent_span_id", "name", "status", "start_timestamp", "end_timestamp", "attributes"),
        *("links", "kind"),
    )
)


def attributes_of(found: Any) -> dict[str, Value]:
    """Attributes, each an object with its type and its value."""
    items: dict[str, Value] = {}
    for key, one in map_of(found).items():
        put(items, key, one["value"] if isinstance(one, dict) and "value" in one else one)
    return items


def streamed_span(raw: Any, parts: Mapping[str, str]) -> tuple[dict[str, Value], bytes]:
    """The resource of a streamed span, and the span. Raises Malformed."""
    if not isinstance(raw, dict):
        raise Malformed("malformed")
    items = attributes_of(raw.get("attributes"))
    resource = of_streamed(items, parts)
    op, status = text_of(items.get("sentry.op")), text_of(raw.get("status"))
    put(items, "sentry.kind", raw.get("kind"))
    said = dict(items)
    if kind_of(op, said) not in (CLIENT, PRODUCER) or "url.full" in items:
        # The SDK writes the name of its own host there, where no instrumentation has written the other side's.
        put(resource, "host.name", items.pop("server.address", None))
    put(items, "sentry.status", status or None)
    put_all(items, "sentry.", raw, without=_OF_SPANS)
    times = times_of(raw.get("start_timestamp"), raw.get("end_timestamp"), items)
    # A streamed span is `ok` from its beginning without the application having said so.
    status = "" if status == "ok" else status
    return resource, write(raw, "", op, text_of(raw.get("name")), status, items, times, [])


def streamed_log(raw: Any, parts: Mapping[str, str]) -> tuple[dict[str, Value], bytes] | None:
    """The resource of a log and the fragment that it is; None where it belongs to no span, by the rule for logs in OTLP."""
    if not isinstance(raw, dict):
        raise Malformed("log_record")
    items = attributes_of(raw.get("attributes"))
    record = LogRecord(
        trace_id=id_of(raw.get("trace_id"), 16) or b"",
        span_id=id_of(raw.get("span_id") or items.get("sentry.trace.parent_span_id"), 8) or b"",
        time_unix_nano=ns_of(raw.get("timestamp")) or 0,
        event_name=_text(items.pop("event.name", "")),
    )
    has_exception = any(key.startswith("exception.") for key in items)
    if not record.event_name and not has_exception:
        return None
    resource = of_streamed(items, parts)
    put(resource, "host.name", items.pop("server.address", None))
    level = text_of(raw.get("level"))
    items.pop("sentry.severity_text", None)
    number = items.pop("sentry.severity_number", severity_of(level))
    record.severity_number = number if isinstance(number, int) and 0 <= number <= 24 else 0  # type: ignore[assignment]
    record.severity_text = _text(level)
    if isinstance(raw.get("body"), str):
        record.body.string_value = _text(raw["body"])
    for key, value in items.items():
        record.attributes.add().ParseFromString(encode.key_value(_text(key), _plain(value)))
    if not belongs_to_a_span(record):
        return None
    fragment = Span()
    write_fragment(fragment, record, "")
    return resource, encode.delimited(f.SCOPE_SPANS_SPANS, fragment.SerializeToString())


def _text(value: Any) -> str:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def _plain(value: Value) -> Value:
    if isinstance(value, str):
        return _text(value)
    return tuple(map(_text, value)) if isinstance(value, tuple) else value
