"""The route template of a finished ASGI request, as Starlette, FastAPI and Litestar leave it in the scope. Imports none.

Starlette and FastAPI leave the route object, which does not know where its application is mounted: it is looked for in
the routes of the outermost router. Where one application is mounted several times, the path of the request decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

_MAX_TEMPLATES: Final = 10_000
_MAX_DEPTH: Final = 32


class _Place(NamedTuple):
    """One place where a route is reached: its template, and the expressions of mounts and route that lead there."""

    template: str
    expressions: tuple[Any, ...]


# (id of the outermost router, number of its routes, which may grow, id of the application, id of the route or endpoint)
# → the three objects, held so that their ids are not used again, and the places. Nothing of a request is in the key.
_places: Final[dict[tuple[int, int, int, int], tuple[Any, Any, Any, tuple[_Place, ...]]]] = {}


def template(scope: Mapping[str, Any]) -> str | None:
    """`/users/{id}`, with the prefixes of root path, mounts and routers; None when no route matched, or none is known."""
    route = _template(scope)
    if not route:
        return None
    root: Any = scope.get("app_root_path")
    if root is None:  # no mount has added its path to the root path
        root = scope.get("root_path")
    return root.rstrip("/") + route if root else route


def _template(scope: Mapping[str, Any]) -> str | None:
    found = scope.get("route")
    by_route = found is not None
    if not by_route:
        found = scope.get("endpoint")
    # Litestar's own key.
    litestar: Any = scope.get("path_template")
    if found is None:
        return litestar if isinstance(litestar, str) else None
    # FastAPI has one object for a router that is included twice; the context is the place. One that is left over from
    # an outer application has another route.
    context = scope["fastapi"].get("effective_route_context") if "fastapi" in scope else None
    if context is not None and (
        not by_route
        or found is getattr(context, "original_route", None)
        or found is getattr(context, "starlette_route", None)
        or hasattr(found, "effective_route_contexts")
    ):
        found, by_route = context, True
    app, router = scope.get("app"), scope.get("router")
    key = (id(router), len(getattr(router, "routes", ())), id(app), id(found))
    known = _places.get(key)
    if known is not None:
        places = known[3]
    else:
        places = tuple(_places_of(found, by_route, app, router))
        if len(_places) < _MAX_TEMPLATES:
            _places[key] = (router, app, found, places)
    if len(places) == 1:
        path: str | None = places[0].template
    else:
        path = _reached(places, scope)
    if isinstance(litestar, str):
        if _is_mount(found):
            return None if path is None else path + litestar  # Litestar within Starlette
        return None if path is None else _litestar_mount(scope) + path
    return path


def _places_of(found: Any, by_route: bool, app: Any, router: Any) -> Iterator[_Place]:
    if _routes_of(found):
        return  # a mount that matched while nothing in it did is no route
    # The outermost router knows where everything is mounted.
    outermost = _routes_of(router)
    is_found = False
    for before, route in _walk(outermost, (), 0):
        if _is_wanted(route, found, by_route):
            is_found = True
            yield _place(before, route)
    if is_found:
        return
    # In an application whose mount does not show its routes, as they are behind something else; else unknown to all.
    within = [
        _place(before, route) for before, route in _walk(_routes_of(app), (), 0) if _is_wanted(route, found, by_route)
    ]
    if not within and by_route and _path_of(found) is not None:
        within = [_place((), found)]
    if not within:
        return
    for before, mount in _walk(outermost, (), 0):
        if _is_mount(mount) and not _routes_of(mount):
            outside = _place(before, mount)
            for inside in within:
                yield _Place(outside.template + inside.template, (*outside.expressions, *inside.expressions))
    yield from within


def _walk(routes: Iterable[Any] | None, before: tuple[Any, ...], depth: int) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """All routes, each with the mounts it lies in."""
    for route in routes or ():
        contexts = getattr(route, "effective_route_contexts", None)
        # A router that FastAPI has included; its routes with their prefixes are made by it.
        for one in (route,) if contexts is None else contexts():
            yield before, one
            inner = _routes_of(one)
            if inner and depth < _MAX_DEPTH:
                yield from _walk(inner, (*before, one), depth + 1)


def _is_wanted(route: Any, found: Any, by_route: bool) -> bool:
    if not by_route:
        return getattr(_plain(route), "endpoint", None) is found and not _is_mount(_plain(route))
    return route is found or _plain(route) is found or getattr(route, "original_route", None) is found


def _plain(route: Any) -> Any:
    """What Starlette matches for a route within an included router."""
    return getattr(route, "starlette_route", None) or route


def _routes_of(owner: Any) -> list[Any] | None:
    """The routes of a router, application or mount, behind the middleware that is around it; None when it shows none."""
    owner = _plain(owner)
    if hasattr(owner, "endpoint"):
        return None
    for _ in range(_MAX_DEPTH):
        routes = None if _is_mount(owner) else getattr(owner, "routes", None)
        # Litestar's have another form.
        if isinstance(routes, list) and (not routes or hasattr(routes[0], "matches")):
            return routes
        owner = getattr(owner, "_base_app", None) or getattr(owner, "app", None)
        if owner is None:
            break
    return None


def _is_mount(route: Any) -> bool:
    """Whether it hands requests on to an application: `Mount` and `Host`."""
    route = _plain(route)
    return (
        hasattr(route, "app")
        and not hasattr(route, "endpoint")
        and (hasattr(route, "path_regex") or hasattr(route, "host_regex"))
    )


def _place(before: tuple[Any, ...], route: Any) -> _Place:
    steps = (*before, route)
    return _Place(
        "".join(_path_of(step) or "" for step in steps),
        tuple(getattr(_plain(step), "path_regex", None) for step in steps),
    )


def _path_of(route: Any) -> str | None:
    path = getattr(_plain(route), "path", None)
    return path if isinstance(path, str) else None


def _reached(places: tuple[_Place, ...], scope: Mapping[str, Any]) -> str | None:
    """The template of the first place that the request's path leads to, as a router would take it."""
    path = str(scope.get("path", ""))
    root = str(scope.get("app_root_path", scope.get("root_path", "")) or "")
    if root and path.startswith(root) and path[len(root) : len(root) + 1] in ("", "/"):
        path = path[len(root) :]
    for place in places:
        rest: str | None = path
        for expression in place.expressions:
            if expression is None or rest is None:  # a host, which takes the whole path
                continue
            match = expression.match(rest)
            if match is None:
                break
            left = match.groupdict().get("path")
            rest = "/" + left if isinstance(left, str) else rest
        else:
            return place.template
    return None


def _litestar_mount(scope: Mapping[str, Any]) -> str:
    """Where Litestar has mounted the application that it handed the rest of the path to."""
    if not getattr(scope.get("route_handler"), "is_mount", False):
        return ""
    whole = unquote(bytes(scope.get("raw_path") or b"").decode("latin-1")).rstrip("/")
    rest = str(scope.get("path", "")).rstrip("/")
    return whole.removesuffix(rest) if whole.endswith(rest) else ""
