"""What clients of RabbitMQ have in common: the names of destinations."""

from __future__ import annotations

from typing import Final

from clew.instrumentation._messages import TEMPORARY

SYSTEM: Final = "rabbitmq"
COMPONENT: Final = "RabbitMQ"


def destinations(exchange: str, routing_key: str, queue: str | None = None) -> tuple[str, str]:
    """Where a message goes as the conventions write it, and what the name of a span says of it.

    Source: semantic conventions for RabbitMQ, `messaging.destination.name`.
    """
    parts = [part for part in (exchange, routing_key, queue) if part]
    if queue is not None and queue == routing_key and not exchange:
        parts = [queue]
    shown = queue or exchange or routing_key
    if shown.startswith(("amq.", "amq_")):
        shown = TEMPORARY
    return ":".join(parts), shown
