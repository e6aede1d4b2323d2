"""`/healthz`, `/readyz` and `/metrics`, the same on 16686 and 4318."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from clew_server.status import MetricOf, ReceiverStatus, Status, TroubleStatus, metrics_of
from clew_server.troubles import KINDS, Trouble


class _StatusCollector:
    """Turns one status answer into metric families, so that a figure is counted in one place only."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        for metric in metrics_of(Status):
            value = getattr(self._status, metric.name)
            values: dict[tuple[str, ...], float] = (
                {(key,): count for key, count in value.items()} if metric.label else {(): value}
            )
            yield _family(f"clew_{metric.name}", metric, values)
        for metric in metrics_of(ReceiverStatus):
            counts: dict[tuple[str, ...], float] = {}
            for receiver in self._status.receivers:
                value = getattr(receiver, metric.name)
                if "," in metric.label:
                    counts |= {(receiver.name, kind): count for kind, count in value.items()}
                else:
                    counts[(receiver.name,)] = value
            yield _family(f"clew_receiver_{metric.name}", metric, counts)
        yield from _trouble_families(self._status.troubles)


def _family(name: str, metric: MetricOf, values: Mapping[tuple[str, ...], float]) -> Metric:
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = kind(name, metric.help, labels=metric.label.split(",") if metric.label else [])
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


def _trouble_families(troubles: Sequence[TroubleStatus]) -> Iterator[Metric]:
    """Every kind is always there, so that an alert can be written before it happens."""
    now = {trouble.what: trouble for trouble in troubles}
    is_on = GaugeMetricFamily("clew_trouble", "1 while this kind of trouble lasts", labels=["what"])
    count = GaugeMetricFamily("clew_trouble_occurrences", "How often it was met since it began", labels=["what"])
    since = GaugeMetricFamily("clew_trouble_since_seconds", "When it began, Unix time; 0 for none", labels=["what"])
    for what in KINDS:
        trouble = now.get(what)
        is_on.add_metric([what], 0 if trouble is None else 1)
        count.add_metric([what], 0 if trouble is None else trouble.count)
        since.add_metric([what], 0 if trouble is None else trouble.since_unix_nano / 1e9)
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
