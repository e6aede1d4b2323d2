"""The load generator: asks `user` for a user's messages a few times a second, in an order the seed decides."""

from __future__ import annotations

import argparse
import itertools
import random
import time
from collections.abc import Iterator

import httpx

USUAL = ["alice", "bob", "carol", "dave"]
ROUND = [*USUAL * 10, "erin", "frank"]
"""Each round asks for these, shuffled: of 42 requests one is slow (erin) and one fails (frank)."""
FIRST = 40
"""So many usual requests come before the first slow one, or nothing could be said to be unusual about it; they come at once."""


def users(seed: int) -> Iterator[str]:
    """Whose messages to ask for, without end; the same seed gives the same order.

    After the first usual ones come the one that fails and the one that is slow, since `clew demo` waits for their traces.
    """
    order = random.Random(seed)
    yield from order.choices(USUAL, k=FIRST)
    yield from ("frank", "erin")
    while True:
        yield from order.sample(ROUND, len(ROUND))


def send(url: str, *, seed: int, rate_per_s: float, duration_s: float | None) -> dict[int, int]:
    """Sends requests to `user` at `url` for `duration_s` (None: for ever). Returns the number of answers by status, 0: none."""
    answers: dict[int, int] = {}
    start_s = time.monotonic()
    with httpx.Client(base_url=url, trust_env=False, timeout=15) as client:
        for number, user in zip(itertools.count(), users(seed), strict=False):
            if number == FIRST:
                start_s = time.monotonic()
            due_s = start_s + max(0, number - FIRST) / rate_per_s
            if duration_s is not None and due_s - start_s >= duration_s:
                break
            time.sleep(max(0.0, due_s - time.monotonic()))
            try:
                status = client.get(f"/users/{user}/messages").status_code
            except httpx.TransportError:
                status = 0
            answers[status] = answers.get(status, 0) + 1
    return answers


def main() -> None:
    """Sends until the duration is over, then prints how many answers of each status came."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--url", default="http://127.0.0.1:8000")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--rate", type=float, default=4, metavar="PER_S")
    options.add_argument(
        "--duration",
        type=float,
        metavar="S",
        help="for ever, without it; the first requests, which come at once, are not counted",
    )
    chosen = options.parse_args()
    answers = send(chosen.url, seed=chosen.seed, rate_per_s=chosen.rate, duration_s=chosen.duration)
    print(" · ".join(f"{count} x {status}" for status, count in sorted(answers.items())))


if __name__ == "__main__":
    main()
