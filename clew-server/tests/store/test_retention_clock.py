"""What is dropped by age is dropped by a clock that has held, never by one that jumped."""

from __future__ import annotations

import pytest

from clew_server.store.retention_clock import CONFIRM_S, RetentionClock

S = 1_000_000_000
DAY_S = 86_400
YEAR_S = 365 * DAY_S
NOW = 1_795_346_136 * S


class World:
    """A wall clock that can be set, and the time that really passes."""

    def __init__(self) -> None:
        self.passed_s = 5_000
        self.wrong_by_s = 0

    def wall_ns(self) -> int:
        return NOW + (self.passed_s - 5_000 + self.wrong_by_s) * S

    def clock(self, newest_ago_s: int | None = 60) -> RetentionClock:
        newest = None if newest_ago_s is None else NOW - newest_ago_s * S
        if newest is not None and newest > self.wall_ns():
            newest = None
        return RetentionClock(newest, clock_ns=self.wall_ns, steady_ns=lambda: self.passed_s * S)

    def trusted_s(self, clock: RetentionClock) -> int:
        """What the clock trusts, in seconds from the true time."""
        return (clock.read().trusted_unix_nano - NOW) // S - (self.passed_s - 5_000)


def test_a_clock_that_runs_on_is_followed() -> None:
    world = World()
    clock = world.clock()
    for _ in range(200):
        assert world.trusted_s(clock) == world.wrong_by_s
        assert not clock.read().is_ahead
        world.passed_s += 60
        world.wrong_by_s += 1  # slewed, or a slow sleep


@pytest.mark.parametrize("ahead_s", [30 * DAY_S, YEAR_S, 80 * YEAR_S])
def test_a_clock_that_is_ahead_for_some_seconds_at_a_start_is_not_believed(ahead_s: int) -> None:
    world = World()
    world.wrong_by_s = ahead_s
    clock = world.clock()
    for _ in range(5):
        assert world.trusted_s(clock) <= 0
        assert clock.read().is_ahead
        world.passed_s += 1
    world.wrong_by_s = 0
    for _ in range(3_000):
        assert world.trusted_s(clock) <= 0
        world.passed_s += 60
    assert world.trusted_s(clock) == 0


@pytest.mark.parametrize("ahead_s", [3_600, 30 * DAY_S, YEAR_S])
def test_a_jump_while_it_runs_is_believed_after_a_day_and_not_before(ahead_s: int) -> None:
    world = World()
    clock = world.clock()
    assert world.trusted_s(clock) == 0
    world.wrong_by_s = ahead_s
    for minute in range(CONFIRM_S // 60):
        assert world.trusted_s(clock) == 0, minute
        assert clock.read().confirmed_in_s == CONFIRM_S - minute * 60
        world.passed_s += 60
    assert world.trusted_s(clock) == ahead_s


def test_a_clock_that_jumps_about_is_never_believed() -> None:
    world = World()
    clock = world.clock()
    for hour in range(500):
        world.wrong_by_s = YEAR_S * (1 + hour % 2)
        assert world.trusted_s(clock) <= 0
        world.passed_s += 3_600


def test_a_clock_that_is_set_back_is_believed_at_once_and_forward_again_only_after_a_day() -> None:
    world = World()
    world.wrong_by_s = 30 * DAY_S
    clock = world.clock(None)  # nothing is stored that could tell
    assert world.trusted_s(clock) == 30 * DAY_S
    world.wrong_by_s = 0
    assert world.trusted_s(clock) == 0
    world.wrong_by_s = 20 * DAY_S
    assert world.trusted_s(clock) == 0


def test_after_a_long_pause_old_data_is_dropped_a_day_later() -> None:
    world = World()
    clock = world.clock(newest_ago_s=30 * DAY_S)
    assert world.trusted_s(clock) == -30 * DAY_S
    for _ in range(24 * 60):
        world.passed_s += 60
        clock.read()
    assert world.trusted_s(clock) == 0


def test_a_clock_before_1970_is_read() -> None:
    world = World()
    world.wrong_by_s = -60 * YEAR_S
    assert world.trusted_s(world.clock(None)) == -60 * YEAR_S
