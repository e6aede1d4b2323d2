"""Names that a search can be completed with, from chDB: attributes of resources and their values, and peers of a service."""

from __future__ import annotations

from typing import Final

from clew_server.errors import Unavailable
from clew_server.store.asking import Question, Stopped, Tables
from clew_server.store.chdb_search import FIRST_START_NS, LAST_START_NS
from clew_server.store.connections import Pool
from clew_server.store.contract import Names
from clew_server.store.peers import KEYS_AND_VALUES, peer_of

MAX_NAMES: Final = 1_000


class ChdbTags:
    """The store's TraceTags. Safe for several threads."""

    def __init__(self, pool: Pool, tables: Tables) -> None:
        self._pool = pool
        self._tables = tables

    def resource_keys(self) -> Names[str]:
        """See TraceTags."""
        return self._names("resource_keys", {})

    def resource_values(self, key: str) -> Names[str]:
        """See TraceTags."""
        return self._names("resource_values", {"key": _hex(key)})

    def peers(self, service: str, from_unix_nano: int, to_unix_nano: int) -> Names[str]:
        """See TraceTags."""
        from_ns, to_ns = (min(max(time, FIRST_START_NS), LAST_START_NS) for time in (from_unix_nano, to_unix_nano))
        window = {"service": _hex(service), "from_ns": str(from_ns), "to_ns": str(to_ns)}
        return self._names("peers", window, PEER=peer_of("named"), KEYS_AND_VALUES=KEYS_AND_VALUES)

    def _names(self, name: str, parameters: dict[str, str], **words: str) -> Names[str]:
        question = Question(self._pool, self._tables)
        try:
            rows = question.rows(name, {**parameters, "limit": str(MAX_NAMES)}, **words)
        except Stopped as stopped:
            raise Unavailable(f"The store did not answer: {stopped}") from stopped
        return Names([found for (found,) in rows], question.missing())


def _hex(text: str) -> str:
    return text.encode("utf-8", "surrogatepass").hex()
