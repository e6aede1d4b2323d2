"""The conditions of a command line as one query."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_UNQUOTED: Final = re.compile(r"""([^\s=<>"]+=)([^=<>"]*\s[^=<>"]*)""")
"""A shell takes the quotes off name="GET /cart"; so a value with spaces that does not look like several conditions gets them back."""


def query_text(words: Sequence[str]) -> str:
    """The words joined, with the quotes that the shell took."""
    return " ".join(_UNQUOTED.sub(r'\1"\2"', word) if _UNQUOTED.fullmatch(word) else word for word in words)
