"""What can be chosen for an instrumentation: the same words for every library."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypedDict

from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.trace import Span, TracerProvider

from clew.transport import Transport

#: The attribute sets to write: a name or several of `otel` and `kratos`.
Conventions = str | Sequence[str]
#: What is not traced: `/health` and `/static/*` are paths, `user-agent: probe*` is a header, a callable decides itself.
Exclusion = str | Callable[[Transport], bool]


class TracerOptions(TypedDict, total=False):
    """What every instrumentation takes; each can be left out."""

    tracer_provider: TracerProvider | None
    """Whose spans they are; the global one at the moment of each call without it."""
    propagator: TextMapPropagator | None
    """How context is read and written; the global one at the moment of each call without it."""
    conventions: Conventions
    """The attribute sets to write, `("otel",)` without it."""
    exclude: Sequence[Exclusion]
    """Calls that are not traced, nor anything that is done within them."""
    rename: Callable[[Transport], str | None] | None
    """A name for the span of a call, of low cardinality; None keeps the usual one."""
    on_start: Callable[[Span, Transport], None] | None
    """Called with each recording span when it has started, to add attributes."""
    on_end: Callable[[Span, Transport, object, BaseException | None], None] | None
    """Called with each recording span before it ends, with the reply and the error, of which one is meaningful."""


class HttpOptions(TracerOptions, total=False):
    """What instrumentations of HTTP take besides."""

    request_headers: Sequence[str]
    """Names of request headers to keep as `http.request.header.<name>`; none without it."""
    response_headers: Sequence[str]
    """Names of response headers to keep as `http.response.header.<name>`; none without it."""
