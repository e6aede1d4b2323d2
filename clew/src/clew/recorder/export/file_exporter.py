"""Spans into a file, a line of OTLP JSON for each batch: what OpenTelemetry's collector writes and `clew import` reads.

Source: OpenTelemetry specification, "OpenTelemetry Protocol File Exporter".
"""

from __future__ import annotations

import json
import os
import sys
from typing import Final

from clew.otlp import to_json
from clew.recorder.export.exporter import Outcome

_MODE: Final = 0o644


class FileExporter:
    """Appends to a file, which is made when the first span comes; `-` is standard output.

    Each line is written at once, so that several processes may share a file. What cannot be written is tried again,
    as with a collector that is away.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Raises TypeError for what is no path."""
        self._path = os.fspath(path)
        self._descriptor: int | None = None

    def export(self, request: bytes, timeout_s: float) -> Outcome:
        """Write one line."""
        try:
            line = json.dumps(to_json.request(request), ensure_ascii=False, separators=(",", ":")) + "\n"
            self._write(line.encode("utf-8", "replace"))
        except OSError as error:
            return Outcome("again", reason="unreachable", detail=f"{self._path}: {error}")
        return Outcome("delivered")

    def _write(self, line: bytes) -> None:
        if self._path == "-":
            sys.stdout.flush()
            _write_whole(sys.stdout.fileno(), line)
            return
        if self._descriptor is None:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
            self._descriptor = os.open(self._path, flags, _MODE)
        size = os.fstat(self._descriptor).st_size
        try:
            _write_whole(self._descriptor, line)
        except OSError:
            # Half a line would spoil the next one; a pipe cannot be cut and takes none back.
            try:
                os.ftruncate(self._descriptor, size)
            except OSError:
                pass
            raise

    def forget(self) -> None:
        """A forked child goes on with the same file."""

    def close(self) -> None:
        """Close the file; the next export opens it again."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def _write_whole(descriptor: int, line: bytes) -> None:
    view = memoryview(line)
    while view:
        view = view[os.write(descriptor, view) :]
