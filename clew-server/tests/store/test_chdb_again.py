"""From which number on a condition needs spans to be counted: below it, those that came again change no answer."""

from __future__ import annotations

from decimal import Decimal
from typing import cast

import pytest

from clew_server.model.query_tree import Op, TraceTerm, Value
from clew_server.store.chdb_again import _least_of


def term(op: str, *numbers: str) -> TraceTerm:
    return TraceTerm("spans", cast(Op, op), tuple(Value(text, Decimal(text)) for text in numbers))


@pytest.mark.parametrize(
    ("condition", "least"),
    [
        (term(">", "0"), None),
        (term(">=", "1"), None),
        (term("<", "1"), None),
        (term("=", "0"), None),
        (term(">", "-5"), None),
        (term(">", "1"), 2),
        (term(">", "3.5"), 4),
        (term(">=", "3.5"), 4),
        (term("<", "4"), 4),
        (term("<=", "4"), 5),
        (term("=", "1"), 2),
        (term("=", "7"), 7),
        (term("in", "9", "3"), 3),
        (term("in", "0", "3"), 2),
        (term(">", "Infinity"), None),
        (term("<", "1e300"), 1 << 62),
    ],
)
def test_a_condition_is_counted_for_from_where_its_answer_may_change(condition: TraceTerm, least: int | None) -> None:
    assert _least_of(condition) == least
    for summed in range(1, min(least or 20, 20)):  # whatever came again of so many, the answer is the same
        assert len({_holds(condition, really) for really in range(1, summed + 1)}) == 1


def _holds(condition: TraceTerm, number: int) -> bool:
    limits = [value.number for value in condition.values if value.number is not None]
    return {
        ">": number > limits[0],
        ">=": number >= limits[0],
        "<": number < limits[0],
        "<=": number <= limits[0],
        "=": number in limits,
        "in": number in limits,
    }[condition.op]
