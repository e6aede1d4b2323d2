"""HTTP requests of the commands to a clew server: checks of address and token, the request itself, error messages.

Proxies: none for an address of this machine; for any other, `http_proxy`, `https_proxy` and `no_proxy` apply.
Redirects are not followed, because the token would be sent to their target.
"""

from __future__ import annotations

import json
import re
from http.client import HTTPException
from typing import Any, Final, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener, getproxies, proxy_bypass

DEFAULT_SERVER: Final = "http://127.0.0.1:16686"
FAILURES: Final = (OSError, HTTPException, ValueError)
"""What `answer` raises: no connection, no JSON; HTTPError, which is an OSError, for an error status."""

_MAX_ERROR_BYTES: Final = 64 * 1024


def check_address(url: str) -> None:
    """Raise ValueError with a message for the user if `url` cannot be the address of a server."""
    example = f"wants an address such as {DEFAULT_SERVER}"
    if re.search(r"[^\x21-\x7e]", url):
        raise ValueError(f"{url!r}: {example}, in ASCII and without spaces")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"{url!r}: {example} ({error})") from None
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError(f"{url!r}: {example}")
    if parts.query or parts.fragment:
        raise ValueError(f"{url!r}: {example}, without ? and #")


def check_server(url: str) -> None:
    """As `check_address`, for the server's API, which accepts a token but no user and password."""
    check_address(url)
    if urlsplit(url).username is not None:
        raise ValueError(f"--server with a user and password is not possible; wants {DEFAULT_SERVER} and --token-file")


def authorization(token_file: str | None) -> dict[str, str]:
    """The `Authorization` header with the token of the file, {} without a file. Raises ValueError with a message."""
    if not token_file:
        return {}
    try:
        with open(token_file, encoding="ascii") as file:
            token = file.read().strip()
    except OSError as error:
        raise ValueError(f"--token-file {token_file}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ValueError(f"--token-file {token_file}: the token may hold ASCII characters only") from None
    if not token or not re.fullmatch(r"[\x21-\x7e]+", token):
        raise ValueError(f"--token-file {token_file}: wants one token on one line")
    return {"Authorization": f"Bearer {token}"}


def is_local(url: str) -> bool:
    """Whether the address is of this machine, for which no proxy is used."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    return (
        host in ("localhost", "::1")
        or host.endswith(".localhost")
        or re.fullmatch(r"127(\.\d+){1,3}", host) is not None
    )


def proxy_of(url: str) -> str | None:
    """The proxy that is asked for the address, without user and password; None where it is asked straight."""
    parts = urlsplit(url)
    proxy = getproxies().get(parts.scheme)
    if not proxy or is_local(url) or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    return re.sub(r"^(\w+://)?[^/]*@", lambda found: found[1] or "", proxy)


class _Stay(HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def opened(request: Request, timeout_s: float) -> Any:
    """The open response of a server; the caller closes it. Raises OSError, HTTPException, or HTTPError for an error status."""
    local = is_local(request.full_url)
    opener = build_opener(ProxyHandler({}) if local else ProxyHandler(), _Stay)
    return opener.open(request, timeout=timeout_s)


def answer(request: Request, timeout_s: float) -> tuple[Any, dict[str, str]]:
    """The JSON body and the headers (names in lower case) of the response. Raises one of FAILURES."""
    with opened(request, timeout_s) as response:
        try:
            parsed = json.loads(response.read())
        except RecursionError:
            raise ValueError("its answer is nested too deeply") from None
        except ValueError:
            raise ValueError("its answer is not JSON") from None
        return parsed, {name.lower(): value for name, value in response.headers.items()}


class Refusal(NamedTuple):
    """What a clew server says of a request that it refuses."""

    code: str
    message: str
    position: int | None
    """The character of a query that it is about."""


def refusal(error: HTTPError) -> Refusal | None:
    """What a clew server's error says; None if the response is not from a clew server."""
    try:
        found = json.loads(error.read(_MAX_ERROR_BYTES))["error"]
        code, message, position = found["code"], found["message"], found.get("position")
    except (*FAILURES, KeyError, TypeError, AttributeError, RecursionError):
        return None
    if not isinstance(code, str) or not isinstance(message, str):
        return None
    return Refusal(code, message, position if isinstance(position, int) else None)


def reason(error: BaseException) -> str:
    """A short message for a failure."""
    if isinstance(error, HTTPError):
        text = f"HTTP {error.code} {error.reason}".rstrip()
        to = error.headers.get("Location") if 300 <= error.code < 400 and error.headers else None
        return f"{text}, to {to}: give the address it leads to" if to else text
    inner = error.reason if isinstance(error, URLError) else error
    return str(inner) or type(inner).__name__
