"""What stands in attributes, and how many spans there are over time: for completion and for charts. Counts a span that came twice twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from clew_server.errors import BadInput, Unavailable
from clew_server.model.query_tree import Braces
from clew_server.model.search import Search
from clew_server.model.series import Point, Series, SeriesAsked
from clew_server.store.asking import Stopped
from clew_server.store.chdb_count import IDS
from clew_server.store.chdb_search import ChdbTraces
from clew_server.store.contract import Holding, Names, TraceSummary
from clew_server.store.orders import FIRST_START_NS, LAST_START_NS
from clew_server.store.peers import KEYS_AND_VALUES, peer_of
from clew_server.store.where.binding import Bound, hexed
from clew_server.store.where.translator import Translator, no_relations

LOOKED_AT: Final = 2_000_000
"""Spans that are looked at for keys and values."""
MAX_POINTS: Final = 100_000
_TYPES: Final = {0x0A: "string", 0x10: "bool", 0x18: "int", 0x21: "float"}
_LABELS: Final = {
    "service": "toString(service)",
    "name": "toString(name)",
    "kind": "toString(kind)",
    "status": "toString(status)",
}


class ChdbValues:
    """The store's TraceValues. Safe for several threads."""

    def __init__(self, traces: ChdbTraces) -> None:
        self._traces = traces

    def keys(self, from_unix_nano: int, to_unix_nano: int) -> Names[tuple[str, str]]:
        """See TraceValues."""
        rows, missing = self._rows("attribute_keys", {**_window(from_unix_nano, to_unix_nano), "rows": str(LOOKED_AT)})
        return Names(sorted((place, key) for place, key in rows), missing)

    def values(
        self, place: str, key: str, from_unix_nano: int, to_unix_nano: int, limit: int
    ) -> Names[tuple[str, str]]:
        """See TraceValues."""
        bound = {"key": hexed(key), "limit": str(limit)}
        if place == "resource":
            rows, missing = self._rows("values_of_resources", bound)
            return Names([("string", value) for value, _ in rows], missing)
        bound |= {**_window(from_unix_nano, to_unix_nano), "rows": str(LOOKED_AT)}
        rows, missing = self._rows("attribute_values", bound)
        return Names([(_TYPES.get(int(type_), "string"), value) for value, type_, _ in rows], missing)

    def resource_keys(self, limit: int) -> Names[str]:
        """See TraceValues."""
        return self._names("resource_keys", {"limit": str(limit)})

    def peers(self, service: str, from_unix_nano: int, to_unix_nano: int, limit: int) -> Names[str]:
        """See TraceValues."""
        bound = {"service": hexed(service), "limit": str(limit), **_window(from_unix_nano, to_unix_nano)}
        return self._names("peers", bound, PEER=peer_of("named"), KEYS_AND_VALUES=KEYS_AND_VALUES)

    def names(self, limit: int) -> Names[str]:
        """See TraceValues."""
        return self._names("names", {"limit": str(limit)})

    def series(self, asked: SeriesAsked) -> Series:
        """See TraceValues."""
        question = self._traces.question()
        bound = {
            **_window(asked.from_unix_nano, asked.to_unix_nano),
            "step_ns": str(asked.step_ns),
            "rows": str(MAX_POINTS + 1),
        }
        labels = [_LABELS.get(one) or f"attrs[{Bound(bound).text(one.removeprefix('attr:'))}]" for one in asked.by]
        levels = ",".join(repr(level) for level in asked.levels)
        try:
            condition = Translator(question, bound, no_relations).of_braces(asked.where)
            rows = question.rows(
                "series",
                bound,
                SPAN_CONDITIONS=condition,
                LABELS=f"[{','.join(labels)}]" if labels else "CAST([],'Array(String)')",
                QUANTILES=f"quantilesTDigest({levels})(duration)" if levels else "[]",
            )
        except Stopped as stopped:
            raise Unavailable(f"The store did not answer: {stopped}") from stopped
        if len(rows) > MAX_POINTS:
            raise BadInput(
                f"more than {MAX_POINTS} points: ask for a longer step, or by fewer attributes", code="too_many"
            )
        points = [
            Point(
                step=int(step),
                labels=tuple(found),
                spans=int(count),
                sum_ns=int(sum_ns),
                min_ns=int(min_ns),
                max_ns=int(max_ns),
                quantiles_ns=tuple(float(one) for one in quantiles),
            )
            for step, found, count, sum_ns, min_ns, max_ns, quantiles in rows
        ]
        return Series(points, question.missing())

    def holding(
        self, filters: Sequence[Braces], traces: Sequence[TraceSummary], search: Search
    ) -> Mapping[str, Holding]:
        """See TraceValues."""
        if not traces:
            return {}
        question = self._traces.question()
        starts = [one.start_unix_nano for one in traces]
        first_ns, last_ns = min(starts), max(one.start_unix_nano + one.duration_ns for one in traces)
        if search.span_from_unix_nano is not None and search.span_to_unix_nano is not None:
            first_ns, last_ns = max(first_ns, search.span_from_unix_nano), min(last_ns, search.span_to_unix_nano - 1)
        ids = "[" + ",".join(f"'{one.trace_id}'" for one in traces) + "]"
        found: list[dict[str, frozenset[bytes]]] = []
        try:
            for braces in filters:
                bound = {"ids": ids, **_window(min(starts), max(starts) + 1)}
                bound |= {f"span_{key}": value for key, value in _window(first_ns, last_ns + 1).items()}
                condition = Translator(question, bound, no_relations).of_braces(braces)
                rows = question.rows("spans_holding", bound, SPAN_CONDITION=condition, TRACE_SET=f"trace_id IN {IDS}")
                found.append({trace_id: frozenset(map(bytes.fromhex, spans)) for trace_id, spans in rows})
        except Stopped as stopped:
            raise Unavailable(f"The store did not answer: {stopped}") from stopped
        none: frozenset[bytes] = frozenset()
        return {one.trace_id: [spans.get(one.trace_id, none) for spans in found] for one in traces}

    def _names(self, name: str, bound: dict[str, str], **words: str) -> Names[str]:
        rows, missing = self._rows(name, bound, **words)
        return Names([found for (found,) in rows], missing)

    def _rows(self, name: str, bound: dict[str, str], **words: str) -> tuple[list[list[Any]], str | None]:
        question = self._traces.question()
        try:
            return question.rows(name, bound, **words), question.missing()
        except Stopped as stopped:
            raise Unavailable(f"The store did not answer: {stopped}") from stopped


def _window(from_unix_nano: int, to_unix_nano: int) -> dict[str, str]:
    def inside(time_ns: int) -> str:
        return str(min(max(FIRST_START_NS, time_ns), LAST_START_NS))

    return {"from_ns": inside(from_unix_nano), "to_ns": inside(to_unix_nano)}
