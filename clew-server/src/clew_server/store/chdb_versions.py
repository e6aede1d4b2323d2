"""Versions of services, from the spans that have them in their resource."""

from __future__ import annotations

from typing import Final

from clew_server.errors import Unavailable
from clew_server.model.points import Version
from clew_server.store.asking import Stopped
from clew_server.store.chdb_search import ChdbTraces
from clew_server.store.contract import Names
from clew_server.store.orders import FIRST_START_NS, LAST_START_NS

_NAMES: Final = 10_000


class ChdbVersions:
    """The store's TraceVersions. Safe for several threads."""

    def __init__(self, traces: ChdbTraces) -> None:
        self._traces = traces

    def versions(self, from_unix_nano: int, to_unix_nano: int) -> Names[Version]:
        """See TraceVersions."""
        question = self._traces.question()
        from_ns = min(max(from_unix_nano, FIRST_START_NS), LAST_START_NS)
        bound = {"from_ns": str(from_ns), "to_ns": str(min(max(to_unix_nano, from_ns), LAST_START_NS))}
        try:
            rows = question.rows("versions", {**bound, "limit": str(_NAMES)})
        except Stopped as stopped:
            raise Unavailable(f"The store did not answer: {stopped}") from stopped
        found = [Version(service, version, int(first)) for service, version, first in rows]
        reasons = [f"the {_NAMES:,} that came up last"] if len(found) == _NAMES else []
        reasons += [missing] if (missing := question.missing()) else []
        return Names(found, "; ".join(reasons) or None)
