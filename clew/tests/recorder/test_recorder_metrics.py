"""What becomes of recorded spans, as the real SDK's metric reader sees it."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from clew.recorder.export.exporter import OtlpHttpExporter, Outcome
from clew.recorder.export.pipeline import BatchOptions
from clew.recorder.provider import TracerProvider

Points = dict[tuple[str, str], Any]

PROCESSED = "otel.sdk.processor.span.processed"
EXPORTED = "otel.sdk.exporter.span.exported"


def points(reader: InMemoryMetricReader) -> Points:
    """The values of the recorder's instruments, by name and error.type."""
    data = reader.get_metrics_data()
    if data is None:
        return {}
    return {
        (metric.name, str((point.attributes or {}).get("error.type", ""))): point.value  # type: ignore[union-attr]
        for resource_metrics in data.resource_metrics
        for scope_metrics in resource_metrics.scope_metrics
        if scope_metrics.scope.name == "clew.recorder"
        for metric in scope_metrics.metrics
        for point in metric.data.data_points
    }


class Answers:
    """An exporter that gives these outcomes in turn, each after `go` is set."""

    def __init__(self, *outcomes: Outcome) -> None:
        self.outcomes = list(outcomes)
        self.asked = Event()
        self.go = Event()
        self.go.set()

    def export(self, request: bytes, timeout_s: float) -> Outcome:
        self.asked.set()
        self.go.wait(100)
        return self.outcomes.pop(0)

    def forget(self) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture
def reader() -> InMemoryMetricReader:
    return InMemoryMetricReader()


@pytest.fixture
def meters(reader: InMemoryMetricReader) -> Iterator[MeterProvider]:
    provider = MeterProvider([reader], shutdown_on_exit=False)
    yield provider
    provider.shutdown()


def provider_of(exporter: Any, meters: MeterProvider | None, **bounds: Any) -> TracerProvider:
    batch = BatchOptions(**{"schedule_delay_s": 60.0, **bounds})
    return TracerProvider(exporter=exporter, batch=batch, meter_provider=meters, shutdown_on_exit=False)


def test_every_cause_of_a_drop_has_its_own_point(reader: InMemoryMetricReader, meters: MeterProvider) -> None:
    exporter = Answers(
        Outcome("delivered", rejected=1), Outcome("refused", reason="http_400"), Outcome("refused", reason="http_403")
    )
    provider = provider_of(exporter, meters, max_queue_spans=3)
    tracer = provider.get_tracer("t")
    for _ in range(3):
        for _ in range(3):
            tracer.start_span("s").end()
        provider.force_flush()
    exporter.go.clear()
    provider.shutdown()
    for _ in range(5):
        tracer.start_span("late").end()
    seen = points(reader)
    assert {key: value for key, value in seen.items() if key[0] in (PROCESSED, EXPORTED)} == {
        (PROCESSED, ""): 9,
        (PROCESSED, "already_shutdown"): 5,
        (EXPORTED, ""): 2,
        (EXPORTED, "rejected"): 1,
        (EXPORTED, "http_400"): 3,
        (EXPORTED, "http_403"): 3,
    }
    stats = provider.stats()
    assert stats["recorded"] == seen[PROCESSED, ""] + seen[PROCESSED, "already_shutdown"]


def test_what_waits_and_what_is_being_sent_is_told_beside_what_may_wait(
    reader: InMemoryMetricReader, meters: MeterProvider
) -> None:
    exporter = Answers(Outcome("delivered"), Outcome("delivered"))
    exporter.go.clear()
    provider = provider_of(exporter, meters, max_queue_spans=8, max_batch_spans=4, max_queue_bytes=100_000)
    tracer = provider.get_tracer("t")
    for _ in range(4):  # as many as are urgent
        tracer.start_span("s").end()
    assert exporter.asked.wait(100)
    for _ in range(10):
        tracer.start_span("s").end()
    seen = points(reader)
    waiting_bytes = seen.pop(("clew.processor.span.queue.bytes", ""))
    assert 8 * 30 < waiting_bytes < 8 * 200
    assert seen == {
        (PROCESSED, ""): 4,
        (PROCESSED, "queue_full"): 2,
        (EXPORTED, ""): 0,
        ("otel.sdk.exporter.span.inflight", ""): 4,
        ("otel.sdk.processor.span.queue.size", ""): 8,
        ("otel.sdk.processor.span.queue.capacity", ""): 8,
        ("clew.processor.span.queue.capacity_bytes", ""): 100_000,
    }
    exporter.outcomes += [Outcome("delivered")] * 3
    exporter.go.set()
    provider.shutdown()
    seen = points(reader)
    assert seen["otel.sdk.exporter.span.inflight", ""] == seen["clew.processor.span.queue.bytes", ""] == 0
    assert (seen[PROCESSED, ""], seen[EXPORTED, ""]) == (12, 12)


def test_a_batch_that_was_written_off_and_arrives_after_all_lets_no_counter_sink(
    reader: InMemoryMetricReader, meters: MeterProvider
) -> None:
    exporter = Answers(Outcome("delivered"))
    exporter.go.clear()
    provider = provider_of(exporter, meters, max_queue_spans=4)
    tracer = provider.get_tracer("t")
    for _ in range(2):
        tracer.start_span("s").end()
    assert exporter.asked.wait(100)
    before = points(reader)
    provider.shutdown(0.01)
    between = points(reader)
    assert between[PROCESSED, "already_shutdown"] == 2
    exporter.go.set()
    pipeline = provider._pipeline
    assert pipeline is not None
    assert pipeline._thread is not None
    pipeline._thread.join(100)
    after = points(reader)
    assert after[EXPORTED, ""] == 2
    for key in (PROCESSED, ""), (PROCESSED, "already_shutdown"):
        assert before.get(key, 0) <= between[key] <= after[key]


def test_components_are_named_by_the_conventions_and_apart_from_each_other(
    reader: InMemoryMetricReader, meters: MeterProvider
) -> None:
    providers = [provider_of(OtlpHttpExporter("http://127.0.0.1:9/v1/traces"), meters) for _ in range(2)]
    data = reader.get_metrics_data()
    assert data is not None
    kinds: dict[str, set[Any]] = {}
    for scope_metrics in data.resource_metrics[0].scope_metrics:
        for metric in scope_metrics.metrics:
            for point in metric.data.data_points:
                attributes = dict(point.attributes or {})
                if "otel.component.type" in attributes and scope_metrics.scope.name == "clew.recorder":
                    kinds.setdefault(str(attributes["otel.component.type"]), set()).add(
                        attributes["otel.component.name"]
                    )
    assert {kind: len(names) for kind, names in kinds.items()} == {
        "batching_span_processor": 2,
        "otlp_http_span_exporter": 2,
    }
    for provider in providers:
        provider.shutdown(0)


def test_a_provider_that_is_gone_is_read_no_more(reader: InMemoryMetricReader, meters: MeterProvider) -> None:
    provider = provider_of(Answers(), meters)
    assert points(reader)
    provider.shutdown()
    del provider
    gc.collect()
    assert points(reader) == {}


def test_the_variable_switches_the_metrics_off(
    reader: InMemoryMetricReader, meters: MeterProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", "false")
    provider = provider_of(Answers(), meters)
    assert points(reader) == {}
    provider.shutdown()


LATE = """
from clew.recorder.export.exporter import OtlpHttpExporter
from clew.recorder.provider import TracerProvider

provider = TracerProvider(exporter=OtlpHttpExporter(os.environ["COLLECTOR"]))
tracer = provider.get_tracer("tests")
tracer.start_span("before").end()
provider.force_flush()
assert not [name for name in sys.modules if name.startswith("opentelemetry.metrics")], "nobody asked for metrics"

from opentelemetry.metrics import set_meter_provider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

reader = InMemoryMetricReader()
SET_NOW
tracer.start_span("after").end()
provider.force_flush()
SET_LATER

def exported():
    metrics = reader.get_metrics_data().resource_metrics[0].scope_metrics
    return {
        point.attributes.get("error.type", ""): point.value
        for scope_metrics in metrics
        for metric in scope_metrics.metrics
        if metric.name == "otel.sdk.exporter.span.exported"
        for point in metric.data.data_points
    }

print(exported(), flush=True)
"""
SET = "set_meter_provider(MeterProvider([reader]))"


@pytest.mark.parametrize("when", ["SET_NOW", "SET_LATER"])
def test_a_global_meter_provider_may_be_set_after_spans_were_sent(life: Any, when: str) -> None:
    code = LATE.replace(when, SET).replace("SET_NOW", "").replace("SET_LATER", "")
    assert life.run_well(code, begin="import os, sys\n") == "{'': 2}\n"


def test_a_forked_child_counts_its_own_spans_on_the_instruments_of_its_parent(life: Any) -> None:
    code = LATE.replace("SET_NOW", SET).replace("SET_LATER", "")
    forked = """
pid = os.fork()
if pid == 0:
    tracer.start_span("child").end()
    assert provider.force_flush()
    print("child", exported(), flush=True)
    os._exit(0)
os.waitpid(pid, 0)
tracer.start_span("parent").end()
assert provider.force_flush()
print("parent", exported(), flush=True)
"""
    out = life.run_well(code + forked, begin="import os, sys\n")
    assert out == "{'': 2}\nchild {'': 1}\nparent {'': 3}\n"


def test_configure_hands_the_meter_provider_on(life: Any) -> None:
    code = """
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
import clew

reader = InMemoryMetricReader()
clew.configure("metered", endpoint=os.environ["COLLECTOR"], meter_provider=MeterProvider([reader]))
scopes = reader.get_metrics_data().resource_metrics[0].scope_metrics
print(scopes[0].scope.name, len(scopes[0].metrics))
"""
    out = life.run_well(code, begin="import os\n")
    assert out == "clew.recorder 7\n"
