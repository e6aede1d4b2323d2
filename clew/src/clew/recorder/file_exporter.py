"""The former place of `clew.recorder.export.FileExporter`; imports of it keep working."""

from __future__ import annotations

from clew.recorder.export.file_exporter import FileExporter as FileExporter
