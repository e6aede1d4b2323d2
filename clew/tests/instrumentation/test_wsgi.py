"""WSGI: the server kit under a real server, and what only WSGI has."""

from __future__ import annotations

import http.client
import io
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any
from wsgiref.util import FileWrapper, setup_testing_defaults

import pytest
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import SpanKind, StatusCode, get_current_span

import clew
from clew.testing import Body, ServerKit, SpanRecorder, assert_span, exceptions_of
from clew.transport import current_server_transport

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode adds no path

from http_server import waitress_serving


def called(app: Any, headers: Sequence[tuple[str, str]] = (), **environ: Any) -> list[Any]:
    """The pieces of the answer, asked for as a server does it."""
    environ.update({f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers})
    setup_testing_defaults(environ)
    body = app(environ, lambda status, headers, *_: lambda data: None)
    try:
        return list(body)
    finally:
        getattr(body, "close", lambda: None)()


class TestKit(ServerKit):
    component = "HTTP"
    span_name = "GET"
    # A server joins the values of a header by commas.
    sees_repeated_traceparent = False
    sees_repeated_headers = False
    takes_options = True
    overlaps = True
    answers = MappingProxyType(
        {200: StatusCode.UNSET, 404: StatusCode.UNSET, 500: StatusCode.ERROR, 503: StatusCode.ERROR}
    )

    def call(
        self,
        tracer_provider: Any,
        body: Body,
        headers: Sequence[tuple[str, str]] = (),
        propagator: TextMapPropagator | None = None,
        **options: Any,
    ) -> BaseException | None:
        def app(environ: Any, start_response: Callable[..., Any]) -> Iterable[bytes]:
            body()
            start_response("200 OK", [])
            return [b"ok"]

        traced = clew.wsgi.TracingMiddleware(app, tracer_provider=tracer_provider, propagator=propagator, **options)
        try:
            called(traced, headers)
        except BaseException as error:
            return error
        return None

    def answer(self, tracer_provider: Any, status: int) -> None:
        def app(environ: Any, start_response: Callable[..., Any]) -> Iterable[bytes]:
            start_response(f"{status} Whatever", [])
            return [b"ok"]

        called(clew.wsgi.TracingMiddleware(app, tracer_provider=tracer_provider))

    def stream(self, tracer_provider: Any, source: Iterator[None]) -> None:
        def app(environ: Any, start_response: Callable[..., Any]) -> Iterable[bytes]:
            start_response("200 OK", [])
            for _ in source:
                yield b"piece"

        called(clew.wsgi.TracingMiddleware(app, tracer_provider=tracer_provider))


def hello(environ: Any, start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("content-type", "text/plain"), ("x-answer", "yes")])
    return [b"hello"]


def test_over_a_real_server_the_span_says_what_was_asked(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    app = clew.wsgi.TracingMiddleware(hello, tracer_provider=tracer_provider, response_headers=["x-answer"])
    with waitress_serving(app) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("GET", "/tea%C3%A9?token=secret&page=2", headers={"User-Agent": "kettle/1"})
        assert connection.getresponse().read() == b"hello"
        connection.close()
    assert_span(
        recorder.one(),
        name="GET",
        kind=SpanKind.SERVER,
        status=StatusCode.UNSET,
        attributes={
            "http.request.method": "GET",
            "http.response.status_code": 200,
            "url.scheme": "http",
            "url.path": "/teaé",
            "url.query": "token=REDACTED&page=2",
            "network.protocol.version": "1.1",
            "server.address": "127.0.0.1",
            "server.port": port,
            "client.address": "127.0.0.1",
            "user_agent.original": "kettle/1",
        },
    )
    assert list(recorder.one().attributes["http.response.header.x-answer"]) == ["yes"]


def test_a_list_and_a_file_reach_the_server_as_they_are(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    pieces = [b"a", b"b"]
    file = FileWrapper(io.BytesIO(b"file"))
    for body in (pieces, file):

        def app(environ: Any, start_response: Callable[..., Any], body: Any = body) -> Iterable[bytes]:
            start_response("200 OK", [])
            return body  # type: ignore[no-any-return]

        environ: dict[str, Any] = {"wsgi.file_wrapper": FileWrapper}
        setup_testing_defaults(environ)
        got = clew.wsgi.TracingMiddleware(app, tracer_provider=tracer_provider)(environ, lambda *_: lambda data: None)
        assert got is body
    assert len(recorder.spans) == 2
    assert recorder.open == 0


def test_the_span_is_current_in_every_piece_and_not_between_them(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    seen: list[int] = []

    def app(environ: Any, start_response: Callable[..., Any]) -> Iterable[bytes]:
        write = start_response("200 OK", [])
        write(b"first")
        for _ in range(2):
            assert current_server_transport() is not None
            seen.append(get_current_span().get_span_context().span_id)
            yield b"piece"

    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    body = clew.wsgi.TracingMiddleware(app, tracer_provider=tracer_provider)(environ, lambda *_: lambda data: None)
    for _ in body:
        assert not get_current_span().get_span_context().is_valid
        assert current_server_transport() is None
    assert seen == [recorder.one().context.span_id] * 2


def test_an_exception_in_a_piece_is_recorded_and_passes(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)

    def app(environ: Any, start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [])
        yield b"piece"
        raise ValueError("no tea")

    with pytest.raises(ValueError, match="no tea"):
        called(clew.wsgi.TracingMiddleware(app, tracer_provider=tracer_provider))
    assert_span(recorder.one(), status=StatusCode.ERROR, attributes={"error.type": "ValueError"})
    assert len(exceptions_of(recorder.one())) == 1


def test_a_response_that_is_closed_early_ends_its_span_and_is_closed(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    closed: list[bool] = []

    def app(environ: Any, start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", [])
        try:
            yield b"one"
            yield b"two"
        finally:
            closed.append(True)

    environ: dict[str, Any] = {}
    setup_testing_defaults(environ)
    body: Any = clew.wsgi.TracingMiddleware(app, tracer_provider=tracer_provider)(environ, lambda *_: lambda data: None)
    next(iter(body))
    assert recorder.spans == []
    body.close()
    assert closed == [True]
    assert_span(recorder.one(), status=StatusCode.UNSET)


def test_middleware_within_middleware_makes_one_span(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    inner = clew.wsgi.TracingMiddleware(hello, tracer_provider=tracer_provider)
    called(clew.wsgi.TracingMiddleware(inner, tracer_provider=tracer_provider))
    assert len(recorder.spans) == 1


def test_a_health_check_is_left_out_by_its_path(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    app = clew.wsgi.TracingMiddleware(hello, tracer_provider=tracer_provider, exclude=["/health"])
    called(app, PATH_INFO="/health")
    called(app, PATH_INFO="/tea")
    assert [span.attributes["url.path"] for span in recorder.spans] == ["/tea"]


def test_what_fails_when_the_response_is_over_and_what_never_began_one(tracer_provider: Any) -> None:
    class Pieces:
        def __iter__(self) -> Any:
            return iter([b"hello"])

        def close(self) -> None:
            raise ValueError("no tea")

    def app(environ: Any, start_response: Any) -> Any:
        if environ["PATH_INFO"] == "/never":
            raise KeyError("nothing")
        start_response("200 OK", [])
        return Pieces()

    recorder = SpanRecorder(tracer_provider)
    traced = clew.wsgi.TracingMiddleware(app, tracer_provider=tracer_provider)
    environ: dict[str, Any] = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "HTTP_HOST": "ada:pw@shop:81"}
    body: Any = traced(dict(environ), lambda *_: lambda _: None)
    assert list(body) == [b"hello"]
    with pytest.raises(ValueError, match="no tea"):
        body.close()
    with pytest.raises(KeyError):
        traced({**environ, "PATH_INFO": "/never"}, lambda *_: lambda _: None)
    assert [(span.name, span.status.status_code.name) for span in recorder.spans] == [
        ("GET", "UNSET"),
        ("after the response", "ERROR"),
        ("GET", "ERROR"),
    ]
    assert recorder.spans[2].attributes["http.response.status_code"] == 500
    assert {span.attributes.get("server.address") for span in recorder.spans} == {"shop", None}
