"""What CAT's clients ask its router for: where to send, and how much. An ASGI app behind the listener `cat-router`.

Answers are small and have no line breaks: the client in C reads at most 2047 bytes.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final
from urllib.parse import parse_qs
from xml.sax.saxutils import quoteattr

PATH: Final = "/cat/s/router"
_PLAIN, _XML, _JSON = "text/plain", "text/xml", "application/json"
_WANTED: Final = {
    "sample": "1.0",
    "block": "false",
    "startTransactionTypes": "",
    "matchTransactionTypes": "",
}
"""Everything is to be sent, as it is: small transactions are not to be put together before they are sent."""

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Router:
    """Asked in the event loop only. `address` is that of the receiver `cat`; empty where it is not open."""

    def __init__(self, address: Callable[[], str]) -> None:
        self._address = address

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        if scope["type"] != "http":
            return
        if scope["path"] != PATH:
            await _answer(send, 404, _PLAIN, f"clew tells CAT's clients here where to send: GET {PATH}")
        elif scope["method"].upper() not in ("GET", "HEAD"):
            await _answer(send, 405, _PLAIN, "use GET")
        elif not (address := self._address()):
            await _answer(send, 503, _PLAIN, "the receiver 'cat' is not open: --receive cat,cat-router opens both")
        else:
            asked = parse_qs(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
            reached = (scope.get("server") or ("127.0.0.1", 0))[0]
            await _answer(send, 200, *answer(asked, _told(address, reached)))


def answer(asked: Mapping[str, list[str]], address: str) -> tuple[str, str]:
    """Media type and body for a client that asks so. `address`: where CAT's frames are taken, `IP:PORT`."""
    op = asked.get("op", [""])[-1]
    routers = f"{address};"
    values = {"routers": routers, **_WANTED}
    if op == "json" and "token" in asked:  # Java 4 reads the text of a Java map
        return _PLAIN, "{" + ", ".join(f"{key}={value}" for key, value in values.items()) + "}"
    if op == "json":
        return _JSON, json.dumps({"kvs": values}, separators=(",", ":"))
    if op == "xml":
        properties = "".join(
            f"<property id={quoteattr(key)} value={quoteattr(value)}/>" for key, value in values.items()
        )
        return _XML, f'<?xml version="1.0" encoding="utf-8"?><property-config>{properties}</property-config>'
    return _PLAIN, routers


def _told(address: str, reached: str) -> str:
    """The address to send to: where `cat` listens on all addresses, the one by which the router was reached."""
    host, _, port = address.rpartition(":")
    try:
        is_any = ipaddress.ip_address(host.strip("[]")).is_unspecified
    except ValueError:
        is_any = False
    if not is_any:
        return address
    return f"[{reached}]:{port}" if ":" in reached else f"{reached}:{port}"


async def _answer(send: _Send, status: int, media: str, body: str) -> None:
    raw = body.encode()
    headers = [(b"content-type", media.encode()), (b"content-length", str(len(raw)).encode())]
    if status == 405:
        headers.append((b"allow", b"GET, HEAD"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": raw})
