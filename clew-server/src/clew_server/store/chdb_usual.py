"""What is usual for operations, from chDB: counts and durations by minute, and the spans of the minute that is not over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from clew_server.errors import Unavailable
from clew_server.model.usual import ENOUGH, Durations, Operation
from clew_server.store.asking import Question, Stopped, Tables
from clew_server.store.connections import Pool
from clew_server.store.contract import UsualDurations

QUESTION_S: Final = 5.0
"""What a question may take: a trace is shown without usual values rather than late."""

_SECOND_NS: Final = 1_000_000_000
_MINUTE_S: Final = 60
_HOUR_S: Final = 3_600
_DAY_S: Final = 86_400
_DAY_NS: Final = _DAY_S * _SECOND_NS
_FIRST_AT_NS: Final = 946_684_800 * _SECOND_NS
_LAST_AT_NS: Final = 4_102_444_800 * _SECOND_NS
"""Starts lie between 2000 and 2100 (schema 0002)."""

_LEVELS: Final = ",".join(f"0.{level:02d}" for level in range(1, 100))
_OPERATIONS: Final = (
    "(SELECT unhex(x.1),unhex(x.2) FROM (SELECT arrayJoin({operations:Array(Tuple(String,String))}) AS x))"
)


class ChdbUsual:
    """The store's TraceUsual. Safe for several threads."""

    def __init__(self, pool: Pool, tables: Tables) -> None:
        self._pool = pool
        self._tables = tables

    def durations(self, operations: Sequence[Operation], at_unix_nano: int) -> UsualDurations:
        """See TraceUsual."""
        by_hex = {(_hex(operation.service), _hex(operation.name)): operation for operation in operations}
        to_ns = min(max(at_unix_nano, _FIRST_AT_NS), _LAST_AT_NS)
        minute_s = to_ns // _SECOND_NS // _MINUTE_S * _MINUTE_S
        from_s = minute_s - _HOUR_S
        parameters = {
            "operations": "[" + ",".join(f"('{service}','{name}')" for service, name in by_hex) + "]",
            "from_s": str(from_s),
            "minute_s": str(minute_s),
            "minute_ns": str(minute_s * _SECOND_NS),
            "to_ns": str(to_ns),
            "earlier_from_s": str(from_s - _DAY_S),
            "earlier_minute_s": str(minute_s - _DAY_S),
            "earlier_minute_ns": str((minute_s - _DAY_S) * _SECOND_NS),
            "earlier_to_ns": str(to_ns - _DAY_NS),
        }
        question = Question(self._pool, self._tables, seconds=QUESTION_S)
        try:
            rows = question.rows("durations", parameters, LEVELS=_LEVELS, OPERATIONS=_OPERATIONS)
        except Stopped as stopped:
            raise Unavailable(f"The store did not answer: {stopped}") from stopped
        nothing = Durations(0, 0, None, None, None, from_s * _SECOND_NS, to_ns)
        found: dict[tuple[Operation, int | None], Durations] = {(operation, None): nothing for operation in operations}
        for service, name, kind, count, failed, levels in rows:
            enough = int(count) >= ENOUGH
            percentiles = [round(level) for level in levels] if enough else []
            found[by_hex[service, name], None if kind < 0 else kind] = Durations(
                count=int(count),
                failed=int(failed),
                p50_ns=percentiles[49] if enough else None,
                p95_ns=percentiles[94] if enough else None,
                p99_ns=percentiles[98] if enough else None,
                from_unix_nano=from_s * _SECOND_NS,
                to_unix_nano=to_ns,
                percentiles_ns=percentiles,
            )
        return UsualDurations(found, question.missing())


def _hex(text: str) -> str:
    return text.encode("utf-8", "surrogatepass").hex()
