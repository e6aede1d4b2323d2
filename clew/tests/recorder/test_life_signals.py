"""Signal handlers that record spans themselves, whatever the recorder was about when the signal came."""

from __future__ import annotations

import signal
from typing import Any

import pytest


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
def test_a_handler_that_records_and_exits_loses_nothing(life: Any, number: str) -> None:
    process = life.start(
        f"""
import signal
def leave(*_):
    with tracer.start_as_current_span("handler"):
        tracer.start_span("inside the handler").end()
        sys.exit(0)
signal.signal(signal.{number}, leave)
with tracer.start_as_current_span("interrupted"):
    print("ready", flush=True)
    while True:
        time.sleep(0.05)
"""
    )
    process.stdout.readline()
    process.send_signal(getattr(signal, number))
    _, err = process.communicate(timeout=100)
    assert (process.returncode, err) == (0, "")
    assert life.names() == ["handler", "inside the handler", "interrupted"]
    parents = {span.name: span.parent_span_id for span in life.collector.spans()}
    ids = {span.name: span.span_id for span in life.collector.spans()}
    assert parents["handler"] == ids["interrupted"]


def test_a_handler_that_records_in_the_midst_of_recording_loses_and_doubles_nothing(life: Any) -> None:
    out = life.run_well(
        """
import signal
made = handled = 0
def record(*_):
    global handled
    with tracer.start_as_current_span("handler", attributes={"a": "b"}) as span:
        span.add_event("tick")
    handled += 1
    if handled % 50 == 0:
        provider.stats()
        assert provider.get_tracer(f"tracer {handled % 200}")
signal.signal(signal.SIGALRM, record)
signal.setitimer(signal.ITIMER_REAL, 0.0002, 0.0002)
end = time.monotonic() + 1.5
while handled <= 100 or (time.monotonic() < end and made < 60_000):
    with tracer.start_as_current_span("main", attributes={"n": made}) as span:
        span.set_attribute("text", "x" * 50)
        span.add_event("event")
    made += 1
    if made % 500 == 0:
        assert provider.force_flush()
signal.setitimer(signal.ITIMER_REAL, 0)
provider.force_flush()
stats = provider.stats()
assert stats["recorded"] == made + handled == stats["sent"] + sum(stats["dropped"].values()), (made, handled, stats)
print(stats["sent"])
"""
    )
    assert len(life.names()) == int(out)


def test_a_handler_that_flushes_and_shuts_down_while_the_main_thread_flushes_waits_for_nobody(life: Any) -> None:
    life.run_well(
        """
import signal
def leave(*_):
    tracer.start_span("handler").end()
    begun = time.monotonic()
    provider.force_flush(2_000)
    clew.shutdown()
    assert time.monotonic() - begun < 50
    os._exit(0)
signal.signal(signal.SIGALRM, leave)
signal.setitimer(signal.ITIMER_REAL, 0.2)
while True:
    tracer.start_span("main").end()
    provider.force_flush()
"""
    )
    assert life.names().count("handler") == 1


def test_interrupts_raised_anywhere_in_the_recorder_leave_it_working(life: Any) -> None:
    # As Celery's soft time limits and Ctrl-C do: the handler raises, in the midst of whatever is under way.
    done = life.run(
        """
import signal
class Interrupt(BaseException):
    pass
def interrupt(*_):
    raise Interrupt
signal.signal(signal.SIGALRM, interrupt)
interrupts = 0
end = time.monotonic() + 1
while interrupts <= 50 or time.monotonic() < end:
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0001 + (interrupts % 97) * 0.00001)
        for n in range(100_000):
            with tracer.start_as_current_span("main", attributes={"n": n}):
                pass
            if n % 64 == 0:
                provider.force_flush()
    except Interrupt:
        interrupts += 1
signal.setitimer(signal.ITIMER_REAL, 0)
tracer.start_span("after").end()
assert provider.force_flush()
stats = provider.stats()
# The pure recorder may be interrupted between counting a span and holding it.
assert 0 <= stats["recorded"] - stats["sent"] - sum(stats["dropped"].values()) <= interrupts, (interrupts, stats)
"""
    )
    # Python itself tells of one that was raised in a weak reference's callback, and that nobody can catch.
    assert done.returncode == 0, done.stderr
    assert life.names().count("after") == 1


@pytest.mark.parametrize("how", ["signal.raise_signal(number)", "os.kill(os.getpid(), number)", "os.killpg(0, number)"])
def test_a_process_that_ends_itself_by_a_signals_default_action_sends_what_is_left(life: Any, how: str) -> None:
    done = life.run(
        f"""
import signal
number = signal.SIGTERM
def later(*_):
    tracer.start_span("in the handler").end()
signal.signal(number, later)
signal.raise_signal(number)  # it has a handler: this is no end
signal.signal(number, signal.SIG_DFL)
os.kill(os.getpid(), 0)
signal.raise_signal(signal.SIGCHLD)
tracer.start_span("last").end()
{how}
""",
        start_new_session=True,
    )
    assert (done.returncode, done.stderr) == (-signal.SIGTERM, "")
    assert life.names() == ["in the handler", "last"]


def test_functions_that_send_signals_refuse_what_they_refused_before(life: Any) -> None:
    life.run_well(
        """
import signal
for call in (lambda: signal.raise_signal(), lambda: os.kill("x", 1), lambda: os.kill(os.getpid(), 4711)):
    try:
        call()
    except (TypeError, OSError, ValueError) as error:
        assert "clew" not in str(error)
    else:
        raise AssertionError
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
tracer.start_span("last").end()
"""
    )
    assert life.names() == ["last"]
