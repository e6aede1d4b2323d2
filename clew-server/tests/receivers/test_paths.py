"""Paths of a listener, whole and as patterns."""

from __future__ import annotations

import pytest

from clew_server.receivers.paths import Paths

PATHS = Paths(("/v1/spans", "/api/{project}/envelope/", "/{service}/api/{project}/envelope/", "/{service}/spans"))


@pytest.mark.parametrize(
    ("path", "found", "parts"),
    [
        ("/v1/spans", "/v1/spans", {}),
        ("/v2/spans", "/{service}/spans", {"service": "v2"}),
        ("/api/7/envelope/", "/api/{project}/envelope/", {"project": "7"}),
        ("/api/7/envelope", "/api/{project}/envelope/", {"project": "7"}),
        ("/shop/api/7/envelope/", "/{service}/api/{project}/envelope/", {"service": "shop", "project": "7"}),
    ],
)
def test_a_pattern_names_what_stood_in_its_places(path: str, found: str, parts: dict[str, str]) -> None:
    one = PATHS.find(path)
    assert one is not None
    assert (one.path, one.parts) == (found, parts)


@pytest.mark.parametrize(
    "path",
    ["", "/", "/v1/spans/", "/api//envelope/", "/api/7/8/envelope/", "/api/7/envelope//", "/a/b/api/7/envelope/"],
)
def test_a_place_is_one_segment_and_never_empty(path: str) -> None:
    assert PATHS.find(path) is None


def test_marks_of_expressions_in_a_path_stand_for_themselves() -> None:
    assert Paths(("/a.b/{x}/",)).find("/aXb/1/") is None
