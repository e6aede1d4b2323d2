"""`clew tail`: which lines are printed, how they look, and what is said beside them."""

from __future__ import annotations

import argparse
import io
import json
import os
from typing import Any, cast

import pytest

from clew_server.cli import tail
from clew_server.cli._client import Client
from clew_server.cli._text import width_of

TRACE: dict[str, Any] = {
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "start_unix_nano": "1795000000201000000",
    "duration_ns": "2330000000",
    "spans": 238,
    "errors": 0,
    "root_service": "gateway",
    "root_name": "POST /pay",
    "has_root": True,
    "services": ["gateway"],
    "failed_spans": 0,
    "answer": {"origin": None},
}
FAILED: dict[str, Any] = {
    **TRACE,
    "failed_spans": 2,
    "answer": {
        "origin": {"service": "payment", "operation": "POST bank", "type": "TimeoutError", "message": "after 2 s"}
    },
}
COUNTS = {"traces": 9, "spans": 90, "failed": 1, "skipped": 0, "skipped_failed": 0, "unread_spans": 0, "lost_spans": 0}


Event = tuple[str, dict[str, Any]]


class Answering:
    """A client whose server sends these events, each time that it is asked the next ones; then the command ends as by Ctrl-C."""

    server = "http://shop:16686"

    def __init__(self, *answers: list[Event]) -> None:
        self._bodies = iter([_body(number, events) for number, events in enumerate(answers)])
        self.asked = ""
        self.last_event_ids: list[str] = []

    def opened(self, path: str, accept: str, headers: dict[str, str] | None = None) -> io.BytesIO:
        assert accept == "text/event-stream"
        self.asked = path
        body = next(self._bodies, None)
        if body is None:
            raise KeyboardInterrupt
        self.last_event_ids.append((headers or {}).get("Last-Event-ID", ""))
        return io.BytesIO(body)


def _body(answer: int, events: list[Event]) -> bytes:
    """Counts have no ids."""
    return b"retry: 1000\n\n:\n\n" + b"".join(
        (f"id: {answer}.{number}\n" if name != "counts" else "").encode()
        + f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
        for number, (name, data) in enumerate(events)
    )


OPEN: dict[str, Any] = {"resumed": False, "missed": 0}


def printed(words: list[str], *events: Event, then: list[list[Event]] | None = None) -> Answering:
    """Run until the server has sent all that it has. `then`: what it sends on further connections."""
    parser = argparse.ArgumentParser()
    tail.command.add_arguments(parser)
    client = Answering([("open", OPEN), *events], *(then or []))
    assert tail._work(cast("Client", client), parser.parse_args(words)) == 0
    return client


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail.time, "sleep", lambda _: None)
    monkeypatch.delenv("COLUMNS", raising=False)


def test_a_line_says_when_how_long_how_many_and_where_it_failed(capsys: pytest.CaptureFixture[str]) -> None:
    client = printed(["service=gateway", "name=POST /pay", "--failed", "--rate", "5"], ("trace", FAILED))
    assert client.asked == "/api/v1/tail?q=service%3Dgateway+name%3D%22POST+%2Fpay%22&failed=true&rate=5"
    assert capsys.readouterr().out == (
        "4bf92f3577b34da6a3ce929d0e0e4736  2026-11-18 11:06:40.201     2.33 s  ✖ 2 failed   238 spans"
        "  gateway POST /pay  ✖ payment · POST bank TimeoutError after 2 s\n"
    )


def test_a_trace_that_grows_is_printed_again_only_when_it_has_failed_since(capsys: pytest.CaptureFixture[str]) -> None:
    grown = {**FAILED, "spans": 300}
    printed([], ("trace", TRACE), ("trace", {**TRACE, "spans": 239}), ("trace", FAILED), ("trace", grown))
    lines = capsys.readouterr().out.splitlines()
    assert ["✓" in lines[0], "2 failed" in lines[1], len(lines)] == [True, True, 2]


def test_json_lines_are_what_came_each_time(capsys: pytest.CaptureFixture[str]) -> None:
    printed(["--json"], ("trace", TRACE), ("gone", {"trace_id": "a"}), ("trace", FAILED))
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [TRACE, FAILED]


def test_it_ends_after_as_many_traces_as_were_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    others = [("trace", {**TRACE, "trace_id": f"{number:032x}"}) for number in range(5)]
    printed(["--limit", "2"], ("trace", TRACE), ("trace", FAILED), *others)
    out = capsys.readouterr()
    assert len(out.out.splitlines()) == 3  # one of them twice, since it failed
    assert out.err == ""


def test_what_was_skipped_is_said_and_the_end_of_the_connection_too(capsys: pytest.CaptureFixture[str]) -> None:
    printed([], ("counts", COUNTS), ("counts", {**COUNTS, "skipped": 1_214, "lost_spans": 3}), ("end", {}))
    assert capsys.readouterr().err.splitlines() == [
        "clew tail: 1,214 traces were skipped, none of them failed; a narrower query or --rate shows more",
        "clew tail: 3 spans came too fast to be looked at, failed ones may be among them",
        "clew tail: the connection to http://shop:16686 was lost (the server ended it); it is tried again until it is there",
    ]


@pytest.mark.parametrize(
    ("opening", "said"),
    [
        ({"resumed": True, "missed": 0}, "connected again after 0 s; nothing is missing"),
        ({"resumed": True, "missed": 1_200}, "connected again after 0 s; up to 1,200 traces are not listed"),
        ({"resumed": False, "missed": 0}, "connected again; what arrived in the 0 s between is not listed"),
    ],
)
def test_after_an_interruption_it_asks_for_what_is_missing_and_says_what_it_has(
    capsys: pytest.CaptureFixture[str], opening: dict[str, Any], said: str
) -> None:
    counts = {**COUNTS, "skipped": 2}
    client = printed([], ("trace", TRACE), ("counts", counts), then=[[("open", opening), ("counts", counts)]])
    assert client.last_event_ids == ["", "0.1"]
    lines = capsys.readouterr().err.splitlines()
    assert f"clew tail: {said}" in lines
    assert sum("2 traces were skipped" in line for line in lines) == 1


def test_names_from_outside_move_no_cursor_and_lines_end_at_the_edge(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    printed([], ("trace", {**TRACE, "root_name": "\x1b[2J" + "日" * 90}))
    (line,) = capsys.readouterr().out.splitlines()
    assert "\x1b" not in line
    assert line.endswith("…")
    assert width_of(line) <= 120


def test_failed_lines_are_red_on_a_terminal_only(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "has_colours", lambda: True)
    printed([], ("trace", TRACE), ("trace", FAILED))
    plain, red = capsys.readouterr().out.splitlines()
    assert (plain.startswith("4bf9"), red.startswith("\x1b[31m4bf9"), red.endswith("\x1b[0m")) == (True, True, True)


@pytest.mark.parametrize("words", [[], ["--json"]])
def test_it_ends_where_nobody_reads_any_more(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    parser = argparse.ArgumentParser()
    tail.command.add_arguments(parser)
    client = Answering(*[[("open", OPEN), ("trace", TRACE)]] * 3)
    with os.fdopen(writer, "w") as out:
        monkeypatch.setattr("sys.stdout", out)
        with pytest.raises(BrokenPipeError):
            tail._work(cast("Client", client), parser.parse_args(words))
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
    assert client.last_event_ids == [""], "it has not connected again"
