"""What a query may ask for: keys and values with how many spans have them, as values. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Generic, Literal, NamedTuple, TypeVar

from clew_server.model.query_tree import SpanPlace, TracePlace

KeyPlace = Literal["span", "resource", "event", "link", "scope"]
KeyType = Literal["text", "number", "boolean", "list", "bytes", "any"]
"""Of the values that most spans have under a key; `any` of keys beside the span's own, whose types are not counted."""

Found = TypeVar("Found")


class KeyCount(NamedTuple):
    """The key of an attribute, and how many of the spans that were looked at have it in that place."""

    place: KeyPlace
    key: str
    type: KeyType
    spans: int


class ValueCount(NamedTuple):
    """A value as OTLP's JSON writes it without quotes; `spans` None where they were not counted."""

    value: str
    spans: int | None


@dataclass(frozen=True, slots=True)
class Counted(Generic[Found]):
    """What was found, most frequent first. `complete` false: not all spans were looked at, or not all that was found is here; `reason` says it.

    `of_many`: there are so many spans that a few more change little; some of them were looked at, or their keys were counted as they came.
    """

    found: Sequence[Found]
    complete: bool
    reason: str | None
    of_many: bool = False


@dataclass(frozen=True, slots=True)
class ValuesAsked:
    """Values of one place (of one key, where the place has attributes) that hold `prefix` anywhere, in any case; those that begin with it first.

    `thorough`: of many spans as many more are looked at as there is time for while somebody waits.
    """

    place: SpanPlace | TracePlace
    key: str = ""
    exact: bool = False
    prefix: str = ""
    limit: int = 20
    thorough: bool = False


def first_values(counted: Counted[ValueCount], prefix: str, limit: int) -> Counted[ValueCount]:
    """Of these values those that hold `prefix` in any case, those that begin with it first, then the most frequent; `limit` of them at most."""
    text = prefix.lower()
    found = [one for one in counted.found if text in one.value.lower()]
    found.sort(key=lambda one: (not one.value.lower().startswith(text), -(one.spans or 0), one.value))
    if len(found) <= limit:
        return replace(counted, found=found)
    return replace(counted, found=found[:limit], complete=False, reason=with_reason(counted.reason, only_first(limit)))


def only_first(limit: int) -> str:
    """The reason why values are missing of which there are more than so many."""
    return f"the first {limit:,} values"


def with_reason(reason: str | None, more: str) -> str:
    """Both reasons as one."""
    return f"{reason}; {more}" if reason else more
