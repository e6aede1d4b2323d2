"""urllib3: a CLIENT span for each request a pool sends; a retry and a redirect are requests of their own.

    manager = clew.urllib3.traced(urllib3.PoolManager())

The span ends when the response's headers are there.
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
    """Around `_make_request(conn, method, url, …)`, which is called for each try; hands on what it was given."""
    current: Any = current_client_transport()
    if current is not None and current.kind == "http":
        # A library above has the spans; some want to hear of each try.
        send_try = getattr(current, "send_try", None)
        return original(*args, **options) if send_try is None else send_try(original, args, options)
    headers: Mapping[str, str] | None = options.get("headers")
    if len(args) != 3:
        return original(*args, **options)
    try:
        # A copy, as the caller's headers may serve for several requests.
        own = headers.copy() if isinstance(headers, urllib3.HTTPHeaderDict) else dict(headers or {})
        _, method, url = args
        resend_count = len(getattr(options.get("retries"), "history", ()))
        call = RequestTransport(method, _url(pool, url), DictCarrier(own), resend_count=resend_count)
    except Exception as failure:
        guard.swallow("reading a request of urllib3", failure)
        return original(*args, **options)

    def sent() -> Any:
        # After the context was injected.
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


def remote_of_connection(connection: Any, response: Any) -> object:
    """The other end of a pool's connection; one that ends with this response has handed its socket to that."""
    socket = getattr(connection, "sock", None)
    if socket is None and response is not None:
        file = getattr(getattr(response, "_fp", None), "fp", None)
        socket = getattr(getattr(file, "raw", None), "_sock", None)
    return None if socket is None else remote_of(socket)


def tell_of_tries() -> Undo:
    """Let libraries above, whose call is current, hear of each try of a pool; makes no spans. Returns an undo function."""

    def make(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
        def _make_request(self: Any, *args: Any, **options: Any) -> Any:
            send_try = getattr(current_client_transport(), "send_try", None) if switch.on else None
            function = partial(original, self)
            return function(*args, **options) if send_try is None else send_try(function, args, options)

        return _make_request

    return replace(HTTPConnectionPool, "_make_request", make)


def _url(pool: Any, url: str) -> str:
    if not url.startswith("/"):  # to a proxy, whole
        return url
    port = pool.port
    host = f"[{pool.host}]" if ":" in pool.host else pool.host
    shown = "" if port is None or port == DEFAULT_PORTS.get(pool.scheme) else f":{port}"
    return f"{pool.scheme}://{host}{shown}{url}"


class _Mixin:
    """In front of a class of pools."""

    _clew_tracer: Tracer

    def _make_request(self, *args: Any, **kwargs: Any) -> Any:
        return _request(self._clew_tracer, self, super()._make_request, *args, **kwargs)  # type: ignore[misc]


def _behind(base: type, tracer: Tracer) -> type:
    return base if hasattr(base, _MARK) else type(base.__name__, (_Mixin, base), {_MARK: tracer})


def traced(manager: Manager, **options: Unpack[HttpOptions]) -> Manager:
    """The same manager of pools, which makes traced ones from now on; those it has already are let go.

    Takes a `PoolManager` or `ProxyManager`. Raises TypeError for anything else, ValueError for an unknown convention.
    """
    if not isinstance(manager, urllib3.PoolManager):
        raise TypeError(f"not a manager of pools: {type(manager).__name__}")
    tracer = Tracer(SpanKind.CLIENT, scope="clew.urllib3", **options)
    classes = {scheme: _behind(base, tracer) for scheme, base in manager.pool_classes_by_scheme.items()}
    manager.pool_classes_by_scheme = classes
    manager.clear()
    return manager


def pool_classes(**options: Unpack[HttpOptions]) -> dict[str, type[HTTPConnectionPool]]:
    """Classes of pools that are traced, by scheme, for who makes pools without a manager."""
    tracer = Tracer(SpanKind.CLIENT, scope="clew.urllib3", **options)
    return {"http": _behind(HTTPConnectionPool, tracer), "https": _behind(HTTPSConnectionPool, tracer)}


def patch(tracer_provider: TracerProvider | None = None, **options: Any) -> Undo:
    """Trace every pool, made before or after; returns an undo function."""
    tracer = Tracer(SpanKind.CLIENT, scope="clew.urllib3", tracer_provider=tracer_provider, **options)

    def make(original: Callable[..., Any], switch: Switch) -> Callable[..., Any]:
        def _make_request(self: Any, *args: Any, **kwargs: Any) -> Any:
            if not switch.on or hasattr(self, _MARK):
                return original(self, *args, **kwargs)
            return _request(tracer, self, partial(original, self), *args, **kwargs)

        return _make_request

    return replace(HTTPConnectionPool, "_make_request", make)
