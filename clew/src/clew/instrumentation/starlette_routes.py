"""The route template of a finished ASGI request, as Starlette and FastAPI leave it in the scope. Imports neither."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

# (id of the application, id of the route or endpoint) → both, held so that their ids stay theirs, and the template.
_templates: Final[dict[tuple[int, int], tuple[Any, Any, str | None]]] = {}
_MAX_TEMPLATES: Final = 10_000


def template(scope: Mapping[str, Any]) -> str | None:
    """`/users/{id}`, mount prefixes included; None when no route matched or the framework does not say."""
    found = scope.get("route")
    by_route = found is not None
    if not by_route:
        found = scope.get("endpoint")
        if found is None:
            return None
    app = scope.get("app")
    key = (id(app), id(found))
    known = _templates.get(key)
    if known is not None:
        return known[2]
    path = _find(getattr(app, "routes", None), found, by_route)
    if path is None and by_route:
        path = _path_of(found)
    # A mount that matched while nothing in it did is no route.
    if getattr(found, "routes", None):
        path = None
    if len(_templates) < _MAX_TEMPLATES:
        _templates[key] = (app, found, path)
    return path


def _find(routes: Iterable[Any] | None, wanted: Any, by_route: bool) -> str | None:
    """The wanted route's template with the prefixes of the mounts it lies in."""
    for prefix, route in _walk(routes, "", 0):
        if (route if by_route else getattr(route, "endpoint", None)) is wanted:
            path = _path_of(route)
            return None if path is None else prefix + path
    return None


def _walk(routes: Iterable[Any] | None, prefix: str, depth: int) -> Iterator[tuple[str, Any]]:
    for route in routes or ():
        yield prefix, route
        inner = getattr(route, "routes", None)
        if inner and depth < 32:
            yield from _walk(inner, prefix + (_path_of(route) or ""), depth + 1)


def _path_of(route: Any) -> str | None:
    path = getattr(route, "path", None)
    return path if isinstance(path, str) else None
