"""http.client, and with it urllib.request: a CLIENT span from the request's first line to the response's headers.

connection = clew.http_client.traced(http.client.HTTPSConnection("example.org"))
"""

from __future__ import annotations

import http.client
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar, Unpack

from opentelemetry.trace import SpanKind, TracerProvider

from clew import guard
from clew.carriers import DictCarrier
from clew.instrumentation import _http
from clew.instrumentation._calls import is_within
from clew.instrumentation._http import DEFAULT_PORTS, RequestTransport
from clew.instrumentation._patching import Switch, Undo, replace
from clew.tracing.options import HttpOptions
from clew.tracing.tracer import Tracer
from clew.transport import Outcome

OPTIONS: Final = _http.OPTIONS
_MARK: Final = "_clew_traced"
_OPEN: Final = "_clew_open"
Connection = TypeVar("Connection", bound=http.client.HTTPConnection)


class _Exchange:
    """One request under way on a connection."""

    __slots__ = ("headers", "scope")

    def __init__(self, tracer: Tracer, connection: Any, method: str, url: str) -> None:
        self.headers: dict[str, str] = {}
        self.scope = tracer.scope(RequestTransport(method, _url(connection, url), DictCarrier(self.headers)))


def _url(connection: Any, url: str) -> str:
    if not url.startswith("/"):
        return url  # to a proxy, whole; or `*`
    # By a tunnel the connection is to the proxy.
    host, port = connection._tunnel_host or connection.host, connection._tunnel_port or connection.port
    scheme = "https" if isinstance(connection, http.client.HTTPSConnection) else "http"
    shown = "" if port in (None, DEFAULT_PORTS[scheme]) else f":{port}"
    return f"{scheme}://[{host}]{shown}{url}" if ":" in host else f"{scheme}://{host}{shown}{url}"


class _Tracing:
    """Around the methods of a connection; each is given the original, bound."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def putrequest(self, own: Any, original: Callable[..., None], method: str, url: str, *args: Any, **kw: Any) -> None:
        self._end(own, None, None)  # of a request whose response nobody read
        if method != "CONNECT" and not is_within("http"):
            try:
                vars(own)[_OPEN] = _Exchange(self._tracer, own, method, url)
            except Exception as failure:
                guard.swallow("reading a request of http.client", failure)
        self._run(own, original, method, url, *args, **kw)

    def endheaders(self, own: Any, original: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        exchange: _Exchange | None = vars(own).get(_OPEN)
        if exchange is not None:
            for name, value in exchange.headers.items():
                own.putheader(name, value)
            exchange.headers = {}
        self._run(own, original, *args, **kwargs)

    def getresponse(self, own: Any, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
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
        """By the names of those they go around."""
        return {"putrequest": self.putrequest, "endheaders": self.endheaders, "getresponse": self.getresponse}


def traced(connection: Connection, **options: Unpack[HttpOptions]) -> Connection:
    """The same connection, whose requests are traced from now on. Raises ValueError for an unknown convention."""
    own: Any = connection
    if not vars(own).get(_MARK):
        tracing = _Tracing(Tracer(SpanKind.CLIENT, scope="clew.http_client", **options))
        vars(own)[_MARK] = True
        for name, around in tracing.methods().items():
            setattr(own, name, partial(around, own, getattr(own, name)))
    return connection


def patch(tracer_provider: TracerProvider | None = None, **options: Any) -> Undo:
    """Trace every connection, made before or after; returns the way back."""
    tracing = _Tracing(Tracer(SpanKind.CLIENT, scope="clew.http_client", tracer_provider=tracer_provider, **options))

    def make(around: Callable[..., Any]) -> Callable[[Callable[..., Any], Switch], Callable[..., Any]]:
        def wrap(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
            def method(self: Any, *args: Any, **kwargs: Any) -> Any:
                if vars(self).get(_MARK) or (not switch.on and _OPEN not in vars(self)):
                    return original(self, *args, **kwargs)
                return around(self, partial(original, self), *args, **kwargs)

            return method

        return wrap

    undos = [replace(http.client.HTTPConnection, name, make(around)) for name, around in tracing.methods().items()]

    def undo() -> None:
        for one in undos:
            one()

    return undo
