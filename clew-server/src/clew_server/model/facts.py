"""What an agent says of itself once and then refers to: names of methods, statements, properties of its process. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol


class Fact(NamedTuple):
    """One thing that an agent said."""

    agent: str
    """Which process, as its system tells them apart."""
    key: str
    """What it is about; a fact with the key of an earlier one takes its place."""
    value: bytes


class Known(Protocol):
    """What the agents of one system said. Safe from any thread."""

    def of(self, agent: str) -> Mapping[str, bytes]:
        """What is known of an agent, by key; empty for one that nothing is known of. It may grow while it is held."""
        ...


class _Nothing:
    def of(self, agent: str) -> Mapping[str, bytes]:
        return NO_FACTS


NO_FACTS: Final[Mapping[str, bytes]] = MappingProxyType({})
NOTHING_KNOWN: Final[Known] = _Nothing()
