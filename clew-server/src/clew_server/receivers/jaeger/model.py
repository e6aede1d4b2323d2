"""Jaeger's protobuf messages (`model.proto` and `collector.proto` of api_v2), as far as one span goes. No I/O.

Texts are declared as bytes, which is the same on the wire: one text that is not UTF-8 then does not cost its batch the spans.
"""

from __future__ import annotations

from typing import Final

from clew_server.receivers.messages import BOOL as BOOLEAN
from clew_server.receivers.messages import BYTES, DOUBLE, INT32, UINT32, Many, Message, One, build
from clew_server.receivers.messages import INT64 as INTEGER64

# Value types: not in the order that Thrift has.
STRING, BOOL, INT64, FLOAT64, BINARY = range(5)

MESSAGES: Final[dict[str, Message]] = {
    "KeyValue": {
        1: One("key", BYTES),
        2: One("v_type", INT32),
        3: One("v_str", BYTES),
        4: One("v_bool", BOOLEAN),
        5: One("v_int64", INTEGER64),
        6: One("v_float64", DOUBLE),
        7: One("v_binary", BYTES),
    },
    # Timestamp and Duration of google.protobuf alike.
    "Time": {1: One("seconds", INTEGER64), 2: One("nanos", INT32)},
    "Log": {1: One("timestamp", "Time"), 2: Many("fields", "KeyValue")},
    "SpanRef": {1: One("trace_id", BYTES), 2: One("span_id", BYTES), 3: One("ref_type", INT32)},
    "Process": {1: One("service_name", BYTES), 2: Many("tags", "KeyValue")},
    "Span": {
        1: One("trace_id", BYTES),
        2: One("span_id", BYTES),
        3: One("operation_name", BYTES),
        4: Many("references", "SpanRef"),
        5: One("flags", UINT32),
        6: One("start_time", "Time"),
        7: One("duration", "Time"),
        8: Many("tags", "KeyValue"),
        9: Many("logs", "Log"),
        10: One("process", "Process"),
        11: One("process_id", BYTES),
        12: Many("warnings", BYTES),
    },
}

_CLASSES: Final = build("clew.jaeger", MESSAGES)
SpanMessage: Final = _CLASSES["Span"]
ProcessMessage: Final = _CLASSES["Process"]
