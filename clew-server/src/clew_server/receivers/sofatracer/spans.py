"""The fields of a record written as a span of OTLP. No I/O.

`docs/receivers/sofatracer.md` says where each field goes; this is the code behind that page.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from clew.ids import our_span_in_eagleeye, span_id_from_eagleeye, trace_id_from_eagleeye
from clew_server.receivers.foreign.conventions import (
    CLIENT,
    CONSUMER,
    INTERNAL,
    PRODUCER,
    SERVER,
    Value,
    beside,
    peer,
)
from clew_server.receivers.foreign.marks import ERROR, UNSET, is_failed_answer
from clew_server.receivers.foreign.writing import MAX_NS, attributes, resource, span, span_back, span_front
from clew_server.receivers.sofatracer.fields import Field
from clew_server.receivers.sofatracer.times import cost_ms, epoch_ms, wall_ms

SPAN_ID: Final = "origin.span.id"
"""The attribute with a span's rpc id. SOFATracer's own reporter for Zipkin calls it so."""

_KINDS: Final = {"server": SERVER, "client": CLIENT, "producer": PRODUCER, "consumer": CONSUMER}
_CALLS: Final = (CLIENT, PRODUCER)
_TRACE_ID: Final = re.compile(r"[0-9A-Za-z]{1,128}")
_RPC_ID: Final = re.compile(r"\d{1,20}(?:\.\d{1,20}){0,127}", re.ASCII)
_HTTP_CODE: Final = re.compile(r"[1-5]\d\d")
_HOST: Final = re.compile(r"[A-Za-z0-9._\-]{1,253}|[0-9A-Fa-f:.]{2,45}")
_SUCCEEDED: Final = frozenset(("", "00", "0", "success", "SUCCESS", "Y"))
_WORD: Final = re.compile(r"\s{0,64}([A-Za-z]{1,32})")
_CONSUMED: Final = frozenset(("time", "local.app", "traceId", "spanId", "time.cost.milliseconds"))
_MESSAGING: Final = frozenset(
    ("kafka.topic", "exchange", "rountingKey", "queueName", "msg.topic", "msg.channel", "msg.id")
)
_MOST_NUMBER: Final = 1 << 63


class Malformed(ValueError):
    """A record that is no span; `reason` is how it is counted."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def resource_of(fields: Mapping[str, Field]) -> bytes:
    """The resource of a record."""
    items: dict[str, Value] = {"telemetry.sdk.name": "sofatracer", "telemetry.sdk.language": "java"}
    service = str(fields.get("local.app", ""))
    return resource({"service.name": service, **items} if service else items)


def written(fields: Mapping[str, Field], file: str, offset: int | None) -> bytes:
    """A record as an element of `ScopeSpans.spans`. `offset` as `times.offset_ms` says. Raises Malformed."""
    if not fields:
        raise Malformed("malformed")
    trace, rpc_id = str(fields.get("traceId", "")), str(fields.get("spanId", ""))
    if not _TRACE_ID.fullmatch(trace):
        raise Malformed("trace_id")
    if not _RPC_ID.fullmatch(rpc_id):
        raise Malformed("span_id")
    said = str(fields.get("span.kind", ""))
    family = _family(fields, file)
    kind = _kind(said, family, file)
    side = "c" if _KINDS.get(said.lower(), kind) in _CALLS else "s"
    items: dict[str, Value] = {SPAN_ID: rpc_id}
    trace_id = trace_id_from_eagleeye(trace)
    if trace_id.hex() != trace:
        items["eagleeye.trace_id"] = trace
    for key, value in fields.items():
        if key not in _CONSUMED and not (key == "span.kind" and said.lower() in _KINDS and family != "local"):
            items[key] = str(value) if type(value) is int and abs(value) >= _MOST_NUMBER else value
    start_ns, end_ns = _times(fields, offset, items)
    code, message = _status(fields, family, kind)
    for key, standard in _standard(fields, family, kind).items():
        items.setdefault(key, standard)
    front = span_front(_name(fields, family, kind, file), kind, start_ns, end_ns, attributes(items))
    return span(
        trace_id,
        span_id_from_eagleeye(trace, rpc_id, side),
        "",
        _parent(trace, rpc_id, side),
        front,
        span_back((), (), code, message),
    )


def _parent(trace: str, rpc_id: str, side: str) -> bytes:
    """The parent that is most likely; whether a server has the caller's rpc id is known from the whole trace only.

    A server hangs on the client one part above, a client on the server one part above, where one of them is not a span of clew's.
    """
    above = rpc_id.rpartition(".")[0]
    if side == "s":
        ours = our_span_in_eagleeye(rpc_id) or our_span_in_eagleeye(above)
        if ours is not None:
            return ours
    if not above:
        return b""
    return span_id_from_eagleeye(trace, above, "c" if side == "s" else "s")


def _family(fields: Mapping[str, Field], file: str) -> str:
    """What a span is about: `http`, `db`, `rpc`, `messaging`, `local`, or empty."""
    if file.startswith("biz"):
        return "local"
    if "request.url" in fields:
        return "http"
    if fields.keys() & {"sql", "database.type", "database.name", "db.type", "db.statement"}:
        return "db"
    if fields.keys() & _MESSAGING or file.startswith(("kafkamq", "rabbitmq", "rocketmq", "message")):
        return "messaging"
    if "service" in fields and fields.keys() & {"protocol", "invoke.type", "method"}:
        return "rpc"
    return ""


def _kind(said: str, family: str, file: str) -> int:
    kind = _KINDS.get(said.lower())
    if family == "local":
        return INTERNAL
    if kind is None:
        if file.startswith("spring-mvc") or "-server" in file:
            kind = SERVER
        elif "-consume" in file or "-sub" in file:
            kind = CONSUMER
        elif family:
            kind = CLIENT
        else:
            return INTERNAL
    if family == "messaging":
        return PRODUCER if kind in _CALLS else CONSUMER
    return kind


def _times(fields: Mapping[str, Field], offset: int | None, items: dict[str, Value]) -> tuple[int, int]:
    """Start and end in ns. What is no time is kept as an attribute."""
    wall, cost = wall_ms(fields.get("time")), cost_ms(fields)
    if cost is None and fields.get("time.cost.milliseconds") is not None:
        items["time.cost.milliseconds"] = fields["time.cost.milliseconds"]
    if cost is not None and cost < 0:
        items["time.cost.milliseconds"] = cost
        cost = 0
    if wall is None:
        if fields.get("time") is not None:
            items["time"] = fields["time"]
        return 0, min((cost or 0) * 1_000_000, MAX_NS)
    end_ms = max(0, epoch_ms(wall, offset))
    start_ms = max(0, end_ms - (cost or 0))
    return min(start_ms * 1_000_000, MAX_NS), min(end_ms * 1_000_000, MAX_NS)


def _status(fields: Mapping[str, Field], family: str, kind: int) -> tuple[int, str]:
    code, error = str(fields.get("result.code", "")), str(fields.get("error", ""))
    if family in ("http", "") and _HTTP_CODE.fullmatch(code):
        failed = is_failed_answer(code, kind)
    else:
        failed = code not in _SUCCEEDED
    if error and error.lower() != "false":
        return ERROR, "" if error.lower() == "true" else error
    if not failed:
        return UNSET, ""
    return ERROR, "" if _HTTP_CODE.fullmatch(code) else f"result code {code}"


def _name(fields: Mapping[str, Field], family: str, kind: int, file: str) -> str:
    method = str(fields.get("method", ""))
    if family == "http":
        return f"{method} {_path(str(fields['request.url']))}".strip()
    if family == "rpc":
        service = str(fields["service"]).partition(":")[0]
        return f"{service}/{method}" if method else service
    if family == "db":
        operation = method or _operation(str(fields.get("sql", "")))
        place = str(fields.get("database.name", fields.get("db.instance", "")))
        return f"{operation} {place}".strip() or str(fields.get("db.type", fields.get("database.type", "")))
    if family == "messaging":
        place = _destination(fields)
        return f"{'send' if kind == PRODUCER else 'process'} {place}".strip()
    return method or file.partition("-digest")[0] or "span"


def _path(url: str) -> str:
    """The path of a URL, as it stands there."""
    _, slashes, behind = url.partition("://")
    path = "/" + behind.partition("/")[2] if slashes else url
    return path.partition("?")[0].partition("#")[0] or "/"


def _authority(url: str) -> str:
    return re.split("[/?#]", url.partition("://")[2], maxsplit=1)[0].rpartition("@")[2]


def _operation(statement: str) -> str:
    found = _WORD.match(statement)
    return found[1].upper() if found else ""


def _destination(fields: Mapping[str, Field]) -> str:
    for key in ("kafka.topic", "msg.topic", "queueName", "exchange", "msg.channel"):
        if fields.get(key):
            return str(fields[key])
    return ""


def _standard(fields: Mapping[str, Field], family: str, kind: int) -> dict[str, Value]:
    """Attributes under their standard names, beside what the line calls otherwise."""
    found: dict[str, Value] = {}
    _copy(fields, found, "current.thread.name", "thread.name")
    host, port = _peer(fields)
    if family == "http":
        older: dict[str, Value] = {}
        _copy(fields, older, "method", "http.method")
        _copy(fields, older, "request.url", "http.url")
        _copy(fields, older, "result.code", "http.status_code")
        for key, name in (("req.size.bytes", "http.request.size"), ("resp.size.bytes", "http.response.size")):
            size = fields.get(key)
            if isinstance(size, int) and size >= 0:
                older[name] = size
        found |= beside(older, kind)
        # The server's own address for both sides: the URL says nothing of a client.
        named, at = _address(_authority(str(fields["request.url"])))
        if named and not host:
            found["server.address"] = named
            if at:
                found["server.port"] = at
    elif family == "rpc":
        protocol = str(fields.get("protocol", ""))
        found["rpc.system"] = "apache_dubbo" if protocol == "dubbo" else f"sofa_{protocol or 'rpc'}"
        _copy(fields, found, "service", "rpc.service")
        _copy(fields, found, "method", "rpc.method")
    elif family == "db":
        _copy(fields, found, "database.name", "db.namespace")
        _copy(fields, found, "sql", "db.query.text")
        _copy(fields, found, "method", "db.operation.name")
        found |= beside({"db.type": str(fields["database.type"])} if "database.type" in fields else {}, kind)
        found |= {key: value for key, value in beside(dict(fields), kind).items() if key not in found}
        if "database.endpoint" in fields:
            host, port = _address(str(fields["database.endpoint"]))
        operation = _operation(str(fields.get("sql", "")))
        if operation:
            found["db.operation.name"] = operation
    elif family == "messaging":
        found |= _messaging(fields, kind)
    _copy(fields, found, "local.host", "network.local.address")
    _copy(fields, found, "local.port", "network.local.port")
    found |= {
        key: value
        for key, value in peer(kind, str(fields.get("remote.app", "")), host, port).items()
        if key not in found
    }
    return found


def _messaging(fields: Mapping[str, Field], kind: int) -> dict[str, Value]:
    found: dict[str, Value] = {"messaging.operation.type": "send" if kind == PRODUCER else "process"}
    if "kafka.topic" in fields:
        found["messaging.system"] = "kafka"
    elif fields.keys() & {"exchange", "rountingKey", "queueName"}:
        found["messaging.system"] = "rabbitmq"
    elif fields.keys() & {"broker", "brokerAddr", "msgType", "consumerGroup", "producerGroup"}:
        found["messaging.system"] = "rocketmq"
    place = _destination(fields)
    if place:
        found["messaging.destination.name"] = place
    if "kafka.partition" in fields:
        found["messaging.destination.partition.id"] = str(fields["kafka.partition"])
    _copy(fields, found, "kafka.offset", "messaging.kafka.offset")
    _copy(fields, found, "rountingKey", "messaging.rabbitmq.destination.routing_key")
    _copy(fields, found, "msg.id", "messaging.message.id")
    _copy(fields, found, "consumerGroup", "messaging.consumer.group.name")
    return found


def _copy(fields: Mapping[str, Field], to: dict[str, Value], key: str, name: str) -> None:
    if key in fields:
        to[name] = fields[key]


def _peer(fields: Mapping[str, Field]) -> tuple[str, int]:
    """Host and port of the other side; empty and 0 where they are not known."""
    for key in ("remote.ip", "brokerAddr"):
        if key in fields:
            return _address(str(fields[key]))
    port = str(fields.get("remote.port", ""))
    return str(fields.get("remote.host", "")), int(port) if port.isascii() and port.isdecimal() and len(port) < 6 else 0


def _address(text: str) -> tuple[str, int]:
    """`host:port` or a host; the first where there are several."""
    text = text.partition(",")[0]
    host, colon, port = text.rpartition(":")
    if not (colon and port.isascii() and port.isdecimal() and len(port) < 6):
        host, port = text, "0"
    host = host.strip("[]")
    return (host, int(port)) if _HOST.fullmatch(host) else ("", 0)
