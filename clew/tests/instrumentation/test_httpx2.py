"""httpx2, and httpx by the same code: the client kit over real sockets, redirects, `clew.instrument()`, and openai on it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import httpx2
import openai
import pytest
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import SpanKind, StatusCode

import clew
from clew.instrumentation import httpx2 as instrumentation
from clew.testing import Body, ClientKit, SpanRecorder, assert_span
from clew.testing.kits.sameness import outcome, shape

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode adds no path

from http_peer import Peer


@pytest.fixture
def peer() -> Iterator[Peer]:
    with Peer().running() as running:
        yield running


class TestSync(ClientKit):
    component = "HTTP"
    span_name = "GET"
    same_exception = False
    takes_options = True
    overlaps = True
    answers = MappingProxyType(
        {200: StatusCode.UNSET, 302: StatusCode.UNSET, 404: StatusCode.ERROR, 500: StatusCode.ERROR}
    )

    def get(self, url: str, **options: Any) -> None:
        with httpx2.Client(transport=clew.httpx2.TracingTransport(**options)) as client:
            client.get(url, headers={"Traceparent": "mine"})

    def call(
        self, tracer_provider: Any, body: Body, propagator: TextMapPropagator | None = None, **options: Any
    ) -> tuple[list[tuple[str, str]], BaseException | None]:
        with Peer().running() as server:
            server.body = body
            try:
                self.get(server.url, tracer_provider=tracer_provider, propagator=propagator, **options)
            except BaseException as error:
                return server.headers, error
            return server.headers, None

    def answer(self, tracer_provider: Any, status: int) -> None:
        with Peer().running() as server:
            self.get(f"{server.url}/status/{status}", tracer_provider=tracer_provider)


class TestAsync(TestSync):
    def get(self, url: str, **options: Any) -> None:
        async def main() -> None:
            async with httpx2.AsyncClient(transport=clew.httpx2.AsyncTracingTransport(**options)) as client:
                await client.get(url, headers={"Traceparent": "mine"})

        asyncio.run(main())


class TestSyncOfHttpx(TestSync):
    def get(self, url: str, **options: Any) -> None:
        with httpx.Client(transport=clew.httpx.TracingTransport(**options)) as client:
            client.get(url, headers={"Traceparent": "mine"})


class TestAsyncOfHttpx(TestSync):
    def get(self, url: str, **options: Any) -> None:
        async def main() -> None:
            async with httpx.AsyncClient(transport=clew.httpx.AsyncTracingTransport(**options)) as client:
                await client.get(url, headers={"Traceparent": "mine"})

        asyncio.run(main())


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
def test_every_redirect_followed_has_its_span(library: Any, peer: Peer, tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    transport = getattr(clew, library.__name__).TracingTransport(tracer_provider=tracer_provider)
    with library.Client(transport=transport) as client:
        assert client.get(f"{peer.url}/redirect?token=S", follow_redirects=True).status_code == 200
    assert [span.attributes["url.full"] for span in recorder.spans] == [
        f"{peer.url}/redirect?token=REDACTED",
        f"{peer.url}/there",
    ]
    assert [span.attributes.get("http.request.resend_count") for span in recorder.spans] == [None, 1]


def test_clients_made_before_are_traced_until_it_is_undone_and_never_twice(peer: Peer, tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    before = [
        shape(httpx2.HTTPTransport.handle_request),
        shape(httpx2.AsyncHTTPTransport.handle_async_request),
    ]
    explicit = httpx2.Client(transport=clew.httpx2.TracingTransport(tracer_provider=tracer_provider))
    with httpx2.Client() as plain, explicit:
        calls = [
            lambda client: client.get(f"{peer.url}/status/404").status_code,
            lambda client: client.get("http://127.0.0.1:1/"),
        ]
        without = [outcome(call, plain) for call in calls]
        undo = instrumentation.patch(tracer_provider)
        try:
            assert before == [
                shape(httpx2.HTTPTransport.handle_request),
                shape(httpx2.AsyncHTTPTransport.handle_async_request),
            ]
            assert [outcome(call, plain) for call in calls] == without
            explicit.get(peer.url)
        finally:
            undo()
        plain.get(peer.url)
    assert [span.status.status_code for span in recorder.spans] == [
        StatusCode.ERROR,
        StatusCode.ERROR,
        StatusCode.UNSET,
    ]


def test_a_question_to_openai_is_a_request_in_the_callers_trace(peer: Peer, tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    undo = instrumentation.patch(tracer_provider)
    try:
        with (
            openai.OpenAI(api_key="none", base_url=f"{peer.url}/status", max_retries=0) as client,
            tracer_provider.get_tracer("app").start_as_current_span("question") as question,
            pytest.raises(openai.APIStatusError),
        ):
            client.get("/401", cast_to=object)
    finally:
        undo()
    assert_span(
        recorder.one(kind=SpanKind.CLIENT),
        name="GET",
        status=StatusCode.ERROR,
        parent_id=f"{question.get_span_context().span_id:016x}",
        attributes={"url.full": f"{peer.url}/status/401", "http.response.status_code": 401},
    )
    assert "traceparent" in dict(peer.headers)


@pytest.mark.parametrize("first", ["alias", "clew"])
def test_where_httpx2_is_called_httpx_a_request_has_one_span(peer: Peer, first: str) -> None:
    lines = {"alias": "import httpx2; httpx2.alias_httpx()", "clew": "clew.instrument(provider)"}
    lines = {first: lines[first], **lines}
    program = "\n".join(
        [
            "import sys, clew",
            "from clew.testing import SpanRecorder",
            "provider = clew.TracerProvider()",
            "recorder = SpanRecorder(provider)",
            *lines.values(),
            "import httpx",
            "assert httpx is sys.modules['httpx2']",
            f"assert httpx.get({peer.url!r}).status_code == 200",
            "print(len(recorder.spans))",
        ]
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "1"), done.stderr


def test_nothing_is_imported_before_the_program_does() -> None:
    program = (
        "import clew, sys; clew.instrument(); assert 'httpx2' not in sys.modules;"
        "import httpx2; assert httpx2.HTTPTransport.handle_request.__wrapped__; clew.uninstrument();"
        "assert not hasattr(httpx2.HTTPTransport.handle_request, '__wrapped__')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
