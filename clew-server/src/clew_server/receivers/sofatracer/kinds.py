"""The kinds of digest logs: by which name their files begin, and what stands in which column of the compact layout. No I/O.

The layout has no quotes, and only statements have their commas escaped. So columns are counted from both ends, and what is left in
the middle belongs to the one column of free text where all others are what they should be.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple


class Column(NamedTuple):
    """One value of a line."""

    name: str
    pattern: re.Pattern[str] | None = None
    is_free: bool = False
    """Whether there may be commas in it."""


class Kind(NamedTuple):
    """One kind of digest log."""

    file: str
    """How the name of its files begins, up to `-digest.log`."""
    columns: tuple[Column, ...]
    """Between the eight that every line has and the two of the baggage."""
    is_distinct: bool = False
    """Whether its lines are known without the file's name."""


_METHOD: Final = re.compile(r"[A-Z]{3,20}")
_CODE: Final = re.compile(r"\d{0,9}")
_NUMBER: Final = re.compile(r"(?:-?\d{1,20})?|null")
_SIZE: Final = re.compile(r"-?\d{1,20}B")
_LENGTH: Final = re.compile(r"(?:-?\d{1,20}|null)ms")
_URL: Final = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.\-]{0,20}:)?/.*", re.DOTALL)
_ADDRESS: Final = re.compile(r"[0-9A-Fa-f.:]{2,45}")
_BAGGAGE: Final = re.compile(r"(?:[^=&]*=[^=&]*&)*")
_DOCUMENT: Final = re.compile(r"(?:\{.*\}|[^{},]*)", re.DOTALL)
_MONGO: Final = re.compile(r".{0,20}mongo.{0,20}", re.IGNORECASE)
_REDIS: Final = re.compile(r"redis.{0,20}", re.IGNORECASE)

_ERROR: Final = Column("error", None, True)
_REQUEST_URL: Final = Column("request.url", _URL, True)
_HTTP_METHOD: Final = Column("method", _METHOD)
_BEFORE_SIZES: Final = tuple(
    Column(name)
    for name in ("protocol", "service", "method", "invoke.type", "remote.host", "remote.port", "local.host")
)
_REQ, _RESP = Column("req.size.bytes", _NUMBER), Column("resp.size.bytes", _NUMBER)
_CLIENT_TIMES: Final = (Column("client.serialize.time", _NUMBER), Column("client.deserialize.time", _NUMBER))
_SERVER_TIMES: Final = (Column("server.serialize.time", _NUMBER), Column("server.deserialize.time", _NUMBER))
_STATEMENT: Final = Column("db.statement", _DOCUMENT, True)
_MONGO_PLACE: Final = (Column("db.instance"), Column("peer.hostname"))
_SENT: Final = ("msg.id", "msg.topic", "broker", "status", "msgType", "bornHost", "brokerAddr", "producerGroup")
_CONSUMED: Final = ("msg.id", "msg.topic", "broker", "consumerGroup", "status")
_MONGO_END: Final = (Column("peer.port", _NUMBER), Column("db.type", _MONGO))
_PEER_HOST: Final = Column("peer.host", _ADDRESS)

BAGGAGE: Final = (Column("sys.baggage", _BAGGAGE, True), Column("biz.baggage", _BAGGAGE, True))

KINDS: Final = (
    Kind(
        "spring-mvc",
        (_REQUEST_URL, _HTTP_METHOD, Column("req.size.bytes", _SIZE), Column("resp.size.bytes", _SIZE), _ERROR),
        True,
    ),
    Kind("okhttp", (_REQUEST_URL, _HTTP_METHOD, Column("result.code", _CODE), _REQ, _RESP, Column("remote.app")), True),
    Kind("httpclient", (_REQUEST_URL, _HTTP_METHOD, _REQ, _RESP, Column("remote.app")), True),
    Kind(
        "feign",
        (_REQUEST_URL, _HTTP_METHOD, _ERROR, _REQ, _RESP, Column("remote.host"), Column("remote.port", _NUMBER)),
        True,
    ),
    Kind("resttemplate", (_REQUEST_URL, _HTTP_METHOD, _RESP, _ERROR), True),
    Kind(
        "datasource",
        (
            Column("database.name"),
            Column("sql", None, True),
            Column("connection.establish.span", _LENGTH),
            Column("db.execute.cost", _LENGTH),
            Column("database.type"),
            Column("database.endpoint", None, True),
        ),
        True,
    ),
    Kind("dubbo-server", (*_BEFORE_SIZES, *_CLIENT_TIMES, *_SERVER_TIMES, _REQ, _RESP, _ERROR), True),
    Kind("dubbo-client", (*_BEFORE_SIZES, *_CLIENT_TIMES, _REQ, _RESP, _ERROR), True),
    Kind("mongodb", (_STATEMENT, *_MONGO_PLACE, *_MONGO_END), True),
    Kind("mongodb", (_STATEMENT, *_MONGO_PLACE, _PEER_HOST, *_MONGO_END), True),
    Kind("mongodb", (_STATEMENT, *_MONGO_PLACE, _PEER_HOST, _ERROR, *_MONGO_END), True),
    Kind("mongodb", (_STATEMENT, *_MONGO_PLACE, _ERROR, *_MONGO_END), True),
    Kind("redis", (Column("db.type", _REDIS), Column("method", None, True)), True),
    Kind("kafkamq-send", (Column("kafka.topic"), Column("kafka.partition", _NUMBER))),
    Kind(
        "kafkamq-consume",
        (Column("kafka.topic"), Column("kafka.partition", _NUMBER), Column("kafka.offset", _NUMBER)),
    ),
    Kind("rabbitmq-send", (Column("exchange"), Column("rountingKey"), _ERROR)),
    Kind("rabbitmq-send", (Column("exchange"), Column("rountingKey"), Column("replyTimeout", _NUMBER), _ERROR)),
    Kind("rabbitmq-consume", (Column("exchange"), Column("rountingKey"), Column("queueName"), _ERROR)),
    Kind("rocketmq-send", (*map(Column, _SENT), _ERROR)),
    Kind("rocketmq-consume", (*map(Column, _CONSUMED), _ERROR)),
    Kind("message-pub", (_ERROR, Column("msg.channel"), Column("msg.id"), Column("remote.app"))),
    Kind("message-sub", (_ERROR, Column("msg.topic"), Column("msg.channel"), Column("msg.id"), Column("remote.app"))),
    Kind("biz", (Column("method"), Column("tags", _BAGGAGE, True))),
)
# Commas in several free columns of one line: so many are looked for, in lines of up to so many characters.
_MOST_EXTRA: Final = 48
_LONGEST_WITH_SEVERAL: Final = 16 << 10


def of_file(name: str) -> list[Kind]:
    """The kinds whose files have such a name."""
    return [kind for kind in KINDS if name.startswith(kind.file)]


def named(values: Sequence[str], file: str) -> dict[str, str] | None:
    """The columns of a line behind the eight common ones, by name; None where they are of no kind that is known."""
    for kind in of_file(file) or [kind for kind in KINDS if kind.is_distinct]:
        found = _fitted(values, (*kind.columns, *BAGGAGE))
        if found is not None:
            return found
    return None


def _fitted(values: Sequence[str], columns: Sequence[Column]) -> dict[str, str] | None:
    extra = len(values) - len(columns)
    if extra < 0:
        return None
    if extra == 0:
        return _read(values, columns, {})
    for at, column in enumerate(columns):
        if column.is_free:
            found = _read(values, columns, {at: extra})
            if found is not None:
                return found
    if extra > _MOST_EXTRA or sum(map(len, values)) > _LONGEST_WITH_SEVERAL:
        return None
    shares = _shared(values, columns, 0, 0, extra, set())
    return None if shares is None else _read(values, columns, shares)


def _shared(
    values: Sequence[str], columns: Sequence[Column], place: int, at: int, extra: int, failed: set[tuple[int, int]]
) -> dict[int, int] | None:
    """How many values more each free column from `place` on takes, so that all fit; the first ones take the most."""
    if place == len(columns):
        return {} if extra == 0 else None
    if (place, at) in failed:
        return None
    column = columns[place]
    for more in range(extra if column.is_free else 0, -1, -1):
        if column.pattern is None or column.pattern.fullmatch(",".join(values[at : at + 1 + more])):
            found = _shared(values, columns, place + 1, at + 1 + more, extra - more, failed)
            if found is not None:
                return {place: more, **found}
    failed.add((place, at))
    return None


def _read(values: Sequence[str], columns: Sequence[Column], more: dict[int, int]) -> dict[str, str] | None:
    """The values by name, where a column takes as many more as `more` says; None where one is not as it should be."""
    found: dict[str, str] = {}
    at = 0
    for place, column in enumerate(columns):
        end = at + 1 + more.get(place, 0)
        value = values[at] if end == at + 1 else ",".join(values[at:end])
        if column.pattern is not None and column.pattern.fullmatch(value) is None:
            return None
        found[column.name] = value
        at = end
    return found
