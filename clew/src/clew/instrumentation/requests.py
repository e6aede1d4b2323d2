"""requests: a CLIENT span for each request that an adapter sends; redirects and retries have a span each.

    session = clew.requests.traced(requests.Session())

The span ends when the response headers have arrived.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import cache, partial
from threading import get_ident
from time import time_ns
from typing import Any, Final, TypeVar, Unpack

import requests
from opentelemetry.trace import SpanKind, TracerProvider
from requests.adapters import BaseAdapter, HTTPAdapter

from clew import guard
from clew.carriers import DictCarrier
from clew.instrumentation import _http
from clew.instrumentation._calls import is_within
from clew.instrumentation._http import ASKS_AGAIN, RequestTransport
from clew.instrumentation._patching import Switch, Undo, argument, replace
from clew.instrumentation.urllib3 import remote_of_connection, tell_of_tries
from clew.tracing.options import HttpOptions
from clew.tracing.tracer import Tracer
from clew.transport import Outcome

OPTIONS: Final = _http.OPTIONS
Session = TypeVar("Session", bound=requests.Session)


# Requests that were answered by a redirect or a request for authentication, with how often each was sent. They are
# recognised by their `hooks`, which requests passes on to the next request. Several, since a hook may send other requests.
_asked: Final[ContextVar[tuple[tuple[object, int], ...]]] = ContextVar("clew_requests_asked", default=())
_MAX_ASKED: Final = 4


class _Try(RequestTransport):
    """One try of a request; urllib3's pool calls `send_try` for each."""

    __slots__ = ("exchange", "failed_reply")

    def __init__(self, exchange: _Exchange, carrier: DictCarrier, resend_count: int) -> None:
        request = exchange.request
        super().__init__(request.method or "GET", request.url or "", carrier, resend_count=resend_count)
        self.exchange: Final = exchange
        #: The response for which urllib3 raised an exception, because there were too many failed tries.
        self.failed_reply: Any = None

    def send_try(self, original: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Wraps a pool's `_make_request`."""
        return self.exchange.send_try(original, args, options)

    def outcome(self, reply: Any, error: BaseException | None) -> Outcome | None:
        """As the base class; after too many failed tries the last response counts, not the exception."""
        if error is not None and self.failed_reply is not None:
            reply, error = self.failed_reply, None
        return super().outcome(reply, error)


class _Exchange:
    """One `send` of an adapter, with a span for each time that urllib3 sends the request."""

    def __init__(self, tracer: Tracer, request: requests.PreparedRequest) -> None:
        self._tracer: Final = tracer
        self.request: Final = request
        self._before: Final = next((count for hooks, count in _asked.get() if hooks is request.hooks), 0)
        self._thread: Final = get_ident()
        self._tries = 0
        # Method and URL of the first try. Another request sent through the same pools in the meantime has different ones.
        self._sent: tuple[object, ...] = ()
        self._is_trying = False
        self._ended_at_ns = 0
        self._error: BaseException | None = None
        self._begin(DictCarrier(request.headers))

    def _begin(self, carrier: DictCarrier) -> None:
        self.call = _Try(self, carrier, self._before + self._tries)
        self._scope = self._tracer.scope(self.call)
        self._scope.enter()

    def send_try(self, original: Callable[..., Any], args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        sent = args[1:]
        if self._is_trying or len(args) != 3 or get_ident() != self._thread or (self._tries and sent != self._sent):
            return original(*args, **options)
        if self._tries:
            options = self._try_again(options)
        self._sent = sent
        self._tries += 1
        self._is_trying = True
        call = self.call
        response: Any = None
        self._error = None
        try:
            response = call.failed_reply = original(*args, **options)
            call.version = getattr(response, "version", None)
            if self._tracer.wants_reply_headers:
                call.reply_carrier = DictCarrier(response.headers)
            return response
        except BaseException as error:
            self._error = error
            raise
        finally:
            self._is_trying = False
            self._ended_at_ns = time_ns()
            call.remote = remote_of_connection(args[0], response)

    def _try_again(self, options: dict[str, Any]) -> dict[str, Any]:
        """End the span of the previous try and start the next one."""
        self._scope.leave()
        reply, self.call.failed_reply = self.call.failed_reply, None
        self._scope.finish(reply, self._error, end_time_unix_nano=self._ended_at_ns)
        headers = options.get("headers")
        # A copy, since the request object keeps the headers of its first try.
        own = self.request.headers.copy() if headers is None else headers.copy()
        self._begin(DictCarrier(own))
        return {**options, "headers": own}

    def end(self, response: requests.Response | None, error: BaseException | None) -> None:
        self._scope.leave()
        call = self.call
        self._error = None  # else a reference cycle through the traceback's frames
        if response is not None:
            call.failed_reply = None
            if self._tracer.wants_reply_headers:
                call.reply_carrier = DictCarrier(response.headers)
            if response.status_code in ASKS_AGAIN:
                others = [known for known in _asked.get() if known[0] is not self.request.hooks]
                _asked.set(((self.request.hooks, call.resend_count + 1), *others[: _MAX_ASKED - 1]))
        self._scope.finish(response, error)
        call.failed_reply = None


def _send(
    tracer: Tracer, send: Callable[..., requests.Response], request: requests.PreparedRequest, **options: Any
) -> requests.Response:
    if is_within("http"):
        return send(request, **options)
    exchange = guard.attempt("reading a request of requests", _Exchange, tracer, request)
    if exchange is None:
        return send(request, **options)
    try:
        response = send(request, **options)
    except BaseException as error:
        exchange.end(None, error)
        raise
    exchange.end(response, None)
    return response


@cache
def _hear_of_tries() -> None:
    """Patch urllib3 for `TracingAdapter`: once, and never undone."""
    tell_of_tries()


class TracingAdapter(BaseAdapter):
    """Traces the requests that another adapter sends; by default a new `requests.adapters.HTTPAdapter()`."""

    def __init__(self, adapter: BaseAdapter | None = None, **options: Unpack[HttpOptions]) -> None:
        """Options as `clew.client`; raises ValueError for an unknown convention."""
        super().__init__()
        self.adapter: Final = HTTPAdapter() if adapter is None else adapter
        self._tracer = Tracer(SpanKind.CLIENT, scope="clew.requests", **options)
        _hear_of_tries()

    def __getattr__(self, name: str) -> Any:
        # Other attributes of an adapter: `poolmanager`, `max_retries`, …
        if name == "adapter":  # while it is being unpickled
            raise AttributeError(name)
        return getattr(self.adapter, name)

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        """Send one request."""
        response = _send(self._tracer, partial(_with_arguments, self.adapter.send, args), request, **kwargs)
        made: Any = response
        if getattr(made, "connection", None) is self.adapter:
            made.connection = self  # authentication handlers use it to send the request again
        return response

    def close(self) -> None:
        """Close the wrapped adapter."""
        self.adapter.close()


def _with_arguments(
    send: Callable[..., requests.Response], args: tuple[Any, ...], request: requests.PreparedRequest, **kwargs: Any
) -> requests.Response:
    return send(request, *args, **kwargs)


def traced(session: Session, **options: Unpack[HttpOptions]) -> Session:
    """Trace all adapters of `session` from now on, and return it. Adapters that are traced already are left alone."""
    for prefix, adapter in list(session.adapters.items()):
        if not isinstance(adapter, TracingAdapter):
            session.mount(prefix, TracingAdapter(adapter, **options))
    return session


def patch(tracer_provider: TracerProvider | None = None, **options: Any) -> Undo:
    """Trace what `HTTPAdapter` sends, in existing sessions too; returns an undo function."""
    tracer = Tracer(SpanKind.CLIENT, scope="clew.requests", tracer_provider=tracer_provider, **options)

    def make(original: Callable[..., requests.Response], switch: Switch) -> Callable[..., requests.Response]:
        def send(self: HTTPAdapter, *args: Any, **kwargs: Any) -> requests.Response:
            request = argument(args, kwargs, 0, "request")
            if not switch.on or request is None:
                return original(self, *args, **kwargs)
            kwargs.pop("request", None)
            return _send(tracer, partial(_with_arguments, partial(original, self), args[1:]), request, **kwargs)

        return send

    undos = [replace(HTTPAdapter, "send", make), tell_of_tries()]

    def undo() -> None:
        for one in undos:
            one()

    return undo
