"""http.client and urllib.request: a CLIENT span from the sending of the request line to the response headers.

connection = clew.http_client.traced(http.client.HTTPSConnection("example.org"))
"""

from __future__ import annotations

import http.client
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import Any, Final, TypeVar, Unpack

from opentelemetry.trace import SpanKind, TracerProvider

from clew import guard
from clew.carriers import DictCarrier
from clew.hooks import when_imported
from clew.instrumentation import _http
from clew.instrumentation._calls import is_within
from clew.instrumentation._http import ASKS_AGAIN, DEFAULT_PORTS, RequestTransport, remote_of
from clew.instrumentation._patching import Switch, Undo, replace
from clew.tracing.options import HttpOptions
from clew.tracing.tracer import Tracer
from clew.transport import Outcome

OPTIONS: Final = _http.OPTIONS
_MARK: Final = "_clew_traced"
_OPEN: Final = "_clew_open"
Connection = TypeVar("Connection", bound=http.client.HTTPConnection)


class _Exchange:
    """The request that a connection is sending."""

    __slots__ = ("call", "headers", "scope")

    def __init__(self, tracer: Tracer, connection: Any, method: str, url: str) -> None:
        self.headers: dict[str, str] = {}
        self.call: Final = RequestTransport(
            method,
            _url(connection, url),
            DictCarrier(self.headers),
            resend_count=_resend_count.get(),
        )
        self.scope = tracer.scope(self.call)


# How often urllib.request has sent the current request before.
_resend_count: Final[ContextVar[int]] = ContextVar("clew_urllib_resend_count", default=0)
# The last request that was answered by a redirect or a request for authentication, and how often it was sent.
_asked: Final[ContextVar[tuple[object, int]]] = ContextVar("clew_urllib_asked", default=(None, 0))


def _do_open(original: Callable[..., Any], handler: Any, http_class: Any, request: Any, **options: Any) -> Any:
    """Wraps urllib.request's `do_open`, which sends one request, to count redirects and authentications."""
    last, count = _asked.get()
    # After an authentication the same request is sent again; after a redirect a new one, with the same `redirect_dict`.
    redirects = _redirects_of(request)
    is_again = last is request or (redirects is not None and redirects is _redirects_of(last))
    resend_count = count if is_again else 0
    token = _resend_count.set(resend_count)
    try:
        response = original(handler, http_class, request, **options)
    finally:
        _resend_count.reset(token)
    _asked.set((request, resend_count + 1) if getattr(response, "status", 0) in ASKS_AGAIN else (None, 0))
    return response


def _redirects_of(request: object) -> object:
    return getattr(request, "redirect_dict", None)


def _url(connection: Any, url: str) -> str:
    url = url or "/"  # as http.client sends it
    if not url.startswith("/"):
        return url  # a request to a proxy has the whole URL; `OPTIONS *` has none
    # With a tunnel, `host` and `port` are those of the proxy.
    host, port = connection._tunnel_host or connection.host, connection._tunnel_port or connection.port
    scheme = "https" if isinstance(connection, http.client.HTTPSConnection) else "http"
    shown = "" if port in (None, DEFAULT_PORTS[scheme]) else f":{port}"
    return f"{scheme}://[{host}]{shown}{url}" if ":" in host else f"{scheme}://{host}{shown}{url}"


class _Tracing:
    """Wrappers for the methods of a connection; each is passed the connection and its bound original method."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def putrequest(self, own: Any, original: Callable[..., None], method: str, url: str, *args: Any, **kw: Any) -> None:
        self._end(own, None, None)  # a previous request whose response was never read
        if method != "CONNECT" and not is_within("http"):
            try:
                vars(own)[_OPEN] = _Exchange(self._tracer, own, method, url)
            except Exception as failure:
                guard.swallow("reading a request of http.client", failure)
        self._run(own, original, method, url, *args, **kw)

    def request(self, own: Any, original: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        try:
            original(*args, **kwargs)
        except BaseException as error:
            # Of a header that cannot be sent: the other methods end the span of what they raise themselves.
            self._end(own, None, error)
            raise

    def endheaders(self, own: Any, original: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        exchange: _Exchange | None = vars(own).get(_OPEN)
        if exchange is not None:
            for name, value in exchange.headers.items():
                own.putheader(name, value)
            exchange.headers = {}
        self._run(own, original, *args, **kwargs)

    def getresponse(self, own: Any, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        exchange: _Exchange | None = vars(own).get(_OPEN)
        if exchange is not None:
            # Before reading the response: a connection that closes with it has no socket afterwards.
            exchange.call.remote = remote_of(own.sock)
        response = self._run(own, original, *args, **kwargs)
        self._end(own, response, None)
        return response

    def _run(self, own: Any, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        exchange: _Exchange | None = vars(own).get(_OPEN)
        if exchange is None:
            return original(*args, **kwargs)
        scope = exchange.scope
        scope.enter()
        try:
            return original(*args, **kwargs)
        except BaseException as error:
            self._end(own, None, error)
            raise
        finally:
            scope.leave()

    def _end(self, own: Any, response: Any, error: BaseException | None) -> None:
        exchange: _Exchange | None = vars(own).pop(_OPEN, None)
        if exchange is None:
            return
        if response is not None:
            exchange.scope.call.reply_carrier = DictCarrier(response.headers)
        exchange.scope.finish(Outcome(cancelled=True) if response is None and error is None else response, error)

    def methods(self) -> dict[str, Callable[..., Any]]:
        """Method name -> its wrapper."""
        return {
            "request": self.request,
            "putrequest": self.putrequest,
            "endheaders": self.endheaders,
            "getresponse": self.getresponse,
        }


def traced(connection: Connection, **options: Unpack[HttpOptions]) -> Connection:
    """Trace the requests of `connection` from now on, and return it. Raises ValueError for an unknown convention."""
    own: Any = connection
    if not vars(own).get(_MARK):
        tracing = _Tracing(Tracer(SpanKind.CLIENT, scope="clew.http_client", **options))
        vars(own)[_MARK] = True
        for name, around in tracing.methods().items():
            setattr(own, name, partial(around, own, getattr(own, name)))
    return connection


def patch(tracer_provider: TracerProvider | None = None, **options: Any) -> Undo:
    """Trace all connections, existing and future ones; returns an undo function."""
    tracing = _Tracing(Tracer(SpanKind.CLIENT, scope="clew.http_client", tracer_provider=tracer_provider, **options))

    def make(around: Callable[..., Any]) -> Callable[[Callable[..., Any], Switch], Callable[..., Any]]:
        def wrap(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
            def method(self: Any, *args: Any, **kwargs: Any) -> Any:
                if vars(self).get(_MARK) or (not switch.on and _OPEN not in vars(self)):
                    return original(self, *args, **kwargs)
                return around(self, partial(original, self), *args, **kwargs)

            return method

        return wrap

    def make_do_open(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
        def do_open(self: Any, http_class: Any, req: Any, **http_conn_args: Any) -> Any:
            if not switch.on:
                return original(self, http_class, req, **http_conn_args)
            return _do_open(original, self, http_class, req, **http_conn_args)

        return do_open

    undos = [replace(http.client.HTTPConnection, name, make(around)) for name, around in tracing.methods().items()]

    def patch_urllib(module: Any) -> None:
        undos.append(replace(module.AbstractHTTPHandler, "do_open", make_do_open))

    undos.append(when_imported("urllib.request", patch_urllib))

    def undo() -> None:
        for one in undos:
            one()

    return undo
