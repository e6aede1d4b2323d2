"""Records that neither the store's parser nor ours can read: set aside with their reason, so that the rest can go in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from clew_server.collector import record
from clew_server.collector.wal import write_durably
from clew_server.model.otlp_raw import count_spans


class Run(NamedTuple):
    """Consecutive good records of a segment: numbers of the first and last, and their bytes."""

    first: int
    last: int
    data: bytes


class Refused(NamedTuple):
    """One record our own parser refuses too."""

    number: int
    data: bytes
    reason: str


def split(data: bytes) -> tuple[list[Run], list[Refused]]:
    """Part a segment's good records from its broken ones, by record numbers; the same bytes always split alike.

    A record counts as broken when the generated OTLP parser refuses its request.
    """
    runs: list[Run] = []
    refused: list[Refused] = []
    start = 0
    good: list[tuple[int, int, int]] = []

    def end_run() -> None:
        if good:
            runs.append(Run(good[0][0], good[-1][0], data[good[0][1] : good[-1][2]]))
            good.clear()

    for number, one in enumerate(record.scan(data).records):
        start = one.start
        try:
            ExportTraceServiceRequest.FromString(data[one.body : one.mark])
        except DecodeError as error:
            end_run()
            refused.append(Refused(number, data[start : one.end], str(error)))
        else:
            good.append((number, start, one.end))
    end_run()
    return runs, refused


class DeadLetters:
    """The folder `dead-letter/`: for each broken record `<segment>-<number>.otlp`, and `.json` that says why."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, segment: str, refused: Refused) -> int:
        """Keep a record, once however often it comes; the spans in it. Raises OSError."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = f"{segment}-{refused.number:06d}"
        read = record.read_record(refused.data, 0)
        # Unreadable even one level deep: at least one span was meant.
        spans = max(1, count_spans(refused.data[read.body : read.mark])) if read else 1
        write_durably(self._folder / f"{name}.otlp", refused.data)
        reason = {"segment": segment, "record": refused.number, "spans": spans, "reason": refused.reason}
        write_durably(self._folder / f"{name}.json", json.dumps(reason).encode() + b"\n")
        return spans

    def spans(self) -> int:
        """Spans set aside in all, also before a restart."""
        total = 0
        for path in self._folder.glob("*.json"):
            try:
                total += int(json.loads(path.read_bytes())["spans"])
            except (OSError, ValueError, KeyError, TypeError):
                total += 1
        return total
