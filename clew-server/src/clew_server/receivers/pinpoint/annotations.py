"""Pinpoint's annotations: numbers as keys, values of fourteen types, into attributes. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from clew_server.model import pinpoint as words
from clew_server.receivers.foreign.conventions import Value

API: Final = 12
SQL_ID: Final = 20
SQL_UID: Final = 25
STRING_ID: Final = 30
_URL: Final = 40
_CACHED_ARGS: Final = range(-40, -29)
"""Arguments whose value is the number of a text."""

NAMES: Final[dict[int, str]] = {
    **{-1 - at: f"pinpoint.args.{at}" for at in range(10)},
    -11: "pinpoint.args.n",
    **{-30 - at: f"pinpoint.cached_args.{at}" for at in range(10)},
    -40: "pinpoint.cached_args.n",
    -50: "pinpoint.exception",
    -51: "pinpoint.exception.class",
    -52: "pinpoint.exception.chain_id",
    -100: "pinpoint.asynchronous_invocation",
    API: "pinpoint.api",
    13: "pinpoint.api.metadata",
    14: "pinpoint.return_data",
    21: "db.query.text",
    22: "pinpoint.sql.metadata",
    23: "pinpoint.sql.parameters",
    24: "pinpoint.sql.bind_values",
    STRING_ID: "pinpoint.string",
    # Names that `foreign.conventions` knows.
    40: "http.url",
    46: "http.status_code",
    130: "rabbit.exchange",
    131: "rabbit.routing_key",
    140: "kafka.topic",
    141: "messaging.kafka.partition",
    142: "messaging.kafka.message.offset",
    150: "db.query.text",
    151: "db.collection.name",
    153: "db.query.text",
    160: "grpc.status_code",
    173: "db.query.text",
    177: "db.query.text",
    181: "pinpoint.process.pid",
    191: "messaging.destination.name",
    206: "http.method",
    321: "db.collection.name",
    340: "thread.name",
    800: "messaging.destination.name",
    **{
        int(number): "pinpoint." + name
        for number, name in (
            line.split()
            for line in """
41 http.param
42 http.entity
45 http.cookie
47 http.request.header
48 http.internal.display
49 http.io
55 http.response.header
80 thrift.url
81 thrift.args
82 thrift.result
90 dubbo.args
91 dubbo.result
92 dubbo.rpc
100 message.queue.url
101 activemq.broker.address
102 activemq.message
110 hystrix.command
111 hystrix.command.execution
112 hystrix.command.fallback.cause
113 hystrix.command.exception
115 hystrix.command.key
116 hystrix.command.group.key
117 hystrix.thread.pool.key
118 hystrix.collapser.key
120 netty.address
132 rabbitmq.properties
133 rabbitmq.body
143 kafka.batch
144 kafka.header
152 mongo.collection.option
154 mongo.bind_values
176 elasticsearch.version
178 elasticsearch.version
180 process.command
192 mqtt.broker.uri
193 mqtt.message.payload
194 mqtt.qos
200 cxf.operation
201 cxf.args
203 cxf.address
204 cxf.response.code
205 cxf.encoding
207 cxf.content.type
208 cxf.headers
209 cxf.messages
210 cxf.payload
300 proxy.http.header
310 redis.io
320 hbase.client.params
325 hbase.op.read.size
326 hbase.op.write.size
327 hbase.scan.rpc.result.num
330 memory.usage
801 rocketmq.message.queue
802 rocketmq.offset
803 rocketmq.batch
804 rocketmq.send.status
805 rocketmq.broker.server
923 marker.message
997 dubbo.args
998 dubbo.result
999 dubbo.rpc
9000 gson.json.length
9001 jackson.json.length
9002 json_lib.json.length
9003 fastjson.json.length
10015 api.tag
""".strip().splitlines()
        )
    },
}
"""Attribute of each annotation; of one that is not here `pinpoint.annotation.NUMBER`."""


def put(tags: dict[str, Value], key: int, value: Value) -> None:
    """Add an annotation; of one that comes twice the last counts, and those before it are a list in `pinpoint.annotation.NUMBER`."""
    name = NAMES.get(key) or f"pinpoint.annotation.{key}"
    if key == _URL and isinstance(value, str) and "://" not in value and not value.startswith("/"):
        # The agent for Node writes no scheme.
        name = "pinpoint.http.url"
        tags.setdefault("url.path", "/" + value.partition("/")[2].partition("?")[0])
    before = tags.get(name)
    if before is not None and before != value:
        more = f"pinpoint.annotation.{key}.before"
        earlier = tags.get(more, ())
        tags[more] = (*(earlier if isinstance(earlier, tuple) else (str(earlier),)), str(before))
    tags[name] = value


def put_all(tags: dict[str, Value], annotations: Iterable[Any], facts: Mapping[str, bytes]) -> list[str]:
    """Add the annotations of a span or an event. What they refer to and is not known yet is returned, for `words.UNRESOLVED`."""
    unresolved: list[str] = []
    found: Any
    for annotation in annotations:
        key = annotation.key
        value = annotation.value
        kind = value.WhichOneof("field")
        if kind == "stringValue":
            found = value.stringValue.decode("utf-8", "replace")
            name = NAMES.get(key)
            if name is None or name in tags or key == _URL:
                put(tags, key, found)
            else:
                tags[name] = found
        elif kind is None:
            put(tags, key, "")
        elif kind in _PLAIN:
            found = getattr(value, kind)
            if kind == "intValue" and (key in _CACHED_ARGS or key == STRING_ID):
                _put_string(tags, key, found, facts, unresolved)
            else:
                put(tags, key, found)
        elif key == SQL_ID and kind in ("intStringStringValue", "intStringValue"):
            inner = getattr(value, kind)
            _put_sql(tags, f"sql:{inner.intValue}", inner, facts, unresolved)
        elif key == SQL_UID and kind == "bytesStringStringValue":
            inner = value.bytesStringStringValue
            _put_sql(tags, f"sqluid:{inner.bytesValue.hex()}", inner, facts, unresolved)
        elif kind == "intStringValue" and key in _CACHED_ARGS:
            inner = value.intStringValue
            _put_string(tags, key, inner.intValue, facts, unresolved)
        else:
            put(tags, key, _list(getattr(value, kind)))
    return unresolved


_PLAIN: Final = frozenset(
    ("boolValue", "intValue", "longValue", "shortValue", "doubleValue", "binaryValue", "byteValue")
)


def _put_string(
    tags: dict[str, Value], key: int, number: int, facts: Mapping[str, bytes], unresolved: list[str]
) -> None:
    text = facts.get(f"string:{number}")
    if text is None:
        unresolved.append(f"string:{number}={NAMES.get(key) or f'pinpoint.annotation.{key}'}")
    else:
        put(tags, key, text.decode("utf-8", "replace"))


def _put_sql(
    tags: dict[str, Value], reference: str, inner: Any, facts: Mapping[str, bytes], unresolved: list[str]
) -> None:
    text = facts.get(reference)
    if text is None:
        unresolved.append(reference)
    else:
        tags.update(words.sql_tags(text.decode("utf-8", "replace")))
    literals = inner.stringValue1 if hasattr(inner, "stringValue1") else inner.stringValue
    if literals.value:
        tags[words.LITERALS] = literals.value.decode("utf-8", "replace")
    if hasattr(inner, "stringValue2") and inner.stringValue2.value:
        tags["pinpoint.sql.bind_values"] = inner.stringValue2.value.decode("utf-8", "replace")


def _list(value: Any) -> tuple[str, ...]:
    """A value of several parts as a list of texts, in the order of the message's fields; what is not set is 0 or empty."""
    found = []
    for field in value.DESCRIPTOR.fields:
        part = getattr(value, field.name)
        if field.message_type is not None:
            part = part.value
        if isinstance(part, bytes):
            found.append(part.decode("utf-8", "replace"))
        else:
            found.append(str(part).lower() if isinstance(part, bool) else str(part))
    return tuple(found)


def put_attributes(tags: dict[str, Value], attributes: Iterable[Any]) -> None:
    """Add the attributes of newer agents, whose keys are texts. Lists and maps stay the bytes they are."""
    for attribute in attributes:
        key = attribute.key.decode("utf-8", "replace")
        kind = attribute.value.WhichOneof("field")
        value: Any = getattr(attribute.value, kind) if kind else ""
        if kind == "stringValue":
            value = value.decode("utf-8", "replace")
        tags[f"pinpoint.attribute.{key}" if key in tags else key] = value
