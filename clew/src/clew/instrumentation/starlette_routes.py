"""The route template of a finished ASGI request, as Starlette, FastAPI and Litestar leave it in the scope. Imports none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

# (id of the outermost router, of the application, of the route or endpoint) → all, held so that their ids stay theirs,
# and the template.
_templates: Final[dict[tuple[int, int, int], tuple[Any, Any, Any, str | None]]] = {}
_MAX_TEMPLATES: Final = 10_000


def template(scope: Mapping[str, Any]) -> str | None:
    """`/users/{id}`, prefixes of mounts and routers included; None when no route matched or the framework does not say."""
    found = scope.get("route")
    by_route = found is not None
    if not by_route:
        found = scope.get("endpoint")
        if found is None:
            # Litestar's own word.
            path = scope.get("path_template")
            return path if isinstance(path, str) and path else None
    # A router that was included in another is one object for all its places; this is the place.
    context = scope["fastapi"].get("effective_route_context") if "fastapi" in scope else None
    if context is not None:
        found = context
    app, router = scope.get("app"), scope.get("router")
    key = (id(router), id(app), id(found))
    known = _templates.get(key)
    if known is not None:
        return known[3]
    # The outermost router knows where everything is mounted.
    outermost = getattr(router, "routes", None)
    path = None if context is not None else _find(outermost, found, by_route)
    if path is None:
        within = _find(getattr(app, "routes", None), found, by_route) or (_path_of(found) if by_route else None)
        path = None if within is None else _prefix_of(outermost, app) + within
    # A mount that matched while nothing in it did is no route.
    if getattr(found, "routes", None):
        path = None
    if len(_templates) < _MAX_TEMPLATES:
        _templates[key] = (router, app, found, path)
    return path


def _prefix_of(routes: Iterable[Any] | None, app: Any) -> str:
    """Where an application is mounted; empty for the outermost."""
    for prefix, route in _walk(routes, "", 0):
        if app is not None and app in (getattr(route, "_base_app", None), getattr(route, "app", None)):
            return prefix + (_path_of(route) or "")
    return ""


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
