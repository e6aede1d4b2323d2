"""Each instrumentation has an instrumentation scope of its own: its name, clew's version, the schema of the attributes."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

import clew
from clew import instrumentation, semconv
from clew.testing import SpanRecorder

SOURCES = Path(instrumentation.__file__).parent
_MAKES_TRACER = re.compile(r"(?<![\w.])(?:Tracer\(SpanKind\.\w+|StatementTracing\(|MessageTracing\()[^\n]*")


@pytest.mark.parametrize("source", sorted(SOURCES.glob("*.py")), ids=lambda path: path.name)
def test_no_instrumentation_makes_spans_without_a_scope_of_its_own(source: Path) -> None:
    for line in _MAKES_TRACER.findall(source.read_text(encoding="utf-8")):
        assert "scope=" in line or '"clew.' in line or line.endswith(":"), line


def test_a_span_says_which_instrumentation_made_it(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    connection = clew.sqlite3.connector(tracer_provider=tracer_provider)(":memory:")
    connection.execute("SELECT 1")
    connection.close()
    with (
        pytest.raises(httpx.ConnectError),
        httpx.Client(transport=clew.httpx.TracingTransport(tracer_provider=tracer_provider)) as client,
    ):
        client.get("http://127.0.0.1:1/")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async def get() -> None:
        transport = httpx.ASGITransport(clew.asgi.TracingMiddleware(app, tracer_provider=tracer_provider))
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            await client.get("/")

    asyncio.run(get())
    scopes = [span.instrumentation_scope for span in recorder.spans]
    assert [scope.name for scope in scopes] == ["clew.sqlite3", "clew.httpx", "clew.asgi"]
    assert {scope.version for scope in scopes} == {clew.__version__}
    assert {scope.schema_url for scope in scopes} == {semconv.SCHEMA_URL}
