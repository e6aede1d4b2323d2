"""What a shell is told may come next in a query, and what the server is asked for it."""

from __future__ import annotations

import argparse
from typing import Any

import pytest

from clew_server.cli import _completing, search
from clew_server.cli._client import USAGE, Client, CommandFailed
from clew_server.cli._conditions import query_text
from clew_server.model.query_tree import Braces, SpanTerm
from clew_server.query.language.parser import parse

Asked = list[tuple[str, dict[str, str]]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What the server was asked. It takes no query with a `~`."""
    questions: Asked = []

    def get(_: object, path: str, parameters: list[tuple[str, str]], *, wants: str) -> dict[str, Any]:
        given = dict(parameters)
        questions.append((path, given))
        if "~" in given.get("q", ""):
            raise CommandFailed(USAGE, "no query")
        return {wants: [{wants[:-1]: text} for text in ("cart", "case", "shop")]}

    monkeypatch.setattr(Client, "get", get)
    return questions


def completed(line: str) -> list[str]:
    """The last word of the line is the one being written."""
    parser = argparse.ArgumentParser()
    search.command.add_arguments(parser)
    *before, prefix = line.split(" ")
    return _completing.complete_query(prefix, parser.parse_args(before))


@pytest.mark.parametrize(
    ("line", "q"),
    [
        ("service=ca", None),
        ("status=error service=ca", "status=error"),
        ("status=error and service=ca", "status=error"),
        ("{status=error service=ca", "{status=error}"),
        ("{a=1} > {service=ca", "{a=1} > {}"),
        ("{service=ca", None),
        ("a=1 (b=2 service=ca", "a=1 (b=2)"),
        ("a=1 (service=ca", "a=1"),
        ("a=1 or service=ca", None),
        ("a=1 (b=2 or service=ca", None),
        ("a=1 not service=ca", None),
        ('name="a(b" service=ca', 'name="a(b"'),
    ],
)
def test_what_is_suggested_occurs_together_with_the_conditions_before_it(
    asked: Asked, line: str, q: str | None
) -> None:
    start = line.split(" ")[-1].removesuffix("ca")
    assert completed(line) == [f"{start}cart", f"{start}case"]
    ((path, given),) = asked
    assert (path, given["key"], given["prefix"], given.get("q")) == ("/api/v1/values", "service", "ca", q)


def test_what_the_server_takes_for_no_query_is_left_out(asked: Asked) -> None:
    assert completed("a=~( ca") == ["cart=", "case="]
    assert [given.get("q") for _, given in asked] == ["a=~", None]


@pytest.mark.parametrize(
    ("words", "time"),
    [
        ("", {"from": "now-1d"}),
        ("--from now-1h ", {"from": "now-1h"}),
        ("--to now-1h ", {"to": "now-1h"}),
    ],
)
def test_the_time_is_that_of_the_command_line(asked: Asked, words: str, time: dict[str, str]) -> None:
    completed(f"{words}service=ca")
    assert {name: value for name, value in asked[0][1].items() if name in ("from", "to")} == time


@pytest.mark.parametrize(
    ("value", "begun", "word"),
    [
        ("GET", "", "GET"),
        ("GET /cart/{id}", "GET", "GET /cart/{id}"),
        ("/cart/{id}", "", '"/cart/{id}"'),
        ("/cart/{id}", '"/ca', '"/cart/{id}"'),
        ('say "hi"', "", '"say \\"hi\\""'),
        ('say "hi"', '"say \\"h', '"say \\"hi\\""'),
        ('say "hi"', "sa", None),
        ("two\nlines", "", '"two\\nlines"'),
        ("\r", "", '"\\u000d"'),
        ("back\\slash here", "", "back\\slash here"),
        ("back\\slash", "", '"back\\\\slash"'),
        ("a*b", "", '"a*b"'),
        ("and", "", '"and"'),
        ("~x", "", '"~x"'),
        ("", "", '""'),
        ("a=b", "", "a=b"),
    ],
)
@pytest.mark.parametrize("key", ["odd", '"a \\"key\\""'])
def test_a_value_that_is_suggested_is_that_value(
    monkeypatch: pytest.MonkeyPatch, key: str, value: str, begun: str, word: str | None
) -> None:
    monkeypatch.setattr(Client, "get", lambda *_, wants: {wants: [{"value": value}]})
    parser = argparse.ArgumentParser()
    search.command.add_arguments(parser)
    found = _completing.complete_query(f"{key}={begun}", parser.parse_args([]))
    if word is None:
        assert found == []
        return
    assert found == [f"{key}={word}"]
    node = parse(query_text(found), lambda _: 0)
    assert isinstance(node, Braces)
    assert isinstance(node.inside, SpanTerm)
    assert [(one.text, one.pieces) for one in node.inside.values] == [(value, ())]
