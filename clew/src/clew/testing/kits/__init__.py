"""The kits that define what "instrumented" means, and the doubles they use.

An instrumentation proves itself by subclassing a kit in its tests, under a name that begins with `Test`, and saying how
a call is made; pytest collects the inherited tests. They want a fixture `tracer_provider`: any provider that takes
span processors, as OpenTelemetry's SDK's and clew's do. `ServerKit` and `ConsumerKit` are in `answering.py`,
`ClientKit` and `ProducerKit` in `calling.py`, `DatabaseKit` in `database.py`.

What a kit cannot ask of every library it asks where a class attribute says so; each is explained where it stands.
"""

from __future__ import annotations

from clew.testing.kits.answering import ConsumerKit, ServerKit
from clew.testing.kits.calling import ClientKit, ProducerKit
from clew.testing.kits.database import DatabaseKit
from clew.testing.kits.doubles import (
    PARENT_ID,
    TRACE_ID,
    TRACEPARENT,
    UNSAMPLED,
    Body,
    BrokenPropagator,
    Failure,
    FakeTransport,
    outside_pytest,
)

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
    "Failure",
    "FakeTransport",
    "ProducerKit",
    "ServerKit",
    "outside_pytest",
]
