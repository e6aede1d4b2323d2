"""`clew receivers`: a table, the errors, and how to send to each."""

from __future__ import annotations

import argparse
import json
from typing import Any, cast

import pytest

from clew_server.cli import receivers
from clew_server.cli._client import Client


class Answering:
    """A server with these receivers."""

    def __init__(self, *found: dict[str, Any]) -> None:
        self._found = found

    def get(self, path: str, *, wants: str) -> Any:
        assert (path, wants) == ("/api/v1/status", "receivers")
        return {"receivers": list(self._found)}


OPEN = {
    "name": "zipkin", "transport": "http", "address": "http://127.0.0.1:9411", "state": "open", "option": "--receive zipkin",
    "point_at": "http://127.0.0.1:9411/api/v2/spans", "connections": 1, "spans": 12, "refused_requests": 3,
    "dropped_datagrams": 0, "files": 0, "dropped": {"log": 2, "jvm_metrics": 70}, "unnamed_spans": 9, "last_error": "not JSON\x1b[2J", "last_client": "127.0.0.1:5", "last_seen_unix_nano": "1795000000000000001",
}  # fmt: skip
OFF = OPEN | {
    "name": "cat", "address": "", "state": "off", "option": "--receive cat", "point_at": "", "spans": 0, "refused_requests": 0,
    "dropped": {}, "unnamed_spans": 0, "last_error": None, "last_client": None, "last_seen_unix_nano": None,
}  # fmt: skip


def printed(capsys: pytest.CaptureFixture[str], **options: Any) -> str:
    client = cast(Client, Answering(OPEN, OFF))
    assert (
        receivers._list(
            client, argparse.Namespace(json=False, **options) if not options else argparse.Namespace(**options)
        )
        == 0
    )
    return capsys.readouterr().out


def test_each_receiver_is_a_line_and_says_how_to_send_to_it_or_how_to_open_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = printed(capsys).splitlines()
    assert lines[0].split() == ["receiver", "state", "address", "spans", "refused", "lost", "last", "client"]
    assert lines[1].split()[:6] == ["zipkin", "open", "http://127.0.0.1:9411", "12", "3", "0"]
    assert lines[2].split() == ["cat", "off", "-", "0", "0", "0"]
    text = "\n".join(lines)
    assert "zipkin: not JSON\N{REPLACEMENT CHARACTER}[2J" in text
    assert "zipkin: 70 jvm_metrics, 2 log" in text
    assert "zipkin: 9\n" in text
    assert "cat: 0" not in text
    assert "zipkin: http://127.0.0.1:9411/api/v2/spans" in text
    assert "cat: not open; --receive cat opens it" in text


def test_json_is_a_line_for_each_in_the_shape_of_the_api(capsys: pytest.CaptureFixture[str]) -> None:
    assert [json.loads(line) for line in printed(capsys, json=True).splitlines()] == [OPEN, OFF]
