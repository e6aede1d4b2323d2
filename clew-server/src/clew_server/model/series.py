"""Counts and durations of spans over time, as values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from clew_server.model.query_tree import ANY, Braces


@dataclass(frozen=True, slots=True)
class SeriesAsked:
    """Of spans that start from `from_unix_nano` to before `to_unix_nano` and for which `where` holds, in steps of `step_ns`.

    `by` are `service`, `name`, `kind`, `status` (both as numbers) or `attr:KEY`; `levels` quantiles of durations, from 0 to 1.
    """

    from_unix_nano: int
    to_unix_nano: int
    step_ns: int
    where: Braces = ANY
    by: tuple[str, ...] = ()
    levels: tuple[float, ...] = ()


class Point(NamedTuple):
    """What there is in one step; `step` counts from 0 at the first. `labels` are in the order of `by`."""

    step: int
    labels: tuple[str, ...]
    spans: int
    sum_ns: int
    min_ns: int
    max_ns: int
    quantiles_ns: tuple[float, ...]


class Series(NamedTuple):
    """Points by labels and step; steps without a span have none. `missing` says what of the store could not be read, or None."""

    points: Sequence[Point]
    missing: str | None
