"""Formats numbers for sentences and tables, in the same way as the UI."""

from __future__ import annotations

from collections.abc import Sequence


def duration_text(duration_ns: float) -> str:
    """`2_010_000_000` → `2.01 s`; three digits, from a minute `2 m 05 s`, from an hour `1 h 12 m`."""
    if duration_ns < 0:
        return f"−{duration_text(-duration_ns)}"
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


def count_text(count: float) -> str:
    """`183402` → `183,402`, from a million `1.8 M`; a count that is no whole number has one digit."""
    if count >= 999_950:
        return f"{count / 1e6:.1f} M"
    return f"{count:,.0f}" if count == int(count) or count >= 10 else f"{count:.1f}"


def percent_text(share: float) -> str:
    """`0.81` → `81 %`, below ten percent `6.3 %`, what would be `0.0 %` is `< 0.1 %`."""
    percent = share * 100
    if 0 < percent < 0.05:
        return "< 0.1 %"
    return f"{percent:.0f} %" if percent >= 9.95 or percent == 0 else f"{percent:.1f} %"


def times_text(ratio: float) -> str:
    """How many times as much: `6.7 times`, from ten on without a digit."""
    return f"{ratio:.1f} times" if ratio < 9.95 else f"{count_text(round(ratio))} times"


def counted(count: int, one: str, many: str | None = None) -> str:
    """`1 span`, `12 spans`; `many` where it is not `one` with an s."""
    return f"{count_text(count)} {one if count == 1 else many or one + 's'}"


def listed(words: Sequence[str], *, most: int = 3) -> str:
    """`a, b and c`; of more than `most` the first ones and how many are left."""
    if len(words) > most:
        return f"{', '.join(words[:most])} and {count_text(len(words) - most)} more"
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)


def name_text(name: str) -> str:
    """A span's name for a sentence: a very long one shortened, `(no name)` for a blank one."""
    return shortened(name) if name.strip() else "(no name)"


def shortened(text: str, length: int = 120) -> str:
    """The text, of one that is longer the beginning and a mark."""
    return text if len(text) <= length else f"{text[: length - 1]}…"
