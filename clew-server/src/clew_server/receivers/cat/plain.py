"""CAT's text codec PT1: a line of ten values, then records whose fields end with a tab each. No I/O.

Java's client writes `\\t`, `\\r`, `\\n` and `\\\\` inside a field, the one in C writes what there is: a field may hold line ends, the last one of a
record tabs too. A record therefore ends where a tab, a line end and the beginning of another one, or the end, follow each other.

Times are text without a zone: the one that brings them into the hour that the message id names is taken.
"""

from __future__ import annotations

import re
from calendar import timegm
from collections.abc import Iterable
from typing import Final

from clew_server.errors import BadInput
from clew_server.receivers.cat.tree import NULL, Event, Header, Transaction, Tree
from clew_server.receivers.foreign.texts import text

_begin: Final = re.compile(rb"[tTAEMHL]\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\t").match
_time: Final = re.compile(r"(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)\.(\d{3})", re.ASCII).fullmatch
_duration: Final = re.compile(r"(\d{1,19})us", re.ASCII).fullmatch
_hour_of: Final = re.compile(r".*-[0-9a-fA-F]{8}(?:\.\d+)?-(\d{1,10})-\d+", re.ASCII | re.DOTALL).fullmatch
_escape: Final = re.compile(r"\\([trn\\])")
_ESCAPED: Final = {"t": "\t", "r": "\r", "n": "\n", "\\": "\\"}
# Fields of a record between its letter and the last one.
_BETWEEN: Final = {"t": 2, "T": 5, "A": 5, "E": 4, "M": 4, "H": 4, "L": 4}
_HOUR_MS: Final = 3_600_000
_SLACK_MS: Final = 120_000
_WHOLE_HOURS: Final = (0, 8, *(hour for hour in range(-12, 15) if hour not in (0, 8)))
"""UTC and the zone of CAT's own clients first."""


def read(body: bytes, at: int) -> Tree:
    """The tree of a message behind its magic. Raises BadInput where not even its header can be read, TooLarge.

    Where the records break off, those before stay: `is_cut`.
    """
    end = body.find(b"\n", at)
    values = text(body[at + 1 : end]).split("\t") if end > 0 and body[at : at + 1] == b"\t" else []
    header = Header.of(values)
    tree = Tree(header)
    try:
        _records(body, end + 1, tree, is_escaped=header.thread_group != "cat" or header.thread_name != "cat")
    except _Broken:
        tree.is_cut = True
    tree.finish()
    _move(tree.transactions, _offset_ms(header.message_id, tree.transactions))
    return tree


def _records(body: bytes, at: int, tree: Tree, *, is_escaped: bool) -> None:
    while at < len(body):
        letter = chr(body[at])
        if letter not in _BETWEEN or not _begin(body, at):
            raise _Broken
        between = _BETWEEN[letter]
        raw: list[bytes] = []
        at += 1
        for _ in range(between):
            stop = body.find(b"\t", at)
            if stop < 0:
                raise _Broken
            raw.append(body[at:stop])
            at = stop + 1
        stop = _end_of_record(body, at)
        raw.append(body[at:stop])
        at = stop + 2
        _record(letter, [_field(one, is_escaped=is_escaped) for one in raw], tree)


def _end_of_record(body: bytes, at: int) -> int:
    while True:
        at = body.find(b"\t\n", at)
        if at < 0:
            raise _Broken
        if at + 2 == len(body) or _begin(body, at + 2):
            return at
        at += 1


def _record(letter: str, fields: list[str], tree: Tree) -> None:
    time_ms, type_, name = _ms(fields[0]), fields[1], fields[2]
    if letter == "t":
        tree.open(time_ms, type_, name)
    elif letter in "TA":
        if letter == "A":
            tree.open(time_ms, type_, name)
        try:
            tree.close(fields[3], fields[5], _us(fields[4]))
        except BadInput:
            raise _Broken from None
    else:
        tree.add(Event(letter, type_, name, fields[3], fields[4], time_ms))


def _field(raw: bytes, *, is_escaped: bool) -> str:
    found = text(raw)
    if found == NULL:
        return ""
    return _escape.sub(lambda match: _ESCAPED[match[1]], found) if is_escaped and "\\" in found else found


def _ms(said: str) -> int:
    """Milliseconds of a time, as if it were UTC."""
    found = _time(said)
    if found is None:
        raise _Broken
    year, month, day, hour, minute, second, ms = (int(part) for part in found.groups())
    if not (year >= 1970 and 1 <= month <= 12 and 1 <= day <= 31):
        raise _Broken
    return timegm((year, month, day, hour, minute, second)) * 1000 + ms


def _us(said: str) -> int:
    found = _duration(said)
    if found is None:
        raise _Broken
    return int(found[1])


def _offset_ms(message_id: str, transactions: Iterable[Transaction]) -> int:
    """How far the times are ahead of UTC."""
    found = _hour_of(message_id)
    root = next(iter(transactions), None)
    if found is None or root is None:
        return 0
    hour_ms = int(found[1]) * _HOUR_MS
    start_ms, end_ms = root.start_ms, root.start_ms + root.duration_us // 1000
    for slack_ms, hours in ((0, _WHOLE_HOURS[:2]), (_SLACK_MS, _WHOLE_HOURS[:2]), (0, _WHOLE_HOURS)):
        for hour in hours:
            offset_ms = hour * _HOUR_MS
            if hour_ms - slack_ms < end_ms - offset_ms + 1 and start_ms - offset_ms < hour_ms + _HOUR_MS + slack_ms:
                return offset_ms
    return 0


def _move(transactions: Iterable[Transaction], offset_ms: int) -> None:
    if not offset_ms:
        return
    for one in transactions:
        one.start_ms = max(0, one.start_ms - offset_ms)
        one.events = [event._replace(time_ms=max(0, event.time_ms - offset_ms)) for event in one.events]
        for call in one.calls:
            call[1] = max(0, call[1] - offset_ms) if call[1] >= 0 else -1


class _Broken(Exception):
    """The records end here."""
