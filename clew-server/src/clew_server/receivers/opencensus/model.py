"""OpenCensus' protobuf messages (`trace.proto`, `resource.proto`, `common.proto`), as far as one span goes. No I/O.

The entries of attributes are read as bytes and looked up by them: most come back with most spans.
"""

from __future__ import annotations

from typing import Final

from clew_server.receivers.messages import BOOL, BYTES, DOUBLE, INT32, INT64, UINT32, UINT64, Many, Message, One, build

MESSAGES: Final[dict[str, Message]] = {
    "TruncatableString": {1: One("value", BYTES), 2: One("truncated_byte_count", INT32)},
    "AttributeValue": {
        1: One("string_value", "TruncatableString", "value"),
        2: One("int_value", INT64, "value"),
        3: One("bool_value", BOOL, "value"),
        4: One("double_value", DOUBLE, "value"),
    },
    "AttributeEntry": {1: One("key", BYTES), 2: One("value", "AttributeValue")},
    "Attributes": {1: Many("attribute_map", BYTES), 2: One("dropped_attributes_count", INT32)},
    "TextEntry": {1: One("key", BYTES), 2: One("value", BYTES)},
    "Timestamp": {1: One("seconds", INT64), 2: One("nanos", INT32)},
    "Annotation": {1: One("description", "TruncatableString"), 2: One("attributes", "Attributes")},
    "MessageEvent": {
        1: One("type", INT32),
        2: One("id", UINT64),
        3: One("uncompressed_size", UINT64),
        4: One("compressed_size", UINT64),
    },
    "TimeEvent": {
        1: One("time", "Timestamp"),
        2: One("annotation", "Annotation", "value"),
        3: One("message_event", "MessageEvent", "value"),
    },
    "TimeEvents": {
        1: Many("time_event", "TimeEvent"),
        2: One("dropped_annotations_count", INT32),
        3: One("dropped_message_events_count", INT32),
    },
    "Entry": {1: One("key", BYTES), 2: One("value", BYTES)},
    "Tracestate": {1: Many("entries", "Entry")},
    "Link": {
        1: One("trace_id", BYTES),
        2: One("span_id", BYTES),
        3: One("type", INT32),
        4: One("attributes", "Attributes"),
        5: One("tracestate", "Tracestate"),
    },
    "Links": {1: Many("link", "Link"), 2: One("dropped_links_count", INT32)},
    "Module": {1: One("module", "TruncatableString"), 2: One("build_id", "TruncatableString")},
    "StackFrame": {
        1: One("function_name", "TruncatableString"),
        2: One("original_function_name", "TruncatableString"),
        3: One("file_name", "TruncatableString"),
        4: One("line_number", INT64),
        5: One("column_number", INT64),
        6: One("load_module", "Module"),
        7: One("source_version", "TruncatableString"),
    },
    "StackFrames": {1: Many("frame", "StackFrame"), 2: One("dropped_frames_count", INT32)},
    "StackTrace": {1: One("stack_frames", "StackFrames"), 2: One("stack_trace_hash_id", UINT64)},
    "Status": {1: One("code", INT32), 2: One("message", BYTES)},
    "BoolValue": {1: One("value", BOOL)},
    "UInt32Value": {1: One("value", UINT32)},
    "Resource": {1: One("type", BYTES), 2: Many("labels", "TextEntry")},
    "Span": {
        1: One("trace_id", BYTES),
        2: One("span_id", BYTES),
        3: One("parent_span_id", BYTES),
        4: One("name", "TruncatableString"),
        5: One("start_time", "Timestamp"),
        6: One("end_time", "Timestamp"),
        7: One("attributes", "Attributes"),
        8: One("stack_trace", "StackTrace"),
        9: One("time_events", "TimeEvents"),
        10: One("links", "Links"),
        11: One("status", "Status"),
        12: One("same_process_as_parent_span", "BoolValue"),
        13: One("child_span_count", "UInt32Value"),
        14: One("kind", INT32),
        15: One("tracestate", "Tracestate"),
        16: One("resource", "Resource"),
    },
    "ProcessIdentifier": {
        1: One("host_name", BYTES),
        2: One("pid", UINT32),
        3: One("start_timestamp", "Timestamp"),
    },
    "LibraryInfo": {
        1: One("language", INT32),
        2: One("exporter_version", BYTES),
        3: One("core_library_version", BYTES),
    },
    "ServiceInfo": {1: One("name", BYTES)},
    "Node": {
        1: One("identifier", "ProcessIdentifier"),
        2: One("library_info", "LibraryInfo"),
        3: One("service_info", "ServiceInfo"),
        4: Many("attributes", "TextEntry"),
    },
}

_CLASSES: Final = build("clew.opencensus", MESSAGES)
AttributeEntryMessage: Final = _CLASSES["AttributeEntry"]
NodeMessage: Final = _CLASSES["Node"]
ResourceMessage: Final = _CLASSES["Resource"]
SpanMessage: Final = _CLASSES["Span"]
