"""A trace with its clocks aligned: the intervals that everything else here computes with. The trace itself keeps its times."""

from __future__ import annotations

import math
import operator
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Final, NamedTuple

from clew_server.analysis.answers import ClockShift
from clew_server.model.trace import ADJUSTED, CLIENT, CONSUMER, SERVER, Trace

_NOISE_NS: Final = 1_000_000
_RESOLUTIONS_NS: Final = (1_000_000, 1_000)


@dataclass(frozen=True, slots=True)
class Tree:
    """A trace and the interval of each of its rows, ns from `t0_unix_nano`, clocks aligned, no end before its start."""

    trace: Trace
    root: int
    """`Trace.first_root`."""
    start_ns: Sequence[int]
    end_ns: Sequence[int]
    shifts: Sequence[ClockShift]
    """The hosts whose spans were moved."""
    shift_ns: Mapping[int, int]
    """By row, in their order, how far it was moved; rows that stayed are not in it."""

    def duration_ns(self, row: int) -> int:
        """Length of the row's interval."""
        return self.end_ns[row] - self.start_ns[row]


def tree_of(trace: Trace) -> Tree:
    """The trace with the spans of hosts whose clock is off moved; see `_host_shifts` for which those are."""
    root = trace.first_root()
    starts: Sequence[int] = trace.start_ns
    by_host = _host_shifts(trace, root)
    shift_ns: dict[int, int] = {}
    if by_host:
        shifts_ns = [by_host.get(host, 0) for host in range(len(trace.hosts))]
        moved = list(map(shifts_ns.__getitem__, trace.host))
        for row in compress(range(len(moved)), map(ADJUSTED.__and__, trace.flags)):
            moved[row] = 0
        starts = list(map(operator.add, starts, moved))
        shift_ns = dict(compress(enumerate(moved), moved))
    ends = list(map(operator.add, starts, trace.duration_ns))
    shifts = [ClockShift(trace.hosts[host], by_host[host]) for host in sorted(by_host, key=trace.hosts.__getitem__)]
    return Tree(trace, root, starts, ends, shifts, shift_ns)


def is_asynchronous(trace: Trace, row: int) -> bool:
    """Whether it is work that no span above waits for: a consumer below another span."""
    return trace.kind[row] == CONSUMER and trace.parent[row] >= 0


def resolution_ns(trace: Trace) -> int:
    """The tick of the trace's clocks: 1 ms or 1 µs where all of its times are multiples of that, else 1 ns."""
    common = math.gcd(trace.t0_unix_nano, *trace.start_ns, *trace.duration_ns)
    return next((tick for tick in _RESOLUTIONS_NS if common % tick == 0), 1)


class _Call(NamedTuple):
    """A server span in its client's span, on two hosts. `lead_ns` and `tail_ns` are negative where it lies outside."""

    lead_ns: int
    tail_ns: int
    client_ns: int

    def offset_ns(self) -> int:
        """How far to move the server span so that it lies in the middle."""
        return (self.tail_ns - self.lead_ns) // 2

    def is_outside(self, shift_ns: int, tick_ns: int) -> bool:
        """Outside by more than the noise of clocks, or not touching at all, once it is moved by `shift_ns`."""
        lead, tail = self.lead_ns + shift_ns, self.tail_ns - shift_ns
        noise = max(self.client_ns // 100, _NOISE_NS)
        apart = self.client_ns + tick_ns
        return lead < -noise or tail < -noise or lead > apart or tail > apart


def _host_shifts(trace: Trace, root: int) -> dict[int, int]:
    """By host, how far its spans are moved; hosts that stay are not in it. The root's host stays.

    Clocks of two hosts differ where a server span lies outside the client span above it. A server span over 1.01 times
    as long is no evidence: it went on after its client gave up. The difference is the median over all calls between the two
    hosts of what puts the server span in the middle of the client span; it is used only where it leaves fewer outside.
    From the root's host it is carried from host to host: also a host whose calls lie inside moves with the other one.
    """
    if len(trace.hosts) < 2 or root < 0:
        return {}
    hosts, starts, durations = trace.host, trace.start_ns, trace.duration_ns
    rows = _call_rows(trace)
    tick_ns = resolution_ns(trace)
    for row, above in rows:
        before_ns = starts[above] - starts[row]
        if (before_ns > 0 or durations[row] - before_ns > durations[above]) and _call(trace, row, above).is_outside(
            0, tick_ns
        ):
            break
    else:
        return {}
    calls: dict[tuple[int, int], list[_Call]] = {}
    for row, above in rows:
        calls.setdefault((hosts[above], hosts[row]), []).append(_call(trace, row, above))
    inside: dict[tuple[int, int], None] = {}
    measured = {row for row, _ in rows}
    for row, above in enumerate(trace.parent):
        if (
            above >= 0
            and hosts[row] != hosts[above]
            and row not in measured
            and not (trace.flags[row] | trace.flags[above]) & ADJUSTED
            and 0 <= starts[row] - starts[above] <= durations[above] - durations[row]
        ):
            inside[hosts[above], hosts[row]] = None
    # By name from here on: the result must not depend on ids and rows.
    by_name = sorted(range(len(trace.hosts)), key=trace.hosts.__getitem__)
    rank = {host: at for at, host in enumerate(by_name)}
    offsets = _offsets(calls, tick_ns, rank)
    if not any(offsets.values()):
        return {}
    shifts = _carried(offsets, inside, rank, [hosts[root], *by_name])
    return {host: shift for host, shift in shifts.items() if shift}


def _call_rows(trace: Trace) -> list[tuple[int, int]]:
    """Server spans below a client span on another host that can be inside it, each with the client span's row."""
    parents, hosts, kinds, flags, durations = trace.parent, trace.host, trace.kind, trace.flags, trace.duration_ns
    found = []
    for row in compress(range(len(kinds)), map(SERVER.__eq__, kinds)):
        above = parents[row]
        if (
            above >= 0
            and kinds[above] == CLIENT
            and hosts[row] != hosts[above]
            and 100 * durations[row] <= 101 * durations[above]
            and not (flags[row] | flags[above]) & ADJUSTED
        ):
            found.append((row, above))
    return found


def _call(trace: Trace, row: int, above: int) -> _Call:
    lead = trace.start_ns[row] - trace.start_ns[above]
    return _Call(lead, trace.duration_ns[above] - trace.duration_ns[row] - lead, trace.duration_ns[above])


def _offsets(
    calls: Mapping[tuple[int, int], Sequence[_Call]], tick_ns: int, rank: Mapping[int, int]
) -> dict[tuple[int, int], int]:
    """By two hosts that call each other, what to add to the second one's times; 0 where the clocks agree."""
    both_ways: dict[tuple[int, int], list[tuple[_Call, int]]] = {}
    for (caller, callee), some in calls.items():
        pair, sign = ((caller, callee), 1) if rank[caller] < rank[callee] else ((callee, caller), -1)
        both_ways.setdefault(pair, []).extend((call, sign) for call in some)
    offsets = {}
    for pair, signed in both_ways.items():
        before = sum(call.is_outside(0, tick_ns) for call, _ in signed)
        offset = 0
        if before:
            offset = _median([sign * call.offset_ns() for call, sign in signed])
            if sum(call.is_outside(sign * offset, tick_ns) for call, sign in signed) >= before:
                offset = 0
        offsets[pair] = offset
    return offsets


def _carried(
    offsets: Mapping[tuple[int, int], int],
    inside: Mapping[tuple[int, int], None],
    rank: Mapping[int, int],
    hosts: Sequence[int],
) -> dict[int, int]:
    """Shift of each host, from the first of `hosts` on: along calls, then along other spans that lay inside their parent."""
    called: dict[int, list[tuple[int, int]]] = {}
    for (one, other), offset in offsets.items():
        called.setdefault(one, []).append((other, offset))
        called.setdefault(other, []).append((one, -offset))
    beside: dict[int, list[int]] = {}
    for one, other in inside:
        beside.setdefault(one, []).append(other)
        beside.setdefault(other, []).append(one)
    for offered in called.values():
        offered.sort(key=lambda to: rank[to[0]])
    for others in beside.values():
        others.sort(key=rank.__getitem__)
    shifts: dict[int, int] = {}
    for first in hosts:
        certain, likely = deque([(first, 0)]), deque[tuple[int, int]]()
        while certain or likely:
            host, shift = certain.popleft() if certain else likely.popleft()
            if host in shifts:
                continue
            shifts[host] = shift
            certain.extend((other, shift + offset) for other, offset in called.get(host, ()))
            likely.extend((other, shift) for other in beside.get(host, ()))
    return shifts


def _median(values: list[int]) -> int:
    values.sort()
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) // 2
