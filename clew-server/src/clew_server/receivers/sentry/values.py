"""Values of Sentry's JSON: attributes, times, ids. No I/O."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from clew_server.receivers.foreign.conventions import Value
from clew_server.receivers.foreign.writing import MAX_NS

Json = Mapping[str, Any]

MAX_PARTS: Final = 1 << 14
"""Links of a span, breadcrumbs, exceptions, frames."""
_TIME: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?\s*([Zz]|[+-]\d\d:?\d\d)?", re.ASCII
)
_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_ZEROS: Final = {8: bytes(8), 16: bytes(16)}
_INT64: Final = 1 << 63


class Malformed(ValueError):
    """An item or a span that is none; `reason` is how it is counted."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def map_of(value: Any) -> Json:
    """An object; what is none, like null, is an empty one."""
    return value if isinstance(value, dict) else {}


def list_of(value: Any) -> list[Any]:
    """An array, or the `values` of an object; what is neither is an empty one. Raises Malformed for more than MAX_PARTS."""
    found = map_of(value).get("values") if isinstance(value, dict) else value
    if not isinstance(found, list):
        return []
    if len(found) > MAX_PARTS:
        raise Malformed("malformed")
    return found


def text_of(value: Any) -> str:
    """A text; empty for anything else."""
    return value if isinstance(value, str) else ""


def value_of(value: Any) -> Value | None:
    """What an attribute can hold; JSON for objects and mixed arrays, None for null and for what holds nothing."""
    kind = type(value)
    if kind is str or kind is bool or kind is float:
        found: Value = value
        return found
    if kind is int:
        return value if -_INT64 <= value < _INT64 else str(value)
    if not value:
        return None
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return tuple(value)
    return json.dumps(value, ensure_ascii=False)


def put(into: dict[str, Value], key: str, value: Any) -> None:
    """Add an attribute, unless there is one with this key already, or nothing to say."""
    found = value_of(value)
    if found is not None:
        into.setdefault(key, found)


def put_all(into: dict[str, Value], prefix: str, found: Any, without: Iterable[str] = ()) -> None:
    """Add the members of an object below a prefix."""
    if not isinstance(found, dict):
        return
    for key, value in found.items():
        if key not in without:
            put(into, prefix + key, value)


def pairs_of(tags: Any) -> list[tuple[str, Any]]:
    """Tags: an object, or an array of pairs. Raises Malformed."""
    if isinstance(tags, dict):
        return list(tags.items())
    pairs: list[tuple[str, Any]] = []
    for one in list_of(tags):
        if isinstance(one, list) and len(one) == 2:
            pairs.append((str(one[0]), one[1]))
        elif isinstance(one, dict) and "key" in one:
            pairs.append((str(one["key"]), one.get("value")))
    return pairs


def ns_of(value: Any) -> int | None:
    """Nanoseconds since the epoch of a number of seconds or a text such as `2026-11-28T20:40:38.860941Z`; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        found = value * 1_000_000_000
    elif isinstance(value, float):
        if not 0 <= value < 1e11:
            return None
        # A float of seconds has no more than microseconds.
        found = round(value * 1_000_000) * 1000
    elif isinstance(value, str):
        match = _TIME.fullmatch(value)
        if match is None:
            return None
        day, clock, fraction, zone = match.groups()
        try:
            at = datetime.datetime.fromisoformat(f"{day}T{clock}{'Z' if zone in (None, 'z') else zone}")
        except ValueError:
            return None
        found = (at - _EPOCH) // datetime.timedelta(seconds=1) * 1_000_000_000 + int((fraction or "0").ljust(9, "0"))
    else:
        return None
    return found if 0 <= found <= MAX_NS else None


def id_of(value: Any, length: int) -> bytes | None:
    """An id of so many bytes, written in hex; None for anything else and for zero."""
    if not isinstance(value, str):
        return None
    text = value.replace("-", "") if length == 16 else value
    if len(text) != 2 * length:
        return None
    try:
        found = bytes.fromhex(text)
    except ValueError:
        return None
    # Shorter where spaces stand between the digits.
    return found if len(found) == length and found != _ZEROS[length] else None
