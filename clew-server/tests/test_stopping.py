"""The signals that end the server, in processes of their own: while it starts, while it ends, and where something hangs."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

BEGIN = """
import asyncio, os, signal, sys, threading
from clew_server.stopping import told_to_stop

def ready():
    os.write(2, b"ready\\n")

"""
LEFT = "not all had ended 0.2 s after the signal; left as it was\n"


@contextmanager
def running(code: str) -> Iterator[subprocess.Popen[str]]:
    """`code` behind BEGIN, from its word on stderr that it is ready."""
    command = [sys.executable, "-c", BEGIN + code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            assert process.stderr.readline() == "ready\n"
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_an_event_and_more_of_them_change_nothing(number: signal.Signals) -> None:
    # Told again while it ends, after its loop is closed, and while the interpreter goes.
    code = f"""
import atexit
again = lambda: [os.kill(os.getpid(), one) for one in (signal.{number.name}, signal.SIGTERM, signal.SIGINT)]
class Last:
    def __del__(self, again=again):
        again()
atexit.register(again)
async def serve():
    with told_to_stop(60) as stop:
        ready()
        await stop.wait()
        again()
        await asyncio.sleep(0)
    again()
asyncio.run(serve())
again()
last = Last()
print("ended")
"""
    with running(code) as process:
        process.send_signal(number)
        assert process.communicate(timeout=120) == ("ended\n", "")
    assert process.returncode == 0


HANGS = {
    "the loop": "threading.Event().wait()",
    "a thread": "await asyncio.to_thread(threading.Event().wait)",
    "a step of the start": "os.read(os.pipe()[0], 1)",
    "its end": "await stop.wait(); await asyncio.Event().wait()",
    "the interpreter's end": "await stop.wait(); threading.Thread(target=threading.Event().wait).start()",
}


@pytest.mark.parametrize("hangs", HANGS)
def test_what_hangs_is_left_when_the_time_is_over(hangs: str) -> None:
    code = f"""
async def serve():
    with told_to_stop(0.2) as stop:
        ready()
        {HANGS[hangs]}
asyncio.run(serve())
"""
    with running(code) as process:
        process.terminate()
        assert process.communicate(timeout=120) == ("", LEFT)
    assert process.returncode == 0


def test_an_output_that_nobody_reads_holds_up_nothing() -> None:
    code = """
async def serve():
    with told_to_stop(0.2):
        ready()
        while True:
            sys.stderr.write("x" * 1000)
asyncio.run(serve())
"""
    with running(code) as process:
        process.terminate()
        assert process.wait(120) == 0


def test_where_nothing_was_told_to_stop_signals_do_afterwards_what_they_did_before() -> None:
    code = """
async def serve():
    with told_to_stop(60):
        pass
asyncio.run(serve())
ready()
threading.Event().wait()
"""
    with running(code) as process:
        process.terminate()
        assert process.wait(120) == -signal.SIGTERM
