"""A service traced by clew between two others: reads from stdin, and prints, `{caller: {callee: headers}}`, what it got and what it writes."""

from __future__ import annotations

import json
import sys

from opentelemetry import propagate, trace
from opentelemetry.trace import SpanKind

import clew

clew.configure()
tracer = trace.get_tracer("between")
written: dict[str, dict[str, dict[str, str]]] = {}
for caller, calls in json.load(sys.stdin).items():
    for callee, got in calls.items():
        headers = written.setdefault(caller, {})[callee] = {}
        context = propagate.extract({key.lower(): value for key, value in got.items()})
        with (
            tracer.start_as_current_span(f"{caller} to {callee}", context, SpanKind.SERVER),
            tracer.start_as_current_span(f"to {callee}", kind=SpanKind.CLIENT),
        ):
            propagate.inject(headers)
clew.shutdown()
print(json.dumps(written))
