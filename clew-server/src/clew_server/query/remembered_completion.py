"""Answers of completion, remembered while somebody types on, or several people do."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Hashable
from dataclasses import replace
from typing import Final

from clew_server.errors import Unavailable
from clew_server.model.completion import Counted, KeyCount, ValueCount, ValuesAsked, first_values, only_first
from clew_server.model.search import Search
from clew_server.query.remembered_answers import RememberedAnswers
from clew_server.store.contract import TraceCompletion

_MOST_VALUES: Final = 1_000
"""Values that are asked for whatever the text is: where there are no more, they answer for every text."""
_FEW: Final = 5
"""Of fewer values somebody who types expects that they are all."""
_PARTS_OF_A_TIME: Final = 1_000


class RememberedCompletion:
    """A store's TraceCompletion whose answers are given again as `RememberedAnswers` says. Safe for several threads.

    The ends of the time move on while somebody types ("the last hour"), so two times are the same where their ends differ by less
    than about a thousandth of their length. A sample of a time that ends now is one for any that does and is about as long.
    """

    def __init__(
        self,
        store: TraceCompletion,
        stored: Callable[[], int],
        *,
        clock_s: Callable[[], float] = time.monotonic,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """`stored` is another number when anything was stored since."""
        self._store = store
        self._clock_ns = clock_ns
        self._answers = RememberedAnswers(stored, clock_s=clock_s)

    def attribute_keys(self, search: Search) -> Counted[KeyCount]:
        """See TraceCompletion."""
        keys = [("keys", about) for about in self._about(search)]
        return self._answers.get(keys, lambda: self._store.attribute_keys(search))

    def attribute_values(self, search: Search, asked: ValuesAsked) -> Counted[ValueCount]:
        """See TraceCompletion. Where a sample has few values for what was typed, many more spans are looked at."""
        found = self._values_with_prefix(search, asked)
        if asked.prefix and found.of_many and not found.complete and len(found.found) < min(_FEW, asked.limit):
            with contextlib.suppress(Unavailable):  # it takes too long
                return self._values_with_prefix(search, replace(asked, thorough=True))
        return found

    def _values_with_prefix(self, search: Search, asked: ValuesAsked) -> Counted[ValueCount]:
        every = replace(asked, prefix="", limit=max(asked.limit, _MOST_VALUES))
        found = self._values(search, every)
        if asked.prefix and only_first(every.limit) in (found.reason or ""):
            return self._values(search, asked)
        return first_values(found, asked.prefix, asked.limit)

    def close(self) -> None:
        """Count nothing anew any more. What runs ends by itself."""
        self._answers.close()

    def _values(self, search: Search, asked: ValuesAsked) -> Counted[ValueCount]:
        keys = [("values", about, asked) for about in self._about(search)]
        # Whoever is still typing a second later has the values of more spans.
        thorough = replace(asked, thorough=True)
        return self._answers.get(
            keys,
            lambda: self._store.attribute_values(search, asked),
            lambda: self._store.attribute_values(search, thorough),
        )

    def _about(self, search: Search) -> list[Hashable]:
        """What is the same for searches that may share an answer; then what is the same for those that may share a sample."""
        from_ns, to_ns = search.from_unix_nano, search.to_unix_nano
        if from_ns is None:
            return [search]
        now_ns = self._clock_ns()
        lasts_ns = (now_ns if to_ns is None else to_ns) - from_ns
        step_ns = max(1, lasts_ns // _PARTS_OF_A_TIME)
        # The length itself varies by a little where the ends do.
        step_ns = 1 << step_ns.bit_length()
        begins = from_ns // step_ns * step_ns
        ends = None if to_ns is None else to_ns // step_ns * step_ns
        whole = replace(search, from_unix_nano=begins, to_unix_nano=ends)
        if to_ns is not None and abs(now_ns - to_ns) >= step_ns:
            return [whole]
        length = (lasts_ns + step_ns // 2) // step_ns, step_ns
        return [whole, (replace(search, from_unix_nano=None, to_unix_nano=None), length)]
