"""Single traces of a search as points over time and length, and the versions of services that came up meanwhile. No I/O."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

MOST_POINTS: Final = 5_000
MOST_VERSIONS: Final = 50


class Point(NamedTuple):
    """A trace; `has_failed` when it holds a failed span. The id is 32 lower-case hex digits."""

    start_unix_nano: int
    length_ns: int
    has_failed: bool
    trace_id: str


class Points(NamedTuple):
    """Traces that match: all of them, or of more those that failed first and a sample of the others.

    `reason` says why these are not all, by their number or by what could not be read.
    """

    points: Sequence[Point]
    reason: str | None

    @property
    def complete(self) -> bool:
        return self.reason is None


class Version(NamedTuple):
    """A value of `service.version`, and when the first span of a service with it started."""

    service: str
    version: str
    first_unix_nano: int


class Versions(NamedTuple):
    """`reason` says why these are not all, by their number or by what could not be read."""

    versions: Sequence[Version]
    reason: str | None

    @property
    def complete(self) -> bool:
        return self.reason is None


def newer_versions(seen: Iterable[Version], from_unix_nano: int) -> list[Version]:
    """Versions first seen from a time on, of services that had another version before: the earliest first.

    What a service begins with is no new version of it.
    """
    by_service: dict[str, list[Version]] = defaultdict(list)
    for one in seen:
        by_service[one.service].append(one)
    found = []
    for versions in by_service.values():
        earliest = min(one.first_unix_nano for one in versions)
        found += [one for one in versions if one.first_unix_nano >= from_unix_nano and one.first_unix_nano > earliest]
    return sorted(found, key=lambda one: (one.first_unix_nano, one.service, one.version))


def latest_versions(found: Sequence[Version], missing: str | None) -> Versions:
    """Those that came up last; `missing` says what could not be read."""
    reasons = [f"the {MOST_VERSIONS} that came up last of {len(found):,}"] if len(found) > MOST_VERSIONS else []
    reasons += [missing] if missing else []
    return Versions(found[-MOST_VERSIONS:], "; ".join(reasons) or None)
