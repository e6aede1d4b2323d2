"""Those who listen, and those whose connection broke a moment ago: they are told as before, so that they go on from where they were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from clew_server.errors import Unavailable
from clew_server.query.live.listener import Asked, Counts, Listener, Numbered

MOST_LISTENERS: Final = 200
AWAITED_S: Final = 20.0
"""So long one that has gone is awaited. A page tries again after 1, 3, 7 and 15 s."""
_BUSY_RETRY_S: Final = 30.0


@dataclass(slots=True, eq=False)
class Connection:
    """What reads for a listener, until another one comes in its place."""

    listener: Listener
    is_resumed: bool
    """Whether it goes on from where an earlier one was."""
    missed: int
    """Events that were sent on the earlier one, perhaps in vain, and are not kept any more."""
    last_number: int
    """Of the event behind which it begins."""
    is_over: bool = False
    """Whether another one has taken its place."""

    async def take(self, within_s: float) -> list[Numbered]:
        """What waits; empty where nothing came in that time, or where it was woken for another reason."""
        if not self.is_over:
            await self.listener.wait(within_s)
        return [] if self.is_over else self.listener.take()

    @property
    def counts(self) -> Counts:
        return self.listener.counts


class Listeners:
    """Bounded in number. The caller holds a lock; only `all` may be read without one."""

    def __init__(self, *, most: int = MOST_LISTENERS, awaited_s: float = AWAITED_S) -> None:
        self._most = most
        self._awaited_s = awaited_s
        self.all: Sequence[Listener] = ()
        """Connected or awaited. Replaced, never changed."""
        self._connections: dict[Listener, Connection] = {}
        self._awaited: dict[Listener, tuple[float, int]] = {}
        """Until when, and what had been skipped for it when it went: the rest counts if it comes back. The one that went first at the beginning."""
        self._skipped_before = 0

    @property
    def connected(self) -> int:
        return len(self._connections)

    @property
    def skipped(self) -> int:
        """Traces that were not sent to some listener, since the start."""
        return (
            self._skipped_before
            + sum(_skipped(one) for one in self._connections)
            + sum(skipped for _, skipped in self._awaited.values())
        )

    def connect(self, asked: Asked, last_event_id: str, now_s: float) -> Connection:
        """A connection for a new listener, or for the one that the id names. Raises Unavailable above the limit, BadInput for a bad expression."""
        name, _, number = last_event_id.partition(".")
        known = next((one for one in self.all if one.name == name and one.asked.is_same(asked)), None)
        after = int(number) if number.isascii() and number.isdigit() and len(number) < 20 else None
        if known is not None and after is not None and after <= known.last_number:
            self._awaited.pop(known, None)
            earlier = self._connections.get(known)
            if earlier is not None:
                earlier.is_over = True
                known.wake()
            connection = Connection(known, True, known.go_on(after), after)
        else:
            if len(self.all) >= self._most and self._awaited:
                self._remove(next(iter(self._awaited)))
            if len(self.all) >= self._most:
                raise Unavailable(
                    f"{self._most} listeners are connected already, which is as many as there may be.",
                    retry_after_s=_BUSY_RETRY_S,
                )
            connection = Connection(Listener(asked, now_s=now_s), False, 0, 0)
            self.all = (*self.all, connection.listener)
        self._connections[connection.listener] = connection
        return connection

    def leave(self, connection: Connection, now_s: float) -> None:
        """The connection has ended."""
        listener = connection.listener
        if self._connections.get(listener) is not connection:
            return
        del self._connections[listener]
        self._awaited[listener] = now_s + self._awaited_s, _skipped(listener)
        if listener.is_ended:
            self._remove(listener)

    def forget(self, now_s: float) -> None:
        """Let go of those that did not come back."""
        for listener in [one for one, (until_s, _) in self._awaited.items() if until_s <= now_s]:
            self._remove(listener)

    def _remove(self, listener: Listener) -> None:
        _, skipped = self._awaited.pop(listener)
        self.all = tuple(one for one in self.all if one is not listener)
        self._skipped_before += skipped
        listener.end()


def _skipped(listener: Listener) -> int:
    return listener.counts.skipped + listener.counts.skipped_failed
