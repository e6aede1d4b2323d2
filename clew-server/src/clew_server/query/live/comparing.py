"""Conditions on one value, as functions. What they mean is `docs/reference/query.md`; the store says the same in SQL."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final

from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from clew_server.errors import BadInput
from clew_server.model.query_tree import SpanTerm, TraceTerm, Value
from clew_server.model.text import written_text

_ORDER: Final[dict[str, Callable[[Any, Any], bool]]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,38}")


def text_test(term: SpanTerm | TraceTerm) -> Callable[[str], bool]:
    """The condition on a text. Raises BadInput for an expression that RE2 does not take."""
    if term.op == "=~":
        return _expression(term.values[0])
    texts, patterns = _texts(term.values)
    if not patterns:
        return texts.__contains__
    return lambda text: text in texts or any(is_like(one, text) for one in patterns)


def number_test(term: SpanTerm | TraceTerm) -> Callable[[int], bool]:
    """The condition on an integer, compared with numbers that may have a fraction."""
    numbers = [value.number for value in term.values if value.number is not None]
    if term.op in ("=", "in"):
        return lambda number: any(one == number for one in numbers)
    compare, limit = _ORDER[term.op], numbers[0]
    if limit.is_nan():
        return lambda number: False
    return lambda number: compare(number, limit)


def value_test(term: SpanTerm) -> Callable[[AnyValue], bool]:
    """The condition on the value of an attribute. Raises BadInput as `text_test`."""
    if term.op in _ORDER:
        return _ordered(_ORDER[term.op], term.values[0].number)
    of_text = text_test(term)
    if term.op not in ("=", "in"):
        return lambda value: of_text(written_text(value))
    values = [value for value in term.values if value.number is not None and not value.pieces]
    numbers = [value.number for value in values if value.number is not None]
    if not numbers:
        return lambda value: of_text(written_text(value))
    whole = {int(one) for one in numbers if one.is_finite() and one == one.to_integral_value()}
    doubles = {repr(double) for value in values for double in value.doubles}  # as texts, so that NaN is found

    def test(value: AnyValue) -> bool:
        if of_text(written_text(value)):
            return True
        kind = value.WhichOneof("value")
        if kind == "int_value":
            return value.int_value in whole
        if kind == "double_value":
            return repr(value.double_value) in doubles
        return False

    return test


def elements(value: AnyValue) -> Sequence[AnyValue]:
    """The elements of a list, of which some one must match; any other value is its only one."""
    return value.array_value.values if value.WhichOneof("value") == "array_value" else (value,)


def is_like(pieces: Sequence[str], text: str) -> bool:
    """Whether the text is these pieces with anything between them."""
    first, *middle, last = pieces
    end = len(text) - len(last)
    if end < len(first) or not text.startswith(first) or not text.endswith(last):
        return False
    at = len(first)
    for piece in middle:
        at = text.find(piece, at, end)
        if at < 0:
            return False
        at += len(piece)
    return True


def _texts(values: Sequence[Value]) -> tuple[frozenset[str], list[tuple[str, ...]]]:
    return frozenset(one.text for one in values if not one.pieces), [one.pieces for one in values if one.pieces]


def _ordered(compare: Callable[[Any, Any], bool], limit: Decimal | None) -> Callable[[AnyValue], bool]:
    if limit is None or limit.is_nan():
        return lambda value: False
    as_float = float(limit)

    def test(value: AnyValue) -> bool:
        kind = value.WhichOneof("value")
        if kind == "int_value":
            return compare(value.int_value, limit)
        if kind == "double_value":
            return compare(value.double_value, as_float)
        if kind != "string_value":
            return False
        text = value.string_value
        if _INTEGER.fullmatch(text):
            return compare(int(text), limit)
        return _NUMBER.fullmatch(text) is not None and compare(float(text), as_float)

    return test


def _expression(value: Value) -> Callable[[str], bool]:
    """RE2 and not Python's `re`, for which there are expressions that take for ever, with the whole process waiting."""
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        found = re2.compile(value.text, options)
    except re2.error:
        message = f"{value.text!r} is not a regular expression as RE2 has them."
        raise BadInput(message, code="bad_query", position=value.position) from None
    return lambda text: found.search(text) is not None
