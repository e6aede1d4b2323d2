"""Spans that wait for what stands behind them in the file, and leave as requests of a bounded size. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

from clew_server.errors import TooLarge
from clew_server.model.otlp_raw import parse_raw
from clew_server.receivers.files.contract import MAX_HELD_BYTES, PART_BYTES, Part


class Held:
    """How many bytes of spans are waiting. Raises TooLarge beyond the limit."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._bytes = 0

    def add(self, size: int) -> None:
        self._bytes += size
        if self._bytes > MAX_HELD_BYTES:
            raise TooLarge(f"{self._what} of more than {MAX_HELD_BYTES >> 20} MiB: it must fit into memory")


def parts_of(
    resource: bytes, resource_url: bytes, scopes: Sequence[tuple[bytes, bytes, Sequence[bytes]]]
) -> Iterator[Part]:
    """Requests of these spans. All is protobuf; a scope comes with its schema URL and its spans."""
    made: Any = None
    size = count = 0
    for scope, scope_url, spans in scopes:
        group: Any = None
        for span in spans:
            if made is None:
                made = parse_raw(b"")
                of_resource = made.resource_spans.add(resource=resource, schema_url=resource_url)
                size, count, group = len(resource), 0, None
            if group is None:
                group = of_resource.scope_spans.add(scope=scope, schema_url=scope_url)
            group.spans.append(span)
            size += len(span)
            count += 1
            if size >= PART_BYTES:
                yield Part(cast("bytes", made.SerializeToString()), count)
                made = None
    if made is not None:
        yield Part(cast("bytes", made.SerializeToString()), count)
