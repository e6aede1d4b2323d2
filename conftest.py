"""What every run of the tests shares, unit and end-to-end."""

from __future__ import annotations

import gc


def pytest_collection_finish() -> None:
    """Take what is there before the first test out of garbage collection.

    The collected tests and all modules they import stay until the end. A full collection that looked through them would
    take most of a second each time, and many tests ask for one or make so much garbage that one comes.
    """
    gc.collect()
    gc.freeze()
