"""The values of conditions: texts, patterns, numbers with units, times."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from clew_server.model.lengths import UNITS_NS
from clew_server.model.query_tree import Value
from clew_server.query.language.scanner import Token, bad_query

_NUMBER: Final = re.compile(
    r"([+-]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:[eE][+-]?\d{1,3})?)([A-Za-zµμ]{0,3})", re.ASCII
)
_SPECIAL: Final = {"NaN": Decimal("NaN"), "Infinity": Decimal("Infinity"), "-Infinity": Decimal("-Infinity")}
"""As OTLP's JSON writes them."""
_BYTES: Final = {
    "B": 1,
    "kB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KiB": 1 << 10,
    "MiB": 1 << 20,
    "GiB": 1 << 30,
}
LENGTH_UNITS: Final = {**UNITS_NS, "d": 86_400_000_000_000}
UNITS: Final = {**LENGTH_UNITS, **_BYTES}


def plain(token: Token) -> Value:
    """The value that a token is; a bare word may be a pattern and a number."""
    if token.kind == "quoted":
        return Value(token.text, position=token.position)
    pieces = _pieces(token.text)
    text = pieces[0] if len(pieces) == 1 else "*".join(pieces)
    return Value(text, number(token.text), tuple(pieces) if len(pieces) > 1 else (), token.position)


def listed(token: Token) -> Value:
    """The same in a list after `in`, where a star is a star."""
    if token.kind == "quoted":
        return Value(token.text, position=token.position)
    return Value(token.text, number(token.text), position=token.position)


def number(text: str) -> Decimal | None:
    """The number that a bare word is, with a unit in ns or bytes; None for any other."""
    if text in _SPECIAL:
        return _SPECIAL[text]
    found = _NUMBER.fullmatch(text)
    if found is None:
        return None
    digits, unit = found.groups()
    if not unit:
        return Decimal(digits)
    # A regular expression takes as much as it can: `5e3` is a number, `5m` has a unit.
    return Decimal(digits) * UNITS[unit] if unit in UNITS else None


def length(token: Token) -> Value:
    """A length of time, in ns. Raises BadInput for another text, and for a number without a unit."""
    found = _NUMBER.fullmatch(token.text) if token.kind == "word" else None
    if found is None or found.group(2) not in LENGTH_UNITS:
        raise bad_query(
            f"{token.text!r} is not a length of time: a number with ns, us, ms, s, m, h or d, as in 500ms.",
            token.position,
        )
    return Value(token.text, Decimal(found.group(1)) * LENGTH_UNITS[found.group(2)], position=token.position)


def count(token: Token) -> Value:
    """A number without a unit. Raises BadInput for another text."""
    found = _NUMBER.fullmatch(token.text) if token.kind == "word" else None
    if found is None or found.group(2):
        raise bad_query(f"{token.text!r} is not a number.", token.position)
    return Value(token.text, Decimal(found.group(1)), position=token.position)


def word(token: Token, words: tuple[str, ...], what: str) -> Value:
    """One of some words, in lower case. Raises BadInput for another one."""
    if token.text.lower() not in words:
        raise bad_query(f"{token.text!r} is not {what}: {', '.join(words)}.", token.position)
    return Value(token.text.lower(), position=token.position)


def hex_id(value: Value, digits: int, what: str) -> Value:
    """An id in lower case, or a pattern of one. Raises BadInput for anything else."""
    pieces = tuple(piece.lower() for piece in value.pieces)
    text = value.text.lower()
    is_hex = all(re.fullmatch(r"[0-9a-f]*", piece) for piece in (pieces or (text,)))
    if not is_hex or (not pieces and len(text) != digits):
        raise bad_query(f"{value.text!r} is not {what}: it has {digits} hex digits.", value.position)
    return Value(text, pieces=pieces, position=value.position)


def _pieces(text: str) -> list[str]:
    r"""The texts between stars. `\*` is a star, any other backslash stands for itself."""
    pieces = [""]
    at = 0
    while at < len(text):
        if text.startswith("\\*", at):
            pieces[-1] += "*"
            at += 2
            continue
        if text[at] == "*":
            pieces.append("")
        else:
            pieces[-1] += text[at]
        at += 1
    return pieces
