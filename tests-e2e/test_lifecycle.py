"""Starting and stopping: the ready file, exit codes with one sentence, and a clean end in time."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from harness.answers import wait_until
from harness.folder import assert_stored_once
from harness.server import PROTOBUF, NotReady, Server, clew_command
from harness.wire import fresh_name, new_trace_id, request, span


def one_sentence(server: Server) -> str:
    """What a refused start printed: short, without a traceback."""
    printed = server.printed().strip()
    assert "Traceback" not in printed
    assert printed
    assert len(printed.splitlines()) <= 6, printed
    return printed


def test_ready_is_said_with_the_real_addresses(make_server: Callable[..., Server]) -> None:
    server = make_server().start()
    assert set(server.ready) == {"pid", "version", "data_dir", "http", "otlp_http", "otlp_grpc"}
    assert Path(server.ready["data_dir"]) == server.data_dir
    assert f"clew ready {server.http}" in server.printed()
    printed = server.printed().replace(" ", "")
    assert "7d" in printed, "the retention in force is printed"
    assert "20GB" in printed, "the disk cap in force is printed"
    for base in (server.http, server.otlp_http):
        assert httpx.get(base + "/healthz").status_code == 200
        assert httpx.get(base + "/readyz").status_code == 200
        assert "# HELP" in httpx.get(base + "/metrics").text
    status = server.status()
    assert status["version"] == server.ready["version"]
    assert {"otlp-grpc", "otlp-http"} <= {receiver["name"] for receiver in status["receivers"]}
    assert {receiver["state"] for receiver in status["receivers"] if receiver["name"].startswith("otlp")} == {"open"}
    assert server.stop() == 0


def hastily_ended(server: Server) -> int:
    """How often its time was over before it had ended by itself. A disk that stands still takes such a time once."""
    return server.log_file.read_text(errors="replace").count("not all had ended") if server.log_file.exists() else 0


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_with_0_and_what_was_accepted_stays(
    make_server: Callable[..., Server], sent: signal.Signals, best_of: Callable[..., float]
) -> None:
    numbers = itertools.count()
    best_of(1, lambda: stopped_while_spans_come(make_server(f"data-{next(numbers)}"), sent))


def stopped_while_spans_come(server: Server, sent: signal.Signals) -> int:
    server.start()
    ids = []
    acknowledged = threading.Event()

    def send() -> None:
        with httpx.Client(timeout=100) as http:
            while True:
                trace_id = new_trace_id()
                try:
                    answer = http.post(
                        server.otlp_http + "/v1/traces",
                        content=request("stopping", [span(trace_id)]),
                        headers={"Content-Type": PROTOBUF},
                    )
                except httpx.TransportError:
                    return
                if answer.status_code != 200:
                    return
                ids.append(trace_id)
                if len(ids) == 20:
                    acknowledged.set()

    sender = threading.Thread(target=send)
    sender.start()
    assert acknowledged.wait(100)
    assert server.stop(sent) == 0
    assert "Traceback" not in server.printed()
    sender.join(100)
    server.start()
    server.flush()
    found = {trace["trace_id"] for trace in server.found(service="stopping", limit=1000)}
    assert {trace_id.hex() for trace_id in ids} <= found
    assert server.stop() == 0
    hastily = hastily_ended(server)
    if not hastily:
        assert_stored_once(server.data_dir, len(found), len(found))
    return hastily


def test_it_stops_in_time_while_a_client_holds_a_request_open(
    make_server: Callable[..., Server], best_of: Callable[..., float]
) -> None:
    server = make_server()

    def stopped() -> int:
        before = hastily_ended(server)
        server.start()
        host, port = server.otlp_http.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as slow:
            slow.sendall(
                f"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: {PROTOBUF}\r\nContent-Length: 1000\r\n\r\n".encode()
            )
            assert server.stop() == 0
        return hastily_ended(server) - before

    best_of(1, stopped)


def test_it_stops_in_time_while_its_start_hangs(make_server: Callable[..., Server]) -> None:
    server = make_server()
    (server.data_dir / "agents").mkdir(parents=True)
    (server.data_dir / "VERSION").write_text("1\n")
    os.mkfifo(server.data_dir / "agents" / "facts")  # read for ever, as from a disk that does not answer
    server.launch()
    wait_until((server.data_dir / "lock").exists)
    assert server.stop() == 0
    assert "not all had ended 9 s after the signal" in server.printed()


def test_wrong_options_are_all_listed_at_once(make_server: Callable[..., Server]) -> None:
    server = make_server(options=["--retention", "soon", "--max-disk", "much", "--log-format", "xml"])
    server.launch()
    assert server.wait_ended() == 2
    printed = server.printed()
    assert "Traceback" not in printed
    assert "log-format" in printed
    server = make_server(
        "other", options=["--retention", "soon", "--max-disk", "much"], environment={"CLEW_MAX_BACKLOG": "lots"}
    )
    server.launch()
    assert server.wait_ended() == 2
    printed = server.printed()
    assert "Traceback" not in printed
    assert all(word in printed.lower().replace("_", "-") for word in ("retention", "max-disk", "max-backlog")), printed


def test_options_beat_environment_beats_file_beats_default(make_server: Callable[..., Server], tmp_path: Path) -> None:
    config = tmp_path / "clew.toml"
    config.write_text('retention = "3d"\nmax-disk = "5GB"\nmax-backlog = "1GB"\n')
    server = make_server(
        options=["--config", str(config), "--max-disk", "4GB"], environment={"CLEW_RETENTION": "2d"}
    ).start()
    status = server.status()
    assert status["retention_s"] == 2 * 86_400
    assert status["max_disk_bytes"] in (4 * 10**9, 4 * 2**30)
    assert server.stop() == 0


@pytest.mark.parametrize("option", ["--http-port", "--otlp-http-port", "--otlp-grpc-port", "--receive"])
def test_a_taken_port_is_3_and_is_named(make_server: Callable[..., Server], option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = make_server(options=[option, f"zipkin@127.0.0.1:{port}" if option == "--receive" else str(port)])
        server.launch()
        assert server.wait_ended() == 3
        assert str(port) in one_sentence(server)


def test_a_folder_of_a_newer_version_is_5_and_is_not_touched(make_server: Callable[..., Server]) -> None:
    server = make_server()
    server.data_dir.mkdir()
    (server.data_dir / "VERSION").write_text("999999\n")
    server.launch()
    assert server.wait_ended() == 5
    assert "newer" in one_sentence(server)
    assert [entry.name for entry in server.data_dir.iterdir() if entry.name != "lock"] == ["VERSION"]
    assert (server.data_dir / "VERSION").read_text() == "999999\n"


def test_a_folder_that_cannot_be_used_is_5(make_server: Callable[..., Server]) -> None:
    server = make_server()
    server.data_dir.write_text("a file where a folder should be")
    server.launch()
    assert server.wait_ended() == 5
    assert str(server.data_dir) in one_sentence(server)
    assert server.data_dir.read_text() == "a file where a folder should be"


def _folder(path: Path) -> None:
    path.mkdir()


def _link_to_nothing(path: Path) -> None:
    path.symlink_to("nowhere")


@pytest.mark.parametrize("make", [_folder, _link_to_nothing])
@pytest.mark.parametrize("name", ["00000000000000000001-00000000.otlp", "hash.key"])
def test_an_entry_of_the_log_that_cannot_be_read_is_5_and_is_named(
    make_server: Callable[..., Server], name: str, make: Callable[[Path], None]
) -> None:
    server = make_server()
    (server.data_dir / "wal").mkdir(parents=True)
    (server.data_dir / "VERSION").write_text("1\n")
    make(server.data_dir / "wal" / name)
    server.launch()
    assert server.wait_ended() == 5
    said = one_sentence(server)
    assert str(server.data_dir / "wal" / name) in said
    assert "--host" not in said
    assert (server.data_dir / "wal" / name).is_symlink() or (server.data_dir / "wal" / name).is_dir()


@pytest.mark.parametrize("name", ["00000000000000000001-00000000.otlp", "hash.key"])
def test_a_file_of_the_log_that_may_not_be_read_is_5_and_is_named(
    make_server: Callable[..., Server], tmp_path: Path, name: str
) -> None:
    """As a user without rights where the test runs as root, to whom nothing is unreadable."""
    wrapper = []
    if os.geteuid() == 0:
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            pytest.fail("setpriv is missing: install the Debian package util-linux.", pytrace=False)
        # Root without its right to pass over permissions.
        wrapper = [setpriv, "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]
    server = make_server(wrapper=wrapper)
    wal = server.data_dir / "wal"
    wal.mkdir(parents=True)
    (server.data_dir / "VERSION").write_text("1\n")
    (wal / name).write_bytes(b"x" * 32)
    (wal / name).chmod(0)
    server.launch()
    assert server.wait_ended() == 5
    assert str(wal / name) in one_sentence(server)
    assert (wal / name).stat().st_size == 32


def test_a_ready_file_in_a_missing_folder_is_2_and_says_so(make_server: Callable[..., Server], tmp_path: Path) -> None:
    server = make_server(options=["--ready-file", str(tmp_path / "missing" / "ready.json")])
    server.launch()
    assert server.wait_ended() == 2
    said = one_sentence(server)
    assert "--ready-file" in said
    assert str(tmp_path / "missing") in said
    assert "--host" not in said
    assert not server.data_dir.exists()


def test_an_address_of_another_machine_is_2_and_is_named(make_server: Callable[..., Server]) -> None:
    for host in ("192.0.2.1", "no.such.host.invalid"):
        server = make_server(options=["--host", host, "--insecure"])
        server.launch()
        assert server.wait_ended() == 2
        assert f"--host {host}" in one_sentence(server)


def test_a_version_file_left_empty_by_a_kill_does_not_lock_the_folder_for_ever(
    make_server: Callable[..., Server],
) -> None:
    server = make_server().start()
    trace_id = new_trace_id()
    server.export(request("version", [span(trace_id)]))
    server.kill()
    (server.data_dir / "VERSION").write_text("")
    server.start()
    server.flush()
    assert [trace["trace_id"] for trace in server.found(service="version")] == [trace_id.hex()]
    assert (server.data_dir / "VERSION").read_text() == "1\n"


KILLED_AT = [("mkdir", n) for n in (1, 2, 3, 4, 6, 7, 9)] + [("rename", n) for n in (1, 2, 3)]
KILLED_AT += [("fsync", n) for n in (1, 2, 3, 4, 5, 9)] + [("ftruncate", 1)]
# Every second of them, calls of each kind; `make soak` takes all.
if int(os.environ.get("CLEW_CRASHES", "0")) < 20:
    KILLED_AT = KILLED_AT[::2]


@pytest.mark.timeout(600)
def test_a_start_that_is_killed_at_any_step_is_made_up_for_by_the_next(make_server: Callable[..., Server]) -> None:
    """On an empty folder, at chosen calls of each kind that changes it, one kill after the other on the same folder too."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.fail("strace is missing: install the Debian package strace.", pytrace=False)
    killed = 0
    for number, (call, at) in enumerate(KILLED_AT):
        inject = [strace, "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}"]
        inject += ["-e", f"inject={call}:signal=SIGKILL:when={at}", "--"]
        server = make_server(f"data{number // 4}", wrapper=inject)
        server.launch()
        try:
            server.wait_ready(60)
        except NotReady:
            killed += 1
        server.kill()
    assert killed >= len(KILLED_AT) // 3, KILLED_AT
    for number in range(-(-len(KILLED_AT) // 4)):
        server = make_server(f"data{number}").start()
        trace_id = new_trace_id()
        server.export(request("made-up", [span(trace_id)]))
        server.flush()
        assert [trace["trace_id"] for trace in server.found(service="made-up")] == [trace_id.hex()]
        assert server.stop() == 0


def clew(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*clew_command(), *arguments], capture_output=True, text=True, timeout=100, check=False)


def test_show_and_search_speak_to_a_server_and_say_with_their_exit_code_what_they_found(server: Server) -> None:
    service, one = fresh_name("terminal"), span(name="GET /terminal", failed=True)
    server.export(request(service, [one]))
    server.flush()
    at = ["--server", server.http]
    shown = clew("show", one.trace_id.hex(), *at)
    assert shown.returncode == 0, shown.stderr
    assert "GET /terminal" in shown.stdout
    assert service in shown.stdout
    listed = clew("search", f"service={service}", "--json", *at)
    assert listed.returncode == 0, listed.stderr
    assert [json.loads(line)["trace_id"] for line in listed.stdout.splitlines()] == [one.trace_id.hex()]
    assert clew("show", "0" * 31 + "1", *at).returncode == 1
    assert clew("search", "service=nobody-at-all", *at).returncode == 1
    assert clew("show", "not an id", *at).returncode == 2
    assert clew("show", one.trace_id.hex(), "--server", "http://127.0.0.1:1").returncode == 7
    assert clew("doctor", *at).returncode == 0
    assert clew("doctor", "--server", "http://127.0.0.1:1").returncode == 7
    assert clew("version").stdout.strip()
    for refused in (clew("show", "not an id", *at), clew("search", "service=", *at), clew("nothing")):
        assert refused.returncode == 2, refused
        assert refused.stderr.strip()
        assert "Traceback" not in refused.stderr
