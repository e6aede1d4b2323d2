"""A request of Sentry's SDKs, by its path, into OTLP. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from clew_server.errors import BadInput, TooLarge
from clew_server.receivers.contract import MAX_REQUEST_BYTES, MAX_REQUEST_SPANS, Head, OtlpBatch
from clew_server.receivers.foreign.conventions import Value
from clew_server.receivers.foreign.writing import Groups, batch, resource
from clew_server.receivers.json_walk import JsonWalk
from clew_server.receivers.sentry.envelope import Item, items
from clew_server.receivers.sentry.errors import fragment
from clew_server.receivers.sentry.process import of_event
from clew_server.receivers.sentry.spans import child, root
from clew_server.receivers.sentry.streamed import streamed_log, streamed_span
from clew_server.receivers.sentry.values import Malformed

ENVELOPE: Final = "/api/{project}/envelope/"
STORE: Final = "/api/{project}/store/"
STREAM: Final = "/stream"
"""Where SDKs send a copy for a tool on the developer's machine (Spotlight)."""
PATHS: Final = (ENVELOPE, STORE, "/{service}" + ENVELOPE, "/{service}" + STORE, STREAM)

MAX_ENVELOPE_BYTES: Final = MAX_REQUEST_BYTES // 2
MAX_ERROR_BYTES: Final = 2 << 20
MAX_ITEM_BYTES: Final = 16 << 20
_SMALL_BYTES: Final = 32 << 10
"""What a smaller item holds as objects at once is little."""

# What SDKs send beside spans and errors: the type of an item → as what it is counted.
OTHERS: Final = {
    "attachment": "attachment",
    "check_in": "check_in",
    "client_report": "client_report",
    "feedback": "feedback",
    "metric_buckets": "metrics",
    "otel_log": "log",
    "profile": "profile",
    "profile_chunk": "profile",
    "raw_security": "security",
    "replay_event": "replay",
    "replay_recording": "replay",
    "replay_video": "replay",
    "session": "session",
    "sessions": "session",
    "statsd": "metrics",
    "trace_metric": "metrics",
    "user_report": "feedback",
}


def decode(body: bytes, head: Head) -> OtlpBatch:
    """Raises BadInput, TooLarge."""
    # Where the address has a port of its own, SDKs trace the requests by which they send, each of which makes them send again.
    found = _Batch(head.parts, own=f"POST http://{head.headers.get('host', '')}{head.path}")
    if head.path.rstrip("/").endswith("/store"):
        found.add_stored(body)
    else:
        for item in items(body):
            found.add(item)
    made = batch(found.groups, received=body, rejected=found.rejected)
    return made._replace(fragments=found.fragments, dropped=dict(found.dropped))


class _Batch:
    """What the items of one request become."""

    def __init__(self, parts: Mapping[str, str], own: str) -> None:
        self.groups = Groups()
        self.rejected: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self.fragments = 0
        self._parts = parts
        self._own = own
        self._size = 0

    def add(self, item: Item) -> None:
        take = self._takers().get(item.type)
        if take is None:
            self.dropped[OTHERS.get(item.type, "other_item")] += 1
            return
        most = MAX_ERROR_BYTES if item.type == "event" else MAX_ITEM_BYTES
        if len(item.payload) > most:
            raise TooLarge(f"{len(item.payload)} bytes: an item of this kind holds at most {most}")
        try:
            take(item.payload)
        except TooLarge:
            raise
        except BadInput:
            self.rejected["malformed"] += 1
        except Malformed as error:
            self.rejected[error.reason] += 1

    def add_stored(self, body: bytes) -> None:
        """The one event of a request to the older path. Raises BadInput."""
        if len(body) > MAX_ITEM_BYTES:
            raise TooLarge(f"{len(body)} bytes: an event holds at most {MAX_ITEM_BYTES}")
        event = _whole(body)
        if not isinstance(event, dict):
            raise BadInput("the body is no event of Sentry's: it is no object", code="malformed")
        try:
            if event.get("type") == "transaction":
                self._transaction(body)
            else:
                self._add_error(event)
        except Malformed as error:
            self.rejected[error.reason] += 1

    def _takers(self) -> dict[str, Callable[[bytes], None]]:
        return {"transaction": self._transaction, "event": self._error, "span": self._spans, "log": self._logs}

    def _transaction(self, payload: bytes) -> None:
        event: dict[str, Any] = {}
        spans: list[bytes] = []
        for key, raw in _members_and_spans(payload):
            if key != "spans":
                event[key] = raw
                continue
            try:
                if not self._is_own(raw):
                    spans.append(child(raw))
            except Malformed as error:
                self.rejected[error.reason] += 1
        of_resource = resource(of_event(event, self._parts))
        try:
            self._add(of_resource, root(event))
        except Malformed as error:
            self.rejected[error.reason] += 1
        for one in spans:
            self._add(of_resource, one)

    def _error(self, payload: bytes) -> None:
        event = _whole(payload)
        if not isinstance(event, dict):
            raise Malformed("malformed")
        self._add_error(event)

    def _add_error(self, event: dict[str, Any]) -> None:
        made = fragment(event)
        if made is None:
            self.dropped["event"] += 1
            return
        self._add(resource(of_event(event, self._parts)), made)
        self.fragments += 1

    def _spans(self, payload: bytes) -> None:
        """Spans that SDKs send as they end: one in an item from older versions, many from newer ones."""
        for raw in _contained(payload):
            try:
                if self._is_own(raw):
                    continue
                if isinstance(raw, dict) and "attributes" not in raw and "timestamp" in raw:
                    self._add(resource(of_event(raw, self._parts)), child(raw))
                else:
                    self._add_to(*streamed_span(raw, self._parts))
            except Malformed as error:
                self.rejected[error.reason] += 1

    def _logs(self, payload: bytes) -> None:
        for raw in _contained(payload):
            try:
                made = streamed_log(raw, self._parts)
            except Malformed as error:
                self.rejected[error.reason] += 1
                continue
            if made is None:
                self.dropped["log"] += 1
            else:
                self._add_to(*made)
                self.fragments += 1

    def _is_own(self, raw: Any) -> bool:
        """Whether a span is the very sending of spans to here; it is counted and not kept."""
        if not isinstance(raw, dict) or self._own not in (raw.get("name"), raw.get("description")):
            return False
        self.dropped["own_request"] += 1
        return True

    def _add_to(self, of_resource: dict[str, Value], one: bytes) -> None:
        self._add(resource(of_resource), one)

    def _add(self, of_resource: bytes, one: bytes) -> None:
        self._size += len(one)
        if self._size > MAX_REQUEST_BYTES:
            raise TooLarge(f"more than {MAX_REQUEST_BYTES} bytes, written as OTLP")
        self.groups.add(of_resource, "", "", one)


def _members_and_spans(payload: bytes) -> Iterator[tuple[str, Any]]:
    """The members of a transaction, and each span of its `spans` as one. A large one is read span by span. Raises BadInput."""
    if len(payload) <= _SMALL_BYTES:
        found = _whole(payload)
        if not isinstance(found, dict):
            raise BadInput("the item is no transaction of Sentry's: it is no object", code="malformed")
        spans = found.pop("spans", None)
        yield from found.items()
        if isinstance(spans, list):
            for raw in spans:
                yield "spans", raw
        return
    walk = JsonWalk(payload.decode("utf-8", "replace"))
    for key in walk.members():
        if key == "spans" and walk.starts() == "[":
            for raw in _elements(walk):
                yield key, raw
        elif key == "spans":
            walk.value()
        else:
            yield key, walk.value()
    walk.end()


def _whole(payload: bytes) -> Any:
    walk = JsonWalk(payload.decode("utf-8", "replace"))
    value = walk.value()
    walk.end()
    return value


def _contained(payload: bytes) -> Iterator[Any]:
    """The elements of `items`, each read alone; an object without them is one itself."""
    walk = JsonWalk(payload.decode("utf-8", "replace"))
    alone: dict[str, Any] = {}
    has_items = False
    for key in walk.members():
        if key == "items" and walk.starts() == "[":
            has_items = True
            yield from _elements(walk)
        else:
            alone[key] = walk.value()
    walk.end()
    if not has_items:
        yield alone


def _elements(walk: JsonWalk) -> Iterator[Any]:
    for number, _ in enumerate(walk.elements()):
        if number >= MAX_REQUEST_SPANS:
            raise TooLarge(f"more than {MAX_REQUEST_SPANS} spans in one request")
        yield walk.value()
