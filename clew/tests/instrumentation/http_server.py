"""Real HTTP servers for the server kit, in threads: uvicorn, wsgiref, waitress, gunicorn. One server serves all calls of a module.

A call has a number in its query. By it the server finds the traced application that the call is for, and the application's
handlers find what they are to do. The call is over when the application is, which may be after the client has its answer.
"""

from __future__ import annotations

import http.client
import io
import os
import signal
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from socketserver import ThreadingMixIn
from threading import Event, Thread
from typing import Any, ClassVar, Literal
from urllib.parse import parse_qs
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
import uvicorn
import waitress
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger
from gunicorn.workers.gthread import ThreadWorker
from opentelemetry.propagators.textmap import TextMapPropagator

import clew
from clew.testing import Body, ServerKit

_TIMEOUT_S = 100.0


@dataclass
class Visit:
    """One call: the application it is for, what its handler does, and what came out of the application."""

    app: Any
    body: Body = lambda: None
    source: Iterator[None] = field(default_factory=lambda: iter(()))
    status: int = 200
    error: BaseException | None = None
    over: Event = field(default_factory=Event)


_visits: dict[str, Visit] = {}
_numbers = count(1)


def visited(query: str | bytes) -> Visit:
    """The call with this query string."""
    text = query.decode("ascii") if isinstance(query, bytes) else query
    return _visits[parse_qs(text)["visit"][0]]


async def asgi_door(scope: Any, receive: Any, send: Any) -> None:
    """Leads each call to its application."""
    visit = visited(scope["query_string"])
    try:
        await visit.app(scope, receive, send)
    except BaseException as error:
        visit.error = error
        raise
    finally:
        visit.over.set()


def wsgi_door(environ: Any, start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Leads each call to its application."""
    visit = visited(environ["QUERY_STRING"])
    body: Any = None
    try:
        body = visit.app(environ, start_response)
        yield from body
    except BaseException as error:
        visit.error = error
        if isinstance(error, Exception):
            raise
        # A server's thread would end with it.
        start_response("500 Internal Server Error", [])
    finally:
        getattr(body, "close", lambda: None)()
        visit.over.set()


@contextmanager
def uvicorn_serving(app: Any, ws: Literal["none", "wsproto"] = "none") -> Iterator[int]:
    """The port of a uvicorn that serves an ASGI application."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, log_level="critical", lifespan="off", ws=ws))
        thread = Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


class _Threads(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def get_stderr(self) -> Any:
        return io.StringIO()

    def log_message(self, format: str, *args: object) -> None:
        return


@contextmanager
def wsgiref_serving(app: Any) -> Iterator[int]:
    """The port of a wsgiref server with a thread for each request."""
    server = make_server("127.0.0.1", 0, app, _Threads, _Quiet)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def waitress_serving(app: Any) -> Iterator[int]:
    """The port of a waitress with some threads."""
    server: Any = waitress.create_server(app, host="127.0.0.1", port=0, threads=4)  # type: ignore[no-untyped-call]
    thread = Thread(target=server.run)
    thread.start()
    try:
        yield int(server.effective_port)
    finally:
        # It looks at its sockets each second unless it is woken, and stops when it has none; that closes the trigger, which
        # may be before this thread has pulled it.
        with suppress(OSError):
            server.trigger.pull_trigger(server.close)
        thread.join()


class _Worker(ThreadWorker):
    def init_signals(self) -> None:
        """Install none: this is not the main thread, and the process is not a worker of its own."""


class _Gunicorn(BaseApplication):
    def __init__(self, app: Any) -> None:
        self._app = app
        super().__init__()

    def load_config(self) -> None:
        self.cfg.set("threads", 4)

    def load(self) -> Any:
        return self._app


@contextmanager
def gunicorn_serving(app: Any) -> Iterator[int]:
    """The port of one of gunicorn's workers with some threads, without the process that starts such workers."""
    application = _Gunicorn(app)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        worker = _Worker(1, os.getppid(), [listener], application, 30, application.cfg, Logger(application.cfg))
        thread = Thread(target=worker.init_process)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            worker.handle_exit(signal.SIGTERM, None)
            thread.join()
            worker.tmp.close()
            for pipe in worker.PIPE:
                os.close(pipe)


def get(port: int, path: str, headers: Sequence[tuple[str, str]] = ()) -> int:
    """GET with exactly these headers, on a connection of its own; the status, 0 where the connection ended without one."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
    try:
        connection.putrequest("GET", path)
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        response.read()
        return response.status
    except (http.client.HTTPException, ConnectionError):
        return 0
    finally:
        connection.close()


def visit(port: int, path: str, headers: Sequence[tuple[str, str]] = (), **what: Any) -> Visit:
    """Make one call and wait until its application is done with it."""
    number = str(next(_numbers))
    made = _visits[number] = Visit(**what)
    try:
        get(port, f"{path}?visit={number}", headers)
        assert made.over.wait(_TIMEOUT_S)
    finally:
        del _visits[number]
    return made


class SocketKit(ServerKit):
    """The server kit over a socket. `application` answers `path` (`body`), `/stream` (`source`) and `/status`."""

    component = "HTTP"
    takes_options = True
    overlaps = True
    #: What serves; called with the application that finds the one of the call.
    serving: ClassVar[Any]
    application: ClassVar[Any]
    port: ClassVar[int]
    path: ClassVar[str] = "/users/1"

    def traced(self, tracer_provider: Any, **options: Any) -> Any:
        """The application with the middleware around it."""
        raise NotImplementedError

    def call(
        self,
        tracer_provider: Any,
        body: Body,
        headers: Sequence[tuple[str, str]] = (),
        propagator: TextMapPropagator | None = None,
        **options: Any,
    ) -> BaseException | None:
        app = self.traced(tracer_provider, propagator=propagator, **options)
        return visit(self.port, self.path, headers, app=app, body=body).error

    def stream(self, tracer_provider: Any, source: Iterator[None]) -> None:
        visit(self.port, "/stream", app=self.traced(tracer_provider), source=source)

    def answer(self, tracer_provider: Any, status: int) -> None:
        visit(self.port, "/status", app=self.traced(tracer_provider), status=status)


class AsgiKit(SocketKit):
    """Over uvicorn."""

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def serve(cls) -> Iterator[None]:
        with uvicorn_serving(asgi_door) as cls.port:
            yield

    def traced(self, tracer_provider: Any, **options: Any) -> Any:
        return clew.asgi.TracingMiddleware(self.application, tracer_provider=tracer_provider, **options)


class WsgiKit(SocketKit):
    """Over wsgiref, or what `serving` is."""

    serving = staticmethod(wsgiref_serving)

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def serve(cls) -> Iterator[None]:
        with cls.serving(wsgi_door) as cls.port:
            yield

    def traced(self, tracer_provider: Any, **options: Any) -> Any:
        return clew.wsgi.TracingMiddleware(self.application, tracer_provider=tracer_provider, **options)
