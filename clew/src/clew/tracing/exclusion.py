"""Which calls are not traced: paths, headers and callables, as an option or from OpenTelemetry's variable."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fnmatch import translate
from typing import TYPE_CHECKING, Any, Final

from clew import environment, guard

if TYPE_CHECKING:
    from clew.tracing.options import Exclusion
    from clew.transport import Call

#: Comma-separated regular expressions, searched for in the URL of each HTTP request a server answers.
EXCLUDED_URLS: Final = "OTEL_PYTHON_EXCLUDED_URLS"
_header: Final = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):\s*(.*)", re.DOTALL).fullmatch
# A parameter of a route: `{id}`, `{id:int}`, `<id>`, `<int:id>`; and those that take slashes too.
_parameter: Final = re.compile(r"\{[^{}/]*\}|<[^<>/]*>").search
_parameters: Final = re.compile(r"(\{[^{}/]*\}|<[^<>/]*>)").split
_spans_slashes: Final = re.compile(r"\{.*:path\}|<path:.*>").fullmatch


def exclusion_from_rules(rules: Sequence[Exclusion]) -> Callable[[Call], bool] | None:
    """What decides whether a call is left out; None where nothing is.

    Raises TypeError for a rule that is neither a string nor callable, and for a lone string instead of several.
    """
    if isinstance(rules, str):
        raise TypeError(f"exclude wants a sequence of rules: [{rules!r}]")
    checks = [_check(rule) for rule in rules]
    if not checks:
        return None

    def is_excluded(transport: Call) -> bool:
        for check in checks:
            try:
                if check(transport):
                    return True
            except Exception as failure:
                guard.swallow(f"deciding whether {transport.component} is excluded", failure)
        return False

    return is_excluded


def exclusion_from_environment() -> Callable[[Call], bool] | None:
    """What `OTEL_PYTHON_EXCLUDED_URLS` leaves out, HTTP requests only; None where it is not set, or makes no sense."""
    expressions = [part.strip() for part in (environment.text(EXCLUDED_URLS) or "").split(",") if part.strip()]
    if not expressions:
        return None
    try:
        search = re.compile("|".join(f"(?:{one})" for one in expressions)).search
    except re.error as error:
        guard.warn(EXCLUDED_URLS, "clew: %s is no regular expression and is ignored: %s", EXCLUDED_URLS, error)
        return None

    def is_excluded(transport: Call) -> bool:
        if transport.kind != "http":
            return False
        return search(str(getattr(transport, "url", None) or path_of(transport))) is not None

    return is_excluded


def path_of(transport: Call) -> str:
    """The transport's own `path`, or its operation as one: `/pkg.Service/Method`, `/users/{id}` of `GET /users/{id}`."""
    path: Any = getattr(transport, "path", None)
    if isinstance(path, str):
        return path
    operation = transport.operation
    before, slash, rest = operation.partition("/")
    return "/" + rest if slash and (not before or before.endswith(" ")) else "/" + operation


def _template(rule: str) -> Callable[[str], object] | None:
    """What matches the paths of a route template; None for a rule that is none."""
    if _parameter(rule) is None:
        return None
    expression = ""
    for number, piece in enumerate(_parameters(rule)):
        if number % 2:
            expression += ".+" if _spans_slashes(piece) else "[^/]+"
        else:
            expression += ".*".join(re.escape(part) for part in piece.split("*"))
    return re.compile(expression, re.DOTALL).fullmatch


def _check(rule: Exclusion) -> Callable[[Call], bool]:
    if callable(rule):
        return rule
    if not isinstance(rule, str):
        raise TypeError(f"a rule of exclude is a string or callable, not {type(rule).__name__}")
    if rule.startswith("/"):
        match = re.compile(translate(rule)).match
        template = _template(rule)
        if template is None:
            return lambda transport: match(path_of(transport)) is not None

        def is_of_template(transport: Call) -> bool:
            # A route that is known at the start decides; else a parameter stands for one part of the path.
            route: Any = getattr(transport, "route", None)
            if isinstance(route, str):
                return route == rule or match(route) is not None
            path = path_of(transport)
            return match(path) is not None or template(path) is not None

        return is_of_template
    header = _header(rule)
    if header is not None:
        name, matches = header[1].lower(), re.compile(translate(header[2].strip()), re.IGNORECASE).match
        return lambda transport: (
            transport.carrier is not None
            and any(matches(value.strip()) is not None for value in transport.carrier.get(name))
        )
    named = re.compile(translate(rule)).match
    return lambda transport: named(transport.operation) is not None
