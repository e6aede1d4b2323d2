"""A record of a digest log as its fields by name, in either layout, as broken as it may be. No I/O.

In the JSON layout values are not escaped and those that begin with a bracket have no quotes, so a quote in a URL or a statement makes
it no JSON. Then keys that are known are looked for, and what is between two of them is the value of the first.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from clew_server.receivers.sofatracer.kinds import KINDS, named

Field = str | int | float | bool
"""Texts as they stand there; numbers and truth values of JSON as such."""

COMMON: Final = (
    "time",
    "local.app",
    "traceId",
    "spanId",
    "span.kind",
    "result.code",
    "current.thread.name",
    "time.cost.milliseconds",
)
# SOFARPC calls some otherwise.
_ALSO: Final = {"timestamp": "time", "tracerId": "traceId", "tracer.id": "traceId", "trace.id": "traceId"}
_OF_SOFA_RPC: Final = (
    "router.record",
    "remote.ip",
    "local.client.ip",
    "local.client.port",
    "req.serialize.time",
    "req.deserialize.time",
    "resp.serialize.time",
    "resp.deserialize.time",
    "req.size",
    "resp.size",
    "client.conn.time",
    "client.elapse.time",
    "server.pool.wait.time",
    "biz.impl.time",
    "baggage",
)
KNOWN: Final = frozenset(
    (
        *COMMON,
        *_ALSO,
        *_OF_SOFA_RPC,
        *(column.name for kind in KINDS for column in kind.columns),
        "local.port",
        "sys.baggage",
        "biz.baggage",
    )
)
"""The keys that SOFATracer's own plugins write."""
FREE_TEXT: Final = frozenset(("request.url", "sql", "db.statement", "error", "sys.baggage", "biz.baggage", "baggage"))
"""Values that may hold anything, also what looks like a key."""

_KEY: Final = re.compile(r'[,{]\s{0,4}"([A-Za-z_][\w.\-]{0,127})"\s{0,4}:')
_HEAD: Final = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d[.,]\d{3}),(?P<app>[^\n]{0,256}?),"
    r"(?P<trace>[0-9A-Za-z]{0,128}),(?P<span>\d[\d.]{0,255})?,"
    r"(?:(?P<kind>[A-Za-z]{0,16}),(?P<result>[^,\n]{0,64}),(?P<thread>[^\n]{0,512}?),(?P<cost>-?\d{1,18}ms),)?"
)
_NUMBER: Final = re.compile(r"-?\d{1,18}")
_MOST_FIELDS: Final = 512


def fields_of(record: str, file: str) -> dict[str, Field]:
    """The fields of a record of a file with this name; empty for what is none. Values that are empty are left out."""
    found = _json(record) if record.startswith("{") else _compact(record, file)
    sql = found.get("sql")
    if isinstance(sql, str):
        found["sql"] = sql.replace("%2C", ",")  # escaped in both layouts
    return {_ALSO.get(key, key): value for key, value in found.items() if value != ""}


def _json(record: str) -> dict[str, Field]:
    pairs = _strict(record)
    return _merged(_scanned(record) if pairs is None else pairs)


def _strict(record: str) -> list[tuple[str, Field]] | None:
    """The pairs of an object of plain values; None where the record is none."""
    try:
        pairs: Any = json.loads(record, object_pairs_hook=list, strict=False)
    except (ValueError, RecursionError):
        return None
    if not isinstance(pairs, list) or len(pairs) > _MOST_FIELDS:
        return None
    found: list[tuple[str, Field]] = []
    for pair in pairs:
        if not isinstance(pair, tuple):
            return None
        key, value = pair
        if value is None:
            value = ""
        if not isinstance(value, str | int | float):
            return None
        found.append((key, value))
    return found


def _scanned(record: str) -> list[tuple[str, Field]]:
    """The pairs of a record that is no JSON. What looks like an unknown key in a free text is part of it."""
    keys = _KEY.finditer(record)
    first = next(keys, None)
    if first is None or first.start() != 0:
        return []
    found: list[tuple[str, Field]] = []
    key, start = first[1], first.end()
    for one in keys:
        is_known = one[1] in KNOWN or key not in FREE_TEXT
        if is_known and record[one.start()] == "," and _ends(record, start, one.start()):
            found.append((key, _value(record[start : one.start()])))
            key, start = one[1], one.end()
    found.append((key, _value(record[start:])))
    return found[:_MOST_FIELDS]


def _ends(record: str, start: int, end: int) -> bool:
    """Whether a value may end here: a text needs its second quote."""
    return record[start : start + 1] != '"' or (end > start + 1 and record[end - 1] == '"')


def _value(text: str) -> Field:
    """A value as it was before it was written: without the quotes around it, and without the bracket at the end of a record."""
    text = text.strip()
    if text.startswith('"'):
        text = text.removesuffix("}").rstrip() if not text.endswith('"') else text
        return text[1:-1] if len(text) > 1 and text.endswith('"') else text[1:]
    if text.endswith("}") and text.count("}") > text.count("{"):
        text = text[:-1].rstrip()
    if _NUMBER.fullmatch(text):
        return int(text)
    if text in ("true", "false"):
        return text == "true"
    return "" if text == "null" else text


def _merged(pairs: list[tuple[str, Field]]) -> dict[str, Field]:
    """The pairs by key. A key that comes twice with two values: the first is kept beside the last.

    SOFATracer's plugin for RestTemplate writes the size of the request under the name of the response's.
    """
    found: dict[str, Field] = {}
    for key, value in pairs:
        first = found.get(key)
        if first is not None and first != value and first != "":
            other = "req.size.bytes" if key == "resp.size.bytes" else f"{key}.first"
            found.setdefault(other, first)
        if value != "" or key not in found:
            found[key] = value
    return found


def _compact(record: str, file: str) -> dict[str, Field]:
    head = _HEAD.match(record)
    if head is None:
        return {}
    found: dict[str, Field] = {
        "time": head["time"],
        "local.app": head["app"],
        "traceId": head["trace"],
        "spanId": head["span"] or "",
    }
    rest = record[head.end() :]
    if head["cost"] is None:
        found["sofatracer.columns"] = rest
        return found
    found |= {
        "span.kind": head["kind"],
        "result.code": head["result"],
        "current.thread.name": head["thread"],
        "time.cost.milliseconds": head["cost"],
    }
    values = named(rest.split(","), file)
    if values is None:
        found["sofatracer.columns"] = rest.rstrip(",")
        return found
    for name, value in values.items():
        if name == "result.code" and value in ("", found["result.code"]):
            continue
        found[name] = _plain(name, value)
    return found


_COUNTS: Final = frozenset(
    ("req.size.bytes", "resp.size.bytes", "kafka.partition", "kafka.offset", "peer.port", "replyTimeout")
) | {f"{side}.{what}.time" for side in ("client", "server") for what in ("serialize", "deserialize")}


def _plain(name: str, value: str) -> Field:
    """A column as the JSON layout has it: numbers as numbers."""
    if value in ("null", "nullms"):
        return ""
    if name in _COUNTS:
        number = value.removesuffix("B")
        return int(number) if _NUMBER.fullmatch(number) else value
    return value
