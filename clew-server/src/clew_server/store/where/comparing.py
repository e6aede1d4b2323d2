"""Conditions on one value: the text and the type of an attribute, or a column."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Final

from clew_server.model.query_tree import SpanTerm, TraceTerm, Value
from clew_server.store.where.binding import Bound, joined, like

TEXT: Final = 10
INT: Final = 24
DOUBLE: Final = 33
LIST: Final = 42
"""First bytes of raw values, as `spans.attr_types` has them."""
_NUMBER: Final = r"'^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?$'"
_OF_DOUBLES: Final = frozenset("0123456789+-.eNaNInfinity")
"""The characters of doubles, as JSON or the engine writes them."""
_INTEGER: Final = "'^[+-]?[0-9]{1,38}$'"


class Comparing:
    """Makes the conditions of one statement, whose parameters it adds to."""

    def __init__(self, bound: Bound) -> None:
        self._bound = bound

    def value(self, term: SpanTerm, text: str, kind: str | None) -> str:
        """The condition on one value: `text` names its text and `kind` its type, None where the type is not known."""
        if term.op in ("=", "in"):
            return joined(" OR ", [self._equal(value, text, kind) for value in term.values])
        if term.op == "=~":
            return self._matches(_written(text, kind), term.values[0])
        assert term.op in (">", ">=", "<", "<=")
        number = term.values[0].number
        assert number is not None
        if number.is_nan():
            return "0"
        is_number = f"match({text},{_NUMBER})"
        if kind is None:
            is_number = f"({is_number} OR {text} IN ('inf','-inf'))"
        else:
            is_number = f"({kind}={DOUBLE} OR ({kind} IN ({TEXT},{INT}) AND {is_number}))"
        double = f"ifNull(toFloat64OrNull({text}){term.op}{self._bound.double(float(number))},0)"
        if number.is_infinite():
            return f"({is_number} AND {double})"
        whole = int(number.to_integral_value(ROUND_FLOOR if term.op in (">", "<=") else ROUND_CEILING))
        integer = f"toInt128OrZero({text}){term.op}{self._bound.integer(whole)}"
        return f"({is_number} AND if(match({text},{_INTEGER}),{integer},{double}))"

    def _equal(self, value: Value, text: str, kind: str | None) -> str:
        if value.pieces:
            written = _written(text, kind if _OF_DOUBLES.issuperset("".join(value.pieces)) else None)
            return f"{written} LIKE {self._bound.text(like(value.pieces))}"
        same = f"{text}={self._bound.text(value.text)}"
        spelled = _double_of_json(value.text)
        if kind is not None:
            # Doubles are stored as the engine writes them.
            of_double = f"{text}=toString({self._bound.double(spelled)})" if spelled is not None else "0"
            same = f"if({kind}={DOUBLE},{of_double},{same})"
        number = value.number
        if number is None:
            return same
        equal = [same]
        if kind is None:
            if number.is_finite():
                equal.append(
                    f"(match({text},{_NUMBER}) AND toFloat64OrNull({text})={self._bound.double(float(number))})"
                )
            else:
                equal += [f"{text}=toString({self._bound.double(double)})" for double in value.doubles]
        else:
            if _is_whole(number):
                equal.append(f"({kind}={INT} AND {text}={self._bound.text(str(int(number)))})")
            equal += [f"({kind}={DOUBLE} AND {text}=toString({self._bound.double(one)}))" for one in value.doubles]
        return joined(" OR ", equal)

    def _matches(self, text: str, value: Value) -> str:
        return f"match({text},{self._bound.text(expression(value.text))})"

    def all_texts(self, term: SpanTerm) -> list[str] | None:
        """SQL of the texts under which a value that satisfies the term may be stored, lists aside; None where they cannot be listed."""
        if term.op not in ("=", "in") or any(value.pieces for value in term.values):
            return None
        texts: list[str] = []
        for value in term.values:
            texts.append(self._bound.text(value.text))
            spelled = _double_of_json(value.text)
            doubles = [*value.doubles, *([] if spelled is None else [spelled])]
            texts += [f"toString({self._bound.double(double)})" for double in doubles]
            if value.number is not None and _is_whole(value.number):
                texts.append(self._bound.text(str(int(value.number))))
        return texts

    def texts(self, column: str, term: SpanTerm | TraceTerm) -> str:
        """Of a column of texts."""
        if term.op == "=~":
            return self._matches(column, term.values[0])
        return joined(
            " OR ",
            [
                f"{column} LIKE {self._bound.text(like(value.pieces))}"
                if value.pieces
                else f"{column}={self._bound.text(value.text)}"
                for value in term.values
            ],
        )

    def whole_number(self, column: str, term: SpanTerm | TraceTerm) -> str:
        """Of a column of integers, compared with numbers that may have a fraction."""
        found: list[str] = []
        for value in term.values:
            number = value.number
            assert number is not None
            if term.op in ("=", "in"):
                found.append(f"{column}={self._bound.integer(int(number))}" if _is_whole(number) else "0")
                continue
            whole = int(number.to_integral_value(ROUND_FLOOR if term.op in (">", "<=") else ROUND_CEILING))
            found.append(f"{column}{term.op}{self._bound.integer(whole)}")
        return joined(" OR ", found)

    def span_or_trace_id(self, column: str, size: int, values: Sequence[Value]) -> str:
        """Of a column of ids with so many bytes."""
        found = []
        for value in values:
            if value.pieces:
                found.append(f"lower(hex({column})) LIKE {self._bound.text(like(value.pieces))}")
            else:
                found.append(f"{column}=toFixedString(unhex({self._bound.text(value.text)}),{size})")
        return joined(" OR ", found)


def expression(text: str) -> str:
    """RE2's expression as the engine takes it, which lets a dot stand for the end of a line, where RE2 by itself does not."""
    return f"(?-s){text}"


def _written(text: str, kind: str | None) -> str:
    """SQL of a value's text as OTLP's JSON writes it, which for doubles is not as the engine does."""
    return text if kind is None else f"if({kind}={DOUBLE},{double_written(text)},{text})"


def double_written(text: str) -> str:
    """SQL of a double as OTLP's JSON writes it, which is what queries are about, from the text that the store has.

    `200.0`, `1e+21`, `NaN`, and with an exponent below 1e-4 and from 1e16 on, where the engine begins at 1e-6 and 1e21. Texts are taken
    apart, since the engine compiles arithmetic, which takes longer than to find the few doubles there are.
    """
    signed = f"replaceRegexpOne({text},'e([0-9])','e+\\\\1')"
    small = f"replaceRegexpOne({text},'0[.]0000(0?)([1-9])(.*)','\\\\2.\\\\3e-05\\\\1')"
    large = f"replaceRegexpOne({text},'([1-9])([0-9]*?)0*$','\\\\1.\\\\2e+')"
    cases = [
        (f"{text}='nan'", "'NaN'"),
        (f"endsWith({text},'inf')", f"replaceOne({text},'inf','Infinity')"),
        (f"position({text},'e')>0", f"replaceRegexpOne({signed},'([+-])([0-9])$','\\\\10\\\\2')"),
        (f"startsWith(trimLeft({text},'-'),'0.0000')", f"replaceOne(replaceOne({small},'e-050','e-06'),'.e','e')"),
        (
            f"match({text},'^-?[0-9]{{17}}')",
            f"replaceOne(concat({large},toString(length(trimLeft({text},'-'))-1)),'.e','e')",
        ),
        (f"position({text},'.')>0", text),
    ]
    return f"multiIf({','.join(f'{when},{then}' for when, then in cases)},concat({text},'.0'))"


def _is_whole(number: Decimal) -> bool:
    return number.is_finite() and number == number.to_integral_value()


def _double_of_json(text: str) -> float | None:
    """The double that OTLP's JSON writes so; None for another text."""
    special = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}.get(text)
    if special is not None:
        return special
    if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?(e[+-][0-9]+)?", text) is None:
        return None
    number = float(text)
    return number if repr(number) == text else None
