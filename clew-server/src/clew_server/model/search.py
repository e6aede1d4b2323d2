"""A search for traces, as a value: what `q` and the plain parameters of `/api/v1/traces` mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Compare = Literal["=", ">", ">=", "<", "<="]


@dataclass(frozen=True, slots=True)
class SpanCondition:
    """Holds for one span; all of a search's conditions hold for the same span.

    `field`: `service`, `name`, `kind`, `status`, `dur` (ns in `value`), `attr` with `key`, or `event`: the name of some event,
    or with `key` an attribute of one.
    """

    field: Literal["service", "name", "kind", "status", "dur", "attr", "event"]
    op: Compare
    value: str | int
    key: str = ""


@dataclass(frozen=True, slots=True)
class TraceCondition:
    """About the whole trace, evaluated after grouping: `duration` in ns."""

    field: Literal["duration"]
    op: Compare
    value: int


@dataclass(frozen=True, slots=True)
class Search:
    """`from_unix_nano` ≤ the trace's start < `to_unix_nano`; None means no bound. Newest first."""

    span: tuple[SpanCondition, ...] = ()
    trace: tuple[TraceCondition, ...] = ()
    from_unix_nano: int | None = None
    to_unix_nano: int | None = None
    limit: int = 50
    cursor: str | None = None


KIND_WORDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
"""Words of OTLP's span kinds, by number."""

STATUS_WORDS = ("unset", "ok", "error")
"""Words of OTLP's status codes, by number."""
