"""Pinpoint's protobuf messages (package `v1`), as far as agents send them here. No I/O.

Texts are declared as bytes, which is the same on the wire: one text that is not UTF-8 then does not cost its message the rest.
"""

from __future__ import annotations

from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_TYPE = descriptor_pb2.FieldDescriptorProto
_BYTES: Final = _TYPE.TYPE_BYTES
_BOOL: Final = _TYPE.TYPE_BOOL
_INT32: Final = _TYPE.TYPE_INT32
_INT64: Final = _TYPE.TYPE_INT64
_SINT32: Final = _TYPE.TYPE_SINT32
_SFIXED64: Final = _TYPE.TYPE_SFIXED64
_DOUBLE: Final = _TYPE.TYPE_DOUBLE
_MESSAGE: Final = _TYPE.TYPE_MESSAGE
_ONE: Final = _TYPE.LABEL_OPTIONAL
_MANY: Final = _TYPE.LABEL_REPEATED

_Fields = dict[int, tuple[str, Any, int]]
MESSAGES: Final[dict[str, _Fields]] = {
    # A text or bytes that may be absent: `StringValue` and `BytesValue` of google.protobuf.
    "Wrapped": {1: ("value", _BYTES, _ONE)},
    "PIntStringValue": {1: ("intValue", _INT32, _ONE), 2: ("stringValue", "Wrapped", _ONE)},
    "PIntStringStringValue": {
        1: ("intValue", _INT32, _ONE),
        2: ("stringValue1", "Wrapped", _ONE),
        3: ("stringValue2", "Wrapped", _ONE),
    },
    "PBytesStringStringValue": {
        1: ("bytesValue", _BYTES, _ONE),
        2: ("stringValue1", "Wrapped", _ONE),
        3: ("stringValue2", "Wrapped", _ONE),
    },
    "PLongIntIntByteByteStringValue": {
        1: ("longValue", _INT64, _ONE),
        2: ("intValue1", _INT32, _ONE),
        3: ("intValue2", _INT32, _ONE),
        4: ("byteValue1", _SINT32, _ONE),
        5: ("byteValue2", _SINT32, _ONE),
        6: ("stringValue", "Wrapped", _ONE),
    },
    "PIntBooleanIntBooleanValue": {
        1: ("intValue1", _INT32, _ONE),
        2: ("boolValue1", _BOOL, _ONE),
        3: ("intValue2", _INT32, _ONE),
        4: ("boolValue2", _BOOL, _ONE),
    },
    "PStringStringValue": {1: ("stringValue1", "Wrapped", _ONE), 2: ("stringValue2", "Wrapped", _ONE)},
    "PAnnotationValue": {
        1: ("stringValue", _BYTES, _ONE),
        2: ("boolValue", _BOOL, _ONE),
        3: ("intValue", _INT32, _ONE),
        4: ("longValue", _INT64, _ONE),
        5: ("shortValue", _SINT32, _ONE),
        6: ("doubleValue", _DOUBLE, _ONE),
        7: ("binaryValue", _BYTES, _ONE),
        8: ("byteValue", _SINT32, _ONE),
        9: ("intStringValue", "PIntStringValue", _ONE),
        10: ("stringStringValue", "PStringStringValue", _ONE),
        11: ("intStringStringValue", "PIntStringStringValue", _ONE),
        12: ("longIntIntByteByteStringValue", "PLongIntIntByteByteStringValue", _ONE),
        13: ("intBooleanIntBooleanValue", "PIntBooleanIntBooleanValue", _ONE),
        14: ("bytesStringStringValue", "PBytesStringStringValue", _ONE),
    },
    "PAnnotation": {1: ("key", _INT32, _ONE), 2: ("value", "PAnnotationValue", _ONE)},
    "PAttributeValue": {
        1: ("stringValue", _BYTES, _ONE),
        2: ("boolValue", _BOOL, _ONE),
        3: ("longValue", _INT64, _ONE),
        4: ("doubleValue", _DOUBLE, _ONE),
        5: ("binaryValue", _BYTES, _ONE),
        6: ("arrayValue", _BYTES, _ONE),
        7: ("kvlistValue", _BYTES, _ONE),
    },
    "PAttribute": {1: ("key", _BYTES, _ONE), 2: ("value", "PAttributeValue", _ONE)},
    "PTransactionId": {
        1: ("agentId", _BYTES, _ONE),
        2: ("agentStartTime", _INT64, _ONE),
        3: ("sequence", _INT64, _ONE),
    },
    "PParentInfo": {
        1: ("parentApplicationName", _BYTES, _ONE),
        2: ("parentApplicationType", _INT32, _ONE),
        3: ("acceptorHost", _BYTES, _ONE),
        4: ("parentServiceName", _BYTES, _ONE),
    },
    "PAcceptEvent": {
        1: ("rpc", _BYTES, _ONE),
        2: ("endPoint", _BYTES, _ONE),
        3: ("remoteAddr", _BYTES, _ONE),
        4: ("parentInfo", "PParentInfo", _ONE),
    },
    "PMessageEvent": {
        1: ("nextSpanId", _SFIXED64, _ONE),
        2: ("endPoint", _BYTES, _ONE),
        3: ("destinationId", _BYTES, _ONE),
    },
    "PNextEvent": {1: ("messageEvent", "PMessageEvent", _ONE)},
    "PSpanEvent": {
        1: ("sequence", _INT32, _ONE),
        2: ("depth", _INT32, _ONE),
        3: ("startElapsed", _INT32, _ONE),
        4: ("endElapsed", _INT32, _ONE),
        5: ("serviceType", _SINT32, _ONE),
        6: ("annotation", "PAnnotation", _MANY),
        10: ("apiId", _SINT32, _ONE),
        11: ("exceptionInfo", "PIntStringValue", _ONE),
        12: ("nextEvent", "PNextEvent", _ONE),
        13: ("asyncEvent", _INT32, _ONE),
        14: ("attribute", "PAttribute", _MANY),
    },
    "PSpan": {
        1: ("version", _INT32, _ONE),
        2: ("transactionId", "PTransactionId", _ONE),
        3: ("spanId", _SFIXED64, _ONE),
        4: ("parentSpanId", _SFIXED64, _ONE),
        5: ("startTime", _INT64, _ONE),
        6: ("elapsed", _INT32, _ONE),
        7: ("apiId", _INT32, _ONE),
        8: ("serviceType", _INT32, _ONE),
        9: ("acceptEvent", "PAcceptEvent", _ONE),
        10: ("annotation", "PAnnotation", _MANY),
        11: ("flag", _INT32, _ONE),
        12: ("err", _SINT32, _ONE),
        13: ("spanEvent", "PSpanEvent", _MANY),
        14: ("exceptionInfo", "PIntStringValue", _ONE),
        15: ("applicationServiceType", _INT32, _ONE),
        16: ("loggingTransactionInfo", _INT32, _ONE),
        17: ("attribute", "PAttribute", _MANY),
    },
    "PLocalAsyncId": {1: ("asyncId", _INT32, _ONE), 2: ("sequence", _INT32, _ONE)},
    "PSpanChunk": {
        1: ("version", _INT32, _ONE),
        2: ("transactionId", "PTransactionId", _ONE),
        3: ("spanId", _SFIXED64, _ONE),
        4: ("endPoint", _BYTES, _ONE),
        5: ("spanEvent", "PSpanEvent", _MANY),
        6: ("applicationServiceType", _INT32, _ONE),
        7: ("keyTime", _INT64, _ONE),
        8: ("localAsyncId", "PLocalAsyncId", _ONE),
    },
    "PSpanMessage": {1: ("span", "PSpan", _ONE), 2: ("spanChunk", "PSpanChunk", _ONE)},
    "PApiMetaData": {
        1: ("apiId", _INT32, _ONE),
        2: ("apiInfo", _BYTES, _ONE),
        3: ("line", _INT32, _ONE),
        4: ("type", _INT32, _ONE),
        5: ("location", _BYTES, _ONE),
    },
    "PSqlMetaData": {1: ("sqlId", _INT32, _ONE), 2: ("sql", _BYTES, _ONE)},
    "PSqlUidMetaData": {1: ("sqlUid", _BYTES, _ONE), 2: ("sql", _BYTES, _ONE)},
    "PStringMetaData": {1: ("stringId", _INT32, _ONE), 2: ("stringValue", _BYTES, _ONE)},
    "PStackTraceElement": {
        1: ("className", _BYTES, _ONE),
        2: ("fileName", _BYTES, _ONE),
        3: ("lineNumber", _INT32, _ONE),
        4: ("methodName", _BYTES, _ONE),
    },
    "PException": {
        1: ("exceptionClassName", _BYTES, _ONE),
        2: ("exceptionMessage", _BYTES, _ONE),
        3: ("startTime", _INT64, _ONE),
        4: ("exceptionId", _INT64, _ONE),
        5: ("exceptionDepth", _INT32, _ONE),
        6: ("stackTraceElement", "PStackTraceElement", _MANY),
    },
    "PExceptionMetaData": {
        1: ("exceptions", "PException", _MANY),
        2: ("transactionId", "PTransactionId", _ONE),
        3: ("spanId", _SFIXED64, _ONE),
        4: ("uriTemplate", _BYTES, _ONE),
    },
    "PAgentInfo": {
        1: ("hostname", _BYTES, _ONE),
        2: ("ip", _BYTES, _ONE),
        3: ("ports", _BYTES, _ONE),
        4: ("serviceType", _INT32, _ONE),
        5: ("pid", _INT32, _ONE),
        6: ("agentVersion", _BYTES, _ONE),
        7: ("vmVersion", _BYTES, _ONE),
    },
}
NESTED: Final[dict[str, dict[int, str]]] = {
    message: {number: type_ for number, (_, type_, _) in fields.items() if isinstance(type_, str)}
    for message, fields in MESSAGES.items()
}
"""Of each message the fields that are messages, and of what type."""


def _build() -> dict[str, Any]:
    """The classes, in a pool of their own so that names cannot collide with Pinpoint's packages."""
    file = descriptor_pb2.FileDescriptorProto(name="clew/pinpoint.proto", package="clew.pinpoint", syntax="proto3")
    for message, fields in MESSAGES.items():
        described = file.message_type.add(name=message)
        for number, (name, type_, label) in fields.items():
            field = described.field.add(name=name, number=number, label=label)
            if isinstance(type_, str):
                field.type, field.type_name = _MESSAGE, ".clew.pinpoint." + type_
            else:
                field.type = type_
    # Which of an annotation's or an attribute's values there is must be seen also where it is 0 or empty.
    for value in file.message_type:
        if value.name in ("PAnnotationValue", "PAttributeValue"):
            value.oneof_decl.add(name="field")
            for field in value.field:
                field.oneof_index = 0
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName("clew.pinpoint." + name)) for name in MESSAGES
    }


CLASSES: Final = _build()
