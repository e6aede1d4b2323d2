"""httpx: a CLIENT span for each request a transport sends.

client = httpx.Client(transport=clew.httpx.TracingTransport())
"""

from __future__ import annotations

from typing import Any, Final

import httpx
from opentelemetry.trace import TracerProvider

from clew.instrumentation import _httpx
from clew.instrumentation._httpx import AsyncTracing, Tracing
from clew.instrumentation._patching import Undo

OPTIONS: Final = _httpx.OPTIONS


class TracingTransport(Tracing, httpx.BaseTransport):
    """Traces what another transport sends; an `httpx.HTTPTransport()` unless one is given."""

    plain = httpx.HTTPTransport


class AsyncTracingTransport(AsyncTracing, httpx.AsyncBaseTransport):
    """The same for an `httpx.AsyncClient`; an `httpx.AsyncHTTPTransport()` unless one is given."""

    plain = httpx.AsyncHTTPTransport


def patch(tracer_provider: TracerProvider | None = None, **options: Any) -> Undo:
    """Trace what httpx's own network transports send, in clients already made too; returns the undo function."""
    return _httpx.patch_module(httpx, tracer_provider, options)
