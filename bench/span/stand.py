"""Runs contestants' processes against a collector and reads what they cost from outside."""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from makers import Wish
from peers import Contestant, Unavailable, python_of

HERE = Path(__file__).resolve().parent
# Many times what the slowest takes; one of the contestants was seen to hang at its end.
_PATIENCE_S = 60.0
_PATIENCE_COUNTING_S = 600.0
_VALGRIND = ("valgrind", "--tool=callgrind", "--trace-children=no")


class Hung(Unavailable):
    """It did not come to its end in time, and was killed."""


class Collector:
    """The collector's process."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "collector.py")], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        ports = json.loads(self._process.stdout.readline())
        self.http = f"http://127.0.0.1:{ports['http']}"
        self.grpc = f"127.0.0.1:{ports['grpc']}"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait()

    def taken(self) -> dict[str, Any]:
        """What has arrived since the last question."""
        with urllib.request.urlopen(self.http + "/taken", timeout=120) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def wish(self, **wanted: Any) -> Wish:
        """What is asked of a contestant that sends to this collector."""
        return Wish(http=wanted.pop("http", self.http), grpc=self.grpc, **wanted)


@dataclass(frozen=True)
class Run:
    """One process that has ended."""

    cpu_s: float
    """User and system, all threads, start to exit."""
    instructions: int
    """0 unless they were counted."""
    found: dict[str, Any]
    """What it printed."""


def child_environment(contestant: Contestant) -> dict[str, str]:
    """Nothing of ours but what a process needs; hashes are the same each time, and so are instructions."""
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH") if key in os.environ}
    return kept | {"PYTHONHASHSEED": "0"} | dict(contestant.environment)


def run(
    contestant: Contestant,
    task: str,
    wish: Wish,
    *,
    may_install: bool = True,
    count_instructions: bool = False,
    script: str = "child.py",
    **numbers: int,
) -> Run:
    """One process of a contestant, to its end. Raises Unavailable with the last line it said when it fails."""
    python = python_of(contestant, may_install=may_install)
    timeout_s = _PATIENCE_COUNTING_S if count_instructions else _PATIENCE_S
    words = [f"{key}={value}" for key, value in numbers.items()]
    command = [str(python), str(HERE / script), task, contestant.maker, json.dumps(asdict(wish)), *words]
    with tempfile.TemporaryDirectory() as folder:
        profile = Path(folder) / "callgrind.out"
        if count_instructions:
            command = [*_VALGRIND, f"--callgrind-out-file={profile}", f"--log-file={folder}/log", *command]
        with open(Path(folder) / "stderr", "w+") as errors:
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=errors, text=True, env=child_environment(contestant)
            )
            assert process.stdout is not None
            patience = threading.Timer(timeout_s, process.kill)
            patience.start()
            printed = process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
            is_hung = not patience.is_alive()
            patience.cancel()
            process.returncode = os.waitstatus_to_exitcode(status)
            errors.seek(0)
            said = errors.read()
        if is_hung:
            raise Hung(f"hung: it had not ended after {timeout_s:.0f} s")
        if process.returncode:
            last = (said.strip() or printed.strip() or f"exit status {process.returncode}").splitlines()[-1]
            raise Unavailable(f"failed: {last}")
        counted = _total(profile) if count_instructions else 0
    lines = [line for line in printed.splitlines() if line.startswith("{")]
    return Run(usage.ru_utime + usage.ru_stime, counted, json.loads(lines[-1]) if lines else {})


def _total(profile: Path) -> int:
    found = re.search(r"^totals: (\d+)", profile.read_text(errors="replace"), re.MULTILINE)
    if found is None:
        raise Unavailable("valgrind left no profile")
    return int(found[1])


def has_valgrind() -> bool:
    """Whether instructions can be counted here."""
    return shutil.which("valgrind") is not None


def spread(values: Sequence[float]) -> str:
    """Lowest to highest."""
    return f"{min(values):.2f}–{max(values):.2f}"


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(values)
