"""How durations and times read in a terminal: three digits and a unit, as in the UI."""

from __future__ import annotations

import datetime


def duration_text(duration_ns: int) -> str:
    """`2_010_000_000` → `2.01 s`; from a minute `2 m 05 s`, from an hour `1 h 12 m`."""
    if duration_ns >= 3_600_000_000_000:
        minutes = round(duration_ns / 60e9)
        return f"{minutes // 60} h {minutes % 60:02d} m"
    if round(duration_ns / 1e9, 1) >= 60:
        seconds = round(duration_ns / 1e9)
        return f"{seconds // 60} m {seconds % 60:02d} s"
    value, unit = float(duration_ns), "ns"
    for unit in ("ns", "µs", "ms", "s"):
        if value < 999.5 or unit == "s":
            break
        value /= 1000
    return f"{_three_digits(value)} {unit}"


def _three_digits(value: float) -> str:
    if value == 0 or value == int(value):
        return str(int(value))
    decimals = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{decimals}f}"


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
