"""The native twin is there, is used, and leaks nothing."""

from __future__ import annotations

import gc
import importlib
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import context, trace
from opentelemetry.trace import NonRecordingSpan, SpanKind, StatusCode

from clew.recorder import _select
from clew.recorder.export.exporter import Outcome
from clew.recorder.provider import TracerProvider
from clew.recorder.sampler import AlwaysOff

_PURE_BY_INTENT = os.environ.get("CLEW_RECORDER") == "pure" or os.environ.get("CLEW_BUILD") == "pure"


@pytest.fixture(autouse=True)
def core(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the native twin here."""
    if not _PURE_BY_INTENT:
        monkeypatch.setattr(_select, "selected", _select._select()[0])


class Discard:
    """An exporter that delivers into nothing."""

    def export(self, request: bytes, timeout_s: float) -> Outcome:
        return Outcome("delivered")

    def forget(self) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture
def provider() -> Iterator[TracerProvider]:
    made = TracerProvider(resource={"service.name": "test"}, exporter=Discard())
    yield made
    made.shutdown()


@pytest.mark.skipif(_PURE_BY_INTENT, reason="the pure recorder is wanted")
def test_the_native_recorder_is_loaded() -> None:
    assert _select._select()[0].name == "native", _select._select()[1]


def run(code: str, **variables: str) -> tuple[str, str]:
    environment = {**os.environ, **variables}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip(), done.stderr.strip()


_WHICH = (
    "import logging; logging.basicConfig(level=logging.INFO)\n"
    "from clew.recorder import _select; print(_select.selected.name)"
)


def test_a_variable_chooses_the_pure_recorder() -> None:
    assert run(_WHICH, CLEW_RECORDER="pure") == ("pure", "")


def test_a_variable_that_says_neither_is_named_once_and_ignored() -> None:
    name, said = run(_WHICH, CLEW_RECORDER="fast")
    assert name == run(_WHICH)[0]
    assert said.count("CLEW_RECORDER='fast'") == 1


def test_an_installation_without_the_native_recorder_says_so_once_and_records() -> None:
    hidden = "import sys; sys.modules['clew.recorder._fast'] = None\n"
    name, said = run(hidden + _WHICH + "\nfrom clew.recorder import provider", CLEW_RECORDER="native")
    assert name == "pure"
    assert said.count("recorded in Python") == 1


def test_spans_are_what_the_api_takes_them_for(provider: TracerProvider) -> None:
    tracer = provider.get_tracer("t")
    assert isinstance(tracer, trace.Tracer)
    with tracer.start_as_current_span("op") as span:
        assert isinstance(span, trace.Span)
        assert not isinstance(span, NonRecordingSpan)
        assert trace.get_current_span() is span
    dropping = TracerProvider(resource={}, sampler=AlwaysOff()).get_tracer("t")
    with dropping.start_as_current_span("op") as dropped:
        assert isinstance(dropped, NonRecordingSpan)
        assert trace.get_current_span() is dropped
        assert dropped.get_span_context().is_valid
        assert dropped.get_span_context() is dropped.get_span_context()
        assert not dropped.is_recording()


def every_call(tracer: Any) -> None:
    with tracer.start_as_current_span("op", kind=SpanKind.SERVER, attributes={"at": "start"}) as span:
        span.set_attribute("text", "täxt \ud800")
        span.set_attribute("list", [1, 2.5, "three", None, {"four": b"5"}])
        span.set_attribute("big", 1 << 70)
        span.set_attribute(b"no key", object())
        span.set_attribute(f"key {id(object())}", 1)
        span.add_event("event", {"a": [1]})
        span.add_link(span.get_span_context(), {"b": 2})
        span.set_status(StatusCode.ERROR, "why")
        span.record_exception(ValueError("wrong"))
        span.update_name("renamed")
        tracer.start_span("child").end()
        assert span.attributes
        assert span.events
        assert span.links
    with pytest.raises(KeyError), tracer.start_as_current_span("fails"):
        raise KeyError("k")


def test_nothing_leaks_over_many_spans(provider: TracerProvider) -> None:
    tracer = provider.get_tracer("t")
    dropping = TracerProvider(resource={}, sampler=AlwaysOff()).get_tracer("t")
    blocks: list[int] = []
    for _ in range(6):
        for _ in range(200):
            every_call(tracer)
            with dropping.start_as_current_span("op") as span:
                span.get_span_context()
        provider.force_flush()
        gc.collect()
        blocks.append(sys.getallocatedblocks())
    # 400 spans a round: one object lost a span would be hundreds. Caches may grow by a few.
    assert blocks[-1] - blocks[2] < 100, blocks


def test_constants_keep_their_reference_counts(provider: TracerProvider) -> None:
    tracer = provider.get_tracer("t")
    watched = [tracer, provider, SpanKind.INTERNAL, StatusCode.ERROR, context.get_current(), trace.Span]
    every_call(tracer)
    before = [sys.getrefcount(one) for one in watched]
    for _ in range(500):
        every_call(tracer)
    provider.force_flush()
    gc.collect()
    after = [sys.getrefcount(one) for one in watched]
    assert all(abs(a - b) < 20 for a, b in zip(after, before, strict=True)), (before, after)


def test_a_span_in_a_cycle_is_collected(provider: TracerProvider) -> None:
    span: Any = provider.get_tracer("t").start_span("op")
    span.itself = span  # attributes of one's own are allowed, as on the SDK's spans
    seen = weakref.ref(span)
    del span
    gc.collect()
    assert seen() is None


def test_memory_stays_flat_while_spans_come_and_go(provider: TracerProvider) -> None:
    statm = Path("/proc/self/statm")
    if not statm.exists():
        pytest.skip("needs /proc")
    tracer = provider.get_tracer("t")

    def go(spans: int) -> int:
        for n in range(spans):
            with tracer.start_as_current_span("GET /things/{id}") as span:
                span.set_attribute("id", f"thing-{n}")
                span.set_attribute("http.response.status_code", 200)
        provider.force_flush()
        gc.collect()
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    go(20_000)
    before = go(20_000)
    after = go(60_000)
    assert after - before < 4 << 20


def test_a_queued_span_costs_little_more_than_its_bytes() -> None:
    statm = Path("/proc/self/statm")
    if not statm.exists() or _select.selected.name != "native":
        pytest.skip("needs /proc and the native recorder")
    buffer = _select.selected.Buffer(1 << 20, 1 << 30, 1 << 20, lambda: None)
    scope = buffer.scope(b"", "")
    span = bytes(250)
    page = os.sysconf("SC_PAGE_SIZE")
    before = int(statm.read_text().split()[1]) * page
    for _ in range(100_000):
        buffer.add(scope, span)
    used = int(statm.read_text().split()[1]) * page - before
    assert used < 100_000 * (250 + 20)


class EndsSpanWhenCollected:
    """Part of a cycle, so that a garbage collection at any moment ends a span."""

    def __init__(self, tracer: Any) -> None:
        self.itself = self
        self.tracer = tracer

    def __del__(self) -> None:
        with self.tracer.start_as_current_span("from a finalizer") as span:
            span.set_attribute("long", "x" * 3000)
            span.set_attribute("surrogate", "\udc00")


def test_a_collection_that_ends_spans_inside_the_end_of_a_span_breaks_nothing(provider: TracerProvider) -> None:
    tracer = provider.get_tracer("t")
    threshold = gc.get_threshold()
    gc.set_threshold(5, 2, 2)
    try:
        for _ in range(300):
            EndsSpanWhenCollected(tracer)
            every_call(tracer)
    finally:
        gc.set_threshold(*threshold)
    gc.collect()
    assert provider.force_flush()
    stats = provider.stats()
    assert stats["recorded"] == stats["sent"] == 300 * 4


def test_threads_lose_no_span(provider: TracerProvider) -> None:
    tracer = provider.get_tracer("t")
    barrier = threading.Barrier(8)
    errors: list[BaseException] = []

    def work() -> None:
        barrier.wait(100)
        try:
            for _ in range(500):
                with tracer.start_as_current_span("outer") as outer:
                    with tracer.start_as_current_span("inner") as inner:
                        assert inner.parent == outer.get_span_context()
                        inner.set_attribute("a", [1])
                    assert trace.get_current_span() is outer
        except BaseException as error:
            errors.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=work) for _ in range(8)]
        for one in threads:
            one.start()
        for one in threads:
            one.join(100)
    finally:
        sys.setswitchinterval(interval)
    assert not errors
    assert provider.force_flush()
    stats = provider.stats()
    assert stats["recorded"] == 8 * 500 * 2
    assert stats["sent"] + sum(stats["dropped"].values()) == stats["recorded"]


def test_another_runtime_context_is_used_where_one_is_set(
    provider: TracerProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    api_context = importlib.import_module("opentelemetry.context")

    class Plain:
        """A runtime context that keeps its contexts in a list."""

        def __init__(self) -> None:
            self.stack = [context.Context()]

        def attach(self, one: context.Context) -> int:
            self.stack.append(one)
            return len(self.stack) - 1

        def get_current(self) -> context.Context:
            return self.stack[-1]

        def detach(self, token: int) -> None:
            del self.stack[token:]

    tracer = provider.get_tracer("t")
    other = Plain()
    with tracer.start_as_current_span("in the standard one") as outside, monkeypatch.context() as patch:
        patch.setattr(api_context, "_RUNTIME_CONTEXT", other)
        with tracer.start_as_current_span("in the other one") as root:
            assert root.parent is None
            assert len(other.stack) == 2
            with tracer.start_as_current_span("below") as below:
                assert below.parent == root.get_span_context()
        assert len(other.stack) == 1
        patch.undo()
        assert trace.get_current_span() is outside


_HOT = """
import sys
from clew.recorder import _select
from clew.recorder.export.exporter import Outcome
from clew.recorder.provider import TracerProvider
class Discard:
    def export(self, request, timeout_s): return Outcome("delivered")
    def forget(self): pass
    def close(self): pass
provider = TracerProvider(resource={}, exporter=Discard())
tracer = provider.get_tracer("t")
for n in range(2000):
    with tracer.start_as_current_span("op", attributes={"a": 1}) as span:
        span.set_attribute("text", "t\\u00e4xt \\ud800")
        span.set_attribute("list", [1, None, {"b": b"c"}])
        span.add_event("e", {"n": n})
        tracer.start_span("child").end()
provider.shutdown()
print(sys.flags.dev_mode, provider.stats())
"""


def test_the_hot_path_is_clean_under_the_interpreters_development_mode() -> None:
    done = subprocess.run([sys.executable, "-X", "dev", "-c", _HOT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "True {'recorded': 4000, 'sent': 4000, 'dropped': {}}"
    assert done.stderr == ""
