"""What can be chosen for an instrumentation: the same words for every library."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypedDict

from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import Span, TracerProvider

from clew.transport import Call

#: The attribute sets to write: a name or several of `otel` and `kratos`.
Conventions = str | Sequence[str]
#: What is not traced: `/health` and `/static/*` are paths, `user-agent: probe*` is a header, other strings are names of
#: operations (`ping`, `grpc.health.*`), a callable decides itself. `*` stands for anything, slashes too.
Exclusion = str | Callable[[Call], bool]
#: Child of the sender's span, or linked to it.
Join = Literal["parent", "link"]


class TracerOptions(TypedDict, total=False):
    """What every instrumentation takes; each can be left out."""

    tracer_provider: TracerProvider | None
    """Makes the spans; without it the provider that is global at the moment of each call."""
    propagator: TextMapPropagator | None
    """Reads and writes context; without it the propagator that is global at the moment of each call."""
    conventions: Conventions
    """The attribute sets to write, `("otel",)` without it."""
    exclude: Sequence[Exclusion]
    """Calls that are not traced, nor anything that is done within them: the services they call see a trace not sampled.

    Paths are compared with the path of a request, or the operation where there is none. Without it, servers of
    HTTP leave out what `OTEL_PYTHON_EXCLUDED_URLS` says.
    """
    rename: Callable[[Call], str | None] | None
    """A name for the span of a call, of low cardinality; None keeps the usual one.

    Asked when the span starts, and again where the route is known only at the end.
    """
    on_start: Callable[[Span, Call], None] | None
    """Called with each recording span when it has started, to add attributes."""
    on_end: Callable[[Span, Call, object, BaseException | None], None] | None
    """Called with each recording span before it ends, with the reply and the error, of which one is meaningful."""


class HttpOptions(TracerOptions, total=False):
    """What instrumentations of HTTP take besides."""

    request_headers: Sequence[str]
    """Names of request headers to keep as `http.request.header.<name>`, globs allowed; credentials are redacted.

    Without it, those of `OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST` (`…_CLIENT_REQUEST`).
    """
    response_headers: Sequence[str]
    """The same for responses: `http.response.header.<name>`."""
    trusted_proxies: Sequence[str]
    """Addresses and networks (`10.0.0.0/8`, `*`) whose `Forwarded` and `X-Forwarded-For` are believed, for servers.

    Without it `client.address` is the other end of the socket.
    """


class DatabaseOptions(TracerOptions, total=False):
    """What instrumentations of databases take besides."""

    with_statement: bool
    """Keep statements as `db.query.text`, with `?` in place of every value.

    Without it, statements in SQL are kept and commands of Redis and MongoDB are not.
    """


class MessagingOptions(TracerOptions, total=False):
    """What instrumentations of message queues take besides."""

    join: Join
    """How the span of one received message is joined to its sender's; `"parent"` without it.

    `"link"`: it starts a trace of its own and links to the sender's span. Of several messages together every
    sender is linked.
    """
