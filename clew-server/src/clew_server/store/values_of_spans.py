"""The values that some spans have in one place, with how many of the spans have each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from clew_server.model.completion import ValueCount, ValuesAsked
from clew_server.model.families import newest_first
from clew_server.model.search import KIND_WORDS, STATUS_WORDS
from clew_server.model.text import written_double, written_text
from clew_server.store.asking import Question
from clew_server.store.where.attributes import OF_EVENTS, OF_LINKS, OF_SCOPE, elements, types_of
from clew_server.store.where.binding import Bound
from clew_server.store.where.comparing import DOUBLE, LIST

Values = list[list[Any]]
"""Values with their types and how many spans have them."""

COLUMNS: Final = {
    "service": "service",
    "name": "name",
    "root_service": "service",
    "root_name": "name",
    "kind": "kind",
    "status": "status",
    "scope": "scope",
    "status_message": "status_message",
}
"""Places that are a column of spans."""
_WINDOW: Final = "H(NS({from_ns:Int64}),NS({to_ns:Int64}))"


class OfAttribute(NamedTuple):
    """The names of an attribute and the prefix of its values, as parameters and texts of a statement."""

    names: Sequence[str]
    """The present one first."""
    keys: Sequence[str]
    """The names, bound."""
    matching: dict[str, str]
    """VALUE_CONDITIONS and BEGINS, of values `v` with types `t`."""

    @classmethod
    def of(cls, asked: ValuesAsked, bound: dict[str, str]) -> OfAttribute:
        """Adds the parameters to `bound`."""
        names = (asked.key,) if asked.exact else newest_first(asked.key)
        keys = [Bound(bound).text(name) for name in names]
        conditions, begins = matching(asked, "v", bound)
        return cls(names, keys, {"VALUE_CONDITIONS": f"(t={LIST} OR {conditions})", "BEGINS": begins})

    @property
    def listed(self) -> str:
        """The names as they stand in a list."""
        return ",".join(self.keys)

    @property
    def is_key(self) -> str:
        """Whether `k` is one of the names."""
        return f"k IN ({self.listed})"

    def of_map(self, attributes: str, types: str) -> str:
        """Its values in a map, with their types."""
        typed = f"arrayZip(mapValues({attributes}),{types_of(attributes, types)})"
        return f"arrayFilter((z,k)->{self.is_key},{typed},mapKeys({attributes}))"


class Spans(NamedTuple):
    """Some spans, as conditions."""

    sample: str
    conditions: str
    bound: dict[str, str]

    @property
    def words(self) -> dict[str, str]:
        """Of the statements about some spans."""
        return {"SAMPLE": self.sample, "SPAN_WINDOW": _WINDOW, "SPAN_CONDITIONS": self.conditions}


def read(spans: Spans, asked: ValuesAsked, question: Question) -> tuple[int, Values]:
    """How many these spans are, and the values that they have. Raises as `Question.rows`."""
    # The first row is none of them, and one more says that there are more.
    bound = {**spans.bound, "limit": str(asked.limit + 2)}
    own = OfAttribute.of(asked, bound)
    words = {**spans.words, **own.matching}

    def texts(array: str) -> str:
        return f"arrayMap(x->(toString(x),toUInt8(0)),arrayFilter(x->x!='',{array}))"

    place = asked.place
    typed = f"arrayFilter((z,k)->{own.is_key},arrayZip(attrs.values,attr_types),attrs.keys)"
    if place in ("attr", "of_resource") and is_of_resources(own.names, question):
        words["OF_RESOURCE"] = own.of_map("attrs", "attr_types")
        words["VALUES_OF_SPAN"] = typed if place == "attr" else "CAST([],'Array(Tuple(String,UInt8))')"
        words["HAS_KEY"] = f"hasAny(attrs.keys,[{own.listed}])" if place == "attr" else "0"
        return _seen(question.rows("values_with_resources", bound, **words))
    if place in COLUMNS:
        words["VALUES_OF_SPAN"] = texts(f"[toString({COLUMNS[place]})]")
    elif place in ("attr", "of_span"):
        words["VALUES_OF_SPAN"] = typed
    elif place == "of_resource":
        return 0, []
    elif place == "event":
        words["VALUES_OF_SPAN"] = texts("event_names")
    else:
        beside = {"of_scope": OF_SCOPE, "event_attr": OF_EVENTS, "link_attr": OF_LINKS}[place]
        of_each = f"arrayMap((m,ts)->{own.of_map('m', 'ts')},{beside.maps},{beside.types})"
        words["VALUES_OF_SPAN"] = f"arrayFlatten({of_each})"
    return _seen(question.rows("values_of_spans", bound, **words))


def is_of_resources(keys: Sequence[str], question: Question) -> bool:
    """Whether a resource has one of the keys. Most keys are of spans only, whose values are counted in half the time. Raises as `Question.rows`."""
    bound: dict[str, str] = {}
    condition = f"hasAny(mapKeys(attrs),[{','.join(map(Bound(bound).text, keys))}])"
    return bool(question.rows("resources_where", bound, RESOURCE_CONDITION=condition)[0][0])


def _seen(rows: Values) -> tuple[int, Values]:
    """How many spans, and the values, of rows of which the first ends with the number of spans; there is none where they are none."""
    return int(rows[0][-1]) if rows else 0, rows[1:]


def matching(asked: ValuesAsked, text: str, bound: dict[str, str]) -> tuple[str, str]:
    """Whether a text holds the prefix, and whether it begins with it."""
    if not asked.prefix or asked.place in ("kind", "status"):
        return "1", f"length({text})>=0"  # a number there would be the place of a column
    prefix = Bound(bound).text(asked.prefix.lower())
    return f"position(lowerUTF8({text}),{prefix})>0", f"startsWith(lowerUTF8({text}),{prefix})"


def merged(rows: Sequence[Sequence[Any]], asked: ValuesAsked) -> list[ValueCount]:
    """Values as the language writes them, elements of lists among them, those that begin with the prefix first."""
    counts: dict[str, int] = {}
    for text, type_, spans in rows:
        for value in _texts(text, int(type_), asked.place):
            counts[value] = counts.get(value, 0) + int(spans)
    prefix = "" if asked.place in ("kind", "status") else asked.prefix.lower()
    found = [ValueCount(value, spans) for value, spans in counts.items() if prefix in value.lower()]
    return sorted(found, key=lambda one: (not one.value.lower().startswith(prefix), -(one.spans or 0), one.value))


def _texts(text: str, type_: int, place: str) -> Iterable[str]:
    if place == "kind":
        return [KIND_WORDS[int(text)]]
    if place == "status":
        return [STATUS_WORDS[int(text)]]
    if type_ == LIST:
        return sorted({written_text(AnyValue.FromString(one)) for one in elements(text)})
    return [written_double(float(text))] if type_ == DOUBLE else [text]
