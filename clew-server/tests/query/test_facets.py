"""Facets: those that tell most first, named as a query writes them."""

from __future__ import annotations

from clew_server.analysis.difference import difference
from clew_server.model.summary import Facet, FacetValue, Totals
from clew_server.query.facets import shown

OF = Totals(1_000, 100, 50, 40)


def facet(place: str, key: str, *values: tuple[str, int, int, int]) -> Facet:
    return Facet(place, key, [FacetValue(*value) for value in values])  # type: ignore[arg-type]


FACETS = [
    facet("language", "service", ("cart", 1_000, 100, 50), ("bank", 400, 40, 20)),
    facet("language", "status", ("unset", 1_000, 100, 50), ("error", 100, 100, 40)),
    facet("span", "region", ("north", 500, 95, 25), ("south", 500, 5, 25)),
    facet("resource", "service.version", ("2", 300, 30, 48), ("1", 700, 70, 2)),
    facet("span", "team", ("a", 1_000, 100, 50)),
    facet("span", "zone", ("a", 500, 50, 25), ("b", 500, 50, 25)),
    facet("resource", "zone", ("a", 600, 60, 30), ("b", 400, 40, 20)),
]


def test_what_the_failed_traces_share_comes_first_and_how_they_ended_does_not() -> None:
    found = shown(FACETS, OF, selected=False)
    assert [one.key for one in found] == [
        "region",
        "service",
        "status",
        "service.version",
        "resource.zone",
        "span.zone",
    ]
    assert (round(found[0].difference, 3), found[1].difference) == (0.5, 0.0)


def test_with_a_selection_what_it_shares_comes_first() -> None:
    found = shown(FACETS, OF, selected=True)
    assert found[0].key == "service.version"
    assert found[0].values[0] == FacetValue("2", 300, 30, 48)


def test_ten_values_are_given_and_the_others_counted() -> None:
    many = facet("span", "n", *[(str(number), 50 - number, 1, 0) for number in range(14)])
    (found,) = shown([many], OF, selected=False)
    assert (len(found.values), found.other) == (10, 4)


def test_a_difference_that_may_be_chance_is_none() -> None:
    assert difference(12, 100, 10, 100, tested=1) == 0.0
    assert difference(9, 9, 0, 1_000, tested=1) == 0.0  # too few
    assert difference(60, 100, 400, 1_000, tested=1) > 0.19
    assert difference(60, 100, 400, 1_000, tested=10_000) == 0.0  # one of so many may
    assert difference(0, 0, 5, 10, tested=1) == 0.0
    assert difference(100, 100, 1_000, 1_000, tested=1) == 0.0
