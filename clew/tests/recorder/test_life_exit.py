"""Spans that are made while the interpreter shuts down: none disturbs it, and nothing is written to stderr."""

from __future__ import annotations

from typing import Any

import pytest


def test_handlers_of_atexit_that_run_before_the_providers_have_their_spans_sent(life: Any) -> None:
    life.run_well(
        """
import atexit
@atexit.register
def last():
    with tracer.start_as_current_span("at exit"):
        pass
"""
    )
    assert life.names() == ["at exit"]


def test_handlers_of_atexit_that_run_after_the_providers_lose_their_spans_in_silence(life: Any) -> None:
    out = life.run_well(
        """
import atexit, os, time, threading
@atexit.register
def later():
    begun = time.monotonic()
    for _ in range(100):
        with trace.get_tracer("late").start_as_current_span("too late"):
            pass
    assert not provider.force_flush(600_000)
    clew.shutdown()
    assert time.monotonic() - begun < 100
    print(provider.stats())
import clew
from opentelemetry import trace
provider = clew.configure("life", endpoint=os.environ["COLLECTOR"])
trace.get_tracer("tests").start_span("in time").end()
""",
        begin="",
    )
    assert out == "{'recorded': 101, 'sent': 1, 'dropped': {'shutdown': 100}}\n"
    assert life.names() == ["in time"]


@pytest.mark.parametrize("configured", [True, False])
def test_spans_of_finalizers_at_the_interpreters_end_disturb_nothing(life: Any, configured: bool) -> None:
    life.run_well(
        f"""
import clew
from opentelemetry import trace
import os
configured = {configured}
"""
        """
if configured:
    clew.configure("life", endpoint=os.environ["COLLECTOR"])
tracer = trace.get_tracer("tests")
class Late:
    def __init__(self):
        self.tracer, self.me, self.open = tracer, self, tracer.start_span("open")
    def __del__(self):
        with self.tracer.start_as_current_span("late", attributes={"a": [1, 2]}) as span:
            span.add_event("event")
        self.open.end()
in_a_cycle = Late()
alone = Late()
alone.me = None
import builtins
builtins.kept = alone
""",
        begin="",
    )


def test_daemon_threads_that_flush_and_record_do_not_disturb_the_end(life: Any) -> None:
    life.run_well(
        """
started = threading.Barrier(7)
def work():
    started.wait()
    while True:
        with tracer.start_as_current_span("more"):
            tracer.start_span("inner").end()
        provider.force_flush(50)
        provider.get_tracer(str(time.monotonic()))
for n in range(6):
    threading.Thread(target=work, daemon=True).start()
started.wait()
time.sleep(0.1)
""",
    )
    assert life.names()


def test_a_child_that_ends_by_os_exit_does_not_wait_and_loses_what_was_not_sent(life: Any) -> None:
    life.run_well(
        """
child = os.fork()
if child == 0:
    tracer.start_span("lost").end()
    os._exit(7)
begun = time.monotonic()
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert time.monotonic() - begun < 50  # an exit that sends has 100 s
tracer.start_span("kept").end()
"""
    )
    assert life.names() == ["kept"]
