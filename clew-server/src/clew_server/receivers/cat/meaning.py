"""What CAT's types say: the kind of a span, and the standard names for what its type, name, data and events tell. No I/O."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final
from urllib.parse import urlsplit

from clew_server.receivers.cat.tree import REMOTE_CALL, Event, Transaction
from clew_server.receivers.foreign.conventions import CLIENT, CONSUMER, INTERNAL, PRODUCER, SERVER, Value

EXCEPTIONS: Final = frozenset(("Exception", "RuntimeException", "Error"))
"""Types of events that are exceptions; `name` is the class and `data` the stack."""

_CACHES: Final = {"redis": "redis", "squirrel": "redis", "memcached": "memcached", "tair": "tair"}
_RPC: Final = {"dubbo": "apache_dubbo", "thrift": "apache_thrift", "grpc": "grpc", "pigeon": "pigeon"}
_key: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,63}", re.ASCII).fullmatch
_request: Final = re.compile(r"(HTTPS?)/([A-Za-z]{1,16}) (\S+)").fullmatch
_method: Final = re.compile(r"GET|HEAD|POST|PUT|DELETE|CONNECT|OPTIONS|TRACE|PATCH").fullmatch
_operation: Final = re.compile(r"[A-Za-z]{1,32}", re.ASCII).fullmatch
_database: Final = re.compile(r"(?:jdbc:)?([a-z0-9]{2,32}):(?:[a-z0-9+]{1,32}:)?//(\S{1,1024})").fullmatch
_DATABASES: Final = {"oracle": "oracle.db", "sqlserver": "microsoft.sql_server", "db2": "ibm.db2"}
_MOST_PAIRS: Final = 128


def kind_of(type_: str) -> int:
    """The kind of a transaction of this type."""
    if type_ == "URL" or type_.endswith("Service"):
        return SERVER
    if type_ == "SQL" or type_ == REMOTE_CALL or type_.endswith("Call") or type_.startswith(("Cache.", "Squirrel.")):
        return CLIENT
    if type_.endswith("Producer"):
        return PRODUCER
    if type_.endswith("Consumer"):
        return CONSUMER
    return INTERNAL


def pairs(data: str) -> dict[str, str]:
    """The keys and values of `k=v&k2=v2`; none where the data is anything else, or says a key twice."""
    if "=" not in data or data.count("&") >= _MOST_PAIRS:
        return {}
    parts = [part.partition("=") for part in data.split("&")]
    found = {key: value for key, sign, value in parts if sign and _key(key)}
    return found if len(found) == len(parts) else {}


def standard(one: Transaction, kind: int) -> dict[str, Value]:
    """Standard attributes for what a transaction and its events say."""
    found: dict[str, Value] = {}
    if one.type == "URL":
        path, _, query = one.name.partition("?")
        if path.startswith("/"):
            found["url.path"] = path
            if query:
                found["url.query"] = query
    elif one.type == "SQL":
        found["db.system.name"] = "other_sql"
        if one.data:
            found["db.query.text"] = one.data
    elif one.type.startswith(("Cache.", "Squirrel.")):
        _put_cache(found, one)
    elif one.type.endswith(("Call", "Service")):
        system = _RPC.get(one.type.removesuffix("Call").removesuffix("Service").lower())
        if system:
            found["rpc.system"] = system
        if one.name and one.type != REMOTE_CALL:
            found["rpc.method"] = one.name
    for event in one.events:
        rule = RULES.get(event.type) or RULES.get(f"{event.type}:{event.name}")
        if rule is None:
            owner, _, said = event.type.rpartition(".")
            rule = OF_CALLS.get(said) if owner == one.type and kind in (CLIENT, SERVER) else None
        if rule is not None:
            found |= {name: value for name, value in rule(event, kind) if value != ""}
    return found


def _put_cache(found: dict[str, Value], one: Transaction) -> None:
    words = one.type.split(".")
    system = _CACHES.get(words[0].lower()) or _CACHES.get(words[1].lower())
    if system:
        found["db.system.name"] = system
        for word in (one.name.rpartition(":")[2], one.name.partition(":")[0]):
            if ":" in one.name and _operation(word):
                found["db.operation.name"] = word
                break


_Found = Iterable[tuple[str, Value]]


def _http(event: Event, kind: int) -> _Found:
    """`HTTP/GET /path?query` as data, or a method as name."""
    request = _request(event.data)
    if request is None:
        return (("http.request.method", event.name),) if _method(event.name) else ()
    path, _, query = request[3].partition("?")
    return (
        ("url.scheme", request[1].lower()),
        ("http.request.method", request[2].upper()),
        ("url.path", path),
        ("url.query", query),
    )


def _http_client(event: Event, kind: int) -> _Found:
    """`IPS=…&VirtualIP=…&Server=…&Referer=…&Agent=…`. The agent comes last and may hold anything."""
    front, _, agent = event.data.partition("&Agent=")
    said = pairs(front)
    return (
        ("client.address", _said(said.get("IPS", "").partition(",")[0].strip())),
        ("network.peer.address", _said(said.get("VirtualIP", ""))),
        ("server.address", _said(said.get("Server", ""))),
        ("user_agent.original", _said(agent)),
    )


def _said(value: str) -> str:
    return "" if value in ("null", "unknown") else value


def _sql_method(event: Event, kind: int) -> _Found:
    return (("db.operation.name", event.name),)


def _sql_database(event: Event, kind: int) -> _Found:
    """The address of a database, as JDBC writes it."""
    found = _database(event.name)
    if found is None:
        return (("db.namespace", event.name),)
    address = found[2].partition("?")[0].partition(";")[0]
    more = _address(address.partition("/")[0], "server")
    return (
        ("db.system.name", _DATABASES.get(found[1], found[1])),
        ("db.namespace", address.partition("/")[2]),
        *more,
    )


def _address(text: str, side: str) -> tuple[tuple[str, Value], ...]:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname or "", parts.port or 0
    except ValueError:
        return ((f"{side}.address", text),)
    return ((f"{side}.address", host), (f"{side}.port", port)) if port else ((f"{side}.address", host),)


def _server(event: Event, kind: int) -> _Found:
    return _address(event.name, "server")


def _client(event: Event, kind: int) -> _Found:
    return _address(event.name, "client")


def _application(event: Event, kind: int) -> _Found:
    return (("peer.service", event.name),)


def _port(event: Event, kind: int) -> _Found:
    digits = event.name
    is_port = digits.isascii() and digits.isdecimal() and len(digits) < 6
    return (("server.port", int(digits)),) if is_port else ()


RULES: Final[dict[str, Callable[[Event, int], _Found]]] = {
    "URL.Method": _http,
    "URL:URL.Method": _http,
    "URL.Server": _http_client,
    "URL:URL.Server": _http_client,
    "SQL.Method": _sql_method,
    "SQL.Database": _sql_database,
}
# Behind the transaction's own type: `PigeonCall.app`.
OF_CALLS: Final[dict[str, Callable[[Event, int], _Found]]] = {
    "app": _application,
    "server": _server,
    "client": _client,
    "port": _port,
}
