"""What a call calls that sends no spans, by a name that can be read."""

from __future__ import annotations

import ipaddress

from clew_server.model.attributes import text_in_span, text_of
from clew_server.model.trace import Trace


def peer(trace: Trace, row: int) -> str:
    """What a CLIENT span says it calls; empty where it does not say.

    `peer.service`, else `server.address`, else `db.namespace`. Before an address that is a number, or this machine's own, stands
    the kind of database, with its namespace instead where it is this machine's; of a database that is a file the name of the file.
    """
    service = _text(trace, row, "peer.service")
    if service:
        return service
    address = _text(trace, row, "server.address", "net.peer.name")
    if address and not _is_number(address):
        return address
    namespace = _text(trace, row, "db.namespace", "db.name")
    system = _text(trace, row, "db.system.name", "db.system")
    if address:
        if not system:
            return address
        here = _is_this_machine(address) and namespace and not namespace.isdigit()
        return f"{system} {_file_name(namespace) if here else address}"
    if system and ("/" in namespace or "\\" in namespace or namespace.startswith(":")):
        return f"{system} {_file_name(namespace)}"
    return _file_name(namespace)


def _text(trace: Trace, row: int, *keys: str) -> str:
    """The value of the first of these attributes that is there and not empty, else empty."""
    for key in keys:
        text = text_in_span(trace.stored.raw[row], key)
        if text is None:
            return text_of(trace.span(row).attributes, *keys)
        if text:
            return text
    return ""


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
