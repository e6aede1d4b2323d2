"""What clients of RabbitMQ have in common: the names of destinations, and messages as calls."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any, Final

from clew.instrumentation._messages import TEMPORARY, HeadersCarrier, MessageTransport
from clew.transport import Peer

SYSTEM: Final = "rabbitmq"
COMPONENT: Final = "RabbitMQ"


def destinations(exchange: str, routing_key: str, queue: str | None = None) -> tuple[str, str]:
    """The destination of a message as in the conventions, and as in the name of the span.

    Source: semantic conventions for RabbitMQ, `messaging.destination.name`.
    """
    parts = [part for part in (exchange, routing_key, queue) if part]
    if queue is not None and queue == routing_key and not exchange:
        parts = [queue]
    shown = queue or exchange or routing_key
    if shown.startswith(("amq.", "amq_")):
        shown = TEMPORARY
    return ":".join(parts), shown


def publishing(
    properties: Any,
    headers: MutableMapping[str, Any],
    exchange: str,
    routing_key: str,
    body_size_bytes: int | None,
    peer: Peer | None,
) -> MessageTransport:
    """A message that is published; the context is written into `headers`."""
    destination, shown = destinations(exchange, routing_key)
    return MessageTransport(
        SYSTEM,
        COMPONENT,
        "send",
        "publish",
        destination,
        HeadersCarrier(headers),
        shown_destination=shown,
        peer=peer,
        message_id=properties.message_id,
        conversation_id=properties.correlation_id,
        body_size_bytes=body_size_bytes,
        rabbitmq_routing_key=routing_key,
    )


def received(
    what: Any,
    delivery: Any,
    properties: Any,
    headers: MutableMapping[str, Any] | None,
    queue: str,
    body_size_bytes: int | None,
    peer: Peer | None,
) -> MessageTransport:
    """A message of a queue; `what` is `receive` or `process`, `delivery` knows how it came."""
    destination, shown = destinations(delivery.exchange or "", delivery.routing_key or "", queue)
    return MessageTransport(
        SYSTEM,
        COMPONENT,
        what,
        what,
        destination,
        HeadersCarrier(headers),
        shown_destination=shown,
        peer=peer,
        message_id=properties.message_id,
        conversation_id=properties.correlation_id,
        body_size_bytes=body_size_bytes,
        rabbitmq_routing_key=delivery.routing_key,
        rabbitmq_delivery_tag=delivery.delivery_tag,
    )
