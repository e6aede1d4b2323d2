"""Connections that are being accepted are counted once, so that a listener takes as many as it may have and no fewer."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator

import pytest

from clew_server.sockets import accept
from clew_server.sockets.accept import Acceptor

CLIENTS = 12


class Known(asyncio.Protocol):
    """Counted from its `connection_made` on, as the owners of listeners do."""

    def __init__(self, known: set[Known]) -> None:
        self._known = known
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._known.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._known.discard(self)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=CLIENTS) as listener:
        yield listener


@pytest.fixture
def clients(listener: socket.socket) -> Iterator[list[socket.socket]]:
    """Connected, and not yet accepted."""
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(contextlib.closing(socket.create_connection(listener.getsockname())))
            for _ in range(CLIENTS)
        ]


async def accept_all(listener: socket.socket, may_come: Callable[[int], bool]) -> int:
    """How many were taken; `may_come` is asked with the number that is counted before each."""
    known = set[Known]()
    asked, all_asked = 0, asyncio.Event()

    def has_room(connecting: int) -> bool:
        nonlocal asked
        asked += 1
        if asked == CLIENTS:
            all_asked.set()
        return may_come(len(known) + connecting)

    acceptor = Acceptor(listener, lambda: Known(known), has_room=has_room)
    acceptor.start()
    async with asyncio.timeout(100):
        await all_asked.wait()
    acceptor.close()
    await acceptor.wait_closed()
    taken = len(known)
    for one in known:
        one.transport.abort()
    await asyncio.sleep(0)
    return taken


# So many at a time, so that some are known while others are on their way.
@pytest.mark.parametrize("at_once", [1, 2, 5, CLIENTS])
def test_each_connection_is_counted_once_from_its_acceptance_on(
    listener: socket.socket, clients: list[socket.socket], at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accept, "_AT_ONCE", at_once)
    counted: list[int] = []

    def note(count: int) -> bool:
        counted.append(count)
        return True

    assert asyncio.run(accept_all(listener, note)) == CLIENTS
    assert counted == list(range(CLIENTS))


def test_a_listener_takes_as_many_as_it_may_have_and_refuses_the_others(
    listener: socket.socket, clients: list[socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accept, "_AT_ONCE", 2)
    assert asyncio.run(accept_all(listener, lambda count: count < 7)) == 7
