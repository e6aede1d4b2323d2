"""What is stored and merged gives way to what is asked, where both want the processor.

Merges are done by threads that do nothing else: they become nicer, which every process may do to its threads. Inserts run
on threads that questions run on too: the engine makes those nicer for as long as an insert lasts, and does so only where the
process may take it back (CAP_SYS_NICE).
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

STEP: Final = 10
"""So much nicer is what gives way: a tenth of what a question gets of a processor that both want, all of one that nobody else wants."""

_MERGING: Final = "MergeMutate"
"""What the engine calls the threads that merge. They are there once a table is."""


def nicer() -> int:
    """The nice value of what gives way: `STEP` more than this thread's."""
    return min(19, os.getpriority(os.PRIO_PROCESS, 0) + STEP)


def let_merges_give_way(tasks: Path = Path("/proc/self/task")) -> list[int]:
    """Make the engine's threads that merge nicer; their ids. None where the system does not show threads (it is not Linux)."""
    changed: list[int] = []
    with contextlib.suppress(OSError):
        for task in tasks.iterdir():
            with contextlib.suppress(OSError):  # a thread that has just ended
                if (task / "comm").read_text(errors="replace").strip() == _MERGING:
                    os.setpriority(os.PRIO_PROCESS, int(task.name), nicer())
                    changed.append(int(task.name))
    return changed
