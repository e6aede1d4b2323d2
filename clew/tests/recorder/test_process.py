"""What becomes of spans when the process forks or ends, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from time import monotonic
from typing import Any

import pytest

_BEGIN = """
import os, sys
from clew.recorder.exporter import OtlpHttpExporter
from clew.recorder.provider import TracerProvider
from clew.recorder.resource import default_resource
provider = TracerProvider(default_resource("forking"), exporter=OtlpHttpExporter(sys.argv[1]))
tracer = provider.get_tracer("tests")
"""


def run(code: str, url: str, timeout_s: float = 20) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", _BEGIN + code, url]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)


def test_spans_are_sent_at_exit_without_a_word(collector: Any) -> None:
    done = run("tracer.start_span('last').end()", collector.url)
    assert (done.returncode, done.stderr) == (0, "")
    assert [span.name for span in collector.spans()] == ["last"]


def test_a_forked_child_sends_its_own_spans_and_not_its_parents(collector: Any) -> None:
    done = run(
        """
tracer.start_span("before the fork").end()
root = tracer.start_span("root")
parent_pid = os.getpid()
child = os.fork()
if child == 0:
    tracer.start_span("in the child").end()
    assert provider.force_flush()
    assert provider.stats() == {"recorded": 1, "sent": 1, "dropped": {}}, provider.stats()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
tracer.start_span("in the parent").end()
assert provider.force_flush()
assert provider.stats()["sent"] == 2, provider.stats()
""",
        collector.url,
    )
    assert (done.returncode, done.stderr) == (0, "")
    spans = collector.spans()
    assert sorted(span.name for span in spans) == ["before the fork", "in the child", "in the parent"]
    assert len({span.trace_id for span in spans}) == 3
    pids = set()
    for request in collector.requests():
        for item in request.resource_spans[0].resource.attributes:
            if item.key == "process.pid":
                pids.add(item.value.int_value)
    assert len(pids) == 2


def test_children_of_multiprocessing_send_at_their_end(collector: Any) -> None:
    done = run(
        """
import multiprocessing

def work():
    tracer.start_span("worker").end()

process = multiprocessing.get_context("fork").Process(target=work)
process.start()
process.join()
assert process.exitcode == 0
""",
        collector.url,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [span.name for span in collector.spans()] == ["worker"]


@pytest.mark.parametrize("host", ["127.0.0.1:9", "192.0.2.1:4318"])
def test_a_process_without_a_collector_ends_within_five_seconds(host: str) -> None:
    done = run(
        """
for _ in range(100):
    tracer.start_span("lost").end()
import time
print(time.monotonic())
""",
        f"http://{host}/v1/traces",
    )
    assert done.returncode == 0
    # The monotonic clock is the machine's: from the last statement to the end of the process.
    assert monotonic() - float(done.stdout) < 5


def test_an_unhandled_exception_still_sends_the_span_it_ended(collector: Any) -> None:
    done = run("with tracer.start_as_current_span('failing'): raise SystemExit(3)", collector.url)
    assert done.returncode == 3
    assert [span.name for span in collector.spans()] == ["failing"]
