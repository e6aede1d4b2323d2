"""How times and names read in a terminal; numbers read as in the UI (`model.words`)."""

from __future__ import annotations

import datetime
import unicodedata
from collections.abc import Iterator
from typing import Final

_INDENT: Final = "  "
_JOINERS: Final = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"
_BLANKS: Final = str.maketrans("\n\r\t", "   ")


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
    """Replace control characters in names from outside, which could move the cursor or hide text; one for each."""
    return text if text.isprintable() else "".join(map(_shown, text))


def named(name: str, what: str) -> str:
    """A name as it can be printed; `(no service)`, where `what` is service, for one that could not be seen."""
    return clean(name) if name.strip() else f"(no {what})"


def _shown(character: str) -> str:
    # Scripts and emoji need the joiners, which have no width; a space is one, however wide.
    if character.isprintable() or character in _JOINERS:
        return character
    return " " if unicodedata.category(character) == "Zs" else "\N{REPLACEMENT CHARACTER}"


def width_of(text: str) -> int:
    """Columns of the terminal that a text takes: characters of East Asia take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if _has_no_width(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def _has_no_width(character: str) -> bool:
    return character in _JOINERS or unicodedata.category(character) in ("Mn", "Me")


def fitted(text: str, width: int) -> str:
    """The text in exactly `width` columns: padded with spaces, or cut with a mark."""
    taken = width_of(text)
    if taken > width:
        text, _ = _cut(text, width - 1)
        text += "…"
        taken = width_of(text)
    return text + " " * (width - taken)


def pointed_at(text: str, position: int, width: int | None) -> str:
    """The text in one line, and below it a mark under this character; of a long text what is around it, in so many columns."""
    line = clean(text.translate(_BLANKS))
    before, after = line[:position], line[position:]
    room = None if width is None else max(width - len(_INDENT) - 1, 20)
    if room is not None and width_of(before) > room * 2 // 3:
        while width_of(before) > room // 2:
            before = before[1:]
        before = f"…{before}"
    taken = width_of(before)
    if room is not None and taken + width_of(after) > room:
        after = fitted(after, room - taken).rstrip()
    return f"{_INDENT}{before}{after}\n{_INDENT}{' ' * taken}^"


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
