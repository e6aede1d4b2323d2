"""Many threads, and what they do while the interpreter ends."""

from __future__ import annotations

from typing import Any


def test_two_hundred_threads_send_what_they_record(life: Any) -> None:
    life.run_well(
        """
sys.setswitchinterval(1e-5)
start = threading.Barrier(200)
wrong = []

def work(n):
    start.wait()
    for m in range(250):
        with tracer.start_as_current_span("outer") as outer:
            inner = tracer.start_span("inner")
            if inner.parent.span_id != outer.context.span_id:
                wrong.append(n)
            inner.end()

threads = [threading.Thread(target=work, args=(n,)) for n in range(200)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert not wrong
assert provider.force_flush()
assert provider.stats() == {"recorded": 100_000, "sent": 100_000, "dropped": {}}, provider.stats()
""",
        environment={"OTEL_BSP_MAX_QUEUE_SIZE": "200000"},
    )
    assert len(life.names()) == 100_000


def test_threads_that_overrun_the_buffer_lose_by_count(life: Any) -> None:
    out = life.run_well(
        """
def work():
    for m in range(500):
        tracer.start_span("a").end()
threads = [threading.Thread(target=work) for n in range(20)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
provider.force_flush()
stats = provider.stats()
assert stats["recorded"] == 10_000 == stats["sent"] + stats["dropped"].get("buffer_full", 0), stats
print(stats["sent"])
""",
        environment={"OTEL_BSP_MAX_QUEUE_SIZE": "100"},
    )
    assert len(life.names()) == int(out)


def test_daemon_threads_that_record_until_the_end_do_not_disturb_it(life: Any) -> None:
    life.run_well(
        """
started = threading.Barrier(9)
def work():
    tracer.start_span("first").end()
    started.wait()
    while True:
        with tracer.start_as_current_span("more"):
            pass
for n in range(8):
    threading.Thread(target=work, daemon=True).start()
started.wait()
"""
    )
    assert life.names().count("first") == 8


def test_executors_that_are_still_busy_at_the_end_send_their_spans(life: Any) -> None:
    life.run_well(
        """
from concurrent.futures import ThreadPoolExecutor
executor = ThreadPoolExecutor(4)
def work(n):
    with tracer.start_as_current_span("task"):
        time.sleep(0.01)
for n in range(20):
    executor.submit(work, n)
# The main thread ends here; threading waits for the tasks, and only then comes atexit.
"""
    )
    assert life.names() == ["task"] * 20


def test_a_thread_that_cannot_start_leaves_the_sending_to_flush_and_exit(life: Any) -> None:
    done = life.run(
        """
import pathlib, resource
# A thread's stack that does not fit makes the real pthread_create fail, for root as well.
used = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
threading.stack_size(512 << 20)
resource.setrlimit(resource.RLIMIT_AS, (used + (256 << 20), resource.RLIM_INFINITY))
try:
    threading.Thread(target=print).start()
except RuntimeError:
    pass
else:
    raise AssertionError("a thread could start")
tracer.start_span("flushed").end()
assert provider.force_flush()
tracer.start_span("at exit").end()
"""
    )
    assert done.returncode == 0
    assert [line for line in done.stderr.splitlines() if line] == [
        "clew: the exporter cannot start: can't start new thread"
    ]
    assert life.names() == ["at exit", "flushed"]


def test_the_exporter_starts_with_the_next_full_batch_once_threads_are_to_be_had_again(life: Any) -> None:
    done = life.run(
        """
import pathlib, resource
before = resource.getrlimit(resource.RLIMIT_AS)
used = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
threading.stack_size(512 << 20)
resource.setrlimit(resource.RLIMIT_AS, (used + (256 << 20), resource.RLIM_INFINITY))
tracer.start_span("first").end()
resource.setrlimit(resource.RLIMIT_AS, before)
threading.stack_size(0)
for _ in range(5000):
    tracer.start_span("more").end()
    if any(thread.name == "clew-exporter" for thread in threading.enumerate()):
        break
else:
    raise AssertionError("nothing starts it")
"""
    )
    assert (done.returncode, done.stderr) == (0, "clew: the exporter cannot start: can't start new thread\n")
