"""The services of examples/, as processes: their answers, and the traces they leave."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from clew_server.demo import ports

EXAMPLES = Path(__file__).parents[3] / "examples" / "user_message"


@dataclass
class Services:
    """Both services, running; `stop` returns how long the slower one took to end, in seconds, and their exit codes."""

    url: str
    processes: list[subprocess.Popen[bytes]]

    def ask(self, user: str) -> httpx.Response:
        return httpx.get(f"{self.url}/users/{user}/messages", trust_env=False, timeout=100)

    def stop(self) -> tuple[float, list[int]]:
        start_s = time.monotonic()
        for process in self.processes:
            process.terminate()
        codes = [process.wait(100) for process in self.processes]
        return time.monotonic() - start_s, codes


@contextmanager
def running(folder: Path, endpoint: str) -> Iterator[Services]:
    message_port = ports.free_port(set())
    user_port = ports.free_port({message_port})
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    environ |= {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}
    commands = [
        [sys.executable, EXAMPLES / "message.py", f"--port={message_port}", f"--database={folder / 'm.sqlite'}"],
        [sys.executable, EXAMPLES / "user.py", f"--port={user_port}", f"--message=127.0.0.1:{message_port}"],
    ]
    with (folder / "services.log").open("wb") as log:
        processes = [subprocess.Popen(command, env=environ, stdout=log, stderr=log) for command in commands]
    try:
        deadline_s = time.monotonic() + 100
        while not (ports.is_listening(user_port) and ports.is_listening(message_port)):
            assert time.monotonic() < deadline_s
            assert all(process.poll() is None for process in processes), (folder / "services.log").read_text()
            time.sleep(0.02)
        yield Services(f"http://127.0.0.1:{user_port}", processes)
    finally:
        for process in processes:
            process.kill()
            process.wait()


@dataclass
class Run:
    """What one run of the services answered and sent, by user."""

    answers: dict[str, httpx.Response]
    traces: dict[str, list[Any]]
    stopped_s: float
    """How long the end took here."""


@pytest.fixture(scope="module")
def run(otlp_sink: Any, tmp_path_factory: pytest.TempPathFactory) -> Run:
    with running(tmp_path_factory.mktemp("services"), otlp_sink.endpoint) as services:
        answers = {user: services.ask(user) for user in ("alice", "erin", "frank", "nobody")}
        stopped_s, _ = services.stop()
    traces: dict[str, list[Any]] = {}
    for user in answers:
        [root] = [span for span in otlp_sink.spans if span.attributes.get("url.path") == f"/users/{user}/messages"]
        traces[user] = [span for span in otlp_sink.spans if span.trace_id == root.trace_id]
    return Run(answers, traces, stopped_s)


def only(trace: list[Any], service: str, kind: str, name: str = "") -> Any:
    [span] = [span for span in trace if (span.service, span.kind) == (service, kind) and name in (span.name, "")]
    return span


def test_a_request_is_one_trace_through_both_services_down_to_sqlite(run: Run) -> None:
    assert run.answers["alice"].status_code == 200
    trace = run.traces["alice"]
    chain = [
        only(trace, "user", "SERVER"),
        only(trace, "user", "CLIENT"),
        only(trace, "message", "SERVER"),
        only(trace, "message", "CLIENT", "SELECT messages_eu"),
    ]
    assert [span.parent_id for span in chain] == ["", *(span.span_id for span in chain[:3])]
    assert [span.attributes["component"] for span in chain] == ["HTTP", "gRPC", "gRPC", "SQLite"]
    assert chain[0].name == "GET /users/{name}/messages"
    assert {span.status for span in trace} == {"UNSET"}
    assert only(trace, "message", "CLIENT", "SELECT users").parent_id == chain[2].span_id


def test_each_service_says_who_it_is(run: Run) -> None:
    resources = {span.service: span.resource for span in run.traces["alice"]}
    assert {name: resource["ID"] for name, resource in resources.items()} == {"user": 1, "message": 2}
    assert {resource["environment"] for resource in resources.values()} == {"development"}


def test_a_missing_table_fails_every_span_above_it(run: Run) -> None:
    assert run.answers["frank"].status_code == 502
    assert "no such table: messages_ap" in run.answers["frank"].json()["error"]
    trace = run.traces["frank"]
    failed = {(span.service, span.kind, span.attributes["component"]) for span in trace if span.status == "ERROR"}
    assert failed == {
        ("user", "SERVER", "HTTP"),
        ("user", "CLIENT", "gRPC"),
        ("message", "SERVER", "gRPC"),
        ("message", "CLIENT", "SQLite"),
    }
    origin = only(trace, "message", "CLIENT", "SELECT messages_ap")
    assert origin.message == "no such table: messages_ap"
    assert [event["exception.type"] for event in origin.exceptions] == ["sqlite3.OperationalError"]
    assert only(trace, "message", "SERVER").attributes["app.shard"] == "ap"


def test_a_slow_request_asks_for_each_signature_by_itself_where_others_ask_for_three(run: Run) -> None:
    assert len(run.answers["erin"].json()["messages"]) == 205
    trace = run.traces["erin"]
    assert sum(span.name == "SELECT signatures" for span in trace) == 205
    assert sum(span.name == "SELECT signatures" for span in run.traces["alice"]) == 3
    assert only(trace, "message", "SERVER").attributes["app.plan"] == "enterprise"


def test_an_unknown_user_is_no_failure_of_the_service(run: Run) -> None:
    assert run.answers["nobody"].status_code == 404
    assert only(run.traces["nobody"], "user", "SERVER").status == "UNSET"


def test_without_a_server_answers_are_the_same_and_the_exit_takes_at_most_5_s(
    run: Run, tmp_path_factory: pytest.TempPathFactory, best_of: Callable[..., float]
) -> None:
    def ending_s() -> float:
        nobody_there = f"http://127.0.0.1:{ports.free_port(set())}"
        with running(tmp_path_factory.mktemp("alone"), nobody_there) as services:
            answers = {user: services.ask(user) for user in run.answers}
            took_s, codes = services.stop()
        for user, answer in answers.items():
            assert (answer.status_code, answer.content) == (run.answers[user].status_code, run.answers[user].content)
        assert codes[0] == 0
        return took_s - 5 * run.stopped_s

    best_of(6, ending_s)  # 5 s, and more for two interpreters to end on a busy machine
