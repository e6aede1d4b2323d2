"""Compares calls with the same name: their statements with masked values, and their targets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from clew_server.model.attributes import text_in_span, text_of
from clew_server.model.trace import Trace

_STATEMENT_KEYS: Final = ("db.query.text", "db.statement")
_TARGET_KEYS: Final = (*_STATEMENT_KEYS, "url.full", "http.url", "url.path", "http.target")
# Values: text in single quotes (quotes inside are doubled), numbers, hexadecimal numbers and placeholders.
_VALUE: Final = re.compile(
    r"'(?:[^']|'')*'|\b0x[0-9a-fA-F]+\b|(?<![\w.$:?])[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?\b|[$:?]\d+|%s"
)
_LIST: Final = re.compile(r"\(\s*\?(?:\s*,\s*\?)*\s*\)")
_LISTS: Final = re.compile(r"\(\?\)(?:\s*,\s*\(\?\))+")


def masked(statement: str) -> str:
    """The statement with `?` for each value and for each list of values, and single spaces; equal for equal queries."""
    text = _VALUE.sub("?", " ".join(statement.split()))
    return _LISTS.sub("(?)", _LIST.sub("(?)", text))


def by_statement(trace: Trace, rows: Sequence[int]) -> list[list[int]]:
    """The rows in groups with equal masked statements; spans without a statement form one group."""
    groups: dict[str, list[int]] = {}
    known: dict[str, str] = {}
    for row in rows:
        text = _value(trace, row, _STATEMENT_KEYS)
        mask = known.get(text)
        if mask is None:
            mask = known[text] = masked(text)
        groups.setdefault(mask, []).append(row)
    return list(groups.values())


def target(trace: Trace, row: int) -> str:
    """The statement or address of a call, unchanged, or "" without one; equal for repeated requests."""
    return _value(trace, row, _TARGET_KEYS)


def has_statement(trace: Trace, row: int) -> bool:
    """Whether a call is one to a database that says its statement."""
    return bool(_value(trace, row, _STATEMENT_KEYS))


def _value(trace: Trace, row: int, keys: Sequence[str]) -> str:
    raw = trace.stored.raw[row]
    for key in keys:
        text = text_in_span(raw, key)
        if text is None:
            return text_of(trace.span(row).attributes, *keys)
        if text:
            return text
    return ""
