"""Does sending make the application wait? One span's wall time on its thread, with and without an exporter.

    python bench/span/latency.py [--spans N] [--rate N] [--rounds N]

Three ways to make spans: at a rate while the thread computes between them (holding the interpreter lock), at a rate
while it sleeps, and as fast as they come. Every figure is the median of the rounds; all rows take turns. The empty row
is the noise floor: the clock around nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from budgets import Budget
from peers import CONTESTANTS, Contestant, Unavailable
from stand import Collector, median, run

_BY_LABEL = {contestant.label: contestant for contestant in CONTESTANTS}
_NATIVE, _PURE = _BY_LABEL["clew, native"], _BY_LABEL["clew, pure"]
_SDK = _BY_LABEL["opentelemetry-sdk, OTLP/HTTP"]
_QUANTILES = ("p50", "p99", "p99.9")


@dataclass(frozen=True)
class Row:
    label: str
    contestant: Contestant
    mode: str


def rows(*, brief: bool) -> list[Row]:
    """Who is timed; `brief` leaves out what is there for information."""
    clews = [
        Row(f"{contestant.label}, {what}", contestant, mode)
        for contestant in (_NATIVE, _PURE)
        for what, mode in (
            ("no exporter", "no-exporter"),
            ("exporter that sends nothing", "null-exporter"),
            ("sending", "standard"),
        )
        if not (brief and mode == "null-exporter")
    ]
    return [
        Row("nothing (noise floor)", Contestant("nothing", "empty"), "standard"),
        *clews,
        Row("opentelemetry-sdk, no exporter", _SDK, "no-exporter"),
        Row("opentelemetry-sdk, sending", _SDK, "standard"),
    ]


WAYS = {
    "computing between spans": {"sleeping": 0},
    "sleeping between spans": {"sleeping": 1},
    "as fast as they come": {"rate": 0},
}


def measure(
    collector: Collector, *, spans: int, rate: int, rounds: int, say: Callable[[str], None], brief: bool = False
) -> list[Budget]:
    """Prints the three tables; the budget is about the first and the last."""
    budgets = []
    for way, numbers in WAYS.items():
        if brief and "sleeping" in way:
            continue
        wanted = {"count": spans, "rate": rate} | numbers
        found: dict[str, list[dict[str, Any]]] = {}
        absent: set[str] = set()
        for _ in range(rounds):
            for row in rows(brief=brief):
                if row.label in absent:
                    continue
                try:
                    # A burst may fill any queue; one that holds it all shows the sender, not the dropping.
                    wish = collector.wish(mode=row.mode, max_queue_spans=0 if wanted["rate"] else spans + 4_096)
                    result = run(row.contestant, "latency", wish, **wanted).found
                    found.setdefault(row.label, []).append(result)
                except Unavailable as error:
                    absent.add(row.label)
                    say(f"{row.label}: {error}")
            collector.taken()
        pace = f"{rate:,} spans/s" if wanted["rate"] else "unpaced"
        late = bool(wanted["rate"])
        say(f"\n{way}, {pace}; {spans:,} spans a round, median of {rounds} rounds, µs")
        say(
            f"{'':<48}"
            + "".join(f"{name:>9}" for name in _QUANTILES)
            + f"{'max':>10}"
            + ("  late p99.9" if late else "")
        )
        for label, results in found.items():
            line = f"{label:<48}"
            for name in (*_QUANTILES, "max"):
                line += f"{_us(results, 'taken_ns', name):>{10 if name == 'max' else 9}.1f}"
            say(line + (f"{_us(results, 'late_ns', 'p99.9'):>12.1f}" if late else ""))
        for clew in (_NATIVE, _PURE):
            with_it, without = f"{clew.label}, sending", f"{clew.label}, no exporter"
            if with_it in found and without in found:
                ratio = _us(found[with_it], "taken_ns", "p99.9") / _us(found[without], "taken_ns", "p99.9")
                budgets.append(
                    Budget(f"p99.9 of a span while sending / without an exporter, {way}; {clew.label}", ratio, 2.0, "×")
                )
    return budgets


def _us(results: list[dict[str, Any]], kind: str, name: str) -> float:
    return median([result[kind][name] for result in results]) / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans", type=int, default=40_000, help="spans a round")
    parser.add_argument("--rate", type=int, default=10_000, help="spans a second")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with Collector() as collector:
        budgets = measure(collector, spans=options.spans, rate=options.rate, rounds=options.rounds, say=print)
    for budget in budgets:
        print(budget)


if __name__ == "__main__":
    main()
