"""Access checks, an ASGI layer around every HTTP port: host names, token, cross-site requests, security headers."""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from clew_server.config import is_loopback

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]
RefusalBody = Callable[[int, str, str, str], tuple[str, bytes]]
"""(HTTP status, code, message, the request's Content-Type) → (Content-Type, body) of a refusal."""
TokenOf = Callable[[Scope], str]
"""A request → the token that it says elsewhere than in `Authorization`, empty where it says none."""

_SECURITY_HEADERS = (
    (b"content-security-policy", b"default-src 'self'; base-uri 'self'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_OPEN_PATHS = frozenset(("/healthz", "/readyz"))


class Guard:
    """Wraps `app`. `is_open(path)` names the paths that need no token (the UI's own files); CORS stays closed.

    On loopback the Host header must be a loopback name, so that a page of another site that points its own name at
    127.0.0.1 (DNS rebinding) reads nothing. A write that a browser sends for another origin is refused as well.
    `refusal_body` writes refusals in the protocol behind the guard; without it they are the API's errors. `token_of` is for
    protocols whose clients have another place for a token; it counts where `Authorization` has none that is right.
    """

    def __init__(
        self,
        app: AsgiApp,
        *,
        token: str | None,
        loopback: bool,
        is_open: Callable[[str], bool] = lambda path: False,
        refusal_body: RefusalBody | None = None,
        token_of: TokenOf | None = None,
    ) -> None:
        self._app = app
        self._refusal_body = refusal_body or _api_error
        self._token_of = token_of
        self._token = token.encode("ascii") if token else None
        self._loopback = loopback
        self._is_open = is_open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
                return
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_SECURITY_HEADERS]
            await send(message)

        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, send_with_headers)
        else:
            status, code, message = refusal
            asked = dict(scope["headers"]).get(b"content-type", b"").decode("latin-1")
            media, body = self._refusal_body(status, code, message, asked)
            await _refuse(send_with_headers, status, media, body)

    def _refusal(self, scope: Scope) -> tuple[int, str, str] | None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        if self._loopback and not is_loopback(_name_of(host)):
            return (
                403,
                "host",
                f"clew listens for this machine only and does not answer for the name {host!r}; use 127.0.0.1 or localhost",
            )
        if scope["method"] not in ("GET", "HEAD") and _is_of_another_origin(headers, host):
            return 403, "origin", "requests from pages of other origins are refused"
        path = scope["path"]
        if self._token is None or path in _OPEN_PATHS or self._is_open(path):
            return None
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() == b"bearer" and hmac.compare_digest(given.strip(), self._token):
            return None
        if self._token_of is not None:
            said = self._token_of(scope).encode("utf-8", "replace")
            if said and hmac.compare_digest(said, self._token):
                return None
        return 401, "unauthenticated", "send the token of this server as 'Authorization: Bearer TOKEN'"


def _is_of_another_origin(headers: dict[bytes, bytes], host: str) -> bool:
    # The browser's own word where it gives it: behind a proxy that changes Host, only it knows the page's origin.
    site = headers.get(b"sec-fetch-site")
    if site is not None:
        return site not in (b"same-origin", b"none")
    origin = headers.get(b"origin")
    return origin is not None and origin.decode("latin-1").split("://")[-1] != host


def _name_of(host: str) -> str:
    """The name without its port; empty for what is not a name and a port."""
    name, colon, port = host.rpartition(":") if not host.endswith("]") else (host, "", "")
    if not colon:
        name = host
    elif port and not (port.isascii() and port.isdigit()):
        return ""
    if name.startswith("[") != name.endswith("]") or (":" in name and not name.startswith("[")):
        return ""
    return name


def _api_error(status: int, code: str, message: str, content_type: str) -> tuple[str, bytes]:
    return "application/json", json.dumps({"error": {"code": code, "message": message, "position": None}}).encode()


async def _refuse(send: Send, status: int, media: str, body: bytes) -> None:
    headers = [(b"content-type", media.encode("latin-1")), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
