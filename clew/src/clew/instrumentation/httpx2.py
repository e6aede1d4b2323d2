"""httpx2, the successor of httpx: the same as there.

client = httpx2.Client(transport=clew.httpx2.TracingTransport())
"""

from __future__ import annotations

from typing import Any, Final

import httpx2
from opentelemetry.trace import TracerProvider

from clew.instrumentation import _httpx
from clew.instrumentation._httpx import AsyncTracing, Tracing
from clew.instrumentation._patching import Undo

OPTIONS: Final = _httpx.OPTIONS


class TracingTransport(Tracing, httpx2.BaseTransport):
    """Traces what another transport sends; an `httpx2.HTTPTransport()` unless one is given."""

    plain = httpx2.HTTPTransport


class AsyncTracingTransport(AsyncTracing, httpx2.AsyncBaseTransport):
    """The same for an `httpx2.AsyncClient`; an `httpx2.AsyncHTTPTransport()` unless one is given."""

    plain = httpx2.AsyncHTTPTransport


def patch(tracer_provider: TracerProvider | None = None, **options: Any) -> Undo:
    """Trace what httpx2's own network transports send, in clients already made too; returns the undo function."""
    return _httpx.patch_module(httpx2, tracer_provider, options)
