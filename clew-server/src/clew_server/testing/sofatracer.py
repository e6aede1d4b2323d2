"""Lines of SOFATracer's digest logs, written for tests and measurements, as broken as SOFATracer writes them: nothing is escaped.

Written by the plugins' encoders and not by what the receiver reads. A line is a list of pairs in the order of the JSON layout.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Final

Pairs = Sequence[tuple[str, str | int]]

TRACE: Final = "c0000202179541521179510017591"
"""A trace that began 788 ms into a second of its own."""
BEGAN_MS: Final = 1_795_415_211_795

HTTP_SERVER: Final = (
    ("request.url", "http://shop/order"),
    ("method", "GET"),
    ("req.size.bytes", -1),
    ("resp.size.bytes", 12),
    ("error", ""),
)
"""What spring-mvc-digest.log has between the fields that all have."""


def wall(time_ms: int) -> str:
    """A time as SOFATracer writes it, in UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(time_ms // 1000)) + f".{time_ms % 1000:03d}"


def common(
    rpc_id: str = "0",
    kind: str = "server",
    *,
    trace: str = TRACE,
    app: str = "orders",
    end_ms: int = BEGAN_MS + 40,
    cost_ms: int = 40,
    result: str = "200",
) -> Pairs:
    """The first eight fields of every line."""
    return (
        ("time", wall(end_ms)),
        ("local.app", app),
        ("traceId", trace),
        ("spanId", rpc_id),
        ("span.kind", kind),
        ("result.code", result),
        ("current.thread.name", "http-1"),
        ("time.cost.milliseconds", f"{cost_ms}ms"),
    )


def as_json(first: Pairs, component: Pairs, sys_baggage: str = "", biz_baggage: str = "") -> bytes:
    """A line in the layout that is the default."""
    written = [
        f'"{key}":{value}' if isinstance(value, int) or value[:1] in ("{", "[") else f'"{key}":"{value}"'
        for key, value in (*first, *component, ("sys.baggage", sys_baggage), ("biz.baggage", biz_baggage))
    ]
    return f"{{{','.join(written)}}}\r\n".encode()


def compact(first: Pairs, component: Sequence[str], sys_baggage: str = "", biz_baggage: str = "") -> bytes:
    """A line in the older layout: the values alone."""
    values = [*(str(value) for _, value in first), *component, sys_baggage, biz_baggage]
    return f"{','.join(values)}\r\n".encode()


# The component's columns of each kind of file in the compact layout, and what they are by name.
COMPACT: Final[Mapping[str, tuple[Sequence[str], Mapping[str, str | int]]]] = {
    "spring-mvc-digest.log": (
        ["http://shop/a,b", "GET", "-1B", "12B", "no, never"],
        {
            "request.url": "http://shop/a,b",
            "method": "GET",
            "req.size.bytes": -1,
            "resp.size.bytes": 12,
            "error": "no, never",
        },
    ),
    "okhttp-digest.log": (
        ["http://shop/?q=a,b", "POST", "201", "3", "4", "stock"],
        {"request.url": "http://shop/?q=a,b", "method": "POST", "req.size.bytes": 3, "remote.app": "stock"},
    ),
    "httpclient-digest.log": (
        ["http://shop/,", "GET", "3", "4", "stock"],
        {"request.url": "http://shop/,", "resp.size.bytes": 4, "remote.app": "stock"},
    ),
    "resttemplate-digest.log": (
        ["http://shop/x", "GET", "4", "I/O, broken"],
        {"request.url": "http://shop/x", "resp.size.bytes": 4, "error": "I/O, broken"},
    ),
    "feign-digest.log": (
        ["http://shop/x", "GET", "refused, twice", "3", "4", "shop", "8080"],
        {"error": "refused, twice", "req.size.bytes": 3, "remote.host": "shop", "remote.port": "8080"},
    ),
    "datasource-client-digest.log": (
        ["shop", "select a%2C b from goods", "6ms", "136ms", "MYSQL", "h1:3306,h2:3306"],
        {
            "database.name": "shop",
            "sql": "select a, b from goods",
            "connection.establish.span": "6ms",
            "db.execute.cost": "136ms",
            "database.type": "MYSQL",
            "database.endpoint": "h1:3306,h2:3306",
        },
    ),
    "dubbo-client-digest.log": (
        ["dubbo", "com.x.Stock", "take", "sync", "10.0.0.2", "20880", "10.0.0.1", "1", "null", "30", "40", "no, none"],
        {
            "service": "com.x.Stock",
            "method": "take",
            "client.serialize.time": 1,
            "req.size.bytes": 30,
            "error": "no, none",
        },
    ),
    "dubbo-server-digest.log": (
        ["dubbo", "com.x.Stock", "take", "sync", "10.0.0.1", "5", "10.0.0.2", "1", "2", "3", "4", "30", "40", ""],
        {"invoke.type": "sync", "server.serialize.time": 3, "server.deserialize.time": 4, "resp.size.bytes": 40},
    ),
    "redis-digest.log": (["redis", "redis-set, nx"], {"db.type": "redis", "method": "redis-set, nx"}),
    "mongodb-digest.log": (
        ['{ "find" : "goods", "filter" : { "price" : 5 } }', "shop", "mongo", "10.0.0.3", "27017", "java-mongo"],
        {
            "db.statement": '{ "find" : "goods", "filter" : { "price" : 5 } }',
            "db.instance": "shop",
            "peer.hostname": "mongo",
            "peer.host": "10.0.0.3",
            "peer.port": 27017,
            "db.type": "java-mongo",
        },
    ),
    "kafkamq-send-digest.log": (["orders", "3"], {"kafka.topic": "orders", "kafka.partition": 3}),
    "kafkamq-consume-digest.log": (["orders", "3", "77"], {"kafka.offset": 77}),
    "rabbitmq-send-digest.log": (["ex", "key", ""], {"exchange": "ex", "rountingKey": "key"}),
    "rabbitmq-consume-digest.log": (
        ["ex", "key", "queue", "lost, gone"],
        {"queueName": "queue", "error": "lost, gone"},
    ),
    "rocketmq-send-digest.log": (
        ["id", "orders", "broker-a", "SEND_OK", "Normal", "10.0.0.1", "10.0.0.9:10911", "producers", ""],
        {"msg.topic": "orders", "brokerAddr": "10.0.0.9:10911", "producerGroup": "producers"},
    ),
    "rocketmq-consume-digest.log": (
        ["id", "orders", "broker-a", "consumers", "CONSUME_SUCCESS", ""],
        {"msg.id": "id", "consumerGroup": "consumers", "status": "CONSUME_SUCCESS"},
    ),
    "message-pub-digest.log": (["", "output", "id", "stock"], {"msg.channel": "output", "remote.app": "stock"}),
    "message-sub-digest.log": (["", "orders", "input", "id", "stock"], {"msg.topic": "orders", "msg.channel": "input"}),
    "biz-digest.log": (
        ["price", "result.code=00&currency=EUR&"],
        {"method": "price", "tags": "result.code=00&currency=EUR&"},
    ),
}
