"""How times and names read in a terminal; numbers read as in the UI (`model.words`)."""

from __future__ import annotations

import datetime


def time_text(unix_nano: int) -> str:
    """UTC to the millisecond, for people."""
    seconds, rest = divmod(unix_nano, 1_000_000_000)
    try:
        moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (OverflowError, ValueError, OSError):
        return f"{unix_nano} ns"
    return f"{moment:%Y-%m-%d %H:%M:%S}.{rest // 1_000_000:03d}"


def clean(text: str) -> str:
    """Names come from outside: control characters would move the cursor or hide text."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
