"""Time between sending a message and handling it, and time waited for a connection."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from itertools import compress, islice
from typing import Final

from clew_server.analysis.answers import Finding
from clew_server.analysis.evidence import Evidence
from clew_server.model.attributes import text_of
from clew_server.model.trace import CONSUMER, LINKS, PRODUCER
from clew_server.model.words import duration_text

_ENQUEUED_S_KEYS: Final = ("messaging.servicebus.message.enqueued_time", "messaging.eventhubs.message.enqueued_time")
_CONNECTION_S_KEY: Final = "db.client.connection.wait_time"
_CONNECTION_MS_KEY: Final = "db.client.connections.wait_time"
_MIN_SHARE: Final = 0.10


def queue_wait(evidence: Evidence) -> Iterator[Finding]:
    """From the end of a PRODUCER to the start of its CONSUMER, and waits that the conventions' attributes say."""
    least_ns = max(1.0, evidence.root_ns * _MIN_SHARE)
    yield from _messages(evidence, least_ns)
    start_ns, end_ns = evidence.start_ns, evidence.end_ns
    lengths = map(operator.sub, end_ns, start_ns)
    for row in compress(range(len(end_ns)), map(least_ns.__le__, lengths)):
        if row in evidence.rows:
            wait_ns = _connection_ns(evidence, row)
            if wait_ns >= least_ns:
                text = f"{evidence.label(row)} waited {duration_text(wait_ns)} for a connection of the pool"
                yield Finding("queue_wait", text, evidence.share(wait_ns), "certain", [row], {"wait_ns": wait_ns})


def _messages(evidence: Evidence, least_ns: float) -> Iterator[Finding]:
    trace = evidence.trace
    kind = trace.kind
    producers: dict[bytes, int] | None = None
    for row in compress(evidence.rows, map(CONSUMER.__eq__, islice(kind, evidence.root, evidence.rows.stop))):
        producer = trace.parent[row]
        if producer < 0 or kind[producer] != PRODUCER:
            if producers is None:
                producers = {trace.span_ids[other]: other for other in evidence.rows if kind[other] == PRODUCER}
            producer = _linked_producer(evidence, row, producers) if producers else -1
        wait_ns = evidence.start_ns[row] - evidence.end_ns[producer] if producer >= 0 else _enqueued_ns(evidence, row)
        if not evidence.is_timed(row) or (producer >= 0 and not evidence.is_timed(producer)):
            continue
        if wait_ns >= least_ns and not _is_usual(evidence, row, wait_ns):
            yield _in_a_queue(evidence, row, producer, wait_ns)


def _linked_producer(evidence: Evidence, row: int, producers: dict[bytes, int]) -> int:
    """The PRODUCER that a CONSUMER links to; of a batch the one that waited longest; -1 where none is here."""
    trace = evidence.trace
    if not trace.flags[row] & LINKS:
        return -1
    linked = [producers[link.span_id] for link in trace.span(row).links if link.span_id in producers]
    return min(linked, key=lambda one: (evidence.end_ns[one], evidence.label(one)), default=-1)


def _enqueued_ns(evidence: Evidence, row: int) -> int:
    """The wait since the moment the broker took the message, where the span says that; else 0."""
    enqueued_s = _number(evidence, row, *_ENQUEUED_S_KEYS)
    if enqueued_s <= 0:
        return 0
    return evidence.trace.t0_unix_nano + evidence.start_ns[row] - round(enqueued_s * 1e9)


def _connection_ns(evidence: Evidence, row: int) -> int:
    return round(_number(evidence, row, _CONNECTION_S_KEY) * 1e9 or _number(evidence, row, _CONNECTION_MS_KEY) * 1e6)


def _number(evidence: Evidence, row: int, *keys: str) -> float:
    try:
        number = float(text_of(evidence.trace.span(row).attributes, *keys) or 0)
    except ValueError:
        return 0.0
    return number if 0 < number < 1e11 else 0.0


def _is_usual(evidence: Evidence, row: int, wait_ns: int) -> bool:
    """Whether the consumer begins no later after its parent than it usually does."""
    within = evidence.within(row)
    return within is not None and wait_ns <= within.delay_p95_ns


def _in_a_queue(evidence: Evidence, row: int, producer: int, wait_ns: int) -> Finding:
    within = evidence.within(row)
    numbers: dict[str, float] = {"wait_ns": wait_ns}
    usually = ""
    if within is not None:
        numbers["usual_delay_p50_ns"] = within.delay_p50_ns
        usually = f", usually {duration_text(within.delay_p50_ns)} after it is sent"
    sent = f", sent by {evidence.label(producer)}" if producer >= 0 else ""
    text = f"The message for {evidence.label(row)}{sent}, waited {duration_text(wait_ns)} to be handled{usually}"
    rows = [row] if producer < 0 else [row, producer]
    return Finding("queue_wait", text, evidence.share(wait_ns), "certain" if producer >= 0 else "likely", rows, numbers)
