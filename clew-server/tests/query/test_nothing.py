"""Why nothing matches: which condition is left out in turn, as it was written, and what is spelled like it."""

from __future__ import annotations

import re

import pytest

from clew_server.model.query_tree import Node
from clew_server.query.language.parser import parse
from clew_server.query.nothing import left_out, written_condition
from clew_server.query.spelling import nearest


def parsed(text: str) -> Node | None:
    return parse(text, int)


@pytest.mark.parametrize(
    ("q", "conditions", "others"),
    [
        ("service=Shop", ["service=Shop"], [""]),
        ("service=Shop dur>5ms", ["service=Shop", "dur>5ms"], ["dur>5ms", "service=Shop"]),
        (
            "service=a and not name=b trace.spans>1",
            ["service=a", "not name=b", "trace.spans>1"],
            ["not name=b trace.spans>1", "service=a trace.spans>1", "service=a not name=b"],
        ),
        (
            '{service=a name="b c"} and {kind=client}',
            ["service=a", 'name="b c"', "kind=client"],
            ['{name="b c"} and {kind=client}', "{service=a} and {kind=client}", '{service=a name="b c"}'],
        ),
        ("name in (a, b) or x", ["name in (a, b) or x"], [""]),
        ("name in (a, b) not (x)", ["name in (a, b)", "not (x)"], ["not x", "name in (a, b)"]),
        (
            "{root=true} > {kind=client} {x}",
            ["{root=true} > {kind=client}", "x"],
            ["{x}", "{root=true} > {kind=client}"],
        ),
        ("{service=db} >> {status=error}", ["{service=db} >> {status=error}"], [""]),
        (
            'trace.spans>1 {} > { name="a } b" } ~ {} {dur>1s}',
            ["trace.spans>1", '{} > { name="a } b" } ~ {}', "dur>1s"],
            None,
        ),
        ("NOT ( a=1 or b=2 ) c=3", ["NOT ( a=1 or b=2 )", "c=3"], ["c=3", "not (a=1 or b=2)"]),
        ('service="not" name!=b c in ( x , y )', ['service="not"', "name!=b", "c in ( x , y )"], None),
        ("(service=a or service=b) x", ["service=a or service=b", "x"], ["x", "(service=a or service=b)"]),
    ],
)
def test_each_condition_is_left_out_once(q: str, conditions: list[str], others: list[str] | None) -> None:
    where = parsed(q)
    assert where is not None
    found = left_out(where)
    written = [written_condition(q, condition, where) for condition, _ in found]
    assert [text for text, _ in written] == conditions
    assert all(q[position:].startswith(text) for text, position in written)
    if others is None:
        return
    assert [without_positions(rest) for _, rest in found] == [without_positions(parsed(other)) for other in others]


def without_positions(node: Node | None) -> str:
    return re.sub(r"position=\d+", "", repr(node))


@pytest.mark.parametrize(
    ("text", "known", "found"),
    [
        ("Shop", ["cart", "shop"], "shop"),
        ("paymnet", ["payment", "pay"], "payment"),
        ("payment", ["payment", "Payment"], None),
        ("xyz", ["payment", "cart"], None),
        ("", ["payment"], None),
        ("a", [], None),
    ],
)
def test_the_nearest_spelling_is_one_that_exists(text: str, known: list[str], found: str | None) -> None:
    assert nearest(text, known) == found
