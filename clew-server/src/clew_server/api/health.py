"""`/healthz`, `/readyz` and `/metrics`, the same on 16686 and 4318."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from clew_server.troubles import KINDS, Trouble

Status = dict[str, Any]

COUNTERS = {
    "accepted_spans": "Spans acknowledged since start",
    "duplicate_requests": "Requests that came again and were acknowledged without being written",
    "dead_letter_spans": "Spans set aside because the store's parser refuses them",
    "refused_requests": "Requests answered with an error since start",
}
GAUGES = {
    "stored_spans": "Spans in the store",
    "backlog_bytes": "Bytes in the log that are not stored yet",
    "backlog_spans": "Spans in the log that are not stored yet",
    "oldest_unstored_ms": "Age of the oldest acknowledged span that is not stored yet",
    "disk_bytes": "Size of the data folder",
    "max_disk_bytes": "Size of the data folder at which old data gives way",
    "retention_s": "Age at which arrival days are dropped",
    "damaged_log_bytes": "Bytes of the log that could not be read and are kept in *.damaged",
    "damaged_store_parts": "Parts of the store that could not be loaded and were put aside",
}


class _StatusCollector:
    """Turns one status answer into metric families, so that a figure is counted in one place only."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        status = self._status
        for key, text in COUNTERS.items():
            yield CounterMetricFamily(f"clew_{key}", text, value=status[key])
        for key, text in GAUGES.items():
            yield GaugeMetricFamily(f"clew_{key}", text, value=status[key])
        rejected = CounterMetricFamily(
            "clew_rejected_spans", "Spans refused in accepted requests, by reason", labels=["reason"]
        )
        for reason, count in status["rejected_spans"].items():
            rejected.add_metric([reason], count)
        yield rejected
        dropped = CounterMetricFamily(
            "clew_dropped_signals", "What was well formed, acknowledged and not kept, by kind", labels=["kind"]
        )
        for kind, count in status["dropped_signals"].items():
            dropped.add_metric([kind], count)
        yield dropped
        received = CounterMetricFamily("clew_receiver_spans", "Spans acknowledged, by receiver", labels=["receiver"])
        refused = CounterMetricFamily(
            "clew_receiver_refused_requests", "Requests refused, by receiver", labels=["receiver"]
        )
        for receiver in status["receivers"]:
            received.add_metric([receiver["name"]], receiver["spans"])
            refused.add_metric([receiver["name"]], receiver["refused_requests"])
        yield received
        yield refused
        yield from _trouble_families(status["troubles"])


def _trouble_families(troubles: list[dict[str, Any]]) -> Iterator[Metric]:
    """Every kind is always there, so that an alert can be written before it happens."""
    now = {trouble["what"]: trouble for trouble in troubles}
    is_on = GaugeMetricFamily("clew_trouble", "1 while this kind of trouble lasts", labels=["what"])
    count = GaugeMetricFamily("clew_trouble_occurrences", "How often it was met since it began", labels=["what"])
    since = GaugeMetricFamily("clew_trouble_since_seconds", "When it began, Unix time; 0 for none", labels=["what"])
    for what in KINDS:
        trouble = now.get(what)
        is_on.add_metric([what], 0 if trouble is None else 1)
        count.add_metric([what], 0 if trouble is None else trouble["count"])
        since.add_metric([what], 0 if trouble is None else int(trouble["since_unix_nano"]) / 1e9)
    yield is_on
    yield count
    yield since


def metrics_text(status: Status) -> bytes:
    """The status as Prometheus text."""
    registry = CollectorRegistry()
    registry.register(_StatusCollector(status))
    return generate_latest(registry)


class HealthApi:
    """`not_ready` gives the reason why the server should get no new data, None when it may have it.

    `troubles` are said by `/readyz` too, without being a reason: the server that lost something yesterday, or that cannot
    store for a while, still acknowledges and keeps what comes, and answers about the rest.
    """

    def __init__(
        self,
        *,
        status: Callable[[], Awaitable[Status]],
        not_ready: Callable[[], Awaitable[str | None]],
        troubles: Callable[[], Awaitable[list[Trouble]]],
    ) -> None:
        self._status = status
        self._not_ready = not_ready
        self._troubles = troubles

    def routes(self) -> list[Route]:
        return [Route("/healthz", self.healthz), Route("/readyz", self.readyz), Route("/metrics", self.metrics)]

    async def healthz(self, request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(self, request: Request) -> Response:
        reason = await self._not_ready()
        said = "".join(f"trouble: {trouble.as_text()}\n" for trouble in await self._troubles())
        if reason is None:
            return PlainTextResponse("ready\n" + said)
        return PlainTextResponse(reason + "\n" + said, 503, {"Retry-After": "1"})

    async def metrics(self, request: Request) -> Response:
        return Response(metrics_text(await self._status()), media_type=CONTENT_TYPE_LATEST)
