"""A server that is killed while clients send over gRPC: what they were told is taken is there after the next start."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import grpc

from harness.answers import wait_until
from harness.server import Server, free_port

_SENDERS = 2


class Sending(NamedTuple):
    """One request or stream."""

    trace_ids: list[bytes]
    """Of its spans, one a trace."""
    send: Callable[[grpc.Channel], object]
    """Returns when the server has acknowledged all of it."""


def check_kill_under_load(
    folder: Path,
    receiver: str,
    make: Callable[[int], Sending],
    *,
    at_least: int = 500,
    look: Callable[[Server, bytes], object] | None = None,
) -> None:
    """`make` gets a number that is new each time. The server is killed when `at_least` spans are acknowledged; afterwards a trace
    of every call is asked for, and `look` is called with it."""
    server = Server(folder / "data", options=["--receive", f"{receiver}@127.0.0.1:{free_port()}"]).start()
    numbers = itertools.count(1)
    sent: list[bytes] = []
    acknowledged: list[list[bytes]] = []

    def send_until_it_fails() -> None:
        options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(server.receiver(receiver), options=options) as channel:
            while True:
                sending = make(next(numbers))
                sent.extend(sending.trace_ids)
                try:
                    sending.send(channel)
                except grpc.RpcError:
                    return
                acknowledged.append(sending.trace_ids)

    try:
        senders = [threading.Thread(target=send_until_it_fails) for _ in range(_SENDERS)]
        for sender in senders:
            sender.start()
        wait_until(lambda: sum(map(len, list(acknowledged))) >= at_least or not senders[0].is_alive(), 120)
        server.kill()
        for sender in senders:
            sender.join(60)
        server.start()
        server.flush()
        known = sum(map(len, acknowledged))
        # What was on its way and whose answer was lost may be there too.
        assert at_least <= known <= server.status()["stored_spans"] <= len(sent)
        for trace_ids in acknowledged[::10]:
            assert server.get_json(f"/api/v1/traces/{trace_ids[-1].hex()}")["resourceSpans"]
            if look is not None:
                look(server, trace_ids[-1])
    finally:
        server.close()
