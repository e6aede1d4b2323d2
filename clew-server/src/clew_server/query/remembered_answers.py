"""Counted answers, given again for a while; those of a sample also after more was stored, while they are counted anew."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from clew_server.model.completion import Counted
from clew_server.store.cancelling import CURRENT

logger = logging.getLogger(__name__)

REMEMBERED_S: Final = 5.0
"""How long, at least, what retention has deleted may still be in an answer, and what has come since may be missing in one about many spans."""
RENEWED_AFTER_S: Final = 1.0
"""So old is an answer about many spans before it is counted anew: something is stored each second, and somebody who types asks more often."""
_TIMES_AS_LONG: Final = 20
"""So many times as long as it took to count lasts an answer before it is counted anew: else one that took long would be counted all the time."""
_MOST_ANSWERS: Final = 64
_MOST_RENEWED: Final = 8
"""Answers that are counted anew or wait for it."""

T = TypeVar("T")


@dataclass(slots=True)
class _Answer:
    found: Counted[Any]
    stored: int
    """What the count of stored things was before this was counted."""
    begun_s: float
    until_s: float
    renewed_s: float
    """When it may be counted anew, or the next try be made."""


class RememberedAnswers:
    """Answers by what was asked. Safe for several threads.

    An answer about few spans is forgotten as soon as more is stored: who has just sent his first spans sees their keys.
    One of many spans is given on, since a few more change little, and is counted anew on a thread of its own.
    """

    def __init__(self, stored: Callable[[], int], *, clock_s: Callable[[], float] = time.monotonic) -> None:
        """`stored` is another number when anything was stored since."""
        self._stored = stored
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._answers: OrderedDict[Hashable, _Answer] = OrderedDict()
        self._renewing: list[Sequence[Hashable]] = []
        # The question that begins such a count does not wait for it, and does not take it along when it is cancelled.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="clew-renew", initializer=CURRENT.set, initargs=(None,))

    def get(
        self, keys: Sequence[Hashable], ask: Callable[[], Counted[T]], anew: Callable[[], Counted[T]] | None = None
    ) -> Counted[T]:
        """What `ask` returns, or returned a moment ago, or `anew` did, which nobody waits for; None: the same. Raises what `ask` raises.

        The first key says what is asked. An answer about many spans will do that was counted for something so much like it that it has one of the others.
        """
        stored = self._stored()
        with self._lock:
            now_s = self._clock_s()
            known = self._known(keys, now_s)
            if known is not None:
                if known.stored == stored and known is self._answers.get(keys[0]):
                    return known.found
                if known.found.of_many:
                    if now_s >= known.renewed_s and self._may_renew(keys):
                        known.renewed_s = now_s + RENEWED_AFTER_S
                        with contextlib.suppress(RuntimeError):  # the server is stopping
                            self._thread.submit(self._renew, keys, anew or ask)
                            self._renewing.append(keys)
                    return known.found
        return self._count(keys, ask)

    def close(self) -> None:
        """Count nothing anew any more. What runs ends by itself."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _known(self, keys: Sequence[Hashable], now_s: float) -> _Answer | None:
        """The answer for the first of the keys that has one, which may be of something else."""
        found = (self._answers.get(key) for key in keys)
        return next((one for one in found if one is not None and now_s < one.until_s), None)

    def _may_renew(self, keys: Sequence[Hashable]) -> bool:
        are_others = all(set(keys).isdisjoint(one) for one in self._renewing)
        return are_others and len(self._renewing) < _MOST_RENEWED

    def _renew(self, keys: Sequence[Hashable], ask: Callable[[], Counted[Any]]) -> None:
        try:
            self._count(keys, ask)
        except Exception as error:  # the answer that is remembered ends with its time, and who asks then is told
            logger.debug("An answer could not be counted anew: %s", error)
        finally:
            with self._lock:
                self._renewing.remove(keys)

    def _count(self, keys: Sequence[Hashable], ask: Callable[[], Counted[T]]) -> Counted[T]:
        stored, begun_s = self._stored(), self._clock_s()
        found = ask()
        with self._lock:
            now_s = self._clock_s()
            renewed_s = now_s + max(RENEWED_AFTER_S, (now_s - begun_s) * _TIMES_AS_LONG)
            answer = _Answer(found, stored, begun_s, max(now_s + REMEMBERED_S, renewed_s + RENEWED_AFTER_S), renewed_s)
            for key in keys:
                known = self._answers.get(key)
                if known is None or known.begun_s <= begun_s:
                    self._answers[key] = answer
                    self._answers.move_to_end(key)
            while len(self._answers) > _MOST_ANSWERS or self._is_first_over(now_s):
                self._answers.popitem(last=False)
        return found

    def _is_first_over(self, now_s: float) -> bool:
        first = next(iter(self._answers.values()), None)
        return first is not None and first.until_s <= now_s
