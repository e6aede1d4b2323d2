"""What the Monitor tab of Jaeger's UI asks: latencies, calls and errors over time, from the counts that the store keeps by minute."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from clew_server.api.jaeger.answers import JSON
from clew_server.api.jaeger.http import answers_in_structure, structured
from clew_server.api.jaeger.searches import truth, whole_number
from clew_server.api.leaving import while_asked
from clew_server.errors import BadInput
from clew_server.model.rates import RatePoint, RatesAsked
from clew_server.model.search import KIND_WORDS
from clew_server.query.service import QueryService

STEP_S: Final = 60
"""Counts are kept by minute, so points are no nearer to each other."""
_MAX_POINTS: Final = 11_000
_LOOKBACK_MS: Final = 3_600_000
_STEP_MS: Final = 5_000
_RATE_MS: Final = 600_000
_MAX_MS: Final = 366 * 86_400_000
_SERVER: Final = "server"


class _Kind(NamedTuple):
    """One of the three metrics: its name behind `service_`, its text, and a point's value."""

    name: str
    help: str
    value: Callable[[RatePoint, RatesAsked], float]


_LATENCIES = _Kind(
    "latencies", "{level}th quantile latency in ms", lambda point, asked: (point.duration_ns or 0) / 1_000_000
)
_CALLS = _Kind("call_rate", "calls/sec", lambda point, asked: point.calls / asked.window_s)
_ERRORS = _Kind(
    "error_rate",
    "error rate, computed as a fraction of errors/sec over calls/sec",
    lambda point, asked: point.failed / point.calls,
)


class JaegerMetricsApi:
    """The routes below `/api/metrics`. `clock_ns` is now."""

    def __init__(self, query: QueryService, *, clock_ns: Callable[[], int]) -> None:
        self._query = query
        self._clock_ns = clock_ns

    def routes(self) -> list[Route]:
        return [
            Route("/api/metrics/latencies", self.latencies),
            Route("/api/metrics/calls", self.calls),
            Route("/api/metrics/errors", self.errors),
            Route("/api/metrics/minstep", self.minstep),
        ]

    @answers_in_structure
    async def latencies(self, request: Request) -> Response:
        text = request.query_params.get("quantile", "")
        try:
            level = float(text)
        except ValueError:
            level = math.nan
        if not 0 < level < 1:
            raise BadInput(f"unable to parse param 'quantile': {text[:60]!r} is no number between 0 and 1")
        return await self._answer(request, _LATENCIES, level)

    @answers_in_structure
    async def calls(self, request: Request) -> Response:
        return await self._answer(request, _CALLS, None)

    @answers_in_structure
    async def errors(self, request: Request) -> Response:
        return await self._answer(request, _ERRORS, None)

    @answers_in_structure
    async def minstep(self, request: Request) -> Response:
        return Response(structured(STEP_S * 1_000), media_type=JSON)

    async def _answer(self, request: Request, kind: _Kind, level: float | None) -> Response:
        asked = _asked(request, level, self._clock_ns())
        found, missing = await while_asked(request, self._query.rates(asked))
        series: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for point in found:
            stamp = f"{datetime.fromtimestamp(point.at_unix_s, UTC):%Y-%m-%dT%H:%M:%SZ}"
            made = {"gaugeValue": {"doubleValue": kind.value(point, asked)}, "timestamp": stamp}
            series.setdefault((point.service, point.operation), []).append(made)
        grouped = "service & operation" if asked.by_operation else "service"
        body = {
            "name": f"service_operation_{kind.name}" if asked.by_operation else f"service_{kind.name}",
            "type": "GAUGE",
            "help": f"{kind.help.format(level=level)}, grouped by {grouped}",
            "metrics": [
                {"labels": _labels(service, operation, asked.by_operation), "metricPoints": points}
                for (service, operation), points in series.items()
            ],
        }
        headers = {"Cache-Control": "no-store"}
        if missing is not None:
            headers["Clew-Incomplete"] = missing.encode("ascii", "replace").decode()
        return Response(json.dumps(body, ensure_ascii=False), media_type=JSON, headers=headers)


def _labels(service: str, operation: str, by_operation: bool) -> list[dict[str, str]]:
    named = [{"name": "operation", "value": operation}] if by_operation else []
    return [*named, {"name": "service_name", "value": service}]


def _asked(request: Request, level: float | None, now_unix_nano: int) -> RatesAsked:
    parameters = request.query_params
    # The UI puts commas between services: service=a,service=b.
    services = [one for text in parameters.getlist("service") for one in text.split(",service=") if one]
    if not services:
        raise BadInput("unable to parse param 'service': please provide at least one service name")
    kinds = [text.lower() for text in parameters.getlist("spanKind")] or [_SERVER]
    unknown = [kind for kind in kinds if kind not in KIND_WORDS]
    if unknown:
        raise BadInput(f"unable to parse param 'spanKind': unsupported span kind: '{unknown[0][:60]}'")

    def milliseconds(name: str, default: int) -> int:
        text = parameters.get(name, "")
        value = whole_number(name, text) if text else default
        if not 0 < value <= _MAX_MS:
            raise BadInput(f"unable to parse param '{name}': {value} is no length of time in milliseconds up to a year")
        return value

    end = parameters.get("endTs", "")
    step_s = max(STEP_S, milliseconds("step", _STEP_MS) // 1_000)
    points = milliseconds("lookback", _LOOKBACK_MS) // 1_000 // step_s
    if points > _MAX_POINTS:
        raise BadInput(f"{points} points: at most {_MAX_POINTS}; choose a larger step")
    return RatesAsked(
        services=tuple(dict.fromkeys(services)),
        kinds=tuple(KIND_WORDS.index(kind) for kind in dict.fromkeys(kinds)),
        to_unix_s=(whole_number("endTs", end) if end else now_unix_nano // 1_000_000) // 1_000,
        points=points,
        step_s=step_s,
        window_s=max(STEP_S, milliseconds("ratePer", _RATE_MS) // 1_000),
        by_operation=truth("groupByOperation", parameters.get("groupByOperation", "")),
        level=level,
    )
