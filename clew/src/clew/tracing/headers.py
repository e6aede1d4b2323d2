"""Attributes from headers: captured headers, and the address of the client behind trusted proxies."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from fnmatch import translate
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any, Final

from clew import environment, guard
from clew.tracing.attributes import redacted_text

if TYPE_CHECKING:
    from opentelemetry.util.types import AttributeValue

    from clew.carriers import Carrier

REDACTED: Final = "REDACTED"
_VARIABLE: Final = "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_"
SANITIZE: Final = _VARIABLE + "SANITIZE_FIELDS"
# Headers that carry a credential; their presence may be recorded, their value never.
_secret: Final = re.compile(
    r"(proxy-)?authori[sz]ation|(set-)?cookie2?|.*(password|passwd|secret|token|api-?_?key|credential|session-?_?id).*"
    r"|x-amz-signature|x-csrf.*|x-xsrf.*",
    re.IGNORECASE,
).fullmatch
_PLAIN: Final = re.compile(r"[0-9A-Za-z_-]+").fullmatch


class HeaderCapture:
    """Headers of these names as attributes; a name may be a glob (`x-shop-*`). Values of credentials are `REDACTED`."""

    __slots__ = ("_matches", "_plain", "_prefix", "_sanitized")

    def __init__(self, names: Iterable[str], prefix: str, *, are_expressions: bool = False) -> None:
        """`prefix` is `http.request.header.` or the like. Raises TypeError for a lone string, re.error if it is none."""
        if isinstance(names, str):
            raise TypeError(f"several names are wanted: [{names!r}]")
        given = [name.strip().lower() for name in names if name.strip()]
        self._prefix = prefix
        self._plain = tuple(dict.fromkeys(name for name in given if _PLAIN(name)))
        patterns = [name if are_expressions else translate(name) for name in given if not _PLAIN(name)]
        self._matches: Callable[[str], Any] | None = (
            re.compile("|".join(f"(?:{one})" for one in patterns), re.IGNORECASE).fullmatch if patterns else None
        )
        self._sanitized = _sanitized_by_environment()

    @property
    def is_empty(self) -> bool:
        """Whether no header is asked for."""
        return not self._plain and self._matches is None

    def attributes(self, carrier: Carrier) -> dict[str, AttributeValue]:
        """Each header found, as the list of its values in order."""
        names: Iterable[str] = self._plain
        if self._matches is not None:
            present = carrier.keys()
            names = dict.fromkeys((*self._plain, *filter(self._matches, present)))
        found: dict[str, AttributeValue] = {}
        for name in names:
            values = carrier.get(name)
            if values:
                found[self._prefix + name] = (
                    [REDACTED] * len(values) if self._is_secret(name) else [redacted_text(value) for value in values]
                )
        return found

    def _is_secret(self, name: str) -> bool:
        return _secret(name) is not None or (self._sanitized is not None and self._sanitized(name) is not None)


def capture_from_names(names: Sequence[str] | None, *, server: bool, response: bool) -> HeaderCapture | None:
    """Headers to keep of one direction: those named, else those of OpenTelemetry's variable; None for none at all.

    `OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST` and its three siblings hold names or regular
    expressions. Raises TypeError for a lone string.
    """
    prefix = f"http.{'response' if response else 'request'}.header."
    if names is not None:
        capture = HeaderCapture(names, prefix)
    else:
        variable = f"{_VARIABLE}{'SERVER' if server else 'CLIENT'}_{'RESPONSE' if response else 'REQUEST'}"
        text = environment.text(variable) or ""
        if not text.strip():
            return None
        try:
            capture = HeaderCapture(text.split(","), prefix, are_expressions=True)
        except re.error as error:
            guard.warn(variable, "clew: %s is no regular expression and is ignored: %s", variable, error)
            return None
    return None if capture.is_empty else capture


def _sanitized_by_environment() -> Callable[[str], Any] | None:
    parts = [part.strip() for part in (environment.text(SANITIZE) or "").split(",") if part.strip()]
    if not parts:
        return None
    try:
        return re.compile("|".join(f"(?:{one})" for one in parts), re.IGNORECASE).fullmatch
    except re.error as error:
        guard.warn(SANITIZE, "clew: %s is no regular expression; every captured value is redacted: %s", SANITIZE, error)
        return re.compile(".*").fullmatch


class TrustedProxies:
    """The proxies whose `Forwarded` and `X-Forwarded-For` are believed: addresses, networks, or `*` for all."""

    __slots__ = ("_everyone", "_names", "_networks")

    def __init__(self, proxies: Iterable[str]) -> None:
        """Names that are no address, `unix` say, are compared as they are. Raises TypeError for a lone string."""
        if isinstance(proxies, str):
            raise TypeError(f"several addresses are wanted: [{proxies!r}]")
        networks: list[Any] = []
        names: set[str] = set()
        for proxy in proxies:
            try:
                networks.append(ip_network(proxy, strict=False))
            except ValueError:
                names.add(proxy)
        self._everyone = "*" in names
        self._networks = tuple(networks)
        self._names = frozenset(names)

    def client(self, address: str, carrier: Carrier) -> str:
        """The nearest address that no trusted proxy has; `address`, that of the socket, when its owner is not trusted."""
        if not self._is_trusted(address):
            return address
        nearest = address
        for claimed in reversed(_forwarded_for(carrier)):
            nearest = claimed
            if not self._is_trusted(claimed):
                break
        return nearest

    def _is_trusted(self, address: str) -> bool:
        if self._everyone or address in self._names:
            return True
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        mapped = getattr(parsed, "ipv4_mapped", None)
        return any(parsed in network or (mapped is not None and mapped in network) for network in self._networks)


_for: Final = re.compile(r'(?:^|;)\s*for\s*=\s*("(?:[^"\\]|\\.)*"|[^;,\s]+)', re.IGNORECASE).search


def _forwarded_for(carrier: Carrier) -> list[str]:
    """The client of each proxy on the way, that of the first proxy first; `Forwarded` (RFC 7239) is preferred."""
    claimed: list[str] = []
    for header in carrier.get("forwarded"):
        for element in header.split(","):
            match = _for(element)
            if match is not None:
                claimed.append(_address(match[1].strip('"')))
    if not claimed:
        for header in carrier.get("x-forwarded-for"):
            claimed += [_address(part) for part in header.split(",") if part.strip()]
    return claimed


def _address(text: str) -> str:
    """Without port and brackets."""
    text = text.strip().strip('"')
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text
