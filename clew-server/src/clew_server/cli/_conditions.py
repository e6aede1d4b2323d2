"""The conditions of a command line as one query."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from clew_server.model.quoting import in_quotes

_UNQUOTED: Final = re.compile(r"""((?:"(?:[^"\\]|\\.)*"!?|[^\s=<>"]+)=)([^=<>"]*\s[^=<>"]*)""")
"""A shell takes the quotes off name="GET /cart"; so a value with spaces that does not look like several conditions gets them back."""


def query_text(words: Sequence[str]) -> str:
    """The words joined, with the quotes that the shell took."""
    return " ".join(_requoted(word) for word in words)


def _requoted(word: str) -> str:
    found = _UNQUOTED.fullmatch(word)
    return word if found is None else found[1] + in_quotes(found[2])
