"""The traces that a search is about, as conditions for statements: a page, its totals and what is counted beside them are about the same ones."""

from __future__ import annotations

from typing import Final, NamedTuple, Protocol

from clew_server.model.query_tree import Relation, has_braces
from clew_server.model.search import Search
from clew_server.store.asking import Question
from clew_server.store.chdb_again import NOT_COUNTED, Again, put
from clew_server.store.chdb_count import IDS
from clew_server.store.chdb_reader import ChdbReader
from clew_server.store.macros import STARTED
from clew_server.store.orders import FIRST_START_NS, LAST_START_NS, ORDERS, Condition, Order, bounds
from clew_server.store.steps import NewestEnds
from clew_server.store.where.binding import Bound
from clew_server.store.where.one_span import span_conditions, span_window
from clew_server.store.where.related import related_traces
from clew_server.store.where.translator import Translator

ROWS_OF_A_TRACE: Final = 4
"""Summaries that a trace may have, as is assumed where so many traces are looked for among the nearest rows: one a flush, until they are merged."""
_AN_HOUR_NS: Final = 3_600_000_000_000
_NEWEST_START_FOR_S: Final = 10.0
_BY_INDEX: Final = ("indexHint(", "EQ(")
"""What stands in a condition that the index on attributes takes part in."""


class Chosen(NamedTuple):
    """Traces, as conditions for a statement over `traces`: on rows (`trace_id`), on whole traces (`s`, `d`, `n`, …), their parameters."""

    sets: str
    conditions: str
    bound: dict[str, str]
    words: dict[str, str] = NOT_COUNTED
    """What to put for the words of `chdb_again` in the order of these traces."""


class Population(Protocol):
    """The traces of a search by windows."""

    def __call__(
        self, from_ns: int, to_ns: int, open_above: bool, least_spans: int | None = None, *, few: bool = False
    ) -> Chosen:
        """Those that start in the window, of which `open_above` says that its end was not given, and `few` that these are not many.

        Traces with `least_spans` are counted exactly for an order by spans, which needs them in the words of `Chosen`.
        """
        ...


class ChdbPopulation(ChdbReader):
    """A reader that knows which traces a search is about. Safe for several threads."""

    _newest: tuple[int, float] | None = None
    """The newest start there was when it was last asked for, and until when that does."""

    def population(
        self,
        search: Search,
        question: Question,
        beside: Condition | None = None,
    ) -> Population:
        """The traces that a search finds in a window of starts, as conditions for statements. Raises BadInput, and as `Question.rows`.

        `beside` is one more condition on whole traces, with its parameters.
        """
        bound: dict[str, str] = {}
        whole: list[str] = []
        if beside is not None:
            bound.update(beside.bound)
            whole.append(beside.sql)
        only = span_window(search, bound)
        one = span_conditions(search, Bound(bound), question)
        if only is not None and (one or search.where is None or not has_braces(search.where)):
            one.append(only)
        relations: list[Relation] = []

        def related(relation: Relation) -> str:
            relations.append(relation)
            return f"trace_id IN {IDS.replace('ids', f'related{len(relations) - 1}')}"

        translator = Translator(question, bound, related, only)
        where = translator.where(search.where) if search.where is not None else None
        braces = [translator.conditions(relation) for relation in relations]
        again = Again(search.where)
        ends = NewestEnds(bounds(search)[0], lambda from_ns, to_ns: self._newest_end(from_ns, to_ns, question))

        def within(
            from_ns: int, to_ns: int, open_above: bool, least_spans: int | None = None, *, few: bool = False
        ) -> Chosen:
            window = {**bound, "from_ns": str(from_ns), "to_ns": str(to_ns)}
            sets: list[str] = []
            conditions = ["s>=NS({from_ns:Int64}) AND s<NS({to_ns:Int64})", *whole]
            words = NOT_COUNTED
            if where is not None or one or least_spans is not None:
                conditions_of_spans = one if where is None else [*one, where.sets]
                is_indexed = any(word in text for text in conditions_of_spans for word in _BY_INDEX)
                spans_in = self.spans_of(window, open_above or only is not None, question, ends, is_indexed)
                if few and not open_above:
                    # Spans after the window may be of any later trace: to list all of these costs more than to leave them out.
                    spans_in += f" AND {STARTED}"
                words = {"WINDOW_OF_SPANS": spans_in, **again.replaced(window, spans_in, least_spans, question)}
                if one:
                    found = f"SELECT trace_id FROM spans WHERE {spans_in} AND start!=FRAGMENT AND {' AND '.join(one)}"
                    sets.append(f"trace_id IN ({found})")
                if where is not None:
                    sets.append(put(where.sets, words))
                    conditions.append(put(where.whole, words))
                for at, relation in enumerate(relations):
                    inside = [put(text, words) for text in braces[at]]
                    window[f"related{at}"] = related_traces(relation, inside, window, spans_in, question)
            if not one and (where is None or not where.is_bounded):
                sets.append(STARTED)
            return Chosen(" AND ".join(sets), put(" AND ".join(conditions), words), window, words)

        return within

    def spans_of(
        self,
        window: dict[str, str],
        open_above: bool,
        question: Question,
        ends: NewestEnds | None = None,
        is_indexed: bool = False,
    ) -> str:
        """The condition that bounds the spans of the traces in a window, whose parameters it adds to.

        A span may start long after its trace did: up to the newest end of these traces. That is asked for where traces started long
        after the window: more than an hour, the unit of the key of `spans`, and than a part of its length. Else there is little after it that
        could be left out, and asking costs as much as reading it: `is_indexed` where an index says of most spans that they are not looked for.
        """
        if not open_above:
            from_ns, to_ns = int(window["from_ns"]), int(window["to_ns"])
            length_ns = to_ns - from_ns
            little_ns = length_ns if is_indexed else min(length_ns // 4, 6 * _AN_HOUR_NS)
            if to_ns + max(_AN_HOUR_NS, little_ns) <= self._newest_start(question):
                end_ns = ends.of(from_ns, to_ns) if ends is not None else self._newest_end(from_ns, to_ns, question)
                if end_ns < LAST_START_NS:
                    window["end_ns"] = str(end_ns + 1)
                    return "H(NS({from_ns:Int64}),NS({end_ns:Int64}))"
        return "FROM_HOUR(NS({from_ns:Int64}))"

    def ends(self, search: Search, question: Question) -> tuple[int, int]:
        """A time about in which all traces of a search start: what it names, else when those that there are start.

        Nothing but what an answer costs may depend on it. Raises as `Question.rows`.
        """
        from_ns, to_ns = bounds(search)
        if search.to_unix_nano is None:
            to_ns = max(from_ns, self._newest_start(question)) + 1
        if search.from_unix_nano is None:
            found = self._nearest(from_ns, to_ns, ORDERS["start"], from_ns, 1, question)
            from_ns = found[0] if found is not None else to_ns - 1
        return from_ns, to_ns

    def _newest_start(self, question: Question) -> int:
        """That of all traces, as it was some seconds ago: nothing but what an answer costs may depend on it. 0 where there is none."""
        known, now_s = self._newest, self._clock_s()
        if known is None or known[1] < now_s:
            found = self._nearest(FIRST_START_NS, LAST_START_NS, ORDERS["-start"], LAST_START_NS, 1, question)
            self._newest = known = found[0] if found else 0, now_s + _NEWEST_START_FOR_S
        return known[0]

    def _newest_end(self, from_ns: int, to_ns: int, question: Question) -> int:
        window = {"from_ns": str(from_ns), "to_ns": str(to_ns)}
        _, end_ns = question.rows("newest_end", window)[0]
        return int(end_ns)

    @staticmethod
    def _nearest(
        begin_ns: int, end_ns: int, order: Order, reached_ns: int, traces: int, question: Question
    ) -> tuple[int, int | None] | None:
        """The nearest start there is on the way, None where there is none, and about that of so many traces further, None where fewer are left."""
        from_ns, to_ns = (begin_ns, reached_ns) if order.descends else (reached_ns, end_ns)
        if from_ns >= to_ns:
            return None
        limit = traces if traces == 1 else traces * ROWS_OF_A_TRACE
        bound = {"from_ns": str(from_ns), "to_ns": str(to_ns), "limit": str(limit)}
        sign = "-" if order.descends else ""
        words = {"NEAREST": f"{sign}1", "FURTHEST": "1" if order.descends else "-1", "NTH": f"{sign}{traces}"}
        words["DIRECTION"] = "DESC" if order.descends else "ASC"
        count, first_ns, last_ns, nth_ns = map(int, question.rows("nearest_starts", bound, **words)[0])
        if not count:
            return None
        return first_ns, nth_ns or (last_ns if count == limit else None)
