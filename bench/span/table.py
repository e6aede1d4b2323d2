"""CPU and instructions of the standard span and of sampled-out ones, one table a question, everybody in turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from budgets import Budget
from makers import Wish
from peers import CONTESTANTS, Contestant, Unavailable, python_of
from stand import Collector, Hung, Run, median, run

NATIVE, PURE, NOOP, SDK = "clew, native", "clew, pure", "no-op tracer of the API", "opentelemetry-sdk, OTLP/HTTP"
# Two counts of spans whose difference is free of start-up; both a multiple of the flushes, as many as fit a minute.
_COUNTED = (2_000, 6_000)
_TRIES = 3


@dataclass(frozen=True)
class Amount:
    """How much is measured."""

    spans: int
    rounds: int
    instructions: bool
    may_install: bool


@dataclass
class Result:
    """What one contestant cost; `cpu_us` has one figure a round."""

    cpu_us: list[float] = field(default_factory=list)
    instructions: float = 0.0
    wire_bytes: float = 0.0
    encoding: str = ""
    arrived: str = ""
    hung: int = 0
    """Runs that never ended and were repeated."""


Say = Callable[[str], None]


def standard(collector: Collector, amount: Amount, say: Say, *, compression: str) -> list[Budget]:
    """The table of everybody, with the verdict on it."""
    wish = collector.wish(compression=compression)
    contestants = [c for c in CONTESTANTS if amount.may_install or not c.pins]
    results, absent = _measure(collector, contestants, wish, amount, say, sends=lambda c: c.maker != "noop")
    say(f"\nThe standard span, start to sent, compression {compression}; CPU: median of {amount.rounds} rounds (range)")
    _print(results, absent, say)
    for contestant in contestants:
        for note in contestant.notes:
            say(f"  {contestant.label}: {note}")
    if compression != "none":
        return []
    return _verdict(results)


def sampled_out(collector: Collector, amount: Amount, say: Say) -> list[Budget]:
    """Spans that a sampler drops, and beside them, for information, recorded ones with an SDK processor attached."""
    budgets = []
    # Dropping is quick for everybody, so everybody drops many.
    contestants = [replace(c, spans_factor=4) for c in CONTESTANTS if c.label in (NATIVE, PURE, NOOP, SDK)]
    for mode, title in (
        ("parent", "Dropped: the parent is not sampled"),
        ("ratio", "Dropped: a root that the ratio sampler leaves out"),
    ):
        wish = collector.wish(mode=mode)
        results, absent = _measure(collector, contestants, wish, amount, say, sends=lambda c: False)
        say(f"\n{title}; attributes set, made current, as if it were recorded")
        _print(results, absent, say)
        if NATIVE in results and results[NATIVE].instructions:
            budgets.append(Budget(f"{title}: instructions", results[NATIVE].instructions, 10_000, "instructions"))
    observed = [c for c in contestants if c.label != NOOP]
    wish = collector.wish(mode="observed")
    results, absent = _measure(collector, observed, wish, amount, say, sends=lambda c: True)
    say("\nRecorded, with a SpanProcessor of the SDK attached that does nothing (for information)")
    _print(results, absent, say)
    return budgets


def _measure(
    collector: Collector,
    contestants: Sequence[Contestant],
    wish: Wish,
    amount: Amount,
    say: Say,
    *,
    sends: Callable[[Contestant], bool],
) -> tuple[dict[str, Result], dict[str, str]]:
    results: dict[str, Result] = {}
    absent: dict[str, str] = {}
    for contestant in contestants:
        try:
            python_of(contestant, may_install=amount.may_install)
        except Unavailable as error:
            absent[contestant.label] = str(error)
    for turn in range(amount.rounds + (1 if amount.instructions else 0)):
        counting = turn == amount.rounds
        for contestant in contestants:
            if contestant.label in absent:
                continue
            few, many = _COUNTED if counting else (amount.spans, amount.spans * (1 + 4 * contestant.spans_factor))
            try:
                low, hung_low = _until_it_ends(collector, contestant, wish, few, counting)
                high, hung_high = _until_it_ends(collector, contestant, wish, many, counting)
            except Unavailable as error:
                absent[contestant.label] = str(error)
                results.pop(contestant.label, None)
                continue
            came = collector.taken()
            result = results.setdefault(contestant.label, Result())
            result.hung += hung_low + hung_high
            if counting:
                result.instructions = (high.instructions - low.instructions) / (many - few)
            else:
                result.cpu_us.append((high.cpu_s - low.cpu_s) / (many - few) * 1e6)
            if came["spans"]:
                result.wire_bytes = came["bytes"] / came["spans"]
                result.encoding = "+".join(came["encodings"])
            expected = many if sends(contestant) else 0
            if came["whole"] != expected:
                result.arrived = f"{came['whole']:,} of {expected:,} arrived whole"
            elif not result.arrived:
                result.arrived = "all arrived" if expected else "none sent"
    return results, absent


def _until_it_ends(
    collector: Collector, contestant: Contestant, wish: Wish, count: int, counting: bool
) -> tuple[Run, int]:
    """One run, and how many before it hung. Raises Unavailable when three do."""
    for hung in range(_TRIES):
        collector.taken()
        try:
            return run(contestant, "spans", wish, count=count, count_instructions=counting), hung
        except Hung:
            if hung == _TRIES - 1:
                raise
    raise AssertionError("unreachable")


def _print(results: dict[str, Result], absent: dict[str, str], say: Say) -> None:
    yardstick, floor = results.get(SDK), results.get(NOOP)
    say(
        f"{'':<30}{'CPU µs/span':>12} {'(range)':<16}{'/ SDK':>8}{'/ no-op':>9}{'instructions':>14}{'/ no-op':>9}{'B/span':>8}"
    )
    for label, result in results.items():
        cpu = median(result.cpu_us)
        line = f"{label:<30}{cpu:>12.2f} {f'({min(result.cpu_us):.2f}–{max(result.cpu_us):.2f})':<16}"
        line += f"{cpu / median(yardstick.cpu_us):>8.3f}" if yardstick else f"{'':>8}"
        line += f"{cpu / median(floor.cpu_us):>9.2f}" if floor else f"{'':>9}"
        line += f"{result.instructions:>14,.0f}" if result.instructions else f"{'':>14}"
        both = floor is not None and floor.instructions and result.instructions
        line += f"{result.instructions / floor.instructions:>9.2f}" if both and floor else f"{'':>9}"
        line += f"{result.wire_bytes:>8.0f}" if result.wire_bytes else f"{'':>8}"
        hung = f", hung {result.hung} times and was run again" if result.hung else ""
        say(f"{line}  {result.arrived}{f', {result.encoding}' if result.encoding else ''}{hung}")
    for label, reason in absent.items():
        say(f"{label:<30}{'–':>12} {reason}")


def _verdict(results: dict[str, Result]) -> list[Budget]:
    ours, floor, sdk = results.get(NATIVE), results.get(NOOP), results.get(SDK)
    if ours is None or floor is None or sdk is None:
        return []
    budgets = []
    if ours.instructions:
        budgets.append(Budget("standard span", ours.instructions, 20_000, "instructions"))
        budgets.append(Budget("standard span, what is aimed for", ours.instructions, 12_000, "instructions"))
        budgets.append(
            Budget("standard span / no-op tracer, instructions", ours.instructions / floor.instructions, 1, "×")
        )
        budgets.append(
            Budget("standard span / opentelemetry-sdk, instructions", ours.instructions / sdk.instructions, 1 / 30, "×")
        )
    cpu = median(ours.cpu_us)
    budgets.append(Budget("standard span / no-op tracer, CPU", cpu / median(floor.cpu_us), 1, "×"))
    budgets.append(Budget("standard span / opentelemetry-sdk, CPU", cpu / median(sdk.cpu_us), 1 / 30, "×"))
    return budgets
