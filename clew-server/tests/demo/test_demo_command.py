"""`clew demo` with everything real: what it prints is stored, what it started is gone afterwards."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from clew_server.cli._client import reached_from_here
from clew_server.cli.demo import SERVER_PORTS, SERVICE_PORTS

FREE_PORTS = [f"--{name}=0" for name in SERVICE_PORTS | SERVER_PORTS]
TRACE_LINE = re.compile(r"trace (http://\S+)/trace/([0-9a-f]{32})  (\w+): (.+)\n")


@pytest.fixture(autouse=True)
def _temporary_folder_of_the_test(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A demo that is killed leaves its folder behind; it does so here."""
    monkeypatch.setenv("TMPDIR", str(tmp_path_factory.mktemp("tmp")))


@contextmanager
def demo(*options: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", "import sys; from clew.cli import main; sys.exit(main())", "demo", *options]
    # Everything is on this machine: a proxy of the reader's leads to none of it.
    environ = os.environ | {"http_proxy": "http://127.0.0.1:9", "no_proxy": ""}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environ) as process:
        try:
            yield process
        finally:
            process.kill()


def read_traces(process: subprocess.Popen[str]) -> dict[str, re.Match[str]]:
    """The two trace lines, by their word on why."""
    assert process.stdout is not None
    found: dict[str, re.Match[str]] = {}
    for line in process.stdout:
        if match := TRACE_LINE.fullmatch(line):
            found[match[3]] = match
        if len(found) == 2:
            return found
    pytest.fail("clew demo ended before it printed two traces")


def children(process: subprocess.Popen[str]) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in ("Z", "X")  # it has ended; where process 1 does not ask for it, it stays so for ever


def wait_until_gone(pids: list[int]) -> None:
    deadline_s = time.monotonic() + 100
    while alive := [pid for pid in pids if is_running(pid)]:
        assert time.monotonic() < deadline_s, f"still running: {alive}"
        time.sleep(0.05)


def test_it_prints_a_failed_and_a_slow_trace_that_are_stored_and_stops_on_ctrl_c(tmp_path: Path) -> None:
    with demo("--no-open", f"--data-dir={tmp_path / 'data'}", *FREE_PORTS) as process:
        found = read_traces(process)
        assert "no such table: messages_ap" in found["failed"][4]
        assert found["slow"][4].startswith("205 equal calls in a row, usually 3: SELECT signatures under message")
        for server, trace_id in (match.group(1, 2) for match in found.values()):
            answer = httpx.get(f"{server}/api/v1/traces/{trace_id}", trust_env=False)
            assert answer.status_code == 200
        server, trace_id = found["slow"].group(1, 2)
        slow = httpx.get(f"{server}/api/v1/traces/{trace_id}/explain", trust_env=False).json()
        assert slow["verdict"] == "slow", slow["summary"]
        assert "205 equal calls in a row, usually 3" in slow["summary"]
        server, trace_id = found["failed"].group(1, 2)
        failed = httpx.get(f"{server}/api/v1/traces/{trace_id}/explain", trust_env=False).json()
        assert failed["verdict"] == "failed"
        assert "sqlite3.OperationalError: no such table: messages_ap" in failed["summary"]
        pids = children(process)
        assert len(pids) == 4
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=120)
        assert (process.returncode, rest) == (0, "stopped\n")
        wait_until_gone(pids)
    assert (tmp_path / "data" / "VERSION").exists()


def test_it_ends_by_itself_after_its_duration() -> None:
    with demo("--no-open", "--duration=4", "--seed=3", *FREE_PORTS) as process:
        read_traces(process)
        rest, _ = process.communicate(timeout=120)
        assert (process.returncode, rest) == (0, "")


def test_its_children_do_not_outlive_it() -> None:
    with demo("--no-open", *FREE_PORTS) as process:
        assert process.stdout is not None
        # Said when the server and both services answer; then the load is started.
        assert any(line.startswith("clew on http://") for line in process.stdout)
        while len(pids := children(process)) < 4:
            assert process.poll() is None
            time.sleep(0.05)
        process.kill()
        process.wait()
        wait_until_gone(pids)


def test_a_usual_port_that_is_taken_gives_way_to_a_free_one() -> None:
    taken = next(port for port in SERVICE_PORTS.values())
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", taken))
            listener.listen()
        except OSError:
            pass  # somebody else has it: as good
        options = [option for option in FREE_PORTS if not option.startswith("--user-port")]
        with demo("--no-open", *options) as process:
            assert process.stdout is not None
            said = [next(process.stdout) for _ in range(3)]
            assert re.fullmatch(rf"port {taken} is taken: --user-port is \d+\n", said[0])


def test_a_chosen_port_that_is_taken_is_exit_code_3() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with demo("--no-open", *FREE_PORTS, f"--http-port={port}") as process:
            said, _ = process.communicate(timeout=120)
    assert process.returncode == 3
    assert said == f"clew demo: --http-port {port}: that port is taken; another one, or 0 for any free one, will do\n"


@pytest.mark.parametrize(
    ("options", "code", "sentence"),
    [
        (["--server=http://127.0.0.1:9"], 7, "no clew answers at http://127.0.0.1:9"),
        (["--server=nowhere"], 2, "'nowhere': wants an address such as"),
        (["--server=http://127.0.0.1:9", "--data-dir=/tmp/x"], 2, "--data-dir is for a server that the demo starts"),
        (["--server=http://127.0.0.1:9", "--http-port=0"], 2, "--http-port is for a server that the demo starts"),
        (["--token-file=FILE"], 2, "--token-file goes with --server URL"),
    ],
)
def test_a_server_that_cannot_be_used_is_said_before_anything_starts(
    options: list[str], code: int, sentence: str
) -> None:
    with demo("--no-open", *options) as process:
        said, _ = process.communicate(timeout=120)
    assert process.returncode == code
    assert sentence in said
    assert "starting" not in said


@pytest.mark.parametrize(
    ("address", "server", "url"),
    [
        ("http://127.0.0.1:4318", "http://127.0.0.1:16686", "http://127.0.0.1:4318"),
        ("http://0.0.0.0:4318", "http://box.example:16686", "http://box.example:4318"),
        ("http://127.0.0.1:4318", "https://box.example/clew", "http://box.example:4318"),
        ("http://10.0.0.7:4318", "http://box.example:16686", "http://10.0.0.7:4318"),
        ("[::]:4318", "http://[::1]:16686", "http://[::1]:4318"),
    ],
)
def test_the_receiver_of_another_machine_is_reached_at_that_machine(address: str, server: str, url: str) -> None:
    assert reached_from_here(address, server) == url


def test_a_server_that_cannot_start_is_named_with_its_own_exit_code(tmp_path: Path) -> None:
    (tmp_path / "VERSION").write_text("999\n")
    with demo("--no-open", f"--data-dir={tmp_path}", *FREE_PORTS) as process:
        said, _ = process.communicate(timeout=120)
    assert process.returncode == 5
    assert "clew demo: server ended with exit code 5:\n" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("option", ["--duration=0", "--duration=soon", "--user-port=70000", "--http-port=x"])
def test_a_value_that_cannot_be_meant_is_exit_code_2(option: str) -> None:
    with demo(option) as process:
        said, _ = process.communicate(timeout=120)
    assert process.returncode == 2
    assert option.split("=")[0] in said


def test_the_demo_has_the_ports_of_a_server_that_are_open_by_default() -> None:
    assert set(SERVER_PORTS) == {"otlp-grpc-port", "otlp-http-port", "http-port"}
