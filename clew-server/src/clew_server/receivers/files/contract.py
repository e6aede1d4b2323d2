"""What reading a file gives: OTLP requests one after the other, and notes about what was left out. No I/O."""

from __future__ import annotations

from collections import Counter
from typing import Final, NamedTuple

UNDERSTOOD: Final = (
    "OTLP (protobuf, JSON, JSON lines as the OpenTelemetry collector writes them), Jaeger's JSON, Zipkin's JSON"
    " and digest logs of SOFATracer, plain or packed with gzip or zstd"
)
PART_BYTES: Final = 512 << 10
"""About how large a request is at most that a file is cut into; one span can be larger."""
MAX_HELD_BYTES: Final = 512 << 20
"""What is in memory of one trace of a Jaeger file, or of one resource of an OTLP file, whose end must be seen first."""


class Part(NamedTuple):
    """A piece of a file as an OTLP `ExportTraceServiceRequest` in protobuf."""

    request: bytes
    spans: int


class Notes:
    """What is to be said about a file that is being read."""

    def __init__(self) -> None:
        self.format = ""
        """In words, once it is known."""
        self.left_out: Counter[str] = Counter()
        """Spans that could not be read, by reason: `malformed`, and those of `OtlpBatch.rejected`."""
        self.other_signals = 0
        """OTLP requests of metrics, logs or profiles, which are passed over."""
        self.problems = 0
        """Places in the file that could not be read."""
        self.first_problem = ""

    def problem(self, sentence: str) -> None:
        """Note a place that could not be read."""
        self.problems += 1
        self.first_problem = self.first_problem or sentence

    def sentence(self) -> str:
        """What was not read of the file; empty when all was."""
        said = []
        if left_out := self.left_out.total():
            said.append(f"{left_out} span{'s' * (left_out != 1)} could not be read")
        if self.problems:
            places = f"{self.problems} place{'s' * (self.problems != 1)}"
            said.append(f"{places} could not be read: {self.first_problem}")
        return "; ".join(said)
