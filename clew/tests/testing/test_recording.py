"""`recording()`: the global provider is the test's own for a while, and afterwards all is as it was."""

from __future__ import annotations

import subprocess
import sys

import pytest
from opentelemetry import trace
from opentelemetry.trace import get_current_span

import clew
from clew.testing import recording

# Got before any recording, as modules do when they are imported.
early = trace.get_tracer("early", "1")


@clew.trace
def traced() -> None: ...


def test_the_global_provider_records_and_is_put_back() -> None:
    before = trace.get_tracer_provider()
    with recording(resource={"service.name": "shop"}) as spans:
        assert trace.get_tracer_provider() is not before
        assert trace.get_tracer_provider().resource is spans.tracer_provider.resource  # type: ignore[attr-defined]
        with trace.get_tracer("late").start_as_current_span("late"):
            traced()
        assert spans.names == ["traced", "late"]
        spans.assert_child("traced", "late")
        assert spans[0].resource.attributes["service.name"] == "shop"
    assert trace.get_tracer_provider() is before
    with trace.get_tracer("late").start_as_current_span("after"):
        traced()
    assert spans.names == ["traced", "late"]


def test_tracers_from_before_record_each_recording_anew_and_nothing_outside() -> None:
    for _ in range(2):
        with recording() as spans:
            with early.start_as_current_span("block"):
                early.start_span("inner").end()
            spans.assert_child("inner", "block")
            scope = spans.one("inner").instrumentation_scope
            assert (scope.name, scope.version) == ("early", "1")
            spans.clear()
            assert not spans
        assert not early.start_span("outside").is_recording()


def test_recordings_nest_and_the_innermost_records() -> None:
    with recording() as outer:
        traced()
        with recording() as inner:
            traced()
            traced()
        traced()
    assert (len(outer), len(inner)) == (2, 2)


def test_no_span_of_the_surroundings_is_a_parent() -> None:
    with recording() as outer, early.start_as_current_span("around"):
        around = get_current_span()
        with recording() as inner:
            assert not get_current_span().get_span_context().is_valid
            traced()
        assert get_current_span() is around
    assert inner.one().parent is None
    assert outer.names == ["around"]


def test_a_provider_set_meanwhile_is_refused_as_ever_and_one_set_later_is_found() -> None:
    program = (
        "import clew, logging\n"
        "from opentelemetry import trace\n"
        "from clew.testing import SpanRecorder, recording\n"
        "early = trace.get_tracer('early')\n"
        "with recording() as spans:\n"
        "    early.start_span('one').end()\n"
        "    trace.set_tracer_provider(clew.TracerProvider())\n"
        "    early.start_span('two').end()\n"
        "    assert spans.names == ['one', 'two'], spans.names\n"
        "provider = clew.TracerProvider()\n"
        "recorder = SpanRecorder(provider)\n"
        "trace.set_tracer_provider(provider)\n"
        "early.start_span('three').end()\n"
        "assert [span.name for span in recorder.spans] == ['three']\n"
        "with recording() as spans:\n"
        "    early.start_span('four').end()\n"
        "    assert spans.names == ['four'], spans.names\n"
        "early.start_span('five').end()\n"
        "assert [span.name for span in recorder.spans] == ['three', 'five']\n"
        "assert trace.get_tracer_provider() is provider\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "Overriding of current TracerProvider is not allowed\n"


def test_a_failing_block_puts_everything_back() -> None:
    before = trace.get_tracer_provider()

    def fail() -> None:
        with recording():
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert trace.get_tracer_provider() is before
