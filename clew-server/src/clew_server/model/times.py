"""Times as parameters and queries write them: `now-15m`, ISO times with a zone, nanoseconds since 1970. Pure: now is an argument."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from clew_server.errors import BadInput
from clew_server.model.lengths import MAX_NS, UNITS_NS

_AGO_NS: Final = UNITS_NS | {"d": 86_400_000_000_000}
_RELATIVE: Final = re.compile(r"now(?:-(\d{1,9})(s|m|h|d))?")
_FRACTION: Final = re.compile(r"([0-9W-]{8,10}\D[0-9]{2}:?[0-9]{2}:?[0-9]{2})[.,]([0-9]+)")


def time_from_text(name: str, text: str, now_unix_nano: int) -> int:
    """Nanoseconds since 1970 of `now`, `now-15m`, an ISO time with its zone, or digits; `name` is the parameter's.

    Raises BadInput, code `bad_parameter`.
    """
    relative = _RELATIVE.fullmatch(text)
    if relative is not None:
        number, unit = relative.groups()
        return max(0, now_unix_nano - (int(number) * _AGO_NS[unit] if number else 0))
    if text.isascii() and text.isdigit():
        return min(int(text[:20]), MAX_NS)
    # A "+" of a zone that was not escaped in a URL arrives as a space.
    whole = re.sub(r" (\d\d:?\d\d)$", r"+\1", text)
    fraction = _FRACTION.match(whole)  # of the second; datetime would cut it to microseconds
    if fraction is not None:
        whole = fraction.group(1) + whole[fraction.end() :]
    try:
        moment = datetime.fromisoformat(whole)
        if moment.tzinfo is None:
            raise ValueError
        since = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    except (ValueError, OverflowError):
        wants = "wants now-15m, a time with its zone as in 2026-11-23T12:04:00Z, or ns since 1970"
        raise bad_parameter(name, text, wants) from None
    fraction_ns = int(fraction.group(2)[:9].ljust(9, "0")) if fraction is not None else 0
    ns = (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1_000 + fraction_ns
    return min(max(0, ns), MAX_NS)


def range_from_texts(from_: str | None, to: str | None, now_unix_nano: int) -> tuple[int | None, int | None]:
    """The parameters `from` and `to` as `time_from_text`, None for one that is absent or empty. Raises BadInput where `from` is after `to`, too."""
    from_ns = time_from_text("from", from_, now_unix_nano) if from_ else None
    to_ns = time_from_text("to", to, now_unix_nano) if to else None
    if from_ns is not None and to_ns is not None and from_ns > to_ns:
        raise bad_parameter("from", from_ or "", f"is after to={(to or '')[:60]!r}; a time begins before it ends")
    return from_ns, to_ns


def bad_parameter(name: str, value: str, wants: str) -> BadInput:
    """The error of a parameter: its value, cut to a readable length, and what it wants."""
    shown = value if len(value) <= 60 else value[:60] + "…"
    return BadInput(f"{name}={shown!r}: {wants}.", code="bad_parameter")
