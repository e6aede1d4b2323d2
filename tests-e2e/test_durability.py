"""No acknowledgement before the bytes are durable, and what happens when the disk refuses."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo

from harness.folder import assert_stored_once
from harness.preload import Shim
from harness.server import Server
from harness.wire import new_trace_id, request, span, spans_of

TRACED = "openat,open,creat,rename,renameat,renameat2,write,writev,pwrite64,pwritev,pwritev2,fdatasync,fsync,sync_file_range,sendto,sendmsg,recvfrom,recvmsg,read"
_CALL = re.compile(r"^(?P<pid>\d+) +(?:(?P<name>\w+)\((?P<rest>.*)|<\.\.\. (?P<resumed>\w+) resumed>(?P<more>.*))$")
_WRITES = ("write", "writev", "pwrite64", "pwritev", "pwritev2")


class Watched:
    """Follows an strace and keeps what is not durable yet of the log: bytes of segments, entries of their directory."""

    def __init__(self, wal: str, port: int) -> None:
        self._wal = wal
        self._socket = f":{port}->"
        self._dirty: dict[str, bool] = {}
        self._entries_dirty = False
        self._written_since_last = 0
        self._unfinished: dict[str, tuple[str, str, set[str], bool]] = {}
        self.acknowledged = 0
        self.segments: set[str] = set()
        self.wrong: list[str] = []

    def _path(self, rest: str) -> str | None:
        """Path of the file descriptor that the call begins with."""
        found = re.match(r"\d+<(/[^>]*)>", rest)
        return found[1].removesuffix("(deleted)") if found else None

    def line(self, line: str) -> None:
        call = _CALL.match(line)
        if call is None:
            return
        pid = call["pid"]
        if call["resumed"]:
            name, rest, dirty, entries = self._unfinished.pop(pid, (call["resumed"], "", set(), False))
            self._end(name, rest + call["more"], dirty, entries)
            return
        name, rest = call["name"], call["rest"]
        started_dirty = {path for path, is_dirty in self._dirty.items() if is_dirty}
        began_entries = self._entries_dirty
        self._begin(name, rest, line)
        if rest.endswith("<unfinished ...>"):
            self._unfinished[pid] = (name, rest.removesuffix("<unfinished ...>"), started_dirty, began_entries)
        else:
            self._end(name, rest, started_dirty, began_entries)

    def _begin(self, name: str, rest: str, line: str) -> None:
        path = self._path(rest)
        if name in _WRITES and path is not None and path.startswith(self._wal + "/") and path.endswith(".otlp"):
            self._dirty[path] = True
            self._written_since_last += 1
        if (
            ((name in ("openat", "open", "creat") and "O_CREAT" in rest) or name.startswith("rename"))
            and f"{self._wal}/" in rest
            and ".otlp" in rest
        ):
            self._entries_dirty = True
            self.segments.add(rest)
        if name in ("sendto", "sendmsg", "write", "writev") and "HTTP/1.1 200" in rest and self._socket in rest:
            self.acknowledged += 1
            late = sorted(path for path, is_dirty in self._dirty.items() if is_dirty)
            if late or self._entries_dirty or not self._written_since_last:
                self.wrong.append(
                    f"acknowledged with {late=}, {self._entries_dirty=}, {self._written_since_last=}: {line[:200]}"
                )
            self._written_since_last = 0

    def _end(self, name: str, rest: str, started_dirty: set[str], began_entries: bool) -> None:
        """A sync that returned 0 makes durable what had been written when it began."""
        if name not in ("fdatasync", "fsync") or not re.search(r"\) += 0", rest):
            return
        path = self._path(rest)
        if path is None:
            return
        if path.rstrip("/") == self._wal and name == "fsync" and began_entries:
            self._entries_dirty = False
        elif path in started_dirty:
            self._dirty[path] = False


def follow(lines: Iterable[str], wal: str, port: int) -> Watched:
    watched = Watched(wal, port)
    for line in lines:
        watched.line(line)
    return watched


@pytest.mark.timeout(180)
def test_no_acknowledgement_leaves_before_its_bytes_and_a_new_segments_entry_are_synced(
    make_server: Callable[..., Server], tmp_path: Path
) -> None:
    """One client, one request at a time, so that between two acknowledgements everything belongs to the second."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.fail("strace is missing: install the Debian package strace.", pytrace=False)
    trace_file = tmp_path / "strace.txt"
    server = make_server(
        wrapper=[strace, "-f", "--seccomp-bpf", "-yy", "-s", "64", "-o", str(trace_file), "-e", f"trace={TRACED}"]
    )
    server.launch()
    server.wait_ready(120)
    wal = str((server.data_dir / "wal").resolve())
    first = [request("synced", [span() for _ in range(20)]) for _ in range(8)]
    for body in first:
        server.export(body)
    server.flush(120)  # seals the segment: what follows needs a new one
    for _ in range(8):
        server.export(request("synced", [span() for _ in range(20)]))
    server.kill()

    port = int(server.otlp_http.rsplit(":", 1)[1])
    lines = trace_file.read_text(errors="replace").splitlines()
    watched = follow(lines, wal, port)
    assert watched.wrong == []
    assert watched.acknowledged == 16
    assert len(watched.segments) >= 2, "no new segment was made, so nothing was proved about its directory entry"
    for sync in ("fdatasync", "fsync"):  # the test of the test: without either call it would have complained
        assert follow(
            [line for line in lines if f" {sync}(" not in line and f"{sync} resumed" not in line], wal, port
        ).wrong


def test_a_sync_that_fails_once_refuses_that_batch_and_nothing_else(
    make_server: Callable[..., Server], tmp_path: Path
) -> None:
    shim = Shim(tmp_path / "shim")
    server = make_server(environment=shim.environment()).start()
    before, refused, after = new_trace_id(), new_trace_id(), new_trace_id()
    server.export(request("sync", [span(before)]))
    body = request("sync", [span(refused)])
    shim.turn_on("fail-fdatasync")
    answer = server.post(body)
    assert not shim.is_on("fail-fdatasync"), "the server acknowledges without fdatasync"
    assert answer.status_code == 503, answer.content
    assert int(answer.headers["retry-after"]) >= 0
    server.export(request("sync", [span(after)]))
    server.flush()
    assert {trace["trace_id"] for trace in server.found(service="sync")} == {before.hex(), after.hex()}
    assert server.trace_bytes(refused) == b""

    server.export(body)  # the sender's repetition of what was refused is not taken for a duplicate
    server.flush()
    assert {trace["trace_id"] for trace in server.found(service="sync")} == {before.hex(), refused.hex(), after.hex()}
    server.kill()
    server.start()
    server.flush()
    assert [trace["spans"] for trace in server.found(service="sync")] == [1, 1, 1]
    assert server.stop() == 0
    assert_stored_once(server.data_dir, 3, 3)


def test_a_disk_below_its_reserve_refuses_new_data_and_goes_on_answering(
    make_server: Callable[..., Server], tmp_path: Path
) -> None:
    shim = Shim(tmp_path / "shim")
    server = make_server(environment=shim.environment()).start()
    kept = new_trace_id()
    server.export(request("reserve", [span(kept)]))
    server.flush()

    shim.turn_on("disk-full")
    body = request("reserve", [span()])
    deadline = time.monotonic() + 100
    answer = server.post(body)
    while answer.status_code == 200:  # the reserve is looked at now and then, not for each request
        assert time.monotonic() < deadline, "data is still accepted on a full disk"
        time.sleep(0.1)
        body = request("reserve", [span()])
        answer = server.post(body)
    assert answer.status_code == 503, answer.content
    assert "retry-after" in answer.headers
    with grpc.insecure_channel(server.otlp_grpc) as channel, pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")(body, timeout=100)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    delay = RetryInfo.FromString(dict(refused.value.trailing_metadata())["google.rpc.retryinfo-bin"]).retry_delay
    assert delay.seconds or delay.nanos
    assert server.get("/readyz").status_code == 503
    assert server.get("/healthz").status_code == 200
    assert [one.trace_id for one in spans_of(server.trace_bytes(kept))] == [kept]
    assert kept.hex() in {trace["trace_id"] for trace in server.found(service="reserve")}

    shim.turn_off("disk-full")
    server.export(body)
    server.flush()
    assert server.get("/readyz").status_code == 200
    assert server.stop() == 0


def test_two_servers_cannot_share_a_folder_and_the_second_names_the_first(make_server: Callable[..., Server]) -> None:
    first = make_server().start()
    second = make_server()
    second.ready_file.unlink()
    second.launch()
    assert second.wait_ended() == 4
    assert str(first.pid) in second.printed()
    assert "Traceback" not in second.printed()
    first.export(request("alone", [span()]))
    assert first.stop() == 0


def test_the_folder_is_all_that_is_written(make_server: Callable[..., Server], tmp_path: Path) -> None:
    """From a working directory of its own, which stays empty."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    server = make_server(
        wrapper=[
            sys.executable,
            "-c",
            f"import os, sys; os.chdir({str(elsewhere)!r}); os.execv(sys.argv[1], sys.argv[1:])",
        ]
    )
    server.start()
    server.export(request("tidy", [span()]))
    server.flush()
    assert server.stop() == 0
    assert list(elsewhere.iterdir()) == []
    assert {"VERSION", "wal", "chdb", "schema"} <= {entry.name for entry in server.data_dir.iterdir()}
    assert {entry.name for entry in server.data_dir.iterdir()} <= {
        "VERSION",
        "lock",
        "wal",
        "chdb",
        "schema",
        "dead-letter",
        "agents",
    }
    subprocess.run(["rm", "-r", str(server.data_dir)], check=True)
