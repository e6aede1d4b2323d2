"""A search for traces, as a value: what `q` and the plain parameters of `/api/v1/traces` mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from clew_server.model.query_tree import Node

Sort = Literal["-start", "start", "-dur", "dur", "-spans"]
"""Newest, oldest, longest, shortest first; most spans first."""
SORTS: Final = get_args(Sort)
Compare = Literal["=", "!=", ">", ">=", "<", "<="]


@dataclass(frozen=True, slots=True)
class SpanCondition:
    """Holds for one span; all of a search's conditions hold for the same span.

    `field`: `service`, `name`, `kind`, `status`, `status_message`, `scope` (its name), `dur` (ns in `value`), `attr` with `key`:
    an attribute of the span or its resource, `event`: the name of some event, or with `key` an attribute of one, or `anywhere` with
    `key`: an attribute of the span, its resource, its scope, some event or some link, or with one of EVENT_NAME_KEYS the name of
    some event. `peer`: the other side of the span's
    call (`model.dependency.PEER_KEYS`); `mark`: the key of an attribute of the span or its resource, or the name of some event.
    `link_trace`: the trace of some link, 32 hex digits. `!=` is the negation of `=`: a span without the attribute satisfies it.
    """

    field: Literal[
        "service",
        "name",
        "kind",
        "status",
        "status_message",
        "scope",
        "dur",
        "attr",
        "event",
        "anywhere",
        "peer",
        "mark",
        "link_trace",
    ]
    op: Compare
    value: str | int
    key: str = ""
    late: Node | None = None
    """What is as good as an equal value: a condition on a span that refers to it and came before it."""


@dataclass(frozen=True, slots=True)
class Search:
    """`from_unix_nano` ≤ the trace's start < `to_unix_nano`; None means no bound.

    `where` is a query in the query language. `span` is what the APIs of Jaeger and Zipkin ask: all of it holds for one span.

    With `span_from_unix_nano` ≤ … < `span_to_unix_nano` a span for which all of `span` holds, and each one that the braces of `where` are
    about, starts in that time, whenever its trace started; both are given or none.
    """

    span: tuple[SpanCondition, ...] = ()
    from_unix_nano: int | None = None
    to_unix_nano: int | None = None
    limit: int = 50
    sort: Sort = "-start"
    cursor: str | None = None
    span_from_unix_nano: int | None = None
    span_to_unix_nano: int | None = None
    where: Node | None = None


EVENT_NAME_KEYS: Final = frozenset(("event", "message"))
"""Fields of a log in which OpenTracing's senders have what is the name of an event here."""

KIND_WORDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
"""Words of OTLP's span kinds, by number."""

STATUS_WORDS = ("unset", "ok", "error")
"""Words of OTLP's status codes, by number."""
