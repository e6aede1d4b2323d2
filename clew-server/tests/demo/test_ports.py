from __future__ import annotations

import socket

from clew_server.demo import ports


def test_a_port_somebody_listens_on_is_not_free() -> None:
    with socket.create_server((ports.HOST, 0)) as listener:
        port = listener.getsockname()[1]
        assert not ports.is_free(port)
        assert ports.is_listening(port)
    assert ports.is_free(port)
    assert not ports.is_listening(port)


def test_a_free_port_is_none_of_those_spoken_for() -> None:
    first = ports.free_port(set())
    assert ports.free_port({first}) != first
    assert ports.FIRST <= first <= ports.LAST
