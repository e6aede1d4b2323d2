"""TraceQL as far as clew's searches can say it: conditions in braces, relations between braces, and what may follow in a pipe. Pure.

What TraceQL has beside that is refused with a sentence, never answered as something else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, cast

from clew_server.api.tempo.attributes import Attribute, attribute_of
from clew_server.api.tempo.conditions import COMPARISONS, condition
from clew_server.api.tempo.spansets import RELATIONS, Joint, Pair, Spansets, where
from clew_server.api.tempo.tokens import Token, tokens, unsupported, wrong
from clew_server.errors import Unsupported
from clew_server.model.query_tree import ANY, Braces, Node, Not, Or, all_of

Function = Literal["rate", "count_over_time", "min_over_time", "max_over_time", "avg_over_time", "sum_over_time", "quantile_over_time"]  # fmt: skip

_MAX_CONDITIONS: Final = 32
_MAX_BRACES: Final = 8
_MAX_DEPTH: Final = 32
_FUNCTIONS_WITH_FIELD: Final = (
    "min_over_time",
    "max_over_time",
    "avg_over_time",
    "sum_over_time",
    "quantile_over_time",
)


class Metric(NamedTuple):
    """What a pipe computes over time. `levels` of a quantile are from 0 to 1; `by` are attributes as they were written."""

    function: Function
    levels: tuple[float, ...]
    by: tuple[Attribute, ...]


@dataclass(frozen=True, slots=True)
class Query:
    """What was asked."""

    spansets: Spansets = ANY
    select: tuple[Attribute, ...] = ()
    """Attributes that the answer shall have beside those of the conditions."""
    named: tuple[Attribute, ...] = ()
    """Attributes of the conditions, in their order."""
    metric: Metric | None = None


def parse(q: str) -> Query:
    """What a TraceQL query means. Raises Unsupported for what clew cannot say, BadInput for what is no TraceQL; both with the position."""
    return _Parser(tokens(q)).query()


class _Parser:
    def __init__(self, found: Sequence[Token]) -> None:
        self._tokens = found
        self._at = 0
        self._conditions = self._braces = self._depth = 0
        self._named: list[Attribute] = []

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def query(self) -> Query:
        select: tuple[Attribute, ...] = ()
        metric: Metric | None = None
        spansets: Spansets = ANY
        if self._next.kind != "end":
            spansets = self._joined()
            where(spansets)  # refuses relations that cannot be asked for
            while self._took("|"):
                if metric is not None:
                    raise self._unsupported("nothing may follow a metric")
                word = self._next
                if word.text == "select":
                    self._at += 1
                    select += self._list()
                elif word.text in ("rate", "count_over_time", *_FUNCTIONS_WITH_FIELD):
                    metric = self._metric()
                else:
                    raise self._unsupported(f"| {word.text} is not answered")
            if self._took("with"):
                self._hints()
            if self._next.kind != "end":
                raise self._unsupported(self._left_over())
        return Query(spansets, select, tuple(self._named), metric)

    def _left_over(self) -> str:
        text = self._next.text
        if text in COMPARISONS:
            return f"{text} behind a pipe is not answered: nothing is compared there"
        if self._next.kind == "mark" and self._tokens[self._at + 1].text in ("{", "("):
            return f"{text} between two pairs of braces is not answered"
        return f"{text!r} is left over"

    # Sets of spans

    def _joined(self) -> Spansets:
        """As in TraceQL && and || bind alike, from the left, and relations bind stronger."""
        left = self._related()
        while self._next.text in ("&&", "||") and self._next.kind == "mark":
            joint = self._take_mark()
            left = Pair(cast("Joint", joint.text), left, self._related(), joint.at)
        return left

    def _related(self) -> Spansets:
        left = self._spanset()
        while self._next.text in RELATIONS and self._next.kind == "mark" and self._tokens[self._at + 1].text in "{(":
            joint = self._take_mark()
            left = Pair(cast("Joint", joint.text), left, self._spanset(), joint.at)
        return left

    def _spanset(self) -> Spansets:
        if self._next.text == "!":
            raise self._unsupported("'!' before the braces is not answered")
        opened = self._next
        if self._took("("):
            self._enter(opened)
            found = self._joined()
            self._depth -= 1
            self._take(")")
            return found
        self._take("{")
        self._braces += 1
        if self._braces > _MAX_BRACES:
            raise unsupported(f"more than {_MAX_BRACES} pairs of braces", opened.at)
        if self._took("}"):
            return ANY
        inside = self._conditions_joined()
        if self._next.kind == "end":
            raise wrong("the braces are not closed", self._next.at)
        self._take("}")
        return Braces(inside)

    def _take_mark(self) -> Token:
        token = self._next
        self._at += 1
        return token

    def _enter(self, opened: Token) -> None:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise unsupported(f"nested deeper than {_MAX_DEPTH}", opened.at)

    # Conditions on a span; None stands for what always holds

    def _conditions_joined(self) -> Node | None:
        left = self._condition()
        while self._next.text in ("&&", "||") and self._next.kind == "mark":
            joint = self._take_mark()
            right = self._condition()
            if joint.text == "&&":
                left = right if left is None else left if right is None else all_of(left, right)
            elif left is not None:
                left = None if right is None else Or((left, right))
        return left

    def _condition(self) -> Node | None:
        start = self._next
        if self._took("("):
            self._enter(start)
            inside = self._conditions_joined()
            self._depth -= 1
            self._take(")")
            return inside
        if self._took("!"):
            self._enter(start)
            part = self._condition()
            self._depth -= 1
            if part is None:
                raise unsupported("! before what always holds is not answered", start.at)
            return part.part if isinstance(part, Not) else Not(part)
        if start.text == "true" and self._tokens[self._at + 1].text in ("}", "&&", "||", ")"):
            self._at += 1  # what Grafana's builder writes where there is no condition
            return None
        self._conditions += 1
        if self._conditions > _MAX_CONDITIONS:
            raise self._unsupported(f"more than {_MAX_CONDITIONS} conditions")
        if start.kind != "name":
            raise self._unsupported(f"{start.text or 'the end'!r} where a condition should begin")
        attribute = self._attribute()
        op = self._next
        if op.text not in COMPARISONS or op.kind != "mark":
            raise self._unsupported(f"after {start.text!r} stands {op.text or 'the end'!r} and no comparison")
        self._at += 1
        value = self._next
        if value.kind not in ("string", "number", "duration", "name"):
            raise self._unsupported(f"after {op.text!r} stands {value.text or 'the end'!r} and no value")
        self._at += 1
        self._named.append(attribute)
        return condition(attribute, op, value)

    def _attribute(self) -> Attribute:
        token = self._next
        if token.kind != "name":
            raise self._unsupported(f"{token.text or 'the end'!r} where an attribute should stand")
        self._at += 1
        return attribute_of(token.text)

    # What follows in a pipe

    def _list(self) -> tuple[Attribute, ...]:
        self._take("(")
        found = [self._attribute()]
        while self._took(","):
            found.append(self._attribute())
        self._take(")")
        return tuple(found)

    def _metric(self) -> Metric:
        name = self._next.text
        self._at += 1
        self._take("(")
        levels: list[float] = []
        if name in _FUNCTIONS_WITH_FIELD:
            field = self._attribute()
            if (field.place, field.key) != ("intrinsic", "duration"):
                raise self._unsupported(f"{name} is answered of duration only")
            while self._took(","):
                level = self._next
                if level.kind != "number" or not 0 <= float(level.text) <= 1:
                    raise self._unsupported(f"a quantile is a number from 0 to 1, not {level.text!r}")
                self._at += 1
                levels.append(float(level.text))
            if (name == "quantile_over_time") != bool(levels):
                raise self._unsupported(
                    "quantile_over_time, and no other, wants levels, as in quantile_over_time(duration, .9)"
                )
        self._take(")")
        by: tuple[Attribute, ...] = ()
        if self._next.text == "by":
            self._at += 1
            by = self._list()
        return Metric(cast("Function", name), tuple(levels), by)

    def _hints(self) -> None:
        """`with (…)`: hints for Tempo; ignored here."""
        self._take("(")
        while self._next.kind != "end" and not self._took(")"):
            self._at += 1

    def _took(self, text: str) -> bool:
        if self._next.kind == "string" or self._next.text != text:
            return False
        self._at += 1
        return True

    def _take(self, text: str) -> None:
        if not self._took(text):
            raise self._unsupported(f"{text!r} should stand before {self._next.text or 'the end'!r}")

    def _unsupported(self, why: str) -> Unsupported:
        return unsupported(why, self._next.at)
