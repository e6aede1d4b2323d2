"""Payloads of Datadog's tracers, written for tests and measurements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgpack

_FIELDS = ("service", "name", "resource", "trace_id", "span_id", "parent_id", "start", "duration", "error", "meta", "metrics", "type")  # fmt: skip


def span(trace_id: int, span_id: int, name: str = "op", **fields: Any) -> dict[str, Any]:
    """A span with the names of v0.4; a trace id of more than 64 bits leaves its high half in `_dd.p.tid`. Times in ns."""
    made: dict[str, Any] = {
        "service": "svc",
        "name": name,
        "resource": name,
        "trace_id": trace_id & (1 << 64) - 1,
        "span_id": span_id,
        "parent_id": 0,
        "start": 1_795_415_211_795_788_001,
        "duration": 1_000_000,
        "error": 0,
        "meta": {},
        "metrics": {},
        "type": "",
    } | fields
    if trace_id >> 64:
        made["meta"] = {"_dd.p.tid": f"{trace_id >> 64:016x}", **made["meta"]}
    return made


def v04(chunks: Sequence[Sequence[Mapping[str, Any]]]) -> bytes:
    """What is put to `/v0.4/traces`."""
    packed: bytes = msgpack.packb(chunks)
    return packed


def v05(chunks: Sequence[Sequence[Mapping[str, Any]]]) -> bytes:
    """What is put to `/v0.5/traces`: the spans' twelve fields, with texts as numbers of a table."""
    texts: dict[str, int] = {"": 0}

    def at(text: str) -> int:
        return texts.setdefault(text, len(texts))

    def fields_of(one: Mapping[str, Any]) -> list[Any]:
        found = [one[key] for key in _FIELDS]
        for number in (0, 1, 2, 11):
            found[number] = at(found[number])
        found[9] = {at(key): at(value) for key, value in one["meta"].items()}
        found[10] = {at(key): value for key, value in one["metrics"].items()}
        return found

    written = [[fields_of(one) for one in chunk] for chunk in chunks]
    packed: bytes = msgpack.packb([list(texts), written])
    return packed
