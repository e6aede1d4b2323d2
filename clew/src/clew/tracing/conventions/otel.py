"""OpenTelemetry's semantic conventions: what calls offer, as it is; exceptions as events; `error.type`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from opentelemetry.trace import Span
from opentelemetry.util.types import AttributeValue

from clew import semconv
from clew.carriers import Carrier
from clew.tracing.failures import record

if TYPE_CHECKING:
    from clew.transport import Call, Outcome


class OTel:
    """As `Convention`."""

    __slots__ = ()

    def span_name(self, call: Call, name: str, *, server: bool) -> str:
        """The usual one."""
        return name

    def start(
        self, attributes: dict[str, AttributeValue], call: Call, offered: Mapping[str, AttributeValue], *, server: bool
    ) -> None:
        """What the call offers has these names already."""
        attributes.update(offered)

    def injected(self, headers: Carrier) -> None:
        """Nothing to change."""

    def message(self, span: Span, message: object, *, received: bool) -> None:
        """There are no words for single messages."""

    def cancelled(self, span: Span, outcome: Outcome) -> None:
        """What is known of the end nevertheless."""
        if outcome.attributes:
            span.set_attributes(outcome.attributes)

    def conclude(
        self,
        span: Span,
        outcome: Outcome,
        error: BaseException | None,
        error_type: str | None,
        message: str | None,
        reply: object,
        *,
        server: bool,
    ) -> None:
        """The outcome's attributes, the exception, `error.type`."""
        if outcome.attributes:
            span.set_attributes(outcome.attributes)
        if error is not None:
            # A server is called by a framework, of whose frames nobody learns anything.
            record(span, error, with_callers=not server)
        if error_type is not None:
            span.set_attribute(semconv.ERROR_TYPE, error_type)
