"""A server filled with the shop, and how it was filled: the bench that `ingest` measures and `query` asks."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

from harness.server import PROTOBUF, Server
from lib import measure, shop

NS_PER_S = 1_000_000_000


@dataclass(slots=True)
class Filled:
    """What one filling cost. CPU is user and system."""

    spans: int
    wall_s: float
    """From the first byte sent to the last acknowledgement."""
    searchable_s: float
    """From the first byte sent until `flush` says that everything is visible."""
    server_cpu_s: float
    """Until merges are drained."""
    acknowledged_cpu_s: float
    """Until the last acknowledgement."""
    generator_cpu_s: float
    peak_rss_bytes: int
    refused: int
    """Answers of 503, each followed by the same body again."""


def make(spans: int, *, minutes: int) -> shop.Requests:
    """The shop's last `minutes`, up to now."""
    now = time.time_ns()
    return shop.make_requests(spans, first_start_unix_nano=now - minutes * 60 * NS_PER_S, last_start_unix_nano=now)


def fill(server: Server, made: shop.Requests, *, senders: int, settle: bool = True) -> Filled:
    """Send everything over OTLP/HTTP, keep-alive, each body until it is acknowledged; wait until it is searchable and quiet.

    Without `settle` there is no wait for quiet.
    """
    host, _, port = server.otlp_http.removeprefix("http://").partition(":")
    refused = [0] * senders
    failures: list[BaseException] = []

    def send(number: int, bodies: list[bytes]) -> None:
        connection = HTTPConnection(host, int(port), timeout=120)
        try:
            for body in bodies:
                while True:
                    connection.request("POST", "/v1/traces", body, {"Content-Type": PROTOBUF})
                    answer = connection.getresponse()
                    content = answer.read()
                    if answer.status == 200 and not content:
                        break
                    if answer.status != 503:
                        raise RuntimeError(f"{answer.status}: {content[:200]!r}")
                    refused[number] += 1
                    time.sleep(0.2)
        except BaseException as error:
            failures.append(error)
        finally:
            connection.close()

    threads = [
        threading.Thread(target=send, args=(number, bodies)) for number, bodies in enumerate(shop.spread(made, senders))
    ]
    server_before, generator_before, began = measure.cpu_s(server.pid), time.process_time(), time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall_s = time.monotonic() - began
    generator_cpu_s = time.process_time() - generator_before
    acknowledged_cpu_s = measure.cpu_s(server.pid) - server_before
    if failures:
        raise failures[0]
    server.flush(300)
    searchable_s = time.monotonic() - began
    if settle:
        measure.wait_quiet(server.pid)
    return Filled(
        spans=made.spans,
        wall_s=wall_s,
        searchable_s=searchable_s,
        server_cpu_s=measure.cpu_s(server.pid) - server_before,
        acknowledged_cpu_s=acknowledged_cpu_s,
        generator_cpu_s=generator_cpu_s,
        peak_rss_bytes=measure.peak_rss_bytes(server.pid),
        refused=sum(refused),
    )


_DISK = """
import sys, chdb
connection = chdb.connect(sys.argv[1])
print(connection.query(
    "SELECT table, sum(bytes_on_disk), sum(rows), count() FROM system.parts WHERE active AND database NOT LIKE '%system%' AND database NOT ILIKE 'information_schema' GROUP BY table ORDER BY 2 DESC", "TSV"
).bytes().decode(), end="")
connection.close()
"""


def stored_bytes(data_dir: Path) -> dict[str, tuple[int, int, int]]:
    """Table → bytes, rows and parts of its live parts. The server must have stopped: one process a folder."""
    done = subprocess.run(
        [sys.executable, "-c", _DISK, str(data_dir / "chdb")], capture_output=True, text=True, timeout=300, check=True
    )
    rows = (line.split("\t") for line in done.stdout.splitlines() if line)
    return {table: (int(size), int(count), int(parts)) for table, size, count, parts in rows}
