"""Jaeger's JSON in files: what its UI saves and its API answers, a trace alone, a list of traces. No I/O.

Spans name their process by a key whose value stands behind them, so the spans of a trace are held until its end, as OTLP bytes.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from typing import Any, Final

from clew_server.errors import BadInput
from clew_server.model.otlp_raw import parse_raw
from clew_server.receivers.files.contract import Notes, Part
from clew_server.receivers.files.held import Held, parts_of
from clew_server.receivers.files.json_stream import JsonStream
from clew_server.receivers.foreign.conventions import Value
from clew_server.receivers.foreign.json_values import array, text_of, wrong
from clew_server.receivers.jaeger.spans import (
    CHILD_OF,
    FOLLOWS_FROM,
    JaegerSpan,
    Reference,
    Writer,
    event_of,
    resource_of,
)
from clew_server.receivers.jaeger.tags import put

ANSWER_KEYS: Final = frozenset(("data", "total", "limit", "offset", "errors"))
TRACE_KEYS: Final = frozenset(("traceID", "spans", "processes", "warnings", "spanID", "operationName"))
_FORMAT: Final = "Jaeger JSON"
_WRITTEN_TOGETHER: Final = 1000
_REF_TYPES: Final = {"CHILD_OF": CHILD_OF, "FOLLOWS_FROM": FOLLOWS_FROM}
_UNKNOWN_REF_TYPE: Final = -1

_Json = dict[str, Any]


def answer(stream: JsonStream, notes: Notes) -> Iterator[Part]:
    """An answer of Jaeger's API: its traces stand in a list under `data`."""
    notes.format = notes.format or _FORMAT
    for key in stream.members():
        if key == "data" and stream.starts() == "[":
            for _ in stream.elements():
                yield from trace(stream, notes)
        elif key == "data" and stream.starts() == "{":
            yield from trace(stream, notes)
        else:
            stream.value()


def trace(stream: JsonStream, notes: Notes) -> Iterator[Part]:
    """A trace; or one span that holds its process, as Jaeger's stores write them."""
    notes.format = notes.format or _FORMAT
    spans = _Spans(notes)
    others: _Json = {}
    processes: Any = None
    for key in stream.members():
        if key == "spans":
            for _ in stream.elements():
                spans.add(stream.value())
        elif key == "processes":
            processes = stream.value()
        else:
            others[key] = stream.value()
    if "spanID" in others:
        spans.add(others)
    yield from spans.parts(processes)


class _Spans:
    """The spans of a trace by their process: its key, or the process itself where the span holds it."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._held = Held("a trace")
        self._writers: dict[str, tuple[Writer, int]] = {}
        self._scopes: dict[str, list[tuple[bytes, bytes, list[bytes]]]] = {}
        self._processes: _Json = {}

    def add(self, source: Any) -> None:
        """Take a span; one with a value that cannot be meant is counted."""
        try:
            if not isinstance(source, dict):
                raise wrong("a span", "an object", source)
            key = self._process_of(source)
            span = _span(source)
        except BadInput:
            self._notes.left_out["malformed"] += 1
            return
        writer, count = self._writers.get(key) or (Writer(), 0)
        writer.add(b"", span)
        self._writers[key] = writer, count + 1
        if count + 1 >= _WRITTEN_TOGETHER:
            self._settle(key)

    def parts(self, processes: Any) -> Iterator[Part]:
        """All of them with their resources."""
        for key in list(self._writers):
            self._settle(key)
        named = processes if isinstance(processes, dict) else {}
        for key, scopes in self._scopes.items():
            process = self._processes.get(key, named.get(key))
            try:
                resource = _resource(process)
            except BadInput:
                self._notes.left_out["malformed"] += sum(len(spans) for _, _, spans in scopes)
                continue
            yield from parts_of(resource, b"", scopes)

    def _process_of(self, source: _Json) -> str:
        process = source.get("process")
        if process is None:
            key = source.get("processID")
            return key if isinstance(key, str) else ""
        key = "process " + json.dumps(process, sort_keys=True)
        self._processes[key] = process
        return key

    def _settle(self, key: str) -> None:
        """Turn what a writer has into bytes that wait."""
        writer, _ = self._writers.pop(key)
        batch = writer.batch(b"")
        self._notes.left_out.update(batch.rejected)
        self._held.add(len(batch.request))
        for resource in parse_raw(batch.request).resource_spans:
            for scope in resource.scope_spans:
                self._scopes.setdefault(key, []).append((scope.scope, scope.schema_url, list(scope.spans)))


def _span(source: _Json) -> JaegerSpan:
    get = source.get
    tags = _tags(get("tags"))
    warnings = get("warnings")
    if isinstance(warnings, list) and warnings:
        tags["jaeger.warnings"] = tuple(text_of(one) for one in warnings)
    name = get("operationName")
    if name is not None and not isinstance(name, str):
        raise wrong("operationName", "a text", name)
    return JaegerSpan(
        _id(get("traceID"), 16),
        _id(get("spanID"), 8),
        _id(get("parentSpanID"), 8),
        name or "",
        [_reference(one) for one in array(get("references"), "references")],
        _integer(get("flags"), "flags"),
        1000 * _integer(get("startTime"), "startTime"),
        1000 * _integer(get("duration"), "duration"),
        tags,
        [_log(one) for one in array(get("logs"), "logs")],
    )


def _resource(process: Any) -> bytes:
    if process is None:
        return resource_of("", {})
    if not isinstance(process, dict):
        raise wrong("a process", "an object", process)
    name = process.get("serviceName")
    return resource_of(name if isinstance(name, str) else "", _tags(process.get("tags")))


def _reference(one: Any) -> Reference:
    if not isinstance(one, dict):
        raise wrong("a reference", "an object", one)
    said = one.get("refType")
    type_ = _REF_TYPES.get(said, _UNKNOWN_REF_TYPE) if isinstance(said, str) else CHILD_OF
    return Reference(type_, _id(one.get("traceID"), 16), _id(one.get("spanID"), 8))


def _log(one: Any) -> bytes:
    if not isinstance(one, dict):
        raise wrong("a log", "an object", one)
    return event_of(1000 * _integer(one.get("timestamp"), "timestamp"), _tags(one.get("fields")))


def _tags(pairs: Any) -> dict[str, Value]:
    tags: dict[str, Value] = {}
    for pair in array(pairs, "tags"):
        if not isinstance(pair, dict) or not isinstance(key := pair.get("key"), str):
            raise wrong("a tag", 'an object with a "key"', pair)
        put(tags, key, _value(pair.get("type"), pair.get("value")))
    return tags


def _value(type_: Any, value: Any) -> Value:
    """The value by its type; as it stands there where the two do not fit."""
    if isinstance(value, str):
        said = str(type_).lower()
        if said == "binary":
            try:
                return base64.b64decode(value, validate=True)
            except (binascii.Error, ValueError):
                return value
        if said in ("int64", "long") and _is_integer(value):
            return int(value)
        if said == "bool" and value in ("true", "false"):
            return value == "true"
        if said in ("float64", "double"):
            try:
                return float(value)
            except ValueError:
                return value
        return value
    if isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        if str(type_).lower() in ("float64", "double"):
            return float(value) if abs(value) < 1 << 1000 else str(value)
        return value if -(1 << 63) <= value < 1 << 63 else str(value)
    return "" if value is None else text_of(value)


def _id(value: Any, size: int) -> bytes:
    """The bytes of an id in hex, which Jaeger writes without leading zeros; empty for what is none."""
    if not isinstance(value, str) or not 0 < len(value) <= 2 * size:
        return b""
    try:
        return bytes.fromhex(value.zfill(2 * size))
    except ValueError:
        return b""


def _integer(value: Any, key: str) -> int:
    if value is None:
        return 0
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 64:
        return value
    if isinstance(value, str) and _is_integer(value):
        return int(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1 << 64:
        return int(value)
    raise wrong(key, "an integer", value)


def _is_integer(text: str) -> bool:
    digits = text.removeprefix("-")
    return 0 < len(digits) <= 18 and digits.isascii() and digits.isdecimal()
