"""What the server says of itself, one value: `/api/v1/status`, its description, `/metrics` and `clew receivers` are made of it.

A field added here is in all of them: its type makes the schema, `counter` or `gauge` the metric. A leaf module.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

MetricKind = Literal["counter", "gauge"]


def _counter(help_text: str, label: str = "") -> Any:
    return field(metadata={"metric": ("counter", help_text, label)})


def _gauge(help_text: str, label: str = "") -> Any:
    return field(metadata={"metric": ("gauge", help_text, label)})


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverStatus:
    """One receiver, open or not."""

    name: str
    transport: str
    address: str
    state: Literal["open", "off", "failed"]
    option: str
    """What on the command line opens or moves it."""
    point_at: str
    """How to tell an agent to send here; empty while it is not open."""
    connections: int
    spans: int = _counter("Spans acknowledged, by receiver", "receiver")
    refused_requests: int = _counter("Requests refused, by receiver", "receiver")
    dropped_datagrams: int = _counter("Datagrams that came and could not be kept, by receiver", "receiver")
    files: int = _gauge("Files that are followed, by receiver", "receiver")
    dropped: Mapping[str, int] = _counter(
        "What was well formed, acknowledged and not kept, by receiver and kind", "receiver,kind"
    )
    unnamed_spans: int = _counter(
        "Spans that refer by number to names their agent had not said: until it does, nothing shows or finds these names",
        "receiver",
    )
    last_error: str | None
    last_client: str | None
    last_seen_unix_nano: int | None

    def as_json(self) -> dict[str, Any]:
        """One of the status's `receivers`."""
        return typing.cast("dict[str, Any]", _as_json(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class TroubleStatus:
    """One kind of trouble that lasts."""

    what: str
    since_unix_nano: int
    last_unix_nano: int
    count: int
    message: str

    def as_json(self) -> dict[str, Any]:
        """One of the status's `troubles`."""
        return typing.cast("dict[str, Any]", _as_json(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Counters since the start, figures of now. Times are ns since the epoch."""

    version: str
    started_unix_nano: int
    accepted_spans: int = _counter("Spans acknowledged since start")
    stored_spans: int = _gauge("Spans in the store")
    rejected_spans: Mapping[str, int] = _counter("Spans refused in accepted requests, by reason", "reason")
    dropped_signals: Mapping[str, int] = _counter("What was well formed, acknowledged and not kept, by kind", "kind")
    duplicate_requests: int = _counter("Requests that came again and were acknowledged without being written")
    dead_letter_spans: int = _counter("Spans set aside because the store's parser refuses them")
    backlog_bytes: int = _gauge("Bytes in the log that are not stored yet")
    backlog_spans: int = _gauge("Spans in the log that are not stored yet")
    oldest_unstored_ms: int = _gauge("Age of the oldest acknowledged span that is not stored yet")
    disk_bytes: int = _gauge("Size of the data folder")
    max_disk_bytes: int = _gauge("Size of the data folder at which old data gives way")
    retention_s: int = _gauge("Age at which arrival days are dropped")
    refused_requests: int = _counter("Requests answered with an error since start")
    damaged_log_bytes: int = _gauge("Bytes of the log that could not be read and are kept in *.damaged")
    damaged_agents_bytes: int = _gauge("Bytes of what agents said that could not be read and are kept in facts.damaged")
    damaged_store_parts: int = _gauge("Parts of the store that could not be loaded and were put aside")
    tail_listeners: int = _gauge("Live tails that are open")
    tail_skipped_traces: int = _counter("Traces that matched a live tail and were not sent to it")
    tail_unread_spans: int = _counter("Spans that came faster than they could be looked at for live tails")
    troubles: tuple[TroubleStatus, ...]
    receivers: tuple[ReceiverStatus, ...]

    def as_json(self) -> dict[str, Any]:
        """The body of `/api/v1/status`."""
        return typing.cast("dict[str, Any]", _as_json(self))


class MetricOf(typing.NamedTuple):
    """A field that is a metric. With a label it has one value for each key, or for each receiver; with two, for each pair."""

    name: str
    kind: MetricKind
    help: str
    label: str


def metrics_of(kind: type[Any]) -> Iterator[MetricOf]:
    """The metrics among the fields of a status class."""
    for one in dataclasses.fields(kind):
        if "metric" in one.metadata:
            yield MetricOf(one.name, *one.metadata["metric"])


def schema_of(kind: type[Any], described: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON schema of a status class. `described`: schemas of fields of which more is known than their type says."""
    hints = typing.get_type_hints(kind)
    properties = {
        one.name: described.get(one.name, _schema(one.name, hints[one.name])) for one in dataclasses.fields(kind)
    }
    return {"type": "object", "properties": properties, "required": list(properties)}


_DECIMAL = "^-?[0-9]+$"


def _schema(name: str, hint: Any) -> dict[str, Any]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType:
        (inner,) = (one for one in arguments if one is not type(None))
        schema = _schema(name, inner)
        return {**schema, "type": [schema["type"], "null"]}
    if name.endswith("_unix_nano"):
        return {"type": "string", "pattern": _DECIMAL}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin is Mapping:
        return {"type": "object", "additionalProperties": _schema("", arguments[1])}
    if origin is tuple:
        return {
            "type": "array",
            "items": {"$ref": f"#/components/schemas/{arguments[0].__name__.removesuffix('Status')}"},
        }
    return {"type": {int: "integer", str: "string"}[hint]}


def _as_json(value: Any, name: str = "") -> Any:
    if dataclasses.is_dataclass(value):
        return {one.name: _as_json(getattr(value, one.name), one.name) for one in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return [_as_json(one) for one in value]
    if isinstance(value, Mapping):
        return dict(value)
    if name.endswith("_unix_nano") and value is not None:
        return str(value)
    return value
