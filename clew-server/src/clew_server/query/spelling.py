"""How a condition that finds nothing may be meant: the value or the key there is that is spelled most like its own."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final, Literal

from clew_server.model.completion import KeyPlace, ValuesAsked
from clew_server.model.query_tree import Node, SpanPlace, SpanTerm, TracePlace, TraceTerm, terms
from clew_server.model.search import Search
from clew_server.query.language.keys import of_the_language, written
from clew_server.store.contract import TraceCompletion

MOST_NAMES: Final = 1_000
"""Values that are compared, the most frequent."""
_MOST_TERMS: Final = 4
"""So many terms of a condition are looked at: a relation or an `or` may have many."""
_ALIKE: Final = 0.6
_KEY_PLACES: Final[Mapping[str, tuple[tuple[KeyPlace, ...], str]]] = {
    "attr": (("span", "resource"), ""),
    "of_span": (("span",), "span."),
    "of_resource": (("resource",), "resource."),
    "of_scope": (("scope",), "scope."),
    "event_attr": (("event",), "event."),
    "link_attr": (("link",), "link."),
}
"""Where the keys of an attribute are, and what a query writes before them."""
_OF_A_VALUE: Final = ("=", "in", "has")
"""Operators whose value may be misspelled; with any other it is the key."""
_SPELLED: Final = frozenset(
    {"names", "service", "name", "scope", "status_message", "event", "root_service", "root_name", *_KEY_PLACES}
)
"""Places whose values are texts that can be misspelled."""


def spelled(
    condition: Node, rest: Node | None, search: Search, store: TraceCompletion
) -> tuple[str | None, Literal["value", "key"] | None]:
    """The value, or the key as a query writes it, that is spelled most like one of a condition: of its first term for which there is one.

    Those that occur with the `rest` of the query come first: what holds of all the time is a sample, and the most frequent of it.
    """
    time_only = replace(search, where=None)
    populations = (time_only,) if rest is None else (replace(search, where=rest), time_only)
    asked = [term for term in terms(condition) if term.place in _SPELLED]
    for term in asked[:_MOST_TERMS]:
        found = _respelled(term, populations, store)
        if found[0] is not None:
            return found
    return None, None


def _respelled(
    term: SpanTerm | TraceTerm, populations: Sequence[Search], store: TraceCompletion
) -> tuple[str | None, Literal["value", "key"] | None]:
    key, exact = (term.key, term.exact) if isinstance(term, SpanTerm) else ("", False)
    places: tuple[SpanPlace | TracePlace, ...] = ("service", "name") if term.place == "names" else (term.place,)
    known: list[str] = []
    for population in populations:
        known = [
            one.value
            for place in places
            for one in store.attribute_values(population, ValuesAsked(place, key, exact, limit=MOST_NAMES)).found
        ]
        for value in term.values if term.op in _OF_A_VALUE else ():
            if (found := nearest(value.text, known)) is not None:
                return found, "value"
    if known or not key:
        return None, None
    of_places, prefix = _KEY_PLACES[term.place]
    own = [] if exact or prefix else [one for one, _ in of_the_language()]
    for population in populations:
        keys = [one.key for one in store.attribute_keys(population).found if one.place in of_places]
        if (found := nearest(key, [*own, *keys])) is None:
            continue
        if found in own:
            return found, "key"
        if (text := written(found, prefix)) is not None:
            return text, "key"
    return None, None


def nearest(text: str, known: Iterable[str]) -> str | None:
    """The known text that is spelled most like this one, in any case; None where none is, or where it is there itself."""
    by_lower: dict[str, str] = {}
    for one in known:
        if one == text:
            return None
        by_lower.setdefault(one.lower(), one)
    if text.lower() in by_lower:
        return by_lower[text.lower()]
    found = difflib.get_close_matches(text.lower(), list(by_lower), n=1, cutoff=_ALIKE)
    return by_lower[found[0]] if found else None
