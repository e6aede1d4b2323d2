"""Records and spans that the store refuses: set aside with their reason, so that the rest can go in."""

from __future__ import annotations

import json
from pathlib import Path

from clew_server.collector import record
from clew_server.durable import write_durably
from clew_server.model.otlp_raw import count_spans


class DeadLetters:
    """The folder `dead-letter/`: for each unit `<segment>-<unit>.otlp`, and `.json` that says why.

    A unit is a record (`000017`) or one span of it (`000017.3`), as a record with length and mark.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, segment: str, unit: str, data: bytes, *, form: str, reason: str) -> int:
        """Keep a unit, once however often it comes; the spans in it. `form` is the statement that refused it. Raises OSError."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        number, _, span = unit.partition(".")
        name = f"{segment}-{int(number):06d}" + (f".{span}" if span else "")
        read = record.read_record(data, 0)
        # Unreadable even one level deep: at least one span was meant.
        spans = max(1, count_spans(data[read.body : read.mark])) if read else 1
        write_durably(self._folder / f"{name}.otlp", data)
        why = {"segment": segment, "record": int(number), "spans": spans, "form": form, "reason": reason}
        if span:
            why["span"] = int(span)
        write_durably(self._folder / f"{name}.json", json.dumps(why).encode() + b"\n")
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
