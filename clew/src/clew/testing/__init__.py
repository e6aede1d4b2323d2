"""Tests' tools, public: what keeps spans, what a test says about them, and the kits that define "instrumented".

Imports neither pytest nor an SDK. Start reading at `recording.py` (spans of one test); `memory.py` keeps spans,
`assertions.py` looks at them, `kits/` is what every instrumentation passes. `clew.pytest_plugin` has the fixtures.
"""

from __future__ import annotations

from clew.testing.assertions import Expect, Spans, assert_span, exceptions_of
from clew.testing.kits import (
    PARENT_ID,
    TRACE_ID,
    TRACEPARENT,
    UNSAMPLED,
    Body,
    BrokenPropagator,
    ClientKit,
    ConsumerKit,
    DatabaseKit,
    Failure,
    FakeTransport,
    ProducerKit,
    ServerKit,
    outside_pytest,
)
from clew.testing.memory import InMemoryExporter, RecordedSpan, SpanRecorder, spans_from_otlp
from clew.testing.recording import Recording, recording

__all__ = [
    "PARENT_ID",
    "TRACEPARENT",
    "TRACE_ID",
    "UNSAMPLED",
    "Body",
    "BrokenPropagator",
    "ClientKit",
    "ConsumerKit",
    "DatabaseKit",
    "Expect",
    "Failure",
    "FakeTransport",
    "InMemoryExporter",
    "ProducerKit",
    "RecordedSpan",
    "Recording",
    "ServerKit",
    "SpanRecorder",
    "Spans",
    "assert_span",
    "exceptions_of",
    "outside_pytest",
    "recording",
    "spans_from_otlp",
]
