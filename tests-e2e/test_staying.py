"""What the tests of real clients say when a client does not do its part: at once, and with all that it logged."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness import clients
from harness.staying import Staying

LINES = "import sys; print('first'); print('port 7', flush=True); print('from the agent', file=sys.stderr, flush=True)"


def client(program: str, folder: Path) -> Staying:
    return Staying([sys.executable, "-c", program], folder / "log")


def test_a_line_is_found_after_others_and_only_once(tmp_path: Path) -> None:
    one = client(f"{LINES}; print(sys.stdin.readline().upper(), end='', flush=True); sys.stdin.read()", tmp_path)
    try:
        assert one.next(r"port (\d+)")[1] == "7"
        assert one.printed(r"port (\d+)") is None
        one.say("again")
        assert one.next(r"[A-Z]+")[0] == "AGAIN"
        assert one.is_running()
    finally:
        one.end()
    assert not one.is_running()


@pytest.mark.parametrize(
    ("program", "fails", "said"),
    [
        (f"{LINES}; sys.exit(3)", None, "it ended with 3 and did not print"),
        (f"{LINES}; sys.stdin.read()", None, "within 1 s"),
        (f"{LINES}; print('ERROR: refused', flush=True); sys.stdin.read()", "ERROR", "it complained .* ERROR: refused"),
    ],
)
def test_what_is_not_printed_is_said_with_all_that_was_logged(
    tmp_path: Path, program: str, fails: str | None, said: str
) -> None:
    one = client(program, tmp_path)
    try:
        if fails is None and "sys.exit" not in program:
            one.next("port 7")  # so that both lines are logged, however slow the machine is
        with pytest.raises(AssertionError, match=said) as caught:
            one.next("trace", 1 if "within" in said else 60, fails=fails)
        assert "from the agent" in str(caught.value)
        assert "port 7" in str(caught.value)
    finally:
        one.end()


def test_a_client_that_hangs_is_shown_with_what_it_printed() -> None:
    hangs = [sys.executable, "-c", "import time; print('sent one', flush=True); time.sleep(60)"]
    with pytest.raises(AssertionError, match=r"(?s)not ended within 2 s.*sent one"):
        clients.run(hangs, timeout_s=2)
