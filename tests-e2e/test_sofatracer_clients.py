"""SOFATracer's digest logs, followed by a real server that is killed, and SOFATracer itself on a JVM, as the API shows its traces."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clew_server.testing.sofatracer import as_json, common
from harness import clients
from harness.answers import wait_until
from harness.backends import Absent
from harness.clients import only_in_make_clients
from harness.server import Server
from harness.staying import Staying

HERE = Path(__file__).parent / "sofatracer"
MakeServer = Callable[..., Server]
KILLS = 3
SPANS_A_TRACE = 20


class Service(threading.Thread):
    """Writes a digest log as a service does: in pieces that end anywhere, with a new file now and then, until it is stopped."""

    def __init__(self, path: Path, number: int) -> None:
        super().__init__(daemon=True)
        self.path = path
        self.number = number
        self.written = 0
        self.rolled = 0
        self.stop = threading.Event()

    def run(self) -> None:
        half = b""
        while not self.stop.is_set():
            if self.written % 1_000 == 500:
                self._append(half)
                half = b""
                self.rolled += 1
                self.path.rename(self.path.with_name(f"{self.path.name}.{self.rolled}"))
            lines = half + b"".join(self._line(self.written + more) for more in range(50))
            self.written += 50
            cut = len(lines) - 37
            self._append(lines[:cut])
            half = lines[cut:]
            self.stop.wait(0.05)
        self._append(half)

    def _line(self, number: int) -> bytes:
        trace = f"c0000202{1_795_415_211_795 + number // SPANS_A_TRACE}1001{self.number}"
        return as_json(common(f"0.{number % SPANS_A_TRACE + 1}", trace=trace), [("method", "m")])

    def _append(self, data: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(data)


@pytest.mark.timeout(300)
def test_each_line_is_stored_once_however_often_the_server_is_killed_while_it_reads(
    make_server: MakeServer, tmp_path: Path
) -> None:
    folder = tmp_path / "tracelog"
    server = make_server(options=["--receive", f"sofatracer@{folder}"])
    server.start()
    folder.mkdir()
    services = [Service(folder / f"spring-mvc{number}-digest.log", 7000 + number) for number in range(2)]
    for service in services:
        service.start()
    for _ in range(KILLS):
        # It counts from 0 at each start.
        _until(lambda: bool(server.status()["accepted_spans"] > 200), "spans are read")
        server.kill()
        server.start()
    for service in services:
        service.stop.set()
        service.join(100)
    total = sum(service.written for service in services)

    def is_stored() -> bool:
        server.flush()
        return bool(server.status()["stored_spans"] >= total)

    try:
        _until(is_stored, f"{total} spans are stored")
    except AssertionError:
        print(server.status())
        raise
    status = server.status()
    assert (status["stored_spans"], status["dead_letter_spans"], status["rejected_spans"]) == (total, 0, {})
    (receiver,) = (one for one in status["receivers"] if one["name"] == "sofatracer")
    assert receiver["files"] == sum(service.rolled + 1 for service in services)
    assert receiver["last_error"] is None


@only_in_make_clients
@pytest.mark.timeout(400)
@pytest.mark.parametrize("layout", ["json", "compact", "zipkin"])
def test_a_trace_of_sofatracer_is_whole(layout: str, make_server: MakeServer, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    receive = "zipkin@127.0.0.1:0" if layout == "zipkin" else f"sofatracer@{logs}"
    server = make_server(options=["--receive", receive])
    server.start()
    try:
        app = clients.java("sofatracer", HERE / "pom.xml", HERE / "SofaTracerApp.java")
    except Absent as reason:
        pytest.skip(str(reason))
    zipkin = server.receiver("zipkin") if layout == "zipkin" else "-"

    def traces() -> list[dict[str, Any]]:
        server.flush()
        return list(server.found())

    client = Staying([*app, str(logs), "json" if layout == "zipkin" else layout, zipkin, "-", "1"], tmp_path / "log")
    try:
        client.next("done")
        wait_until(
            lambda: not client.is_running() or sum(trace["spans"] for trace in traces()) == 8, 120, client.logged
        )
        assert client.is_running(), client.logged()
    finally:
        client.end()
    order = next(trace for trace in traces() if trace["spans"] == 6)
    skeleton = server.get(f"/api/v1/traces/{order['trace_id']}/skeleton").json()
    assert (order["root_service"], order["has_root"], order["errors"]) == ("orders", True, 0)
    # The caller, the server; the method with its statement and the second call with its server, in order of their start.
    assert skeleton["parent"] == [-1, 0, 1, 2, 1, 4]
    failed = next(trace for trace in traces() if trace["spans"] == 2)
    # SOFATracer tells Zipkin of the server's exception only; a log has the client's result code too.
    assert failed["errors"] == (1 if layout == "zipkin" else 2)


def _until(is_so: Callable[[], bool], what: str, within_s: float = 120) -> None:
    end_s = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < end_s, f"not within {within_s:.0f} s: {what}"
        time.sleep(0.1)
