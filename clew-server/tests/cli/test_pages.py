"""Pages of traces while spans come in, which moves traces from one page to another."""

from __future__ import annotations

from typing import Any, cast

import pytest

from clew_server.cli._client import Client
from clew_server.cli._pages import pages


class Answers:
    """A server with these pages, which remembers what it was asked."""

    def __init__(self, *answers: list[int], reason: str | None = None) -> None:
        self.answers = answers
        self.reason = reason
        self.asked: list[dict[str, str]] = []

    def get(self, path: str, given: list[tuple[str, str]], *, wants: str) -> dict[str, Any]:
        assert (path, wants) == ("/api/v1/traces", "traces")
        at = len(self.asked)
        self.asked.append(dict(given))
        following = str(at + 1) if at + 1 < len(self.answers) else None
        traces = [{"trace_id": f"{number:032x}"} for number in self.answers[at]]
        return {"traces": traces, "complete": self.reason is None, "reason": self.reason, "next": following}


def listed(server: Answers, limit: int) -> tuple[list[int], bool]:
    found = list(pages(cast("Client", server), [("q", "a"), ("from", "")], limit=limit, of=3, name="search"))
    return [int(trace["trace_id"], 16) for page in found for trace in page.traces], found[-1].are_more


def test_a_trace_that_is_on_two_pages_is_listed_once() -> None:
    server = Answers([9, 8, 7], [8, 6, 5], [9, 4])
    assert listed(server, 0) == ([9, 8, 7, 6, 5, 4], False)
    assert server.asked == [
        {"q": "a", "limit": "3"},
        {"q": "a", "limit": "3", "cursor": "1"},
        {"q": "a", "limit": "3", "cursor": "2"},
    ]


def test_as_many_traces_are_listed_as_are_wanted() -> None:
    server = Answers([9, 8, 7], [8, 6], [5], [4])
    assert listed(server, 5) == ([9, 8, 7, 6, 5], True)
    assert [asked["limit"] for asked in server.asked] == ["3", "2", "1"]


def test_what_pages_lack_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(Answers([1], reason="stopped after 10 s"), 0) == ([1], False)
    assert capsys.readouterr().err == "clew search: not everything is here: stopped after 10 s\n"
