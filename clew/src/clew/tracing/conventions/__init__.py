"""The attribute sets that can be written on a call's span, behind one protocol: OpenTelemetry's and Kratos'."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Protocol

from opentelemetry.trace import Span
from opentelemetry.util.types import AttributeValue

from clew.carriers import Carrier
from clew.tracing.conventions.ending import Ending
from clew.tracing.conventions.kratos import Kratos
from clew.tracing.conventions.otel import OTel

if TYPE_CHECKING:
    from clew.tracing.options import Conventions
    from clew.transport import Call, Outcome

__all__ = ["Convention", "Ending", "Kratos", "OTel", "convention_from_names"]


class Convention(Protocol):
    """What one set of conventions writes, from the beginning of a call to its end. `server` is True on the side that answers it."""

    def span_name(self, call: Call, name: str, *, server: bool) -> str:
        """The span's name; `name` is the usual one."""

    def start(
        self, attributes: dict[str, AttributeValue], call: Call, offered: Mapping[str, AttributeValue], *, server: bool
    ) -> None:
        """Add to the attributes that the span starts with; `offered` is what the call says about itself."""

    def injected(self, headers: Carrier) -> None:
        """Change what the propagator has written, where readers of this convention want it otherwise."""

    def message(self, span: Span, message: object, *, received: bool) -> None:
        """Note a message that was received or sent."""

    def cancelled(self, span: Span, outcome: Outcome) -> None:
        """Say that the call was given up, which is no error."""

    def conclude(self, span: Span, ending: Ending) -> None:
        """Say how the call ended; the span's status is set already."""


_KNOWN: Final = ("otel", "kratos")


def convention_from_names(names: Conventions) -> Convention:
    """The convention of one name, or several in one. Raises ValueError for an unknown name, and for none at all."""
    wanted = (names,) if isinstance(names, str) else tuple(names)
    for name in wanted:
        if name not in _KNOWN:
            raise ValueError(f"unknown convention {name!r}: known are {', '.join(_KNOWN)}")
    if not wanted:
        raise ValueError(f"at least one convention is needed: {', '.join(_KNOWN)}")
    if "kratos" not in wanted:
        return OTel()
    return _Both() if "otel" in wanted else Kratos()


class _Both:
    """OpenTelemetry's conventions first, whose name the span has; then Kratos', whose status stays."""

    __slots__ = ("_kratos", "_otel")

    def __init__(self) -> None:
        self._otel: Final = OTel()
        # The exception is recorded already.
        self._kratos: Final = Kratos(records_exception=False)

    def span_name(self, call: Call, name: str, *, server: bool) -> str:
        return self._otel.span_name(call, name, server=server)

    def start(
        self, attributes: dict[str, AttributeValue], call: Call, offered: Mapping[str, AttributeValue], *, server: bool
    ) -> None:
        self._otel.start(attributes, call, offered, server=server)
        self._kratos.start(attributes, call, offered, server=server)

    def injected(self, headers: Carrier) -> None:
        self._kratos.injected(headers)

    def message(self, span: Span, message: object, *, received: bool) -> None:
        self._kratos.message(span, message, received=received)

    def cancelled(self, span: Span, outcome: Outcome) -> None:
        self._otel.cancelled(span, outcome)
        self._kratos.cancelled(span, outcome)

    def conclude(self, span: Span, ending: Ending) -> None:
        self._otel.conclude(span, ending)
        self._kratos.conclude(span, ending)
