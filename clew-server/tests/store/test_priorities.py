"""What is stored and merged gives way to questions, by the nice values of the engine's own threads."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

from clew_server.store.contract import StoreFailed
from clew_server.store.priorities import STEP

from .conftest import StoreUnderTest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a nice value for each thread")
TASKS = Path("/proc/self/task")


def merging_threads() -> set[str]:
    return {task.name for task in TASKS.iterdir() if (task / "comm").read_text().strip() == "MergeMutate"}


def nice_values() -> dict[str, int]:
    """Thread → its nice value, without those that ended meanwhile."""
    found: dict[str, int] = {}
    for task in TASKS.iterdir():
        try:
            found[task.name] = os.getpriority(os.PRIO_PROCESS, int(task.name))
        except OSError:
            continue
    return found


def may_take_it_back() -> bool:
    """Whether a thread of this process that made itself nicer may be as it was again (CAP_SYS_NICE)."""
    answers: list[bool] = []

    def ask() -> None:
        before = os.getpriority(os.PRIO_PROCESS, 0)
        os.setpriority(os.PRIO_PROCESS, 0, before + 1)
        try:
            os.setpriority(os.PRIO_PROCESS, 0, before)
        except PermissionError:
            answers.append(False)
        else:
            answers.append(True)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    return answers[0]


def test_the_threads_that_merge_are_nicer_than_all_others_once_a_store_is_open(opened: StoreUnderTest) -> None:
    ours = os.getpriority(os.PRIO_PROCESS, 0)
    values = nice_values()
    merging = merging_threads()
    assert merging, "the engine calls its threads something else now: see priorities.py"
    assert {values[thread] for thread in merging} == {min(19, ours + STEP)}


def test_an_insert_is_nicer_where_that_can_be_taken_back_and_no_thread_stays_so(opened: StoreUnderTest) -> None:
    merging = merging_threads()
    ours = os.getpriority(os.PRIO_PROCESS, 0)

    def nicer() -> set[str]:
        return {thread for thread, value in nice_values().items() if value > ours} - merging

    before = nicer()
    for _ in range(50):
        seen = False
        insert = threading.Thread(target=lambda: opened.put_spans(2_000))
        insert.start()
        while insert.is_alive():
            seen = seen or bool(nicer() - before)
        if seen or not may_take_it_back():
            break
    assert seen == may_take_it_back()
    bad = opened.segment([b"\xff\xff\xff"])
    with pytest.raises(StoreFailed):
        opened.store.writer.write(bad, "search")
    assert nicer() <= before
