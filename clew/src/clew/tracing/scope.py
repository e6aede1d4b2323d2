"""The bracket around every call: begin, make current, read the reply or the error, restore, end.

Sync and async code share it, since entering and leaving do not wait:

    with Scope(tracer, call) as scope:
        scope.reply = function()          # or: await function()

Calls that do not end where they began (streams, callbacks, a library's events) use its parts: `enter`, `leave`,
`finish`. Whatever was raised is raised on.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.context import Context
from opentelemetry.trace import Link, Span

from clew import guard
from clew._otel import ATTACH, DETACH
from clew.transport import Call, Outcome

if TYPE_CHECKING:
    from clew.tracing.tracer import Tracer

_NOT_SET: Final[Any] = object()


class Scope:
    """One traced call. Its span has begun when it is made; it ends once, by `finish` or at the end of `with`."""

    __slots__ = ("_call_token", "_is_open", "_token", "_tracer", "call", "context", "reply", "span")

    def __init__(
        self,
        tracer: Tracer,
        call: Call,
        *,
        links: Sequence[Link] = (),
        begun: tuple[Span, Context] | None = None,
    ) -> None:
        """Begin the span of `call`; `begun` is what `tracer.begin` returned where that was called already."""
        self._tracer: Final = tracer
        self.call: Final = call
        span, context = tracer.begin(call.operation, call.carrier, call, links) if begun is None else begun
        self.span: Final = span
        #: What the call runs in: the span is current there, and what the caller sent is.
        self.context: Final = context
        #: What the handler returned, which the call reads its outcome from; an `Outcome` is taken as it is.
        self.reply: Any = _NOT_SET
        self._is_open = True

    def enter(self) -> None:
        """Make the call and its context current."""
        self._call_token = self._tracer.transports.set(self.call)
        self._token = ATTACH(self.context)

    def leave(self) -> None:
        """Make current what was current before."""
        try:
            DETACH(self._token)
            self._tracer.transports.reset(self._call_token)
        except ValueError:
            # Left in another task than entered: a generator that the event loop closes. Its context is gone with it.
            pass

    def finish(
        self, reply: Any = None, error: BaseException | None = None, *, end_time_unix_nano: int | None = None
    ) -> None:
        """End the span with what the call reads from the reply or the error; a second time does nothing. Never raises."""
        if not self._is_open:
            return
        self._is_open = False
        call = self.call
        outcome = reply
        try:
            call.is_over = True
            if type(reply) is not Outcome and (read := call.outcome(reply, error)) is not None:
                outcome = read
        except Exception as failure:
            guard.swallow(f"reading the reply of {call.component}", failure)
        self._tracer.end(self.span, reply=outcome, error=error, end_time_unix_nano=end_time_unix_nano, transport=call)

    def failed(self, error: BaseException | None) -> None:
        """`finish` for streams, which say at their end only whether they failed."""
        self.finish(None, error)

    def __enter__(self) -> Scope:
        self.enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.leave()
        reply, self.reply = self.reply, None
        self.finish(None if reply is _NOT_SET else reply, error)
