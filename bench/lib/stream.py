"""The shop sending at a steady rate, in a process of its own: what a server takes in while it is asked.

    python -m lib.stream http://127.0.0.1:4318 10000 1764400000000000000

sends spans that start from that time on, so many a second, until its standard input is closed, and then prints what became of it as JSON. It says
"sending" first.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Self

from lib import shop

PROTOBUF = "application/x-protobuf"
PIECE_S = 2
NS_PER_S = 1_000_000_000


class Stream:
    """The process, for who starts it."""

    def __init__(self, address: str, spans_a_second: int, first_start_unix_nano: int) -> None:
        self._command = [sys.executable, "-m", "lib.stream", address, str(spans_a_second), str(first_start_unix_nano)]
        self._process: subprocess.Popen[bytes] | None = None
        self.sent: dict[str, Any] = {}
        """`seconds`, `spans` acknowledged in them, `refused` requests, `cpu_s` of the sender, `late_s` behind its time at most."""

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).resolve().parents[1]
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"sending\n"
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        printed, _none = self._process.communicate()
        self.sent = json.loads(printed)


def main() -> None:
    address, rate, first_ns = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    host, _, port = address.removeprefix("http://").partition(":")
    connection = HTTPConnection(host, int(port), timeout=120)
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.buffer.read(), ended.set()), daemon=True).start()
    print("sending", flush=True)
    began, sent, refused, late_s, number = time.monotonic(), 0, 0, 0.0, 0
    while not ended.is_set():
        from_ns = first_ns + number * PIECE_S * NS_PER_S
        made = shop.make_requests(
            rate * PIECE_S,
            first_start_unix_nano=from_ns,
            last_start_unix_nano=from_ns + PIECE_S * NS_PER_S,
            seed=1_000_000 + number,
        )
        for at, body in enumerate(made.bodies):
            due_s = began + number * PIECE_S + PIECE_S * at / len(made.bodies)
            late_s = max(late_s, time.monotonic() - due_s)
            if ended.wait(max(0.0, due_s - time.monotonic())):
                break
            while True:
                connection.request("POST", "/v1/traces", body, {"Content-Type": PROTOBUF})
                answer = connection.getresponse()
                answer.read()
                if answer.status == 200:
                    break
                refused += 1
                time.sleep(0.2)
            sent += made.spans // len(made.bodies)
        number += 1
    connection.close()
    found = {"seconds": time.monotonic() - began, "spans": sent, "refused": refused, "cpu_s": time.process_time()}
    print(json.dumps({**found, "late_s": late_s}))


if __name__ == "__main__":
    main()
