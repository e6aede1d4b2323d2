"""What op, status and description of a span mean: kind, status, name and standard attributes. No I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from clew_server.receivers.foreign.conventions import CLIENT, CONSUMER, INTERNAL, PRODUCER, SERVER, Value, beside
from clew_server.receivers.foreign.marks import ERROR, OK, UNSET, is_failed_answer

_KINDS: Final = {"server": SERVER, "client": CLIENT, "producer": PRODUCER, "consumer": CONSUMER, "internal": INTERNAL}
_SAID: Final = ("sentry.kind", "otel.kind", "span.kind")
"""Attributes by which an SDK says the kind."""
_KINDS_OF_OPS: Final = (
    ("http.server", SERVER),
    ("grpc.server", SERVER),
    ("rpc.server", SERVER),
    ("websocket.server", SERVER),
    ("mcp.server", SERVER),
    ("graphql.server", SERVER),
    ("http.client", CLIENT),
    ("grpc.client", CLIENT),
    ("rpc.client", CLIENT),
    ("websocket.client", CLIENT),
    ("db", CLIENT),
    ("cache", CLIENT),
    ("rpc", CLIENT),
    ("grpc", CLIENT),
    ("gen_ai.chat", CLIENT),
    ("gen_ai.embeddings", CLIENT),
    ("gen_ai.responses", CLIENT),
    ("gen_ai.text_completion", CLIENT),
    ("ai.chat_completions", CLIENT),
    ("function.aws", SERVER),
    ("function.gcp", SERVER),
    ("queue.publish", PRODUCER),
    ("queue.create", PRODUCER),
    ("queue.submit", PRODUCER),
    ("queue.process", CONSUMER),
    ("queue.receive", CONSUMER),
    ("queue.task", CONSUMER),
)
_NOT_FAILED: Final = frozenset(("cancelled", "unknown", "unknown_error"))
"""Statuses other than `ok` that Sentry does not count as failures."""
_LONGEST_KEPT: Final = 128
_WORD: Final = re.compile(r"\s*([A-Za-z]{2,20})\b")
_CALL: Final = re.compile(r"([A-Z]{3,10}) (\S{1,2048})")


_SEVERITIES: Final = {"trace": 1, "debug": 5, "info": 9, "warn": 13, "warning": 13, "error": 17, "fatal": 21}
"""OpenTelemetry's numbers of Sentry's levels."""


def severity_of(level: str) -> int:
    """The number of a level; 0 for another word."""
    return _SEVERITIES.get(level, 0)


def kind_of(op: str, attributes: dict[str, Value]) -> int:
    """What an attribute says, which then goes, else what the op says: `http.server`, `db.redis`, `queue.task.celery`."""
    for key in _SAID:
        said = attributes.get(key)
        kind = _KINDS.get(said.lower()) if isinstance(said, str) else None
        if kind is not None:
            del attributes[key]
            return kind
    return _kept_kind(op) if len(op) <= _LONGEST_KEPT else _kind_of_op(op)


def _kind_of_op(op: str) -> int:
    for known, kind in _KINDS_OF_OPS:
        if op == known or op.startswith(known + "."):
            return kind
    return INTERNAL


_kept_kind: Final = lru_cache(maxsize=512)(_kind_of_op)


def status_of(status: str, kind: int, attributes: Mapping[str, Value]) -> tuple[int, str]:
    """Code and message. An answer that is no failure of its span, such as a server's 404, leaves it unset."""
    if not status or status in _NOT_FAILED:
        return UNSET, ""
    if status == "ok":
        return OK, ""
    answer = attributes.get("http.response.status_code", attributes.get("http.status_code"))
    if answer is not None and not is_failed_answer(answer, kind) and status not in ("error", "internal_error"):
        return UNSET, ""
    return ERROR, "" if status == "error" else status


def name_of(op: str, description: str, attributes: Mapping[str, Value]) -> str:
    """A name that many spans share: the description, but of a query its first word, of a call over HTTP its method."""
    if description and (op == "db" or op.startswith("db.")):
        said = attributes.get("db.operation.name", attributes.get("db.operation"))
        if isinstance(said, str) and said:
            return said
        word = _WORD.match(description)
        return word[1].upper() if word else op
    if op.startswith("http.client"):
        call = _CALL.match(description)
        if call:
            return call[1]
    return description or op


def standard(op: str, description: str, kind: int, attributes: Mapping[str, Value]) -> dict[str, Value]:
    """The standard attributes that stand beside those of the SDK, none of which is among them."""
    found: dict[str, Value] = {}
    if description and (op == "db" or op.startswith("db.")):
        found["db.query.text"] = description
    if op.startswith("http.client"):
        _put_call(found, description, attributes)
    elif isinstance(attributes.get("url"), str):
        found |= beside({"http.url": attributes["url"]}, kind)
    query, fragment = attributes.get("http.query"), attributes.get("http.fragment")
    if isinstance(query, str) and query:
        found["url.query"] = query.removeprefix("?")
    if isinstance(fragment, str) and fragment:
        found["url.fragment"] = fragment.removeprefix("#")
    for key, value in beside(attributes, kind).items():
        found.setdefault(key, value)
    return {key: value for key, value in found.items() if key not in attributes}


def _put_call(found: dict[str, Value], description: str, attributes: Mapping[str, Value]) -> None:
    """Method, address and server of a call over HTTP. Python's SDK has the query beside the address."""
    call = _CALL.match(description)
    url = next((one for key in ("url.full", "http.url", "url") if isinstance(one := attributes.get(key), str)), "")
    if call:
        found["http.request.method"] = call[1]
        url = url or (call[2] if "://" in call[2] else "")
    if "://" not in url:
        return
    query = attributes.get("http.query")
    if isinstance(query, str) and query and "?" not in url:
        url += "?" + query.removeprefix("?")
    found |= beside({"http.url": url}, CLIENT)
    try:
        parts = urlsplit(url)
        if parts.hostname:
            found["server.address"] = parts.hostname
        if parts.port:
            found["server.port"] = parts.port
    except ValueError:
        return
