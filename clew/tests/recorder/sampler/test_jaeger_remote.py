"""Jaeger remote sampling against a real HTTP server."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from opentelemetry import context as context_api
from opentelemetry.context import _SUPPRESS_HTTP_INSTRUMENTATION_KEY, _SUPPRESS_INSTRUMENTATION_KEY, Context

from clew.recorder.sampler import AlwaysOff, AlwaysOn, JaegerRemote, ParentBased, RateLimited, TraceIdRatio
from clew.recorder.sampler.jaeger_remote import PerOperation, strategy_from_answer

KEEP_ALL = 2**56 - 1
KEEP_NONE = 1 << 120


class Server:
    """Answers `/sampling` with what the test says, and notes who asked for what."""

    def __init__(self) -> None:
        self.answer: Any = {"strategyType": "PROBABILISTIC", "probabilisticSampling": {"samplingRate": 1.0}}
        self.status = 200
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.changed = threading.Condition()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = outer.answer if isinstance(outer.answer, bytes) else json.dumps(outer.answer).encode()
                self.send_response(outer.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                with outer.changed:
                    outer.asked.append(self.path)
                    outer.headers.append({key.lower(): value for key, value in self.headers.items()})
                    outer.changed.notify_all()

            def log_message(self, *arguments: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def wait_for(self, requests: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.asked) >= requests, timeout=100)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


def is_sampled(sampler: Any, trace_id: int = KEEP_NONE, name: str = "op") -> bool:
    result: bool = sampler.should_sample(Context(), trace_id, name).decision.is_sampled()
    return result


def wait_until(condition: Any) -> None:
    tick = threading.Event()
    for _ in range(10_000):
        if condition():
            return
        tick.wait(0.01)
    raise AssertionError("waited for nothing")


def test_the_initial_sampler_decides_until_the_first_answer_and_then_the_server(server: Server) -> None:
    sampler = JaegerRemote("a service/ü", server.url, polling_interval_s=0.05, initial_sampler=AlwaysOff())
    assert not is_sampled(sampler)
    wait_until(lambda: is_sampled(sampler))
    path = urlsplit(server.asked[0])
    assert path.path == "/sampling"
    assert parse_qs(path.query) == {"service": ["a service/ü"]}
    server.answer = {"strategyType": "PROBABILISTIC", "probabilisticSampling": {"samplingRate": 0}}
    wait_until(lambda: not is_sampled(sampler))
    sampler.close()


def test_nothing_is_asked_before_the_first_decision_and_nothing_after_the_end(server: Server) -> None:
    sampler = JaegerRemote("s", server.url, polling_interval_s=0.01)
    assert sampler._thread is None
    is_sampled(sampler)
    server.wait_for(2)
    sampler.close()
    thread = sampler._thread
    assert thread is not None
    thread.join(100)
    assert not thread.is_alive()
    asked = len(server.asked)
    is_sampled(sampler)
    assert sampler._thread is thread
    assert len(server.asked) == asked


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (500, {}),
        (200, b"no json"),
        (200, b"[]"),
        (200, {"strategyType": "SOMETIMES"}),
        (200, {"strategyType": "PROBABILISTIC"}),
        (200, {"strategyType": "PROBABILISTIC", "probabilisticSampling": {"samplingRate": 7}}),
        (200, {"strategyType": "PROBABILISTIC", "probabilisticSampling": {"samplingRate": "1"}}),
        (200, {"strategyType": "RATE_LIMITING", "rateLimitingSampling": {"maxTracesPerSecond": -1}}),
        (200, {"operationSampling": {"perOperationStrategies": [{"operation": 7}]}}),
        (200, {"operationSampling": {"defaultLowerBoundTracesPerSecond": -1}}),
        (200, b"x" * (4 * 1024 * 1024 + 1)),
    ],
)
def test_the_last_good_strategy_stays_and_a_failure_is_said_once(
    server: Server, status: int, answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    sampler = JaegerRemote("s", server.url, initial_sampler=AlwaysOff())
    sampler.refresh()
    assert is_sampled(sampler)
    good = (server.status, server.answer)
    server.status, server.answer = status, answer
    with caplog.at_level(logging.INFO, "clew"):
        sampler.refresh()
        sampler.refresh()
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert is_sampled(sampler)
        server.status, server.answer = good
        sampler.refresh()
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    sampler.close()


def test_a_server_that_is_not_there_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    sampler = JaegerRemote("s", "http://127.0.0.1:9", initial_sampler=AlwaysOn())
    sampler.refresh()
    assert is_sampled(sampler)
    assert "127.0.0.1:9/sampling?service=s" in caplog.text
    sampler.close()


def test_the_samplers_own_requests_are_no_part_of_a_trace(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = JaegerRemote("s", server.url, polling_interval_s=0.01)
    contexts: list[Any] = []
    ask = sampler._ask

    def noting() -> Any:
        contexts.append(context_api.get_value(_SUPPRESS_INSTRUMENTATION_KEY))
        contexts.append(context_api.get_value(_SUPPRESS_HTTP_INSTRUMENTATION_KEY))
        return ask()

    monkeypatch.setattr(sampler, "_ask", noting)
    is_sampled(sampler)
    server.wait_for(1)
    sampler.close()
    assert contexts[:2] == [True, True]
    assert "traceparent" not in server.headers[0]


def test_this_machine_is_not_asked_through_a_proxy(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    sampler = JaegerRemote("s", server.url, initial_sampler=AlwaysOff())
    sampler.refresh()
    assert is_sampled(sampler)
    sampler.close()


def test_threads_that_decide_first_at_once_start_one_thread(server: Server) -> None:
    sampler = JaegerRemote("s", server.url, polling_interval_s=600)
    barrier = threading.Barrier(8)
    before = set(threading.enumerate())  # threads of other tests' samplers may still be ending

    def decide() -> None:
        barrier.wait()
        is_sampled(sampler)

    threads = [threading.Thread(target=decide) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    new = set(threading.enumerate()) - before  # the server's, too, which answer
    assert sum(one.name == "clew-sampler" for one in new) == 1
    sampler.close()


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("http://a:5778", "http://a:5778/sampling?service=s"),
        ("http://a:5778/", "http://a:5778/sampling?service=s"),
        ("https://a/api/sampling?x=1", "https://a/api/sampling?x=1&service=s"),
    ],
)
def test_the_path_is_sampling_unless_there_is_one(endpoint: str, url: str) -> None:
    assert JaegerRemote("s", endpoint).url == url


@pytest.mark.parametrize(
    "arguments",
    [
        {"endpoint": "localhost:5778"},
        {"endpoint": "file:///etc/passwd"},
        {"polling_interval_s": 0},
        {"initial_sampling_rate": 2},
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        JaegerRemote("s", **arguments)


def test_strategies_become_samplers() -> None:
    ratio = strategy_from_answer({"strategyType": "PROBABILISTIC", "probabilisticSampling": {"samplingRate": 0.5}})
    assert isinstance(ratio, TraceIdRatio)
    assert ratio.threshold_text == "8"
    # Protobuf's JSON leaves out what is zero, the strategy's type too.
    assert strategy_from_answer({"probabilisticSampling": {}}).should_sample(None, 1, "op").decision.name == "DROP"
    for kind in ("RATE_LIMITING", 1):
        rate = strategy_from_answer({"strategyType": kind, "rateLimitingSampling": {"maxTracesPerSecond": 42}})
        assert isinstance(rate, RateLimited)
        assert rate.traces_per_s == 42
    none = strategy_from_answer({"strategyType": "RATE_LIMITING", "rateLimitingSampling": {"maxTracesPerSecond": 0}})
    assert not is_sampled(none, KEEP_ALL)


OPERATIONS = {
    "strategyType": "PROBABILISTIC",
    "probabilisticSampling": {"samplingRate": 1.0},
    "operationSampling": {
        "defaultSamplingProbability": 0.5,
        "defaultLowerBoundTracesPerSecond": 0.0001,
        "perOperationStrategies": [{"operation": "often", "probabilisticSampling": {"samplingRate": 0.001}}],
    },
}


def test_operations_have_their_own_probability_and_a_lower_bound() -> None:
    sampler = strategy_from_answer(OPERATIONS)
    assert isinstance(sampler, PerOperation)
    for name in ("often", "other"):
        bound = sampler.should_sample(Context(), KEEP_NONE, name)
        assert bound.decision.is_sampled()
        assert bound.trace_state is None, "by the lower bound: of a probability nobody knows"
        assert not is_sampled(sampler, KEEP_NONE, name)
        assert is_sampled(sampler, KEEP_ALL, name)
    assert sampler.should_sample(Context(), 2**55, "other").trace_state == {"ot": "th:8"}
    assert not is_sampled(sampler, 2**55, "often")


def test_a_trace_kept_by_its_ratio_fills_the_lower_bound_too() -> None:
    sampler = strategy_from_answer(OPERATIONS)
    assert is_sampled(sampler, KEEP_ALL)
    assert not is_sampled(sampler, KEEP_NONE)


def test_a_new_probability_does_not_give_the_lower_bound_afresh() -> None:
    first = strategy_from_answer(OPERATIONS)
    assert is_sampled(first)
    operations: dict[str, Any] = {**OPERATIONS["operationSampling"], "defaultSamplingProbability": 0.25}  # type: ignore[dict-item]
    second = strategy_from_answer({"operationSampling": operations}, first)
    assert not is_sampled(second)
    operations["defaultLowerBoundTracesPerSecond"] = 0.0002
    assert is_sampled(strategy_from_answer({"operationSampling": operations}, second))


def test_operations_may_be_null_and_the_lower_bound_nothing() -> None:
    sampler = strategy_from_answer(
        {"operationSampling": {"defaultSamplingProbability": 1, "perOperationStrategies": None}}
    )
    assert is_sampled(sampler)


_FORKING = """
import os, sys, threading
from opentelemetry.context import Context
from clew.recorder.sampler import AlwaysOff, JaegerRemote, ParentBased

sampler = ParentBased(JaegerRemote("s", sys.argv[1], polling_interval_s=0.02, initial_sampler=AlwaysOff()))

def becomes_sampled():
    tick = threading.Event()
    for _ in range(10_000):
        if sampler.should_sample(Context(), 1 << 120, "op").decision.is_sampled():
            return True
        tick.wait(0.01)
    return False

if sys.argv[2] == "after":
    assert becomes_sampled()
    sampler.root._sampler = AlwaysOff()
    sampler.root._answer = None
pid = os.fork()
if pid == 0:
    assert sampler.root._thread is None
    os._exit(0 if becomes_sampled() else 1)
_, status = os.waitpid(pid, 0)
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_forked_child_asks_for_itself(server: Server, when: str) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", _FORKING, server.url, when],
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_process_ends_at_once_while_a_server_hangs() -> None:
    code = """
import socket, threading
from opentelemetry.context import Context
from clew.recorder.sampler import JaegerRemote, ParentBased, jaeger_remote
jaeger_remote._TIMEOUT_S = 600
hanging = socket.create_server(("127.0.0.1", 0))
sampler = JaegerRemote("s", f"http://127.0.0.1:{hanging.getsockname()[1]}", polling_interval_s=0.01)
sampler.should_sample(Context(), 1, "op")
hanging.accept()
sampler.close()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr


def test_parent_based_closes_it() -> None:
    remote = JaegerRemote("s")
    ParentBased(remote).close()
    assert remote._is_closed
