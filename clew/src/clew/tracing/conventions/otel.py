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
    from clew.tracing.conventions.ending import Ending
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
        """Does nothing: there are no attributes for single messages."""

    def cancelled(self, span: Span, outcome: Outcome) -> None:
        """Set the outcome's attributes."""
        if outcome.attributes:
            span.set_attributes(outcome.attributes)

    def conclude(self, span: Span, ending: Ending) -> None:
        """The outcome's attributes, the exception, `error.type`."""
        if ending.outcome.attributes:
            span.set_attributes(ending.outcome.attributes)
        if ending.error is not None:
            # A server's callers are frames of the framework, which do not help.
            record(span, ending.error, with_callers=not ending.is_server)
        if ending.error_type is not None:
            span.set_attribute(semconv.ERROR_TYPE, ending.error_type)
