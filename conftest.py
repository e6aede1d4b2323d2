"""What every run of the tests shares, unit and end-to-end."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings

# As in the Makefile, for who calls pytest by hand: modules are compiled once and kept, not once for each process.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# How long a random example takes says more about the machine's other work than about the code. Here, so that it holds for every
# file, also where one is run by itself, and before the first is imported: settings of a test are made of the profile of that moment.
settings.register_profile("clew", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("clew")

LONGEST_FIRST = (
    # end-to-end
    "test_troubles",
    "test_ui",
    "test_lifecycle",
    "test_ui_first_run",
    "test_crash",
    "test_crash_calls",
    "test_ends",
    "test_ui_verdict",
    "test_ui_search",
    "test_ui_rows",
    "test_logs",
    "test_time_edges",
    "test_durability",
    "test_recorder_soak",
    "test_bad_input",
    "test_ui_thread",
    "test_jaeger_api",
    "test_wheel",
    "test_commands",
    "test_zipkin_clients",
    "test_search_api",
    # unit
    "test_demo_command",
    "test_same_as_sdk",
    "test_pytest_plugin",
    "test_chdb_store",
    "test_chdb_losses",
    "test_life_signals",
    "test_life_gevent",
    "test_life_threads",
    "test_pieces",
    "test_twins",
    "test_run",
    "test_slow_clients",
    "test_python_blocks",
    "test_auto",
    "test_properties",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that none of them is left for one worker at the end."""
    place = {name: at for at, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


def pytest_collection_finish() -> None:
    """Take what is there before the first test out of garbage collection.

    The collected tests and all modules they import stay until the end. A full collection that looked through them would
    take most of a second each time, and many tests ask for one or make so much garbage that one comes.
    """
    gc.collect()
    gc.freeze()


MOST_ATTEMPTS = 5


@pytest.fixture
def best_of() -> Callable[[float, Callable[[], float]], float]:
    """Measures until a value is below a limit, which fails if none of five is; the last value.

    Other work of the machine, a core that is taken for seconds or a disk that stands still, spoils some attempts. What is at
    fault spoils all of them. What a slow machine makes larger in every attempt is given relative to something that it makes
    larger as well.
    """

    def best_of(limit: float, measure: Callable[[], float]) -> float:
        values: list[float] = []
        while not values or values[-1] >= limit:
            assert len(values) < MOST_ATTEMPTS, f"never below {limit:g}: {', '.join(f'{one:.3g}' for one in values)}"
            values.append(measure())
        return values[-1]

    return best_of
