"""Sending over HTTP: what is tried again, what is given up, what is counted, against a real HTTP server."""

from __future__ import annotations

import gc
import json
import socket
import threading
from collections.abc import Iterator
from email.utils import formatdate
from io import StringIO
from time import monotonic, time
from typing import Any

import pytest
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, get_value
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.trace import SpanKind, StatusCode

from clew.recorder.export.exporter import ConsoleExporter, OtlpHttpExporter, Outcome, retry_after_s
from clew.recorder.export.pipeline import BatchOptions
from clew.recorder.provider import TracerProvider


def provider_for(url: str, **options: Any) -> TracerProvider:
    options.setdefault("schedule_delay_s", 0.01)
    return TracerProvider(
        resource={"service.name": "test"}, exporter=OtlpHttpExporter(url), batch=BatchOptions(**options)
    )


def make_spans(provider: TracerProvider, count: int, scope: str = "tests") -> None:
    tracer = provider.get_tracer(scope)
    for number in range(count):
        tracer.start_span(f"span {number}").end()


@pytest.fixture
def refusing() -> Iterator[str]:
    """An address at which nobody listens, and nobody else can meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


def test_spans_arrive_without_a_flush(collector: Any) -> None:
    provider = provider_for(collector.url)
    make_spans(provider, 1)
    assert collector.arrived.get(timeout=100) == 200
    assert [span.name for span in collector.spans()] == ["span 0"]
    provider.shutdown()


def test_a_batch_is_grouped_by_scope_under_one_resource(collector: Any) -> None:
    provider = provider_for(collector.url, schedule_delay_s=10)
    make_spans(provider, 2, "a")
    make_spans(provider, 1, "b")
    make_spans(provider, 1, "a")
    assert provider.force_flush()
    (request,) = collector.requests()
    (resource_spans,) = request.resource_spans
    assert resource_spans.resource.attributes[0].value.string_value == "test"
    assert [(one.scope.name, len(one.spans)) for one in resource_spans.scope_spans] == [("a", 3), ("b", 1)]
    assert request.SerializeToString() == collector.bodies[0]
    provider.shutdown()


def test_batches_stay_within_their_bounds(collector: Any) -> None:
    provider = provider_for(collector.url, schedule_delay_s=10, max_batch_spans=100, max_batch_bytes=1500)
    make_spans(provider, 40)
    assert provider.force_flush()
    assert len(collector.spans()) == 40
    assert len(collector.bodies) > 1
    assert all(len(body) < 1700 for body in collector.bodies)
    provider.shutdown()


def test_one_connection_is_kept_for_all_batches(collector: Any) -> None:
    provider = provider_for(collector.url)
    for _ in range(3):
        make_spans(provider, 1)
        assert provider.force_flush()
    assert len(collector.bodies) == 3
    assert len(collector.connections) == 1
    provider.shutdown()


def test_a_connection_closed_by_the_server_meanwhile_costs_nothing(collector: Any) -> None:
    collector.close_after_each = True
    provider = provider_for(collector.url)
    for _ in range(3):
        make_spans(provider, 1)
        assert provider.force_flush()
    assert provider.stats() == {"recorded": 3, "sent": 3, "dropped": {}}
    provider.shutdown()


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_busy_collector_is_asked_again_after_retry_after(collector: Any, status: int) -> None:
    collector.answers = [(status, {"Retry-After": "1"}, b"")]
    provider = provider_for(collector.url)
    make_spans(provider, 3)
    assert collector.arrived.get(timeout=100) == status
    # A flush does not make it ask earlier than it was told.
    assert provider.force_flush()
    assert collector.arrived.get(timeout=100) == 200
    refused_s, taken_s = collector.arrivals_s
    assert taken_s - refused_s >= 0.9
    assert provider.stats() == {"recorded": 3, "sent": 3, "dropped": {}}
    provider.shutdown()


@pytest.mark.parametrize("status", [400, 401, 404, 415, 500])
def test_a_refusal_is_final_and_counted_by_its_status(collector: Any, status: int) -> None:
    collector.answers = [(status, {}, b"")]
    provider = provider_for(collector.url, schedule_delay_s=60)  # nothing is sent before the flush that is asked about
    make_spans(provider, 2)
    assert not provider.force_flush()
    assert provider.stats() == {"recorded": 2, "sent": 0, "dropped": {f"http_{status}": 2}}
    make_spans(provider, 1)
    assert provider.force_flush()
    assert provider.stats()["sent"] == 1
    provider.shutdown()


def test_a_partial_success_is_never_repeated_and_its_rejections_counted(collector: Any) -> None:
    response = ExportTraceServiceResponse()
    response.partial_success.rejected_spans = 2
    response.partial_success.error_message = "bad ids"
    collector.answers = [(200, {}, response.SerializeToString())]
    provider = provider_for(collector.url, schedule_delay_s=60)  # nothing is sent before the flush that is asked about
    make_spans(provider, 5)
    assert not provider.force_flush()
    assert len(collector.bodies) == 1
    assert provider.stats() == {"recorded": 5, "sent": 3, "dropped": {"rejected": 2}}
    provider.shutdown()


def test_what_does_not_fit_into_the_buffer_is_dropped_and_counted(collector: Any) -> None:
    collector.hold = threading.Event()
    provider = provider_for(collector.url, max_queue_spans=10, max_batch_spans=10)
    make_spans(provider, 1)
    collector.arrived.get(timeout=100)
    # The sender is waiting for its answer: nothing is taken from the buffer meanwhile.
    make_spans(provider, 25)
    collector.hold.set()
    assert provider.force_flush()
    assert provider.stats() == {"recorded": 26, "sent": 11, "dropped": {"buffer_full": 15}}
    provider.shutdown()


def test_the_buffer_is_bounded_in_bytes_too(collector: Any) -> None:
    provider = provider_for(collector.url, schedule_delay_s=10, max_queue_bytes=5000)
    tracer = provider.get_tracer("tests")
    for _ in range(10):
        tracer.start_span("large", attributes={"text": "x" * 1000}).end()
    assert provider.force_flush()
    assert provider.stats() == {"recorded": 10, "sent": 4, "dropped": {"buffer_full": 6}}
    provider.shutdown()


def test_a_collector_that_is_not_there_is_given_up_after_the_time_for_retries(refusing: str) -> None:
    provider = provider_for(f"{refusing}/v1/traces", schedule_delay_s=60, retry_for_s=0.1)
    make_spans(provider, 2)
    assert not provider.force_flush()
    assert provider.stats() == {"recorded": 2, "sent": 0, "dropped": {"unreachable": 2}}
    provider.shutdown()


def test_shutdown_without_a_collector_is_quick_and_counts_what_is_lost(refusing: str) -> None:
    provider = provider_for(f"{refusing}/v1/traces", max_batch_spans=2, schedule_delay_s=10)
    make_spans(provider, 6)
    started = monotonic()
    provider.shutdown(timeout_s=600)
    assert monotonic() - started < 100
    stats = provider.stats()
    assert stats["recorded"] == 6
    assert sum(stats["dropped"].values()) == 6


def test_shutdown_of_a_collector_that_never_answers_keeps_its_time(collector: Any) -> None:
    collector.hold = threading.Event()
    provider = provider_for(collector.url, timeout_s=600)
    make_spans(provider, 1)
    collector.arrived.get(timeout=100)
    make_spans(provider, 1)
    started = monotonic()
    provider.shutdown(timeout_s=0.5)
    assert monotonic() - started < 50
    # The one on its way is written off with the one that waited, until its answer comes after all.
    assert provider.stats() == {"recorded": 2, "sent": 0, "dropped": {"shutdown": 2}}
    assert provider._pipeline is not None
    sender = provider._pipeline._thread
    assert sender is not None
    collector.hold.set()
    sender.join(100)
    assert provider.stats() == {"recorded": 2, "sent": 1, "dropped": {"shutdown": 1}}


def test_shutdown_sends_what_is_left_and_later_spans_are_counted_as_dropped(collector: Any) -> None:
    provider = provider_for(collector.url, schedule_delay_s=10)
    make_spans(provider, 3)
    provider.shutdown()
    provider.shutdown()
    make_spans(provider, 2)
    assert not provider.force_flush()
    assert len(collector.spans()) == 3
    assert provider.stats() == {"recorded": 5, "sent": 3, "dropped": {"shutdown": 2}}


def test_headers_and_gzip_are_sent_as_configured(collector: Any) -> None:
    exporter = OtlpHttpExporter(collector.url, headers={"authorization": "Bearer abc"}, compression="gzip")
    provider = TracerProvider(resource={"service.name": "test"}, exporter=exporter)
    make_spans(provider, 3)
    assert provider.force_flush()
    assert len(collector.spans()) == 3
    (headers,) = collector.headers
    assert headers["authorization"] == "Bearer abc"
    assert headers["Content-Encoding"] == "gzip"
    assert headers["Content-Type"] == "application/x-protobuf"
    assert collector.paths == ["/v1/traces"]
    provider.shutdown()


def test_spans_ended_by_many_threads_are_all_sent(collector: Any) -> None:
    provider = provider_for(collector.url)
    threads = [threading.Thread(target=make_spans, args=(provider, 200)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert provider.force_flush()
    assert provider.stats() == {"recorded": 1600, "sent": 1600, "dropped": {}}
    assert len({span.span_id for span in collector.spans()}) == 1600
    provider.shutdown()


def test_shutdown_does_not_wait_for_a_busy_collector(collector: Any) -> None:
    collector.answers = [(503, {"Retry-After": "200"}, b"")]
    provider = provider_for(collector.url, retry_for_s=400)
    make_spans(provider, 1)
    assert collector.arrived.get(timeout=100) == 503
    started = monotonic()
    provider.shutdown(300)
    assert monotonic() - started < 100
    # One last attempt if the answer had been read by then, none if the end came first.
    stats = provider.stats()
    assert stats["sent"] + sum(stats["dropped"].values()) == stats["recorded"] == 1


def test_a_span_ended_by_the_garbage_collector_locks_nothing_up(collector: Any) -> None:
    provider = provider_for(collector.url)
    tracer = provider.get_tracer("tests")

    class Holder:
        def __init__(self) -> None:
            self.itself = self
            self.span = tracer.start_span("held")

        def __del__(self) -> None:
            self.span.end()

    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(200):
            Holder()
            tracer.start_span("plain").end()
    finally:
        gc.set_threshold(*threshold)
    gc.collect()
    assert provider.force_flush()
    assert provider.stats() == {"recorded": 400, "sent": 400, "dropped": {}}
    provider.shutdown()


def test_what_the_exporter_does_is_marked_as_not_to_be_traced() -> None:
    seen: list[object] = []

    class Looking:
        def export(self, request: bytes, timeout_s: float) -> Outcome:
            seen.append(get_value(_SUPPRESS_INSTRUMENTATION_KEY))
            return Outcome("delivered")

        def forget(self) -> None:
            pass

        def close(self) -> None:
            pass

    provider = TracerProvider(resource={}, exporter=Looking())
    make_spans(provider, 1)
    assert provider.force_flush()
    assert seen == [True]
    provider.shutdown()


def test_retry_after_is_seconds_or_a_date() -> None:
    now = int(time())
    assert retry_after_s("7", now) == 7
    assert retry_after_s(formatdate(now + 90, usegmt=True), now) == 90
    assert retry_after_s(formatdate(now - 90, usegmt=True), now) == 0
    assert retry_after_s("soon", now) is None
    assert retry_after_s(None, now) is None


@pytest.mark.parametrize("url", ["localhost:4318", "ftp://x/", "http://"])
def test_an_address_that_is_none_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="address"):
        OtlpHttpExporter(url)


def test_the_console_gets_one_line_a_span() -> None:
    stream = StringIO()
    provider = TracerProvider(resource={"service.name": "test"}, exporter=ConsoleExporter(stream))
    span = provider.get_tracer("tests").start_span("op", kind=SpanKind.SERVER, attributes={"n": 1, "raw": b"\x01"})
    span.add_event("happened", {"list": [1, "a"]})
    span.set_status(StatusCode.ERROR, "no")
    span.end()
    assert provider.force_flush()
    (line,) = map(json.loads, stream.getvalue().splitlines())
    assert (line["name"], line["kind"], line["status"], line["message"]) == ("op", "server", "error", "no")
    assert line["attributes"]["n"] == 1
    assert line["events"] == [{"name": "happened", "attributes": {"list": [1, "a"]}}]
    provider.shutdown()
