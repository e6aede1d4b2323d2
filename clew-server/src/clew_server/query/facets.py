"""Facets as a page shows them: named as a query writes them, those first that tell most. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

from clew_server.analysis.difference import difference
from clew_server.model.summary import SHOWN_VALUES, Facet, FacetPlace, FacetValue, Totals
from clew_server.query.language.keys import written

MOST_FACETS: Final = 20
_OWN: Final = ("service", "name", "kind", "status")
_OUTCOMES: Final = frozenset(
    ("status", "error.type", "http.response.status_code", "rpc.response.status_code", "otel.status_code")
)
"""What says how it ended differs between those that failed and the others by itself."""


class ShownFacet(NamedTuple):
    """`difference` is by how much of the share its most telling value differs, 0 where nothing is significant; `other` counts further values."""

    key: str
    difference: float
    values: list[FacetValue]
    other: int


def shown(facets: list[Facet], of: Totals, *, selected: bool) -> list[ShownFacet]:
    """The facets, those first that differ most: the selection from the rest, without one the failed traces from the others.

    Then service, name, kind and status, then the attributes that most traces have. What says how it ended comes after what may be a cause.
    """
    tested = sum(len(facet.values) for facet in facets)
    keys = {(facet.place, facet.key) for facet in facets}
    ranked: list[tuple[tuple[float, int, int, str], ShownFacet]] = []
    for facet in facets:
        name = _name(facet, keys)
        alone = len(facet.values) == 1 and facet.values[0].traces == of.matched
        if name is None or (facet.place != "language" and alone):
            continue
        most = max((_difference(value, of, selected, tested) for value in facet.values), default=0.0)
        order = _OWN.index(facet.key) if facet.place == "language" else len(_OWN)
        rank = (0.0 if facet.key in _OUTCOMES else -most, order, -max(value.traces for value in facet.values), name)
        values = list(facet.values)
        ranked.append((rank, ShownFacet(name, most, values[:SHOWN_VALUES], max(0, len(values) - SHOWN_VALUES))))
    return [facet for _, facet in sorted(ranked, key=lambda one: one[0])[:MOST_FACETS]]


def _difference(value: FacetValue, of: Totals, selected: bool, tested: int) -> float:
    hits, population = (value.selected, of.selected) if selected else (value.failed, of.failed)
    return difference(hits, population, value.traces - hits, of.matched - population, tested=tested)


def _name(facet: Facet, keys: set[tuple[FacetPlace, str]]) -> str | None:
    if facet.place == "language":
        return facet.key
    other: FacetPlace = "resource" if facet.place == "span" else "span"
    # In both places the plain key would be the span's, else the resource's.
    return written(facet.key, f"{facet.place}." if (other, facet.key) in keys else "")
