"""CAT's frames over real connections, and the router over real HTTP: nothing ends a connection that a client does not end itself."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from clew_server.config import Listening
from clew_server.receivers.cat import specs
from clew_server.receivers.cat.frames import frame
from clew_server.receivers.cat.router import Router
from clew_server.receivers.contract import ReceiverState
from clew_server.receivers.listeners import Beside, open_listener
from clew_server.testing import ReceiverStand, cat
from clew_server.testing.cat import Header

ASKED = "op=json&domain=shop&ip=192.0.2.2"
OF_C = (
    "Get http://127.0.0.1:8080/cat/s/router?op=json&domain=shop&ip=192.0.2.2&hostname=vm HTTP/1.0\r\nHost 127.0.0.1\r\n"
    "Connection: close\r\n\r\n"
)


def tree(number: int) -> bytes:
    return frame(cat.native(cat.transaction("URL", f"/{number}"), Header(message_id=f"shop-c0000202-1-{number}")))


def test_metrics_unknown_codecs_and_broken_trees_cost_themselves_only(tmp_path: Path) -> None:
    others = [frame(b"NM1x"), frame(b"NB1x"), frame(b"ZZ9"), frame(b"NT1\xff"), frame(b"x"), frame(b"")]
    with ReceiverStand(specs.CAT, tmp_path / "wal") as stand:
        with socket.create_connection(stand.address, timeout=100) as connection:
            for number, other in enumerate(others):
                connection.sendall(tree(number) + other)
            connection.sendall(tree(len(others)))
            stand.wait_until(lambda: stand.state.spans == len(others) + 1, "all trees are there")
        assert stand.state.dropped == {"metrics": 2, "unknown_frames": 1}
        assert stand.state.refused_requests == 3
        assert [one.name for one in stand.logged()] == [f"URL:/{number}" for number in range(len(others) + 1)]


def test_a_client_that_ends_with_a_reset_loses_nothing_that_it_had_sent(tmp_path: Path) -> None:
    with ReceiverStand(specs.CAT, tmp_path / "wal") as stand:
        connection = socket.create_connection(stand.address, timeout=100)
        connection.sendall(b"".join(tree(number) for number in range(50)))
        stand.wait_until(lambda: stand.state.last_client is not None, "the connection is seen")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
        stand.wait_until(lambda: stand.state.spans == 50, "all trees are there")
        assert (stand.state.refused_requests, stand.state.last_error) == (0, None)


@pytest.mark.parametrize("head", [b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"GET / HTTP/1.1\r\n"])
def test_a_length_that_no_frame_has_ends_its_connection(tmp_path: Path, head: bytes) -> None:
    with ReceiverStand(specs.CAT, tmp_path / "wal") as stand:
        with socket.create_connection(stand.address, timeout=100) as connection:
            connection.sendall(tree(1) + head)
            assert connection.recv(1) == b""
        stand.wait_until(lambda: stand.state.spans == 1, "what was whole is there")
        stand.wait_until(lambda: stand.state.refused_requests == 1, "the rest is counted")


# -- the router -----------------------------------------------------------------------------------------------------------


def asked(request: str, *, address: str = "127.0.0.1:2280", host: str = "127.0.0.1") -> tuple[int, str]:
    """Status and body of the router's answer to a request, byte for byte as a client sends it."""

    async def run() -> bytes:
        state = ReceiverState("cat-router", "http")
        listener = open_listener(specs.ROUTER, state, Listening("cat-router", host, 0))
        listener.bind()
        try:
            await listener.start(None, Beside(other=Router(lambda: address)))  # type: ignore[arg-type]  # it takes no spans
            port = int(state.address.rpartition(":")[2])
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(request.encode())
            answer = await asyncio.wait_for(reader.read(), 100)
            writer.close()
            await listener.stop()
        finally:
            listener.close()
        return answer

    head, _, body = asyncio.run(run()).partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode()


def get(query: str, path: str = "/cat/s/router", method: str = "GET") -> str:
    return f"{method} {path}?{query} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


def test_the_client_in_c_is_answered_though_it_does_not_speak_http() -> None:
    status, body = asked(OF_C)
    assert status == 200
    said = json.loads(body)["kvs"]
    assert (said["routers"], said["sample"], said["block"]) == ("127.0.0.1:2280;", "1.0", "false")
    assert all(isinstance(value, str) for value in said.values())
    assert len(body) < 1500, "it reads 2047 bytes at most, head and body"


@pytest.mark.parametrize(
    ("query", "is_right"),
    [
        (ASKED + "&hostname=vm", lambda body: json.loads(body)["kvs"]["routers"] == "127.0.0.1:2280;"),
        (ASKED + "&token=", lambda body: body.startswith("{routers=127.0.0.1:2280;, sample=1.0, block=false")),
        ("op=xml&domain=shop", lambda body: '<property id="routers" value="127.0.0.1:2280;"/>' in body),
        ("domain=shop", lambda body: body == "127.0.0.1:2280;"),
    ],
)
def test_each_generation_of_clients_is_answered_in_its_own_form(query: str, is_right: Callable[[str], bool]) -> None:
    status, body = asked(get(query))
    assert status == 200
    assert is_right(body), body


def test_where_cat_listens_on_every_address_the_one_that_was_reached_is_told() -> None:
    assert asked(get("domain=a"), address="0.0.0.0:99") == (200, "127.0.0.1:99;")
    assert asked(get("domain=a"), address="[::]:99") == (200, "127.0.0.1:99;")
    assert asked(get("domain=a"), address="192.0.2.7:99") == (200, "192.0.2.7:99;")


def test_what_the_router_cannot_answer_it_says_so() -> None:
    assert asked(get("domain=a"), address="")[0] == 503
    assert asked(get("", path="/"))[0] == 404
    assert asked(get("", method="DELETE"))[0] == 405
    assert asked("Get x HTTP/1.0\r\n\r\n")[0] == 400
