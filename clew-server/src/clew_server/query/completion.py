"""Keys and values that a query may ask for: those of the language itself, and those that the store counts. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from clew_server.model.completion import Counted, KeyCount, ValueCount, with_reason
from clew_server.model.search import KIND_WORDS, STATUS_WORDS
from clew_server.query.language import keys

_PREFIX: Final = {"span": "", "resource": "", "event": "event.", "link": "link.", "scope": "scope."}
WORDS: Final = {"kind": KIND_WORDS, "status": STATUS_WORDS, "root": ("true", "false"), "failed": ("true", "false")}
"""Places that take some words only."""
NOT_COUNTED: Final = ("root", "failed")
NOT_LISTED: Final = ("dur", "id", "parent", "link_trace", "duration", "start", "spans", "errors", "services")
"""Places whose values are not listed: each span or trace has its own, or they are numbers."""


class KeyFound(NamedTuple):
    """A key as a query writes it; `spans` None for those of the language."""

    key: str
    type: str
    spans: int | None


def keys_found(counted: Counted[KeyCount], prefix: str, limit: int) -> Counted[KeyFound]:
    """The language's keys, then attributes, most frequent first, that hold `prefix` in any case; those that begin with it come first.

    A key is found by its name as it is, and as a query writes it: with quotes and escapes.
    """
    found = [(name, KeyFound(name, type_, None)) for name, type_ in keys.of_the_language()]
    on_spans = {one.key for one in counted.found if one.place == "span"}
    for one in counted.found:
        before = "resource." if one.place == "resource" and one.key in on_spans else _PREFIX[one.place]
        key = keys.written(one.key, before)
        if key is not None:
            # A prefix of its place is written without quotes around the key.
            found.append((key if before else one.key, KeyFound(key, one.type, one.spans)))
    text = prefix.lower()
    found = [(name, one) for name, one in found if text in name.lower() or text in one.key.lower()]
    found.sort(key=lambda pair: not any(way.lower().startswith(text) for way in (pair[0], pair[1].key)))
    matching = [one for _, one in found]
    if len(matching) <= limit:
        return Counted(matching, counted.complete, counted.reason, counted.of_many)
    more = f"{len(matching) - limit:,} more keys match"
    return Counted(matching[:limit], False, with_reason(counted.reason, more), counted.of_many)


def words_found(place: str, counted: Counted[ValueCount], prefix: str) -> Counted[ValueCount]:
    """All words of the place that hold `prefix`, those that begin with it first, then the most frequent."""
    spans = {one.value: one.spans for one in counted.found}
    absent = 0 if counted.complete and place not in NOT_COUNTED else None
    found = [ValueCount(word, spans.get(word, absent)) for word in WORDS[place] if prefix.lower() in word]
    return replace(counted, found=_by_prefix(found, prefix))


def _by_prefix(found: Sequence[ValueCount], prefix: str) -> list[ValueCount]:
    return sorted(found, key=lambda one: (not one.value.startswith(prefix.lower()), -(one.spans or 0)))
