"""Messages of CAT's clients, in both codecs, written for tests and measurements."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from clew.otlp.encode import varint

START_MS = 1_795_349_500_311
HOUR = START_MS // 3_600_000
_NULL = "null"


class Header(NamedTuple):
    """The ten values of a message, in their order."""

    domain: str = "shop"
    host_name: str = "vm"
    ip_address: str = "192.0.2.2"
    thread_group: str = "main"
    thread_id: str = "7"
    thread_name: str = "worker"
    message_id: str = f"shop-c0000202-{HOUR}-1"
    parent_message_id: str = ""
    root_message_id: str = ""
    session_token: str = ""


class Record(NamedTuple):
    """One record: `t` and `T` begin and end a transaction, `A` is one without children (PT1 only), `E`, `M`, `H`, `L` stand alone."""

    letter: str
    type: str = ""
    name: str = ""
    time_ms: int = START_MS
    status: str = "0"
    data: str = ""
    duration_us: int = 0


def transaction(
    type_: str,
    name: str,
    *inside: Sequence[Record],
    time_ms: int = START_MS,
    duration_us: int = 10_000,
    status: str = "0",
    data: str = "",
) -> list[Record]:
    """The records of a transaction and of what is inside it."""
    end_ms = time_ms + duration_us // 1000
    return [
        Record("t", type_, name, time_ms),
        *(record for records in inside for record in records),
        Record("T", type_, name, end_ms, status, data, duration_us),
    ]


def event(
    type_: str, name: str, *, letter: str = "E", time_ms: int = START_MS, status: str = "0", data: str = ""
) -> list[Record]:
    """The record of an event, of another letter of a trace, a metric or a heartbeat."""
    return [Record(letter, type_, name, time_ms, status, data)]


def remote_call(child_id: str, name: str = "", *, time_ms: int = START_MS) -> list[Record]:
    """The event by which a caller names the tree of the callee."""
    return event("RemoteCall", name, time_ms=time_ms, data=child_id)


def native(records: Iterable[Record], header: Header | None = None) -> bytes:
    """A message in the codec NT1, without the length before it. PT1's `A` is written as `t` and `T`."""
    parts = [b"NT1", *(_string(value) for value in header or Header())]
    for one in records:
        if one.letter in "tA":
            parts += [b"t", varint(one.time_ms), _string(one.type), _string(one.name)]
        if one.letter in "TA":
            parts += [b"T", _string(one.status), _string(one.data), varint(one.duration_us)]
        if one.letter not in "tTA":
            texts = (one.type, one.name, one.status, one.data)
            parts += [one.letter.encode(), varint(one.time_ms), *(_string(text) for text in texts)]
    return b"".join(parts)


def plain(
    records: Iterable[Record], header: Header | None = None, *, zone_hours: int = 0, escapes: bool = True
) -> bytes:
    """A message in the codec PT1, with times of a zone, as Java's client writes it, or the one in C (not `escapes`)."""
    parts = ["PT1\t" + "\t".join(value or _NULL for value in header or Header()) + "\n"]
    for one in records:
        texts = [_escaped(text) if escapes else text for text in (one.type, one.name, one.status, one.data)]
        fields = [one.letter + _time(one.time_ms, zone_hours), *texts[:2]]
        if one.letter != "t":
            fields += [texts[2], *([f"{one.duration_us}us"] if one.letter in "TA" else []), texts[3] or _NULL]
        parts.append("\t".join(fields) + "\t\n")
    return "".join(parts).encode("utf-8", "surrogateescape")


def _string(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogateescape")
    return varint(len(raw)) + raw


def _escaped(text: str) -> str:
    for raw, escaped in (("\\", "\\\\"), ("\t", "\\t"), ("\r", "\\r"), ("\n", "\\n")):
        text = text.replace(raw, escaped)
    return text


def _time(time_ms: int, zone_hours: int) -> str:
    local = time.gmtime(time_ms // 1000 + zone_hours * 3600)
    return time.strftime("%Y-%m-%d %H:%M:%S", local) + f".{time_ms % 1000:03d}"
