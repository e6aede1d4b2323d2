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

from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import Span, SpanKind
from opentelemetry.util.types import AttributeValue

from clew import guard, semconv
from clew.carriers import AsgiCarrier, WsgiCarrier
from clew.tracing.attributes import http_method_attributes, http_span_name, redacted
from clew.tracing.options import HttpOptions
from clew.tracing.outcome import client_has_left
from clew.tracing.tracer import Tracer
from clew.transport import Outcome, Peer, server_transport

Environ = MutableMapping[str, Any]
StartResponse = Callable[..., Callable[[bytes], object]]
WSGIApp = Callable[[Environ, StartResponse], Iterable[bytes]]

OPTIONS: Final = HttpOptions
_MARK: Final = "clew.traced"
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class WsgiTransport:
    """A WSGI request as a call."""

    __slots__ = ("carrier", "environ", "error", "method", "operation", "reply_carrier", "route", "status")

    kind: Final = "http"
    component: Final = "HTTP"

    def __init__(self, environ: Environ) -> None:
        self.environ: Final = environ
        self.carrier: Final = WsgiCarrier(environ)
        self.method: Final[str] = environ.get("REQUEST_METHOD", "GET")
        #: The method alone; with the route when the call has ended.
        self.operation: str = http_span_name(self.method, None)
        self.reply_carrier: AsgiCarrier | None = None
        self.status = 0
        #: Set by whoever knows it: the framework's own template, with its leading slash.
        self.route: str | None = None
        #: What a framework has turned into an answer.
        self.error: BaseException | None = None

    @property
    def path(self) -> str:
        """The path asked for, decoded, without the query."""
        environ = self.environ
        path: str = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        # A WSGI string is bytes in Latin-1's clothes.
        return path if path.isascii() else path.encode("latin-1", "replace").decode("utf-8", "replace")

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
        scheme = environ.get("wsgi.url_scheme", "http")
        attributes = http_method_attributes(self.method)
        attributes[semconv.URL_SCHEME] = scheme
        attributes[semconv.URL_PATH] = self.path
        query = environ.get("QUERY_STRING")
        if query:
            attributes[semconv.URL_QUERY] = redacted(query)
        protocol = environ.get("SERVER_PROTOCOL", "")
        if protocol.startswith("HTTP/"):
            attributes[semconv.NETWORK_PROTOCOL_VERSION] = protocol[5:]
        address = environ.get("REMOTE_ADDR")
        if address:
            attributes[semconv.CLIENT_ADDRESS] = address
        host = environ.get("HTTP_HOST")
        if host:
            host = host.rpartition("@")[2]  # user and password have no place there, and yet are sent
            name, colon, port = host.rpartition(":")
            if not (colon and port.isdecimal()):
                name, port = host, ""
            attributes[semconv.SERVER_ADDRESS] = name.strip("[]")
        else:
            attributes[semconv.SERVER_ADDRESS] = environ.get("SERVER_NAME", "")
            port = str(environ.get("SERVER_PORT", ""))
        number = int(port) if port.isdecimal() else _DEFAULT_PORTS.get(scheme)
        if number is not None:
            attributes[semconv.SERVER_PORT] = number
        agent = environ.get("HTTP_USER_AGENT")
        if agent:
            attributes[semconv.USER_AGENT_ORIGINAL] = agent
        return attributes


class TracingMiddleware:
    """WSGI middleware; what another of it traces already passes through untouched."""

    __slots__ = ("_tracer", "app")

    def __init__(self, app: WSGIApp, **options: Unpack[HttpOptions]) -> None:
        """Options as `clew.server`; raises ValueError for an unknown convention."""
        self.app: Final = app
        self._tracer: Final = Tracer(SpanKind.SERVER, **options)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """One request."""
        if _MARK in environ:
            return self.app(environ, start_response)
        return respond(self._tracer, self.app, environ, start_response)


def respond(tracer: Tracer, app: WSGIApp, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answer one request by `app`, traced."""
    try:
        transport = WsgiTransport(environ)
        environ[_MARK] = True
        listen_to_frameworks()
    except Exception as failure:
        guard.swallow("reading a WSGI environ", failure)
        return app(environ, start_response)
    span, context = tracer.begin(transport.operation, transport.carrier, transport)

    def traced_start_response(status: str, headers: Any, *exc_info: Any) -> Any:
        code = status[:3]
        if code.isdecimal():
            transport.status = int(code)
        if tracer.wants_reply_headers:
            transport.reply_carrier = AsgiCarrier(
                [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
            )
        return start_response(status, headers, *exc_info)

    transport_token = server_transport.set(transport)
    token = attach(context)
    try:
        body = app(environ, traced_start_response)
    except BaseException as error:
        if not transport.status and isinstance(error, Exception) and not client_has_left(error):
            transport.status = 500  # what servers answer for it
        _end(tracer, span, transport, error)
        raise
    finally:
        detach(token)
        server_transport.reset(transport_token)
    # Whole already; a server looks at the number of pieces, and sends a file by other means.
    if isinstance(body, (list, tuple)) or _is_file(environ, body):
        _end(tracer, span, transport, None)
        return body
    return _Body(tracer, span, context, transport, body)


def _is_file(environ: Environ, body: object) -> bool:
    wrapper = environ.get("wsgi.file_wrapper")
    return isinstance(wrapper, type) and isinstance(body, wrapper)


class _Body:
    """The pieces of a response, computed with the span current."""

    __slots__ = ("_body", "_context", "_open", "_pieces", "_span", "_tracer", "_transport")

    def __init__(
        self, tracer: Tracer, span: Span, context: Context, transport: WsgiTransport, body: Iterable[bytes]
    ) -> None:
        self._tracer = tracer
        self._span = span
        self._context = context
        self._transport = transport
        self._body = body
        self._pieces: Iterator[bytes] | None = None
        self._open = True

    def __iter__(self) -> _Body:
        return self

    def __next__(self) -> bytes:
        transport_token = server_transport.set(self._transport)
        token = attach(self._context)
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
            detach(token)
            server_transport.reset(transport_token)

    def close(self) -> None:
        """The server has had what it wanted."""
        token = attach(self._context)
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        except BaseException as error:
            if not self._open and isinstance(error, Exception):
                # The response is over: what runs then, such as Werkzeug's `call_on_close`, has no span that is open.
                self._tracer.note_failure("after the response", error, context=self._context, kind=SpanKind.INTERNAL)
            self._finish(error)
            raise
        finally:
            detach(token)
        self._finish(None)

    def _finish(self, error: BaseException | None) -> None:
        if self._open:
            self._open = False
            _end(self._tracer, self._span, self._transport, error)


def _end(tracer: Tracer, span: Span, transport: WsgiTransport, error: BaseException | None) -> None:
    outcome: Outcome | None = None
    error = error or transport.error
    if span.is_recording():
        try:
            status = transport.status
            attributes: dict[str, AttributeValue] = {}
            if status:
                attributes[semconv.HTTP_RESPONSE_STATUS_CODE] = status
            route = transport.route
            if route:
                attributes[semconv.HTTP_ROUTE] = route
                transport.operation = http_span_name(transport.method, route)
                tracer.update_name(span, transport)
            # Where there is an exception, it and not the status says what failed.
            failed = status >= 500 and error is None
            outcome = Outcome(attributes, str(status) if failed else None, None, status or None)
        except Exception as failure:
            guard.swallow("describing a WSGI response", failure)
    transport.error = None  # it would hold the frames that hold the transport
    tracer.end(span, reply=outcome, error=error, transport=transport)


# -- frameworks ---------------------------------------------------------------------------------------------------------


_heard: Final[set[str]] = set()


def listen_to_frameworks() -> None:
    """Hear of exceptions that Flask and Django turn into a 500, where either is in use."""
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
    transport = server_transport.get()
    if isinstance(transport, WsgiTransport):
        # Where Werkzeug leaves its request, with the rule that Flask has found, until the request is done.
        rule = getattr(transport.environ.get("werkzeug.request"), "url_rule", None)
        route = getattr(rule, "rule", None)
        if isinstance(route, str):
            transport.route = transport.environ.get("SCRIPT_NAME", "") + route


def _flask_failed(sender: object, exception: BaseException | None = None, **_: object) -> None:
    _failed(exception)


def _django_failed(sender: object, **_: object) -> None:
    _failed(sys.exc_info()[1])


def _failed(exception: BaseException | None) -> None:
    transport: Any = server_transport.get()
    if exception is not None and hasattr(transport, "error"):
        transport.error = exception


_FRAMEWORKS: Final = (("flask.signals", _listen_to_flask), ("django.core.signals", _listen_to_django))
