"""How ended spans leave the process: batches, retries, OTLP over HTTP, files. Start reading at `pipeline.py`."""

from __future__ import annotations

from clew.recorder.export.exporter import ConsoleExporter, Exporter, OtlpHttpExporter, Outcome
from clew.recorder.export.fan_out import FanOut
from clew.recorder.export.file_exporter import FileExporter
from clew.recorder.export.metrics import ExportMetrics
from clew.recorder.export.pipeline import BatchOptions, Pipeline

__all__ = [
    "BatchOptions",
    "ConsoleExporter",
    "ExportMetrics",
    "Exporter",
    "FanOut",
    "FileExporter",
    "OtlpHttpExporter",
    "Outcome",
    "Pipeline",
]
