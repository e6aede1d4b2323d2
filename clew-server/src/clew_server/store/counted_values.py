"""Values of attributes of very many spans, from those that were kept of each set of keys when spans were stored (schema step 21).

A few spans by chance of all that have the same keys, service and quarter of an hour say more than many from some places of `spans`, which
is sorted by service and operation: so are the values of most attributes.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from clew_server.model.completion import ValuesAsked
from clew_server.store.asking import Question
from clew_server.store.key_sets import KEYS_OF_SPAN, Quarters
from clew_server.store.values_of_spans import OfAttribute, Values, is_of_resources
from clew_server.store.where.attributes import place_of
from clew_server.store.where.comparing import LIST

_MOST: Final = 5_000
"""Spans that are looked at, about."""
_LEAST: Final = 1_000
"""Where fewer have it, more are to be looked at in other ways."""
_LONG: Final = 255
"""The type of values that are too long to be suggested."""
_KEPT: Final = 4
"""Of each row of what was counted, at most: one of each of so many thirty-seconds of the spans."""


class CountedValues(NamedTuple):
    """Values with their types and how many of the spans that were looked at have them."""

    values: Values
    reason: str | None
    """Why these are not all, None where they are."""
    seen: int
    """So many of the spans that were looked at have the key themselves."""
    of: int
    """For about so many spans these stand."""

    @property
    def are_enough(self) -> bool:
        """False where hardly any of the spans that were looked at have it."""
        found = sum(spans for *_, spans in self.values)
        return max(self.seen, found) >= _LEAST or (found > 0 and self.reason is None)


def of_quarters(
    quarters: Quarters, condition: str, bound: dict[str, str], asked: ValuesAsked, question: Question
) -> CountedValues | None:
    """Of spans of some services: `condition` on `service` with its parameters, 1 for all. Raises as `Question.rows`.

    None where few were kept of so short a time, or not read of so many services, and where what is asked for is no attribute of spans.
    """
    if asked.place not in ("attr", "of_span", "of_resource"):
        return None
    some = quarters.of_rows(_MOST)
    if some is None or some.rows * _KEPT < _LEAST:
        return None
    bound = {**bound, **some.bound, "limit": str(asked.limit + 2)}
    of = OfAttribute.of(asked, bound)
    has_key = f"hasAny({KEYS_OF_SPAN},[{of.listed}])" if asked.place != "of_resource" else "0"
    words = {**of.matching, "SERVICE_CONDITIONS": condition, "HAS_KEY": has_key}
    values: Values = []
    reason = some.reason
    seen = stands_for = 0
    if asked.place != "of_resource":
        parts = min(_KEPT, max(1, _MOST // some.rows))
        own = {"CHOSEN": ",".join(map(_kept, range(parts))), "PARTS": str(parts)}
        own["PLACE"] = place_of(of.keys, KEYS_OF_SPAN)
        rows = question.rows("counted_values", bound, **own, **words)
        seen, stands_for = sum(int(row[2]) for row in rows), round(sum(row[3] for row in rows))
        if rows:
            reason = f"counted in {seen:,} of about {stands_for:,} spans that have it"
        prefix = asked.prefix.lower()
        for text, type_, _, of_all in rows:
            if type_ == LIST or (type_ != _LONG and prefix in text.lower()):
                values.append([text, type_, max(1, round(of_all * seen / stands_for))])
    if asked.place != "of_span" and is_of_resources(of.names, question):
        rows = question.rows("counted_resources", bound, OF_RESOURCE=of.of_map("attrs", "attr_types"), **words)
        share = seen / stands_for if seen else 1
        values += [[text, type_, max(1, round(of_all * share))] for text, type_, of_all in rows]
    return CountedValues(values, reason, seen, stands_for)


def _kept(part: int) -> str:
    """The texts of the span that was kept of a thirty-second of them, empty where there was none."""
    texts = "concat(arrayStringConcat(mapValues(attrs), char(31)), char(31))"
    is_of_it = f"equals(bitAnd(cityHash64(span_id), 31), {part})"
    return f"finalizeAggregation(`argMinIf({texts}, cityHash64(span_id), {is_of_it})`)"
