"""requests: a CLIENT span for each request an adapter sends; a redirect followed is a request of its own.

    session = clew.requests.traced(requests.Session())

The span ends when the response's headers are there.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar, Unpack

import requests
from opentelemetry.trace import SpanKind, TracerProvider
from requests.adapters import BaseAdapter, HTTPAdapter

from clew import guard
from clew.carriers import DictCarrier
from clew.instrumentation import _http
from clew.instrumentation._calls import is_within, traced_call
from clew.instrumentation._http import RequestTransport
from clew.instrumentation._patching import Switch, Undo, replace
from clew.tracing.options import HttpOptions
from clew.tracing.tracer import Tracer

OPTIONS: Final = _http.OPTIONS
Session = TypeVar("Session", bound=requests.Session)


def _send(
    tracer: Tracer, send: Callable[..., requests.Response], request: requests.PreparedRequest, **options: Any
) -> requests.Response:
    if is_within("http"):
        return send(request, **options)
    try:
        call = RequestTransport(request.method or "GET", request.url or "", DictCarrier(request.headers))
    except Exception as failure:
        guard.swallow("reading a request of requests", failure)
        return send(request, **options)

    def sent() -> requests.Response:
        response = send(request, **options)
        if tracer.wants_reply_headers:
            call.reply_carrier = DictCarrier(response.headers)
        return response

    return traced_call(tracer, call, sent)


class TracingAdapter(BaseAdapter):
    """Traces what another adapter sends; a `requests.adapters.HTTPAdapter()` unless one is given."""

    def __init__(self, adapter: BaseAdapter | None = None, **options: Unpack[HttpOptions]) -> None:
        """Options as `clew.client`; raises ValueError for an unknown convention."""
        super().__init__()
        self.adapter: Final = HTTPAdapter() if adapter is None else adapter
        self._tracer = Tracer(SpanKind.CLIENT, scope="clew.requests", **options)

    def __getattr__(self, name: str) -> Any:
        # What is asked of an adapter besides: `poolmanager`, `max_retries`, …
        if name == "adapter":  # while it is being unpickled
            raise AttributeError(name)
        return getattr(self.adapter, name)

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Send one request."""
        return _send(self._tracer, partial(_with_arguments, self.adapter.send, args), request, **kwargs)

    def close(self) -> None:
        """Close the adapter inside."""
        self.adapter.close()


def _with_arguments(
    send: Callable[..., requests.Response], args: tuple[Any, ...], request: requests.PreparedRequest, **kwargs: Any
) -> requests.Response:
    return send(request, *args, **kwargs)


def traced(session: Session, **options: Unpack[HttpOptions]) -> Session:
    """The same session, whose adapters are traced from now on; one that is traced already stays as it is."""
    for prefix, adapter in list(session.adapters.items()):
        if not isinstance(adapter, TracingAdapter):
            session.mount(prefix, TracingAdapter(adapter, **options))
    return session


def patch(tracer_provider: TracerProvider | None = None, **options: Any) -> Undo:
    """Trace what requests' own adapter sends, in sessions already made too; returns the way back."""
    tracer = Tracer(SpanKind.CLIENT, scope="clew.requests", tracer_provider=tracer_provider, **options)

    def make(original: Callable[..., requests.Response], switch: Switch) -> Callable[..., requests.Response]:
        def send(self: HTTPAdapter, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
            if not switch.on:
                return original(self, request, *args, **kwargs)
            return _send(tracer, partial(_with_arguments, partial(original, self), args), request, **kwargs)

        return send

    return replace(HTTPAdapter, "send", make)
