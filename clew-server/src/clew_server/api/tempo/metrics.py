"""TraceQL metrics: `/api/metrics/query_range` as counts and durations over time. Pure: now is an argument."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from clew_server.api.tempo.attributes import Attribute
from clew_server.api.tempo.searches import time_window
from clew_server.api.tempo.tokens import duration_ns
from clew_server.api.tempo.traceql import Metric, parse
from clew_server.errors import BadInput, Unsupported
from clew_server.model.query_tree import Braces, TraceTerm, terms
from clew_server.model.search import KIND_WORDS, STATUS_WORDS
from clew_server.model.series import Point, Series, SeriesAsked

_NS: Final = 1_000_000_000
_HOUR_NS: Final = 3_600 * _NS
_MOST_STEPS: Final = 11_000
_USUAL_STEPS: Final = 120
_MOST_SERIES: Final = 1_000
_WORDS: Final = {"status": STATUS_WORDS, "kind": KIND_WORDS}


@dataclass(frozen=True, slots=True)
class RangeAsked:
    """What `query_range` asks for."""

    asked: SeriesAsked
    metric: Metric


def range_from_parameters(parameters: Mapping[str, str], now_unix_nano: int) -> RangeAsked:
    """The question of `/api/metrics/query_range`. Raises BadInput, whose message names the parameter, Unsupported for a query that
    cannot be answered.
    """
    query = parse(parameters.get("q") or parameters.get("query") or "")
    if query.metric is None:
        raise BadInput("q: wants a metric in the pipe, as in { status = error } | rate()", code="bad_query")
    if not isinstance(query.spansets, Braces):
        raise Unsupported("q: a metric is answered of one pair of braces", code="unsupported_query")
    if any(isinstance(term, TraceTerm) for term in terms(query.spansets)):
        raise Unsupported("q: a metric is answered of conditions on spans, not on traces", code="unsupported_query")
    start, end = time_window(parameters)
    if start is None or end is None:
        end = now_unix_nano
        start = end - (duration_ns(parameters["since"]) if parameters.get("since") else _HOUR_NS)
    step_ns = _step(parameters.get("step", ""), end - start)
    # Steps begin at whole multiples, so that the same step means the same time in each answer.
    start -= start % step_ns
    if (end - start) // step_ns > _MOST_STEPS:
        raise BadInput(f"step: more than {_MOST_STEPS} steps", code="bad_parameter")
    return RangeAsked(
        SeriesAsked(
            from_unix_nano=start,
            to_unix_nano=end,
            step_ns=step_ns,
            where=query.spansets,
            by=tuple(map(_label, query.metric.by)),
            levels=query.metric.levels,
        ),
        query.metric,
    )


def _label(attribute: Attribute) -> str:
    place, key = attribute.place, attribute.key
    if place in ("resource", "any") and key == "service.name":
        return "service"
    if place == "intrinsic" and key in ("name", "status", "kind"):
        return key
    if place in ("span", "any"):
        return f"attr:{key}"
    raise Unsupported(
        f"by({attribute.text}) is not answered: name, status, kind, resource.service.name and attributes of spans are",
        code="unsupported_query",
    )


def _step(text: str, length_ns: int) -> int:
    if not text:
        return max(_NS, length_ns // _USUAL_STEPS // _NS * _NS)
    step_ns = round(float(text) * _NS) if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text) else duration_ns(text)
    if step_ns < 1_000_000:
        raise BadInput("step: at least a millisecond", code="bad_parameter")
    return step_ns


def answer(asked: RangeAsked, series: Series) -> dict[str, Any]:
    """The body of the answer. Counts and rates have each step, lengths only those with spans."""
    made = []
    for labels, points in _grouped(series.points):
        named = [
            _pair(attribute, _word(label, asked_by))
            for attribute, asked_by, label in zip(asked.metric.by, asked.asked.by, labels, strict=True)
        ]
        for extra, samples in _samples(asked, points):
            pairs = [*named, *extra] or [("__name__", asked.metric.function)]
            made.append(
                {
                    "labels": [{"key": key, "value": _value(value)} for key, value in pairs],
                    "samples": [{"timestampMs": str(ms), "value": value} for ms, value in samples],
                    "promLabels": "{"
                    + ", ".join(f"{_prom_name(key)}={json.dumps(str(value))}" for key, value in pairs)
                    + "}",
                }
            )
    if len(made) > _MOST_SERIES:
        raise BadInput(f"more than {_MOST_SERIES} series: ask by fewer attributes", code="too_many")
    if not made and not asked.asked.by and asked.metric.function in ("rate", "count_over_time"):
        return answer(asked, Series([Point(0, (), 0, 0, 0, 0, ())], series.missing))
    return {"series": made, "metrics": {}}


def _grouped(points: Sequence[Point]) -> Iterator[tuple[tuple[str, ...], list[Point]]]:
    found: dict[tuple[str, ...], list[Point]] = {}
    for point in points:
        found.setdefault(point.labels, []).append(point)
    yield from found.items()


def _samples(
    asked: RangeAsked, points: Sequence[Point]
) -> Iterator[tuple[list[tuple[str, str | float]], list[tuple[int, float]]]]:
    """Further labels and (ms, value) of each series of these points."""
    question, function = asked.asked, asked.metric.function
    step_s = question.step_ns / _NS

    def at(step: int) -> int:
        return (question.from_unix_nano + step * question.step_ns) // 1_000_000

    if function in ("rate", "count_over_time"):
        counts = {point.step: point.spans for point in points}
        steps = -(-(question.to_unix_nano - question.from_unix_nano) // question.step_ns)
        per = step_s if function == "rate" else 1
        yield [], [(at(step), counts.get(step, 0) / per) for step in range(steps)]
    elif function == "quantile_over_time":
        for number, level in enumerate(question.levels):
            yield [("p", level)], [(at(point.step), point.quantiles_ns[number] / _NS) for point in points]
    else:
        yield [], [(at(point.step), _length_s(function, point)) for point in points]


def _length_s(function: str, point: Point) -> float:
    length_ns: float = {
        "min_over_time": point.min_ns,
        "max_over_time": point.max_ns,
        "sum_over_time": point.sum_ns,
        "avg_over_time": point.sum_ns / max(1, point.spans),
    }[function]
    return length_ns / _NS


def _pair(attribute: Attribute, value: str) -> tuple[str, str | float]:
    return attribute.text, value


def _word(label: str, by: str) -> str:
    words = _WORDS.get(by)
    return label if words is None else words[int(label)]


def _value(value: str | float) -> dict[str, Any]:
    return {"doubleValue": value} if isinstance(value, float) else {"stringValue": value}


def _prom_name(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z_]\w*", key) else json.dumps(key)
