"""All traces that match as figures, from chDB: exact totals and heatmap; facets of as many spans as can be looked at."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from clew_server.errors import Unavailable
from clew_server.model.families import FAMILIES, family
from clew_server.model.points import Point, Points
from clew_server.model.search import KIND_WORDS, STATUS_WORDS, Search
from clew_server.model.summary import (
    FINE_LENGTHS,
    Box,
    Facet,
    FacetPlace,
    FacetValue,
    Heatmap,
    Summary,
    Totals,
    length_edges,
    time_edges,
)
from clew_server.store import queries
from clew_server.store.asking import Question, Stopped
from clew_server.store.chdb_population import Chosen
from clew_server.store.chdb_search import ChdbTraces, iso
from clew_server.store.failing import EXCEPTION, FAILED_ALONE
from clew_server.store.macros import STARTED, words_replaced
from clew_server.store.orders import LAST_START_NS, bounds
from clew_server.store.spread import ONE_OF
from clew_server.store.summary_grid import Counted, Edges
from clew_server.store.where.binding import Bound

FACET_SPANS: Final = 200_000
"""Spans that facets are counted in at most, by the minutes they start in: bounds the time that the answer takes (bench/query)."""
MOST_VALUES: Final = 100
"""A key with more different values is no facet."""
_MAX_KEYS: Final = 200
"""Keys that are counted where there are too many pairs of keys and values to count all: those of most spans."""
_MOST_PAIRS: Final = 50_000
_LOOKED_AT: Final = 16_384
"""Spans that are looked at first, for keys with so many values that they are no facets: what they take is saved."""
_ROWS_SEEN: Final = 4_096
"""Rows of `traces` that tell whether most of them start in a time."""
_SECOND_NS: Final = 1_000_000_000
_WORDS: Final = {"kind": KIND_WORDS, "status": STATUS_WORDS}
_OLD: Final = {name: family[0] for family in FAMILIES for name in family[1:]}


def _texts(names: list[str]) -> str:
    return "[" + ",".join(f"'{name}'" for name in names) + "]"


_NEWEST_NAME: Final = f"transform(toString(k),{_texts(list(_OLD))},{_texts(list(_OLD.values()))},toString(k))"
_CATEGORIES: Final = "(10,16,24)"
"""Types of values that facets count: texts, booleans and integers, as the first bytes of raw values."""
_IN_BOX: Final = (
    "(start_ns>={t0_ns:Int64} AND start_ns<{t1_ns:Int64} AND length_ns>={d0_ns:Int64} AND length_ns<{d1_ns:Int64})"
)
_FLAG: Final = 1 << 30
"""Numbers of traces by which facets count stand in four runs of so many: neither failed nor selected, failed, both, selected. One set
of them then says all three counts of a value, at little more than the cost of one."""
_NUMBER: Final = f"toUInt32(rowNumberInAllBlocks())+toUInt32(if(is_selected,3-has_failed,has_failed))*toUInt32({_FLAG})"


def _counted_from(first: int, end: int) -> str:
    return f"bitmapCardinality(bitmapSubsetInRange(traces,toUInt32({first}),toUInt32({end})))"


_FAILED_AND_SELECTED: Final = _counted_from(2 * _FLAG, 3 * _FLAG)
_COUNTS: Final = f"bitmapCardinality(traces) AS traces_with,{_counted_from(_FLAG, 3 * _FLAG)},{_counted_from(2 * _FLAG, 4 * _FLAG - 1)}"


class ChdbSummary:
    """The store's TraceSummaries. Safe for several threads."""

    def __init__(self, traces: ChdbTraces) -> None:
        self._traces = traces
        self._is_unknown = False
        """Whether some of the traces counted last do not say themselves whether they failed: nothing but what an answer costs may depend on it."""

    def summary(self, search: Search, box: Box | None) -> Summary:
        """See TraceSummaries."""
        question = self._traces.question()
        from_ns, to_ns = bounds(search)
        open_above = search.to_unix_nano is None
        try:
            population = self._traces.population(search, question)
            chosen = self._read(population(from_ns, to_ns, open_above), question)
            counted, heatmap, outcomes = self._counted(chosen, search, box, question)
        except Stopped as stopped:
            raise Unavailable(f"The store did not answer: {stopped}") from stopped
        nothing = Totals(0, 0, 0, 0)
        if not counted.matched:
            missing = question.missing()
            return Summary(nothing, [], heatmap, [], nothing, from_ns, to_ns, missing is None, missing)
        oldest_ns, newest_ns = counted.oldest_ns, counted.newest_ns
        members = self._members(chosen, open_above, box, outcomes, question)
        part_ns, reason = (from_ns, to_ns), None
        facets, facets_of = list[Facet](), nothing
        try:
            part_ns, spans = self._part(max(from_ns, oldest_ns), min(to_ns, newest_ns + 1), box, question)
            if part_ns[0] > oldest_ns or part_ns[1] <= newest_ns:
                reason = f"facets are counted in the traces that start from {iso(part_ns[0])} to {iso(part_ns[1])}"
                members = self._members(population(*part_ns, False), False, box, outcomes, question)
                # Spans of the newest traces end with those of all; what others have after that is not read.
                members = members.until(counted.end_ns) if part_ns[1] > newest_ns else self._bounded(members, question)
                facets, facets_of = self._facets(members, None, spans, question)
            else:
                if not members.window:
                    members = members._replace(window=self._traces.spans_of(chosen.bound, open_above, question))
                facets, facets_of = self._facets(members, counted.totals, spans, question)
        except Stopped as stopped:
            reason = f"{stopped}; there are no facets"
        reasons = [one for one in (reason, question.missing()) if one]
        return Summary(
            totals=counted.totals,
            lengths_ns=counted.lengths_ns[1:-1],
            heatmap=heatmap,
            facets=facets,
            facets_of=facets_of,
            facets_from_unix_nano=part_ns[0],
            facets_to_unix_nano=part_ns[1],
            complete=not reasons,
            reason="; ".join(reasons) or None,
            estimated=counted.estimated,
        )

    def matched(self, search: Search) -> int:
        """See TraceSummaries."""
        question = self._traces.question()
        try:
            population = self._traces.population(search, question)
            chosen = population(*bounds(search), search.to_unix_nano is None)
            words = {"TRACE_SETS": chosen.sets, "TRACE_CONDITIONS": chosen.conditions}
            return int(question.rows("traces_matched", chosen.bound, **words)[0][0])
        except Stopped as stopped:
            raise Unavailable(f"The store did not answer: {stopped}") from stopped

    def points(self, search: Search, limit: int) -> Points:
        """See TraceSummaries."""
        question = self._traces.question()
        try:
            population = self._traces.population(search, question)
            open_above = search.to_unix_nano is None
            chosen = self._read(population(*bounds(search), open_above), question)
            members = self._members(chosen, open_above, None, self._outcomes(True, question), question)
            rows = question.rows("traces_sampled", members.bound | {"limit": str(limit + 1)}, MEMBERS=members.sql)
        except Stopped as stopped:
            raise Unavailable(f"The store did not answer: {stopped}") from stopped
        found = [Point(int(start), int(length), bool(int(failed)), one) for start, length, failed, one in rows[:limit]]
        reasons = [f"{limit:,} traces: those that failed first, of the others a sample"] if len(rows) > limit else []
        reasons += [missing] if (missing := question.missing()) else []
        return Points(found, "; ".join(reasons) or None)

    def _members(
        self, chosen: Chosen, open_above: bool, box: Box | None, outcomes: str, question: Question
    ) -> _Members:
        """The traces with what is known of each. Their spans are bounded where the search or the outcomes are about spans."""
        window = chosen.words.get("WINDOW_OF_SPANS", "")
        if not window and "SPAN_WINDOW" in outcomes:
            window = self._traces.spans_of(chosen.bound, open_above, question)
        return _Members(chosen, window, box, outcomes)

    @staticmethod
    def _read(chosen: Chosen, question: Question) -> Chosen:
        """The same traces, without being looked for in the table where they are most of it.

        The condition on whole traces says the same, at less than what it costs to make a set of so many and to ask it for each row.
        """
        if STARTED not in chosen.sets:
            return chosen
        started, rows = map(int, question.rows("rows_started", {**chosen.bound, "wanted": str(_ROWS_SEEN)})[0])
        return chosen._replace(sets=chosen.sets.replace(STARTED, "1")) if started * 2 >= rows else chosen

    @staticmethod
    def _outcomes(is_unknown: bool, question: Question) -> str:
        """Whether a trace holds a failed span, as SQL. The spans are looked at for those few traces that do not say it themselves."""
        known = ["max(traces.outcome)=2"]
        if is_unknown:
            of_spans = (
                f"SELECT trace_id FROM spans WHERE SPAN_WINDOW AND start!=FRAGMENT AND outcome!=0 AND {FAILED_ALONE}"
            )
            known.append(f"(max(traces.outcome)=1 AND trace_id IN ({of_spans}))")
        if question.rows("fragments_that_fail", {}, EXCEPTION=EXCEPTION)[0][0]:
            of_fragments = f"SELECT trace_id, span_id FROM spans WHERE IS_FRAGMENT AND {EXCEPTION}"
            in_spans = f"SPAN_WINDOW AND start!=FRAGMENT AND status=0 AND (trace_id,span_id) IN ({of_fragments})"
            known.append(f"trace_id IN (SELECT trace_id FROM spans WHERE {in_spans})")
        return f"({' OR '.join(known)})"

    def _counted(
        self, chosen: Chosen, search: Search, box: Box | None, question: Question
    ) -> tuple[Counted, Heatmap, str]:
        """Figures of all traces, their heatmap, and whether a trace holds a failed span, as SQL.

        Traces are counted before it is known which there are: by columns of the time in which some may be, and by lengths of which those
        to show are chosen. Where that does not do, they are counted again, now by what is known of them.
        """
        open_above = search.to_unix_nano is None
        edges = Edges(time_edges(*self._traces.ends(search, question)), FINE_LENGTHS)
        outcomes = self._outcomes(self._is_unknown, question)
        is_looked_at = self._is_unknown
        while True:
            members = self._members(chosen, open_above, box, outcomes, question)
            found = Counted.of(question.rows("summary_grid", members.bound | edges.bound, MEMBERS=members.sql)[0])
            if not found.matched:
                return found, Heatmap([], [], []), outcomes
            self._is_unknown = found.is_unknown
            from_ns, to_ns = bounds(search)
            x_ns = found.columns(
                None if search.from_unix_nano is None else from_ns, None if search.to_unix_nano is None else to_ns
            )
            heatmap = found.heatmap(edges, x_ns)
            if heatmap is not None and (is_looked_at or not found.is_unknown):
                return found, heatmap, outcomes
            if heatmap is None:
                edges = Edges(x_ns, length_edges(found.lengths_ns[0], found.lengths_ns[-1])[:-1])
            if found.is_unknown and not is_looked_at:
                outcomes, is_looked_at = self._outcomes(True, question), True

    def _part(self, from_ns: int, to_ns: int, box: Box | None, question: Question) -> tuple[tuple[int, int], int]:
        """The time whose traces facets are counted in, and about how many spans start in it.

        All of the time, or as much as there may be spans, before the end of the box.
        """
        bound = {"from_s": str(from_ns // _SECOND_NS // 60 * 60), "to_s": str(to_ns // _SECOND_NS)}
        minutes = [(int(minute_s), int(spans)) for minute_s, spans in question.rows("spans_by_minute", bound)]
        total = sum(spans for _, spans in minutes)
        if total <= FACET_SPANS:
            return (from_ns, to_ns), total
        end_ns = to_ns
        if box is not None and from_ns < box.to_unix_nano < to_ns:
            end_ns = box.to_unix_nano
        left, begin_ns = FACET_SPANS, end_ns
        for minute_s, spans in minutes:
            if minute_s * _SECOND_NS >= end_ns:
                continue
            if spans > left and begin_ns < end_ns:
                break
            left -= spans
            begin_ns = minute_s * _SECOND_NS
        return (max(from_ns, begin_ns), end_ns), FACET_SPANS - left

    @staticmethod
    def _bounded(members: _Members, question: Question) -> _Members:
        """The traces with their spans bounded."""
        if members.window:
            return members
        return members.until(int(question.rows("newest_end_of", members.bound, MEMBERS=members.sql)[0][0]))

    def _facets(
        self, members: _Members, totals: Totals | None, spans: int, question: Question
    ) -> tuple[list[Facet], Totals]:
        """Facets of some traces that have about so many spans, and how many traces these are, where that is not known."""
        words = {"NEWEST_NAME": _NEWEST_NAME, "COUNTS_OF_TRACES": _COUNTS, "CATEGORIES": _CATEGORIES}
        bound = members.bound | {"limit": str(MOST_VALUES + 1), "rows": str(_MOST_PAIRS)}
        numbered = members.numbered("service, name, kind, status, res_key")
        of_columns = question.rows(
            "facets_of_columns", bound, **words, NUMBERED_SPANS=numbered, FAILED_AND_SELECTED=_FAILED_AND_SELECTED
        )
        if totals is None:
            totals = next((Totals(*map(int, one[3:])) for one in of_columns if one[0] == "all"), Totals(0, 0, 0, 0))
        of_spans = self._of_attributes(members, bound, words, spans, question)
        rows = [one for one in of_columns if one[0] == "language"] + of_spans
        rows += [one for one in of_columns if one[0] == "resource"]
        found: dict[tuple[FacetPlace, str], list[FacetValue]] = {}
        for place, key, value, count, failed, selected, *_ in rows:
            text = _WORDS[key][int(value)] if place == "language" and key in _WORDS else value
            found.setdefault((place, key), []).append(_counted(text, totals, int(count), int(failed), int(selected)))
        is_few = {place_key: place_key[0] == "language" or len(found[place_key]) <= MOST_VALUES for place_key in found}
        return [Facet(*one, values) for one, values in found.items() if is_few[one]], totals

    def _of_attributes(
        self, members: _Members, bound: dict[str, str], words: dict[str, str], spans: int, question: Question
    ) -> list[list[Any]]:
        """Values of the spans' attributes, without those of keys that have too many already in a few of the spans."""
        sample = {**bound, "every": str(-(-spans // _LOOKED_AT))}
        some = {"SAMPLE": ONE_OF if spans > _LOOKED_AT else "1", "SPAN_WINDOW": members.window}
        some |= {"TRACE_SETS": members.chosen.sets, "MOST_VALUES": str(MOST_VALUES), "CATEGORIES": _CATEGORIES}
        keys = [(key, int(different)) for key, different, _ in question.rows("facet_keys", sample, **some)]
        words = {**words, "NUMBERED_SPANS": members.numbered("attrs.keys AS ks, attrs.values AS vs, attr_types AS ts")}
        # Under all its names, of which others may have few.
        many = sorted({name for key, different in keys if different > MOST_VALUES for name in family(key)})
        values = Bound(bound)
        condition = f"k NOT IN ({','.join(map(values.text, many))})" if many else "1"
        rows = question.rows("facets_of_spans", bound, **words, KEY_CONDITION=condition)
        if len(rows) < _MOST_PAIRS:
            return rows
        few = sorted(
            {name for key, _ in [one for one in keys if one[0] not in many][:_MAX_KEYS] for name in family(key)}
        )
        condition = f"k IN ({','.join(map(values.text, few))})" if few else "0"
        return question.rows("facets_of_spans", bound, **words, KEY_CONDITION=condition)


def _counted(value: str, of: Totals, traces: int, failed: int, selected: int) -> FacetValue:
    """A value's figures. Spans that arrived after the totals were asked for may have made them larger than those."""
    return FacetValue(value, min(traces, of.matched), min(failed, of.failed), min(selected, of.selected))


class _Members(NamedTuple):
    """Some traces, with what is known of each; `outcomes` is SQL of whether one holds a failed span."""

    chosen: Chosen
    window: str
    box: Box | None
    outcomes: str

    @property
    def bound(self) -> dict[str, str]:
        if self.box is None:
            return dict(self.chosen.bound)
        t0, t1, d0, d1 = self.box
        return {**self.chosen.bound, "t0_ns": str(t0), "t1_ns": str(t1), "d0_ns": str(d0), "d1_ns": str(d1)}

    def until(self, end_ns: int) -> _Members:
        """The same, whose spans are bounded by the newest end of one, where nothing else bounds them."""
        if self.window:
            return self
        bound = {**self.chosen.bound, "end_ns": str(min(end_ns, LAST_START_NS) + 1)}
        return self._replace(
            chosen=self.chosen._replace(bound=bound), window="H(NS({from_ns:Int64}),NS({end_ns:Int64}))"
        )

    @property
    def sql(self) -> str:
        return queries.part(
            "members",
            TRACE_SETS=self.chosen.sets,
            TRACE_CONDITIONS=self.chosen.conditions,
            IS_SELECTED=_IN_BOX if self.box is not None else "0",
            HAS_FAILED=words_replaced(self.outcomes, {"SPAN_WINDOW": self.window}),
        )

    def numbered(self, columns: str) -> str:
        """Columns of their spans, each with its trace's number, as SQL."""
        words = {"SPAN_WINDOW": self.window, "NUMBER_OF_TRACE": _NUMBER, "COLUMNS_OF_SPANS": columns}
        return f"({queries.part('numbered', MEMBERS=self.sql, **words)})"
