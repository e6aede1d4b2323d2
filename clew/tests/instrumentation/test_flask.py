"""Flask: routes, exceptions that Flask answers itself, streams, and the patch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import flask
import pytest
from opentelemetry.trace import SpanKind, StatusCode

import clew
from clew.instrumentation import flask as instrumentation
from clew.testing import SpanRecorder, assert_span, exceptions_of


def shop() -> flask.Flask:
    app = flask.Flask("shop")

    @app.get("/users/<int:number>")
    def user(number: int) -> str:
        return f"{number} {clew.trace_id()}"

    @app.get("/broken")
    def broken() -> str:
        raise ValueError("no tea")

    @app.get("/stream")
    def stream() -> Any:
        return flask.Response(piece for piece in ("a", "b"))

    return app


@pytest.fixture(params=["explicit", "patched"])
def app(request: pytest.FixtureRequest, tracer_provider: Any) -> Iterator[flask.Flask]:
    made = shop()
    if request.param == "explicit":
        made.wsgi_app = clew.wsgi.TracingMiddleware(made.wsgi_app, tracer_provider=tracer_provider)  # type: ignore[method-assign,assignment]
        yield made
    else:
        undo = instrumentation.patch(tracer_provider)
        yield made
        undo()


def test_the_route_names_the_span(app: flask.Flask, tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    reply = app.test_client().get("/users/7", buffered=True)
    span = recorder.one()
    assert reply.text == f"7 {span.context.trace_id:032x}"
    assert_span(
        span,
        name="GET /users/<int:number>",
        kind=SpanKind.SERVER,
        status=StatusCode.UNSET,
        attributes={"http.route": "/users/<int:number>", "http.response.status_code": 200, "url.path": "/users/7"},
    )


def test_what_no_route_matches_has_the_method_for_a_name(app: flask.Flask, tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    assert app.test_client().get("/nowhere/1", buffered=True).status_code == 404
    assert_span(recorder.one(), name="GET", status=StatusCode.UNSET, attributes={"http.response.status_code": 404})
    assert "http.route" not in recorder.one().attributes


def test_an_exception_that_flask_answers_is_on_the_span(app: flask.Flask, tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    assert app.test_client().get("/broken", buffered=True).status_code == 500
    span = recorder.one()
    assert_span(
        span,
        name="GET /broken",
        status=StatusCode.ERROR,
        attributes={"error.type": "ValueError", "http.response.status_code": 500},
    )
    assert [found["exception.message"] for found in exceptions_of(span)] == ["no tea"]


def test_a_stream_has_one_span(app: flask.Flask, tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    assert app.test_client().get("/stream", buffered=True).text == "ab"
    assert_span(recorder.one(), name="GET /stream")
    assert recorder.open == 0


def test_it_can_be_undone(tracer_provider: Any) -> None:
    recorder = SpanRecorder(tracer_provider)
    instrumentation.patch(tracer_provider)()
    assert shop().test_client().get("/users/7", buffered=True).status_code == 200
    assert recorder.spans == []
