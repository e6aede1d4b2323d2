"""Tags and the standard names beside them, written in one go: what `Marks`, `beside` and `attributes` do, for spans without surprises. No I/O.

Spans of one place in a program have the same keys, so what those mean is found once: the plan. Keys and values that come back are
written once and looked up afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from clew_server.receivers.foreign import writing
from clew_server.receivers.foreign.conventions import RULES, Value, beside, names_beside, resource_of
from clew_server.receivers.foreign.marks import SPECIAL

_LONGEST_KEYS = 2048
_MOST_KEPT = 8192
_LONGEST_KEPT = 128

_beside: dict[tuple[str, Value, int], bytes] = {}


class Plan(NamedTuple):
    """What the keys of a span's tags mean."""

    lifted: tuple[str, ...]
    """Those that describe the process, where an OpenTelemetry SDK wrote them (`conventions.resource_of`)."""
    kept: tuple[str, ...]
    """The others. What follows is about these."""
    is_special: bool
    """Some stand for fields of the span (`Marks`)."""
    is_simple: bool
    """No standard name is meant twice."""
    rules: tuple[str, ...]
    """The older names among them."""
    names: frozenset[str]
    """All names that the attributes may have, the tags' own and those beside."""


def plan(tags: Mapping[str, Value]) -> Plan:
    """The plan of a span with these tags."""
    keys = tuple(tags)
    return _kept_plan(keys) if len("".join(keys)) <= _LONGEST_KEYS else _plan(keys)


def _plan(keys: tuple[str, ...]) -> Plan:
    lifted = tuple(resource_of(dict.fromkeys(keys, "")))
    kept = tuple(key for key in keys if key not in lifted) if lifted else keys
    rules = tuple(key for key in kept if key in RULES)
    names = list(kept)
    for key in rules:
        names += names_beside(key)
    return Plan(lifted, kept, not SPECIAL.isdisjoint(kept), len(set(names)) == len(names), rules, frozenset(names))


_kept_plan: Final = lru_cache(maxsize=2048)(_plan)


def attributes_beside(tags: Mapping[str, Value], kind: int, rules: tuple[str, ...]) -> bytes:
    """The attributes beside those of these tags that have a rule, where the plan is simple."""
    parts: list[bytes] = []
    for key in rules:
        value = tags[key]
        # Only texts may be looked up: 1, 1.0 and True are equal and mean different things.
        if type(value) is str:
            found = _beside.get((key, value, kind))
            if found is None:
                found = writing.attributes(beside({key: value}, kind))
                if len(value) <= _LONGEST_KEPT:
                    if len(_beside) >= _MOST_KEPT:
                        _beside.clear()
                    _beside[key, value, kind] = found
            parts.append(found)
        else:
            parts.append(writing.attributes(beside({key: value}, kind)))
    return b"".join(parts)
