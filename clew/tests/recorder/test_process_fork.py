"""What becomes of spans when a process forks: every span once, under the right process, and nobody waits for ever."""

from __future__ import annotations

import signal
import threading
from typing import Any

import pytest


def test_a_child_sends_its_own_spans_and_not_its_parents(life: Any) -> None:
    life.run_well(
        """
tracer.start_span("before the fork").end()
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
"""
    )
    assert life.names() == ["before the fork", "in the child", "in the parent"]
    pids = life.pids()
    assert pids["before the fork"] == pids["in the parent"] != pids["in the child"]
    assert len({span.trace_id for span in life.collector.spans()}) == 3


def test_a_child_that_leaves_by_exit_sends_its_spans_by_itself(life: Any) -> None:
    life.run_well(
        """
child = os.fork()
if child == 0:
    tracer.start_span("in the child").end()
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
tracer.start_span("in the parent").end()
"""
    )
    assert life.names() == ["in the child", "in the parent"]


def test_children_of_children_each_have_ids_and_resources_of_their_own(life: Any) -> None:
    life.run_well(
        """
def generation(left):
    for n in range(10):
        tracer.start_span(f"generation {left}").end()
    if left:
        child = os.fork()
        if child == 0:
            generation(left - 1)
            clew.shutdown()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0

with tracer.start_as_current_span("root"):
    generation(4)
"""
    )
    assert life.names() == sorted(["root"] + [f"generation {n}" for n in range(5) for _ in range(10)])
    pids = life.pids()
    assert [len(of_one) for of_one in pids.values()] == [1] * 6
    assert len(set.union(*pids.values())) == 5
    assert pids["generation 4"] == pids["root"]


def test_a_span_that_is_open_at_the_fork_may_be_ended_by_both(life: Any) -> None:
    life.run_well(
        """
with tracer.start_as_current_span("shared"):
    child = os.fork()
    with tracer.start_as_current_span("inside"):
        pass
if child == 0:
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    )
    spans = life.collector.spans()
    assert sorted(span.name for span in spans) == ["inside", "inside", "shared", "shared"]
    assert len({span.span_id for span in spans if span.name == "inside"}) == 2
    assert len({span.trace_id for span in spans}) == 1


def test_forks_of_a_thread_while_others_record_and_export_lose_and_double_nothing(life: Any) -> None:
    out = life.run_well(
        """
stop = threading.Event()
made = [0] * 3

def record(n):
    while not stop.is_set():
        tracer.start_span(f"parent {n}").end()
        made[n] += 1
        if made[n] % 50 == 0:
            provider.force_flush()

recorders = [threading.Thread(target=record, args=(n,)) for n in range(3)]
for thread in recorders:
    thread.start()
children = 25
failed = []

def fork():
    for n in range(children):
        child = os.fork()
        if child == 0:
            for _ in range(5):
                tracer.start_span("child").end()
            os._exit(0 if provider.force_flush() else 1)
        failed.append(os.waitpid(child, 0)[1])

forker = threading.Thread(target=fork)
forker.start()
forker.join()
stop.set()
for thread in recorders:
    thread.join()
assert not any(failed), failed
assert provider.force_flush()
assert provider.stats() == {"recorded": sum(made), "sent": sum(made), "dropped": {}}, (made, provider.stats())
print(sum(made))
"""
    )
    names = life.names()
    assert names.count("child") == 25 * 5
    assert len(names) == 25 * 5 + int(out)


def test_a_fork_in_the_middle_of_a_flush_leaves_the_flush_to_the_parent(life: Any) -> None:
    life.collector.hold = hold = threading.Event()
    process = life.start(
        """
tracer.start_span("held back").end()
flushed = []
flusher = threading.Thread(target=lambda: flushed.append(provider.force_flush()))
flusher.start()
sys.stdin.readline()  # the request has arrived, and is not answered
child = os.fork()
if child == 0:
    begun = time.monotonic()
    tracer.start_span("in the child").end()
    print("recorded", flush=True)
    assert provider.force_flush()
    assert provider.stats() == {"recorded": 1, "sent": 1, "dropped": {}}, provider.stats()
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
flusher.join()
assert flushed == [True]
assert provider.stats() == {"recorded": 1, "sent": 1, "dropped": {}}, provider.stats()
"""
    )
    assert life.collector.arrived.get(timeout=100) == 200
    process.stdin.write("go on\n")
    process.stdin.flush()
    assert process.stdout.readline() == "recorded\n"
    assert life.collector.arrived.get(timeout=100) == 200
    hold.set()
    _, err = process.communicate(timeout=100)
    assert (process.returncode, err) == (0, "")
    assert life.names() == ["held back", "in the child"]


def test_a_flush_that_wakes_up_in_a_child_does_not_wait_for_an_answer(life: Any) -> None:
    # A signal's handler forks while the main thread is inside force_flush, and the child goes on from there.
    life.collector.hold = hold = threading.Event()
    process = life.start(
        """
import signal
child = None
def fork(*_):
    global child
    child = os.fork()
signal.signal(signal.SIGUSR1, fork)
tracer.start_span("held back").end()
delivered = provider.force_flush()
if child == 0:
    assert not delivered
    tracer.start_span("in the child").end()
    sys.exit(0)
assert delivered
assert os.waitpid(child, 0)[1] == 0
"""
    )
    assert life.collector.arrived.get(timeout=100) == 200
    process.send_signal(signal.SIGUSR1)
    assert life.collector.arrived.get(timeout=100) == 200  # the child's
    hold.set()
    _, err = process.communicate(timeout=100)
    assert (process.returncode, err) == (0, "")
    assert life.names() == ["held back", "in the child"]


def test_a_child_leaves_the_parents_connection_alone(life: Any) -> None:
    life.run_well(
        """
tracer.start_span("first").end()
assert provider.force_flush()
for _ in range(3):
    child = os.fork()
    if child == 0:
        sys.exit(0)
    assert os.waitpid(child, 0)[1] == 0
tracer.start_span("second").end()
""",
        "-X",
        "dev",
    )
    assert life.names() == ["first", "second"]
    assert len(life.collector.connections) == 1


def test_a_child_of_a_provider_that_was_shut_down_records_nothing_and_ends(life: Any) -> None:
    life.run_well(
        """
clew.shutdown()
child = os.fork()
if child == 0:
    tracer.start_span("too late").end()
    assert provider.stats() == {"recorded": 1, "sent": 0, "dropped": {"shutdown": 1}}, provider.stats()
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    )
    assert life.names() == []


def test_programs_that_are_started_do_not_disturb(life: Any) -> None:
    life.run_well(
        """
import subprocess
before = provider.resource
tracer.start_span("before").end()
for _ in range(5):
    subprocess.run(["true"], check=True)
    subprocess.run("true", shell=True, check=True)
pid = os.posix_spawn("/bin/true", ["true"], {})
assert os.waitpid(pid, 0)[1] == 0
subprocess.run(["true"], check=True, preexec_fn=lambda: tracer.start_span("between fork and exec").end())
assert provider.resource is before
tracer.start_span("after").end()
"""
    )
    assert life.names() == ["after", "before"]


def test_attached_processors_see_the_childs_spans_with_the_childs_pid(life: Any) -> None:
    out = life.run_well(
        """
from opentelemetry.sdk.trace import SpanProcessor
class Tell(SpanProcessor):
    def on_end(self, span):
        print(span.name, span.resource.attributes["process.pid"] == os.getpid(), flush=True)
provider.add_span_processor(Tell())
tracer.start_span("parent").end()
child = os.fork()
if child == 0:
    tracer.start_span("child").end()
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    )
    assert out == "parent True\nchild True\n"


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_the_exporters_thread_imports_nothing(life: Any, compression: str) -> None:
    # A fork in the midst of an import leaves half a module to the child: "unknown encoding: idna", for ever.
    life.run_well(
        """
before = set(sys.modules)
tracer.start_span("first").end()
assert provider.force_flush()
assert set(sys.modules) == before, set(sys.modules) - before
""",
        environment={"OTEL_EXPORTER_OTLP_COMPRESSION": compression},
    )
