"""A client that stays until its input ends: what it prints is kept, and no test waits for it longer than it runs or in silence."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ENDS_WITHIN_S = 120.0
SHOWN = 20_000
"""So many characters of a log at most are in a message, of its end."""


class Staying:
    """A process that a test starts and talks with."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
        without: tuple[str, ...] = (),
        folder: Path | None = None,
    ) -> None:
        """Start it with what both of its outputs say in files: `log`, and what it says to the test in one beside it.

        `without`: variables of the test's own environment that begin so are not its.
        """
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("CLEW_", "OTEL_", *without))
        }
        self._command, self._log, self._said = command, log, log.with_name(log.name + ".stdout")
        self._read_so_far = 0
        with log.open("wb") as errors, self._said.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=errors,
                env=inherited | dict(environment or {}),
                cwd=folder,
            )

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def say(self, line: str) -> None:
        """A line of its input."""
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        self._process.stdin.flush()

    def next(self, pattern: str, within_s: float = 180, *, fails: str | None = None) -> re.Match[str]:
        """The next line of its standard output that is as a pattern says; what came before is passed over.

        It is an AssertionError, with all that it logged, when it has ended, when `within_s` is over, or when a line of its log
        is as `fails` says.
        """
        end_s = time.monotonic() + within_s
        while True:
            is_over = not self.is_running()  # asked first: a line that it printed before it ended is found
            if found := self.printed(pattern):
                return found
            if is_over:
                raise AssertionError(
                    f"it ended with {self._process.returncode} and did not print {pattern!r}\n{self._shown()}"
                )
            if fails is not None and (wrong := self.matching(fails)):
                raise AssertionError(f"it complained and has not printed {pattern!r}: {wrong[0]}\n{self._shown()}")
            if time.monotonic() > end_s:
                raise AssertionError(f"it did not print {pattern!r} within {within_s:.0f} s\n{self._shown()}")
            time.sleep(0.05)

    def printed(self, pattern: str) -> re.Match[str] | None:
        """Like `next`, but None where it has printed no such line yet."""
        content = self._said.read_bytes()
        while (end := content.find(b"\n", self._read_so_far)) >= 0:
            line = content[self._read_so_far : end].decode("utf-8", "replace").rstrip()
            self._read_so_far = end + 1
            if found := re.fullmatch(pattern, line):
                return found
        return None

    def logged(self) -> str:
        """What it and those that it started have printed so far, errors first."""
        return "".join(path.read_text(encoding="utf-8", errors="replace") for path in (self._log, self._said))

    def matching(self, pattern: str) -> list[str]:
        """The lines it has printed so far in which the pattern is found."""
        return [line for line in self.logged().splitlines() if re.search(pattern, line)]

    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def end(self) -> None:
        """End its input, at which it ends; what does not is killed."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _shown(self) -> str:
        logged = self.logged()
        left_out = f"… {len(logged) - SHOWN} characters before …\n" if len(logged) > SHOWN else ""
        return f"{' '.join(self._command)}\n{left_out}{logged[-SHOWN:]}"
