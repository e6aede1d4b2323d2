"""The processes of the demo: starts, watches and stops them, in reverse order, so that none outlives the demo."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from clew_server.demo.interrupts import held

STOP_TIMEOUT_S = 10
LOG_LINES_SHOWN = 5


class ChildEnded(Exception):
    """A child that should run has ended. The message names it and ends with the last lines it wrote."""

    def __init__(self, name: str, exit_code: int, last_lines: str) -> None:
        super().__init__(f"{name} ended with exit code {exit_code}" + (f":\n{last_lines}" if last_lines else ""))
        self.exit_code = exit_code


class Children:
    """Child processes with their output in files of `folder`. Leaving the `with` block stops them, the latest first.

    `killed` names those that did not end when they were told to. All methods are for the main thread, and none is interrupted: a
    KeyboardInterrupt within Popen leaves a child that nobody knows of, and one within Popen.poll can leave Popen's lock taken (Python
    3.11 to 3.14: the lock is acquired before the `try` that releases it); then no later call learns that the child has ended.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str]) -> None:
        self._folder = folder
        self._environ = dict(environ)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.killed: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops them all within 20 s: the first one, which the others send to, has 10 s for itself, the others have 10 s together."""
        with held():
            first, *others = self._running or ("",)
            deadline_s = time.monotonic() + STOP_TIMEOUT_S
            for name in reversed(others):
                self._stop(name, max(0.0, deadline_s - time.monotonic()))
            if first:
                self._stop(first, STOP_TIMEOUT_S)

    def start(self, name: str, module: str, *arguments: str) -> None:
        """Starts the module's `main` with these arguments, in a group of its own, so that Ctrl+C in a terminal reaches only the demo."""
        command = [sys.executable, "-m", "clew_server.demo.child", str(os.getpid()), module, *arguments]
        with held(), self._log(name).open("wb") as log:
            self._running[name] = subprocess.Popen(
                command,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,
            )

    def check(self, *names: str) -> None:
        """Raises ChildEnded if one of `names` (all, without names) has ended."""
        for name in names or tuple(self._running):
            exit_code = self._exit_code(name)
            if exit_code is not None:
                lines = self._log(name).read_text(encoding="utf-8", errors="replace").splitlines()
                raise ChildEnded(name, exit_code, "\n".join(lines[-LOG_LINES_SHOWN:]))

    def names(self) -> tuple[str, ...]:
        """The children that were started and not stopped, the earliest first."""
        return tuple(self._running)

    def has_ended(self, name: str) -> bool:
        return self._exit_code(name) is not None

    def _exit_code(self, name: str) -> int | None:
        with held():
            return self._running[name].poll()

    def _stop(self, name: str, timeout_s: float) -> None:
        """Sends the child SIGTERM, after `timeout_s` SIGKILL. Returns when it has ended."""
        process = self._running.pop(name)
        process.terminate()
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.killed.append(name)
            process.kill()
            process.wait()

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"
