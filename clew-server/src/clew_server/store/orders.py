"""The orders in which traces are listed, and the cursors that go on in them. No I/O."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from clew_server.errors import BadInput
from clew_server.model.search import Search, Sort
from clew_server.store.chdb_again import NOT_COUNTED, SPANS_AGAIN, put
from clew_server.store.contract import TraceSummary

FIRST_START_NS: Final = 946_684_800_000_000_000
"""Starts before 2000 or from 2100 on are stored under the arrival instead, so all starts lie between these."""
LAST_START_NS: Final = 4_102_444_800_000_000_000
_LARGEST: Final = (1 << 63) - 1


class Condition(NamedTuple):
    """A condition on whole traces and its parameters."""

    sql: str
    bound: dict[str, str]


@dataclass(frozen=True, slots=True)
class Order:
    """An order of traces. Traces that it finds equal are ordered by their ids, the greater first."""

    by_start: bool
    descends: bool
    key: str
    """Of whole traces in the statements: their start `s`, length `d` or number of spans `n`, less those that came again."""
    of: Callable[[TraceSummary], int]

    @property
    def moves_up(self) -> bool:
        """Whether a trace comes to stand earlier when more of its spans come: it gets longer, and starts no later."""
        return self.by_start is not self.descends

    @property
    def by_spans(self) -> bool:
        """Whether the order is by a number that the summaries may have too large."""
        return SPANS_AGAIN in self.key

    @property
    def sql(self) -> str:
        return f"{self.key}{' DESC' if self.descends else ''}, trace_id DESC"

    def after(self, last: tuple[int, str]) -> Condition:
        """What comes after a trace with this key and id."""
        return self._beside(self.key, "<" if self.descends else ">", "<", last)

    def up_to(self, last: tuple[int, str]) -> Condition:
        """What comes before a trace with this key and id, and itself, by the sums of the summaries: also some that come after it by spans."""
        return self._beside(put(self.key, NOT_COUNTED), ">" if self.descends else "<", ">=", last)

    def _beside(self, own: str, of_keys: str, of_ids: str, last: tuple[int, str]) -> Condition:
        key = "NS({after:Int64})" if self.by_start else "{after:Int64}"
        sql = f"({own}{of_keys}{key} OR ({own}={key} AND trace_id{of_ids}toFixedString(unhex({{after_id:String}}),16)))"
        return Condition(sql, {"after": str(last[0]), "after_id": last[1]})


def _start(trace: TraceSummary) -> int:
    return trace.start_unix_nano


def _duration(trace: TraceSummary) -> int:
    return trace.duration_ns


ORDERS: Final[dict[Sort, Order]] = {
    "-start": Order(True, True, "s", _start),
    "start": Order(True, False, "s", _start),
    "-dur": Order(False, True, "d", _duration),
    "dur": Order(False, False, "d", _duration),
    "-spans": Order(False, True, f"(n-{SPANS_AGAIN})", lambda trace: trace.spans),
}


def bounds(search: Search) -> tuple[int, int]:
    """The time of a search, within the starts that there can be."""
    from_ns = max(FIRST_START_NS, search.from_unix_nano or 0)
    to_ns = LAST_START_NS + 1  # an hour's arrival may lie past the last start; no start does
    if search.to_unix_nano is not None:
        to_ns = min(to_ns, search.to_unix_nano)
    return from_ns, to_ns


class Cursor(NamedTuple):
    """Where a listing goes on: after a trace with this key and id, or after a start where the id is of zeros."""

    key: int
    trace_id: str
    listing: str
    """The name of the listing up to there (`store/listings.py`)."""

    @property
    def last(self) -> tuple[int, str]:
        """Key and id."""
        return self.key, self.trace_id


def written_cursor(sort: Sort, cursor: Cursor) -> str:
    """As a text."""
    text = f"{sort}.{cursor.key}.{cursor.trace_id}.{cursor.listing}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(cursor: str, sort: Sort) -> Cursor:
    """The cursor of a text. Raises BadInput for a text that is no cursor, or one of another order."""
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        text = ""
    parts = re.fullmatch(rf"{re.escape(sort)}\.(\d{{1,19}})\.([0-9a-f]{{32}})\.([0-9a-f]{{16}})", text)
    if parts is None:
        raise BadInput(f"cursor: not one that an earlier answer gave as `next`, with sort={sort}.", code="bad_cursor")
    key = min(int(parts.group(1)), LAST_START_NS if ORDERS[sort].by_start else _LARGEST)
    return Cursor(key, parts.group(2), parts.group(3))
