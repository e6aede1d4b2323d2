"""How times and names read in a terminal; numbers read as in the UI (`model.words`)."""

from __future__ import annotations

import datetime
import unicodedata
from collections.abc import Iterator


def time_text(unix_nano: int) -> str:
    """UTC to the millisecond, for people."""
    seconds, rest = divmod(unix_nano, 1_000_000_000)
    try:
        moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (OverflowError, ValueError, OSError):
        return f"{unix_nano} ns"
    return f"{moment:%Y-%m-%d %H:%M:%S}.{rest // 1_000_000:03d}"


def iso_time(unix_nano: int) -> str:
    """ISO 8601 in UTC with all nine digits, for programs."""
    seconds, rest = divmod(unix_nano, 1_000_000_000)
    try:
        moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (OverflowError, ValueError, OSError):
        return str(unix_nano)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def clean(text: str) -> str:
    """Replace control characters in names from outside, which could move the cursor or hide text."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def width_of(text: str) -> int:
    """Columns of the terminal that a text takes: characters of East Asia take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def fitted(text: str, width: int) -> str:
    """The text in exactly `width` columns: padded with spaces, or cut with a mark."""
    taken = width_of(text)
    if taken > width:
        text, _ = _cut(text, width - 1)
        text += "…"
        taken = width_of(text)
    return text + " " * (width - taken)


def wrapped(text: str, width: int, *, first: str = "", indent: str = "") -> Iterator[str]:
    """Lines of at most `width` columns: `first` before the first, `indent` before the others, long words broken."""
    line, empty = first, True
    for word in text.split():
        while word:
            room = width - width_of(line) - (0 if empty else 1)
            if width_of(word) <= room:
                line += word if empty else f" {word}"
                word, empty = "", False
            elif not empty:
                yield line
                line, empty = indent, True
            else:
                part, word = _cut(word, max(room, 2))
                yield line + part
                line, empty = indent, True
    if not empty or line == first:
        yield line.rstrip()


def _cut(text: str, width: int) -> tuple[str, str]:
    """The beginning that fits into `width` columns, and the rest."""
    taken = 0
    for at, character in enumerate(text):
        taken += width_of(character)
        if taken > width:
            return text[:at], text[at:]
    return text, ""
