"""What a user chose for the calls of one tracer: which are left out, their names, hooks, headers to keep, proxies."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.trace import Span, SpanKind
from opentelemetry.util.types import AttributeValue

from clew import guard, semconv
from clew.tracing.attributes import note_peer
from clew.tracing.exclusion import exclusion_from_environment, exclusion_from_rules
from clew.tracing.headers import TrustedProxies, capture_from_names

if TYPE_CHECKING:
    from clew.tracing.options import Exclusion
    from clew.transport import Call


class Rules:
    """The choices, each with a method. What the user's functions raise never reaches the call: it is logged."""

    __slots__ = (
        "_is_server",
        "_on_end",
        "_on_start",
        "_proxies",
        "_rename",
        "_request_headers",
        "_response_headers",
        "excludes",
    )

    def __init__(
        self,
        kind: SpanKind,
        *,
        exclude: Sequence[Exclusion] | None,
        rename: Callable[[Call], str | None] | None,
        on_start: Callable[[Span, Call], None] | None,
        on_end: Callable[[Span, Call, object, BaseException | None], None] | None,
        request_headers: Sequence[str] | None,
        response_headers: Sequence[str] | None,
        trusted_proxies: Sequence[str],
    ) -> None:
        """Options as `clew.tracing.options` describes them. Raises TypeError for one of another type."""
        for word, hook in (("rename", rename), ("on_start", on_start), ("on_end", on_end)):
            if hook is not None and not callable(hook):
                raise TypeError(f"{word} is called, which {type(hook).__name__} cannot be")
        is_server = kind is SpanKind.SERVER
        self._is_server: Final = is_server
        #: Whether a call is left out; None where no rule says so of any.
        self.excludes: Final[Callable[[Call], bool] | None] = (
            exclusion_from_rules(exclude)
            if exclude is not None
            else exclusion_from_environment()
            if is_server
            else None
        )
        self._rename: Final = rename
        self._on_start: Final = on_start
        self._on_end: Final = on_end
        # Headers named by a variable only are captured of HTTP calls only.
        has_headers = kind in (SpanKind.SERVER, SpanKind.CLIENT)
        self._request_headers: Final = (
            capture_from_names(request_headers, server=is_server, response=False) if has_headers else None
        )
        self._response_headers: Final = (
            capture_from_names(response_headers, server=is_server, response=True) if has_headers else None
        )
        self._proxies: Final = TrustedProxies(trusted_proxies) if trusted_proxies else None

    @property
    def are_none(self) -> bool:
        """Whether nothing was chosen."""
        return (
            self.excludes is None
            and self._rename is None
            and self._on_start is None
            and self._on_end is None
            and self._request_headers is None
            and self._response_headers is None
            and self._proxies is None
        )

    @property
    def wants_reply_headers(self) -> bool:
        """Whether `call.reply_carrier` will be read at the end."""
        return self._response_headers is not None

    def name(self, call: Call, usual: str) -> str:
        """The name of the call's span."""
        if self._rename is None:
            return usual
        try:
            return self._rename(call) or usual
        except Exception as failure:
            guard.swallow(f"the hook rename ({_name_of(self._rename)})", failure)
            return usual

    def attributes(self, call: Call) -> dict[str, AttributeValue]:
        """What the headers of a request say: those asked for, and the client behind trusted proxies."""
        carrier = call.carrier
        if call.kind != "http" or carrier is None:
            return {}
        attributes = {} if self._request_headers is None else self._request_headers.attributes(carrier)
        if self._proxies is not None and self._is_server and (peer := call.peer) is not None:
            attributes[semconv.CLIENT_ADDRESS] = self._proxies.client(peer[0], carrier)
            note_peer(attributes, peer)
        return attributes

    def reply_attributes(self, call: Call) -> dict[str, AttributeValue]:
        """The headers of a reply that were asked for."""
        if self._response_headers is None or call.kind != "http" or (carrier := call.reply_carrier) is None:
            return {}
        return self._response_headers.attributes(carrier)

    def started(self, span: Span, call: Call) -> None:
        """Call `on_start`."""
        if self._on_start is not None:
            try:
                self._on_start(span, call)
            except Exception as failure:
                guard.swallow(f"the hook on_start ({_name_of(self._on_start)})", failure)

    def ending(self, span: Span, call: Call, reply: object, error: BaseException | None) -> None:
        """Call `on_end`."""
        if self._on_end is not None:
            try:
                self._on_end(span, call, reply, error)
            except Exception as failure:
                guard.swallow(f"the hook on_end ({_name_of(self._on_end)})", failure)


def _name_of(hook: Callable[..., Any]) -> str:
    return getattr(hook, "__qualname__", None) or type(hook).__name__
