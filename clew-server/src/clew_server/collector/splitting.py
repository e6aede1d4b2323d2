"""Divides a segment that the store refuses, and records which of its records are set aside, in a file beside the segment.

What was decided is durable before the parts are inserted, so that after a crash the same parts are looked for: a part that
is stored is never stored again inside a larger one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from clew_server.collector import record
from clew_server.durable import write_durably
from clew_server.model.otlp_raw import one_span_requests

SUFFIX: Final = ".split"


class Splits:
    """Divided ranges and units set aside of one segment, kept in `<segment>.split`.

    A range is `<first>-<last>`: record numbers, or behind `<record>.` span numbers. A unit is `<record>` or
    `<record>.<span>`. Ranges are kept for each statement, units set aside for both.
    """

    def __init__(self, segment: Path) -> None:
        self._path = segment.with_suffix(SUFFIX)
        self._divided: set[str] = set()
        self.set_aside: set[str] = set()
        try:
            content = json.loads(self._path.read_bytes())
            self._divided, self.set_aside = set(content["divided"]), set(content["set_aside"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            pass  # nothing was divided; the file is written whole or not at all

    def is_divided(self, statement: str, run: str) -> bool:
        """Whether the run must not be inserted as one."""
        return f"{statement} {run}" in self._divided

    def divide(self, statement: str, run: str) -> None:
        """Remember, durably, that the run goes in by its halves. Raises OSError."""
        self._divided.add(f"{statement} {run}")
        self._write()

    def add_set_aside(self, unit: str) -> None:
        """Remember, durably, that the unit is in `dead-letter/`. Raises OSError."""
        self.set_aside.add(unit)
        self._write()

    def remove(self) -> None:
        """The segment is stored and deleted. Raises OSError."""
        self._path.unlink(missing_ok=True)

    def _write(self) -> None:
        content = {"divided": sorted(self._divided), "set_aside": sorted(self.set_aside)}
        write_durably(self._path, json.dumps(content).encode())


def records_of(data: bytes) -> list[bytes]:
    """The records of a segment, each with length and mark."""
    return [data[one.start : one.end] for one in record.scan(data).records]


def spans_of(one_record: bytes) -> list[bytes]:
    """A record of its own for each span of a record, with the same mark but for the checksum; in order."""
    read = record.read_record(one_record, 0)
    if read is None:
        return []
    made = []
    for body in one_span_requests(one_record[read.body : read.mark]):
        prefix = record.length_prefix(len(body))
        mark = record.make_mark(prefix, body, read.sequence, read.arrival_unix_nano, read.request_hash)
        made.append(prefix + body + mark)
    return made
