"""What the native hot path offers: the classes of `_pure.py` and `buffer.py` under the same names."""

from clew.recorder._pure import CurrentSpan as CurrentSpan
from clew.recorder._pure import Span as Span
from clew.recorder._pure import Tracer as Tracer
from clew.recorder.buffer import Buffer as Buffer
