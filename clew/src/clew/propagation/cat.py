"""CAT: message ids of the root, the caller's tree, and the tree the callee is to make."""

from __future__ import annotations

import itertools
import os
import re
import socket
import time
from typing import Final

from opentelemetry.context import Context
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)

from clew import ids
from clew.propagation._reading import (
    EMPTY,
    MAX_ORIGINAL_CHARS,
    current,
    one,
    original,
    with_original,
    with_parent,
)

ROOT_ID: Final = "x-cat-root-id"
PARENT_ID: Final = "x-cat-parent-id"
CHILD_ID: Final = "x-cat-id"
#: The names of three generations: root, parent, child.
GENERATIONS: Final = (
    (ROOT_ID, PARENT_ID, CHILD_ID),
    ("_catrootmessageid", "_catparentmessageid", "_catchildmessageid"),
    ("x-cat-root-message-id", "x-cat-root-parent-id", "x-cat-root-child-id"),
)

_message_id: Final = re.compile(r"[\x21-\x7e]{1,100}-[0-9a-f]{8}(?:\.\d{1,10})?-\d{1,10}-\d{1,10}", re.ASCII).fullmatch
_HOUR_S: Final = 3_600
_calls = itertools.count()
_address: str | None = None


class CatPropagator(TextMapPropagator):
    """Reads the headers of all three generations, writes the 4.x ones. CAT knows no sampling: all count as sampled."""

    #: Without any of these headers there is nothing to extract.
    reads: Final = tuple(names[2] for names in GENERATIONS)

    def __init__(self, callee_domain: str = "default") -> None:
        """`callee_domain` is that of the services called, under which CAT files their trees."""
        self._callee_domain = callee_domain

    def extract(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        getter: Getter[CarrierT] = default_getter,
    ) -> Context:
        if context is None:
            context = Context()
        for root_name, parent_name, child_name in GENERATIONS:
            child = one(carrier, getter, child_name)
            if child is None or not _message_id(child):
                continue
            parent = one(carrier, getter, parent_name) or ""
            root = one(carrier, getter, root_name) or parent or child
            if len(root) > MAX_ORIGINAL_CHARS or not _message_id(root):
                continue
            trace_id = ids.trace_id_from_cat(root)
            state = EMPTY if ids.trace_id_to_cat(trace_id) == root else with_original(root)
            return with_parent(context, trace_id, ids.parent_id_from_cat(child, parent), True, state)
        return context

    def inject(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        setter: Setter[CarrierT] = default_setter,
    ) -> None:
        found = current(context)
        if found is None:
            return
        _, parent, trace_id, span_id = found
        root = original(parent, ids.trace_id_from_cat)
        if root is None or not _message_id(root):
            root = ids.trace_id_to_cat(trace_id)
        setter.set(carrier, ROOT_ID, root)
        setter.set(carrier, PARENT_ID, ids.span_id_to_cat(span_id))
        setter.set(carrier, CHILD_ID, self._next_id())

    def _next_id(self) -> str:
        global _address
        if _address is None:
            _address = _own_address()
        hour = int(time.time()) // _HOUR_S
        # With the process, as CAT's clients do where several share an address.
        return f"{self._callee_domain}-{_address}.{os.getpid()}-{hour}-{next(_calls)}"

    @property
    def fields(self) -> set[str]:
        return {ROOT_ID, PARENT_ID, CHILD_ID}


def _own_address() -> str:
    # Connecting a datagram socket sends nothing, but shows which local address would be used.
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(("192.0.2.1", 9))
            return socket.inet_aton(probe.getsockname()[0]).hex()
    except OSError:
        return "7f000001"
