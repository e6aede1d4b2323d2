"""Rates over time from chDB, which has counts and durations of every operation by minute."""

from __future__ import annotations

from typing import Final

from clew_server.errors import Unavailable
from clew_server.model.rates import RatePoint, Rates, RatesAsked
from clew_server.store.asking import Question, Stopped, Tables
from clew_server.store.connections import Pool

_FIRST_S: Final = 946_684_800
_LAST_S: Final = 4_102_444_800
"""Starts lie between 2000 and 2100 (schema 0002)."""
_MINUTE_S: Final = 60


class ChdbRates:
    """The store's TraceRates. Safe for several threads."""

    def __init__(self, pool: Pool, tables: Tables) -> None:
        self._pool = pool
        self._tables = tables

    def rates(self, asked: RatesAsked) -> Rates:
        """See TraceRates."""
        to_s = min(max(asked.to_unix_s, _FIRST_S), _LAST_S)
        reach_s = asked.points * asked.step_s + asked.window_s
        services = ",".join(f"'{service.encode('utf-8', 'surrogatepass').hex()}'" for service in asked.services)
        parameters = {
            "services": f"[{services}]",
            "kinds": f"[{','.join(map(str, asked.kinds))}]",
            "from_s": str(max(_FIRST_S, to_s - reach_s)),
            "to_s": str(to_s),
            "points": str(asked.points),
            "step_s": str(asked.step_s),
            "window_s": str(max(asked.window_s, _MINUTE_S)),
        }
        words = {
            "NAME_OR_NONE": "toString(name)" if asked.by_operation else "''",
            "LEVEL": "NULL" if asked.level is None else f"quantilesTDigestMerge({asked.level:.6f})(q)[1]",
        }
        question = Question(self._pool, self._tables)
        try:
            rows = question.rows("rates", parameters, **words)
        except Stopped as stopped:
            raise Unavailable(f"The store did not answer: {stopped}") from stopped
        found = [
            RatePoint(
                service=bytes.fromhex(service).decode("utf-8", "replace"),
                operation=bytes.fromhex(name).decode("utf-8", "replace"),
                at_unix_s=to_s - int(before) * asked.step_s,
                calls=int(calls),
                failed=int(failed),
                duration_ns=None if level is None else round(float(level)),
            )
            for service, name, before, calls, failed, level in rows
        ]
        return Rates(found, question.missing())
