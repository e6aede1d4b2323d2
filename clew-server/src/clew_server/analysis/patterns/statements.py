"""What siblings of one name asked for: their statements with the values masked, and the target they were sent to."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from clew_server.model.attributes import text_in_span, text_of
from clew_server.model.trace import Trace

_STATEMENT_KEYS: Final = ("db.query.text", "db.statement")
_TARGET_KEYS: Final = (*_STATEMENT_KEYS, "url.full", "http.url", "url.path", "http.target")
# Text in single quotes (doubled quotes inside), numbers and hexadecimal, and what clients write for a value.
_VALUE: Final = re.compile(
    r"'(?:[^']|'')*'|\b0x[0-9a-fA-F]+\b|(?<![\w.$:?])[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?\b|[$:?]\d+|%s"
)
_LIST: Final = re.compile(r"\(\s*\?(?:\s*,\s*\?)*\s*\)")
_LISTS: Final = re.compile(r"\(\?\)(?:\s*,\s*\(\?\))+")


def masked(statement: str) -> str:
    """The statement with `?` for each value and one `?` for a list of them, blanks folded: equal for equal queries."""
    text = _VALUE.sub("?", " ".join(statement.split()))
    return _LISTS.sub("(?)", _LIST.sub("(?)", text))


def by_statement(trace: Trace, rows: Sequence[int]) -> list[list[int]]:
    """The rows, those with equal masked statements together; spans without a statement are equal."""
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
    """The statement or address of a call as it came, empty where it names none: equal when the same thing was asked for again."""
    return _value(trace, row, _TARGET_KEYS)


def _value(trace: Trace, row: int, keys: Sequence[str]) -> str:
    raw = trace.stored.raw[row]
    for key in keys:
        text = text_in_span(raw, key)
        if text is None:
            return text_of(trace.span(row).attributes, *keys)
        if text:
            return text
    return ""
