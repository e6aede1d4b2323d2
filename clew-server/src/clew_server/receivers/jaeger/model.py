"""Jaeger's protobuf messages (`model.proto` and `collector.proto` of api_v2), as far as one span goes. No I/O.

Texts are declared as bytes, which is the same on the wire: one text that is not UTF-8 then does not cost its batch the spans.
"""

from __future__ import annotations

from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_BYTES: Final = descriptor_pb2.FieldDescriptorProto.TYPE_BYTES
_INT32: Final = descriptor_pb2.FieldDescriptorProto.TYPE_INT32
_INT64: Final = descriptor_pb2.FieldDescriptorProto.TYPE_INT64
_UINT32: Final = descriptor_pb2.FieldDescriptorProto.TYPE_UINT32
_BOOL: Final = descriptor_pb2.FieldDescriptorProto.TYPE_BOOL
_DOUBLE: Final = descriptor_pb2.FieldDescriptorProto.TYPE_DOUBLE
_MESSAGE: Final = descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE
_ONE: Final = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL
_MANY: Final = descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED

# Value types: not in the order that Thrift has.
STRING, BOOL, INT64, FLOAT64, BINARY = range(5)

MESSAGES: Final[dict[str, dict[int, tuple[str, Any, int]]]] = {
    "KeyValue": {
        1: ("key", _BYTES, _ONE),
        2: ("v_type", _INT32, _ONE),
        3: ("v_str", _BYTES, _ONE),
        4: ("v_bool", _BOOL, _ONE),
        5: ("v_int64", _INT64, _ONE),
        6: ("v_float64", _DOUBLE, _ONE),
        7: ("v_binary", _BYTES, _ONE),
    },
    # Timestamp and Duration of google.protobuf alike.
    "Time": {1: ("seconds", _INT64, _ONE), 2: ("nanos", _INT32, _ONE)},
    "Log": {1: ("timestamp", "Time", _ONE), 2: ("fields", "KeyValue", _MANY)},
    "SpanRef": {1: ("trace_id", _BYTES, _ONE), 2: ("span_id", _BYTES, _ONE), 3: ("ref_type", _INT32, _ONE)},
    "Process": {1: ("service_name", _BYTES, _ONE), 2: ("tags", "KeyValue", _MANY)},
    "Span": {
        1: ("trace_id", _BYTES, _ONE),
        2: ("span_id", _BYTES, _ONE),
        3: ("operation_name", _BYTES, _ONE),
        4: ("references", "SpanRef", _MANY),
        5: ("flags", _UINT32, _ONE),
        6: ("start_time", "Time", _ONE),
        7: ("duration", "Time", _ONE),
        8: ("tags", "KeyValue", _MANY),
        9: ("logs", "Log", _MANY),
        10: ("process", "Process", _ONE),
        11: ("process_id", _BYTES, _ONE),
        12: ("warnings", _BYTES, _MANY),
    },
}


def _build() -> dict[str, Any]:
    """The classes, in a pool of their own so that names cannot collide with Jaeger's packages."""
    file = descriptor_pb2.FileDescriptorProto(name="clew/jaeger.proto", package="clew.jaeger", syntax="proto3")
    for message, fields in MESSAGES.items():
        described = file.message_type.add(name=message)
        for number, (name, type_, label) in fields.items():
            field = described.field.add(name=name, number=number, label=label)
            if isinstance(type_, str):
                field.type, field.type_name = _MESSAGE, ".clew.jaeger." + type_
            else:
                field.type = type_
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName("clew.jaeger." + name)) for name in MESSAGES
    }


_CLASSES: Final = _build()
SpanMessage: Final = _CLASSES["Span"]
ProcessMessage: Final = _CLASSES["Process"]
