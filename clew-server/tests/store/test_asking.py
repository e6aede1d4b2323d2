"""The statements of a question, whatever time they have left."""

from __future__ import annotations

from typing import Any

from clew_server.store.asking import Question, Tables, rails


def test_a_statement_is_answered_whatever_time_is_left_for_it(opened: Any) -> None:
    connections = opened.store._connections
    for left_ms in (*range(4000, 4120), *range(9880, 10_000), 1, 50, 124, 126, 999):
        question = Question(connections.read, Tables(connections.read), seconds=left_ms / 1000, clock_s=lambda: 0.0)
        assert question.rows("traces_known", {"id": "ab" * 16}) == [[0]]


def test_the_limit_in_a_statement_is_no_longer_than_the_time_that_is_left() -> None:
    assert "max_execution_time=4.0," in rails(4.039)
    assert "max_execution_time=9.875," in rails(9.999)
    assert "max_execution_time=0.125," in rails(0.001)
