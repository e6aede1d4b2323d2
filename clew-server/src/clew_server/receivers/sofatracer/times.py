"""Times of a digest log: local times of a zone that no line names. No I/O.

A trace id holds the moment at which its trace began, in ms since the epoch. So lines of a trace's first span (`spanId` 0) say in which
zone their clock was, and lines of others nearly so.
"""

from __future__ import annotations

import calendar
import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from clew_server.receivers.sofatracer.fields import Field

_TIME: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d):(\d\d)[.,](\d{3})")
_LENGTH: Final = re.compile(r"-?\d{1,15}")
_TRACE: Final = re.compile(r"(?:ea)?[0-9a-fA-F]{8}(\d{13})\d{4}")
_STEP_MS: Final = 15 * 60_000
_WIDEST_MS: Final = 15 * 3_600_000
_AT_ONCE_MS: Final = 2_000
_SOON_MS: Final = 60_000
_ENOUGH: Final = 3
_SERVER_TIMES: Final = ("server.pool.wait.time", "req.deserialize.time", "biz.impl.time", "resp.serialize.time")


def wall_ms(said: Field | None) -> int | None:
    """A local time as ms since the epoch, as if it were UTC; None for what is no time."""
    found = _TIME.fullmatch(said) if isinstance(said, str) else None
    if found is None:
        return None
    year, month, day, hour, minute, second, ms = map(int, found.groups())
    if not (year >= 1970 and 1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 61):
        return None
    return calendar.timegm((year, month, day, hour, minute, second)) * 1000 + ms


def cost_ms(fields: Mapping[str, Field]) -> int | None:
    """How long a span took; None where its line does not say."""
    for key in ("time.cost.milliseconds", "client.elapse.time", "total.cost.milliseconds"):
        if (found := _length(fields.get(key))) is not None:
            return found
    parts = [found for key in _SERVER_TIMES if (found := _length(fields.get(key))) is not None]
    return sum(parts) if parts else None


def _length(said: Field | None) -> int | None:
    if isinstance(said, bool) or said is None:
        return None
    text = str(said).removesuffix("ms")
    return int(text) if _LENGTH.fullmatch(text) else None


def offset_ms(lines: Iterable[Mapping[str, Field]]) -> int | None:
    """How far the clock of these lines is ahead of UTC, as far as their trace ids say; None for what this machine's zone says.

    The first spans of traces decide. Without one, at least three traces must agree on a zone that is not this machine's.
    """
    sure: Counter[int] = Counter()
    likely: dict[int, set[str]] = {}
    is_ours = False
    for fields in lines:
        found = _TRACE.match(str(fields.get("traceId", "")))
        wall = wall_ms(fields.get("time"))
        if found is None or wall is None:
            continue
        began = wall - max(0, cost_ms(fields) or 0)
        ahead = began - int(found[1])
        zone = round(ahead / _STEP_MS) * _STEP_MS
        if abs(zone) > _WIDEST_MS:
            continue
        if str(fields.get("spanId")) == "0" and abs(ahead - zone) <= _AT_ONCE_MS:
            sure[zone] += 1
        elif -_AT_ONCE_MS <= ahead - zone <= _SOON_MS:
            likely.setdefault(zone, set()).add(found[0])
            is_ours = is_ours or zone == began - _utc_ms(began)
    if sure:
        return sure.most_common(1)[0][0]
    if is_ours:
        return None
    zone, traces = max(likely.items(), key=lambda item: len(item[1]), default=(0, set()))
    return zone if len(traces) >= _ENOUGH else None


def epoch_ms(wall: int, offset: int | None) -> int:
    """ms since the epoch of a local time; `offset` as `offset_ms` says."""
    return _utc_ms(wall) if offset is None else wall - offset


def _utc_ms(wall: int) -> int:
    """A local time of this machine's zone as ms since the epoch."""
    seconds, ms = divmod(wall, 1000)
    try:
        return int(time.mktime((*time.gmtime(seconds)[:8], -1))) * 1000 + ms
    except (OverflowError, ValueError):
        return wall
