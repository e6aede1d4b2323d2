"""Whether a share in one population differs from the share in another one, by significance or not at all. Pure."""

from __future__ import annotations

from functools import cache
from math import log, sqrt
from statistics import NormalDist
from typing import Final

_LEAST: Final = 10
_LEAST_SHARE: Final = 0.01
_LEAST_RATIO: Final = 1.2
_ERROR_RATE: Final = 0.05


def difference(hits: int, of: int, other_hits: int, of_others: int, *, tested: int) -> float:
    """By how much the share `hits` of `of` is above the share of the others; 0 where that may be chance, or is little.

    `tested` is how many such questions are asked of the same populations (Bonferroni).
    """
    if not of or not of_others or hits < max(_LEAST, _LEAST_SHARE * of):
        return 0.0
    share, other = hits / of, other_hits / of_others
    if share <= _LEAST_RATIO * other:
        return 0.0
    pooled = (hits + other_hits) / (of + of_others)
    spread = sqrt(pooled * (1 - pooled) * (1 / of + 1 / of_others))
    if not spread or (share - other) / spread <= z_limit(tested):
        return 0.0
    return share - other


@cache
def z_limit(tested: int) -> float:
    """Above this a z is no chance, of so many that are looked at."""
    return NormalDist().inv_cdf(1 - _ERROR_RATE / (2 * max(1, tested)))


def none_by_chance(calls: int, since: int, before: int, *, tested: int) -> bool:
    """Whether none of so many calls came before a time for another reason than chance, of all calls so many having come before and since."""
    if not before:
        return False
    return calls * log(since / (since + before)) < log(_ERROR_RATE / (2 * max(1, tested))) if since else calls > 0
