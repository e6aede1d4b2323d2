"""What the native hot path offers: the classes of `_pure.py` and `buffer.py` under the same names, and reading of headers."""

from typing import Any

from opentelemetry.context import Context

from clew.recorder._pure import CurrentSpan as CurrentSpan
from clew.recorder._pure import Span as Span
from clew.recorder._pure import Tracer as Tracer
from clew.recorder.buffer import Buffer as Buffer

def read_parent(value: Any, context: Context) -> Context | None: ...
def read_names(pairs: Any) -> tuple[dict[bytes, bytes], bytes] | None: ...
