"""What an application gets from a library, before and while clew traces it: calls of its functions, answers of its servers."""

from __future__ import annotations

import http.client
import inspect
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from clew.testing import SpanRecorder
from clew.testing.kits.sameness import difference, outcome, raised, unreadable

_TIMEOUT_S = 100.0
# What is another each time.
_VARYING = frozenset(("date", "expires", "last-modified"))

Patch = Callable[[Any], Callable[[], None]]
Serving = Callable[[Any], AbstractContextManager[int]]


def assert_same_when_patched(
    patches: Sequence[Patch],
    tracer_provider: Any,
    subject: Callable[[], Any],
    calls: Sequence[Callable[[Any], Any]],
    *,
    makes_spans: bool = True,
) -> None:
    """Each call gives the same on a new subject before and while the library is patched, and where clew fails.

    `subject` is made anew for each call. Some of the calls make spans.
    """
    recorder = SpanRecorder(tracer_provider)
    plain = [outcome(call, subject()) for call in calls]
    undos = [patch(tracer_provider) for patch in patches]
    try:
        traced = [outcome(call, subject()) for call in calls]
        with unreadable():
            unread = [outcome(call, subject()) for call in calls]
    finally:
        for undo in undos:
            undo()
    for call, before, now, then in zip(calls, plain, traced, unread, strict=True):
        assert now == before, f"{inspect.getsource(call)}{difference(now, before)}"
        assert then == before, f"where clew fails: {inspect.getsource(call)}{difference(then, before)}"
    assert recorder.spans or not makes_spans
    assert recorder.open == 0


def answers(serving: Serving, app: Any, *asks: str, door: Callable[[Any, list[Any]], Any] | None = None) -> Any:
    """What clients of a real server get for each `GET /path`, and what the server gets from the application.

    `door` is `asgi_errors` or `wsgi_errors`, which note what leaves the application. That is in an order of its own: an error may leave
    after its response, when the next request has been answered.
    """
    errors: list[Any] = []
    with serving(app if door is None else door(app, errors)) as port:
        got = [_answer(port, *ask.split(" ", 1)) for ask in asks]
    return got, sorted(errors, key=repr)


def _answer(port: int, method: str, path: str) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
    try:
        connection.request(method, path, headers={"x-mine": "1", "accept": "*/*"})
        response = connection.getresponse()
        headers = sorted((name.lower(), value) for name, value in response.getheaders() if name.lower() not in _VARYING)
        try:
            return response.status, response.reason, headers, response.read()
        except http.client.IncompleteRead as error:
            return response.status, response.reason, headers, error.partial
    except (http.client.HTTPException, ConnectionError) as error:
        return type(error)
    finally:
        connection.close()


def asgi_errors(app: Any, errors: list[Any]) -> Any:
    """The application; what it raises is added to `errors`."""

    async def door(scope: Any, receive: Any, send: Any) -> None:
        try:
            await app(scope, receive, send)
        except Exception as error:
            errors.append(raised(error))
            raise

    return door


def wsgi_errors(app: Any, errors: list[Any]) -> Any:
    """The same for WSGI, with the type of what the application returns."""

    def door(environ: Any, start_response: Any) -> Any:
        body: Any = None
        try:
            body = app(environ, start_response)
            yield from body
        except Exception as error:
            errors.append(raised(error))
            raise
        finally:
            getattr(body, "close", lambda: None)()

    return door
