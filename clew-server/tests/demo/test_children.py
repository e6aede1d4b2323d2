"""Children of the demo: signals that raise while they are looked at, children that do not end when they are told to."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

from clew_server.demo import children as module
from clew_server.demo.children import Children
from clew_server.demo.interrupts import interrupt

SLEEPER = "import signal\ndef main():\n    print('ready', flush=True)\n    signal.pause()\n"
STUBBORN = SLEEPER.replace("    print", "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    print")


@pytest.fixture
def children(tmp_path: Path) -> Children:
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    return Children(tmp_path, os.environ | {"PYTHONPATH": str(tmp_path)})


@pytest.fixture
def _alarm_raises() -> Iterator[None]:
    """SIGALRM interrupts as Ctrl+C does: a timer sends it, so that it comes anywhere."""
    # Another thread may take it, which then has the handler called in this one.
    ended = threading.Event()
    other = threading.Thread(target=ended.wait)
    other.start()

    def stop(_number: int, _frame: FrameType | None) -> None:
        interrupt()

    before = signal.signal(signal.SIGALRM, stop)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
    ended.set()
    other.join()


def wait_until_ready(folder: Path, *names: str) -> None:
    deadline_s = time.monotonic() + 100
    while not all((folder / f"{name}.log").read_bytes() for name in names):
        assert time.monotonic() < deadline_s, f"not ready: {names}"
        time.sleep(0.01)


@pytest.mark.usefixtures("_alarm_raises")
def test_a_signal_that_raises_while_a_child_is_looked_at_hides_no_end_of_it(children: Children, tmp_path: Path) -> None:
    children.start("sleeper", "sleeper")
    wait_until_ready(tmp_path, "sleeper")
    after = random.Random(1)
    for _ in range(2000):
        with pytest.raises(KeyboardInterrupt):  # noqa: PT012
            signal.setitimer(signal.ITIMER_REAL, after.uniform(1e-6, 5e-5))
            while not children.has_ended("sleeper"):
                pass
    os.kill(children._running["sleeper"].pid, signal.SIGKILL)
    deadline_s = time.monotonic() + 100
    while not children.has_ended("sleeper"):
        assert time.monotonic() < deadline_s, "it has ended, and nothing says so"
        time.sleep(0.01)


def test_a_child_that_does_not_end_is_killed_and_named(
    children: Children, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STOP_TIMEOUT_S", 1)
    with children:
        for name in ("server", "stuck", "service"):
            children.start(name, "stubborn" if name == "stuck" else "sleeper")
        wait_until_ready(tmp_path, "server", "stuck", "service")
        stuck = children._running["stuck"]
    assert "stuck" in children.killed
    assert children.names() == ()
    assert stuck.returncode == -signal.SIGKILL


def running_children() -> set[int]:
    """Of this thread, which is the one that starts them; what has ended and is not asked for yet is among them."""
    pid = os.getpid()
    return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


@pytest.mark.usefixtures("_alarm_raises")
def test_a_signal_that_raises_while_a_child_is_started_leaves_none_that_is_not_known(children: Children) -> None:
    others = running_children()
    after = random.Random(1)
    try:
        with children:
            for number in range(30):
                with pytest.raises(KeyboardInterrupt):  # noqa: PT012
                    signal.setitimer(signal.ITIMER_REAL, after.uniform(1e-5, 5e-3))
                    children.start(f"sleeper {number}", "sleeper")
                    while True:  # the signal may come when it has started
                        time.sleep(0.001)
            known = {process.pid for process in children._running.values()}
            assert running_children() - others == known
        assert not children.killed, "they are told to end, and hear it"
    finally:
        for pid in running_children() - others:
            os.kill(pid, signal.SIGKILL)
