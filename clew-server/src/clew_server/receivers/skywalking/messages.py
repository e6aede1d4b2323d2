"""SkyWalking's protobuf messages that carry spans and what an instance says of itself. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from clew_server.receivers.messages import BOOL, BYTES, INT32, INT64, Many, Message, One, build

MESSAGES: Final[Mapping[str, Message]] = {
    "KeyStringValuePair": {1: One("key", BYTES), 2: One("value", BYTES)},
    "Log": {1: One("time", INT64), 2: Many("data", "KeyStringValuePair")},
    "SegmentReference": {
        1: One("refType", INT32),
        2: One("traceId", BYTES),
        3: One("parentTraceSegmentId", BYTES),
        4: One("parentSpanId", INT32),
        5: One("parentService", BYTES),
        6: One("parentServiceInstance", BYTES),
        7: One("parentEndpoint", BYTES),
        8: One("networkAddressUsedAtPeer", BYTES),
    },
    "SpanObject": {
        1: One("spanId", INT32),
        2: One("parentSpanId", INT32),
        3: One("startTime", INT64),
        4: One("endTime", INT64),
        5: Many("refs", "SegmentReference"),
        6: One("operationName", BYTES),
        7: One("peer", BYTES),
        8: One("spanType", INT32),
        9: One("spanLayer", INT32),
        10: One("componentId", INT32),
        11: One("isError", BOOL),
        12: Many("tags", "KeyStringValuePair"),
        13: Many("logs", "Log"),
        14: One("skipAnalysis", BOOL),
    },
    "SegmentObject": {
        1: One("traceId", BYTES),
        2: One("traceSegmentId", BYTES),
        3: Many("spans", "SpanObject"),
        4: One("service", BYTES),
        5: One("serviceInstance", BYTES),
        6: One("isSizeLimited", BOOL),
    },
    "SegmentCollection": {1: Many("segments", "SegmentObject")},
    "InstanceProperties": {
        1: One("service", BYTES),
        2: One("serviceInstance", BYTES),
        3: Many("properties", "KeyStringValuePair"),
        4: One("layer", BYTES),
    },
}

_CLASSES: Final = build("clew.skywalking", MESSAGES)
SpanMessage: Final = _CLASSES["SpanObject"]
SegmentMessage: Final = _CLASSES["SegmentObject"]
PropertiesMessage: Final = _CLASSES["InstanceProperties"]
