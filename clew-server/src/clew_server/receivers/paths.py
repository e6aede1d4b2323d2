"""Paths of a listener: whole ones, and patterns such as `/api/{project}/envelope/`. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

_NAME: Final = re.compile(r"\{([a-z_]+)\}")
_NO_PARTS: Final[Mapping[str, str]] = MappingProxyType({})


class Found(NamedTuple):
    """A path that is among them."""

    path: str
    """The whole path, or the pattern."""
    parts: Mapping[str, str]
    """The values of a pattern's parameters, by name."""


class Paths:
    """Looks up paths. `{name}` in a pattern stands for one segment, not empty. With `/` at its end, a pattern is found without too."""

    def __init__(self, paths: Iterable[str]) -> None:
        known = tuple(paths)
        self._whole: Final = {path: Found(path, _NO_PARTS) for path in known if "{" not in path}
        self._patterns: Final = tuple((path, _compiled(path)) for path in known if "{" in path)

    def find(self, path: str) -> Found | None:
        """None for a path that is not among them. A whole path goes before patterns, and those go by their order."""
        whole = self._whole.get(path)
        if whole is not None:
            return whole
        for pattern, expression in self._patterns:
            match = expression.fullmatch(path)
            if match is not None:
                return Found(pattern, match.groupdict())
        return None


def _compiled(pattern: str) -> re.Pattern[str]:
    ends = pattern.endswith("/")
    parts = _NAME.split(pattern.removesuffix("/") if ends else pattern)
    # Names stand at the odd places.
    written = [f"(?P<{one}>[^/]+)" if at % 2 else re.escape(one) for at, one in enumerate(parts)]
    return re.compile("".join(written) + ("/?" if ends else ""))
