"""What is stored and merged gives way to questions, by the nice values of the engine's own threads."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from clew_server.store.contract import StoreFailed
from clew_server.store.priorities import STEP, Priorities, may_take_back

from .conftest import StoreUnderTest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a nice value for each thread")
TASKS = Path("/proc/self/task")
MERGING = "MergeMutate"
may_be_nicer = pytest.mark.skipif(not may_take_back(), reason="without CAP_SYS_NICE nothing is done")


def threads() -> dict[str, tuple[str, int]]:
    """Thread → its name and nice value, without those that end while they are looked at, as the engine's may at any time."""
    found: dict[str, tuple[str, int]] = {}
    for task in TASKS.iterdir():
        with contextlib.suppress(OSError):
            found[task.name] = (
                (task / "comm").read_text(errors="replace").strip(),
                os.getpriority(os.PRIO_PROCESS, int(task.name)),
            )
    return found


def nicer() -> set[str]:
    """Threads that are nicer than this one, those that merge aside."""
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    return {thread for thread, (name, value) in threads().items() if value > ours and name != MERGING}


@pytest.fixture
def started_by_a_nice_one() -> Iterator[str]:
    """A thread that is as nice as a merge, since one started it."""
    ready, may_end, ids = threading.Event(), threading.Event(), list[str]()

    def run() -> None:
        os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0) + STEP)
        ids.append(str(threading.get_native_id()))
        ready.set()
        may_end.wait(100)

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(100)
    yield ids[0]
    may_end.set()
    thread.join()


@may_be_nicer
def test_the_threads_that_merge_are_nicer_than_all_others_once_a_store_is_open(opened: StoreUnderTest) -> None:
    values = {value for name, value in threads().values() if name == MERGING}
    assert values, "the engine calls its threads something else now: see priorities.py"
    assert values == {min(19, os.getpriority(os.PRIO_PROCESS, 0) + STEP)}


@may_be_nicer
def test_an_insert_is_nicer_while_it_lasts(opened: StoreUnderTest) -> None:
    seen = set[str]()
    for _ in range(50):
        insert = threading.Thread(target=lambda: opened.put_spans(2_000))
        insert.start()
        while insert.is_alive():
            seen |= nicer()
            time.sleep(0.001)  # so that on one processor the insert goes on
        if seen:
            break
    assert seen
    assert not nicer() & seen


@may_be_nicer
def test_after_an_insert_threads_it_started_are_put_right(opened: StoreUnderTest, started_by_a_nice_one: str) -> None:
    assert started_by_a_nice_one in nicer()
    opened.put_spans(1)
    assert started_by_a_nice_one not in nicer()
    assert os.getpriority(os.PRIO_PROCESS, 0) not in {value for name, value in threads().values() if name == MERGING}


@may_be_nicer
def test_after_an_insert_that_fails_threads_it_started_are_put_right(
    opened: StoreUnderTest, started_by_a_nice_one: str
) -> None:
    assert started_by_a_nice_one in nicer()
    with pytest.raises(StoreFailed):
        opened.store.writer.write(opened.segment([b"\xff\xff\xff"]), "search")
    assert started_by_a_nice_one not in nicer()
    assert os.getpriority(os.PRIO_PROCESS, 0) not in {value for name, value in threads().values() if name == MERGING}


@may_be_nicer
def test_while_another_insert_lasts_no_thread_is_touched(started_by_a_nice_one: str) -> None:
    priorities = Priorities(allowed=True)
    with priorities.inserting():
        with priorities.inserting():
            pass
        assert started_by_a_nice_one in nicer()
    assert started_by_a_nice_one not in nicer()


def test_without_the_capability_nothing_is_done(opened: StoreUnderTest, started_by_a_nice_one: str) -> None:
    before = threads()
    priorities = Priorities(allowed=False)
    assert priorities.nicer == os.getpriority(os.PRIO_PROCESS, 0)
    priorities.let_merges_give_way()
    with priorities.inserting():
        pass
    after = threads()
    lasting = before.keys() & after.keys()
    assert started_by_a_nice_one in lasting
    assert {thread: after[thread][1] for thread in lasting} == {thread: before[thread][1] for thread in lasting}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("Name:\tclew\nCapEff:\t0000000000800000\n", True),
        ("Name:\tclew\nCapEff:\t00000000a80425fb\n", False),  # what Docker leaves to root
        ("Name:\tclew\n", False),
    ],
)
def test_the_capability_is_read_from_what_the_system_says(tmp_path: Path, status: str, expected: bool) -> None:
    (tmp_path / "status").write_text(status)
    assert may_take_back(tmp_path / "status") is expected
    assert may_take_back(tmp_path / "absent") is False
