"""Texts as a query writes them: a value bare where that is understood as this text, else in quotes."""

from __future__ import annotations

import re
from typing import Final

WORDS: Final = ("and", "or", "not", "exists", "in")
"""Words of the language, in any case; in quotes they are values."""
_BARE: Final = re.compile(r'[^\s"(){},\\*=<>!~][^\s"(){},\\*]*')
_ESCAPED: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}
_TO_ESCAPE: Final = re.compile(r'["\\\x00-\x1f\x7f-\x9f]')


def in_quotes(text: str) -> str:
    """A text in quotes, in one line."""
    return f'"{_TO_ESCAPE.sub(lambda found: _escape(found.group()), text)}"'


def bare(text: str) -> str | None:
    """A value without quotes; None where it would be understood as another one, as a pattern, or not at all."""
    return text if _BARE.fullmatch(text) and text.isprintable() and text.lower() not in WORDS else None


def _escape(character: str) -> str:
    return _ESCAPED.get(character) or f"\\u{ord(character):04x}"
