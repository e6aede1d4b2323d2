"""WSGI: one SERVER span for each request, of Flask, Django and anything else; it ends with the response's last piece.

    app.wsgi_app = clew.wsgi.TracingMiddleware(app.wsgi_app)

Routes of Flask and Django name the span, and the exceptions they turn into a 500 are on it. Neither is imported here:
they are listened to where they are there already.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from types import ModuleType
from typing import Any, Final, Unpack

from opentelemetry.trace import SpanKind
from opentelemetry.util.types import AttributeValue

from clew import guard
from clew.carriers import AsgiCarrier, WsgiCarrier
from clew.instrumentation import _http_server
from clew.instrumentation._http_server import AFTERWARDS, ServerCall, server_attributes
from clew.tracing.options import HttpOptions
from clew.tracing.scope import Scope
from clew.tracing.tracer import Tracer
from clew.transport import Peer, server_transport

Environ = MutableMapping[str, Any]
StartResponse = Callable[..., Callable[[bytes], object]]
WSGIApp = Callable[[Environ, StartResponse], Iterable[bytes]]

OPTIONS: Final = _http_server.OPTIONS
_MARK: Final = "clew.traced"


def _path_of(environ: Environ) -> str:
    path: str = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    # PEP 3333: bytes decoded as Latin-1.
    return path if path.isascii() else path.encode("latin-1", "replace").decode("utf-8", "replace")


class WsgiTransport(ServerCall):
    """A WSGI request as a call."""

    __slots__ = ("environ",)

    carrier: WsgiCarrier

    def __init__(self, environ: Environ) -> None:
        super().__init__(environ.get("REQUEST_METHOD", "GET"), WsgiCarrier(environ))
        self.environ: Final = environ

    @property
    def path(self) -> str:
        """The path asked for, decoded, without the query."""
        return _path_of(self.environ)

    @property
    def url(self) -> str:
        """Scheme, host and path; no query."""
        environ = self.environ
        host = environ.get("HTTP_HOST") or environ.get("SERVER_NAME", "")
        return f"{environ.get('wsgi.url_scheme', 'http')}://{host}{self.path}"

    @property
    def peer(self) -> Peer | None:
        """The client's address as the server saw it."""
        address = self.environ.get("REMOTE_ADDR")
        if not address:
            return None
        port = str(self.environ.get("REMOTE_PORT", ""))
        return address, int(port) if port.isdecimal() else 0

    def attributes(self) -> Mapping[str, AttributeValue]:
        """What the semantic conventions ask of an HTTP server."""
        environ = self.environ
        protocol = environ.get("SERVER_PROTOCOL", "")
        host: str | tuple[Any, ...] | None = environ.get("HTTP_HOST")
        if not host:
            port = str(environ.get("SERVER_PORT", ""))
            host = (environ.get("SERVER_NAME", ""), int(port) if port.isdecimal() else None)
        return server_attributes(
            self.method,
            environ.get("wsgi.url_scheme"),
            protocol[5:] if protocol.startswith("HTTP/") else None,
            host,
            self.path,
            environ.get("QUERY_STRING"),
            environ.get("REMOTE_ADDR"),
            environ.get("HTTP_USER_AGENT"),
            self._socket(),
        )

    def _socket(self) -> Peer | None:
        # Werkzeug's ProxyFix replaces the address by that of the client behind the proxies, and keeps the first.
        original: Any = self.environ.get("werkzeug.proxy_fix.orig")
        peer = self.peer
        if peer is not None and isinstance(original, Mapping) and (address := original.get("REMOTE_ADDR")):
            return str(address), peer[1]
        return peer


class TracingMiddleware:
    """WSGI middleware. Requests that another instance traces already are passed through."""

    __slots__ = ("_tracer", "app")

    def __init__(self, app: WSGIApp, **options: Unpack[HttpOptions]) -> None:
        """Options as `clew.server`; raises ValueError for an unknown convention."""
        self.app: Final = app
        self._tracer: Final = Tracer(SpanKind.SERVER, scope="clew.wsgi", **options)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """One request."""
        if is_traced(environ):
            return self.app(environ, start_response)
        return respond(self._tracer, self.app, environ, start_response)


def is_traced(environ: Environ) -> bool:
    """Whether the request has a span: of another middleware, or of an ASGI application that this one is mounted in."""
    if _MARK in environ:
        return True
    outer: Any = server_transport.get()
    # The environ that a `WSGIMiddleware` makes has nothing of the scope in it, so both are compared.
    return (
        isinstance(outer, ServerCall)
        and not isinstance(outer, WsgiTransport)
        and outer.method == environ.get("REQUEST_METHOD")
        and _path_of(environ).endswith(getattr(outer, "path", "\0"))
    )


def respond(tracer: Tracer, app: WSGIApp, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answer one request by `app`, traced."""
    transport = guard.attempt("reading a WSGI environ", _read, environ)
    if transport is None:
        return app(environ, start_response)
    request = tracer.scope(transport)

    def traced_start_response(status: str, headers: Any, *exc_info: Any) -> Any:
        code = status[:3]
        if code.isdecimal():
            transport.status = int(code)
        if tracer.wants_reply_headers:
            transport.reply_carrier = AsgiCarrier(
                [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
            )
        return start_response(status, headers, *exc_info)

    request.enter()
    try:
        body = app(environ, traced_start_response)
    except BaseException as error:
        request.leave()
        transport.failed_with(error)
        _end(tracer, request, error)
        raise
    request.leave()
    # Whole already; a server looks at the number of pieces, and sends a file by other means.
    if isinstance(body, (list, tuple)) or _is_file(environ, body):
        _end(tracer, request, None)
        return body
    return _Body(tracer, request, body)


def _read(environ: Environ) -> WsgiTransport:
    transport = WsgiTransport(environ)
    environ[_MARK] = True
    listen_to_frameworks()
    return transport


def _is_file(environ: Environ, body: object) -> bool:
    wrapper = environ.get("wsgi.file_wrapper")
    return isinstance(wrapper, type) and isinstance(body, wrapper)


class _Body:
    """The pieces of a response, computed with the span current."""

    __slots__ = ("_body", "_open", "_pieces", "_request", "_tracer")

    def __init__(self, tracer: Tracer, request: Scope, body: Iterable[bytes]) -> None:
        self._tracer = tracer
        self._request = request
        self._body = body
        self._pieces: Iterator[bytes] | None = None
        self._open = True

    def __iter__(self) -> _Body:
        return self

    def __next__(self) -> bytes:
        request = self._request
        request.enter()
        try:
            if self._pieces is None:
                self._pieces = iter(self._body)
            return next(self._pieces)
        except StopIteration:
            self._finish(None)
            raise
        except BaseException as error:
            self._finish(error)
            raise
        finally:
            request.leave()

    def close(self) -> None:
        """Called by the server when it has sent the response or given it up."""
        request = self._request
        request.enter()
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        except BaseException as error:
            if not self._open and isinstance(error, Exception):
                # The response is over: what runs then, such as Werkzeug's `call_on_close`, has no span that is open.
                self._tracer.note_failure(AFTERWARDS, error, context=request.context, kind=SpanKind.INTERNAL)
            self._finish(error)
            raise
        finally:
            request.leave()
        self._finish(None)

    def _finish(self, error: BaseException | None) -> None:
        if self._open:
            self._open = False
            _end(self._tracer, self._request, error)


def _end(tracer: Tracer, request: Scope, error: BaseException | None) -> None:
    transport: Any = request.call
    if transport.route:
        transport.routed(transport.route)
        tracer.update_name(request.span, transport)
    error = error or transport.error
    transport.error = None  # else a reference cycle through the traceback's frames
    request.finish(None, error)


# -- frameworks ---------------------------------------------------------------------------------------------------------


_heard: Final[set[str]] = set()


def listen_to_frameworks() -> None:
    """Connect to the signals for exceptions that Flask and Django answer with a 500, if either is in use."""
    # Looked for at each request, as an application may be imported after its middleware is made.
    for name, listen in _FRAMEWORKS:
        if name not in _heard and (module := sys.modules.get(name)) is not None:
            _heard.add(name)
            listen(module)


def _listen_to_flask(module: ModuleType) -> None:
    module.request_started.connect(_flask_started, weak=False)
    module.got_request_exception.connect(_flask_failed, weak=False)


def _listen_to_django(module: ModuleType) -> None:
    module.got_request_exception.connect(_django_failed, weak=False, dispatch_uid="clew")


def _flask_started(sender: object, **_: object) -> None:
    # Over ASGI too, where a WSGI application is mounted.
    transport: Any = server_transport.get()
    if hasattr(transport, "route"):
        request = sys.modules["flask"].request
        rule = getattr(request.url_rule, "rule", None)
        if isinstance(rule, str):
            transport.route = request.root_path.rstrip("/") + rule


def _flask_failed(sender: object, exception: BaseException | None = None, **_: object) -> None:
    _failed(exception)


def _django_failed(sender: object, **_: object) -> None:
    _failed(sys.exc_info()[1])


def _failed(exception: BaseException | None) -> None:
    transport: Any = server_transport.get()
    if exception is not None and hasattr(transport, "error"):
        transport.error = exception


_FRAMEWORKS: Final = (("flask.signals", _listen_to_flask), ("django.core.signals", _listen_to_django))
