"""A `PSpanMessage`, which is a span with events or a chunk of events, and a batch of them, into OTLP. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from clew_server.errors import BadInput, TooLarge
from clew_server.model import pinpoint as words
from clew_server.receivers.contract import MAX_REQUEST_SPANS, Head, OtlpBatch
from clew_server.receivers.foreign.conventions import Value
from clew_server.receivers.foreign.texts import text
from clew_server.receivers.pinpoint.annotations import put_all, put_attributes
from clew_server.receivers.pinpoint.metadata import agent_of, parsed, resource_of, transaction_of
from clew_server.receivers.pinpoint.pieces import NONE, Event, Failure, Owner, Writer, put_accepted
from clew_server.receivers.pinpoint.types import service_type, span_kind
from clew_server.receivers.wire import Field, fields

_VERSION: Final = 1
_MESSAGES: Final = 1
"""The one field of a `PSpanMessageBatch`: its messages."""


def decode_span_message(body: bytes, head: Head) -> OtlpBatch:
    """One message of the stream of spans. Raises BadInput, TooLarge."""
    message = parsed("PSpanMessage", body)
    agent = agent_of(head)
    facts = head.known.of(agent)
    writer = Writer()
    _add(writer, message, head, facts)
    return writer.batch(f"{agent}\n".encode() + body, agent)


def decode_span_batch(body: bytes, head: Head) -> OtlpBatch:
    """A `PSpanMessageBatch`. A message that is none costs itself only. Raises BadInput, TooLarge."""
    agent = agent_of(head)
    facts = head.known.of(agent)
    writer = Writer()
    try:
        places = [(one.content, one.end) for one in _messages(body)]
    except BadInput as error:
        if isinstance(error, TooLarge):
            raise
        why = str(error).rpartition("request: ")[2]
        raise BadInput(f"the bytes are not a PSpanMessageBatch of Pinpoint: {why}", code="malformed") from error
    for at, end in places:
        try:
            message = parsed("PSpanMessage", body[at:end])
        except BadInput as error:
            if isinstance(error, TooLarge):
                raise
            writer.malformed()
        else:
            _add(writer, message, head, facts)
    return writer.batch(f"{agent}\n".encode() + body, agent)


def _messages(body: bytes) -> Iterator[Field]:
    for count, field in enumerate(fields(body, 0, len(body)), 1):
        if count > MAX_REQUEST_SPANS:
            raise TooLarge(f"more than {MAX_REQUEST_SPANS} messages in one request")
        if field.number == _MESSAGES and field.wire_type == 2:
            yield field


def _add(writer: Writer, message: Any, head: Head, facts: Mapping[str, bytes]) -> None:
    if message.HasField("span"):
        _span(writer, message.span, head, facts)
    if message.HasField("spanChunk"):
        _chunk(writer, message.spanChunk, head, facts)


def _span(writer: Writer, one: Any, head: Head, facts: Mapping[str, bytes]) -> None:
    owner = Owner.of(resource_of(head, one.applicationServiceType), transaction_of(one.transactionId, head), one.spanId)
    tags: dict[str, Value] = {}
    accepted = one.acceptEvent
    type_ = service_type(one.serviceType, one.applicationServiceType)
    kind = span_kind(one.serviceType, type_, is_asked=bool(accepted.rpc or accepted.endPoint or accepted.remoteAddr))
    rpc = text(accepted.rpc)
    method, unresolved = _method(tags, one.apiId, facts)
    failure = _failure(one, facts, unresolved)
    unresolved += put_all(tags, one.annotation, facts)
    put_attributes(tags, one.attribute)
    parent: dict[str, Value] = {}
    if accepted.HasField("parentInfo"):
        caller = accepted.parentInfo
        parent = {
            "pinpoint.parent.application": text(caller.parentApplicationName),
            "pinpoint.parent.service_type": service_type(caller.parentApplicationType).name,
            "pinpoint.acceptor_host": text(caller.acceptorHost),
            "pinpoint.parent.service": text(caller.parentServiceName),
        }
        parent = {key: value for key, value in parent.items() if value not in ("", "0")}
    put_accepted(tags, kind, rpc, text(accepted.endPoint), text(accepted.remoteAddr), parent)
    tags["pinpoint.service_type"] = type_.name
    if type_.system is not None:
        tags.setdefault(*type_.system)
    _put_numbers(
        tags,
        ("pinpoint.flag", one.flag),
        ("pinpoint.err", one.err),
        ("pinpoint.logging_transaction_info", one.loggingTransactionInfo),
        ("pinpoint.version", one.version if one.version != _VERSION else 0),
    )
    if unresolved:
        tags[words.UNRESOLVED] = tuple(unresolved)
    writer.span(
        owner,
        one.parentSpanId if one.parentSpanId else NONE,
        rpc or method or type_.name,
        kind,
        one.startTime,
        one.elapsed,
        tags,
        failure=failure,
        has_failed=one.err != 0,
    )
    writer.events(owner, _events(one.spanEvent, one.startTime, one.applicationServiceType, facts, {}))


def _chunk(writer: Writer, one: Any, head: Head, facts: Mapping[str, bytes]) -> None:
    owner = Owner.of(
        resource_of(head, one.applicationServiceType),
        transaction_of(one.transactionId, head),
        one.spanId,
        async_id=one.localAsyncId.asyncId,
        async_sequence=one.localAsyncId.sequence,
        is_chunk=True,
    )
    more: dict[str, Value] = {}
    if one.endPoint:
        more["pinpoint.chunk.end_point"] = text(one.endPoint)
    if one.version != _VERSION:
        more["pinpoint.version"] = one.version
    writer.events(owner, _events(one.spanEvent, one.keyTime, one.applicationServiceType, facts, more))


def _events(
    events: Iterable[Any], start_ms: int, application: int, facts: Mapping[str, bytes], more: Mapping[str, Value]
) -> Iterator[Event]:
    """The events of a list: starts count from the event before, a depth of 0 is that of the event before."""
    depth = 0
    for one in events:
        start_ms += one.startElapsed
        depth = one.depth or depth
        tags: dict[str, Value] = dict(more)
        name, unresolved = _method(tags, one.apiId, facts)
        failure = _failure(one, facts, unresolved)
        unresolved += put_all(tags, one.annotation, facts)
        if not name:
            said = tags.get("pinpoint.api")
            name = said if isinstance(said, str) else ""
        if one.attribute:
            put_attributes(tags, one.attribute)
        if unresolved:
            tags[words.UNRESOLVED] = tuple(unresolved)
        next_span_id, end_point, destination = NONE, "", ""
        if one.HasField("nextEvent"):
            message = one.nextEvent.messageEvent
            next_span_id = message.nextSpanId
            end_point, destination = text(message.endPoint), text(message.destinationId)
        yield Event(
            one.sequence,
            depth,
            start_ms,
            one.endElapsed,
            service_type(one.serviceType, application),
            name,
            tags,
            next_span_id,
            end_point,
            destination,
            one.asyncEvent,
            failure,
        )


def _method(tags: dict[str, Value], api_id: int, facts: Mapping[str, bytes]) -> tuple[str, list[str]]:
    """The name that the metadata of a method gives, and what is not known yet."""
    if not api_id:
        return "", []
    fact = facts.get(f"api:{api_id}")
    if fact is None:
        return "", [f"api:{api_id}"]
    found = words.api(fact)
    tags.update(found.tags)
    return found.name, []


def _failure(one: Any, facts: Mapping[str, bytes], unresolved: list[str]) -> Failure | None:
    if not one.HasField("exceptionInfo"):
        return None
    info = one.exceptionInfo
    name = facts.get(f"string:{info.intValue}")
    if name is None and info.intValue:
        unresolved.append(f"string:{info.intValue}=exception.type")
    return Failure(text(name or b""), text(info.stringValue.value))


def _put_numbers(tags: dict[str, Value], *numbers: tuple[str, int]) -> None:
    tags.update((key, number) for key, number in numbers if number)
