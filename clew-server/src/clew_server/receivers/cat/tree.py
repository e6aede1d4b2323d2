"""A message tree of CAT while it is read: transactions in the order in which they begin, each with its events. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from clew_server.errors import BadInput, TooLarge

MAX_RECORDS: Final = 50_000
"""In one tree. Clients cut theirs at some thousands."""
MAX_HEADER_VALUE: Final = 1024
"""Characters of each value of the header: it is repeated in spans."""
NULL: Final = "null"
"""The text that clients write for no value."""


class Header(NamedTuple):
    """The ten values before the records, in their order; empty for null."""

    domain: str = ""
    host_name: str = ""
    ip_address: str = ""
    thread_group: str = ""
    thread_id: str = ""
    thread_name: str = ""
    message_id: str = ""
    parent_message_id: str = ""
    root_message_id: str = ""
    session_token: str = ""

    @classmethod
    def of(cls, values: Sequence[str]) -> Header:
        """Raises BadInput for another number of values, or one that is too long."""
        if len(values) != len(cls._fields) or max(map(len, values), default=0) > MAX_HEADER_VALUE:
            raise BadInput(
                f"the bytes are not a message of CAT: a header is ten values of at most {MAX_HEADER_VALUE} characters",
                code="malformed",
            )
        return cls(*("" if value == NULL else value for value in values))


class Event(NamedTuple):
    """A record without children."""

    letter: str
    """E event, L trace, M metric, H heartbeat."""
    type: str
    name: str
    status: str
    data: str
    time_ms: int


@dataclass(slots=True)
class Transaction:
    """One transaction, or an event outside of all (`is_lone`), which then is its only event."""

    parent: int
    """Its number in the tree; -1 for none."""
    type: str
    name: str
    start_ms: int
    status: str = ""
    data: str = ""
    duration_us: int = 0
    events: list[Event] = field(default_factory=list)
    calls: list[list[int]] = field(default_factory=list)
    """Of each event RemoteCall its place in `events`, and the time (ms) of the transaction or call behind it, or -1."""
    is_whole: bool = False
    """Its end was there."""
    is_lone: bool = False


@dataclass(slots=True)
class Tree:
    """What one frame holds. `add`, `open`, `close` in the order of the records, then `finish`."""

    header: Header
    transactions: list[Transaction] = field(default_factory=list)
    is_cut: bool = False
    """The records behind those that are here cannot be read."""
    _open: list[int] = field(default_factory=list)
    _latest_ms: int = 0
    _records: int = 0

    def open(self, start_ms: int, type_: str, name: str) -> None:
        """A transaction begins inside the one that is open. Raises TooLarge."""
        self._count(start_ms)
        parent = -1
        if self._open:
            parent = self._open[-1]
            self._end_calls(self.transactions[parent], start_ms)
        self._open.append(len(self.transactions))
        self.transactions.append(Transaction(parent, type_, name, start_ms))

    def close(self, status: str, data: str, duration_us: int) -> None:
        """The innermost transaction ends. Raises BadInput where none is open."""
        if not self._open:
            raise BadInput("a transaction ends that has not begun", code="malformed")
        one = self.transactions[self._open.pop()]
        one.status, one.data, one.duration_us, one.is_whole = status, data, duration_us, True
        self._latest_ms = max(self._latest_ms, one.start_ms + duration_us // 1000)

    def add(self, event: Event) -> None:
        """A record inside the open transaction, or outside of all. Raises TooLarge."""
        self._count(event.time_ms)
        if not self._open:
            self.transactions.append(
                Transaction(-1, event.type, event.name, event.time_ms, event.status, events=[event], is_lone=True)
            )
            return
        inside = self.transactions[self._open[-1]]
        if event.type == REMOTE_CALL and event.letter == "E":
            self._end_calls(inside, event.time_ms)
            inside.calls.append([len(inside.events), -1])
        inside.events.append(event)

    def finish(self) -> None:
        """End what was left open where the last record is."""
        while self._open:
            one = self.transactions[self._open.pop()]
            one.duration_us = max(0, self._latest_ms - one.start_ms) * 1000

    def _count(self, time_ms: int) -> None:
        self._records += 1
        if self._records > MAX_RECORDS:
            raise TooLarge(f"more than {MAX_RECORDS} records in one tree")
        self._latest_ms = max(self._latest_ms, time_ms)

    @staticmethod
    def _end_calls(inside: Transaction, time_ms: int) -> None:
        if inside.calls and inside.calls[-1][1] < 0:
            inside.calls[-1][1] = time_ms


REMOTE_CALL: Final = "RemoteCall"
