"""What a call calls that sends no spans, by a name that can be read."""

from __future__ import annotations

import ipaddress
from typing import Final

from clew_server.model.attributes import text_in_span, text_of
from clew_server.model.trace import Trace

_SERVICE, _ADDRESS, _NAMESPACE, _SYSTEM = 0, 1, 2, 3
_KEYS: Final[tuple[tuple[str, ...], ...]] = (
    ("peer.service",),
    ("server.address", "net.peer.name"),
    ("db.namespace", "db.name"),
    ("db.system.name", "db.system"),
)


def peer(trace: Trace, row: int) -> str:
    """What a CLIENT span says it calls; empty where it does not say.

    `peer.service`, else `server.address`, else `db.namespace`. Before an address that is a number, or this machine's own, stands
    the kind of database, with its namespace instead where it is this machine's; of a database that is a file the name of the file.
    """
    known = _texts(trace, row)
    service, address, namespace, system = known[_SERVICE], known[_ADDRESS], known[_NAMESPACE], known[_SYSTEM]
    if service:
        return service
    if address:
        if not system or not _is_number(address):
            return address
        here = _is_this_machine(address) and namespace and not namespace.isdigit()
        return f"{system} {_file_name(namespace) if here else address}"
    if system and ("/" in namespace or "\\" in namespace or namespace.startswith(":")):
        return f"{system} {_file_name(namespace)}"
    return _file_name(namespace)


def _texts(trace: Trace, row: int) -> list[str]:
    """The value of the first key of each group, empty where it has none."""
    raw = trace.stored.raw[row]
    found: list[str] = []
    for keys in _KEYS:
        texts = [text_in_span(raw, key) for key in keys]
        if None in texts:
            attributes = trace.span(row).attributes
            return [text_of(attributes, *some) for some in _KEYS]
        found.append(next(filter(None, texts), ""))
    return found


def _is_number(address: str) -> bool:
    """An address of IP, or the name that every machine has for itself."""
    if address == "localhost":
        return True
    try:
        ipaddress.ip_address(address.strip("[]"))
    except ValueError:
        return False
    return True


def _is_this_machine(address: str) -> bool:
    return address == "localhost" or ipaddress.ip_address(address.strip("[]")).is_loopback


def _file_name(namespace: str) -> str:
    """Of a path its last part."""
    return namespace.replace("\\", "/").rstrip("/").rpartition("/")[2] or namespace
