"""The short analysis shown for each trace of a list: where it failed and which services took its time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from clew_server.analysis.answers import Failure
from clew_server.analysis.critical_path import critical_path
from clew_server.analysis.failure import failures
from clew_server.analysis.own_time import owners
from clew_server.analysis.tree import tree_of
from clew_server.model.trace import Trace

MOST_SHARES: Final = 8


class OwnerShare(NamedTuple):
    """The part of the critical path, 0 to 1, that is charged to a service; its name is empty where it has none."""

    owner: str
    share: float


@dataclass(frozen=True, slots=True)
class Brief:
    """The two answers about a trace, for one line. `shares` and `other` sum to 1, or are empty and 0 where the root has no length."""

    origin: Failure | None
    """Where the failure began; None where no span failed or every failure was handled."""
    origins: int
    """So many spans began a failure that was not handled."""
    handled: int
    """So many failures were handled, or came too late for their caller."""
    shares: Sequence[OwnerShare]
    """The largest first, `MOST_SHARES` at most."""
    other: float
    """The part of all other services together."""


def brief(trace: Trace) -> Brief:
    """The answers about a trace that has spans."""
    tree = tree_of(trace)
    failed = failures(tree)
    begun = [failure for failure in failed if failure.role == "origin"]
    owner = owners(tree)
    spent_ns: dict[str, int] = {}
    for row, start_ns, end_ns in critical_path(tree).sections:
        spent_ns[owner[row]] = spent_ns.get(owner[row], 0) + end_ns - start_ns
    total_ns = sum(spent_ns.values())
    shares = [
        OwnerShare(name, time_ns / total_ns)
        for name, time_ns in sorted(spent_ns.items(), key=lambda one: (-one[1], one[0]))
        if time_ns > 0
    ]
    return Brief(
        origin=begun[0] if begun else None,
        origins=len(begun),
        handled=sum(failure.role in ("handled", "abandoned") for failure in failed),
        shares=shares[:MOST_SHARES],
        other=sum(share.share for share in shares[MOST_SHARES:]),
    )
