"""A message tree of CAT written as spans of OTLP. No I/O.

A tree says which tree called it, not which transaction: a call is found by the id that it chose for the callee's tree. So that the caller's
span has this id whatever comes first, a transaction that calls once takes it as its own; of other calls the event `RemoteCall` becomes a span.
`docs/receivers/cat.md` says where each field goes; this is the code behind that page.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final, NamedTuple

from clew.ids import parent_id_from_cat, span_id_from_cat, span_id_from_cat_call, t16, trace_id_from_cat
from clew_server.errors import TooLarge
from clew_server.receivers.cat.meaning import EXCEPTIONS, kind_of, pairs, standard
from clew_server.receivers.cat.tree import Event, Transaction, Tree
from clew_server.receivers.contract import MAX_REQUEST_BYTES, OtlpBatch
from clew_server.receivers.foreign import writing
from clew_server.receivers.foreign.conventions import CLIENT, INTERNAL, Value, beside
from clew_server.receivers.foreign.marks import ERROR, UNSET
from clew_server.receivers.foreign.writing import MAX_NS, Groups, event, span, span_back, span_front

SUCCESS: Final = "0"
NEXT: Final = "Next"
"""Name of the event by which a client says that a tree goes on in another one."""
RUN_AWAY: Final = "RunAway"
"""Name of the event by which Java's client says that another thread makes a tree of its own."""
DETACHED: Final = "Detached"
"""Type of the transaction by which Java's client 4 says the same; its data is `#=id`."""
UNSET_STATUS: Final = "unset"
"""What Java's client 4 sends as status of an event outside of all transactions, whatever it was given."""

# `id` as data, of another thread also `id=Type:name`.
_called: Final = re.compile(
    r"([^\s=&]{1,256}-[0-9a-fA-F]{8}(?:\.\d{1,10})?-\d{1,10}-\d{1,10})(?:=(.*))?", re.DOTALL
).fullmatch
_SYSTEM: Final = "System"
_MERGED: Final = "_CatMergeTree"
_COUNTED: Final = {"H": "heartbeats", "M": "metrics"}


def batch_of(tree: Tree, body: bytes) -> OtlpBatch:
    """The batch of a tree. `body` is the message as it came. Raises TooLarge."""
    dropped = Counter[str]()
    rejected = {"malformed": 1} if tree.is_cut else {}
    groups = Groups()
    own = _of_client_itself(tree)
    if own is not None:
        dropped.update(own)
    else:
        _Writer(tree, body, groups, dropped).write()
    return writing.batch(groups, received=body, rejected=rejected)._replace(dropped=dict(dropped))


def _of_client_itself(tree: Tree) -> Counter[str] | None:
    """As what a tree is counted that CAT's client makes of itself and not of the application; None for all others."""
    first = tree.transactions[0] if tree.transactions else None
    if first is None or first.type != _SYSTEM:
        return None
    if first.name == "Reboot":
        return Counter(reboots=1)
    records = Counter(_COUNTED.get(event.letter, "") for one in tree.transactions for event in one.events)
    del records[""]
    if first.name.endswith("Aggregator"):
        # Sums of transactions are transactions here; clients send them empty each second.
        sums = len(tree.transactions) - 1 + sum(event.letter == "E" for event in first.events)
        return records + Counter(aggregates=sums)
    if "heartbeats" in records or first.name.startswith("UploadMetric"):
        return records
    return None


class _Call(NamedTuple):
    event: Event
    message_id: str
    """Of the tree that the callee makes."""
    is_local: bool
    """The callee is in this process, on the same thread or another one."""
    until_ms: int


class _Writer:
    def __init__(self, tree: Tree, body: bytes, groups: Groups, dropped: Counter[str]) -> None:
        header = tree.header
        self._tree, self._groups, self._dropped = tree, groups, dropped
        self._header = header
        self._bytes = 0
        self._digest = hashlib.sha256(body).hexdigest()[:32]
        self._message_id = header.message_id or self._digest
        self._trace_id = trace_id_from_cat(header.root_message_id or header.parent_message_id or self._message_id)
        self._parent_id = (
            parent_id_from_cat(self._message_id, header.parent_message_id) if header.parent_message_id else b""
        )
        self._resource = _resource(header.domain, header.host_name, header.ip_address)

    def write(self) -> None:
        transactions = self._tree.transactions
        is_merged = _is_merged(transactions)
        if is_merged:
            transactions = _apart(transactions)
        ids: list[tuple[bytes, bytes]] = []
        for number, one in enumerate(transactions):
            calls = list(_calls(one))
            kind = INTERNAL if one.is_lone else kind_of(one.type)
            own = self._detached(one) or _own_call(calls, kind)
            if own is not None:
                span_id = span_id_from_cat_call(own.message_id)
            else:
                span_id = span_id_from_cat(self._message_id, self._digest, number)
            if one.parent >= 0:
                trace_id, parent_id = ids[one.parent]
            elif is_merged:
                trace_id, parent_id = t16(f"{self._message_id}/{self._digest}/{number}"), b""
            else:
                trace_id, parent_id = self._trace_id, self._parent_id
            ids.append((trace_id, span_id))
            if is_merged and number == 0:
                continue
            if one.is_lone and one.events[0].letter in _COUNTED:
                self._dropped[_COUNTED[one.events[0].letter]] += 1
                continue
            self._transaction(one, kind, trace_id, span_id, parent_id, own)
            for call in calls:
                if call is not own:
                    self._call(call, one, trace_id, span_id)

    def _transaction(
        self, one: Transaction, kind: int, trace_id: bytes, span_id: bytes, parent_id: bytes, own: _Call | None
    ) -> None:
        tags: dict[str, Value] = {}
        if one.type:
            tags["cat.type"] = one.type
        if one.name:
            tags["cat.name"] = one.name
        if one.parent < 0:
            self._put_header(tags)
        start_ns, end_ns = _times(one.start_ms, one.duration_us, tags)
        if not one.is_whole and not one.is_lone:
            tags["cat.incomplete"] = True
        if own is not None:
            self._put_call(tags, own)
        data = one.data if one.type != "SQL" else ""  # that is db.query.text
        events = self._events(one, tags)
        if one.is_lone and one.type not in EXCEPTIONS:
            (record,) = one.events
            data, events = record.data, []
            if record.letter == "L":
                tags["cat.record"] = "trace"
        said = pairs(data)
        if data and not said:
            tags["cat.data"] = data
        for key, value in said.items():
            tags[f"cat.data.{key}" if key in tags else key] = value
        more = standard(one, kind) | beside(tags, kind)
        tags |= {key: value for key, value in more.items() if key not in tags}
        code, message = _status(one.status)
        if one.is_lone and one.type in EXCEPTIONS:
            code, message = ERROR, one.name
        elif one.is_lone and one.status == UNSET_STATUS:
            code, message = UNSET, ""
        front = span_front(_name(one.type, one.name), kind, start_ns, end_ns, writing.attributes(tags))
        back = span_back(events, (), code, message)
        self._add(span(trace_id, span_id, "", parent_id, front, back))

    def _put_header(self, tags: dict[str, Value]) -> None:
        header = self._header
        said = {
            "cat.message_id": header.message_id,
            "cat.parent_message_id": header.parent_message_id,
            "cat.root_message_id": header.root_message_id,
            "cat.session_token": header.session_token,
            "cat.thread_group": header.thread_group,
            "thread.name": header.thread_name,
        }
        tags |= {key: value for key, value in said.items() if value}
        if header.thread_id:
            is_number = header.thread_id.isascii() and header.thread_id.isdecimal() and len(header.thread_id) < 19
            tags["thread.id" if is_number else "cat.thread_id"] = header.thread_id

    def _events(self, one: Transaction, tags: dict[str, Value]) -> list[bytes]:
        found: list[bytes] = []
        calls = {at for at, _ in one.calls}
        for at, record in enumerate(one.events):
            counted = _COUNTED.get(record.letter)
            if counted is not None:
                self._dropped[counted] += 1
            elif record.type == "TruncatedTransaction" and record.name == "TotalDuration" and record.data.isdecimal():
                tags["cat.total_duration_us"] = _int64(record.data)
            elif at not in calls or _called(record.data) is None:
                found.append(_event(record))
        return found

    def _call(self, call: _Call, caller: Transaction, trace_id: bytes, parent_id: bytes) -> None:
        """A span for an event `RemoteCall`: from there to what the transaction does next, or to its end."""
        record = call.event
        tags: dict[str, Value] = {"cat.type": record.type}
        if record.name:
            tags["cat.name"] = record.name
        self._put_call(tags, call)
        until_us = (call.until_ms if call.until_ms >= 0 else caller.start_ms) * 1000
        if call.until_ms < 0:
            until_us += caller.duration_us
        start_ns, end_ns = _times(record.time_ms, max(0, until_us - record.time_ms * 1000), tags)
        said = _called(record.data)
        name = said[2] if said is not None and said[2] else _name(record.type, record.name)
        kind = INTERNAL if call.is_local else CLIENT
        code, message = _status(record.status)
        front = span_front(name, kind, start_ns, end_ns, writing.attributes(tags))
        back = span_back((), (), code, message)
        self._add(span(trace_id, span_id_from_cat_call(call.message_id), "", parent_id, front, back))

    def _detached(self, one: Transaction) -> _Call | None:
        """The tree of another thread that goes on when the transaction that started it has ended: both trees hold it."""
        said = _called(one.data[2:]) if one.type == DETACHED and one.data.startswith("#=") else None
        if said is None or said[1] == self._header.message_id:
            return None
        return _Call(Event("E", one.type, one.name, SUCCESS, one.data, one.start_ms), said[1], True, -1)

    def _put_call(self, tags: dict[str, Value], call: _Call) -> None:
        if call.is_local:
            tags["cat.next_message_id"] = call.message_id
            return
        tags["cat.remote_call.message_id"] = call.message_id
        # The caller makes the id, with the callee's domain where it knows it.
        domain = call.message_id.rsplit("-", 3)[0]
        if domain not in ("default", self._header.domain):
            tags["peer.service"] = domain

    def _add(self, one: bytes) -> None:
        self._bytes += len(one)
        if self._bytes > MAX_REQUEST_BYTES:
            raise TooLarge(f"more than {MAX_REQUEST_BYTES} bytes, written as OTLP")
        self._groups.add(self._resource, "", "", one)


def _is_merged(transactions: list[Transaction]) -> bool:
    """Whether the client put small trees that have nothing to do with each other below a root of its own."""
    return bool(transactions) and (transactions[0].type, transactions[0].name) == (_SYSTEM, _MERGED)


def _apart(transactions: list[Transaction]) -> list[Transaction]:
    """The trees below such a root, each without a parent, and its events behind them. The root stays first."""
    root, *others = transactions
    for one in others:
        one.parent = one.parent or -1
    lone = [
        Transaction(-1, event.type, event.name, event.time_ms, event.status, events=[event], is_lone=True)
        for event in root.events
    ]
    return [root, *others, *lone]


def _calls(one: Transaction) -> Iterator[_Call]:
    seen: set[str] = set()
    for at, until_ms in one.calls:
        record = one.events[at]
        said = _called(record.data)
        if said is not None and said[1] not in seen:
            seen.add(said[1])
            yield _Call(record, said[1], record.name in (NEXT, RUN_AWAY), until_ms)


def _own_call(calls: list[_Call], kind: int) -> _Call | None:
    """The call whose span is the transaction itself: that by which it goes on in another tree, or a client's only one."""
    for call in calls:
        if call.event.name == NEXT:
            return call
    return calls[0] if kind == CLIENT and len(calls) == 1 and not calls[0].is_local else None


def _event(record: Event) -> bytes:
    items: dict[str, Any] = {}
    name = _name(record.type, record.name)
    if record.type in EXCEPTIONS:
        items, name = _exception(record), "exception"
    else:
        said = pairs(record.data)
        if record.data and not said:
            items["cat.data"] = record.data
        items |= said
        if ":" in record.type:
            items["cat.type"] = record.type
    if record.status not in ("", SUCCESS):
        items["cat.status"] = record.status
    if record.letter == "L":
        items["cat.record"] = "trace"
    whole = {writing.whole_characters(key): value for key, value in items.items()}
    return event(_ns(record.time_ms), name, whole)


def _exception(record: Event) -> dict[str, Any]:
    items: dict[str, Any] = {"cat.type": record.type}
    if record.name:
        items["exception.type"] = record.name
    data = record.data
    if not data:
        return items
    lines = data.strip().splitlines() or [""]
    if len(lines) > 1:
        items["exception.stacktrace"] = data
    # Java's stack begins with the class and the message, Python's ends with them.
    short = record.name.rpartition(".")[2]
    for line in (lines[0], lines[-1]):
        of, colon, message = line.partition(": ")
        if colon and record.name and of in (record.name, short):
            items["exception.message"] = message
            return items
    if len(lines) == 1 and lines[0].strip() not in (record.name, short):
        items["exception.message"] = lines[0]
    return items


def _status(said: str) -> tuple[int, str]:
    return (UNSET, "") if said in ("", SUCCESS) else (ERROR, said)


def _name(type_: str, name: str) -> str:
    return f"{type_}:{name}" if type_ and name else type_ or name


def _ns(time_ms: int) -> int:
    return time_ms * 1_000_000 if time_ms <= MAX_NS // 1_000_000 else 0


def _times(start_ms: int, duration_us: int, tags: dict[str, Value]) -> tuple[int, int]:
    """Start and end in ns. Times that OTLP does not have are kept as attributes."""
    start_ns = _ns(start_ms)
    if start_ms and not start_ns:
        tags["cat.start_ms"] = str(start_ms)
    if duration_us * 1000 > MAX_NS - start_ns:
        tags["cat.duration_us"] = str(duration_us)
        duration_us = 0
    return start_ns, start_ns + duration_us * 1000


def _int64(digits: str) -> Value:
    return int(digits) if digits.isascii() and len(digits) < 19 else digits


@lru_cache(maxsize=1024)
def _resource(domain: str, host_name: str, ip_address: str) -> bytes:
    items: dict[str, Value] = {
        "service.name": domain,
        "host.name": host_name,
        "host.ip": ip_address,
        "service.instance.id": ip_address,
        "telemetry.sdk.name": "cat",
    }
    return writing.resource({key: value for key, value in items.items() if value})
