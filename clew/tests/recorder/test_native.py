"""The native twin: that it is loaded, and that it writes the bytes and keeps the counts of the pure one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from clew.recorder import _select
from clew.recorder.limits import SpanLimits
from clew.recorder.readable import Scope


@pytest.mark.skipif(os.environ.get("CLEW_BUILD") == "pure", reason="this build leaves it out on purpose")
def test_the_native_recorder_is_loaded() -> None:
    from clew.recorder import _fast

    environment = {key: value for key, value in os.environ.items() if key != "CLEW_RECORDER"}
    program = "from clew.recorder import _select; print(_select.selected.name)"
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "native"
    assert _fast.__file__.endswith((".so", ".pyd"))


def test_the_pure_recorder_can_be_asked_for() -> None:
    program = "from clew.recorder import _select; print(_select.selected.name, _select.reason)"
    environment = {**os.environ, "CLEW_RECORDER": "pure"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "pure CLEW_RECORDER=pure"


def _native() -> Any:
    from clew.recorder import _fast

    return _select.Core("native", _fast.Span, _fast.Tracer, _fast.Buffer)


class Sink:
    """What a tracer asks of its provider while nobody observes."""

    resource = None


class Counted:
    """Ids in a row, so that both twins have the same."""

    def __init__(self) -> None:
        self.last = 0

    def generate_trace_id(self) -> int:
        self.last += 1
        return self.last << 64 | 0xABCDEF

    def generate_span_id(self) -> int:
        self.last += 1
        return self.last

    def is_trace_id_random(self) -> bool:
        return False


def encoded(core: Any, limits: SpanLimits, play: Callable[[Any], None]) -> tuple[bytes, dict[str, Any]]:
    """What a twin sends for the same calls."""
    buffer = core.Buffer(1000, 1 << 24, 500, lambda: None)
    scope = Scope("tests", "1", "https://example.org/schema", {"scope": 1})
    tracer = core.Tracer(Sink(), scope, limits, None, Counted(), buffer, False)
    play(tracer)
    _, sent = buffer.take(1000, 1 << 24)
    return sent, buffer.stats()


texts = st.text(st.characters(), max_size=40)  # lone surrogates too
scalars = st.one_of(
    texts, st.booleans(), st.integers(-(1 << 66), 1 << 66), st.floats(), st.binary(max_size=20), st.none()
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=8
)
attributes = st.dictionaries(texts, values, max_size=6)
times = st.integers(0, (1 << 64) - 1)
contexts = st.builds(
    SpanContext,
    st.integers(1, (1 << 128) - 1),
    st.integers(1, (1 << 64) - 1),
    st.booleans(),
    st.integers(0, 255).map(TraceFlags),
    st.sampled_from([TraceState(), TraceState([("a", "1"), ("b", "2")])]),
)


@pytest.mark.filterwarnings("ignore")
@given(data=st.data())
def test_the_same_calls_make_the_same_bytes(data: st.DataObject) -> None:
    limits = data.draw(
        st.builds(
            SpanLimits,
            max_span_attributes=st.none() | st.integers(0, 5),
            max_event_attributes=st.none() | st.integers(0, 3),
            max_link_attributes=st.none() | st.integers(0, 3),
            max_events=st.none() | st.integers(0, 2),
            max_links=st.none() | st.integers(0, 2),
            max_span_attribute_length=st.none() | st.integers(0, 9),
            max_attribute_length=st.none() | st.integers(0, 9),
        )
    )
    parent = data.draw(st.none() | contexts.filter(lambda one: bool(one.trace_flags & 1)))
    context = Context() if parent is None else set_span_in_context(NonRecordingSpan(parent), Context())
    start = {
        "name": data.draw(texts),
        "context": context,
        "kind": data.draw(st.sampled_from(SpanKind)),
        "attributes": data.draw(attributes),
        "links": data.draw(st.lists(st.builds(Link, contexts, attributes), max_size=3)),
        "start_time": data.draw(times),
    }
    later = data.draw(attributes)
    events = data.draw(st.lists(st.tuples(texts, attributes, times), max_size=3))
    status = data.draw(st.none() | st.sampled_from([Status(StatusCode.OK), Status(StatusCode.ERROR, "wrong")]))
    end = data.draw(times)
    renamed = data.draw(st.none() | texts)

    def play(tracer: Any) -> None:
        span = tracer.start_span(**start)
        span.set_attributes(later)
        for name, kept, at in events:
            span.add_event(name, kept, at)
        if status is not None:
            span.set_status(status)
        if renamed is not None:
            span.update_name(renamed)
        with_child = set_span_in_context(span, Context())
        tracer.start_span("child", with_child, start_time=1).end(2)
        span.end(end)
        span.end(end)  # counts for nothing

    assert encoded(_native(), limits, play) == encoded(_select.PURE, limits, play)


operations = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 1), st.binary(min_size=1, max_size=60)),
        st.tuples(st.just("take"), st.integers(0, 6), st.integers(1, 200)),
        st.tuples(st.just("sent"), st.integers(0, 3), st.just(0)),
        st.tuples(st.just("dropped"), st.integers(0, 3), st.just(0)),
        st.tuples(st.just("lost"), st.just(0), st.just(0)),
        st.tuples(st.just("written off"), st.just(0), st.just(0)),
    ),
    max_size=40,
)


@given(operations, st.integers(1, 8), st.integers(60, 400), st.booleans(), st.booleans())
def test_the_buffers_hold_give_and_count_the_same(
    steps: list[Any], max_spans: int, max_bytes: int, drop_oldest: bool, closes: bool
) -> None:
    told = []
    for core in (_native(), _select.PURE):
        woken: list[int] = []
        buffer = core.Buffer(max_spans, max_bytes, 3, lambda woken=woken: woken.append(1), drop_oldest=drop_oldest)
        scopes = [buffer.scope(b"\x0a\x01a", ""), buffer.scope(b"\x0a\x01b", "url")]
        seen: list[Any] = [scopes]
        for what, number, more in steps:
            if what == "add":
                buffer.add(scopes[number], more)
            elif what == "take":
                seen.append(buffer.take(number, more))
            elif what == "sent":
                buffer.count_sent(number)
            elif what == "dropped":
                buffer.count_dropped("why", number)
            elif what == "lost":
                buffer.count_lost("encoding")
            else:
                buffer.write_off("shutdown")
            seen += [buffer.held, len(woken), buffer.stats()]
        if closes:
            buffer.close("shutdown")
            buffer.add(scopes[0], b"late")
            seen.append(buffer.stats())
        told.append(seen)
    assert told[0] == told[1]
