"""Conditions on attributes, of spans and of what is beside them: by the types of their values, by their texts where the store has no types of old rows."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Final, NamedTuple

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import ArrayValue

from clew_server.model.families import family
from clew_server.model.query_tree import SpanTerm
from clew_server.store.asking import Question, Stopped
from clew_server.store.where.binding import Bound, joined
from clew_server.store.where.comparing import LIST, Comparing

_MOST_LISTS: Final = 5_000
"""Different lists under the keys of one condition that are looked at."""


class Place(NamedTuple):
    """Attributes of spans that stand in maps beside their own, as columns of `spans`: an array of maps, and one of the types of each map's values."""

    maps: str
    types: str


def _place(maps: str, types: str) -> Place:
    """With an empty list of types for each map of a row from before schema step 20, which has none."""
    return Place(maps, f"arrayResize({types},length({maps}))")


OF_SCOPE: Final = _place("[scope_attrs]", "arraySlice(types_beside,1,1)")
OF_EVENTS: Final = _place("event_attrs", "arraySlice(types_beside,2,length(event_attrs))")
OF_LINKS: Final = _place("link_attrs", "arraySlice(types_beside,2+length(event_attrs))")
_HAS_LIST: Final = "has(arrayFlatten(types_beside),42)"
"""Whether a span has a list in one of these places: what the index of schema step 20 is of."""


def place_of(keys: Sequence[str], of: str) -> str:
    """SQL of where in an array of keys the first of some keys is that is there, from 1; 0 without any. A lambda takes the engine longer to plan."""
    first = f"indexOf({of},{keys[0]})"
    return first if len(keys) == 1 else f"if({first}>0,{first},{place_of(keys[1:], of)})"


def types_of(attributes: str, types: str) -> str:
    """The types of a map's values beside them, 0 for each where a row has none."""
    return f"arrayResize({types},length(mapKeys({attributes})))"


class _Lists(NamedTuple):
    """Where lists may be: the arrays of a row of a table, and whether it has a list, as SQL."""

    table: str
    values: str
    keys: str
    types: str
    has_list: str = "has(attr_types,42)"


_OWN: Final = _Lists("spans", "mapValues(attrs)", "mapKeys(attrs)", "attr_types")
_OF_RESOURCE: Final = _OWN._replace(table="resources")


def _beside(place: Place) -> _Lists:
    values, keys = (f"arrayFlatten(arrayMap(m->{one}(m),{place.maps}))" for one in ("mapValues", "mapKeys"))
    return _Lists("spans", values, keys, f"arrayFlatten({place.types})", _HAS_LIST)


class Attributes:
    """Makes the conditions of one statement. Asks the store which lists there are; not for several threads."""

    def __init__(self, question: Question, bound: Bound, comparing: Comparing) -> None:
        self._question = question
        self._bound = bound
        self._comparing = comparing

    def _keys(self, term: SpanTerm) -> tuple[str, ...]:
        return (term.key,) if term.exact else family(term.key)

    def _key_condition(self, term: SpanTerm) -> str:
        return joined(" OR ", [f"k={self._bound.text(key)}" for key in self._keys(term)])

    def has(self, attributes: str, term: SpanTerm) -> str:
        """Whether a map has the key, with whatever value."""
        return f"arrayExists(k->{self._key_condition(term)},mapKeys({attributes}))"

    def some(self, place: Place, term: SpanTerm) -> str:
        """Some attribute of one of the maps in that place, by its type where that is known."""
        if term.op == "exists":
            return f"arrayExists(m->{self.has('m', term)},{place.maps})"
        some = self._some_of_map(term, "m", "ts", self._lists(_beside(place), term, self._key_condition(term)))
        return f"arrayExists((m,ts)->{some},{place.maps},{place.types})"

    def _some_of_map(self, term: SpanTerm, attributes: str, types: str, lists: list[str] | None) -> str:
        """Some attribute of a map whose rows may be without types. `lists`: those that satisfy the term; None: every list does."""
        value = f"if(t=0,{self._comparing.value(term, 'v', None)},{self._comparing.value(term, 'v', 't')})"
        if lists is None:
            value = f"(t={LIST} OR {value})"
        elif lists:
            value = f"if(t={LIST},v IN ({','.join(map(self._bound.text, lists))}),{value})"
        of_map = f"mapKeys({attributes}),mapValues({attributes}),{types_of(attributes, types)}"
        return f"arrayExists((k,v,t)->{self._key_condition(term)} AND {value},{of_map})"

    def on_span(self, term: SpanTerm, positive: bool) -> str:
        """Some attribute of the span itself, by its type; of a list some element."""
        if term.op == "exists":
            return self.has("attrs", term)
        keys = [self._bound.text(key) for key in self._keys(term)]
        key = joined(" OR ", [f"k={one}" for one in keys])
        value = self._comparing.value(term, "v", "t")
        lists = [self._bound.text(one) for one in self._lists(_OWN, term, key)]
        if lists:
            value = f"if(t={LIST},v IN ({','.join(lists)}),{value})"
        some = f"arrayExists((k,v,t)->{key} AND {value},mapKeys(attrs),mapValues(attrs),attr_types)"
        texts = self._comparing.all_texts(term) if positive else None
        if texts is None:
            return some
        # The index says in which granules a value is, and nothing of those in which it is not.
        items = ",".join(f"concat({one},'=',{text})" for one in keys for text in [*texts, *lists])
        return f"(indexHint(hasAny(ITEMS,[{items}])) AND {some})"

    def of_resource(self, term: SpanTerm) -> tuple[str, bool]:
        """Some attribute of a row of `resources`, by its type where that is known (schema step 17); and whether some resource now has one."""
        if term.op == "exists":
            found = self.has("attrs", term)
            return found, self._is_of_some(found)
        if not self._is_of_some(self._some_of_map(term, "attrs", "attr_types", None)):
            return self._some_of_map(term, "attrs", "attr_types", []), False
        lists = self._lists(_OF_RESOURCE, term, self._key_condition(term))
        return self._some_of_map(term, "attrs", "attr_types", lists), True

    def _is_of_some(self, condition: str) -> bool:
        return bool(self._question.rows("resources_where", self._bound.values, RESOURCE_CONDITION=condition)[0][0])

    def _lists(self, of: _Lists, term: SpanTerm, key: str) -> list[str]:
        """The lists under the term's keys some element of which satisfies the term, as they are stored."""
        parameters = {**self._bound.values, "limit": str(_MOST_LISTS + 1)}
        words = {"VALUES_OF_ROW": of.values, "KEYS_OF_ROW": of.keys, "TYPES_OF_ROW": of.types, "HAS_LIST": of.has_list}
        rows = self._question.rows("lists", parameters, TABLE_NAME=of.table, KEY_CONDITION=key, **words)
        stored = [text for (text,) in rows]
        if len(stored) > _MOST_LISTS:
            raise Stopped(f"stopped at {_MOST_LISTS:,} different lists of {term.key!r}")
        owners: list[int] = []
        raws: list[str] = []
        for at, text in enumerate(stored):
            for element in elements(text):
                owners.append(at)
                raws.append(element.hex())
        if not raws:
            return []
        condition = self._comparing.value(term, "v", "t")
        parameters = {**self._bound.values, "raws": "[" + ",".join(f"'{raw}'" for raw in raws) + "]"}
        found = self._question.rows("elements_where", parameters, ELEMENT_CONDITION=condition)
        return [stored[at] for at in sorted({owners[int(place) - 1] for (place,) in found})]


def elements(stored: str) -> list[bytes]:
    """The elements of a list, raw; none where it is damaged."""
    try:
        return [one.SerializeToString() for one in ArrayValue.FromString(base64.b64decode(stored)).values]
    except (binascii.Error, ValueError, DecodeError):
        return []
