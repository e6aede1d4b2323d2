"""Children of multiprocessing and concurrent.futures: their spans arrive although they leave by os._exit."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

_METHODS = ["fork", "spawn", "forkserver"]


@pytest.fixture
def script(life: Any, tmp_path: Path) -> Any:
    """Runs a program from a file, as spawned children need it: they import it again."""

    def run(code: str, *, configured: str = "everywhere", method: str = "fork") -> str:
        at_import = life.BEGIN if configured == "everywhere" else "import os, sys, time, threading\nimport clew\n"
        folder = tmp_path / str(len(os.listdir(tmp_path)))
        folder.mkdir()
        (folder / "program.py").write_text(at_import + f"METHOD = {method!r}\n" + code)
        # Python makes the forkserver's Unix socket there, and below a long folder its path would be too long.
        environment = {"PYTHONPATH": str(folder), "TMPDIR": "/tmp"}
        return str(life.run_well("import program\nprogram.main()\n", begin="", environment=environment, cwd=folder))

    return run


@pytest.mark.parametrize("method", _METHODS)
def test_a_process_a_pool_and_an_executor_send_every_span(life: Any, script: Any, method: str) -> None:
    script(
        """
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

def work(name):
    with tracer.start_as_current_span(name):
        pass
    return os.getpid()

def main():
    context = multiprocessing.get_context(METHOD)
    tracer.start_span("parent").end()
    process = context.Process(target=work, args=("process",))
    process.start()
    process.join()
    assert process.exitcode == 0
    pool = context.Pool(2, maxtasksperchild=3)
    assert len(set(pool.map(work, ["pool"] * 8, chunksize=1))) >= 2
    pool.close()
    pool.join()
    with ProcessPoolExecutor(2, mp_context=context) as executor:
        list(executor.map(work, ["executor"] * 6))
""",
        method=method,
    )
    assert life.names() == sorted(["parent", "process"] + ["pool"] * 8 + ["executor"] * 6)
    pids = life.pids()
    assert not pids["parent"] & (pids["process"] | pids["pool"] | pids["executor"])
    assert len(pids["pool"]) >= 2


@pytest.mark.parametrize("method", _METHODS)
def test_a_provider_that_is_made_in_the_child_sends_at_the_childs_end(life: Any, script: Any, method: str) -> None:
    script(
        """
import multiprocessing

def begin():
    clew.configure("life", endpoint=os.environ["COLLECTOR"])

def work(_):
    from opentelemetry import trace
    trace.get_tracer("tests").start_span("worker").end()

def main():
    pool = multiprocessing.get_context(METHOD).Pool(1, begin)
    pool.map(work, range(3))
    pool.close()
    pool.join()
""",
        configured="in the child",
        method=method,
    )
    assert life.names() == ["worker"] * 3


def test_threads_that_outlive_the_childs_main_function_send_their_spans_too(life: Any, script: Any) -> None:
    script(
        """
import multiprocessing
from concurrent.futures import ThreadPoolExecutor

executor = ThreadPoolExecutor(2)

def late(gate):
    gate.wait()
    time.sleep(0.05)  # the main function has returned; multiprocessing has run its finalizers
    tracer.start_span("late").end()

def work():
    gate = threading.Event()
    threading.Thread(target=late, args=(gate,)).start()
    executor.submit(late, gate)
    gate.set()

def main():
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join()
    assert process.exitcode == 0
"""
    )
    assert life.names() == ["late", "late"]


def test_a_pool_that_is_terminated_loses_only_what_was_not_flushed(life: Any, script: Any) -> None:
    # `with Pool()` ends by terminate(), which is SIGTERM to the workers.
    script(
        """
import multiprocessing

def work(_):
    tracer.start_span("worker").end()
    return provider.force_flush()

def main():
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert all(pool.map(work, range(6)))
"""
    )
    assert life.names() == ["worker"] * 6


def test_a_childs_child_and_a_daemon_send_their_spans(life: Any, script: Any) -> None:
    script(
        """
import multiprocessing
context = multiprocessing.get_context("fork")

def inner():
    tracer.start_span("inner").end()

def outer():
    process = context.Process(target=inner)
    process.start()
    process.join()
    tracer.start_span("outer").end()

def main():
    for process in (context.Process(target=outer), context.Process(target=inner, daemon=True)):
        process.start()
        process.join()
        assert process.exitcode == 0
"""
    )
    assert life.names() == ["inner", "inner", "outer"]


def test_a_child_that_fails_sends_the_span_that_says_so(life: Any) -> None:
    done = life.run(
        """
import multiprocessing
def work():
    with tracer.start_as_current_span("failing"):
        raise ValueError("no such thing")
process = multiprocessing.get_context("fork").Process(target=work)
process.start()
process.join()
assert process.exitcode == 1
"""
    )
    assert done.returncode == 0
    assert done.stderr.endswith("ValueError: no such thing\n")
    [span] = life.collector.spans()
    assert [event.name for event in span.events] == ["exception"]
