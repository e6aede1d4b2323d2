"""httpx: the client kit over both transports, and what only httpx has."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import SpanKind, StatusCode

from clew.instrumentation.httpx import AsyncTracingTransport, TracingTransport
from clew.testing import Body, ClientKit, SpanRecorder, assert_span, exceptions_of


class TestSync(ClientKit):
    component = "HTTP"
    span_name = "GET"
    takes_options = True

    def call(
        self, tracer_provider: Any, body: Body, propagator: TextMapPropagator | None = None, **options: Any
    ) -> tuple[list[tuple[str, str]], BaseException | None]:
        headers: list[tuple[str, str]] = []

        def answer(request: httpx.Request) -> httpx.Response:
            headers.extend(request.headers.multi_items())
            body()
            return httpx.Response(200)

        transport = TracingTransport(
            httpx.MockTransport(answer), tracer_provider=tracer_provider, propagator=propagator, **options
        )
        with httpx.Client(transport=transport) as client:
            try:
                client.get("http://test/", headers={"Traceparent": "mine"})
            except BaseException as error:
                return headers, error
        return headers, None


class TestAsync(ClientKit):
    component = "HTTP"
    span_name = "GET"
    takes_options = True

    def call(
        self, tracer_provider: Any, body: Body, propagator: TextMapPropagator | None = None, **options: Any
    ) -> tuple[list[tuple[str, str]], BaseException | None]:
        headers: list[tuple[str, str]] = []

        async def answer(request: httpx.Request) -> httpx.Response:
            headers.extend(request.headers.multi_items())
            body()
            return httpx.Response(200)

        async def main() -> BaseException | None:
            transport = AsyncTracingTransport(
                httpx.MockTransport(answer), tracer_provider=tracer_provider, propagator=propagator, **options
            )
            async with httpx.AsyncClient(transport=transport) as client:
                try:
                    await client.get("http://test/")
                except BaseException as error:
                    return error
            return None

        error = asyncio.run(main())
        return headers, error


def traced(provider: Any, *responses: httpx.Response) -> httpx.Client:
    answers = iter(responses)
    return httpx.Client(
        transport=TracingTransport(httpx.MockTransport(lambda request: next(answers)), tracer_provider=provider)
    )


def test_the_span_says_what_was_asked_without_the_password(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    traced(tracer_provider, httpx.Response(204)).put("https://me:secret@test/a?b=1&Signature=xyz")
    assert_span(
        recorder.one(),
        name="PUT",
        kind=SpanKind.CLIENT,
        status=StatusCode.UNSET,
        attributes={
            "http.request.method": "PUT",
            "url.full": "https://test/a?b=1&Signature=REDACTED",
            "server.address": "test",
            "server.port": 443,
            "http.response.status_code": 204,
        },
    )


def test_to_a_client_4xx_is_an_error(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    traced(tracer_provider, httpx.Response(404)).get("http://test/")
    span = recorder.one()
    assert_span(span, status=StatusCode.ERROR, attributes={"error.type": "404"})
    assert span.status.description is None
    assert exceptions_of(span) == []


def test_every_redirect_followed_has_its_span(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    client = traced(tracer_provider, httpx.Response(302, headers={"location": "/there"}), httpx.Response(200))
    assert client.get("http://test/here", follow_redirects=True).status_code == 200
    assert [span.attributes["url.full"] for span in recorder.spans] == ["http://test/here", "http://test/there"]
    assert [span.attributes.get("http.request.resend_count") for span in recorder.spans] == [None, 1]


def test_a_request_sent_again_with_credentials_is_counted_and_one_asked_for_anew_is_not(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    challenge = httpx.Response(401, headers={"www-authenticate": 'Digest realm="r", nonce="n", qop="auth"'})
    client = traced(tracer_provider, challenge, httpx.Response(200), httpx.Response(200))
    client.get("http://test/", auth=httpx.DigestAuth("me", "secret"))
    client.get("http://test/")
    assert [span.attributes.get("http.request.resend_count") for span in recorder.spans] == [None, 1, None]


def test_headers_are_kept_by_list_and_hooks_see_request_and_response(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    seen: list[Any] = []
    transport = TracingTransport(
        httpx.MockTransport(lambda request: httpx.Response(200, headers={"x-answer": "b"})),
        tracer_provider=tracer_provider,
        request_headers=["x-ask", "authorization"],
        response_headers=["x-answer"],
        exclude=["/health"],
        rename=lambda call: f"GET {call.path}",
        on_end=lambda span, call, reply, error: seen.append((call.path, reply.status_code, error)),
    )
    with httpx.Client(transport=transport, headers={"x-ask": "a", "authorization": "Bearer abc"}) as client:
        client.get("http://test/health")
        client.get("http://test/a")
    span = recorder.one()
    assert_span(
        span,
        name="GET /a",
        attributes={"http.request.header.x-ask": ("a",), "http.response.header.x-answer": ("b",)},
    )
    assert "Bearer abc" not in str(dict(span.attributes))
    assert seen == [("/a", 200, None)]


def test_a_transport_inside_a_transport_makes_one_span(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    inner = TracingTransport(httpx.MockTransport(lambda request: httpx.Response(200)), tracer_provider=tracer_provider)
    request = httpx.Request("GET", "http://test/")
    TracingTransport(inner, tracer_provider=tracer_provider).handle_request(request)
    assert len(recorder.spans) == 1
    assert request.extensions == {}


def test_a_task_cancelled_while_it_waits_is_marked(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)

    async def main() -> None:
        waiting = asyncio.Event()

        async def never(request: httpx.Request) -> httpx.Response:
            waiting.set()
            await asyncio.Event().wait()
            return httpx.Response(200)

        transport = AsyncTracingTransport(httpx.MockTransport(never), tracer_provider=tracer_provider)
        async with httpx.AsyncClient(transport=transport) as client:
            task = asyncio.create_task(client.get("http://test/"))
            await waiting.wait()
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()

    asyncio.run(main())
    assert_span(recorder.one(), status=StatusCode.UNSET, attributes={"clew.cancelled": True})
