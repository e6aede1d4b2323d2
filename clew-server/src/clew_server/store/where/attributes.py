"""Conditions on attributes: of the span itself and of its resource by their type, of other places by their text."""

from __future__ import annotations

import base64
import binascii
from typing import Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import ArrayValue

from clew_server.model.families import family
from clew_server.model.query_tree import SpanTerm
from clew_server.store.asking import Question, Stopped
from clew_server.store.where.binding import Bound, joined
from clew_server.store.where.comparing import LIST, Comparing

_MOST_LISTS: Final = 5_000
"""Different lists under the keys of one condition that are looked at."""


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

    def some(self, attributes: str, term: SpanTerm) -> str:
        """Some attribute of a map whose values have lost their types: a text that is a number counts as one."""
        if term.op == "exists":
            return self.has(attributes, term)
        key, value = self._key_condition(term), self._comparing.value(term, "v", None)
        return f"arrayExists((k,v)->{key} AND {value},mapKeys({attributes}),mapValues({attributes}))"

    def on_span(self, term: SpanTerm, positive: bool) -> str:
        """Some attribute of the span itself, by its type; of a list some element."""
        if term.op == "exists":
            return self.has("attrs", term)
        keys = [self._bound.text(key) for key in self._keys(term)]
        key = joined(" OR ", [f"k={one}" for one in keys])
        value = self._comparing.value(term, "v", "t")
        lists = [self._bound.text(one) for one in self._lists("spans", term, key)]
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
        key = self._key_condition(term)
        value = f"if(t=0,{self._comparing.value(term, 'v', None)},{self._comparing.value(term, 'v', 't')})"
        some = f"arrayExists((k,v,t)->{key} AND VALUE,mapKeys(attrs),mapValues(attrs),arrayResize(attr_types,length(mapKeys(attrs))))"
        if not self._is_of_some(some.replace("VALUE", f"(t={LIST} OR {value})")):
            return some.replace("VALUE", value), False
        lists = [self._bound.text(one) for one in self._lists("resources", term, key)]
        if lists:
            value = f"if(t={LIST},v IN ({','.join(lists)}),{value})"
        return some.replace("VALUE", value), True

    def _is_of_some(self, condition: str) -> bool:
        return bool(self._question.rows("resources_where", self._bound.values, RESOURCE_CONDITION=condition)[0][0])

    def _lists(self, table: str, term: SpanTerm, key: str) -> list[str]:
        """The lists under the term's keys some element of which satisfies the term, as they are stored."""
        parameters = {**self._bound.values, "limit": str(_MOST_LISTS + 1)}
        stored = [text for (text,) in self._question.rows("lists", parameters, TABLE_NAME=table, KEY_CONDITION=key)]
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
