"""Rate, failures and durations over time from chDB: from what is counted by minute where that is enough, else from the spans."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValueList

from clew_server.errors import BadInput, Unavailable
from clew_server.model.attributes import json_text
from clew_server.model.families import newest_first
from clew_server.model.query_tree import SpanTerm, TraceTerm, conjuncts, is_of_names, of_one_span, terms
from clew_server.model.red import MOST_SERIES, Beside, Came, Failing, Red, RedAsked, RedFigures, RedSeries
from clew_server.model.search import KIND_WORDS, STATUS_WORDS, Search
from clew_server.model.text import written_double
from clew_server.model.usual import ENOUGH
from clew_server.store import queries
from clew_server.store.asking import Question, Stopped
from clew_server.store.chdb_search import ChdbTraces
from clew_server.store.orders import FIRST_START_NS, bounds
from clew_server.store.where.attributes import place_of
from clew_server.store.where.binding import OPERATIONS, Bound, operations_bound
from clew_server.store.where.comparing import DOUBLE, LIST, double_written
from clew_server.store.where.translator import Translator, no_relations

_MINUTE_NS: Final = 60_000_000_000
_SECOND_NS: Final = 1_000_000_000
_HOUR_NS: Final = 60 * _MINUTE_NS
_DAY_NS: Final = 24 * _HOUR_NS
_MAP: Final = 50
"""The type of an attribute that is a map, as `LIST`."""
_LIST_MARK: Final = "\x01"
_MAP_MARK: Final = "\x02"
_MARK: Final = "\x03"
_MARKS: Final = {LIST: _LIST_MARK, _MAP: _MAP_MARK}
"""What stands before the values of attributes by their types, `_MARK` before all others: lists and maps are kept as the base64 of their
protobuf, which could be a text too, and an empty value is one."""
_COLUMNS: Final[dict[str, str]] = {
    "kind": f"transform(kind,{list(range(len(KIND_WORDS)))},{list(KIND_WORDS)},'')",
    "status": f"transform(status,{list(range(len(STATUS_WORDS)))},{list(STATUS_WORDS)},'')",
    "scope": "toString(scope)",
}
"""What spans may be counted by that is no attribute, as SQL."""
MOST_ROWS: Final = 100_000
LEAST_FAILURES: Final = 10
"""An operation with fewer in a time is not looked at: so few may be chance."""


class ChdbRed:
    """The store's TraceRed. Safe for several threads."""

    def __init__(self, traces: ChdbTraces) -> None:
        self._traces = traces

    def red(self, asked: RedAsked) -> Red:
        """See TraceRed."""
        question = self._traces.question()
        try:
            if isinstance(asked.by, str) and is_of_names(asked.search.where) and asked.step_ns % _MINUTE_NS == 0:
                from_ns, to_ns, rows = self._of_minutes(asked, question)
            else:
                from_ns, to_ns, rows = self._of_spans(asked, question)
        except Stopped as stopped:
            raise Unavailable(f"The store did not answer: {stopped}") from stopped
        if len(rows) > MOST_ROWS:
            raise BadInput(f"more than {MOST_ROWS:,} points: ask for a longer step, or by another key", code="too_many")
        series = _series(rows, asked.by)
        reasons = [question.missing()] if question.missing() else []
        if len(series) > MOST_SERIES:
            reasons.append(f"the {MOST_SERIES} with most spans of {len(series):,}")
        reason = "; ".join(one for one in reasons if one) or None
        return Red(from_ns, to_ns, asked.step_ns, series[:MOST_SERIES], reason is None, reason)

    def failing(self, search: Search, step_ns: int, before_ns: int) -> list[Failing]:
        """See TraceRed."""
        from_ns, to_ns = _minutes(search)
        question = self._traces.question()
        bound: dict[str, str] = {}
        condition = self._condition(search, bound, question)
        bound |= {"from_s": _seconds(from_ns), "to_s": _seconds(to_ns - _MINUTE_NS), "step_s": _seconds(step_ns)}
        bound |= {"before_s": _seconds(max(FIRST_START_NS, from_ns - before_ns))}
        # About as many operations as have so many steps together.
        steps = -(-(to_ns - from_ns) // step_ns) - (-before_ns // step_ns)
        of_operations = {"least": str(LEAST_FAILURES), "limit": str(max(1, MOST_ROWS // steps))}
        rows = self._rows("failing_by_step", bound | of_operations, condition, question, search)
        failing = {
            (service, name): Failing(
                _text(service),
                _text(name),
                [(int(step), int(spans), int(failed)) for step, spans, failed in found],
                _kinds(int(bits)),
            )
            for service, name, found, bits in rows
        }
        first = (int(bound["before_s"]) - int(bound["from_s"])) // int(bound["step_s"])
        late = {key: one for key, one in failing.items() if one.steps[0][0] > first}
        if late and question.missing() is None:  # where parts are left out, nobody knows what is new
            failing |= self._with_calls_before(late, bound, condition, question, search)
        return list(failing.values())

    def _with_calls_before(
        self,
        late: dict[tuple[str, str], Failing],
        bound: dict[str, str],
        condition: str,
        question: Question,
        search: Search,
    ) -> dict[tuple[str, str], Failing]:
        """Operations, by the hex digits of their names, with what they or all others did before the first of their steps."""
        words = {"operations": operations_bound(late)}
        rows = self._rows("earlier_calls", bound | words, condition, question, search, OPERATIONS=OPERATIONS)
        earlier = {(service, name): (int(calls), int(failed)) for service, name, calls, failed in rows}
        if len(earlier) < len(late):
            found = self._rows("calls_by_step", bound, "1", question, search)
            steps = [(int(step), int(calls), int(failed)) for step, calls, failed in found]
        return {
            key: one._replace(earlier=earlier[key]) if key in earlier else one._replace(came=_came(one, steps))
            for key, one in late.items()
        }

    def beside(self, search: Search) -> list[Beside]:
        """See TraceRed."""
        from_ns, to_ns = _minutes(search)
        from_ns = max(from_ns, to_ns - _HOUR_NS)
        question = self._traces.question()
        bound: dict[str, str] = {}
        condition = self._condition(search, bound, question)
        bound |= {"from_s": _seconds(from_ns), "to_s": _seconds(to_ns - _MINUTE_NS)}
        bound |= {"before_s": _seconds(from_ns - _HOUR_NS), "earlier_from_s": _seconds(from_ns - _DAY_NS)}
        bound |= {"earlier_to_s": _seconds(to_ns - _DAY_NS - _MINUTE_NS), "least": str(ENOUGH), "limit": str(MOST_ROWS)}
        return [
            Beside(_text(service), _text(name), int(spans), int(usual), lengths, usual_lengths, _kinds(int(bits)))
            for service, name, spans, usual, lengths, usual_lengths, bits in self._rows(
                "lengths_beside", bound, condition, question, search
            )
        ]

    def _rows(
        self, name: str, bound: dict[str, str], condition: str, question: Question, search: Search, **words: str
    ) -> list[list[Any]]:
        asks_for_kinds = any(term.place == "kind" for term in terms(search.where))
        kind_bit = "bitShiftLeft(toUInt64(1),kind)" if asks_for_kinds else "0"
        try:
            return question.rows(name, bound, SPAN_CONDITIONS=condition, KIND_BIT=kind_bit, **words)
        except Stopped as stopped:
            raise Unavailable(f"The store did not answer: {stopped}") from stopped

    @staticmethod
    def _condition(search: Search, bound: dict[str, str], question: Question) -> str:
        """What a query about names only asks of a row of `red`."""
        braces = of_one_span(search.where)
        return "1" if braces is None else Translator(question, bound, no_relations).of_braces(braces)

    def _of_minutes(self, asked: RedAsked, question: Question) -> tuple[int, int, list[list[Any]]]:
        from_ns, to_ns = _minutes(asked.search)
        bound: dict[str, str] = {}
        condition = self._condition(asked.search, bound, question)
        bound |= {"from_s": str(from_ns // _SECOND_NS), "to_s": str(to_ns // _SECOND_NS - 1)}
        bound |= {"step_s": str(asked.step_ns // _SECOND_NS), "limit": str(MOST_ROWS + 1)}
        words = _labels(asked, bound, question)
        return from_ns, to_ns, question.rows("red_of_minutes", bound, SPAN_CONDITIONS=condition, **words)

    def _of_spans(self, asked: RedAsked, question: Question) -> tuple[int, int, list[list[Any]]]:
        search = asked.search
        from_ns, to_ns = bounds(search)
        bound = {"from_ns": str(from_ns), "to_ns": str(to_ns)}
        conditions: list[str] = []
        braces = of_one_span(search.where)
        if braces is not None:
            conditions.append(Translator(question, bound, no_relations).of_braces(braces))
        if search.where is not None and (
            braces is None or any(isinstance(part, TraceTerm) for part in conjuncts(search.where))
        ):
            chosen = self._traces.population(search, question)(from_ns, to_ns, False)
            # Both texts have parameters of the same names, so one of them gets others.
            inner = queries.part("traces_chosen", TRACE_SETS=chosen.sets, TRACE_CONDITIONS=chosen.conditions)
            for name, value in chosen.bound.items():
                inner = inner.replace("{" + name + ":", "{of_traces_" + name + ":")
                bound[f"of_traces_{name}"] = value
            conditions.append(f"trace_id IN ({inner})")
        bound |= {"step_ns": str(asked.step_ns), "limit": str(MOST_ROWS + 1)}
        words = _labels(asked, bound, question)
        sql = " AND ".join(conditions) or "1"
        window = "H(NS({from_ns:Int64}),NS({to_ns:Int64}))"
        rows = question.rows("red_of_spans", bound, SPAN_WINDOW=window, SPAN_CONDITIONS=sql, **words)
        return from_ns, to_ns, rows


def _came(one: Failing, steps: Sequence[tuple[int, int, int]]) -> Came:
    """What all operations did before an operation's first step, and from it on."""
    at = one.steps[0][0]
    before = [step for step in steps if step[0] < at]
    calls = sum(calls for _, calls, _ in before)
    return Came(calls, sum(failed for _, _, failed in before), sum(calls for _, calls, _ in steps) - calls)


def _kinds(bits: int) -> list[int]:
    return [kind for kind in range(len(KIND_WORDS)) if bits >> kind & 1]


def _minutes(search: Search) -> tuple[int, int]:
    """The whole minutes that hold the time of a search."""
    from_ns, to_ns = bounds(search)
    return from_ns // _MINUTE_NS * _MINUTE_NS, -(-to_ns // _MINUTE_NS) * _MINUTE_NS


def _seconds(time_ns: int) -> str:
    return str(time_ns // _SECOND_NS)


def _labels(asked: RedAsked, bound: dict[str, str], question: Question) -> dict[str, str]:
    """What spans are counted by, as columns: a service beside it, and the value; and whether it is there."""
    if isinstance(asked.by, str):
        column = {"service": "service", "operation": "name"}[asked.by]
        beside = "toString(service)" if asked.by == "operation" else "''"
        return {"SERVICE_OR_NONE": beside, "VALUE_OF_SPAN": f"toString({column})", "IS_NAMED": "1"}
    by: SpanTerm = asked.by
    if by.place in _COLUMNS:
        return {"SERVICE_OR_NONE": "''", "VALUE_OF_SPAN": _COLUMNS[by.place], "IS_NAMED": "b!=''"}
    names = (by.key,) if by.exact else newest_first(by.key)
    place = place_of([Bound(bound).text(key) for key in names], "mapKeys(attrs)")
    if by.place == "of_resource":
        label = _of_resources(place, bound, question)
    else:
        otherwise = "''" if by.place == "of_span" else _of_resources(place, bound, question)
        label = f"if({place}>0,{_marked(place)},{otherwise})"
    return {"SERVICE_OR_NONE": "''", "VALUE_OF_SPAN": label, "IS_NAMED": "b!=''"}


def _of_resources(place: str, bound: dict[str, str], question: Question) -> str:
    """SQL of the value that a span's resource has at a place, marked as those of spans are; the empty text where it has none."""
    rows = question.rows("resource_labels", {**bound}, PLACE_OF_KEY=place)
    if not rows:
        return "''"
    labels: list[str] = []
    for _, hexes, type_ in rows:
        text = _text(hexes)
        if int(type_) == DOUBLE:
            text = written_double(float(text))
        labels.append((_MARKS.get(int(type_), _MARK) + text).encode().hex())
    bound["resources"] = f"[{','.join(str(int(key)) for key, _, _ in rows)}]"
    bound["labels"] = "[" + ",".join(f"'{label}'" for label in labels) + "]"
    return "transform(res_key,{resources:Array(UInt64)},arrayMap(x->unhex(x),{labels:Array(String)}),'')"


def _marked(place: str) -> str:
    """SQL of the value at a place among a span's attributes, as it is written, with the mark of its type."""
    value, type_ = f"mapValues(attrs)[{place}]", f"attr_types[{place}]"
    text = f"if({type_}={DOUBLE},{double_written(value)},{value})"
    return f"concat(transform({type_},{list(_MARKS)},{list(_MARKS.values())},'{_MARK}'),{text})"


def _series(rows: Sequence[Sequence[Any]], by: SpanTerm | str) -> list[RedSeries]:
    has_service = by == "operation"
    value_of = _text if isinstance(by, str) or by.place in _COLUMNS else _value
    whole: dict[tuple[str, str], RedFigures] = {}
    points: dict[tuple[str, str], list[tuple[int, RedFigures]]] = {}
    for service, value, step, spans, failed, _, p50, p95, p99, estimated, estimated_failed in rows:
        key = (_text(service), value_of(value))
        levels = [round(float(level)) for level in (p50, p95, p99)]
        counts = int(spans), int(failed)
        figures = RedFigures(*counts, levels[0], levels[1], levels[2], int(estimated), int(estimated_failed))
        if int(step) < 0:
            whole[key] = figures
        else:
            points.setdefault(key, []).append((int(step), figures))
    found = [RedSeries(key[0] if has_service else None, key[1], whole[key], points.get(key, [])) for key in whole]
    return sorted(found, key=lambda one: (-one.whole.spans, one.service or "", one.value))


def _text(hexes: str) -> str:
    return bytes.fromhex(hexes).decode("utf-8", "replace")


def _value(hexes: str) -> str:
    """The value of an attribute, which has a mark before it; of a list and a map the JSON."""
    marked = _text(hexes)
    mark, text = marked[:1], marked[1:]
    try:
        if mark == _LIST_MARK:
            return json_text(AnyValue(array_value=ArrayValue.FromString(base64.b64decode(text, validate=True))))
        if mark == _MAP_MARK:
            return json_text(AnyValue(kvlist_value=KeyValueList.FromString(base64.b64decode(text, validate=True))))
    except (ValueError, DecodeError):
        pass  # cut or written by something else: as it is stored
    return text
