"""urllib3: a CLIENT span for each request that a pool sends; retries and redirects have a span each.

    manager = clew.urllib3.traced(urllib3.PoolManager())

The span ends when the response headers have arrived.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, TypeVar, Unpack

import urllib3
from opentelemetry.trace import SpanKind, TracerProvider
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from clew import guard
from clew.carriers import DictCarrier
from clew.instrumentation import _http
from clew.instrumentation._calls import traced_call
from clew.instrumentation._http import DEFAULT_PORTS, RequestTransport, remote_of
from clew.instrumentation._patching import Switch, Undo, replace
from clew.tracing.options import HttpOptions
from clew.tracing.tracer import Tracer
from clew.transport import current_client_transport

OPTIONS: Final = _http.OPTIONS
_MARK: Final = "_clew_tracer"
Manager = TypeVar("Manager", bound=urllib3.PoolManager)


def _request(
    tracer: Tracer,
    pool: Any,
    original: Callable[..., Any],
    /,
    *args: Any,
    **options: Any,
) -> Any:
    """Wraps `_make_request(conn, method, url, …)`, which urllib3 calls for each try; all arguments are passed on."""
    current: Any = current_client_transport()
    if current is not None and current.kind == "http":
        # A library that uses urllib3 makes the span. Those with `send_try` make one for each try.
        send_try = getattr(current, "send_try", None)
        return original(*args, **options) if send_try is None else send_try(original, args, options)
    if len(args) != 3:
        return original(*args, **options)
    read = guard.attempt("reading a request of urllib3", _read, pool, args[1], args[2], options)
    if read is None:
        return original(*args, **options)
    call, own = read

    def sent() -> Any:
        # Called after the context was injected into `own`.
        try:
            response = original(*args, **{**options, "headers": own})
        except BaseException:
            call.remote = remote_of_connection(args[0], None)
            raise
        call.remote = remote_of_connection(args[0], response)
        if tracer.wants_reply_headers:
            call.reply_carrier = DictCarrier(response.headers)
        return response

    return traced_call(tracer, call, sent)


def _read(pool: Any, method: str, url: str, options: dict[str, Any]) -> tuple[RequestTransport, Any]:
    """The call, and the headers that it writes to."""
    headers: Mapping[str, str] | None = options.get("headers")
    # A copy, since the caller may use the same headers for several requests.
    own = headers.copy() if isinstance(headers, urllib3.HTTPHeaderDict) else dict(headers or {})
    resend_count = len(getattr(options.get("retries"), "history", ()))
    return RequestTransport(method, _url(pool, url), DictCarrier(own), resend_count=resend_count), own


def remote_of_connection(connection: Any, response: Any) -> object:
    """The peer address of a pool's connection, taken from the response if the connection has given its socket to it."""
    socket = getattr(connection, "sock", None)
    if socket is None and response is not None:
        file = getattr(getattr(response, "_fp", None), "fp", None)
        socket = getattr(getattr(file, "raw", None), "_sock", None)
    return None if socket is None else remote_of(socket)


def tell_of_tries() -> Undo:
    """Call `send_try` of the current call for each try of a pool; makes no spans itself. Returns an undo function."""

    def make(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
        def _make_request(self: Any, *args: Any, **options: Any) -> Any:
            send_try = getattr(current_client_transport(), "send_try", None) if switch.on else None
            function = partial(original, self)
            return function(*args, **options) if send_try is None else send_try(function, args, options)

        return _make_request

    return replace(HTTPConnectionPool, "_make_request", make)


def _url(pool: Any, url: str) -> str:
    if not url.startswith("/"):  # a request to a proxy has the whole URL
        return url
    port = pool.port
    host = f"[{pool.host}]" if ":" in pool.host else pool.host
    shown = "" if port is None or port == DEFAULT_PORTS.get(pool.scheme) else f":{port}"
    return f"{pool.scheme}://{host}{shown}{url}"


class _Mixin:
    """Base class of traced pools, placed before urllib3's own."""

    _clew_tracer: Tracer

    def _make_request(self, *args: Any, **kwargs: Any) -> Any:
        return _request(self._clew_tracer, self, super()._make_request, *args, **kwargs)  # type: ignore[misc]


def _behind(base: type, tracer: Tracer) -> type:
    return base if hasattr(base, _MARK) else type(base.__name__, (_Mixin, base), {_MARK: tracer})


def traced(manager: Manager, **options: Unpack[HttpOptions]) -> Manager:
    """Trace the pools that `manager` makes from now on, drop the pools it has, and return it.

    Takes a `PoolManager` or `ProxyManager`. Raises TypeError for anything else, ValueError for an unknown convention.
    """
    if not isinstance(manager, urllib3.PoolManager):
        raise TypeError(f"not a PoolManager: {type(manager).__name__}")
    tracer = Tracer(SpanKind.CLIENT, scope="clew.urllib3", **options)
    classes = {scheme: _behind(base, tracer) for scheme, base in manager.pool_classes_by_scheme.items()}
    manager.pool_classes_by_scheme = classes
    manager.clear()
    return manager


def pool_classes(**options: Unpack[HttpOptions]) -> dict[str, type[HTTPConnectionPool]]:
    """Traced pool classes by scheme, for applications that create pools without a manager."""
    tracer = Tracer(SpanKind.CLIENT, scope="clew.urllib3", **options)
    return {"http": _behind(HTTPConnectionPool, tracer), "https": _behind(HTTPSConnectionPool, tracer)}


def patch(tracer_provider: TracerProvider | None = None, **options: Any) -> Undo:
    """Trace all pools, existing and future ones; returns an undo function."""
    tracer = Tracer(SpanKind.CLIENT, scope="clew.urllib3", tracer_provider=tracer_provider, **options)

    def make(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
        def _make_request(self: Any, *args: Any, **kwargs: Any) -> Any:
            if not switch.on or hasattr(self, _MARK):
                return original(self, *args, **kwargs)
            return _request(tracer, self, partial(original, self), *args, **kwargs)

        return _make_request

    return replace(HTTPConnectionPool, "_make_request", make)
