"""`clew stats` and `clew keys`: what they ask for and what they print."""

from __future__ import annotations

import argparse
import json
from types import ModuleType
from typing import Any, cast

import pytest

from clew_server.cli import keys, stats
from clew_server.cli._client import Client


class Answering:
    """A client whose server gives one answer; remembers what was asked."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self.answer = answer
        self.asked: tuple[str, dict[str, str]] = ("", {})

    def get(self, path: str, parameters: list[tuple[str, str]], *, wants: str) -> dict[str, Any]:
        assert wants in self.answer
        self.asked = (path, dict(parameters))
        return self.answer


def ran(module: ModuleType, words: list[str], answer: dict[str, Any]) -> tuple[int, Answering]:
    parser = argparse.ArgumentParser()
    module.command.add_arguments(parser)
    client = Answering(answer)
    return module.work(cast("Client", client), parser.parse_args(words)), client


SERIES = {
    "service": "cart",
    "value": "GET /",
    "count": 7_200,
    "failed": 72,
    "p50_ns": "1500000",
    "p95_ns": "20000000",
    "p99_ns": "2000000000",
    "points": [],
}
RED = {
    "from_unix_nano": "0",
    "to_unix_nano": str(3_600 * 10**9),
    "step_ns": "60000000000",
    "series": [SERIES],
    "complete": True,
    "reason": None,
}


def test_stats_print_rate_failures_and_percentiles(capsys: pytest.CaptureFixture[str]) -> None:
    code, client = ran(stats, ["kind=server", "name=GET /"], RED)
    assert code == 0
    assert client.asked == ("/api/v1/red", {"q": 'kind=server name="GET /"', "from": "now-1h", "by": "operation"})
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["service", "operation", "spans", "a", "second", "failed", "p50", "p95", "p99"]
    assert row.split("  ")[0] == "cart"
    for text in ("GET /", "7,200", " 2 ", "1.0 %", "1.50 ms", "20 ms", "2 s"):
        assert text in row, text


def test_stats_without_a_span_end_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    code, _ = ran(stats, [], {**RED, "series": [], "complete": False, "reason": "a part cannot be read"})
    assert code == 1
    assert capsys.readouterr().err.splitlines() == [
        "clew stats: not everything is here: a part cannot be read",
        "clew stats: no span matches",
    ]


def test_stats_as_json_are_the_series_of_the_api(capsys: pytest.CaptureFixture[str]) -> None:
    assert ran(stats, ["--json", "--by", "http.route"], RED)[0] == 0
    assert json.loads(capsys.readouterr().out) == SERIES


def test_keys_are_printed_with_their_types_and_counts(capsys: pytest.CaptureFixture[str]) -> None:
    found = [{"key": "dur", "type": "length", "count": None}, {"key": "http.route", "type": "text", "count": 1_200}]
    code, client = ran(keys, ["--prefix", "r", "service=cart"], {"keys": found, "complete": True, "reason": None})
    assert (code, client.asked) == (0, ("/api/v1/keys", {"q": "service=cart", "prefix": "r", "limit": "100"}))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [["key", "type", "spans"], ["dur", "length"], ["http.route", "text", "1,200"]]


def test_values_of_a_key_are_printed_and_what_could_move_the_cursor_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    answer = {"values": [{"value": "a\x1b[2J", "count": 3}], "complete": False, "reason": "the first 1 values"}
    code, client = ran(keys, ["--of", "zone", "--limit", "1"], answer)
    assert (code, client.asked) == (0, ("/api/v1/values", {"key": "zone", "limit": "1"}))
    output = capsys.readouterr()
    assert "\x1b" not in output.out
    assert "the first 1 values" in output.err
    assert ran(keys, ["--of", "zone"], {**answer, "values": []})[0] == 1


@pytest.mark.parametrize(
    ("by", "service", "begins"),
    [("operation", "", "(no service)  (no name)  "), ("service", None, "(no service)  "), ("shop.id", None, '""  ')],
)
def test_what_has_no_name_can_be_seen(
    capsys: pytest.CaptureFixture[str], by: str, service: str | None, begins: str
) -> None:
    ran(stats, ["--by", by], {**RED, "series": [{**SERIES, "service": service, "value": ""}]})
    assert " ".join(capsys.readouterr().out.splitlines()[1].split()).startswith(" ".join(begins.split()))
    ran(keys, ["--of", by], {"values": [{"value": "", "count": 3}], "complete": True, "reason": None})
    assert capsys.readouterr().out.splitlines()[1].split() == ['""', "3"]
