"""What the reading commands do where their output cannot be written."""

from __future__ import annotations

import argparse
import os

import pytest

from clew_server.cli._client import FOUND, USAGE, run_reading

ARGUMENTS = argparse.Namespace(server="http://localhost:1", token_file=None)


@pytest.mark.parametrize("lines", [1, 10_000])
def test_a_full_disk_is_said_in_one_sentence(
    lines: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        monkeypatch.setattr("sys.stdout", full)
        assert run_reading("search", lambda *_: [print("a line") for _ in range(lines)] and 0, ARGUMENTS) == USAGE
    assert capsys.readouterr().err == "clew search: the output cannot be written: No space left on device\n"


@pytest.mark.parametrize("lines", [1, 10_000])
def test_a_closed_pipe_is_no_failure(
    lines: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as out:
        monkeypatch.setattr("sys.stdout", out)
        assert run_reading("search", lambda *_: [print("a line") for _ in range(lines)] and 0, ARGUMENTS) == FOUND
    assert capsys.readouterr().err == ""
